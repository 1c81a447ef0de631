/* Whole rows given as PostgreSQL's texts of their columns. */
#ifndef HINDCAST_ROW_TEXTS_H
#define HINDCAST_ROW_TEXTS_H

#include "match.h"

enum { ROW_HASH_BYTES = 16 };

/* The beginning of SHA-256 of each row's text as PostgreSQL's `record_out` writes it, one hash behind the other.
 * 0, or -1 when memory is short. */
int hash_row_texts(const ArrowTexts *columns, size_t width, size_t rows, uint8_t *hashes);

#endif
