/* test_training_cuda.c: hm_train on the GPU (in emulated builds: its kernels on the CPU): the same weights twice when
 * deterministic; overflows told by name although outcomes are looked at late; several input sizes as one each; steps
 * that change their size neither wait nor allocate. */
#include <math.h>

#include "multi_scale.h"

#include "device/cuda/cuda.h"
#include "io/atomic.h"

/* Five steps: an epoch never has fewer. */
static hm_train_options options(hm_precision precision, char *out) {
    hm_train_options o = scaled_options(HM_DEVICE_CHOICE_CUDA, precision, 1);
    o.output_dir = out;
    o.multi_scale = false;
    o.resolution = 48;
    o.scale_jitter = false;
    return o;
}

static char *in(const char *dir, const char *name) {
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void read_weights(const char *dir, char **content, size_t *length) {
    OK(hm_file_read(in(dir, "last.pth"), (size_t)1 << 30, content, length));
}

/* A scale at which steps overflow: each is told with its images and operation, and the scale falls. */
static void check_overflows(const char *out) {
    hm_metrics_table table;
    OK(hm_metrics_table_read(&table, in(out, "metrics.csv")));
    assert_true(hm_metrics_table_find(&table, "train/overflow") != SIZE_MAX);
    hm_metrics_table_free(&table);
    char *text;
    size_t length;
    OK(hm_file_read(in(out, "metrics.csv"), (size_t)1 << 20, &text, &length));
    assert_non_null(strstr(text, "numbers that are not finite"));
    assert_non_null(strstr(text, "images "));
    assert_null(strstr(text, "no single operation"));
    free(text);
}

static void same_bits_and_named_overflows(void **state) {
    char *content[2], out[2][128];
    size_t length[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        snprintf(out[i], sizeof out[i], "%s/run%d", root, i);
        hm_train_options o = options(HM_PRECISION_FP16, out[i]);
        o.loss_scale = 0x1p32;
        hm_train_result r;
        OK(hm_train(&o, NULL, &r));
        assert_true(r.steps < 5);
        check_overflows(out[i]);
        read_weights(out[i], &content[i], &length[i]);
    }
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(content[0], content[1], length[0]);
    free(content[0]);
    free(content[1]);
}

static void same_content(const char *a, const char *b) {
    char *content[2];
    size_t length[2];
    read_weights(a, &content[0], &length[0]);
    read_weights(b, &content[1], &length[1]);
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(content[0], content[1], length[0]);
    free(content[0]);
    free(content[1]);
}

static void goes_on_bit_by_bit(void **state) {
    char whole[128], broken[128];
    (void)state;
    snprintf(whole, sizeof whole, "%s/whole", root);
    snprintf(broken, sizeof broken, "%s/broken", root);
    hm_train_options o = options(HM_PRECISION_FP16, whole);
    o.epochs = 2;
    o.freeze_encoder = true;
    o.drop_path = 0.3;
    OK(hm_train(&o, NULL, NULL));
    o.output_dir = o.resume = broken;
    o.epochs = 1;
    OK(hm_train(&o, NULL, NULL));
    o.epochs = 2;
    OK(hm_train(&o, NULL, NULL));
    same_content(whole, broken);
}

/* Loss of the first step. */
static double first_loss(hm_precision precision, hm_device_choice device, double drop_path) {
    char out[128];
    hm_train_options o = options(precision, out);
    o.device = device;
    o.drop_path = drop_path;
    hm_training *t;
    const hm_batch *batch;
    bool done;
    snprintf(out, sizeof out, "%s/loss", root);
    OK(hm_training_open(&t, &o, NULL));
    OK(hm_loader_epoch(t->train_loader, 0, 0));
    OK(hm_loader_next(t->train_loader, &batch));
    OK(hm_training_batch(t, batch));
    OK(hm_training_outcome(t, &done));
    const double loss = t->losses.total;
    hm_training_close(t);
    return loss;
}

static void tf32_rounds_operands(void **state) {
    (void)state;
    const double full = first_loss(HM_PRECISION_FP32, HM_DEVICE_CHOICE_CUDA, 0);
    const double tf32 = first_loss(HM_PRECISION_TF32, HM_DEVICE_CHOICE_CUDA, 0);
    assert_true(tf32 != full);
    assert_true(fabs(tf32 - full) < 0.01 * full);
}

/* The same paths as on the CPU. */
static void drops_paths(void **state) {
    (void)state;
    const double all = first_loss(HM_PRECISION_FP32, HM_DEVICE_CHOICE_CUDA, 0);
    const double some = first_loss(HM_PRECISION_FP32, HM_DEVICE_CHOICE_CUDA, 0.9);
    const double cpu = first_loss(HM_PRECISION_FP32, HM_DEVICE_CHOICE_CPU, 0.9);
    assert_true(fabs(some - cpu) < 1e-3 * cpu);
    assert_true(fabs(some - all) > 1e-2 * cpu);
}

static void alternates(void **state) {
    (void)state;
    hm_train_options o = scaled_options(HM_DEVICE_CHOICE_CUDA, HM_PRECISION_FP16, 1);
    o.loss_scale = 1024;
    check_against_single_sizes(&o, 2 * USED - 1);
    o = scaled_options(HM_DEVICE_CHOICE_CUDA, HM_PRECISION_FP32, 2);
    check_against_single_sizes(&o, 2);
}

static void names_overflows_of_another_size(void **state) {
    (void)state;
    hm_train_options o = scaled_options(HM_DEVICE_CHOICE_CUDA, HM_PRECISION_FP16, 1);
    o.loss_scale = 0x1p40;
    check_against_single_sizes(&o, USED);
}

/* The first run of a size prepares, the second captures; from then on a batch is a launch, whatever ran before it. */
static void waits_for_nothing(void **state) {
    (void)state;
    hm_train_options o = scaled_options(HM_DEVICE_CHOICE_CUDA, HM_PRECISION_FP16, 1);
    hm_training *t;
    hm_batch b;
    hm_cuda_counts before = {0};
    o.loss_scale = 1024;
    OK(hm_training_open(&t, &o, NULL));
    new_batch(t, &b);
    for (int i = 0; i < 3 * USED; i++) {
        bool done;
        if (i == 2 * USED)
            before = hm_cuda_count();
        fill_batch(t, t->sides[i % USED], i, &b);
        OK(hm_training_batch(t, &b));
        if (i > 0)
            OK(hm_training_outcome(t, &done));
    }
    const hm_cuda_counts after = hm_cuda_count();
    assert_int_equal(after.graphs - before.graphs, USED);
    assert_int_equal(after.waits, before.waits);
    assert_int_equal(after.allocations, before.allocations);
    hm_batch_free(&b);
    hm_training_close(t);
}

int main(void) {
    if (!hm_cuda_available()) {
        printf("skipped: %s\n", hm_error_message());
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_and_named_overflows),
        cmocka_unit_test(goes_on_bit_by_bit),
        cmocka_unit_test(drops_paths),
        cmocka_unit_test(tf32_rounds_operands),
        cmocka_unit_test(alternates),
        cmocka_unit_test(names_overflows_of_another_size),
        cmocka_unit_test(waits_for_nothing),
    };
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
