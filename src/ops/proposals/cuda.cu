/* cuda.cu: the proposal grid on the GPU: a block for each image and level. The bounds are compared in fp32, as upstream
 * does. */
#include "ops/cuda_op.cuh"
#include "ops/proposals/proposals_attr.h"

extern "C" HM_CUDA_DECLARE(proposals);

#define THREADS 512

struct level {
    int h, w, first, tokens; /* of its map, and where its tokens begin among all levels' */
    float size;              /* of the proposals */
};
struct image_levels {
    level of[4];
    int n;
    int64_t tokens; /* of all levels */
};

/* Whether token (y, x) is padding; padding [H, W] of the image or NULL. */
static __device__ bool padded(const uint8_t *padding, int H, int W, const level &l, int y, int x) {
    return padding != NULL && padding[(int64_t)y * H / l.h * W + (int64_t)x * W / l.w] != 0;
}

static __device__ bool inside(float v) {
    return v > 0.01f && v < 0.99f;
}

static __global__ void fill(hm_out boxes, uint8_t *valid, uint8_t *unpadded, hm_out ratios, const uint8_t *padding,
                            int H, int W, image_levels levels) {
    const int64_t image = blockIdx.x;
    const level l = levels.of[blockIdx.y];
    if (padding != NULL)
        padding += image * H * W;
    float across = 0, down = 0;
    for (int x = (int)threadIdx.x; x < l.w; x += THREADS)
        across += padded(padding, H, W, l, 0, x) ? 0.0f : 1.0f;
    for (int y = (int)threadIdx.x; y < l.h; y += THREADS)
        down += padded(padding, H, W, l, y, 0) ? 0.0f : 1.0f;
    across = hm_block_sum(across);
    down = hm_block_sum(down);
    if (threadIdx.x == 0) {
        ratios.put((image * levels.n + blockIdx.y) * 2, across / (float)l.w);
        ratios.put((image * levels.n + blockIdx.y) * 2 + 1, down / (float)l.h);
    }
    for (int k = (int)threadIdx.x; k < l.tokens; k += THREADS) {
        const int y = k / l.w, x = k % l.w;
        const int64_t token = image * levels.tokens + l.first + k;
        const float cx = ((float)x + 0.5f) / across, cy = ((float)y + 0.5f) / down;
        const bool seen = !padded(padding, H, W, l, y, x), ok = seen && inside(cx) && inside(cy) && inside(l.size);
        const float box[4] = {ok ? cx : 0, ok ? cy : 0, ok ? l.size : 0, ok ? l.size : 0};
        unpadded[token] = seen;
        valid[token] = ok;
        hm_save<4>(boxes, token * 4, box);
    }
}

hm_status proposals_cuda(const hm_call *c) {
    const hm_proposals_attr *const a = (const hm_proposals_attr *)c->node->attr;
    const hm_tensor *const padding = c->node->in[0];
    image_levels levels = {};
    levels.n = a->levels.n;
    for (int i = 0; i < a->levels.n; i++) {
        const int h = (int)a->levels.h[i], w = (int)a->levels.w[i];
        levels.of[i] = level{h, w, (int)levels.tokens, h * w, 0.05f * exp2f((float)a->levels.power[i])};
        levels.tokens += h * w;
    }
    HM_LAUNCH(c, fill, dim3(hm_blocks(a->B, 1), (unsigned)levels.n), THREADS, 0, hm_output(c, 0), (uint8_t *)c->out[1],
              (uint8_t *)c->out[2], hm_output(c, 3), (const uint8_t *)c->in[0],
              padding != NULL ? (int)hm_dim(padding, 1) : 0, padding != NULL ? (int)hm_dim(padding, 2) : 0, levels);
    return HM_OK;
}
