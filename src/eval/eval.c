/* eval.c: hm_eval: which of the two evaluations the options ask for. */
#include "base/plain_numbers.h"
#include "device/turn.h"
#include "eval/eval_files.h"
#include "eval/eval_weights.h"

hm_status hm_eval(const hm_eval_options *options, FILE *to, FILE *log) {
    HM_PLAIN_NUMBERS;
    const bool files = options->gt != NULL || options->dt != NULL;
    if (!files && options->weights == NULL)
        HM_FAIL(HM_ERR_ARG, "nothing to judge: give a data set's folder and weights, or gt and dt");
    if (files && (options->weights != NULL || options->dataset_dir != NULL || options->out != NULL))
        HM_FAIL(HM_ERR_ARG, "gt and dt judge a results file: leave out %s",
                options->weights != NULL       ? "weights"
                : options->dataset_dir != NULL ? "the data set's folder"
                                               : "out");
    if (files)
        return hm_eval_files(options, to);
    HM_GPU_TURN(options->device);
    return hm_eval_weights(options, to, log);
}
