/* cuda.cu: linear and matmul on the GPU. Products are cuBLASLt's, with bias and ReLU in its epilogue. GELU (the exact
 * one) and SiLU are a pass of their own over the pre-activation as it is stored, which is kept or overwritten. The
 * bias' gradient is made with the weight's, in one product where the library can. */
#include "device/cuda/column_sums.h"
#include "device/cuda/vector.cuh"
#include "ops/act.cuh"
#include "ops/linear/linear_attr.h"
#include "ops/product.cuh"

extern "C" HM_CUDA_DECLARE(linear);
extern "C" HM_CUDA_DECLARE(linear_act_back);
extern "C" HM_CUDA_DECLARE(linear_dw);
extern "C" HM_CUDA_DECLARE(linear_dx);
extern "C" HM_CUDA_DECLARE(matmul);

/* ---- activations: vectors of 8 numbers, then single ones, a thread for each */

/* y may be z. */
template <hm_act ACT> static __global__ void apply(hm_out y, hm_in z, int64_t n, int64_t vectors) {
    for (hm_each(i, n - 7 * vectors)) {
        float x[8];
        if (i < vectors) {
            hm_load<8>(z, i * 8, x);
#pragma unroll
            for (int k = 0; k < 8; k++)
                x[k] = hm_act_value(ACT, x[k]);
            hm_save<8>(y, i * 8, x);
        } else {
            y.put(i + 7 * vectors, hm_act_value(ACT, z[i + 7 * vectors]));
        }
    }
}

template <hm_act ACT> static hm_status run_apply(const hm_call *c, hm_out y, hm_in z, int64_t n) {
    const int64_t vectors = hm_aligned(y.p) && hm_aligned(z.p) ? n / 8 : 0;
    HM_LAUNCH(c, (apply<ACT>), hm_blocks(n - 7 * vectors, 256), 256, 0, y, z, n, vectors);
    return HM_OK;
}

hm_status linear_cuda(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const hm_act act = ((const hm_linear_attr *)c->node->attr)->act;
    const int kept = c->node->n_out - 1;
    hm_cuda_gemm g =
        hm_cuda_gemm_of(false, true, hm_rows(x, 1), hm_dim(c->node->in[1], 0), hm_dim(x, -1), x->dtype, y->dtype);
    g.relu = act == HM_ACT_RELU;
    HM_TRY(hm_product(c, g, 0, 1, hm_input(c, 2), kept));
    const hm_in z = {c->out[kept], c->node->out[kept]->dtype};
    return act == HM_ACT_GELU   ? run_apply<HM_ACT_GELU>(c, hm_output(c, 0), z, hm_count(y))
           : act == HM_ACT_SILU ? run_apply<HM_ACT_SILU>(c, hm_output(c, 0), z, hm_count(y))
                                : HM_OK;
}

/* dz may be dy. */
template <hm_act ACT> static __global__ void apply_back(hm_out dz, hm_in dy, hm_in kept, int64_t n, int64_t vectors) {
    for (hm_each(i, n - 7 * vectors)) {
        float d[8], v[8];
        if (i < vectors) {
            const hm_words<8> dw = hm_fetch<8>(dy, i * 8), vw = hm_fetch<8>(kept, i * 8); /* both under way */
            hm_unpack<8>(d, dw, dy.type);
            hm_unpack<8>(v, vw, kept.type);
#pragma unroll
            for (int k = 0; k < 8; k++)
                d[k] = hm_act_back(ACT, d[k], v[k]);
            hm_write<8>(dz, i * 8, d);
        } else {
            const int64_t at = i + 7 * vectors;
            dz.put(at, hm_act_back(ACT, dy[at], kept[at]));
        }
    }
}

template <hm_act ACT> static hm_status run_apply_back(const hm_call *c) {
    const bool aligned = hm_aligned(c->in[0]) && hm_aligned(c->in[1]) && hm_aligned(c->out[0]);
    const int64_t n = hm_count(c->node->in[0]), vectors = aligned ? n / 8 : 0;
    HM_LAUNCH(c, (apply_back<ACT>), hm_blocks(n - 7 * vectors, 256), 256, 0, hm_output(c, 0), hm_input(c, 0),
              hm_input(c, 1), n, vectors);
    return HM_OK;
}

hm_status linear_act_back_cuda(const hm_call *c) {
    switch (((const hm_linear_attr *)c->node->attr)->act) {
    case HM_ACT_RELU:
        return run_apply_back<HM_ACT_RELU>(c);
    case HM_ACT_GELU:
        return run_apply_back<HM_ACT_GELU>(c);
    default:
        return run_apply_back<HM_ACT_SILU>(c);
    }
}

/* ---- gradients of the operands */

hm_status linear_dw_cuda(const hm_call *c) {
    const hm_linear_dw_attr *const attr = (const hm_linear_dw_attr *)c->node->attr;
    const hm_tensor *const dz = c->node->in[0], *const x = c->node->in[1];
    const int64_t rows = hm_rows(dz, 1), features = hm_dim(dz, -1);
    const hm_out db = attr->want_b ? hm_output(c, attr->want_w ? 1 : 0) : hm_out{NULL, HM_F32};
    if (!attr->want_w)
        return hm_cuda_column_sums(c->cuda, db.p, db.type, c->in[0], dz->dtype, rows, features, (float *)c->work);
    const hm_product_room r = hm_product_room_of(dz, x, c->node->out[0], false);
    const hm_cuda_sums sums = {db.p, db.type, (float *)c->work + r.floats};
    hm_cuda_gemm g = hm_cuda_gemm_of(true, false, features, hm_dim(x, -1), rows, r.type, r.out);
    hm_operands p;
    g.tf32 = c->run->tf32;
    HM_TRY(hm_product_begin(c, &r, 0, 1, 0, &p));
    HM_TRY(attr->want_b ? hm_cuda_gemm_sums(c->cuda, &g, p.a, p.b, p.c, &sums)
                        : hm_cuda_gemm_run(c->cuda, &g, p.a, p.b, NULL, p.c));
    return hm_product_end(c, &r, 0, &p);
}

hm_status linear_dx_cuda(const hm_call *c) {
    const hm_tensor *const dz = c->node->in[0], *const dx = c->node->out[0];
    const hm_cuda_gemm g =
        hm_cuda_gemm_of(false, false, hm_rows(dz, 1), hm_dim(dx, -1), hm_dim(dz, -1), dz->dtype, dz->dtype);
    return hm_product(c, g, 0, 1, hm_in{NULL, HM_F32}, 0);
}

/* ---- matmul */

/* Sums over the batch are one long product where its operands lie so, else products added up one by one. */
static hm_status run_sum(const hm_call *c, const hm_matmul_sizes *s, hm_cuda_gemm g, const hm_operands *p) {
    const int64_t item = (int64_t)hm_dtype_size(g.type);
    const bool whole = g.ta && !g.tb && s->stride_a != 0 && s->stride_b != 0;
    if (whole || s->batch == 0) {
        g.k *= s->batch;
        return hm_cuda_gemm_run(c->cuda, &g, p->a, p->b, NULL, p->c);
    }
    for (int64_t i = 0; i < s->batch; i++) {
        HM_TRY(hm_cuda_gemm_run(c->cuda, &g, (const char *)p->a + i * s->stride_a * item,
                                (const char *)p->b + i * s->stride_b * item, NULL, p->c));
        g.beta = 1;
    }
    return HM_OK;
}

static hm_status run_batch(const hm_call *c, const hm_matmul_sizes *s, hm_cuda_gemm g, const hm_operands *p) {
    if (s->stride_b == 0 && !g.ta && s->stride_a == s->m * s->k) { /* a shared b: one tall product */
        g.m *= s->batch;
        return hm_cuda_gemm_run(c->cuda, &g, p->a, p->b, NULL, p->c);
    }
    g.batch = s->batch;
    g.stride_a = s->stride_a;
    g.stride_b = s->stride_b;
    g.stride_c = s->m * s->n;
    return hm_cuda_gemm_run(c->cuda, &g, p->a, p->b, NULL, p->c);
}

hm_status matmul_cuda(const hm_call *c) {
    const hm_matmul_attr *const attr = (const hm_matmul_attr *)c->node->attr;
    const hm_matmul_sizes s = hm_matmul_sizes_of(c->node);
    const hm_product_room r = hm_product_room_of(c->node->in[0], c->node->in[1], c->node->out[0], attr->sum);
    hm_cuda_gemm g = hm_cuda_gemm_of(attr->trans_a, attr->trans_b, s.m, s.n, s.k, r.type, r.out);
    hm_operands p;
    g.tf32 = c->run->tf32;
    HM_TRY(hm_product_begin(c, &r, 0, 1, 0, &p));
    HM_TRY(attr->sum ? run_sum(c, &s, g, &p) : run_batch(c, &s, g, &p));
    return hm_product_end(c, &r, 0, &p);
}
