/* map_file.c: see map_file.h. */
#include "io/map_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static hm_status map_open(hm_map *out, const char *path, int fd) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        HM_FAIL(HM_ERR_IO, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        HM_FAIL(HM_ERR_IO, "cannot read %s: it is not a regular file; give the path of a weights file", path);
    if (info.st_size == 0)
        return HM_OK;
    void *const data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        HM_FAIL(HM_ERR_IO, "cannot map %s: %s", path, strerror(errno));
    *out = (hm_map){data, (size_t)info.st_size};
    return HM_OK;
}

hm_status hm_map_file(hm_map *out, const char *path) {
    *out = (hm_map){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        HM_FAIL(HM_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    const hm_status st = map_open(out, path, fd);
    close(fd);
    return st;
}

void hm_unmap(hm_map *m) {
    if (m->data != NULL)
        munmap((void *)(uintptr_t)m->data, m->len);
    *m = (hm_map){0};
}
