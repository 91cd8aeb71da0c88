/* opcheck.h: how an op's test.c describes its cases. A case builds a small graph on random inputs; the harness runs it
 * with the reference kernels in double and with every instruction set's kernels, forward and backward with random
 * cotangents, and compares: cpu with reference element by element and in norm, reference gradients with central finite
 * differences; then again with half storage.
 *
 *     void opcheck_layer_norm(oc *o) {
 *         if (oc_case(o, "rows33_c1025")) {
 *             hm_tensor *x = oc_input(o, HM_SHAPE(33, 1025), -2, 2);
 *             ...
 *             oc_output(o, hm_layer_norm(o->g, x, gain, bias, 1e-5f));
 *             oc_end(o);
 *         }
 *     }
 * One function opcheck_<folder> per folder of src/ops; found by its name. */
#ifndef OPCHECK_H
#define OPCHECK_H

#include "graph/graph.h"

typedef struct oc {
    hm_graph *g; /* of the case being described */
    struct oc_state *s;
} oc;

/* Starts a case; false when it is not selected by the command line. */
bool oc_case(oc *o, const char *name);

/* fp32 input, uniform in [lo, hi), differentiable (it gets a gradient and finite differences). */
hm_tensor *oc_input(oc *o, hm_shape shape, double lo, double hi);
/* The same with given values (count of them). */
hm_tensor *oc_input_values(oc *o, hm_shape shape, const double *values);
/* fp32 input that is a constant for differentiation. */
hm_tensor *oc_constant(oc *o, hm_shape shape, double lo, double hi);
hm_tensor *oc_constant_values(oc *o, hm_shape shape, const double *values);
/* Integer inputs: given values, or uniform in [lo, hi]. */
hm_tensor *oc_ints(oc *o, hm_shape shape, const int32_t *values);
hm_tensor *oc_ints_random(oc *o, hm_shape shape, int32_t lo, int32_t hi);
hm_tensor *oc_bytes(oc *o, hm_shape shape, const uint8_t *values);
/* A tensor that the op updates in place (storage STATE), uniform in [lo, hi): compared after the run. */
hm_tensor *oc_state(oc *o, hm_shape shape, double lo, double hi);

/* Declares a result to compare; fp32 results get a random cotangent unless the op has no gradient. */
void oc_output(oc *o, hm_tensor *t);
/* Relative tolerance of this case (default: 1e-5 in L2 norm, 1e-4 of the largest magnitude for each element). */
void oc_tolerance(oc *o, double norm, double element);
/* The case is run with bf16 and fp16 storage of every float too, where the tolerance is two units in the last place
 * times `factor` (default 1; more for longer chains of roundings); 0 leaves half out: say why in a comment. */
void oc_half(oc *o, double factor);
/* Keeps a tensor in fp32 where the case runs in half, as the precision policy may; returns it. */
hm_tensor *oc_full(oc *o, hm_tensor *t);
/* Step of the finite differences (default 1e-5); 0 skips them: say why in a comment (a kink everywhere, no gradient).
 */
void oc_difference_step(oc *o, double h);
/* Runs and compares. */
void oc_end(oc *o);

/* Expects that building fails with a message containing `words` (instead of oc_end). */
void oc_end_refused(oc *o, const char *words);

#endif
