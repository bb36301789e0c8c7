// SPDX-License-Identifier: Apache-2.0
// Digits at fixed places; 1970-01-01 was a Thursday.
#include "proto/hours.h"

#define MINUTES_A_DAY 1440u
#define MINUTE_US     60000000u

// "HH:MM"
static bool parse_time(struct slice s, unsigned *ret)
{
    uint64_t hours, minutes;

    if (s.n != 5 || s.p[2] != ':' || !slice_to_u64(slice_head(s, 2), &hours) ||
        !slice_to_u64(slice_from(s, 3), &minutes) || minutes > 59) {
        return false;
    }
    *ret = (unsigned)(hours * 60 + minutes);
    return *ret <= MINUTES_A_DAY;
}

bool hours_parse(struct slice text, struct hours_span *ret)
{
    return text.n == 11 && text.p[5] == '-' && parse_time(slice_head(text, 5), &ret->begin) &&
           parse_time(slice_from(text, 6), &ret->end) && ret->begin < ret->end;
}

bool hours_include(const char *const *spans, size_t n, uint64_t wall_us)
{
    uint64_t minute = wall_us / MINUTE_US, day = (minute / MINUTES_A_DAY + 3) % 7; // Monday: 0
    struct hours_span span;

    for (size_t i = 0; i < n && day < 5; i++) {
        if (hours_parse(slice_str(spans[i]), &span) && minute % MINUTES_A_DAY >= span.begin &&
            minute % MINUTES_A_DAY < span.end) {
            return true;
        }
    }
    return false;
}
