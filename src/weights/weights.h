/* weights.h: models as safetensors files under upstream's tensor names. The metadata says which model it is, its input
 * size and its classes; a file without metadata (made from upstream's checkpoint) is recognised by its tensors. A file
 * always holds every parameter of training, also those that evaluation does not use. */
#ifndef HM_WEIGHTS_WEIGHTS_H
#define HM_WEIGHTS_WEIGHTS_H

#include "data/dataset.h"
#include "graph/exec.h"
#include "model/config.h"

/* Writes the model's parameters, or with `prefix` the states called <prefix><parameter> under the parameters' names
 * (averages); prefix NULL: the parameters. The file appears whole or not at all. */
hm_status hm_weights_save(const char *path, const hm_store *store, const char *prefix, const hm_model_config *c,
                          const hm_classes *classes);

typedef struct hm_weights hm_weights;

/* Opens a file and compares every tensor's name and shape with the model's. A missing, surplus or mis-shaped tensor,
 * or metadata that contradict them, is HM_ERR_FORMAT naming file, tensor and both shapes. */
hm_status hm_weights_open(hm_weights **out, const char *path);
void hm_weights_close(hm_weights *w); /* takes NULL */

/* The variant with the file's resolution, number of classes and position grid. */
const hm_model_config *hm_weights_config(const hm_weights *w);
/* One for each label; n = 0 when the file does not name them. */
const hm_classes *hm_weights_classes(const hm_weights *w);
/* What the metadata say, or NULL: "model", "resolution", "halfmask" (the version), ... */
const char *hm_weights_metadata(const hm_weights *w, const char *key);

/* Fills every parameter of the store from the file. Numbers that are not finite are HM_ERR_FORMAT. */
hm_status hm_weights_load(const hm_weights *w, hm_store *store);

/* The same to start the training of `c`: the class heads may have another number of classes; their rows are then cut,
 * or repeated from the first on, and a position grid of another size is resampled, as upstream does. HM_ERR_ARG when
 * the file holds another variant. */
hm_status hm_weights_pretrain(const char *path, const hm_model_config *c, hm_store *store);

/* A store with the model's parameters in fp32, all zero; hm_store_free. */
hm_status hm_weights_store(hm_store **out, const hm_model_config *c);

/* Every parameter of `to` from the tensor <prefix><parameter> of `from`, for a model of its own over averaged weights;
 * prefix NULL: from the parameter itself. */
hm_status hm_weights_copy(hm_store *to, const hm_store *from, const char *prefix);

#endif
