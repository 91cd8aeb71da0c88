/* test_options.c: the commands' options: upstream's defaults, setting by name, the help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ok.h"
#include "train/options.h"

static void training_defaults_are_upstreams(void **state) {
    (void)state;
    hm_train_options o = {0};
    assert_int_equal(hm_options_defaults(HM_COMMAND_TRAIN, &o), HM_OK);
    assert_null(o.dataset_dir);
    assert_null(o.pretrain_weights);
    assert_string_equal(o.output_dir, "output");
    assert_string_equal(o.model, "seg-nano");
    assert_int_equal(o.epochs, 100);
    assert_int_equal(o.batch_size, 4);
    assert_int_equal(o.grad_accum_steps, 1);
    assert_true(o.lr == 1e-4 && o.lr_encoder == 1.5e-4 && o.lr_vit_layer_decay == 0.8 && o.lr_component_decay == 0.7);
    assert_true(o.weight_decay == 1e-4 && o.adamw_eps == 1e-8 && o.clip_max_norm == 0.1 && o.warmup_epochs == 0);
    assert_true(o.lr_scheduler == 0 && o.lr_drop == 100 && o.lr_min_factor == 0);
    assert_true(o.use_ema && o.ema_decay == 0.993 && o.ema_tau == 100 && o.seed == 42);
    assert_true(o.multi_scale && o.expanded_scales && o.scale_jitter && o.run_test && o.eval_interval == 1 &&
                o.eval_max_dets == 500);
    hm_options_clear(HM_COMMAND_TRAIN, &o);
    assert_null(o.output_dir);
}

static void names_reach_members(void **state) {
    (void)state;
    hm_train_options o = {0};
    assert_int_equal(hm_options_defaults(HM_COMMAND_TRAIN, &o), HM_OK);
    assert_int_equal(hm_options_set(HM_COMMAND_TRAIN, &o, "lr-scheduler", "cosine", NULL), HM_OK);
    assert_int_equal(hm_options_set(HM_COMMAND_TRAIN, &o, "use_ema", "no", NULL), HM_OK);
    assert_int_equal(hm_options_set(HM_COMMAND_TRAIN, &o, "seed", "-9223372036854775808", NULL), HM_OK);
    assert_int_equal(hm_options_set(HM_COMMAND_TRAIN, &o, "epochs", "0", NULL), HM_ERR_ARG);
    assert_int_equal(hm_options_set(HM_COMMAND_TRAIN, &o, "epoch", "3", "here"), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "\"epochs\""));
    assert_non_null(strstr(hm_error_message(), "(here)"));
    assert_true(o.lr_scheduler == 1 && !o.use_ema && o.seed == INT64_MIN && o.epochs == 100);
    assert_true(hm_options_is_switch(HM_COMMAND_TRAIN, "use-ema"));
    assert_false(hm_options_is_switch(HM_COMMAND_TRAIN, "epochs"));
    assert_false(hm_options_is_switch(HM_COMMAND_TRAIN, "nonsense"));
    hm_options_clear(HM_COMMAND_TRAIN, &o);
}

static void other_defaults(void **state) {
    (void)state;
    hm_eval_options e = {0};
    hm_predict_options p = {0};
    hm_info_options i = {0};
    hm_shapes_options s = {0};
    assert_int_equal(hm_options_defaults(HM_COMMAND_EVAL, &e), HM_OK);
    assert_int_equal(hm_options_defaults(HM_COMMAND_PREDICT, &p), HM_OK);
    assert_int_equal(hm_options_defaults(HM_COMMAND_INFO, &i), HM_OK);
    assert_int_equal(hm_options_defaults(HM_COMMAND_SHAPES, &s), HM_OK);
    assert_true(e.batch_size == 4 && e.iou_type == 0 && e.eval_max_dets == 100 && !e.json && e.weights == NULL);
    assert_true(p.threshold == 0.5 && p.out == NULL);
    assert_true(!i.plan && i.batch_size == 4 && i.resolution == 0);
    assert_true(s.train == 1500 && s.valid == 150 && s.test == 150 && s.dir == NULL);
    hm_options_clear(HM_COMMAND_SHAPES, &s); /* the only one of them with a default that is a string */
}

static void the_library_makes_and_copies_them(void **state) {
    (void)state;
    hm_train_options *o, *copy;
    OK(hm_options_new(HM_COMMAND_TRAIN, &o));
    assert_string_equal(o->model, "seg-nano");
    OK(hm_options_set(HM_COMMAND_TRAIN, o, "dataset-dir", "here", NULL));
    o->lr = 0.1;
    o->precision = HM_PRECISION_BF16;
    free(o->model);
    o->model = NULL;
    OK(hm_options_copy(HM_COMMAND_TRAIN, &copy, o));
    assert_true(copy->lr == 0.1 && copy->precision == HM_PRECISION_BF16 && copy->epochs == 100);
    assert_ptr_not_equal(copy->dataset_dir, o->dataset_dir);
    assert_string_equal(copy->dataset_dir, "here");
    assert_string_equal(copy->model, "seg-nano");
    assert_null(copy->resume);
    hm_options_free(HM_COMMAND_TRAIN, copy);
    hm_options_free(HM_COMMAND_TRAIN, o);
    hm_options_free(HM_COMMAND_TRAIN, NULL);
    assert_int_equal(hm_options_new((hm_command)99, &o), HM_ERR_ARG);
    assert_null(o);
}

static void a_copy_refuses_what_no_name_could_set(void **state) {
    (void)state;
    hm_train_options *o, *copy;
    OK(hm_options_new(HM_COMMAND_TRAIN, &o));
    o->batch_size = 0;
    assert_int_equal(hm_options_copy(HM_COMMAND_TRAIN, &copy, o), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "\"batch_size\" cannot be \"0\""));
    assert_null(copy);
    o->batch_size = 1;
    o->device = (hm_device_choice)7;
    assert_int_equal(hm_options_copy(HM_COMMAND_TRAIN, &copy, o), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "auto, cpu or cuda"));
    hm_options_free(HM_COMMAND_TRAIN, o);
}

static void help_names_every_option(void **state) {
    (void)state;
    static const char *const some[] = {"--dataset-dir TEXT", "--dt TEXT", "--threshold NUMBER", "--plan BOOL",
                                       "--valid INT"};
    for (int c = HM_COMMAND_TRAIN; c <= HM_COMMAND_SHAPES; c++) {
        char *text = NULL;
        size_t len;
        FILE *const to = open_memstream(&text, &len);
        hm_options_help((hm_command)c, to);
        fclose(to);
        assert_non_null(strstr(text, some[c]));
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_defaults_are_upstreams),
        cmocka_unit_test(names_reach_members),
        cmocka_unit_test(other_defaults),
        cmocka_unit_test(the_library_makes_and_copies_them),
        cmocka_unit_test(a_copy_refuses_what_no_name_could_set),
        cmocka_unit_test(help_names_every_option),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
