/* gemm_bf16.c: matmul primitives whose sizes and strides are given when they run, so that four of them, made once, do
 * every product. */
#include "device/cpu/gemm_bf16.h"

#include <pthread.h>

#include "base/dtype.h"
#include "device/cpu/dnnl_engine.h"

#define ANY DNNL_RUNTIME_DIM_VAL

bool hm_gemm_bf16_has_tiles(void) {
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
}

/* ---- the primitives */

static dnnl_engine_t engine;
static dnnl_primitive_t primitives[2][2]; /* [ta][tb], NULL where oneDNN has none */

/* A matrix of any size, with rows side by side or, `turned`, columns. */
static bool any_matrix(dnnl_memory_desc_t *d, dnnl_data_type_t type, bool turned) {
    const dnnl_dims_t dims = {ANY, ANY}, strides = {turned ? 1 : ANY, turned ? ANY : 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides) == dnnl_success;
}

static dnnl_primitive_t make(bool ta, bool tb) {
    dnnl_memory_desc_t a, b, c;
    dnnl_matmul_desc_t op;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t made = NULL;
    if (any_matrix(&a, dnnl_bf16, ta) && any_matrix(&b, dnnl_bf16, tb) && any_matrix(&c, dnnl_f32, false) &&
        dnnl_matmul_desc_init(&op, &a, &b, NULL, &c) == dnnl_success &&
        dnnl_primitive_desc_create(&pd, &op, NULL, engine, NULL) == dnnl_success &&
        dnnl_primitive_create(&made, pd) != dnnl_success)
        made = NULL;
    dnnl_primitive_desc_destroy(pd);
    return made;
}

static void make_all(void) {
    engine = hm_dnnl_engine();
    for (int i = 0; engine != NULL && i < 4; i++)
        primitives[i / 2][i % 2] = make(i / 2, i % 2);
}

/* ---- products */

typedef struct matrix {
    int64_t rows, cols;
    dnnl_data_type_t type;
    bool turned;
    int64_t ld;
    void *data;
} matrix;

static bool describe(dnnl_memory_t *to, const matrix *x) {
    dnnl_memory_desc_t d;
    return hm_dnnl_matrix(&d, x->rows, x->cols, x->type, x->turned, x->ld) &&
           dnnl_memory_create(to, &d, engine, x->data) == dnnl_success;
}

static bool run(dnnl_primitive_t primitive, const matrix of[3]) {
    static const int role[3] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_exec_arg_t args[3] = {{0}};
    dnnl_stream_t stream = NULL;
    bool ok = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success;
    for (int i = 0; i < 3; i++) {
        args[i].arg = role[i];
        ok = ok && describe(&args[i].memory, &of[i]);
    }
    ok = ok && dnnl_primitive_execute(primitive, stream, 3, args) == dnnl_success &&
         dnnl_stream_wait(stream) == dnnl_success;
    for (int i = 0; i < 3; i++)
        dnnl_memory_destroy(args[i].memory);
    dnnl_stream_destroy(stream);
    return ok;
}

static float at(const matrix *x, int64_t i, int64_t j) {
    return hm_bf16_to_f32(((const uint16_t *)x->data)[x->turned ? j * x->ld + i : i * x->ld + j]);
}

static void plain(const matrix of[3]) {
    const matrix *const a = &of[0], *const b = &of[1], *const c = &of[2];
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < c->cols; j++) {
            float sum = 0;
            for (int64_t p = 0; p < a->cols; p++)
                sum += at(a, i, p) * at(b, p, j);
            ((float *)c->data)[i * c->ld + j] = sum;
        }
}

bool hm_gemm_bf16_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t lda,
                         const uint16_t *b, int64_t ldb, float *c, int64_t ldc) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_all);
    const matrix of[3] = {{m, k, dnnl_bf16, ta, lda, (void *)(uintptr_t)a},
                          {k, n, dnnl_bf16, tb, ldb, (void *)(uintptr_t)b},
                          {m, n, dnnl_f32, false, ldc, c}};
    if (primitives[ta][tb] == NULL) {
        plain(of);
        return true;
    }
    const int before = hm_dnnl_alone();
    const bool ok = run(primitives[ta][tb], of);
    hm_dnnl_restore(before);
    return ok;
}
