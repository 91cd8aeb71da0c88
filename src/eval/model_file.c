/* model_file.c: weights, store and detector, put together. */
#include "eval/model_file.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static hm_status name_classes(hm_classes *out, const hm_classes *known, int32_t n) {
    const bool named = known->n > 0;
    n = named ? known->n : n;
    HM_TRY(hm_alloc(&out->ids, (size_t)n, sizeof *out->ids));
    HM_TRY(hm_alloc(&out->names, (size_t)n, sizeof *out->names));
    out->n = n;
    for (int32_t i = 0; i < n; i++) {
        char label[32];
        snprintf(label, sizeof label, "class %d", (int)i);
        out->ids[i] = named ? known->ids[i] : i;
        HM_TRY(hm_strdup(&out->names[i], named ? known->names[i] : label));
    }
    return HM_OK;
}

hm_status hm_model_file_open(hm_model_file *out, const char *path, const hm_detector_options *o) {
    hm_status st;
    *out = (hm_model_file){0};
    HM_TRY_TO(st, fail, hm_weights_open(&out->weights, path));
    const hm_model_config *const c = hm_weights_config(out->weights);
    const hm_classes *const known = hm_weights_classes(out->weights);
    out->named = known->n > 0;
    HM_TRY_TO(st, fail, name_classes(&out->classes, known, c->num_classes + 1));
    HM_TRY_TO(st, fail, hm_store_create(&out->store));
    HM_TRY_TO(st, fail, hm_detector_new(&out->detector, c, out->store, o));
    HM_TRY_TO(st, fail, hm_weights_load(out->weights, out->store));
    return HM_OK;
fail:
    hm_model_file_close(out);
    return st;
}

hm_status hm_model_file_open_on(hm_model_file *out, const char *path, hm_device_choice device, hm_precision precision,
                                int32_t batch, int threads) {
    hm_detector_options o = {.batch = batch, .threads = threads};
    HM_TRY(hm_device_choose(device, &o.device));
    o.precision = hm_precision_resolve(precision, o.device);
    return hm_model_file_open(out, path, &o);
}

void hm_model_file_close(hm_model_file *m) {
    if (m == NULL)
        return;
    hm_detector_free(m->detector);
    hm_store_free(m->store);
    hm_weights_close(m->weights);
    hm_classes_free(&m->classes);
    memset(m, 0, sizeof *m);
}
