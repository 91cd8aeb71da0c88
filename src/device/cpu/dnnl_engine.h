/* dnnl_engine.h: oneDNN's engine for this processor, made once, and how many threads it takes. */
#ifndef HM_DEVICE_CPU_DNNL_ENGINE_H
#define HM_DEVICE_CPU_DNNL_ENGINE_H

#include <dnnl.h>
#include <stdbool.h>
#include <stdint.h>

dnnl_engine_t hm_dnnl_engine(void); /* NULL when oneDNN refuses */

/* A row-major matrix [rows, cols] with rows of ld elements, or with `turned` the transpose of one. */
bool hm_dnnl_matrix(dnnl_memory_desc_t *d, int64_t rows, int64_t cols, dnnl_data_type_t type, bool turned, int64_t ld);

/* oneDNN computes on one thread when called inside an active parallel region; elsewhere it takes as many as OpenMP
 * would give. What runs between these two takes one in either case; restore gets what alone returned. */
int hm_dnnl_alone(void);
void hm_dnnl_restore(int before);

#endif
