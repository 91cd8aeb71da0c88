/* make_shapes.c: hm_shapes: the options of the public interface turned into data/shapes.h's, with progress. */
#include "base/plain_numbers.h"
#include "base/progress.h"
#include "base/status.h"
#include "data/shapes.h"

enum { EVERY = 500 }; /* images from one line to the next where there is no bar */

static void show(void *user, int64_t done, int64_t total) {
    (void)total;
    hm_progress_step(user, 1, done, NULL, 0, 0);
}

hm_status hm_shapes(const hm_shapes_options *options, FILE *log) {
    HM_PLAIN_NUMBERS;
    hm_shapes_config config = {.counts = {options->train, options->valid, options->test},
                               .min_side = (int32_t)((int64_t)options->size * 6 / 7),
                               .max_side = (int32_t)((int64_t)options->size * 8 / 7),
                               .seed = options->seed};
    hm_progress *bar = NULL;
    if (options->dir == NULL)
        HM_FAIL(HM_ERR_ARG, "the data set needs a folder: name one that does not exist yet");
    if (options->classes != NULL)
        HM_TRY(hm_shapes_set_classes(&config, options->classes));
    if (log != NULL) {
        HM_TRY(hm_progress_new(&bar, log, EVERY));
        hm_progress_begin(bar, "shapes", 0, (int64_t)options->train + options->valid + options->test, 1);
    }
    const hm_status st = hm_shapes_write(options->dir, &config, bar != NULL ? show : NULL, bar);
    if (bar != NULL)
        hm_progress_end(bar);
    hm_progress_free(bar);
    return st;
}
