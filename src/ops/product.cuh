/* product.cuh: products of a call's tensors on the GPU, whatever types they are stored in (product.h). */
#ifndef HM_OPS_PRODUCT_CUH
#define HM_OPS_PRODUCT_CUH

#include "device/cuda/lt_gemm.h"
#include "ops/cuda_op.cuh"
#include "ops/product.h"

/* Vectors of 8 numbers, then single ones: a thread for each. */
static __global__ void hm_convert_kernel(hm_out to, hm_in from, int64_t n, int64_t vectors) {
    for (hm_each(i, n - 7 * vectors)) {
        float x[8];
        if (i < vectors) {
            hm_load<8>(from, i * 8, x);
            hm_save<8>(to, i * 8, x);
        } else {
            to.put(i + 7 * vectors, from[i + 7 * vectors]);
        }
    }
}

static inline hm_status hm_convert(const hm_call *c, hm_out to, hm_in from, int64_t n) {
    const int64_t vectors = hm_aligned(to.p) && hm_aligned(from.p) ? n / 8 : 0;
    HM_LAUNCH(c, hm_convert_kernel, hm_blocks_strided(n - 7 * vectors, 256), 256, 0, to, from, n, vectors);
    return HM_OK;
}

/* Where a product is read and written. */
typedef struct hm_operands {
    const void *a, *b;
    void *c;
} hm_operands;

static inline hm_status hm_widened(const hm_call *c, const hm_tensor *t, float *room, const void **p) {
    const hm_in from = {*p, t->dtype};
    *p = room;
    return hm_convert(c, hm_out{room, HM_F32}, from, hm_count(t));
}

/* Operands a and b (inputs) and result out, or copies of them at the start of the workspace. */
static inline hm_status hm_product_begin(const hm_call *c, const hm_product_room *r, int a, int b, int out,
                                         hm_operands *p) {
    float *const work = (float *)c->work;
    p->a = c->in[a];
    p->b = c->in[b];
    p->c = r->narrow ? work + r->c : c->out[out];
    if (r->widen_a)
        HM_TRY(hm_widened(c, c->node->in[a], work + r->a, &p->a));
    if (r->widen_b)
        HM_TRY(hm_widened(c, c->node->in[b], work + r->b, &p->b));
    return HM_OK;
}

static inline hm_status hm_product_end(const hm_call *c, const hm_product_room *r, int out, const hm_operands *p) {
    return r->narrow ? hm_convert(c, hm_output(c, out), hm_in{p->c, HM_F32}, hm_count(c->node->out[out])) : HM_OK;
}

/* Output `out` = inputs a times b, with sizes as g has them; types are set here. */
static inline hm_status hm_product(const hm_call *c, hm_cuda_gemm g, int a, int b, hm_in bias, int out) {
    const hm_product_room r = hm_product_room_of(c->node->in[a], c->node->in[b], c->node->out[out], false);
    hm_operands p;
    g.type = r.type;
    g.out = r.out;
    g.bias_type = bias.type;
    g.tf32 = c->run->tf32;
    HM_TRY(hm_product_begin(c, &r, a, b, out, &p));
    HM_TRY(hm_cuda_gemm_run(c->cuda, &g, p.a, p.b, bias.p, p.c));
    return hm_product_end(c, &r, out, &p);
}

#endif
