/* dataset.c: opening a split and giving its categories labels as upstream does (filter_parent_categories of rfdetr
 * 1.11.2; the rule is in dataset.h). */
#include "data/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "data/by_id.h"

#define ANNOTATIONS "_annotations.coco.json"

void hm_classes_free(hm_classes *c) {
    if (c == NULL)
        return;
    for (int32_t i = 0; c->names != NULL && i < c->n; i++)
        free(c->names[i]);
    free(c->names);
    free(c->ids);
    memset(c, 0, sizeof *c);
}

void hm_dataset_free(hm_dataset *d) {
    if (d == NULL)
        return;
    hm_coco_free(&d->coco);
    hm_classes_free(&d->classes);
    free(d->dir);
    free(d->label_of);
    free(d->items);
    memset(d, 0, sizeof *d);
}

static hm_status join(char **out, const char *a, const char *b) {
    const size_t n = strlen(a) + strlen(b) + 2;
    HM_TRY(hm_alloc(out, n, 1));
    snprintf(*out, n, "%s/%s", a, b);
    return HM_OK;
}

hm_status hm_dataset_path(const hm_dataset *d, size_t item, char **out) {
    return join(out, d->dir, hm_coco_text(&d->coco, d->coco.images[d->items[item]].file_name));
}

/* Whether a supercategory's name says "none". */
static bool is_placeholder(const char *name) {
    return name[0] == '\0' || strcmp(name, "none") == 0 || strcmp(name, "null") == 0;
}

static bool groups_another(const hm_coco *c, size_t category) {
    const char *const name = hm_coco_text(c, c->categories[category].name);
    for (size_t i = 0; i < c->n_categories; i++) {
        const char *const parent = hm_coco_text(c, c->categories[i].supercategory);
        if (!is_placeholder(parent) && strcmp(parent, name) == 0 &&
            strcmp(parent, hm_coco_text(c, c->categories[i].name)) != 0)
            return true;
    }
    return false;
}

/* keep [n_categories] = 1 for those that become classes; returns how many. */
static size_t choose_classes(const hm_coco *c, uint8_t *keep) {
    size_t n = 0;
    for (size_t i = 0; i < c->n_anns; i++)
        keep[c->anns[i].category] = 1;
    for (size_t i = 0; i < c->n_categories; i++) {
        keep[i] = keep[i] || !groups_another(c, i);
        n += keep[i];
    }
    if (n == 0)
        memset(keep, 1, c->n_categories);
    return n ? n : c->n_categories;
}

hm_status hm_classes_of(hm_classes *out, const hm_coco *coco) {
    uint8_t *keep = NULL;
    hm_by_id *sorted = NULL;
    size_t at = 0;
    hm_status st;
    memset(out, 0, sizeof *out);
    HM_TRY_TO(st, done, hm_alloc(&keep, coco->n_categories, 1));
    HM_TRY_TO(st, done, hm_alloc(&sorted, coco->n_categories, sizeof *sorted));
    const size_t n = choose_classes(coco, keep);
    HM_TRY_TO(st, done, hm_alloc(&out->ids, n, sizeof *out->ids));
    HM_TRY_TO(st, done, hm_alloc(&out->names, n, sizeof *out->names));
    out->n = (int32_t)n;
    for (size_t i = 0; i < coco->n_categories; i++)
        if (keep[i])
            sorted[at++] = (hm_by_id){coco->categories[i].id, i};
    qsort(sorted, n, sizeof *sorted, hm_by_id_compare);
    for (size_t i = 0; i < n; i++) {
        out->ids[i] = sorted[i].id;
        HM_TRY_TO(st, done, hm_strdup(&out->names[i], hm_coco_text(coco, coco->categories[sorted[i].index].name)));
    }
done:
    free(keep);
    free(sorted);
    if (st != HM_OK)
        hm_classes_free(out);
    return st;
}

static hm_status copy_classes(hm_classes *out, const hm_classes *in) {
    HM_TRY(hm_alloc(&out->ids, (size_t)in->n, sizeof *out->ids));
    HM_TRY(hm_alloc(&out->names, (size_t)in->n, sizeof *out->names));
    out->n = in->n;
    for (int32_t i = 0; i < in->n; i++) {
        out->ids[i] = in->ids[i];
        HM_TRY(hm_strdup(&out->names[i], in->names[i]));
    }
    return HM_OK;
}

/* The training split's classes, or those of `own` when there is no training split. */
static hm_status train_classes(hm_classes *out, const char *dir, const hm_coco *own) {
    char *path;
    struct stat info;
    hm_coco train = {0};
    HM_TRY(join(&path, dir, "train/" ANNOTATIONS));
    hm_status st = HM_OK;
    if (stat(path, &info) != 0) {
        st = hm_classes_of(out, own);
    } else {
        st = hm_coco_read(&train, path);
        if (st == HM_OK)
            st = hm_classes_of(out, &train);
    }
    hm_coco_free(&train);
    free(path);
    return st;
}

static hm_status label_categories(hm_dataset *d) {
    HM_TRY(hm_alloc(&d->label_of, d->coco.n_categories, sizeof *d->label_of));
    for (size_t i = 0; i < d->coco.n_categories; i++) {
        d->label_of[i] = -1;
        for (int32_t k = 0; k < d->classes.n && d->label_of[i] < 0; k++)
            if (d->classes.ids[k] == d->coco.categories[i].id)
                d->label_of[i] = k;
    }
    return HM_OK;
}

static hm_status check_annotations(hm_dataset *d) {
    const hm_coco *const c = &d->coco;
    for (size_t i = 0; i < c->n_images; i++) {
        size_t n = 0;
        for (size_t k = 0; k < c->images[i].n; k++) {
            const hm_coco_ann *const a = &c->anns[c->images[i].first + k];
            if (!hm_dataset_trains(a))
                continue;
            if (d->label_of[a->category] < 0)
                HM_FAIL(HM_ERR_FORMAT,
                        "%s: annotation %lld has category %lld, which the training split does not have; add the "
                        "category there or remove the annotation",
                        c->path, (long long)a->id, (long long)c->categories[a->category].id);
            if (!a->has_box)
                HM_FAIL(HM_ERR_FORMAT, "%s: annotation %lld has no \"bbox\"; add one", c->path, (long long)a->id);
            n++;
        }
        d->max_objects = n > d->max_objects ? n : d->max_objects;
    }
    return HM_OK;
}

static hm_status order_items(hm_dataset *d) {
    hm_by_id *sorted;
    const size_t n = d->coco.n_images;
    if (n == 0)
        HM_FAIL(HM_ERR_ARG, "%s: lists no pictures", d->coco.path);
    HM_TRY(hm_alloc(&d->items, n, sizeof *d->items));
    HM_TRY(hm_alloc(&sorted, n, sizeof *sorted));
    d->n_items = n;
    for (size_t i = 0; i < n; i++)
        sorted[i] = (hm_by_id){d->coco.images[i].id, i};
    qsort(sorted, n, sizeof *sorted, hm_by_id_compare);
    for (size_t i = 0; i < n; i++)
        d->items[i] = sorted[i].index;
    free(sorted);
    return HM_OK;
}

hm_status hm_dataset_open(hm_dataset *out, const char *dir, const char *split, const hm_classes *train) {
    char *path = NULL;
    hm_status st;
    memset(out, 0, sizeof *out);
    HM_TRY_TO(st, done, join(&out->dir, dir, split));
    HM_TRY_TO(st, done, join(&path, out->dir, ANNOTATIONS));
    HM_TRY_TO(st, done, hm_coco_read(&out->coco, path));
    if (train != NULL)
        HM_TRY_TO(st, done, copy_classes(&out->classes, train));
    else if (strcmp(split, "train") == 0)
        HM_TRY_TO(st, done, hm_classes_of(&out->classes, &out->coco));
    else
        HM_TRY_TO(st, done, train_classes(&out->classes, dir, &out->coco));
    HM_TRY_TO(st, done, label_categories(out));
    HM_TRY_TO(st, done, check_annotations(out));
    HM_TRY_TO(st, done, order_items(out));
done:
    free(path);
    if (st != HM_OK)
        hm_dataset_free(out);
    return st;
}
