/* cuda.h: the GPU as the rest of the library sees it: memory, copies, captured graphs, counters. No CUDA types here;
 * cuda.cu implements it, none.c where halfmask is built without CUDA.
 *
 * There is one device and one stream for all work (a second one carries uploads); a process on several GPUs is a
 * process for each. Functions that can fail return hm_status; unless a comment says "waits", they only enqueue. */
#ifndef HM_DEVICE_CUDA_CUDA_H
#define HM_DEVICE_CUDA_CUDA_H

#include "base/dtype.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where tensors lie and kernels run. */
typedef enum hm_device { HM_DEVICE_CPU, HM_DEVICE_CUDA } hm_device;

/* What a user asked for; auto takes the GPU where there is one, cuda fails where there is none. */
hm_status hm_device_choose(hm_device_choice choice, hm_device *out);

typedef struct hm_cuda hm_cuda;

/* What random draws of a run are named after (hm_run), on the device. */
typedef struct hm_cuda_draw {
    uint64_t seed;
    int64_t step;
} hm_cuda_draw;

/* The device, opened at the first call, which chooses the one that CUDA_VISIBLE_DEVICES puts first.
 * HM_ERR_UNSUPPORTED, with the reason, where there is none or it is too old. */
hm_status hm_cuda_open(hm_cuda **out);
bool hm_cuda_available(void); /* hm_cuda_open would succeed */
bool hm_cuda_is_real(void);   /* false where kernels are emulated */

typedef struct hm_cuda_about {
    char name[128];
    int major, minor; /* compute capability */
    int multiprocessors;
    size_t memory, free; /* bytes, of the card and at the moment */
    int driver, runtime; /* CUDA's versions, 12020 for 12.2: the driver's highest, and the build's */
    bool bf16;           /* multiplies bf16 itself (sm_80 and later) */
} hm_cuda_about;
hm_status hm_cuda_describe(hm_cuda_about *out);

/* Device memory, and host memory that copies need not stage. *out = NULL for 0 bytes. */
hm_status hm_cuda_alloc(hm_cuda *d, void **out, size_t bytes);
void hm_cuda_free(void *p);
hm_status hm_cuda_alloc_host(hm_cuda *d, void **out, size_t bytes);
void hm_cuda_free_host(void *p);

hm_status hm_cuda_fill(hm_cuda *d, void *p, int byte, size_t bytes);
hm_status hm_cuda_copy(hm_cuda *d, void *to, const void *from, size_t bytes);   /* within the device */
hm_status hm_cuda_write(hm_cuda *d, void *to, const void *host, size_t bytes);  /* waits until `host` may change */
hm_status hm_cuda_read(hm_cuda *d, void *host, const void *from, size_t bytes); /* waits for all work before it */
hm_status hm_cuda_read_later(hm_cuda *d, void *pinned, const void *from, size_t bytes);
hm_status hm_cuda_wait(hm_cuda *d); /* waits for everything */

/* Points of the stream. */
typedef struct hm_cuda_event hm_cuda_event;
hm_status hm_cuda_event_new(hm_cuda_event **out);
void hm_cuda_event_free(hm_cuda_event *e);
hm_status hm_cuda_event_record(hm_cuda *d, hm_cuda_event *e);
hm_status hm_cuda_event_wait(hm_cuda_event *e);                                                   /* waits */
hm_status hm_cuda_event_seconds(const hm_cuda_event *from, const hm_cuda_event *to, double *out); /* both passed */

/* pinned -> device on the upload stream; work enqueued after hm_cuda_uploaded sees it. The upload begins when
 * everything enqueued up to `after` (NULL: nothing) has passed. */
hm_status hm_cuda_upload(hm_cuda *d, void *to, const void *pinned, size_t bytes, hm_cuda_event *after);
hm_status hm_cuda_uploaded(hm_cuda *d);

/* Everything enqueued between begin and end becomes a graph instead of running. Each piece of work follows the one
 * enqueued before it, unless hm_cuda_capture_after has named other places of the graph for the next one to follow;
 * hm_cuda_capture_places tells those that it would follow now (good until something is enqueued). */
typedef struct hm_cuda_graph hm_cuda_graph;
typedef void *hm_cuda_place;
hm_status hm_cuda_capture_begin(hm_cuda *d);
hm_status hm_cuda_capture_after(hm_cuda *d, hm_cuda_place *places, size_t n);
hm_status hm_cuda_capture_places(hm_cuda *d, hm_cuda_place const **places, size_t *n);
hm_status hm_cuda_capture_end(hm_cuda *d, hm_cuda_graph **out); /* *out = NULL after a failure in between */
hm_status hm_cuda_graph_launch(hm_cuda *d, hm_cuda_graph *g);
void hm_cuda_graph_free(hm_cuda_graph *g);

/* packed[at[i] .. at[i] + count[i]) = source[i][0 .. count[i]) for fp32 arrays of a few numbers; the tables and
 * `packed` lie on the device. */
hm_status hm_cuda_pack(hm_cuda *d, const float *const *source, const int *at, const int *count, int n, float *packed);

/* How large n numbers are, and how many of them fp16 would not hold (waits). */
typedef struct hm_cuda_measures {
    unsigned largest_bits;         /* of the largest finite magnitude, as fp32 */
    unsigned long long not_finite; /* infinities and NaN */
    unsigned long long zero, above, below, subnormal;
} hm_cuda_measures;
hm_status hm_cuda_measure(hm_cuda *d, hm_dtype type, const void *p, int64_t n, hm_cuda_measures *out);

/* Products enqueued from now on work in room 0 or 1: those of one room must follow each other. The rooms are taken as
 * the device is opened. */
#define HM_CUDA_ROOMS 2
#define HM_CUDA_ROOM  (((size_t)32 << 20) + ((size_t)256 << 10)) /* bytes of each, where products are cuBLASLt's */
void hm_cuda_use_room(hm_cuda *d, int room);

/* Since the process began; kernels of a captured graph count when it is launched. */
typedef struct hm_cuda_counts {
    int64_t launches;    /* kernels and library calls enqueued one by one */
    int64_t products;    /* matrix products among them */
    int64_t graphs;      /* captured graphs launched */
    int64_t waits;       /* times the host waited for all that it had enqueued */
    int64_t holds;       /* times it waited for an event, with later work still enqueued */
    int64_t allocations; /* of device or pinned memory */
} hm_cuda_counts;
hm_cuda_counts hm_cuda_count(void);

#ifdef __cplusplus
}
#endif
#endif
