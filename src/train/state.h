/* state.h: the state of a run on disk: every tensor that the next step depends on, and where in the data set the run
 * stands. A safetensors file "state_<batches>.safetensors" with a checksum over all of it; a folder has the last two.
 */
#ifndef HM_TRAIN_STATE_H
#define HM_TRAIN_STATE_H

#include "graph/exec.h"
#include "io/safetensors.h"
#include "train/selection.h"

/* Where a run stands, besides its tensors. */
typedef struct hm_state {
    int64_t epoch, batch;        /* of the next batch; a batch behind the epoch's last: validation is next */
    int64_t runs, step, skipped; /* batches; optimizer steps done; those that overflowed */
    int64_t rows;                /* of metrics.csv */
    double last_scale;           /* as in hm_training */
    hm_selection selection;
    int64_t before; /* runs of the state that is kept beside this one; -1: none. Not in the file */
} hm_state;

/* What a state is good for: settings that the batches to come depend on, and their values, as text. */
#define HM_STATE_SETTINGS 16
typedef struct hm_state_settings {
    const char *name[HM_STATE_SETTINGS];
    char value[HM_STATE_SETTINGS][64];
    size_t n;
} hm_state_settings;

/* Writes the state with all of the store's tensors, then removes states that are neither this one nor the one before.
 */
hm_status hm_state_write(const char *dir, const hm_store *tensors, const hm_state *s,
                         const hm_state_settings *settings);

typedef struct hm_state_file hm_state_file;

/* Opens the newest sound state in `dir`, or `path` itself where it is a file. *out = NULL when there is none. `note` is
 * told of damaged ones that were passed over (may be NULL). HM_ERR_FORMAT when all that there are, or the file, are
 * damaged; HM_ERR_IO when the folder cannot be read. */
hm_status hm_state_open(hm_state_file **out, const char *path, void (*note)(void *user, const char *text), void *user);
void hm_state_close(hm_state_file *f); /* takes NULL */
const char *hm_state_path(const hm_state_file *f);
const hm_state *hm_state_of(const hm_state_file *f);

/* HM_ERR_ARG naming the first setting that has another value now. */
hm_status hm_state_check(const hm_state_file *f, const hm_state_settings *now);
/* Every tensor of the store but those whose names begin with `without`. HM_ERR_FORMAT when the file does not have it in
 * that shape and type. */
hm_status hm_state_load(const hm_state_file *f, hm_store *to, const char *without);

#endif
