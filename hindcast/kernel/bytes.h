/* Growable bytes: what every part of the kernel writes to. */
#ifndef HINDCAST_BYTES_H
#define HINDCAST_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    uint8_t *data;
    size_t size, room;
} Bytes;

/* Room for `more` bytes behind the last one, or NULL when memory is short. */
static inline uint8_t *bytes_reserve(Bytes *bytes, size_t more) {
    if (!bytes->data || bytes->size + more > bytes->room) {
        size_t room = bytes->room ? bytes->room : 256;
        while (room < bytes->size + more) room *= 2;
        uint8_t *data = realloc(bytes->data, room);
        if (!data) return NULL;
        bytes->data = data;
        bytes->room = room;
    }
    return bytes->data + bytes->size;
}

/* By far the most copies are of a key or a short text, of which a call would be most of the work: two overlapping halves. */
static inline void bytes_copy(uint8_t *to, const uint8_t *from, size_t size) {
    if (size > 32) {
        memcpy(to, from, size);
    } else if (size >= 16) {
        memcpy(to, from, 16);
        memcpy(to + size - 16, from + size - 16, 16);
    } else if (size >= 8) {
        memcpy(to, from, 8);
        memcpy(to + size - 8, from + size - 8, 8);
    } else if (size >= 4) {
        memcpy(to, from, 4);
        memcpy(to + size - 4, from + size - 4, 4);
    } else if (size) {
        to[0] = from[0];
        to[size / 2] = from[size / 2];
        to[size - 1] = from[size - 1];
    }
}

/* 0, or -1 when memory is short. */
static inline int bytes_add(Bytes *bytes, const void *data, size_t size) {
    uint8_t *at = bytes_reserve(bytes, size);
    if (!at) return -1;
    bytes_copy(at, data, size);
    bytes->size += size;
    return 0;
}

static inline int bytes_add_byte(Bytes *bytes, uint8_t byte) {
    uint8_t *at = bytes_reserve(bytes, 1);
    if (!at) return -1;
    *at = byte;
    bytes->size++;
    return 0;
}

static inline void bytes_free(Bytes *bytes) {
    free(bytes->data);
    memset(bytes, 0, sizeof *bytes);
}

#endif
