/* cuda.cu: learning rate and averaging decay of the update that comes, on the GPU. */
#include "ops/cuda_op.cuh"
#include "ops/schedule/schedule_formula.h"

extern "C" HM_CUDA_DECLARE(hm_schedule);

static __global__ void schedule(hm_out factor, hm_out step, hm_out decay, hm_in progress, const hm_schedules s) {
    const int64_t made = (int64_t)progress[0];
    factor.put(0, (float)hm_schedule_factor(&s.lr, made));
    step.put(0, (float)(made + 1));
    decay.put(0, (float)hm_schedule_decay(s.ema_decay, s.ema_tau, made + 1));
}

hm_status hm_schedule_cuda(const hm_call *c) {
    HM_LAUNCH(c, schedule, 1, 1, 0, hm_output(c, 0), hm_output(c, 1), hm_output(c, 2), hm_input(c, 0),
              *(const hm_schedules *)c->node->attr);
    return HM_OK;
}
