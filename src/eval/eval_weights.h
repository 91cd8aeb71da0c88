/* eval_weights.h: the evaluation of a weights file on a split of a data set; results files are judged elsewhere. */
#ifndef HM_EVAL_EVAL_WEIGHTS_H
#define HM_EVAL_EVAL_WEIGHTS_H

#include "base/status.h"

/* What hm_eval does with `weights`. */
hm_status hm_eval_weights(const hm_eval_options *o, FILE *to, FILE *log);

#endif
