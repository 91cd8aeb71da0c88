/* test_accumulation.c: what it means that gradients of several batches equal those of one large batch. A batch's losses
 * are divided by its number of objects, and accumulation averages over batches, as upstream does. So where every batch
 * has as many objects, gradients and the update are those of the large batch, to rounding; where not, each batch, not
 * each object, has the same weight. A model without random points, since those belong to a batch. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ok.h"

#include "graph/exec.h"
#include "model/rfdetr.h"
#include "train/bench_batch.h"
#include "train/training.h"

enum { IMAGES = 4, OBJECTS = 3, SIDE = 48 };

typedef struct machine {
    hm_step *step;
    hm_store *store;
    hm_exec *batch, *update;
} machine;

/* seg-micro with masks that an MLP makes. */
static hm_model_config config(void) {
    hm_model_config c;
    OK(hm_model_config_named("seg-micro", &c));
    c.mask_grid = 16;
    return c;
}

static machine make(int images) {
    const hm_model_config c = config();
    machine m = {0};
    hm_step_options o = {.model = {.batch = images, .height = SIDE, .width = SIDE, .training = true},
                         .targets = OBJECTS,
                         .criterion = hm_criterion_defaults(),
                         .optim = hm_optim_defaults(),
                         .accumulate = true};
    o.optim.eps = 1e-4; /* or the sign of rounding noise would decide a first step */
    const hm_exec_options eo = hm_exec_defaults();
    OK(hm_step_build(&m.step, &c, &o));
    OK(hm_store_create(&m.store));
    OK(hm_store_add(m.store, m.step->graph));
    OK(hm_store_add(m.store, m.step->update));
    OK(hm_model_init(&c, m.store, 1));
    OK(hm_exec_create(&m.batch, m.step->graph, m.store, &eo));
    OK(hm_exec_create(&m.update, m.step->update, m.store, &eo));
    return m;
}

static void drop(machine *m) {
    hm_exec_free(m->batch);
    hm_exec_free(m->update);
    hm_store_free(m->store);
    hm_step_free(m->step);
}

/* The pictures from `first` on, as a batch of their own; a view. */
static hm_batch part_of(const hm_batch *all, int first) {
    hm_batch b = *all;
    b.images += (size_t)first * 3 * SIDE * SIDE;
    b.counts += first;
    b.labels += first * OBJECTS;
    b.boxes += (size_t)first * OBJECTS * 4;
    b.masks += (size_t)first * OBJECTS * all->mask_bytes;
    return b;
}

static void add(machine *m, const hm_batch *all, int first, double seed, bool keep) {
    const hm_batch b = part_of(all, first);
    OK(hm_training_give(m->step, m->batch, &b, seed, keep));
    OK(hm_exec_run(m->batch, 1, 0));
}

static hm_batch pictures(const int32_t *counts) {
    hm_batch b;
    OK(hm_bench_batch_make(&b, IMAGES, OBJECTS, SIDE, true));
    memcpy(b.counts, counts, IMAGES * sizeof *counts);
    return b;
}

/* |a - sum_k w_k b_k| / |a| over all tensors whose names begin with `prefix`. */
static double distance(const hm_store *a, const hm_store *const *b, const double *w, int n, const char *prefix) {
    double apart = 0, all = 0;
    for (size_t i = 0; i < hm_store_count(a); i++) {
        const char *name;
        hm_shape shape;
        hm_storage kind;
        const float *const x = hm_store_at(a, i, &name, &shape, &kind), *y[IMAGES];
        if (strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        for (int k = 0; k < n; k++)
            y[k] = hm_store_find(b[k], name, NULL);
        for (int64_t j = 0; j < hm_shape_count(shape); j++) {
            double sum = 0;
            for (int k = 0; k < n; k++)
                sum += w[k] * (double)y[k][j];
            apart += ((double)x[j] - sum) * ((double)x[j] - sum);
            all += (double)x[j] * (double)x[j];
        }
    }
    assert_true(all > 0);
    return sqrt(apart / all);
}

static double apart(const machine *a, const machine *b, const char *prefix) {
    return distance(a->store, (const hm_store *const[]){b->store}, (const double[]){1}, 1, prefix);
}

static void equals_the_large_batch(void **state) {
    (void)state;
    hm_batch all = pictures((const int32_t[]){2, 2, 2, 2});
    machine large = make(IMAGES);
    add(&large, &all, 0, 1, false);
    for (int images = 1; images < IMAGES; images *= 2) {
        machine small = make(images);
        for (int first = 0; first < IMAGES; first += images)
            add(&small, &all, first, (double)images / IMAGES, first > 0);
        const double gradients = apart(&large, &small, HM_STATE_SUM);
        if (!(gradients < 2e-5))
            fail_msg("gradients of batches of %d are %g away", images, gradients);
        OK(hm_exec_run(small.update, 1, 0));
        if (images == 1)
            OK(hm_exec_run(large.update, 1, 0));
        assert_true(apart(&large, &small, "backbone.") < 1e-6);
        assert_true(apart(&large, &small, "transformer.") < 1e-6);
        assert_true(apart(&large, &small, "exp_avg.") < 2e-5);
        drop(&small);
    }
    drop(&large);
    hm_batch_free(&all);
}

/* One batch has 1 object, the other 5: accumulated, g = (g1 + g2) / 2; together, g = (1 g1 + 5 g2) / 6. */
static void weighs_batches(void **state) {
    (void)state;
    hm_batch all = pictures((const int32_t[]){1, 0, 2, 3});
    machine large = make(IMAGES), both = make(2), one = make(2), other = make(2);
    add(&large, &all, 0, 1, false);
    add(&one, &all, 0, 1, false);
    add(&other, &all, 2, 1, false);
    add(&both, &all, 0, 0.5, false);
    add(&both, &all, 2, 0.5, true);
    const hm_store *const parts[] = {one.store, other.store};
    assert_true(distance(both.store, parts, (const double[]){0.5, 0.5}, 2, HM_STATE_SUM) < 1e-6);
    assert_true(distance(large.store, parts, (const double[]){1 / 6.0, 5 / 6.0}, 2, HM_STATE_SUM) < 2e-5);
    assert_true(apart(&large, &both, HM_STATE_SUM) > 1e-2);
    drop(&large);
    drop(&both);
    drop(&one);
    drop(&other);
    hm_batch_free(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_large_batch),
        cmocka_unit_test(weighs_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
