/* loss_scale.c: builders and checks of the loss scale. */
#include "ops/loss_scale/loss_scale.h"

#include "graph/op.h"

HM_CPU_DECLARE(hm_loss_seed);
HM_CPU_DECLARE(hm_loss_scale);
HM_CUDA_DECLARE(hm_loss_seed);
HM_CUDA_DECLARE(hm_loss_scale);
hm_status hm_loss_seed_ref(const hm_call *c);
hm_status hm_loss_scale_ref(const hm_call *c);

extern const hm_op hm_op_loss_seed, hm_op_loss_scale;

hm_loss_scale hm_loss_scale_defaults(void) {
    return (hm_loss_scale){
        .initial = 65536, .growth = 2, .backoff = 0.5, .interval = 2000, .floor = 1, .dynamic = true};
}

static hm_status check(const hm_node *n, int i, int64_t count, const char *what) {
    HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32 && hm_count(n->in[i]) == count,
                  "%s must be %lld fp32 numbers", what, (long long)count);
    return HM_OK;
}

static hm_status seed_infer(hm_graph *g, hm_node *n) {
    HM_TRY(check(n, 0, 1, "the seed"));
    HM_TRY(check(n, 1, HM_LOSS_SCALE_STATE, "the loss scale's state"));
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

static hm_status scale_infer(hm_graph *g, hm_node *n) {
    HM_TRY(check(n, 0, HM_LOSS_SCALE_STATE, "the loss scale's state"));
    HM_TRY(check(n, 1, 2, "the progress"));
    HM_TRY(check(n, 2, 1, "the sign of overflow"));
    for (int o = 0; o < 2; o++) {
        HM_NODE_CHECK(n, n->in[o]->storage == HM_STATE, "input %d does not outlive the run: updating it has no effect",
                      o);
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[o]->shape));
    }
    return HM_OK;
}

const hm_op hm_op_loss_seed = {
    .name = "loss_seed",
    .infer = seed_infer,
    .no_grad = true,
    .ref = hm_loss_seed_ref,
    .cpu = HM_CPU_KERNELS(hm_loss_seed),
    .cuda = HM_CUDA_KERNEL(hm_loss_seed),
};

const hm_op hm_op_loss_scale = {
    .name = "loss_scale",
    .infer = scale_infer,
    .no_grad = true,
    .ref = hm_loss_scale_ref,
    .cpu = HM_CPU_KERNELS(hm_loss_scale),
    .cuda = HM_CUDA_KERNEL(hm_loss_scale),
    .updates = true,
};

hm_tensor *hm_loss_seed(hm_graph *g, hm_tensor *seed, hm_tensor *state, hm_loss_scale s) {
    return hm_graph_apply(g, &hm_op_loss_seed, &s, sizeof s, (hm_tensor *[]){seed, state}, 2);
}

void hm_loss_scale_update(hm_graph *g, hm_tensor *state, hm_tensor *progress, hm_tensor *overflow, hm_loss_scale s) {
    hm_graph_node(g, &hm_op_loss_scale, &s, sizeof s, (hm_tensor *[]){state, progress, overflow}, 3);
}
