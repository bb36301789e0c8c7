// SPDX-License-Identifier: Apache-2.0
// Small text formats. Parsers take untrusted bytes: they accept exactly what the header lists,
// never read past the slice, and leave *ret alone on failure. Formatters write bounded text.
#include "common/base/text.h"

#include <stdio.h>

#include "common/base/check.h"

#define US_PER_MS  ((uint64_t)1000)
#define US_PER_SEC ((uint64_t)1000000)

// --- durations, sizes and numbers ---

static const struct unit {
    struct slice name;
    uint64_t us;
} duration_units[] = {
    // Largest first: a sum must go down this table, and formatting walks it.
    {SLICE("d"), (uint64_t)86400 * US_PER_SEC},
    {SLICE("h"), (uint64_t)3600 * US_PER_SEC},
    {SLICE("m"), (uint64_t)60 * US_PER_SEC},
    {SLICE("s"), US_PER_SEC},
    {SLICE("ms"), US_PER_MS},
    {SLICE("us"), 1},
};

#define DURATION_MAX_US ((uint64_t)3652 * 86400 * US_PER_SEC)

static size_t count_digits(struct slice s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9') {
        n++;
    }
    return n;
}

// The fraction of one unit that ".25" means, in microseconds (rest dropped); at most 9 digits.
static bool fraction_us(struct slice digits, uint64_t unit_us, uint64_t *ret)
{
    uint64_t v, scale = 1;

    if (digits.n > 9 || !slice_to_u64(digits, &v)) {
        return false;
    }
    for (size_t i = 0; i < digits.n; i++) {
        scale *= 10;
    }
    *ret = (uint64_t)((unsigned __int128)v * unit_us / scale);
    return true;
}

// One "<number>[.<digits>]<unit>" off the front of *s; *next_unit: first unit still allowed.
static bool take_duration_part(struct slice *s, size_t *next_unit, uint64_t *ret_us)
{
    size_t whole_n = count_digits(*s), name_n = 0, u = *next_unit;
    uint64_t whole, part = 0, us;
    struct slice frac = SLICE_NULL, name;

    if (!slice_to_u64(slice_head(*s, whole_n), &whole)) {
        return false;
    }
    *s = slice_from(*s, whole_n);
    if (s->n > 0 && s->p[0] == '.') {
        frac = slice_from(*s, 1);
        frac = slice_head(frac, count_digits(frac));
        *s = slice_from(*s, 1 + frac.n);
    }
    while (name_n < s->n && s->p[name_n] >= 'a' && s->p[name_n] <= 'z') {
        name_n++;
    }
    name = slice_head(*s, name_n);
    *s = slice_from(*s, name_n);
    while (u < ARRAY_LEN(duration_units) && !slice_eq(duration_units[u].name, name)) {
        u++;
    }
    if (u == ARRAY_LEN(duration_units) ||
        (frac.p != NULL && !fraction_us(frac, duration_units[u].us, &part)) ||
        __builtin_mul_overflow(whole, duration_units[u].us, &us) ||
        __builtin_add_overflow(us, part, &us)) {
        return false;
    }
    *next_unit = u + 1;
    *ret_us = us;
    return true;
}

bool text_parse_duration_us(struct slice s, uint64_t *ret_us)
{
    uint64_t total = 0, part;
    size_t next_unit = 0;

    if (s.n == 0) {
        return false;
    }
    if (count_digits(s) == s.n) {
        if (!slice_to_u64(s, &part) || part > DURATION_MAX_US / US_PER_SEC) {
            return false;
        }
        *ret_us = part * US_PER_SEC;
        return true;
    }
    while (s.n > 0) {
        if (!take_duration_part(&s, &next_unit, &part) || part > DURATION_MAX_US - total) {
            return false;
        }
        total += part;
    }
    *ret_us = total;
    return true;
}

bool text_parse_size(struct slice s, uint64_t *ret_bytes)
{
    static const struct {
        struct slice name;
        uint64_t factor;
    } units[] = {
        {SLICE(""), 1},
        {SLICE("B"), 1},
        {SLICE("KiB"), (uint64_t)1 << 10},
        {SLICE("MiB"), (uint64_t)1 << 20},
        {SLICE("GiB"), (uint64_t)1 << 30},
        {SLICE("TiB"), (uint64_t)1 << 40},
        {SLICE("KB"), 1000},
        {SLICE("MB"), 1000000},
        {SLICE("GB"), 1000000000},
        {SLICE("TB"), 1000000000000},
    };
    size_t n = count_digits(s);
    struct slice name = slice_from(s, n);
    uint64_t v;

    if (!slice_to_u64(slice_head(s, n), &v)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (slice_eq_nocase(name, units[i].name)) {
            if (__builtin_mul_overflow(v, units[i].factor, &v)) {
                return false;
            }
            *ret_bytes = v;
            return true;
        }
    }
    return false;
}

bool text_parse_bool(struct slice s, bool *ret)
{
    static const struct {
        struct slice word;
        bool value;
    } words[] = {
        {SLICE("true"), true},   {SLICE("yes"), true}, {SLICE("on"), true},
        {SLICE("false"), false}, {SLICE("no"), false}, {SLICE("off"), false},
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq_nocase(s, words[i].word)) {
            *ret = words[i].value;
            return true;
        }
    }
    return false;
}

const char *text_format_duration(uint64_t us, char out[32])
{
    size_t n = 0;

    if (us == 0) {
        memcpy(out, "0s", 3);
        return out;
    }
    for (size_t u = 0; u < ARRAY_LEN(duration_units); u++) {
        uint64_t count = us / duration_units[u].us;

        us %= duration_units[u].us;
        if (count > 0) {
            // The longest, 2^64 us, is "213503982d8h1m49s551ms615us".
            n += (size_t)snprintf(out + n, 32 - n, "%llu%s", (unsigned long long)count,
                                  duration_units[u].name.p);
        }
    }
    return out;
}

const char *text_format_reset(uint64_t us, char out[32])
{
    // Rounded up: a client that waits as told must not come too early.
    uint64_t ms = us / US_PER_MS + (us % US_PER_MS != 0);
    unsigned long long hours = ms / 3600000, minutes = ms / 60000 % 60, seconds = ms / 1000 % 60;
    unsigned rest = (unsigned)(ms % 1000);
    char frac[8] = "";

    if (ms == 0) { // the usual one: a bucket that is full
        memcpy(out, "0s", 3);
        return out;
    }
    if (ms > 0 && ms < 1000) {
        (void)snprintf(out, 32, "%ums", rest);
        return out;
    }
    if (rest > 0) {
        int digits = 3;

        for (; rest % 10 == 0; digits--) {
            rest /= 10;
        }
        (void)snprintf(frac, sizeof(frac), ".%0*u", digits, rest);
    }
    if (hours > 0) {
        (void)snprintf(out, 32, "%lluh%llum%llu%ss", hours, minutes, seconds, frac);
    } else if (minutes > 0) {
        (void)snprintf(out, 32, "%llum%llu%ss", minutes, seconds, frac);
    } else {
        (void)snprintf(out, 32, "%llu%ss", seconds, frac);
    }
    return out;
}

struct slice text_format_u64(uint64_t v, char out[20])
{
    size_t at = 20;

    do {
        out[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    return (struct slice){out + at, 20 - at};
}

// --- times ---

struct civil {
    unsigned year, month, day, hour, minute, second;
};

static bool is_leap(unsigned year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

// Days since 1970-01-01 of a date in 1970..9999.
static uint64_t days_of(unsigned year, unsigned month, unsigned day)
{
    uint64_t y = year - 1;
    uint64_t days = y * 365 + y / 4 - y / 100 + y / 400 - 719162; // 719162: 0001-01-01 to 1970

    for (unsigned m = 1; m < month; m++) {
        days += days_in_month(year, m);
    }
    return days + day - 1;
}

// Seconds since the epoch; a leap second (60) counts as the second after it.
static bool civil_to_seconds(const struct civil *c, uint64_t *ret)
{
    if (c->year < 1970 || c->month < 1 || c->month > 12 || c->day < 1 ||
        c->day > days_in_month(c->year, c->month) || c->hour > 23 || c->minute > 59 ||
        c->second > 60) {
        return false;
    }
    *ret = days_of(c->year, c->month, c->day) * 86400 + c->hour * (uint64_t)3600 +
           c->minute * (uint64_t)60 + c->second;
    return true;
}

const char *text_format_rfc3339(uint64_t wall_us, char out[32])
{
    uint64_t seconds = wall_us / US_PER_SEC, days = seconds / 86400;
    unsigned year, month = 1, left;
    unsigned in_day = (unsigned)(seconds % 86400);

    if (days > days_of(9999, 12, 31)) {
        days = days_of(9999, 12, 31);
        in_day = 86399;
    }
    // The estimate is at most one year off.
    year = 1970 + (unsigned)(days * 400 / 146097);
    if (days_of(year, 1, 1) > days) {
        year--;
    } else if (days >= days_of(year + 1, 1, 1)) {
        year++;
    }
    left = (unsigned)(days - days_of(year, 1, 1));
    while (left >= days_in_month(year, month)) {
        left -= days_in_month(year, month);
        month++;
    }
    (void)snprintf(out, 32, "%04u-%02u-%02uT%02u:%02u:%02uZ", year % 10000, month % 100,
                   (left + 1) % 100, in_day / 3600 % 100, in_day / 60 % 60, in_day % 60);
    return out;
}

// Reads by a pattern: each '0' is a digit, anything else stands for itself.
static bool matches(struct slice s, const char *pattern)
{
    if (s.n < strlen(pattern)) {
        return false;
    }
    for (size_t i = 0; pattern[i] != '\0'; i++) {
        if (pattern[i] == '0' ? s.p[i] < '0' || s.p[i] > '9' : s.p[i] != pattern[i]) {
            return false;
        }
    }
    return true;
}

// Digits already checked by matches().
static unsigned number_at(struct slice s, size_t at, size_t n)
{
    unsigned v = 0;

    for (size_t i = at; i < at + n; i++) {
        v = v * 10 + (unsigned)(s.p[i] - '0');
    }
    return v;
}

// "Z", "+hh:mm" or "-hh:mm" as seconds east of UTC.
static bool parse_offset(struct slice s, int64_t *ret)
{
    int64_t seconds;

    if (s.n == 1 && (s.p[0] == 'Z' || s.p[0] == 'z')) {
        *ret = 0;
        return true;
    }
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || !matches(slice_from(s, 1), "00:00") ||
        number_at(s, 1, 2) > 23 || number_at(s, 4, 2) > 59) {
        return false;
    }
    seconds = (int64_t)number_at(s, 1, 2) * 3600 + (int64_t)number_at(s, 4, 2) * 60;
    *ret = s.p[0] == '-' ? -seconds : seconds;
    return true;
}

bool text_parse_rfc3339(struct slice s, uint64_t *ret_wall_us)
{
    struct slice rest = slice_from(s, 19);
    uint64_t seconds, frac = 0;
    int64_t offset, utc;

    // The separator may be 't' or a space (RFC 3339, 5.6).
    if (!matches(slice_head(s, 10), "0000-00-00") || s.n < 20 ||
        (s.p[10] != 'T' && s.p[10] != 't' && s.p[10] != ' ') ||
        !matches(slice_from(s, 11), "00:00:00")) {
        return false;
    }
    struct civil c = {number_at(s, 0, 4),  number_at(s, 5, 2),  number_at(s, 8, 2),
                      number_at(s, 11, 2), number_at(s, 14, 2), number_at(s, 17, 2)};

    if (rest.p[0] == '.') {
        struct slice digits = slice_head(slice_from(rest, 1), count_digits(slice_from(rest, 1)));

        if (!fraction_us(digits, US_PER_SEC, &frac)) {
            return false;
        }
        rest = slice_from(rest, 1 + digits.n);
    }
    if (!civil_to_seconds(&c, &seconds) || !parse_offset(rest, &offset)) {
        return false;
    }
    utc = (int64_t)seconds - offset;
    if (utc < 0) {
        return false;
    }
    *ret_wall_us = (uint64_t)utc * US_PER_SEC + frac;
    return true;
}

bool text_parse_http_date(struct slice s, uint64_t *ret_wall_us)
{
    static const char days[] = "MonTueWedThuFriSatSun";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    size_t day_name, month;
    uint64_t seconds;

    // Sun, 06 Nov 1994 08:49:37 GMT
    if (s.n != 29 || !matches(slice_from(s, 3), ", 00 ") ||
        !matches(slice_from(s, 11), " 0000 00:00:00 GMT")) {
        return false;
    }
    day_name = slice_find(SLICE(days), slice_head(s, 3));
    month = slice_find(SLICE(months), slice_head(slice_from(s, 8), 3));
    if (day_name == SIZE_MAX || day_name % 3 != 0 || month == SIZE_MAX || month % 3 != 0) {
        return false;
    }
    // The day's name is not checked against the date: senders get it wrong, the date counts.
    struct civil c = {number_at(s, 12, 4), (unsigned)month / 3 + 1, number_at(s, 5, 2),
                      number_at(s, 17, 2), number_at(s, 20, 2),     number_at(s, 23, 2)};

    if (!civil_to_seconds(&c, &seconds)) {
        return false;
    }
    *ret_wall_us = seconds * US_PER_SEC;
    return true;
}

// --- UTF-8 and JSON ---

size_t text_utf8_len(struct slice s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t n;

    if (s.n == 0) {
        return 0;
    }
    if (p[0] < 0x80) {
        return 1;
    }
    n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || s.n < n) {
        return 0;
    }
    // No overlong forms, no surrogates, nothing above U+10FFFF: all decided by the second byte.
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

size_t text_put_utf8(char *out, uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(unsigned char)(0xC0 | cp >> 6);
        out[1] = (char)(unsigned char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(unsigned char)(0xE0 | cp >> 12);
        out[1] = (char)(unsigned char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(unsigned char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(unsigned char)(0xF0 | cp >> 18);
    out[1] = (char)(unsigned char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(unsigned char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(unsigned char)(0x80 | (cp & 0x3F));
    return 4;
}

bool text_utf8_valid(struct slice s)
{
    while (s.n > 0) {
        size_t n = text_utf8_len(s);

        if (n == 0) {
            return false;
        }
        s = slice_from(s, n);
    }
    return true;
}

static void escape_control(struct buf *b, unsigned char c)
{
    static const char names[] = "\b\t\n\f\r\"\\", letters[] = "btnfr\"\\";
    const char *at = memchr(names, c, sizeof(names) - 1);

    if (at != NULL) {
        buf_append_char(b, '\\');
        buf_append_char(b, letters[at - names]);
    } else {
        buf_printf(b, "\\u%04x", c);
    }
}

void text_json_escape(struct buf *b, struct slice s)
{
    size_t run = 0; // bytes at the front that need no escape

    while (run < s.n) {
        unsigned char c = (unsigned char)s.p[run];
        size_t n = c >= 0x20 && c != '"' && c != '\\' ? text_utf8_len(slice_from(s, run)) : 0;

        if (n > 0) {
            run += n;
            continue;
        }
        buf_append(b, slice_head(s, run));
        if (c < 0x80) {
            escape_control(b, c);
        } else {
            buf_append(b, SLICE("\xef\xbf\xbd"));
        }
        s = slice_from(s, run + 1);
        run = 0;
    }
    buf_append(b, s);
}

void text_json_string(struct buf *b, struct slice s)
{
    buf_append_char(b, '"');
    text_json_escape(b, s);
    buf_append_char(b, '"');
}

// --- bytes as text ---

void text_hex(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4];
        out[2 * i + 1] = digits[p[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool text_unhex(struct slice s, uint8_t *out, size_t n)
{
    if (s.n % 2 != 0 || s.n / 2 != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int high = hex_value(s.p[2 * i]), low = hex_value(s.p[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

const bool text_token_char[256] = {
    ['!'] = true,         ['#'] = true,         ['$'] = true,         ['%'] = true, ['&'] = true,
    ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true, ['.'] = true,
    ['^'] = true,         ['_'] = true,         ['`'] = true,         ['|'] = true, ['~'] = true,
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

size_t text_percent_decode(struct slice s, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_value(s.p[i + 2]) : -1;

        if (low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = s.p[i];
        }
    }
    return n;
}

void text_base62(const uint8_t *p, size_t n, char *out)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (size_t i = 0; i < n; i++) {
        out[i] = digits[p[i] % 62];
    }
    out[n] = '\0';
}

// --- near matches and patterns ---

#define DISTANCE_MAX_LEN 128

static size_t min2(size_t a, size_t b)
{
    return a < b ? a : b;
}

// Optimal string alignment over three rows; words are names, so longer ones are not compared.
size_t text_distance(struct slice a, struct slice b, size_t cap)
{
    size_t rows[3][DISTANCE_MAX_LEN + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    size_t gap = a.n > b.n ? a.n - b.n : b.n - a.n;

    if (gap > cap || a.n > DISTANCE_MAX_LEN || b.n > DISTANCE_MAX_LEN) {
        return slice_eq(a, b) ? 0 : cap + 1;
    }
    for (size_t j = 0; j <= b.n; j++) {
        before[j] = 0;
        row[j] = j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        size_t *spare = before, best = i;

        before = above;
        above = row;
        row = spare;
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t d = min2(above[j] + 1, row[j - 1] + 1);

            d = min2(d, above[j - 1] + (a.p[i - 1] != b.p[j - 1]));
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1]) {
                d = min2(d, before[j - 2] + 1);
            }
            row[j] = d;
            best = min2(best, d);
        }
        // A swap looks two rows back, but costs one: no later cell is below best - 1 + 1.
        if (best > cap) {
            return cap + 1;
        }
    }
    return min2(row[b.n], cap + 1);
}

struct slice text_nearest(struct slice word, const struct slice *candidates, size_t n)
{
    size_t allowed = word.n / 3 < 1 ? 1 : min2(word.n / 3, 3);
    struct slice best = SLICE_NULL;

    for (size_t i = 0; i < n; i++) {
        size_t d = text_distance(word, candidates[i], allowed);

        if (d <= allowed) {
            best = candidates[i];
            if (d == 0) {
                break;
            }
            allowed = d - 1;
        }
    }
    return best;
}

// Pieces between the stars are found leftmost first, each once: no backtracking.
bool text_glob(struct slice pattern, struct slice s)
{
    struct slice piece, rest = slice_cut(pattern, '*', &piece);

    if (rest.p == NULL) {
        return slice_eq(pattern, s);
    }
    if (!slice_starts(s, piece)) {
        return false;
    }
    s = slice_from(s, piece.n);
    for (;;) {
        size_t at;

        rest = slice_cut(rest, '*', &piece);
        if (rest.p == NULL) {
            return slice_ends(s, piece);
        }
        at = slice_find(s, piece);
        if (at == SIZE_MAX) {
            return false;
        }
        s = slice_from(s, at + piece.n);
    }
}
