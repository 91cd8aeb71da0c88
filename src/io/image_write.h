/* image_write.h: 8-bit RGB or grey pictures as PNG (lossless) and JPEG files, and as bytes in memory.
 * Files are written atomically (io/atomic.h). No other formats, no alpha. */
#ifndef HM_IO_IMAGE_WRITE_H
#define HM_IO_IMAGE_WRITE_H

#include "base/status.h"

/* pixels [h, w, channels] row-major bytes, channels 1 (grey) or 3 (RGB). Sides are 1 to 65500 pixels, else HM_ERR_ARG.
 */
hm_status hm_image_write_png(const char *path, const uint8_t *pixels, int32_t w, int32_t h, int channels);
/* quality 1..100; colour is stored without chroma subsampling from quality 90 on, halved (4:2:0) below. */
hm_status hm_image_write_jpeg(const char *path, const uint8_t *pixels, int32_t w, int32_t h, int channels, int quality);

/* The same into memory: *data must be freed. */
hm_status hm_image_encode_png(uint8_t **data, size_t *len, const uint8_t *pixels, int32_t w, int32_t h, int channels);
hm_status hm_image_encode_jpeg(uint8_t **data, size_t *len, const uint8_t *pixels, int32_t w, int32_t h, int channels,
                               int quality);

#endif
