/* points.h: random points of the unit square, and masks and logits at them (Kirillov et al. 2020, "PointRend").
 *
 * Logits are sampled bilinearly with the border repeated (grid_sample, align_corners=False, padding "border"), mask
 * bits at the nearest pixel, halves to even, in float32 as upstream. Draws are uniform numbers of the streams
 * "rand.<step>.<draw>" (base/rng.h). */
#ifndef HM_OPS_POINTS_H
#define HM_OPS_POINTS_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "graph/op.h"

/* Key of draw number `draw` of this step. */
HM_INLINE uint64_t hm_draw_key(const hm_run *run, int draw) {
    char name[48];
    snprintf(name, sizeof name, "rand.%lld.%03d", (long long)run->step, draw);
    return hm_rng_key(run->seed, name);
}

/* Points first..first+n-1 of a draw: x[n], y[n] in [0,1). */
HM_INLINE void hm_draw_points(uint64_t key, int64_t first, int64_t n, float *HM_RESTRICT x, float *HM_RESTRICT y) {
    for (int64_t p = 0; p < n; p++) {
        x[p] = hm_rng_uniform(key, (uint64_t)(2 * (first + p)));
        y[p] = hm_rng_uniform(key, (uint64_t)(2 * (first + p) + 1));
    }
}

/* Pixel index 0..size-1 nearest to coordinate x. The product is rounded to float32 on its own (through double, where it
 * is exact), so that no fused multiply-add can move a tie. */
HM_INLINE int64_t hm_nearest(float x, int64_t size) {
    const float scaled = (float)((double)x * (double)size);
    const int64_t at = (int64_t)rintf(scaled - 0.5f);
    return at < 0 ? 0 : at >= size ? size - 1 : at;
}

/* Bit of a mask (h*w bits, row-major, most significant first) at a point: 0 or 1. */
HM_INLINE int hm_mask_at(const uint8_t *bits, int64_t h, int64_t w, float x, float y) {
    const int64_t at = hm_nearest(y, h) * w + hm_nearest(x, w);
    return bits[at >> 3] >> (7 - (at & 7)) & 1;
}

/* Four pixels of an h*w map and their weights. */
typedef struct hm_corners {
    int32_t at[4];
    float weight[4];
} hm_corners;

HM_INLINE hm_corners hm_corners_at(float x, float y, int64_t h, int64_t w) {
    const float right = (float)(w - 1), bottom = (float)(h - 1);
    const float sx = x * (float)w - 0.5f, sy = y * (float)h - 0.5f;
    const float px = sx < 0 ? 0 : sx > right ? right : sx, py = sy < 0 ? 0 : sy > bottom ? bottom : sy;
    const int32_t x0 = (int32_t)px, y0 = (int32_t)py, iw = (int32_t)w, ih = (int32_t)h;
    const int32_t x1 = x0 + 1 < iw ? x0 + 1 : x0, y1 = y0 + 1 < ih ? y0 + 1 : y0;
    const float fx = px - (float)x0, fy = py - (float)y0;
    return (hm_corners){{y0 * iw + x0, y0 * iw + x1, y1 * iw + x0, y1 * iw + x1},
                        {(1 - fy) * (1 - fx), (1 - fy) * fx, fy * (1 - fx), fy * fx}};
}

/* The same for reference kernels, in double. */
HM_INLINE void hm_corners_ref(double x, double y, int64_t h, int64_t w, int64_t at[4], double weight[4]) {
    const double px = fmin(fmax(x * (double)w - 0.5, 0), (double)(w - 1));
    const double py = fmin(fmax(y * (double)h - 0.5, 0), (double)(h - 1));
    const double fx = px - floor(px), fy = py - floor(py);
    for (int k = 0; k < 4; k++) {
        const int64_t col = (int64_t)px + (k & 1), row = (int64_t)py + (k >> 1);
        at[k] = (row < h ? row : h - 1) * w + (col < w ? col : w - 1);
        weight[k] = (k & 1 ? fx : 1 - fx) * (k >> 1 ? fy : 1 - fy);
    }
}

/* out[n] = bilinear samples of map [h*w]. */
HM_INLINE void hm_sample_map(const float *HM_RESTRICT map, int64_t h, int64_t w, const float *HM_RESTRICT x,
                             const float *HM_RESTRICT y, int64_t n, float *HM_RESTRICT out) {
    for (int64_t p = 0; p < n; p++) {
        const hm_corners c = hm_corners_at(x[p], y[p], h, w);
        out[p] = (c.weight[0] * map[c.at[0]] + c.weight[1] * map[c.at[1]]) +
                 (c.weight[2] * map[c.at[2]] + c.weight[3] * map[c.at[3]]);
    }
}

/* k-th smallest (from 1) of key[n], found byte by byte; *ties = how many keys equal to it are among the k smallest. */
HM_INLINE uint32_t hm_kth_key(const uint32_t *key, int64_t n, int64_t k, int64_t *ties) {
    uint32_t found = 0, mask = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        int64_t count[256] = {0};
        for (int64_t i = 0; i < n; i++)
            if ((key[i] & mask) == found)
                count[key[i] >> shift & 255]++;
        uint32_t digit = 0;
        while (count[digit] < k)
            k -= count[digit++];
        found |= digit << shift;
        mask |= (uint32_t)255 << shift;
    }
    *ties = k;
    return found;
}

/* kept[k] = indices, rising, of the k logits nearest to 0 out of logit[n] (k <= n; ties: the lower index; NaN counts as
 * nearest, as in torch.topk, so that it reaches the loss). key[n] is scratch. */
HM_INLINE void hm_most_uncertain(const float *logit, int64_t n, int64_t k, uint32_t *key, int32_t *kept) {
    if (k <= 0)
        return;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &logit[i], sizeof bits);
        bits &= 0x7FFFFFFFu;
        key[i] = bits > 0x7F800000u ? 0 : bits + 1;
    }
    int64_t ties, m = 0;
    const uint32_t last = hm_kth_key(key, n, k, &ties);
    for (int64_t i = 0; i < n && m < k; i++)
        if (key[i] < last || (key[i] == last && ties-- > 0))
            kept[m++] = (int32_t)i;
}

#endif
