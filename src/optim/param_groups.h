/* param_groups.h: learning rate and weight decay of each parameter, as upstream's get_param_dict computes them. */
#ifndef HM_OPTIM_PARAM_GROUPS_H
#define HM_OPTIM_PARAM_GROUPS_H

#include "model/config.h"
#include "ops/loss_scale/loss_scale.h"
#include "ops/schedule/schedule.h"

typedef struct hm_optim_options {
    double lr, lr_encoder;     /* of the heads, of the backbone's encoder */
    double lr_vit_layer_decay; /* per encoder layer counted from the output */
    double lr_component_decay; /* once for the decoder, squared for the encoder */
    double weight_decay;
    double beta1, beta2, eps; /* AdamW's */
    float clip_max_norm;      /* of all gradients together; 0: no clipping */
    bool ema;                 /* keep averaged weights, states "ema.<parameter>" */
    bool fused;               /* AdamW over all tensors in one node; the same bits */
    hm_schedules schedules;   /* of the learning rate and of the averages' decay */
    hm_loss_scale loss_scale;
} hm_optim_options;

/* Upstream's: 1e-4, 1.5e-4, 0.8, 0.7, 1e-4, 0.9, 0.999, 1e-8, 0.1, with averages (0.993, 100), no schedule. The loss
 * scale is fixed at 1. */
hm_optim_options hm_optim_defaults(void);

/* The rules of upstream's get_param_dict. */
void hm_param_group(const hm_model_config *c, const hm_optim_options *opt, const char *name, double *lr,
                    double *weight_decay);

#endif
