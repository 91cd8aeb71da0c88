/* memory_fit.c: settings near a run's that fit, found by planning them: smaller batches with as many images a step, a
 * lighter precision, a lower resolution, one input size; each alone, then together. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "train/memory.h"

#define ACCUMULATE_MAX 1000000000 /* as train/options.c has it */

/* Variant i of a request, from the nearest to the one that needs least. */
typedef hm_memory_request (*variant)(const hm_memory_request *r, int i);

static bool fits(const hm_memory_request *r, size_t room, size_t *need) {
    hm_memory m;
    if (hm_memory_plan(&m, r) != HM_OK)
        return false;
    *need = hm_memory_total(&m);
    return *need <= room;
}

/* The nearest of n variants that fits, each of which needs less than the one before. */
static bool nearest(hm_memory_request *out, size_t *need, const hm_memory_request *r, variant of, int n, size_t room) {
    int low = 0, high = n;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        const hm_memory_request v = of(r, middle);
        if (fits(&v, room, need))
            high = middle;
        else
            low = middle + 1;
    }
    *out = of(r, low);
    return low < n && fits(out, room, need);
}

/* ---- batches: divisors of the images of a step, so that as many are seen */

static int64_t images_of_step(const hm_memory_request *r) {
    return r->step.model.batch * r->grad_accum_steps;
}

static bool divides(const hm_memory_request *r, int64_t batch) {
    return images_of_step(r) % batch == 0 && images_of_step(r) / batch <= ACCUMULATE_MAX;
}

static int count_batches(const hm_memory_request *r) {
    int n = 0;
    for (int64_t b = r->step.model.batch - 1; b > 0; b--)
        n += divides(r, b);
    return n;
}

static hm_memory_request smaller_batch(const hm_memory_request *r, int i) {
    hm_memory_request v = *r;
    int64_t b = r->step.model.batch - 1;
    for (; b > 0; b--)
        if (divides(r, b) && i-- == 0)
            break;
    if (b == 0)
        return v;
    v.step.model.batch = b;
    v.grad_accum_steps = (int)(images_of_step(r) / b);
    v.step.accumulate = v.grad_accum_steps > 1;
    return v;
}

/* ---- precision: half activations, then half weights too */

static int count_precisions(const hm_memory_request *r) {
    return hm_precision_half(r->step.precision) == HM_F32 ? 2 : !hm_precision_true(r->step.precision);
}

static hm_memory_request lighter_precision(const hm_memory_request *r, int i) {
    hm_memory_request v = *r;
    const bool full = hm_precision_half(r->step.precision) == HM_F32;
    const hm_precision half = full ? hm_precision_resolve(HM_PRECISION_AUTO, r->device) : r->step.precision;
    const bool bf16 = hm_precision_half(half) == HM_BF16;
    if (i >= count_precisions(r))
        return v;
    v.step.precision = full && i == 0 ? half : bf16 ? HM_PRECISION_BF16_TRUE : HM_PRECISION_FP16_TRUE;
    if (r->judged_follows)
        v.judged_in[0] = hm_memory_judged_in(v.step.precision);
    return v;
}

/* ---- resolution */

static int unit(const hm_memory_request *r) {
    return r->config.patch_size * r->config.num_windows;
}

static int count_resolutions(const hm_memory_request *r) {
    return r->config.resolution / unit(r) - 1;
}

static hm_memory_request lower_resolution(const hm_memory_request *r, int i) {
    hm_memory_request v = *r;
    if (i >= count_resolutions(r))
        return v;
    v.config.resolution -= (i + 1) * unit(r);
    return v;
}

/* ---- one input size instead of several */

static hm_memory_request one_size(const hm_memory_request *r, int i) {
    hm_memory_request v = *r;
    (void)i;
    v.multi_scale = false;
    return v;
}

/* ---- in words */

typedef struct words {
    char *text;
    size_t size, at;
    int n; /* settings named */
} words;

static void add(words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(words *w, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    if (w->at < w->size)
        w->at += (size_t)vsnprintf(w->text + w->at, w->size - w->at, fmt, ap);
    va_end(ap);
}

/* What distinguishes a variant: "precision bf16, resolution 264 (2990 MiB)". */
static void name(words *w, const hm_memory_request *r, const hm_memory_request *v, size_t need) {
    const char *comma = "";
    add(w, "%s", w->n++ > 0 ? ", or " : "");
    if (v->step.model.batch != r->step.model.batch) {
        add(w, "batch_size %d with grad_accum_steps %d", (int)v->step.model.batch, v->grad_accum_steps);
        comma = ", ";
    }
    if (v->step.precision != r->step.precision) {
        add(w, "%sprecision %s", comma, hm_precision_name(v->step.precision));
        comma = ", ";
    }
    if (v->config.resolution != r->config.resolution) {
        add(w, "%sresolution %d", comma, v->config.resolution);
        comma = ", ";
    }
    if (v->multi_scale != r->multi_scale)
        add(w, "%smulti_scale false", comma);
    add(w, " (%.0f MiB)", ceil((double)need / 0x1p20));
}

static bool same(const hm_memory_request *r, const hm_memory_request *v) {
    return v->step.model.batch == r->step.model.batch && v->step.precision == r->step.precision &&
           v->config.resolution == r->config.resolution && v->multi_scale == r->multi_scale;
}

/* A lighter precision with the largest batch that it allows; then one size, the smallest
 * batch and the highest resolution. */
static bool mixture(hm_memory_request *v, size_t *need, const hm_memory_request *r, size_t room) {
    const int precisions = count_precisions(r), batches = count_batches(r);
    for (int i = 0; i < precisions; i++) {
        const hm_memory_request p = lighter_precision(r, i);
        if (nearest(v, need, &p, smaller_batch, batches, room))
            return true;
    }
    const hm_memory_request p = precisions > 0 ? lighter_precision(r, precisions - 1) : *r;
    const hm_memory_request smallest = batches > 0 ? smaller_batch(&p, batches - 1) : p;
    const hm_memory_request small = one_size(&smallest, 0);
    if (nearest(v, need, &smallest, one_size, r->multi_scale, room) ||
        nearest(v, need, &small, lower_resolution, count_resolutions(r), room))
        return true;
    *v = count_resolutions(r) > 0 ? lower_resolution(&small, count_resolutions(r) - 1) : small;
    return fits(v, room, need);
}

void hm_memory_nearest(const hm_memory_request *r, size_t room, char *out, size_t size) {
    words w = {.text = out, .size = size};
    hm_memory_request v;
    size_t need = 0;
    add(&w, "what fits is ");
    if (nearest(&v, &need, r, smaller_batch, count_batches(r), room))
        name(&w, r, &v, need);
    if (nearest(&v, &need, r, lighter_precision, count_precisions(r), room))
        name(&w, r, &v, need);
    if (nearest(&v, &need, r, lower_resolution, count_resolutions(r), room))
        name(&w, r, &v, need);
    if (nearest(&v, &need, r, one_size, r->multi_scale, room))
        name(&w, r, &v, need);
    if (w.n > 0)
        return;
    if (mixture(&v, &need, r, room)) {
        name(&w, r, &v, need);
        return;
    }
    w.at = 0;
    if (!same(r, &v)) {
        add(&w, "even ");
        name(&w, r, &v, need);
        add(&w, " does not fit: ");
    }
    add(&w, "take a smaller model");
}
