/* checkpoint.h: the weights in a file of torch.save, in any of upstream's layouts, as a list of named tensors with the
 * metadata that a safetensors file of ours would have. checkpoint_save.h writes. */
#ifndef HM_WEIGHTS_CHECKPOINT_H
#define HM_WEIGHTS_CHECKPOINT_H

#include "io/torch_file.h"

enum { HM_CHECKPOINT_FACTS = 7 };

typedef struct hm_checkpoint {
    hm_torch_file *file;
    hm_safetensor *tensors; /* [n] in the file's order */
    size_t n;
    char **names;       /* [n] what the tensors' names point to */
    const char *layout; /* where the tensors were: "model", "state_dict", ... */
    hm_st_pair facts[HM_CHECKPOINT_FACTS];
    char *values[HM_CHECKPOINT_FACTS]; /* what the facts' values point to */
    size_t n_facts;
} hm_checkpoint;

/* Reads data[len], which must outlive *out. With `averages` the moving averages instead of the weights: "ema_model",
 * "ema", "legacy_ema_state_dict", or those of Lightning's callback; HM_ERR_ARG when the file has none. Prefixes of
 * Lightning ("model."), of torch.compile ("_orig_mod.") and of DistributedDataParallel ("module.") are taken off.
 * HM_ERR_FORMAT or HM_ERR_UNSUPPORTED when there is no state dict, or something in it is no sound tensor. */
hm_status hm_checkpoint_open(hm_checkpoint *out, const char *path, const void *data, size_t len, bool averages);
void hm_checkpoint_close(hm_checkpoint *c); /* takes zeroed and half-built objects */

#endif
