#include "lines.h"

#include <structmember.h>

static PyTypeObject type;

static PyObject *make_lines(PyObject *block, PyObject *table, int64_t offset) {
    Lines *lines = PyObject_New(Lines, &type);
    if (!lines) return NULL;
    lines->block = Py_NewRef(block);
    lines->table = Py_NewRef(table);
    lines->offset = offset;
    lines->first = 0;
    lines->count = PyBytes_GET_SIZE(table) / (Py_ssize_t)sizeof(Line);
    lines->facet = RAW;
    return (PyObject *)lines;
}

static PyObject *make_view(const Lines *lines, Py_ssize_t first, Py_ssize_t count, Facet facet) {
    Lines *view = (Lines *)make_lines(lines->block, lines->table, lines->offset);
    if (!view) return NULL;
    view->first = lines->first + first;
    view->count = count;
    view->facet = facet;
    return (PyObject *)view;
}

static void lines_dealloc(Lines *self) {
    Py_DECREF(self->block);
    Py_DECREF(self->table);
    PyObject_Free(self);
}

static Py_ssize_t lines_length(Lines *self) { return self->count; }

static PyObject *lines_item(Lines *self, Py_ssize_t at) {
    if (at < 0 || at >= self->count) {
        PyErr_SetString(PyExc_IndexError, "no such line");
        return NULL;
    }
    const Line *line = lines_at(self, at);
    switch (self->facet) {
        case NUMBER: return PyLong_FromLongLong(line->number);
        case OFFSET: return PyLong_FromLongLong(self->offset + line->start);
        default: return PyBytes_FromStringAndSize(PyBytes_AS_STRING(self->block) + line->start, line->end - line->start);
    }
}

static PyObject *lines_subscript(Lines *self, PyObject *key) {
    if (!PySlice_Check(key)) {
        Py_ssize_t at = PyNumber_AsSsize_t(key, PyExc_IndexError);
        if (at == -1 && PyErr_Occurred()) return NULL;
        return lines_item(self, at < 0 ? at + self->count : at);
    }
    Py_ssize_t first, end, step;
    if (PySlice_Unpack(key, &first, &end, &step)) return NULL;
    Py_ssize_t count = PySlice_AdjustIndices(self->count, &first, &end, step);
    if (step != 1) {
        PyErr_SetString(PyExc_ValueError, "lines are sliced without steps");
        return NULL;
    }
    return make_view(self, first, count, self->facet);
}

/* As bytes.isspace() has it, and true of nothing. */
static int is_blank(const char *data, Py_ssize_t size) {
    for (Py_ssize_t at = 0; at < size; at++)
        if (data[at] != ' ' && (data[at] < '\t' || data[at] > '\r')) return 0;
    return 1;
}

/* Add the lines from `*at` to `last`, which begin before `end`; returns how many there were, or -1. */
static int64_t add_lines(Bytes *table, const char *data, Py_ssize_t *at, Py_ssize_t last, Py_ssize_t end, int64_t before) {
    int64_t seen = 0;
    while (*at <= last && *at < end) {
        const char *newline = memchr(data + *at, '\n', (size_t)(last - *at + 1));
        Py_ssize_t next = newline ? newline - data + 1 : last + 1;
        Line line = {*at, next - 1, before + ++seen};
        if (line.end > line.start && data[line.end - 1] == '\r') line.end--;
        if (!is_blank(data + line.start, line.end - line.start) && bytes_add(table, &line, sizeof line)) return -1;
        *at = next;
    }
    return seen;
}

PyObject *cut_lines(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *block;
    Py_ssize_t at, last, end;
    long long offset, before;
    if (!PyArg_ParseTuple(arguments, "SnnnLL", &block, &at, &last, &end, &offset, &before)) return NULL;
    if (at < 0 || last < at || last >= PyBytes_GET_SIZE(block) || PyBytes_AS_STRING(block)[last] != '\n') {
        PyErr_SetString(PyExc_ValueError, "the last line does not end where it is said to");
        return NULL;
    }
    Bytes found = {0};
    int64_t seen = add_lines(&found, PyBytes_AS_STRING(block), &at, last, end, before);
    PyObject *table = seen < 0 ? PyErr_NoMemory() : PyBytes_FromStringAndSize((const char *)found.data, (Py_ssize_t)found.size);
    bytes_free(&found);
    PyObject *lines = table ? make_lines(block, table, offset) : NULL;
    Py_XDECREF(table);
    return lines ? Py_BuildValue("(NnL)", lines, at, (long long)seen) : NULL;
}

static PyObject *get_numbers(Lines *self, void *unused) { (void)unused; return make_view(self, 0, self->count, NUMBER); }
static PyObject *get_offsets(Lines *self, void *unused) { (void)unused; return make_view(self, 0, self->count, OFFSET); }

static PyGetSetDef properties[] = {{"numbers", (getter)get_numbers, NULL, NULL, NULL},
                                   {"offsets", (getter)get_offsets, NULL, NULL, NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};
static PySequenceMethods sequence = {.sq_length = (lenfunc)lines_length, .sq_item = (ssizeargfunc)lines_item};
static PyMappingMethods mapping = {.mp_length = (lenfunc)lines_length, .mp_subscript = (binaryfunc)lines_subscript};

static PyTypeObject type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hindcast.kernel._kernel.Lines",
    .tp_basicsize = sizeof(Lines),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = (destructor)lines_dealloc,
    .tp_as_sequence = &sequence,
    .tp_as_mapping = &mapping,
    .tp_getset = properties,
};

int is_lines(PyObject *object) { return Py_IS_TYPE(object, &type); }

PyTypeObject *lines_type(void) { return PyType_Ready(&type) < 0 ? NULL : &type; }
