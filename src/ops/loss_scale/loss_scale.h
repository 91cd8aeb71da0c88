/* loss_scale.h: dynamic loss scale (Micikevicius et al. 2018, "Mixed Precision Training"; torch.amp.GradScaler), inside
 * the graph. The state "loss_scale" [3] holds the scale, the good steps since it last changed and the scale that the
 * last step used; all zero means not yet begun. */
#ifndef HM_OPS_LOSS_SCALE_H
#define HM_OPS_LOSS_SCALE_H

#include "base/inline.h"
#include "graph/graph.h"

#define HM_LOSS_SCALE_STATE 3

typedef struct hm_loss_scale {
    double initial;         /* 65536 */
    double growth, backoff; /* 2 after `interval` good steps, 0.5 after a step that overflowed */
    int64_t interval;       /* 2000 */
    double floor;           /* it never falls below: 1 */
    bool dynamic;           /* false: it stays as it is */
} hm_loss_scale;

hm_loss_scale hm_loss_scale_defaults(void);

/* The scale of the step that comes. */
HM_INLINE double hm_loss_scale_now(const hm_loss_scale *s, double state) {
    return state > 0 ? state : s->initial;
}

/* seed * scale: what the backward pass starts from. Scalars. */
hm_tensor *hm_loss_seed(hm_graph *g, hm_tensor *seed, hm_tensor *state, hm_loss_scale s);

/* The end of a step. overflow: scalar, not 0 when a gradient was not finite. Updates `state` as GradScaler.update does,
 * and progress [2] = updates made, steps skipped. */
void hm_loss_scale_update(hm_graph *g, hm_tensor *state, hm_tensor *progress, hm_tensor *overflow, hm_loss_scale s);

#endif
