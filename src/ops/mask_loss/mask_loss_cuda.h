/* mask_loss_cuda.h: the workspace of the GPU's kernels. Pairs of one image fill tiles of 128; their logit maps are made
 * for as many tiles at a time as the workspace has room for. */
#ifndef HM_OPS_MASK_LOSS_CUDA_H
#define HM_OPS_MASK_LOSS_CUDA_H

#include "graph/op.h"
#include "ops/mask_loss/mask_loss_attr.h"

#define HM_ML_ROWS      128                 /* pairs of a tile */
#define HM_ML_MAPS      ((int64_t)96 << 20) /* bytes of maps at a time */
#define HM_ML_MAPS_BACK ((int64_t)72 << 20) /* of their gradients */
#define HM_ML_PART      1024                /* pixels summed at a time into the gradient of the query features */
#define HM_ML_BINS      2048                /* of the histograms that find the most uncertain points */
#define HM_ML_SHARED    65536               /* bytes that every GPU gives a block on request */

typedef struct hm_mask_loss_pieces {
    int64_t most;      /* pairs of an image */
    int64_t tiles;     /* of all images: the most that there can be */
    int64_t at_a_time; /* tiles */
    int64_t rounds;    /* so many times */
    int64_t pitch;     /* bytes between maps */
    int64_t logits;    /* candidates and other points of a pair */
    int64_t parts;     /* of the sums over pixels */
    int64_t values;    /* bytes of shared memory for the values of a pair's points; 0: they lie behind its map */
    int64_t beside;    /* bytes in front of them, for what is there in turn: the pair's map, histograms, its gradient */
    bool map;          /* whether the map is staged there; otherwise it is read, and its gradient summed, in place */
    /* offsets in bytes */
    size_t head;   /* see cuda.cu */
    size_t image;  /* int [tiles] */
    size_t first;  /* int [tiles] number of the first pair */
    size_t rows;   /* int [tiles] pairs */
    size_t begin;  /* int [B + 1] first tile of each image */
    size_t query;  /* int [tiles, ROWS] */
    size_t result; /* float [tiles, ROWS, 2] of each pair */
    size_t maps;   /* [at_a_time, ROWS] of float [pixels], gradients perhaps in half */
    size_t sums;   /* float [parts, at_a_time, ROWS, C] */
    size_t bytes;
} hm_mask_loss_pieces;

static inline size_t hm_ml_take(hm_mask_loss_pieces *r, int64_t bytes) {
    const size_t at = r->bytes;
    r->bytes += ((size_t)bytes + 255) / 256 * 256;
    return at;
}

static inline hm_mask_loss_pieces hm_mask_loss_layout(const hm_node *n, bool back) {
    const hm_mask_loss_attr *const a = (const hm_mask_loss_attr *)n->attr;
    const int64_t B = hm_dim(n->in[ML_QUERY], 0), pixels = a->map_h * a->map_w;
    hm_mask_loss_pieces r;
    r.bytes = 0;
    const bool half = hm_mask_loss_half(n);
    r.most = hm_mask_loss_most(n);
    r.tiles = B * ((r.most + HM_ML_ROWS - 1) / HM_ML_ROWS);
    r.logits = 4 * a->points - a->chosen;
    /* logits, list and bits; or gradients and list */
    const int64_t numbers = back ? 2 * a->points : r.logits + a->points + hm_mask_loss_words(a);
    const int64_t bins = back ? 0 : 4 * HM_ML_BINS, map = (4 * pixels + 31) / 32 * 32;
    r.values = 4 * numbers + bins <= HM_ML_SHARED - 8192 ? 4 * numbers : 0;
    r.map = r.values > 0 && r.values + (map > bins ? map : bins) <= HM_ML_SHARED - 2048;
    r.beside = r.map && map > bins ? map : bins;
    r.pitch = (pixels + (r.values > 0 ? 0 : numbers) + 63) / 64 * 64 * (back && r.map && half ? 2 : 4);
    const int64_t room = (back ? HM_ML_MAPS_BACK : HM_ML_MAPS) / (HM_ML_ROWS * r.pitch), fit = room > 1 ? room : 1;
    r.rounds = r.tiles > 0 ? (r.tiles + fit - 1) / fit : 1;
    r.at_a_time = r.tiles > 0 ? (r.tiles + r.rounds - 1) / r.rounds : 1;
    r.parts = (pixels + HM_ML_PART - 1) / HM_ML_PART;
    r.head = hm_ml_take(&r, 256);
    r.image = hm_ml_take(&r, r.tiles * 4);
    r.first = hm_ml_take(&r, r.tiles * 4);
    r.rows = hm_ml_take(&r, r.tiles * 4);
    r.begin = hm_ml_take(&r, (B + 1) * 4);
    r.query = hm_ml_take(&r, r.tiles * HM_ML_ROWS * 4);
    r.result = hm_ml_take(&r, r.tiles * HM_ML_ROWS * 8);
    r.maps = hm_ml_take(&r, r.at_a_time * HM_ML_ROWS * r.pitch);
    r.sums = hm_ml_take(&r, back ? r.parts * r.at_a_time * HM_ML_ROWS * hm_dim(n->in[ML_QUERY], 2) * 4 : 0);
    return r;
}

#endif
