/* cuda.cu: patch rows on the GPU: written in order, in words of the pixels that a patch has side by side. */
#include "ops/cuda_move.cuh"
#include "ops/patchify/patchify_attr.h"

extern "C" HM_CUDA_DECLARE(patchify);

#define THREADS 256

/* Words: p of a patch's line, lines of a patch, channels, patches across and down. */
struct places {
    hm_divisor words, lines, channels, across, down;
};

template <typename M> static __global__ void patches(M move, places s, int64_t count) {
    for (hm_each(n, count)) {
        int64_t word, i, channel, x, y;
        int64_t rest = s.words.split(n, &word);
        rest = s.lines.split(rest, &i);
        rest = s.channels.split(rest, &channel);
        rest = s.across.split(rest, &x);
        const int64_t image = s.down.split(rest, &y);
        const int64_t line = ((image * s.channels.by + channel) * s.down.by + y) * s.lines.by + i;
        move.put(n, move.get((line * s.across.by + x) * s.words.by + word));
    }
}

hm_status patchify_cuda(const hm_call *c) {
    const int64_t p = ((const hm_patchify_attr *)c->node->attr)->p;
    const int64_t *const dim = c->node->in[0]->shape.dim; /* [B, C, H, W] */
    const hm_out rows = hm_output(c, 0);                  /* [B, H/p, W/p, C, p, p] */
    const hm_in images = hm_input(c, 0);
    const int64_t width = hm_move_width(rows, images, p), count = hm_count(c->node->out[0]) / width;
    const places s = {hm_divide_by(p / width), hm_divide_by(p), hm_divide_by(dim[1]), hm_divide_by(dim[3] / p),
                      hm_divide_by(dim[2] / p)};
    HM_BY_MOVE(rows.type, images.type, width, M, {
        HM_LAUNCH(c, patches<M>, hm_blocks_strided(count, THREADS), THREADS, 0, M::make(rows, images), s, count);
    });
    return HM_OK;
}
