/* The type of a block's lines: cut at once, made into objects only where somebody asks for one. */
#ifndef HINDCAST_LINES_H
#define HINDCAST_LINES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "bytes.h"

typedef struct {
    Py_ssize_t start, end; /* in the block, without the line's end */
    int64_t number;
} Line;

typedef enum { RAW, NUMBER, OFFSET } Facet;

typedef struct {
    PyObject_HEAD
    PyObject *block, *table; /* bytes; of the table a Line each */
    int64_t offset;          /* where the block begins in its part */
    Py_ssize_t first, count;
    Facet facet; /* what its items are */
} Lines;

/* The type, ready; NULL with an error set. */
PyTypeObject *lines_type(void);
int is_lines(PyObject *object);
static inline const Line *lines_at(const Lines *lines, Py_ssize_t at) {
    return (const Line *)(void *)PyBytes_AS_STRING(lines->table) + lines->first + at;
}
/* See `cut` of the `.pyi`. */
PyObject *cut_lines(PyObject *module, PyObject *arguments);

#endif
