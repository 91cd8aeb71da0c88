/* upstream_names.c: see upstream_names.h. Names: rfdetr/variants.py. */
#include "weights/upstream_names.h"

#include <string.h>

static const struct {
    const char *variant, *class_name;
} table[] = {
    {"seg-nano", "RFDETRSegNano"},
    {"seg-small", "RFDETRSegSmall"},
    {"seg-medium", "RFDETRSegMedium"},
    {"seg-large", "RFDETRSegLarge"},
    {"seg-xlarge", "RFDETRSegXLarge"},
    {"seg-2xlarge", "RFDETRSeg2XLarge"},
    {"seg-preview", "RFDETRSegPreview"},
    {"nano", "RFDETRNano"},
    {"small", "RFDETRSmall"},
    {"medium", "RFDETRMedium"},
    {"large", "RFDETRLarge"},
    {"base", "RFDETRBase"},
    {"large-deprecated", "RFDETRLargeDeprecated"},
};

const char *hm_upstream_variant(const char *class_name, size_t len) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strlen(table[i].class_name) == len && memcmp(table[i].class_name, class_name, len) == 0)
            return table[i].variant;
    return NULL;
}

const char *hm_upstream_class(const char *variant) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].variant, variant) == 0)
            return table[i].class_name;
    return NULL;
}
