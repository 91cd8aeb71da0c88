/* matmul_bf16.c: one primitive and its memory objects per node; a run only points them at the data. */
#include "device/cpu/matmul_bf16.h"

#include <omp.h>
#include <stdlib.h>

#include "base/mem.h"
#include "device/cpu/dnnl_engine.h"

enum { A, B, BIAS, C, N_MEMORIES };

typedef struct prepared {
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    dnnl_memory_t memory[N_MEMORIES]; /* NULL: no bias */
} prepared;

void hm_matmul_bf16_release(void *slot) {
    prepared *const p = slot;
    if (p == NULL)
        return;
    for (int i = 0; i < N_MEMORIES; i++)
        dnnl_memory_destroy(p->memory[i]);
    dnnl_stream_destroy(p->stream);
    dnnl_primitive_destroy(p->primitive);
    free(p);
}

static dnnl_data_type_t type_of(hm_dtype d) {
    return d == HM_BF16 ? dnnl_bf16 : dnnl_f32;
}

static bool describe(const hm_matmul_bf16 *d, dnnl_memory_desc_t desc[N_MEMORIES]) {
    return hm_dnnl_matrix(&desc[A], d->m, d->k, dnnl_bf16, d->ta, d->ta ? d->m : d->k) &&
           hm_dnnl_matrix(&desc[B], d->k, d->n, dnnl_bf16, d->tb, d->tb ? d->k : d->n) &&
           hm_dnnl_matrix(&desc[BIAS], 1, d->n, type_of(d->bias), false, d->n) &&
           hm_dnnl_matrix(&desc[C], d->m, d->n, type_of(d->out), false, d->n);
}

static bool prepare(prepared *p, const hm_matmul_bf16 *d) {
    const dnnl_engine_t engine = hm_dnnl_engine();
    dnnl_memory_desc_t desc[N_MEMORIES];
    dnnl_matmul_desc_t op;
    dnnl_primitive_desc_t pd = NULL;
    bool ok =
        engine != NULL && describe(d, desc) &&
        dnnl_matmul_desc_init(&op, &desc[A], &desc[B], d->has_bias ? &desc[BIAS] : NULL, &desc[C]) == dnnl_success &&
        dnnl_primitive_desc_create(&pd, &op, NULL, engine, NULL) == dnnl_success &&
        dnnl_primitive_create(&p->primitive, pd) == dnnl_success &&
        dnnl_stream_create(&p->stream, engine, dnnl_stream_default_flags) == dnnl_success;
    for (int i = 0; i < N_MEMORIES; i++)
        if (ok && (i != BIAS || d->has_bias))
            ok = dnnl_memory_create(&p->memory[i], &desc[i], engine, DNNL_MEMORY_NONE) == dnnl_success;
    dnnl_primitive_desc_destroy(pd);
    return ok;
}

static bool run(const prepared *p, void *const data[N_MEMORIES]) {
    static const int role[N_MEMORIES] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, DNNL_ARG_DST};
    dnnl_exec_arg_t args[N_MEMORIES];
    int n = 0;
    for (int i = 0; i < N_MEMORIES; i++) {
        if (p->memory[i] == NULL)
            continue;
        if (dnnl_memory_set_data_handle(p->memory[i], data[i]) != dnnl_success)
            return false;
        args[n++] = (dnnl_exec_arg_t){role[i], p->memory[i]};
    }
    return dnnl_primitive_execute(p->primitive, p->stream, n, args) == dnnl_success &&
           dnnl_stream_wait(p->stream) == dnnl_success;
}

hm_status hm_matmul_bf16_run(void **slot, const hm_matmul_bf16 *d, const void *a, const void *b, const void *bias,
                             void *c, int threads) {
    const int before = omp_get_max_threads();
    bool ok = true;
    omp_set_num_threads(threads); /* oneDNN takes what OpenMP would give */
    if (*slot == NULL) {
        prepared *made;
        const hm_status st = hm_alloc(&made, 1, sizeof *made);
        if (st != HM_OK) {
            omp_set_num_threads(before);
            return st;
        }
        *slot = made;
        ok = prepare(made, d);
    }
    void *const data[] = {(void *)(uintptr_t)a, (void *)(uintptr_t)b, (void *)(uintptr_t)bias, c};
    ok = ok && run(*slot, data);
    omp_set_num_threads(before);
    if (!ok)
        HM_FAIL(HM_ERR_INTERNAL, "oneDNN refused a %lld x %lld x %lld matrix product of bf16", (long long)d->m,
                (long long)d->n, (long long)d->k);
    return HM_OK;
}
