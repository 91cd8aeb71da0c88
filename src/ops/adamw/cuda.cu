/* cuda.cu: AdamW on the GPU, in the CPU's order of operations: roundings are spelled out, so that no product and sum
 * are fused and the bits are those of the plain CPU kernel. Few threads first compute what all elements of a tensor
 * share: scalars, and in half the keys of its draws; then blocks go over all tensors. */
#include "device/cuda/batch.cuh"
#include "device/cuda/vector.cuh"
#include "ops/adamw/adamw_attr.h"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(hm_adamw);
extern "C" HM_CUDA_DECLARE(hm_adamw_fused);

#define THREADS 256
#define BLOCK   4096 /* elements of a block */
#define NAME    319  /* most bytes that are hashed: cpu.c has room for them */

/* ---- scalars */

#define SETS 80 /* sets of options of a launch */

struct options {
    int n, tensor[SETS]; /* the first that has them */
    hm_adamw_options set[SETS];
};

static __global__ void make_scalars(hm_adamw_cuda_work *work, hm_in grad_factor, hm_in lr_factor, hm_in step,
                                    const options o) {
    const int i = (int)hm_first();
    if (i >= o.n)
        return;
    const hm_adamw_options &opt = o.set[i];
    const double lr = __dmul_rn(opt.lr, (double)lr_factor[0]), t = (double)step[0];
    hm_adamw_scalars s;
    s.grad_factor = grad_factor[0];
    s.decay = (float)(1 - __dmul_rn(lr, opt.weight_decay));
    s.blend1 = (float)(1 - opt.beta1);
    s.beta2 = (float)opt.beta2;
    s.blend2 = (float)(1 - opt.beta2);
    s.step_size = (float)(lr / (1 - pow(opt.beta1, t)));
    s.root = (float)sqrt(1 - pow(opt.beta2, t));
    s.eps = (float)opt.eps;
    work[o.tensor[i]].s = s;
}

/* The first tensor with the options of tensor i. */
static int like(const hm_adamw_options *options, int i) {
    int j = 0;
    while (memcmp(&options[j], &options[i], sizeof *options) != 0)
        j++;
    return j;
}

static hm_status launch_scalars(const hm_call *c, const hm_adamw_options *all, int n) {
    hm_adamw_cuda_work *const work = (hm_adamw_cuda_work *)c->work;
    for (int i = 0; i < n;) {
        options o = {};
        for (; i < n && o.n < SETS; i++)
            if (like(all, i) == i) {
                o.tensor[o.n] = i;
                o.set[o.n++] = all[i];
            }
        HM_LAUNCH(c, make_scalars, hm_blocks(o.n, 32), 32, 0, work, hm_input(c, 4 * n), hm_input(c, 4 * n + 1),
                  hm_input(c, 4 * n + 2), o);
    }
    return HM_OK;
}

/* ---- keys of the stochastic rounding: the streams "round.<step>.<name>" */

#define NAMES 64 /* of a launch */

struct names {
    int n, tensor[NAMES];
    int end[NAMES]; /* of each in text */
    char text[3072];
};

static __global__ void make_keys(hm_adamw_cuda_work *work, hm_in step, const hm_cuda_draw *draw, const names t) {
    const int i = (int)hm_first();
    if (i >= t.n)
        return;
    const int64_t number = llrint((double)step[0]);
    uint64_t h = hm_hash_number(hm_hash_text(HM_HASH_START, "round."), number, 1);
    int room = NAME - 8; /* for the name, after "round.", one digit, "." */
    for (int64_t ten = number / 10; ten > 0; ten /= 10)
        room--;
    h = hm_hash_byte(h, '.');
    for (int k = i > 0 ? t.end[i - 1] : 0; k < t.end[i] && room > 0; k++, room--)
        h = hm_hash_byte(h, (unsigned char)t.text[k]);
    work[t.tensor[i]].key = h ^ (draw->seed * HM_RNG_GOLD);
}

/* False when there is no room left. */
static bool add_name(names *t, int tensor, const char *name) {
    const int at = t->n > 0 ? t->end[t->n - 1] : 0, length = (int)strnlen(name, NAME);
    if (t->n == NAMES || at + length > (int)sizeof t->text)
        return false;
    memcpy(t->text + at, name, (size_t)length);
    t->tensor[t->n] = tensor;
    t->end[t->n++] = at + length;
    return true;
}

static hm_status launch_keys(const hm_call *c, int n) {
    hm_adamw_cuda_work *const work = (hm_adamw_cuda_work *)c->work;
    for (int i = 0; i < n;) {
        names t = {};
        for (; i < n; i++)
            if (c->node->in[3 * i]->dtype != HM_F32 && !add_name(&t, i, c->node->in[3 * i]->name))
                break;
        HM_LAUNCH(c, make_keys, hm_blocks(t.n, 32), 32, 0, work, hm_input(c, 4 * n + 2), c->draw, t);
    }
    return HM_OK;
}

/* ---- the update */

struct target {
    void *p;
    float *m, *v;
    const void *grad;
    uint64_t count : 36, like : 20, p_type : 4, grad_type : 4;
};

static __device__ inline void update(const hm_adamw_scalars &s, float *p, float *m, float *v, float grad) {
    const float g = __fmul_rn(grad, s.grad_factor), decayed = __fmul_rn(*p, s.decay);
    *m = __fadd_rn(*m, __fmul_rn(__fsub_rn(g, *m), s.blend1));
    *v = __fadd_rn(__fmul_rn(*v, s.beta2), __fmul_rn(__fmul_rn(s.blend2, g), g));
    const float size = __fadd_rn(__fdiv_rn(__fsqrt_rn(*v), s.root), s.eps);
    *p = __fsub_rn(decayed, __fdiv_rn(__fmul_rn(s.step_size, *m), size));
}

/* x to the format's grid, up if `draw` of [0, 1) says so: cpu.c explains. */
static __device__ inline uint16_t round_stochastic(hm_dtype d, float x, float draw) {
    const uint32_t noise = (uint32_t)(draw * 65536.0f);                               /* 16 bits */
    float grid = __fmul_rn(floorf(__fadd_rn(__fmul_rn(x, 0x1p24f), draw)), 0x1p-24f); /* of fp16's subnormals */
    if (d == HM_BF16 || fabsf(x) >= 0x1p-14f) {
        const int lost = d == HM_BF16 ? 16 : 13;
        grid = __uint_as_float((__float_as_uint(x) + (noise >> (16 - lost))) & ~((1u << lost) - 1u));
    }
    if (x - x != 0.0f)
        grid = x;
    return d == HM_BF16 ? hm_f32_to_bf16(grid) : hm_f32_to_f16(grid);
}

template <int N>
static __device__ inline void update_at(const target &t, const hm_adamw_scalars &s, uint64_t key, int64_t i) {
    const hm_in p_in = {t.p, (hm_dtype)t.p_type}, grad_in = {t.grad, (hm_dtype)t.grad_type};
    const hm_words<N> p_words = hm_fetch<N>(p_in, i), grad_words = hm_fetch<N>(grad_in, i);
    float p[N], m[N], v[N], grad[N];
    hm_load<N>(t.m + i, m);
    hm_load<N>(t.v + i, v);
    hm_unpack<N>(p, p_words, p_in.type);
    hm_unpack<N>(grad, grad_words, grad_in.type);
#pragma unroll
    for (int k = 0; k < N; k++)
        update(s, &p[k], &m[k], &v[k], grad[k]);
    hm_save<N>(t.m + i, m);
    hm_save<N>(t.v + i, v);
    if (p_in.type == HM_F32) {
        hm_save<N>((float *)t.p + i, p);
        return;
    }
    hm_pack<uint16_t, N> rounded;
#pragma unroll
    for (int k = 0; k < N; k++)
        rounded.x[k] = round_stochastic(p_in.type, p[k], hm_rng_uniform(key, (uint64_t)(i + k)));
    *(hm_pack<uint16_t, N> *)((uint16_t *)t.p + i) = rounded;
}

/* work: of the first tensor; that of the batch's item k is work[first + k]. */
static __global__ void adamw(const hm_adamw_cuda_work *work, int first, hm_in skip, const hm_batch<target> b) {
    if (skip.p != NULL && skip[0] != 0.0f)
        return;
    unsigned part;
    const int item = hm_batch_find(b, &part);
    const target t = b.item[item];
    const hm_adamw_scalars s = work[t.like].s;
    const uint64_t key = t.p_type != HM_F32 ? work[first + item].key : 0;
    const int64_t count = (int64_t)t.count, begin = (int64_t)part * BLOCK;
    const int64_t end = begin + BLOCK < count ? begin + BLOCK : count;
    for (int64_t i = begin + threadIdx.x * 4; i < end; i += THREADS * 4)
        if (i + 4 <= end)
            update_at<4>(t, s, key, i);
        else
            for (int64_t k = i; k < end; k++)
                update_at<1>(t, s, key, k);
}

/* adamw's inputs are adamw_fused's of one tensor. */
static hm_status run(const hm_call *c) {
    const int n = hm_adamw_fused_count(c->node->n_in);
    const hm_adamw_options *const options = (const hm_adamw_options *)c->node->attr;
    HM_TRY(launch_scalars(c, options, n));
    HM_TRY(launch_keys(c, n));
    for (int i = 0; i < n;) {
        hm_batch<target> b = {};
        const int first = i;
        for (; i < n && !hm_batch_full(&b); i++) {
            target t = {};
            t.p = c->out[3 * i];
            t.m = (float *)c->out[3 * i + 1];
            t.v = (float *)c->out[3 * i + 2];
            t.grad = c->in[3 * n + i];
            t.count = (uint64_t)hm_count(c->node->in[3 * i]);
            t.like = (uint64_t)like(options, i);
            t.p_type = (uint64_t)c->node->in[3 * i]->dtype;
            t.grad_type = (uint64_t)c->node->in[3 * n + i]->dtype;
            hm_batch_add(&b, t, hm_blocks(hm_count(c->node->in[3 * i]), BLOCK));
        }
        HM_LAUNCH(c, adamw, b.blocks, THREADS, 0, (const hm_adamw_cuda_work *)c->work, first, hm_input(c, 4 * n + 3),
                  b);
    }
    return HM_OK;
}

hm_status hm_adamw_cuda(const hm_call *c) {
    return run(c);
}

hm_status hm_adamw_fused_cuda(const hm_call *c) {
    return run(c);
}
