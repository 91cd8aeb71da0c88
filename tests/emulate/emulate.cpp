/* emulate.cpp: fibers for threads, and a runtime whose streams do their work at once. Barriers that not every thread
 * reaches, which hang or corrupt on a GPU, end the process with a message. */
#include "cuda_runtime.h"

#include <chrono>
#include <cstdlib>
#include <queue>
#include <string>
#include <sys/mman.h>
#include <unordered_map>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

/* ---- fibers */

enum fiber_state { READY, AT_BLOCK, AT_WARP, DONE };
static const size_t STACK = 256 << 10;

struct fiber {
    void *sp;
    char *stack;
    fiber_state state;
    unsigned mask; /* of the warp barrier it waits at */
    uint3 index;
    void *fake; /* AddressSanitizer's */
};

static std::vector<fiber> fibers;
static void *scheduler_sp;
#if SANITIZED
static void *scheduler_fake;
static const void *scheduler_stack;
static size_t scheduler_size;
#endif
static int current, count_;
static const std::function<void()> *work;
static std::vector<char> *dynamic_shared;
static uint64_t lanes[32][2][32]; /* by warp, by turn, by lane */
static int turn[1024];
static long block_votes[3]; /* any, all, count of the last block barrier with a vote */
static long votes_any, votes_all, votes_count;

extern "C" void hm_emulate_switch(void **save, void *load);
asm(R"(
.text
.globl hm_emulate_switch
.type hm_emulate_switch,@function
hm_emulate_switch:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    ret
.size hm_emulate_switch,.-hm_emulate_switch
.section .note.GNU-stack,"",@progbits
.text
)");

static void bug(const char *what) {
    fprintf(stderr, "emulated kernel: block (%u, %u, %u): %s\n", blockIdx.x, blockIdx.y, blockIdx.z, what);
    abort();
}

static void to_scheduler(bool last) {
    fiber &f = fibers[(size_t)current];
#if SANITIZED
    __sanitizer_start_switch_fiber(last ? nullptr : &f.fake, scheduler_stack, scheduler_size);
#else
    (void)last;
#endif
    hm_emulate_switch(&f.sp, scheduler_sp);
#if SANITIZED
    __sanitizer_finish_switch_fiber(f.fake, &scheduler_stack, &scheduler_size);
#endif
}

static void enter(void) {
#if SANITIZED
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    (*work)();
    fibers[(size_t)current].state = DONE;
    to_scheduler(true);
    bug("a finished thread went on");
}

static void prepare(fiber &f) {
    if (f.stack == nullptr)
        f.stack = (char *)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void **sp = (void **)(f.stack + STACK - 64);
    *--sp = nullptr;        /* as after a call: the stack is 8 off 16 */
    *--sp = (void *)&enter; /* returned to */
    for (int i = 0; i < 6; i++)
        *--sp = nullptr;
    f.sp = sp;
    f.state = READY;
    f.fake = nullptr;
}

static void resume(int i) {
    fiber &f = fibers[(size_t)i];
    current = i;
    threadIdx = f.index;
#if SANITIZED
    __sanitizer_start_switch_fiber(&scheduler_fake, f.stack, STACK);
#endif
    hm_emulate_switch(&scheduler_sp, f.sp);
#if SANITIZED
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
}

/* Lets a warp go on when everyone of the mask who is still there waits for it. */
static bool release_warp(int warp) {
    const int first = warp * 32, end = std::min(first + 32, count_);
    for (int i = first; i < end; i++) {
        if (fibers[(size_t)i].state != AT_WARP)
            continue;
        const unsigned mask = fibers[(size_t)i].mask;
        bool all = true;
        for (int j = first; j < end; j++)
            if (mask >> (j - first) & 1u)
                all = all && (fibers[(size_t)j].state == DONE ||
                              (fibers[(size_t)j].state == AT_WARP && fibers[(size_t)j].mask == mask));
        if (!all)
            continue;
        for (int j = first; j < end; j++)
            if ((mask >> (j - first) & 1u) && fibers[(size_t)j].state == AT_WARP)
                fibers[(size_t)j].state = READY;
        return true;
    }
    return false;
}

static bool release_block(void) {
    int waiting = 0, done = 0;
    for (int i = 0; i < count_; i++) {
        waiting += fibers[(size_t)i].state == AT_BLOCK;
        done += fibers[(size_t)i].state == DONE;
    }
    if (waiting == 0 || waiting + done < count_)
        return false;
    if (done > 0)
        bug("__syncthreads, but some threads have returned");
    for (int i = 0; i < count_; i++)
        fibers[(size_t)i].state = READY;
    block_votes[0] = votes_any;
    block_votes[1] = votes_all;
    block_votes[2] = votes_count;
    votes_any = votes_count = 0;
    votes_all = 1;
    return true;
}

static void run_block(void) {
    int done = 0;
    votes_any = votes_count = 0;
    votes_all = 1;
    for (int i = 0; i < count_; i++)
        prepare(fibers[(size_t)i]);
    memset(turn, 0, sizeof turn);
    while (done < count_) {
        bool moved = false;
        for (int i = 0; i < count_; i++)
            if (fibers[(size_t)i].state == READY) {
                resume(i);
                done += fibers[(size_t)i].state == DONE;
                moved = true;
            }
        for (int w = 0; w * 32 < count_; w++)
            while (release_warp(w))
                moved = true;
        moved = release_block() || moved;
        if (!moved && done < count_)
            bug("threads wait at different barriers");
    }
}

void hm_emulate_run(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread) {
    count_ = (int)(block.x * block.y * block.z);
    if (count_ < 1 || count_ > 1024 || grid.y > 65535 || grid.z > 65535)
        bug("launched with a block or grid of a size that no GPU has");
    if (shared > 227 * 1024)
        bug("asks for more dynamic shared memory than any GPU has");
    if (fibers.size() < (size_t)count_)
        fibers.resize((size_t)count_);
    work = &thread;
    blockDim = block;
    gridDim = grid;
    for (unsigned i = 0; i < (unsigned)count_; i++)
        fibers[i].index = uint3{i % block.x, i / block.x % block.y, i / block.x / block.y};
    for (blockIdx.z = 0; blockIdx.z < grid.z; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < grid.y; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < grid.x; blockIdx.x++) {
                std::vector<char> memory(shared, (char)0xFF); /* NaN until written; its end is guarded under ASan */
                dynamic_shared = &memory;
                run_block();
            }
}

void *hm_emulate_shared(void) {
    return dynamic_shared->data();
}

/* ---- barriers */

void __syncthreads(void) {
    fibers[(size_t)current].state = AT_BLOCK;
    to_scheduler(false);
}

static long vote(int v, int which) {
    votes_any |= v != 0;
    votes_all &= v != 0;
    votes_count += v != 0;
    __syncthreads();
    return block_votes[which];
}
int __syncthreads_or(int v) {
    return (int)vote(v, 0);
}
int __syncthreads_and(int v) {
    return (int)vote(v, 1);
}
int __syncthreads_count(int v) {
    return (int)vote(v, 2);
}

void __syncwarp(unsigned mask) {
    fiber &f = fibers[(size_t)current];
    f.state = AT_WARP;
    f.mask = mask;
    to_scheduler(false);
}

unsigned hm_emulate_present(unsigned mask) {
    const int first = current / 32 * 32;
    unsigned there = 0;
    for (int i = first; i < std::min(first + 32, count_); i++)
        if (fibers[(size_t)i].state != DONE)
            there |= 1u << (i - first);
    return there & mask;
}

unsigned __activemask(void) {
    return 1u << (current % 32); /* one fiber at a time */
}

const uint64_t *hm_emulate_exchange(unsigned mask, uint64_t mine) {
    const int warp = current / 32, lane = current % 32, t = turn[current] & 1;
    if (!(mask >> lane & 1u))
        bug("a warp function's mask leaves out the thread that calls it");
    lanes[warp][t][lane] = mine;
    turn[current]++;
    __syncwarp(mask);
    return lanes[warp][t];
}

unsigned __ballot_sync(unsigned mask, int v) {
    const unsigned present = hm_emulate_present(mask);
    const uint64_t *const all = hm_emulate_exchange(mask, v != 0);
    unsigned r = 0;
    for (int i = 0; i < 32; i++)
        if (present >> i & 1u)
            r |= (unsigned)(all[i] != 0) << i;
    return r;
}

/* ---- runtime */

static const size_t MEMORY = (size_t)16 << 30; /* of the device */

struct hm_emulate_graph_node {
    std::function<void()> work;
    std::vector<size_t> after; /* places of others in the graph */
};
struct hm_emulate_graph {
    std::vector<hm_emulate_graph_node> nodes;
};
/* With a graph under capture, and the places that the next node follows: handles of nodes are their places plus 1. */
struct hm_emulate_stream {
    hm_emulate_graph *recording;
    std::vector<cudaGraphNode_t> now;
};
struct hm_emulate_event {
    std::chrono::steady_clock::time_point at;
};

void hm_emulate_enqueue(cudaStream_t s, std::function<void()> what) {
    if (s->recording == nullptr) {
        what();
        return;
    }
    hm_emulate_graph_node n{std::move(what), {}};
    for (cudaGraphNode_t place : s->now)
        n.after.push_back((size_t)place - 1);
    s->recording->nodes.push_back(std::move(n));
    s->now = {(cudaGraphNode_t)s->recording->nodes.size()};
}

cudaError_t cudaGetDeviceCount(int *n) {
    *n = 1;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int) {
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int) {
    snprintf(p->name, sizeof p->name, "emulated GPU");
    p->major = 9;
    p->minor = 0;
    p->multiProcessorCount = 2;
    p->totalGlobalMem = MEMORY;
    return cudaSuccess;
}
static size_t taken;
static std::unordered_map<void *, size_t> size_of; /* of what cudaMalloc gave */

cudaError_t cudaMemGetInfo(size_t *left, size_t *all) {
    *all = MEMORY;
    *left = MEMORY - taken;
    return cudaSuccess;
}
cudaError_t cudaMalloc(void **p, size_t bytes) {
    if (bytes > MEMORY - taken || posix_memalign(p, 256, bytes) != 0)
        return cudaErrorMemoryAllocation;
    size_of[*p] = bytes;
    taken += bytes;
    return cudaSuccess;
}
cudaError_t cudaFree(void *p) {
    taken -= size_of[p];
    size_of.erase(p);
    free(p);
    return cudaSuccess;
}
cudaError_t cudaMallocHost(void **p, size_t bytes) {
    return posix_memalign(p, 256, bytes) == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void *p) {
    free(p);
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void *p, int byte, size_t bytes, cudaStream_t s) {
    hm_emulate_enqueue(s, [=]() { memset(p, byte, bytes); });
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind, cudaStream_t s) {
    hm_emulate_enqueue(s, [=]() { memmove(to, from, bytes); });
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned) {
    *s = new hm_emulate_stream{nullptr, {}};
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s) {
    return s->recording == nullptr ? cudaSuccess : cudaErrorInvalidValue; /* as in a capture */
}
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) {
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) {
    *e = new hm_emulate_event{};
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned) {
    return cudaEventCreate(e);
}
cudaError_t cudaEventDestroy(cudaEvent_t e) {
    delete e;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t) {
    e->at = std::chrono::steady_clock::now();
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t) {
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to) {
    *ms = std::chrono::duration<float, std::milli>(to->at - from->at).count();
    return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t s, int) {
    s->recording = new hm_emulate_graph;
    s->now.clear();
    return cudaSuccess;
}
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t *list, const cudaGraphEdgeData *,
                                                size_t n, unsigned) {
    s->now.assign(list, list + n);
    return cudaSuccess;
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus *, unsigned long long *, cudaGraph_t *,
                                     const cudaGraphNode_t **list, const cudaGraphEdgeData **, size_t *n) {
    *list = s->now.data();
    *n = s->now.size();
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g) {
    *g = s->recording;
    s->recording = nullptr;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *e, cudaGraph_t g, unsigned long long) {
    *e = new hm_emulate_graph(*g);
    return cudaSuccess;
}
/* Of the nodes that may run the one captured last goes first, so that a dependency that is missing shows. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t) {
    std::vector<std::vector<size_t>> next(e->nodes.size());
    std::vector<size_t> open(e->nodes.size());
    std::priority_queue<size_t> ready;
    for (size_t i = 0; i < e->nodes.size(); i++) {
        for (size_t before : e->nodes[i].after)
            next[before].push_back(i);
        open[i] = e->nodes[i].after.size();
        if (open[i] == 0)
            ready.push(i);
    }
    while (!ready.empty()) {
        const size_t i = ready.top();
        ready.pop();
        e->nodes[i].work();
        for (size_t k : next[i])
            if (--open[k] == 0)
                ready.push(k);
    }
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t g) {
    delete g;
    return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) {
    delete e;
    return cudaSuccess;
}
cudaError_t cudaGetLastError(void) {
    return cudaSuccess;
}
const char *cudaGetErrorString(cudaError_t e) {
    return e == cudaErrorMemoryAllocation ? "out of memory" : "invalid value";
}
const char *cudaGetErrorName(cudaError_t e) {
    return cudaGetErrorString(e);
}
