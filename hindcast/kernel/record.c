#include "record.h"

#define LONGEST_TEXT 256 /* longer ones may be over a format's limit */

void reading_free(Reading *reading) {
    bytes_free(&reading->texts);
    bytes_free(&reading->payload);
    scratch_free(&reading->scratch);
}

static uint8_t hash_name(const uint8_t *name, size_t size) {
    return (uint8_t)(size * 31 + name[0] * 7 + name[size - 1] * 3 + name[size / 2]);
}

void shape_hash_names(Shape *shape) {
    memset(shape->places, -1, sizeof shape->places);
    for (int n = 0; n < shape->count; n++) {
        uint8_t place = hash_name((const uint8_t *)shape->names[n].name, shape->names[n].size);
        while (shape->places[place] >= 0) place++;
        shape->places[place] = (int8_t)n;
    }
}

static int find_name(const Shape *shape, const uint8_t *name, size_t size) {
    if (!size || size > LONGEST_KEY) return -1;
    for (uint8_t place = hash_name(name, size); shape->places[place] >= 0; place++) {
        const Name *known = &shape->names[shape->places[place]];
        if (known->size == size && !memcmp(known->name, name, size)) return shape->places[place];
    }
    return -1;
}

static int read_digits(const uint8_t **at, int count, int64_t *value) {
    *value = 0;
    for (int n = 0; n < count; n++) {
        uint8_t digit = (uint8_t)((*at)[n] - '0');
        if (digit > 9) return NOT_PLAIN;
        *value = *value * 10 + digit;
    }
    *at += count;
    return PLAIN;
}

static int64_t days_since_1970(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2; /* years that begin in March, so that leap days come last */
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719468;
}

/* An offset such as +02:00, in minutes; -00:00 says that the zone is not known. */
static int read_offset(const uint8_t *at, int64_t *minutes) {
    int64_t hour, minute, sign = *at == '-' ? -1 : 1;
    if (*at != '+' && *at != '-') return NOT_PLAIN;
    at++;
    TRY(read_digits(&at, 2, &hour));
    if (*at++ != ':') return NOT_PLAIN;
    TRY(read_digits(&at, 2, &minute));
    if (hour > 23 || minute > 59 || (sign < 0 && hour + minute == 0)) return NOT_PLAIN;
    *minutes = sign * (hour * 60 + minute);
    return PLAIN;
}

/* Seconds below 10^11, milliseconds below 10^14, as `hindcast.times` reads them. */
static int read_epoch(const uint8_t *at, const uint8_t *end, int64_t *microseconds) {
    int64_t number = 0;
    if (at == end || end - at > 14 || (*at == '0' && end - at > 1)) return NOT_PLAIN;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') return NOT_PLAIN;
        number = number * 10 + (*at - '0');
    }
    *microseconds = number * (number < 100000000000 ? 1000000 : 1000);
    return PLAIN;
}

/* 2024-01-31T23:59:59 (or a space for the T), behind it perhaps up to six digits of a second, then Z, an offset or nothing (UTC, naive). */
static int read_time(Text text, int64_t *microseconds, uint8_t *is_naive) {
    static const char pattern[] = "0000-00-00T00:00:00";
    static const uint8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, FRACTION };
    int64_t values[7] = {0}, offset = 0;
    const uint8_t *at = text.data, *end = text.data + text.size;
    *is_naive = 0;
    if (text.size == 10 || text.size == 13) return read_epoch(at, end, microseconds);
    if (text.size < sizeof pattern - 1) return NOT_PLAIN;
    for (int n = 0, value = YEAR; pattern[n]; n++, at++) {
        if (pattern[n] != '0') {
            if (*at != (uint8_t)pattern[n] && !(*at == ' ' && pattern[n] == 'T')) return NOT_PLAIN;
            value++;
        } else {
            if (*at < '0' || *at > '9') return NOT_PLAIN;
            values[value] = values[value] * 10 + (*at - '0');
        }
    }
    if (at < end && *at == '.') {
        int count = 0;
        for (at++; at < end && *at >= '0' && *at <= '9'; at++, count++) values[FRACTION] = values[FRACTION] * 10 + (*at - '0');
        if (count < 1 || count > 6) return NOT_PLAIN;
        for (; count < 6; count++) values[FRACTION] *= 10;
    }
    *is_naive = at == end;
    if (!*is_naive && !(end - at == 1 && *at == 'Z')) {
        if (end - at != 6) return NOT_PLAIN;
        TRY(read_offset(at, &offset));
    }
    int64_t year = values[YEAR], month = values[MONTH], day = values[DAY];
    if (year < 1970 || month < 1 || month > 12 || day < 1) return NOT_PLAIN;
    if (values[HOUR] > 23 || values[MINUTE] > 59 || values[SECOND] > 59) return NOT_PLAIN;
    int is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > lengths[month - 1] + (month == 2 && is_leap)) return NOT_PLAIN;
    int64_t minutes = (days_since_1970(year, month, day) * 24 + values[HOUR]) * 60 + values[MINUTE] - offset;
    *microseconds = (minutes * 60 + values[SECOND]) * 1000000 + values[FRACTION];
    return PLAIN;
}

/* An ordinary string is where it stands; another is written to `texts`, as an offset to be made a pointer. */
static int read_text(Cursor *cursor, Reading *reading, Text *text, size_t *written_at) {
    const uint8_t *begin = cursor->at + 1, *at = skip_ordinary(begin, cursor->end);
    if (at < cursor->end && *at == '"') {
        *text = (Text){begin, (size_t)(at - begin)};
        cursor->at = at + 1;
    } else {
        *written_at = reading->texts.size;
        TRY(json_read_string(cursor, &reading->texts));
        *text = (Text){NULL, reading->texts.size - *written_at};
    }
    return text->size && text->size <= LONGEST_TEXT ? PLAIN : NOT_PLAIN;
}

static int is_visible(Text text) {
    for (size_t n = 0; n < text.size; n++)
        if (text.data[n] > 0x20 && text.data[n] < 0x7F) return 1;
    return 0;
}

typedef struct {
    Text time, texts[TEXTS];
    size_t time_at, texts_at[TEXTS];
    int has_time, is_epoch, has_payload;
    int64_t epoch;
    uint32_t has_text;
} Found;

static int read_value(Cursor *cursor, Reading *reading, int slot, Found *found) {
    if (cursor->end - cursor->at >= 4 && !memcmp(cursor->at, "null", 4)) {
        cursor->at += 4;
        return PLAIN;
    }
    if (slot == SLOT_PAYLOAD) {
        if (found->has_payload++ || cursor->at >= cursor->end || (*cursor->at != '{' && *cursor->at != '['))
            return NOT_PLAIN;
        return json_copy_value(cursor, &reading->payload, &reading->scratch);
    }
    if (slot == SLOT_TIME && found->has_time++) return NOT_PLAIN;
    if (slot == SLOT_TIME && cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        const uint8_t *begin = cursor->at;
        while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') cursor->at++;
        found->is_epoch = 1; /* a fraction or an exponent behind it is no comma, and so not plain */
        return read_epoch(begin, cursor->at, &found->epoch);
    }
    if (cursor->at >= cursor->end || *cursor->at != '"') return NOT_PLAIN;
    if (slot == SLOT_TIME) return read_text(cursor, reading, &found->time, &found->time_at);
    if (found->has_text >> slot & 1) return NOT_PLAIN;
    found->has_text |= 1u << slot;
    return read_text(cursor, reading, &found->texts[slot], &found->texts_at[slot]);
}

static int read_members(const Shape *shape, Reading *reading, Cursor *cursor, Found *found) {
    uint64_t seen = 0;
    for (;;) {
        json_skip_space(cursor);
        if (cursor->at >= cursor->end || *cursor->at != '"') return NOT_PLAIN;
        const uint8_t *name = ++cursor->at;
        cursor->at = skip_ordinary(name, cursor->end); /* a known name has no escapes */
        if (cursor->at >= cursor->end || *cursor->at != '"') return NOT_PLAIN;
        int place = find_name(shape, name, (size_t)(cursor->at - name));
        if (place < 0 || seen >> place & 1) return NOT_PLAIN;
        seen |= (uint64_t)1 << place;
        cursor->at++;
        json_skip_space(cursor);
        if (cursor->at >= cursor->end || *cursor->at++ != ':') return NOT_PLAIN;
        json_skip_space(cursor);
        TRY(read_value(cursor, reading, shape->names[place].slot, found));
        json_skip_space(cursor);
        if (cursor->at >= cursor->end || (*cursor->at != ',' && *cursor->at != '}')) return NOT_PLAIN;
        if (*cursor->at++ == '}') break;
    }
    json_skip_space(cursor);
    return cursor->at == cursor->end ? PLAIN : NOT_PLAIN;
}

int record_read(const Shape *shape, Reading *reading, const uint8_t *raw, size_t size, Row *row) {
    Cursor cursor = {.at = raw, .end = raw + size, .refuses_personal = shape->refuses_personal};
    Found found = {.has_time = 0};
    reading->texts.size = reading->payload.size = reading->scratch.members.size = 0;
    json_skip_space(&cursor);
    if (cursor.at >= cursor.end || *cursor.at++ != '{') return NOT_PLAIN;
    TRY(read_members(shape, reading, &cursor, &found));
    if (!found.has_time || !(found.has_text >> EVENT_TYPE & 1)) return NOT_PLAIN;
    if (!found.has_payload) ADD(bytes_add(&reading->payload, "{}", 2));
    row->ordinary = 0;
    for (int n = TENANT + 1; n < TEXTS; n++) {
        row->texts[n] = found.texts[n];
        if (row->texts[n].data)
            row->ordinary |= 1u << n;
        else if (found.has_text >> n & 1)
            row->texts[n].data = reading->texts.data + found.texts_at[n];
    }
    row->is_naive = 0;
    row->microseconds = found.epoch;
    if (!found.is_epoch) {
        if (!found.time.data) found.time.data = reading->texts.data + found.time_at;
        TRY(read_time(found.time, &row->microseconds, &row->is_naive));
    }
    if (row->microseconds < shape->earliest || row->microseconds > shape->latest) return NOT_PLAIN;
    if (!is_visible(row->texts[EVENT_TYPE])) return NOT_PLAIN;
    row->texts[TENANT] = shape->tenant;
    row->texts[PAYLOAD] = (Text){reading->payload.data, reading->payload.size};
    row->is_sanitised = 0;
    return PLAIN;
}
