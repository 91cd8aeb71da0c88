/* none.c: the GPU in builds without CUDA: there is none. */
#if !HM_HAVE_CUDA
#include "device/cuda/cuda.h"

static hm_status none(void) {
    HM_FAIL(HM_ERR_UNSUPPORTED,
            "this halfmask was built without CUDA: build it where nvcc is found, or use --device cpu");
}

hm_status hm_cuda_open(hm_cuda **out) {
    *out = NULL;
    return none();
}

bool hm_cuda_available(void) {
    return false;
}

bool hm_cuda_is_real(void) {
    return false;
}

hm_status hm_cuda_describe(hm_cuda_about *out) {
    *out = (hm_cuda_about){0};
    return none();
}

/* Nothing below can be reached: there is no hm_cuda to pass. */
#define UNREACHED(name, ...)                                                                                           \
    hm_status name(__VA_ARGS__) {                                                                                      \
        return none();                                                                                                 \
    }
#pragma GCC diagnostic ignored "-Wunused-parameter"
UNREACHED(hm_cuda_alloc, hm_cuda *d, void **out, size_t bytes)
UNREACHED(hm_cuda_alloc_host, hm_cuda *d, void **out, size_t bytes)
UNREACHED(hm_cuda_fill, hm_cuda *d, void *p, int byte, size_t bytes)
UNREACHED(hm_cuda_copy, hm_cuda *d, void *to, const void *from, size_t bytes)
UNREACHED(hm_cuda_write, hm_cuda *d, void *to, const void *host, size_t bytes)
UNREACHED(hm_cuda_read, hm_cuda *d, void *host, const void *from, size_t bytes)
UNREACHED(hm_cuda_read_later, hm_cuda *d, void *pinned, const void *from, size_t bytes)
UNREACHED(hm_cuda_wait, hm_cuda *d)
UNREACHED(hm_cuda_event_new, hm_cuda_event **out)
UNREACHED(hm_cuda_event_record, hm_cuda *d, hm_cuda_event *e)
UNREACHED(hm_cuda_event_wait, hm_cuda_event *e)
UNREACHED(hm_cuda_event_seconds, const hm_cuda_event *from, const hm_cuda_event *to, double *out)
UNREACHED(hm_cuda_upload, hm_cuda *d, void *to, const void *pinned, size_t bytes, hm_cuda_event *after)
UNREACHED(hm_cuda_uploaded, hm_cuda *d)
UNREACHED(hm_cuda_capture_begin, hm_cuda *d)
UNREACHED(hm_cuda_capture_after, hm_cuda *d, hm_cuda_place *places, size_t n)
UNREACHED(hm_cuda_capture_places, hm_cuda *d, hm_cuda_place const **places, size_t *n)
UNREACHED(hm_cuda_capture_end, hm_cuda *d, hm_cuda_graph **out)
UNREACHED(hm_cuda_graph_launch, hm_cuda *d, hm_cuda_graph *g)
UNREACHED(hm_cuda_measure, hm_cuda *d, hm_dtype type, const void *p, int64_t n, hm_cuda_measures *out)
UNREACHED(hm_cuda_pack, hm_cuda *d, const float *const *source, const int *at, const int *count, int n, float *packed)

void hm_cuda_use_room(hm_cuda *d, int room) {}
void hm_cuda_free(void *p) {}
void hm_cuda_free_host(void *p) {}
void hm_cuda_event_free(hm_cuda_event *e) {}
void hm_cuda_graph_free(hm_cuda_graph *g) {}

hm_cuda_counts hm_cuda_count(void) {
    return (hm_cuda_counts){0};
}
#endif
