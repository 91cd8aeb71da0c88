/* halfmask.h: the only public header of libhalfmask.
 *
 * Native training, evaluation and prediction for RF-DETR (detection and instance segmentation).
 * Every function that can fail returns hm_status; hm_error_message() then says, in one sentence,
 * what was wrong, where, and what to do. Nothing here prints, exits or touches signals.
 *
 * Programs that embed halfmask make a trainer or a predictor (hm_trainer_new, hm_predictor_new); the functions that run
 * as a whole (hm_train, hm_eval, ...) are the commands of the program `halfmask`. */
#ifndef HALFMASK_H
#define HALFMASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HM_VERSION "0.1.0"

/* The version of the library that is loaded, which may be a later one than this header's. */
const char *hm_version(void);

typedef enum hm_status {
    HM_OK = 0,
    HM_ERR_ARG = 1,         /* a setting or argument is wrong */
    HM_ERR_IO = 2,          /* the operating system refused: open, read, write, rename */
    HM_ERR_FORMAT = 3,      /* a file's content is not what it claims to be */
    HM_ERR_MEMORY = 4,      /* not enough memory, or the plan does not fit */
    HM_ERR_UNSUPPORTED = 5, /* valid, but this build or device cannot do it */
    HM_ERR_INTERNAL = 6,    /* a fault of halfmask itself: please report it */
} hm_status;

/* The message of the last failure on the calling thread; "" when there was none. */
const char *hm_error_message(void);

/* ---- Options ----
 * Each command has a struct of options, with rfdetr's names. hm_options_new makes one that holds the defaults; members
 * are then set by name, or directly where they are no strings: those are owned by the struct. Later versions may add
 * members at the end, so a struct that hm_options_new did not make may be too short for the library. */
typedef enum hm_command {
    HM_COMMAND_TRAIN,   /* hm_train_options */
    HM_COMMAND_EVAL,    /* hm_eval_options */
    HM_COMMAND_PREDICT, /* hm_predict_options */
    HM_COMMAND_INFO,    /* hm_info_options */
    HM_COMMAND_SHAPES,  /* hm_shapes_options */
    HM_COMMAND_AUDIT,   /* hm_audit_options */
    HM_COMMAND_BENCH,   /* hm_bench_options */
    HM_COMMAND_CONVERT, /* hm_convert_options */
} hm_command;

/* `out`: a pointer to a pointer to the command's struct, as hm_train_options **. NULL after a failure. */
hm_status hm_options_new(hm_command command, void *out);
void hm_options_free(hm_command command, void *options); /* takes NULL */
/* HM_ERR_ARG for an unknown name (with the nearest known one) or a bad value; '-' equals '_' in names. `where` says
 * where the text stands, or NULL. */
hm_status hm_options_set(hm_command command, void *options, const char *name, const char *value, const char *where);
/* A flat YAML mapping of settings. */
hm_status hm_options_load_yaml(hm_command command, void *options, const char *path);
/* Whether the option called `name` is true or false, so that it may stand alone on a command line; false if unknown. */
bool hm_options_is_switch(hm_command command, const char *name);
/* One aligned, wrapped entry per option. */
void hm_options_help(hm_command command, FILE *to);

/* ---- Precision ---- (docs/numerics.md)
 * Mixed modes keep weights, moments and averages in fp32 and compute on half activations and half copies of the
 * weights; true modes keep the weights and gradients in half too. TF32 is fp32 but for products on the GPU, whose
 * operands are rounded to TF32 (10 bits behind the point, fp32's range). */
typedef enum hm_precision {
    HM_PRECISION_FP32,
    HM_PRECISION_BF16,
    HM_PRECISION_FP16,
    HM_PRECISION_BF16_TRUE,
    HM_PRECISION_FP16_TRUE,
    HM_PRECISION_TF32,
    HM_PRECISION_AUTO, /* bf16 where the processor multiplies it itself, else fp16 */
} hm_precision;

/* ---- Device ---- */
typedef enum hm_device_choice {
    HM_DEVICE_CHOICE_AUTO, /* the GPU where there is one */
    HM_DEVICE_CHOICE_CPU,
    HM_DEVICE_CHOICE_CUDA,
} hm_device_choice;

/* ---- Training ---- */
typedef struct hm_train_options {
    char *dataset_dir;        /* COCO tree: train/ valid/ (test/), each with _annotations.coco.json */
    char *output_dir;         /* "output" */
    char *model;              /* a variant: "seg-nano", ..., "seg-micro" */
    char *pretrain_weights;   /* safetensors or PyTorch, upstream's names; NULL: scratch */
    int32_t resolution;       /* pixels; 0 = the variant's */
    bool multi_scale;         /* true: several sizes around it, one drawn for every optimizer step */
    bool expanded_scales;     /* true: with multi_scale 5 smaller and 5 larger ones, else 3 and 4 */
    int32_t epochs;           /* 100 */
    int32_t batch_size;       /* 4 */
    int32_t grad_accum_steps; /* 1: batches of one optimizer step */
    double lr, lr_encoder;    /* 1e-4, 1.5e-4 */
    double lr_vit_layer_decay, lr_component_decay; /* 0.8, 0.7 */
    double weight_decay;                           /* 1e-4 */
    double adamw_eps;                              /* 1e-8 */
    bool fused_optimizer;                          /* true: AdamW over all tensors at once; the same bits */
    double clip_max_norm;                          /* 0.1 */
    double warmup_epochs;                          /* 0 */
    int lr_scheduler;                              /* 0 step, 1 cosine */
    int32_t lr_drop;                               /* 100: epoch of the drop to a tenth */
    double lr_min_factor;                          /* 0 */
    bool use_ema;                                  /* true */
    double ema_decay, ema_tau;                     /* 0.993, 100 */
    int64_t seed;                                  /* 42 */
    int32_t num_workers;                           /* threads that decode; 0 = choose */
    bool scale_jitter;                             /* true: random crops besides flips */
    int32_t eval_interval;                         /* 1: epochs between validations */
    int32_t eval_max_dets;                         /* 500 */
    hm_precision precision;                        /* auto */
    char *precision_override;                      /* "pattern=fp32,...": layers that stay in fp32; NULL: none */
    bool amp;                                      /* true; false is precision fp32 */
    char *eval_precision; /* "fp32,bf16,fp16" or some: a validation row for each; NULL: as training computes */
    bool fp16_eval;       /* false; true is eval_precision fp16 */
    int32_t audit;        /* 0; N: record every N steps how large the numbers of every layer are (hm_audit) */
    double loss_scale;    /* 65536: fp16's first; it halves when a step overflows and doubles after 2000 good ones */
    char *resume;         /* folder of a run, or one of its state files, to go on from; NULL: a new run */
    int32_t checkpoint_steps; /* 0; N: the state is also saved every N optimizer steps, not at ends of epochs only */
    bool run_test;            /* true: judge the test split, if there is one, with the best weights */
    hm_device_choice device;  /* auto */
    bool deterministic;       /* false; true: on the GPU too, two runs give the same bits, at some cost */
    int32_t threads;          /* of the CPU backend; 0 = all */
    int32_t memory_limit;     /* MiB of the device's memory that the run may need; 0 = all that is free */

    bool eval_base_model;            /* false; true: with use_ema the weights are judged too, not only their averages */
    int32_t checkpoint_interval;     /* 10: epochs between two checkpoints that are kept, checkpoint_<epoch>.pth */
    bool early_stopping;             /* false; true: ends when validations do not get better any more */
    int32_t early_stopping_patience; /* 10 validations */
    double early_stopping_min_delta; /* 0.001: the AP by which one is better */
    bool early_stopping_use_ema;     /* false: the better of weights and averages; true: the averages */
    bool freeze_encoder;             /* false; true: the backbone's encoder stays as it is */
    double drop_path;                /* 0: probability with which the encoder's last layer is left out */
    int32_t num_queries, group_detr; /* queries of a group, groups; 0 = the variant's */

    const volatile int *stop; /* no setting: when it is not 0 the step under way is finished, the state is saved and
                                 training returns; NULL: never */
} hm_train_options;

typedef struct hm_train_result {
    int64_t steps; /* optimizer steps */
    double seconds;
    bool stopped;              /* by hm_train_options.stop, with the state saved; nothing was tested */
    bool stopped_early;        /* by early_stopping; the best weights were tested all the same */
    double best;               /* val/mAP_50_95 (masks, or boxes for detection); NaN when never validated */
    double test_ap, test_ap50; /* of the test split, masks or boxes; NaN when there is none */
} hm_train_result;

/* The options of a training run as its training_config.json has them, but for the folder it lies in: `run` is that
 * folder, or a file in it, and becomes output_dir. A folder without one leaves the others as they are. */
hm_status hm_options_load_run(hm_train_options *options, const char *run);

/* Trains; output_dir receives training_config.json, metrics.csv, pictures, weights as rfdetr's checkpoints (last.pth,
 * last_ema.pth, checkpoint_<epoch>.pth, checkpoint_best_regular.pth, checkpoint_best_ema.pth and the better of those
 * two, checkpoint_best_total.pth), and the state of the run, for `resume`: state_*.safetensors, of which the last two
 * are kept. Where `resume` names a folder without a state, the run begins anew. Progress goes to `log` (a bar when it
 * is a terminal); NULL: silence. `result` may be NULL. */
hm_status hm_train(const hm_train_options *options, FILE *log, hm_train_result *result);

/* ---- A trainer, step by step ---- (docs/embedding.md)
 * A handle does what hm_train does, one optimizer step a call. Any number of handles, trainers and predictors, may be
 * used at once from different threads, with the results that each has alone; one handle is used by one thread at a
 * time. On a GPU, handles take turns. After a failed call other than HM_ERR_ARG a trainer can only be freed.
 *
 * What functions hand out through `const ... **` belongs to the handle and is good until its next call. */
typedef struct hm_trainer hm_trainer;

/* A line of what there is to tell, without its end. Called in the thread that is inside hm_trainer_*. */
typedef void hm_log(void *user, const char *line);

typedef struct hm_step_term {
    const char *name; /* upstream's: "loss_ce", "loss_mask_dice_0", "class_error" */
    double value;     /* mean over the step's batches */
    double weight;    /* in the loss; 0: told only */
} hm_step_term;

typedef struct hm_step_report {
    int64_t step;          /* optimizer steps done in all, those that were skipped not counted */
    int64_t epoch;         /* of this step, from 0 */
    int64_t step_of_epoch; /* from 1; of a step on the caller's images: 0 */
    int64_t steps_of_epoch;
    bool epoch_done;  /* this was the epoch's last: hm_trainer_end_epoch, or simply the next step */
    bool skipped;     /* gradients were not finite (fp16): nothing was updated; the loss scale falls */
    const char *why;  /* then: which operation, in words; else "" */
    double loss;      /* the terms' sum with their weights */
    double lr;        /* the learning rate, before the factors of layers */
    double grad_norm; /* before clipping */
    double loss_scale;
    size_t n_terms;
    const hm_step_term *terms; /* [n_terms] of every output */
} hm_step_report;

typedef struct hm_scores {
    bool masks;                        /* the model has masks; else the mask scores are NaN */
    double box_ap, box_ap50, box_ap75; /* COCO's AP over IoU 0.50:0.95, and at 0.50 and 0.75; 0..1 */
    double mask_ap, mask_ap50, mask_ap75;
} hm_scores;

typedef struct hm_epoch_report {
    int64_t epoch;   /* that ended, from 0 */
    bool validated;  /* eval_interval had its turn */
    bool best;       /* then: these weights are the best so far and were saved as checkpoint_best_total.pth */
    hm_scores valid; /* then: on the validation split */
} hm_epoch_report;

/* Opens the data set, plans memory, makes the model: everything before the first batch, with `resume` too. The options
 * are copied. `log` may be NULL. HM_ERR_ARG: a setting is wrong; HM_ERR_IO, HM_ERR_FORMAT: a file is; HM_ERR_MEMORY:
 * the run does not fit, and what would. */
hm_status hm_trainer_new(hm_trainer **out, const hm_train_options *options, hm_log *log, void *user);
void hm_trainer_free(hm_trainer *t); /* takes NULL; saves nothing */

/* One optimizer step on the next grad_accum_steps batches of the data set. *out (may be NULL) = what came of it: waits
 * for the GPU, which a call with NULL does not. The step after an epoch's last begins the next epoch. HM_ERR_ARG when
 * the run has ended. */
hm_status hm_trainer_step(hm_trainer *t, const hm_step_report **out);
bool hm_trainer_done(const hm_trainer *t); /* every epoch has had all its steps, or early stopping has ended the run */

/* Pixels in memory: `height` rows of `width` pixels of three bytes, red, green, blue; a row begins `stride` bytes
 * behind the one above. */
typedef struct hm_pixels {
    const uint8_t *rgb;
    int32_t width, height;
    size_t stride; /* at least 3 * width */
} hm_pixels;

typedef struct hm_train_object {
    int32_t label;       /* index of hm_trainer_class_name */
    float box[4];        /* x1, y1, x2, y2: pixels of the image; what lies outside is cut off */
    const uint8_t *mask; /* [height, width] bytes, not 0 inside; NULL for a detection model */
} hm_train_object;

typedef struct hm_train_image {
    hm_pixels pixels;
    const hm_train_object *objects; /* [n_objects] */
    size_t n_objects;               /* at most hm_trainer_most_objects */
} hm_train_image;

/* One optimizer step on n = batch_size * grad_accum_steps images of the caller's, as they are: resized to the model's
 * input, not augmented. The position in the epoch stays. Nothing is kept of them. HM_ERR_ARG, naming image and object,
 * before anything is done. */
hm_status hm_trainer_step_on(hm_trainer *t, const hm_train_image *images, size_t n, const hm_step_report **out);
/* Of an image: as many as the training split's fullest has. */
size_t hm_trainer_most_objects(const hm_trainer *t);

/* What a run does between two epochs: validation if eval_interval says so, a row of metrics.csv, last.pth, the
 * best weights if these are, the state to go on from. HM_ERR_ARG before the epoch's last step. `out` may be NULL. */
hm_status hm_trainer_end_epoch(hm_trainer *t, const hm_epoch_report **out);
/* Judges the weights of now (the averages, with use_ema) on the validation split and adds a row to metrics.csv. */
hm_status hm_trainer_validate(hm_trainer *t, const hm_scores **out);
/* Writes the weights of now (the averages, with use_ema) as `path` ends: .safetensors, or .pth as rfdetr reads it. */
hm_status hm_trainer_save(hm_trainer *t, const char *path);
/* Writes the state into output_dir; a trainer with `resume` = output_dir goes on from it to the same bits. */
hm_status hm_trainer_save_state(hm_trainer *t);

int32_t hm_trainer_classes(const hm_trainer *t);                       /* of the data set */
const char *hm_trainer_class_name(const hm_trainer *t, int32_t label); /* NULL when there is none; the trainer's */

/* ---- Evaluation ---- */
typedef struct hm_eval_options {
    char *dataset_dir; /* with `weights`: judge the model on a split of this tree */
    char *weights;
    char *split;        /* "test", or "valid" when there is no test */
    int32_t batch_size; /* 4 */
    int32_t num_workers, threads;
    hm_precision precision; /* fp32 */
    hm_device_choice device;
    char *gt, *dt;         /* instead: judge a COCO results file against an annotation file */
    int iou_type;          /* 0 segm, 1 bbox; with weights both are printed for a segmentation model */
    int32_t eval_max_dets; /* 100: the largest of 1, 10, N */
    bool json;             /* print JSON */
    char *out;             /* also write the detections as COCO results; NULL: no */
} hm_eval_options;

/* Judges as the options say and writes the report to `to`; progress to `log` (may be NULL). */
hm_status hm_eval(const hm_eval_options *options, FILE *to, FILE *log);

/* ---- Prediction ---- */
typedef struct hm_predict_options {
    char *weights;
    char *out;              /* folder: predictions.json (COCO results) and one picture per image */
    double threshold;       /* 0.5: scores must be greater */
    hm_precision precision; /* fp32 */
    hm_device_choice device;
    int32_t threads;
} hm_predict_options;

hm_status hm_predict(const hm_predict_options *options, const char *const *images, size_t n, FILE *log);

/* ---- A predictor ---- (docs/embedding.md)
 * Weights in memory, ready for images. Threads: as trainers. */
typedef struct hm_predictor hm_predictor;

/* Reads `weights` (safetensors, or a PyTorch checkpoint of rfdetr's) for `device` and `precision`; `out` of the options
 * is not used. `batch`: images that one run of the model takes; memory grows with it. */
hm_status hm_predictor_new(hm_predictor **out, const hm_predict_options *options, int32_t batch);
void hm_predictor_free(hm_predictor *p); /* takes NULL; what it found lives on */

int32_t hm_predictor_classes(const hm_predictor *p);
const char *hm_predictor_class_name(const hm_predictor *p,
                                    int32_t label); /* NULL when there is none; the predictor's */
bool hm_predictor_has_masks(const hm_predictor *p);

typedef struct hm_object {
    float score;      /* greater than the threshold, at most 1 */
    int32_t label;    /* of hm_predictor_class_name */
    int64_t class_id; /* the category's id in the data set that the model was trained on */
    const char *class_name;
    float box[4]; /* x1, y1, x2, y2: pixels of the image, inside it */
} hm_object;

/* What was found in one image. It depends on no handle, and different threads may read it. */
typedef struct hm_objects hm_objects;

/* Finds objects in n images of any sizes: out[i] (hm_objects_free) is what image i shows, by falling score. Larger n
 * than the predictor's batch are run in parts. After a failure all out[i] are NULL. HM_ERR_ARG names the image. */
hm_status hm_predictor_run(hm_predictor *p, const hm_pixels *images, size_t n, hm_objects **out);
void hm_objects_free(hm_objects *o); /* takes NULL */

size_t hm_objects_count(const hm_objects *o);
const hm_object *hm_objects_get(const hm_objects *o, size_t i); /* NULL when there is none; good until `o` is freed */
/* mask [height, width] bytes of the image's size, 1 inside and 0 outside; `bytes` is its room. HM_ERR_UNSUPPORTED for a
 * detection model, HM_ERR_ARG when there is no object i or the room is too small. */
hm_status hm_objects_mask(const hm_objects *o, size_t i, uint8_t *mask, size_t bytes);
/* The same as COCO's compressed run lengths, with a NUL. *bytes = those that it takes; nothing is written when that is
 * more than `room`, so that a call with (NULL, 0) asks. */
hm_status hm_objects_rle(const hm_objects *o, size_t i, char *text, size_t room, size_t *bytes);

/* ---- Conversion ---- */
typedef struct hm_convert_options {
    bool ema; /* false; true: the moving averages of a PyTorch checkpoint instead of its weights */
} hm_convert_options;

/* Reads paths[0], a safetensors file or a PyTorch checkpoint, and writes paths[1] by its ending: .safetensors, or .pth
 * as rfdetr reads it. Names, types and numbers stay; what was read is described to `to`. n must be 2. See
 * docs/checkpoints.md. */
hm_status hm_convert_weights(const hm_convert_options *options, const char *const *paths, size_t n, FILE *to);

/* ---- Information ---- */
typedef struct hm_info_options {
    char *weights; /* or */
    char *model;
    bool plan;                /* print the memory plan of a training step, of evaluation */
    int32_t batch_size;       /* of the plan */
    hm_device_choice device;  /* of the plan; cuda is planned for without one too */
    hm_precision precision;   /* of the plan and the graph; with one given, the plan lists every node */
    char *precision_override; /* as in training */
    int32_t resolution;       /* 0 = the variant's */
    char *dot;                /* write the training graph for Graphviz; NULL: no */
    char *dump;               /* write the training graph as text; NULL: no */
} hm_info_options;

hm_status hm_info(const hm_info_options *options, FILE *to);

/* ---- Audit ---- */
typedef struct hm_audit_options {
    char *dir;   /* the output folder of a run that was trained with `audit` */
    int32_t top; /* 20: rows of each table */
} hm_audit_options;

/* What the numbers of a run have to do with fp16's range: tables and advice to `to`, a heat map (layers by time) as
 * audit.png into the folder. */
hm_status hm_audit(const hm_audit_options *options, FILE *to);

/* ---- Speed ---- */
typedef struct hm_bench_options {
    char *model;            /* "seg-nano" */
    int32_t resolution;     /* 0 = the variant's */
    int32_t batch_size;     /* 4 */
    int32_t objects;        /* 7, of an image */
    int32_t steps;          /* 10 that are timed */
    hm_precision precision; /* auto */
    hm_device_choice device;
    bool deterministic;
    int32_t threads;
    bool count; /* fail unless a step in steady state neither makes the host wait for the GPU nor allocates */
} hm_bench_options;

/* Times training steps on a made-up batch, with memory as planned and as taken, and each operation of a step. */
hm_status hm_bench(const hm_bench_options *options, FILE *to);

/* ---- The built-in data set ---- */
typedef struct hm_shapes_options {
    char *dir;
    int32_t train, valid, test; /* images of each split: 1500, 150, 150 */
    int32_t size;               /* pixels, about */
    int64_t seed;
    char *classes; /* "circle,triangle,square" */
} hm_shapes_options;

hm_status hm_shapes(const hm_shapes_options *options, FILE *log);

#ifdef __cplusplus
}
#endif
#endif
