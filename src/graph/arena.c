/* arena.c: the memory that executors run in, on the CPU or the GPU. */
#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "graph/exec_inner.h"

static size_t mapped(const hm_arena *a) {
    return a->bytes ? a->bytes : 1;
}

/* Pages are mapped, not touched: memory that no run uses costs nothing. */
static hm_status map(hm_arena *a) {
    void *const p = mmap(NULL, mapped(a), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        HM_FAIL(HM_ERR_MEMORY, "the plan needs %.1f MiB for activations, which the system does not have",
                (double)a->bytes / 1048576.0);
    madvise(p, mapped(a), MADV_HUGEPAGE);
    a->memory = p;
    return HM_OK;
}

size_t hm_arena_feed_bytes(size_t inputs, hm_device device) {
    return device == HM_DEVICE_CUDA ? HM_KEPT_GPU * inputs : 0;
}

static hm_status open_gpu(hm_arena *a) {
    HM_TRY(hm_cuda_open(&a->gpu));
    HM_TRY(hm_cuda_alloc(a->gpu, (void **)&a->memory, a->bytes));
    for (int k = 0; k < HM_KEPT_GPU; k++) {
        HM_TRY(hm_cuda_alloc_host(a->gpu, (void **)&a->pinned[k], a->inputs));
        HM_TRY(hm_cuda_alloc(a->gpu, (void **)&a->arrived[k], a->inputs));
        HM_TRY(hm_cuda_event_new(&a->taken[k]));
    }
    return HM_OK;
}

hm_status hm_arena_create(hm_arena **out, hm_device device, size_t bytes, size_t inputs) {
    hm_arena *a = NULL;
    *out = NULL;
    HM_TRY(hm_alloc(&a, 1, sizeof *a));
    a->bytes = bytes;
    a->inputs = inputs;
    const hm_status st = device == HM_DEVICE_CUDA ? open_gpu(a) : map(a);
    if (st != HM_OK) {
        hm_arena_free(a);
        return st;
    }
    *out = a;
    return HM_OK;
}

static void close_gpu(hm_arena *a) {
    hm_cuda_wait(a->gpu);
    for (int k = 0; k < HM_KEPT_GPU; k++) {
        hm_cuda_free_host(a->pinned[k]);
        hm_cuda_free(a->arrived[k]);
        hm_cuda_event_free(a->taken[k]);
    }
    hm_cuda_free(a->memory);
}

void hm_arena_free(hm_arena *a) {
    if (a == NULL)
        return;
    if (a->gpu != NULL)
        close_gpu(a);
    else if (a->memory != NULL)
        munmap(a->memory, mapped(a));
    free(a);
}
