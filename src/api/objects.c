/* objects.c: what was found in an image, independent of what found it. */
#include "api/objects.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct hm_objects {
    size_t n;
    hm_object *items; /* [n] */
    hm_rle *masks;    /* [n], zeroed without masks */
    char **names;     /* [n] */
};

static hm_status fill(hm_objects *o, size_t i, hm_detection *d, const hm_classes *classes) {
    hm_object *const item = &o->items[i];
    HM_TRY(hm_strdup(&o->names[i], classes->names[d->label]));
    *item = (hm_object){
        .score = d->score, .label = d->label, .class_id = classes->ids[d->label], .class_name = o->names[i]};
    memcpy(item->box, d->box, sizeof item->box);
    o->masks[i] = d->mask;
    d->mask = (hm_rle){0};
    return HM_OK;
}

hm_status hm_objects_new(hm_objects **out, hm_detections *found, const hm_classes *classes) {
    hm_objects *o = NULL;
    hm_status st;
    *out = NULL;
    HM_TRY(hm_alloc(&o, 1, sizeof *o));
    HM_TRY_TO(st, fail, hm_alloc(&o->items, found->n, sizeof *o->items));
    HM_TRY_TO(st, fail, hm_alloc(&o->masks, found->n, sizeof *o->masks));
    HM_TRY_TO(st, fail, hm_alloc(&o->names, found->n, sizeof *o->names));
    for (; o->n < found->n; o->n++)
        HM_TRY_TO(st, fail, fill(o, o->n, &found->items[o->n], classes));
    *out = o;
    return HM_OK;
fail:
    hm_objects_free(o);
    return st;
}

void hm_objects_free(hm_objects *o) {
    if (o == NULL)
        return;
    for (size_t i = 0; i < o->n; i++) {
        hm_rle_free(&o->masks[i]);
        free(o->names[i]);
    }
    free(o->items);
    free(o->masks);
    free(o->names);
    free(o);
}

size_t hm_objects_count(const hm_objects *o) {
    return o->n;
}

const hm_object *hm_objects_get(const hm_objects *o, size_t i) {
    return i < o->n ? &o->items[i] : NULL;
}

static hm_status find_mask(const hm_objects *o, size_t i, const hm_rle **out) {
    if (i >= o->n)
        HM_FAIL(HM_ERR_ARG, "there is no object %zu among %zu", i, o->n);
    if (o->masks[i].n == 0)
        HM_FAIL(HM_ERR_UNSUPPORTED, "object %zu has no mask: it was found by a model for boxes only", i);
    *out = &o->masks[i];
    return HM_OK;
}

hm_status hm_objects_mask(const hm_objects *o, size_t i, uint8_t *mask, size_t bytes) {
    const hm_rle *runs = NULL;
    HM_TRY(find_mask(o, i, &runs));
    if (bytes < (size_t)runs->h * (size_t)runs->w)
        HM_FAIL(HM_ERR_ARG, "a mask of %d x %d pixels does not fit into %zu bytes", (int)runs->w, (int)runs->h, bytes);
    hm_rle_to_mask(runs, mask);
    return HM_OK;
}

hm_status hm_objects_rle(const hm_objects *o, size_t i, char *text, size_t room, size_t *bytes) {
    const hm_rle *runs = NULL;
    char *made;
    HM_TRY(find_mask(o, i, &runs));
    HM_TRY(hm_rle_to_string(runs, &made));
    *bytes = strlen(made) + 1;
    if (*bytes <= room)
        memcpy(text, made, *bytes);
    free(made);
    return HM_OK;
}
