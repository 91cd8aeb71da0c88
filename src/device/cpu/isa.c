/* isa.c: which instruction set the CPU kernels use. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/cpu/isa.h"

static const char *const names[HM_ISA_COUNT] = {"scalar", "avx2", "avx512"};

const char *hm_isa_name(hm_isa isa) {
    return names[isa];
}

static bool has(hm_isa isa) {
    __builtin_cpu_init();
    switch (isa) {
    case HM_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case HM_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    default:
        return true;
    }
}

bool hm_cpu_has_bf16(void) {
    return hm_isa_best() == HM_ISA_AVX512 && __builtin_cpu_supports("avx512bf16");
}

hm_status hm_isa_parse(const char *name, hm_isa *out) {
    for (int i = 0; i < HM_ISA_COUNT; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        if (!has((hm_isa)i))
            HM_FAIL(HM_ERR_ARG, "HM_ISA=%s: this CPU does not have it; use %s", name, hm_isa_name(hm_isa_best()));
        *out = (hm_isa)i;
        return HM_OK;
    }
    HM_FAIL(HM_ERR_ARG, "HM_ISA=%s is unknown: use scalar, avx2 or avx512", name);
}

hm_isa hm_isa_best(void) {
    hm_isa isa = has(HM_ISA_AVX512) ? HM_ISA_AVX512 : has(HM_ISA_AVX2) ? HM_ISA_AVX2 : HM_ISA_SCALAR;
    const char *const forced = getenv("HM_ISA");
    for (int i = 0; forced != NULL && i < (int)isa; i++)
        if (strcmp(forced, names[i]) == 0)
            isa = (hm_isa)i;
    return isa;
}
