/* test_audit.c: audit.csv and what hm_audit makes of it: tables, advice, picture, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/atomic.h"
#include "train/audit_table.h"

#define HEADER "step,loss_scale,pass,layer,op,stored,count,largest,not_finite,zero,above,below,subnormal\n"

static char dir[64];

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "audit-%d", (int)getpid());
    return hm_make_dirs(dir) == HM_OK ? 0 : 1;
}

static int drop_dir(void **state) {
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* The report on these lines; free(). */
static char *report(const char *lines) {
    char path[100], *text = NULL;
    size_t len = 0;
    snprintf(path, sizeof path, "%s/audit.csv", dir);
    assert_int_equal(hm_file_write(path, lines, strlen(lines)), HM_OK);
    FILE *const to = open_memstream(&text, &len);
    const hm_audit_options o = {.dir = dir, .top = 5};
    const hm_status st = hm_audit(&o, to);
    fclose(to);
    if (st != HM_OK) {
        free(text);
        return NULL;
    }
    return text;
}

static void contains(char *text, const char *words) {
    assert_non_null(text);
    if (strstr(text, words) == NULL)
        fail_msg("\"%s\" is not in:\n%s", words, text);
}

static void names_a_close_layer(void **state) {
    (void)state;
    char *const text = report(HEADER "0,1024,forward,layer.a,linear,fp16,100,50000,0,0,0,0,0\n"
                                     "0,1024,forward,layer.b,linear,fp16,100,12,0,0,0,0,0\n"
                                     "0,1024,backward,layer.a,linear_dx,fp16,100,200,0,0,0,0,0\n");
    contains(text, "layer.a (linear) reaches 5e+04");
    contains(text, "--precision-override 'layer.a=fp32'");
    free(text);
    char png[100];
    snprintf(png, sizeof png, "%s/audit.png", dir);
    assert_int_equal(access(png, R_OK), 0);
}

static void proposes_a_scale(void **state) {
    (void)state;
    char *const text = report(HEADER "0,64,forward,layer.a,linear,fp16,100,10,0,0,0,0,0\n"
                                     "0,64,backward,layer.a,linear_dx,fp16,100,2,0,20,0,40,10\n");
    contains(text, "50.0 % of the gradients' numbers are lost");
    contains(text, "--loss-scale 262144"); /* 14.999 bits to spare, two of them kept */
    free(text);
}

static void proposes_bf16(void **state) {
    (void)state;
    char *const text = report(HEADER "0,64,forward,layer.a,linear,fp16,100,10,0,0,0,0,0\n"
                                     "0,64,backward,layer.a,linear_dx,fp16,100,60000,0,20,0,40,10\n");
    contains(text, "--precision bf16");
    free(text);
}

static void proposes_to_begin_lower(void **state) {
    (void)state;
    char *const text = report(HEADER "0,65536,forward,layer.a,linear,fp16,100,10,0,0,0,0,0\n"
                                     "0,65536,backward,layer.a,linear_dx,fp16,100,400000,0,0,3,0,0\n");
    contains(text, "overflowed by 2.6 bits");
    contains(text, "--loss-scale 8192");
    free(text);
}

static void nothing_to_do(void **state) {
    (void)state;
    char *const text = report(HEADER "0,1,forward,layer.a,linear,fp32,100,10,0,0,0,0,0\n"
                                     "0,1,backward,layer.a,linear_dx,fp32,100,1,0,0,0,0,0\n"
                                     "8,1,forward,layer.a,linear,fp32,100,10,0,0,0,0,0\n"
                                     "8,1,backward,layer.a,linear_dx,fp32,100,1,0,0,0,0,0\n");
    contains(text, "nothing to do");
    contains(text, "stored nothing in fp16");
    contains(text, "in 2 steps (0 to 8)");
    free(text);
}

static void cut_short(void **state) {
    (void)state;
    char *const text = report(HEADER "0,1,forward,layer.a,linear,fp32,100,10,0,0,0,0,0\n"
                                     "0,1,backward,layer.a,linear_dx,fp32,100,1,0,0,0,0,0\n"
                                     "8,1,forward,layer.a,linear,fp32,100,10,0,0,0,0,0\n"
                                     "8,1,backward,lay");
    contains(text, "in 2 steps");
    free(text);
}

static void refusals(void **state) {
    (void)state;
    assert_null(report(HEADER));
    assert_non_null(strstr(hm_error_message(), "no audited step"));
    assert_null(report(HEADER "0,1,forward\n"));
    assert_non_null(strstr(hm_error_message(), "line 2"));
    assert_null(report(HEADER "0,1,forward,a,linear,fp32,1,1,0,0,0,0,0\n1,1,forward,b,linear,fp32,1,1,0,0,0,0,0\n"));
    assert_non_null(strstr(hm_error_message(), "line 3"));
    const hm_audit_options none = {.dir = (char *)"no-such-run", .top = 5};
    assert_int_equal(hm_audit(&none, stdout), HM_ERR_IO);
    assert_non_null(strstr(hm_error_message(), "no-such-run/audit.csv"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_a_close_layer),
        cmocka_unit_test(proposes_a_scale),
        cmocka_unit_test(proposes_bf16),
        cmocka_unit_test(proposes_to_begin_lower),
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(cut_short),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
