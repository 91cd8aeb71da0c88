/* info.c: hm_info: the variants and the machine; or a model's size, the memory that its training and evaluation will
 * take, and its training graph as a file. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/plain_numbers.h"
#include "base/progress.h"
#include "device/turn.h"
#include "io/atomic.h"
#include "train/info_parts.h"
#include "weights/weights.h"
#include "weights/weights_graph.h"

enum { OBJECTS = 100 }; /* capacity of an image in the plan; a data set brings its own */

/* ---- variants and sizes ---- */

static hm_status count_parameters(const hm_model_config *c, int64_t *numbers, size_t *tensors) {
    hm_graph *g = NULL;
    const hm_status st = hm_weights_graph(&g, c);
    *numbers = 0;
    *tensors = 0;
    for (size_t i = 0; st == HM_OK && i < g->n_tensors; i++)
        if (hm_is_stored(g->tensors[i])) {
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
    char bytes[32];
    HM_TRY(count_parameters(c, &numbers, &tensors));
    hm_progress_format_bytes(bytes, sizeof bytes, (uint64_t)numbers * sizeof(float));
    fprintf(to, "model        %s, for %s\n", c->name, c->segmentation ? "boxes and masks" : "boxes");
    fprintf(to, "input        %d x %d pixels\n", c->resolution, c->resolution);
    fprintf(to, "parameters   %" PRId64 " in %zu tensors, %s\n", numbers, tensors, bytes);
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

/* ---- the training graph ---- */

/* The GPU's graph can be planned where there is none. */
static hm_status device_of(const hm_info_options *o, hm_device *out) {
    *out = HM_DEVICE_CUDA;
    return o->device == HM_DEVICE_CHOICE_CUDA ? HM_OK : hm_device_choose(o->device, out);
}

/* As training is by default, but for multi_scale: both are told. */
static hm_status request_of(hm_memory_request *out, const hm_info_options *o, const hm_model_config *c) {
    hm_device device;
    HM_TRY(device_of(o, &device));
    const hm_precision precision = hm_precision_resolve(o->precision, device);
    *out = (hm_memory_request){
        .config = *c,
        .expanded_scales = true,
        .step = {.model = {.batch = o->batch_size, .height = c->resolution, .width = c->resolution, .training = true},
                 .targets = OBJECTS,
                 .criterion = hm_criterion_defaults(),
                 .optim = hm_optim_defaults(),
                 .precision = precision,
                 .precision_override = o->precision_override},
        .grad_accum_steps = 1,
        .device = device,
        .judged_in = {hm_memory_judged_in(precision)},
        .n_judged = 1,
        .judged_follows = true,
        .valid_targets = OBJECTS};
    return HM_OK;
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
static void print_precision(FILE *to, const hm_step *step, hm_precision precision) {
    fprintf(
        to,
        "precision %s, node by node (-> forward, <- backward; bytes of results, and how many fewer than in fp32):\n",
        hm_precision_name(precision));
    hm_graph_dump_precision(step->graph, to);
    hm_graph_dump_precision(step->update, to);
}

static hm_status show_step(const hm_info_options *o, const hm_model_config *c, FILE *to) {
    hm_memory_request r;
    hm_step *step = NULL;
    hm_status st = HM_OK;
    if (o->batch_size < 1)
        HM_FAIL(HM_ERR_ARG, "a batch of %d images is not possible: take at least 1", (int)o->batch_size);
    HM_TRY(request_of(&r, o, c));
    HM_TRY(hm_step_build(&step, c, &r.step));
    if (o->plan)
        HM_TRY_TO(st, done, hm_info_print_plan(to, &r));
    if (o->plan && hm_precision_half(r.step.precision) != HM_F32)
        print_precision(to, step, r.step.precision);
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
    HM_PLAIN_NUMBERS;
    HM_GPU_TURN(HM_DEVICE_CHOICE_CUDA); /* the GPU is looked at whatever is asked for */
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
    HM_TRY(print_variants(to));
    fputc('\n', to);
    hm_info_print_devices(to);
    return HM_OK;
}
