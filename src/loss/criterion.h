/* criterion.h: matching and losses of all outputs as graph nodes (upstream criterion.py, matcher.py).
 */
#ifndef HM_LOSS_CRITERION_H
#define HM_LOSS_CRITERION_H

#include "model/rfdetr.h"

#define HM_MAX_TERMS (HM_MAX_OUTPUTS * 7)

typedef struct hm_criterion_options {
    hm_cost_weights cost;                     /* of the matcher */
    float ce, bbox, giou, mask_ce, mask_dice; /* weights of the losses */
    int mask_point_sample_ratio;              /* mask pixels for one point */
    bool impose_match; /* assignments come in as inputs "match.<output>" I32 [B, G*Q] instead of being made */
} hm_criterion_options;

/* Upstream's: costs 5, 2, 2, 5, 5 (bbox, class, giou, mask_ce, mask_dice), losses 1, 5, 2, 5, 5, ratio 16. */
hm_criterion_options hm_criterion_defaults(void);

typedef struct hm_loss_term {
    const char *name; /* "loss_ce", "loss_bbox_0", "cardinality_error_enc", ... */
    hm_tensor *value; /* scalar, readable after the run */
    float weight;     /* in the total; 0: logged only */
} hm_loss_term;

typedef struct hm_criterion {
    hm_targets targets;               /* inputs "counts", "labels", "boxes" and, for segmentation, "masks" */
    hm_tensor *cost[HM_MAX_OUTPUTS];  /* [B, G*Q, T] */
    hm_tensor *match[HM_MAX_OUTPUTS]; /* I32 [B, G*Q]: target of each query or -1 */
    hm_loss_term terms[HM_MAX_TERMS];
    int n_terms;
    hm_tensor *total; /* scalar */
} hm_criterion;

/* `targets`: capacity T of an image. All outputs are matched first, then all losses made: the order of the draws. */
hm_status hm_criterion_build(hm_criterion *out, hm_graph *g, const hm_model *m, int64_t targets,
                             const hm_criterion_options *opt);

#endif
