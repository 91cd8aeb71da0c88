/* test_training_cuda.c: hm_train on the GPU (in emulated builds: its kernels on the CPU) beside the CPU: the same
 * losses, the same weights twice when deterministic, overflows told by name although outcomes are looked at late. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/shapes.h"
#include "device/cuda/cuda.h"
#include "io/atomic.h"
#include "train/metrics_csv.h"

#define OK(expr)                                                                                                       \
    do {                                                                                                               \
        if ((expr) != HM_OK)                                                                                           \
            fail_msg("%s", hm_error_message());                                                                        \
    } while (0)

static char root[64], data_dir[96];

static int make_data(void **state) {
    (void)state;
    snprintf(root, sizeof root, "training-cuda-%d", (int)getpid());
    snprintf(data_dir, sizeof data_dir, "%s/data", root);
    hm_shapes_config c = hm_shapes_defaults();
    c.counts[0] = 2;
    c.counts[1] = 1;
    c.counts[2] = 0;
    return hm_shapes_write(data_dir, &c, NULL, NULL) == HM_OK ? 0 : 1;
}

static int drop_data(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

/* Five steps: an epoch never has fewer. */
static hm_train_options options(hm_device_choice device, hm_precision precision, char *out) {
    hm_train_options o = {0};
    OK(hm_options_defaults(HM_COMMAND_TRAIN, &o));
    o.dataset_dir = data_dir;
    o.output_dir = out;
    o.model = (char *)"seg-micro";
    o.resolution = 48;
    o.epochs = 1;
    o.batch_size = 1;
    o.grad_accum_steps = 1;
    o.scale_jitter = false;
    o.run_test = false;
    o.precision = precision;
    o.device = device;
    o.deterministic = true;
    return o;
}

static char *in(const char *dir, const char *name) {
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void read_weights(const char *dir, char **content, size_t *length) {
    OK(hm_file_read(in(dir, "last.safetensors"), (size_t)1 << 30, content, length));
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
        hm_train_options o = options(HM_DEVICE_CHOICE_CUDA, HM_PRECISION_FP16, out[i]);
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

int main(void) {
    if (!hm_cuda_available()) {
        printf("skipped: %s\n", hm_error_message());
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_and_named_overflows),
    };
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
