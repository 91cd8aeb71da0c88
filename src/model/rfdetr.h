/* rfdetr.h: the whole model as graph nodes. Parameter names and shapes are upstream's. */
#ifndef HM_MODEL_RFDETR_H
#define HM_MODEL_RFDETR_H

#include "graph/graph.h"
#include "model/config.h"
#include "ops/match_cost/match_cost.h"

#define HM_MAX_OUTPUTS 16
#define HM_MAX_GROUPS  32

typedef struct hm_model_tap {
    const char *name;
    hm_tensor *t;
} hm_model_tap;

typedef struct hm_model_options {
    int64_t batch, height, width;
    bool training;       /* group_detr query groups; otherwise one */
    bool padded;         /* takes a padding mask */
    bool impose_topk;    /* the proposals' choice comes in as inputs "topk.<g>" instead of being made */
    bool freeze_encoder; /* nothing is differentiated behind the backbone's features */
    double drop_path;    /* probability with which the encoder's last layer is left out; see drop_path.h */
} hm_model_options;

/* Outputs in upstream's order: [0] final, [1..dec_layers-1] aux.0.., [dec_layers] enc. */
typedef struct hm_model {
    hm_model_config config;
    hm_model_options options;
    int groups;
    hm_tensor *images;    /* input [B, 3, H, W], normalised */
    hm_tensor *padding;   /* input U8 [B, H, W], 1 = padding; NULL unless padded */
    hm_tensor *drop_path; /* input [2 * layers, B * windows]: factors of the encoder's branches; NULL without */
    hm_prediction outputs[HM_MAX_OUTPUTS];
    const char *output_names[HM_MAX_OUTPUTS];
    int n_outputs;
    hm_tensor *topk[HM_MAX_GROUPS];   /* I32 [B, K] per group: chosen tokens */
    hm_tensor *scores[HM_MAX_GROUPS]; /* [B, N] per group: largest logit of each token */
    hm_model_tap *taps;               /* activations under upstream's names */
    int n_taps, cap_taps;
} hm_model;

/* Adds the model to the graph; *out must be freed with hm_model_free (the graph keeps the tensors). */
hm_status hm_model_build(hm_model **out, hm_graph *g, const hm_model_config *c, const hm_model_options *opt);
void hm_model_free(hm_model *m);

/* Fills every parameter of the store from scratch as upstream initialises it, a function of (seed, name, index). */
struct hm_store;
hm_status hm_model_init(const hm_model_config *c, struct hm_store *store, uint64_t seed);

#endif
