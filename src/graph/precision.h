/* precision.h: the precision pass: gives every tensor of a finished graph its storage type and inserts the casts. What
 * each op stores and reads in half is data (ops/policy.c). */
#ifndef HM_GRAPH_PRECISION_H
#define HM_GRAPH_PRECISION_H

#include "device/cuda/cuda.h"
#include "graph/graph.h"

/* Half format of a mode, HM_F32 for fp32 and TF32; whether its parameters are stored in half too. */
hm_dtype hm_precision_half(hm_precision p);
bool hm_precision_true(hm_precision p);
/* Whether the GPU's products may round fp32 operands to TF32: in every mode but fp32. */
bool hm_precision_tf32(hm_precision p);
const char *hm_precision_name(hm_precision p); /* "bf16-true" */
/* The mode called `name`; false if there is none. */
bool hm_precision_named(const char *name, hm_precision *out);
/* HM_PRECISION_AUTO becomes bf16 where the device multiplies it itself, else fp16; what follows it are Lightning's
 * names "32-true", "bf16-mixed", "16-mixed", "16-true" for modes before it; the others stay. */
hm_precision hm_precision_resolve(hm_precision p, hm_device device);
/* HM_ERR_UNSUPPORTED for bf16 and TF32 on a GPU that does not multiply them. */
hm_status hm_precision_check(hm_precision p, hm_device device);

/* For a graph that is complete (forward, backward, update). Mixed modes keep parameters and states in fp32, and casts
 * make half copies of parameters once a run; true modes store in half those parameters that only products read. Kept
 * outputs stay fp32.
 * `overrides`: "pattern=fp32,..." or NULL; a pattern (shell wildcards) is held against "<scope>" and "<scope>/<op>" of
 * every node, whose results then stay fp32 and whose operands are not rounded. One that fits no node is HM_ERR_ARG. */
hm_status hm_graph_precision(hm_graph *g, hm_precision p, const char *overrides);
/* The same for a graph that only updates: its parameters have the types that those of `like` were given. */
hm_status hm_graph_precision_like(hm_graph *g, hm_precision p, const hm_graph *like);

/* One line a node: where, op, types read and stored, bytes stored and saved, and why. */
void hm_graph_dump_precision(const hm_graph *g, void *file);

#endif
