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

#endif
