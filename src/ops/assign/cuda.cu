/* cuda.cu: assignment on the GPU: the problems of all costs, images and groups in one launch, a block for each. One
 * warp runs the shortest augmenting paths of solver.c with the columns spread over its lanes: up to 320 of them in
 * registers, more in shared memory or the workspace. Doubles are added in the same order and ties fall the same way, so
 * that the matches are the CPU's. Costs are read where they lie, through the caches, or, where targets are the rows,
 * from a transposed copy in the workspace: that lets more problems be resident than copies in shared memory would. */
#include <float.h>

#include "ops/assign/assign.h"
#include "ops/assign/assign_attr.h"
#include "ops/assign/assign_cuda.h"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(assign);

#define THREADS 64
#define NOBODY  -1

struct job {
    hm_in cost[HM_ASSIGN_MOST];
    int *match[HM_ASSIGN_MOST];
    const int *counts;
    char *work;
    size_t spare; /* bytes of the workspace for each problem */
    int BG, G, Q, T;
};

/* ---- one problem's costs */

/* n rows, m columns, n <= m. */
struct matrix {
    int n, m;
    bool turned; /* rows are targets */
    const float *cost;
    int ld;
};

static __device__ float usable(float cost) {
    return fabsf(cost) <= FLT_MAX ? cost : INFINITY;
}

/* to [cols, rows] or, if not `turned`, [rows, cols] = the first `cols` columns of cost [rows, T], in patches of 8 x 8.
 */
static __device__ void stage(float *to, hm_in cost, int64_t first, int rows, int cols, int T, bool turned) {
    const int across = (rows + 7) / 8, patches = across * ((cols + 7) / 8), q = threadIdx.x % 8, t = threadIdx.x / 8;
    for (int patch = 0; patch < patches; patch += 8) {
        float v[8];
#pragma unroll
        for (int k = 0; k < 8; k++) {
            const int i = (patch + k) % across * 8 + q, j = (patch + k) / across * 8 + t;
            v[k] = i < rows && j < cols ? cost[first + (int64_t)i * T + j] : 0;
        }
#pragma unroll
        for (int k = 0; k < 8; k++) {
            const int i = (patch + k) % across * 8 + q, j = (patch + k) / across * 8 + t;
            if (i < rows && j < cols)
                to[turned ? j * rows + i : i * cols + j] = v[k];
        }
    }
}

/* Problem k of a cost; all threads of the block. */
static __device__ matrix open_matrix(const job &j, hm_in cost, int k, float *room) {
    const int count = min(max(j.counts[k / j.G], 0), j.T);
    const int64_t first = (int64_t)k * j.Q * j.T;
    matrix p = {min(j.Q, count), max(j.Q, count), j.Q > count, (const float *)cost.p + first, j.T};
    if (p.turned || cost.type != HM_F32) {
        stage(room, cost, first, j.Q, count, j.T, p.turned);
        __syncthreads();
        p.cost = room;
        p.ld = p.m;
    }
    return p;
}

/* ---- columns in registers */

/* Columns lane, lane + 32, ... of a warp: S in each lane. */
template <int S> struct columns {
    double dist[S];   /* length of the shortest path to it */
    double v[S];      /* dual price */
    int place[S];     /* in solver.c's `open`; SETTLED: no longer there, or no column */
    int row[S];       /* matched with it, or NOBODY */
    unsigned from[S]; /* the row before it on its path | the column through which that was reached + 1 << 16 */
};
#define SETTLED INT32_MAX

/* A column as the end of a path; of equally long ones the least name wins: as in solver.c the last in `open` that is
 * free, else the first. */
struct end {
    double length;
    uint32_t name; /* rank << 10 | its row + 1; ranks: m - place of free columns, MATCHED + place of others */
};
#define MATCHED (1u << 20)

/* Order and equality of finite and infinite numbers other than -0, which sums here never give. */
static __device__ uint64_t ordered(double x) {
    const int64_t bits = __double_as_longlong(x);
    return (uint64_t)(bits ^ (bits >> 63 | INT64_MIN));
}

static __device__ double unordered(uint64_t key) {
    const int64_t bits = (int64_t)key;
    return __longlong_as_double(bits ^ (~bits >> 63 | INT64_MIN));
}

static __device__ end nearest(end own) {
    const uint64_t key = ordered(own.length);
    const uint32_t high = hm_warp_min((uint32_t)(key >> 32));
    const uint32_t low = hm_warp_min((uint32_t)(key >> 32) == high ? (uint32_t)key : UINT32_MAX);
    const uint64_t least = (uint64_t)high << 32 | low;
    return end{unordered(least), hm_warp_min(key == least ? own.name : UINT32_MAX)};
}

/* One relaxation from row i, of price u and reached as `from` says, at path length `base`; the nearest open column. */
template <int S>
static __device__ end relax(columns<S> &c, const matrix &p, int i, double u, unsigned from, double base, int n_open) {
    const float *const cost = p.cost + (int64_t)i * p.ld + threadIdx.x;
    float own[S];
#pragma unroll
    for (int s = 0; s < S; s++)
        own[s] = c.place[s] < n_open ? usable(cost[32 * s]) : INFINITY;
    end best = {INFINITY, UINT32_MAX};
#pragma unroll
    for (int s = 0; s < S; s++) {
        const double d = base + (double)own[s] - u - c.v[s];
        if (d < c.dist[s] && c.place[s] < n_open) {
            c.dist[s] = d;
            c.from[s] = from;
        }
        const bool free = c.row[s] == NOBODY;
        const uint32_t name =
            (free ? (uint32_t)(p.m - c.place[s]) : MATCHED + (uint32_t)c.place[s]) << 10 | (uint32_t)(c.row[s] + 1);
        if (c.place[s] < n_open && (c.dist[s] < best.length || (c.dist[s] == best.length && name < best.name)))
            best = end{c.dist[s], name};
    }
    return nearest(best);
}

/* Takes the column at this place off the open ones, the last of which fills the gap; returns it. */
template <int S> static __device__ int settle(columns<S> &c, int place, int n_open) {
    int own = NOBODY;
#pragma unroll
    for (int s = 0; s < S; s++)
        if (c.place[s] == place) {
            c.place[s] = SETTLED;
            own = threadIdx.x + 32 * s;
        } else if (c.place[s] == n_open - 1)
            c.place[s] = place;
    const unsigned owner = __ballot_sync(0xFFFFFFFFu, own != NOBODY);
    return __shfl_sync(0xFFFFFFFFu, own, __ffs((int)owner) - 1);
}

/* Raises the prices on the search tree of `root`: the rows of the settled columns, but for the free one at its end. */
template <int S> static __device__ void raise_prices(columns<S> &c, double *u, int root, double length) {
#pragma unroll
    for (int s = 0; s < S; s++)
        if (c.place[s] == SETTLED && c.row[s] != NOBODY) {
            const double by = length - c.dist[s];
            u[c.row[s]] += by;
            c.v[s] -= by;
        }
    if (threadIdx.x == 0)
        u[root] += length;
}

/* Flips the path from the root to column j. */
template <int S> static __device__ void augment(columns<S> &c, int j) {
    for (;;) {
        unsigned from = 0;
#pragma unroll
        for (int s = 0; s < S; s++)
            from |= j == (int)threadIdx.x + 32 * s ? c.from[s] : 0;
        from = __shfl_sync(0xFFFFFFFFu, from, j % 32);
#pragma unroll
        for (int s = 0; s < S; s++)
            if (j == (int)threadIdx.x + 32 * s)
                c.row[s] = (int)(from & 0xFFFFu);
        if (from >> 16 == 0)
            return;
        j = (int)(from >> 16) - 1;
    }
}

/* Gives row `root` a column; the row stays alone where no path of finite length ends in a free one. */
template <int S> static __device__ void insert(columns<S> &c, double *u, const matrix &p, int root) {
#pragma unroll
    for (int s = 0; s < S; s++) {
        const int j = threadIdx.x + 32 * s;
        c.place[s] = j < p.m ? p.m - 1 - j : SETTLED;
        c.dist[s] = INFINITY;
    }
    double length = 0;
    int i = root, through = NOBODY;
    for (int n_open = p.m;; n_open--) {
        const end to = relax(c, p, i, u[i], (unsigned)i | (unsigned)(through + 1) << 16, length, n_open);
        if (!(to.length < INFINITY))
            return;
        const uint32_t rank = to.name >> 10;
        through = settle(c, rank < MATCHED ? p.m - (int)rank : (int)(rank - MATCHED), n_open);
        length = to.length;
        if (rank < MATCHED)
            break;
        i = (int)(to.name & 1023) - 1;
    }
    raise_prices(c, u, root, length);
    augment(c, through);
    __syncwarp();
}

/* match [Q]; one warp. u, row: room in shared memory. */
template <int S> static __device__ void solve(int *match, const matrix &p, int Q, double *u, int *row) {
    columns<S> c;
#pragma unroll
    for (int s = 0; s < S; s++) {
        c.v[s] = 0;
        c.row[s] = NOBODY;
        c.from[s] = 0;
        u[threadIdx.x + 32 * s] = 0;
        row[threadIdx.x + 32 * s] = NOBODY;
    }
    __syncwarp();
    for (int i = 0; i < p.n; i++)
        insert(c, u, p, i);
#pragma unroll
    for (int s = 0; s < S; s++) {
        const int j = threadIdx.x + 32 * s;
        if (p.turned && j < Q)
            match[j] = c.row[s];
        else if (!p.turned && c.row[s] != NOBODY)
            row[c.row[s]] = j;
    }
    __syncwarp();
    for (int q = threadIdx.x; !p.turned && q < Q; q += 32)
        match[q] = row[q];
}

template <int S> static __global__ void __launch_bounds__(THREADS, 8) assign_in_registers(job j) {
    __shared__ double u[32 * S];
    __shared__ int row[32 * S];
    const int which = blockIdx.x / j.BG, k = blockIdx.x % j.BG;
    const matrix p = open_matrix(j, j.cost[which], k, (float *)(j.work + blockIdx.x * j.spare));
    if (threadIdx.x < 32)
        solve<S>(j.match[which] + (int64_t)k * j.Q, p, j.Q, u, row);
}

/* ---- columns in memory */

struct problem {
    matrix x;
    double *u, *v; /* [n], [m] dual prices */
    double *dist;  /* [m] length of the shortest path to a column */
    int *from;     /* [m] the row before a column on its path */
    int *row4col;  /* [m] */
    int *open;     /* [m] columns; those not yet reached for good are the first n_open */
    int *place;    /* [m] of a column in `open` */
    int *col4row;  /* [n] */
};

static __device__ problem open_problem(void *state, const matrix &x) {
    problem p;
    p.x = x;
    p.u = (double *)state;
    p.v = p.u + x.n;
    p.dist = p.v + x.m;
    p.from = (int *)(p.dist + x.m);
    p.row4col = p.from + x.m;
    p.open = p.row4col + x.m;
    p.place = p.open + x.m;
    p.col4row = p.place + x.m;
    return p;
}

/* A column as the end of a path. Of equally long ones solver.c takes the last in `open` that is free, else the first.
 */
struct reached {
    double length;
    int rank; /* the lower the better: free ones m - place, the others TAKEN + place */
};
#define TAKEN (1 << 30)

static __device__ reached better(reached a, reached b) {
    return b.length < a.length || (b.length == a.length && b.rank < a.rank) ? b : a;
}

/* One relaxation from row i at path length `base`; the nearest open column. */
static __device__ reached relax(const problem &p, int i, double base, int n_open) {
    const float *const cost = p.x.cost + (int64_t)i * p.x.ld;
    const double price = p.u[i];
    reached best = {INFINITY, INT32_MAX};
    for (int j = threadIdx.x; j < p.x.m; j += 32) {
        const int place = p.place[j];
        if (place >= n_open)
            continue;
        const double before = p.dist[j], d = base + (double)usable(cost[j]) - price - p.v[j];
        if (d < before) {
            p.dist[j] = d;
            p.from[j] = i;
        }
        const reached here = {d < before ? d : before, p.row4col[j] < 0 ? p.x.m - place : TAKEN + place};
        best = better(best, here);
    }
    for (int lane = 16; lane > 0; lane >>= 1) {
        const reached other = {__shfl_xor_sync(0xFFFFFFFFu, best.length, lane),
                               __shfl_xor_sync(0xFFFFFFFFu, best.rank, lane)};
        best = better(best, other);
    }
    return best;
}

/* Raises the prices on the search tree of `root`: the rows of the settled columns, all but the last. */
static __device__ void raise_prices(const problem &p, int root, int end, int n_open, double length) {
    for (int j = threadIdx.x; j < p.x.m; j += 32)
        if (p.place[j] >= n_open && j != end) {
            const double by = length - p.dist[j];
            p.u[p.row4col[j]] += by;
            p.v[j] -= by;
        }
    if (threadIdx.x == 0)
        p.u[root] += length;
}

/* Flips the path from `root` to column j. */
static __device__ void augment(const problem &p, int root, int j) {
    for (int i = NOBODY; i != root;) {
        i = p.from[j];
        p.row4col[j] = i;
        const int next = p.col4row[i];
        p.col4row[i] = j;
        j = next;
    }
}

/* Moves the column at this place behind the open ones, the last of which fills the gap; returns it. */
static __device__ int settle(const problem &p, int place, int n_open) {
    const int j = p.open[place], last = p.open[n_open - 1];
    __syncwarp();
    if (threadIdx.x == 0) {
        p.open[place] = last;
        p.open[n_open - 1] = j;
        p.place[last] = place;
        p.place[j] = n_open - 1;
    }
    __syncwarp();
    return j;
}

/* Gives row `root` a column; the row stays alone where no path of finite length ends in a free one. */
static __device__ void insert(const problem &p, int root) {
    for (int j = threadIdx.x; j < p.x.m; j += 32) {
        p.place[j] = p.x.m - 1 - j;
        p.open[p.x.m - 1 - j] = j;
        p.dist[j] = INFINITY;
    }
    __syncwarp();
    double length = 0;
    int i = root;
    for (int n_open = p.x.m;;) {
        const reached to = relax(p, i, length, n_open);
        if (!(to.length < INFINITY))
            return;
        const bool taken = to.rank >= TAKEN;
        const int j = settle(p, taken ? to.rank - TAKEN : p.x.m - to.rank, n_open--);
        length = to.length;
        if (!taken) {
            raise_prices(p, root, j, n_open, length);
            __syncwarp();
            if (threadIdx.x == 0)
                augment(p, root, j);
            __syncwarp();
            return;
        }
        i = p.row4col[j];
    }
}

/* One warp. */
static __device__ void solve(const problem &p) {
    for (int j = threadIdx.x; j < p.x.m; j += 32) {
        p.v[j] = 0;
        p.row4col[j] = NOBODY;
    }
    for (int i = threadIdx.x; i < p.x.n; i += 32) {
        p.u[i] = 0;
        p.col4row[i] = NOBODY;
    }
    __syncwarp();
    for (int i = 0; i < p.x.n; i++)
        insert(p, i);
}

static __global__ void assign_in_memory(job j, bool shared_state) {
    HM_DYNAMIC_SHARED(char, shared);
    const int which = blockIdx.x / j.BG, k = blockIdx.x % j.BG;
    char *const own = j.work + blockIdx.x * j.spare;
    const matrix x = open_matrix(j, j.cost[which], k, (float *)own);
    if (threadIdx.x >= 32)
        return;
    const problem p = open_problem(shared_state ? shared : own + (sizeof(float) * j.Q * j.T + 7) / 8 * 8, x);
    solve(p);
    const int *const answer = x.turned ? p.row4col : p.col4row;
    for (int q = threadIdx.x; q < j.Q; q += 32)
        j.match[which][(int64_t)k * j.Q + q] = answer[q];
}

/* ---- host side */

hm_status assign_cuda(const hm_call *c) {
    const hm_node *const n = c->node;
    const int G = ((const hm_assign_attr *)n->attr)->groups;
    const int64_t BG = hm_dim(n->in[0], 0) * G, Q = hm_dim(n->in[0], 1) / G, T = hm_dim(n->in[0], 2);
    const size_t room = hm_assign_cuda_room(Q, T);
    job j;
    for (int i = 0; i < n->n_out; i++) {
        j.cost[i] = hm_input(c, i);
        j.match[i] = (int *)c->out[i];
    }
    j.counts = (const int *)c->in[n->n_in - 1];
    j.work = (char *)c->work;
    j.spare = hm_assign_cuda_spare(Q, T);
    j.BG = (int)BG;
    j.G = G;
    j.Q = (int)Q;
    j.T = (int)T;
    const unsigned blocks = (unsigned)(n->n_out * BG);
    if (!hm_assign_in_registers(Q, T))
        HM_LAUNCH(c, assign_in_memory, blocks, THREADS, room, j, room > 0);
    else if (Q <= 128 && T <= 128)
        HM_LAUNCH(c, assign_in_registers<4>, blocks, THREADS, 0, j);
    else
        HM_LAUNCH(c, assign_in_registers<HM_ASSIGN_COLUMNS / 32>, blocks, THREADS, 0, j);
    return HM_OK;
}
