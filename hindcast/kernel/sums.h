/* Staged rows hashed as PostgreSQL hashes them, so that it need not send what it has. */
#ifndef HINDCAST_SUMS_H
#define HINDCAST_SUMS_H

#include "match.h"

/* PostgreSQL's `hash_bytes_extended` on a little-endian machine. */
uint64_t hash_bytes(const uint8_t *data, size_t size, uint64_t seed);
/* Canonical JSON as a `jsonb` value is printed. PLAIN, NO_MEMORY, or NOT_PLAIN where that is not certain. */
int write_jsonb_text(Text canonical, Bytes *out, Scratch *scratch);
/* The sum, modulo 2^64, of the rows' hashes as `hindcast.row_sums` has the server make them. */
int sum_rows(const Staged *staged, uint64_t seed, uint64_t *sum);

#endif
