/* ref.c: the definition of the choice of rows. NaN counts as the largest number. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ops/select/select_attr.h"

hm_status hm_max_last_ref(const hm_call *c);
hm_status hm_topk_ref(const hm_call *c);
hm_status hm_gather_rows_ref(const hm_call *c);
hm_status hm_gather_rows_back_ref(const hm_call *c);
hm_status hm_mask_rows_ref(const hm_call *c);

static bool above(double a, double b) {
    return a > b || (isnan(a) && !isnan(b));
}

hm_status hm_max_last_ref(const hm_call *c) {
    const int64_t n = hm_dim(c->node->in[0], -1);
    double *const y = c->out[0];
    for (int64_t r = 0; r < hm_rows(c->node->in[0], 1); r++) {
        const double *const x = (const double *)c->in[0] + r * n;
        y[r] = x[0];
        for (int64_t i = 1; i < n; i++)
            y[r] = above(x[i], y[r]) ? x[i] : y[r];
    }
    return HM_OK;
}

hm_status hm_topk_ref(const hm_call *c) {
    const int64_t n = hm_dim(c->node->in[0], -1), k = hm_dim(c->node->out[0], -1);
    bool *taken = NULL;
    HM_TRY(hm_alloc(&taken, (size_t)n + 1, sizeof *taken));
    for (int64_t r = 0; r < hm_rows(c->node->in[0], 1); r++) {
        const double *const x = (const double *)c->in[0] + r * n;
        for (int64_t i = 0; i < n; i++)
            taken[i] = false;
        for (int64_t j = 0; j < k; j++) {
            int64_t best = -1;
            for (int64_t i = 0; i < n; i++)
                if (!taken[i] && (best < 0 || above(x[i], x[best])))
                    best = i;
            taken[best] = true;
            ((int32_t *)c->out[0])[r * k + j] = (int32_t)best;
        }
    }
    free(taken);
    return HM_OK;
}

hm_status hm_gather_rows_ref(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const int64_t rows = x->shape.dim[1], k = y->shape.dim[1], channels = x->shape.dim[2];
    const int32_t *const index = c->in[1];
    HM_TRY(hm_check_indices(index, hm_count(c->node->in[1]), rows));
    for (int64_t i = 0; i < hm_count(y); i++) {
        const int64_t row = i / channels; /* b * k + j */
        ((double *)c->out[0])[i] = ((const double *)c->in[0])[(row / k * rows + index[row]) * channels + i % channels];
    }
    return HM_OK;
}

hm_status hm_gather_rows_back_ref(const hm_call *c) {
    const hm_tensor *const dout = c->node->in[0], *const dx = c->node->out[0];
    const int64_t rows = dx->shape.dim[1], k = dout->shape.dim[1], channels = dx->shape.dim[2];
    const int32_t *const index = c->in[1];
    HM_TRY(hm_check_indices(index, hm_count(c->node->in[1]), rows));
    for (int64_t i = 0; i < hm_count(dx); i++)
        ((double *)c->out[0])[i] = 0;
    for (int64_t i = 0; i < hm_count(dout); i++) {
        const int64_t row = i / channels;
        ((double *)c->out[0])[(row / k * rows + index[row]) * channels + i % channels] += ((const double *)c->in[0])[i];
    }
    return HM_OK;
}

hm_status hm_mask_rows_ref(const hm_call *c) {
    const uint8_t *const keep = c->in[1];
    const int64_t channels = hm_dim(c->node->in[0], -1);
    for (int64_t i = 0; i < hm_count(c->node->in[0]); i++)
        ((double *)c->out[0])[i] = keep[i / channels] ? ((const double *)c->in[0])[i] : 0;
    return HM_OK;
}
