/* coco_item.c: see coco_item.h: fields of the present item, their checks, and the item's end. Segmentations are
 * coco_segment.c's. */
#include "data/coco_item.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/coco_number.h"

#define IN(list)   (1u << HM_COCO_##list)
#define EVERYWHERE (IN(IMAGES) | IN(ANNOTATIONS) | IN(CATEGORIES))

static const struct {
    const char *name, *form;
    unsigned lists, required; /* bit per hm_coco_list */
} keys[HM_COCO_KEYS] = {
    [HM_COCO_OTHER_KEY] = {"", "", 0, 0},
    [HM_COCO_ID] = {"id", "a whole number", EVERYWHERE, EVERYWHERE},
    [HM_COCO_WIDTH] = {"width", "the image's width in pixels", IN(IMAGES), IN(IMAGES)},
    [HM_COCO_HEIGHT] = {"height", "the image's height in pixels", IN(IMAGES), IN(IMAGES)},
    [HM_COCO_FILE_NAME] = {"file_name", "the image's file name", IN(IMAGES), IN(IMAGES)},
    [HM_COCO_IMAGE_ID] = {"image_id", "the id of one of the images", IN(ANNOTATIONS), IN(ANNOTATIONS)},
    [HM_COCO_CATEGORY_ID] = {"category_id", "the id of one of the categories", IN(ANNOTATIONS), IN(ANNOTATIONS)},
    [HM_COCO_ISCROWD] = {"iscrowd", "0 or 1", IN(ANNOTATIONS), 0},
    [HM_COCO_BBOX] = {"bbox", "[x, y, width, height] in pixels", IN(ANNOTATIONS), 0},
    [HM_COCO_AREA] = {"area", "a number of pixels", IN(ANNOTATIONS), 0},
    [HM_COCO_SEGMENTATION] = {"segmentation",
                              "a list of polygons [[x, y, x, y, x, y, ...], ...] or RLE {\"size\": [height, width], "
                              "\"counts\": ...}",
                              IN(ANNOTATIONS), 0},
    [HM_COCO_NAME] = {"name", "the category's name", IN(CATEGORIES), IN(CATEGORIES)},
    [HM_COCO_SUPERCATEGORY] = {"supercategory", "a name, or leave it out", IN(CATEGORIES), 0},
    [HM_COCO_SIZE] = {"size", "[height, width] in whole pixels", 0, 0},
    [HM_COCO_COUNTS] = {"counts", "a string or a list of run lengths", 0, 0},
};

static const struct {
    const char *plural, *singular;
} lists[] = {[HM_COCO_OTHER_LIST] = {"", ""},
             [HM_COCO_IMAGES] = {"images", "image"},
             [HM_COCO_ANNOTATIONS] = {"annotations", "annotation"},
             [HM_COCO_CATEGORIES] = {"categories", "category"}};

const char *hm_coco_list_name(hm_coco_list list) {
    return lists[list].plural;
}

const char *hm_coco_key_name(hm_coco_key key) {
    return keys[key].name;
}

const char *hm_coco_key_form(hm_coco_key key) {
    return keys[key].form;
}

static size_t items_before(const hm_coco_build *b) {
    return b->list == HM_COCO_IMAGES        ? b->out->n_images
           : b->list == HM_COCO_ANNOTATIONS ? b->n_drafts
                                            : b->out->n_categories;
}

void hm_coco_item_label(const hm_coco_build *b, char *label, size_t cap) {
    const char *const what = lists[b->list].singular;
    if (b->seen & 1u << HM_COCO_ID)
        snprintf(label, cap, "%s %lld", what, (long long)b->id);
    else
        snprintf(label, cap, "%s number %zu of its list", what, items_before(b) + 1);
}

hm_status hm_coco_build_open(hm_coco_build *b, hm_coco *out) {
    *b = (hm_coco_build){.out = out};
    HM_TRY(hm_grow(&out->text, &b->text_cap, 1, 1));
    out->text[b->n_text++] = '\0'; /* offset 0 is the empty string */
    return HM_OK;
}

void hm_coco_build_close(hm_coco_build *b) {
    free(b->drafts);
    b->drafts = NULL;
}

void hm_coco_item_begin(hm_coco_build *b) {
    b->seen = 0;
    b->key = HM_COCO_OTHER_KEY;
    b->image = (hm_coco_image){0};
    b->category = (hm_coco_category){0};
    b->draft = (hm_coco_draft){.ann = {.area = NAN}};
}

hm_status hm_coco_item_key(hm_coco_build *b, bool rle, const char *key, size_t len) {
    b->key = HM_COCO_OTHER_KEY;
    for (hm_coco_key k = HM_COCO_ID; k < HM_COCO_KEYS; k++) {
        const bool here = rle ? k >= HM_COCO_SIZE : (keys[k].lists & 1u << b->list) != 0;
        if (!here || strlen(keys[k].name) != len || memcmp(keys[k].name, key, len) != 0)
            continue;
        if (b->seen & 1u << k)
            HM_FAIL(HM_ERR_FORMAT, "it has \"%s\" twice; remove one", keys[k].name);
        b->key = k;
    }
    return HM_OK;
}

void hm_coco_item_null(hm_coco_build *b) {
    b->seen &= ~(1u << b->key);
}

static void mark(hm_coco_build *b) {
    b->seen |= 1u << b->key;
}

static hm_status put_integer(hm_coco_build *b, const char *text, double x, int64_t *out) {
    if (!hm_coco_integer(text, x, out))
        HM_FAIL(HM_ERR_FORMAT, "\"%s\" is %s; write a whole number", keys[b->key].name, text);
    mark(b);
    return HM_OK;
}

static hm_status put_side(hm_coco_build *b, const char *text, double x, int32_t *out) {
    int64_t side;
    if (!hm_coco_integer(text, x, &side) || side < 1 || side > INT32_MAX)
        HM_FAIL(HM_ERR_FORMAT, "\"%s\" is %s; write %s, a whole number from 1", keys[b->key].name, text,
                keys[b->key].form);
    *out = (int32_t)side;
    mark(b);
    return HM_OK;
}

static hm_status put_crowd(hm_coco_build *b, const char *text, double x) {
    if (x != 0 && x != 1)
        HM_FAIL(HM_ERR_FORMAT, "\"iscrowd\" is %s; write 0 or 1", text);
    b->draft.ann.iscrowd = x == 1;
    mark(b);
    return HM_OK;
}

hm_status hm_coco_item_number(hm_coco_build *b, const char *text, double x, bool *taken) {
    *taken = true;
    switch (b->key) {
    case HM_COCO_ID:
        return put_integer(b, text, x, &b->id);
    case HM_COCO_IMAGE_ID:
        return put_integer(b, text, x, &b->draft.image_id);
    case HM_COCO_CATEGORY_ID:
        return put_integer(b, text, x, &b->draft.category_id);
    case HM_COCO_WIDTH:
        return put_side(b, text, x, &b->image.width);
    case HM_COCO_HEIGHT:
        return put_side(b, text, x, &b->image.height);
    case HM_COCO_ISCROWD:
        return put_crowd(b, text, x);
    case HM_COCO_AREA:
        b->draft.ann.area = x;
        mark(b);
        return HM_OK;
    default:
        *taken = false;
        return HM_OK;
    }
}

/* *at = offset of a copy in the text pool. */
static hm_status put_text(hm_coco_build *b, const char *s, size_t len, size_t *at) {
    if (memchr(s, '\0', len) != NULL)
        HM_FAIL(HM_ERR_FORMAT, "\"%s\" has a NUL character in it; remove it", keys[b->key].name);
    HM_TRY(hm_grow(&b->out->text, &b->text_cap, b->n_text + len + 1, 1));
    *at = b->n_text;
    memcpy(b->out->text + b->n_text, s, len);
    b->out->text[b->n_text + len] = '\0';
    b->n_text += len + 1;
    mark(b);
    return HM_OK;
}

hm_status hm_coco_item_string(hm_coco_build *b, const char *s, size_t len, bool *taken) {
    *taken = true;
    switch (b->key) {
    case HM_COCO_FILE_NAME:
        if (len == 0)
            HM_FAIL(HM_ERR_FORMAT, "\"file_name\" is empty; write %s", keys[b->key].form);
        return put_text(b, s, len, &b->image.file_name);
    case HM_COCO_NAME:
        return put_text(b, s, len, &b->category.name);
    case HM_COCO_SUPERCATEGORY:
        return put_text(b, s, len, &b->category.supercategory);
    case HM_COCO_COUNTS:
        b->draft.ann.seg.kind = HM_SEG_RLE_STRING;
        b->draft.ann.seg.n = len;
        return put_text(b, s, len, &b->draft.ann.seg.at);
    default:
        *taken = false;
        return HM_OK;
    }
}

static hm_status end_image(hm_coco_build *b) {
    hm_coco *const c = b->out;
    if ((int64_t)b->image.width * b->image.height > INT32_MAX)
        HM_FAIL(HM_ERR_FORMAT, "it is %d x %d pixels; an image may have at most 2^31-1", (int)b->image.width,
                (int)b->image.height);
    b->image.id = b->id;
    HM_TRY(hm_grow(&c->images, &b->images_cap, c->n_images + 1, sizeof *c->images));
    c->images[c->n_images++] = b->image;
    return HM_OK;
}

static hm_status end_category(hm_coco_build *b) {
    hm_coco *const c = b->out;
    b->category.id = b->id;
    if (c->n_categories == INT32_MAX)
        HM_FAIL(HM_ERR_FORMAT, "there are more categories than 2^31-1");
    HM_TRY(hm_grow(&c->categories, &b->categories_cap, c->n_categories + 1, sizeof *c->categories));
    c->categories[c->n_categories++] = b->category;
    return HM_OK;
}

static hm_status end_annotation(hm_coco_build *b, uint64_t byte) {
    b->draft.ann.id = b->id;
    b->draft.ann.has_box = (b->seen & 1u << HM_COCO_BBOX) != 0;
    b->draft.byte = byte;
    if (!b->draft.ann.has_box && b->draft.ann.seg.kind == HM_SEG_NONE)
        HM_FAIL(HM_ERR_FORMAT, "it has neither \"bbox\" nor \"segmentation\"; add \"bbox\", %s",
                keys[HM_COCO_BBOX].form);
    HM_TRY(hm_grow(&b->drafts, &b->drafts_cap, b->n_drafts + 1, sizeof *b->drafts));
    b->drafts[b->n_drafts++] = b->draft;
    return HM_OK;
}

hm_status hm_coco_item_end(hm_coco_build *b, uint64_t byte) {
    for (hm_coco_key k = HM_COCO_ID; k < HM_COCO_KEYS; k++)
        if ((keys[k].required & 1u << b->list) && !(b->seen & 1u << k))
            HM_FAIL(HM_ERR_FORMAT, "it lacks \"%s\"; add %s", keys[k].name, keys[k].form);
    if (b->list == HM_COCO_IMAGES)
        return end_image(b);
    return b->list == HM_COCO_CATEGORIES ? end_category(b) : end_annotation(b, byte);
}
