/* fuzz_coco_results.c: libFuzzer target: any bytes as a COCO results file; what is handed over is whole. */
#include "eval/coco_results.h"

#include <math.h>

static hm_coco_image images[] = {{.id = 1, .width = 6, .height = 4}, {.id = 2, .width = 9, .height = 9}};
static hm_coco_category categories[] = {{.id = 1}, {.id = 3}};

static hm_status look(void *user, const hm_coco_result *r) {
    size_t *const n = user;
    uint8_t mask[81];
    if (r->index != (*n)++ || r->image > 1 || r->category > 1 || !isfinite(r->score) || (!r->has_box && !r->mask))
        __builtin_trap();
    if (r->mask)
        hm_rle_to_mask(r->mask, mask);
    return HM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    const hm_coco gt = {.images = images, .n_images = 2, .categories = categories, .n_categories = 2};
    size_t n = 0;
    hm_coco_results_parse("fuzz", data, len, &gt, look, &n);
    return 0;
}
