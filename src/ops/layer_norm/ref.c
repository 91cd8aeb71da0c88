/* ref.c: the definition of layer normalisation and of its derivatives:
 *     dx = (h - mean(h) - xhat mean(h xhat)) / std,  h = dout gain,  xhat = (x - mean) / std. */
#include <math.h>

#include "graph/op.h"
#include "ops/layer_norm/layer_norm_attr.h"

hm_status hm_layer_norm_ref(const hm_call *c);
hm_status hm_layer_norm_back_ref(const hm_call *c);
hm_status hm_layer_norm_affine_ref(const hm_call *c);

hm_status hm_layer_norm_ref(const hm_call *c) {
    const double eps = (double)((const hm_layer_norm_attr *)c->node->attr)->eps;
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const double *const gain = c->in[1], *const bias = c->in[2];
    double *const means = c->out[1], *const scales = c->out[2];
    for (int64_t r = 0; r < rows; r++) {
        const double *const x = (const double *)c->in[0] + r * channels;
        double *const y = (double *)c->out[0] + r * channels;
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < channels; i++)
            mean += x[i] / (double)channels;
        for (int64_t i = 0; i < channels; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)channels;
        means[r] = mean;
        scales[r] = 1 / sqrt(variance + eps);
        for (int64_t i = 0; i < channels; i++)
            y[i] = (x[i] - mean) * scales[r] * gain[i] + bias[i];
    }
    return HM_OK;
}

static void back_x(const hm_call *c, double *dx) {
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const double *const dout = c->in[0], *const x = c->in[1], *const mean = c->in[2], *const scale = c->in[3];
    const double *const gain = c->in[LNB_GAIN], *const plus = c->in[LNB_PLUS];
    for (int64_t r = 0; r < rows; r++) {
        double a = 0, b = 0; /* means of h and of h xhat */
        for (int64_t i = 0; i < channels; i++) {
            const double h = dout[r * channels + i] * gain[i];
            a += h / (double)channels;
            b += h * (x[r * channels + i] - mean[r]) * scale[r] / (double)channels;
        }
        for (int64_t i = 0; i < channels; i++) {
            const double h = dout[r * channels + i] * gain[i], xhat = (x[r * channels + i] - mean[r]) * scale[r];
            dx[r * channels + i] = (h - a - xhat * b) * scale[r] + (plus != NULL ? plus[r * channels + i] : 0);
        }
    }
}

/* sums [parts, 2, C] of dout xhat and of dout. */
static void back_sums(const hm_call *c, double *sums) {
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const int64_t parts = hm_layer_norm_parts(rows);
    const double *const dout = c->in[0], *const x = c->in[1], *const mean = c->in[2], *const scale = c->in[3];
    for (int64_t p = 0; p < parts; p++) {
        double *const dgain = sums + p * 2 * channels, *const dbias = dgain + channels;
        for (int64_t i = 0; i < channels; i++) {
            dgain[i] = dbias[i] = 0;
            for (int64_t r = p * rows / parts; r < (p + 1) * rows / parts; r++) {
                dgain[i] += dout[r * channels + i] * (x[r * channels + i] - mean[r]) * scale[r];
                dbias[i] += dout[r * channels + i];
            }
        }
    }
}

hm_status hm_layer_norm_back_ref(const hm_call *c) {
    const hm_layer_norm_back_attr *const attr = c->node->attr;
    if (attr->want_affine)
        back_sums(c, c->out[1]);
    back_x(c, c->out[0]);
    return HM_OK;
}

hm_status hm_layer_norm_affine_ref(const hm_call *c) {
    const int64_t parts = hm_dim(c->node->in[0], 0), channels = hm_dim(c->node->in[0], 2);
    const double *const sums = c->in[0];
    for (int which = 0; which < 2; which++)
        for (int64_t i = 0; i < channels; i++) {
            double sum = 0;
            for (int64_t p = 0; p < parts; p++)
                sum += sums[(p * 2 + which) * channels + i];
            ((double *)c->out[which])[i] = sum;
        }
    return HM_OK;
}
