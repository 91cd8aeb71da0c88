/* log_stream.h: a caller's log function as the stream that the rest of the library writes its lines to. */
#ifndef HM_API_LOG_STREAM_H
#define HM_API_LOG_STREAM_H

#include <stdio.h>

#include "base/status.h"

/* *out = NULL where there is no function; else a stream whose lines go to it, once they are complete. fclose. */
hm_status hm_log_stream(FILE **out, hm_log *log, void *user);

#endif
