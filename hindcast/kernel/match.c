#include "match.h"

enum { SENT_FIELDS = 4 + TEXT_COLUMNS };

static uint64_t read_big(const uint8_t *at, size_t size) {
    uint64_t value = 0;
    for (size_t n = 0; n < size; n++) value = value << 8 | at[n];
    return value;
}

static uint64_t id_hash(const uint8_t *id) {
    uint64_t value;
    memcpy(&value, id + 8, sizeof value); /* drawn bits, but for the variant */
    return value * 0x9E3779B97F4A7C15u >> 20;
}

/* A table of places: 1 + the row, 0 where there is none. */
static uint32_t *hash_ids(const Staged *staged, size_t *mask) {
    size_t room = 16;
    while (room < 2 * staged->count) room *= 2;
    uint32_t *places = calloc(room, sizeof *places);
    if (!places) return NULL;
    *mask = room - 1;
    for (size_t row = 0; row < staged->count; row++) {
        size_t place = id_hash(staged->ids + 16 * row) & *mask;
        while (places[place]) place = (place + 1) & *mask;
        places[place] = (uint32_t)row + 1;
    }
    return places;
}

static size_t find_row(const Staged *staged, const uint32_t *places, size_t mask, const uint8_t *id) {
    for (size_t place = id_hash(id) & mask; places[place]; place = (place + 1) & mask)
        if (!memcmp(staged->ids + 16 * (places[place] - 1), id, 16)) return places[place] - 1;
    return SIZE_MAX;
}

/* The values of one sent row; NULL when the bytes end or are no such row. */
static const uint8_t *read_row(const uint8_t *at, const uint8_t *end, Text fields[SENT_FIELDS]) {
    if (end - at < 4 || read_big(at, 4) != SENT_FIELDS) return NULL;
    at += 4;
    for (int n = 0; n < SENT_FIELDS; n++) {
        if (end - at < 8) return NULL;
        int32_t size = (int32_t)read_big(at + 4, 4);
        at += 8; /* the type's number, then the size */
        fields[n] = (Text){NULL, 0};
        if (size < 0) continue;
        if (end - at < size) return NULL;
        fields[n] = (Text){at, (size_t)size};
        at += size;
    }
    return at;
}

static int texts_equal(Text a, Text b) {
    return !a.data == !b.data && a.size == b.size && (!a.size || !memcmp(a.data, b.data, a.size));
}

Text staged_text(const ArrowTexts *column, size_t row) {
    static const uint8_t nothing[1] = {0};
    size_t at = column->offset + row;
    if (column->validity && !(column->validity[at / 8] >> at % 8 & 1)) return (Text){NULL, 0};
    size_t size = (size_t)(column->ends[at + 1] - column->ends[at]);
    return (Text){size ? column->data + column->ends[at] : nothing, size};
}

static int payload_equals(Text sent, Text staged, Bytes *canonical, Scratch *scratch) {
    Cursor cursor = {.at = sent.data, .end = sent.data + sent.size};
    if (!sent.data) return 0;
    canonical->size = scratch->members.size = 0;
    int status = json_copy_value(&cursor, canonical, scratch);
    if (status != PLAIN) return status;
    return cursor.at == cursor.end && texts_equal((Text){canonical->data, canonical->size}, staged);
}

/* 1: they say the same; 0 (or NOT_PLAIN): they may not. */
static int row_equals(const Staged *staged, size_t row, const Text fields[SENT_FIELDS], Bytes *canonical,
                      Scratch *scratch) {
    if (!fields[1].data || fields[1].size != 8) return 0;
    if ((int64_t)read_big(fields[1].data, 8) + POSTGRES_EPOCH != staged->microseconds[row]) return 0;
    if (!texts_equal(fields[3], staged->source)) return 0;
    for (int n = 0; n < TEXTS; n++)
        if (!texts_equal(fields[4 + n], staged_text(&staged->texts[n], row))) return 0;
    return payload_equals(fields[4 + PAYLOAD], staged_text(&staged->texts[PAYLOAD], row), canonical, scratch);
}

int match_rows(const Staged *staged, const uint8_t *sent, size_t size, uint8_t *states, int64_t *chunks) {
    const uint8_t *at = sent, *end = sent + size;
    Bytes canonical = {0};
    Scratch scratch = {{0}, {0}};
    Text fields[SENT_FIELDS];
    size_t mask;
    int status = PLAIN;
    uint32_t *places = hash_ids(staged, &mask);
    if (!places) return NO_MEMORY;
    while (at < end) {
        at = read_row(at, end, fields);
        if (!at || fields[0].size != 16) {
            status = NOT_PLAIN;
            break;
        }
        size_t row = find_row(staged, places, mask, fields[0].data);
        if (row == SIZE_MAX) continue;
        int equality = row_equals(staged, row, fields, &canonical, &scratch);
        if (equality == NO_MEMORY) {
            status = NO_MEMORY;
            break;
        }
        if (equality == 1) {
            states[row] = EQUAL;
            size_t width = fields[2].size;
            chunks[row] = !fields[2].data || width > 8 ? NO_CHUNK : (int64_t)read_big(fields[2].data, width);
        } else if (states[row] != EQUAL) {
            states[row] = UNDECIDED;
        }
    }
    free(places);
    bytes_free(&canonical);
    scratch_free(&scratch);
    return status;
}
