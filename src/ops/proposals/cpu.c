/* cpu.c: the proposal grid. A few thousand tokens: no threads. The bounds are compared in fp32, as upstream does: a
 * centre at 0.5/50 is the fp32 number next to 0.01 and thus outside. */
#include <math.h>

#include "graph/op.h"
#include "ops/proposals/proposals_attr.h"

typedef struct level {
    const uint8_t *padding; /* [H, W] of the image, or NULL */
    int64_t H, W;           /* of padding */
    int64_t h, w;           /* tokens */
    float size;             /* of the proposals */
} level;

static bool padded(const level *l, int64_t y, int64_t x) {
    return l->padding != NULL && l->padding[y * l->H / l->h * l->W + x * l->W / l->w] != 0;
}

static bool inside(float v) {
    return v > 0.01f && v < 0.99f;
}

/* boxes [h*w, 4], valid [h*w], unpadded [h*w], ratio [2] */
static void fill(const level *l, float *boxes, uint8_t *valid, uint8_t *unpadded, float *ratio) {
    int64_t across = 0, down = 0;
    for (int64_t x = 0; x < l->w; x++)
        across += !padded(l, 0, x);
    for (int64_t y = 0; y < l->h; y++)
        down += !padded(l, y, 0);
    ratio[0] = (float)across / (float)l->w;
    ratio[1] = (float)down / (float)l->h;
    for (int64_t y = 0; y < l->h; y++)
        for (int64_t x = 0; x < l->w; x++) {
            const int64_t k = y * l->w + x;
            const float cx = ((float)x + 0.5f) / (float)across, cy = ((float)y + 0.5f) / (float)down;
            const bool seen = !padded(l, y, x), ok = seen && inside(cx) && inside(cy) && inside(l->size);
            unpadded[k] = seen;
            valid[k] = ok;
            boxes[4 * k] = ok ? cx : 0;
            boxes[4 * k + 1] = ok ? cy : 0;
            boxes[4 * k + 2] = boxes[4 * k + 3] = ok ? l->size : 0;
        }
}

hm_status HM_CPU(proposals)(const hm_call *c) {
    const hm_proposals_attr *const a = c->node->attr;
    const hm_tensor *const pad = c->node->in[0];
    const uint8_t *const padding = c->in[0]; /* [B, H, W] or NULL */
    float *boxes = c->out[0];                /* [B, N, 4] */
    uint8_t *valid = c->out[1];              /* [B, N] */
    uint8_t *unpadded = c->out[2];           /* [B, N] */
    float *ratio = c->out[3];                /* [B, L, 2] */
    for (int64_t b = 0; b < a->B; b++)
        for (int i = 0; i < a->levels.n; i++) {
            level l = {.h = a->levels.h[i], .w = a->levels.w[i], .size = 0.05f * exp2f((float)a->levels.power[i])};
            if (padding != NULL) {
                l.H = hm_dim(pad, 1);
                l.W = hm_dim(pad, 2);
                l.padding = padding + b * l.H * l.W;
            }
            fill(&l, boxes, valid, unpadded, ratio);
            boxes += 4 * l.h * l.w;
            valid += l.h * l.w;
            unpadded += l.h * l.w;
            ratio += 2;
        }
    return HM_OK;
}
