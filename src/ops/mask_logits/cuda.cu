/* cuda.cu: mask logits on the GPU: a batched product, whose epilogue adds the bias as a row of equal numbers. */
#include "ops/product.cuh"

extern "C" HM_CUDA_DECLARE(mask_logits);

static __global__ void fill(hm_out row, hm_in bias, int64_t n) {
    for (hm_each(i, n))
        row.put(i, bias[0]);
}

hm_status mask_logits_cuda(const hm_call *c) {
    const hm_tensor *const s = c->node->in[0], *const query = c->node->in[1], *const y = c->node->out[0];
    const hm_product_room r = hm_product_room_of(query, s, y, false);
    const int64_t hw = hm_dim(s, 1), q = hm_dim(query, 1), width = hm_dim(s, 2);
    const hm_out row = {(float *)c->work + r.floats, r.out};
    hm_cuda_gemm g = hm_cuda_gemm_of(false, true, q, hw, width, r.type, r.out);
    g.batch = hm_dim(s, 0);
    g.stride_a = q * width;
    g.stride_b = hw * width;
    g.stride_c = q * hw;
    HM_LAUNCH(c, fill, hm_blocks_strided(hw, 256), 256, 0, row, hm_input(c, 2), hw);
    return hm_product(c, g, 1, 0, hm_in{row.p, row.type}, 0);
}
