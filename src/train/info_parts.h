/* info_parts.h: what the files of hm_info share. */
#ifndef HM_TRAIN_INFO_PARTS_H
#define HM_TRAIN_INFO_PARTS_H

#include <stdio.h>

#include "train/memory.h"

/* What the machine has: CPU and GPU, or why there is no GPU. */
void hm_info_print_devices(FILE *to);
/* The memory of training, at one input size and at several, and of evaluation on the request's device, and whether that
 * has it. */
hm_status hm_info_print_plan(FILE *to, const hm_memory_request *r);

#endif
