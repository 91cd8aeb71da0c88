/* multi_scale.h: training at several input sizes beside training at one, for the tests of either device. */
#ifndef HM_TEST_MULTI_SCALE_H
#define HM_TEST_MULTI_SCALE_H

#include "small_run.h"

enum { SIZES = 8, USED = 3 }; /* 18 to 60 pixels, of which to 30; in the smallest are fewer tokens than queries */

static int make_data(void **state) {
    (void)state;
    return small_data("multi-scale", 3, 1);
}

static hm_train_options scaled_options(hm_device_choice device, hm_precision precision, int accumulate) {
    hm_train_options o = small_options(device, precision);
    o.resolution = 36;
    o.expanded_scales = false;
    o.epochs = 1;
    o.batch_size = 1;
    o.grad_accum_steps = accumulate;
    o.num_workers = 1;
    o.threads = 1;
    o.run_test = false;
    o.deterministic = true;
    return o;
}

/* An image of the training split at this size. */
static void fill_batch(const hm_training *t, int32_t side, int64_t run, hm_batch *b) {
    hm_batch_resize(b, side, side);
    hm_batch_clear(b, 1);
    OK(hm_batch_fill(b, 0, &t->train, (size_t)run % t->train.n_items, (hm_augment){0}, 0));
}

static void new_batch(const hm_training *t, hm_batch *b) {
    const int32_t side = t->sides[t->n_sizes - 1];
    OK(hm_batch_new(b, 1, hm_loader_targets(t->train_loader), side, side, true));
}

static void same_stores(const hm_store *a, const hm_store *b) {
    assert_int_equal(hm_store_count(a), hm_store_count(b));
    for (size_t i = 0; i < hm_store_count(a); i++) {
        const char *name;
        hm_shape shape;
        hm_storage kind;
        hm_dtype dtype;
        hm_store_at(a, i, &name, &shape, &kind);
        const void *const x = hm_store_data(a, name, &shape, &dtype), *const y = hm_store_data(b, name, &shape, &dtype);
        assert_non_null(y);
        if (memcmp(x, y, (size_t)hm_shape_count(shape) * hm_dtype_size(dtype)) != 0)
            fail_msg("%s differs", name);
    }
}

/* A run at one size, at the point at which `all` is. */
static void continue_from(hm_training *one, const hm_training *all) {
    OK(hm_store_copy(one->store, all->store));
    one->runs = one->seen = all->runs;
    one->last_scale = all->last_scale;
}

static void same_outcome(hm_training *all, const hm_losses *expected) {
    bool done;
    OK(hm_training_outcome(all, &done));
    assert_string_equal(all->losses.cause, expected->cause);
    assert_memory_equal(&all->losses, expected, sizeof *expected);
}

/* Every batch of a run that changes its size with each optimizer step has the losses and leaves the weights, bit for
 * bit, of a run at the batch's size alone that begins with the same state; overflows are told in the same words. On the
 * GPU outcomes are looked at one batch late, when another size has been run since. */
static void check_against_single_sizes(const hm_train_options *o, int steps) {
    hm_training *all, *one[USED];
    hm_train_options single[USED];
    hm_losses expected[HM_LATE_MOST] = {{0}};
    hm_batch b;
    OK(hm_training_open(&all, o, NULL));
    assert_int_equal(all->n_sizes, SIZES);
    for (int i = 0; i < USED; i++) {
        single[i] = *o;
        single[i].multi_scale = false;
        single[i].resolution = all->sides[i];
        OK(hm_training_open(&one[i], &single[i], NULL));
    }
    new_batch(all, &b);
    for (int s = 0; s < steps; s++) {
        const int size = s * 2 % USED;
        hm_training *const alone = one[size];
        continue_from(alone, all);
        for (int micro = 0; micro < all->accumulate; micro++) {
            bool done;
            fill_batch(all, all->sides[size], all->runs, &b);
            OK(hm_training_batch(alone, &b));
            OK(hm_training_outcome(alone, &done));
            assert_true(done == (micro == all->accumulate - 1));
            expected[all->runs % HM_LATE_MOST] = alone->losses;
            OK(hm_training_batch(all, &b));
            while (all->runs - all->seen > all->late)
                same_outcome(all, &expected[all->seen % HM_LATE_MOST]);
        }
        same_stores(all->store, alone->store);
    }
    while (all->runs > all->seen)
        same_outcome(all, &expected[all->seen % HM_LATE_MOST]);
    for (int i = 0; i < USED; i++) {
        assert_int_equal(hm_exec_used(all->sizes[i].exec), hm_exec_plan(all->sizes[i].exec)->bytes);
        assert_int_equal(hm_exec_plan(all->sizes[i].exec)->bytes, hm_exec_plan(one[i]->sizes[0].exec)->bytes);
        hm_training_close(one[i]);
    }
    hm_batch_free(&b);
    hm_training_close(all);
}

#endif
