/* small_data.h: a data set of a few pictures in the test's folder. */
#ifndef HM_TESTS_CLI_SMALL_DATA_H
#define HM_TESTS_CLI_SMALL_DATA_H

#include "program.h"

static char data[256];

static int setup(void **state) {
    if (program_setup(state) != 0)
        return 1;
    program_path(data, "data");
    program_run r = PROGRAM("shapes", data, "--train", "6", "--valid", "2", "--test", "2");
    const int status = r.status;
    program_free(&r);
    return status;
}

#endif
