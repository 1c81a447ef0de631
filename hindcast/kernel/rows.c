#include "rows.h"

#include "sha256.h"

void rows_free(Rows *rows) {
    for (int n = 0; n < TEXT_COLUMNS; n++) {
        bytes_free(&rows->texts[n].data);
        bytes_free(&rows->texts[n].ends);
        bytes_free(&rows->texts[n].validity);
    }
    Bytes *others[] = {&rows->microseconds, &rows->lines, &rows->byte_offsets, &rows->is_sanitised, &rows->event_ids,
                       &rows->identities, &rows->content_hashes, &rows->content};
    for (size_t n = 0; n < sizeof others / sizeof *others; n++) bytes_free(others[n]);
}

void rows_clear(Rows *rows) {
    for (int n = 0; n < TEXT_COLUMNS; n++) {
        TextColumn *column = &rows->texts[n];
        column->data.size = column->ends.size = column->validity.size = 0;
    }
    Bytes *others[] = {&rows->microseconds, &rows->lines, &rows->byte_offsets, &rows->is_sanitised, &rows->event_ids,
                       &rows->identities, &rows->content_hashes};
    for (size_t n = 0; n < sizeof others / sizeof *others; n++) others[n]->size = 0;
    rows->count = rows->sanitised = 0;
}

size_t rows_size(const Rows *rows) {
    size_t size = 0;
    for (int n = 0; n < TEXT_COLUMNS; n++)
        if (rows->texts[n].data.size > size) size = rows->texts[n].data.size;
    return size;
}

int rows_have_room(const Rows *rows, const Row *row) {
    for (int n = 0; n < TEXT_COLUMNS; n++)
        if (rows->texts[n].data.size + row->texts[n].size > INT32_MAX) return 0;
    return 1;
}

static int add_text(TextColumn *column, Text text, size_t row) {
    if (row % 8 == 0 && bytes_add_byte(&column->validity, 0)) return -1;
    if (text.data) {
        column->validity.data[row / 8] |= (uint8_t)(1 << row % 8);
        if (bytes_add(&column->data, text.data, text.size)) return -1;
    }
    uint32_t end = (uint32_t)column->data.size;
    return bytes_add(&column->ends, &end, sizeof end);
}

static int add_json(Bytes *out, Text text) {
    return text.data ? json_write_string(out, text.data, text.size) : bytes_add(out, "null", 4);
}

static int add_ordinary(Bytes *out, Text text) {
    return bytes_add_byte(out, '"') || bytes_add(out, text.data, text.size) || bytes_add_byte(out, '"');
}

static int add_number(Bytes *out, int64_t number) {
    uint8_t digits[20], *at = digits + sizeof digits;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do *--at = (uint8_t)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0) *--at = '-';
    return bytes_add(out, at, (size_t)(digits + sizeof digits - at));
}

/* `hindcast.event.identify`: [microseconds,"source","tenant",...,payload] */
static int hash_content(Bytes *out, const Row *row, Text source, uint8_t digest[32]) {
    out->size = 0;
    if (bytes_add_byte(out, '[') || add_number(out, row->microseconds) || bytes_add_byte(out, ',')) return -1;
    if (add_json(out, source)) return -1;
    for (int n = 0; n < TEXTS; n++) {
        int is_ordinary = row->ordinary >> n & 1;
        if (bytes_add_byte(out, ',') || (is_ordinary ? add_ordinary : add_json)(out, row->texts[n])) return -1;
    }
    if (bytes_add_byte(out, ',') || bytes_add(out, row->texts[PAYLOAD].data, row->texts[PAYLOAD].size)) return -1;
    if (bytes_add_byte(out, ']')) return -1;
    sha256(out->data, out->size, digest, 0);
    return 0;
}

/* `hindcast.event.derive_own_identity` */
static int hash_own_id(Bytes *out, const Row *row, Text source, uint8_t identity[32], uint8_t seed[32]) {
    out->size = 0;
    if (bytes_add_byte(out, '[') || add_json(out, source) || bytes_add_byte(out, ',') ||
        add_json(out, row->texts[TENANT]) || bytes_add_byte(out, ',') || add_json(out, row->texts[SOURCE_EVENT_ID]) ||
        bytes_add_byte(out, ']'))
        return -1;
    sha256(out->data, out->size, identity, 0);
    out->size = 0;
    if (add_number(out, row->microseconds) || bytes_add_byte(out, ':') || bytes_add(out, identity, 32)) return -1;
    sha256(out->data, out->size, seed, 0);
    return 0;
}

/* A UUIDv8: 48 bits of milliseconds, then 74 bits of hash beside the version and the variant. */
static void make_event_id(int64_t microseconds, const uint8_t seed[32], uint8_t id[16]) {
    int64_t milliseconds = microseconds / 1000 - (microseconds % 1000 < 0);
    uint64_t low = 0;
    for (int n = 18; n < 26; n++) low = low << 8 | seed[n];
    uint32_t twelve = ((uint32_t)(seed[16] << 8 | seed[17]) & 0x3FF) << 2 | (uint32_t)(low >> 62);
    for (int n = 0; n < 6; n++) id[n] = (uint8_t)((uint64_t)milliseconds >> 8 * (5 - n));
    id[6] = (uint8_t)(0x80 | twelve >> 8);
    id[7] = (uint8_t)twelve;
    low = (low & 0x3FFFFFFFFFFFFFFFu) | 0x8000000000000000u;
    for (int n = 0; n < 8; n++) id[8 + n] = (uint8_t)(low >> 8 * (7 - n));
}

int rows_add(Rows *rows, const Row *row, Text source) {
    uint8_t content[32], own[32], seed[32], id[16];
    const uint8_t *identity = id;
    if (hash_content(&rows->content, row, source, content)) return -1;
    if (row->texts[SOURCE_EVENT_ID].data) {
        if (hash_own_id(&rows->content, row, source, own, seed)) return -1;
        make_event_id(row->microseconds, seed, id);
        identity = own;
    } else {
        make_event_id(row->microseconds, content, id);
    }
    for (int n = 0; n < TEXT_COLUMNS; n++)
        if (add_text(&rows->texts[n], row->texts[n], rows->count)) return -1;
    if (bytes_add(&rows->event_ids, id, 16) || bytes_add(&rows->identities, identity, 16) ||
        bytes_add(&rows->content_hashes, content, 16) || bytes_add(&rows->microseconds, &row->microseconds, 8) ||
        bytes_add(&rows->lines, &row->line, 8) || bytes_add(&rows->byte_offsets, &row->byte_offset, 8) ||
        bytes_add_byte(&rows->is_sanitised, row->is_sanitised))
        return -1;
    if (!rows->count || row->microseconds < rows->first) rows->first = row->microseconds;
    if (!rows->count || row->microseconds > rows->last) rows->last = row->microseconds;
    rows->count++;
    rows->sanitised += row->is_sanitised;
    return 0;
}
