/* config.h: what distinguishes the variants of RF-DETR. Field names follow upstream's model configuration. */
#ifndef HM_MODEL_CONFIG_H
#define HM_MODEL_CONFIG_H

#include "base/status.h"

#define HM_MAX_LEVELS   4
#define HM_MAX_FEATURES 8

typedef struct hm_model_config {
    char name[32];
    bool segmentation;
    int resolution;               /* nominal input size, pixels */
    int patch_size;               /* pixels */
    int num_windows;              /* per side */
    int positional_encoding_size; /* stored grid, patches per side */
    int encoder_hidden, encoder_heads, encoder_layers, mlp_ratio;
    int out_feature_indexes[HM_MAX_FEATURES], n_features; /* "after N layers" */
    int projector_scale[HM_MAX_LEVELS], n_levels;         /* 3, 4, 5 for P3, P4, P5 */
    int hidden_dim, sa_nheads, ca_nheads, dec_n_points, dec_layers, dim_feedforward;
    int num_queries, num_select, group_detr;
    int num_classes;           /* the heads have num_classes + 1 logits */
    int mask_downsample_ratio; /* input pixels for one of the masks', where masks are features times queries */
    int mask_grid;             /* or: side of the masks that an MLP makes of each query; 0 */
} hm_model_config;

/* HM_ERR_ARG for an unknown name, with the known ones. */
hm_status hm_model_config_named(const char *name, hm_model_config *out);
/* Name of variant i, or NULL past the last. */
const char *hm_model_variant(int i);
/* Input sizes must be multiples of patch_size * num_windows; HM_ERR_ARG says the nearest that fit. */
hm_status hm_model_check_size(const hm_model_config *c, int64_t h, int64_t w);

#endif
