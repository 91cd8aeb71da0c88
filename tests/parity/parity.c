/* parity.c: halfmask-parity CASE_DIR [--device cpu|cuda] [--precision fp32|bf16|fp16 [--copies N]]
 * [--dump OUT.safetensors]: runs a golden model case and prints one line per tensor (name, error, tolerance, verdict).
 * Exit status 0 only when all comparisons, and at least one, have passed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runs.h"

static int usage(void) {
    fprintf(stderr, "usage: halfmask-parity CASE_DIR [--device cpu|cuda] [--precision fp32|bf16|fp16 [--copies N]]\n"
                    "                       [--dump OUT.safetensors]\n");
    return 2;
}

static hm_status train(parity_report *r, const char *tag, double eps, bool details) {
    bool swapped;
    HM_TRY(run_training(r, tag, eps, details, false, &swapped));
    return swapped ? run_training(r, tag, eps, details, true, &swapped) : HM_OK;
}

static hm_status evaluate(parity_report *r) {
    bool swapped;
    HM_TRY(run_evaluation(r, false, &swapped));
    return swapped ? run_evaluation(r, true, &swapped) : HM_OK;
}

static hm_status run_all(parity_report *r, parity_case *c, const char *dir, const char *dump, hm_precision precision) {
    HM_TRY(parity_case_open(c, dir));
    if (precision != HM_PRECISION_FP32) {
        HM_TRY(run_half(r, precision));
        return dump == NULL ? HM_OK : report_write(r, dump);
    }
    HM_TRY(evaluate(r));
    HM_TRY(train(r, "eps1e-08", 1e-8, true));
    HM_TRY(train(r, "eps1e-04", 1e-4, false));
    return dump == NULL ? HM_OK : report_write(r, dump);
}

int main(int argc, char **argv) {
    const char *dir = NULL, *dump = NULL;
    hm_precision precision = HM_PRECISION_FP32;
    for (int i = 1; i < argc; i++) {
        const bool more = i + 1 < argc;
        if (strcmp(argv[i], "--dump") == 0 && more) {
            dump = argv[++i];
        } else if (strcmp(argv[i], "--device") == 0 && more &&
                   (strcmp(argv[i + 1], "cpu") == 0 || strcmp(argv[i + 1], "cuda") == 0)) {
            parity_device = strcmp(argv[++i], "cuda") == 0 ? HM_DEVICE_CUDA : HM_DEVICE_CPU;
        } else if ((strcmp(argv[i], "--precision") == 0 && more && hm_precision_named(argv[i + 1], &precision) &&
                    precision <= HM_PRECISION_FP16)) {
            i++;
        } else if (strcmp(argv[i], "--copies") == 0 && more && atoi(argv[i + 1]) > 0) {
            parity_copies = atoi(argv[++i]);
        } else if (argv[i][0] != '-' && dir == NULL) {
            dir = argv[i];
        } else {
            fprintf(stderr, "halfmask-parity: \"%s\" is not understood\n", argv[i]);
            return usage();
        }
    }
    if (dir == NULL)
        return usage();
    if (parity_device == HM_DEVICE_CUDA && !hm_cuda_available()) {
        printf("parity: skipped: %s\n", hm_error_message());
        return 77;
    }
    parity_case c = {0};
    parity_report r = {.c = &c, .dumping = dump != NULL};
    const hm_status st = run_all(&r, &c, dir, dump, precision);
    if (st != HM_OK)
        fprintf(stderr, "halfmask-parity: %s: %s\n", dir, hm_error_message());
    report_free(&r);
    parity_case_close(&c);
    printf("parity: %d passed, %d failed\n", r.passed, r.failed + (st != HM_OK));
    return st == HM_OK && r.failed == 0 && r.passed > 0 ? 0 : 1;
}
