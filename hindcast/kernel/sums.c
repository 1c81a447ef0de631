#include "sums.h"

static uint32_t rotate(uint32_t word, int bits) { return word << bits | word >> (32 - bits); }

typedef struct {
    uint32_t a, b, c;
} Words;

#define STIR(x, y, z, bits) (x -= z, x ^= rotate(z, bits), z += y)
#define FOLD(to, from, bits) (to ^= from, to -= rotate(from, bits))

/* Bob Jenkins' lookup3, which PostgreSQL's hash partitions keep as it is. */
static inline Words mix(Words w) {
    STIR(w.a, w.b, w.c, 4);
    STIR(w.b, w.c, w.a, 6);
    STIR(w.c, w.a, w.b, 8);
    STIR(w.a, w.b, w.c, 16);
    STIR(w.b, w.c, w.a, 19);
    STIR(w.c, w.a, w.b, 4);
    return w;
}

static inline Words finish(Words w) {
    FOLD(w.c, w.b, 14);
    FOLD(w.a, w.c, 11);
    FOLD(w.b, w.a, 25);
    FOLD(w.c, w.b, 16);
    FOLD(w.a, w.c, 4);
    FOLD(w.b, w.a, 14);
    FOLD(w.c, w.b, 24);
    return w;
}

static uint32_t read_word(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/* A word of less than four bytes. */
static uint32_t read_few(const uint8_t *at, size_t size) {
    uint32_t word = 0;
    if (size & 2) word = (uint32_t)at[0] | (uint32_t)at[1] << 8;
    return size & 1 ? word | (uint32_t)at[size - 1] << 8 * (size - 1) : word;
}

uint64_t hash_bytes(const uint8_t *data, size_t size, uint64_t seed) {
    uint32_t begin = 0x9e3779b9u + (uint32_t)size + 3923095u;
    Words w = {begin, begin, begin};
    if (seed) {
        w.a += (uint32_t)(seed >> 32);
        w.b += (uint32_t)seed;
        w = mix(w);
    }
    for (; size >= 12; data += 12, size -= 12) {
        w.a += read_word(data);
        w.b += read_word(data + 4);
        w.c += read_word(data + 8);
        w = mix(w);
    }
    w.a += size >= 4 ? read_word(data) : read_few(data, size);
    if (size > 4) w.b += size >= 8 ? read_word(data + 4) : read_few(data + 4, size - 4);
    if (size > 8) w.c += read_few(data + 8, size - 8) << 8; /* the lowest byte of the third word is the length's */
    w = finish(w);
    return (uint64_t)w.b << 32 | w.c;
}

static uint64_t hash_time(int64_t microseconds, uint64_t seed) {
    uint8_t sent[8];
    uint64_t value = (uint64_t)(microseconds - POSTGRES_EPOCH);
    for (int n = 0; n < 8; n++) sent[n] = (uint8_t)(value >> 8 * (7 - n));
    return hash_bytes(sent, 8, seed);
}

static uint64_t hash_text(Text text, uint64_t seed) { return text.data ? hash_bytes(text.data, text.size, seed) : 0; }

int sum_rows(const Staged *staged, uint64_t seed, uint64_t *sum) {
    Bytes payload = {0};
    Scratch scratch = {{0}, {0}};
    int status = PLAIN;
    uint64_t source = hash_text(staged->source, seed);
    *sum = 0;
    for (size_t row = 0; row < staged->count && status == PLAIN; row++) {
        uint64_t hash = hash_bytes(staged->ids + 16 * row, 16, seed);
        hash = hash * 31 + hash_time(staged->microseconds[row], seed);
        hash = hash * 31 + source;
        for (int n = 0; n < TEXTS; n++) hash = hash * 31 + hash_text(staged_text(&staged->texts[n], row), seed);
        payload.size = 0;
        status = write_jsonb_text(staged_text(&staged->texts[PAYLOAD], row), &payload, &scratch);
        *sum += hash_bytes(payload.data, payload.size, hash);
    }
    bytes_free(&payload);
    scratch_free(&scratch);
    return status;
}
