/* turn.h: whose turn it is on the GPU. There is one device with one stream and one capture for the whole process
 * (device/cuda/cuda.h), so callers in different threads use it one after the other. The CPU needs no turns. */
#ifndef HM_DEVICE_TURN_H
#define HM_DEVICE_TURN_H

#include "device/cuda/cuda.h"

/* Whether work on what the user chose is the GPU's. */
bool hm_turn_needed(hm_device_choice choice);

/* Waits until nobody else has the GPU; `gpu` false: nothing happens. Turns do not nest. */
void hm_turn_take(bool gpu);
void hm_turn_give(bool gpu);

/* For HM_GPU_TURN: takes a turn if `choice` needs one, and says so; gives it back. */
bool hm_turn_begin(hm_device_choice choice);
void hm_turn_end(const bool *gpu);

/* A turn, if `choice` needs one, until the end of the block. */
#define HM_GPU_TURN(choice) const bool turn_ __attribute__((cleanup(hm_turn_end), unused)) = hm_turn_begin(choice)

#endif
