/* Rows as Arrow's buffers in Python. */
#ifndef HINDCAST_COLUMNS_H
#define HINDCAST_COLUMNS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "rows.h"

/* The attributes of an event that are texts, and the names of their columns. */
extern const char *const TEXT_NAMES[TEXTS];

/* The rows of both, each in the order of its lines, in the order of all lines: a dict of buffers by column, of texts
 * (ends with a zero before them, data, validity, count of nulls). NULL with an error set. */
PyObject *merge_columns(const Rows *a, const Rows *b);

#endif
