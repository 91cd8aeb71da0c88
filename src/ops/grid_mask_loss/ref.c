/* ref.c: definition of grid_mask_loss and its gradient, in double. */
#include <math.h>
#include <string.h>

#include "graph/op.h"
#include "ops/grid_mask_loss/grid_mask_loss_attr.h"
#include "ops/targets.h"

hm_status grid_mask_loss_ref(const hm_call *c);
hm_status grid_mask_loss_back_ref(const hm_call *c);

/* Everything of one call, with the pointers typed. */
typedef struct job {
    const hm_grid_mask_loss_attr *a;
    int64_t images, queries, points, capacity, bytes;
    const double *logits;
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

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

hm_status grid_mask_loss_ref(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    double ce = 0, dice = 0;
    for (int64_t i = 0; i < j.images * j.queries; i++) {
        if (j.match[i] < 0)
            continue;
        double bce = 0, hit = 0, all = 0;
        for (int64_t k = 0; k < j.points; k++) {
            const double x = j.logits[i * j.points + k], t = hm_grid_target(j.a, mask_of(&j, i), k);
            bce += fmax(x, 0) - x * t + log1p(exp(-fabs(x)));
            hit += sigmoid(x) * t;
            all += sigmoid(x) + t;
        }
        ce += bce / (double)j.points;
        dice += 1 - (2 * hit + 1) / (all + 1);
    }
    *(double *)c->out[0] = ce / j.num_boxes;
    *(double *)c->out[1] = dice / j.num_boxes;
    return HM_OK;
}

hm_status grid_mask_loss_back_ref(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    double *const dx = c->out[0];
    const double dce = c->in[GM_DCE] != NULL ? *(const double *)c->in[GM_DCE] / j.num_boxes : 0;
    const double ddice = c->in[GM_DDICE] != NULL ? *(const double *)c->in[GM_DDICE] / j.num_boxes : 0;
    memset(dx, 0, (size_t)(j.images * j.queries * j.points) * sizeof *dx);
    for (int64_t i = 0; i < j.images * j.queries; i++) {
        if (j.match[i] < 0)
            continue;
        double hit = 0, all = 0;
        for (int64_t k = 0; k < j.points; k++) {
            const double s = sigmoid(j.logits[i * j.points + k]), t = hm_grid_target(j.a, mask_of(&j, i), k);
            hit += s * t;
            all += s + t;
        }
        for (int64_t k = 0; k < j.points; k++) {
            const double s = sigmoid(j.logits[i * j.points + k]), t = hm_grid_target(j.a, mask_of(&j, i), k);
            const double slope = ((2 * hit + 1) - 2 * t * (all + 1)) / ((all + 1) * (all + 1));
            dx[i * j.points + k] = dce * (s - t) / (double)j.points + ddice * slope * s * (1 - s);
        }
    }
    return HM_OK;
}
