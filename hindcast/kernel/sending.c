#include "sending.h"

enum { SENT_COLUMNS = 6 + TEXT_COLUMNS, FIXED_BYTES = 2 + 4 * SENT_COLUMNS + 16 + 8 * 4 + 1, JSONB_VERSION = 1 };

static uint8_t *put_big(uint8_t *at, uint64_t value, int size) {
    for (int n = size - 1; n >= 0; n--) *at++ = (uint8_t)(value >> 8 * n);
    return at;
}

static uint8_t *put_integer(uint8_t *at, int64_t value) {
    at = put_big(at, 8, 4);
    return put_big(at, (uint64_t)value, 8);
}

static uint8_t *put_text(uint8_t *at, Text text) {
    at = put_big(at, text.data ? (uint32_t)text.size : UINT32_MAX, 4); /* -1: null */
    if (text.size) memcpy(at, text.data, text.size);
    return at + text.size;
}

static int send_row(const Sending *sending, size_t row, Bytes *out) {
    const Staged *staged = sending->staged;
    Text texts[TEXT_COLUMNS];
    size_t size = FIXED_BYTES + staged->source.size;
    for (int n = 0; n < TEXT_COLUMNS; n++) {
        texts[n] = staged_text(&staged->texts[n], row);
        size += texts[n].size;
    }
    uint8_t *at = bytes_reserve(out, size);
    if (!at) return -1;
    at = put_big(at, SENT_COLUMNS, 2);
    at = put_text(at, (Text){staged->ids + 16 * row, 16});
    at = put_integer(at, staged->microseconds[row] - POSTGRES_EPOCH);
    at = put_text(at, staged->source);
    for (int n = 0; n < TEXTS; n++) at = put_text(at, texts[n]);
    at = put_big(at, texts[PAYLOAD].size + 1, 4);
    *at++ = JSONB_VERSION;
    memcpy(at, texts[PAYLOAD].data, texts[PAYLOAD].size);
    at = put_integer(at + texts[PAYLOAD].size, sending->chunk_id);
    at = put_integer(at, sending->lines[row]);
    at = put_integer(at, sending->imported_at - POSTGRES_EPOCH);
    out->size = (size_t)(at - out->data);
    return 0;
}

static int compare_places(const void *a, const void *b) {
    uint64_t left = ((const Place *)a)->begin, right = ((const Place *)b)->begin;
    return (left > right) - (left < right);
}

int begin_sending(Sending *sending) {
    const Staged *staged = sending->staged;
    Place *places = malloc((staged->count ? staged->count : 1) * sizeof *places);
    if (!places) return -1;
    for (size_t row = 0; row < staged->count; row++) {
        const uint8_t *id = staged->ids + 16 * row;
        places[row] = (Place){.row = row};
        for (int n = 0; n < 8; n++) places[row].begin = places[row].begin << 8 | id[n];
    }
    qsort(places, staged->count, sizeof *places, compare_places);
    sending->places = places;
    return 0;
}

int send_some(Sending *sending, size_t wanted, Bytes *out) {
    static const uint8_t head[19] = "PGCOPY\n\377\r\n"; /* then a zero, no flags, no extension */
    size_t count = sending->staged->count;
    out->size = 0;
    if (sending->next > count) return 0;
    if (!sending->next && bytes_add(out, head, sizeof head)) return -1;
    for (; sending->next < count && out->size < wanted; sending->next++)
        if (send_row(sending, sending->places[sending->next].row, out)) return -1;
    if (sending->next < count) return 0;
    sending->next++;
    return bytes_add(out, "\377\377", 2);
}

void end_sending(Sending *sending) {
    free(sending->places);
    sending->places = NULL;
}
