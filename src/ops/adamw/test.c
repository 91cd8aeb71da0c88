/* test.c: cases of AdamW. PyTorch's own numbers are in tests/unit/test_adamw.c. */
#include "graph/op.h"
#include "opcheck/opcheck.h"
#include "ops/adamw/adamw.h"

static hm_tensor *scalar(oc *o, double value) {
    return oc_constant_values(o, hm_scalar_shape(), &value);
}

static void run(oc *o, hm_shape shape, double scale, double grad_factor, double step, hm_adamw_options opt) {
    hm_tensor *const p = oc_state(o, shape, -1, 1), *const grad = oc_constant(o, shape, -scale, scale);
    hm_tensor *const m = oc_state(o, shape, -scale, scale);
    hm_tensor *const v = oc_state(o, shape, scale * scale, 2 * scale * scale);
    hm_adamw(o->g, p, grad, m, v, scalar(o, grad_factor), scalar(o, 0.5), scalar(o, step), NULL, opt);
    if (o->g->n_nodes > 0)
        oc_output(o, o->g->nodes[0]->out[0]);
}

void opcheck_adamw(oc *o) {
    const hm_adamw_options usual = {.lr = 1e-3, .weight_decay = 1e-4, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    const hm_adamw_options bold = {.lr = 0.5, .weight_decay = 0.1, .beta1 = 0.5, .beta2 = 0.75, .eps = 1e-2};
    if (oc_case(o, "one")) {
        run(o, HM_SHAPE(1), 1, 1, 1, usual);
        oc_end(o);
    }
    if (oc_case(o, "33x1025")) {
        run(o, HM_SHAPE(33, 1025), 1, 0.25, 3, usual);
        oc_end(o);
    }
    if (oc_case(o, "bold")) {
        run(o, HM_SHAPE(33), 1, 1, 2, bold);
        oc_end(o);
    }
    if (oc_case(o, "late")) {
        run(o, HM_SHAPE(33), 1, 1, 100000, usual);
        oc_end(o);
    }
    if (oc_case(o, "small_gradients")) { /* eps decides */
        run(o, HM_SHAPE(33), 1e-9, 1, 5, usual);
        oc_end(o);
    }
    if (oc_case(o, "large_gradients")) {
        run(o, HM_SHAPE(33), 1e15, 1, 5, usual);
        oc_end(o);
    }
    if (oc_case(o, "empty")) {
        run(o, HM_SHAPE(0, 4), 1, 1, 1, usual);
        oc_end(o);
    }
    if (oc_case(o, "fused")) {
        static const int64_t sizes[] = {5000, 1, 0, 33};
        hm_adamw_tensor t[4];
        for (int i = 0; i < 4; i++) {
            const hm_shape shape = HM_SHAPE(sizes[i]);
            t[i] = (hm_adamw_tensor){oc_state(o, shape, -1, 1), oc_constant(o, shape, -1, 1), oc_state(o, shape, -1, 1),
                                     oc_state(o, shape, 1, 2), i % 2 ? bold : usual};
        }
        hm_adamw_fused(o->g, t, 4, scalar(o, 0.5), scalar(o, 0.5), scalar(o, 3), scalar(o, 0));
        oc_output(o, o->g->nodes[0]->out[0]);
        oc_end(o);
    }
    if (oc_case(o, "fused_refused")) {
        hm_tensor *const p = oc_state(o, HM_SHAPE(3), -1, 1), *const grad = oc_constant(o, HM_SHAPE(4), -1, 1);
        const hm_adamw_tensor t = {p, grad, oc_state(o, HM_SHAPE(3), -1, 1), oc_state(o, HM_SHAPE(3), 0, 1), usual};
        hm_adamw_fused(o->g, &t, 1, scalar(o, 1), scalar(o, 1), scalar(o, 1), NULL);
        oc_end_refused(o, "input 3 must have the parameter's shape");
    }
    if (oc_case(o, "skipped")) {
        hm_tensor *const p = oc_state(o, HM_SHAPE(9), -1, 1), *const m = oc_state(o, HM_SHAPE(9), -1, 1);
        hm_tensor *const v = oc_state(o, HM_SHAPE(9), 0, 1), *const grad = oc_constant(o, HM_SHAPE(9), -1, 1);
        hm_adamw(o->g, p, grad, m, v, scalar(o, 1), scalar(o, 1), scalar(o, 1), scalar(o, 1), usual);
        oc_output(o, o->g->nodes[0]->out[0]);
        oc_end(o);
    }
    if (oc_case(o, "refused_shape")) {
        hm_tensor *const p = oc_state(o, HM_SHAPE(3), -1, 1), *const m = oc_state(o, HM_SHAPE(3), -1, 1);
        hm_tensor *const v = oc_state(o, HM_SHAPE(3), 0, 1), *const grad = oc_constant(o, HM_SHAPE(4), -1, 1);
        hm_adamw(o->g, p, grad, m, v, scalar(o, 1), scalar(o, 1), scalar(o, 1), NULL, usual);
        oc_end_refused(o, "input 3 must have the parameter's shape");
    }
    if (oc_case(o, "refused_step")) {
        hm_tensor *const p = oc_state(o, HM_SHAPE(1), -1, 1), *const m = oc_state(o, HM_SHAPE(1), -1, 1);
        hm_tensor *const v = oc_state(o, HM_SHAPE(1), 0, 1), *const grad = oc_constant(o, HM_SHAPE(1), -1, 1);
        hm_adamw(o->g, p, grad, m, v, scalar(o, 1), scalar(o, 1), grad, NULL, usual);
        oc_end_refused(o, "input 6 must be a scalar");
    }
    if (oc_case(o, "refused_storage")) {
        hm_tensor *const p = oc_constant(o, HM_SHAPE(1), -1, 1);
        hm_adamw(o->g, p, p, p, p, scalar(o, 1), scalar(o, 1), scalar(o, 1), NULL, usual);
        oc_end_refused(o, "does not outlive the run");
    }
}
