/* schedule.c: the op that evaluates the two formulas. */
#include "ops/schedule/schedule.h"

#include "graph/op.h"
#include "ops/schedule/schedule_formula.h"

HM_CPU_DECLARE(hm_schedule);
HM_CUDA_DECLARE(hm_schedule);
hm_status hm_schedule_ref(const hm_call *c);

double hm_lr_factor(const hm_schedule *s, int64_t step) {
    return hm_schedule_factor(s, step);
}

double hm_ema_decay(double decay, double tau, int64_t u) {
    return hm_schedule_decay(decay, tau, u);
}

static hm_status infer(hm_graph *g, hm_node *n) {
    HM_NODE_CHECK(n, n->in[0] != NULL && n->in[0]->dtype == HM_F32 && hm_count(n->in[0]) == 2,
                  "the progress must be two fp32 numbers");
    for (int o = 0; o < 3; o++)
        HM_TRY(hm_node_output(g, n, HM_F32, hm_scalar_shape()));
    return HM_OK;
}

const hm_op hm_op_schedule = {
    .name = "schedule",
    .infer = infer,
    .no_grad = true,
    .ref = hm_schedule_ref,
    .cpu = HM_CPU_KERNELS(hm_schedule),
    .cuda = HM_CUDA_KERNEL(hm_schedule),
};

void hm_schedule_build(hm_graph *g, hm_tensor *progress, hm_schedules s, hm_tensor **lr_factor, hm_tensor **step,
                       hm_tensor **ema_decay) {
    const hm_node *const n = hm_graph_node(g, &hm_op_schedule, &s, sizeof s, &progress, 1);
    *lr_factor = n != NULL ? n->out[0] : NULL;
    *step = n != NULL ? n->out[1] : NULL;
    *ema_decay = n != NULL ? n->out[2] : NULL;
}
