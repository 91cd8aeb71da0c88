/* tensor_file.h: named tensors and metadata from a file of either kind, safetensors or PyTorch; which it is, is told by
 * its content. */
#ifndef HM_WEIGHTS_TENSOR_FILE_H
#define HM_WEIGHTS_TENSOR_FILE_H

#include "io/safetensors.h"

typedef struct hm_tensor_file hm_tensor_file;

/* What it hands out lives until hm_tensor_file_close. `averages`: see checkpoint.h; HM_ERR_ARG for safetensors, which
 * hold one set of weights. HM_ERR_IO when the file cannot be read; HM_ERR_FORMAT or HM_ERR_UNSUPPORTED, naming file and
 * fault, when it is unsound or refused. */
hm_status hm_tensor_file_open(hm_tensor_file **out, const char *path, bool averages);
/* The same from memory that outlives *out; `path` is for messages and must outlive it too. */
hm_status hm_tensor_file_open_memory(hm_tensor_file **out, const char *path, const void *data, size_t len,
                                     bool averages);
void hm_tensor_file_close(hm_tensor_file *f); /* takes NULL */

size_t hm_tensor_file_count(const hm_tensor_file *f);
const hm_safetensor *hm_tensor_file_at(const hm_tensor_file *f, size_t i); /* in the file's order */
/* NULL when the file has no such tensor. */
const hm_safetensor *hm_tensor_file_find(const hm_tensor_file *f, const char *name);
/* "model", "resolution", "class_names", ...; NULL when the file does not say. */
const char *hm_tensor_file_metadata(const hm_tensor_file *f, const char *key);
/* "safetensors", "PyTorch, zip form", ... */
const char *hm_tensor_file_form(const hm_tensor_file *f);
/* Where in a PyTorch file the tensors were; NULL for safetensors. */
const char *hm_tensor_file_layout(const hm_tensor_file *f);

#endif
