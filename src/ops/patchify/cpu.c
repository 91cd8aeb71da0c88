/* cpu.c: patch rows as copies of p pixels; a thread takes a line of patches. */
#include <string.h>

#include "graph/op.h"
#include "ops/patchify/patchify_attr.h"

hm_status HM_CPU(patchify)(const hm_call *c) {
    const float *const x = c->in[0]; /* [B, C, H, W] */
    float *const rows = c->out[0];   /* [B, H/p, W/p, C, p, p] */
    const int64_t p = ((const hm_patchify_attr *)c->node->attr)->p;
    const int64_t *const dim = c->node->in[0]->shape.dim;
    const int64_t B = dim[0], C = dim[1], H = dim[2], W = dim[3], h = H / p, w = W / p;
#pragma omp parallel for num_threads(c->run->threads)
    for (int64_t line = 0; line < B * h; line++) {
        const int64_t b = line / h, top = line % h * p;
        for (int64_t k = 0; k < C; k++)
            for (int64_t i = 0; i < p; i++) {
                const float *const from = x + ((b * C + k) * H + top + i) * W;
                float *const to = rows + line * w * C * p * p + (k * p + i) * p;
                for (int64_t j = 0; j < w; j++)
                    memcpy(to + j * C * p * p, from + j * p, (size_t)p * sizeof(float));
            }
    }
    return HM_OK;
}
