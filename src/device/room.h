/* room.h: how much memory a device has for a run. */
#ifndef HM_DEVICE_ROOM_H
#define HM_DEVICE_ROOM_H

#include "device/cuda/cuda.h"

typedef struct hm_room {
    size_t free;    /* bytes that a run may take, and what this process holds for libraries already */
    char name[160]; /* in a sentence: "this machine", "the GPU (NVIDIA H100)" */
} hm_room;

/* Of the CPU: what the system could give without swapping, or what the control group still allows if that is less. */
hm_status hm_device_room(hm_device device, hm_room *out);
/* What libraries and code take there once they run, which no plan knows: an allowance, larger than what was measured.
 */
size_t hm_device_libraries(hm_device device);

#endif
