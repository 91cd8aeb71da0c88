/* case.h: a golden model case, read from its folder: config, params, batch, expected values. */
#ifndef HM_PARITY_CASE_H
#define HM_PARITY_CASE_H

#include <cjson/cJSON.h>

#include "graph/exec.h"
#include "io/safetensors.h"
#include "train/step.h"

typedef struct parity_case {
    cJSON *config, *params, *losses, *tolerances; /* tolerances may be NULL */
    cJSON *autocast, *copies;                     /* PyTorch's errors in half; may be NULL */
    hm_safetensors *batch, *expected, *summaries; /* summaries may be NULL */
    hm_model_config model;
    hm_criterion_options criterion;
    hm_optim_options optim;
    uint64_t seed;
    int64_t B, H, W, T; /* T: most objects of an image, at least 1 */
    int64_t n_targets;  /* of the batch */
    int64_t counts[64];
    bool padded;
    /* inputs as the graph takes them */
    float *images;              /* [B, 3, H, W] */
    uint8_t *pad;               /* [B, H, W] or NULL */
    int32_t *counts32, *labels; /* [B], [B, T] */
    float *boxes;               /* [B, T, 4] */
    uint8_t *masks;             /* [B, T, mask_bytes] or NULL */
    size_t mask_bytes;
} parity_case;

hm_status parity_case_open(parity_case *c, const char *dir);
void parity_case_close(parity_case *c);

/* Fills the store's parameters by the case's rule; every one must be listed with its shape. */
hm_status parity_case_weights(const parity_case *c, hm_store *store);
/* The same with every weight changed by a random part of itself, at most VARIED: less than fp16's rounding, so that a
 * copy is as good as the case itself, but rounds elsewhere. Copy 0 is the case. */
#define VARIED 1e-4f
hm_status parity_case_copy(const parity_case *c, hm_store *store, uint64_t copy);
/* Value i of the fill called `name`: float32(float32(scale * (2u - 1)) + offset). */
float parity_fill(uint64_t key, uint64_t i, float offset, float scale);
/* Number at a path of keys ("outputs_train", "final.pred_boxes", "rel"), or `otherwise`. */
double parity_number(const cJSON *json, double otherwise, const char *a, const char *b, const char *c);

#endif
