/* Plain JSON in canonical form. Whatever is not plain is left to `hindcast.canonical`, which rules. */
#ifndef HINDCAST_JSON_H
#define HINDCAST_JSON_H

#include "bytes.h"

enum { PLAIN = 0, NOT_PLAIN = -1, NO_MEMORY = -2 };

/* For functions that return a status. */
#define TRY(call)                      \
    do {                               \
        int status_ = (call);          \
        if (status_ != PLAIN) return status_; \
    } while (0)
#define ADD(call) \
    do {          \
        if ((call) != 0) return NO_MEMORY; \
    } while (0)

typedef struct {
    const uint8_t *at, *end;
    int depth;
    int refuses_personal; /* keys email, name and phone, in any case, are not plain */
} Cursor;

/* Members of the objects being written, so that they can be sorted; one for any number of values. */
typedef struct {
    Bytes members, sorted;
} Scratch;

void scratch_free(Scratch *scratch);
void json_skip_space(Cursor *cursor);
/* Copy the value at the cursor to `out` in canonical form. */
int json_copy_value(Cursor *cursor, Bytes *out, Scratch *scratch);
int json_copy_string(Cursor *cursor, Bytes *out);
int json_copy_number(Cursor *cursor, Bytes *out);
/* Unescape the string at the cursor (which stands on its quote) to `out`, in UTF-8 without quotes. */
int json_read_string(Cursor *cursor, Bytes *out);
/* Write UTF-8 as a JSON string, escaped as `encode_value` does. */
int json_write_string(Bytes *out, const uint8_t *text, size_t size);
/* Pass over one well-formed UTF-8 character of several bytes; NULL when it is none. */
const uint8_t *utf8_skip(const uint8_t *at, const uint8_t *end);

#endif
