/* zip.h: what a zip archive holds, over memory: stored entries only, which is what PyTorch writes. Every offset and
 * length is checked before a pointer is given out; nothing is copied or unpacked. Checksums are not compared: PyTorch
 * can write files without them. zip_write.h writes.
 * Format: PKWARE's APPNOTE.TXT, sections 4.3.7 to 4.3.16 and 4.5.3 (zip64). */
#ifndef HM_IO_ZIP_H
#define HM_IO_ZIP_H

#include "base/status.h"

typedef struct hm_zip_entry {
    const char *name; /* [name_len], no NUL */
    size_t name_len;
    const uint8_t *data; /* [len] */
    size_t len;
    size_t begin, end; /* bytes of the archive that are its header and data */
} hm_zip_entry;

typedef struct hm_zip {
    hm_zip_entry *entries; /* [n] by name */
    size_t n;
} hm_zip;

/* `path` stands for the archive in messages; the memory must outlive *out. HM_ERR_FORMAT, naming file and entry, for
 * anything unsound: a cut file, offsets beyond it, entries that overlap or share a name; HM_ERR_UNSUPPORTED for
 * compressed or encrypted entries and archives of several disks. */
hm_status hm_zip_open(hm_zip *out, const char *path, const void *data, size_t len);
void hm_zip_close(hm_zip *z); /* takes zeroed and half-built objects */

/* The entry called <folder><name>, folder [folder_len] with its slash; NULL when there is none. */
const hm_zip_entry *hm_zip_find(const hm_zip *z, const char *folder, size_t folder_len, const char *name);

#endif
