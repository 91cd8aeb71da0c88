/* eval_weights.c: opens weights and split, judges, reports. */
#include "eval/eval_weights.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "base/progress.h"
#include "eval/eval_report.h"
#include "eval/judge_split.h"
#include "eval/model_file.h"

static bool has_test(const char *dir) {
    char path[4096];
    struct stat info;
    const int n = snprintf(path, sizeof path, "%s/test/_annotations.coco.json", dir);
    return n > 0 && (size_t)n < sizeof path && stat(path, &info) == 0;
}

/* Weights without names: their labels are the training split's when there are as many, else raw category ids. */
static hm_status open_split(hm_dataset *out, const char *dir, const char *split, const hm_model_file *m) {
    if (m->named)
        return hm_dataset_open(out, dir, split, &m->classes);
    HM_TRY(hm_dataset_open(out, dir, split, NULL));
    if (out->classes.n == hm_detector_config(m->detector)->num_classes)
        return HM_OK;
    hm_dataset_free(out);
    return hm_dataset_open(out, dir, split, &m->classes);
}

/* The split asked for; or test, or where there is none or it has no pictures (HM_ERR_ARG), valid. */
static hm_status open_data(hm_dataset *out, const hm_eval_options *o, const hm_model_file *m) {
    if (o->split != NULL)
        return open_split(out, o->dataset_dir, o->split, m);
    if (has_test(o->dataset_dir)) {
        const hm_status st = open_split(out, o->dataset_dir, "test", m);
        if (st != HM_ERR_ARG)
            return st;
    }
    return open_split(out, o->dataset_dir, "valid", m);
}

static void show(void *user, int64_t batches, int64_t total) {
    (void)total;
    hm_progress_step(user, 1, batches, NULL, 0, hm_progress_memory());
}

/* Judges with a bar on `log`; detections go to o->out, which appears only when all went well. */
static hm_status judge(hm_judge_scores *scores, const hm_eval_options *o, hm_model_file *m, hm_loader *loader,
                       const hm_dataset *data, FILE *log) {
    hm_judge_options options = {.max_dets = o->eval_max_dets};
    hm_progress *bar = NULL;
    hm_status st;
    if (o->out != NULL)
        HM_TRY_TO(st, done, hm_coco_writer_open(o->out, &options.writer));
    if (log != NULL) {
        HM_TRY_TO(st, done, hm_progress_new(&bar, log, 50));
        hm_progress_begin(bar, "eval", 0, hm_loader_batches(loader), o->batch_size);
        options.tick = show;
        options.user = bar;
    }
    st = hm_judge_split(scores, m->detector, loader, data, &options);
    if (bar != NULL)
        hm_progress_end(bar);
    if (st == HM_OK && options.writer != NULL)
        st = hm_coco_writer_commit(&options.writer);
done:
    hm_progress_free(bar);
    hm_coco_writer_abort(options.writer);
    return st;
}

static hm_status report(FILE *to, const hm_judge_scores *s, const hm_dataset *data, const hm_eval_options *o) {
    const hm_eval_part parts[] = {{"bbox", &s->bbox}, {"segm", &s->segm}};
    hm_eval_classes classes = {
        .n = data->classes.n, .names = (const char *const *)data->classes.names, .ids = data->classes.ids};
    hm_eval_limits(o->eval_max_dets, classes.max_dets);
    return hm_eval_report(to, parts, s->masks ? 2 : 1, &classes, o->json);
}

hm_status hm_eval_weights(const hm_eval_options *o, FILE *to, FILE *log) {
    hm_model_file m = {0};
    hm_dataset data = {0};
    hm_loader *loader = NULL;
    hm_judge_scores scores = {0};
    hm_status st;
    if (o->weights == NULL || o->dataset_dir == NULL)
        HM_FAIL(HM_ERR_ARG, "evaluation needs a data set's folder and weights");
    HM_TRY_TO(st, done, hm_model_file_open_on(&m, o->weights, o->device, o->precision, o->batch_size, o->threads));
    HM_TRY_TO(st, done, open_data(&data, o, &m));
    const hm_detector_options *const d = hm_detector_settings(m.detector);
    const hm_loader_options options = {
        .batch = o->batch_size, .h = d->height, .w = d->width, .threads = o->num_workers};
    HM_TRY_TO(st, done, hm_loader_new(&loader, &data, &options));
    HM_TRY_TO(st, done, judge(&scores, o, &m, loader, &data, log));
    st = report(to, &scores, &data, o);
done:
    hm_judge_scores_free(&scores);
    hm_loader_free(loader);
    hm_dataset_free(&data);
    hm_model_file_close(&m);
    return st;
}
