/* room.c: free memory of a device: the driver's figure, or the kernel's and the control group's. */
#include "device/room.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MIB ((size_t)1 << 20)

/* The number behind `key` (or the first one, without a key) in a file of the system; false where there is none. */
static bool number_in(const char *path, const char *key, uint64_t *out) {
    char line[256];
    bool found = false;
    FILE *const f = fopen(path, "r");
    if (f == NULL)
        return false;
    while (!found && fgets(line, sizeof line, f) != NULL) {
        const size_t n = strlen(key);
        found = strncmp(line, key, n) == 0 && sscanf(line + n, "%" SCNu64, out) == 1;
    }
    fclose(f);
    return found;
}

/* A control group's limit less what cannot be taken back from it; memory of files can. */
static bool group_room(const char *limit_path, const char *stat_path, const char *key, uint64_t *out) {
    uint64_t limit, used;
    if (!number_in(limit_path, "", &limit) || !number_in(stat_path, key, &used))
        return false;
    *out = limit > used ? limit - used : 0;
    return true;
}

static size_t cpu_room(void) {
    uint64_t free = 0, group;
    if (number_in("/proc/meminfo", "MemAvailable:", &free))
        free *= 1024;
    else
        free = SIZE_MAX;
    if ((group_room("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.stat", "anon ", &group) ||
         group_room("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.stat", "total_rss ",
                    &group)) &&
        group < free)
        free = group;
    return free;
}

/* Emulated, there is no code but the program's, and no library. */
static bool emulated(void) {
    return !hm_cuda_is_real() && hm_cuda_available();
}

size_t hm_device_libraries(hm_device device) {
    if (device == HM_DEVICE_CPU)
        return 64 * MIB;
    return emulated() ? 0 : HM_CUDA_ROOMS * HM_CUDA_ROOM + 256 * MIB;
}

hm_status hm_device_room(hm_device device, hm_room *out) {
    hm_cuda_about gpu;
    if (device == HM_DEVICE_CPU) {
        *out = (hm_room){.free = cpu_room(), .name = "this machine"};
        return HM_OK;
    }
    HM_TRY(hm_cuda_describe(&gpu));
    *out = (hm_room){.free = gpu.free + (emulated() ? 0 : HM_CUDA_ROOMS * HM_CUDA_ROOM)};
    snprintf(out->name, sizeof out->name, "the GPU (%s)", gpu.name);
    return HM_OK;
}
