/* policy.c: which op stores what in which precision, and why. graph/op.h explains the letters; graph/precision.c
 * applies them. Whatever the storage, arithmetic and sums are fp32 (products of two half operands are exact in fp32).
 */
#include "graph/op.h"

#define HM_OP(name) extern const hm_op hm_op_##name;
#include "ops/ops.def"
#undef HM_OP

#define ROW(name, inputs, outputs, reason)                                                                             \
    { &hm_op_##name, inputs, outputs, reason }

const hm_policy hm_policies[] = {
    /* products */
    ROW(linear, "hhb", "h", "product of half operands, summed in fp32"),
    ROW(linear_dx, "hh", "h", "product of half operands, summed in fp32"),
    ROW(linear_dw, "hh", "gg", "product of half operands and column sums, in fp32"),
    ROW(matmul, "h", "h", "product of half operands, summed in fp32"),
    ROW(conv2d, "h", "h", "product of half operands, summed in fp32"),
    ROW(conv2d_dx, "h", "h", "product of half operands, summed in fp32"),
    ROW(conv2d_dw, "h", "g", "product of half operands, summed in fp32"),
    ROW(attention, "h", "hf", "products of half operands, P among them; softmax and all sums in fp32"),
    ROW(attention_back, "hhhaah", "h", "products of half operands, P and dS among them; sums in fp32"),
    ROW(mask_logits, "h", "h", "product of half operands, summed in fp32"),
    /* one number at a time: what they make is read by products */
    ROW(linear_act_back, "a", "h", "elementwise, computed in fp32"),
    ROW(activation, "a", "h", "elementwise, computed in fp32"),
    ROW(activation_back, "a", "h", "elementwise, computed in fp32"),
    ROW(mul, "a", "h", "elementwise, computed in fp32"),
    ROW(dwconv2d, "haa", "h", "few terms, summed in fp32"),
    ROW(dwconv2d_back_input, "a", "h", "few terms, summed in fp32"),
    ROW(dwconv2d_back_weight, "ah", "g", "long sums in fp32"),
    ROW(resize, "a", "h", "few terms, summed in fp32"),
    ROW(resize_back, "a", "h", "few terms, summed in fp32"),
    /* statistics */
    ROW(layer_norm, "a", "hff", "mean and variance in fp32"),
    ROW(layer_norm_back, "aaaaax", "hf", "sums in fp32"),
    ROW(layer_norm_affine, "a", "g", "sums in fp32"),
    /* the backbone's residual stream: many small terms on one large sum */
    ROW(scale_residual, "xaa", "f", "residual sum"),
    ROW(scale_residual_back, "a", "hg", "elementwise, computed in fp32"),
    ROW(add, "a", "h", "few terms, summed in fp32"),
    ROW(sum_to, "a", "f", "long sums in fp32"),
    /* moves */
    ROW(broadcast, "m", "m", "moves numbers"),
    ROW(cast, "m", "m", "moves numbers"),
    ROW(concat, "m", "m", "moves numbers"),
    ROW(detach, "m", "m", "moves numbers"),
    ROW(gather_rows, "m", "m", "moves numbers"),
    ROW(mask_rows, "m", "m", "moves numbers"),
    ROW(pad, "m", "m", "moves numbers"),
    ROW(patchify, "m", "m", "moves numbers"),
    ROW(permute, "m", "m", "moves numbers"),
    ROW(reshape, "m", "m", "moves numbers"),
    ROW(slice, "m", "m", "moves numbers"),
    ROW(gather_rows_back, "a", "h", "moves numbers"),
    /* where things are: a half has 11 bits, an image more pixels than that */
    ROW(deform_attn, "axxx", "h", "sampling locations exact; softmax in fp32"),
    ROW(deform_attn_back, "aaxxx", "hhhf", "sampling locations exact; softmax in fp32"),
    ROW(box_reparam, "x", "f", "box arithmetic"),
    ROW(box_reparam_back, "x", "hf", "box arithmetic"),
    ROW(sine_embed, "x", "h", "positions exact"),
    ROW(sine_embed_back, "x", "f", "positions exact"),
    ROW(proposals, "x", "f", "box arithmetic"),
    /* choices: a rounding may not decide them */
    ROW(max_last, "x", "f", "decides which proposals are kept"),
    ROW(topk, "x", "f", "decides which proposals are kept"),
    ROW(match_cost, "a", "f", "matching, on predictions as they are stored"),
    ROW(assign, "x", "f", "matching"),
    /* losses and what is made of them */
    ROW(class_loss, "a", "f", "losses"),
    ROW(class_loss_back, "a", "h", "losses"),
    ROW(box_loss, "x", "f", "losses"),
    ROW(box_loss_back, "x", "f", "losses"),
    ROW(mask_loss, "a", "f", "losses"),
    ROW(mask_loss_back, "a", "h", "losses"),
    ROW(grid_mask_loss, "a", "f", "losses"),
    ROW(grid_mask_loss_back, "a", "h", "losses"),
    ROW(loss_stats, "a", "f", "losses"),
    ROW(weighted_sum, "x", "f", "losses"),
    /* the update */
    ROW(accumulate, "a", "f", "sums of gradients in fp32"),
    ROW(grad_norm, "a", "f", "sum of all gradients' squares"),
    ROW(schedule, "x", "f", "schedules"),
    ROW(loss_seed, "x", "f", "loss scale"),
    ROW(loss_scale, "x", "f", "loss scale"),
    ROW(adamw, "a", "m", "update computed in fp32"),
    ROW(adamw_fused, "a", "m", "update computed in fp32"),
    ROW(ema, "a", "f", "average in fp32"),
};

const size_t hm_policies_count = sizeof hm_policies / sizeof hm_policies[0];

const hm_exact_layers hm_exact[] = {
    {"*bbox_embed*", "a box's regression: few numbers, and a sign that flips moves a whole gradient"},
    {"*ref_point_head*", "positions exact"},
    {"*projector*", "sampled at fractions of a pixel: a sample that changes pixels moves a whole gradient"},
};

const size_t hm_exact_count = sizeof hm_exact / sizeof hm_exact[0];
