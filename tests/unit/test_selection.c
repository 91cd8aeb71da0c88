/* test_selection.c: which weights become the best, and when a run stops early, against what rfdetr 1.11.2's
 * BestModelCallback and RFDETREarlyStopping did with the same scores. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/selection.h"

enum { MOST = 10 };

/* What each validation wrote: r and e for the best of their kind, and at the end R or E for the better of both. */
typedef struct selection_case {
    hm_judged scores[MOST];
    int n;
    bool use_ema, judges_regular;
    const char *wrote; /* a word a validation, "-" for none, then that of the end */
} selection_case;

#define EMA(x)                                                                                                         \
    { NAN, x }
#define REGULAR(x)                                                                                                     \
    { x, NAN }

static const selection_case cases[] = {
    {{EMA(0.1), EMA(0.3), EMA(0.3), EMA(0.2), EMA(0.4)}, 5, true, false, "e e - - e E"},
    {{EMA(0), EMA(0), EMA(0)}, 3, true, false, "- - - eE"},
    {{EMA(0), EMA(0.2), EMA(0)}, 3, true, false, "- e - E"},
    {{REGULAR(0), REGULAR(0), REGULAR(0.5), REGULAR(0.4)}, 4, false, true, "r - r - R"},
    {{{0.2, 0.1}, {0.3, 0.3}, {0.1, 0.4}, {0.35, 0.2}}, 4, true, true, "re re e r E"},
    {{{0, 0}, {0, 0}}, 2, true, true, "r - eR"},
    {{{0.2, 0.1}, {0.5, 0.5}}, 2, true, true, "re re R"},
};

static void put(char *text, hm_chosen c) {
    strcat(text, c.regular ? "r" : "");
    strcat(text, c.ema ? "e" : "");
    strcat(text, !c.regular && !c.ema ? "- " : " ");
}

static void chooses_as_upstream(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const selection_case *const c = &cases[i];
        hm_selection s = hm_selection_begin();
        char text[64] = "", total = '?';
        for (int k = 0; k < c->n; k++) {
            const hm_chosen now = hm_selection_note(&s, c->scores[k]);
            put(text, now);
            assert_false(now.total_ema && now.total_regular);
            total = now.total_ema ? 'E' : now.total_regular ? 'R' : total;
        }
        const hm_chosen end = hm_selection_end(&s, c->use_ema, c->judges_regular);
        total = end.total_ema ? 'E' : total;
        strcat(text, end.ema ? "e" : "");
        strncat(text, &total, 1);
        assert_string_equal(text, c->wrote);
    }
}

static void knows_the_best(void **state) {
    (void)state;
    hm_selection s = hm_selection_begin();
    assert_true(isnan(hm_selection_best(&s)));
    hm_selection_note(&s, (hm_judged)EMA(0));
    assert_true(hm_selection_best(&s) == 0);
    hm_selection_note(&s, (hm_judged){0.25, 0.125});
    hm_selection_note(&s, (hm_judged){0.125, 0.0625});
    assert_true(hm_selection_best(&s) == 0.25);
}

/* The validation, counted from 1, after which `patience` is used up; 0: none. */
static int stops_at(const hm_judged *scores, int n, int patience, double min_delta, bool ema_only) {
    hm_selection s = hm_selection_begin();
    for (int i = 0; i < n; i++) {
        hm_selection_wait(&s, scores[i], ema_only, min_delta);
        if (s.waited >= patience)
            return i + 1;
    }
    return 0;
}

static void stops_as_upstream(void **state) {
    (void)state;
    const hm_judged rising[] = {EMA(0.1), EMA(0.1005), EMA(0.101), EMA(0.1015), EMA(0.102), EMA(0.1025)};
    assert_int_equal(stops_at(rising, 6, 2, 0, false), 0);
    assert_int_equal(stops_at(rising, 6, 2, 0.00125, false), 3); /* the third is 0.001 above the first */
    assert_int_equal(stops_at(rising, 6, 3, 0.00125, false), 0); /* the fourth is 0.0015 above */
    assert_int_equal(stops_at(rising, 6, 3, 0.01, false), 4);
    const hm_judged apart[] = {{0.1, 0.5}, {0.2, 0.4}, {0.6, 0.3}, {0.3, 0.3}, {0.3, 0.3}};
    assert_int_equal(stops_at(apart, 5, 2, 0.001, false), 5);
    assert_int_equal(stops_at(apart, 5, 2, 0.001, true), 3);
    const hm_judged regular[] = {REGULAR(0), REGULAR(0), REGULAR(0)};
    assert_int_equal(stops_at(regular, 3, 2, 0.001, true), 3);
    assert_int_equal(stops_at(regular, 3, 1, 0.001, false), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chooses_as_upstream),
        cmocka_unit_test(knows_the_best),
        cmocka_unit_test(stops_as_upstream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
