/* weights_classes.h: the classes that a weights file's metadata name. */
#ifndef HM_WEIGHTS_WEIGHTS_CLASSES_H
#define HM_WEIGHTS_WEIGHTS_CLASSES_H

#include "data/dataset.h"
#include "weights/tensor_file.h"

/* n = 0 when the file does not name them. HM_ERR_FORMAT when class_names and category_ids are not one list of 1 to
 * `most` names and as many numbers. hm_classes_free, also after a failure. */
hm_status hm_weights_read_classes(hm_classes *out, const char *path, const hm_tensor_file *file, int most);

#endif
