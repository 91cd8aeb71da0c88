/* kernels_convert.c: conversion of one piece of an array, in one build per instruction set. */
#include "device/cpu/convert.h"
#include "device/cpu/convert_piece.h"

#define PASTE_(name, isa) name##_##isa
#define PASTE(name, isa)  PASTE_(name, isa)

void PASTE(hm_convert_piece, HM_ISA_NAME)(hm_dtype from, const void *x, hm_dtype to, void *y, int64_t first,
                                          int64_t n) {
    float room[HM_CONVERT_ROOM];
    if (from == HM_F32) {
        hm_narrow(to, (const float *)x + first, y, first, n);
        return;
    }
    if (to == HM_F32) {
        hm_widen(from, x, first, (float *)y + first, n);
        return;
    }
    for (int64_t i = first; i < first + n; i += HM_CONVERT_ROOM) {
        const int64_t part = first + n - i < HM_CONVERT_ROOM ? first + n - i : HM_CONVERT_ROOM;
        hm_widen(from, x, i, room, part);
        hm_narrow(to, room, y, i, part);
    }
}
