/* Strings and numbers. */
#include "json.h"

#define MOST_DIGITS 18         /* of an integer: fits 64 bits */
#define EXACT_CHARACTERS 15    /* a decimal of so many characters survives a double */

void json_skip_space(Cursor *cursor) {
    while (cursor->at < cursor->end &&
           (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\n' || *cursor->at == '\r'))
        cursor->at++;
}

const uint8_t *utf8_skip(const uint8_t *at, const uint8_t *end) {
    uint8_t first = *at;
    size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || (size_t)(end - at) < size) return NULL;
    for (size_t n = 1; n < size; n++)
        if ((at[n] & 0xC0) != 0x80) return NULL;
    if ((first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] > 0x9F) || (first == 0xF0 && at[1] < 0x90) ||
        (first == 0xF4 && at[1] > 0x8F))
        return NULL; /* too long a form, a surrogate, or beyond U+10FFFF */
    return at + size;
}

static int read_hex(const uint8_t *at, const uint8_t *end, uint32_t *value) {
    if (end - at < 4) return NOT_PLAIN;
    *value = 0;
    for (int n = 0; n < 4; n++) {
        uint8_t c = at[n], lower = c | 0x20;
        if (c >= '0' && c <= '9')
            *value = *value << 4 | (c - '0');
        else if (lower >= 'a' && lower <= 'f')
            *value = *value << 4 | (lower - 'a' + 10);
        else
            return NOT_PLAIN;
    }
    return PLAIN;
}

static int add_character(Bytes *out, uint32_t code) {
    uint8_t text[4];
    size_t size;
    if (code < 0x80) {
        text[0] = (uint8_t)code;
        size = 1;
    } else if (code < 0x800) {
        text[0] = 0xC0 | code >> 6;
        text[1] = 0x80 | (code & 0x3F);
        size = 2;
    } else if (code < 0x10000) {
        text[0] = 0xE0 | code >> 12;
        text[1] = 0x80 | (code >> 6 & 0x3F);
        text[2] = 0x80 | (code & 0x3F);
        size = 3;
    } else {
        text[0] = 0xF0 | code >> 18;
        text[1] = 0x80 | (code >> 12 & 0x3F);
        text[2] = 0x80 | (code >> 6 & 0x3F);
        text[3] = 0x80 | (code & 0x3F);
        size = 4;
    }
    return bytes_add(out, text, size);
}

/* The escape behind a backslash. `\u0000` and lone surrogates are not plain: no table can hold them. */
static int read_escape(Cursor *cursor, Bytes *out) {
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (cursor->at >= cursor->end) return NOT_PLAIN;
    uint8_t name = *cursor->at++;
    if (name != 'u') {
        const char *found = name ? strchr(names, name) : NULL;
        if (!found) return NOT_PLAIN;
        ADD(bytes_add_byte(out, (uint8_t)values[found - names]));
        return PLAIN;
    }
    uint32_t code, low;
    TRY(read_hex(cursor->at, cursor->end, &code));
    cursor->at += 4;
    if (code == 0 || (code >= 0xDC00 && code <= 0xDFFF)) return NOT_PLAIN;
    if (code >= 0xD800 && code <= 0xDBFF) {
        if (cursor->end - cursor->at < 6 || cursor->at[0] != '\\' || cursor->at[1] != 'u') return NOT_PLAIN;
        TRY(read_hex(cursor->at + 2, cursor->end, &low));
        if (low < 0xDC00 || low > 0xDFFF) return NOT_PLAIN;
        cursor->at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    ADD(add_character(out, code));
    return PLAIN;
}

int json_read_string(Cursor *cursor, Bytes *out) {
    cursor->at++;
    for (;;) {
        const uint8_t *begin = cursor->at;
        const uint8_t *at = skip_ordinary(begin, cursor->end);
        while (at < cursor->end && *at >= 0x80) {
            at = utf8_skip(at, cursor->end);
            if (!at) return NOT_PLAIN;
            at = skip_ordinary(at, cursor->end);
        }
        ADD(bytes_add(out, begin, (size_t)(at - begin)));
        if (at >= cursor->end || *at < 0x20) return NOT_PLAIN;
        cursor->at = at + 1;
        if (*at == '"') return PLAIN;
        TRY(read_escape(cursor, out));
    }
}

int json_write_string(Bytes *out, const uint8_t *text, size_t size) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = text, *end = text + size;
    if (!bytes_reserve(out, size + 2)) return NO_MEMORY;
    ADD(bytes_add_byte(out, '"'));
    while (at < end) {
        const uint8_t *begin = at;
        at = skip_ordinary(at, end);
        while (at < end && *at >= 0x80) at = skip_ordinary(at + 1, end); /* known to be UTF-8 */
        ADD(bytes_add(out, begin, (size_t)(at - begin)));
        if (at >= end) break;
        uint8_t escape[6] = {'\\', *at, '0', '0', 0, 0};
        size_t length = 2;
        switch (*at) {
            case '"': case '\\': break;
            case '\b': escape[1] = 'b'; break;
            case '\f': escape[1] = 'f'; break;
            case '\n': escape[1] = 'n'; break;
            case '\r': escape[1] = 'r'; break;
            case '\t': escape[1] = 't'; break;
            default:
                escape[1] = 'u';
                escape[4] = (uint8_t)digits[*at >> 4];
                escape[5] = (uint8_t)digits[*at & 15];
                length = 6;
        }
        ADD(bytes_add(out, escape, length));
        at++;
    }
    ADD(bytes_add_byte(out, '"'));
    return PLAIN;
}

/* By far the most strings are as canonical form has them. */
static inline int copy_ordinary(Cursor *cursor, Bytes *out) {
    const uint8_t *begin = cursor->at, *at = skip_ordinary(begin + 1, cursor->end);
    if (at >= cursor->end || *at != '"') return NOT_PLAIN;
    cursor->at = at + 1;
    ADD(bytes_add(out, begin, (size_t)(cursor->at - begin)));
    return PLAIN;
}

static int copy_other(Cursor *cursor, Bytes *out) {
    Bytes text = {0};
    int status = json_read_string(cursor, &text);
    if (status == PLAIN) status = json_write_string(out, text.data, text.size);
    bytes_free(&text);
    return status;
}

int json_copy_string(Cursor *cursor, Bytes *out) {
    int status = copy_ordinary(cursor, out);
    return status == NOT_PLAIN ? copy_other(cursor, out) : status;
}

int json_copy_key(Cursor *cursor, Bytes *out) {
    int status = copy_ordinary(cursor, out);
    if (status != NOT_PLAIN) return status;
    size_t before = out->size;
    TRY(copy_other(cursor, out));
    return memchr(out->data + before, '\\', out->size - before) ? NOT_PLAIN : PLAIN;
}

/* Plain: integers of up to 18 digits, and decimals that a double holds as written and prints without exponent. */
int json_copy_number(Cursor *cursor, Bytes *out) {
    const uint8_t *begin = cursor->at, *at = begin, *end = cursor->end;
    if (at < end && *at == '-') at++;
    const uint8_t *digits = at;
    while (at < end && *at >= '0' && *at <= '9') at++;
    size_t whole = (size_t)(at - digits);
    if (!whole || whole > MOST_DIGITS || (*digits == '0' && whole > 1)) return NOT_PLAIN;
    size_t size;
    if (at < end && *at == '.') {
        const uint8_t *fraction = ++at;
        while (at < end && *at >= '0' && *at <= '9') at++;
        const uint8_t *last = at;
        while (last > fraction && last[-1] == '0') last--;
        if (at == fraction || at - begin > EXACT_CHARACTERS) return NOT_PLAIN;
        if (last == fraction && *digits == '0' && *begin == '-') return NOT_PLAIN;
        if (*digits == '0' && last - fraction > 3 && !memcmp(fraction, "000", 3)) return NOT_PLAIN;
        size = (size_t)((last == fraction ? fraction - 1 : last) - begin); /* 1.0 is 1 */
    } else {
        if (*digits == '0' && *begin == '-') return NOT_PLAIN;
        size = (size_t)(at - begin);
    }
    if (at < end && (*at == 'e' || *at == 'E')) return NOT_PLAIN;
    cursor->at = at;
    ADD(bytes_add(out, begin, size));
    return PLAIN;
}
