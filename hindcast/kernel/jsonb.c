/* What PostgreSQL prints for a `jsonb` value whose canonical form is known. */
#include "sums.h"

#define DEEPEST 64
#define MOST_MEMBERS 256 /* of one object; they are sorted by insertion */
#define MOST_DIGITS 400
#define AT_ONCE 16 /* bytes copied at once */

/* A member in `out`, from its key's quote to behind its value and ", ". */
typedef struct {
    size_t at, key_size, end; /* the key's size is with both quotes */
} Member;

/* `out` has room for all that is still to come: a comma and a colon become two bytes, nothing more than that. What an
 * exponent is written out to makes room of its own. */
typedef struct {
    const uint8_t *at, *end;
    Bytes *out;
    Scratch *scratch;
    int depth;
} Printing;

/* Of eight bytes: a bit set in the first that is a quote or a backslash, none below it. 0: there is none. */
static inline uint64_t find_special(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return (((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & tops;
}

/* Behind the string whose quote is at `at`, NULL when it does not end; `has_escape` becomes 1 when it has one. */
static inline const uint8_t *skip_string(const uint8_t *at, const uint8_t *end, int *has_escape) {
    at++;
    while (at < end) {
        if (end - at >= 8) {
            uint64_t found = find_special(at);
            at += found ? __builtin_ctzll(found) >> 3 : 8; /* the machine is little-endian, see sums.h */
            if (!found) continue;
        }
        if (*at == '"') return at + 1;
        if (*at == '\\') {
            *has_escape = 1;
            at++;
        }
        at++;
    }
    return NULL;
}

static int make_room(const Printing *printing) {
    size_t most = 2 * (size_t)(printing->end - printing->at) + 2 * DEEPEST;
    return bytes_reserve(printing->out, most + AT_ONCE) ? PLAIN : NO_MEMORY;
}

/* `size` bytes and up to AT_ONCE behind them, which must be there to read, as there must be room for them. */
static inline void put_roughly(Bytes *out, const uint8_t *data, size_t size) {
    uint8_t *to = out->data + out->size;
    for (size_t n = 0; n < size; n += AT_ONCE) memcpy(to + n, data + n, AT_ONCE);
    out->size += size;
}

/* Bytes of the text that is printed: most are short. */
static inline void put_text(const Printing *printing, const uint8_t *data, size_t size) {
    Bytes *out = printing->out;
    if ((size_t)(printing->end - data) >= size + AT_ONCE) {
        put_roughly(out, data, size);
    } else {
        memcpy(out->data + out->size, data, size);
        out->size += size;
    }
}

static inline void put_two(Bytes *out, const char *two) {
    memcpy(out->data + out->size, two, 2);
    out->size += 2;
}

static inline void put_byte(Bytes *out, uint8_t byte) { out->data[out->size++] = byte; }

/* `jsonb` has its keys by length, then by bytes. */
static inline int is_before(const uint8_t *data, const Member *a, const Member *b) {
    if (a->key_size != b->key_size) return a->key_size < b->key_size;
    return memcmp(data + a->at, data + b->at, a->key_size) < 0;
}

static int sort_members(Bytes *out, size_t begin, Member *members, size_t count, Bytes *sorted) {
    for (size_t n = 1; n < count; n++) {
        Member member = members[n];
        size_t place = n;
        for (; place && is_before(out->data, &member, &members[place - 1]); place--) members[place] = members[place - 1];
        members[place] = member;
    }
    sorted->size = 0;
    if (!bytes_reserve(sorted, out->size - begin + AT_ONCE)) return NO_MEMORY;
    for (size_t n = 0; n < count; n++) put_roughly(sorted, out->data + members[n].at, members[n].end - members[n].at);
    memcpy(out->data + begin, sorted->data, sorted->size);
    return PLAIN;
}

/* A number with an exponent, written out: 4.5e-05 is 0.000045. */
static int write_out(const uint8_t *at, const uint8_t *end, Bytes *out) {
    uint8_t digits[MOST_DIGITS];
    int count = 0, point = -1, exponent = 0, is_negative = 0;
    if (*at == '-') ADD(bytes_add_byte(out, *at++));
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.')
            point = count;
        else if (count < MOST_DIGITS)
            digits[count++] = *at;
        else
            return NOT_PLAIN;
    }
    if (point < 0) point = count;
    at++;
    if (at < end && (*at == '-' || *at == '+')) is_negative = *at++ == '-';
    if (at == end || end - at > 3) return NOT_PLAIN;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') return NOT_PLAIN;
        exponent = 10 * exponent + (*at - '0');
    }
    point += is_negative ? -exponent : exponent;
    if (count == 0 || digits[0] == '0' || point > MOST_DIGITS || point < -MOST_DIGITS) return NOT_PLAIN;
    if (point <= 0) ADD(bytes_add(out, "0.", 2));
    for (int n = point; n < 0; n++) ADD(bytes_add_byte(out, '0'));
    for (int n = 0; n < count || n < point; n++) {
        if (n && n == point) ADD(bytes_add_byte(out, '.'));
        ADD(bytes_add_byte(out, n < count ? digits[n] : '0'));
    }
    return PLAIN;
}

static int print_number(Printing *printing) {
    const uint8_t *begin = printing->at, *at = begin;
    int has_exponent = 0, is_zero = 1;
    for (; at < printing->end && *at != ',' && *at != '}' && *at != ']'; at++) {
        if (*at >= '1' && *at <= '9')
            is_zero = 0;
        else if (*at == 'e' || *at == 'E')
            has_exponent = 1;
        else if (*at != '0' && *at != '-' && *at != '+' && *at != '.')
            return NOT_PLAIN;
    }
    printing->at = at;
    if (at == begin) return NOT_PLAIN;
    if (has_exponent) {
        TRY(write_out(begin, at, printing->out));
        return make_room(printing);
    }
    if (is_zero && *begin == '-') return NOT_PLAIN; /* a numeric zero has no sign */
    put_text(printing, begin, (size_t)(at - begin));
    return PLAIN;
}

static int print_string(Printing *printing, int *has_escape) {
    const uint8_t *begin = printing->at;
    printing->at = skip_string(begin, printing->end, has_escape);
    if (!printing->at) return NOT_PLAIN;
    put_text(printing, begin, (size_t)(printing->at - begin));
    return PLAIN;
}

static int print_value(Printing *printing);

/* The next value, if one follows in what `close` ends: PLAIN, or `ENDED`. */
enum { ENDED = 1 };
static int pass_comma(Printing *printing, uint8_t close) {
    if (printing->at == printing->end) return NOT_PLAIN;
    uint8_t found = *printing->at++;
    return found == close ? ENDED : found == ',' ? PLAIN : NOT_PLAIN;
}

static int print_array(Printing *printing) {
    Bytes *out = printing->out;
    put_byte(out, '[');
    if (printing->at < printing->end && *printing->at == ']') {
        printing->at++;
        put_byte(out, ']');
        return PLAIN;
    }
    for (;;) {
        TRY(print_value(printing));
        int found = pass_comma(printing, ']');
        if (found == ENDED) break;
        if (found != PLAIN) return found;
        put_two(out, ", ");
    }
    put_byte(out, ']');
    return PLAIN;
}

static int print_member(Printing *printing, Member *member) {
    Bytes *out = printing->out;
    int has_escape = 0;
    member->at = out->size;
    if (printing->at == printing->end || *printing->at != '"') return NOT_PLAIN;
    TRY(print_string(printing, &has_escape));
    if (has_escape) return NOT_PLAIN; /* it would count otherwise */
    member->key_size = out->size - member->at;
    if (printing->at == printing->end || *printing->at++ != ':') return NOT_PLAIN;
    put_two(out, ": ");
    TRY(print_value(printing));
    put_two(out, ", ");
    member->end = out->size;
    return PLAIN;
}

static int print_object(Printing *printing) {
    Bytes *out = printing->out, *members = &printing->scratch->members;
    size_t before = members->size, count = 0;
    int found = PLAIN, is_sorted = 1;
    put_byte(out, '{');
    size_t begin = out->size;
    if (printing->at < printing->end && *printing->at == '}') {
        printing->at++;
        put_byte(out, '}');
        return PLAIN;
    }
    for (Member member, last; found == PLAIN; count++, last = member) {
        TRY(print_member(printing, &member));
        ADD(bytes_add(members, &member, sizeof member));
        if (count && is_before(out->data, &member, &last)) is_sorted = 0;
        found = pass_comma(printing, '}');
    }
    if (found != ENDED || count > MOST_MEMBERS) return NOT_PLAIN;
    if (!is_sorted) {
        Member *first = (Member *)(void *)(members->data + before);
        TRY(sort_members(out, begin, first, count, &printing->scratch->sorted));
    }
    members->size = before;
    out->size -= 2;
    put_byte(out, '}');
    return PLAIN;
}

static int print_word(Printing *printing) {
    const uint8_t *begin = printing->at;
    while (printing->at < printing->end && *printing->at >= 'a' && *printing->at <= 'z') printing->at++;
    put_text(printing, begin, (size_t)(printing->at - begin));
    return PLAIN;
}

static int print_value(Printing *printing) {
    if (printing->at == printing->end) return NOT_PLAIN;
    switch (*printing->at) {
        case '{':
        case '[': {
            if (printing->depth == DEEPEST) return NOT_PLAIN;
            printing->depth++;
            int status = *printing->at++ == '{' ? print_object(printing) : print_array(printing);
            printing->depth--;
            return status;
        }
        case '"':
            return print_string(printing, &(int){0});
        case 't':
        case 'f':
        case 'n':
            return print_word(printing);
        default:
            return print_number(printing);
    }
}

int write_jsonb_text(Text canonical, Bytes *out, Scratch *scratch) {
    scratch->members.size = 0;
    if (!canonical.data) return NOT_PLAIN;
    Printing printing = {canonical.data, canonical.data + canonical.size, out, scratch, 0};
    TRY(make_room(&printing));
    TRY(print_value(&printing));
    return printing.at == printing.end ? PLAIN : NOT_PLAIN;
}
