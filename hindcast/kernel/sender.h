/* Staged rows as PostgreSQL's binary COPY format, piece by piece, for Python. */
#ifndef HINDCAST_SENDER_H
#define HINDCAST_SENDER_H

#include "buffers.h"

PyTypeObject *sender_type(void);

#endif
