/* cpu.c: attention over blocks of queries and keys (Dao et al. 2022, "FlashAttention"): a running row maximum m and sum
 * l of exp(s - m) replace the score matrix; the backward pass rebuilds the probabilities as exp(s - log-sum-exp).
 * Heads are columns of q, k, v: rows of d numbers with a distance of C. */
#include <omp.h>

#include "ops/attention/attention_floats.h"
#include "ops/attention/attention_tiles.h"
#include "ops/attention/attention_words.h"

HM_CPU_DECLARE(attention);
HM_CPU_DECLARE(attention_back);

static hm_status refused(void) {
    HM_FAIL(HM_ERR_INTERNAL, "oneDNN refused a matrix product");
}

/* Whether this build multiplies bf16 as it is: with what the processor has for it; the plain build for tests, taking
 * turns. AVX2 is faster with floats. */
#if defined(__AVX512F__)
#define NATIVE_BF16 true
#define BF16_WAY(n)                                                                                                    \
    (!hm_cpu_has_bf16() ? HM_ATTENTION_WIDENED : hm_gemm_bf16_has_tiles() ? HM_ATTENTION_TILES : HM_ATTENTION_WORDS)
#elif defined(__AVX2__)
#define NATIVE_BF16 false
#define BF16_WAY(n) HM_ATTENTION_WIDENED
#else
#define NATIVE_BF16 true
#define BF16_WAY(n) (hm_attention_sizes_of(n).heads % 2 == 0 ? HM_ATTENTION_WORDS : HM_ATTENTION_TILES)
#endif

static hm_attention_way way_of(const hm_node *n) {
    return hm_attention_takes(n, HM_ATTENTION_F32)     ? HM_ATTENTION_F32
           : hm_attention_takes(n, HM_ATTENTION_WORDS) ? BF16_WAY(n)
                                                       : HM_ATTENTION_WIDENED;
}

static int64_t query_step(const hm_attention_sizes *s, hm_attention_way way) {
    return way == HM_ATTENTION_TILES ? tiled(s->nq, HM_ATTENTION_Q) : hm_attention_block(s->nq, HM_ATTENTION_Q);
}

static bool forward(const head *h, hm_attention_way way, int64_t first, int64_t rows, float *work) {
    return NATIVE_BF16 && way == HM_ATTENTION_TILES   ? forward_tiles(h, first, rows, work)
           : NATIVE_BF16 && way == HM_ATTENTION_WORDS ? forward_words(h, first, rows, work)
                                                      : forward_floats(h, first, rows, work);
}

static bool backward(const head *h, hm_attention_way way, float *work) {
    return NATIVE_BF16 && way == HM_ATTENTION_TILES   ? backward_tiles(h, work)
           : NATIVE_BF16 && way == HM_ATTENTION_WORDS ? backward_words(h, work)
                                                      : backward_floats(h, work);
}

static part part_of(const hm_tensor *t, void *data, int64_t at) {
    return (part){t->dtype, data, at};
}

/* Head number t % heads of image t / heads. */
static head forward_head(const hm_call *c, const hm_attention_sizes *s, const hm_attention_room *room, int64_t t) {
    hm_tensor *const *const in = c->node->in, *const *const out = c->node->out;
    const int64_t column = t % s->heads * s->d, at_q = t / s->heads * s->nq * s->c + column,
                  at_k = t / s->heads * s->nk * s->c + column;
    return (head){.q = part_of(in[0], c->in[0], at_q),
                  .k = part_of(in[1], c->in[1], at_k),
                  .v = part_of(in[2], c->in[2], at_k),
                  .y = part_of(out[0], c->out[0], at_q),
                  .lse = part_of(out[1], c->out[1], t * s->nq),
                  .nq = s->nq,
                  .nk = s->nk,
                  .c = s->c,
                  .d = s->d,
                  .room = *room};
}

hm_status HM_CPU(attention)(const hm_call *call) {
    const hm_attention_sizes s = hm_attention_sizes_of(call->node);
    const hm_attention_way way = way_of(call->node);
    const hm_attention_room room = hm_attention_room_of(&s, way, false);
    const int64_t step = query_step(&s, way), blocks = (s.nq + step - 1) / step;
    bool ok = true;
#pragma omp parallel for num_threads(call->run->threads) schedule(dynamic) reduction(&& : ok)
    for (int64_t t = 0; t < s.batch * s.heads * blocks; t++) {
        const head h = forward_head(call, &s, &room, t / blocks);
        const int64_t first = t % blocks * step, rows = hm_attention_min(step, s.nq - first);
        float *const work = (float *)call->work + (size_t)omp_get_thread_num() * room.floats;
        ok = forward(&h, way, first, rows, work) && ok;
    }
    return ok ? HM_OK : refused();
}

static head backward_head(const hm_call *c, const hm_attention_sizes *s, const hm_attention_room *room, int64_t t) {
    hm_tensor *const *const in = c->node->in, *const *const out = c->node->out;
    const int64_t column = t % s->heads * s->d, at_q = t / s->heads * s->nq * s->c + column,
                  at_k = t / s->heads * s->nk * s->c + column;
    return (head){.q = part_of(in[0], c->in[0], at_q),
                  .k = part_of(in[1], c->in[1], at_k),
                  .v = part_of(in[2], c->in[2], at_k),
                  .y = part_of(in[3], c->in[3], at_q),
                  .lse = part_of(in[4], c->in[4], t * s->nq),
                  .dy = part_of(in[5], c->in[5], at_q),
                  .dq = part_of(out[0], c->out[0], at_q),
                  .dk = part_of(out[1], c->out[1], at_k),
                  .dv = part_of(out[2], c->out[2], at_k),
                  .nq = s->nq,
                  .nk = s->nk,
                  .c = s->c,
                  .d = s->d,
                  .room = *room};
}

hm_status HM_CPU(attention_back)(const hm_call *call) {
    const hm_attention_sizes s = hm_attention_sizes_of(call->node);
    const hm_attention_way way = way_of(call->node);
    const hm_attention_room room = hm_attention_room_of(&s, way, true);
    bool ok = true;
#pragma omp parallel for num_threads(call->run->threads) schedule(dynamic) reduction(&& : ok)
    for (int64_t t = 0; t < s.batch * s.heads; t++) {
        const head h = backward_head(call, &s, &room, t);
        float *const work = (float *)call->work + (size_t)omp_get_thread_num() * room.floats;
        row_dots(&h, work);
        ok = backward(&h, way, work) && ok;
    }
    return ok ? HM_OK : refused();
}
