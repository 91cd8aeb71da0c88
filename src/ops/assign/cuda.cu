/* cuda.cu: assignment on the GPU: a block for each image and group. The block stages the problem's valid costs,
 * targets turned into rows where they are fewer than queries; one warp then runs the shortest augmenting paths of
 * solver.c with the columns spread over its lanes. Doubles are added in the same order and ties fall the same way, so
 * that the matches are the CPU's. Costs and prices lie in shared memory where they fit, else in the workspace. */
#include <float.h>

#include "ops/assign/assign_attr.h"
#include "ops/assign/assign_cuda.h"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(assign);

#define THREADS 128
#define NOBODY  -1

/* n rows, m columns, n <= m. */
struct problem {
    int n, m;
    const float *cost; /* [n, m]; infinite: not to be used */
    double *u, *v;     /* [n], [m] dual prices */
    double *dist;      /* [m] length of the shortest path to a column */
    int *from;         /* [m] the row before a column on its path */
    int *row4col;      /* [m] */
    int *open;         /* [m] columns; those not yet reached for good are the first n_open */
    int *place;        /* [m] of a column in `open` */
    int *col4row;      /* [n] */
};

static __device__ problem open_problem(void *state, const float *cost, int n, int m) {
    problem p;
    p.n = n;
    p.m = m;
    p.cost = cost;
    p.u = (double *)state;
    p.v = p.u + n;
    p.dist = p.v + m;
    p.from = (int *)(p.dist + m);
    p.row4col = p.from + m;
    p.open = p.row4col + m;
    p.place = p.open + m;
    p.col4row = p.place + m;
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
    const float *const cost = p.cost + (int64_t)i * p.m;
    const double price = p.u[i];
    reached best = {INFINITY, INT32_MAX};
    for (int j = threadIdx.x; j < p.m; j += 32) {
        const int place = p.place[j];
        if (place >= n_open)
            continue;
        const double before = p.dist[j], d = base + (double)cost[j] - price - p.v[j];
        if (d < before) {
            p.dist[j] = d;
            p.from[j] = i;
        }
        const reached here = {d < before ? d : before, p.row4col[j] < 0 ? p.m - place : TAKEN + place};
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
    for (int j = threadIdx.x; j < p.m; j += 32)
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
    for (int j = threadIdx.x; j < p.m; j += 32) {
        p.place[j] = p.m - 1 - j;
        p.open[p.m - 1 - j] = j;
        p.dist[j] = INFINITY;
    }
    __syncwarp();
    double length = 0;
    int i = root;
    for (int n_open = p.m;;) {
        const reached to = relax(p, i, length, n_open);
        if (!(to.length < INFINITY))
            return;
        const bool taken = to.rank >= TAKEN;
        const int j = settle(p, taken ? to.rank - TAKEN : p.m - to.rank, n_open--);
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
    for (int j = threadIdx.x; j < p.m; j += 32) {
        p.v[j] = 0;
        p.row4col[j] = NOBODY;
    }
    for (int i = threadIdx.x; i < p.n; i += 32) {
        p.u[i] = 0;
        p.col4row[i] = NOBODY;
    }
    __syncwarp();
    for (int i = 0; i < p.n; i++)
        insert(p, i);
}

/* to [n, m] = the first `cols` columns of cost [rows, T], or their transpose. */
static __device__ void stage(float *to, hm_in cost, int64_t first, int rows, int cols, int T, bool turned) {
    for (int e = threadIdx.x; e < rows * cols; e += THREADS) {
        const int i = e / cols, j = e - i * cols;
        const float c = cost[first + (int64_t)i * T + j];
        to[turned ? j * rows + i : e] = fabsf(c) <= FLT_MAX ? c : INFINITY;
    }
}

/* match [B*G, Q], cost [B*G, Q, T]; `room` bytes of shared memory, `spare` bytes of the workspace for each problem. */
static __global__ void assign_all(int *match, char *work, hm_in cost, const int *counts, int G, int Q, int T, int room,
                                  size_t spare) {
    HM_DYNAMIC_SHARED(char, shared);
    const int64_t k = blockIdx.x;
    const int count = min(max(counts[k / G], 0), T), n = min(Q, count), m = max(Q, count);
    const bool turned = Q > count;
    const size_t state = hm_assign_state(n, m), costs = sizeof(float) * n * m;
    const bool state_fits = state <= (size_t)room, costs_fit = state_fits && state + costs <= (size_t)room;
    char *const own = work + (size_t)k * spare;
    float *const staged = (float *)(costs_fit ? shared + state : own);
    stage(staged, cost, k * Q * T, Q, count, T, turned);
    __syncthreads();
    if (threadIdx.x >= 32)
        return;
    char *const at = state_fits ? shared : own + (sizeof(float) * Q * T + 7) / 8 * 8;
    const problem p = open_problem(at, staged, n, m);
    solve(p);
    const int *const answer = turned ? p.row4col : p.col4row;
    for (int q = threadIdx.x; q < Q; q += 32)
        match[k * Q + q] = answer[q];
}

hm_status assign_cuda(const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_assign_attr *const a = (const hm_assign_attr *)n->attr;
    const int64_t B = hm_dim(n->in[0], 0), Q = hm_dim(n->in[0], 1) / a->groups, T = hm_dim(n->in[0], 2);
    HM_LAUNCH(c, assign_all, (unsigned)(B * a->groups), THREADS, (size_t)hm_assign_cuda_room(Q, T), (int *)c->out[0],
              (char *)c->work, hm_input(c, 0), (const int *)c->in[1], a->groups, (int)Q, (int)T,
              hm_assign_cuda_room(Q, T), hm_assign_cuda_spare(Q, T));
    return HM_OK;
}
