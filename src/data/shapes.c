/* shapes.c: writes the built-in data set as a Roboflow COCO tree. What lies free is a polygon; what is occluded is a
 * compressed RLE; a crowd is uncompressed counts: the three forms that a COCO file may hold. The annotation file of a
 * split comes last, so that an interrupted tree is not taken for a whole one. */
#include "data/shapes.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/shapes_draw.h"
#include "io/atomic.h"
#include "io/image_write.h"

enum { JPEG_QUALITY = 92, MIN_SIDE = 48, MAX_SIDE = 4096, MAX_COUNT = 1000000 };

static const char *const SPLITS[3] = {"train", "valid", "test"};

typedef struct text {
    char *s;
    size_t len, cap; /* bytes */
} text;

typedef struct writer {
    const hm_shapes_config *options;
    const char *dir, *split;
    text images, annotations; /* the members of the JSON arrays */
    int64_t annotation_id;    /* the next one; from 1, as COCO's evaluation takes 0 for "no match" */
    int64_t done, total;      /* images */
} writer;

hm_shapes_config hm_shapes_defaults(void) {
    return (hm_shapes_config){.counts = {1500, 150, 150}, .min_side = 96, .max_side = 128, .seed = 0};
}

int32_t hm_shapes_classes(const hm_shapes_config *c) {
    return c->n_classes > 0 ? c->n_classes : HM_SHAPE_CLASSES;
}

int32_t hm_shapes_kind(const hm_shapes_config *c, int32_t label) {
    return c->n_classes > 0 ? c->classes[label] : label;
}

static hm_status add_class(hm_shapes_config *c, const char *name, size_t len) {
    int32_t kind = 0;
    while (kind < HM_SHAPE_KINDS && (strlen(hm_shape_names[kind]) != len || strncmp(hm_shape_names[kind], name, len)))
        kind++;
    if (kind == HM_SHAPE_KINDS)
        HM_FAIL(HM_ERR_ARG,
                "classes: there is no shape \"%.*s\": choose from circle, triangle, square, star, cross and pentagon, "
                "with commas between them",
                (int)(len < 40 ? len : 40), name);
    for (int32_t i = 0; i < c->n_classes; i++)
        if (c->classes[i] == kind)
            HM_FAIL(HM_ERR_ARG, "classes names %s twice: give each shape once", hm_shape_names[kind]);
    c->classes[c->n_classes++] = kind;
    return HM_OK;
}

hm_status hm_shapes_set_classes(hm_shapes_config *c, const char *names) {
    c->n_classes = 0;
    for (;;) {
        const size_t len = strcspn(names, ",");
        HM_TRY(add_class(c, names, len));
        if (names[len] == '\0')
            return HM_OK;
        names += len + 1;
    }
}

__attribute__((format(printf, 2, 3))) static hm_status put(text *t, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    HM_TRY(hm_grow(&t->s, &t->cap, t->len + (size_t)n + 1, 1));
    va_start(args, fmt);
    vsnprintf(t->s + t->len, (size_t)n + 1, fmt, args);
    va_end(args);
    t->len += (size_t)n;
    return HM_OK;
}

/* ---- segmentations ---- */

static hm_status put_polygons(text *t, const hm_scene_shape *s) {
    for (size_t k = 0; k < s->n_parts; k++) {
        HM_TRY(put(t, k ? ",[" : "[["));
        for (size_t i = s->start[k]; i < s->start[k + 1]; i++)
            HM_TRY(put(t, "%s%.10g", i == s->start[k] ? "" : ",", s->xy[i]));
        HM_TRY(put(t, "]"));
    }
    return put(t, "]");
}

static hm_status put_counts(text *t, const hm_rle *r) {
    HM_TRY(put(t, "{\"size\":[%d,%d],\"counts\":[", (int)r->h, (int)r->w));
    for (size_t i = 0; i < r->n; i++)
        HM_TRY(put(t, "%s%u", i ? "," : "", (unsigned)r->counts[i]));
    return put(t, "]}");
}

/* The alphabet of compressed strings (48..111) has one character that JSON escapes: the backslash. */
static hm_status put_compressed(text *t, const hm_rle *r) {
    char *s = NULL;
    HM_TRY(hm_rle_to_string(r, &s));
    hm_status st = put(t, "{\"size\":[%d,%d],\"counts\":\"", (int)r->h, (int)r->w);
    for (const char *p = s; *p && st == HM_OK; p++)
        st = put(t, *p == '\\' ? "\\%c" : "%c", *p);
    free(s);
    return st == HM_OK ? put(t, "\"}") : st;
}

static hm_status put_annotation(writer *w, const hm_scene_shape *s, int32_t image) {
    text *const t = &w->annotations;
    double box[4];
    hm_rle_box(&s->visible, box);
    HM_TRY(put(t, "%s{\"id\":%lld,\"image_id\":%d,\"category_id\":%d,\"bbox\":[%g,%g,%g,%g],\"area\":%llu,",
               t->len ? ",\n" : "", (long long)w->annotation_id++, (int)image, (int)s->label + 1, box[0], box[1],
               box[2], box[3], (unsigned long long)hm_rle_area(&s->visible)));
    HM_TRY(put(t, "\"segmentation\":"));
    if (s->crowd)
        HM_TRY(put_counts(t, &s->visible));
    else if (s->occluded)
        HM_TRY(put_compressed(t, &s->visible));
    else
        HM_TRY(put_polygons(t, s));
    return put(t, ",\"iscrowd\":%d}", s->crowd);
}

/* ---- files ---- */

static hm_status write_image(const writer *w, const char *name, const hm_scene *s, const uint8_t *rgb, bool png) {
    char *path = NULL;
    if (asprintf(&path, "%s/%s/%s", w->dir, w->split, name) < 0)
        HM_FAIL(HM_ERR_MEMORY, "out of memory");
    const hm_status st = png ? hm_image_write_png(path, rgb, s->w, s->h, 3)
                             : hm_image_write_jpeg(path, rgb, s->w, s->h, 3, JPEG_QUALITY);
    free(path);
    return st;
}

static hm_status add_image(writer *w, int32_t index) {
    hm_scene *scene = NULL;
    uint8_t *rgb = NULL;
    char name[32];
    hm_draws d = hm_draws_begin(w->options->seed, w->split, "file", index);
    const bool png = hm_draw_chance(&d, 1.0 / 3);
    hm_status st;
    snprintf(name, sizeof name, "shapes_%06d.%s", (int)index, png ? "png" : "jpg");
    HM_TRY_TO(st, done, hm_scene_make(&scene, w->options, w->split, index));
    HM_TRY_TO(st, done, hm_scene_paint(scene, w->options, w->split, index, &rgb));
    HM_TRY_TO(st, done, write_image(w, name, scene, rgb, png));
    HM_TRY_TO(st, done,
              put(&w->images, "%s{\"id\":%d,\"license\":1,\"file_name\":\"%s\",\"height\":%d,\"width\":%d}",
                  w->images.len ? ",\n" : "", (int)index, name, (int)scene->h, (int)scene->w));
    for (size_t i = 0; i < scene->n; i++)
        HM_TRY_TO(st, done, put_annotation(w, &scene->shapes[i], index));
done:
    hm_scene_free(scene);
    free(rgb);
    return st;
}

/* Roboflow puts a category 0 without annotations first, whose name is the others' supercategory. */
static hm_status put_categories(text *t, const hm_shapes_config *o) {
    HM_TRY(put(t, "\"categories\":[{\"id\":0,\"name\":\"shapes\",\"supercategory\":\"none\"}"));
    for (int32_t i = 0; i < hm_shapes_classes(o); i++)
        HM_TRY(put(t, ",\n{\"id\":%d,\"name\":\"%s\",\"supercategory\":\"shapes\"}", (int)i + 1,
                   hm_shape_names[hm_shapes_kind(o, i)]));
    return put(t, "],\n");
}

static hm_status write_annotations(const writer *w) {
    text t = {0};
    char *path = NULL;
    hm_status st;
    HM_TRY_TO(st, done,
              put(&t,
                  "{\"info\":{\"description\":\"halfmask's built-in shapes, seed %lld, split %s\",\"version\":\"1\"},\n"
                  "\"licenses\":[{\"id\":1,\"url\":\"https://creativecommons.org/publicdomain/zero/1.0/\","
                  "\"name\":\"CC0 1.0\"}],\n",
                  (long long)w->options->seed, w->split));
    HM_TRY_TO(st, done, put_categories(&t, w->options));
    HM_TRY_TO(st, done, put(&t, "\"images\":[%s],\n", w->images.s ? w->images.s : ""));
    HM_TRY_TO(st, done, put(&t, "\"annotations\":[%s]}\n", w->annotations.s ? w->annotations.s : ""));
    if (asprintf(&path, "%s/%s/_annotations.coco.json", w->dir, w->split) < 0) {
        path = NULL;
        st = hm_fail(HM_ERR_MEMORY, "out of memory");
        goto done;
    }
    st = hm_file_write(path, t.s, t.len);
done:
    free(path);
    free(t.s);
    return st;
}

static hm_status write_split(writer *w, int32_t count, hm_shapes_tick *tick, void *user) {
    char *folder = NULL;
    if (asprintf(&folder, "%s/%s", w->dir, w->split) < 0)
        HM_FAIL(HM_ERR_MEMORY, "out of memory");
    hm_status st = hm_make_dirs(folder);
    free(folder);
    w->annotation_id = 1;
    for (int32_t i = 0; i < count && st == HM_OK; i++) {
        st = add_image(w, i);
        w->done++;
        if (tick && st == HM_OK)
            tick(user, w->done, w->total);
    }
    if (st == HM_OK)
        st = write_annotations(w);
    free(w->images.s);
    free(w->annotations.s);
    w->images = w->annotations = (text){0};
    return st;
}

/* ---- options ---- */

static hm_status check_options(const hm_shapes_config *o) {
    for (int i = 0; i < 3; i++)
        if (o->counts[i] < 0 || o->counts[i] > MAX_COUNT)
            HM_FAIL(HM_ERR_ARG, "%d images for %s: choose 0 to %d", (int)o->counts[i], SPLITS[i], (int)MAX_COUNT);
    if (o->min_side < MIN_SIDE || o->max_side > MAX_SIDE || o->min_side > o->max_side)
        HM_FAIL(HM_ERR_ARG, "image sides from %d to %d pixels: choose a range within %d to %d", (int)o->min_side,
                (int)o->max_side, (int)MIN_SIDE, (int)MAX_SIDE);
    return HM_OK;
}

static hm_status check_empty(const char *dir) {
    DIR *const d = opendir(dir);
    if (d == NULL && errno == ENOENT)
        return HM_OK;
    if (d == NULL)
        HM_FAIL(HM_ERR_IO, "cannot write the data set to %s: %s", dir, strerror(errno));
    bool empty = true;
    for (const struct dirent *e; empty && (e = readdir(d)) != NULL;)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    if (!empty)
        HM_FAIL(HM_ERR_ARG, "%s is not empty: choose a folder that does not exist yet, or remove this one", dir);
    return HM_OK;
}

hm_status hm_shapes_write(const char *dir, const hm_shapes_config *options, hm_shapes_tick *tick, void *user) {
    writer w = {.options = options, .dir = dir};
    HM_TRY(check_options(options));
    HM_TRY(check_empty(dir));
    hm_status st = HM_OK;
    for (int i = 0; i < 3; i++)
        w.total += options->counts[i];
    for (int i = 0; i < 3 && st == HM_OK; i++) {
        w.split = SPLITS[i];
        if (options->counts[i] > 0) /* a split without pictures would be a fault of the data set */
            st = write_split(&w, options->counts[i], tick, user);
    }
    return st;
}
