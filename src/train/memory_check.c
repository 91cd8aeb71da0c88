/* memory_check.c: a plan held against what its device has left, or what the user allows of it. */
#include <math.h>

#include "train/memory.h"

/* Bytes that a run may need, and in words: "the GPU (NVIDIA H100) has 4000 MiB free". */
static hm_status allowance(hm_device device, size_t limit, size_t *bytes, char *words, size_t size) {
    hm_room room;
    HM_TRY(hm_device_room(device, &room));
    const bool limited = limit > 0 && limit < room.free;
    *bytes = limited ? limit : room.free;
    if (limited)
        snprintf(words, size, "memory_limit allows %zu MiB of %s", limit >> 20, room.name);
    else
        snprintf(words, size, "%s has %zu MiB free", room.name, room.free >> 20);
    return HM_OK;
}

hm_status hm_memory_check(const hm_memory *m, const hm_memory_request *r, size_t limit, char *words, size_t size) {
    char parts[320], there[224], nearest[400];
    size_t most;
    HM_TRY(allowance(r->device, limit, &most, there, sizeof there));
    hm_memory_text(m, parts, sizeof parts);
    const double need = ceil((double)hm_memory_total(m) / 0x1p20);
    snprintf(words, size, "%.0f MiB planned (%s); %s", need, parts, there);
    if (hm_memory_total(m) <= most)
        return HM_OK;
    hm_memory_nearest(r, most, nearest, sizeof nearest);
    HM_FAIL(HM_ERR_MEMORY, "training needs %.0f MiB (%s) and %s; %s", need, parts, there, nearest);
}
