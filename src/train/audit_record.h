/* audit_record.h: the magnitudes of a training step's numbers, layer by layer, as rows of audit.csv. */
#ifndef HM_TRAIN_AUDIT_RECORD_H
#define HM_TRAIN_AUDIT_RECORD_H

#include "graph/exec.h"

#define HM_AUDIT_FILE "audit.csv"

typedef struct hm_audit_recorder hm_audit_recorder;

/* Begins the file anew. The graphs, one for each input size, must outlive the recorder. Every step has a row for
 * whatever one of them has; where its own has nothing of it the count is 0. */
hm_status hm_audit_begin(hm_audit_recorder **out, const char *path, const hm_graph *const *graphs, int n);
/* As the executor's hook (hm_exec_set_hook), with the recorder. */
void hm_audit_hook(void *recorder, hm_exec *e, const hm_node *n);
/* Appends what the hook saw since the last call, as rows of this step. */
hm_status hm_audit_write(hm_audit_recorder *r, int64_t step, double loss_scale);
void hm_audit_end(hm_audit_recorder *r); /* takes NULL */

#endif
