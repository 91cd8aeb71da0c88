/* device.h: on which device a case is run, and what lies there as the host sees it. */
#ifndef HM_PARITY_DEVICE_H
#define HM_PARITY_DEVICE_H

#include "graph/exec.h"

extern hm_device parity_device; /* set once, from the command line */

/* Of every run of the case. */
hm_exec_options parity_exec_options(void);
/* The numbers of a tensor: on the CPU where they are, on the GPU a copy; either way good until the executor runs again.
 * Ends the program when they cannot be had. */
const void *host_of(hm_exec *e, const hm_tensor *t);
/* Frees the copies. */
void host_forget(void);

#endif
