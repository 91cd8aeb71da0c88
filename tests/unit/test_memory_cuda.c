/* test_memory_cuda.c: what a run takes of the GPU's memory is what was planned: to the byte where kernels are emulated;
 * on a GPU, whose driver rounds and loads code, not more than planned, and not less than the graphs and weights. */
#include "small_run.h"

static int make_data(void **state) {
    (void)state;
    return small_data("memory-cuda", 2, 1);
}

static hm_train_options options(hm_precision precision, bool multi_scale) {
    hm_train_options o = small_options(HM_DEVICE_CHOICE_CUDA, precision);
    o.resolution = 48;
    o.multi_scale = multi_scale;
    o.expanded_scales = false;
    o.batch_size = 1;
    o.grad_accum_steps = 1;
    return o;
}

static size_t left(void) {
    hm_cuda_about gpu;
    OK(hm_cuda_describe(&gpu));
    return gpu.free;
}

static void check_taken(const hm_memory *m, size_t taken) {
    const size_t planned = hm_memory_total(m);
    if (!hm_cuda_is_real())
        assert_int_equal(taken, planned);
    else if (taken > planned || taken + ((size_t)8 << 20) < planned - m->libraries)
        fail_msg("%zu bytes are planned, %zu of them for libraries, and %zu taken", planned, m->libraries, taken);
}

/* Every mode, with and without averages and accumulation, judged once and three times. */
static void check_opening(bool multi_scale) {
    for (int mode = HM_PRECISION_FP32; mode <= HM_PRECISION_TF32; mode++) {
        hm_train_options o = options((hm_precision)mode, multi_scale);
        hm_training *t;
        o.grad_accum_steps = 1 + mode % 2;
        o.use_ema = mode != HM_PRECISION_BF16 && mode != HM_PRECISION_FP16_TRUE;
        o.eval_precision = mode == HM_PRECISION_FP16 ? (char *)"fp32,bf16,fp16" : NULL;
        o.fused_optimizer = mode != HM_PRECISION_BF16_TRUE;
        const size_t before = left();
        OK(hm_training_open(&t, &o, NULL));
        check_taken(&t->memory, before - left());
        hm_training_close(t);
        assert_true(hm_cuda_is_real() || left() == before);
    }
}

static void opening_takes_what_is_planned(void **state) {
    (void)state;
    check_opening(false);
    check_opening(true);
}

/* Steps, one of them rehearsed, and a validation take nothing more, however many sizes are drawn. */
static void check_running(bool multi_scale) {
    hm_train_options o = options(HM_PRECISION_FP16, multi_scale);
    const hm_batch *batch;
    hm_training *t;
    char cause[512];
    bool done;
    const size_t before = left();
    OK(hm_training_open(&t, &o, NULL));
    for (int i = 0; i < (multi_scale ? 6 : 3); i++) {
        if (i % 2 == 0)
            OK(hm_loader_epoch(t->train_loader, i / 2, 0));
        OK(hm_loader_next(t->train_loader, &batch));
        OK(hm_training_batch(t, batch));
        OK(hm_training_outcome(t, &done));
    }
    OK(hm_overflow_describe(t, t->runs - 1, cause, sizeof cause));
    OK(hm_training_validate(t));
    check_taken(&t->memory, before - left());
    hm_training_close(t);
}

static void running_takes_no_more(void **state) {
    (void)state;
    check_running(false);
    check_running(true);
}

static void limits_hold(void **state) {
    (void)state;
    hm_train_options o = options(HM_PRECISION_FP32, false);
    hm_training *t;
    o.resolution = 0;
    o.batch_size = 8;
    OK(hm_training_open(&t, &o, NULL));
    o.memory_limit = (int32_t)((hm_memory_total(&t->memory) - t->memory.libraries) >> 21);
    o.memory_limit += (int32_t)(t->memory.libraries >> 20);
    hm_training_close(t);
    assert_int_equal(hm_training_open(&t, &o, NULL), HM_ERR_MEMORY);
    const char *const at = strstr(hm_error_message(), "batch_size ");
    assert_non_null(at);
    o.batch_size = (int32_t)strtol(at + strlen("batch_size "), NULL, 10);
    o.grad_accum_steps = 8 / o.batch_size;
    OK(hm_training_open(&t, &o, NULL));
    hm_training_close(t);
}

int main(void) {
    if (!hm_cuda_available()) {
        printf("skipped: %s\n", hm_error_message());
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_takes_what_is_planned),
        cmocka_unit_test(running_takes_no_more),
        cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
