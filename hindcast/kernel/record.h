/* Plain records: flat JSON objects of known names, with a time and a payload. */
#ifndef HINDCAST_RECORD_H
#define HINDCAST_RECORD_H

#include "rows.h"

enum { SLOT_TIME = -1, SLOT_PAYLOAD = -2, MOST_NAMES = 64, LONGEST_KEY = 31 };

typedef struct {
    char name[LONGEST_KEY + 1];
    size_t size;
    int slot; /* a text column, or one of the above */
} Name;

typedef struct {
    Name names[MOST_NAMES];
    int8_t places[256]; /* by hash, -1: none; names of equal hash follow each other */
    int count;
    int64_t earliest, latest; /* a time outside is not plain: it is a reject */
    int refuses_personal;
    Text tenant;
} Shape;

typedef struct {
    Bytes texts, payload;
    Scratch scratch;
} Reading;

void shape_hash_names(Shape *shape);
/* Read a record into `row`, whose texts point into the record or into `reading`. */
int record_read(const Shape *shape, Reading *reading, const uint8_t *raw, size_t size, Row *row);
void reading_free(Reading *reading);

#endif
