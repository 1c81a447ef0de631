/* What PostgreSQL prints for a `jsonb` value whose canonical form is known. */
#include "sums.h"

#define DEEPEST 64
#define MOST_MEMBERS 256 /* of one object; they are sorted by insertion */
#define MOST_DIGITS 400

typedef struct {
    const uint8_t *key, *end; /* from the key's quote to behind the value */
    size_t key_size;          /* with both quotes */
} Member;

/* Eight bytes at once: true when none is a quote or a backslash. */
static inline int are_inside(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, 8);
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    return !((((quote - ones) & ~quote) | ((backslash - ones) & ~backslash)) & tops);
}

static inline const uint8_t *skip_string(const uint8_t *at, const uint8_t *end) {
    for (at++; at < end; at++) {
        while (end - at >= 8 && are_inside(at)) at += 8;
        if (at == end) return NULL;
        if (*at == '"') return at + 1;
        if (*at == '\\') at++;
    }
    return NULL;
}

/* Behind the value at `at`; NULL when it does not end. */
static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end) {
    if (at < end && *at == '"') return skip_string(at, end);
    int depth = 0;
    while (at < end) {
        switch (*at) {
            case '"':
                at = skip_string(at, end);
                if (!at) return NULL;
                continue;
            case '{':
            case '[':
                depth++;
                break;
            case '}':
            case ']':
                if (!depth) return at;
                if (!--depth) return at + 1;
                break;
            case ',':
                if (!depth) return at;
        }
        at++;
    }
    return depth ? NULL : at;
}

/* `jsonb` has its keys by length, then by bytes. */
static int is_before(const Member *a, const Member *b) {
    if (a->key_size != b->key_size) return a->key_size < b->key_size;
    return memcmp(a->key, b->key, a->key_size) < 0;
}

static void sort_members(Member *members, size_t count) {
    for (size_t n = 1; n < count; n++) {
        Member member = members[n];
        size_t place = n;
        for (; place && is_before(&member, &members[place - 1]); place--) members[place] = members[place - 1];
        members[place] = member;
    }
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

static int write_number(const uint8_t *at, const uint8_t *end, Bytes *out) {
    int has_exponent = 0, is_zero = 1;
    if (at == end) return NOT_PLAIN;
    for (const uint8_t *c = at; c < end; c++) {
        if ((*c < '0' || *c > '9') && *c != '-' && *c != '+' && *c != '.' && *c != 'e' && *c != 'E') return NOT_PLAIN;
        if (*c >= '1' && *c <= '9') is_zero = 0;
        if (*c == 'e' || *c == 'E') has_exponent = 1;
    }
    if (has_exponent) return write_out(at, end, out);
    if (is_zero && *at == '-') return NOT_PLAIN; /* a numeric zero has no sign */
    ADD(bytes_add(out, at, (size_t)(end - at)));
    return PLAIN;
}

static int write_value(const uint8_t *at, const uint8_t *end, Bytes *out, Scratch *scratch, int depth);

static int write_array(const uint8_t *at, const uint8_t *end, Bytes *out, Scratch *scratch, int depth) {
    ADD(bytes_add_byte(out, '['));
    for (at++; at < end && *at != ']'; at++) {
        const uint8_t *next = skip_value(at, end);
        if (!next || next == at || next == end) return NOT_PLAIN;
        TRY(write_value(at, next, out, scratch, depth));
        at = next;
        if (*at == ']') break;
        ADD(bytes_add(out, ", ", 2));
    }
    if (at + 1 != end) return NOT_PLAIN;
    ADD(bytes_add_byte(out, ']'));
    return PLAIN;
}

static int find_members(const uint8_t *at, const uint8_t *end, Bytes *members) {
    for (at++; at < end && *at != '}'; at++) {
        Member member = {.key = at};
        const uint8_t *next = *at == '"' ? skip_string(at, end) : NULL;
        if (!next || next == end || *next != ':') return NOT_PLAIN;
        member.key_size = (size_t)(next - at);
        if (memchr(at, '\\', member.key_size)) return NOT_PLAIN; /* its escapes would count otherwise */
        member.end = skip_value(next + 1, end);
        if (!member.end || member.end == next + 1 || member.end == end) return NOT_PLAIN;
        ADD(bytes_add(members, &member, sizeof member));
        at = member.end;
        if (*at == '}') break;
    }
    return at + 1 == end ? PLAIN : NOT_PLAIN;
}

static int write_object(const uint8_t *at, const uint8_t *end, Bytes *out, Scratch *scratch, int depth) {
    size_t before = scratch->members.size;
    TRY(find_members(at, end, &scratch->members));
    size_t count = (scratch->members.size - before) / sizeof(Member);
    if (count > MOST_MEMBERS) return NOT_PLAIN;
    if (count) sort_members((Member *)(void *)(scratch->members.data + before), count);
    ADD(bytes_add_byte(out, '{'));
    for (size_t n = 0; n < count; n++) {
        Member member; /* the members may move while values are written */
        memcpy(&member, scratch->members.data + before + n * sizeof member, sizeof member);
        if (n) ADD(bytes_add(out, ", ", 2));
        ADD(bytes_add(out, member.key, member.key_size));
        ADD(bytes_add(out, ": ", 2));
        TRY(write_value(member.key + member.key_size + 1, member.end, out, scratch, depth));
    }
    scratch->members.size = before;
    ADD(bytes_add_byte(out, '}'));
    return PLAIN;
}

static int write_value(const uint8_t *at, const uint8_t *end, Bytes *out, Scratch *scratch, int depth) {
    if (depth == DEEPEST) return NOT_PLAIN;
    switch (*at) {
        case '{':
            return write_object(at, end, out, scratch, depth + 1);
        case '[':
            return write_array(at, end, out, scratch, depth + 1);
        case '"':
        case 't':
        case 'f':
        case 'n':
            ADD(bytes_add(out, at, (size_t)(end - at)));
            return PLAIN;
        default:
            return write_number(at, end, out);
    }
}

int write_jsonb_text(Text canonical, Bytes *out, Scratch *scratch) {
    scratch->members.size = 0;
    if (!canonical.data || !canonical.size) return NOT_PLAIN;
    return write_value(canonical.data, canonical.data + canonical.size, out, scratch, 0);
}
