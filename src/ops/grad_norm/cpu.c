/* cpu.c: global gradient norm of fp32 gradients; squares and sums in double, block by block in a fixed order. */
#include <math.h>
#include <omp.h>

#include "device/cpu/convert.h"
#include "graph/op.h"
#include "ops/grad_norm/grad_norm_attr.h"

hm_status HM_CPU(hm_grad_norm)(const hm_call *c);

static double sum_squares(hm_dtype type, const void *data, int64_t first, int64_t n) {
    float room[HM_GRAD_NORM_BLOCK];
    const float *const x = hm_row_in(type, data, first, n, room);
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < n; i++)
        total += (double)x[i] * (double)x[i];
    return total;
}

/* Every n_threads-th block of all tensors, counted through. Returns the number of blocks. */
static int64_t sum_share(const hm_call *c, int64_t thread, int64_t n_threads, double *sums) {
    int64_t block = 0;
    for (int i = 1; i < c->node->n_in; i++) {
        const int64_t count = hm_count(c->node->in[i]);
        for (int64_t at = 0; at < count; at += HM_GRAD_NORM_BLOCK, block++) {
            const int64_t n = count - at < HM_GRAD_NORM_BLOCK ? count - at : HM_GRAD_NORM_BLOCK;
            if (block % n_threads == thread)
                sums[block] = sum_squares(c->node->in[i]->dtype, c->in[i], at, n);
        }
    }
    return block;
}

hm_status HM_CPU(hm_grad_norm)(const hm_call *c) {
    double *const sums = c->work, total = 0;
    int64_t blocks = 0;
#pragma omp parallel num_threads(c->run->threads)
    {
        const int64_t n = sum_share(c, omp_get_thread_num(), omp_get_num_threads(), sums);
#pragma omp single
        blocks = n;
    }
    for (int64_t b = 0; b < blocks; b++)
        total += sums[b];
    const hm_grad_norm_attr *const a = c->node->attr;
    const double scale =
        c->in[0] != NULL ? hm_loss_scale_now(&a->scale, (double)hm_float_at(c->node->in[0]->dtype, c->in[0], 0)) : 1;
    const double norm = sqrt(total) / scale;
    *(float *)c->out[0] = (float)norm;
    *(float *)c->out[1] = (float)(hm_clip_factor(norm, (double)a->max_norm) / scale);
    *(float *)c->out[2] = isfinite(total) ? 0 : 1; /* squares of floats cannot overflow a double */
    return HM_OK;
}
