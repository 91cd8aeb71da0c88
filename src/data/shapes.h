/* shapes.h: the built-in data set: circles, triangles and squares, or shapes of other kinds, on textured grounds, with
 * exact masks, written as a Roboflow COCO tree. It serves demonstrations and tests where no data may be downloaded.
 * Everything is a pure function of the options: the same options give the same images on any machine with the same
 * cairo and JPEG libraries. */
#ifndef HM_DATA_SHAPES_H
#define HM_DATA_SHAPES_H

#include "data/rle.h"

enum {
    HM_SHAPE_KINDS = 6,
    HM_SHAPE_CLASSES = 3,
    HM_SHAPE_MAX_POINTS = 64,
    HM_SHAPES_MAX = 6,
    HM_SHAPES_MAX_IN_CROWD = 12
};

typedef struct hm_shapes_config {
    int32_t counts[3];          /* images in train, valid, test; 0: no such split */
    int32_t min_side, max_side; /* pixels; each image draws its width and height between them */
    int64_t seed;
    int32_t n_classes;               /* 0: the first HM_SHAPE_CLASSES kinds */
    int32_t classes[HM_SHAPE_KINDS]; /* kinds, by label */
} hm_shapes_config;

hm_shapes_config hm_shapes_defaults(void); /* 1500, 150, 150 images of 96 to 128 pixels */

/* Of the kinds: circle, triangle, square, star, cross, pentagon. */
extern const char *const hm_shape_names[HM_SHAPE_KINDS];

/* Sets the classes from "star,cross"; HM_ERR_ARG for a name that is unknown, or there twice. */
hm_status hm_shapes_set_classes(hm_shapes_config *c, const char *names);
int32_t hm_shapes_classes(const hm_shapes_config *c); /* their number */
int32_t hm_shapes_kind(const hm_shapes_config *c, int32_t label);

/* Called after each image; `user` is passed through. May be NULL. */
typedef void hm_shapes_tick(void *user, int64_t done, int64_t total);

/* Makes DIR/{train,valid,test} with images and _annotations.coco.json, but no split of 0 images. HM_ERR_ARG for options
 * out of range (sides 48 to 4096, counts 0 to 1,000,000) and for a DIR that exists and is not an empty folder. */
hm_status hm_shapes_write(const char *dir, const hm_shapes_config *options, hm_shapes_tick *tick, void *user);

/* One shape, or one crowd of small shapes of a class that touch each other. */
typedef struct hm_scene_shape {
    int32_t label, kind; /* index into the classes; into hm_shape_names */
    bool crowd, occluded;
    size_t n_parts;                                              /* 1, or the members of the crowd */
    size_t start[HM_SHAPES_MAX_IN_CROWD + 1];                    /* numbers: part k is xy[start[k]..start[k+1]) */
    double xy[HM_SHAPES_MAX_IN_CROWD * HM_SHAPE_MAX_POINTS * 2]; /* pixels, inside the image, two decimals */
    float rgb[3], rgb_end[3];                                    /* colour gradient along the shape, 0..1 */
    bool outlined;
    hm_rle visible; /* what later shapes leave of it: the annotation's mask */
} hm_scene_shape;

typedef struct hm_scene {
    int32_t w, h;
    size_t n;
    hm_scene_shape shapes[HM_SHAPES_MAX + 1]; /* in painting order */
} hm_scene;

/* Composes image `index` of a split ("train", …) and its masks. *out must be freed. */
hm_status hm_scene_make(hm_scene **out, const hm_shapes_config *options, const char *split, int32_t index);

/* Paints it: *rgb = [h, w, 3] bytes, to be freed. */
hm_status hm_scene_paint(const hm_scene *scene, const hm_shapes_config *options, const char *split, int32_t index,
                         uint8_t **rgb);

void hm_scene_free(hm_scene *scene); /* takes NULL */

#endif
