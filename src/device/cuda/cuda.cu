/* cuda.cu: memory, copies, events and captured graphs through the CUDA runtime. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "device/cuda/context.cuh"

static hm_cuda_counts counts; /* plain counters: one thread drives the device */

struct hm_cuda_event {
    cudaEvent_t event;
};
struct hm_cuda_graph {
    cudaGraphExec_t exec;
};

hm_status hm_cuda_failed(cudaError_t e, const char *file, int line) {
    const char *const name = strrchr(file, '/');
    return hm_fail(e == cudaErrorMemoryAllocation ? HM_ERR_MEMORY : HM_ERR_INTERNAL, "CUDA: %s (%s, %s:%d)",
                   cudaGetErrorString(e), cudaGetErrorName(e), name != NULL ? name + 1 : file, line);
}

void hm_cuda_launched(void) {
    counts.launches++;
}

void hm_cuda_multiplied(void) {
    counts.launches++;
    counts.products++;
}

void hm_cuda_use_room(hm_cuda *d, int room) {
    d->room = room;
}

cudaStream_t hm_cuda_stream(hm_cuda *d) {
    return d->stream;
}

bool hm_cuda_is_at_least(const hm_cuda *d, int capability) {
    return d->about.major * 10 + d->about.minor >= capability;
}

hm_cuda_counts hm_cuda_count(void) {
    return counts;
}

/* ---- the device */

static hm_status none(const hm_cuda *d, cudaError_t e) {
    const int driver = d->about.driver, runtime = d->about.runtime;
    if (driver == 0)
        HM_FAIL(HM_ERR_UNSUPPORTED, "no NVIDIA driver is loaded: install one, or use --device cpu");
    if (driver < runtime && e == cudaErrorInsufficientDriver)
        HM_FAIL(HM_ERR_UNSUPPORTED,
                "the NVIDIA driver is for CUDA %d.%d and this halfmask was built with %d.%d: update the driver, or use "
                "--device cpu",
                driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    HM_FAIL(HM_ERR_UNSUPPORTED,
            "there is no GPU that CUDA can use (%s): look at CUDA_VISIBLE_DEVICES, or use --device cpu",
            e != cudaSuccess ? cudaGetErrorString(e) : "none found");
}

static hm_status start(hm_cuda *d) {
    int n = 0;
    cudaDriverGetVersion(&d->about.driver); /* 0 without a driver */
    cudaRuntimeGetVersion(&d->about.runtime);
    const cudaError_t e = cudaGetDeviceCount(&n);
    if (e != cudaSuccess || n == 0)
        return none(d, e);
    HM_CUDA_TRY(cudaSetDevice(0));
    cudaDeviceProp p;
    HM_CUDA_TRY(cudaGetDeviceProperties(&p, 0));
    snprintf(d->about.name, sizeof d->about.name, "%.127s", p.name);
    d->about.major = p.major;
    d->about.minor = p.minor;
    d->about.multiprocessors = p.multiProcessorCount;
    d->about.memory = p.totalGlobalMem;
    d->about.bf16 = p.major >= 8;
    if (p.major * 10 + p.minor < 75)
        HM_FAIL(HM_ERR_UNSUPPORTED, "%s has compute capability %d.%d; halfmask needs 7.5 (Turing) or later", p.name,
                p.major, p.minor);
    HM_CUDA_TRY(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));
    HM_CUDA_TRY(cudaStreamCreateWithFlags(&d->uploads, cudaStreamNonBlocking));
    HM_CUDA_TRY(cudaEventCreateWithFlags(&d->uploaded, cudaEventDisableTiming));
    HM_TRY(hm_cuda_measures_start(d));
    return hm_cuda_products_start(d);
}

hm_status hm_cuda_open(hm_cuda **out) {
    static hm_cuda device;
    static hm_status state = HM_OK;
    static bool started;
    static char reason[256];
    *out = NULL;
    if (!started) {
        started = true;
        state = start(&device);
        snprintf(reason, sizeof reason, "%s", state != HM_OK ? hm_error_message() : "");
    }
    if (state != HM_OK)
        HM_FAIL(state, "%s", reason);
    *out = &device;
    return HM_OK;
}

bool hm_cuda_available(void) {
    hm_cuda *d;
    return hm_cuda_open(&d) == HM_OK;
}

bool hm_cuda_is_real(void) {
#ifdef HM_EMULATED
    return false;
#else
    return true;
#endif
}

hm_status hm_cuda_describe(hm_cuda_about *out) {
    hm_cuda *d;
    size_t all;
    HM_TRY(hm_cuda_open(&d));
    *out = d->about;
    HM_CUDA_TRY(cudaMemGetInfo(&out->free, &all));
    return HM_OK;
}

/* ---- memory */

hm_status hm_cuda_alloc(hm_cuda *d, void **out, size_t bytes) {
    (void)d;
    *out = NULL;
    if (bytes == 0)
        return HM_OK;
    counts.allocations++;
    const cudaError_t e = cudaMalloc(out, bytes);
    if (e == cudaSuccess)
        return HM_OK;
    size_t left = 0, all = 0;
    cudaGetLastError(); /* clears it */
    cudaMemGetInfo(&left, &all);
    HM_FAIL(HM_ERR_MEMORY, "the GPU has no %.1f MiB left: %.1f of %.1f MiB are free", (double)bytes / 1048576.0,
            (double)left / 1048576.0, (double)all / 1048576.0);
}

void hm_cuda_free(void *p) {
    if (p != NULL)
        cudaFree(p);
}

hm_status hm_cuda_alloc_host(hm_cuda *d, void **out, size_t bytes) {
    (void)d;
    *out = NULL;
    if (bytes == 0)
        return HM_OK;
    counts.allocations++;
    HM_CUDA_TRY(cudaMallocHost(out, bytes));
    return HM_OK;
}

void hm_cuda_free_host(void *p) {
    if (p != NULL)
        cudaFreeHost(p);
}

hm_status hm_cuda_fill(hm_cuda *d, void *p, int byte, size_t bytes) {
    if (bytes > 0)
        HM_CUDA_TRY(cudaMemsetAsync(p, byte, bytes, d->stream));
    return HM_OK;
}

hm_status hm_cuda_copy(hm_cuda *d, void *to, const void *from, size_t bytes) {
    if (bytes > 0)
        HM_CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, d->stream));
    return HM_OK;
}

hm_status hm_cuda_write(hm_cuda *d, void *to, const void *host, size_t bytes) {
    if (bytes == 0)
        return HM_OK;
    HM_CUDA_TRY(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, d->stream));
    return hm_cuda_wait(d);
}

hm_status hm_cuda_read(hm_cuda *d, void *host, const void *from, size_t bytes) {
    if (bytes > 0)
        HM_CUDA_TRY(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, d->stream));
    return hm_cuda_wait(d);
}

hm_status hm_cuda_read_later(hm_cuda *d, void *pinned, const void *from, size_t bytes) {
    if (bytes > 0)
        HM_CUDA_TRY(cudaMemcpyAsync(pinned, from, bytes, cudaMemcpyDeviceToHost, d->stream));
    return HM_OK;
}

hm_status hm_cuda_wait(hm_cuda *d) {
    counts.waits++;
    HM_CUDA_TRY(cudaStreamSynchronize(d->stream));
    return HM_OK;
}

/* ---- events and uploads */

hm_status hm_cuda_event_new(hm_cuda_event **out) {
    HM_TRY(hm_alloc(out, 1, sizeof **out));
    const cudaError_t e = cudaEventCreate(&(*out)->event);
    if (e == cudaSuccess)
        return HM_OK;
    free(*out);
    *out = NULL;
    return hm_cuda_failed(e, __FILE__, __LINE__);
}

void hm_cuda_event_free(hm_cuda_event *e) {
    if (e == NULL)
        return;
    cudaEventDestroy(e->event);
    free(e);
}

hm_status hm_cuda_event_record(hm_cuda *d, hm_cuda_event *e) {
    HM_CUDA_TRY(cudaEventRecord(e->event, d->stream));
    return HM_OK;
}

/* An event that has passed costs no wait. */
hm_status hm_cuda_event_wait(hm_cuda_event *e) {
    const cudaError_t now = cudaEventQuery(e->event);
    if (now == cudaSuccess)
        return HM_OK;
    if (now != cudaErrorNotReady)
        return hm_cuda_failed(now, __FILE__, __LINE__);
    cudaGetLastError();
    counts.holds++;
    HM_CUDA_TRY(cudaEventSynchronize(e->event));
    return HM_OK;
}

hm_status hm_cuda_event_seconds(const hm_cuda_event *from, const hm_cuda_event *to, double *out) {
    float ms = 0;
    HM_CUDA_TRY(cudaEventElapsedTime(&ms, from->event, to->event));
    *out = (double)ms * 1e-3;
    return HM_OK;
}

hm_status hm_cuda_upload(hm_cuda *d, void *to, const void *pinned, size_t bytes, hm_cuda_event *after) {
    if (after != NULL)
        HM_CUDA_TRY(cudaStreamWaitEvent(d->uploads, after->event, 0));
    if (bytes > 0)
        HM_CUDA_TRY(cudaMemcpyAsync(to, pinned, bytes, cudaMemcpyHostToDevice, d->uploads));
    return HM_OK;
}

hm_status hm_cuda_uploaded(hm_cuda *d) {
    HM_CUDA_TRY(cudaEventRecord(d->uploaded, d->uploads));
    HM_CUDA_TRY(cudaStreamWaitEvent(d->stream, d->uploaded, 0));
    return HM_OK;
}

/* ---- graphs */

hm_status hm_cuda_capture_begin(hm_cuda *d) {
    HM_CUDA_TRY(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal));
    return HM_OK;
}

hm_status hm_cuda_capture_after(hm_cuda *d, hm_cuda_place *places, size_t n) {
    HM_CUDA_TRY(cudaStreamUpdateCaptureDependencies(d->stream, (cudaGraphNode_t *)places, NULL, n,
                                                    cudaStreamSetCaptureDependencies));
    return HM_OK;
}

hm_status hm_cuda_capture_places(hm_cuda *d, hm_cuda_place const **places, size_t *n) {
    cudaStreamCaptureStatus status;
    const cudaGraphNode_t *list;
    const cudaGraphEdgeData *edges; /* kinds of dependency: taken as full ones */
    HM_CUDA_TRY(cudaStreamGetCaptureInfo(d->stream, &status, NULL, NULL, &list, &edges, n));
    *places = (hm_cuda_place const *)list;
    return HM_OK;
}

hm_status hm_cuda_capture_end(hm_cuda *d, hm_cuda_graph **out) {
    cudaGraph_t graph = NULL;
    *out = NULL;
    HM_CUDA_TRY(cudaStreamEndCapture(d->stream, &graph));
    hm_status st = hm_alloc(out, 1, sizeof **out);
    if (st == HM_OK) {
        const cudaError_t e = cudaGraphInstantiate(&(*out)->exec, graph, 0);
        if (e != cudaSuccess) {
            st = hm_cuda_failed(e, __FILE__, __LINE__);
            free(*out);
            *out = NULL;
        }
    }
    cudaGraphDestroy(graph);
    return st;
}

hm_status hm_cuda_graph_launch(hm_cuda *d, hm_cuda_graph *g) {
    counts.graphs++;
    HM_CUDA_TRY(cudaGraphLaunch(g->exec, d->stream));
    return HM_OK;
}

void hm_cuda_graph_free(hm_cuda_graph *g) {
    if (g == NULL)
        return;
    cudaGraphExecDestroy(g->exec);
    free(g);
}

/* ---- pack */

static __global__ void pack(const float *const *source, const int *at, const int *count, float *packed) {
    const int i = blockIdx.x;
    for (int k = threadIdx.x; k < count[i]; k += blockDim.x)
        packed[at[i] + k] = source[i][k];
}

hm_status hm_cuda_pack(hm_cuda *d, const float *const *source, const int *at, const int *count, int n, float *packed) {
    const hm_cuda_caller call = {d};
    HM_LAUNCH(&call, pack, (unsigned)n, 32, 0, source, at, count, packed);
    return HM_OK;
}
