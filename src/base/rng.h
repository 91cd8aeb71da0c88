/* rng.h: counter-based random numbers. A draw is a pure function of (seed, name, index): no state,
 * so results never depend on thread timing and any draw can be repeated alone.
 * Generator: SplitMix64 (Steele, Lea, Flood 2014) over a key that hashes the stream's name (FNV-1a). */
#ifndef HM_BASE_RNG_H
#define HM_BASE_RNG_H

#include <stdint.h>

#include "base/inline.h"

#define HM_RNG_GOLD 0x9E3779B97F4A7C15ull

HM_INLINE uint64_t hm_rng_hash(const char *name) {
    uint64_t h = 0xCBF29CE484222325ull;
    for (const char *p = name; *p; p++)
        h = (h ^ (uint64_t)(unsigned char)*p) * 0x100000001B3ull;
    return h;
}

/* Key of the stream `name` under `seed`. */
HM_INLINE uint64_t hm_rng_key(uint64_t seed, const char *name) {
    return hm_rng_hash(name) ^ (seed * HM_RNG_GOLD);
}

/* Draw i (0-based) of a stream: 64 uniform bits. */
HM_INLINE uint64_t hm_rng_bits(uint64_t key, uint64_t i) {
    uint64_t z = key + (i + 1) * HM_RNG_GOLD;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/* Draw i as a float in [0,1), a multiple of 2^-24. */
HM_INLINE float hm_rng_uniform(uint64_t key, uint64_t i) {
    return (float)(hm_rng_bits(key, i) >> 40) * 0x1p-24f;
}

#endif
