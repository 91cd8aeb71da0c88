/* cuda.cu: sine embedding of boxes on the GPU. The angle is reduced to half a turn either way in double, sine and
 * cosine are taken in float; every block makes the table of frequencies for itself. */
#include "ops/cuda_op.cuh"
#include "ops/sine_embed/sine_embed_attr.h"

extern "C" HM_CUDA_DECLARE(sine_embed);
extern "C" HM_CUDA_DECLARE(sine_embed_back);

#define THREADS 256
#define MOST    4096 /* frequencies of a table; of more every thread works out its own */

/* Turns per unit of the coordinate, j < n. */
static __device__ double frequency(int j, int n) {
    return pow(10000.0, -(double)j / (double)n);
}

static size_t table_bytes(int n) {
    return n <= MOST ? (size_t)n * sizeof(double) : 0;
}

static __device__ void fill_table(double *table, int n) {
    for (int j = (int)threadIdx.x; j < n && n <= MOST; j += THREADS)
        table[j] = frequency(j, n);
    __syncthreads();
}

/* Which coordinate of a box (x, y, w, h) makes the k-th quarter of its embedding. */
static __device__ int coordinate(int k) {
    return k < 2 ? 1 - k : k;
}

/* Sine and cosine of so many turns; NaN and inf give NaN. */
static __device__ void sine_turns(double turns, float *sine, float *cosine) {
    sincospif(2 * (float)(turns - rint(turns)), sine, cosine);
}

/* out [B, Q, 4, n, 2] */
static __global__ void embed(hm_out out, hm_in ref, hm_in ratios, hm_divisor n, hm_divisor Q, int64_t L,
                             int64_t count) {
    HM_DYNAMIC_SHARED(double, table);
    fill_table(table, (int)n.by);
    for (hm_each(i, count)) {
        int64_t j, q;
        const int64_t quarter = n.split(i, &j), row = quarter / 4, image = Q.split(row, &q);
        const int at = coordinate((int)(quarter % 4));
        const double v = (double)ref[row * 4 + at] * (double)ratios[image * L * 2 + at % 2];
        float e[2];
        sine_turns(v * (n.by <= MOST ? table[j] : frequency((int)j, (int)n.by)), &e[0], &e[1]);
        hm_save<2>(out, 2 * i, e);
    }
}

hm_status sine_embed_cuda(const hm_call *c) {
    const int n = ((const hm_sine_embed_attr *)c->node->attr)->dim / 4;
    const int64_t Q = hm_dim(c->node->in[0], 1), L = hm_dim(c->node->in[1], 1), count = hm_count(c->node->out[0]) / 2;
    HM_LAUNCH(c, embed, hm_blocks_strided(count, 4 * THREADS), THREADS, table_bytes(n), hm_output(c, 0), hm_input(c, 0),
              hm_input(c, 1), hm_divide_by(n), hm_divide_by(Q), L, count);
    return HM_OK;
}

/* A warp for each number of dref. */
static __global__ void embed_back(hm_out dref, hm_in dout, hm_in ref, hm_in ratios, int n, hm_divisor Q, int64_t L,
                                  int64_t count) {
    HM_DYNAMIC_SHARED(double, table);
    const int lane = (int)threadIdx.x % 32;
    fill_table(table, n);
    for (int64_t quarter = hm_first() / 32; quarter < count; quarter += hm_stride() / 32) {
        int64_t q;
        const int64_t row = quarter / 4, image = Q.split(row, &q);
        const int at = coordinate((int)(quarter % 4));
        const double ratio = ratios[image * L * 2 + at % 2], v = (double)ref[row * 4 + at] * ratio;
        double sum = 0;
        for (int j = lane; j < n; j += 32) {
            const double f = n <= MOST ? table[j] : frequency(j, n);
            float d[2], sine, cosine;
            hm_load<2>(dout, (quarter * n + j) * 2, d);
            sine_turns(v * f, &sine, &cosine);
            sum += f * (double)(d[0] * cosine - d[1] * sine);
        }
        sum = hm_warp_sum(sum);
        if (lane == 0)
            dref.put(row * 4 + at, (float)(sum * ratio * 2 * M_PI));
    }
}

hm_status sine_embed_back_cuda(const hm_call *c) {
    const int n = ((const hm_sine_embed_attr *)c->node->attr)->dim / 4;
    const int64_t Q = hm_dim(c->node->in[1], 1), L = hm_dim(c->node->in[2], 1), count = hm_count(c->node->out[0]);
    HM_LAUNCH(c, embed_back, hm_blocks_strided(count, 4 * THREADS / 32), THREADS, table_bytes(n), hm_output(c, 0),
              hm_input(c, 0), hm_input(c, 1), hm_input(c, 2), n, hm_divide_by(Q), L, count);
    return HM_OK;
}
