/* context.cuh: what an open device holds; for the files of device/cuda only. */
#ifndef HM_DEVICE_CUDA_CONTEXT_CUH
#define HM_DEVICE_CUDA_CONTEXT_CUH

#include "device/cuda/kernel.cuh"

struct hm_cuda {
    hm_cuda_about about;
    cudaStream_t stream, uploads;
    cudaEvent_t uploaded;
    struct hm_cuda_products *products; /* lt_gemm.cu's */
    int room;                          /* in which products work */
    hm_cuda_measures *measures;        /* measure.cu's, on the device */
};

/* Stands for an op's call where HM_LAUNCH wants one. */
typedef struct hm_cuda_caller {
    hm_cuda *cuda;
} hm_cuda_caller;

/* What they need of the device's memory is taken when it is opened, so that nothing of it is missing from plans. */
hm_status hm_cuda_products_start(hm_cuda *d);
hm_status hm_cuda_measures_start(hm_cuda *d);

void hm_cuda_multiplied(void); /* counts a product */

#endif
