/* weights.h: models as files under upstream's tensor names: safetensors, or upstream's own PyTorch checkpoints. The
 * metadata (in a checkpoint: what upstream notes beside the weights) say which model it is, its input size and its
 * classes; a file without is recognised by its tensors. A file always holds every parameter of training, also those
 * that evaluation does not use. */
#ifndef HM_WEIGHTS_WEIGHTS_H
#define HM_WEIGHTS_WEIGHTS_H

#include "data/dataset.h"
#include "graph/exec.h"
#include "graph/precision.h"
#include "model/config.h"
#include "weights/tensor_file.h"

/* Writes the model's parameters, or with `prefix` the states called <prefix><parameter> under the parameters' names
 * (averages); prefix NULL: the parameters. A path that ends in .pth or .pt becomes a checkpoint as rfdetr has them, any
 * other safetensors. The file appears whole or not at all. */
hm_status hm_weights_save(const char *path, const hm_store *store, const char *prefix, const hm_model_config *c,
                          const hm_classes *classes);

/* What a file says of its weights besides; NULL: nothing. */
typedef struct hm_weights_notes {
    const char *epoch;  /* decimal, the first is 0 */
    const char *source; /* of those that were chosen from weights and averages: "regular" or "ema" */
} hm_weights_notes;

hm_status hm_weights_save_noted(const char *path, const hm_store *store, const char *prefix, const hm_model_config *c,
                                const hm_classes *classes, const hm_weights_notes *notes);

/* The same from tensors at hand; `c` NULL: they are no model that halfmask knows. `classes` with n = 0: unnamed. */
hm_status hm_weights_write(const char *path, const hm_safetensor *tensors, size_t n, const hm_model_config *c,
                           const hm_classes *classes, const hm_weights_notes *notes);

typedef struct hm_weights hm_weights;

/* Opens a file and compares every tensor's name and shape with the model's. A missing, surplus or mis-shaped tensor,
 * or metadata that contradict them, is HM_ERR_FORMAT naming file, tensor and both shapes. */
hm_status hm_weights_open(hm_weights **out, const char *path);
/* The same for a file that is open already and outlives *out. */
hm_status hm_weights_recognise(hm_weights **out, const char *path, const hm_tensor_file *file);
void hm_weights_close(hm_weights *w); /* takes NULL */

/* The variant with the file's resolution, number of classes, queries and groups, and position grid. */
const hm_model_config *hm_weights_config(const hm_weights *w);
/* One for each label; n = 0 when the file does not name them. */
const hm_classes *hm_weights_classes(const hm_weights *w);
/* What the metadata say, or NULL: "model", "resolution", "halfmask" (the version), ... */
const char *hm_weights_metadata(const hm_weights *w, const char *key);

/* Fills every parameter of the store from the file. Numbers that are not finite are HM_ERR_FORMAT. */
hm_status hm_weights_load(const hm_weights *w, hm_store *store);

/* The same to start the training of `c`, whose sizes may be others. As upstream does: rows of class heads are cut, or
 * repeated from the first on; a position grid is resampled; of the queries the first of each of the first groups are
 * kept. Queries and groups that the file has not are left as the store has them. What was kept and what was re-made is
 * put into words[HM_WEIGHTS_WORDS], unless NULL. HM_ERR_ARG when the file holds another variant. */
#define HM_WEIGHTS_WORDS 1024
hm_status hm_weights_pretrain(const char *path, const hm_model_config *c, hm_store *store, char *words);

/* What a run begins with, into the parameters of a store for precision `p`: drawn from the seed, and where `pretrain`
 * is not NULL taken from that file (hm_weights_pretrain, which says `words`). Half weights are made in fp32 and rounded
 * once. */
hm_status hm_weights_start(hm_store *store, const hm_model_config *c, hm_precision p, uint64_t seed,
                           const char *pretrain, char *words);

/* A store with the model's parameters in fp32, all zero; hm_store_free. */
hm_status hm_weights_store(hm_store **out, const hm_model_config *c);

/* Every parameter of `to` from the tensor <prefix><parameter> of `from`, for a model of its own over averaged weights;
 * prefix NULL: from the parameter itself. */
hm_status hm_weights_copy(hm_store *to, const hm_store *from, const char *prefix);

#endif
