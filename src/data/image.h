/* image.h: reading JPEG and PNG files as 8-bit RGB, with the numbers that Pillow's convert("RGB") gives: grey is
 * replicated, palettes are looked up, alpha and transparency are dropped (no blending), 16-bit colour loses its low
 * byte, 16-bit grey saturates at 255, CMYK is the inverted kind. EXIF orientation, colour profiles and gamma are
 * ignored, as upstream does. */
#ifndef HM_DATA_IMAGE_H
#define HM_DATA_IMAGE_H

#include "base/status.h"

#define HM_IMAGE_MAX_PIXELS 178956970 /* Pillow's limit against decompression bombs */

typedef struct hm_image {
    int32_t w, h; /* pixels */
    uint8_t *rgb; /* [h, w, 3] row-major */
} hm_image;

/* Decodes the first image of `len` bytes; `name` only serves messages. HM_ERR_FORMAT when they are no JPEG or PNG, are
 * cut short, damaged, or claim a size that they cannot hold. */
hm_status hm_image_decode(hm_image *out, const uint8_t *data, size_t len, const char *name);

hm_status hm_image_read(hm_image *out, const char *path);

void hm_image_free(hm_image *m); /* takes NULL and zeroed objects; leaves a zeroed one */

/* The decoders behind hm_image_decode, for data that starts with their signature. */
hm_status hm_image_decode_jpeg(hm_image *out, const uint8_t *data, size_t len, const char *name);
hm_status hm_image_decode_png(hm_image *out, const uint8_t *data, size_t len, const char *name);

#endif
