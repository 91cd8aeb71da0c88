/* opcheck.c: the harness behind every op's test.c.
 *
 *     opcheck [--op FOLDER] [--case NAME] [--isa scalar|avx2|avx512] [--device cpu|cuda] [--list]
 *
 * Every case runs: reference in double; each instruction set against it, with guard bytes and NaN-poisoned results,
 * with one thread and with several (the results must be the same bytes); reference gradients against finite
 * differences; and all of it again with every input, output and gradient stored in bf16, then in fp16. A failing case
 * prints the line that reruns it.
 *
 * With --device cuda the GPU's kernels take the place of the instruction sets: as they are used, and deterministic,
 * where runs enqueued one by one, captured and replayed must give the same bytes; and with products in TF32. Without a
 * GPU the program exits with 77. */
#include "opcheck/opcheck.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "graph/exec.h"
#include "graph/op.h"

#define MAX_TENSORS 64

typedef struct oc_tensor {
    hm_tensor *t;
    bool differentiable;
    double *values; /* floats as double */
    int32_t *ints;
    uint8_t *bytes;
} oc_tensor;

struct oc_state {
    const char *folder, *only_case, *only_isa;
    char name[96];
    uint64_t key, draws;
    oc_tensor in[MAX_TENSORS];
    int n_in;
    hm_tensor *out[MAX_TENSORS];
    int n_out;
    hm_tensor *seed[MAX_TENSORS]; /* cotangents, by output; NULL without gradient */
    hm_tensor *full[MAX_TENSORS]; /* not stored in half */
    int n_full;
    double tol_norm, tol_element, h;
    double half_factor; /* of the tolerances in half; 0: not run in half */
    hm_dtype dtype;     /* in which floats are stored at the moment */
    int passed, failed;
    bool bad;              /* this case */
    bool list, cuda, tf32; /* tf32: in the run at hand */
};

static void die(const char *what) {
    fprintf(stderr, "opcheck: %s: %s\n", what, hm_error_message());
    exit(2);
}

static void must(hm_status st, const char *what) {
    if (st != HM_OK)
        die(what);
}

static void fail(struct oc_state *s, const char *isa, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct oc_state *s, const char *isa, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    printf("FAIL %s/%s (%s): ", s->folder, s->name, hm_dtype_name(s->dtype));
    vprintf(fmt, ap);
    printf("\n     rerun: opcheck --op %s --case %s%s%s\n", s->folder, s->name,
           isa == NULL ? ""
           : s->cuda   ? " --device "
                       : " --isa ",
           isa != NULL ? isa : "");
    va_end(ap);
    s->bad = true;
}

bool oc_case(oc *o, const char *name) {
    struct oc_state *const s = o->s;
    if (s->list)
        printf("%s/%s\n", s->folder, name);
    if (s->list || (s->only_case != NULL && strcmp(s->only_case, name) != 0))
        return false;
    snprintf(s->name, sizeof s->name, "%s", name);
    s->key = hm_rng_key(1, name);
    s->draws = 0;
    s->n_in = s->n_out = s->n_full = 0;
    s->tol_norm = 1e-5;
    s->tol_element = 1e-4;
    s->h = 1e-5;
    s->half_factor = 1;
    s->dtype = HM_F32;
    s->bad = false;
    must(hm_graph_create(&o->g), name);
    hm_graph_scope(o->g, "%s", name);
    return true;
}

static double draw(struct oc_state *s, double lo, double hi) {
    return lo + (hi - lo) * (double)hm_rng_uniform(s->key, s->draws++);
}

static void *room(size_t n, size_t size) {
    void *const p = calloc(n ? n : 1, size);
    if (p == NULL)
        die("out of memory");
    return p;
}

static oc_tensor *slot(struct oc_state *s) {
    if (s->n_in == MAX_TENSORS)
        die("too many inputs in one case");
    oc_tensor *const x = &s->in[s->n_in++];
    *x = (oc_tensor){0};
    return x;
}

static hm_tensor *add_floats(oc *o, hm_tensor *t, const double *values, double lo, double hi, bool differentiable) {
    oc_tensor *const x = slot(o->s);
    const size_t n = t != NULL ? (size_t)hm_count(t) : 0;
    x->t = t;
    x->differentiable = differentiable;
    x->values = room(n, sizeof(double));
    for (size_t i = 0; i < n; i++) /* exact in float, so that both runs see the same numbers */
        x->values[i] = (float)(values != NULL ? values[i] : draw(o->s, lo, hi));
    if (t != NULL)
        t->needs_grad = differentiable;
    return t;
}

static hm_tensor *new_input(oc *o, hm_dtype dtype, hm_shape shape) {
    char name[32];
    snprintf(name, sizeof name, "in%d", o->s->n_in);
    return hm_graph_input(o->g, name, dtype, shape);
}

hm_tensor *oc_input(oc *o, hm_shape shape, double lo, double hi) {
    return add_floats(o, new_input(o, HM_F32, shape), NULL, lo, hi, true);
}

hm_tensor *oc_input_values(oc *o, hm_shape shape, const double *values) {
    return add_floats(o, new_input(o, HM_F32, shape), values, 0, 0, true);
}

hm_tensor *oc_constant(oc *o, hm_shape shape, double lo, double hi) {
    return add_floats(o, new_input(o, HM_F32, shape), NULL, lo, hi, false);
}

hm_tensor *oc_constant_values(oc *o, hm_shape shape, const double *values) {
    return add_floats(o, new_input(o, HM_F32, shape), values, 0, 0, false);
}

hm_tensor *oc_state(oc *o, hm_shape shape, double lo, double hi) {
    char name[32];
    snprintf(name, sizeof name, "state%d", o->s->n_in);
    return add_floats(o, hm_graph_state(o->g, name, shape), NULL, lo, hi, false);
}

hm_tensor *oc_ints(oc *o, hm_shape shape, const int32_t *values) {
    hm_tensor *const t = new_input(o, HM_I32, shape);
    oc_tensor *const x = slot(o->s);
    const size_t n = (size_t)hm_shape_count(shape);
    x->t = t;
    x->ints = room(n, sizeof(int32_t));
    if (n > 0)
        memcpy(x->ints, values, n * sizeof(int32_t));
    return t;
}

hm_tensor *oc_ints_random(oc *o, hm_shape shape, int32_t lo, int32_t hi) {
    const size_t n = (size_t)hm_shape_count(shape);
    int32_t *const values = room(n, sizeof(int32_t));
    for (size_t i = 0; i < n; i++)
        values[i] = lo + (int32_t)floor(draw(o->s, 0, (double)hi - lo + 1));
    hm_tensor *const t = oc_ints(o, shape, values);
    free(values);
    return t;
}

hm_tensor *oc_bytes(oc *o, hm_shape shape, const uint8_t *values) {
    hm_tensor *const t = new_input(o, HM_U8, shape);
    oc_tensor *const x = slot(o->s);
    const size_t n = (size_t)hm_shape_count(shape);
    x->t = t;
    x->bytes = room(n, 1);
    if (n > 0)
        memcpy(x->bytes, values, n);
    return t;
}

void oc_output(oc *o, hm_tensor *t) {
    if (o->s->n_out < MAX_TENSORS)
        o->s->out[o->s->n_out++] = t;
}

hm_tensor *oc_full(oc *o, hm_tensor *t) {
    if (o->s->n_full == MAX_TENSORS)
        die("too many fp32 tensors in one case");
    o->s->full[o->s->n_full++] = t;
    return t;
}

void oc_tolerance(oc *o, double norm, double element) {
    o->s->tol_norm = norm;
    o->s->tol_element = element;
}

void oc_difference_step(oc *o, double h) {
    o->s->h = h;
}

void oc_half(oc *o, double factor) {
    o->s->half_factor = factor;
}

static void end_case(oc *o) {
    struct oc_state *const s = o->s;
    for (int i = 0; i < s->n_in; i++) {
        free(s->in[i].values);
        free(s->in[i].ints);
        free(s->in[i].bytes);
    }
    hm_graph_free(o->g);
    o->g = NULL;
    s->passed += !s->bad;
    s->failed += s->bad;
}

void oc_end_refused(oc *o, const char *words) {
    const hm_status st = hm_graph_status(o->g);
    if (st == HM_OK)
        fail(o->s, NULL, "was accepted, but should be refused with \"%s\"", words);
    else if (strstr(hm_error_message(), words) == NULL)
        fail(o->s, NULL, "refused with \"%s\", not \"%s\"", hm_error_message(), words);
    end_case(o);
}

/* ---- running */

static void feed(struct oc_state *s, hm_exec *e, bool reference) {
    for (int i = 0; i < s->n_in; i++) {
        const oc_tensor *const x = &s->in[i];
        const size_t n = (size_t)hm_count(x->t);
        if (x->t->storage != HM_INPUT && !reference)
            continue; /* the store has it */
        float *const numbers = x->values != NULL && !reference ? room(n, sizeof(float)) : NULL;
        for (size_t k = 0; numbers != NULL && k < n; k++)
            hm_float_put(x->t->dtype, numbers, k, (float)x->values[k]);
        const void *const from = numbers != NULL     ? (const void *)numbers
                                 : x->values != NULL ? (const void *)x->values
                                 : x->ints != NULL   ? (const void *)x->ints
                                                     : (const void *)x->bytes;
        must(hm_exec_write(e, x->t, from), s->name);
        free(numbers);
    }
}

static hm_exec *start(oc *o, hm_store *store, const hm_exec_options *opt) {
    hm_exec *e = NULL;
    must(hm_exec_create(&e, o->g, store, opt), o->s->name);
    return e;
}

/* What is compared: outputs, gradients of differentiable inputs, states. */
static int gather(oc *o, hm_tensor **list, const char **what) {
    struct oc_state *const s = o->s;
    int n = 0;
    for (int i = 0; i < s->n_out; i++) {
        what[n] = "output";
        list[n++] = s->out[i];
    }
    for (int i = 0; i < s->n_in; i++) {
        if (s->in[i].t->storage == HM_STATE) {
            what[n] = "state";
            list[n++] = s->in[i].t;
        } else if (s->in[i].differentiable && hm_graph_grad(o->g, s->in[i].t) != NULL) {
            what[n] = "gradient of";
            list[n++] = hm_graph_grad(o->g, s->in[i].t);
        }
    }
    return n;
}

/* Bit tests, so that no compiler flag can hide a NaN. */
static bool not_finite(double v) {
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return (u & 0x7FF0000000000000ull) == 0x7FF0000000000000ull;
}

/* Roundings of a stored half, or of TF32 operands, which have fp16's bits: a few units in the last place along the
 * longest chain of a case. */
static double half_tolerance(const struct oc_state *s, hm_dtype stored) {
    const double unit = stored == HM_BF16 ? 0x1p-8 : stored == HM_F16 || s->tf32 ? 0x1p-11 : 0;
    return 2 * s->half_factor * unit;
}

static void compare_floats(struct oc_state *s, const char *isa, const char *what, int index, hm_dtype stored,
                           const void *data, const double *want, size_t n) {
    double diff = 0, norm = 0, largest = 0, worst = 0;
    const double most = hm_dtype_max(s->dtype), half = half_tolerance(s, s->dtype);
    const double tol_norm = fmax(s->tol_norm, half), tol_element = fmax(s->tol_element, 2 * half);
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, not_finite(want[i]) ? 0 : fabs(want[i]));
    for (size_t i = 0; i < n; i++) {
        const double got = (double)hm_float_at(stored, data, i);
        if (not_finite(want[i]) || not_finite(got)) {
            if (want[i] == got || (not_finite(got) && fabs(want[i]) > most)) /* equal infinities, or out of range */
                continue;
            fail(s, isa, "%s %d [%zu] is %g, expected %g", what, index, i, got, want[i]);
            return;
        }
        const double d = fabs(got - want[i]);
        diff += d * d;
        norm += want[i] * want[i];
        if (d > worst) {
            worst = d;
            at = i;
        }
    }
    /* below the normal numbers a half has a fixed grid */
    const double grid = s->dtype == HM_F16 ? s->half_factor * 0x1p-24 : 0;
    const double floor_ = 1e-30 + grid, at_worst = n > 0 ? (double)hm_float_at(stored, data, at) : 0;
    if (!(sqrt(diff) <= tol_norm * sqrt(norm) + floor_ * sqrt((double)n + 1)))
        fail(s, isa, "%s %d differs by %.3g in norm (allowed %.3g); worst at [%zu]: %.9g, expected %.9g", what, index,
             sqrt(diff) / (sqrt(norm) + floor_), tol_norm, at, at_worst, want[at]);
    else if (!(worst <= tol_element * largest + floor_))
        fail(s, isa, "%s %d [%zu] is %.9g, expected %.9g", what, index, at, at_worst, want[at]);
}

/* The numbers of a tensor, wherever they lie; free(). */
static void *numbers_of(oc *o, hm_exec *e, const hm_tensor *t) {
    void *const p = room((size_t)hm_count(t), hm_dtype_size(t->dtype));
    must(hm_exec_read(e, t, p), o->s->name);
    return p;
}

static void compare(oc *o, hm_exec *ref, hm_exec *run, const char *isa) {
    hm_tensor *list[3 * MAX_TENSORS];
    const char *what[3 * MAX_TENSORS];
    const int n = gather(o, list, what);
    for (int i = 0; i < n; i++) {
        const size_t count = (size_t)hm_count(list[i]);
        const void *const a = hm_exec_data(ref, list[i]);
        void *const b = numbers_of(o, run, list[i]);
        if (hm_dtype_is_float(list[i]->dtype))
            compare_floats(o->s, isa, what[i], i, list[i]->dtype, b, a, count);
        else if (memcmp(a, b, count * hm_dtype_size(list[i]->dtype)) != 0)
            fail(o->s, isa, "%s %d (%s) differs", what[i], i, hm_dtype_name(list[i]->dtype));
        free(b);
    }
}

static uint64_t digest(oc *o, hm_exec *e) {
    hm_tensor *list[3 * MAX_TENSORS];
    const char *what[3 * MAX_TENSORS];
    const int n = gather(o, list, what);
    uint64_t h = 0xCBF29CE484222325ull;
    for (int i = 0; i < n; i++) {
        unsigned char *const p = numbers_of(o, e, list[i]);
        const size_t bytes = (size_t)hm_count(list[i]) * hm_dtype_size(list[i]->dtype);
        for (size_t k = 0; k < bytes; k++)
            h = (h ^ p[k]) * 0x100000001B3ull;
        free(p);
    }
    return h;
}

/* States change in place: every run starts from a fresh store. */
static hm_store *fresh_store(oc *o) {
    hm_store *store = NULL;
    must(hm_store_create(&store), o->s->name);
    must(hm_store_add(store, o->g), o->s->name);
    for (int i = 0; i < o->s->n_in; i++) {
        const oc_tensor *const x = &o->s->in[i];
        if (x->t->storage == HM_STATE)
            for (int64_t k = 0; k < hm_count(x->t); k++)
                hm_store_find(store, x->t->name, NULL)[k] = (float)x->values[k];
    }
    return store;
}

static void check_isa(oc *o, hm_exec *ref, hm_isa isa) {
    uint64_t first = 0;
    for (int threads = 1; threads <= 3; threads += 2) {
        hm_store *const store = fresh_store(o);
        const hm_exec_options opt = {.guard = true, .isa = isa, .threads = threads};
        hm_exec *const e = start(o, store, &opt);
        feed(o->s, e, false);
        if (hm_exec_run(e, 7, 3) != HM_OK)
            fail(o->s, hm_isa_name(isa), "%s", hm_error_message());
        else if (threads == 1)
            compare(o, ref, e, hm_isa_name(isa));
        const uint64_t h = digest(o, e);
        if (threads == 1)
            first = h;
        else if (!o->s->bad && h != first)
            fail(o->s, hm_isa_name(isa), "%d threads give other bits than one", threads);
        hm_exec_free(e);
        hm_store_free(store);
    }
}

static bool has_state(const struct oc_state *s) {
    for (int i = 0; i < s->n_in; i++)
        if (s->in[i].t->storage == HM_STATE)
            return true;
    return false;
}

/* As it is used, with guards; false when it cannot run. */
static void check_cuda_guarded(oc *o, hm_exec *ref) {
    hm_store *const store = fresh_store(o);
    const hm_exec_options opt = {.guard = true, .device = HM_DEVICE_CUDA, .tf32 = o->s->tf32, .threads = 1};
    hm_exec *e = NULL;
    hm_status st = hm_exec_create(&e, o->g, store, &opt);
    if (st == HM_OK) {
        feed(o->s, e, false);
        st = hm_exec_run(e, 7, 3);
    }
    if (st != HM_OK)
        fail(o->s, "cuda", "%s", hm_error_message());
    else
        compare(o, ref, e, "cuda");
    hm_exec_free(e);
    hm_store_free(store);
}

/* Memory reused, bits the same however it is run. Where a run changes its own inputs only the first counts. */
static void check_cuda_deterministic(oc *o, hm_exec *ref) {
    hm_store *const store = fresh_store(o);
    const hm_exec_options opt = {.deterministic = true, .device = HM_DEVICE_CUDA, .threads = 1};
    hm_exec *const e = start(o, store, &opt);
    uint64_t first = 0;
    for (int run = 0; run < (has_state(o->s) ? 1 : 3) && !o->s->bad; run++) {
        feed(o->s, e, false);
        if (hm_exec_run(e, 7, 3) != HM_OK) {
            fail(o->s, "cuda", "%s", hm_error_message());
            break;
        }
        if (run == 0)
            compare(o, ref, e, "cuda");
        const uint64_t h = digest(o, e);
        if (run > 0 && h != first)
            fail(o->s, "cuda", "run %d gives other bits than the first", run);
        first = h;
    }
    hm_exec_free(e);
    hm_store_free(store);
}

/* <cotangents, outputs> of the reference run. */
static double scalar(oc *o, hm_exec *e) {
    double sum = 0;
    for (int i = 0; i < o->s->n_out; i++) {
        if (o->s->seed[i] == NULL)
            continue;
        const double *const y = hm_exec_data(e, o->s->out[i]), *const c = hm_exec_data(e, o->s->seed[i]);
        for (int64_t k = 0; k < hm_count(o->s->out[i]); k++)
            sum += y[k] * c[k];
    }
    return sum;
}

/* (f(x + h d) - f(x - h d)) / 2h along direction d; exact to O(h^2). */
static double slope(oc *o, hm_exec *e, const hm_tensor *t, const double *d, double h) {
    double *const x = hm_exec_data(e, t);
    const size_t n = (size_t)hm_count(t);
    double *const keep = room(n, sizeof(double));
    memcpy(keep, x, n * sizeof(double));
    double f[2];
    for (int side = 0; side < 2; side++) {
        for (size_t k = 0; k < n; k++)
            x[k] = keep[k] + (side ? -h : h) * d[k];
        must(hm_exec_run(e, 7, 3), "finite differences");
        f[side] = scalar(o, e);
    }
    memcpy(x, keep, n * sizeof(double));
    free(keep);
    return (f[0] - f[1]) / (2 * h);
}

/* Two random directions and a few single coordinates for each differentiable input. */
static void check_differences(oc *o, hm_exec *e) {
    struct oc_state *const s = o->s;
    for (int i = 0; i < s->n_in && s->h > 0; i++) {
        hm_tensor *const t = s->in[i].t;
        hm_tensor *const grad = hm_graph_grad(o->g, t);
        const size_t n = (size_t)hm_count(t);
        if (!s->in[i].differentiable || n == 0)
            continue;
        double *const d = room(n, sizeof(double)), *const g = room(n, sizeof(double));
        must(hm_exec_run(e, 7, 3), "reference");
        if (grad != NULL)
            memcpy(g, hm_exec_data(e, grad), n * sizeof(double));
        double norm = 0;
        for (size_t k = 0; k < n; k++)
            norm += g[k] * g[k];
        for (int trial = 0; trial < 6 && !s->bad; trial++) {
            double expect = 0, length = 0;
            for (size_t k = 0; k < n; k++)
                d[k] = trial < 2 ? draw(s, -1, 1) : 0;
            if (trial >= 2)
                d[(size_t)draw(s, 0, (double)n)] = 1;
            for (size_t k = 0; k < n; k++) {
                expect += g[k] * d[k];
                length += d[k] * d[k];
            }
            const double got = slope(o, e, t, d, s->h);
            if (!(fabs(got - expect) <= 1e-5 * sqrt(norm * length) + 1e-7 * sqrt(length)))
                fail(s, NULL, "gradient of input %d: rule says %.9g, finite differences %.9g", i, expect, got);
        }
        free(d);
        free(g);
    }
}

static void build_backward(oc *o) {
    struct oc_state *const s = o->s;
    hm_tensor *of[MAX_TENSORS], *seed[MAX_TENSORS];
    int n = 0;
    for (int i = 0; i < s->n_out; i++) {
        s->seed[i] = NULL;
        if (s->out[i] == NULL || !s->out[i]->needs_grad)
            continue;
        s->seed[i] = add_floats(o, new_input(o, HM_F32, s->out[i]->shape), NULL, -1, 1, false);
        of[n] = s->out[i];
        seed[n++] = s->seed[i];
    }
    must(hm_graph_status(o->g), s->name);
    for (int i = 0; i < s->n_out; i++)
        hm_graph_output(o->g, s->out[i], "output%d", i);
    if (n > 0)
        must(hm_graph_backward(o->g, of, seed, n), s->name);
    for (int i = 0; i < s->n_in; i++) {
        hm_tensor *const d = s->in[i].differentiable && n > 0 ? hm_graph_grad(o->g, s->in[i].t) : NULL;
        if (d != NULL)
            hm_graph_output(o->g, d, "gradient%d", i);
    }
}

static void check_type(oc *o, bool differences) {
    struct oc_state *const s = o->s;
    const hm_exec_options opt = {.reference = true, .guard = true, .threads = 1};
    hm_store *const store = fresh_store(o);
    hm_exec *const ref = start(o, store, &opt);
    feed(s, ref, true);
    if (hm_exec_run(ref, 7, 3) != HM_OK)
        fail(s, NULL, "reference: %s", hm_error_message());
    if (s->cuda && !s->bad)
        check_cuda_guarded(o, ref);
    if (s->cuda && !s->bad && !s->tf32)
        check_cuda_deterministic(o, ref);
    for (int isa = 0; isa < HM_ISA_COUNT && !s->bad && !s->cuda; isa++) {
        hm_isa have;
        if (hm_isa_parse(hm_isa_name((hm_isa)isa), &have) == HM_OK &&
            (s->only_isa == NULL || strcmp(s->only_isa, hm_isa_name(have)) == 0))
            check_isa(o, ref, have);
    }
    if (!s->bad && differences && !s->cuda)
        check_differences(o, ref);
    hm_exec_free(ref);
    hm_store_free(store);
}

/* Whether the case wants this tensor in fp32, or the precision policy keeps this result so whatever reads it
 * (statistics, losses). */
static bool stays_full(const struct oc_state *s, const hm_tensor *t) {
    for (int i = 0; i < s->n_full; i++)
        if (s->full[i] == t)
            return true;
    for (size_t i = 0; t->producer != NULL && i < hm_policies_count; i++)
        if (hm_policies[i].op == t->producer->op) {
            const char *const out = hm_policies[i].out;
            int o = 0;
            while (t->producer->out[o] != t)
                o++;
            return out[(size_t)o < strlen(out) ? (size_t)o : strlen(out) - 1] == 'f';
        }
    return false;
}

/* Rounds the inputs' values; false when one is out of range. */
static bool round_inputs(oc *o, hm_dtype half) {
    for (int i = 0; i < o->s->n_in; i++) {
        const oc_tensor *const x = &o->s->in[i];
        if (x->values == NULL || x->t->storage != HM_INPUT || stays_full(o->s, x->t))
            continue;
        for (int64_t k = 0; k < hm_count(x->t); k++) {
            float bits; /* room for either */
            hm_float_put(half, &bits, 0, (float)x->values[k]);
            x->values[k] = (double)hm_float_at(half, &bits, 0);
            if (not_finite(x->values[k]))
                return false;
        }
    }
    return true;
}

/* Rounds them and stores every float tensor of the graph so, but for what the policy keeps in fp32. */
static bool store_in(oc *o, hm_dtype half) {
    if (!round_inputs(o, half))
        return false;
    for (size_t i = 0; i < o->g->n_tensors; i++) {
        hm_tensor *const t = o->g->tensors[i];
        if ((t->storage == HM_TEMP || t->storage == HM_INPUT) && hm_dtype_is_float(t->dtype) && !stays_full(o->s, t))
            t->dtype = half;
    }
    o->s->dtype = half;
    return true;
}

/* Products of fp32 operands in TF32, with fp16's tolerance; inputs have fp16's bits, as in half, so that rounding them
 * moves none over the corner of a ReLU. */
static void check_tf32(oc *o) {
    if (!o->s->cuda || !round_inputs(o, HM_F16))
        return;
    o->s->tf32 = true;
    check_type(o, false);
    o->s->tf32 = false;
}

void oc_end(oc *o) {
    struct oc_state *const s = o->s;
    build_backward(o);
    if (s->n_out == 0)
        fail(s, NULL, "compares nothing");
    check_type(o, true);
    if (s->half_factor > 0 && !s->bad)
        check_tf32(o);
    static const hm_dtype halves[] = {HM_F16, HM_BF16}; /* an fp16 that is rounded to bf16 fits */
    for (int i = 0; i < 2 && s->half_factor > 0 && !s->bad; i++)
        if (store_in(o, halves[i]))
            check_type(o, false);
    end_case(o);
}

#define OC_FOLDER(name) void opcheck_##name(oc *o);
#include "opcheck_folders.def"
#undef OC_FOLDER

static const struct {
    const char *name;
    void (*run)(oc *o);
} folders[] = {
#define OC_FOLDER(name) {#name, opcheck_##name},
#include "opcheck_folders.def"
#undef OC_FOLDER
};

int main(int argc, char **argv) {
    struct oc_state s = {0};
    oc o = {.s = &s};
    const char *op = NULL, *device = "cpu";
    for (int i = 1; i < argc; i++) {
        const char **const target = strcmp(argv[i], "--op") == 0       ? &op
                                    : strcmp(argv[i], "--case") == 0   ? &s.only_case
                                    : strcmp(argv[i], "--isa") == 0    ? &s.only_isa
                                    : strcmp(argv[i], "--device") == 0 ? &device
                                                                       : NULL;
        if (strcmp(argv[i], "--list") == 0) {
            s.list = true;
        } else if (target != NULL && i + 1 < argc) {
            *target = argv[++i];
        } else {
            fprintf(stderr, "usage: opcheck [--op FOLDER] [--case NAME] [--isa scalar|avx2|avx512] [--device cpu|cuda] "
                            "[--list]\n");
            return 2;
        }
    }
    s.cuda = strcmp(device, "cuda") == 0;
    if (s.cuda && !hm_cuda_available()) {
        printf("opcheck: skipped: %s\n", hm_error_message());
        return 77;
    }
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (op != NULL && strcmp(op, folders[i].name) != 0)
            continue;
        s.folder = folders[i].name;
        folders[i].run(&o);
    }
    if (s.list)
        return 0;
    printf("opcheck: %d passed, %d failed\n", s.passed, s.failed);
    return s.failed > 0 || s.passed == 0;
}
