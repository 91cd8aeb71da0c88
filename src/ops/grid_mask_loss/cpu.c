/* cpu.c: grid_mask_loss and its gradient: one query after another, each by one thread; sums in double. */
#include <math.h>
#include <string.h>

#include "device/cpu/vec.h"
#include "graph/op.h"
#include "ops/grid_mask_loss/grid_mask_loss_attr.h"
#include "ops/targets.h"

hm_status HM_CPU(grid_mask_loss)(const hm_call *c);
hm_status HM_CPU(grid_mask_loss_back)(const hm_call *c);

/* Everything of one call, with the pointers typed. */
typedef struct job {
    const hm_grid_mask_loss_attr *a;
    int64_t images, queries, points, capacity, bytes;
    const float *logits;
    const uint8_t *masks;
    const int32_t *match;
    double num_boxes;
} job;

static hm_status open_job(const hm_call *c, job *j) {
    const hm_node *const n = c->node;
    const int32_t *const counts = c->in[GM_COUNTS];
    *j = (job){.a = n->attr,
               .images = hm_dim(n->in[GM_LOGITS], 0),
               .queries = hm_dim(n->in[GM_LOGITS], 1),
               .points = hm_dim(n->in[GM_LOGITS], 2),
               .capacity = hm_dim(n->in[GM_MASKS], 1),
               .bytes = hm_dim(n->in[GM_MASKS], 2),
               .logits = c->in[GM_LOGITS],
               .masks = c->in[GM_MASKS],
               .match = c->in[GM_MATCH]};
    HM_TRY(hm_check_counts(counts, j->images, j->capacity));
    HM_TRY(hm_check_match(j->match, counts, j->images, j->queries));
    j->num_boxes = hm_num_boxes(counts, j->images, j->a->groups);
    return HM_OK;
}

static const uint8_t *mask_of(const job *j, int64_t i) {
    return j->masks + (i / j->queries * j->capacity + j->match[i]) * j->bytes;
}

/* Sums of one query's points. */
typedef struct sums {
    double bce, s, t, st;
} sums;

static sums look(const job *j, int64_t i) {
    const float *const x = j->logits + i * j->points;
    const uint8_t *const mask = mask_of(j, i);
    sums r = {0, 0, 0, 0};
    for (int64_t k = 0; k < j->points; k++) {
        const float t = (float)hm_grid_target(j->a, mask, k), s = hm_sigmoidf(x[k]);
        r.bce += (double)(hm_softplusf(x[k]) - x[k] * t);
        r.s += (double)s;
        r.t += (double)t;
        r.st += (double)(s * t);
    }
    return r;
}

hm_status HM_CPU(grid_mask_loss)(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    double *const losses = c->work, ce = 0, dice = 0;
    const int64_t n = j.images * j.queries;
#pragma omp parallel for schedule(dynamic) num_threads(c->run->threads)
    for (int64_t i = 0; i < n; i++) {
        const sums r = j.match[i] >= 0 ? look(&j, i) : (sums){0, 0, 0, 0};
        losses[2 * i] = r.bce / (double)j.points;
        losses[2 * i + 1] = j.match[i] >= 0 ? 1 - (2 * r.st + 1) / (r.s + r.t + 1) : 0;
    }
    for (int64_t i = 0; i < n; i++) {
        ce += losses[2 * i];
        dice += losses[2 * i + 1];
    }
    *(float *)c->out[0] = (float)(ce / j.num_boxes);
    *(float *)c->out[1] = (float)(dice / j.num_boxes);
    return HM_OK;
}

static void back(const job *j, int64_t i, double dce, double ddice, float *dx) {
    const sums r = look(j, i);
    const float *const x = j->logits + i * j->points;
    const uint8_t *const mask = mask_of(j, i);
    const double whole = r.s + r.t + 1, top = 2 * r.st + 1;
    const float by_ce = (float)(dce / (double)j->points), by_all = (float)(ddice * top / (whole * whole)),
                by_hit = (float)(ddice * 2 / whole);
    for (int64_t k = 0; k < j->points; k++) {
        const float t = (float)hm_grid_target(j->a, mask, k), s = hm_sigmoidf(x[k]);
        dx[k] = by_ce * (s - t) + (by_all - by_hit * t) * s * (1 - s);
    }
}

hm_status HM_CPU(grid_mask_loss_back)(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    float *const dx = c->out[0];
    const double dce = c->in[GM_DCE] != NULL ? (double)*(const float *)c->in[GM_DCE] / j.num_boxes : 0;
    const double ddice = c->in[GM_DDICE] != NULL ? (double)*(const float *)c->in[GM_DDICE] / j.num_boxes : 0;
#pragma omp parallel for schedule(dynamic) num_threads(c->run->threads)
    for (int64_t i = 0; i < j.images * j.queries; i++) {
        if (j.match[i] >= 0)
            back(&j, i, dce, ddice, dx + i * j.points);
        else
            memset(dx + i * j.points, 0, (size_t)j.points * sizeof *dx);
    }
    return HM_OK;
}
