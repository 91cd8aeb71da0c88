/* inline.h: small functions of headers that kernels for the GPU use too. */
#ifndef HM_BASE_INLINE_H
#define HM_BASE_INLINE_H

#ifdef __CUDACC__
#define HM_INLINE static inline __host__ __device__
#else
#define HM_INLINE static inline
#endif

#ifdef __cplusplus
#define HM_RESTRICT __restrict__
#else
#define HM_RESTRICT restrict
#endif

#endif
