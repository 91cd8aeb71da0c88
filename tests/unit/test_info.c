/* test_info.c: what hm_info says of variants, models and weights files, and the graphs that it writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "device/cuda/cuda.h"
#include "io/atomic.h"
#include "model/rfdetr.h"
#include "model_fill.h"
#include "weights/weights.h"

#define WEIGHTS "test_info.safetensors"
#define GRAPH   "test_info.graph"

/* The text, which ends the test when hm_info does not return `expected`; free(). */
static char *info(const hm_info_options *o, hm_status expected) {
    char *text = NULL;
    size_t len;
    FILE *const to = open_memstream(&text, &len);
    const hm_status st = hm_info(o, to);
    fclose(to);
    if (st != expected)
        fail_msg("status %d: %s", (int)st, hm_error_message());
    return text;
}

static void expect_words(const hm_info_options *o, const char *const *words) {
    char *const text = info(o, HM_OK);
    for (; *words != NULL; words++)
        if (strstr(text, *words) == NULL)
            fail_msg("no \"%s\" in:\n%s", *words, text);
    free(text);
}

static void variants_are_listed(void **state) {
    (void)state;
    expect_words(&(hm_info_options){0}, (const char *[]){"seg-nano ", "78x78", "33.6 M", "seg-micro", "base ", NULL});
}

static void models_are_described(void **state) {
    (void)state;
    expect_words(&(hm_info_options){.model = "seg-nano"},
                 (const char *[]){"312 x 312 pixels", "100 in each of 13 groups, 4 decoder layers", "128", NULL});
    expect_words(&(hm_info_options){.model = "seg-micro", .resolution = 120}, (const char *[]){"120 x 120", NULL});
    expect_words(
        &(hm_info_options){.model = "seg-micro", .plan = true, .batch_size = 2},
        (const char *[]){"batches of 2", "training ", "moments", "averages", "126 x 126", "evaluation ", NULL});
}

static void machines_are_described(void **state) {
    (void)state;
    const bool gpu = hm_cuda_available();
    expect_words(&(hm_info_options){0},
                 (const char *[]){"\nCPU  ", " threads, ", "\nGPU  ", gpu ? ", compute capability " : "none: ",
                                  gpu ? "driver for CUDA " : "--device cpu", gpu ? "multiplies " : "GPU", NULL});
}

/* The GPU's plan is made without one too; a plan that no machine has says what does fit. */
static void plans_are_held_against_devices(void **state) {
    (void)state;
    hm_info_options o = {.model = "seg-micro", .plan = true, .batch_size = 2, .device = HM_DEVICE_CHOICE_CPU};
    expect_words(&o, (const char *[]){"memory on the CPU", "libraries 64.0 MiB", " fits: this machine has ", NULL});
    o.device = HM_DEVICE_CHOICE_CUDA;
    expect_words(&o, (const char *[]){"memory on the GPU", "validation ",
                                      hm_cuda_available() ? " fits: the GPU (" : "no such device here: ", NULL});
    o.device = HM_DEVICE_CHOICE_CPU;
    o.batch_size = 65536;
    expect_words(&o, (const char *[]){"does not fit: this machine has ", "what fits is batch_size ", NULL});
}

static void weights_are_described(void **state) {
    (void)state;
    hm_model_config c;
    hm_graph *g = NULL;
    hm_model *m = NULL;
    hm_store *store = NULL;
    const hm_classes classes = {
        .n = 3, .ids = (int64_t[]){5, 6, 7}, .names = (char *[]){"circle", "triangle", "square"}};
    assert_int_equal(hm_model_config_named("seg-micro", &c), HM_OK);
    assert_int_equal(hm_graph_create(&g), HM_OK);
    assert_int_equal(
        hm_model_build(&m, g, &c, &(hm_model_options){.batch = 1, .height = 96, .width = 96, .training = true}), HM_OK);
    assert_int_equal(hm_store_create(&store), HM_OK);
    assert_int_equal(hm_store_add(store, g), HM_OK);
    model_fill(store, 1);
    assert_int_equal(hm_weights_save(WEIGHTS, store, NULL, &c, &classes), HM_OK);
    expect_words(&(hm_info_options){.weights = WEIGHTS},
                 (const char *[]){"seg-micro", "7 square", "halfmask " HM_VERSION, NULL});
    hm_store_free(store);
    hm_model_free(m);
    hm_graph_free(g);
    unlink(WEIGHTS);
}

static void graphs_are_written(void **state) {
    (void)state;
    char *text;
    size_t len;
    hm_info_options o = {.model = "seg-micro", .batch_size = 1, .dot = GRAPH};
    free(info(&o, HM_OK));
    assert_int_equal(hm_file_read(GRAPH, 1 << 28, &text, &len), HM_OK);
    assert_non_null(strstr(text, "digraph"));
    assert_non_null(strstr(text, "style=dashed")); /* backward nodes */
    free(text);
    o = (hm_info_options){.model = "seg-micro", .batch_size = 1, .dump = GRAPH};
    free(info(&o, HM_OK));
    assert_int_equal(hm_file_read(GRAPH, 1 << 28, &text, &len), HM_OK);
    assert_non_null(strstr(text, "query_feat.weight"));
    free(text);
    unlink(GRAPH);
    o.dump = "no/such/folder";
    free(info(&o, HM_ERR_IO));
}

static void wrong_questions_are_refused(void **state) {
    (void)state;
    free(info(&(hm_info_options){.model = "seg-pico"}, HM_ERR_ARG));
    free(info(&(hm_info_options){.model = "seg-nano", .weights = WEIGHTS}, HM_ERR_ARG));
    free(info(&(hm_info_options){.plan = true, .batch_size = 1}, HM_ERR_ARG));
    free(info(&(hm_info_options){.model = "seg-nano", .resolution = 100}, HM_ERR_ARG));
    free(info(&(hm_info_options){.model = "seg-micro", .plan = true, .batch_size = 0}, HM_ERR_ARG));
    free(info(&(hm_info_options){.weights = "no/such/file"}, HM_ERR_IO));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variants_are_listed),         cmocka_unit_test(models_are_described),
        cmocka_unit_test(machines_are_described),      cmocka_unit_test(plans_are_held_against_devices),
        cmocka_unit_test(weights_are_described),       cmocka_unit_test(graphs_are_written),
        cmocka_unit_test(wrong_questions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
