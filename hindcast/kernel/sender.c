/* The type `Sender`. */
#include "sender.h"

#include "sending.h"

/* As much as libpq's caller passes on at once, and a processor's own cache keeps. */
#define PIECE_BYTES (120 * 1024)

typedef struct {
    PyObject_HEAD
    StagedBuffers buffers;
    Py_buffer lines;
    Sending sending;
    Bytes out;
} Sender;

static void sender_dealloc(Sender *self) {
    release_staged(&self->buffers);
    PyBuffer_Release(&self->lines);
    end_sending(&self->sending);
    bytes_free(&self->out);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *sender_new(PyTypeObject *type, PyObject *arguments, PyObject *named) {
    (void)named;
    PyObject *rows;
    long long chunk_id, imported_at;
    Sender *self = (Sender *)type->tp_alloc(type, 0); /* all zeros */
    if (!self) return NULL;
    if (!PyArg_ParseTuple(arguments, "Oy*LL", &rows, &self->lines, &chunk_id, &imported_at)) goto failed;
    if (get_staged(rows, &self->buffers)) goto failed;
    if ((size_t)self->lines.len != 8 * self->buffers.staged.count) {
        PyErr_SetString(PyExc_ValueError, "not one line a row");
        goto failed;
    }
    self->sending = (Sending){&self->buffers.staged, self->lines.buf, chunk_id, imported_at, NULL, 0};
    if (!begin_sending(&self->sending)) return (PyObject *)self;
    PyErr_NoMemory();
failed:
    Py_DECREF(self);
    return NULL;
}

static PyObject *sender_next(Sender *self) {
    if (send_some(&self->sending, PIECE_BYTES, &self->out)) return PyErr_NoMemory();
    return self->out.size ? PyBytes_FromStringAndSize((const char *)self->out.data, (Py_ssize_t)self->out.size) : NULL;
}

static PyTypeObject type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "hindcast.kernel._kernel.Sender",
    .tp_basicsize = sizeof(Sender),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = sender_new,
    .tp_dealloc = (destructor)sender_dealloc,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = (iternextfunc)sender_next,
};

PyTypeObject *sender_type(void) { return PyType_Ready(&type) < 0 ? NULL : &type; }
