/* ref.c: the definition of permutations, joins and cuts, one element at a time by coordinates. */
#include <string.h>

#include "graph/op.h"
#include "ops/shape/shape_attr.h"

hm_status hm_permute_ref(const hm_call *c);
hm_status hm_concat_ref(const hm_call *c);
hm_status hm_slice_ref(const hm_call *c);
hm_status hm_pad_ref(const hm_call *c);

static void copy_element(hm_dtype dtype, void *out, int64_t to, const void *in, int64_t from) {
    if (dtype == HM_I32)
        ((int32_t *)out)[to] = ((const int32_t *)in)[from];
    else
        ((double *)out)[to] = ((const double *)in)[from];
}

static void split(int64_t i, hm_shape s, int64_t *at) {
    for (int k = s.rank - 1; k >= 0; k--) {
        at[k] = i % s.dim[k];
        i /= s.dim[k];
    }
}

static int64_t join(const int64_t *at, hm_shape s) {
    int64_t i = 0;
    for (int k = 0; k < s.rank; k++)
        i = i * s.dim[k] + at[k];
    return i;
}

hm_status hm_permute_ref(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const int *const perm = ((const hm_permute_attr *)c->node->attr)->perm;
    for (int64_t i = 0; i < hm_count(y); i++) {
        int64_t to[HM_MAX_RANK], from[HM_MAX_RANK];
        split(i, y->shape, to);
        for (int k = 0; k < y->shape.rank; k++)
            from[perm[k]] = to[k];
        copy_element(y->dtype, c->out[0], i, c->in[0], join(from, x->shape));
    }
    return HM_OK;
}

hm_status hm_concat_ref(const hm_call *c) {
    const hm_tensor *const y = c->node->out[0];
    const int axis = ((const hm_concat_attr *)c->node->attr)->axis;
    int64_t start = 0;
    for (int k = 0; k < c->node->n_in; k++) {
        const hm_tensor *const x = c->node->in[k];
        for (int64_t i = 0; i < hm_count(x); i++) {
            int64_t at[HM_MAX_RANK];
            split(i, x->shape, at);
            at[axis] += start;
            copy_element(y->dtype, c->out[0], join(at, y->shape), c->in[k], i);
        }
        start += x->shape.dim[axis];
    }
    return HM_OK;
}

hm_status hm_slice_ref(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const hm_range_attr *const attr = c->node->attr;
    for (int64_t i = 0; i < hm_count(y); i++) {
        int64_t at[HM_MAX_RANK];
        split(i, y->shape, at);
        at[attr->axis] += attr->start;
        copy_element(y->dtype, c->out[0], i, c->in[0], join(at, x->shape));
    }
    return HM_OK;
}

hm_status hm_pad_ref(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const hm_range_attr *const attr = c->node->attr;
    memset(c->out[0], 0, (size_t)hm_count(y) * (y->dtype == HM_I32 ? sizeof(int32_t) : sizeof(double)));
    for (int64_t i = 0; i < hm_count(x); i++) {
        int64_t at[HM_MAX_RANK];
        split(i, x->shape, at);
        at[attr->axis] += attr->start;
        copy_element(y->dtype, c->out[0], join(at, y->shape), c->in[0], i);
    }
    return HM_OK;
}
