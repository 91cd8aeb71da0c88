/* patchify_attr.h: attributes of the patchify op. */
#ifndef HM_OPS_PATCHIFY_ATTR_H
#define HM_OPS_PATCHIFY_ATTR_H

typedef struct hm_patchify_attr {
    int p; /* pixels of a patch's side */
} hm_patchify_attr;

#endif
