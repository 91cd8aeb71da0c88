/* ref.c: the definition of the change of type: none, as reference runs hold every number as double. */
#include <string.h>

#include "graph/op.h"

hm_status hm_cast_ref(const hm_call *c);

hm_status hm_cast_ref(const hm_call *c) {
    memcpy(c->out[0], c->in[0], (size_t)hm_count(c->node->in[0]) * sizeof(double));
    return HM_OK;
}
