/* ref.c: every pixel to its place. */
#include "graph/op.h"
#include "ops/patchify/patchify_attr.h"

hm_status patchify_ref(const hm_call *c);
hm_status patchify_ref(const hm_call *c) {
    const double *const x = c->in[0]; /* [B, C, H, W] */
    double *const rows = c->out[0];   /* [B, (H/p)*(W/p), C*p*p] */
    const int64_t p = ((const hm_patchify_attr *)c->node->attr)->p;
    const int64_t *const dim = c->node->in[0]->shape.dim;
    const int64_t B = dim[0], C = dim[1], H = dim[2], W = dim[3];
    for (int64_t b = 0; b < B; b++)
        for (int64_t k = 0; k < C; k++)
            for (int64_t i = 0; i < H; i++)
                for (int64_t j = 0; j < W; j++) {
                    const int64_t row = (b * (H / p) + i / p) * (W / p) + j / p;
                    rows[row * C * p * p + (k * p + i % p) * p + j % p] = x[((b * C + k) * H + i) * W + j];
                }
    return HM_OK;
}
