/* Values of any shape: objects with their keys in order, arrays, words. */
#include "json.h"

#define DEEPEST 64
#define MOST_MEMBERS 256 /* of one object; they are sorted by insertion */

/* A member in `out`, from its key's quote to the comma behind its value; by `prefix` most keys are in order already. */
typedef struct {
    size_t key_at, key_size, end;
    uint64_t prefix;
} Member;

void scratch_free(Scratch *scratch) {
    bytes_free(&scratch->members);
    bytes_free(&scratch->sorted);
}

static int copy_word(Cursor *cursor, Bytes *out, const char *word, size_t size) {
    if ((size_t)(cursor->end - cursor->at) < size || memcmp(cursor->at, word, size)) return NOT_PLAIN;
    cursor->at += size;
    ADD(bytes_add(out, word, size));
    return PLAIN;
}

static int copy_array(Cursor *cursor, Bytes *out, Scratch *scratch) {
    cursor->at++;
    ADD(bytes_add_byte(out, '['));
    json_skip_space(cursor);
    if (cursor->at < cursor->end && *cursor->at == ']') {
        cursor->at++;
        ADD(bytes_add_byte(out, ']'));
        return PLAIN;
    }
    for (;;) {
        TRY(json_copy_value(cursor, out, scratch));
        json_skip_space(cursor);
        if (cursor->at >= cursor->end || (*cursor->at != ',' && *cursor->at != ']')) return NOT_PLAIN;
        uint8_t found = *cursor->at++;
        ADD(bytes_add_byte(out, found));
        if (found == ']') return PLAIN;
    }
}

/* Keys email, name and phone in any case. No character but an ASCII letter is one of theirs in lower case. */
static int is_personal(const uint8_t *key, size_t size) {
    static const char *const names[] = {"email", "name", "phone"};
    for (int n = 0; n < 3; n++) {
        size_t at = 0;
        while (at < size && names[n][at] && (key[at] | 0x20) == (uint8_t)names[n][at]) at++;
        if (at == size && !names[n][at]) return 1;
    }
    return 0;
}

/* A key's first eight bytes as a number that orders as they do. */
static uint64_t read_prefix(const uint8_t *key, size_t size) {
    uint64_t prefix = 0;
    for (size_t n = 0; n < 8; n++) prefix = prefix << 8 | (n < size ? key[n] : 0);
    return prefix;
}

/* By UTF-8 bytes, which is by code points. */
static int compare_keys(const uint8_t *data, const Member *a, const Member *b) {
    if (a->prefix != b->prefix) return a->prefix < b->prefix ? -1 : 1;
    size_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(data + a->key_at, data + b->key_at, size);
    return order ? order : a->key_size < b->key_size ? -1 : a->key_size > b->key_size;
}

/* Put the members that were written from `begin` on in the order of their keys; equal keys are not plain. */
static int sort_members(Bytes *out, size_t begin, Member *members, size_t count, Bytes *sorted) {
    int is_sorted = 1;
    for (size_t n = 1; n < count; n++) {
        int order = compare_keys(out->data, &members[n - 1], &members[n]);
        if (order == 0) return NOT_PLAIN;
        if (order > 0) is_sorted = 0;
    }
    if (is_sorted) return PLAIN;
    for (size_t n = 1; n < count; n++) {
        Member member = members[n];
        size_t place = n;
        for (; place; place--) {
            int order = compare_keys(out->data, &members[place - 1], &member);
            if (order == 0) return NOT_PLAIN;
            if (order < 0) break;
            members[place] = members[place - 1];
        }
        members[place] = member;
    }
    sorted->size = 0;
    for (size_t n = 0; n < count; n++) {
        size_t at = members[n].key_at - 1;
        ADD(bytes_add(sorted, out->data + at, members[n].end - at));
    }
    memcpy(out->data + begin, sorted->data, sorted->size);
    return PLAIN;
}

static int copy_member(Cursor *cursor, Bytes *out, Scratch *scratch) {
    if (cursor->at >= cursor->end || *cursor->at != '"') return NOT_PLAIN;
    size_t key_at = out->size + 1;
    TRY(json_copy_key(cursor, out));
    size_t key_size = out->size - 1 - key_at;
    const uint8_t *key = out->data + key_at;
    if (cursor->refuses_personal && is_personal(key, key_size)) return NOT_PLAIN;
    uint64_t prefix = read_prefix(key, key_size);
    json_skip_space(cursor);
    if (cursor->at >= cursor->end || *cursor->at != ':') return NOT_PLAIN;
    cursor->at++;
    ADD(bytes_add_byte(out, ':'));
    TRY(json_copy_value(cursor, out, scratch));
    ADD(bytes_add_byte(out, ','));
    Member *member = (Member *)(void *)bytes_reserve(&scratch->members, sizeof *member);
    if (!member) return NO_MEMORY;
    *member = (Member){.key_at = key_at, .key_size = key_size, .end = out->size, .prefix = prefix};
    scratch->members.size += sizeof *member;
    return PLAIN;
}

static int copy_object(Cursor *cursor, Bytes *out, Scratch *scratch) {
    size_t before = scratch->members.size;
    cursor->at++;
    ADD(bytes_add_byte(out, '{'));
    size_t begin = out->size;
    json_skip_space(cursor);
    if (cursor->at < cursor->end && *cursor->at == '}') {
        cursor->at++;
        ADD(bytes_add_byte(out, '}'));
        return PLAIN;
    }
    for (;;) {
        TRY(copy_member(cursor, out, scratch));
        json_skip_space(cursor);
        if (cursor->at >= cursor->end || (*cursor->at != ',' && *cursor->at != '}')) return NOT_PLAIN;
        if (*cursor->at++ == '}') break;
        json_skip_space(cursor);
    }
    size_t count = (scratch->members.size - before) / sizeof(Member);
    if (count > MOST_MEMBERS) return NOT_PLAIN;
    TRY(sort_members(out, begin, (Member *)(void *)(scratch->members.data + before), count, &scratch->sorted));
    scratch->members.size = before;
    out->data[out->size - 1] = '}';
    return PLAIN;
}

int json_copy_value(Cursor *cursor, Bytes *out, Scratch *scratch) {
    json_skip_space(cursor);
    if (cursor->at >= cursor->end) return NOT_PLAIN;
    switch (*cursor->at) {
        case '"':
            return json_copy_string(cursor, out);
        case 't':
            return copy_word(cursor, out, "true", 4);
        case 'f':
            return copy_word(cursor, out, "false", 5);
        case 'n':
            return copy_word(cursor, out, "null", 4);
        case '{':
        case '[': {
            if (cursor->depth >= DEEPEST) return NOT_PLAIN;
            cursor->depth++;
            int status = *cursor->at == '{' ? copy_object(cursor, out, scratch) : copy_array(cursor, out, scratch);
            cursor->depth--;
            return status;
        }
        default:
            return json_copy_number(cursor, out);
    }
}
