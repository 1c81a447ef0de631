#include "buffers.h"

static int get_texts(PyObject *tuple, Py_buffer views[3], ArrowTexts *texts) {
    PyObject *ends, *data, *validity;
    Py_ssize_t offset;
    if (!PyArg_ParseTuple(tuple, "OOOn", &ends, &data, &validity, &offset)) return -1;
    if (offset < 0 || offset > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "an offset of %zd", offset);
        return -1;
    }
    if (PyObject_GetBuffer(ends, &views[0], PyBUF_SIMPLE) || PyObject_GetBuffer(data, &views[1], PyBUF_SIMPLE)) return -1;
    if (validity != Py_None && PyObject_GetBuffer(validity, &views[2], PyBUF_SIMPLE)) return -1;
    *texts = (ArrowTexts){views[0].buf, views[1].buf, views[2].buf, (size_t)offset};
    return 0;
}

static int are_within(const Py_buffer views[3], const ArrowTexts *texts, size_t count) {
    size_t last = texts->offset + count;
    if ((size_t)views[0].len < 4 * (last + 1)) return 0;
    if (texts->validity && (size_t)views[2].len * 8 < last) return 0;
    for (size_t row = texts->offset; row < last; row++)
        if (texts->ends[row] < 0 || texts->ends[row] > texts->ends[row + 1]) return 0;
    return texts->ends[last] <= views[1].len;
}

int get_staged(PyObject *rows, StagedBuffers *buffers) {
    PyObject *ids, *times, *source, *texts;
    Staged *staged = &buffers->staged;
    memset(buffers, 0, sizeof *buffers);
    if (!PyArg_ParseTuple(rows, "OOUO!", &ids, &times, &source, &PyTuple_Type, &texts)) return -1;
    if (PyObject_GetBuffer(ids, &buffers->fixed[0], PyBUF_SIMPLE)) return -1;
    if (PyObject_GetBuffer(times, &buffers->fixed[1], PyBUF_SIMPLE)) return -1;
    Py_ssize_t size;
    const char *name = PyUnicode_AsUTF8AndSize(source, &size);
    if (!name) return -1;
    staged->source = (Text){(const uint8_t *)name, (size_t)size};
    staged->ids = buffers->fixed[0].buf;
    staged->microseconds = buffers->fixed[1].buf;
    staged->count = (size_t)buffers->fixed[0].len / 16;
    int is_right = (size_t)buffers->fixed[1].len == 8 * staged->count && PyTuple_GET_SIZE(texts) == TEXT_COLUMNS &&
                   staged->count < UINT32_MAX;
    for (int n = 0; is_right && n < TEXT_COLUMNS; n++) {
        if (get_texts(PyTuple_GET_ITEM(texts, n), buffers->texts[n], &staged->texts[n])) return -1;
        is_right = are_within(buffers->texts[n], &staged->texts[n], staged->count);
    }
    if (is_right) return 0;
    PyErr_SetString(PyExc_ValueError, "columns of other lengths than the ids");
    return -1;
}

void release_staged(StagedBuffers *buffers) {
    for (int n = 0; n < 2; n++) PyBuffer_Release(&buffers->fixed[n]);
    for (int n = 0; n < TEXT_COLUMNS; n++)
        for (int k = 0; k < 3; k++) PyBuffer_Release(&buffers->texts[n][k]);
}

int get_columns(PyObject *tuple, size_t rows, Columns *columns) {
    size_t width = (size_t)PyTuple_GET_SIZE(tuple);
    *columns = (Columns){width, PyMem_Calloc(width + 1, sizeof(ArrowTexts)), PyMem_Calloc(width + 1, sizeof(Py_buffer[3]))};
    if (!columns->texts || !columns->views) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t n = 0; n < width; n++) {
        if (get_texts(PyTuple_GET_ITEM(tuple, n), columns->views[n], &columns->texts[n])) return -1;
        if (!are_within(columns->views[n], &columns->texts[n], rows)) {
            PyErr_SetString(PyExc_ValueError, "a column of fewer rows");
            return -1;
        }
    }
    return 0;
}

void release_columns(Columns *columns) {
    for (size_t n = 0; columns->views && n < columns->width; n++)
        for (int k = 0; k < 3; k++) PyBuffer_Release(&columns->views[n][k]);
    PyMem_Free(columns->texts);
    PyMem_Free(columns->views);
}
