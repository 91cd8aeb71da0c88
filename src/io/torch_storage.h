/* torch_storage.h: where the storages of a PyTorch file lie. Internal to src/io: torch_file.c fills the table,
 * torch_tensor.c looks into it. */
#ifndef HM_IO_TORCH_STORAGE_H
#define HM_IO_TORCH_STORAGE_H

#include "io/torch_file.h"
#include "io/zip.h"

typedef struct hm_torch_storage {
    const char *key; /* [key_len] */
    size_t key_len;
    const uint8_t *data; /* [bytes]; NULL while it has not been found in the file */
    size_t bytes, item;  /* item: bytes of a number; 0 in the zip form, which has no need of it */
} hm_torch_storage;

struct hm_torch_file {
    const char *path;
    size_t file_bytes;
    hm_torch_form form;
    hm_pickle *pickle;          /* of the object */
    hm_zip zip;                 /* of the zip form */
    hm_torch_storage *storages; /* [n_storages] by key */
    size_t n_storages, cap;
    void **copies; /* [n_copies] row-major copies of views */
    size_t n_copies, copies_cap;
    uint64_t given; /* bytes of tensors handed out */
};

/* What the pickle says of a storage that lies outside it. */
typedef struct hm_torch_claim {
    hm_st_dtype dtype;
    const char *key; /* [key_len] */
    size_t key_len;
    int64_t count; /* numbers */
} hm_torch_claim;

/* HM_ERR_FORMAT when v (may be NULL) is no such description. */
hm_status hm_torch_read_claim(const hm_torch_file *f, const hm_pickle_value *v, hm_torch_claim *out);

/* NULL when the file has no such storage. */
const hm_torch_storage *hm_torch_find_storage(const hm_torch_file *f, const char *key, size_t key_len);

#endif
