/* fuzz_torch_file.c: libFuzzer target: any bytes either open as a weights file (zip, pickle, storages, layouts) or are
 * refused; what opens can be read whole. */
#include "weights/tensor_file.h"

static volatile uint8_t sink;

static void read_all(const uint8_t *data, size_t len, bool averages) {
    hm_tensor_file *f;
    if (hm_tensor_file_open_memory(&f, "fuzz", data, len, averages) != HM_OK)
        return;
    for (size_t i = 0; i < hm_tensor_file_count(f); i++) {
        const hm_safetensor *const t = hm_tensor_file_at(f, i);
        if (hm_tensor_file_find(f, t->name) != t)
            __builtin_trap();
        for (size_t b = 0; b < t->bytes; b++)
            sink ^= ((const uint8_t *)t->data)[b];
    }
    hm_tensor_file_metadata(f, "class_names");
    hm_tensor_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    read_all(data, len, false);
    read_all(data, len, true);
    return 0;
}
