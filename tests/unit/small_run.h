/* small_run.h: rendered images in a folder of the test's own, and the options of a small run on them. */
#ifndef HM_TEST_SMALL_RUN_H
#define HM_TEST_SMALL_RUN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ok.h"

#include "data/shapes.h"
#include "train/options.h"
#include "train/training.h"

static char root[64], data_dir[96], output_dir[96];

/* For a test's make_data: the folder <name>-<process>, with so many images of training and of validation. */
static int small_data(const char *name, int train, int valid) {
    snprintf(root, sizeof root, "%s-%d", name, (int)getpid());
    snprintf(data_dir, sizeof data_dir, "%s/data", root);
    snprintf(output_dir, sizeof output_dir, "%s/run", root);
    hm_shapes_config c = hm_shapes_defaults();
    c.counts[0] = train;
    c.counts[1] = valid;
    c.counts[2] = 0;
    return hm_shapes_write(data_dir, &c, NULL, NULL) == HM_OK ? 0 : 1;
}

static int drop_data(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

/* The defaults, for seg-micro on that data. */
static inline hm_train_options small_options(hm_device_choice device, hm_precision precision) {
    hm_train_options o = {0};
    OK(hm_options_defaults(HM_COMMAND_TRAIN, &o));
    free(o.output_dir);
    free(o.model);
    o.dataset_dir = data_dir;
    o.output_dir = output_dir;
    o.model = (char *)"seg-micro";
    o.precision = precision;
    o.device = device;
    return o;
}

#endif
