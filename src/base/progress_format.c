/* progress_format.c: the text of progress lines; pure functions of what they show. */
#include <math.h>
#include <string.h>

#include "base/progress.h"

enum { PIECE = 64, MAX_PIECES = 32, BAR_MIN = 10, BAR_MAX = 30, WIDE = 60 };

void hm_progress_format_seconds(char *out, size_t room, double seconds) {
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(out, room, "-:--");
        return;
    }
    const long long s = llround(seconds);
    if (s < 3600)
        snprintf(out, room, "%lld:%02lld", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, room, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, room, "%lldd %02lld:%02lld", s / 86400, s / 3600 % 24, s / 60 % 60);
}

void hm_progress_format_bytes(char *out, size_t room, uint64_t bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < sizeof units / sizeof units[0]; u++)
        v /= 1024;
    snprintf(out, room, u == 0 ? "%.0f %s" : u < 3 ? "%.1f %s" : "%.2f %s", v, units[u]);
}

/* Pieces of a line, by where they stand and how dear they are: a piece of a higher rank is dropped first. */
typedef struct piece {
    char text[PIECE];
    int rank;
} piece;

typedef struct pieces {
    piece at[MAX_PIECES];
    size_t n;
} pieces;

static piece *add(pieces *p, int rank) {
    piece *const q = &p->at[p->n < MAX_PIECES - 1 ? p->n++ : p->n];
    *q = (piece){.rank = rank};
    return q;
}

enum { RANK_HEAD, RANK_LEFT, RANK_FIRST_VALUE, RANK_RATE, RANK_MEMORY, RANK_VALUES };

/* Longer names and larger numbers are cut; a line that is cut says less, but never wraps. */
static void add_value(pieces *p, const hm_progress_value *v, size_t i) {
    piece *const q = add(p, i == 0 ? RANK_FIRST_VALUE : RANK_VALUES + (int)i);
    const double size = fabs(v->value);
    const char *const form = size >= 1e5 || (size < 1e-3 && size > 0) ? "%.40s %.2e"
                             : size >= 100                            ? "%.40s %.1f"
                                                                      : "%.40s %.3f";
    snprintf(q->text, sizeof q->text, form, v->name, v->value);
}

static void add_tail(pieces *p, const hm_progress_state *s) {
    char text[32];
    for (size_t i = 0; i < s->n_values; i++)
        add_value(p, &s->values[i], i);
    if (isfinite(s->images_per_second)) {
        piece *const q = add(p, RANK_RATE);
        snprintf(q->text, sizeof q->text, s->images_per_second < 10 ? "%.2f img/s" : "%.0f img/s",
                 s->images_per_second);
    }
    if (isfinite(s->seconds_left)) {
        hm_progress_format_seconds(text, sizeof text, s->seconds_left);
        snprintf(add(p, RANK_LEFT)->text, PIECE, "%s left", text);
    }
    if (s->memory) {
        hm_progress_format_bytes(text, sizeof text, s->memory);
        snprintf(add(p, RANK_MEMORY)->text, PIECE, "%s", text);
    }
}

static void format_head(char *out, size_t room, const hm_progress_state *s) {
    int n = snprintf(out, room, "%.20s", s->task);
    if (s->epochs > 0)
        n += snprintf(out + n, room - (size_t)n, " %lld/%lld", (long long)s->epoch, (long long)s->epochs);
    snprintf(out + n, room - (size_t)n, "  step %lld/%lld", (long long)s->step, (long long)s->steps);
}

static size_t length_of(const pieces *p) {
    size_t sum = 0;
    for (size_t i = 0; i < p->n; i++)
        sum += p->at[i].text[0] ? strlen(p->at[i].text) + 2 : 0;
    return sum;
}

static void drop_dispensable(pieces *p, size_t width) {
    while (length_of(p) > width) {
        size_t worst = 0;
        for (size_t i = 1; i < p->n; i++)
            if (p->at[i].text[0] && (!p->at[worst].text[0] || p->at[i].rank >= p->at[worst].rank))
                worst = i;
        p->at[worst].text[0] = '\0';
    }
}

static void format_pieces(char *out, size_t room, const pieces *p) {
    size_t at = strlen(out);
    for (size_t i = 0; i < p->n && at + 1 < room; i++)
        if (p->at[i].text[0])
            at += (size_t)snprintf(out + at, room - at, "  %s", p->at[i].text);
}

static void format_gauge(char *out, size_t columns, const hm_progress_state *s) {
    const double part = s->steps > 0 ? fmin(fmax((double)s->step / (double)s->steps, 0), 1) : 0;
    const size_t inner = columns - 2, full = (size_t)(part * (double)inner);
    out[0] = '[';
    memset(out + 1, ' ', inner);
    memset(out + 1, '=', full);
    if (full < inner)
        out[1 + full] = '>';
    out[columns - 1] = ']';
    out[columns] = '\0';
}

void hm_progress_format_bar(char *out, size_t room, const hm_progress_state *s, size_t width) {
    pieces tail = {0};
    char head[96], gauge[BAR_MAX + 1] = "";
    if (room == 0)
        return;
    width = width < room - 1 ? width : room - 1;
    format_head(head, sizeof head, s);
    add_tail(&tail, s);
    const size_t fixed = strlen(head), reserve = width >= WIDE ? BAR_MIN + 1 : 0; /* columns of head; of the gauge */
    drop_dispensable(&tail, width > fixed + reserve ? width - fixed - reserve : 0);
    const size_t used = fixed + length_of(&tail), free_columns = width > used + 1 ? width - used - 1 : 0;
    if (free_columns >= BAR_MIN)
        format_gauge(gauge, free_columns < BAR_MAX ? free_columns : BAR_MAX, s);
    snprintf(out, width + 1, "%s%s%s", head, gauge[0] ? " " : "", gauge);
    format_pieces(out, width + 1, &tail);
}

void hm_progress_format_line(char *out, size_t room, const hm_progress_state *s) {
    pieces tail = {0};
    char head[96];
    if (room == 0)
        return;
    format_head(head, sizeof head, s);
    add_tail(&tail, s);
    snprintf(out, room, "%s", head);
    format_pieces(out, room, &tail);
}
