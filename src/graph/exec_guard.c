/* exec_guard.c: NaN in everything that a run is to write and guard bytes behind it (tests). */
#include <string.h>

#include "graph/exec_inner.h"

#define GUARD_BYTES 64
#define GUARD       0xA5

static bool in_arena(const hm_tensor *t) {
    return (t->storage == HM_TEMP || t->storage == HM_INPUT) && t->base == NULL;
}

void hm_exec_poison(const hm_exec *e, unsigned char *view) {
    for (size_t i = 0; i < e->g->n_tensors; i++) {
        const hm_tensor *const t = e->g->tensors[i];
        if (!in_arena(t))
            continue;
        const size_t bytes = hm_exec_bytes(e, t);
        unsigned char *const p = view + e->plan.offset[i];
        if (t->storage == HM_TEMP)
            memset(p, 0xFF, bytes);
        memset(p + bytes, GUARD, GUARD_BYTES);
    }
    for (size_t k = 0; k < e->g->n_nodes; k++)
        if (e->calls[k].work != NULL) {
            const size_t bytes = hm_node_work(e->g->nodes[k], &e->opt);
            memset(view + e->plan.work_offset[k], 0xFF, bytes);
            memset(view + e->plan.work_offset[k] + bytes, GUARD, GUARD_BYTES);
        }
}

static bool intact(const unsigned char *p) {
    for (int j = 0; j < GUARD_BYTES; j++)
        if (p[j] != GUARD)
            return false;
    return true;
}

hm_status hm_exec_find_damage(const hm_exec *e, const unsigned char *view) {
    for (size_t i = 0; i < e->g->n_tensors; i++) {
        const hm_tensor *const t = e->g->tensors[i];
        if (in_arena(t) && !intact(view + e->plan.offset[i] + hm_exec_bytes(e, t)))
            HM_FAIL(HM_ERR_INTERNAL, "something wrote behind the end of %s", t->name);
    }
    for (size_t k = 0; k < e->g->n_nodes; k++) {
        const hm_node *const n = e->g->nodes[k];
        const size_t bytes = e->calls[k].work != NULL ? hm_node_work(n, &e->opt) : 0;
        if (bytes && !intact(view + e->plan.work_offset[k] + bytes))
            HM_FAIL(HM_ERR_INTERNAL, "%s wrote behind the end of its workspace", n->op->name);
    }
    return HM_OK;
}
