/* selection.c: see selection.h. Averages must have a score above 0 to be the best, the weights themselves need not; of
 * equal scores the weights' wins. */
#include "train/selection.h"

#include <math.h>

hm_selection hm_selection_begin(void) {
    return (hm_selection){.best = {NAN, NAN}, .stop_best = -INFINITY};
}

hm_chosen hm_selection_note(hm_selection *s, hm_judged now) {
    hm_chosen c = {0};
    if (!isnan(now.regular)) {
        c.regular = !(now.regular <= s->best.regular);
        s->best.regular = fmax(s->best.regular, now.regular);
    }
    if (!isnan(now.ema)) {
        c.ema = now.ema > 0 && !(now.ema <= s->best.ema);
        s->best.ema = fmax(s->best.ema, now.ema);
    }
    const bool ema_wins = !(s->best.ema <= s->best.regular) && !isnan(s->best.ema);
    c.total_ema = c.ema && ema_wins;
    c.total_regular = c.regular && !ema_wins;
    return c;
}

void hm_selection_wait(hm_selection *s, hm_judged now, bool ema_only, double min_delta) {
    const double score = ema_only && !isnan(now.ema) ? now.ema : fmax(now.regular, now.ema);
    if (score - min_delta > s->stop_best) {
        s->stop_best = score;
        s->waited = 0;
    } else {
        s->waited++;
    }
}

hm_chosen hm_selection_end(const hm_selection *s, bool use_ema, bool judges_regular) {
    const bool none = use_ema && !(s->best.ema > 0);
    return (hm_chosen){.ema = none, .total_ema = none && !judges_regular};
}

double hm_selection_best(const hm_selection *s) {
    return fmax(s->best.regular, s->best.ema);
}
