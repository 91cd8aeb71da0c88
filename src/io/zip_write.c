/* zip_write.c: see zip_write.h. Entries go out as they come; the directory is kept and written last. */
#include "io/zip_write.h"

#include "base/little_endian.h"
#include "base/mem.h"
#include "io/atomic.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    ALIGN = 64, /* bytes */
    LOCAL_BYTES = 30,
    CENTRAL_BYTES = 46,
    END_BYTES = 22,
    EXTRA_BYTES = 4, /* of an extra field's id and length */
    PAD_ID = 0x4246, /* "FB", torch's id for padding */
    VERSION = 20,    /* 2.0 */
    UTF8 = 1 << 11,  /* flag: names are UTF-8 */
    DATE = 33,       /* 1 January 1980: the same content gives the same bytes */
    MOST_ENTRIES = 65535
};

struct hm_zip_out {
    hm_atomic *file;
    char *path;
    uint64_t at; /* bytes written */
    uint8_t *directory;
    size_t len, cap; /* of the directory */
    size_t n;        /* entries */
};

typedef struct entry {
    const char *name;
    size_t name_len, len;
    uint32_t crc;
} entry;

static hm_status write_out(hm_zip_out *z, const void *data, size_t len) {
    HM_TRY(hm_atomic_write(z->file, data, len));
    z->at += len;
    return HM_OK;
}

/* What both headers of an entry have in common. */
static uint8_t *put_common(uint8_t *p, const entry *e, size_t extra) {
    p = hm_little_write(p, VERSION, 2);
    p = hm_little_write(p, UTF8, 2);
    p = hm_little_write(p, 0, 2); /* stored */
    p = hm_little_write(p, 0, 2); /* time */
    p = hm_little_write(p, DATE, 2);
    p = hm_little_write(p, e->crc, 4);
    p = hm_little_write(p, e->len, 4);
    p = hm_little_write(p, e->len, 4);
    p = hm_little_write(p, e->name_len, 2);
    return hm_little_write(p, extra, 2);
}

/* The header, the name and an extra field that brings the data to a multiple of ALIGN. */
static hm_status write_local(hm_zip_out *z, const entry *e) {
    uint8_t header[LOCAL_BYTES], pad[EXTRA_BYTES + ALIGN] = {0};
    const uint64_t end = z->at + LOCAL_BYTES + e->name_len + EXTRA_BYTES;
    const size_t fill = (ALIGN - end % ALIGN) % ALIGN;
    put_common(hm_little_write(header, 0x04034b50, 4), e, EXTRA_BYTES + fill);
    hm_little_write(hm_little_write(pad, PAD_ID, 2), fill, 2);
    HM_TRY(write_out(z, header, sizeof header));
    HM_TRY(write_out(z, e->name, e->name_len));
    return write_out(z, pad, EXTRA_BYTES + fill);
}

static hm_status note_entry(hm_zip_out *z, const entry *e, uint64_t header_at) {
    HM_TRY(hm_grow(&z->directory, &z->cap, z->len + CENTRAL_BYTES + e->name_len, 1));
    uint8_t *p = z->directory + z->len;
    p = hm_little_write(p, 0x02014b50, 4);
    p = hm_little_write(p, VERSION, 2);
    p = put_common(p, e, 0);
    p = hm_little_write(p, 0, 2); /* comment */
    p = hm_little_write(p, 0, 4); /* disk, internal attributes */
    p = hm_little_write(p, 0, 4); /* external attributes */
    p = hm_little_write(p, header_at, 4);
    memcpy(p, e->name, e->name_len);
    z->len += CENTRAL_BYTES + e->name_len;
    z->n++;
    return HM_OK;
}

/* Whether the archive stays within 32 bits with these bytes and its directory. */
static bool fits(const hm_zip_out *z, const entry *e) {
    const uint64_t room = UINT32_MAX - 4096 - e->name_len * 2;
    return z->n < MOST_ENTRIES - 1 && e->len <= room && z->at + z->len <= room - e->len;
}

static uint32_t checksum(const void *data, size_t len) {
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, len);
}

hm_status hm_zip_create(hm_zip_out **out, const char *path) {
    hm_zip_out *z;
    hm_status st;
    *out = NULL;
    HM_TRY(hm_alloc(&z, 1, sizeof *z));
    HM_TRY_TO(st, fail, hm_strdup(&z->path, path));
    HM_TRY_TO(st, fail, hm_atomic_open(path, &z->file));
    *out = z;
    return HM_OK;
fail:
    hm_zip_abort(z);
    return st;
}

hm_status hm_zip_add(hm_zip_out *z, const char *name, const void *data, size_t len) {
    const entry e = {name, strlen(name), len, len > 0 ? checksum(data, len) : 0};
    const uint64_t header_at = z->at;
    if (!fits(z, &e))
        HM_FAIL(HM_ERR_UNSUPPORTED, "cannot write %s: it would have 4 GiB or more; write .safetensors instead",
                z->path);
    HM_TRY(write_local(z, &e));
    HM_TRY(write_out(z, data, len));
    return note_entry(z, &e, header_at);
}

static hm_status write_end(hm_zip_out *z) {
    uint8_t end[END_BYTES], *p = end;
    const uint64_t directory_at = z->at;
    HM_TRY(write_out(z, z->directory, z->len));
    p = hm_little_write(p, 0x06054b50, 4);
    p = hm_little_write(p, 0, 4); /* disks */
    p = hm_little_write(p, z->n, 2);
    p = hm_little_write(p, z->n, 2);
    p = hm_little_write(p, z->len, 4);
    p = hm_little_write(p, directory_at, 4);
    hm_little_write(p, 0, 2); /* comment */
    return write_out(z, end, sizeof end);
}

hm_status hm_zip_commit(hm_zip_out **pz) {
    hm_zip_out *const z = *pz;
    *pz = NULL;
    hm_status st = write_end(z);
    if (st == HM_OK)
        st = hm_atomic_commit(&z->file);
    hm_zip_abort(z);
    return st;
}

void hm_zip_abort(hm_zip_out *z) {
    if (z == NULL)
        return;
    hm_atomic_abort(z->file);
    free(z->directory);
    free(z->path);
    free(z);
}
