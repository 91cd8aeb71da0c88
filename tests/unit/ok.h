/* ok.h: calls that must succeed; the library's message where they do not. */
#ifndef HM_TEST_OK_H
#define HM_TEST_OK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/status.h"

#define OK(expr)                                                                                                       \
    do {                                                                                                               \
        if ((expr) != HM_OK)                                                                                           \
            fail_msg("%s", hm_error_message());                                                                        \
    } while (0)

#endif
