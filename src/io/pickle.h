/* pickle.h: reads Python pickles as data. The machine knows the opcodes that torch.save writes (protocols 2 to 5) and a
 * closed table of names (pickle_names.c); any other opcode or name is HM_ERR_UNSUPPORTED saying which. Nothing is ever
 * called: what Python would do with a callable and its arguments becomes a value that holds both, for the caller to
 * understand or refuse. Memory is bounded: a
 * pickle may have HM_PICKLE_MOST values and 64 MiB.
 * Opcodes: CPython's Lib/pickletools.py. */
#ifndef HM_IO_PICKLE_H
#define HM_IO_PICKLE_H

#include "io/safetensors.h"

enum { HM_PICKLE_MOST = 1 << 22 /* values; a checkpoint of RF-DETR with its optimizer has some 50 000 */ };

typedef enum hm_pickle_kind {
    HM_PICKLE_NONE,
    HM_PICKLE_BOOL,
    HM_PICKLE_INT,
    HM_PICKLE_LONG, /* an integer of more than 64 bits: .text, little-endian two's complement */
    HM_PICKLE_FLOAT,
    HM_PICKLE_STRING, /* .text, UTF-8 */
    HM_PICKLE_BYTES,  /* .text */
    HM_PICKLE_TUPLE,  /* .items */
    HM_PICKLE_LIST,   /* .items */
    HM_PICKLE_DICT,   /* .items: key, value, key, value, ... in order; a key that is set twice stands there twice */
    HM_PICKLE_NAME,   /* .known: a class or function of the table */
    HM_PICKLE_OBJECT, /* .object: a class or function of the table with its arguments */
    HM_PICKLE_OUTSIDE /* .inner: something that lies outside the pickle; .inner says what */
} hm_pickle_kind;

typedef enum hm_pickle_meaning {
    HM_MEANS_DICT,      /* collections.OrderedDict: an empty one becomes a dict at once */
    HM_MEANS_NAMESPACE, /* argparse.Namespace: its state is a dict of what it holds */
    HM_MEANS_TENSOR,    /* (storage, offset, shape, strides, ...) */
    HM_MEANS_PARAMETER, /* (tensor, ...) */
    HM_MEANS_STORAGE,   /* a type of numbers: .dtype */
    HM_MEANS_PLAIN      /* something that no tensor needs: a size, a device, a path */
} hm_pickle_meaning;

typedef struct hm_pickle_known {
    const char *module, *name;
    hm_pickle_meaning meaning;
    hm_st_dtype dtype; /* of a storage */
} hm_pickle_known;

/* The row of the table, or NULL. */
const hm_pickle_known *hm_pickle_find_name(const char *module, size_t module_len, const char *name, size_t name_len);

typedef struct hm_pickle_value hm_pickle_value;
struct hm_pickle_value {
    hm_pickle_kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        struct {
            const char *text; /* [len] in the pickle's own memory, no NUL */
            size_t len;
        };
        struct {
            hm_pickle_value **items; /* [n] */
            size_t n, cap;
        };
        const hm_pickle_known *known;
        struct {
            const hm_pickle_known *type;
            hm_pickle_value *arguments, *state; /* a tuple; a value or NULL */
        } object;
        hm_pickle_value *inner;
    };
};

typedef struct hm_pickle hm_pickle; /* owns the values; these may refer to each other in any way, circles included */

/* Reads one pickle at the start of data[len], which must outlive *out; *used = its bytes. `path` is for messages. */
hm_status hm_pickle_read(hm_pickle **out, const char *path, const void *data, size_t len, size_t *used);
void hm_pickle_free(hm_pickle *p); /* takes NULL */
const hm_pickle_value *hm_pickle_root(const hm_pickle *p);
/* What says which outside thing is meant, for each HM_PICKLE_OUTSIDE in the pickle's order; NULL past the last. */
const hm_pickle_value *hm_pickle_outside(const hm_pickle *p, size_t i);

/* Whether v (may be NULL) is the string `text`. */
bool hm_pickle_is(const hm_pickle_value *v, const char *text);
/* The value of a key of a dict, of a namespace's dict; NULL when v (may be NULL) is neither or has no such key. */
const hm_pickle_value *hm_pickle_get(const hm_pickle_value *v, const char *key);

#endif
