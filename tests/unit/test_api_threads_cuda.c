/* test_api_threads_cuda.c: two predictors and two trainers that take turns on the GPU. */
#include "api_threads.h"

static int set_up(void **state) {
    (void)state;
    device = HM_DEVICE_CHOICE_CUDA;
    return make_images("api-threads-cuda");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(handles_work_at_once)};
    if (!hm_cuda_available())
        return 77;
    if (!hm_cuda_is_real()) { /* emulated, a step takes seconds */
        shown = 1;
        steps = 2;
    }
    return cmocka_run_group_tests(tests, set_up, drop_images);
}
