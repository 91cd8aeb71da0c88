/* ref.c: the proposal grid, token by token. */
#include <math.h>

#include "graph/op.h"
#include "ops/proposals/proposals_attr.h"

/* padding [H, W] of one image, seen at the resolution h x w */
static bool padded(const uint8_t *padding, int64_t H, int64_t W, int64_t h, int64_t w, int64_t y, int64_t x) {
    return padding != NULL && padding[y * H / h * W + x * W / w] != 0;
}

hm_status proposals_ref(const hm_call *c);
hm_status proposals_ref(const hm_call *c) {
    const hm_proposals_attr *const a = c->node->attr;
    const hm_levels *const l = &a->levels;
    const uint8_t *const padding = c->in[0]; /* [B, H, W] or NULL */
    double *const boxes = c->out[0];         /* [B, N, 4] */
    uint8_t *const valid = c->out[1];        /* [B, N] */
    uint8_t *const unpadded = c->out[2];     /* [B, N] */
    double *const ratios = c->out[3];        /* [B, L, 2] */
    const int64_t H = padding != NULL ? hm_dim(c->node->in[0], 1) : 0;
    const int64_t W = padding != NULL ? hm_dim(c->node->in[0], 2) : 0;
    int64_t token = 0;
    for (int64_t b = 0; b < a->B; b++)
        for (int i = 0; i < l->n; i++) {
            const int64_t h = l->h[i], w = l->w[i];
            const uint8_t *const pad = padding != NULL ? padding + b * H * W : NULL;
            double valid_w = 0, valid_h = 0;
            for (int64_t x = 0; x < w; x++)
                valid_w += !padded(pad, H, W, h, w, 0, x);
            for (int64_t y = 0; y < h; y++)
                valid_h += !padded(pad, H, W, h, w, y, 0);
            ratios[(b * l->n + i) * 2] = valid_w / (double)w;
            ratios[(b * l->n + i) * 2 + 1] = valid_h / (double)h;
            for (int64_t y = 0; y < h; y++)
                for (int64_t x = 0; x < w; x++, token++) {
                    const double size = 0.05 * pow(2, l->power[i]);
                    const double box[4] = {((double)x + 0.5) / valid_w, ((double)y + 0.5) / valid_h, size, size};
                    bool ok = !padded(pad, H, W, h, w, y, x);
                    unpadded[token] = ok;
                    for (int k = 0; k < 4; k++)
                        ok = ok && box[k] > 0.01 && box[k] < 0.99;
                    valid[token] = ok;
                    for (int k = 0; k < 4; k++)
                        boxes[token * 4 + k] = ok ? box[k] : 0;
                }
        }
    return HM_OK;
}
