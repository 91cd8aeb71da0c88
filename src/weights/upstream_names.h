/* upstream_names.h: rfdetr's class for each of the variants that it has, as its checkpoints' model_name says it. */
#ifndef HM_WEIGHTS_UPSTREAM_NAMES_H
#define HM_WEIGHTS_UPSTREAM_NAMES_H

#include <stddef.h>

/* "seg-nano" for "RFDETRSegNano" [len] and back; NULL for what the other side does not have. */
const char *hm_upstream_variant(const char *class_name, size_t len);
const char *hm_upstream_class(const char *variant);

#endif
