/* detector.c: the evaluation graph with its outputs, and their way into detections. */
#include "eval/detector.h"

#include <omp.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/rfdetr.h"
#include "ops/mask_logits/mask_logits.h"

struct hm_detector {
    hm_detector_options options;
    hm_graph *g;
    hm_model *model;
    hm_exec *exec;
    hm_tensor *logits, *boxes; /* [B, Q, C], [B, Q, 4] */
    hm_tensor *masks;          /* [B, Q, h*w], or NULL */
    /* the same and the images on the host: the executor's own memory, or copies of what lies on the GPU */
    float *images_, *logits_, *boxes_, *masks_;
};

static hm_status build(hm_detector *d, const hm_model_config *c) {
    const hm_detector_options *const o = &d->options;
    const hm_model_options options = {.batch = o->batch, .height = o->height, .width = o->width};
    HM_TRY(hm_graph_create(&d->g));
    HM_TRY(hm_model_build(&d->model, d->g, c, &options));
    const hm_prediction *const final = &d->model->outputs[0];
    d->logits = hm_graph_output(d->g, final->logits, "logits");
    d->boxes = hm_graph_output(d->g, final->boxes, "boxes");
    if (c->segmentation) {
        hm_graph_scope(d->g, "masks");
        d->masks = final->grid != NULL ? final->grid : hm_mask_logits(d->g, final->spatial, final->query, final->bias);
        d->masks = hm_graph_output(d->g, d->masks, "masks");
    }
    HM_TRY(hm_graph_prune(d->g)); /* the proposals' and earlier layers' own heads serve training only */
    return hm_graph_precision(d->g, o->precision, o->precision_override);
}

/* *out = the options with the zeros filled in, and the graph. */
static hm_status prepare(hm_detector **out, const hm_model_config *c, const hm_detector_options *o) {
    *out = NULL;
    if (o->batch < 1)
        HM_FAIL(HM_ERR_ARG, "a batch of %d images is not possible: take at least 1", (int)o->batch);
    hm_detector *d = NULL;
    HM_TRY(hm_alloc(&d, 1, sizeof *d));
    d->options = *o;
    d->options.height = o->height ? o->height : c->resolution;
    d->options.width = o->width ? o->width : c->resolution;
    d->options.threads = o->threads > 0 ? o->threads : omp_get_max_threads();
    const hm_status st = build(d, c);
    if (st != HM_OK) {
        hm_detector_free(d);
        return st;
    }
    *out = d;
    return HM_OK;
}

static hm_exec_options exec_options(const hm_detector *d) {
    hm_exec_options o = hm_exec_defaults();
    o.threads = d->options.threads;
    o.device = d->options.device;
    o.tf32 = hm_precision_tf32(d->options.precision);
    return o;
}

/* Where the host finds a tensor. */
static hm_status host_side(hm_detector *d, const hm_tensor *t, float **out) {
    if (t == NULL)
        return HM_OK;
    if (hm_exec_cuda(d->exec) != NULL)
        return hm_alloc(out, (size_t)hm_count(t) + 1, sizeof **out);
    *out = hm_exec_data(d->exec, t);
    return HM_OK;
}

static hm_status open_exec(hm_detector *d, hm_store *store) {
    const hm_exec_options options = exec_options(d);
    HM_TRY(hm_precision_check(d->options.precision, d->options.device));
    HM_TRY(hm_store_add(store, d->g));
    HM_TRY(hm_exec_create(&d->exec, d->g, store, &options));
    HM_TRY(host_side(d, d->model->images, &d->images_));
    HM_TRY(host_side(d, d->logits, &d->logits_));
    HM_TRY(host_side(d, d->boxes, &d->boxes_));
    return host_side(d, d->masks, &d->masks_);
}

hm_status hm_detector_new(hm_detector **out, const hm_model_config *c, hm_store *store, const hm_detector_options *o) {
    HM_TRY(prepare(out, c, o));
    const hm_status st = open_exec(*out, store);
    if (st != HM_OK) {
        hm_detector_free(*out);
        *out = NULL;
    }
    return st;
}

static size_t stored_bytes(const hm_graph *g) {
    size_t bytes = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const hm_tensor *const t = g->tensors[i];
        if (hm_is_stored(t))
            bytes += hm_stored_bytes(t->shape, t->dtype);
    }
    return bytes;
}

hm_status hm_detector_plan(hm_detector_memory *out, const hm_model_config *c, const hm_detector_options *o) {
    hm_detector *d;
    hm_plan plan = {0};
    HM_TRY(prepare(&d, c, o));
    const hm_exec_options options = exec_options(d);
    const hm_status st = hm_plan_make(&plan, d->g, &options);
    *out = (hm_detector_memory){.weights = stored_bytes(d->g),
                                .activations = plan.bytes,
                                .unshared = plan.unshared,
                                .inputs = hm_arena_feed_bytes(plan.inputs, o->device) + hm_exec_own_bytes(o->device)};
    hm_plan_free(&plan);
    hm_detector_free(d);
    return st;
}

void hm_detector_free(hm_detector *d) {
    if (d == NULL)
        return;
    if (d->exec != NULL && hm_exec_cuda(d->exec) != NULL) {
        free(d->images_);
        free(d->logits_);
        free(d->boxes_);
        free(d->masks_);
    }
    hm_exec_free(d->exec);
    hm_model_free(d->model);
    hm_graph_free(d->g);
    free(d);
}

const hm_model_config *hm_detector_config(const hm_detector *d) {
    return &d->model->config;
}

const hm_detector_options *hm_detector_settings(const hm_detector *d) {
    return &d->options;
}

float *hm_detector_input(hm_detector *d) {
    return d->images_;
}

static hm_status run_on_gpu(hm_detector *d) {
    HM_TRY(hm_exec_write(d->exec, d->model->images, d->images_));
    HM_TRY(hm_exec_run(d->exec, 0, 0));
    HM_TRY(hm_exec_read(d->exec, d->logits, d->logits_));
    HM_TRY(hm_exec_read(d->exec, d->boxes, d->boxes_));
    return d->masks != NULL ? hm_exec_read(d->exec, d->masks, d->masks_) : HM_OK;
}

hm_status hm_detector_run(hm_detector *d) {
    return hm_exec_cuda(d->exec) != NULL ? run_on_gpu(d) : hm_exec_run(d->exec, 0, 0);
}

/* Image i of an output that starts with the batch. */
static const float *rows_of(const hm_tensor *t, const float *data, int32_t i) {
    return t != NULL ? data + (size_t)i * (size_t)(hm_count(t) / hm_dim(t, 0)) : NULL;
}

hm_raw_outputs hm_detector_outputs(hm_detector *d, int32_t i) {
    const hm_prediction *const final = &d->model->outputs[0];
    return (hm_raw_outputs){.queries = (int32_t)hm_dim(d->logits, 1),
                            .classes = (int32_t)hm_dim(d->logits, 2),
                            .mask_h = (int32_t) final->mask_h,
                            .mask_w = (int32_t) final->mask_w,
                            .logits = rows_of(d->logits, d->logits_, i),
                            .boxes = rows_of(d->boxes, d->boxes_, i),
                            .masks = rows_of(d->masks, d->masks_, i)};
}

hm_status hm_detector_detections(hm_detector *d, int32_t i, int32_t w, int32_t h, double threshold,
                                 hm_detections *out) {
    const hm_raw_outputs raw = hm_detector_outputs(d, i);
    const hm_post_options o = {.num_select = d->model->config.num_select,
                               .threshold = threshold,
                               .w = w,
                               .h = h,
                               .threads = d->options.threads};
    return hm_postprocess(out, &raw, &o);
}
