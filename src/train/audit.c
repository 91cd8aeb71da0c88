/* audit.c: hm_audit: which layers come close to fp16's limits, and what to do about it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/plain_numbers.h"
#include "io/image_write.h"
#include "train/audit_record.h"
#include "train/audit_table.h"

#define CLOSE      2    /* bits of headroom below which a layer is named in the advice */
#define MUCH_LOST  0.01 /* share of all gradients' numbers lost to underflow that is worth a word */
#define MOST_NAMED 5

/* Powers of two between a magnitude and fp16's largest number. */
static double headroom(double largest) {
    return largest > 0 ? log2(HM_AUDIT_LIMIT / largest) : INFINITY;
}

static double lost(const hm_audit_line *l) {
    const double there = l->all.count - l->all.zero;
    return there > 0 ? l->all.below / there : 0;
}

static bool is_half_run(const hm_audit_table *t) {
    bool half = false;
    for (size_t i = 0; i < t->n; i++)
        half |= strcmp(t->lines[i].stored, "fp16") == 0;
    return half;
}

/* In a run in fp16 only what it stores so can overflow; any other run shows what fp16 would do to all of it. */
static bool matters(const hm_audit_line *l, bool half_run) {
    if (strcmp(l->layer, "optimizer") == 0 || strcmp(l->layer, "loss scale") == 0)
        return false;
    return !half_run || strcmp(l->stored, "fp16") == 0;
}

static int by_largest(const void *a, const void *b) {
    const double x = (*(const hm_audit_line *const *)a)->all.largest,
                 y = (*(const hm_audit_line *const *)b)->all.largest;
    return x < y ? 1 : x > y ? -1 : 0;
}

static int by_lost(const void *a, const void *b) {
    const double x = lost(*(const hm_audit_line *const *)a), y = lost(*(const hm_audit_line *const *)b);
    return x < y ? 1 : x > y ? -1 : 0;
}

static void print_lines(FILE *to, const hm_audit_line *const *lines, size_t n) {
    fprintf(to, "  %-9s %-6s %10s %9s %9s %10s %10s  %s\n", "pass", "stored", "largest", "headroom", "overflow",
            "underflow", "subnormal", "layer (operation)");
    for (size_t i = 0; i < n; i++) {
        const hm_audit_line *const l = lines[i];
        const double there = fmax(1, l->all.count - l->all.zero);
        char bits[32] = "-";
        if (isfinite(headroom(l->all.largest)))
            snprintf(bits, sizeof bits, "%+.1f bit", headroom(l->all.largest));
        fprintf(to, "  %-9s %-6s %10.3g %9s %9.0f %9.2f%% %9.2f%%  %s (%s)\n", l->backward ? "backward" : "forward",
                l->stored, l->all.largest, bits, l->all.above + l->all.not_finite, 100 * lost(l),
                100 * l->all.subnormal / there, l->layer, l->op);
    }
}

/* ---- advice */

typedef struct summary {
    double forward_bits, backward_bits; /* least headroom of what is stored in half, or could be */
    double lost;                        /* share of the gradients' numbers */
    double first_scale, scale;          /* the first, the last */
} summary;

static summary sum_up(const hm_audit_table *t, const hm_audit_line *const *lines, size_t n) {
    summary s = {INFINITY, INFINITY, 0, t->scales[0], t->scales[t->n_steps - 1]};
    double there = 0, below = 0;
    for (size_t i = 0; i < n; i++) {
        const hm_audit_line *const l = lines[i];
        double *const bits = l->backward ? &s.backward_bits : &s.forward_bits;
        *bits = fmin(*bits, headroom(l->all.largest));
        if (l->backward) {
            there += l->all.count - l->all.zero;
            below += l->all.below;
        }
    }
    s.lost = there > 0 ? below / there : 0;
    return s;
}

/* Names layers whose half numbers come close to the limit; returns how many. */
static int advise_layers(FILE *to, const hm_audit_line *const *lines, size_t n) {
    int named = 0;
    for (size_t i = 0; i < n && named < MOST_NAMED && headroom(lines[i]->all.largest) < CLOSE; i++) {
        const hm_audit_line *const l = lines[i];
        if (l->backward)
            continue;
        fprintf(to,
                "  %s (%s) reaches %.3g, and fp16 ends at 65504: keep it in fp32 with\n    --precision-override "
                "'%s=fp32'\n",
                l->layer, l->op, l->all.largest, l->layer);
        named++;
    }
    return named;
}

static int advise_scale(FILE *to, const summary *s) {
    if (s->backward_bits < 0 && s->lost <= MUCH_LOST) {
        const double better = fmax(1, fmin(s->scale, s->first_scale * exp2(floor(s->backward_bits))));
        fprintf(
            to,
            "  gradients overflowed by %.1f bits; the loss scale, %.0f at first and %.0f at last, falls by itself, one "
            "skipped step at a time. Begin lower with\n    --loss-scale %.0f\n",
            -s->backward_bits, s->first_scale, s->scale, better);
        return 1;
    }
    if (s->lost > MUCH_LOST && s->backward_bits > CLOSE + 1) {
        const double better = s->scale * exp2(floor(s->backward_bits - CLOSE));
        fprintf(
            to,
            "  %.1f %% of the gradients' numbers are lost to underflow, with %.1f bits to spare above: a loss scale of "
            "%.0f would fit\n    --loss-scale %.0f\n",
            100 * s->lost, s->backward_bits, better, better);
        return 1;
    }
    if (s->lost > MUCH_LOST) {
        fprintf(to,
                "  the gradients' range is wider than fp16's: %.1f %% of their numbers are lost below and %.1f bits "
                "are left "
                "above. bf16 has the range:\n    --precision bf16\n",
                100 * s->lost, s->backward_bits);
        return 1;
    }
    return 0;
}

static void advise(FILE *to, const hm_audit_table *t, const hm_audit_line *const *by_size, size_t n) {
    const summary s = sum_up(t, by_size, n);
    fprintf(to, "\nadvice\n");
    if (advise_layers(to, by_size, n) + advise_scale(to, &s) > 0)
        return;
    fprintf(
        to,
        "  nothing to do: fp16 has %.1f bits to spare in the forward pass and %.1f in the backward pass (loss scale "
        "%.0f), and %.2f %% of the gradients' numbers are lost to underflow\n",
        s.forward_bits, s.backward_bits, s.scale, 100 * s.lost);
}

/* ---- */

static hm_status print(FILE *to, const hm_audit_table *t, size_t top) {
    const bool half_run = is_half_run(t);
    const hm_audit_line **lines;
    size_t n = 0;
    HM_TRY(hm_alloc(&lines, t->n, sizeof *lines));
    for (size_t i = 0; i < t->n; i++)
        if (matters(&t->lines[i], half_run))
            lines[n++] = &t->lines[i];
    if (top > n)
        top = n;
    fprintf(to, "%zu operations of a step, looked at in %zu steps (%.0f to %.0f), loss scale %.0f to %.0f\n", t->n,
            t->n_steps, t->steps[0], t->steps[t->n_steps - 1], t->scales[0], t->scales[t->n_steps - 1]);
    fprintf(to,
            half_run ? "here: the %zu that are stored in fp16\n"
                     : "the run stored nothing in fp16; here: what fp16 would do to all %zu\n",
            n);
    qsort(lines, n, sizeof *lines, by_lost);
    fprintf(to, "\nmost lost to underflow (share of what is not zero that fp16 makes zero)\n");
    print_lines(to, lines, top);
    qsort(lines, n, sizeof *lines, by_largest);
    fprintf(to, "\nlargest numbers (headroom: powers of two below 65504; overflow: numbers at or beyond it)\n");
    print_lines(to, lines, top);
    advise(to, t, lines, n);
    free(lines);
    return HM_OK;
}

static hm_status write_map(const hm_audit_table *t, const char *path) {
    hm_picture p;
    HM_TRY(hm_audit_map(&p, t));
    const hm_status st = hm_image_write_png(path, p.rgb, p.w, p.h, 3);
    hm_picture_free(&p);
    return st;
}

hm_status hm_audit(const hm_audit_options *o, FILE *to) {
    HM_PLAIN_NUMBERS;
    hm_audit_table t = {0};
    char csv[4096], png[4096];
    hm_status st;
    if (o->dir == NULL)
        HM_FAIL(HM_ERR_ARG, "no run is given: name the output folder of a run that was trained with audit");
    if (snprintf(csv, sizeof csv, "%s/" HM_AUDIT_FILE, o->dir) >= (int)sizeof csv ||
        snprintf(png, sizeof png, "%s/audit.png", o->dir) >= (int)sizeof png)
        HM_FAIL(HM_ERR_ARG, "the folder's name is too long");
    HM_TRY_TO(st, done, hm_audit_table_read(&t, csv));
    HM_TRY_TO(st, done, print(to, &t, (size_t)o->top));
    HM_TRY_TO(st, done, write_map(&t, png));
    fprintf(to, "\npicture: %s\n", png);
done:
    hm_audit_table_free(&t);
    return st;
}
