/* background.h: one piece of work at a time on a thread of its own, such as writing what was copied a moment ago. */
#ifndef HM_BASE_BACKGROUND_H
#define HM_BASE_BACKGROUND_H

#include "base/status.h"

typedef struct hm_background hm_background;

hm_status hm_background_new(hm_background **out);

/* Waits for the work before, then begins work(arg) and returns. Where that before failed, its status and message are
 * returned, once, and nothing is begun. */
hm_status hm_background_run(hm_background *b, hm_status (*work)(void *arg), void *arg);

/* Waits until nothing is under way; the status and message of a failure not yet told. */
hm_status hm_background_wait(hm_background *b);

void hm_background_free(hm_background *b); /* takes NULL; waits */

#endif
