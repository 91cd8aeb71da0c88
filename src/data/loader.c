/* loader.c: worker threads fill a ring of batches, one picture a job, in order of position. Back-pressure: a job waits
 * until its batch's place in the ring has been handed back. All state below `mutex` is guarded by it; pixels are
 * written outside, each row by the one worker that took its job. */
#include "data/loader.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"

#define MAX_THREADS 256
#define MIN_STEPS   5 /* optimizer steps of an epoch, at least (upstream's _MIN_TRAIN_BATCHES) */

typedef struct slot {
    hm_batch batch;
    int32_t left;    /* rows that are not filled yet */
    int32_t bad_row; /* first row that failed, with: */
    hm_status status;
    char *message;
} slot;

struct hm_loader {
    const hm_dataset *d;
    hm_loader_options o;
    size_t length;   /* positions of an epoch, all ranks together */
    size_t mine;     /* of them this rank's */
    int64_t batches; /* of this rank */
    uint32_t *order; /* [length] item at each position of the current epoch */
    slot *ring;      /* [o.ahead] batch k lives in ring[k % o.ahead] */
    pthread_t *threads;
    int32_t n_threads; /* that were started */

    pthread_mutex_t mutex;
    pthread_cond_t work, ready; /* a job may have become possible; a batch may have been completed */
    int64_t epoch;
    int64_t job;    /* next of this rank's positions to be filled */
    int64_t next;   /* next batch to hand out */
    int64_t freed;  /* batches whose place may be used again: `next`, or next - 1 while the caller holds one */
    int32_t active; /* workers inside a job */
    bool quit;
};

static int64_t batch_of(const hm_loader *l, int64_t job) {
    return job / l->o.batch;
}

static bool job_possible(const hm_loader *l) {
    return l->job < (int64_t)l->mine && batch_of(l, l->job) < l->freed + l->o.ahead;
}

static int32_t rows_of(const hm_loader *l, int64_t batch) {
    const int64_t rest = (int64_t)l->mine - batch * l->o.batch;
    return (int32_t)(rest < l->o.batch ? rest : l->o.batch);
}

/* Batches of one optimizer step, on every rank, have one size. */
static void draw_size(const hm_loader *l, hm_batch *batch) {
    char stream[64];
    if (l->o.n_sides == 0)
        return;
    snprintf(stream, sizeof stream, "size.%lld", (long long)batch->epoch);
    const uint64_t bits = hm_rng_bits(hm_rng_key(l->o.seed, stream), (uint64_t)(batch->index / l->o.accumulate));
    const int32_t side = l->o.sides[bits % (uint64_t)l->o.n_sides];
    hm_batch_resize(batch, side, side);
}

static void slot_reset(hm_loader *l, int64_t batch) {
    slot *const s = &l->ring[batch % l->o.ahead];
    free(s->message);
    s->message = NULL;
    s->status = HM_OK;
    s->left = batch < l->batches ? rows_of(l, batch) : 0;
    s->batch.epoch = l->epoch;
    s->batch.index = batch;
    draw_size(l, &s->batch);
    hm_batch_clear(&s->batch, s->left);
}

/* Fills the row of one job; called without the mutex. */
static hm_status run_job(hm_loader *l, int64_t epoch, int64_t job, slot *s) {
    const hm_augment none = {false, false};
    const size_t position = (size_t)job * (size_t)l->o.ranks + (size_t)l->o.rank;
    char stream[64];
    snprintf(stream, sizeof stream, "augment.%lld.%zu", (long long)epoch, position);
    return hm_batch_fill(&s->batch, (int32_t)(job % l->o.batch), l->d, l->order[position],
                         l->o.train ? l->o.augment : none, hm_rng_key(l->o.seed, stream));
}

/* Keeps the failure of the batch's first bad row, whichever worker was faster. */
static void record_failure(slot *s, int32_t row, hm_status st, char *message) {
    if (s->status != HM_OK && s->bad_row < row) {
        free(message);
        return;
    }
    free(s->message);
    s->message = message;
    s->status = st;
    s->bad_row = row;
}

static void *worker(void *arg) {
    hm_loader *const l = arg;
    pthread_mutex_lock(&l->mutex);
    while (!l->quit) {
        if (!job_possible(l)) {
            pthread_cond_wait(&l->work, &l->mutex);
            continue;
        }
        const int64_t job = l->job++, epoch = l->epoch;
        slot *const s = &l->ring[batch_of(l, job) % l->o.ahead];
        l->active++;
        pthread_mutex_unlock(&l->mutex);
        const hm_status st = run_job(l, epoch, job, s);
        char *const message = st != HM_OK ? strdup(hm_error_message()) : NULL;
        pthread_mutex_lock(&l->mutex);
        l->active--;
        if (st != HM_OK)
            record_failure(s, (int32_t)(job % l->o.batch), st, message);
        if (--s->left == 0 || l->active == 0)
            pthread_cond_broadcast(&l->ready);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* order[i] for i < length: the items, in training padded by repeats and shuffled. */
static void make_order(hm_loader *l, int64_t epoch) {
    const size_t n = l->d->n_items;
    const uint64_t repeats = hm_rng_key(l->o.seed, "repeat");
    char stream[64];
    for (size_t i = 0; i < l->length; i++)
        l->order[i] = (uint32_t)(i < n ? i : hm_rng_bits(repeats, i - n) % n);
    if (!l->o.train)
        return;
    snprintf(stream, sizeof stream, "shuffle.%lld", (long long)epoch);
    const uint64_t key = hm_rng_key(l->o.seed, stream);
    for (size_t i = l->length - 1; i > 0; i--) {
        const size_t k = (size_t)(hm_rng_bits(key, i) % (i + 1));
        const uint32_t t = l->order[i];
        l->order[i] = l->order[k];
        l->order[k] = t;
    }
}

/* Stops handing out jobs and waits for those under way; leaves with the mutex locked. */
static void lock_idle(hm_loader *l) {
    pthread_mutex_lock(&l->mutex);
    l->job = (int64_t)l->mine;
    while (l->active > 0)
        pthread_cond_wait(&l->ready, &l->mutex);
}

hm_status hm_loader_epoch(hm_loader *l, int64_t epoch, int64_t first) {
    if (epoch < 0 || first < 0 || first > l->batches)
        HM_FAIL(HM_ERR_ARG, "cannot start at batch %lld of epoch %lld; an epoch has %lld batches", (long long)first,
                (long long)epoch, (long long)l->batches);
    lock_idle(l);
    make_order(l, epoch);
    l->epoch = epoch;
    l->next = l->freed = first;
    for (int64_t k = first; k < first + l->o.ahead; k++)
        slot_reset(l, k);
    l->job = first < l->batches ? first * l->o.batch : (int64_t)l->mine;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    return HM_OK;
}

hm_status hm_loader_next(hm_loader *l, const hm_batch **batch) {
    hm_status st = HM_OK;
    *batch = NULL;
    pthread_mutex_lock(&l->mutex);
    if (l->freed < l->next) { /* the caller is done with the batch it got last */
        slot_reset(l, l->freed + l->o.ahead);
        l->freed = l->next;
        pthread_cond_broadcast(&l->work);
    }
    if (l->next < l->batches) {
        slot *const s = &l->ring[l->next % l->o.ahead];
        while (s->left > 0)
            pthread_cond_wait(&l->ready, &l->mutex);
        l->next++;
        if (s->status != HM_OK)
            st = hm_fail(s->status, "%s", s->message ? s->message : "a picture could not be loaded: out of memory");
        else
            *batch = &s->batch;
    }
    pthread_mutex_unlock(&l->mutex);
    return st;
}

int64_t hm_loader_batches(const hm_loader *l) {
    return l->batches;
}

int32_t hm_loader_targets(const hm_loader *l) {
    return l->ring[0].batch.t;
}

void hm_loader_free(hm_loader *l) {
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->mutex);
    l->quit = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mutex);
    for (int32_t i = 0; i < l->n_threads; i++)
        pthread_join(l->threads[i], NULL);
    for (int32_t k = 0; l->ring != NULL && k < l->o.ahead; k++) {
        hm_batch_free(&l->ring[k].batch);
        free(l->ring[k].message);
    }
    pthread_cond_destroy(&l->ready);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->mutex);
    free(l->threads);
    free(l->ring);
    free(l->order);
    free(l);
}

/* Fills in defaults; refuses what cannot work. */
static hm_status complete_options(hm_loader_options *o, const hm_dataset *d) {
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    o->accumulate = o->accumulate == 0 ? 1 : o->accumulate;
    o->ranks = o->ranks == 0 ? 1 : o->ranks;
    o->ahead = o->ahead == 0 ? HM_LOADER_AHEAD : o->ahead;
    if (o->n_sides > 0)
        o->h = o->w = o->sides[o->n_sides - 1];
    if (o->threads == 0)
        o->threads = processors < 1 ? 1 : processors > 8 ? 8 : (int32_t)processors;
    if (o->batch < 1 || o->batch > 65536 || o->accumulate < 1 || o->accumulate > 65536)
        HM_FAIL(HM_ERR_ARG, "batch size %d and %d accumulated batches: both must be 1 to 65536", (int)o->batch,
                (int)o->accumulate);
    if (o->threads < 1 || o->threads > MAX_THREADS || o->ahead < 1 || o->ahead > 1024)
        HM_FAIL(HM_ERR_ARG, "%d loader threads, %d batches ahead: use 1 to %d threads and 1 to 1024 batches",
                (int)o->threads, (int)o->ahead, MAX_THREADS);
    if (o->ranks < 1 || o->ranks > 65536 || o->rank < 0 || o->rank >= o->ranks)
        HM_FAIL(HM_ERR_ARG, "rank %d of %d does not exist", (int)o->rank, (int)o->ranks);
    const int32_t most = d->max_objects > INT32_MAX ? INT32_MAX : (int32_t)d->max_objects;
    if (o->targets == 0)
        o->targets = most > 1 ? most : 1;
    if (o->targets < most)
        HM_FAIL(HM_ERR_ARG, "%s: a picture has %d objects, more than the capacity of %d; raise it", d->coco.path,
                (int)most, (int)o->targets);
    return HM_OK;
}

static hm_status set_length(hm_loader *l) {
    const size_t unit = (size_t)l->o.batch * (size_t)l->o.accumulate * (size_t)l->o.ranks;
    const size_t ranks = (size_t)l->o.ranks, rank = (size_t)l->o.rank;
    l->length = l->d->n_items;
    if (l->o.train) {
        const size_t least = unit * MIN_STEPS;
        l->length = l->length < least ? least : (l->length + unit - 1) / unit * unit;
    }
    if (l->length > UINT32_MAX)
        HM_FAIL(HM_ERR_ARG, "an epoch of %zu pictures is too long; lower the batch size", l->length);
    l->mine = rank < l->length ? (l->length - rank + ranks - 1) / ranks : 0;
    l->batches = (int64_t)((l->mine + (size_t)l->o.batch - 1) / (size_t)l->o.batch);
    return hm_alloc(&l->order, l->length, sizeof *l->order);
}

static hm_status start_threads(hm_loader *l) {
    HM_TRY(hm_alloc(&l->threads, (size_t)l->o.threads, sizeof *l->threads));
    for (; l->n_threads < l->o.threads; l->n_threads++) {
        const int rc = pthread_create(&l->threads[l->n_threads], NULL, worker, l);
        if (rc != 0)
            HM_FAIL(HM_ERR_IO, "cannot start loader thread %d: %s; use fewer", (int)l->n_threads + 1, strerror(rc));
    }
    return HM_OK;
}

hm_status hm_loader_new(hm_loader **out, const hm_dataset *d, const hm_loader_options *options) {
    hm_loader *l;
    hm_status st;
    *out = NULL;
    HM_TRY(hm_alloc(&l, 1, sizeof *l));
    l->d = d;
    l->o = *options;
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    HM_TRY_TO(st, fail, complete_options(&l->o, d));
    HM_TRY_TO(st, fail, set_length(l));
    HM_TRY_TO(st, fail, hm_alloc(&l->ring, (size_t)l->o.ahead, sizeof *l->ring));
    for (int32_t k = 0; k < l->o.ahead; k++)
        HM_TRY_TO(st, fail, hm_batch_new(&l->ring[k].batch, l->o.batch, l->o.targets, l->o.h, l->o.w, l->o.masks));
    l->job = (int64_t)l->mine;
    l->next = l->batches;
    l->freed = l->batches;
    HM_TRY_TO(st, fail, start_threads(l));
    *out = l;
    return HM_OK;
fail:
    hm_loader_free(l);
    return st;
}
