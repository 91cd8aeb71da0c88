/* ref.c: the definitions of linear, matmul and their gradients: plain loops in double. */
#include <math.h>

#include "ops/linear/linear_attr.h"

hm_status hm_linear_ref(const hm_call *c);
hm_status hm_linear_act_back_ref(const hm_call *c);
hm_status hm_linear_dw_ref(const hm_call *c);
hm_status hm_linear_dx_ref(const hm_call *c);
hm_status hm_matmul_ref(const hm_call *c);

static double act_value(hm_act act, double z) {
    switch (act) {
    case HM_ACT_RELU:
        return z < 0 ? 0 : z;
    case HM_ACT_GELU:
        return 0.5 * z * (1 + erf(z / sqrt(2)));
    case HM_ACT_SILU:
        return z / (1 + exp(-z));
    default:
        return z;
    }
}

/* Of the kept tensor: z, or for ReLU y. */
static double act_slope(hm_act act, double z) {
    switch (act) {
    case HM_ACT_RELU:
        return z <= 0 ? 0 : 1;
    case HM_ACT_GELU:
        return 0.5 * (1 + erf(z / sqrt(2))) + z * exp(-0.5 * z * z) / sqrt(2 * acos(-1));
    default: {
        const double s = 1 / (1 + exp(-z));
        return s * (1 + z * (1 - s));
    }
    }
}

hm_status hm_linear_ref(const hm_call *c) {
    const hm_act act = ((const hm_linear_attr *)c->node->attr)->act;
    const int64_t m = hm_rows(c->node->in[0], 1), k = hm_dim(c->node->in[0], -1), n = hm_dim(c->node->in[1], 0);
    const double *const x = c->in[0], *const w = c->in[1], *const b = c->in[2];
    double *const y = c->out[0], *const kept = c->node->n_out > 1 ? c->out[1] : NULL;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double z = b != NULL ? b[j] : 0;
            for (int64_t l = 0; l < k; l++)
                z += x[i * k + l] * w[j * k + l];
            y[i * n + j] = act_value(act, z);
            if (kept != NULL)
                kept[i * n + j] = z;
        }
    return HM_OK;
}

hm_status hm_linear_act_back_ref(const hm_call *c) {
    const hm_act act = ((const hm_linear_attr *)c->node->attr)->act;
    const double *const dy = c->in[0], *const z = c->in[1];
    double *const dz = c->out[0];
    for (int64_t i = 0; i < hm_count(c->node->in[0]); i++)
        dz[i] = dy[i] * act_slope(act, z[i]);
    return HM_OK;
}

static void sum_columns(const double *dz, double *db, int64_t m, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        db[j] = 0;
        for (int64_t i = 0; i < m; i++)
            db[j] += dz[i * n + j];
    }
}

hm_status hm_linear_dw_ref(const hm_call *c) {
    const hm_linear_dw_attr *const attr = c->node->attr;
    const int64_t m = hm_rows(c->node->in[0], 1), n = hm_dim(c->node->in[0], -1);
    const double *const dz = c->in[0], *const x = c->in[1];
    if (attr->want_b)
        sum_columns(dz, c->out[attr->want_w ? 1 : 0], m, n);
    if (!attr->want_w)
        return HM_OK;
    const int64_t k = hm_dim(c->node->in[1], -1);
    double *const dw = c->out[0];
    for (int64_t j = 0; j < n; j++)
        for (int64_t l = 0; l < k; l++) {
            double sum = 0;
            for (int64_t i = 0; i < m; i++)
                sum += dz[i * n + j] * x[i * k + l];
            dw[j * k + l] = sum;
        }
    return HM_OK;
}

hm_status hm_linear_dx_ref(const hm_call *c) {
    const int64_t m = hm_rows(c->node->in[0], 1), n = hm_dim(c->node->in[0], -1), k = hm_dim(c->node->out[0], -1);
    const double *const dz = c->in[0], *const w = c->in[1];
    double *const dx = c->out[0];
    for (int64_t i = 0; i < m; i++)
        for (int64_t l = 0; l < k; l++) {
            double sum = 0;
            for (int64_t j = 0; j < n; j++)
                sum += dz[i * n + j] * w[j * k + l];
            dx[i * k + l] = sum;
        }
    return HM_OK;
}

hm_status hm_matmul_ref(const hm_call *c) {
    const hm_matmul_attr *const attr = c->node->attr;
    const hm_matmul_sizes s = hm_matmul_sizes_of(c->node);
    const double *const a = c->in[0], *const b = c->in[1];
    double *const y = c->out[0];
    for (int64_t i = 0; i < hm_count(c->node->out[0]); i++)
        y[i] = 0;
    for (int64_t p = 0; p < s.batch; p++)
        for (int64_t i = 0; i < s.m; i++)
            for (int64_t j = 0; j < s.n; j++) {
                double sum = 0;
                for (int64_t l = 0; l < s.k; l++)
                    sum += a[p * s.stride_a + (attr->trans_a ? l * s.m + i : i * s.k + l)] *
                           b[p * s.stride_b + (attr->trans_b ? j * s.k + l : l * s.n + j)];
                y[(attr->sum ? 0 : p * s.m * s.n) + i * s.n + j] += sum;
            }
    return HM_OK;
}
