#include "builder.h"

#include <structmember.h>

#include "columns.h"
#include "lines.h"
#include "record.h"

typedef struct {
    PyObject_HEAD
    Rows rows;
    Shape shape;
    Reading reading;
    PyObject *source, *tenant; /* str, whose UTF-8 the shape and the rows refer to */
    Text source_text;
    int64_t start, end; /* the window: rows outside are only counted */
    Py_ssize_t outside, naive;
} Builder;

static PyObject *attributes[TEXTS], *is_sanitised_name;

static void builder_dealloc(Builder *self) {
    rows_free(&self->rows);
    reading_free(&self->reading);
    Py_XDECREF(self->source);
    Py_XDECREF(self->tenant);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static int get_utf8(PyObject *string, Text *text) {
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(string, &size);
    if (!data) return -1;
    *text = (Text){(const uint8_t *)data, (size_t)size};
    return 0;
}

static int add_name(Shape *shape, PyObject *name, PyObject *slot) {
    Text text;
    if (get_utf8(name, &text)) return -1;
    long place = PyLong_AsLong(slot);
    if (place == -1 && PyErr_Occurred()) return -1;
    if (shape->count == MOST_NAMES || text.size > LONGEST_KEY || !text.size || place < SLOT_PAYLOAD || place >= TEXTS) {
        PyErr_Format(PyExc_ValueError, "name %R for %ld: too long, too many, or no such column", name, place);
        return -1;
    }
    Name *added = &shape->names[shape->count++];
    memcpy(added->name, text.data, text.size);
    added->size = text.size;
    added->slot = (int)place;
    return 0;
}

static int builder_init(Builder *self, PyObject *arguments, PyObject *keywords) {
    static char *names[] = {"source", "tenant", "names", "earliest", "latest", "start", "end", "refuses_personal", NULL};
    PyObject *source, *tenant, *fields, *name, *slot;
    long long earliest, latest, start, end;
    int refuses_personal;
    Py_ssize_t at = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "UUO!LLLLp", names, &source, &tenant, &PyDict_Type, &fields,
                                     &earliest, &latest, &start, &end, &refuses_personal))
        return -1;
    if (self->source) {
        PyErr_SetString(PyExc_RuntimeError, "a builder is made once");
        return -1;
    }
    self->source = Py_NewRef(source);
    self->tenant = Py_NewRef(tenant);
    if (get_utf8(source, &self->source_text) || get_utf8(tenant, &self->shape.tenant)) return -1;
    while (PyDict_Next(fields, &at, &name, &slot))
        if (add_name(&self->shape, name, slot)) return -1;
    shape_hash_names(&self->shape);
    self->shape.earliest = earliest;
    self->shape.latest = latest;
    self->shape.refuses_personal = refuses_personal;
    self->start = start;
    self->end = end;
    return 0;
}

/* The integer at a place of a sequence. */
static int get_integer(PyObject *sequence, Py_ssize_t at, int64_t *value) {
    PyObject *item = PySequence_GetItem(sequence, at);
    if (!item) return -1;
    *value = PyLong_AsLongLong(item);
    Py_DECREF(item);
    return *value == -1 && PyErr_Occurred() ? -1 : 0;
}

static int add_row(Builder *self, const Row *row) {
    if (!rows_have_room(&self->rows, row)) {
        PyErr_SetString(PyExc_OverflowError, "a chunk's texts are over 2 GiB: take smaller chunks (--chunk)");
        return -1;
    }
    if (rows_add(&self->rows, row, self->source_text) == 0) return 0;
    PyErr_NoMemory();
    return -1;
}

static int leave(PyObject *left, Py_ssize_t at) {
    PyObject *place = PyLong_FromSsize_t(at);
    int status = place ? PyList_Append(left, place) : -1;
    Py_XDECREF(place);
    return status;
}

/* One record, of which `row` has the line and the offset; 0, or -1 with an error set. */
static int read_one(Builder *self, const char *data, Py_ssize_t size, Row *row, Py_ssize_t at, PyObject *left) {
    int64_t line = row->line, offset = row->byte_offset;
    int status = record_read(&self->shape, &self->reading, (const uint8_t *)data, (size_t)size, row);
    if (status == NO_MEMORY) {
        PyErr_NoMemory();
        return -1;
    }
    if (status != PLAIN) return leave(left, at);
    self->naive += row->is_naive;
    if (row->microseconds < self->start || row->microseconds >= self->end) {
        self->outside++;
        return 0;
    }
    row->line = line;
    row->byte_offset = offset;
    return add_row(self, row);
}

static int read_object(Builder *self, PyObject *raw, PyObject *numbers, PyObject *offsets, Py_ssize_t at, PyObject *left) {
    Row row;
    char *data;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(raw, &data, &size)) return -1;
    if (get_integer(numbers, at, &row.line) || get_integer(offsets, at, &row.byte_offset)) return -1;
    return read_one(self, data, size, &row, at, left);
}

static int read_line(Builder *self, const Lines *lines, Py_ssize_t at, PyObject *left) {
    const Line *line = lines_at(lines, at);
    Row row = {.line = line->number, .byte_offset = lines->offset + line->start};
    return read_one(self, PyBytes_AS_STRING(lines->block) + line->start, line->end - line->start, &row, at, left);
}

static PyObject *builder_read(Builder *self, PyObject *arguments) {
    PyObject *raws, *numbers, *offsets;
    if (!PyArg_ParseTuple(arguments, "OOO", &raws, &numbers, &offsets)) return NULL;
    Py_ssize_t count = is_lines(raws) ? ((Lines *)raws)->count : PyList_Check(raws) ? PyList_GET_SIZE(raws) : -1;
    if (count < 0) {
        PyErr_SetString(PyExc_TypeError, "records come as a list or as lines");
        return NULL;
    }
    PyObject *left = PyList_New(0);
    for (Py_ssize_t at = 0; left && at < count; at++) {
        int status = is_lines(raws) ? read_line(self, (Lines *)raws, at, left)
                                    : read_object(self, PyList_GET_ITEM(raws, at), numbers, offsets, at, left);
        if (status) Py_CLEAR(left);
    }
    return left;
}

/* The texts of an event, which `held` keeps alive. */
static int get_event(PyObject *event, PyObject *held[TEXTS], Row *row) {
    for (int n = 0; n < TEXTS; n++) {
        held[n] = PyObject_GetAttr(event, attributes[n]);
        if (!held[n]) return -1;
        row->texts[n] = (Text){NULL, 0};
        if (held[n] != Py_None && get_utf8(held[n], &row->texts[n])) return -1;
    }
    PyObject *flag = PyObject_GetAttr(event, is_sanitised_name);
    if (!flag) return -1;
    row->is_sanitised = flag == Py_True;
    Py_DECREF(flag);
    return 0;
}

static PyObject *builder_add(Builder *self, PyObject *arguments) {
    PyObject *event, *held[TEXTS] = {NULL};
    long long microseconds, line, offset;
    const char *payload;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "OLy#LL", &event, &microseconds, &payload, &size, &line, &offset)) return NULL;
    Row row = {.microseconds = microseconds, .line = line, .byte_offset = offset};
    int status = get_event(event, held, &row);
    row.texts[PAYLOAD] = (Text){(const uint8_t *)payload, (size_t)size};
    if (!status) status = add_row(self, &row);
    for (int n = 0; n < TEXTS; n++) Py_XDECREF(held[n]);
    return status ? NULL : Py_NewRef(Py_None);
}

static PyObject *builder_columns(Builder *self, PyObject *other) {
    if (!Py_IS_TYPE(other, Py_TYPE(self))) {
        PyErr_SetString(PyExc_TypeError, "columns are merged with those of a builder");
        return NULL;
    }
    return merge_columns(&self->rows, &((Builder *)other)->rows);
}

static PyObject *builder_clear(Builder *self, PyObject *unused) {
    (void)unused;
    rows_clear(&self->rows);
    self->outside = self->naive = 0;
    return Py_NewRef(Py_None);
}

static PyObject *get_count(Builder *self, void *unused) { (void)unused; return PyLong_FromSize_t(self->rows.count); }
static PyObject *get_sanitised(Builder *self, void *unused) { (void)unused; return PyLong_FromSize_t(self->rows.sanitised); }
static PyObject *get_first(Builder *self, void *unused) { (void)unused; return PyLong_FromLongLong(self->rows.first); }
static PyObject *get_last(Builder *self, void *unused) { (void)unused; return PyLong_FromLongLong(self->rows.last); }
static PyObject *get_size(Builder *self, void *unused) { (void)unused; return PyLong_FromSize_t(rows_size(&self->rows)); }

static PyGetSetDef properties[] = {
    {"count", (getter)get_count, NULL, NULL, NULL},     {"sanitised", (getter)get_sanitised, NULL, NULL, NULL},
    {"first", (getter)get_first, NULL, NULL, NULL},     {"last", (getter)get_last, NULL, NULL, NULL},
    {"size", (getter)get_size, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL}};
static PyMemberDef members[] = {{"outside", T_PYSSIZET, offsetof(Builder, outside), READONLY, NULL},
                                {"naive", T_PYSSIZET, offsetof(Builder, naive), READONLY, NULL},
                                {NULL, 0, 0, 0, NULL}};
static PyMethodDef methods[] = {
    {"read", (PyCFunction)builder_read, METH_VARARGS, NULL},
    {"add", (PyCFunction)builder_add, METH_VARARGS, NULL},
    {"columns", (PyCFunction)builder_columns, METH_O, NULL},
    {"clear", (PyCFunction)builder_clear, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL}};

static PyTypeObject type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hindcast.kernel._kernel.Builder",
    .tp_basicsize = sizeof(Builder),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = (initproc)builder_init,
    .tp_dealloc = (destructor)builder_dealloc,
    .tp_methods = methods,
    .tp_members = members,
    .tp_getset = properties,
};

PyTypeObject *builder_type(void) {
    for (int n = 0; n < TEXTS; n++)
        if (!attributes[n] && !(attributes[n] = PyUnicode_InternFromString(TEXT_NAMES[n]))) return NULL;
    if (!is_sanitised_name && !(is_sanitised_name = PyUnicode_InternFromString("is_sanitised"))) return NULL;
    return PyType_Ready(&type) < 0 ? NULL : &type;
}
