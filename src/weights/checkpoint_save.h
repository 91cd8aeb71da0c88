/* checkpoint_save.h: writes what rfdetr's own loaders (RFDETR.from_checkpoint, pretrain_weights=...) take: a zip with
 * {"model": the state dict, "args", "model_name", "model_config", "epoch",
 * "best_total_source", "halfmask"}, plain values throughout. */
#ifndef HM_WEIGHTS_CHECKPOINT_SAVE_H
#define HM_WEIGHTS_CHECKPOINT_SAVE_H

#include "data/dataset.h"
#include "io/safetensors.h"
#include "model/config.h"

typedef struct hm_checkpoint_facts {
    const hm_model_config *config; /* NULL: the tensors are no model that halfmask knows */
    const hm_classes *classes;     /* n = 0: unnamed */
    const char *epoch;             /* decimal; NULL: not known */
    const char *source;            /* "best_total_source": "regular" or "ema"; NULL: none */
} hm_checkpoint_facts;

/* Whether a path is that of a checkpoint: it ends in .pth or .pt. */
bool hm_checkpoint_is_path(const char *path);

/* The file appears whole or not at all. A variant that rfdetr has gets the empty buffer _kp_active_mask that rfdetr's
 * models have, unless it is among the tensors. */
hm_status hm_checkpoint_save(const char *path, const hm_safetensor *tensors, size_t n,
                             const hm_checkpoint_facts *facts);

#endif
