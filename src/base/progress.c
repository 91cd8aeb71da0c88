/* progress.c: when and where progress is shown: the clock, the rate, the terminal. What is shown: progress_format.c. */
#include "base/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum { LINE = 1024, DEFAULT_WIDTH = 80 };
#define REDRAW_SECONDS 0.1
#define RATE_SECONDS   20.0 /* the rate forgets older steps with this time constant */

struct hm_progress {
    FILE *to;
    bool terminal, bar_shown;
    int64_t every;
    const char *task;
    int64_t epochs, steps, batch, steps_seen; /* seen: since begin */
    double last_step, last_drawn;             /* seconds */
    double weight, step_seconds;              /* decaying sums: steps, and the seconds that they took */
    char line[LINE];                          /* the bar as it stands */
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t terminal_width(const hm_progress *p) {
    struct winsize size;
    return ioctl(fileno(p->to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : DEFAULT_WIDTH;
}

hm_status hm_progress_new(hm_progress **out, FILE *to, int64_t every) {
    *out = NULL;
    if (every < 1)
        HM_FAIL(HM_ERR_ARG, "a progress line every %lld steps is not possible: choose at least 1", (long long)every);
    HM_TRY(hm_alloc(out, 1, sizeof **out));
    **out = (struct hm_progress){.to = to, .every = every, .terminal = isatty(fileno(to)) == 1, .task = ""};
    return HM_OK;
}

void hm_progress_begin(hm_progress *p, const char *task, int64_t epochs, int64_t steps, int64_t batch) {
    hm_progress_end(p);
    p->task = task;
    p->epochs = epochs;
    p->steps = steps;
    p->batch = batch;
    p->steps_seen = 0;
    p->weight = p->step_seconds = p->last_drawn = 0;
    p->last_step = now();
}

/* The first step counts a tenth: it also warms caches and makes plans. */
static void measure(hm_progress *p, double t) {
    const double took = t - p->last_step, keep = exp(-took / RATE_SECONDS), w = p->steps_seen == 0 ? 0.1 : 1;
    p->weight = keep * p->weight + w;
    p->step_seconds = keep * p->step_seconds + w * took;
    p->last_step = t;
    p->steps_seen++;
}

static hm_progress_state state_of(const hm_progress *p, int64_t epoch, int64_t step) {
    const double per_step = p->weight > 0 ? p->step_seconds / p->weight : NAN;
    const int64_t epochs_left = p->epochs > epoch ? p->epochs - epoch : 0;
    const double steps_left = (double)(p->steps - step) + (double)epochs_left * (double)p->steps;
    const bool known = p->steps_seen > 1 && per_step > 0;
    return (hm_progress_state){.task = p->task,
                               .epoch = epoch,
                               .epochs = p->epochs,
                               .step = step,
                               .steps = p->steps,
                               .images_per_second = known ? (double)p->batch / per_step : NAN,
                               .seconds_left = known ? steps_left * per_step : NAN};
}

static void draw_bar(hm_progress *p) {
    fprintf(p->to, "\r%s\x1b[K", p->line); /* the escape clears the rest of the line */
    fflush(p->to);
    p->bar_shown = true;
}

void hm_progress_step(hm_progress *p, int64_t epoch, int64_t step, const hm_progress_value *values, size_t n_values,
                      uint64_t memory) {
    const double t = now();
    const bool last = step >= p->steps;
    measure(p, t);
    if (p->terminal ? !last && t - p->last_drawn < REDRAW_SECONDS : !last && step % p->every != 0)
        return;
    hm_progress_state s = state_of(p, epoch, step);
    s.values = values;
    s.n_values = n_values;
    s.memory = memory;
    p->last_drawn = t;
    if (p->terminal) {
        hm_progress_format_bar(p->line, sizeof p->line, &s, terminal_width(p) - 1);
        draw_bar(p);
    } else {
        hm_progress_format_line(p->line, sizeof p->line, &s);
        fprintf(p->to, "%s\n", p->line);
        fflush(p->to);
    }
}

void hm_progress_note(hm_progress *p, const char *fmt, ...) {
    va_list args;
    if (p->bar_shown)
        fputs("\r\x1b[K", p->to);
    va_start(args, fmt);
    vfprintf(p->to, fmt, args);
    va_end(args);
    fputc('\n', p->to);
    if (p->bar_shown)
        draw_bar(p);
    fflush(p->to);
}

void hm_progress_end(hm_progress *p) {
    if (p->bar_shown)
        fputc('\n', p->to);
    fflush(p->to);
    p->bar_shown = false;
}

void hm_progress_free(hm_progress *p) {
    if (p == NULL)
        return;
    hm_progress_end(p);
    free(p);
}

uint64_t hm_progress_memory(void) {
    unsigned long long pages = 0;
    FILE *const f = fopen("/proc/self/statm", "r");
    if (f == NULL)
        return 0;
    const int n = fscanf(f, "%*u %llu", &pages);
    fclose(f);
    const long page = sysconf(_SC_PAGESIZE);
    return n == 1 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}
