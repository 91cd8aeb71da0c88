/* options.h: the tables behind the options of halfmask.h, for those who write settings down. */
#ifndef HM_TRAIN_OPTIONS_H
#define HM_TRAIN_OPTIONS_H

#include "train/settings.h"

/* For a struct of the caller's own, which must be zeroed or hold options; hm_options_clear frees the strings. */
hm_status hm_options_defaults(hm_command command, void *options);
void hm_options_clear(hm_command command, void *options);

/* Whether the command has a setting of that name. */
bool hm_options_has(hm_command command, const char *name);

/* *out = what hm_options_new makes, with the values of `from`, which may be refused: see hm_settings_copy. */
hm_status hm_options_copy(hm_command command, void *out, const void *from);

/* hm_settings_each over a command's table. */
void hm_options_each(hm_command command, const void *options,
                     void (*put)(void *user, const hm_setting *s, const char *value), void *user);

#endif
