/* Staged rows as PostgreSQL's binary COPY format. */
#ifndef HINDCAST_SENDING_H
#define HINDCAST_SENDING_H

#include "match.h"

typedef struct {
    uint64_t begin; /* of the id, as a number */
    size_t row;
} Place;

typedef struct {
    const Staged *staged;
    const int64_t *lines;
    int64_t chunk_id, imported_at; /* microseconds since 1970 */
    Place *places;                 /* the rows by their ids */
    size_t next;                   /* of the places; one more than there are when all is sent */
} Sending;

/* Columns: event_id, created_at, source, the texts, payload (jsonb), import_chunk_id, export_line, imported_at.
 * In the order of the ids, which finds the leaves of the primary key's index one after the other: a tenth less to do for
 * the server. Both: 0, or -1 when memory is short. */
int begin_sending(Sending *sending);
/* What comes next, instead of what is in `out`: `wanted` bytes or some more; nothing behind the last. */
int send_some(Sending *sending, size_t wanted, Bytes *out);
void end_sending(Sending *sending);

#endif
