/* halfmask.h: the only public header of libhalfmask.
 *
 * Native training, evaluation and prediction for RF-DETR (detection and instance segmentation).
 * Every function that can fail returns hm_status; hm_error_message() then says, in one sentence,
 * what was wrong, where, and what to do. Nothing here prints or exits. */
#ifndef HALFMASK_H
#define HALFMASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HM_VERSION "0.1.0"

typedef enum hm_status {
    HM_OK = 0,
    HM_ERR_ARG = 1,         /* a setting or argument is wrong */
    HM_ERR_IO = 2,          /* the operating system refused: open, read, write, rename */
    HM_ERR_FORMAT = 3,      /* a file's content is not what it claims to be */
    HM_ERR_MEMORY = 4,      /* not enough memory, or the plan does not fit */
    HM_ERR_UNSUPPORTED = 5, /* valid, but this build or device cannot do it */
    HM_ERR_INTERNAL = 6,    /* a fault of halfmask itself: please report it */
} hm_status;

/* The message of the last failure on the calling thread; "" when there was none. */
const char *hm_error_message(void);

#ifdef __cplusplus
}
#endif
#endif
