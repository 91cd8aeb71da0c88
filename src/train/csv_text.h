/* csv_text.h: cells of a CSV line (RFC 4180: quotes around a cell, doubled inside). It knows no files and no columns.
 * A quoted cell may not hold a line end: names of metrics never do. */
#ifndef HM_TRAIN_CSV_TEXT_H
#define HM_TRAIN_CSV_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Decodes the cell that begins at line[*at] into `cell` (room for len - *at + 1 bytes), adds a NUL, and moves *at
 * behind the comma. Returns whether another cell follows. `len` excludes the line end. */
bool hm_csv_cell(const char *line, size_t len, size_t *at, char *cell);

/* Cells in a line: commas outside quotes, and one. */
size_t hm_csv_count(const char *line, size_t len);

/* Writes `name` as a cell to `to` (room for 2 * strlen + 2 bytes, no NUL); returns the bytes written. */
size_t hm_csv_quote(char *to, const char *name);

/* Bytes of the line that begins at text[at], without '\n' or "\r\n"; *next = begin of the next line. */
size_t hm_csv_line(const char *text, size_t len, size_t at, size_t *next);

#endif
