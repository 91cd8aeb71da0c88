/* ref.c: the definition of the global gradient norm and its clip factor. */
#include <math.h>

#include "graph/op.h"
#include "ops/grad_norm/grad_norm_attr.h"

hm_status hm_grad_norm_ref(const hm_call *c);

hm_status hm_grad_norm_ref(const hm_call *c) {
    double squares = 0;
    for (int i = 1; i < c->node->n_in; i++)
        for (int64_t k = 0; k < hm_count(c->node->in[i]); k++)
            squares += pow(((const double *)c->in[i])[k], 2);
    const hm_grad_norm_attr *const a = c->node->attr;
    const double scale = c->in[0] != NULL ? hm_loss_scale_now(&a->scale, *(const double *)c->in[0]) : 1;
    const double norm = sqrt(squares) / scale;
    *(double *)c->out[0] = norm;
    *(double *)c->out[1] = hm_clip_factor(norm, (double)a->max_norm) / scale;
    *(double *)c->out[2] = isfinite(squares) ? 0 : 1;
    return HM_OK;
}
