/* bench_batch.c: pixels uniform in [-2, 2), squares that cover a tenth to four tenths of a side. */
#include "train/bench_batch.h"

#include <string.h>

#include "base/rng.h"

/* Every pixel whose row and column begin inside the box. */
static void draw_mask(uint8_t *bits, const float *box, int32_t side) {
    const float S = (float)side, left = box[0] - box[2] / 2, top = box[1] - box[3] / 2;
    const int64_t right = (int64_t)((box[0] + box[2] / 2) * S), bottom = (int64_t)((box[1] + box[3] / 2) * S);
    for (int64_t r = (int64_t)(top * S); r < bottom; r++)
        for (int64_t c = (int64_t)(left * S); c < right; c++)
            bits[(r * side + c) / 8] |= (uint8_t)(0x80 >> (r * side + c) % 8);
}

static void fill_object(hm_batch *b, uint64_t key, size_t k) {
    const float w = 0.1f + 0.3f * hm_rng_uniform(key, 7 * k);
    const float x = w / 2 + (1 - w) * hm_rng_uniform(key, 7 * k + 1);
    const float y = w / 2 + (1 - w) * hm_rng_uniform(key, 7 * k + 2);
    b->labels[k] = (int32_t)(hm_rng_bits(key, k) % 3);
    memcpy(b->boxes + 4 * k, (const float[]){x, y, w, w}, 4 * sizeof(float));
    if (b->masks != NULL)
        draw_mask(b->masks + k * b->mask_bytes, b->boxes + 4 * k, b->w);
}

hm_status hm_bench_batch_make(hm_batch *out, int32_t images, int32_t objects, int32_t side, bool masks) {
    const uint64_t key = hm_rng_key(1, "bench");
    HM_TRY(hm_batch_new(out, images, objects, side, side, masks));
    const size_t numbers = 3 * (size_t)images * (size_t)side * (size_t)side;
    for (size_t i = 0; i < numbers; i++)
        out->images[i] = 4 * hm_rng_uniform(key, i) - 2;
    for (int32_t i = 0; i < images; i++)
        out->counts[i] = objects;
    for (size_t k = 0; k < (size_t)images * (size_t)objects; k++)
        fill_object(out, key, k);
    out->n = images;
    return HM_OK;
}
