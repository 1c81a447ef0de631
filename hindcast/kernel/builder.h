/* The type that collects rows from Python. */
#ifndef HINDCAST_BUILDER_H
#define HINDCAST_BUILDER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The type, ready; NULL with an error set. */
PyTypeObject *builder_type(void);

#endif
