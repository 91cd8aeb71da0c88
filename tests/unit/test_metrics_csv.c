/* test_metrics_csv.c: metrics.csv: rows, columns that come later, resuming, faulty files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/atomic.h"
#include "train/csv_text.h"
#include "train/metrics_csv.h"

static const char *const FIRST[] = {"epoch", "step", "train/loss"};
static char folder[] = "/tmp/hm-metrics-XXXXXX", path[64];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/metrics.csv", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void expect_file(const char *want) {
    char *have;
    size_t len;
    assert_int_equal(hm_file_read(path, 1 << 20, &have, &len), HM_OK);
    assert_string_equal(have, want);
    free(have);
}

static hm_metrics_csv *open_csv(int64_t keep) {
    hm_metrics_csv *m;
    assert_int_equal(hm_metrics_csv_open(&m, path, FIRST, 3, keep), HM_OK);
    return m;
}

static void write_step(hm_metrics_csv *m, double step, double loss) {
    assert_int_equal(hm_metrics_csv_set(m, "epoch", 0), HM_OK);
    assert_int_equal(hm_metrics_csv_set(m, "step", step), HM_OK);
    assert_int_equal(hm_metrics_csv_set(m, "train/loss", loss), HM_OK);
    assert_int_equal(hm_metrics_csv_write_row(m), HM_OK);
}

static void test_rows(void **state) {
    (void)state;
    hm_metrics_csv *const m = open_csv(-1);
    expect_file("epoch,step,train/loss\n");
    write_step(m, 49, 3.25);
    write_step(m, 99, NAN);
    write_step(m, 16777217, -INFINITY);
    assert_int_equal(hm_metrics_csv_write_row(m), HM_OK);
    expect_file("epoch,step,train/loss\n0,49,3.25\n0,99,nan\n0,16777217,-inf\n,,\n");
    hm_metrics_csv_free(m);
    hm_metrics_csv_free(NULL);
}

static void test_later_columns(void **state) {
    (void)state;
    hm_metrics_csv *const m = open_csv(-1);
    write_step(m, 1, 0.1f);
    assert_int_equal(hm_metrics_csv_set(m, "step", 1), HM_OK);
    assert_int_equal(hm_metrics_csv_set(m, "val/AP/\"a\", b", 0.5), HM_OK);
    assert_int_equal(hm_metrics_csv_set(m, "val/loss", 2), HM_OK);
    assert_int_equal(hm_metrics_csv_write_row(m), HM_OK);
    write_step(m, 2, 1);
    expect_file("epoch,step,train/loss,\"val/AP/\"\"a\"\", b\",val/loss\n0,1,0.100000001,,\n,1,,0.5,2\n0,2,1,,\n");
    hm_metrics_csv_free(m);

    hm_metrics_table t;
    assert_int_equal(hm_metrics_table_read(&t, path), HM_OK);
    assert_int_equal(t.n, 5);
    assert_int_equal(t.rows, 3);
    const size_t ap = hm_metrics_table_find(&t, "val/AP/\"a\", b");
    assert_int_equal(ap, 3);
    assert_true(t.values[1 * 5 + ap] == 0.5);
    assert_true(isnan(t.values[0 * 5 + ap]));
    assert_true(hm_metrics_table_find(&t, "loss") == SIZE_MAX);
    hm_metrics_table_free(&t);
    hm_metrics_table_free(NULL);
}

static void put_file(const char *s) {
    assert_int_equal(hm_file_write(path, s, strlen(s)), HM_OK);
}

static void test_resume(void **state) {
    (void)state;
    put_file("step,val/loss\r\n10,1\r\n,7\r\n20,2\r\n30,3\r\n4");
    hm_metrics_csv *const m = open_csv(3);
    assert_int_equal(hm_metrics_csv_rows(m), 3);
    expect_file("step,val/loss,epoch,train/loss\n10,1,,\n,7,,\n20,2,,\n");
    write_step(m, 21, 5);
    expect_file("step,val/loss,epoch,train/loss\n10,1,,\n,7,,\n20,2,,\n21,,0,5\n");
    hm_metrics_csv_free(m);
}

static void test_resume_without_history(void **state) {
    (void)state;
    unlink(path);
    hm_metrics_csv_free(open_csv(5));
    expect_file("epoch,step,train/loss\n");
    put_file("epo");
    hm_metrics_csv_free(open_csv(5));
    expect_file("epoch,step,train/loss\n");
    put_file("other\n1\n");
    hm_metrics_csv_free(open_csv(-1));
    expect_file("epoch,step,train/loss\n");
}

static void test_faults(void **state) {
    (void)state;
    hm_metrics_csv *m;
    hm_metrics_table t;
    put_file("step\n1,2,3,4,5\n");
    assert_int_equal(hm_metrics_csv_open(&m, path, FIRST, 3, 5), HM_ERR_FORMAT);
    assert_non_null(strstr(hm_error_message(), "line 2"));
    assert_int_equal(hm_metrics_table_read(&t, path), HM_ERR_FORMAT);
    put_file("");
    assert_int_equal(hm_metrics_table_read(&t, path), HM_ERR_FORMAT);
    assert_int_equal(hm_metrics_csv_open(&m, path, FIRST, 0, 5), HM_ERR_ARG);
    assert_int_equal(hm_metrics_csv_open(&m, "/nowhere/metrics.csv", FIRST, 3, -1), HM_ERR_IO);
    assert_null(m);
}

static void test_cells(void **state) {
    (void)state;
    char cell[32];
    size_t at = 0;
    const char *const line = "a,\"b,\"\"c\",\"open,";
    assert_int_equal(hm_csv_count(line, strlen(line)), 3);
    assert_true(hm_csv_cell(line, strlen(line), &at, cell));
    assert_string_equal(cell, "a");
    assert_true(hm_csv_cell(line, strlen(line), &at, cell));
    assert_string_equal(cell, "b,\"c");
    assert_false(hm_csv_cell(line, strlen(line), &at, cell));
    assert_string_equal(cell, "open,");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),   cmocka_unit_test(test_later_columns),
        cmocka_unit_test(test_resume), cmocka_unit_test(test_resume_without_history),
        cmocka_unit_test(test_faults), cmocka_unit_test(test_cells),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
