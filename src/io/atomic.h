/* atomic.h: files that appear whole or not at all. Bytes go to "<path>.tmp.<thread>" in the same folder; only a commit
 * that reached the disk renames it over the old file. Also: reading a small file, making folders.
 * Every failure is HM_ERR_IO with the path and the system's reason unless said otherwise. */
#ifndef HM_IO_ATOMIC_H
#define HM_IO_ATOMIC_H

#include "base/status.h"

typedef struct hm_atomic hm_atomic;

/* Starts writing `path`. Refuses a path that exists and is not a regular file (folder, device, pipe). */
hm_status hm_atomic_open(const char *path, hm_atomic **out);
hm_status hm_atomic_write(hm_atomic *a, const void *data, size_t len);

/* Flushes, syncs and renames. *a is freed and NULL afterwards whatever happens; on failure the temporary file is gone
 * and a previous file is untouched. */
hm_status hm_atomic_commit(hm_atomic **a);

/* Drops what was written; takes NULL, so that one clean-up path serves success and failure. */
void hm_atomic_abort(hm_atomic *a);

/* Removes from a folder the temporary files of programs that were killed while they wrote. Not while one writes there.
 * A folder that is not there has none. */
hm_status hm_atomic_sweep(const char *dir);

/* open, write, commit in one. */
hm_status hm_file_write(const char *path, const void *data, size_t len);

/* *data = the whole file and a NUL behind it (not counted in *len); free(). HM_ERR_FORMAT when it is larger than
 * max_bytes. */
hm_status hm_file_read(const char *path, size_t max_bytes, char **data, size_t *len);

/* Makes the folder and those above it; one that is there already is fine. */
hm_status hm_make_dirs(const char *path);

#endif
