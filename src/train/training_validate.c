/* training_validate.c: judging the weights of a run, keeping the best, and the run's end. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/judge_split.h"
#include "train/metrics_plot.h"
#include "train/training.h"
#include "weights/weights.h"

static void tick(void *user, int64_t batches, int64_t total) {
    hm_training *const t = user;
    (void)total;
    if (t->progress != NULL)
        hm_progress_step(t->progress, 1, batches, NULL, 0, hm_progress_memory());
}

static hm_status judge(hm_training *t, int which, const char *task, hm_loader *loader, const hm_dataset *data,
                       hm_judge_scores *out) {
    const hm_judge_options o = {.max_dets = t->options->eval_max_dets, .tick = tick, .user = t};
    if (t->progress != NULL)
        hm_progress_begin(t->progress, task, 0, hm_loader_batches(loader), t->options->batch_size);
    return hm_judge_split(out, t->detectors[which], loader, data, &o);
}

static hm_status set(hm_training *t, const char *split, const char *name, double value) {
    char column[160];
    snprintf(column, sizeof column, "%s/%s", split, name);
    return hm_metrics_csv_set(t->csv, column, value);
}

/* The figures of a split under upstream's names; those of the averages have names of their own too ("ema_"). */
static hm_status set_figures(hm_training *t, const char *split, const char *of, const hm_judge_scores *s) {
    const struct {
        const char *name;
        double value;
    } list[] = {{"mAP_50_95", s->bbox.stats[HM_COCO_AP]},      {"mAP_50", s->bbox.stats[HM_COCO_AP50]},
                {"mAP_75", s->bbox.stats[HM_COCO_AP75]},       {"mAR", s->bbox.stats[HM_COCO_AR_100]},
                {"segm_mAP_50_95", s->segm.stats[HM_COCO_AP]}, {"segm_mAP_50", s->segm.stats[HM_COCO_AP50]}};
    for (size_t i = 0; i < (s->masks ? 6 : 4); i++) {
        char name[32];
        snprintf(name, sizeof name, "%s%s", of, list[i].name);
        HM_TRY(set(t, split, name, list[i].value));
    }
    return HM_OK;
}

/* A row, with the precision in which the model was judged. */
static hm_status record(hm_training *t, int which, int64_t epoch, const char *split, const hm_judge_scores *s) {
    char column[32];
    snprintf(column, sizeof column, "%s/precision", split);
    HM_TRY(hm_metrics_csv_set_text(t->csv, column, hm_precision_name(t->judged_in[which])));
    HM_TRY(hm_metrics_csv_set(t->csv, "epoch", (double)epoch));
    HM_TRY(hm_metrics_csv_set(t->csv, "step", (double)(t->step - 1)));
    HM_TRY(set_figures(t, split, "", s));
    for (int32_t i = 0; i < s->bbox.n_categories; i++) {
        char name[128];
        snprintf(name, sizeof name, "AP/%.100s", t->train.classes.names[i]);
        HM_TRY(set(t, split, name, s->bbox.ap[i]));
    }
    return hm_metrics_csv_write_row(t->csv);
}

static void say(hm_training *t, const char *what, const hm_judge_scores *s) {
    if (t->progress == NULL)
        return;
    if (s->masks)
        hm_progress_note(t->progress, "%s: segm AP %.4f, AP50 %.4f; bbox AP %.4f, AP50 %.4f", what,
                         s->segm.stats[HM_COCO_AP], s->segm.stats[HM_COCO_AP50], s->bbox.stats[HM_COCO_AP],
                         s->bbox.stats[HM_COCO_AP50]);
    else
        hm_progress_note(t->progress, "%s: bbox AP %.4f, AP50 %.4f", what, s->bbox.stats[HM_COCO_AP],
                         s->bbox.stats[HM_COCO_AP50]);
}

static hm_scores scores_of(const hm_judge_scores *s) {
    const double *const box = s->bbox.stats, *const mask = s->segm.stats;
    return (hm_scores){.masks = s->masks,
                       .box_ap = box[HM_COCO_AP],
                       .box_ap50 = box[HM_COCO_AP50],
                       .box_ap75 = box[HM_COCO_AP75],
                       .mask_ap = s->masks ? mask[HM_COCO_AP] : NAN,
                       .mask_ap50 = s->masks ? mask[HM_COCO_AP50] : NAN,
                       .mask_ap75 = s->masks ? mask[HM_COCO_AP75] : NAN};
}

/* What decides which weights are best: of masks, or of boxes where there are none. */
static double watched(const hm_judge_scores *s) {
    return (s->masks ? &s->segm : &s->bbox)->stats[HM_COCO_AP];
}

static void note(hm_training *t, hm_judged now) {
    const hm_train_options *const o = t->options;
    t->chosen = hm_selection_note(&t->selection, now);
    if (!o->early_stopping)
        return;
    hm_selection_wait(&t->selection, now, o->early_stopping_use_ema, o->early_stopping_min_delta);
    if (t->progress != NULL && hm_training_stopped_early(t))
        hm_progress_note(t->progress,
                         "early stopping: none of the last %lld validations was better than %.4f by more than %g",
                         (long long)t->selection.waited, t->selection.stop_best, o->early_stopping_min_delta);
}

/* What the detectors read, brought up to the weights of now or their averages. */
static hm_status refresh(hm_training *t, bool averages) {
    if (t->judged == NULL)
        return HM_OK;
    return averages ? hm_weights_copy(t->judged, t->store, "ema.") : hm_store_copy(t->judged, t->store);
}

static hm_status judge_valid(hm_training *t, int which, bool averages, hm_judge_scores *out) {
    char what[64];
    HM_TRY(refresh(t, averages));
    HM_TRY(judge(t, which, "valid", t->valid_loader, &t->valid, out));
    snprintf(what, sizeof what, "epoch %lld, valid%s, %s", (long long)t->epoch + 1, averages ? " (ema)" : "",
             hm_precision_name(t->judged_in[which]));
    say(t, what, out);
    return HM_OK;
}

/* One row: "val/" are the weights' figures if they are judged, else the averages', "val/ema_" always those. */
static hm_status validate_in(hm_training *t, int which) {
    hm_judge_scores regular = {0}, ema = {0};
    hm_judged now = {NAN, NAN};
    hm_status st = HM_OK;
    if (t->options->use_ema) {
        HM_TRY_TO(st, done, judge_valid(t, which, true, &ema));
        HM_TRY_TO(st, done, set_figures(t, "val", "ema_", &ema));
        now.ema = watched(&ema);
    }
    if (hm_training_judges_base(t)) {
        HM_TRY_TO(st, done, judge_valid(t, which, false, &regular));
        now.regular = watched(&regular);
    }
    HM_TRY_TO(st, done, record(t, which, t->epoch, "val", hm_training_judges_base(t) ? &regular : &ema));
    if (which == 0) {
        note(t, now);
        t->scores = scores_of(t->options->use_ema ? &ema : &regular);
    }
done:
    hm_judge_scores_free(&regular);
    hm_judge_scores_free(&ema);
    return st;
}

hm_status hm_training_validate(hm_training *t) {
    for (int i = 0; i < t->n_detectors; i++)
        HM_TRY(validate_in(t, i));
    return HM_OK;
}

/* --- the end --- */

static bool has_test(const hm_training *t) {
    char path[4096];
    snprintf(path, sizeof path, "%s/test/_annotations.coco.json", t->options->dataset_dir);
    return t->options->run_test && access(path, F_OK) == 0;
}

static hm_status load_best(hm_training *t) {
    hm_weights *w = NULL;
    char *path = NULL;
    HM_TRY(hm_training_path(t, HM_BEST, &path));
    hm_status st = hm_weights_open(&w, path);
    if (st == HM_OK)
        st = hm_weights_load(w, t->judged != NULL ? t->judged : t->store);
    hm_weights_close(w);
    free(path);
    return st;
}

static hm_status judge_test_in(hm_training *t, int which, hm_loader *loader, const hm_dataset *test,
                               hm_train_result *result) {
    hm_judge_scores s = {0};
    char what[64];
    hm_status st = judge(t, which, "test", loader, test, &s);
    snprintf(what, sizeof what, "test, best weights, %s", hm_precision_name(t->judged_in[which]));
    if (st == HM_OK && which == 0) {
        result->test_ap = watched(&s);
        result->test_ap50 = (s.masks ? &s.segm : &s.bbox)->stats[HM_COCO_AP50];
    }
    if (st == HM_OK)
        say(t, what, &s);
    if (st == HM_OK)
        st = record(t, which, t->options->epochs - 1, "test", &s);
    hm_judge_scores_free(&s);
    return st;
}

static hm_status judge_test(hm_training *t, hm_train_result *result) {
    hm_dataset test = {0};
    hm_loader *loader = NULL;
    const hm_loader_options l = {.batch = t->options->batch_size,
                                 .h = t->config.resolution,
                                 .w = t->config.resolution,
                                 .threads = t->options->num_workers};
    hm_status st = hm_dataset_open(&test, t->options->dataset_dir, "test", &t->train.classes);
    if (st == HM_OK)
        st = load_best(t);
    if (st == HM_OK)
        st = hm_loader_new(&loader, &test, &l);
    for (int i = 0; st == HM_OK && i < t->n_detectors; i++)
        st = judge_test_in(t, i, loader, &test, result);
    hm_loader_free(loader);
    hm_dataset_free(&test);
    return st;
}

static hm_status plot(const hm_training *t) {
    char *csv = NULL, *png = NULL;
    hm_status st = hm_training_path(t, "metrics.csv", &csv);
    if (st == HM_OK)
        st = hm_training_path(t, "metrics.png", &png);
    if (st == HM_OK)
        st = hm_metrics_plot(csv, png);
    free(csv);
    free(png);
    return st;
}

hm_status hm_training_finish(hm_training *t, hm_train_result *result) {
    if (has_test(t))
        HM_TRY(judge_test(t, result));
    return plot(t);
}
