/* dnnl_engine.c: the engine, the descriptions of matrices, the number of threads. */
#include "device/cpu/dnnl_engine.h"

#include <omp.h>

dnnl_engine_t hm_dnnl_engine(void) {
    static dnnl_engine_t made;
#pragma omp critical(hm_dnnl_engine)
    if (made == NULL && dnnl_engine_create(&made, dnnl_cpu, 0) != dnnl_success)
        made = NULL;
    return made;
}

bool hm_dnnl_matrix(dnnl_memory_desc_t *d, int64_t rows, int64_t cols, dnnl_data_type_t type, bool turned, int64_t ld) {
    const dnnl_dims_t dims = {rows, cols}, strides = {turned ? 1 : ld, turned ? ld : 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides) == dnnl_success;
}

int hm_dnnl_alone(void) {
    const int before = omp_in_parallel() ? 1 : omp_get_max_threads();
    if (before > 1)
        omp_set_num_threads(1);
    return before;
}

void hm_dnnl_restore(int before) {
    if (before > 1)
        omp_set_num_threads(before);
}
