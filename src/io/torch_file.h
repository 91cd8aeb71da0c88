/* torch_file.h: what torch.save wrote: a pickle of anything, and the numbers of its tensors. Both forms are read: the
 * zip archive (since PyTorch 1.6: data.pkl, data/<key>, byteorder) and the older row of pickles (magic number,
 * protocol, system, object, storage keys, storages). The tar form of before 2017 is refused by name, as are archives
 * that are no checkpoints (TorchScript) or are big-endian. Layouts: torch/serialization.py (_save, _legacy_save, _load,
 * _legacy_load). */
#ifndef HM_IO_TORCH_FILE_H
#define HM_IO_TORCH_FILE_H

#include "io/pickle.h"

typedef enum hm_torch_form { HM_TORCH_NONE, HM_TORCH_ZIP, HM_TORCH_LEGACY, HM_TORCH_TAR } hm_torch_form;

/* By the first bytes, whatever the file is called; HM_TORCH_NONE: not torch.save's. */
hm_torch_form hm_torch_recognise(const void *data, size_t len);

typedef struct hm_torch_file hm_torch_file;

/* `path` is for messages; the memory must outlive *out. HM_ERR_FORMAT or HM_ERR_UNSUPPORTED saying what is wrong. */
hm_status hm_torch_open(hm_torch_file **out, const char *path, const void *data, size_t len);
void hm_torch_close(hm_torch_file *f); /* takes NULL */

hm_torch_form hm_torch_form_of(const hm_torch_file *f);
const hm_pickle_value *hm_torch_root(const hm_torch_file *f);

/* Whether v (may be NULL) is a tensor or a parameter. */
bool hm_torch_is_tensor(const hm_pickle_value *v);
/* *out = the tensor's numbers, row-major; views with strides are copied, all others point into the file. Everything
 * lives until hm_torch_close. `name` becomes out->name and is for messages. HM_ERR_FORMAT when the tensor reaches
 * beyond its storage or the storage beyond the file. All tensors of a file together may have four times its bytes:
 * storages may be shared, but nothing that is trained is repeated without end. */
hm_status hm_torch_tensor(hm_torch_file *f, const hm_pickle_value *v, const char *name, hm_safetensor *out);

#endif
