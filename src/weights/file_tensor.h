/* file_tensor.h: tensors of graphs and stores as tensors of a safetensors file. */
#ifndef HM_WEIGHTS_FILE_TENSOR_H
#define HM_WEIGHTS_FILE_TENSOR_H

#include "graph/graph.h"
#include "io/safetensors.h"

/* Of the floating-point types. */
static inline hm_st_dtype hm_file_dtype(hm_dtype dtype) {
    return dtype == HM_F16 ? HM_ST_F16 : dtype == HM_BF16 ? HM_ST_BF16 : HM_ST_F32;
}

/* To be written; name and data are the caller's. */
static inline hm_safetensor hm_file_tensor(const char *name, hm_shape shape, hm_dtype dtype, const void *data) {
    hm_safetensor t = {.name = name,
                       .dtype = hm_file_dtype(dtype),
                       .rank = shape.rank,
                       .data = data,
                       .bytes = (size_t)hm_shape_count(shape) * hm_dtype_size(dtype)};
    for (int k = 0; k < shape.rank; k++)
        t.shape[k] = shape.dim[k];
    return t;
}

/* Whether a tensor that was read has this shape. */
static inline bool hm_file_tensor_is(const hm_safetensor *t, hm_shape shape) {
    bool same = t->rank == shape.rank;
    for (int k = 0; same && k < shape.rank; k++)
        same = t->shape[k] == shape.dim[k];
    return same;
}

#endif
