/* cuda.cu: boxes from deltas on the GPU: a thread for each box. */
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(box_reparam);
extern "C" HM_CUDA_DECLARE(box_reparam_back);

#define THREADS 128

static __global__ void forward(hm_out box, hm_in delta, hm_in ref, int64_t n) {
    for (hm_each(i, n)) {
        float d[4], r[4], y[4];
        hm_load<4>(delta, 4 * i, d);
        hm_load<4>(ref, 4 * i, r);
        for (int k = 0; k < 2; k++) {
            y[k] = d[k] * r[k + 2] + r[k];
            y[k + 2] = expf(d[k + 2]) * r[k + 2];
        }
        hm_save<4>(box, 4 * i, y);
    }
}

hm_status box_reparam_cuda(const hm_call *c) {
    const int64_t n = hm_rows(c->node->in[0], 1);
    HM_LAUNCH(c, forward, hm_blocks_strided(n, THREADS), THREADS, 0, hm_output(c, 0), hm_input(c, 0), hm_input(c, 1),
              n);
    return HM_OK;
}

static __global__ void backward(hm_out ddelta, hm_out dref, hm_in dbox, hm_in delta, hm_in ref, int64_t n) {
    for (hm_each(i, n)) {
        float g[4], d[4], r[4], dd[4], dr[4];
        hm_load<4>(dbox, 4 * i, g);
        hm_load<4>(delta, 4 * i, d);
        hm_load<4>(ref, 4 * i, r);
        for (int k = 0; k < 2; k++) {
            const float scaled = g[k + 2] * expf(d[k + 2]);
            dd[k] = g[k] * r[k + 2];
            dd[k + 2] = scaled * r[k + 2];
            dr[k] = g[k];
            dr[k + 2] = scaled + g[k] * d[k];
        }
        hm_save<4>(ddelta, 4 * i, dd);
        hm_save<4>(dref, 4 * i, dr);
    }
}

hm_status box_reparam_back_cuda(const hm_call *c) {
    const int64_t n = hm_rows(c->node->in[0], 1);
    HM_LAUNCH(c, backward, hm_blocks_strided(n, THREADS), THREADS, 0, hm_output(c, 0), hm_output(c, 1), hm_input(c, 0),
              hm_input(c, 1), hm_input(c, 2), n);
    return HM_OK;
}
