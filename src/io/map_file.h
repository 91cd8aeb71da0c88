/* map_file.h: a whole file as read-only memory, for readers of formats that check every offset themselves. */
#ifndef HM_IO_MAP_FILE_H
#define HM_IO_MAP_FILE_H

#include "base/status.h"

typedef struct hm_map {
    const uint8_t *data; /* [len]; NULL for an empty file */
    size_t len;
} hm_map;

/* HM_ERR_IO with path and reason: no such file, not a regular file, ... */
hm_status hm_map_file(hm_map *out, const char *path);
void hm_unmap(hm_map *m); /* takes a zeroed one */

#endif
