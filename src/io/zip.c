/* zip.c: see zip.h. The directory at the archive's end says where every entry lies; each entry's own header must agree
 * with it. */
#include "io/zip.h"

#include "base/little_endian.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    CENTRAL_BYTES = 46,
    LOCAL_BYTES = 30,
    MAX_COMMENT = 65535,
    ZIP64_EXTRA = 1, /* id of the extra field with 64-bit sizes */
    FLAG_ENCRYPTED = 1
};

static const uint32_t END_MARK = 0x06054b50, END64_MARK = 0x06064b50, LOCATOR_MARK = 0x07064b50,
                      CENTRAL_MARK = 0x02014b50, LOCAL_MARK = 0x04034b50;

typedef struct archive {
    const char *path;
    const uint8_t *data;
    size_t len;
} archive;

typedef struct directory {
    uint64_t n, at, bytes; /* entries; where they lie */
} directory;

static uint16_t u16(const uint8_t *p) {
    return (uint16_t)hm_little_read(p, 2);
}

static uint32_t u32(const uint8_t *p) {
    return (uint32_t)hm_little_read(p, 4);
}

static uint64_t u64(const uint8_t *p) {
    return hm_little_read(p, 8);
}

/* Whether `bytes` bytes from `at` lie in the archive. */
static bool inside(const archive *a, uint64_t at, uint64_t bytes) {
    return at <= a->len && bytes <= a->len - at;
}

/* Bytes of a name that messages show. */
static int shown(const hm_zip_entry *e) {
    return e->name_len < 200 ? (int)e->name_len : 200;
}

static hm_status unsound(const archive *a, const char *what) {
    HM_FAIL(HM_ERR_FORMAT, "%s: %s; the file is damaged, or its copy was cut short", a->path, what);
}

/* ---- the directory ---- */

/* The end record is the last thing in the file but for a comment, whose length it states. */
static hm_status find_end(const archive *a, const uint8_t **end) {
    const size_t most = a->len < END_BYTES + MAX_COMMENT ? a->len : END_BYTES + MAX_COMMENT;
    for (size_t back = END_BYTES; back <= most; back++) {
        const uint8_t *const p = a->data + a->len - back;
        if (u32(p) == END_MARK && u16(p + 20) == back - END_BYTES) {
            *end = p;
            return HM_OK;
        }
    }
    return unsound(a, "it begins like a zip archive but has no directory at its end");
}

static hm_status read_zip64(const archive *a, const uint8_t *locator, directory *d) {
    const uint64_t at = u64(locator + 8);
    if (!inside(a, at, END64_BYTES) || u32(a->data + at) != END64_MARK)
        return unsound(a, "the archive's zip64 record is not where it should be");
    const uint8_t *const p = a->data + at;
    *d = (directory){.n = u64(p + 32), .bytes = u64(p + 40), .at = u64(p + 48)};
    return HM_OK;
}

static hm_status read_end(const archive *a, directory *d) {
    const uint8_t *end = NULL;
    HM_TRY(find_end(a, &end));
    if (u16(end + 4) != u16(end + 6))
        HM_FAIL(HM_ERR_UNSUPPORTED, "%s is one part of a zip archive of several: join them first", a->path);
    *d = (directory){.n = u16(end + 10), .bytes = u32(end + 12), .at = u32(end + 16)};
    const size_t before = (size_t)(end - a->data);
    if (before >= LOCATOR_BYTES && u32(end - LOCATOR_BYTES) == LOCATOR_MARK)
        HM_TRY(read_zip64(a, end - LOCATOR_BYTES, d));
    if (!inside(a, d->at, d->bytes) || d->at + d->bytes > before)
        return unsound(a, "the archive's directory lies outside the file");
    if (d->n > d->bytes / CENTRAL_BYTES)
        return unsound(a, "the archive's directory is too short for the number of entries that it claims");
    return HM_OK;
}

/* ---- entries ---- */

typedef struct place {
    uint64_t stored, plain, header; /* bytes as they lie there and unpacked; where the entry's own header is */
} place;

/* Sizes and offsets that do not fit 32 bits stand in an extra field, in a fixed order, only those that do not fit. */
static hm_status widen(const archive *a, const uint8_t *extra, size_t len, place *where) {
    uint64_t *const wide[] = {&where->plain, &where->stored, &where->header};
    while (len >= 4) {
        const size_t n = u16(extra + 2);
        if (n > len - 4)
            break;
        const uint8_t *p = extra + 4, *const stop = p + n;
        if (u16(extra) == ZIP64_EXTRA) {
            for (int i = 0; i < 3; i++) {
                if (*wide[i] != UINT32_MAX)
                    continue;
                if (stop - p < 8)
                    return unsound(a, "an entry's zip64 sizes are missing");
                *wide[i] = u64(p);
                p += 8;
            }
            return HM_OK;
        }
        extra = stop;
        len -= 4 + n;
    }
    return HM_OK;
}

/* Where the entry's data lie: behind its own header, which must be there and have its name. */
static hm_status find_data(const archive *a, const place *where, hm_zip_entry *e) {
    if (!inside(a, where->header, LOCAL_BYTES) || u32(a->data + where->header) != LOCAL_MARK)
        HM_FAIL(HM_ERR_FORMAT, "%s: entry \"%.*s\" has no header where the directory says; the file is damaged",
                a->path, shown(e), e->name);
    const uint8_t *const p = a->data + where->header;
    const uint64_t name = u16(p + 26), at = where->header + LOCAL_BYTES + name + u16(p + 28);
    if (name != e->name_len || !inside(a, where->header + LOCAL_BYTES, name) ||
        memcmp(p + LOCAL_BYTES, e->name, e->name_len) != 0)
        HM_FAIL(HM_ERR_FORMAT, "%s: entry \"%.*s\" has another name in its own header; the file is damaged", a->path,
                shown(e), e->name);
    if (!inside(a, at, where->stored))
        HM_FAIL(HM_ERR_FORMAT,
                "%s: entry \"%.*s\" claims %llu bytes, more than the file holds: was its copy cut short?", a->path,
                shown(e), e->name, (unsigned long long)where->stored);
    e->data = a->data + at;
    e->len = (size_t)where->stored;
    e->begin = (size_t)where->header;
    e->end = (size_t)at + e->len;
    return HM_OK;
}

/* `p` has `left` bytes of directory, CENTRAL_BYTES at least; *used = bytes of this entry. */
static hm_status read_entry(const archive *a, const uint8_t *p, size_t left, hm_zip_entry *e, size_t *used) {
    const size_t name = u16(p + 28), extra = u16(p + 30), comment = u16(p + 32);
    place where = {.stored = u32(p + 20), .plain = u32(p + 24), .header = u32(p + 42)};
    if (u32(p) != CENTRAL_MARK || name + extra + comment > left - CENTRAL_BYTES)
        return unsound(a, "the archive's directory is broken");
    *used = CENTRAL_BYTES + name + extra + comment;
    *e = (hm_zip_entry){.name = (const char *)p + CENTRAL_BYTES, .name_len = name};
    if (u16(p + 8) & FLAG_ENCRYPTED)
        HM_FAIL(HM_ERR_UNSUPPORTED, "%s: entry \"%.*s\" is encrypted; decrypt the file first", a->path, shown(e),
                e->name);
    if (u16(p + 10) != 0)
        HM_FAIL(HM_ERR_UNSUPPORTED,
                "%s: entry \"%.*s\" is compressed, which PyTorch's files never are; unpack the archive and pack it "
                "again without compression (zip -0)",
                a->path, shown(e), e->name);
    HM_TRY(widen(a, p + CENTRAL_BYTES + name, extra, &where));
    if (where.stored != where.plain)
        HM_FAIL(HM_ERR_FORMAT, "%s: entry \"%.*s\" is stored, but its two sizes differ; the file is damaged", a->path,
                shown(e), e->name);
    return find_data(a, &where, e);
}

static hm_status read_entries(const archive *a, const directory *d, hm_zip *z) {
    const uint8_t *p = a->data + d->at;
    size_t left = (size_t)d->bytes;
    HM_TRY(hm_alloc(&z->entries, (size_t)d->n, sizeof *z->entries));
    for (; z->n < d->n; z->n++) {
        size_t used = 0;
        if (left < CENTRAL_BYTES)
            return unsound(a, "the archive's directory ends too early");
        HM_TRY(read_entry(a, p, left, &z->entries[z->n], &used));
        p += used;
        left -= used;
    }
    return HM_OK;
}

/* ---- entries against each other ---- */

static int compare_places(const void *a, const void *b) {
    const hm_zip_entry *const x = a, *const y = b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin) : (x->end > y->end) - (x->end < y->end);
}

static int compare_names(const void *a, const void *b) {
    const hm_zip_entry *const x = a, *const y = b;
    const int order = memcmp(x->name, y->name, x->name_len < y->name_len ? x->name_len : y->name_len);
    return order != 0 ? order : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* Leaves the entries sorted by name. */
static hm_status check_entries(const archive *a, const hm_zip *z) {
    if (z->n > 1)
        qsort(z->entries, z->n, sizeof *z->entries, compare_places);
    for (size_t i = 1; i < z->n; i++)
        if (z->entries[i].begin < z->entries[i - 1].end)
            HM_FAIL(HM_ERR_FORMAT, "%s: entries \"%.*s\" and \"%.*s\" overlap; no program writes such archives",
                    a->path, shown(&z->entries[i - 1]), z->entries[i - 1].name, shown(&z->entries[i]),
                    z->entries[i].name);
    if (z->n > 1)
        qsort(z->entries, z->n, sizeof *z->entries, compare_names);
    for (size_t i = 1; i < z->n; i++)
        if (compare_names(&z->entries[i - 1], &z->entries[i]) == 0)
            HM_FAIL(HM_ERR_FORMAT, "%s: there are two entries \"%.*s\"; write the file anew", a->path,
                    shown(&z->entries[i]), z->entries[i].name);
    return HM_OK;
}

hm_status hm_zip_open(hm_zip *out, const char *path, const void *data, size_t len) {
    const archive a = {path, data, len};
    directory d = {0};
    *out = (hm_zip){0};
    hm_status st = read_end(&a, &d);
    if (st == HM_OK)
        st = read_entries(&a, &d, out);
    if (st == HM_OK)
        st = check_entries(&a, out);
    if (st != HM_OK)
        hm_zip_close(out);
    return st;
}

void hm_zip_close(hm_zip *z) {
    free(z->entries);
    *z = (hm_zip){0};
}

/* Whether the entry is <folder><name>. */
static bool is_entry(const hm_zip_entry *e, const char *folder, size_t folder_len, const char *name) {
    const size_t len = strlen(name);
    return e->name_len == folder_len + len && memcmp(e->name, folder, folder_len) == 0 &&
           memcmp(e->name + folder_len, name, len) == 0;
}

const hm_zip_entry *hm_zip_find(const hm_zip *z, const char *folder, size_t folder_len, const char *name) {
    for (size_t i = 0; i < z->n; i++)
        if (is_entry(&z->entries[i], folder, folder_len, name))
            return &z->entries[i];
    return NULL;
}
