/* pixels.c: checks of what a caller hands over, and rows put next to each other. */
#include "api/pixels.h"

#include <string.h>

#include "base/mem.h"

hm_status hm_pixels_check(const hm_pixels *p) {
    if (p->rgb == NULL)
        HM_FAIL(HM_ERR_ARG, "it has no pixels: rgb is NULL");
    if (p->width < 1 || p->height < 1 || (int64_t)p->width * p->height > HM_IMAGE_MAX_PIXELS)
        HM_FAIL(HM_ERR_ARG, "%d x %d pixels are not possible: sides are at least 1, and all pixels at most %d",
                (int)p->width, (int)p->height, HM_IMAGE_MAX_PIXELS);
    if (p->stride < 3 * (size_t)p->width)
        HM_FAIL(HM_ERR_ARG, "its stride of %zu bytes is less than a row of %d pixels of 3 bytes", p->stride,
                (int)p->width);
    return HM_OK;
}

hm_status hm_pixels_image(hm_image *out, uint8_t **copy, const hm_pixels *p) {
    const size_t row = 3 * (size_t)(p->width > 0 ? p->width : 0);
    *copy = NULL;
    HM_TRY(hm_pixels_check(p));
    *out = (hm_image){.w = p->width, .h = p->height, .rgb = (uint8_t *)p->rgb}; /* nothing writes to it */
    if (p->stride == row)
        return HM_OK;
    HM_TRY(hm_alloc(copy, (size_t)p->height, row));
    for (int32_t y = 0; y < p->height; y++)
        memcpy(*copy + (size_t)y * row, p->rgb + (size_t)y * p->stride, row);
    out->rgb = *copy;
    return HM_OK;
}
