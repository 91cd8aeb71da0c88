/* cuda.cu: weighted sum of scalars on the GPU, in double: one block, and a launch for each 256 terms, which waits in
 * the workspace for the next one. */
#include "ops/cuda_op.cuh"
#include "ops/weighted_sum/weighted_sum_attr.h"

extern "C" HM_CUDA_DECLARE(hm_weighted_sum);

#define TERMS HM_WEIGHTED_SUM_TERMS

struct terms {
    const void *term[TERMS];
    float weight[TERMS];
    uint8_t type[TERMS];
    int n;
};

/* total: of the terms before (NULL: none) and of these; sum (p NULL: more terms follow). */
static __global__ void weigh(hm_out sum, double *total, bool first, const terms t) {
    const int i = threadIdx.x;
    const double own = i < t.n ? (double)t.weight[i] * (double)hm_get((hm_dtype)t.type[i], t.term[i], 0) : 0;
    double all = hm_block_sum(own);
    if (i != 0)
        return;
    all += first ? 0 : *total;
    if (sum.p != NULL)
        sum.put(0, (float)all);
    else
        *total = all;
}

hm_status hm_weighted_sum_cuda(const hm_call *c) {
    const float *const weights = (const float *)c->node->attr;
    const int n = c->node->n_in;
    for (int at = 0; at < n; at += TERMS) {
        terms t = {};
        t.n = n - at < TERMS ? n - at : TERMS;
        for (int i = 0; i < t.n; i++) {
            t.term[i] = c->in[at + i];
            t.weight[i] = weights[at + i];
            t.type[i] = (uint8_t)c->node->in[at + i]->dtype;
        }
        const hm_out sum = at + TERMS < n ? hm_out{NULL, HM_F32} : hm_output(c, 0);
        HM_LAUNCH(c, weigh, 1, t.n <= 32 ? 32 : TERMS, 0, sum, (double *)c->work, at == 0, t);
    }
    return HM_OK;
}
