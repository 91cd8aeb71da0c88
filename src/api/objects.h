/* objects.h: detections as the caller gets them. */
#ifndef HM_API_OBJECTS_H
#define HM_API_OBJECTS_H

#include "data/dataset.h"
#include "eval/postprocess.h"

/* *out = the detections, whose masks it takes over, with names of its own. hm_objects_free. */
hm_status hm_objects_new(hm_objects **out, hm_detections *found, const hm_classes *classes);

#endif
