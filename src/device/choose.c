/* choose.c: which device a user's word means. */
#include "device/cuda/cuda.h"

hm_status hm_device_choose(hm_device_choice choice, hm_device *out) {
    hm_cuda *d;
    const bool there = choice == HM_DEVICE_CHOICE_AUTO && hm_cuda_is_real() && hm_cuda_available();
    *out = there || choice == HM_DEVICE_CHOICE_CUDA ? HM_DEVICE_CUDA : HM_DEVICE_CPU;
    return choice == HM_DEVICE_CHOICE_CUDA ? hm_cuda_open(&d) : HM_OK;
}
