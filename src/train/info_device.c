/* info_device.c: the CPU and the GPU in words: what they are, what they multiply, and why there is none. */
#include <omp.h>
#include <string.h>

#include "base/progress.h"
#include "device/cpu/isa.h"
#include "device/room.h"
#include "train/info_parts.h"

/* "AMD EPYC 9R14", as the system calls it. */
static void cpu_name(char *out, size_t size) {
    char line[256];
    FILE *const f = fopen("/proc/cpuinfo", "r");
    snprintf(out, size, "unknown");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        const char *const colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL)
            continue;
        snprintf(out, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f != NULL)
        fclose(f);
}

static void print_cpu(FILE *to) {
    char name[128];
    cpu_name(name, sizeof name);
    fprintf(to, "CPU          %s, %d threads, %s%s\n", name, omp_get_max_threads(), hm_isa_name(hm_isa_best()),
            hm_cpu_has_bf16() ? ", multiplies bf16 itself" : "; no bf16 products: precision auto takes fp16");
}

static void print_gpu(FILE *to, const hm_cuda_about *gpu) {
    fprintf(to, "GPU          %s, compute capability %d.%d, %d multiprocessors\n", gpu->name, gpu->major, gpu->minor,
            gpu->multiprocessors);
    fprintf(to, "             %.1f GiB of memory, %.1f free; driver for CUDA %d.%d, built with CUDA %d.%d\n",
            (double)gpu->memory / 0x1p30, (double)gpu->free / 0x1p30, gpu->driver / 1000, gpu->driver % 1000 / 10,
            gpu->runtime / 1000, gpu->runtime % 1000 / 10);
    fprintf(to, "             %s\n",
            gpu->bf16 ? "multiplies bf16, fp16 and TF32"
                      : "multiplies fp16, but no bf16 and no TF32 (8.0 and later do): precision auto takes fp16");
}

void hm_info_print_devices(FILE *to) {
    hm_cuda_about gpu;
    print_cpu(to);
    if (hm_cuda_describe(&gpu) == HM_OK)
        print_gpu(to, &gpu);
    else
        fprintf(to, "GPU          none: %s\n", hm_error_message());
}
