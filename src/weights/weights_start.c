/* weights_start.c: the weights that a run begins with. */
#include "model/rfdetr.h"
#include "weights/weights.h"

static hm_status start(hm_store *store, const hm_model_config *c, uint64_t seed, const char *pretrain, char *words) {
    HM_TRY(hm_model_init(c, store, seed));
    return pretrain != NULL ? hm_weights_pretrain(pretrain, c, store, words) : HM_OK;
}

hm_status hm_weights_start(hm_store *store, const hm_model_config *c, hm_precision p, uint64_t seed,
                           const char *pretrain, char *words) {
    hm_store *full = NULL;
    if (!hm_precision_true(p))
        return start(store, c, seed, pretrain, words);
    HM_TRY(hm_weights_store(&full, c));
    hm_status st = start(full, c, seed, pretrain, words);
    if (st == HM_OK)
        st = hm_store_copy(store, full);
    hm_store_free(full);
    return st;
}
