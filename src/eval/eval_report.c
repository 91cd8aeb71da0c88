/* eval_report.c: scores as text or JSON. The lines' form: pycocotools' COCOeval.summarize. */
#include "eval/eval_report.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const stat_names[HM_COCO_STATS] = {
    [HM_COCO_AP] = "AP",         [HM_COCO_AP50] = "AP50",    [HM_COCO_AP75] = "AP75",     [HM_COCO_AP_SMALL] = "APs",
    [HM_COCO_AP_MEDIUM] = "APm", [HM_COCO_AP_LARGE] = "APl", [HM_COCO_AR_1] = "AR1",      [HM_COCO_AR_10] = "AR10",
    [HM_COCO_AR_100] = "AR100",  [HM_COCO_AR_SMALL] = "ARs", [HM_COCO_AR_MEDIUM] = "ARm", [HM_COCO_AR_LARGE] = "ARl",
};

void hm_eval_limits(int32_t most, int32_t max_dets[HM_COCO_LIMITS]) {
    max_dets[0] = most < 1 ? most : 1;
    max_dets[1] = most < 1 ? 1 : most < 10 ? most : 10;
    max_dets[2] = most < 10 ? 10 : most;
}

/* ---- text ---- */

static void print_stats(FILE *to, const hm_coco_scores *s, const int32_t max_dets[HM_COCO_LIMITS]) {
    static const char *const area[HM_COCO_STATS] = {"all", "all", "all", "small", "medium", "large",
                                                    "all", "all", "all", "small", "medium", "large"};
    for (int i = 0; i < HM_COCO_STATS; i++) {
        const bool precision = i < HM_COCO_AR_1;
        const char *const iou = i == HM_COCO_AP50 ? "0.50" : i == HM_COCO_AP75 ? "0.75" : "0.50:0.95";
        const int limit = i == HM_COCO_AR_1 ? 0 : i == HM_COCO_AR_10 ? 1 : 2;
        fprintf(to, " %-18s %s @[ IoU=%-9s | area=%6s | maxDets=%3d ] = %0.3f\n",
                precision ? "Average Precision" : "Average Recall", precision ? "(AP)" : "(AR)", iou, area[i],
                (int)max_dets[limit], s->stats[i]);
    }
}

/* Characters of UTF-8 text. */
static int width_of(const char *s) {
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xC0u) != 0x80u;
    return n;
}

static void print_cell(FILE *to, double x) {
    if (x < 0)
        fprintf(to, "  %6s", "-");
    else
        fprintf(to, "  %6.3f", x);
}

static void print_table(FILE *to, const hm_coco_scores *s, const hm_eval_classes *c) {
    int width = 5;
    for (int32_t k = 0; k < c->n; k++)
        width = width_of(c->names[k]) > width ? width_of(c->names[k]) : width;
    fprintf(to, " %-*s  %6s  %6s  %6s  %6s\n", width, "class", "AP", "AP50", "AP75", "AR");
    for (int32_t k = 0; k < c->n; k++) {
        fprintf(to, " %s%*s", c->names[k], width - width_of(c->names[k]), "");
        print_cell(to, s->ap[k]);
        print_cell(to, s->ap50[k]);
        print_cell(to, s->ap75[k]);
        print_cell(to, s->ar[k]);
        fputc('\n', to);
    }
}

static void print_text(FILE *to, const hm_eval_part *parts, size_t n, const hm_eval_classes *c) {
    for (size_t i = 0; i < n; i++) {
        fprintf(to, "%sIoU type: %s\n", i ? "\n" : "", parts[i].iou_type);
        print_stats(to, parts[i].scores, c->max_dets);
        print_table(to, parts[i].scores, c);
    }
}

/* ---- JSON ---- */

/* cJSON rounds to 15 digits when 17 would be needed. */
static cJSON *exact(double x) {
    char text[40];
    snprintf(text, sizeof text, "%.17g", x);
    return cJSON_CreateRaw(text);
}

static cJSON *class_object(const hm_coco_scores *s, const hm_eval_classes *c, int32_t k) {
    cJSON *const o = cJSON_CreateObject();
    char id[24];
    if (c->ids != NULL) {
        snprintf(id, sizeof id, "%lld", (long long)c->ids[k]);
        cJSON_AddRawToObject(o, "id", id);
    }
    cJSON_AddStringToObject(o, "name", c->names[k]);
    cJSON_AddItemToObject(o, "AP", exact(s->ap[k]));
    cJSON_AddItemToObject(o, "AP50", exact(s->ap50[k]));
    cJSON_AddItemToObject(o, "AP75", exact(s->ap75[k]));
    cJSON_AddItemToObject(o, "AR", exact(s->ar[k]));
    return o;
}

static cJSON *part_object(const hm_eval_part *part, const hm_eval_classes *c) {
    const hm_coco_scores *const s = part->scores;
    cJSON *const o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "iou_type", part->iou_type);
    cJSON *const stats = cJSON_AddArrayToObject(o, "stats");
    for (int i = 0; i < HM_COCO_STATS; i++)
        cJSON_AddItemToArray(stats, exact(s->stats[i]));
    for (int i = 0; i < HM_COCO_STATS; i++)
        cJSON_AddItemToObject(o, stat_names[i], exact(s->stats[i]));
    cJSON_AddItemToObject(o, "max_dets", cJSON_CreateIntArray(c->max_dets, HM_COCO_LIMITS));
    cJSON *const list = cJSON_AddArrayToObject(o, "per_category");
    for (int32_t k = 0; k < c->n; k++)
        cJSON_AddItemToArray(list, class_object(s, c, k));
    return o;
}

static hm_status print_json(FILE *to, const hm_eval_part *parts, size_t n, const hm_eval_classes *c) {
    cJSON *const root = n == 1 ? part_object(&parts[0], c) : cJSON_CreateObject();
    for (size_t i = 0; n > 1 && i < n; i++)
        cJSON_AddItemToObject(root, parts[i].iou_type, part_object(&parts[i], c));
    char *const text = cJSON_Print(root);
    cJSON_Delete(root);
    if (text == NULL)
        HM_FAIL(HM_ERR_MEMORY, "not enough memory to write the scores of %d classes", (int)c->n);
    fprintf(to, "%s\n", text);
    cJSON_free(text);
    return HM_OK;
}

hm_status hm_eval_report(FILE *to, const hm_eval_part *parts, size_t n, const hm_eval_classes *classes, bool json) {
    errno = 0;
    if (json)
        HM_TRY(print_json(to, parts, n, classes));
    else
        print_text(to, parts, n, classes);
    if (fflush(to) != 0 || ferror(to))
        HM_FAIL(HM_ERR_IO, "cannot write the scores: %s", errno ? strerror(errno) : "the output is closed");
    return HM_OK;
}
