/* memory.c: the plans of all graphs of a run, and what is stored beside them, added up. */
#include "train/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/loader.h"
#include "train/training.h"

size_t hm_memory_total(const hm_memory *m) {
    return m->batch + m->update + m->inputs + m->weights + m->gradients + m->moments + m->averages + m->validation +
           m->saving + m->libraries;
}

hm_precision hm_memory_judged_in(hm_precision training) {
    const hm_dtype half = hm_precision_half(training);
    return half == HM_F16 ? HM_PRECISION_FP16 : half == HM_BF16 ? HM_PRECISION_BF16 : HM_PRECISION_FP32;
}

static hm_exec_options exec_options(const hm_memory_request *r) {
    hm_exec_options o = hm_exec_defaults();
    o.device = r->device;
    o.threads = r->threads > 0 ? r->threads : o.threads;
    return o;
}

/* ---- what is stored */

static size_t gather(const hm_graph *g, const hm_tensor **list) {
    size_t n = 0;
    for (size_t i = 0; g != NULL && i < g->n_tensors; i++) {
        const hm_tensor *const t = g->tensors[i];
        if (hm_is_stored(t))
            list[n++] = t;
    }
    return n;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const hm_tensor *const *)a)->name, (*(const hm_tensor *const *)b)->name);
}

static void add_stored(hm_memory *m, const hm_tensor *t) {
    size_t *const to = t->storage == HM_PARAM                                      ? &m->weights
                       : strncmp(t->name, HM_STATE_SUM, strlen(HM_STATE_SUM)) == 0 ? &m->gradients
                       : strncmp(t->name, "ema.", 4) == 0                          ? &m->averages
                                                                                   : &m->moments;
    *to += hm_stored_bytes(t->shape, t->dtype);
}

/* The graphs of a step share what has the same name. */
static hm_status plan_store(hm_memory *m, const hm_step *s) {
    const hm_tensor **list;
    HM_TRY(hm_alloc(&list, s->graph->n_tensors + (s->update != NULL ? s->update->n_tensors : 0) + 1, sizeof *list));
    size_t n = gather(s->graph, list);
    n += gather(s->update, list + n);
    qsort(list, n, sizeof *list, by_name);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(list[i]->name, list[i - 1]->name) != 0)
            add_stored(m, list[i]);
    free(list);
    return HM_OK;
}

/* ---- graphs */

static hm_status plan_graph(hm_plan *out, hm_memory *m, const hm_step *s, const hm_graph *g,
                            const hm_memory_request *r) {
    const hm_exec_options o = exec_options(r);
    const hm_tensor *watched[HM_WATCHED_MOST];
    const int n = hm_training_watched(s, g, watched);
    m->inputs += hm_exec_own_bytes(r->device) + hm_exec_watch_bytes(watched, n, r->device);
    return hm_plan_make(out, g, &o);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static hm_status plan_batch(hm_memory *m, const hm_step *s, const hm_memory_request *r) {
    hm_plan plan;
    HM_TRY(plan_graph(&plan, m, s, s->graph, r));
    m->batch = larger(m->batch, plan.bytes);
    m->unshared = larger(m->unshared, plan.unshared);
    m->inputs_of_run = larger(m->inputs_of_run, plan.inputs);
    hm_plan_free(&plan);
    return HM_OK;
}

static hm_status plan_update(hm_memory *m, const hm_step *s, const hm_memory_request *r) {
    hm_plan plan;
    HM_TRY(plan_graph(&plan, m, s, s->update, r));
    m->update = plan.bytes;
    m->inputs += hm_arena_feed_bytes(plan.inputs, r->device);
    hm_plan_free(&plan);
    return HM_OK;
}

/* What all sizes have alike, update and stored tensors, is the first's. */
static hm_status plan_step(hm_memory *m, const hm_memory_request *r, const hm_step *s, bool first) {
    HM_TRY(plan_batch(m, s, r));
    if (first && s->update != NULL)
        HM_TRY(plan_update(m, s, r));
    return first ? plan_store(m, s) : HM_OK;
}

static hm_status plan_size(hm_memory *m, const hm_memory_request *r, int32_t side, bool first) {
    hm_step_options o = r->step;
    hm_step *s;
    o.model.height = o.model.width = side;
    HM_TRY(hm_step_build(&s, &r->config, &o));
    const hm_status st = plan_step(m, r, s, first);
    hm_step_free(s);
    return st;
}

/* Averages and widened half weights are judged in memory of their own. */
static hm_status plan_validation(hm_memory *m, const hm_memory_request *r) {
    const bool apart = r->step.optim.ema || hm_precision_true(r->step.precision);
    for (int i = 0; i < r->n_judged; i++) {
        const hm_detector_options d = {.batch = (int32_t)r->step.model.batch,
                                       .threads = r->threads,
                                       .device = r->device,
                                       .precision = r->judged_in[i]};
        hm_detector_memory need;
        HM_TRY(hm_detector_plan(&need, &r->config, &d));
        m->validation += need.activations + need.inputs + (apart && i == 0 ? need.weights : 0);
    }
    return HM_OK;
}

/* Batches that the loaders hold: on the host, and so the CPU's. */
static size_t loaders(const hm_memory_request *r, int32_t largest) {
    const int32_t batch = (int32_t)r->step.model.batch, side = r->config.resolution;
    if (r->device != HM_DEVICE_CPU || r->valid_targets == 0)
        return 0;
    return HM_LOADER_AHEAD *
           (hm_batch_bytes(batch, (int32_t)r->step.targets, largest, largest, r->config.segmentation) +
            hm_batch_bytes(batch, r->valid_targets, side, side, false));
}

/* What is no graph of a step; those have been planned. */
static hm_status plan_rest(hm_memory *m, const hm_memory_request *r, int32_t largest) {
    HM_TRY(plan_validation(m, r));
    m->inputs += hm_arena_feed_bytes(m->inputs_of_run, r->device) + loaders(r, largest);
    if (r->device == HM_DEVICE_CPU && r->n_judged > 0)
        m->saving = m->weights + m->moments + m->averages;
    m->libraries = hm_device_libraries(r->device);
    return HM_OK;
}

hm_status hm_memory_plan(hm_memory *out, const hm_memory_request *r) {
    int32_t sides[HM_SCALES_MOST];
    const int n = hm_scales_of_run(&r->config, r->multi_scale, r->expanded_scales, sides);
    memset(out, 0, sizeof *out);
    for (int i = 0; i < n; i++)
        HM_TRY(plan_size(out, r, sides[i], i == 0));
    return plan_rest(out, r, sides[n - 1]);
}

hm_status hm_memory_plan_built(hm_memory *out, const hm_memory_request *r, const hm_step *const *steps, int n) {
    memset(out, 0, sizeof *out);
    for (int i = 0; i < n; i++)
        HM_TRY(plan_step(out, r, steps[i], i == 0));
    return plan_rest(out, r, (int32_t)hm_dim(steps[n - 1]->model->images, -1));
}

void hm_memory_text(const hm_memory *m, char *out, size_t size) {
    const struct {
        const char *name;
        size_t bytes;
    } parts[] = {{"one batch", m->batch},    {"update", m->update},         {"inputs", m->inputs},
                 {"weights", m->weights},    {"gradients", m->gradients},   {"moments", m->moments},
                 {"averages", m->averages},  {"validation", m->validation}, {"saving", m->saving},
                 {"libraries", m->libraries}};
    size_t at = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].bytes >= (size_t)1 << 16 && at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s %.1f", at > 0 ? ", " : "", parts[i].name,
                                   (double)parts[i].bytes / 0x1p20);
    if (at < size)
        snprintf(out + at, size - at, " MiB");
}
