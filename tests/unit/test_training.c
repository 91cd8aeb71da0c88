/* test_training.c: hm_train on a few rendered images: the files that it leaves, its repeatability, its refusals; and
 * the memory plan of its step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ok.h"

#include "data/shapes.h"
#include "graph/exec.h"
#include "io/atomic.h"
#include "train/metrics_csv.h"
#include "train/step.h"
#include "weights/weights.h"

static char data_dir[256];

static int make_data(void **state) {
    (void)state;
    snprintf(data_dir, sizeof data_dir, "training-%d/data", (int)getpid());
    hm_shapes_config c = hm_shapes_defaults();
    c.counts[0] = 6;
    c.counts[1] = 3;
    c.counts[2] = 3;
    return hm_shapes_write(data_dir, &c, NULL, NULL) == HM_OK ? 0 : 1;
}

static int drop_data(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf training-%d", (int)getpid());
    return system(command);
}

static hm_train_options options(char *out) {
    return (hm_train_options){.dataset_dir = data_dir,
                              .output_dir = out,
                              .model = (char *)"seg-micro",
                              .device = HM_DEVICE_CHOICE_CPU,
                              .epochs = 2,
                              .batch_size = 1,
                              .grad_accum_steps = 1,
                              .lr = 5e-4,
                              .lr_encoder = 5e-4,
                              .lr_vit_layer_decay = 1,
                              .lr_component_decay = 1,
                              .weight_decay = 1e-4,
                              .adamw_eps = 1e-8,
                              .clip_max_norm = 0.1,
                              .lr_drop = 100,
                              .use_ema = true,
                              .ema_decay = 0.993,
                              .ema_tau = 100,
                              .seed = 7,
                              .eval_interval = 1,
                              .eval_max_dets = 100,
                              .checkpoint_interval = 10,
                              .amp = true,
                              .run_test = true};
}

static char *in(const char *dir, const char *name) {
    static char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void leaves_a_run(void **state) {
    (void)state;
    char out[300];
    snprintf(out, sizeof out, "training-%d/run", (int)getpid());
    const hm_train_options o = options(out);
    hm_train_result r;
    OK(hm_train(&o, NULL, &r));
    assert_true(r.steps == 12); /* two epochs of six images */
    assert_true(r.best >= 0 && r.test_ap >= 0 && r.test_ap50 >= r.test_ap);
    hm_metrics_table table;
    OK(hm_metrics_table_read(&table, in(out, "metrics.csv")));
    static const char *const columns[] = {
        "epoch",    "step",          "train/loss",         "train/loss_ce",   "train/loss_mask_dice_aux",
        "train/lr", "val/mAP_50_95", "val/segm_mAP_50_95", "val/segm_mAP_50", "test/segm_mAP_50"};
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++)
        if (hm_metrics_table_find(&table, columns[i]) == SIZE_MAX)
            fail_msg("metrics.csv has no column %s", columns[i]);
    assert_true(table.rows >= 4);
    hm_metrics_table_free(&table);
    static const char *const files[] = {"training_config.json", "metrics.png"};
    for (int i = 0; i < 2; i++)
        assert_int_equal(access(in(out, files[i]), R_OK), 0);
    hm_weights *w = NULL;
    OK(hm_weights_open(&w, in(out, "checkpoint_best_total.pth")));
    assert_string_equal(hm_weights_config(w)->name, "seg-micro");
    assert_int_equal(hm_weights_classes(w)->n, 3);
    hm_weights_close(w);
}

static void same_seed_same_weights(void **state) {
    (void)state;
    char *content[2];
    size_t length[2];
    for (int i = 0; i < 2; i++) {
        char out[300];
        snprintf(out, sizeof out, "training-%d/same%d", (int)getpid(), i);
        hm_train_options o = options(out);
        o.epochs = 1;
        o.num_workers = 1 + i; /* threads of the loader must not matter */
        OK(hm_train(&o, NULL, NULL));
        OK(hm_file_read(in(out, "last.pth"), (size_t)1 << 30, &content[i], &length[i]));
    }
    assert_int_equal(length[0], length[1]);
    assert_memory_equal(content[0], content[1], length[0]);
    free(content[0]);
    free(content[1]);
}

static void accumulates(void **state) {
    (void)state;
    char out[300];
    snprintf(out, sizeof out, "training-%d/accumulate", (int)getpid());
    hm_train_options o = options(out);
    o.epochs = 1;
    o.grad_accum_steps = 2;
    o.use_ema = false;
    hm_train_result r;
    OK(hm_train(&o, NULL, &r));
    assert_true(r.steps == 5); /* never fewer, whatever the images */
}

/* Every mode trains and validates, with and without averages; a row of metrics for each precision of validation. */
static void every_precision(void **state) {
    (void)state;
    for (int mode = HM_PRECISION_BF16; mode <= HM_PRECISION_FP16_TRUE; mode++) {
        char out[300], both[] = "fp16,fp32";
        snprintf(out, sizeof out, "training-%d/precision%d", (int)getpid(), mode);
        hm_train_options o = options(out);
        o.epochs = 1;
        o.precision = (hm_precision)mode;
        o.loss_scale = 1024;
        o.grad_accum_steps = 1 + mode % 2;
        o.use_ema = mode != HM_PRECISION_FP16_TRUE && mode != HM_PRECISION_BF16;
        o.eval_precision = both;
        o.run_test = mode == HM_PRECISION_FP16_TRUE;
        hm_train_result r;
        OK(hm_train(&o, NULL, &r));
        assert_true(r.steps > 0 && (!o.run_test || r.test_ap >= 0));
        hm_metrics_table table;
        OK(hm_metrics_table_read(&table, in(out, "metrics.csv")));
        const size_t ap = hm_metrics_table_find(&table, "val/segm_mAP_50_95");
        assert_true(hm_metrics_table_find(&table, "val/precision") != SIZE_MAX && ap != SIZE_MAX);
        size_t rows = 0;
        for (size_t i = 0; i < table.rows; i++)
            rows += table.values[i * table.n + ap] >= 0;
        assert_int_equal(rows, 2);
        hm_metrics_table_free(&table);
        hm_weights *w = NULL; /* files hold fp32, whatever the mode */
        OK(hm_weights_open(&w, in(out, "last.pth")));
        hm_weights_close(w);
    }
}

/* A weight that no loss scale can save: the run stops, says which layer, and the weights on disk are as they were. */
static void stops_at_the_floor(void **state) {
    (void)state;
    char out[300], weights[300];
    hm_model_config c;
    hm_store *store = NULL;
    OK(hm_model_config_named("seg-micro", &c));
    c.num_classes = 3;
    OK(hm_weights_store(&store, &c));
    OK(hm_model_init(&c, store, 1));
    float *const w = hm_store_find(store, "backbone.0.encoder.encoder.encoder.layer.1.mlp.fc1.weight", NULL);
    for (int i = 0; i < 100; i++)
        w[i] = 6e4f;
    char *names[] = {"circle", "triangle", "square"};
    int64_t ids[] = {1, 2, 3};
    snprintf(weights, sizeof weights, "training-%d/large.safetensors", (int)getpid());
    OK(hm_weights_save(weights, store, NULL, &c, &(hm_classes){.n = 3, .names = names, .ids = ids}));
    hm_store_free(store);
    snprintf(out, sizeof out, "training-%d/floor", (int)getpid());
    hm_train_options o = options(out);
    o.pretrain_weights = weights;
    o.precision = HM_PRECISION_FP16;
    o.loss_scale = 4;
    assert_int_equal(hm_train(&o, NULL, NULL), HM_ERR_FORMAT);
    assert_non_null(strstr(hm_error_message(), "layer.1.mlp.fc1"));
    assert_non_null(strstr(hm_error_message(), "loss scale of 1"));
    hm_weights *last = NULL;
    OK(hm_weights_open(&last, in(out, "last.pth")));
    hm_weights_close(last);
}

/* One operation for all parameters or one each, fp32 or half parameters: the same bytes. */
static void fused_is_the_same(void **state) {
    (void)state;
    static const hm_precision modes[] = {HM_PRECISION_FP32, HM_PRECISION_FP16_TRUE, HM_PRECISION_BF16_TRUE};
    for (int m = 0; m < 3; m++) {
        char *content[2];
        size_t length[2];
        for (int i = 0; i < 2; i++) {
            char out[300];
            snprintf(out, sizeof out, "training-%d/fused%d", (int)getpid(), i);
            hm_train_options o = options(out);
            o.epochs = 1;
            o.precision = modes[m];
            o.loss_scale = 1024;
            o.use_ema = false;
            o.run_test = false;
            o.fused_optimizer = i == 1;
            OK(hm_train(&o, NULL, NULL));
            OK(hm_file_read(in(out, "last.pth"), (size_t)1 << 30, &content[i], &length[i]));
        }
        assert_int_equal(length[0], length[1]);
        assert_memory_equal(content[0], content[1], length[0]);
        free(content[0]);
        free(content[1]);
    }
}

static void goes_on_from_weights(void **state) {
    (void)state;
    char out[300], weights[300];
    snprintf(weights, sizeof weights, "training-%d/run/last.pth", (int)getpid());
    snprintf(out, sizeof out, "training-%d/more", (int)getpid());
    hm_train_options o = options(out);
    o.epochs = 1;
    o.pretrain_weights = weights;
    OK(hm_train(&o, NULL, NULL));
}

static void refuses(hm_train_options o, const char *message) {
    assert_int_not_equal(hm_train(&o, NULL, NULL), HM_OK);
    if (strstr(hm_error_message(), message) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", hm_error_message(), message);
}

static void refuses_what_cannot_work(void **state) {
    (void)state;
    char out[300] = "", blocked[300];
    snprintf(out, sizeof out, "training-%d/refused", (int)getpid());
    snprintf(blocked, sizeof blocked, "%s/train/_annotations.coco.json/run", data_dir);
    hm_train_options o = options(out);
    o.model = (char *)"seg-mikro";
    refuses(o, "seg-micro");
    o = options(out);
    o.dataset_dir = (char *)"no-such-folder";
    refuses(o, "no-such-folder");
    o = options(out);
    o.resolution = 100;
    refuses(o, "multiples of 6");
    o = options(blocked);
    refuses(o, "_annotations.coco.json");
    o = options(out);
    o.lr = o.lr_encoder = 1e30;
    refuses(o, "not finite");
}

/* Planned peak = used peak, for both graphs of an accumulating step. */
static void plan_holds(void **state) {
    (void)state;
    hm_model_config c;
    hm_step *s = NULL;
    hm_store *store = NULL;
    hm_exec *e = NULL;
    OK(hm_model_config_named("seg-micro", &c));
    const hm_step_options o = {.model = {.batch = 2, .height = 96, .width = 96, .training = true},
                               .targets = 3,
                               .criterion = hm_criterion_defaults(),
                               .optim = hm_optim_defaults()};
    OK(hm_step_build(&s, &c, &o));
    OK(hm_store_create(&store));
    OK(hm_store_add(store, s->graph));
    OK(hm_model_init(&c, store, 1));
    const hm_exec_options eo = hm_exec_defaults();
    OK(hm_exec_create(&e, s->graph, store, &eo));
    OK(hm_exec_run(e, 1, 0)); /* no objects in either image: defined, and finite */
    assert_int_equal(hm_exec_used(e), hm_exec_plan(e)->bytes);
    const float loss = *(const float *)hm_exec_data(e, s->criterion.total);
    assert_true(loss >= 0 && loss < 1e6f);
    hm_exec_free(e);
    hm_store_free(store);
    hm_step_free(s);
}

/* Every variant becomes a graph, for training and evaluation. */
static void builds_every_variant(void **state) {
    (void)state;
    for (int i = 0; hm_model_variant(i) != NULL; i++) {
        hm_model_config c;
        OK(hm_model_config_named(hm_model_variant(i), &c));
        for (int training = 0; training < 2; training++) {
            hm_graph *g = NULL;
            hm_model *m = NULL;
            OK(hm_graph_create(&g));
            const hm_model_options o = {
                .batch = 1, .height = c.resolution, .width = c.resolution, .training = training == 1};
            OK(hm_model_build(&m, g, &c, &o));
            assert_int_equal(m->n_outputs, c.dec_layers + 1);
            assert_int_equal(hm_dim(m->outputs[0].logits, 1), c.num_queries * (training ? c.group_detr : 1));
            hm_model_free(m);
            hm_graph_free(g);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_a_run),         cmocka_unit_test(same_seed_same_weights),
        cmocka_unit_test(accumulates),          cmocka_unit_test(every_precision),
        cmocka_unit_test(fused_is_the_same),    cmocka_unit_test(stops_at_the_floor),
        cmocka_unit_test(goes_on_from_weights), cmocka_unit_test(refuses_what_cannot_work),
        cmocka_unit_test(plan_holds),           cmocka_unit_test(builds_every_variant),
    };
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
