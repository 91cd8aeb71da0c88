/* weights_classes.c: see weights_classes.h. */
#include "weights/weights_classes.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"

static hm_status read_ids(hm_classes *c, const char *path, const char *text) {
    const char *at = text;
    for (int32_t i = 0; i < c->n; i++) {
        char *end;
        errno = 0;
        c->ids[i] = strtoll(at, &end, 10);
        if (end == at || errno != 0 || *end != (i + 1 < c->n ? ',' : '\0'))
            HM_FAIL(HM_ERR_FORMAT, "%s: category_ids of the metadata must be %d numbers between commas", path,
                    (int)c->n);
        at = end + 1;
    }
    return HM_OK;
}

static hm_status read_names(hm_classes *c, const char *path, const cJSON *list, int most) {
    const int n = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0;
    if (n < 1 || n > most)
        HM_FAIL(HM_ERR_FORMAT, "%s: class_names of the metadata must be a list of 1 to %d names", path, most);
    HM_TRY(hm_alloc(&c->names, (size_t)n, sizeof *c->names));
    HM_TRY(hm_alloc(&c->ids, (size_t)n, sizeof *c->ids));
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsString(item))
            HM_FAIL(HM_ERR_FORMAT, "%s: class_names of the metadata must be a list of strings", path);
        HM_TRY(hm_strdup(&c->names[c->n], item->valuestring));
        c->n++;
    }
    return HM_OK;
}

hm_status hm_weights_read_classes(hm_classes *out, const char *path, const hm_tensor_file *file, int most) {
    const char *const names = hm_tensor_file_metadata(file, "class_names");
    const char *const ids = hm_tensor_file_metadata(file, "category_ids");
    if (names == NULL && ids == NULL)
        return HM_OK;
    if (names == NULL || ids == NULL)
        HM_FAIL(HM_ERR_FORMAT, "%s: the metadata have only one of class_names and category_ids", path);
    cJSON *const list = cJSON_Parse(names);
    hm_status st = read_names(out, path, list, most);
    if (st == HM_OK)
        st = read_ids(out, path, ids);
    cJSON_Delete(list);
    return st;
}
