/* ref.c: the definition of the activations and of their derivatives. */
#include <math.h>

#include "graph/op.h"
#include "ops/activation/activation_attr.h"

hm_status hm_activation_ref(const hm_call *c);
hm_status hm_activation_back_ref(const hm_call *c);

static double value(hm_act kind, double x) {
    switch (kind) {
    case HM_ACT_RELU:
        return x < 0 ? 0 : x;
    case HM_ACT_GELU:
        return 0.5 * x * erfc(-x / sqrt(2));
    case HM_ACT_SILU:
        return x / (1 + exp(-x));
    default:
        return 1 / (1 + exp(-x));
    }
}

/* Of y for ReLU and sigmoid, of x for the others. */
static double derivative(hm_act kind, double v) {
    const double s = 1 / (1 + exp(-v));
    switch (kind) {
    case HM_ACT_RELU:
        return v <= 0 ? 0 : 1;
    case HM_ACT_GELU:
        return 0.5 * erfc(-v / sqrt(2)) + v * exp(-0.5 * v * v) / sqrt(2 * M_PI);
    case HM_ACT_SILU:
        return s + v * s * (1 - s);
    default:
        return v * (1 - v);
    }
}

hm_status hm_activation_ref(const hm_call *c) {
    const hm_act kind = ((const hm_activation_attr *)c->node->attr)->kind;
    const double *const x = c->in[0];
    double *const y = c->out[0];
    for (int64_t i = 0; i < hm_count(c->node->in[0]); i++)
        y[i] = value(kind, x[i]);
    return HM_OK;
}

hm_status hm_activation_back_ref(const hm_call *c) {
    const hm_act kind = ((const hm_activation_attr *)c->node->attr)->kind;
    const double *const dout = c->in[0], *const v = c->in[1];
    double *const dx = c->out[0];
    for (int64_t i = 0; i < hm_count(c->node->in[0]); i++)
        dx[i] = dout[i] * derivative(kind, v[i]);
    return HM_OK;
}
