/* zip_write.h: a zip archive of stored entries, as torch.save writes it: the data of every entry begin at a multiple of
 * 64 bytes. No zip64: an archive has less than 4 GiB and 65535 entries. Format: see zip.h. */
#ifndef HM_IO_ZIP_WRITE_H
#define HM_IO_ZIP_WRITE_H

#include "base/status.h"

typedef struct hm_zip_out hm_zip_out;

/* The archive appears whole or not at all, see atomic.h. */
hm_status hm_zip_create(hm_zip_out **out, const char *path);
/* HM_ERR_UNSUPPORTED when the archive becomes too large. */
hm_status hm_zip_add(hm_zip_out *z, const char *name, const void *data, size_t len);
/* *z is freed and NULL afterwards whatever happens. */
hm_status hm_zip_commit(hm_zip_out **z);
void hm_zip_abort(hm_zip_out *z); /* takes NULL */

#endif
