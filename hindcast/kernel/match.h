/* Staged rows against the rows of the table. */
#ifndef HINDCAST_MATCH_H
#define HINDCAST_MATCH_H

#include "rows.h"

/* An Arrow column of texts: 32-bit ends with one more entry at the front, and which rows have a value. */
typedef struct {
    const int32_t *ends;
    const uint8_t *data, *validity; /* validity NULL: all have */
    size_t offset;                  /* of the first row in each */
} ArrowTexts;

typedef struct {
    size_t count;
    const uint8_t *ids;          /* 16 bytes each */
    const int64_t *microseconds; /* since 1970 */
    ArrowTexts texts[TEXT_COLUMNS];
    Text source;
} Staged;

#define POSTGRES_EPOCH 946684800000000 /* 2000-01-01 in microseconds since 1970 */

Text staged_text(const ArrowTexts *column, size_t row);

enum { UNSEEN = 0, EQUAL = 1, UNDECIDED = 2 };
#define NO_CHUNK INT64_MIN

/* Compare rows as `record_send` writes them (event_id, created_at, import_chunk_id, source, the texts, payload as
 * text), one behind the other, with staged rows of the same id. An equal row makes its staged row EQUAL and gives its
 * chunk; another makes one UNDECIDED that is not EQUAL yet. PLAIN, NOT_PLAIN when the rows are no such, NO_MEMORY. */
int match_rows(const Staged *staged, const uint8_t *sent, size_t size, uint8_t *states, int64_t *chunks);

#endif
