/* test_api_threads.c: two predictors and two trainers at once, on the CPU. */
#include "api_threads.h"

static int set_up(void **state) {
    (void)state;
    device = HM_DEVICE_CHOICE_CPU;
    return make_images("api-threads");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(handles_work_at_once)};
    return cmocka_run_group_tests(tests, set_up, drop_images);
}
