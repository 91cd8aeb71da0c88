/* info.c: hm_info: the variants; or a model's size, the memory that its training and evaluation will take, and its
 * training graph as a file. Nothing is allocated for what is only planned. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/progress.h"
#include "eval/detector.h"
#include "io/atomic.h"
#include "train/step.h"
#include "weights/weights.h"
#include "weights/weights_graph.h"

enum { OBJECTS = 100 }; /* capacity of an image in the plan; a data set brings its own */

typedef struct bytes_text {
    char text[32];
} bytes_text;

static bytes_text in_bytes(uint64_t n) {
    bytes_text t;
    hm_progress_format_bytes(t.text, sizeof t.text, n);
    return t;
}

/* ---- variants and sizes ---- */

static bool is_stored(const hm_tensor *t) {
    return (t->storage == HM_PARAM || t->storage == HM_STATE) && t->base == NULL;
}

static hm_status count_parameters(const hm_model_config *c, int64_t *numbers, size_t *tensors) {
    hm_graph *g = NULL;
    const hm_status st = hm_weights_graph(&g, c);
    *numbers = 0;
    *tensors = 0;
    for (size_t i = 0; st == HM_OK && i < g->n_tensors; i++)
        if (is_stored(g->tensors[i])) {
            *numbers += hm_count(g->tensors[i]);
            (*tensors)++;
        }
    hm_graph_free(g);
    return st;
}

static hm_status print_variants(FILE *to) {
    fprintf(to, "%-17s %-13s %10s  %5s  %7s  %8s  %7s  %8s  %12s\n", "model", "finds", "resolution", "patch", "windows",
            "decoder", "queries", "masks", "parameters");
    for (int i = 0; hm_model_variant(i) != NULL; i++) {
        hm_model_config c;
        int64_t numbers;
        size_t tensors;
        char masks[16] = "-";
        HM_TRY(hm_model_config_named(hm_model_variant(i), &c));
        HM_TRY(count_parameters(&c, &numbers, &tensors));
        const int side = c.mask_grid > 0 ? c.mask_grid : c.resolution / c.mask_downsample_ratio;
        if (c.segmentation)
            snprintf(masks, sizeof masks, "%dx%d", side, side);
        fprintf(to, "%-17s %-13s %10d  %5d  %7d  %8d  %7d  %8s  %10.1f M\n", c.name,
                c.segmentation ? "boxes, masks" : "boxes", c.resolution, c.patch_size, c.num_windows * c.num_windows,
                c.dec_layers, c.num_queries, masks, (double)numbers / 1e6);
    }
    return HM_OK;
}

static void print_classes(FILE *to, const hm_classes *classes) {
    if (classes->n == 0) {
        fprintf(to, "classes      not named in the file\n");
        return;
    }
    fprintf(to, "classes      %d (category id and name)\n", (int)classes->n);
    for (int32_t i = 0; i < classes->n; i++)
        fprintf(to, "             %" PRId64 " %s\n", classes->ids[i], classes->names[i]);
}

static hm_status print_model(FILE *to, const hm_model_config *c, const hm_weights *w) {
    int64_t numbers;
    size_t tensors;
    HM_TRY(count_parameters(c, &numbers, &tensors));
    fprintf(to, "model        %s, for %s\n", c->name, c->segmentation ? "boxes and masks" : "boxes");
    fprintf(to, "input        %d x %d pixels\n", c->resolution, c->resolution);
    fprintf(to, "parameters   %" PRId64 " in %zu tensors, %s\n", numbers, tensors,
            in_bytes((uint64_t)numbers * sizeof(float)).text);
    fprintf(to, "queries      %d in each of %d groups, %d decoder layers\n", c->num_queries, c->group_detr,
            c->dec_layers);
    if (w == NULL) {
        fprintf(to, "classes      %d unless a data set has another number\n", c->num_classes);
        return HM_OK;
    }
    print_classes(to, hm_weights_classes(w));
    const char *const version = hm_weights_metadata(w, "halfmask");
    fprintf(to, "written by   %s%s\n", version ? "halfmask " : "another program", version ? version : "");
    return HM_OK;
}

/* ---- the plan ---- */

typedef struct stored {
    uint64_t weights, gradients, moments, averages; /* bytes */
} stored;

static void add_stored(stored *s, const hm_tensor *t) {
    const uint64_t n = (uint64_t)hm_count(t) * hm_dtype_size(t->dtype);
    if (t->storage == HM_PARAM)
        s->weights += n;
    else if (strncmp(t->name, "grad.", 5) == 0)
        s->gradients += n;
    else if (strncmp(t->name, "ema.", 4) == 0)
        s->averages += n;
    else
        s->moments += n;
}

/* Both graphs of a step share parameters and gradients; those are the first graph's. */
static stored count_stored(const hm_step *step) {
    stored s = {0};
    for (size_t i = 0; i < step->graph->n_tensors; i++)
        if (is_stored(step->graph->tensors[i]))
            add_stored(&s, step->graph->tensors[i]);
    for (size_t i = 0; i < step->update->n_tensors; i++) {
        const hm_tensor *const t = step->update->tensors[i];
        if (is_stored(t) && t->storage == HM_STATE && strncmp(t->name, "grad.", 5) != 0)
            add_stored(&s, t);
    }
    return s;
}

static hm_status print_training(FILE *to, const hm_step *step) {
    const hm_exec_options options = hm_exec_defaults();
    const stored s = count_stored(step);
    hm_plan batch = {0}, update = {0};
    hm_status st;
    HM_TRY_TO(st, done, hm_plan_make(&batch, step->graph, &options));
    HM_TRY_TO(st, done, hm_plan_make(&update, step->update, &options));
    const uint64_t kept = s.weights + s.gradients + s.moments + s.averages;
    fprintf(to, "  training   %s: weights %s, gradients %s, moments %s, averages %s,\n",
            in_bytes(kept + batch.bytes + update.bytes).text, in_bytes(s.weights).text, in_bytes(s.gradients).text,
            in_bytes(s.moments).text, in_bytes(s.averages).text);
    fprintf(to, "             activations %s (%s if no memory were used twice), update %s\n",
            in_bytes(batch.bytes).text, in_bytes(batch.unshared).text, in_bytes(update.bytes).text);
done:
    hm_plan_free(&batch);
    hm_plan_free(&update);
    return st;
}

static hm_precision evaluated_in(const hm_info_options *o) {
    return hm_precision_resolve(o->precision, HM_DEVICE_CPU);
}

static hm_status print_evaluation(FILE *to, const hm_model_config *c, const hm_info_options *o) {
    hm_detector_memory m;
    HM_TRY(hm_detector_plan(&m, c, &(hm_detector_options){.batch = o->batch_size, .precision = evaluated_in(o)}));
    fprintf(to, "  evaluation %s: weights %s, activations %s (%s if no memory were used twice)\n",
            in_bytes(m.weights + m.activations).text, in_bytes(m.weights).text, in_bytes(m.activations).text,
            in_bytes(m.unshared).text);
    return HM_OK;
}

/* ---- the training graph ---- */

static hm_status build_step(hm_step **out, const hm_model_config *c, const hm_info_options *info) {
    const hm_step_options o = {
        .model = {.batch = info->batch_size, .height = c->resolution, .width = c->resolution, .training = true},
        .targets = OBJECTS,
        .criterion = hm_criterion_defaults(),
        .optim = hm_optim_defaults(),
        .precision = hm_precision_resolve(info->precision, HM_DEVICE_CPU),
        .precision_override = info->precision_override,
        .accumulate = true};
    return hm_step_build(out, c, &o);
}

/* The graph of a batch as `dump` writes it. */
static hm_status write_graph(const char *path, const hm_graph *g, void (*dump)(const hm_graph *, void *)) {
    char *text = NULL;
    size_t len = 0;
    FILE *const memory = open_memstream(&text, &len);
    if (memory == NULL)
        HM_FAIL(HM_ERR_MEMORY, "not enough memory to write the graph to %s", path);
    dump(g, memory);
    const bool failed = ferror(memory) != 0;
    const hm_status st = fclose(memory) != 0 || failed
                             ? hm_fail(HM_ERR_MEMORY, "not enough memory to write the graph to %s", path)
                             : hm_file_write(path, text, len);
    free(text);
    return st;
}

/* Node by node; the casts' memory counts against what half storage saves. */
static void print_precision(FILE *to, const hm_step *step, const hm_info_options *o) {
    fprintf(
        to,
        "precision %s, node by node (-> forward, <- backward; bytes of results, and how many fewer than in fp32):\n",
        hm_precision_name(hm_precision_resolve(o->precision, HM_DEVICE_CPU)));
    hm_graph_dump_precision(step->graph, to);
    hm_graph_dump_precision(step->update, to);
}

static hm_status show_step(const hm_info_options *o, const hm_model_config *c, FILE *to) {
    hm_step *step = NULL;
    hm_status st = HM_OK;
    if (o->batch_size < 1)
        HM_FAIL(HM_ERR_ARG, "a batch of %d images is not possible: take at least 1", (int)o->batch_size);
    HM_TRY(build_step(&step, c, o));
    if (o->plan) {
        fprintf(to, "memory for batches of %d, up to %d objects an image:\n", (int)o->batch_size, OBJECTS);
        HM_TRY_TO(st, done, print_training(to, step));
        if (evaluated_in(o) != HM_PRECISION_FP32)
            print_precision(to, step, o);
        HM_TRY_TO(st, done, print_evaluation(to, c, o));
    }
    if (o->dot != NULL)
        HM_TRY_TO(st, done, write_graph(o->dot, step->graph, hm_graph_dump_dot));
    if (o->dump != NULL)
        st = write_graph(o->dump, step->graph, hm_graph_dump_text);
done:
    hm_step_free(step);
    return st;
}

static hm_status show_model(const hm_info_options *o, hm_model_config c, const hm_weights *w, FILE *to) {
    if (o->resolution != 0)
        c.resolution = o->resolution;
    HM_TRY(hm_model_check_size(&c, c.resolution, c.resolution));
    HM_TRY(print_model(to, &c, w));
    return o->plan || o->dot != NULL || o->dump != NULL ? show_step(o, &c, to) : HM_OK;
}

hm_status hm_info(const hm_info_options *options, FILE *to) {
    hm_model_config c;
    hm_weights *w = NULL;
    if (options->weights != NULL && options->model != NULL)
        HM_FAIL(HM_ERR_ARG, "a weights file says itself which model it holds: give \"model\" or \"weights\"");
    if (options->weights != NULL) {
        HM_TRY(hm_weights_open(&w, options->weights));
        const hm_status st = show_model(options, *hm_weights_config(w), w, to);
        hm_weights_close(w);
        return st;
    }
    if (options->model != NULL) {
        HM_TRY(hm_model_config_named(options->model, &c));
        return show_model(options, c, NULL, to);
    }
    if (options->plan || options->dot != NULL || options->dump != NULL)
        HM_FAIL(HM_ERR_ARG, "say which model: give \"model\" or \"weights\"");
    return print_variants(to);
}
