/* lt_gemm.cu: products through cuBLASLt. How a product is made best is found out at its first run and kept: some of the
 * library's proposals are timed, with the operands at hand.
 *
 * cuBLASLt thinks in columns: a row-major c = op(a) op(b) is its c' = op(b)' op(a)', so operands and sizes change
 * places and the bias runs along its rows, as its epilogue wants it: in the type of the result, so another one (an fp32
 * bias of half products) is rounded into a corner of the workspace first. Sums of op(a) over k are those of its second
 * operand (BGRADB), in the type of the result too. What no epilogue does is a kernel's work. */
#include "device/cuda/lt_gemm.h"

#include <cublasLt.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "device/cuda/column_sums.h"
#include "device/cuda/context.cuh"

#define WORKSPACE    ((size_t)32 << 20)
#define BIAS_ROOM    ((size_t)256 << 10) /* after it */
#define TRIES        8                   /* proposals that are timed */
#define ROUNDS       3                   /* times that each is */
#define WAKING       0.3                 /* seconds of products before the first timing */
#define WORTH_TRYING 2e7                 /* floating-point operations */
#define REPEATS      8

/* What an epilogue reads or writes besides the product. */
typedef enum beside { NOTHING, BIAS, SUMS } beside;

/* A product as cuBLASLt must know it beforehand. */
typedef struct known {
    hm_cuda_gemm g;
    beside with;
    int align_a, align_b, align_c, align_with; /* align_with 0: no epilogue can use it as it is */
} known;

typedef struct way {
    cublasLtMatmulAlgo_t algo;
    bool apart; /* a kernel does what the epilogue would */
} way;

typedef struct prepared {
    known key;
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, c;
    way best;
} prepared;

/* Of one run. */
typedef struct operands {
    const void *a, *b;
    void *c;
    const void *bias;
    const hm_cuda_sums *sums;
    const void *with; /* the epilogue's: the bias in the type of the result, where the sums go, or NULL */
} operands;

struct hm_cuda_products {
    cublasLtHandle_t handle;
    void *workspace;
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
    return hm_cuda_alloc(d, &d->products->workspace, WORKSPACE + BIAS_ROOM);
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

/* with: as in operands. */
static hm_status set_epilogue(prepared *p, bool on, const void *with) {
    const hm_cuda_gemm *const g = &p->key.g;
    const bool beside = on && p->key.with != NOTHING, relu = on && g->relu;
    const cublasLtEpilogue_t epilogue = beside && p->key.with == SUMS ? CUBLASLT_EPILOGUE_BGRADB
                                        : beside && relu              ? CUBLASLT_EPILOGUE_RELU_BIAS
                                        : beside                      ? CUBLASLT_EPILOGUE_BIAS
                                        : relu                        ? CUBLASLT_EPILOGUE_RELU
                                                                      : CUBLASLT_EPILOGUE_DEFAULT;
    const cudaDataType_t type = type_of(g->out);
    LT_TRY(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
    if (!beside)
        return HM_OK;
    LT_TRY(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type, sizeof type));
    LT_TRY(cublasLtMatmulDescSetAttribute(p->op, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &with, sizeof with));
    return HM_OK;
}

/* At most `most` algorithms, the one that the library expects to be fastest first; their number, 0 if there is none. */
static int propose(const hm_cuda_products *lt, prepared *p, int most, cublasLtMatmulHeuristicResult_t *list) {
    const uint64_t workspace = WORKSPACE;
    const uint32_t sums = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE; /* of parts of k: never rounded to half */
    const uint32_t a = (uint32_t)p->key.align_b, b = (uint32_t)p->key.align_a, c = (uint32_t)p->key.align_c;
    cublasLtMatmulPreference_t wish;
    int found = 0;
    if (cublasLtMatmulPreferenceCreate(&wish) != CUBLAS_STATUS_SUCCESS)
        return 0;
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    if (p->key.g.out != HM_F32)
        cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &sums, sizeof sums);
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &a, sizeof a);
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &b, sizeof b);
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &c, sizeof c);
    cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &c, sizeof c);
    const cublasStatus_t st =
        cublasLtMatmulAlgoGetHeuristic(lt->handle, p->op, p->b, p->a, p->c, p->c, wish, most, list, &found);
    cublasLtMatmulPreferenceDestroy(wish);
    return st == CUBLAS_STATUS_SUCCESS ? found : 0;
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
    if (o->sums != NULL)
        return hm_cuda_column_sums(d, o->sums->out, o->sums->type, o->a, g->type, g->k, g->m, o->sums->room);
    HM_LAUNCH(&call, finish, hm_blocks_strided(g->batch * g->m * g->n, 256), 256, 0, (hm_out{o->c, g->out}),
              (hm_in{o->bias, g->bias_type}), *g, product);
    return HM_OK;
}

static hm_status multiply(hm_cuda *d, prepared *p, const way *w, const hm_cuda_gemm *g, const operands *o) {
    const hm_cuda_products *const lt = d->products;
    HM_TRY(set_epilogue(p, !w->apart, o->with));
    LT_TRY(cublasLtMatmul(lt->handle, p->op, &g->alpha, o->b, p->b, o->a, p->a, &g->beta, o->c, p->c, o->c, p->c,
                          &w->algo, lt->workspace, WORKSPACE, hm_cuda_stream(d)));
    hm_cuda_launched();
    return w->apart ? finish_apart(d, g, o, true) : HM_OK;
}

/* ---- preparation */

typedef struct ways {
    way list[2 * TRIES];
    int n;
} ways;

static hm_status add_ways(const hm_cuda_products *lt, prepared *p, bool apart, const operands *o, int most, ways *to) {
    cublasLtMatmulHeuristicResult_t found[TRIES];
    HM_TRY(set_epilogue(p, !apart, o->with));
    const int n = propose(lt, p, most, found);
    for (int i = 0; i < n; i++)
        to->list[to->n++] = way{found[i].algo, apart};
    return HM_OK;
}

/* Seconds of a few products one after the other, as a captured graph runs them. */
static hm_status time_graph(hm_cuda *d, hm_cuda_graph *graph, hm_cuda_event *const *ends, double *seconds) {
    HM_TRY(hm_cuda_graph_launch(d, graph)); /* once to warm up */
    HM_TRY(hm_cuda_event_record(d, ends[0]));
    HM_TRY(hm_cuda_graph_launch(d, graph));
    HM_TRY(hm_cuda_event_record(d, ends[1]));
    HM_TRY(hm_cuda_event_wait(ends[1]));
    return hm_cuda_event_seconds(ends[0], ends[1], seconds);
}

static hm_status time_way(hm_cuda *d, prepared *p, const way *w, const hm_cuda_gemm *g, const operands *o,
                          hm_cuda_event *const *ends, double *seconds) {
    hm_cuda_graph *graph = NULL;
    hm_status st = HM_OK;
    HM_TRY(multiply(d, p, w, g, o)); /* loads what it needs, which cannot be captured */
    HM_TRY(hm_cuda_capture_begin(d));
    for (int i = 0; st == HM_OK && i < REPEATS; i++)
        st = multiply(d, p, w, g, o);
    const hm_status ended = hm_cuda_capture_end(d, &graph);
    st = st != HM_OK ? st : ended;
    if (st == HM_OK)
        st = time_graph(d, graph, ends, seconds);
    hm_cuda_graph_free(graph);
    return st;
}

/* A chip at rest takes a while to reach its clocks, and what is timed until then seems slow. Whether products succeed
 * does not matter here. */
static hm_status wake(hm_cuda *d, prepared *p, const way *w, const hm_cuda_gemm *g, const operands *o,
                      hm_cuda_event *const *ends) {
    static bool awake;
    double seconds = 0;
    if (awake)
        return HM_OK;
    awake = true;
    HM_TRY(hm_cuda_event_record(d, ends[0]));
    while (seconds < WAKING && multiply(d, p, w, g, o) == HM_OK) {
        HM_TRY(hm_cuda_event_record(d, ends[1]));
        HM_TRY(hm_cuda_event_wait(ends[1]));
        HM_TRY(hm_cuda_event_seconds(ends[0], ends[1], &seconds));
    }
    cudaGetLastError(); /* clears it */
    return HM_OK;
}

/* Keeps the fastest, which must run at all: the one with the least time of several rounds. */
static hm_status race(hm_cuda *d, prepared *p, const ways *all, const hm_cuda_gemm *g, const operands *o) {
    hm_cuda_event *ends[2] = {NULL, NULL};
    double best = INFINITY, least[2 * TRIES] = {}; /* 0: does not run */
    hm_status st = hm_cuda_event_new(&ends[0]);
    if (st == HM_OK)
        st = hm_cuda_event_new(&ends[1]);
    if (st == HM_OK)
        st = wake(d, p, &all->list[0], g, o, ends);
    for (int i = 0; st == HM_OK && i < ROUNDS * all->n; i++) {
        double seconds;
        double *const own = &least[i % all->n];
        if (time_way(d, p, &all->list[i % all->n], g, o, ends, &seconds) != HM_OK)
            cudaGetLastError(); /* clears it */
        else if (i < all->n || seconds < *own)
            *own = seconds;
    }
    for (int i = 0; st == HM_OK && i < all->n; i++)
        if (least[i] > 0 && least[i] < best) {
            best = least[i];
            p->best = all->list[i];
        }
    hm_cuda_event_free(ends[0]);
    hm_cuda_event_free(ends[1]);
    return st;
}

/* Whether several proposals are worth their time: c must be free to be overwritten, and the stream to be waited for. */
static bool may_race(hm_cuda *d, const hm_cuda_gemm *g) {
    cudaStreamCaptureStatus capture;
    return !g->settled && g->beta == 0 && 2.0 * (double)(g->m * g->n) * (double)(g->k * g->batch) >= WORTH_TRYING &&
           cudaStreamIsCapturing(hm_cuda_stream(d), &capture) == cudaSuccess && capture == cudaStreamCaptureStatusNone;
}

static hm_status prepare(hm_cuda *d, prepared *p, const hm_cuda_gemm *g, const operands *o) {
    const bool racing = may_race(d, g), whole = p->key.with == NOTHING || p->key.align_with > 0;
    const int most = racing ? TRIES : 1;
    ways all = {};
    HM_TRY(describe(p));
    if (whole)
        HM_TRY(add_ways(d->products, p, false, o, most, &all));
    if (all.n == 0 ? p->key.with != NOTHING || g->relu : racing && p->key.with == SUMS)
        HM_TRY(add_ways(d->products, p, true, o, most, &all));
    if (all.n == 0)
        return refused(CUBLAS_STATUS_NOT_SUPPORTED, g);
    p->best = all.list[0];
    return all.n > 1 ? race(d, p, &all, g, o) : HM_OK;
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
    HM_TRY(prepare(d, *out, g, o)); /* on failure the run fails: what was made is lost with the process */
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
    key->g.settled = g->settled;
    key->g.beta = g->beta;
    key->align_a = alignment(o->a, g->lda, g->stride_a, g->type);
    key->align_b = alignment(o->b, g->ldb, g->stride_b, g->type);
    key->align_c = alignment(o->c, g->ldc, g->stride_c, g->out);
    key->align_with = o->with != NULL ? alignment(o->with, 0, 0, g->out) : 0;
    key->with = o->bias != NULL ? BIAS : o->sums != NULL ? SUMS : NOTHING;
}

/* The bias in the type of the result, if there is one; NULL too where it has no room. */
static hm_status typed_bias(hm_cuda *d, const hm_cuda_gemm *g, const void *bias, const void **out) {
    const hm_cuda_caller call = {d};
    void *const room = (char *)d->products->workspace + WORKSPACE;
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
    HM_TRY(typed_bias(d, g, o->bias, &o->with));
    if (o->sums != NULL)
        o->with = o->sums->type == g->out ? o->sums->out : NULL;
    make_key(&key, g, o);
    HM_TRY(find(d, &key, g, o, &p));
    return multiply(d, p, &p->best, g, o);
}

hm_status hm_cuda_gemm_run(hm_cuda *d, const hm_cuda_gemm *g, const void *a, const void *b, const void *bias, void *c) {
    operands o = {a, b, c, bias, NULL, NULL};
    if (g->m == 0 || g->n == 0 || g->batch == 0)
        return HM_OK;
    if (g->k > 0)
        return run(d, g, &o);
    return g->beta != 0 && bias == NULL && !g->relu ? HM_OK : finish_apart(d, g, &o, g->beta != 0);
}

hm_status hm_cuda_gemm_sums(hm_cuda *d, const hm_cuda_gemm *g, const void *a, const void *b, void *c,
                            const hm_cuda_sums *sums) {
    operands o = {a, b, c, NULL, sums, NULL};
    if (g->m > 0 && g->n > 0 && g->k > 0)
        return run(d, g, &o);
    HM_TRY(hm_cuda_gemm_run(d, g, a, b, NULL, c));
    return finish_apart(d, g, &o, false);
}
