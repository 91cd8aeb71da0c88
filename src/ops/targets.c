/* targets.c: see targets.h. */
#include "ops/targets.h"

#include <stdio.h>

/* "fp32 [2,any,4]" */
static void wanted(hm_dtype dtype, hm_shape want, char buf[static 128]) {
    int at = snprintf(buf, 128, "%s [", hm_dtype_name(dtype));
    for (int k = 0; k < want.rank && at < 100; k++) {
        const char *const comma = k > 0 ? "," : "";
        at += want.dim[k] < 0 ? snprintf(buf + at, 128 - (size_t)at, "%sany", comma)
                              : snprintf(buf + at, 128 - (size_t)at, "%s%lld", comma, (long long)want.dim[k]);
    }
    snprintf(buf + at, 128 - (size_t)at, "]");
}

hm_status hm_infer_input(const hm_node *n, int i, const char *name, hm_dtype dtype, hm_shape want) {
    const hm_tensor *const t = n->in[i];
    HM_NODE_CHECK(n, t != NULL, "%s is missing", name);
    bool fits = t->dtype == dtype && t->shape.rank == want.rank;
    for (int k = 0; fits && k < want.rank; k++)
        fits = want.dim[k] < 0 || want.dim[k] == t->shape.dim[k];
    char text[128];
    wanted(dtype, want, text);
    HM_NODE_CHECK(n, fits, "%s must be %s", name, text);
    return HM_OK;
}

hm_status hm_check_counts(const int32_t *counts, int64_t images, int64_t capacity) {
    for (int64_t b = 0; b < images; b++)
        if (counts[b] < 0 || counts[b] > capacity)
            HM_FAIL(HM_ERR_ARG, "image %lld of the batch has %d targets; there is room for 0 to %lld", (long long)b,
                    (int)counts[b], (long long)capacity);
    return HM_OK;
}

hm_status hm_check_labels(const int32_t *labels, const int32_t *counts, int64_t images, int64_t capacity,
                          int64_t classes) {
    HM_TRY(hm_check_counts(counts, images, capacity));
    for (int64_t b = 0; b < images; b++)
        for (int64_t j = 0; j < counts[b]; j++) {
            const int32_t label = labels[b * capacity + j];
            if (label < 0 || label >= classes)
                HM_FAIL(HM_ERR_ARG, "target %lld of image %lld of the batch has label %d; the model knows 0 to %lld",
                        (long long)j, (long long)b, (int)label, (long long)classes - 1);
        }
    return HM_OK;
}

hm_status hm_check_match(const int32_t *match, const int32_t *counts, int64_t images, int64_t queries) {
    for (int64_t b = 0; b < images; b++)
        for (int64_t q = 0; q < queries; q++) {
            const int32_t t = match[b * queries + q];
            if (t < -1 || t >= counts[b])
                HM_FAIL(HM_ERR_ARG, "query %lld of image %lld of the batch is matched to target %d of %d", (long long)q,
                        (long long)b, (int)t, (int)counts[b]);
        }
    return HM_OK;
}

double hm_num_boxes(const int32_t *counts, int64_t images, int groups) {
    double sum = 0;
    for (int64_t b = 0; b < images; b++)
        sum += counts[b];
    return sum * groups > 1 ? sum * groups : 1;
}
