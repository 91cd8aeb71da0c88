/* fuzz_safetensors.c: libFuzzer target: any bytes either open or are refused; what opens can be read whole. */
#include "io/safetensors.h"

static volatile uint8_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    hm_safetensors *s;
    if (hm_safetensors_open_memory("fuzz", data, len, &s) != HM_OK)
        return 0;
    for (size_t i = 0; i < hm_safetensors_count(s); i++) {
        const hm_safetensor *const t = hm_safetensors_at(s, i);
        if (hm_safetensors_find(s, t->name) != t)
            __builtin_trap();
        for (size_t b = 0; b < t->bytes; b++)
            sink ^= ((const uint8_t *)t->data)[b];
    }
    hm_safetensors_metadata(s, "format");
    hm_safetensors_close(s);
    return 0;
}
