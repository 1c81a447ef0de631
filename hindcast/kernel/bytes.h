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

/* 0, or -1 when memory is short. */
static inline int bytes_add(Bytes *bytes, const void *data, size_t size) {
    uint8_t *at = bytes_reserve(bytes, size);
    if (!at) return -1;
    if (size) memcpy(at, data, size);
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
