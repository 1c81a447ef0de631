/* Staged rows from Python: a tuple (ids, times, source, texts) of Arrow's buffers. */
#ifndef HINDCAST_BUFFERS_H
#define HINDCAST_BUFFERS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "match.h"

typedef struct {
    Staged staged;
    Py_buffer fixed[2], texts[TEXT_COLUMNS][3];
} StagedBuffers;

/* 0, or -1 with an error set; to be released in either case. Every row lies within its buffers. */
int get_staged(PyObject *rows, StagedBuffers *buffers);
void release_staged(StagedBuffers *buffers);

/* Any number of columns of texts. */
typedef struct {
    size_t width;
    ArrowTexts *texts;
    Py_buffer (*views)[3];
} Columns;

/* Of a tuple of columns of so many rows; the same promises. */
int get_columns(PyObject *tuple, size_t rows, Columns *columns);
void release_columns(Columns *columns);

#endif
