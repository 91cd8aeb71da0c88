/* cuda.cu: the loss scale's use and its change, on the GPU. */
#include "ops/cuda_op.cuh"
#include "ops/loss_scale/loss_scale.h"

extern "C" HM_CUDA_DECLARE(hm_loss_seed);
extern "C" HM_CUDA_DECLARE(hm_loss_scale);

static __global__ void loss_seed(hm_out scaled, hm_in seed, hm_in state, const hm_loss_scale s) {
    scaled.put(0, (float)((double)seed[0] * hm_loss_scale_now(&s, (double)state[0])));
}

hm_status hm_loss_seed_cuda(const hm_call *c) {
    HM_LAUNCH(c, loss_seed, 1, 1, 0, hm_output(c, 0), hm_input(c, 0), hm_input(c, 1),
              *(const hm_loss_scale *)c->node->attr);
    return HM_OK;
}

static __global__ void loss_scale(float *state, float *progress, hm_in overflowed, const hm_loss_scale s) {
    const double used = hm_loss_scale_now(&s, (double)state[0]);
    const bool overflow = overflowed[0] != 0.0f;
    const double good = overflow ? 0 : (double)state[1] + 1, grown = used * s.growth;
    double scale = used;
    if (s.dynamic && overflow)
        scale = fmax(s.floor, used * s.backoff);
    else if (s.dynamic && good >= (double)s.interval)
        scale = grown <= 0x1p127 ? grown : used;
    state[0] = (float)scale;
    state[1] = (float)(good >= (double)s.interval ? 0 : good);
    state[2] = (float)used;
    progress[overflow] += 1;
}

hm_status hm_loss_scale_cuda(const hm_call *c) {
    HM_LAUNCH(c, loss_scale, 1, 1, 0, (float *)c->out[0], (float *)c->out[1], hm_input(c, 2),
              *(const hm_loss_scale *)c->node->attr);
    return HM_OK;
}
