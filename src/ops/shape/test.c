/* test.c: cases of reshape, permute, concat, slice and pad. */
#include "opcheck/opcheck.h"
#include "ops/select/select.h"
#include "ops/shape/shape.h"

static void permute(oc *o, const char *name, hm_shape shape, const int *perm) {
    if (!oc_case(o, name))
        return;
    oc_output(o, hm_permute(o->g, oc_input(o, shape, -1, 1), perm));
    oc_output(o, hm_permute(o->g, oc_ints_random(o, shape, -9, 9), perm));
    oc_end(o);
}

static void permute_cases(oc *o) {
    permute(o, "permute_scalar", hm_scalar_shape(), NULL);
    permute(o, "permute_same", HM_SHAPE(3, 33), (const int[]){0, 1});
    permute(o, "permute_matrix", HM_SHAPE(33, 1025), (const int[]){1, 0});
    permute(o, "permute_batch", HM_SHAPE(2, 33, 65), (const int[]){0, 2, 1});
    permute(o, "permute_windows", HM_SHAPE(2, 2, 13, 2, 13, 33), (const int[]){0, 1, 3, 2, 4, 5});
    permute(o, "permute_heads", HM_SHAPE(2, 33, 6, 64), (const int[]){0, 2, 1, 3});
    permute(o, "permute_reverse", HM_SHAPE(5, 1, 7, 33, 4), (const int[]){4, 3, 2, 1, 0});
    permute(o, "permute_front", HM_SHAPE(33, 3, 40), (const int[]){2, 0, 1});
    permute(o, "permute_tiles", HM_SHAPE(2, 40, 3, 36), (const int[]){2, 3, 0, 1});
    permute(o, "permute_words", HM_SHAPE(3, 5, 7, 24), (const int[]){1, 2, 0, 3});
    permute(o, "permute_empty", HM_SHAPE(3, 0, 4), (const int[]){2, 0, 1});
    if (oc_case(o, "permute_refused")) {
        hm_permute(o->g, oc_input(o, HM_SHAPE(2, 3), 0, 1), (const int[]){0, 0});
        oc_end_refused(o, "entry 1 of the permutation");
    }
}

static void concat(oc *o, const char *name, hm_shape a, hm_shape b, int axis) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const x = oc_input(o, a, -1, 1), *const y = oc_input(o, b, -1, 1), *const z = oc_constant(o, a, -1, 1);
    oc_output(o, hm_concat(o->g, (hm_tensor *[]){x, y, z, x}, 4, axis));
    oc_output(o, hm_concat(o->g, (hm_tensor *[]){oc_ints_random(o, a, -9, 9), oc_ints_random(o, b, -9, 9)}, 2, axis));
    oc_end(o);
}

static void concat_cases(oc *o) {
    concat(o, "concat_front", HM_SHAPE(3, 33), HM_SHAPE(5, 33), 0);
    concat(o, "concat_last", HM_SHAPE(33, 3), HM_SHAPE(33, 5), -1);
    concat(o, "concat_middle", HM_SHAPE(2, 33, 65), HM_SHAPE(2, 1, 65), 1);
    concat(o, "concat_long", HM_SHAPE(2, 20000), HM_SHAPE(2, 1), 1);
    concat(o, "concat_words", HM_SHAPE(5, 33, 64), HM_SHAPE(5, 1, 64), 1);
    if (oc_case(o, "concat_many")) {
        hm_tensor *x[37];
        for (int i = 0; i < 37; i++)
            x[i] = i % 2   ? oc_constant(o, HM_SHAPE(3, i % 5, 8), -1, 1)
                   : i > 0 ? x[0]
                           : oc_input(o, HM_SHAPE(3, 2, 8), -1, 1);
        oc_output(o, hm_concat(o->g, x, 37, 1));
        oc_end(o);
    }
    concat(o, "concat_empty", HM_SHAPE(2, 0, 4), HM_SHAPE(2, 3, 4), -2);
    if (oc_case(o, "concat_refused")) {
        hm_tensor *const x = oc_input(o, HM_SHAPE(2, 3), 0, 1), *const y = oc_input(o, HM_SHAPE(3, 3), 0, 1);
        hm_concat(o->g, (hm_tensor *[]){x, y}, 2, 1);
        oc_end_refused(o, "input 1 differs");
    }
    if (oc_case(o, "concat_refused_axis")) {
        hm_tensor *const x = oc_input(o, HM_SHAPE(2, 3), 0, 1);
        hm_concat(o->g, (hm_tensor *[]){x, x}, 2, 2);
        oc_end_refused(o, "no axis 2");
    }
    if (oc_case(o, "concat_refused_nothing")) {
        hm_concat(o->g, NULL, 0, 0);
        oc_end_refused(o, "nothing to join");
    }
}

/* A result that is fp32 in every mode, moved into the type of the others. */
static void other_type(oc *o, const char *name, int64_t rows, int64_t columns) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const x = hm_max_last(o->g, oc_constant(o, HM_SHAPE(rows, columns, 2), -1, 1));
    hm_tensor *const y = hm_max_last(o->g, oc_constant(o, HM_SHAPE(2, rows / 2, columns, 2), -1, 1));
    hm_tensor *const z = oc_constant(o, HM_SHAPE(2, 3, columns), -1, 1);
    oc_output(o, hm_permute(o->g, x, (const int[]){1, 0}));
    oc_output(o, hm_permute(o->g, y, (const int[]){1, 0, 2}));
    oc_output(o, hm_concat(o->g, (hm_tensor *[]){z, y, z}, 3, 1));
    oc_output(o, hm_slice(o->g, y, 1, 1, 2));
    oc_output(o, hm_pad(o->g, y, 2, 4, columns + 8));
    oc_end(o);
}

static void cut(oc *o, const char *name, hm_shape shape, int axis, int64_t start, int64_t len) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const x = oc_input(o, shape, -1, 1), *const i = oc_ints_random(o, shape, -9, 9);
    const int64_t extent = shape.dim[axis < 0 ? axis + shape.rank : axis];
    oc_output(o, hm_slice(o->g, x, axis, start, len));
    oc_output(o, hm_pad(o->g, hm_slice(o->g, x, axis, start, len), axis, start, extent));
    oc_output(o, hm_pad(o->g, hm_slice(o->g, i, axis, start, len), axis, start, extent));
    oc_end(o);
}

static void cut_cases(oc *o) {
    cut(o, "cut_front", HM_SHAPE(33, 65), 0, 0, 7);
    cut(o, "cut_last", HM_SHAPE(33, 1025), -1, 1000, 25);
    cut(o, "cut_middle", HM_SHAPE(2, 33, 65), 1, 1, 32);
    cut(o, "cut_nothing", HM_SHAPE(2, 33), 1, 33, 0);
    cut(o, "cut_all", HM_SHAPE(2, 33), 0, 0, 2);
    cut(o, "cut_long", HM_SHAPE(2, 40000), 1, 1, 39998);
    if (oc_case(o, "slice_refused")) {
        hm_slice(o->g, oc_input(o, HM_SHAPE(2, 3), 0, 1), 1, 2, 2);
        oc_end_refused(o, "entries 2 to 4 leave axis 1");
    }
    if (oc_case(o, "slice_refused_axis")) {
        hm_slice(o->g, oc_input(o, HM_SHAPE(2, 3), 0, 1), -3, 0, 1);
        oc_end_refused(o, "no axis");
    }
    if (oc_case(o, "pad_refused")) {
        hm_pad(o->g, oc_input(o, HM_SHAPE(2, 3), 0, 1), 1, 2, 4);
        oc_end_refused(o, "does not fit");
    }
    if (oc_case(o, "slice_refused_dtype")) {
        hm_slice(o->g, oc_bytes(o, HM_SHAPE(2), (const uint8_t[]){0, 1}), 0, 0, 1);
        oc_end_refused(o, "fp32 or i32");
    }
}

void opcheck_shape(oc *o) {
    permute_cases(o);
    concat_cases(o);
    cut_cases(o);
    other_type(o, "other_type", 6, 33);
    other_type(o, "other_type_words", 18, 20);
    if (oc_case(o, "reshape")) {
        hm_tensor *const x = oc_input(o, HM_SHAPE(3, 4, 5), -1, 1);
        hm_tensor *const y = hm_reshape(o->g, hm_permute(o->g, x, (const int[]){1, 2, 0}), HM_SHAPE(60));
        oc_output(o, hm_slice(o->g, hm_reshape(o->g, y, HM_SHAPE(2, 30)), 1, 3, 20));
        oc_end(o);
    }
    if (oc_case(o, "reshape_refused")) {
        hm_reshape(o->g, oc_input(o, HM_SHAPE(3, 4), 0, 1), HM_SHAPE(5));
        oc_end_refused(o, "another number of elements");
    }
}
