/* SHA-256, by the processor's own instructions where it has them. */
#ifndef HINDCAST_SHA256_H
#define HINDCAST_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* `portable` leaves the processor's instructions alone. */
void sha256(const uint8_t *data, size_t size, uint8_t digest[32], int portable);

#endif
