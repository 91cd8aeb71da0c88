/* turn.c: one lock, under which the device is opened, too. */
#include "device/turn.h"

#include <pthread.h>

static pthread_mutex_t gpu_turn = PTHREAD_MUTEX_INITIALIZER;

void hm_turn_take(bool gpu) {
    if (gpu)
        pthread_mutex_lock(&gpu_turn);
}

void hm_turn_give(bool gpu) {
    if (gpu)
        pthread_mutex_unlock(&gpu_turn);
}

bool hm_turn_needed(hm_device_choice choice) {
    if (choice != HM_DEVICE_CHOICE_AUTO)
        return choice == HM_DEVICE_CHOICE_CUDA;
    hm_turn_take(true);
    const bool there = hm_cuda_is_real() && hm_cuda_available();
    hm_turn_give(true);
    return there;
}

bool hm_turn_begin(hm_device_choice choice) {
    const bool gpu = hm_turn_needed(choice);
    hm_turn_take(gpu);
    return gpu;
}

void hm_turn_end(const bool *gpu) {
    hm_turn_give(*gpu);
}
