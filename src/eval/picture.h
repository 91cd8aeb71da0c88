/* picture.h: draws objects on an image: half-transparent masks, boxes, class names and scores; and sets pictures side
 * by side. Masks and boxes are used as given: nothing is filtered by score here. */
#ifndef HM_EVAL_PICTURE_H
#define HM_EVAL_PICTURE_H

#include "data/rle.h"
#include "io/canvas.h"

typedef struct hm_picture_object {
    double box[4];      /* x,y,w,h in the image's pixels */
    const hm_rle *mask; /* of the image's size, or NULL */
    int32_t label;      /* chooses the colour, from 0 */
    const char *name;   /* NULL: no text */
    double score;       /* NaN: not shown */
} hm_picture_object;

/* Draws on a copy of rgb [h, w, 3], enlarged `zoom` times; 0 chooses a zoom that makes small images readable. Earlier
 * objects lie on top, so hand them over by falling score. HM_ERR_ARG for a mask of another size. */
hm_status hm_picture_draw(hm_picture *out, const uint8_t *rgb, int32_t w, int32_t h, const hm_picture_object *objects,
                          size_t n, int32_t zoom);

typedef struct hm_picture_tile {
    const hm_picture *picture;
    const char *caption; /* below it; NULL: none */
} hm_picture_tile;

/* Row after row of `columns` tiles on white; every cell has the size of the largest picture. */
hm_status hm_picture_grid(hm_picture *out, const hm_picture_tile *tiles, size_t n, size_t columns);

hm_status hm_picture_write_png(const hm_picture *p, const char *path);

#endif
