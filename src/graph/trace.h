/* trace.h: finds where numbers stopped being finite. */
#ifndef HM_GRAPH_TRACE_H
#define HM_GRAPH_TRACE_H

#include "graph/exec.h"

/* What a floating-point tensor holds. */
typedef struct hm_magnitudes {
    double largest;            /* finite |x| */
    int64_t count, not_finite; /* numbers; infinities and NaN */
    int64_t zero;
    int64_t above, below, subnormal; /* of the finite ones: what fp16 would make infinite, zero, subnormal */
} hm_magnitudes;

/* Of a tensor as it is stored. */
hm_magnitudes hm_magnitudes_of(hm_exec *e, const hm_tensor *t);
/* Of output `o` of the node that was run last, before it was rounded to half if the executor has or can make that. */
hm_magnitudes hm_magnitudes_made(hm_exec *e, const hm_node *n, int o);

void hm_magnitudes_join(hm_magnitudes *to, const hm_magnitudes *m);

typedef struct hm_first_bad {
    const hm_node *node;     /* NULL: every number was finite */
    const hm_tensor *tensor; /* its first output that is not finite */
    hm_magnitudes made;      /* of that output */
    double from;             /* largest |x| of the node's inputs */
} hm_first_bad;

/* Runs seed and step again, changing nothing that outlives a run, up to the first node that makes infinities or NaN.
 * `ago`: as hm_exec_rehearse has it. */
hm_status hm_trace(hm_exec *e, int ago, uint64_t seed, int64_t step, hm_first_bad *out);

#endif
