/* `hindcast.kernel._kernel`: see its `.pyi` for what each does. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "builder.h"
#include "buffers.h"
#include "lines.h"
#include "row_texts.h"
#include "sender.h"
#include "sha256.h"
#include "sums.h"

static PyObject *match(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer sent = {0}, states = {0}, chunks = {0};
    PyObject *rows, *result = NULL;
    StagedBuffers buffers;
    if (!PyArg_ParseTuple(arguments, "Oy*w*w*", &rows, &sent, &states, &chunks)) return NULL;
    if (get_staged(rows, &buffers)) goto done;
    const Staged *staged = &buffers.staged;
    if ((size_t)states.len != staged->count || (size_t)chunks.len != 8 * staged->count) {
        PyErr_SetString(PyExc_ValueError, "not one state and one chunk a row");
        goto done;
    }
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = match_rows(staged, sent.buf, (size_t)sent.len, states.buf, chunks.buf);
    Py_END_ALLOW_THREADS
    if (status == NO_MEMORY)
        PyErr_NoMemory();
    else if (status != PLAIN)
        PyErr_SetString(PyExc_ValueError, "the server sent rows of another shape");
    else
        result = Py_NewRef(Py_None);
done:
    release_staged(&buffers);
    PyBuffer_Release(&sent);
    PyBuffer_Release(&states);
    PyBuffer_Release(&chunks);
    return result;
}

static PyObject *sum(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *rows, *result = NULL;
    StagedBuffers buffers;
    unsigned long long seed;
    uint64_t found = 0;
    if (!PyArg_ParseTuple(arguments, "OK", &rows, &seed)) return NULL;
    if (get_staged(rows, &buffers)) goto done;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = sum_rows(&buffers.staged, seed, &found);
    Py_END_ALLOW_THREADS
    if (status == NO_MEMORY)
        PyErr_NoMemory();
    else
        result = status == PLAIN ? PyLong_FromUnsignedLongLong(found) : Py_NewRef(Py_None);
done:
    release_staged(&buffers);
    return result;
}

static PyObject *hash_rows(PyObject *module, PyObject *arguments) {
    (void)module;
    PyObject *texts, *result = NULL;
    Py_ssize_t rows;
    Columns columns = {0};
    if (!PyArg_ParseTuple(arguments, "O!n", &PyTuple_Type, &texts, &rows)) return NULL;
    if (rows < 0 || rows > INT32_MAX) return PyErr_Format(PyExc_ValueError, "%zd rows", rows);
    if (get_columns(texts, (size_t)rows, &columns)) goto done;
    result = PyBytes_FromStringAndSize(NULL, ROW_HASH_BYTES * rows);
    if (!result) goto done;
    uint8_t *hashes = (uint8_t *)PyBytes_AS_STRING(result);
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = hash_row_texts(columns.texts, columns.width, (size_t)rows, hashes);
    Py_END_ALLOW_THREADS
    if (status) {
        Py_CLEAR(result);
        PyErr_NoMemory();
    }
done:
    release_columns(&columns);
    return result;
}

static PyObject *canonical(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer text;
    if (!PyArg_ParseTuple(arguments, "y*", &text)) return NULL;
    Cursor cursor = {.at = text.buf, .end = (const uint8_t *)text.buf + text.len};
    Bytes out = {0};
    Scratch scratch = {{0}, {0}};
    int status = json_copy_value(&cursor, &out, &scratch);
    json_skip_space(&cursor);
    PyObject *result = NULL;
    if (status == NO_MEMORY)
        PyErr_NoMemory();
    else if (status != PLAIN || cursor.at != cursor.end)
        result = Py_NewRef(Py_None);
    else
        result = PyBytes_FromStringAndSize((const char *)out.data, (Py_ssize_t)out.size);
    bytes_free(&out);
    scratch_free(&scratch);
    PyBuffer_Release(&text);
    return result;
}

static PyObject *digest(PyObject *module, PyObject *arguments) {
    (void)module;
    Py_buffer data;
    int portable;
    uint8_t found[32];
    if (!PyArg_ParseTuple(arguments, "y*p", &data, &portable)) return NULL;
    sha256(data.buf, (size_t)data.len, found, portable);
    PyBuffer_Release(&data);
    return PyBytes_FromStringAndSize((const char *)found, 32);
}

static PyMethodDef functions[] = {
    {"cut", cut_lines, METH_VARARGS, NULL},
    {"match", match, METH_VARARGS, NULL},
    {"sum", sum, METH_VARARGS, NULL},
    {"hash_rows", hash_rows, METH_VARARGS, NULL},
    {"canonical", canonical, METH_VARARGS, NULL},
    {"digest", digest, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernel", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) {
    PyObject *module = PyModule_Create(&definition);
    if (!module) return NULL;
    PyTypeObject *builder = builder_type(), *lines = lines_type(), *sender = sender_type();
    if (!builder || !lines || !sender || PyModule_AddObjectRef(module, "Builder", (PyObject *)builder) < 0 ||
        PyModule_AddObjectRef(module, "Lines", (PyObject *)lines) < 0 ||
        PyModule_AddObjectRef(module, "Sender", (PyObject *)sender) < 0) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
