/* Staged rows as PostgreSQL's binary COPY format. */
#ifndef HINDCAST_SENDING_H
#define HINDCAST_SENDING_H

#include "match.h"

typedef struct {
    const int64_t *lines;
    int64_t chunk_id, imported_at; /* microseconds since 1970 */
} Loading;

/* Columns: event_id, created_at, source, the texts, payload (jsonb), import_chunk_id, export_line, imported_at.
 * In the order of the ids, which finds the leaves of the primary key's index one after the other: a tenth less to do for
 * the server. 0, or -1 when memory is short. */
int send_rows(const Staged *staged, const Loading *loading, Bytes *out);

#endif
