/* fuzz_image.c: libFuzzer target: any bytes either decode to a picture within the limits or are refused with a message.
 */
#include "data/image.h"

#include <string.h>

static volatile uint8_t sink;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    hm_image m;
    if (hm_image_decode(&m, data, len, "fuzz") != HM_OK) {
        if (m.rgb != NULL || strstr(hm_error_message(), "fuzz") == NULL)
            __builtin_trap();
        return 0;
    }
    const size_t n = (size_t)m.w * (size_t)m.h;
    if (n == 0 || n > HM_IMAGE_MAX_PIXELS)
        __builtin_trap();
    for (size_t i = 0; i < n * 3; i++)
        sink ^= m.rgb[i];
    hm_image_free(&m);
    return 0;
}
