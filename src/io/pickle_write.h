/* pickle_write.h: writes a pickle of protocol 2 into memory, value after value, as torch.save's readers expect it. A
 * failure is kept and returned at the end, so that writing reads straight through. Opcodes: Lib/pickletools.py. */
#ifndef HM_IO_PICKLE_WRITE_H
#define HM_IO_PICKLE_WRITE_H

#include "io/safetensors.h"

typedef struct hm_pickle_out {
    uint8_t *data; /* [len]; free() */
    size_t len, cap;
    hm_status st;
} hm_pickle_out;

void hm_pickle_begin(hm_pickle_out *o);
hm_status hm_pickle_end(hm_pickle_out *o); /* the first failure, if there was one */

void hm_pickle_put_none(hm_pickle_out *o);
void hm_pickle_put_bool(hm_pickle_out *o, bool x);
void hm_pickle_put_int(hm_pickle_out *o, int64_t x);
void hm_pickle_put_text(hm_pickle_out *o, const char *text);    /* UTF-8 */
void hm_pickle_put_ints(hm_pickle_out *o, const int *x, int n); /* a list */

/* What is put between the two becomes a dict (keys and values in turn), a list or a tuple. */
void hm_pickle_open_dict(hm_pickle_out *o, bool ordered); /* ordered: a collections.OrderedDict */
void hm_pickle_close_dict(hm_pickle_out *o);
void hm_pickle_open_list(hm_pickle_out *o);
void hm_pickle_close_list(hm_pickle_out *o);

/* A row-major tensor whose numbers are the storage `key`, which begins with them and has no more. */
void hm_pickle_put_tensor(hm_pickle_out *o, const hm_safetensor *t, const char *key);

#endif
