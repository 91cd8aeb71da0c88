/* config.c: the variants, one line each. Values: upstream's rfdetr/config.py; mask-base is the network of the fork
 * RF-DETR-Mask, seg-micro halfmask's own. */
#include "model/config.h"

#include <stdio.h>
#include <string.h>

#define FEATURES_12  .out_feature_indexes = {3, 6, 9, 12}, .n_features = 4
#define DINOV2_SMALL .encoder_hidden = 384, .encoder_heads = 6, .encoder_layers = 12, .mlp_ratio = 4
#define DECODER                                                                                                        \
    .projector_scale = {4}, .n_levels = 1, .hidden_dim = 256, .sa_nheads = 8, .ca_nheads = 16, .dec_n_points = 2,      \
    .dim_feedforward = 2048, .group_detr = 13, .num_classes = 90, .mask_downsample_ratio = 4
#define SEG(label, res, windows, layers, queries)                                                                      \
    {                                                                                                                  \
        .name = label, .segmentation = true, .resolution = res, .patch_size = 12, .num_windows = windows,              \
        .positional_encoding_size = (res) / 12, DINOV2_SMALL, FEATURES_12, DECODER, .dec_layers = layers,              \
        .num_queries = queries, .num_select = queries                                                                  \
    }
#define DET(label, res, layers)                                                                                        \
    {                                                                                                                  \
        .name = label, .resolution = res, .patch_size = 16, .num_windows = 2, .positional_encoding_size = (res) / 16,  \
        DINOV2_SMALL, FEATURES_12, DECODER, .dec_layers = layers, .num_queries = 300, .num_select = 300                \
    }

static const hm_model_config variants[] = {
    SEG("seg-nano", 312, 1, 4, 100),
    SEG("seg-small", 384, 2, 4, 100),
    SEG("seg-medium", 432, 2, 5, 200),
    SEG("seg-large", 504, 2, 5, 200),
    SEG("seg-xlarge", 624, 2, 6, 300),
    SEG("seg-2xlarge", 768, 2, 6, 300),
    SEG("seg-preview", 432, 2, 4, 200),
    DET("nano", 384, 2),
    DET("small", 512, 3),
    DET("medium", 576, 4),
    DET("large", 704, 4),
    {.name = "base",
     .resolution = 560,
     .patch_size = 14,
     .num_windows = 4,
     .positional_encoding_size = 37,
     DINOV2_SMALL,
     .out_feature_indexes = {2, 5, 8, 11},
     .n_features = 4,
     DECODER,
     .dec_layers = 3,
     .num_queries = 300,
     .num_select = 300},
    {.name = "large-deprecated",
     .resolution = 560,
     .patch_size = 14,
     .num_windows = 4,
     .positional_encoding_size = 37,
     .encoder_hidden = 768,
     .encoder_heads = 12,
     .encoder_layers = 12,
     .mlp_ratio = 4,
     .out_feature_indexes = {2, 5, 8, 11},
     .n_features = 4,
     .projector_scale = {3, 5},
     .n_levels = 2,
     .hidden_dim = 384,
     .sa_nheads = 12,
     .ca_nheads = 24,
     .dec_n_points = 4,
     .dim_feedforward = 2048,
     .group_detr = 13,
     .num_classes = 90,
     .mask_downsample_ratio = 4,
     .dec_layers = 3,
     .num_queries = 300,
     .num_select = 300},
    {.name = "mask-base",
     .segmentation = true,
     .mask_grid = 28,
     .resolution = 560,
     .patch_size = 14,
     .num_windows = 4,
     .positional_encoding_size = 37,
     DINOV2_SMALL,
     .out_feature_indexes = {2, 5, 8, 11},
     .n_features = 4,
     DECODER,
     .dec_layers = 3,
     .num_queries = 300,
     .num_select = 300},
    {.name = "seg-micro",
     .segmentation = true,
     .resolution = 96,
     .patch_size = 6,
     .num_windows = 1,
     .positional_encoding_size = 16,
     .encoder_hidden = 128,
     .encoder_heads = 4,
     .encoder_layers = 4,
     .mlp_ratio = 4,
     .out_feature_indexes = {1, 2, 3, 4},
     .n_features = 4,
     .projector_scale = {4},
     .n_levels = 1,
     .hidden_dim = 128,
     .sa_nheads = 8,
     .ca_nheads = 8,
     .dec_n_points = 2,
     .dec_layers = 2,
     .dim_feedforward = 512,
     .num_queries = 20,
     .num_select = 20,
     .group_detr = 5,
     .num_classes = 3,
     .mask_downsample_ratio = 4},
};

#define N_VARIANTS ((int)(sizeof variants / sizeof variants[0]))

const char *hm_model_variant(int i) {
    return i >= 0 && i < N_VARIANTS ? variants[i].name : NULL;
}

hm_status hm_model_config_named(const char *name, hm_model_config *out) {
    char known[512] = "";
    for (int i = 0; i < N_VARIANTS; i++) {
        if (strcmp(variants[i].name, name) == 0) {
            *out = variants[i];
            return HM_OK;
        }
        const size_t at = strlen(known);
        snprintf(known + at, sizeof known - at, "%s%.31s", i ? ", " : "", variants[i].name);
    }
    HM_FAIL(HM_ERR_ARG, "there is no model \"%s\"; the models are %s", name, known);
}

hm_status hm_model_check_size(const hm_model_config *c, int64_t h, int64_t w) {
    const int64_t unit = (int64_t)c->patch_size * c->num_windows;
    const int64_t bad = h % unit != 0 || h <= 0 ? h : w % unit != 0 || w <= 0 ? w : 0;
    if ((h % unit != 0 || h <= 0) || (w % unit != 0 || w <= 0))
        HM_FAIL(HM_ERR_ARG, "%s takes sizes that are multiples of %lld pixels; %lld is not: use %lld or %lld", c->name,
                (long long)unit, (long long)bad, (long long)(bad / unit > 0 ? bad / unit * unit : unit),
                (long long)((bad > 0 ? bad / unit : 0) + 1) * unit);
    return HM_OK;
}
