#include "row_texts.h"

#include "sha256.h"

/* What makes `record_out` put a value between quotes, and of that what it writes twice. */
enum { QUOTED = 1, DOUBLED = 2 };
static const uint8_t KIND[256] = {
    [' '] = QUOTED,  ['\t'] = QUOTED, ['\n'] = QUOTED, ['\v'] = QUOTED,           ['\f'] = QUOTED,
    ['\r'] = QUOTED, ['('] = QUOTED,  [')'] = QUOTED,  [','] = QUOTED,            ['"'] = QUOTED | DOUBLED,
    ['\\'] = QUOTED | DOUBLED,
};

static int add_field(Bytes *row, Text value) {
    size_t at = 0;
    while (at < value.size && !KIND[value.data[at]]) at++;
    if (at == value.size && value.size) return bytes_add(row, value.data, value.size);
    uint8_t *out = bytes_reserve(row, 2 * value.size + 2), *begin = out;
    if (!out) return -1;
    *out++ = '"';
    for (size_t n = 0; n < value.size; n++) {
        if (KIND[value.data[n]] & DOUBLED) *out++ = value.data[n];
        *out++ = value.data[n];
    }
    *out++ = '"';
    row->size += (size_t)(out - begin);
    return 0;
}

static int write_row(const ArrowTexts *columns, size_t width, size_t number, Bytes *row) {
    row->size = 0;
    if (bytes_add_byte(row, '(')) return -1;
    for (size_t n = 0; n < width; n++) {
        if (n && bytes_add_byte(row, ',')) return -1;
        Text value = staged_text(&columns[n], number);
        if (value.data && add_field(row, value)) return -1;
    }
    return bytes_add_byte(row, ')');
}

int hash_row_texts(const ArrowTexts *columns, size_t width, size_t rows, uint8_t *hashes) {
    Bytes row = {0};
    int status = 0;
    for (size_t n = 0; n < rows; n++) {
        uint8_t whole[32];
        status = write_row(columns, width, n, &row);
        if (status) break;
        sha256(row.data, row.size, whole, 0);
        memcpy(hashes + ROW_HASH_BYTES * n, whole, ROW_HASH_BYTES);
    }
    bytes_free(&row);
    return status;
}
