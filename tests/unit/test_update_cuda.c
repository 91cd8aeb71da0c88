/* test_update_cuda.c: the update of many tensors on the GPU gives the bits of the CPU's plain kernels, with AdamW fused
 * or not, in fp32 and with parameters in half (where both round stochastically, by the same draws); more tensors, sets
 * of options and names than a launch takes. The gradient norm and the total loss of more terms than a launch takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "graph/exec.h"
#include "graph/precision.h"
#include "ops/adamw/adamw.h"
#include "ops/ema/ema.h"
#include "ops/grad_norm/grad_norm.h"
#include "ops/weighted_sum/weighted_sum.h"

enum { TENSORS = 210, STEPS = 3, LONGEST = 20011 };

typedef struct machine {
    hm_graph *g;
    hm_store *store;
    hm_exec *exec;
    hm_tensor *p[TENSORS], *grad[TENSORS], *step, *skip, *decay, *norm, *loss;
} machine;

static void ok(hm_status st) {
    if (st != HM_OK)
        print_error("%s\n", hm_error_message());
    assert_int_equal(st, HM_OK);
}

static int64_t size_of(int i) {
    static const int64_t sizes[] = {1, 7, 384, 4096, 0, 4097, 33, 8192};
    return i == 100 ? LONGEST : sizes[i % 8];
}

static hm_tensor *scalar(machine *m, const char *name) {
    return hm_graph_input(m->g, name, HM_F32, hm_scalar_shape());
}

/* Names of many lengths, one that does not fit where the CPU puts it together. */
static const char *name_of(machine *m, int i) {
    return hm_graph_text(m->g, "%0*d", i == 50 ? 340 : 1 + i, i);
}

static void build(machine *m, bool fused, hm_precision precision) {
    hm_adamw_tensor t[TENSORS];
    hm_tensor *averages[TENSORS], *terms[300];
    float weights[300];
    ok(hm_graph_create(&m->g));
    hm_tensor *const factor = scalar(m, "factor"), *const lr = scalar(m, "lr");
    m->step = scalar(m, "step");
    m->skip = scalar(m, "skip");
    m->decay = scalar(m, "decay");
    for (int i = 0; i < TENSORS; i++) {
        const hm_shape shape = HM_SHAPE(size_of(i));
        m->p[i] = hm_graph_param(m->g, name_of(m, i), shape);
        m->grad[i] = hm_graph_input(m->g, hm_graph_text(m->g, "grad.%d", i), HM_F32, shape);
        t[i] = (hm_adamw_tensor){m->p[i], m->grad[i], hm_graph_state(m->g, hm_graph_text(m->g, "m.%d", i), shape),
                                 hm_graph_state(m->g, hm_graph_text(m->g, "v.%d", i), shape),
                                 (hm_adamw_options){.lr = 1e-3 * (1 + i % 90), /* more sets than a launch takes */
                                                    .weight_decay = i % 2 ? 1e-2 : 0,
                                                    .beta1 = 0.9,
                                                    .beta2 = 0.999,
                                                    .eps = 1e-8}};
    }
    m->norm =
        hm_graph_output(m->g, hm_grad_norm(m->g, m->grad, TENSORS, 0.1f, NULL, hm_loss_scale_defaults()).norm, "norm");
    for (int i = 0; i < 300; i++) {
        terms[i] = i % 3 ? factor : m->step;
        weights[i] = (float)i;
    }
    m->loss = hm_graph_output(m->g, hm_weighted_sum(m->g, terms, weights, 300), "loss");
    if (fused)
        hm_adamw_fused(m->g, t, TENSORS, factor, lr, m->step, m->skip);
    for (int i = 0; i < TENSORS && !fused; i++)
        hm_adamw(m->g, t[i].p, t[i].grad, t[i].m, t[i].v, factor, lr, m->step, m->skip, t[i].options);
    for (int i = 0; i < TENSORS; i++)
        averages[i] = hm_graph_state(m->g, hm_graph_text(m->g, "ema.%d", i), m->p[i]->shape);
    hm_ema(m->g, averages, m->p, TENSORS, m->decay, m->skip);
    ok(hm_graph_status(m->g));
    ok(hm_graph_precision(m->g, precision, NULL));
    for (int i = 0; i < TENSORS && precision != HM_PRECISION_FP32; i += 2)
        m->grad[i]->dtype = hm_precision_half(precision);
}

static void start(machine *m, hm_device device) {
    hm_exec_options opt = hm_exec_defaults();
    opt.device = device;
    opt.isa = HM_ISA_SCALAR; /* the others fuse products and sums */
    opt.threads = 2;
    ok(hm_store_create(&m->store));
    ok(hm_store_add(m->store, m->g));
    for (int i = 0; i < TENSORS; i++) {
        hm_shape shape;
        hm_dtype type;
        void *const data = hm_store_data(m->store, m->p[i]->name, &shape, &type);
        const uint64_t key = hm_rng_key(1, m->p[i]->name);
        for (int64_t k = 0; k < size_of(i); k++)
            hm_float_put(type, data, (size_t)k, hm_rng_uniform(key, (uint64_t)k) - 0.5f);
    }
    ok(hm_exec_create(&m->exec, m->g, m->store, &opt));
}

/* The third step is left out. */
static void run(machine *m) {
    static float numbers[LONGEST];
    for (int s = 0; s < STEPS; s++) {
        const float step = (float)(s + 9), skip = s == 2, decay = s > 0 ? 0.99f : 0, factor = 0.25f, lr = 0.5f;
        for (int i = 0; i < TENSORS; i++) {
            const uint64_t key = hm_rng_key((uint64_t)s, m->grad[i]->name);
            for (int64_t k = 0; k < size_of(i); k++)
                hm_float_put(m->grad[i]->dtype, numbers, (size_t)k, hm_rng_uniform(key, (uint64_t)k) * 1e-2f - 4e-3f);
            ok(hm_exec_write(m->exec, m->grad[i], numbers));
        }
        ok(hm_exec_write(m->exec, m->g->tensors[0], &factor));
        ok(hm_exec_write(m->exec, m->g->tensors[1], &lr));
        ok(hm_exec_write(m->exec, m->step, &step));
        ok(hm_exec_write(m->exec, m->skip, &skip));
        ok(hm_exec_write(m->exec, m->decay, &decay));
        ok(hm_exec_run(m->exec, 5, s));
    }
}

static void stop(machine *m) {
    hm_exec_free(m->exec);
    hm_store_free(m->store);
    hm_graph_free(m->g);
}

static void same_bits(machine *a, machine *b, const char *name) {
    hm_shape shape;
    hm_dtype type;
    const void *const x = hm_store_data(a->store, name, &shape, &type);
    const void *const y = hm_store_data(b->store, name, &shape, &type);
    if (memcmp(x, y, (size_t)hm_shape_count(shape) * hm_dtype_size(type)) != 0)
        fail_msg("%s (%s) differs", name, hm_dtype_name(type));
}

static float number_of(machine *m, const hm_tensor *t) {
    float x;
    ok(hm_exec_read(m->exec, t, &x));
    return x;
}

static void compare(bool fused, hm_precision precision) {
    machine cpu = {0}, gpu = {0};
    build(&cpu, true, precision);
    build(&gpu, fused, precision);
    start(&cpu, HM_DEVICE_CPU);
    start(&gpu, HM_DEVICE_CUDA);
    run(&cpu);
    run(&gpu);
    for (int i = 0; i < TENSORS; i++) {
        static const char *const kinds[] = {"m", "v", "ema"};
        char name[32];
        same_bits(&cpu, &gpu, cpu.p[i]->name);
        for (int k = 0; k < 3; k++) {
            snprintf(name, sizeof name, "%s.%d", kinds[k], i);
            same_bits(&cpu, &gpu, name);
        }
    }
    assert_float_equal(number_of(&gpu, gpu.norm) / number_of(&cpu, cpu.norm), 1, 1e-6);
    assert_float_equal(number_of(&gpu, gpu.loss) / number_of(&cpu, cpu.loss), 1, 1e-6);
    stop(&cpu);
    stop(&gpu);
}

static void fp32(void **state) {
    (void)state;
    compare(true, HM_PRECISION_FP32);
    compare(false, HM_PRECISION_FP32);
}

static void half(void **state) {
    (void)state;
    compare(true, HM_PRECISION_BF16_TRUE);
    compare(false, HM_PRECISION_BF16_TRUE);
    compare(true, HM_PRECISION_FP16_TRUE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fp32),
        cmocka_unit_test(half),
    };
    if (!hm_cuda_available()) {
        print_message("skipped: %s\n", hm_error_message());
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
