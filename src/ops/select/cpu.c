/* cpu.c: choice of rows in fp32. NaN counts as the largest number. topk keeps the k best keys of a row in a heap whose
 * top is the worst of them; a key holds the value's order in its high half and the inverted index in its low half, so
 * that all keys differ and ties go to the lower index. */
#include <string.h>

#include "device/cpu/vec.h"
#include "ops/select/select_attr.h"

hm_status HM_CPU(hm_max_last)(const hm_call *c);
hm_status HM_CPU(hm_topk)(const hm_call *c);
hm_status HM_CPU(hm_gather_rows)(const hm_call *c);
hm_status HM_CPU(hm_gather_rows_back)(const hm_call *c);
hm_status HM_CPU(hm_mask_rows)(const hm_call *c);

static int threads_for(const hm_call *c, int64_t elements) {
    return elements > 32768 ? c->run->threads : 1;
}

static float row_max(const float *x, int64_t n) {
    float best = -__builtin_inff();
    int nans = 0;
#pragma omp simd reduction(max : best) reduction(+ : nans)
    for (int64_t i = 0; i < n; i++) {
        best = x[i] > best ? x[i] : best;
        nans += x[i] != x[i];
    }
    return nans ? __builtin_nanf("") : best;
}

hm_status HM_CPU(hm_max_last)(const hm_call *c) {
    const int64_t n = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const float *const x = c->in[0];
    float *const y = c->out[0];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, rows *n))
    for (int64_t r = 0; r < rows; r++)
        y[r] = row_max(x + r * n, n);
    return HM_OK;
}

/* ---- topk */

static uint64_t key_of(float x, int64_t i) {
    const uint32_t u = hm_float_bits(x + 0.0f); /* -0 and 0 are equal */
    const uint32_t order = x != x ? 0xFFFFFFFFu : (u & 0x80000000u) ? ~u : u | 0x80000000u;
    return (uint64_t)order << 32 | (0xFFFFFFFFu - (uint32_t)i);
}

/* Puts `key` at the top of a heap of n whose top is free, smallest first. */
static void sift(uint64_t *heap, int64_t n, uint64_t key) {
    int64_t at = 0;
    for (int64_t child = 1; child < n; child = 2 * at + 1) {
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (key <= heap[child])
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = key;
}

static void insert(uint64_t *heap, int64_t n, uint64_t key) {
    int64_t at = n;
    while (at > 0 && key < heap[(at - 1) / 2]) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = key;
}

static void topk_row(const float *x, int64_t n, int64_t k, uint64_t *heap, int32_t *out) {
    for (int64_t i = 0; i < n && k > 0; i++) {
        const uint64_t key = key_of(x[i], i);
        if (i < k)
            insert(heap, i, key);
        else if (key > heap[0])
            sift(heap, k, key);
    }
    for (int64_t left = k; left > 0; left--) {
        out[left - 1] = (int32_t)(0xFFFFFFFFu - (uint32_t)heap[0]);
        sift(heap, left - 1, heap[left - 1]);
    }
}

hm_status HM_CPU(hm_topk)(const hm_call *c) {
    const int64_t n = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1), k = hm_dim(c->node->out[0], -1);
    const float *const x = c->in[0];
    uint64_t *const heaps = c->work;
    int32_t *const y = c->out[0];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, 8 * rows * n))
    for (int64_t r = 0; r < rows; r++)
        topk_row(x + r * n, n, k, heaps + r * k, y + r * k);
    return HM_OK;
}

/* ---- gather_rows, mask_rows; x [batch, rows, channels] */

hm_status HM_CPU(hm_gather_rows)(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const int64_t rows = x->shape.dim[1], k = y->shape.dim[1], channels = x->shape.dim[2];
    const int64_t chosen = hm_count(c->node->in[1]);
    const int32_t *const index = c->in[1];
    const float *const from = c->in[0];
    float *const to = c->out[0];
    HM_TRY(hm_check_indices(index, chosen, rows));
#pragma omp parallel for schedule(static) num_threads(threads_for(c, chosen *channels))
    for (int64_t r = 0; r < chosen; r++)
        memcpy(to + r * channels, from + (r / k * rows + index[r]) * channels, (size_t)channels * sizeof(float));
    return HM_OK;
}

/* Adds the rows of one image, in order. dout [k, channels], dx [rows, channels]. */
static void scatter_image(const float *dout, const int32_t *index, float *dx, int64_t rows, int64_t k,
                          int64_t channels) {
    memset(dx, 0, (size_t)(rows * channels) * sizeof(float));
    for (int64_t j = 0; j < k; j++) {
        float *const to = dx + index[j] * channels;
        const float *const from = dout + j * channels;
#pragma omp simd
        for (int64_t i = 0; i < channels; i++)
            to[i] += from[i];
    }
}

hm_status HM_CPU(hm_gather_rows_back)(const hm_call *c) {
    const hm_tensor *const dout = c->node->in[0], *const dx = c->node->out[0];
    const int64_t batch = dx->shape.dim[0], rows = dx->shape.dim[1], k = dout->shape.dim[1];
    const int64_t channels = dx->shape.dim[2];
    const int32_t *const index = c->in[1];
    const float *const from = c->in[0];
    float *const to = c->out[0];
    HM_TRY(hm_check_indices(index, hm_count(c->node->in[1]), rows));
#pragma omp parallel for schedule(static) num_threads(threads_for(c, hm_count(dx)))
    for (int64_t b = 0; b < batch; b++)
        scatter_image(from + b * k * channels, index + b * k, to + b * rows * channels, rows, k, channels);
    return HM_OK;
}

hm_status HM_CPU(hm_mask_rows)(const hm_call *c) {
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_count(c->node->in[1]);
    const uint8_t *const keep = c->in[1];
    const float *const x = c->in[0];
    float *const y = c->out[0];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, rows *channels))
    for (int64_t r = 0; r < rows; r++) {
        if (!keep[r])
            memset(y + r * channels, 0, (size_t)channels * sizeof(float));
        else if (x != y)
            memcpy(y + r * channels, x + r * channels, (size_t)channels * sizeof(float));
    }
    return HM_OK;
}
