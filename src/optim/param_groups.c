/* param_groups.c: the rules by which a parameter's name decides its learning rate and weight decay. */
#include "optim/param_groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ENCODER "backbone.0.encoder"
#define LAYER   ".layer."

hm_optim_options hm_optim_defaults(void) {
    return (hm_optim_options){.lr = 1e-4,
                              .lr_encoder = 1.5e-4,
                              .lr_vit_layer_decay = 0.8,
                              .lr_component_decay = 0.7,
                              .weight_decay = 1e-4,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .eps = 1e-8,
                              .clip_max_norm = 0.1f,
                              .ema = true,
                              .fused = true,
                              .schedules = {{.drop = INT64_MAX, .total = INT64_MAX}, 0.993, 100},
                              .loss_scale = {.initial = 1, .floor = 1}};
}

/* Depth of an encoder parameter: 0 for embeddings, i + 1 for layer i, n + 1 for the rest. */
static int depth(const char *name, int n) {
    const char *const layer = strstr(name, LAYER);
    if (strstr(name, "embeddings") != NULL)
        return 0;
    return layer != NULL ? atoi(layer + strlen(LAYER)) + 1 : n + 1;
}

static bool decays(const char *name) {
    static const char *const without[] = {"gamma", "pos_embed", "rel_pos", "bias", "norm", "embeddings"};
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
        if (strstr(name, without[i]) != NULL)
            return false;
    return true;
}

void hm_param_group(const hm_model_config *c, const hm_optim_options *opt, const char *name, double *lr,
                    double *weight_decay) {
    *lr = opt->lr;
    *weight_decay = opt->weight_decay;
    if (strncmp(name, ENCODER, strlen(ENCODER)) == 0) {
        const int n = c->out_feature_indexes[c->n_features - 1] + 1;
        const double component = opt->lr_component_decay * opt->lr_component_decay;
        *lr = opt->lr_encoder * component * pow(opt->lr_vit_layer_decay, n + 1 - depth(name, n));
        if (!decays(name))
            *weight_decay = 0;
    } else if (strncmp(name, "transformer.decoder", 19) == 0) {
        *lr = opt->lr * opt->lr_component_decay;
    }
}
