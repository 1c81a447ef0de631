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

/* Of eight bytes at once, the first one's in the lowest bits: not 0 when one is a quote, a backslash, a control character
 * or above 0x7F. The lowest bit set is the top of the first of them; a subtraction borrows upwards only. */
static inline uint64_t find_others(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return (((word - ones * 0x20) & ~word) | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | word) & tops;
}

/* The first byte that is not ordinary text. */
static inline const uint8_t *skip_ordinary(const uint8_t *at, const uint8_t *end) {
    for (; end - at >= 8; at += 8) {
        uint64_t others = find_others(at);
        if (others) return at + (__builtin_ctzll(others) >> 3);
    }
    while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\') at++;
    return at;
}

void scratch_free(Scratch *scratch);
void json_skip_space(Cursor *cursor);
/* Copy the value at the cursor to `out` in canonical form. */
int json_copy_value(Cursor *cursor, Bytes *out, Scratch *scratch);
int json_copy_string(Cursor *cursor, Bytes *out);
/* The same of an object's key; one with an escape is not plain, for its escapes would sort otherwise. */
int json_copy_key(Cursor *cursor, Bytes *out);
int json_copy_number(Cursor *cursor, Bytes *out);
/* Unescape the string at the cursor (which stands on its quote) to `out`, in UTF-8 without quotes. */
int json_read_string(Cursor *cursor, Bytes *out);
/* Write UTF-8 as a JSON string, escaped as `encode_value` does. */
int json_write_string(Bytes *out, const uint8_t *text, size_t size);
/* Pass over one well-formed UTF-8 character of several bytes; NULL when it is none. */
const uint8_t *utf8_skip(const uint8_t *at, const uint8_t *end);

#endif
