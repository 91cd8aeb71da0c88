/* box_loss_attr.h: attributes and inputs of box_loss and its gradient. */
#ifndef HM_OPS_BOX_LOSS_ATTR_H
#define HM_OPS_BOX_LOSS_ATTR_H

typedef struct hm_box_loss_attr {
    int groups;
} hm_box_loss_attr;

/* boxes [B, G*Q, 4], counts I32 [B], target boxes [B, T, 4], match I32 [B, G*Q]; backward also the losses' gradients */
enum { BOX_PRED, BOX_COUNTS, BOX_TARGETS, BOX_MATCH, BOX_FORWARD_INPUTS };
enum { BOX_DL1 = BOX_FORWARD_INPUTS, BOX_DGIOU, BOX_BACKWARD_INPUTS };

#define BOX_CUDA_ROWS 256 /* queries of a block at a time */

#endif
