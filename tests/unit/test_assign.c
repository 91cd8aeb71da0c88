/* test_assign.c: the assignment solver against recorded scipy answers, every permutation of small problems, and the
 * rules that scipy's users rely on (strides, non-finite costs, empty sides). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "golden_json.h"
#include "io/safetensors.h"
#include "ops/assign/assign.h"

/* Checks that col4row [rows] uses min(rows, cols) columns once each; returns the total cost. */
static double total_of(const float *cost, int64_t rows, int64_t cols, int64_t ld, const int32_t *col4row) {
    bool *const taken = calloc((size_t)cols + 1, sizeof *taken);
    assert_non_null(taken);
    double total = 0;
    int64_t pairs = 0;
    for (int64_t i = 0; i < rows; i++) {
        if (col4row[i] == -1)
            continue;
        assert_in_range(col4row[i], 0, cols - 1);
        assert_false(taken[col4row[i]]);
        taken[col4row[i]] = true;
        total += (double)cost[i * ld + col4row[i]];
        pairs++;
    }
    free(taken);
    assert_int_equal(pairs, rows < cols ? rows : cols);
    return total;
}

static const hm_safetensor *tensor(const hm_safetensors *s, const char *name, const char *part) {
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, part);
    const hm_safetensor *const t = hm_safetensors_find(s, full);
    if (t == NULL)
        fail_msg("no %s", full);
    return t;
}

/* Copy of a tensor's data, aligned. */
static void *values_of(const hm_safetensor *t) {
    void *const p = malloc(t->bytes + 1);
    assert_non_null(p);
    if (t->bytes > 0)
        memcpy(p, t->data, t->bytes);
    return p;
}

/* The recorded row and column indices, row by row. */
static void same_pairs(const hm_safetensors *s, const char *name, int64_t rows, const int32_t *col4row) {
    int32_t *const row = values_of(tensor(s, name, "row")), *const col = values_of(tensor(s, name, "col"));
    const size_t n = tensor(s, name, "row")->bytes / sizeof(int32_t);
    size_t at = 0;
    for (int64_t i = 0; i < rows; i++) {
        const bool paired = at < n && row[at] == i;
        assert_int_equal(col4row[i], paired ? col[at] : -1);
        at += paired;
    }
    assert_int_equal(at, n);
    free(row);
    free(col);
}

static void one_case(const hm_safetensors *s, const cJSON *c) {
    const char *const name = golden_get(c, "name")->valuestring;
    const hm_safetensor *const t = tensor(s, name, "cost");
    const int64_t rows = t->shape[0], cols = t->shape[1];
    float *const cost = values_of(t);
    int32_t *const col4row = malloc(((size_t)rows + 1) * sizeof *col4row);
    assert_non_null(col4row);
    assert_int_equal(hm_assign_solve(cost, rows, cols, cols, col4row), HM_OK);
    const double want = golden_number(c, "total"), got = total_of(cost, rows, cols, cols, col4row);
    if (!(fabs(got - want) <= 1e-12 * fmax(1, fabs(want))))
        fail_msg("%s costs %.17g, recorded %.17g", name, got, want);
    if (cJSON_IsTrue(golden_get(c, "unique")))
        same_pairs(s, name, rows, col4row);
    free(cost);
    free(col4row);
}

static void recorded_answers(void **state) {
    (void)state;
    cJSON *const cases = golden_read("assignment/assignment.json");
    hm_safetensors *s = NULL;
    assert_int_equal(hm_safetensors_open(HM_GOLDEN_DIR "/assignment/assignment.safetensors", &s), HM_OK);
    int n = 0;
    const cJSON *c;
    cJSON_ArrayForEach(c, cases) {
        one_case(s, c);
        n++;
    }
    assert_true(n > 0);
    assert_int_equal(3 * n, hm_safetensors_count(s));
    hm_safetensors_close(s);
    cJSON_Delete(cases);
}

/* Cheapest way to give rows i.. their columns, each row one of the columns not yet used (rows <= cols). */
static double cheapest(const float *cost, int64_t rows, int64_t cols, int64_t ld, int64_t i, unsigned used) {
    if (i == rows)
        return 0;
    double best = INFINITY;
    for (int64_t j = 0; j < cols; j++)
        if (!(used >> j & 1))
            best = fmin(best, (double)cost[i * ld + j] + cheapest(cost, rows, cols, ld, i + 1, used | 1u << j));
    return best;
}

/* Whole costs with many ties are exact in any order of the sum. The row stride is larger than the row. */
static void every_permutation(void **state) {
    (void)state;
    const uint64_t key = hm_rng_key(5, "assign");
    uint64_t draw = 0;
    float cost[6 * 9], turned[6 * 9];
    int32_t col4row[6];
    for (int trial = 0; trial < 400; trial++) {
        const int64_t rows = 1 + trial % 6, cols = 1 + trial / 6 % 6, ld = 9;
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++)
                cost[i * ld + j] = turned[j * ld + i] = floorf(12 * hm_rng_uniform(key, draw++)) - 4;
        assert_int_equal(hm_assign_solve(cost, rows, cols, ld, col4row), HM_OK);
        const double want =
            rows <= cols ? cheapest(cost, rows, cols, ld, 0, 0) : cheapest(turned, cols, rows, ld, 0, 0);
        assert_true(total_of(cost, rows, cols, ld, col4row) == want);
    }
}

static void empty_sides(void **state) {
    (void)state;
    const float cost[3] = {1, 2, 3};
    int32_t col4row[3] = {7, 7, 7};
    assert_int_equal(hm_assign_solve(cost, 3, 0, 1, col4row), HM_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(col4row[i], -1);
    assert_int_equal(hm_assign_solve(cost, 0, 3, 3, col4row), HM_OK);
}

static void non_finite_costs_are_refused(void **state) {
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    int32_t col4row[2];
    for (int i = 0; i < 3; i++) {
        const float cost[] = {1, 2, bad[i], 4};
        assert_int_equal(hm_assign_solve(cost, 2, 2, 2, col4row), HM_ERR_ARG);
        assert_non_null(strstr(hm_error_message(), "row 1, column 0"));
    }
}

/* Differences far below the largest cost must not send the search astray. */
static void wide_range(void **state) {
    (void)state;
    const float cost[] = {1e30f, 1, 3, 2, 1e30f, 1, 1, 2, 1e30f};
    int32_t col4row[3];
    assert_int_equal(hm_assign_solve(cost, 3, 3, 3, col4row), HM_OK);
    assert_int_equal(col4row[0], 1);
    assert_int_equal(col4row[1], 2);
    assert_int_equal(col4row[2], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_answers), cmocka_unit_test(every_permutation),
        cmocka_unit_test(empty_sides),      cmocka_unit_test(non_finite_costs_are_refused),
        cmocka_unit_test(wide_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
