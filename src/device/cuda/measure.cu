/* measure.cu: how large the numbers of a tensor are, counted where they lie. */
#include "device/cuda/context.cuh"

#define THREADS 256

/* Bit patterns of non-negative floats are in the order of the numbers. */
static __global__ void measure(hm_cuda_measures *to, hm_in x, int64_t n) {
    unsigned largest = 0, bad = 0, zero = 0, above = 0, below = 0, subnormal = 0;
    for (hm_each(i, n)) {
        const float v = fabsf(x[i]);
        const unsigned bits = __float_as_uint(v);
        if (bits >= 0x7F800000u) {
            bad++;
            continue;
        }
        largest = bits > largest ? bits : largest;
        zero += v == 0;
        above += v >= 65520.0f;
        below += v > 0 && v <= 0x1p-25f;
        subnormal += v > 0x1p-25f && v < 0x1p-14f;
    }
    atomicMax(&to->largest_bits, largest);
    const unsigned counts[] = {bad, zero, above, below, subnormal};
    unsigned long long *const sums[] = {&to->not_finite, &to->zero, &to->above, &to->below, &to->subnormal};
    for (int k = 0; k < 5; k++)
        if (counts[k] > 0)
            atomicAdd(sums[k], (unsigned long long)counts[k]);
}

hm_status hm_cuda_measures_start(hm_cuda *d) {
    return hm_cuda_alloc(d, (void **)&d->measures, sizeof *d->measures);
}

hm_status hm_cuda_measure(hm_cuda *d, hm_dtype type, const void *p, int64_t n, hm_cuda_measures *out) {
    const hm_cuda_caller call = {d};
    HM_TRY(hm_cuda_fill(d, d->measures, 0, sizeof *out));
    HM_LAUNCH(&call, measure, hm_blocks_strided(n, THREADS), THREADS, 0, d->measures, (hm_in{p, type}), n);
    return hm_cuda_read(d, out, d->measures, sizeof *out);
}
