/* little_endian.h: whole numbers as files have them, lowest byte first, on any machine and at any address. */
#ifndef HM_BASE_LITTLE_ENDIAN_H
#define HM_BASE_LITTLE_ENDIAN_H

#include <stdint.h>

/* The number in `bytes` bytes at p; 1 to 8. */
static inline uint64_t hm_little_read(const uint8_t *p, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++)
        x |= (uint64_t)p[i] << 8 * i;
    return x;
}

/* Writes the lowest `bytes` bytes of x at p; returns where the next number goes. */
static inline uint8_t *hm_little_write(uint8_t *p, uint64_t x, int bytes) {
    for (int i = 0; i < bytes; i++)
        *p++ = (uint8_t)(x >> 8 * i);
    return p;
}

#endif
