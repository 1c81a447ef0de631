/* The rows of a chunk as Arrow's columns, with what is derived from them. */
#ifndef HINDCAST_ROWS_H
#define HINDCAST_ROWS_H

#include "json.h"

/* tenant, event_type, user_id, anonymous_id, session_id, course_id, lesson_id, module_id, user_agent,
 * source_event_id: the order of the content hash. */
enum { TENANT = 0, EVENT_TYPE = 1, SOURCE_EVENT_ID = 9, TEXTS = 10, PAYLOAD = 10, TEXT_COLUMNS = 11 };

typedef struct {
    const uint8_t *data; /* NULL: no value */
    size_t size;
} Text;

typedef struct {
    int64_t microseconds, line, byte_offset;
    Text texts[TEXT_COLUMNS];
    uint32_t ordinary; /* a bit for each text that JSON writes as it is; without it, that is found out */
    uint8_t is_sanitised, is_naive;
} Row;

typedef struct {
    Bytes data, ends, validity; /* `ends` are 32 bits each */
} TextColumn;

typedef struct {
    TextColumn texts[TEXT_COLUMNS];
    Bytes microseconds, lines, byte_offsets, is_sanitised, event_ids, identities, content_hashes;
    Bytes content; /* scratch */
    size_t count, sanitised;
    int64_t first, last;
} Rows;

void rows_free(Rows *rows);
/* No rows any more; their memory is kept for the next. */
void rows_clear(Rows *rows);
/* 0, or -1 when memory is short. The texts are UTF-8, the payload canonical. */
int rows_add(Rows *rows, const Row *row, Text source);
/* Bytes of the longest column. */
size_t rows_size(const Rows *rows);
/* Whether a row fits into Arrow's columns, whose ends have 31 bits. */
int rows_have_room(const Rows *rows, const Row *row);

#endif
