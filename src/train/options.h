/* options.h: the tables behind the options of halfmask.h, for those who write settings down. */
#ifndef HM_TRAIN_OPTIONS_H
#define HM_TRAIN_OPTIONS_H

#include "train/settings.h"

/* Whether the command has a setting of that name. */
bool hm_options_has(hm_command command, const char *name);

/* hm_settings_each over a command's table. */
void hm_options_each(hm_command command, const void *options,
                     void (*put)(void *user, const hm_setting *s, const char *value), void *user);

#endif
