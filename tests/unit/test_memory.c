/* test_memory.c: a run that is too large is refused before it begins, and what the refusal proposes is accepted, by the
 * same limit, with the need that it names. */
#include "small_run.h"

static int make_data(void **state) {
    (void)state;
    return small_data("memory", 4, 2);
}

static hm_train_options options(bool multi_scale) {
    hm_train_options o = small_options(HM_DEVICE_CHOICE_CPU, HM_PRECISION_FP32);
    o.multi_scale = multi_scale;
    o.batch_size = 6;
    o.grad_accum_steps = 2;
    o.threads = 2;
    return o;
}

/* MiB, rounded up. */
static int64_t planned(const hm_train_options *o) {
    hm_training *t;
    OK(hm_training_open(&t, o, NULL));
    const size_t bytes = hm_memory_total(&t->memory);
    hm_training_close(t);
    return (int64_t)((bytes + 0xFFFFF) >> 20);
}

/* The message, which must be one of too little memory. */
static const char *refused(const hm_train_options *o) {
    hm_training *t;
    assert_int_equal(hm_training_open(&t, o, NULL), HM_ERR_MEMORY);
    assert_null(t);
    return hm_error_message();
}

/* The number behind `words` in the message; the test ends when it is not there. */
static int64_t number(const char *message, const char *words) {
    const char *const at = strstr(message, words);
    if (at == NULL)
        fail_msg("no \"%s\" in: %s", words, message);
    return strtoll(at + strlen(words), NULL, 10);
}

/* Of the proposal that begins with `words`: MiB. */
static int64_t need(const char *message, const char *words) {
    const char *const at = strstr(message, words);
    if (at == NULL)
        fail_msg("no \"%s\" in: %s", words, message);
    return number(at, " (");
}

static void check_proposals(bool multi_scale) {
    hm_train_options o = options(multi_scale);
    const int64_t all = planned(&o);
    const int64_t limit = all * 4 / 5;
    o.memory_limit = (int32_t)limit;
    char message[1024];
    snprintf(message, sizeof message, "%s", refused(&o));
    assert_int_equal(number(message, "training needs "), all);
    assert_int_equal(number(message, "memory_limit allows "), limit);
    number(message, "one batch ");
    number(message, "validation ");

    hm_train_options small = o;
    small.batch_size = (int32_t)number(message, "batch_size ");
    small.grad_accum_steps = (int32_t)number(message, "grad_accum_steps ");
    assert_int_equal(small.batch_size * small.grad_accum_steps, 12);
    assert_int_equal(planned(&small), need(message, "batch_size "));
    do
        small.batch_size++;
    while (12 % small.batch_size != 0);
    small.grad_accum_steps = 12 / small.batch_size;
    assert_non_null(refused(&small)); /* the proposal was the nearest */

    hm_train_options half = o;
    assert_non_null(strstr(message, "precision "));
    half.precision = strstr(message, "precision bf16 (") != NULL ? HM_PRECISION_BF16 : HM_PRECISION_FP16;
    assert_int_equal(planned(&half), need(message, "precision "));

    hm_train_options low = o;
    low.resolution = (int32_t)number(message, "resolution ");
    assert_int_equal(planned(&low), need(message, "resolution "));
    low.resolution += 6;
    assert_non_null(refused(&low));

    hm_train_options one = o;
    one.multi_scale = false;
    assert_int_equal(strstr(message, "multi_scale false (") != NULL, multi_scale);
    if (multi_scale)
        assert_int_equal(planned(&one), need(message, "multi_scale false"));
}

static void proposals_fit(void **state) {
    (void)state;
    check_proposals(false);
    check_proposals(true);
}

/* Where no setting alone is enough, several together, or the truth. */
static void check_mixtures(bool multi_scale) {
    hm_train_options o = options(multi_scale), mixed;
    o.resolution = multi_scale ? 48 : 24; /* the smallest of several sizes must have points to compare */
    o.batch_size = 1;
    o.precision = HM_PRECISION_FP16_TRUE;
    const int64_t least = planned(&o);
    o = options(multi_scale);
    o.memory_limit = (int32_t)least;
    mixed = o;
    char message[1024];
    snprintf(message, sizeof message, "%s", refused(&o));
    mixed.batch_size = (int32_t)number(message, "batch_size ");
    mixed.grad_accum_steps = (int32_t)number(message, "grad_accum_steps ");
    mixed.precision = strstr(message, "bf16-true") != NULL ? HM_PRECISION_BF16_TRUE
                      : strstr(message, "bf16") != NULL    ? HM_PRECISION_BF16
                      : strstr(message, "-true") != NULL   ? HM_PRECISION_FP16_TRUE
                                                           : HM_PRECISION_FP16;
    if (strstr(message, "resolution ") != NULL)
        mixed.resolution = (int32_t)number(message, "resolution ");
    if (strstr(message, "multi_scale false") != NULL)
        mixed.multi_scale = false;
    assert_int_equal(planned(&mixed), need(message, "batch_size "));
    o.memory_limit = 1;
    assert_non_null(strstr(refused(&o), "take a smaller model"));
}

static void mixtures_fit(void **state) {
    (void)state;
    check_mixtures(false);
    check_mixtures(true);
}

/* What is planned is what the arenas of all sizes together take, and the largest size decides. */
static void sizes_share_memory(void **state) {
    (void)state;
    hm_train_options o = options(true);
    hm_training *several, *one;
    size_t used = 0;
    OK(hm_training_open(&several, &o, NULL));
    o.multi_scale = false;
    o.resolution = several->sides[several->n_sizes - 1];
    OK(hm_training_open(&one, &o, NULL));
    for (int i = 0; i < several->n_sizes; i++) {
        const size_t of_size = hm_exec_used(several->sizes[i].exec);
        used = of_size > used ? of_size : used;
    }
    assert_int_equal(used, several->memory.batch);
    assert_int_equal(one->memory.batch, several->memory.batch);
    assert_int_equal(one->memory.inputs_of_run, several->memory.inputs_of_run);
    hm_training_close(one);
    hm_training_close(several);
}

static void machines_have_memory(void **state) {
    (void)state;
    hm_room room;
    OK(hm_device_room(HM_DEVICE_CPU, &room));
    assert_true(room.free > 0);
    assert_true(room.free <= (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE));
    assert_string_equal(room.name, "this machine");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proposals_fit),
        cmocka_unit_test(mixtures_fit),
        cmocka_unit_test(sizes_share_memory),
        cmocka_unit_test(machines_have_memory),
    };
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
