/* cuda_op.cuh: what an op's cuda.cu includes: kernel.cuh, and the operands of a call. */
#ifndef HM_OPS_CUDA_OP_CUH
#define HM_OPS_CUDA_OP_CUH

#include "device/cuda/kernel.cuh"
#include "graph/op.h"

static inline hm_in hm_input(const hm_call *c, int i) {
    const hm_tensor *const t = c->node->in[i];
    return hm_in{c->in[i], t != NULL ? t->dtype : HM_F32};
}
static inline hm_out hm_output(const hm_call *c, int o) {
    return hm_out{c->out[o], c->node->out[o]->dtype};
}

#endif
