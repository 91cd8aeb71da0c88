/* pickle_names.c: every class and function that a pickle may name. Reading one calls nothing; adding one here says how
 * the readers understand it. */
#include "io/pickle.h"

#include <string.h>

#define STORAGE(name, type)                                                                                            \
    { "torch", name, HM_MEANS_STORAGE, type }
#define PLAIN(module, name)                                                                                            \
    { module, name, HM_MEANS_PLAIN, HM_ST_DTYPES }

static const hm_pickle_known table[] = {
    {"collections", "OrderedDict", HM_MEANS_DICT, HM_ST_DTYPES},
    {"argparse", "Namespace", HM_MEANS_NAMESPACE, HM_ST_DTYPES},
    {"types", "SimpleNamespace", HM_MEANS_NAMESPACE, HM_ST_DTYPES},
    {"torch._utils", "_rebuild_tensor_v2", HM_MEANS_TENSOR, HM_ST_DTYPES},
    {"torch._utils", "_rebuild_parameter", HM_MEANS_PARAMETER, HM_ST_DTYPES},
    {"torch._utils", "_rebuild_parameter_with_state", HM_MEANS_PARAMETER, HM_ST_DTYPES},
    STORAGE("DoubleStorage", HM_ST_F64),
    STORAGE("FloatStorage", HM_ST_F32),
    STORAGE("HalfStorage", HM_ST_F16),
    STORAGE("BFloat16Storage", HM_ST_BF16),
    STORAGE("LongStorage", HM_ST_I64),
    STORAGE("IntStorage", HM_ST_I32),
    STORAGE("ShortStorage", HM_ST_I16),
    STORAGE("CharStorage", HM_ST_I8),
    STORAGE("ByteStorage", HM_ST_U8),
    STORAGE("BoolStorage", HM_ST_BOOL),
    PLAIN("torch", "Size"),
    PLAIN("torch", "device"),
    PLAIN("torch", "float64"),
    PLAIN("torch", "float32"),
    PLAIN("torch", "float16"),
    PLAIN("torch", "bfloat16"),
    PLAIN("_codecs", "encode"),
    PLAIN("builtins", "set"),
    PLAIN("__builtin__", "set"),
    PLAIN("pathlib", "PosixPath"),
    PLAIN("pathlib", "PurePosixPath"),
    PLAIN("pathlib", "WindowsPath"),
};

static bool same(const char *known, const char *text, size_t len) {
    return strlen(known) == len && memcmp(known, text, len) == 0;
}

const hm_pickle_known *hm_pickle_find_name(const char *module, size_t module_len, const char *name, size_t name_len) {
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (same(table[i].module, module, module_len) && same(table[i].name, name, name_len))
            return &table[i];
    return NULL;
}
