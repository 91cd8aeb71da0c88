/* overflow.c: says which operation made the first number that is not finite, and what became of the step. */
#include "train/training.h"

#include <math.h>
#include <string.h>

#include "graph/trace.h"

/* "images 3, 9 at 312 x 312" */
static void describe_batch(const hm_open_batch *b, char *out, size_t size) {
    size_t at = (size_t)snprintf(out, size, "images ");
    for (int32_t i = 0; i < b->n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "", (long long)b->ids[i]);
    if (at < size)
        snprintf(out + at, size - at, " at %d x %d", (int)b->side, (int)b->side);
}

static void describe(const hm_first_bad *f, char *out, size_t size) {
    const hm_node *const n = f->node;
    snprintf(
        out, size,
        "%s (%s, %s): tensor %s has %lld of %lld numbers that are not finite, the largest other is %.3g (%s ends at "
        "%.5g), its inputs are up to %.3g",
        n->scope, n->op->name, n->backward ? "backward" : "forward", f->tensor->name, (long long)f->made.not_finite,
        (long long)f->made.count, f->made.largest, hm_dtype_name(f->tensor->dtype), hm_dtype_max(f->tensor->dtype),
        f->from);
}

/* The step ran with the scale that the state's last number tells. On the GPU a later batch may have updated the weights
 * since: the operation that overflowed is the same in all but rare cases. */
hm_status hm_overflow_describe(hm_training *t, int64_t run, char *out, size_t size) {
    const hm_open_batch *const b = &t->open[run % HM_LATE_MOST];
    hm_first_bad f;
    char where[512] = "no single operation (the sum of several batches overflowed)", batch[192];
    float *scale = hm_store_find(t->store, HM_STATE_SCALE, NULL);
    const float now = scale[0];
    if (t->update == NULL)
        scale[0] = run == t->runs - 1 ? scale[2] : (float)t->last_scale;
    const hm_status st = hm_trace(b->size->exec, hm_open_batch_ago(b), (uint64_t)t->options->seed, run, &f);
    scale = hm_store_find(t->store, HM_STATE_SCALE, NULL);
    scale[0] = now;
    HM_TRY(st);
    if (f.node != NULL)
        describe(&f, where, sizeof where);
    describe_batch(b, batch, sizeof batch);
    snprintf(out, size, "%s: %s", batch, where);
    return HM_OK;
}

hm_status hm_overflow_report(hm_training *t, const hm_losses *l) {
    const bool stuck = l->scale_next >= l->scale_used; /* it cannot fall, or it may not */
    if (t->progress != NULL)
        hm_progress_note(t->progress, "step %lld skipped, loss scale %.0f -> %.0f; %s", (long long)t->step,
                         l->scale_used, l->scale_next, l->cause);
    if (!stuck)
        return HM_OK;
    HM_TRY(hm_training_keep(t, HM_KEEP_LAST));
    HM_TRY(hm_training_saved(t));
    HM_FAIL(HM_ERR_FORMAT,
            "step %lld cannot be made even with a loss scale of %.0f; %s; no weight was touched, " HM_LAST
            " holds them: lower lr, look at those images' annotations, or keep that layer in fp32 "
            "(precision_override) or take bf16",
            (long long)t->step, l->scale_used, l->cause);
}
