/* ops.c: the table of all ops, from ops.def. */
#include "graph/op.h"

#define HM_OP(name) extern const hm_op hm_op_##name;
#include "ops/ops.def"
#undef HM_OP

#define HM_OP(name) &hm_op_##name,
const hm_op *const hm_ops[] = {
#include "ops/ops.def"
};
#undef HM_OP

const size_t hm_ops_count = sizeof hm_ops / sizeof hm_ops[0];

const hm_op *const hm_ops_add = &hm_op_add;
const hm_op *const hm_ops_cast = &hm_op_cast;
