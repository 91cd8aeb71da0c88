/* cpu.c: deformable attention. Softmax weights and pixel positions of a whole query are computed at once; then every
 * sample is four rows of a head's channels. Backward: each thread takes whole (image, head) pairs, whose slice of the
 * value gradient nobody else touches, so that no atomics are needed and the order of the sums is fixed; the heads'
 * shares of the reference gradient are added at the end. Corners outside the map read zeros. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "device/cpu/vec.h"
#include "graph/op.h"
#include "ops/deform_attn/deform_attn_attr.h"

typedef struct call {
    const float *value;   /* [B, N, C] */
    const float *offsets; /* [B, Q, M, S, 2], S = L*P samples of a head */
    const float *logits;  /* [B, Q, M, S] */
    const float *ref;     /* [B, Q, 4] */
    const float *ratios;  /* [B, L, 2] */
    const hm_levels *levels;
    int64_t start[4]; /* first token of each level */
    int64_t B, N, C, Q, M, P, S, D;
    float *zeros;   /* [D] */
    float *samples; /* [B*Q, 3, M, S]: weight, x, y in pixels */
    float *dref;    /* [B*Q, M, 4], backward only */
} call;

/* A sample's four corners in value order: (y, x), (y, x+1), (y+1, x), (y+1, x+1). */
typedef struct corners {
    int64_t at[4]; /* index into value of the head's first channel, -1 outside */
    float fx, fy;  /* position between them, 0 to 1 */
    bool any;      /* at least one is inside */
} corners;

/* The forward inputs begin at c->in[first]. */
static call call_of(const hm_call *c, int first) {
    const hm_deform_attn_attr *const a = c->node->attr;
    hm_tensor *const *const in = c->node->in + first;
    call k = {.value = c->in[first],
              .offsets = c->in[first + 1],
              .logits = c->in[first + 2],
              .ref = c->in[first + 3],
              .ratios = c->in[first + 4],
              .levels = &a->levels,
              .B = hm_dim(in[0], 0),
              .N = hm_dim(in[0], 1),
              .C = hm_dim(in[0], 2),
              .Q = hm_dim(in[3], 1),
              .M = a->heads,
              .P = a->points,
              .S = a->levels.n * a->points,
              .D = hm_dim(in[0], 2) / a->heads,
              .zeros = c->work};
    for (int i = 1; i < a->levels.n; i++)
        k.start[i] = k.start[i - 1] + a->levels.h[i - 1] * a->levels.w[i - 1];
    k.samples = k.zeros + k.D;
    k.dref = k.samples + k.B * k.Q * 3 * k.M * k.S;
    memset(k.zeros, 0, (size_t)k.D * sizeof(float));
    return k;
}

/* Softmax over each head's S numbers. */
static void softmax_heads(const float *restrict x, float *restrict w, int64_t M, int64_t S) {
    for (int64_t m = 0; m < M * S; m += S) {
        float top = x[m];
        for (int64_t i = 1; i < S; i++)
            top = x[m + i] > top ? x[m + i] : top;
        for (int64_t i = 0; i < S; i++)
            w[m + i] = x[m + i] - top;
    }
#pragma omp simd
    for (int64_t i = 0; i < M * S; i++)
        w[i] = hm_expf(w[i]);
    for (int64_t m = 0; m < M * S; m += S) {
        float sum = 0;
        for (int64_t i = 0; i < S; i++)
            sum += w[m + i];
        for (int64_t i = 0; i < S; i++)
            w[m + i] /= sum;
    }
}

/* Fills the samples of query n = b*Q + q. */
static void locate(const call *k, int64_t n) {
    const int64_t MS = k->M * k->S;
    const float *const offsets = k->offsets + n * MS * 2, *const ref = k->ref + n * 4;
    float *const w = k->samples + n * 3 * MS, *const x = w + MS, *const y = x + MS;
    softmax_heads(k->logits + n * MS, w, k->M, k->S);
    for (int64_t l = 0; l < k->levels->n; l++) {
        const float *const ratio = k->ratios + (n / k->Q * k->levels->n + l) * 2;
        const float width = (float)k->levels->w[l], height = (float)k->levels->h[l];
        const float cx = ref[0] * ratio[0], cy = ref[1] * ratio[1];
        const float sx = ref[2] * ratio[0] * (0.5f / (float)k->P), sy = ref[3] * ratio[1] * (0.5f / (float)k->P);
        for (int64_t m = 0; m < k->M; m++)
            for (int64_t i = m * k->S + l * k->P; i < m * k->S + (l + 1) * k->P; i++) {
                x[i] = (cx + offsets[2 * i] * sx) * width - 0.5f;
                y[i] = (cy + offsets[2 * i + 1] * sy) * height - 0.5f;
            }
    }
}

static inline corners corners_of(const call *k, int64_t b, int64_t m, int64_t l, float px, float py) {
    const int64_t w = k->levels->w[l], h = k->levels->h[l];
    corners r = {.any = px > -1 && py > -1 && px < (float)w && py < (float)h};
    if (!r.any)
        return r;
    const float x0 = floorf(px), y0 = floorf(py);
    const int64_t x = (int64_t)x0, y = (int64_t)y0;
    const int64_t first = (b * k->N + k->start[l] + y * w + x) * k->C + m * k->D;
    const bool left = x >= 0, right = x + 1 < w, up = y >= 0, down = y + 1 < h;
    r.fx = px - x0;
    r.fy = py - y0;
    r.at[0] = left && up ? first : -1;
    r.at[1] = right && up ? first + k->C : -1;
    r.at[2] = left && down ? first + w * k->C : -1;
    r.at[3] = right && down ? first + (w + 1) * k->C : -1;
    return r;
}

static inline void blend(const corners *r, float weight, float out[4]) {
    const float top = weight * (1 - r->fy), bottom = weight * r->fy;
    out[0] = top * (1 - r->fx);
    out[1] = top * r->fx;
    out[2] = bottom * (1 - r->fx);
    out[3] = bottom * r->fx;
}

/* out [D] += sum of the four rows */
static inline void gather(const call *k, const corners *r, const float w[4], float *restrict out, int64_t D) {
    const float *restrict const a = r->at[0] < 0 ? k->zeros : k->value + r->at[0];
    const float *restrict const b = r->at[1] < 0 ? k->zeros : k->value + r->at[1];
    const float *restrict const c = r->at[2] < 0 ? k->zeros : k->value + r->at[2];
    const float *restrict const d = r->at[3] < 0 ? k->zeros : k->value + r->at[3];
#pragma omp simd
    for (int64_t i = 0; i < D; i++)
        out[i] += (w[0] * a[i] + w[1] * b[i]) + (w[2] * c[i] + w[3] * d[i]);
}

/* A sample outside adds zero, or NaN when its weight or position is not finite. */
static inline void nothing(float weight, float x, float y, float *out, int64_t D) {
    const float zero = weight * (0 * x + 0 * y);
    for (int64_t i = 0; i < D && zero != 0; i++)
        out[i] += zero;
}

/* One query's output [C]. */
static inline void attend(const call *k, int64_t n, float *out, int64_t D) {
    const int64_t MS = k->M * k->S;
    const float *const w = k->samples + n * 3 * MS, *const x = w + MS, *const y = x + MS;
    memset(out, 0, (size_t)k->C * sizeof(float));
    for (int64_t m = 0; m < k->M; m++)
        for (int64_t s = 0; s < k->S; s++) {
            const int64_t i = m * k->S + s;
            const corners r = corners_of(k, n / k->Q, m, s / k->P, x[i], y[i]);
            float four[4];
            blend(&r, w[i], four);
            if (r.any)
                gather(k, &r, four, out + m * D, D);
            else
                nothing(w[i], x[i], y[i], out + m * D, D);
        }
}

hm_status HM_CPU(deform_attn)(const hm_call *c) {
    const call k = call_of(c, 0);
    float *const out = c->out[0]; /* [B, Q, C] */
#pragma omp parallel for num_threads(c->run->threads)
    for (int64_t n = 0; n < k.B * k.Q; n++) {
        locate(&k, n);
        if (k.D == 16) /* every shipped model: a head is one vector */
            attend(&k, n, out + n * k.C, 16);
        else
            attend(&k, n, out + n * k.C, k.D);
    }
    return HM_OK;
}

/* ---- backward */

typedef struct grads {
    const float *dout; /* [B, Q, C] */
    float *value;      /* [B, N, C] */
    float *offsets;    /* [B, Q, M, S, 2] */
    float *logits;     /* [B, Q, M, S] */
    float *ref;        /* [B, Q, 4] */
} grads;

/* One head's channels of one image, every level within a border of zeros: [sum over levels of (h+2)*(w+2), D]. A
 * sample that touches the map has its four corners here, and the rows lie close together. */
typedef struct head {
    float *value, *dvalue;
    int64_t start[4], tokens;
    int64_t b, m;
} head;

static head head_of(const call *k, int64_t b, int64_t m, float *memory) {
    head r = {.b = b, .m = m, .value = memory};
    for (int l = 0; l < k->levels->n; l++) {
        r.start[l] = r.tokens;
        r.tokens += (k->levels->h[l] + 2) * (k->levels->w[l] + 2);
    }
    r.dvalue = memory + r.tokens * k->D;
    memset(memory, 0, (size_t)(2 * r.tokens * k->D) * sizeof(float));
    return r;
}

/* Copies the head's rows between [B, N, C] and the bordered map. */
static inline void copy_rows(const call *k, const head *t, const float *from, float *to, bool out) {
    for (int l = 0; l < k->levels->n; l++)
        for (int64_t y = 0; y < k->levels->h[l]; y++)
            for (int64_t x = 0; x < k->levels->w[l]; x++) {
                const int64_t in = (t->b * k->N + k->start[l] + y * k->levels->w[l] + x) * k->C + t->m * k->D;
                const int64_t own = (t->start[l] + (y + 1) * (k->levels->w[l] + 2) + x + 1) * k->D;
                memcpy(to + (out ? in : own), from + (out ? own : in), (size_t)k->D * sizeof(float));
            }
}

/* Between the four corners: the value's derivatives by weight and position (in pixels), times dout. */
typedef struct slopes {
    float weight, x, y;
} slopes;

typedef float f4 __attribute__((vector_size(16)));
typedef float f8 __attribute__((vector_size(32)));
typedef float f16 __attribute__((vector_size(64)));

/* Sixteen numbers at a time, added by halves: an omp reduction over one vector would become 16 additions in a row. */
static inline float dot(const float *restrict a, const float *restrict b, int64_t n) {
    f16 sum = {0};
    float tail = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        f16 x, y;
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        sum += x * y;
    }
    for (; i < n; i++)
        tail += a[i] * b[i];
    const f8 h = __builtin_shufflevector(sum, sum, 0, 1, 2, 3, 4, 5, 6, 7) +
                 __builtin_shufflevector(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15);
    const f4 q = __builtin_shufflevector(h, h, 0, 1, 2, 3) + __builtin_shufflevector(h, h, 4, 5, 6, 7);
    return (q[0] + q[2]) + (q[1] + q[3]) + tail;
}

/* v, dv: the first corner's row; `line` numbers further is the row below. Adds weight * dout to dv's four rows. */
static inline slopes back_sample(const float *v, float *dv, int64_t line, float fx, float fy, float weight,
                                 const float *restrict dout, int64_t D) {
    const float *restrict const v2 = v + line;
    float *restrict const dv2 = dv + line;
    const float top = weight * (1 - fy), bottom = weight * fy;
    const float ga = dot(dout, v, D), gb = dot(dout, v + D, D), gc = dot(dout, v2, D), gd = dot(dout, v2 + D, D);
#pragma omp simd
    for (int64_t i = 0; i < D; i++)
        dv[i] += top * (1 - fx) * dout[i];
#pragma omp simd
    for (int64_t i = 0; i < D; i++)
        dv[D + i] += top * fx * dout[i];
#pragma omp simd
    for (int64_t i = 0; i < D; i++)
        dv2[i] += bottom * (1 - fx) * dout[i];
#pragma omp simd
    for (int64_t i = 0; i < D; i++)
        dv2[D + i] += bottom * fx * dout[i];
    return (slopes){.weight = (1 - fy) * ((1 - fx) * ga + fx * gb) + fy * ((1 - fx) * gc + fx * gd),
                    .x = (1 - fy) * (gb - ga) + fy * (gd - gc),
                    .y = (1 - fx) * (gc - ga) + fx * (gd - gb)};
}

/* Sample at pixel (px, py) of level l; outside: zero, or NaN for a position that is not finite. */
static inline slopes back_position(const call *k, const head *t, int64_t l, float px, float py, float weight,
                                   const float *dout, int64_t D) {
    const int64_t w = k->levels->w[l], h = k->levels->h[l];
    if (!(px > -1 && py > -1 && px < (float)w && py < (float)h)) {
        const float none = 0 * px + 0 * py;
        return (slopes){none, none, none};
    }
    const float x = floorf(px), y = floorf(py);
    const int64_t at = (t->start[l] + ((int64_t)y + 1) * (w + 2) + (int64_t)x + 1) * D;
    return back_sample(t->value + at, t->dvalue + at, (w + 2) * D, px - x, py - y, weight, dout, D);
}

/* Gradients of query n. */
static inline void back_query(const call *k, const head *t, const grads *d, int64_t n, int64_t D) {
    const int64_t MS = k->M * k->S, first = t->m * k->S;
    const float *const w = k->samples + n * 3 * MS + first, *const x = w + MS, *const y = x + MS;
    const float *const dout = d->dout + n * k->C + t->m * D, *const ref = k->ref + n * 4;
    const float *const offset = k->offsets + (n * MS + first) * 2, per_point = 0.5f / (float)k->P;
    float *const doffset = d->offsets + (n * MS + first) * 2, *const dlogit = d->logits + n * MS + first;
    float dweight[HM_DEFORM_MAX_SAMPLES], mean = 0, dref[4] = {0};
    for (int64_t s = 0; s < k->S; s++) {
        const int64_t l = s / k->P;
        const float *const ratio = k->ratios + (t->b * k->levels->n + l) * 2;
        const slopes g = back_position(k, t, l, x[s], y[s], w[s], dout, D);
        const float dx = g.x * w[s] * (float)k->levels->w[l] * ratio[0];
        const float dy = g.y * w[s] * (float)k->levels->h[l] * ratio[1];
        doffset[2 * s] = dx * ref[2] * per_point;
        doffset[2 * s + 1] = dy * ref[3] * per_point;
        dref[0] += dx;
        dref[1] += dy;
        dref[2] += dx * offset[2 * s] * per_point;
        dref[3] += dy * offset[2 * s + 1] * per_point;
        dweight[s] = g.weight;
        mean += w[s] * g.weight;
    }
    for (int64_t s = 0; s < k->S; s++)
        dlogit[s] = w[s] * (dweight[s] - mean);
    memcpy(k->dref + (n * k->M + t->m) * 4, dref, sizeof dref);
}

/* All queries of image b for head m. */
static inline void back_head(const call *k, const grads *d, int64_t b, int64_t m, float *memory, int64_t D) {
    const head t = head_of(k, b, m, memory);
    copy_rows(k, &t, k->value, t.value, false);
    for (int64_t n = b * k->Q; n < (b + 1) * k->Q; n++)
        back_query(k, &t, d, n, D);
    copy_rows(k, &t, t.dvalue, d->value, true);
}

hm_status HM_CPU(deform_attn_back)(const hm_call *c) {
    const call k = call_of(c, 1);
    const grads d = {c->in[0], c->out[0], c->out[1], c->out[2], c->out[3]};
    const size_t head_floats = hm_deform_head_floats(k.levels, k.D);
#pragma omp parallel num_threads(c->run->threads)
    {
        float *const memory = k.dref + k.B * k.Q * k.M * 4 + (size_t)omp_get_thread_num() * head_floats;
#pragma omp for
        for (int64_t n = 0; n < k.B * k.Q; n++)
            locate(&k, n);
#pragma omp for schedule(dynamic)
        for (int64_t t = 0; t < k.B * k.M; t++) {
            if (k.D == 16)
                back_head(&k, &d, t / k.M, t % k.M, memory, 16);
            else
                back_head(&k, &d, t / k.M, t % k.M, memory, k.D);
        }
#pragma omp for
        for (int64_t n = 0; n < k.B * k.Q; n++)
            for (int64_t j = 0; j < 4; j++) {
                float sum = 0;
                for (int64_t m = 0; m < k.M; m++)
                    sum += k.dref[(n * k.M + m) * 4 + j];
                d.ref[n * 4 + j] = sum;
            }
    }
    return HM_OK;
}
