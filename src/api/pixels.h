/* pixels.h: pixels of a caller's as the pictures that the rest of the library knows. */
#ifndef HM_API_PIXELS_H
#define HM_API_PIXELS_H

#include "data/image.h"

/* HM_ERR_ARG for sizes that cannot be. */
hm_status hm_pixels_check(const hm_pixels *p);

/* *out = the same pixels, copied only where rows are not next to each other: *copy (free) is then not NULL.
 * Checked first. */
hm_status hm_pixels_image(hm_image *out, uint8_t **copy, const hm_pixels *p);

#endif
