/* class_loss_attr.h: attributes and inputs of class_loss and its gradient. */
#ifndef HM_OPS_CLASS_LOSS_ATTR_H
#define HM_OPS_CLASS_LOSS_ATTR_H

typedef struct hm_class_loss_attr {
    int groups;
} hm_class_loss_attr;

/* logits [B, G*Q, K], boxes [B, G*Q, 4], counts I32 [B], labels I32 [B, T], target boxes [B, T, 4], match I32 [B, G*Q];
 * backward also the loss's gradient, a scalar */
enum { CLS_LOGITS, CLS_BOXES, CLS_COUNTS, CLS_LABELS, CLS_TARGETS, CLS_MATCH, CLS_FORWARD_INPUTS };
enum { CLS_DLOSS = CLS_FORWARD_INPUTS, CLS_BACKWARD_INPUTS };

#define CLS_BLOCK     8192 /* logits summed by one thread at a time */
#define CLS_CUDA_ROWS 8    /* queries of a block at a time: a warp for each */

#endif
