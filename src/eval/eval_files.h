/* eval_files.h: the evaluation of a COCO results file against an annotation file. */
#ifndef HM_EVAL_EVAL_FILES_H
#define HM_EVAL_EVAL_FILES_H

#include "base/status.h"

/* What hm_eval does with `gt` and `dt`. Boxes are judged without masks and masks without boxes: a detection's area is
 * that of what is judged. A result without a box counts with its mask's, as in pycocotools. */
hm_status hm_eval_files(const hm_eval_options *o, FILE *to);

#endif
