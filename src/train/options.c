/* options.c: the tables of the commands' options: names, defaults, ranges, help. Everything that is done with them is
 * train/settings.h's. Names and defaults of training are upstream's. */
#include <float.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/plain_numbers.h"
#include "train/options.h"

#define TRAIN(m, initial, min, max, text)     HM_SETTING(hm_train_options, m, initial, min, max, text)
#define EVAL(m, initial, min, max, text)      HM_SETTING(hm_eval_options, m, initial, min, max, text)
#define PREDICT(m, initial, min, max, text)   HM_SETTING(hm_predict_options, m, initial, min, max, text)
#define INFO(m, initial, min, max, text)      HM_SETTING(hm_info_options, m, initial, min, max, text)
#define SHAPES(m, initial, min, max, text)    HM_SETTING(hm_shapes_options, m, initial, min, max, text)
#define AUDIT(m, initial, min, max, text)     HM_SETTING(hm_audit_options, m, initial, min, max, text)
#define BENCH(m, initial, min, max, text)     HM_SETTING(hm_bench_options, m, initial, min, max, text)
#define CONVERT(m, initial, min, max, text)   HM_SETTING(hm_convert_options, m, initial, min, max, text)
#define TEXT(command, m, initial, text)       command(m, initial, 0, 0, text)
#define SWITCH(command, m, initial, text)     command(m, initial, 0, 0, text)
#define COUNT(command, m, initial, min, text) command(m, initial, min, COUNT_MAX, text)

#define COUNT_MAX      1e9 /* of things that are only counted */
#define SIDE_MAX       8192
#define THREADS_MAX    1024
#define BATCH_MAX      65536
#define INT64_MIN_REAL -0x1p63
#define INT64_MAX_REAL 0x1p63

static const char *const schedulers[] = {"step", "cosine", NULL};
static const char *const iou_types[] = {"segm", "bbox", NULL};

/* In the order of hm_precision, then Lightning's other names for the same (hm_precision_resolve knows them). */
static const char *const precisions[] = {"fp32", "bf16",    "fp16",       "bf16-true", "fp16-true", "tf32",
                                         "auto", "32-true", "bf16-mixed", "16-mixed",  "16-true",   NULL};

static const char *const devices[] = {"auto", "cpu", "cuda", NULL}; /* in the order of hm_device_choice */
#define DEVICE_HELP "cpu, cuda, or auto: the GPU where there is one"

static const hm_setting train_table[] = {
    TEXT(TRAIN, dataset_dir, NULL,
         "folder of the data set, in COCO layout: train/ and valid/, and test/ if there is one, each with "
         "_annotations.coco.json and its pictures"),
    TEXT(TRAIN, output_dir, "output", "folder for weights, metrics and pictures"),
    TEXT(TRAIN, model, "seg-nano", "variant, see halfmask info"),
    TEXT(TRAIN, pretrain_weights, NULL, "safetensors file or PyTorch checkpoint to start from; from scratch without"),
    TRAIN(resolution, "0", 0, SIDE_MAX, "side of the model's input in pixels; 0 takes the variant's"),
    TRAIN(num_queries, "0", 0, 4096, "queries of a group, the most objects of an image; 0 takes the variant's"),
    TRAIN(group_detr, "0", 0, 32, "groups of queries in training; 0 takes the variant's"),
    SWITCH(TRAIN, multi_scale, "true",
           "train at several sizes around the resolution, one drawn for every optimizer step"),
    SWITCH(TRAIN, expanded_scales, "true", "with multi_scale: 5 sizes smaller and 5 larger, instead of 3 and 4"),
    COUNT(TRAIN, epochs, "100", 1, "times that the training split is gone through"),
    TRAIN(batch_size, "4", 1, BATCH_MAX, "images of a batch"),
    COUNT(TRAIN, grad_accum_steps, "1", 1, "batches of an optimizer step"),
    TRAIN(lr, "1e-4", 0, DBL_MAX, "learning rate"),
    TRAIN(lr_encoder, "1.5e-4", 0, DBL_MAX, "learning rate of the backbone's encoder"),
    TRAIN(lr_vit_layer_decay, "0.8", DBL_MIN, 1, "factor of the learning rate from an encoder layer to the one below"),
    TRAIN(lr_component_decay, "0.7", DBL_MIN, 1, "factor of the decoder's learning rate, squared for the encoder"),
    SWITCH(TRAIN, freeze_encoder, "false",
           "leave the backbone's encoder as it is: no gradient, update, decay or moments for it"),
    TRAIN(drop_path, "0", 0, 0.99,
          "probability with which the encoder's last layer is left out for a window of an image; of earlier ones in "
          "proportion"),
    TRAIN(weight_decay, "1e-4", 0, DBL_MAX, "weight decay of AdamW"),
    TRAIN(adamw_eps, "1e-8", DBL_MIN, DBL_MAX, "epsilon of AdamW"),
    SWITCH(TRAIN, fused_optimizer, "true",
           "AdamW over all tensors in one operation instead of one for each; the results are the same, bit for bit"),
    TRAIN(clip_max_norm, "0.1", 0, DBL_MAX, "largest norm of all gradients together; 0 does not clip"),
    TRAIN(warmup_epochs, "0", 0, COUNT_MAX, "epochs in which the learning rate rises from 0"),
    HM_SETTING_OF(hm_train_options, lr_scheduler, "step", schedulers, "course of the learning rate"),
    COUNT(TRAIN, lr_drop, "100", 1, "epoch after which step goes on with a tenth"),
    TRAIN(lr_min_factor, "0", 0, 1, "part of the learning rate with which cosine ends"),
    SWITCH(TRAIN, use_ema, "true", "keep moving averages of the weights and judge those"),
    TRAIN(ema_decay, "0.993", 0, 1, "decay of the averages at an optimizer step"),
    TRAIN(ema_tau, "100", 0, DBL_MAX, "optimizer steps over which that decay is approached"),
    TRAIN(seed, "42", INT64_MIN_REAL, INT64_MAX_REAL, "number from which everything random is derived"),
    TRAIN(num_workers, "0", 0, THREADS_MAX, "threads that decode images; 0 chooses"),
    SWITCH(TRAIN, scale_jitter, "true", "cut and resize half of the training images at random, besides mirroring"),
    COUNT(TRAIN, eval_interval, "1", 1, "epochs from one validation to the next"),
    COUNT(TRAIN, eval_max_dets, "500", 1, "detections of an image that validation looks at"),
    SWITCH(TRAIN, eval_base_model, "false",
           "with use_ema, judge the weights themselves too; without, only their averages are judged"),
    HM_SETTING_OF(
        hm_train_options, precision, "auto", precisions,
        "fp32; bf16 or fp16 with fp32 weights; bf16-true or fp16-true with half weights; tf32 is fp32 with products in "
        "TF32 on a GPU; auto takes bf16 where "
        "the processor multiplies it itself, else fp16"),
    TEXT(TRAIN, precision_override, NULL,
         "layers that stay in fp32, as PATTERN=fp32,...; info --precision --plan prints the names"),
    SWITCH(TRAIN, amp, "true", "false is precision fp32"),
    TEXT(TRAIN, eval_precision, NULL,
         "precisions of validation, as fp32,bf16,fp16: a row of metrics for each, and the first decides which weights "
         "are "
         "best; without, the one in which training computes"),
    SWITCH(TRAIN, fp16_eval, "false", "validate in fp16, the same as eval_precision fp16"),
    COUNT(TRAIN, audit, "0", 0,
          "optimizer steps between two records of how large the numbers of every layer are, for halfmask audit; 0 "
          "records "
          "nothing"),
    TRAIN(loss_scale, "65536", 1, 0x1p40,
          "loss scale with which fp16 begins; it halves when a step overflows and doubles after 2000 good ones"),
    TEXT(
        TRAIN, resume, NULL,
        "output folder of a run, or one of its state files, to go on from: with the same settings the same bits follow "
        "as without the break; settings that are not given are those of that run"),
    COUNT(TRAIN, checkpoint_steps, "0", 0,
          "optimizer steps between two saved states; 0 saves them at the ends of epochs only"),
    COUNT(TRAIN, checkpoint_interval, "10", 1,
          "epochs between two checkpoints that are kept, checkpoint_<epoch>.pth with epochs counted from 0"),
    SWITCH(TRAIN, early_stopping, "false", "end the run when validations do not get better any more"),
    COUNT(TRAIN, early_stopping_patience, "10", 1, "validations that may pass without a better one"),
    TRAIN(early_stopping_min_delta, "0.001", 0, 1, "average precision by which a validation must be better to count"),
    SWITCH(TRAIN, early_stopping_use_ema, "false",
           "look at the averages only, instead of the better of them and the weights"),
    SWITCH(TRAIN, run_test, "true", "judge the best weights on the test split, if there is one, at the end"),
    HM_SETTING_OF(hm_train_options, device, "auto", devices, DEVICE_HELP),
    SWITCH(TRAIN, deterministic, "false", "on the GPU too, two runs give the same bits, at some cost"),
    TRAIN(threads, "0", 0, THREADS_MAX, "threads that compute; 0 takes all cores"),
    COUNT(
        TRAIN, memory_limit, "0", 0,
        "MiB of the device's memory that training may need, for one that is shared; 0 is all that is free; a run that "
        "needs more is refused before it begins, with settings that fit"),
};

static const hm_setting eval_table[] = {
    TEXT(EVAL, dataset_dir, NULL, "folder of the data set on which the weights are judged"),
    TEXT(EVAL, weights, NULL, "safetensors file or PyTorch checkpoint of the model"),
    TEXT(EVAL, split, NULL, "split of the data set; without, test, or valid where there is no test"),
    EVAL(batch_size, "4", 1, BATCH_MAX, "images of a batch"),
    EVAL(num_workers, "0", 0, THREADS_MAX, "threads that decode images; 0 chooses"),
    EVAL(threads, "0", 0, THREADS_MAX, "threads that compute; 0 takes all cores"),
    HM_SETTING_OF(hm_eval_options, precision, "fp32", precisions, "precision in which the model computes"),
    HM_SETTING_OF(hm_eval_options, device, "auto", devices, DEVICE_HELP),
    TEXT(EVAL, gt, NULL, "COCO annotation file by which a results file is judged, instead of weights"),
    TEXT(EVAL, dt, NULL, "that COCO results file"),
    HM_SETTING_OF(hm_eval_options, iou_type, "segm", iou_types,
                  "whether masks or boxes of the results file are judged"),
    COUNT(EVAL, eval_max_dets, "100", 1, "detections of an image that are looked at"),
    SWITCH(EVAL, json, "false", "print JSON instead of text"),
    TEXT(EVAL, out, NULL, "file for the model's detections, as COCO results"),
};

static const hm_setting predict_table[] = {
    TEXT(PREDICT, weights, NULL, "safetensors file or PyTorch checkpoint of the model"),
    TEXT(PREDICT, out, NULL, "folder for predictions.json (COCO results) and one picture for each image"),
    PREDICT(threshold, "0.5", 0, 1, "only detections with a greater score"),
    HM_SETTING_OF(hm_predict_options, precision, "fp32", precisions, "precision in which the model computes"),
    HM_SETTING_OF(hm_predict_options, device, "auto", devices, DEVICE_HELP),
    PREDICT(threads, "0", 0, THREADS_MAX, "threads that compute; 0 takes all cores"),
};

static const hm_setting info_table[] = {
    TEXT(INFO, weights, NULL, "safetensors file or PyTorch checkpoint to describe"),
    TEXT(INFO, model, NULL, "variant to describe; all are listed when neither is given"),
    SWITCH(INFO, plan, "false",
           "print how much memory training and evaluation will take, and whether the device has it"),
    INFO(batch_size, "4", 1, BATCH_MAX, "images of a batch in that plan"),
    HM_SETTING_OF(hm_info_options, device, "auto", devices,
                  "device of that plan: cpu, cuda (which need not be there), or auto: the GPU where there is one"),
    HM_SETTING_OF(hm_info_options, precision, "fp32", precisions,
                  "precision of that plan; for half ones it lists every node: what it stores in which type, and why"),
    TEXT(INFO, precision_override, NULL, "layers of the plan that stay in fp32, as in training"),
    INFO(resolution, "0", 0, SIDE_MAX, "side of the model's input in pixels; 0 takes the variant's"),
    TEXT(INFO, dot, NULL, "file for the training graph, for Graphviz"),
    TEXT(INFO, dump, NULL, "file for the training graph, as text"),
};

static const hm_setting shapes_table[] = {
    TEXT(SHAPES, dir, NULL, "folder that is made, or an empty one"),
    SHAPES(train, "1500", 0, 1e6, "images of the training split"),
    SHAPES(valid, "150", 0, 1e6, "images of the validation split"),
    SHAPES(test, "150", 0, 1e6, "images of the test split"),
    SHAPES(size, "112", 56, 3584, "typical side of an image in pixels; sides vary by a seventh"),
    SHAPES(seed, "0", INT64_MIN_REAL, INT64_MAX_REAL, "number from which the images are derived"),
    TEXT(SHAPES, classes, "circle,triangle,square",
         "kinds of shapes, with commas between them; star, cross and pentagon are there too"),
};

static const hm_setting audit_table[] = {
    TEXT(AUDIT, dir, NULL, "output folder of a run that was trained with audit"),
    COUNT(AUDIT, top, "20", 1, "rows of each table"),
};

static const hm_setting bench_table[] = {
    TEXT(BENCH, model, "seg-nano", "variant, see halfmask info"),
    BENCH(resolution, "0", 0, SIDE_MAX, "side of the model's input in pixels; 0 takes the variant's"),
    BENCH(batch_size, "4", 1, BATCH_MAX, "images of a batch"),
    BENCH(objects, "7", 1, 1e6, "objects of an image"),
    COUNT(BENCH, steps, "10", 1, "steps that are timed, after a few that are not"),
    HM_SETTING_OF(hm_bench_options, precision, "auto", precisions, "precision, as in training"),
    HM_SETTING_OF(hm_bench_options, device, "auto", devices, DEVICE_HELP),
    SWITCH(BENCH, deterministic, "false", "on the GPU too, two runs give the same bits, at some cost"),
    BENCH(threads, "0", 0, THREADS_MAX, "threads that compute; 0 takes all cores"),
    SWITCH(BENCH, count, "false", "fail unless a step on the GPU neither makes the host wait nor allocates memory"),
};

static const hm_setting convert_table[] = {
    SWITCH(CONVERT, ema, "false", "take the moving averages of a PyTorch checkpoint instead of its weights"),
};

typedef struct table {
    const hm_setting *rows;
    size_t n;
    size_t size; /* bytes of the struct */
} table;

#define TABLE(rows, type)                                                                                              \
    { rows, sizeof rows / sizeof rows[0], sizeof(type) }

static table table_of(hm_command command) {
    static const table tables[] = {
        [HM_COMMAND_TRAIN] = TABLE(train_table, hm_train_options),
        [HM_COMMAND_EVAL] = TABLE(eval_table, hm_eval_options),
        [HM_COMMAND_PREDICT] = TABLE(predict_table, hm_predict_options),
        [HM_COMMAND_INFO] = TABLE(info_table, hm_info_options),
        [HM_COMMAND_SHAPES] = TABLE(shapes_table, hm_shapes_options),
        [HM_COMMAND_AUDIT] = TABLE(audit_table, hm_audit_options),
        [HM_COMMAND_BENCH] = TABLE(bench_table, hm_bench_options),
        [HM_COMMAND_CONVERT] = TABLE(convert_table, hm_convert_options),
    };
    if ((size_t)command >= sizeof tables / sizeof tables[0])
        return (table){NULL, 0, 0};
    return tables[command];
}

hm_status hm_options_defaults(hm_command command, void *options) {
    HM_PLAIN_NUMBERS;
    const table t = table_of(command);
    return hm_settings_defaults(t.rows, t.n, options);
}

void hm_options_clear(hm_command command, void *options) {
    const table t = table_of(command);
    hm_settings_free(t.rows, t.n, options);
}

hm_status hm_options_new(hm_command command, void *out) {
    const size_t size = table_of(command).size;
    void *made = NULL;
    *(void **)out = NULL;
    if (size == 0)
        HM_FAIL(HM_ERR_ARG, "there is no command %d that could have options", (int)command);
    HM_TRY(hm_alloc(&made, 1, size));
    const hm_status st = hm_options_defaults(command, made);
    if (st != HM_OK)
        hm_options_free(command, made);
    else
        *(void **)out = made;
    return st;
}

void hm_options_free(hm_command command, void *options) {
    if (options == NULL)
        return;
    hm_options_clear(command, options);
    free(options);
}

hm_status hm_options_copy(hm_command command, void *out, const void *from) {
    HM_PLAIN_NUMBERS;
    const table t = table_of(command);
    HM_TRY(hm_options_new(command, out));
    const hm_status st = hm_settings_copy(t.rows, t.n, *(void **)out, from);
    if (st != HM_OK) {
        hm_options_free(command, *(void **)out);
        *(void **)out = NULL;
    }
    return st;
}

hm_status hm_options_set(hm_command command, void *options, const char *name, const char *value, const char *where) {
    HM_PLAIN_NUMBERS;
    const table t = table_of(command);
    return hm_settings_set(t.rows, t.n, options, name, value, where);
}

hm_status hm_options_load_yaml(hm_command command, void *options, const char *path) {
    HM_PLAIN_NUMBERS;
    const table t = table_of(command);
    return hm_settings_load_yaml(t.rows, t.n, options, path);
}

bool hm_options_is_switch(hm_command command, const char *name) {
    const table t = table_of(command);
    const hm_setting *const s = hm_settings_find(t.rows, t.n, name);
    return s != NULL && s->type == HM_SETTING_BOOL;
}

void hm_options_help(hm_command command, FILE *to) {
    const table t = table_of(command);
    hm_settings_help(t.rows, t.n, to);
}

void hm_options_each(hm_command command, const void *options,
                     void (*put)(void *user, const hm_setting *s, const char *value), void *user) {
    const table t = table_of(command);
    hm_settings_each(t.rows, t.n, options, put, user);
}

bool hm_options_has(hm_command command, const char *name) {
    const table t = table_of(command);
    return hm_settings_find(t.rows, t.n, name) != NULL;
}
