/* ref.c: the definition of sums and products with broadcasting: one element at a time, by coordinates. */
#include "graph/op.h"

hm_status hm_add_ref(const hm_call *c);
hm_status hm_mul_ref(const hm_call *c);
hm_status hm_sum_to_ref(const hm_call *c);
hm_status hm_broadcast_ref(const hm_call *c);
hm_status hm_scale_residual_ref(const hm_call *c);
hm_status hm_scale_residual_back_ref(const hm_call *c);

/* Element of the tensor of shape `small` that belongs to element `i` of the one of shape `large`. */
static int64_t source(int64_t i, hm_shape large, hm_shape small) {
    int64_t at = 0, stride = 1;
    for (int k = 1; k <= small.rank; k++) {
        const int64_t coordinate = i % large.dim[large.rank - k], extent = small.dim[small.rank - k];
        at += extent == 1 ? 0 : coordinate * stride;
        stride *= extent;
        i /= large.dim[large.rank - k];
    }
    return at;
}

hm_status hm_add_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const double *const a = c->in[0], *const b = c->in[1];
    double *const y = c->out[0];
    for (int64_t i = 0; i < hm_count(n->out[0]); i++)
        y[i] = a[i] + b[source(i, n->in[0]->shape, n->in[1]->shape)];
    for (int k = 2; k < n->n_in; k++)
        for (int64_t i = 0; i < hm_count(n->out[0]); i++)
            y[i] += ((const double *)c->in[k])[i];
    return HM_OK;
}

hm_status hm_mul_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const double *const a = c->in[0], *const b = c->in[1];
    double *const y = c->out[0];
    for (int64_t i = 0; i < hm_count(n->out[0]); i++)
        y[i] = a[i] * b[source(i, n->in[0]->shape, n->in[1]->shape)];
    return HM_OK;
}

hm_status hm_sum_to_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const double *const x = c->in[0];
    double *const y = c->out[0];
    for (int64_t i = 0; i < hm_count(n->out[0]); i++)
        y[i] = 0;
    for (int64_t i = 0; i < hm_count(n->in[0]); i++)
        y[source(i, n->in[0]->shape, n->out[0]->shape)] += x[i];
    return HM_OK;
}

hm_status hm_broadcast_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const double *const x = c->in[0];
    double *const y = c->out[0];
    for (int64_t i = 0; i < hm_count(n->out[0]); i++)
        y[i] = x[source(i, n->out[0]->shape, n->in[0]->shape)];
    return HM_OK;
}

hm_status hm_scale_residual_ref(const hm_call *c) {
    const double *const x = c->in[0], *const y = c->in[1], *const gain = c->in[2];
    double *const out = c->out[0];
    const int64_t channels = hm_dim(c->node->in[0], -1);
    for (int64_t i = 0; i < hm_count(c->node->in[0]); i++)
        out[i] = x[i] + gain[i % channels] * y[i];
    return HM_OK;
}

hm_status hm_scale_residual_back_ref(const hm_call *c) {
    const double *const dout = c->in[0], *const y = c->in[1], *const gain = c->in[2];
    double *const dy = c->out[0], *const dgain = c->node->n_out > 1 ? c->out[1] : NULL;
    const int64_t channels = hm_dim(c->node->in[0], -1), count = hm_count(c->node->in[0]);
    for (int64_t k = 0; k < channels && dgain != NULL; k++) {
        dgain[k] = 0;
        for (int64_t i = k; i < count; i += channels)
            dgain[k] += dout[i] * y[i];
    }
    for (int64_t i = 0; i < count; i++)
        dy[i] = dout[i] * gain[i % channels];
    return HM_OK;
}
