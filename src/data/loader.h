/* loader.h: batches of a data set, decoded ahead of the training loop by threads. What a batch holds depends on the
 * options, the epoch and the batch's index only, never on the number of threads or their timing. */
#ifndef HM_DATA_LOADER_H
#define HM_DATA_LOADER_H

#include "data/batch.h"

#define HM_LOADER_AHEAD 3 /* batches held at once, unless the options say */

typedef struct hm_loader_options {
    int32_t batch;        /* pictures of one batch of one rank */
    int32_t accumulate;   /* batches of one optimizer step (0 = 1) */
    int32_t h, w;         /* network size, pixels; or, where `sides` are given: */
    const int32_t *sides; /* [n_sides] of squares, ascending, one drawn for every optimizer step; kept by the caller */
    int32_t n_sides;      /* 0: none */
    int32_t targets;      /* capacity of one picture; 0 = the data set's largest count */
    bool masks;           /* make mask bits */
    bool train;           /* true: shuffled, augmented, whole steps only; false: in order, plain, last batch short */
    hm_augment augment;   /* used when `train` */
    uint64_t seed;        /* of shuffling, sizes and augmentation */
    int32_t threads;      /* that decode; 0 = one for each processor, at most 8 */
    int32_t ahead;        /* batches held at once, the caller's included; 0 = HM_LOADER_AHEAD */
    int32_t rank, ranks;  /* this process among `ranks` (0 = 1): it takes every ranks-th picture */
} hm_loader_options;

typedef struct hm_loader hm_loader;

/* The data set must outlive the loader. Starts the threads; nothing is decoded before hm_loader_epoch.
 * An epoch of training holds every picture at least once: as upstream, pictures are repeated (a fixed random choice)
 * until the count is a multiple of batch * accumulate * ranks and makes at least 5 optimizer steps. */
hm_status hm_loader_new(hm_loader **out, const hm_dataset *d, const hm_loader_options *options);

/* Begins epoch `epoch` (0-based) at its batch `first`, dropping whatever of another epoch was under way. */
hm_status hm_loader_epoch(hm_loader *l, int64_t epoch, int64_t first);

/* *batch = the next one, to be used until the next call on this loader; NULL when the epoch is over. A picture that
 * cannot be used fails here, in its turn, naming the file; the next call goes on behind that batch. */
hm_status hm_loader_next(hm_loader *l, const hm_batch **batch);

int64_t hm_loader_batches(const hm_loader *l); /* in an epoch */
int32_t hm_loader_targets(const hm_loader *l); /* capacity T of its batches */

void hm_loader_free(hm_loader *l); /* takes NULL; waits for the threads */

#endif
