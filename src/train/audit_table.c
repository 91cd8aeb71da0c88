/* audit_table.c: reads audit.csv. Every step has the same lines in the same order, so a line's place in its step is its
 * place in the table. */
#include "train/audit_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/atomic.h"
#include "train/csv_text.h"

enum { CELLS = 13, CELL_BYTES = 512, MAX_FILE_BYTES = 1 << 30 };

typedef struct record {
    char cell[CELLS][CELL_BYTES];
} record;

static bool split(const char *line, size_t len, record *r) {
    size_t at = 0;
    bool more = true;
    if (len >= CELL_BYTES || hm_csv_count(line, len) != CELLS)
        return false;
    for (int i = 0; i < CELLS && more; i++)
        more = hm_csv_cell(line, len, &at, r->cell[i]);
    return !more;
}

static double number(const record *r, int i) {
    return strtod(r->cell[i], NULL);
}

static hm_status add_step(hm_audit_table *t, double step, double scale) {
    size_t cap = t->cap_steps;
    HM_TRY(hm_grow(&t->steps, &cap, t->n_steps + 1, sizeof *t->steps));
    cap = t->cap_steps;
    HM_TRY(hm_grow(&t->scales, &cap, t->n_steps + 1, sizeof *t->scales));
    t->cap_steps = cap;
    t->steps[t->n_steps] = step;
    t->scales[t->n_steps++] = scale;
    return HM_OK;
}

static hm_status add_line(hm_audit_table *t, const record *r) {
    HM_TRY(hm_grow(&t->lines, &t->cap, t->n + 1, sizeof *t->lines));
    hm_audit_line *const l = &t->lines[t->n];
    *l = (hm_audit_line){.backward = strcmp(r->cell[2], "backward") == 0};
    t->n++;
    HM_TRY(hm_strdup(&l->layer, r->cell[3]));
    HM_TRY(hm_strdup(&l->op, r->cell[4]));
    return hm_strdup(&l->stored, r->cell[5]);
}

static hm_status add_cell(hm_audit_line *l, size_t step, const record *r) {
    const hm_audit_cell c = {number(r, 7),  number(r, 6),  number(r, 8), number(r, 9),
                             number(r, 10), number(r, 11), number(r, 12)};
    hm_audit_cell *const grown = realloc(l->cells, (step + 1) * sizeof *grown);
    if (grown == NULL)
        HM_FAIL(HM_ERR_MEMORY, "not enough memory for %zu audited steps", step + 1);
    l->cells = grown;
    l->cells[step] = c;
    l->all.largest = c.largest > l->all.largest ? c.largest : l->all.largest;
    l->all.count += c.count;
    l->all.not_finite += c.not_finite;
    l->all.zero += c.zero;
    l->all.above += c.above;
    l->all.below += c.below;
    l->all.subnormal += c.subnormal;
    return HM_OK;
}

/* *place counts the lines of the step that is being read. */
static hm_status add(hm_audit_table *t, const record *r, size_t *place) {
    const double step = number(r, 0);
    if (t->n_steps == 0 || step != t->steps[t->n_steps - 1]) {
        HM_TRY(add_step(t, step, number(r, 1)));
        *place = 0;
    }
    if (t->n_steps == 1)
        HM_TRY(add_line(t, r));
    if (*place >= t->n || strcmp(t->lines[*place].layer, r->cell[3]) != 0)
        HM_FAIL(HM_ERR_FORMAT, "step %.0f has other lines than the first: the file holds more than one run", step);
    return add_cell(&t->lines[(*place)++], t->n_steps - 1, r);
}

static hm_status parse(hm_audit_table *t, const char *path, const char *text, size_t len) {
    record r;
    size_t at = 0, next, place = 0;
    for (int line = 1; at < len && memchr(text + at, '\n', len - at) != NULL; line++, at = next) {
        const size_t n = hm_csv_line(text, len, at, &next);
        if (line == 1)
            continue;
        if (!split(text + at, n, &r))
            HM_FAIL(HM_ERR_FORMAT, "%s, line %d: not a line of an audit", path, line);
        const hm_status st = add(t, &r, &place);
        if (st != HM_OK)
            return hm_fail_in(st, "%s, line %d", path, line);
    }
    if (t->n_steps == 0)
        HM_FAIL(HM_ERR_FORMAT, "%s holds no audited step yet", path);
    for (size_t i = place; i < t->n; i++) /* a run that died while it wrote its last step */
        HM_TRY(add_cell(&t->lines[i], t->n_steps - 1, &(record){{{0}}}));
    return HM_OK;
}

hm_status hm_audit_table_read(hm_audit_table *out, const char *path) {
    char *text = NULL;
    size_t len;
    memset(out, 0, sizeof *out);
    HM_TRY(hm_file_read(path, MAX_FILE_BYTES, &text, &len));
    const hm_status st = parse(out, path, text, len);
    free(text);
    if (st != HM_OK)
        hm_audit_table_free(out);
    return st;
}

void hm_audit_table_free(hm_audit_table *t) {
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n; i++) {
        free(t->lines[i].layer);
        free(t->lines[i].op);
        free(t->lines[i].stored);
        free(t->lines[i].cells);
    }
    free(t->lines);
    free(t->steps);
    free(t->scales);
    *t = (hm_audit_table){0};
}
