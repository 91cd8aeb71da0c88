/* cuda.cu: mask_loss and its gradient on the GPU. The matched pairs are listed in order, image by image, in tiles
 * of 128. Then, for as many tiles at a time as the workspace holds: logit maps of the pairs (tile_product.cuh); a block
 * for each pair picks its points (the most uncertain by histograms of their bits), sums over them and keeps their
 * numbers and logits. The gradient takes those up, spreads each pair's to the pixels of its map, and two products
 * spread the maps to query and spatial features. Everything follows the number of pairs, which is on the device, and no
 * sum depends on the order of threads: the gradient of a map, where points meet, is summed in integers. */
#include <float.h>

#include "device/cuda/mma.cuh"
#include "ops/mask_loss/mask_loss_cuda.h"
#include "ops/mask_loss/tile_product.cuh"
#include "ops/points.h"

extern "C" HM_CUDA_DECLARE(mask_loss);
extern "C" HM_CUDA_DECLARE(mask_loss_back);

#define ROWS         HM_ML_ROWS
#define BINS         HM_ML_BINS
#define LIST_THREADS 1024
#define PAIR_THREADS 256
static_assert(ROWS == TILE_M, "a tile of pairs is one of a product");
#define RESIDENT 2112 /* blocks of kernels that go through as much work as there is */

/* What a step's pairs are, found by list_pairs. */
struct head {
    uint64_t first_key, second_key; /* of the draws */
    double boxes;                   /* num_boxes */
    int tiles;
};

struct job {
    int64_t B, Q, C, T, bytes; /* images, queries, channels, capacity, bytes of a mask */
    int groups, draw;
    int map_h, map_w, mask_h, mask_w, pixels;
    int points, chosen, logits; /* of a pair; see hm_mask_loss_pieces */
    int most, tiles, at_a_time, parts, words, beside;
    bool values_shared, map_shared;
    int64_t pitch; /* bytes between maps */
    const int *counts, *match;
    const uint8_t *masks;
    hm_in spatial, query, bias;
    head *found;
    int *image, *first, *rows, *begin, *list; /* as hm_mask_loss_pieces has them */
    char *maps;
    float *result, *sums;
    int *picks; /* [B, most, words + points] */
};

/* ---- the list of pairs */

static __device__ int count_of(const job &j, int64_t b) {
    return min(max(j.counts[b], 0), (int)j.T);
}

static __device__ int target_of(const job &j, int64_t b, int64_t q) {
    const int t = j.match[b * j.Q + q];
    return (unsigned)t < (unsigned)count_of(j, b) ? t : -1;
}

/* Tiles and pairs of the images before b: a warp for each image. */
static __device__ void count_before(const job &j, int64_t b, int *tiles, int *pairs) {
    __shared__ int part[2][32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int all_tiles = 0, all_pairs = 0;
    for (int64_t i = warp; i < b; i += LIST_THREADS / 32) {
        const unsigned count = (unsigned)count_of(j, i);
        int n = 0;
#pragma unroll 8
        for (int64_t q = lane; q < j.Q; q += 32)
            n += (unsigned)j.match[i * j.Q + q] < count;
        for (int by = 16; by > 0; by >>= 1)
            n += __shfl_xor_sync(0xFFFFFFFFu, n, by);
        n = min(n, j.most);
        all_tiles += (n + ROWS - 1) / ROWS;
        all_pairs += n;
    }
    if (lane == 0) {
        part[0][warp] = all_tiles;
        part[1][warp] = all_pairs;
    }
    __syncthreads();
    *tiles = *pairs = 0;
    for (int w = 0; w < LIST_THREADS / 32; w++) {
        *tiles += part[0][w];
        *pairs += part[1][w];
    }
}

/* list[0..n) = matched queries of image b, rising; returns n. Images never have more than `most`: bad data is cut. */
static __device__ int list_queries(const job &j, int64_t b, int *list) {
    __shared__ int inside[LIST_THREADS / 32];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    int n = 0;
    for (int64_t q0 = 0; q0 < j.Q; q0 += LIST_THREADS) {
        const int64_t q = q0 + threadIdx.x;
        const bool matched = q < j.Q && target_of(j, b, q) >= 0;
        const unsigned votes = __ballot_sync(0xFFFFFFFFu, matched);
        __syncthreads(); /* `inside` of the round before has been read */
        if (lane == 0)
            inside[warp] = __popc(votes);
        __syncthreads();
        int at = n + __popc(votes & ((1u << lane) - 1));
        for (int w = 0; w < LIST_THREADS / 32; w++) {
            at += w < warp ? inside[w] : 0;
            n += inside[w];
        }
        if (matched && at < j.most)
            list[at] = (int)q;
    }
    return min(n, j.most);
}

/* The first two warps. */
static __device__ void fill_head(const job &j, const hm_cuda_draw *draw) {
    if (threadIdx.x < 32) {
        double sum = 0;
        for (int64_t b = threadIdx.x; b < j.B; b += 32)
            sum += count_of(j, b);
        sum = hm_warp_sum(sum);
        if (threadIdx.x == 0)
            j.found->boxes = fmax(sum * j.groups, 1.0);
    } else if (threadIdx.x < 64) {
        const uint64_t key = hm_draw_key_of(draw, j.draw + (int)threadIdx.x % 2);
        if (threadIdx.x == 32)
            j.found->first_key = key;
        if (threadIdx.x == 33)
            j.found->second_key = key;
    }
}

/* A block for each image, one at least. */
static __global__ void __launch_bounds__(LIST_THREADS) list_pairs(job j, const hm_cuda_draw *draw) {
    const int64_t b = blockIdx.x;
    int tile, pair, n = 0;
    count_before(j, b, &tile, &pair);
    if (b < j.B)
        n = list_queries(j, b, j.list + (int64_t)tile * ROWS);
    const int own = (n + ROWS - 1) / ROWS;
    for (int i = threadIdx.x; i < own; i += LIST_THREADS) {
        j.image[tile + i] = (int)b;
        j.first[tile + i] = pair + i * ROWS;
        j.rows[tile + i] = min(ROWS, n - i * ROWS);
    }
    if (b == 0)
        fill_head(j, draw);
    if (threadIdx.x == 0) {
        j.begin[b] = tile;
        if (b + 1 >= j.B) {
            j.begin[j.B] = tile + own;
            j.found->tiles = tile + own;
        }
    }
}

/* Tiles of the round that begins with tile `start`. */
static __device__ int tiles_of(const job &j, int start) {
    return max(0, min(j.found->tiles - start, j.at_a_time));
}

static __device__ int64_t image_at(const job &j, int64_t b) { /* of the spatial features, in numbers */
    return b * j.pixels * j.C;
}

static __device__ const void *offset(hm_in x, int64_t numbers) {
    return (const char *)x.p + numbers * (x.type == HM_F32 ? 4 : 2);
}

/* The query features of listed pairs, from place `at` in the list on. */
static __device__ operand listed_queries(const job &j, int64_t b, int64_t at, int n) {
    return operand{offset(j.query, b * j.Q * j.C), j.query.type, j.C, j.list + at, n, (int)j.C};
}

static __device__ operand spatial_features(const job &j, int64_t b) {
    return operand{offset(j.spatial, image_at(j, b)), j.spatial.type, j.C, NULL, j.pixels, (int)j.C};
}

/* ---- maps */

/* maps [pair, pixel] = <query features, spatial features> + bias, of the tiles from `start` on. */
template <typename T>
static __global__ void __launch_bounds__(TILE_THREADS, tile_blocks<T>()) make_maps(job j, int start) {
    HM_DYNAMIC_SHARED(unsigned char, shared);
    const int across = (j.pixels + TILE_N - 1) / TILE_N, work = tiles_of(j, start) * across;
    for (int w = blockIdx.x; w < work; w += gridDim.x) {
        const int tile = w / across, n0 = w % across * TILE_N;
        const int64_t b = j.image[start + tile];
        const operand q = listed_queries(j, b, (int64_t)(start + tile) * ROWS, j.rows[start + tile]);
        const int64_t stride = j.pitch / 4;
        float *const maps = (float *)j.maps + (int64_t)tile * ROWS * stride;
        const float bias = j.bias[0];
        tile_product<T, true, true>(shared, q, spatial_features(j, b), 0, n0, 0, (int)j.C,
                                    [=](int m, int n, float v0, float v1) {
                                        const float v[2] = {v0 + bias, v1 + bias};
                                        if (m < q.n_outer && n + 1 < j.pixels)
                                            hm_save<2>(maps + m * stride + n, v);
                                        else if (m < q.n_outer && n < j.pixels)
                                            maps[m * stride + n] = v[0];
                                    });
    }
}

/* ---- the points of a pair: a block */

struct pair {
    uint64_t first_key, second_key; /* moved on to where the pair's draws begin */
    const uint8_t *mask;            /* of its target */
    void *map;                      /* [pixels] logits or, in the end, their gradients, in the workspace */
    int *chosen;                    /* [words] bits of the chosen candidates: kept for the gradient */
    float *logit;                   /* [points] at the points used: likewise */
    /* for this block alone: in shared memory, or behind the map */
    float *value; /* forward [logits] at the candidates, then at the other points; backward [points] gradients */
    int *list;    /* [points] numbers of the points used; the first `chosen` are candidates */
    int *bits;    /* forward [words] as chosen */
};

/* The key with which a stream's points from number `first` on are drawn as 0, 1, .. */
static __device__ uint64_t key_from(uint64_t key, uint64_t first) {
    return key + 2 * first * HM_RNG_GOLD;
}

/* Pair `row` of the round from tile `start` on; false where there is none. `shared` is laid out as
 * hm_mask_loss_pieces says: maps or histograms, then values. */
static __device__ bool open_pair(const job &j, int start, int row, unsigned char *shared, bool back, pair *p) {
    const int tile = start + row / ROWS, r = row % ROWS;
    if (r >= j.rows[tile])
        return false;
    const int64_t b = j.image[tile], q = j.list[(int64_t)tile * ROWS + r];
    const int64_t place = (int64_t)(tile - j.begin[b]) * ROWS + r;
    const uint64_t number = (uint64_t)(j.first[tile] + r);
    p->first_key = key_from(j.found->first_key, number * (uint64_t)(3 * j.points));
    p->second_key = key_from(j.found->second_key, number * (uint64_t)(j.points - j.chosen));
    p->mask = j.masks + (b * j.T + target_of(j, b, q)) * j.bytes;
    p->map = j.maps + row * j.pitch;
    p->chosen = j.picks + (b * j.most + place) * (j.words + j.points);
    p->logit = (float *)(p->chosen + j.words);
    p->value = j.values_shared ? (float *)(shared + j.beside) : (float *)p->map + j.pixels;
    p->list = (int *)(p->value + (back ? j.points : j.logits));
    p->bits = p->list + j.points;
    return true;
}

/* The map, staged in shared memory if there is room. */
static __device__ const float *stage_map(const job &j, const pair &p, unsigned char *shared) {
    if (!j.map_shared)
        return (const float *)p.map;
    const hm_shared_at to = hm_shared_of(shared);
    for (int i = 4 * threadIdx.x; i < j.pixels; i += 4 * PAIR_THREADS) /* numbers behind the map come along */
        hm_copy_async<16>(to + 4 * i, (const float *)p.map + i, true);
    hm_copy_wait();
    __syncthreads();
    return (const float *)shared;
}

struct at {
    float x, y;
};

/* Place of point i: of the candidates, then of the others. */
static __device__ at place_of(const job &j, const pair &p, int i) {
    const int candidates = 3 * j.points;
    const uint64_t key = i < candidates ? p.first_key : p.second_key;
    const uint32_t n = 2 * (uint32_t)(i < candidates ? i : i - candidates);
    return at{hm_rng_uniform(key, n), hm_rng_uniform(key, n + 1)};
}

/* Number of the p-th point used. */
static __device__ int used(const job &j, const pair &p, int k) {
    return k < j.chosen ? p.list[k] : 3 * j.points + k - j.chosen;
}

static __device__ float sample(const job &j, const float *map, at a) {
    const hm_corners k = hm_corners_at(a.x, a.y, j.map_h, j.map_w);
    return (k.weight[0] * map[k.at[0]] + k.weight[1] * map[k.at[1]]) +
           (k.weight[2] * map[k.at[2]] + k.weight[3] * map[k.at[3]]);
}

/* As hm_mask_at, with a product that is rounded on its own. */
static __device__ int nearest(float x, int size) {
    return min(max((int)rintf(__fsub_rn(__fmul_rn(x, (float)size), 0.5f)), 0), size - 1);
}

static __device__ bool label_at(const job &j, const pair &p, at a) {
    const int i = nearest(a.y, j.mask_h) * j.mask_w + nearest(a.x, j.mask_w);
    return (p.mask[i >> 3] >> (7 - (i & 7)) & 1) != 0;
}

/* ---- the choice */

/* Rises with |x|; NaN first, as in hm_most_uncertain. Less than 2^31. */
static __device__ uint32_t key_of(float x) {
    const uint32_t bits = __float_as_uint(x) & 0x7FFFFFFFu;
    return bits > 0x7F800000u ? 0 : bits + 1;
}

/* Candidate i is chosen if its key is below `last`, or equal and i <= tie. */
struct choice {
    uint32_t last;
    int tie;
};

/* The bin in which the k-th item lies (from 1), and its number there. */
struct found_bin {
    int bin, k, size;
};

static __device__ void clear(int *to, int n) { /* n is divided by 4, to is aligned */
    for (int i = threadIdx.x; i < n / 4; i += PAIR_THREADS)
        ((int4 *)to)[i] = make_int4(0, 0, 0, 0);
}

static __device__ found_bin find_bin(const int *bins, int k) {
    __shared__ int part[PAIR_THREADS / 32];
    __shared__ found_bin found;
    const int each = BINS / PAIR_THREADS, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int size[each], own = 0;
#pragma unroll
    for (int i = 0; i < each; i += 4) {
        const int4 four = ((const int4 *)bins)[(threadIdx.x * each + i) / 4];
        size[i] = four.x;
        size[i + 1] = four.y;
        size[i + 2] = four.z;
        size[i + 3] = four.w;
        own += four.x + four.y + four.z + four.w;
    }
    int upto = own;
    for (int by = 1; by < 32; by *= 2) {
        const int below = __shfl_up_sync(0xFFFFFFFFu, upto, by);
        upto += lane >= by ? below : 0;
    }
    if (lane == 31)
        part[warp] = upto;
    __syncthreads();
    int before = upto - own;
    for (int w = 0; w < warp; w++)
        before += part[w];
#pragma unroll
    for (int i = 0; i < each; i++) {
        if (before < k && k <= before + size[i])
            found = found_bin{(int)threadIdx.x * each + i, k - before, size[i]};
        before += size[i];
    }
    __syncthreads();
    return found;
}

/* The `ties`-th of the candidates with this key. One warp looks. */
static __device__ int find_tie(const float *value, int n, uint32_t key, int ties) {
    __shared__ int found;
    if (threadIdx.x < 32) {
        for (int first = 0; ties > 0 && first < n; first += 32) {
            const int i = first + threadIdx.x;
            const unsigned votes = __ballot_sync(0xFFFFFFFFu, i < n && key_of(value[i]) == key);
            const int rank = __popc(votes & (0xFFFFFFFFu >> (31 - threadIdx.x)));
            if (rank == ties && (votes >> threadIdx.x & 1u))
                found = i;
            ties -= __popc(votes);
        }
    }
    __syncthreads();
    return found;
}

#define FEW 64

/* The k-th of the at most FEW candidates whose keys, under `mask`, are `start`: each counts those before it. */
static __device__ choice choose_of_few(const float *value, int n, uint32_t start, uint32_t mask, int k) {
    __shared__ uint64_t few[FEW]; /* key, candidate; in any order */
    __shared__ int size;
    __shared__ choice found;
    if (threadIdx.x == 0)
        size = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += PAIR_THREADS) {
        const uint32_t key = key_of(value[i]);
        if ((key & mask) == start)
            few[atomicAdd(&size, 1)] = (uint64_t)key << 32 | (uint32_t)i;
    }
    __syncthreads();
    if ((int)threadIdx.x < size) {
        const uint64_t own = few[threadIdx.x];
        int before = 0;
        for (int i = 0; i < size; i++)
            before += few[i] < own;
        if (before == k - 1)
            found = choice{(uint32_t)(own >> 32), (int)(uint32_t)own};
    }
    __syncthreads();
    return found;
}

/* Chooses k >= 1 of value[n] (all threads have them): the keys' digits of 11, 11 and 9 bits, each by a histogram,
 * until few candidates are left. */
static __device__ choice choose(const float *value, int n, int k, int *bins) {
    uint32_t last = 0, mask = 0;
    found_bin f = {0, k, n};
    for (int digit = 0; digit < 3 && f.size > FEW; digit++) {
        const int shift = digit == 0 ? 20 : digit == 1 ? 9 : 0;
        const uint32_t width = digit == 2 ? 0x1FFu : 0x7FFu;
        clear(bins, BINS);
        __syncthreads();
        for (int i = threadIdx.x; i < n; i += PAIR_THREADS) {
            const uint32_t key = key_of(value[i]);
            if ((key & mask) == last)
                atomicAdd(&bins[key >> shift & width], 1);
        }
        __syncthreads();
        f = find_bin(bins, f.k);
        last |= (uint32_t)f.bin << shift;
        mask |= width << shift;
    }
    if (f.k == f.size)
        return choice{last | (0x7FFFFFFFu & ~mask), n};
    return f.size <= FEW ? choose_of_few(value, n, last, mask, f.k) : choice{last, find_tie(value, n, last, f.k)};
}

/* Sets the bits of the chosen candidates, here and for the gradient; no barrier follows. */
static __device__ void set_bits(const job &j, const pair &p, choice c) {
    const int n = 3 * j.points, lane = threadIdx.x % 32;
    for (int word = threadIdx.x / 32; word < j.words; word += PAIR_THREADS / 32) {
        const int i = 32 * word + lane;
        const uint32_t key = i < n ? key_of(p.value[i]) : UINT32_MAX;
        const unsigned votes = __ballot_sync(0xFFFFFFFFu, key < c.last || (key == c.last && i <= c.tie));
        if (lane == 0)
            p.bits[word] = p.chosen[word] = (int)votes;
    }
}

/* p.list = the candidates whose bits are set, rising. */
static __device__ void list_chosen(const job &j, const pair &p, const int *bits) {
    __shared__ int part[PAIR_THREADS / 32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int all = 0;
    for (int first = 0; first < j.words; first += PAIR_THREADS) {
        const int word = first + threadIdx.x;
        unsigned left = word < j.words ? (unsigned)bits[word] : 0;
        const int own = __popc(left);
        int upto = own;
        for (int by = 1; by < 32; by *= 2) {
            const int below = __shfl_up_sync(0xFFFFFFFFu, upto, by);
            upto += lane >= by ? below : 0;
        }
        __syncthreads(); /* part has been read */
        if (lane == 31)
            part[warp] = upto;
        __syncthreads();
        int to = all + upto - own;
        for (int w = 0; w < PAIR_THREADS / 32; w++) {
            to += w < warp ? part[w] : 0;
            all += part[w];
        }
        for (; left != 0 && to < j.chosen; left &= left - 1)
            p.list[to++] = 32 * word + __ffs((int)left) - 1;
    }
    __syncthreads();
}

/* ---- its losses */

/* Over the points of a pair: cross-entropy summed, dice = 1 - both / whole. */
struct point_sums {
    float ce, both, whole;
};

static __device__ void add_point(point_sums *s, float l, bool t) {
    const float e = expf(-fabsf(l)), near = 1 / (1 + e), sig = l >= 0 ? near : e * near;
    s->ce += fmaxf(t ? -l : l, 0) + log1pf(e);
    s->both += t ? sig : 0;
    s->whole += sig + (t ? 1.0f : 0.0f);
}

/* Over the block, in every thread. */
static __device__ point_sums join_sums(point_sums s) {
    __shared__ point_sums part[PAIR_THREADS / 32];
    s = point_sums{hm_warp_sum(s.ce), hm_warp_sum(s.both), hm_warp_sum(s.whole)};
    if (threadIdx.x % 32 == 0)
        part[threadIdx.x / 32] = s;
    __syncthreads();
    s = point_sums{0, 1, 1};
    for (int w = 0; w < PAIR_THREADS / 32; w++) {
        s.ce += part[w].ce;
        s.both += 2 * part[w].both;
        s.whole += part[w].whole;
    }
    return s; /* part is written again after other barriers only */
}

/* result [tile, ROWS, 2] = cross-entropy and dice of each pair; keeps the choice of points for the gradient. */
static __global__ void __launch_bounds__(PAIR_THREADS, 6) pair_losses(job j, int start) {
    HM_DYNAMIC_SHARED(unsigned char, shared);
    const int rows = tiles_of(j, start) * ROWS;
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        pair p;
        if (!open_pair(j, start, row, shared, false, &p))
            continue;
        __syncthreads(); /* shared memory of the pair before */
        const float *const map = stage_map(j, p, shared);
        for (int i = threadIdx.x; i < j.logits; i += PAIR_THREADS)
            p.value[i] = sample(j, map, place_of(j, p, i));
        __syncthreads();
        choice c = {0, -1}; /* nobody */
        if (j.chosen > 0)
            c = choose(p.value, 3 * j.points, j.chosen, (int *)shared); /* over the map */
        set_bits(j, p, c);
        __syncthreads();
        list_chosen(j, p, p.bits);
        point_sums s = {0, 0, 0};
        for (int k = threadIdx.x; k < j.points; k += PAIR_THREADS) {
            const int i = used(j, p, k);
            const float l = p.value[i];
            p.logit[k] = l;
            add_point(&s, l, label_at(j, p, place_of(j, p, i)));
        }
        s = join_sums(s);
        float *const to = j.result + ((int64_t)start * ROWS + row) * 2;
        if (threadIdx.x == 0) {
            to[0] = s.ce / (float)j.points;
            to[1] = 1 - s.both / s.whole;
        }
    }
}

/* Sum over all pairs of number `which` of the results. A block. */
static __device__ double sum_results(const job &j, int which) {
    double sum = 0;
    for (int64_t i = threadIdx.x; i < (int64_t)j.found->tiles * ROWS; i += blockDim.x)
        if (i % ROWS < j.rows[i / ROWS])
            sum += (double)j.result[i * 2 + which];
    return hm_block_sum(sum);
}

static __global__ void join_losses(hm_out ce, hm_out dice, job j) {
    const double first = sum_results(j, 0), second = sum_results(j, 1);
    if (threadIdx.x == 0) {
        ce.put(0, (float)(first / j.found->boxes));
        dice.put(0, (float)(second / j.found->boxes));
    }
}

/* ---- gradients */

/* Gradients of both losses for one pair, as multiples of `unit`, which gradients of logits have the size of: so half
 * numbers can hold them whatever the scale of the loss. */
struct slopes {
    float ce, dice; /* ce of one point */
    float unit;
};

static __device__ slopes slopes_of(const job &j, hm_in dce, hm_in ddice) {
    const double by = 1 / j.found->boxes;
    const float ce = dce.p != NULL ? (float)(dce[0] * by) : 0, dice = ddice.p != NULL ? (float)(ddice[0] * by) : 0;
    const float unit = (fabsf(ce) + fabsf(dice)) / (float)j.points;
    return unit == 0 ? slopes{0, 0, 0} : slopes{ce / (float)j.points / unit, dice / unit, unit};
}

/* Takes up the points used, with their labels in the list, above their numbers. */
static __device__ point_sums recall(const job &j, const pair &p) {
    point_sums s = {0, 0, 0};
    for (int k = threadIdx.x; k < j.points; k += PAIR_THREADS) {
        const float l = p.logit[k];
        const int i = used(j, p, k);
        const bool t = label_at(j, p, place_of(j, p, i));
        p.value[k] = l;
        p.list[k] = t ? i | INT32_MIN : i;
        add_point(&s, l, t);
    }
    return join_sums(s);
}

/* Replaces the logits of the points by their gradients; returns the largest magnitude, NaN where one is not finite,
 * and their sum. */
static __device__ float point_gradients(const job &j, const pair &p, point_sums s, slopes d, double *sum) {
    __shared__ double part_sum[PAIR_THREADS / 32];
    __shared__ uint32_t part_most[PAIR_THREADS / 32];
    const float scale = d.dice / (s.whole * s.whole);
    uint32_t most = 0; /* as bits, which rise with the number */
    double own = 0;
    for (int k = threadIdx.x; k < j.points; k += PAIR_THREADS) {
        const float l = p.value[k];
        const bool t = p.list[k] < 0;
        const float e = expf(-fabsf(l)), near = 1 / (1 + e), far = e * near;
        const float sig = l >= 0 ? near : far, other = l >= 0 ? far : near;
        const float g = d.ce * (t ? -other : sig) + scale * (s.both - (t ? 2 * s.whole : 0)) * sig * other;
        own += (double)g;
        most = max(most, __float_as_uint(fabsf(g)));
        p.value[k] = g;
    }
    own = hm_warp_sum(own);
    most = ~hm_warp_min(~most);
    if (threadIdx.x % 32 == 0) {
        part_sum[threadIdx.x / 32] = own;
        part_most[threadIdx.x / 32] = most;
    }
    __syncthreads();
    *sum = 0;
    for (int w = 0; w < PAIR_THREADS / 32; w++) {
        *sum += part_sum[w];
        most = max(most, part_most[w]);
    }
    return __uint_as_float(most >= 0x7F800000u ? 0x7FFFFFFFu : most);
}

/* Adds the points' gradients, times `scale`, to the pixels around them. */
static __device__ void spread(const job &j, const pair &p, float scale, int *map) {
    for (int k = threadIdx.x; k < j.points; k += PAIR_THREADS) {
        const float g = p.value[k] * scale;
        const at a = place_of(j, p, p.list[k] & INT32_MAX);
        const hm_corners c = hm_corners_at(a.x, a.y, j.map_h, j.map_w);
#pragma unroll
        for (int corner = 0; corner < 4; corner++)
            atomicAdd(&map[c.at[corner]], __float2int_rn(c.weight[corner] * g));
    }
}

/* Stores the gradient of the pair's map, by / scale, as numbers of type T: eight at a time from shared memory (so
 * many are there, and fit behind the map's end), or in place. */
template <typename T> static __device__ void store_map(const job &j, const pair &p, const int *map, float by) {
    T *const to = (T *)p.map;
    if (j.map_shared) {
        for (int i = 8 * threadIdx.x; i < j.pixels; i += 8 * PAIR_THREADS) {
            float v[8];
#pragma unroll
            for (int e = 0; e < 8; e++)
                v[e] = (float)map[i + e] * by;
            hm_save<8>(to + i, v);
        }
        return;
    }
    for (int first = 0; first < j.pixels; first += PAIR_THREADS) {
        const int i = first + threadIdx.x;
        const float v = i < j.pixels ? (float)((const volatile int *)map)[i] * by : 0;
        __syncthreads(); /* numbers may be narrower than what they overwrite, which has been read up to here */
        if (i < j.pixels)
            to[i] = hm_narrow<T>(v);
    }
}

/* Makes the gradients of the logit maps (in units) and sets result [tile, ROWS, 2] to {their sum, -}. */
template <typename T>
static __global__ void __launch_bounds__(PAIR_THREADS, 6) map_gradients(job j, int start, hm_in dce, hm_in ddice) {
    HM_DYNAMIC_SHARED(unsigned char, shared);
    const int rows = tiles_of(j, start) * ROWS;
    const slopes d = slopes_of(j, dce, ddice);
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        pair p;
        if (!open_pair(j, start, row, shared, true, &p))
            continue;
        int *const map = (int *)(j.map_shared ? shared : p.map);
        __syncthreads(); /* shared memory of the pair before */
        for (int i = threadIdx.x; i < (j.pixels + 7) / 8 * 8; i += PAIR_THREADS)
            map[i] = 0;
        list_chosen(j, p, p.chosen);
        const point_sums s = recall(j, p);
        double sum;
        const float most = point_gradients(j, p, s, d, &sum);
        if (threadIdx.x == 0)
            j.result[((int64_t)start * ROWS + row) * 2] = (float)sum;
        /* even if all points meet in one pixel their sum fits; NaN goes to every pixel through 1 / scale */
        const bool none = most < 1e-30f;
        const float scale = none ? 0 : 0x1p30f / (most * (float)j.points);
        if (scale > 0)
            spread(j, p, scale, map);
        __syncthreads();
        store_map<T>(j, p, map, none ? 0 : 1 / scale);
    }
}

/* Numbers i and, if `both`, i + 1; `add`: to what is there. */
template <typename T> static __device__ void put_two(T *to, int64_t i, bool both, bool add, float v0, float v1) {
    float sum[2] = {v0, v1};
    if (add) {
        sum[0] += hm_widen(to[i]);
        sum[1] += both ? hm_widen(to[i + 1]) : 0;
    }
    if (both && i % 2 == 0) {
        hm_save<2>(to + i, sum);
        return;
    }
    to[i] = hm_narrow<T>(sum[0]);
    if (both)
        to[i + 1] = hm_narrow<T>(sum[1]);
}

/* sums [part, pair, C] = gradient of the query features over a part of the pixels. */
template <typename T>
static __global__ void __launch_bounds__(TILE_THREADS, tile_blocks<T>()) query_parts(job j, int start) {
    HM_DYNAMIC_SHARED(unsigned char, shared);
    const int across = (int)((j.C + TILE_N - 1) / TILE_N), tiles = tiles_of(j, start);
    for (int w = blockIdx.x; w < tiles * j.parts * across; w += gridDim.x) {
        const int n0 = w % across * TILE_N, part = w / across % j.parts, tile = w / across / j.parts;
        const int rows = j.rows[start + tile], k0 = part * HM_ML_PART, k1 = min(k0 + HM_ML_PART, j.pixels);
        const int64_t ld = j.pitch / (int64_t)sizeof(T);
        const operand maps = {
            (const T *)j.maps + tile * ROWS * ld, sizeof(T) == 4 ? HM_F32 : j.query.type, ld, NULL, rows, j.pixels};
        float *const sums = j.sums + ((int64_t)part * j.at_a_time + tile) * ROWS * j.C;
        tile_product<T, true, false>(shared, maps, spatial_features(j, j.image[start + tile]), 0, n0, k0, k1,
                                     [=](int m, int n, float v0, float v1) {
                                         if (m < rows && n < j.C)
                                             put_two(sums, m * j.C + n, n + 1 < j.C, false, v0, v1);
                                     });
    }
}

/* dquery of the listed pairs: a block for each. */
static __global__ void join_queries(hm_out dquery, job j, int start, hm_in dce, hm_in ddice) {
    const int rows = tiles_of(j, start) * ROWS;
    const float unit = slopes_of(j, dce, ddice).unit;
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        const int tile = start + row / ROWS;
        if (row % ROWS >= j.rows[tile])
            continue;
        const int64_t to = (j.image[tile] * j.Q + j.list[(int64_t)start * ROWS + row]) * j.C;
        for (int64_t i = threadIdx.x; i < j.C; i += blockDim.x) {
            float sum = 0;
            for (int part = 0; part < j.parts; part++)
                sum += j.sums[((int64_t)part * j.at_a_time * ROWS + row) * j.C + i];
            dquery.put(to + i, sum * unit);
        }
    }
}

/* dspatial [B, pixels, C]. An image is cleared, if it has no pairs, or written in the round in which its tiles begin;
 * later rounds add to it. */
template <typename T>
static __global__ void __launch_bounds__(TILE_THREADS, tile_blocks<T>())
    spatial_gradient(hm_out dspatial, job j, int start, hm_in dce, hm_in ddice) {
    HM_DYNAMIC_SHARED(unsigned char, shared);
    const int across = (int)((j.C + TILE_N - 1) / TILE_N), down = (j.pixels + TILE_M - 1) / TILE_M;
    const float unit = slopes_of(j, dce, ddice).unit;
    for (int64_t w = blockIdx.x; w < j.B * down * across; w += gridDim.x) {
        const int n0 = (int)(w % across) * TILE_N, m0 = (int)(w / across % down) * TILE_M;
        const int64_t b = w / across / down;
        const int first = max(j.begin[b], start), end = min(j.begin[b + 1], start + j.at_a_time);
        const bool begins = j.begin[b] / j.at_a_time == start / j.at_a_time;
        if (!begins && first >= end)
            continue;
        const int pairs = first < end ? (end - 1 - first) * ROWS + j.rows[end - 1] : 0;
        const int64_t ld = j.pitch / (int64_t)sizeof(T);
        const operand maps = {(const T *)j.maps + (first - start) * ROWS * ld,
                              sizeof(T) == 4 ? HM_F32 : j.query.type,
                              ld,
                              NULL,
                              pairs,
                              j.pixels};
        const int64_t to = image_at(j, b);
        const auto store = [=](int m, int n, float v0, float v1) {
            const int64_t i = to + m * j.C + n;
            if (m < j.pixels && n < j.C)
                HM_BY_TYPE(dspatial.type, D, put_two((D *)dspatial.p, i, n + 1 < j.C, !begins, v0 * unit, v1 * unit));
        };
        tile_product<T, false, false>(shared, maps, listed_queries(j, b, (int64_t)first * ROWS, pairs), m0, n0, 0,
                                      pairs, store);
    }
}

static __global__ void join_bias(hm_out dbias, job j, hm_in dce, hm_in ddice) {
    const double sum = sum_results(j, 0);
    if (threadIdx.x == 0)
        dbias.put(0, (float)(sum * (double)slopes_of(j, dce, ddice).unit));
}

/* ---- host side */

static job job_of(const hm_call *c, const hm_mask_loss_pieces *r) {
    const hm_node *const n = c->node;
    const hm_mask_loss_attr *const a = (const hm_mask_loss_attr *)n->attr;
    char *const work = (char *)c->work;
    job j;
    j.B = hm_dim(n->in[ML_QUERY], 0);
    j.Q = hm_dim(n->in[ML_QUERY], 1);
    j.C = hm_dim(n->in[ML_QUERY], 2);
    j.T = hm_dim(n->in[ML_MASKS], 1);
    j.bytes = hm_dim(n->in[ML_MASKS], 2);
    j.groups = a->groups;
    j.draw = a->draw;
    j.map_h = (int)a->map_h;
    j.map_w = (int)a->map_w;
    j.mask_h = (int)a->mask_h;
    j.mask_w = (int)a->mask_w;
    j.pixels = (int)(a->map_h * a->map_w);
    j.points = (int)a->points;
    j.chosen = (int)a->chosen;
    j.logits = (int)r->logits;
    j.most = (int)r->most;
    j.tiles = (int)r->tiles;
    j.at_a_time = (int)r->at_a_time;
    j.parts = (int)r->parts;
    j.words = (int)hm_mask_loss_words(a);
    j.beside = (int)r->beside;
    j.values_shared = r->values > 0;
    j.map_shared = r->map;
    j.pitch = r->pitch;
    j.counts = (const int *)c->in[ML_COUNTS];
    j.match = (const int *)c->in[ML_MATCH];
    j.masks = (const uint8_t *)c->in[ML_MASKS];
    j.spatial = hm_input(c, ML_SPATIAL);
    j.query = hm_input(c, ML_QUERY);
    j.bias = hm_input(c, ML_BIAS);
    j.found = (head *)(work + r->head);
    j.image = (int *)(work + r->image);
    j.first = (int *)(work + r->first);
    j.rows = (int *)(work + r->rows);
    j.begin = (int *)(work + r->begin);
    j.list = (int *)(work + r->query);
    j.result = (float *)(work + r->result);
    j.maps = work + r->maps;
    j.sums = (float *)(work + r->sums);
    j.picks = (int *)(n->n_in == ML_FORWARD_INPUTS ? c->out[ML_PICK] : c->in[ML_PICKED]);
    return j;
}

static unsigned resident(int64_t blocks) {
    return blocks < RESIDENT ? (unsigned)blocks : RESIDENT;
}

/* In which numbers the products are: the operands' half type, if they have one in common. */
static hm_dtype product_type(const job *j) {
    return j->query.type == j->spatial.type ? j->query.type : HM_F32;
}

/* Lets a kernel have this much dynamic shared memory. */
template <typename F> static hm_status allow(F kernel, size_t bytes) {
    if (bytes > 49152 - 1024)
        HM_CUDA_TRY(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
    return HM_OK;
}

hm_status mask_loss_cuda(const hm_call *c) {
    const hm_mask_loss_pieces r = hm_mask_loss_layout(c->node, false);
    const job j = job_of(c, &r);
    const size_t shared = (size_t)(r.beside + r.values);
    const unsigned blocks = resident(r.at_a_time * ((j.pixels + TILE_N - 1) / TILE_N));
    HM_TRY(allow(pair_losses, shared));
    HM_LAUNCH(c, list_pairs, (unsigned)(j.B > 1 ? j.B : 1), LIST_THREADS, 0, j, c->draw);
    for (int64_t round = 0; round < r.rounds && r.tiles > 0; round++) {
        const int start = (int)(round * r.at_a_time);
        HM_BY_TYPE(product_type(&j), T, {
            HM_TRY(allow(make_maps<T>, tile_bytes<T>()));
            HM_LAUNCH(c, make_maps<T>, blocks, TILE_THREADS, tile_bytes<T>(), j, start);
        });
        HM_LAUNCH(c, pair_losses, resident(r.at_a_time * ROWS), PAIR_THREADS, shared, j, start);
    }
    HM_LAUNCH(c, join_losses, 1, 1024, 0, hm_output(c, 0), hm_output(c, 1), j);
    return HM_OK;
}

template <typename T>
static hm_status gradient_round(const hm_call *c, const job *j, const hm_mask_loss_pieces *r, int start) {
    const hm_in dce = hm_input(c, ML_DCE), ddice = hm_input(c, ML_DDICE);
    const int64_t across = (j->C + TILE_N - 1) / TILE_N, down = (j->pixels + TILE_M - 1) / TILE_M;
    const size_t shared = (size_t)(r->beside + r->values);
    if (r->tiles > 0) {
        HM_TRY(allow(map_gradients<T>, shared));
        HM_TRY(allow(query_parts<T>, tile_bytes<T>()));
        HM_LAUNCH(c, map_gradients<T>, resident(r->at_a_time * ROWS), PAIR_THREADS, shared, *j, start, dce, ddice);
        HM_LAUNCH(c, query_parts<T>, resident(r->at_a_time * r->parts * across), TILE_THREADS, tile_bytes<T>(), *j,
                  start);
        HM_LAUNCH(c, join_queries, resident(r->at_a_time * ROWS), 128, 0, hm_output(c, ML_QUERY), *j, start, dce,
                  ddice);
    }
    HM_TRY(allow(spatial_gradient<T>, tile_bytes<T>()));
    HM_LAUNCH(c, spatial_gradient<T>, resident(j->B * across * down), TILE_THREADS, tile_bytes<T>(),
              hm_output(c, ML_SPATIAL), *j, start, dce, ddice);
    return HM_OK;
}

hm_status mask_loss_back_cuda(const hm_call *c) {
    const hm_mask_loss_pieces r = hm_mask_loss_layout(c->node, true);
    const job j = job_of(c, &r);
    const hm_tensor *const dquery = c->node->out[ML_QUERY];
    HM_TRY(hm_cuda_fill(c->cuda, c->out[ML_QUERY], 0, (size_t)hm_count(dquery) * hm_dtype_size(dquery->dtype)));
    HM_LAUNCH(c, list_pairs, (unsigned)(j.B > 1 ? j.B : 1), LIST_THREADS, 0, j, c->draw);
    for (int64_t round = 0; round < r.rounds; round++)
        HM_BY_TYPE(product_type(&j), T, HM_TRY(gradient_round<T>(c, &j, &r, (int)(round * r.at_a_time))));
    HM_LAUNCH(c, join_bias, 1, 1024, 0, hm_output(c, ML_BIAS), j, hm_input(c, ML_DCE), hm_input(c, ML_DDICE));
    return HM_OK;
}
