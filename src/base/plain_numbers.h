/* plain_numbers.h: numbers as files have them, "0.5", in programs that write "0,5": such a program has called
 * setlocale, as the toolkits of user interfaces do, and C's functions follow. */
#ifndef HM_BASE_PLAIN_NUMBERS_H
#define HM_BASE_PLAIN_NUMBERS_H

#include <locale.h>

/* For this thread, until hm_plain_end gets what hm_plain_begin gave. */
locale_t hm_plain_begin(void);
void hm_plain_end(const locale_t *before);

/* Until the end of the block. */
#define HM_PLAIN_NUMBERS const locale_t plain_before_ __attribute__((cleanup(hm_plain_end), unused)) = hm_plain_begin()

#endif
