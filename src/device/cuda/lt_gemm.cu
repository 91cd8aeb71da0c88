/* lt_gemm.cu: products through cuBLASLt. What the library proposes for a product is asked for once and kept.
 *
 * cuBLASLt thinks in columns: a row-major c = op(a) op(b) is its c' = op(b)' op(a)', so operands and sizes change
 * places and the bias runs along its rows, as its epilogue wants it: in the type of the result, so another one (an fp32
 * bias of half products) is rounded into a corner of the room first. What no epilogue does is a kernel's work. */
#include "device/cuda/lt_gemm.h"

#include <cublasLt.h>
#include <stdlib.h>

#include "base/mem.h"
#include "device/cuda/column_sums.h"
#include "device/cuda/context.cuh"

#define BIAS_ROOM ((size_t)256 << 10) /* at the end of a room */
#define WORKSPACE (HM_CUDA_ROOM - BIAS_ROOM)

/* A product as cuBLASLt must know it beforehand. */
typedef struct known {
    hm_cuda_gemm g;
    bool bias;
    int align_a, align_b, align_c, align_bias; /* align_bias 0: no epilogue can use it as it is */
} known;

typedef struct prepared {
    known key;
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    bool apart; /* a kernel does what the epilogue would */
} prepared;

/* Of one run. */
typedef struct operands {
    const void *a, *b;
    void *c;
    const void *bias;
    const void *typed; /* the bias in the type of the result, or NULL */
} operands;

struct hm_cuda_products {
    cublasLtHandle_t handle;
    char *rooms; /* [HM_CUDA_ROOMS] */
    prepared **list;
    size_t n, cap;
};

static hm_status refused(cublasStatus_t st, const hm_cuda_gemm *g) {
    HM_FAIL(HM_ERR_INTERNAL, "cuBLASLt refused a %lld x %lld x %lld product (%s)", (long long)g->m, (long long)g->n,
            (long long)g->k, cublasLtGetStatusName(st));
}

#define LT_TRY(expr)                                                                                                   \
    do {                                                                                                               \
        const cublasStatus_t lt_status_ = (expr);                                                                      \
        if (lt_status_ != CUBLAS_STATUS_SUCCESS)                                                                       \
            return refused(lt_status_, g);                                                                             \
    } while (0)

hm_status hm_cuda_products_start(hm_cuda *d) {
    HM_TRY(hm_alloc(&d->products, 1, sizeof *d->products));
    const cublasStatus_t st = cublasLtCreate(&d->products->handle);
    if (st != CUBLAS_STATUS_SUCCESS)
        HM_FAIL(HM_ERR_UNSUPPORTED, "cuBLASLt does not start (%s)", cublasLtGetStatusName(st));
    return hm_cuda_alloc(d, (void **)&d->products->rooms, HM_CUDA_ROOMS * HM_CUDA_ROOM);
}

/* Where the next product works. */
static char *room_of(const hm_cuda *d) {
    return d->products->rooms + (size_t)d->room * HM_CUDA_ROOM;
}

static cudaDataType_t type_of(hm_dtype t) {
    return t == HM_F16 ? CUDA_R_16F : t == HM_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static int alignment(const void *p, int64_t ld, int64_t stride, hm_dtype t) {
    const int64_t item = t == HM_F32 ? 4 : 2;
    const uintptr_t bits = (uintptr_t)p | (uintptr_t)(ld * item) | (uintptr_t)(stride * item);
    int a = 256;
    while (a > 1 && bits % (uintptr_t)a != 0)
        a /= 2;
    return a;
}

static hm_status layout(cublasLtMatrixLayout_t *out, const hm_cuda_gemm *g, hm_dtype t, int64_t rows, int64_t cols,
                        int64_t ld, int64_t stride) {
    const int batch = (int)g->batch;
    LT_TRY(cublasLtMatrixLayoutCreate(out, type_of(t), (uint64_t)cols, (uint64_t)rows, ld));
    LT_TRY(cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch));
    LT_TRY(cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride));
    return HM_OK;
}

static hm_status describe(prepared *p) {
    const hm_cuda_gemm *const g = &p->key.g;
    const cublasComputeType_t compute = g->tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const cublasOperation_t first = g->tb ? CUBLAS_OP_T : CUBLAS_OP_N, second = g->ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    LT_TRY(cublasLtMatmulDescCreate(&p->op, compute, CUDA_R_32F));
    LT_TRY(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first));
    LT_TRY(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second));
    HM_TRY(layout(&p->a, g, g->type, g->ta ? g->k : g->m, g->ta ? g->m : g->k, g->lda, g->stride_a));
    HM_TRY(layout(&p->b, g, g->type, g->tb ? g->n : g->k, g->tb ? g->k : g->n, g->ldb, g->stride_b));
    return layout(&p->c, g, g->out, g->m, g->n, g->ldc, g->stride_c);
}

static hm_status set_epilogue(prepared *p, bool on, const void *typed_bias) {
    const hm_cuda_gemm *const g = &p->key.g;
    const bool bias = on && p->key.bias, relu = on && g->relu;
    const cublasLtEpilogue_t epilogue = bias && relu ? CUBLASLT_EPILOGUE_RELU_BIAS
                                        : bias       ? CUBLASLT_EPILOGUE_BIAS
                                        : relu       ? CUBLASLT_EPILOGUE_RELU
                                                     : CUBLASLT_EPILOGUE_DEFAULT;
    const cudaDataType_t type = type_of(g->out);
    LT_TRY(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (!bias)
        return HM_OK;
    LT_TRY(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type));
    LT_TRY(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &typed_bias, sizeof typed_bias));
    return HM_OK;
}

/* The algorithm that the library expects to be the fastest; false if it has none. */
static bool propose(const hm_cuda_products *lt, prepared *p) {
    const uint64_t workspace = WORKSPACE;
    const uint32_t sums = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* of parts of k: never rounded to half */
    const uint32_t a = (uint32_t)p->key.align_b, b = (uint32_t)p->key.align_a, c = (uint32_t)p->key.align_c;
    cublasLtMatmulPreference_t wish;
    cublasLtMatmulHeuristicResult_t best;
    int found = 0;
    if (cublasLtMatmulPreferenceCreate(&wish) != CUBLAS_STATUS_SUCCESS)
        return false;
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (p->key.g.out != HM_F32)
        cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &sums, sizeof sums);
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &a, sizeof a);
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &b, sizeof b);
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c, sizeof c);
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &c, sizeof c);
    const cublasStatus_t st =
        cublasLtMatmulAlgoGetHeuristic(lt->handle, p->op, p->b, p->a, p->c, p->c, wish, 1, &best, &found);
    cublasLtMatmulPreferenceDestroy(wish);
    if (st != CUBLAS_STATUS_SUCCESS || found == 0)
        return false;
    p->algo = best.algo;
    return true;
}

/* Element i of c [batch, m, n]: where it is. */
static __device__ int64_t place(const hm_cuda_gemm *g, int64_t i) {
    const int64_t row = i / g->n;
    return row / g->m * g->stride_c + row % g->m * g->ldc + i % g->n;
}

/* The epilogue of c, or of zero where there is no product. */
static __global__ void finish(hm_out c, hm_in bias, hm_cuda_gemm g, bool product) {
    for (hm_each(i, g.batch * g.m * g.n)) {
        const int64_t at = place(&g, i);
        const float x = (product ? hm_get(c.type, c.p, at) : 0) + (bias.p != NULL ? bias[i % g.n] : 0);
        c.put(at, g.relu && x < 0 ? 0 : x);
    }
}

static __global__ void round_bias(hm_out to, hm_in bias, int64_t n) {
    for (hm_each(i, n))
        to.put(i, bias[i]);
}

/* What the epilogue has left to do. */
static hm_status finish_apart(hm_cuda *d, const hm_cuda_gemm *g, const operands *o, bool product) {
    const hm_cuda_caller call = {d};
    HM_LAUNCH(&call, finish, hm_blocks_strided(g->batch * g->m * g->n, 256), 256, 0, (hm_out{o->c, g->out}),
              (hm_in{o->bias, g->bias_type}), *g, product);
    return HM_OK;
}

static hm_status multiply(hm_cuda *d, prepared *p, const hm_cuda_gemm *g, const operands *o) {
    const hm_cuda_products *const lt = d->products;
    HM_TRY(set_epilogue(p, !p->apart, o->typed));
    LT_TRY(cublasLtMatmul(lt->handle, p->op, &g->alpha, o->b, p->b, o->a, p->a, &g->beta, o->c, p->c, o->c, p->c,
                          &p->algo, room_of(d), WORKSPACE, hm_cuda_stream(d)));
    hm_cuda_multiplied();
    return p->apart ? finish_apart(d, g, o, true) : HM_OK;
}

/* ---- preparation */

static hm_status prepare(const hm_cuda_products *lt, prepared *p, const hm_cuda_gemm *g, const operands *o) {
    HM_TRY(describe(p));
    HM_TRY(set_epilogue(p, true, o->typed));
    if ((!p->key.bias || p->key.align_bias > 0) && propose(lt, p))
        return HM_OK;
    p->apart = p->key.bias || g->relu;
    HM_TRY(set_epilogue(p, false, NULL));
    return p->apart && propose(lt, p) ? HM_OK : refused(CUBLAS_STATUS_NOT_SUPPORTED, g);
}

static hm_status find(hm_cuda *d, const known *key, const hm_cuda_gemm *g, const operands *o, prepared **out) {
    hm_cuda_products *const lt = d->products;
    for (size_t i = 0; i < lt->n; i++)
        if (memcmp(&lt->list[i]->key, key, sizeof *key) == 0) {
            *out = lt->list[i];
            return HM_OK;
        }
    HM_TRY(hm_grow(&lt->list, &lt->cap, lt->n + 1, sizeof *lt->list));
    HM_TRY(hm_alloc(out, 1, sizeof **out));
    memcpy(&(*out)->key, key, sizeof *key);
    HM_TRY(prepare(lt, *out, g, o)); /* on failure the run fails: what was made is lost with the process */
    lt->list[lt->n++] = *out;
    return HM_OK;
}

/* Keys are compared as bytes, so field by field: the caller's padding may be anything. */
static void make_key(known *key, const hm_cuda_gemm *g, const operands *o) {
    memset(key, 0, sizeof *key);
    key->g.ta = g->ta;
    key->g.tb = g->tb;
    key->g.m = g->m;
    key->g.n = g->n;
    key->g.k = g->k;
    key->g.lda = g->lda;
    key->g.ldb = g->ldb;
    key->g.ldc = g->ldc;
    key->g.batch = g->batch;
    key->g.stride_a = g->stride_a;
    key->g.stride_b = g->stride_b;
    key->g.stride_c = g->stride_c;
    key->g.type = g->type;
    key->g.out = g->out;
    key->g.tf32 = g->tf32 && g->type == HM_F32;
    key->g.relu = g->relu;
    key->align_a = alignment(o->a, g->lda, g->stride_a, g->type);
    key->align_b = alignment(o->b, g->ldb, g->stride_b, g->type);
    key->align_c = alignment(o->c, g->ldc, g->stride_c, g->out);
    key->align_bias = o->typed != NULL ? alignment(o->typed, 0, 0, g->out) : 0;
    key->bias = o->bias != NULL;
}

/* The bias in the type of the result, if there is one; NULL too where it has no room. */
static hm_status typed_bias(hm_cuda *d, const hm_cuda_gemm *g, const void *bias, const void **out) {
    const hm_cuda_caller call = {d};
    void *const room = room_of(d) + WORKSPACE;
    const bool fits = (uint64_t)g->n * (g->out == HM_F32 ? 4 : 2) <= BIAS_ROOM;
    const bool turn = bias != NULL && g->bias_type != g->out;
    *out = !turn ? bias : fits ? room : NULL;
    if (turn && fits)
        HM_LAUNCH(&call, round_bias, hm_blocks_strided(g->n, 128), 128, 0, (hm_out{room, g->out}),
                  (hm_in{bias, g->bias_type}), g->n);
    return HM_OK;
}

static hm_status run(hm_cuda *d, const hm_cuda_gemm *g, operands *o) {
    known key;
    prepared *p;
    HM_TRY(typed_bias(d, g, o->bias, &o->typed));
    make_key(&key, g, o);
    HM_TRY(find(d, &key, g, o, &p));
    return multiply(d, p, g, o);
}

hm_status hm_cuda_gemm_run(hm_cuda *d, const hm_cuda_gemm *g, const void *a, const void *b, const void *bias, void *c) {
    operands o = {a, b, c, bias, NULL};
    if (g->m == 0 || g->n == 0 || g->batch == 0)
        return HM_OK;
    if (g->k > 0)
        return run(d, g, &o);
    return g->beta != 0 && bias == NULL && !g->relu ? HM_OK : finish_apart(d, g, &o, g->beta != 0);
}

hm_status hm_cuda_gemm_sums(hm_cuda *d, const hm_cuda_gemm *g, const void *a, const void *b, void *c,
                            const hm_cuda_sums *sums) {
    HM_TRY(hm_cuda_gemm_run(d, g, a, b, NULL, c));
    return hm_cuda_column_sums(d, sums->out, sums->type, a, g->type, g->k, g->m, sums->room);
}
