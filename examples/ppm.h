/* ppm.h: reads a binary PPM ("P6", 8 bits), the simplest format that holds pixels, for these examples. */
#ifndef PPM_H
#define PPM_H

#include <halfmask.h>
#include <stdio.h>
#include <stdlib.h>

/* False, with a word on stderr, when it is no such file. free(out->rgb). */
static inline bool ppm_read(const char *path, hm_pixels *out) {
    FILE *const f = fopen(path, "rb");
    int w = 0, h = 0;
    uint8_t *rgb = NULL;
    bool good = f != NULL && fscanf(f, "P6 %d %d 255", &w, &h) == 2 && fgetc(f) != EOF && w > 0 && h > 0 &&
                w < 1 << 14 && h < 1 << 14;
    if (good) {
        const size_t bytes = 3 * (size_t)w * (size_t)h;
        rgb = malloc(bytes);
        good = rgb != NULL && fread(rgb, 1, bytes, f) == bytes;
    }
    if (f != NULL)
        fclose(f);
    if (!good) {
        fprintf(stderr, "%s is no binary PPM of 8 bits\n", path);
        free(rgb);
        return false;
    }
    *out = (hm_pixels){.rgb = rgb, .width = w, .height = h, .stride = 3 * (size_t)w};
    return true;
}

#endif
