/* status.h: how library functions fail. A failing function sets one sentence (per thread) and returns
 * its code; callers pass both on. Only the command line prints. */
#ifndef HM_BASE_STATUS_H
#define HM_BASE_STATUS_H

#include "halfmask.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Sets the calling thread's message and returns `code`, so that `return hm_fail(…)` reads well. */
hm_status hm_fail(hm_status code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "<prefix>: " before the message of a failure that is being passed on; returns `code`. */
hm_status hm_fail_in(hm_status code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void hm_error_clear(void);

#define HM_FAIL(code, ...) return hm_fail((code), __VA_ARGS__)

/* Returns the status of `expr` unless it is HM_OK. */
#define HM_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        const hm_status hm_try_status_ = (expr);                                                                       \
        if (hm_try_status_ != HM_OK)                                                                                   \
            return hm_try_status_;                                                                                     \
    } while (0)

/* For functions with a clean-up path: stores the status in `st` and jumps to `label` on failure. */
#define HM_TRY_TO(st, label, expr)                                                                                     \
    do {                                                                                                               \
        (st) = (expr);                                                                                                 \
        if ((st) != HM_OK)                                                                                             \
            goto label;                                                                                                \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
