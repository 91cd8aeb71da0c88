/* isa.h: the instruction sets of the CPU backend. Kernel files (src/ops/<op>/cpu.c) are compiled once for each. */
#ifndef HM_DEVICE_CPU_ISA_H
#define HM_DEVICE_CPU_ISA_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum hm_isa { HM_ISA_SCALAR, HM_ISA_AVX2, HM_ISA_AVX512, HM_ISA_COUNT } hm_isa; /* in rising order */

hm_isa hm_isa_best(void);                              /* what this CPU has, lowered by HM_ISA=scalar|avx2|avx512 */
hm_status hm_isa_parse(const char *name, hm_isa *out); /* an unknown or unavailable one is HM_ERR_ARG */
bool hm_cpu_has_bf16(void); /* dot products of bf16 (AVX512-BF16), and HM_ISA allows AVX-512 */
const char *hm_isa_name(hm_isa isa);

#ifdef __cplusplus
}
#endif
#endif
