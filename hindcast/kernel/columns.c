#include "columns.h"

const char *const TEXT_NAMES[TEXTS] = {"tenant",    "event_type", "user_id",   "anonymous_id", "session_id",
                                       "course_id", "lesson_id",  "module_id", "user_agent",   "source_event_id"};

/* Rows that lie side by side. */
typedef struct {
    const Rows *rows;
    size_t first, count;
} Run;

typedef struct {
    Bytes runs; /* of Run */
    size_t rows;
} Order;

static size_t count_runs(const Order *order) { return order->runs.size / sizeof(Run); }
static const Run *run_at(const Order *order, size_t at) { return (const Run *)(const void *)order->runs.data + at; }

static int64_t line_at(const Rows *rows, size_t at) {
    int64_t line;
    memcpy(&line, rows->lines.data + 8 * at, sizeof line);
    return line;
}

/* Add the rows from `*at` whose lines come before `bound`, or are it. */
static int add_run(Order *order, const Rows *rows, size_t *at, int64_t bound) {
    Run run = {rows, *at, 0};
    while (*at < rows->count && line_at(rows, *at) <= bound) ++*at;
    run.count = *at - run.first;
    order->rows += run.count;
    return run.count ? bytes_add(&order->runs, &run, sizeof run) : 0;
}

static int find_order(Order *order, const Rows *a, const Rows *b) {
    size_t at_a = 0, at_b = 0;
    while (at_a < a->count || at_b < b->count) {
        if (add_run(order, a, &at_a, at_b < b->count ? line_at(b, at_b) : INT64_MAX)) return -1;
        if (add_run(order, b, &at_b, at_a < a->count ? line_at(a, at_a) - 1 : INT64_MAX)) return -1;
    }
    return 0;
}

/* Values of `width` bytes each; `place` is where a Rows has them. */
static PyObject *fixed_column(const Order *order, size_t place, size_t width) {
    PyObject *column = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(order->rows * width));
    if (!column) return NULL;
    char *out = PyBytes_AS_STRING(column);
    for (size_t n = 0; n < count_runs(order); n++) {
        const Run *run = run_at(order, n);
        const Bytes *values = (const Bytes *)(const void *)((const char *)run->rows + place);
        memcpy(out, values->data + width * run->first, width * run->count);
        out += width * run->count;
    }
    return column;
}

static size_t end_of(const TextColumn *column, size_t rows) {
    uint32_t end = 0;
    if (rows) memcpy(&end, column->ends.data + 4 * (rows - 1), sizeof end);
    return end;
}

static size_t text_size(const Order *order, int text) {
    size_t size = 0;
    for (size_t n = 0; n < count_runs(order); n++) {
        const Run *run = run_at(order, n);
        const TextColumn *column = &run->rows->texts[text];
        size += end_of(column, run->first + run->count) - end_of(column, run->first);
    }
    return size;
}

/* Write a column's texts; returns how many rows have none. */
static Py_ssize_t write_texts(const Order *order, int text, uint8_t *ends, uint8_t *data, uint8_t *validity) {
    size_t row = 0, size = 0, known = 0;
    for (size_t n = 0; n < count_runs(order); n++) {
        const Run *run = run_at(order, n);
        const TextColumn *column = &run->rows->texts[text];
        size_t begin = end_of(column, run->first), length = end_of(column, run->first + run->count) - begin;
        if (length) memcpy(data + size, column->data.data + begin, length);
        for (size_t at = run->first; at < run->first + run->count; at++, row++) {
            uint32_t end = (uint32_t)(end_of(column, at + 1) - begin + size);
            memcpy(ends + 4 * (row + 1), &end, sizeof end);
            uint8_t bit = column->validity.data[at / 8] >> at % 8 & 1;
            validity[row / 8] |= (uint8_t)(bit << row % 8);
            known += bit;
        }
        size += length;
    }
    return (Py_ssize_t)(row - known);
}

static PyObject *text_column(const Order *order, int text) {
    size_t size = text_size(order, text);
    if (size > INT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "a chunk's texts are over 2 GiB: take smaller chunks (--chunk)");
        return NULL;
    }
    PyObject *ends = PyBytes_FromStringAndSize(NULL, 4 * ((Py_ssize_t)order->rows + 1));
    PyObject *data = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
    PyObject *validity = PyBytes_FromStringAndSize(NULL, ((Py_ssize_t)order->rows + 7) / 8);
    if (!ends || !data || !validity) {
        Py_XDECREF(ends);
        Py_XDECREF(data);
        Py_XDECREF(validity);
        return NULL;
    }
    uint8_t *bits = (uint8_t *)PyBytes_AS_STRING(validity);
    memset(PyBytes_AS_STRING(ends), 0, 4);
    memset(bits, 0, (size_t)PyBytes_GET_SIZE(validity));
    Py_ssize_t nulls =
        write_texts(order, text, (uint8_t *)PyBytes_AS_STRING(ends), (uint8_t *)PyBytes_AS_STRING(data), bits);
    return Py_BuildValue("(NNNn)", ends, data, validity, nulls);
}

static int add_column(PyObject *columns, const char *name, PyObject *column) {
    int status = column ? PyDict_SetItemString(columns, name, column) : -1;
    Py_XDECREF(column);
    return status;
}

static int add_columns(PyObject *columns, const Order *order) {
    static const struct { const char *name; size_t place, width; } fixed[] = {
        {"event_id", offsetof(Rows, event_ids), 16},
        {"identity", offsetof(Rows, identities), 16},
        {"content_hash", offsetof(Rows, content_hashes), 16},
        {"created_at", offsetof(Rows, microseconds), 8},
        {"line", offsetof(Rows, lines), 8},
        {"byte_offset", offsetof(Rows, byte_offsets), 8},
        {"is_sanitised", offsetof(Rows, is_sanitised), 1}};
    for (size_t n = 0; n < sizeof fixed / sizeof *fixed; n++)
        if (add_column(columns, fixed[n].name, fixed_column(order, fixed[n].place, fixed[n].width))) return -1;
    for (int text = 0; text < TEXT_COLUMNS; text++)
        if (add_column(columns, text == PAYLOAD ? "payload" : TEXT_NAMES[text], text_column(order, text))) return -1;
    return 0;
}

PyObject *merge_columns(const Rows *a, const Rows *b) {
    Order order = {.rows = 0};
    PyObject *columns = find_order(&order, a, b) ? PyErr_NoMemory() : PyDict_New();
    if (columns && add_columns(columns, &order)) Py_CLEAR(columns);
    bytes_free(&order.runs);
    return columns;
}
