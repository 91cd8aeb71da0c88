/* sine_embed_attr.h: attributes of the sine_embed ops. */
#ifndef HM_OPS_SINE_EMBED_ATTR_H
#define HM_OPS_SINE_EMBED_ATTR_H

typedef struct hm_sine_embed_attr {
    int dim; /* d: each coordinate becomes d/2 numbers, d/4 frequencies */
} hm_sine_embed_attr;

#endif
