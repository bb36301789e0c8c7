// SPDX-License-Identifier: Apache-2.0
// The text parsers on any bytes: no crash, and what is accepted survives being written and read
// again. The first byte cuts the input in two for the functions that take two slices.
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_numbers(struct slice s)
{
    uint64_t v, again;
    char out[32];
    bool flag;

    if (text_parse_duration_us(s, &v)) {
        CHECK(text_parse_duration_us(slice_str(text_format_duration(v, out)), &again));
        CHECK(again == v);
        CHECK(text_parse_duration_us(slice_str(text_format_reset(v, out)), &again));
        CHECK(again >= v && again - v < 1000);
    }
    if (text_parse_rfc3339(s, &v) || text_parse_http_date(s, &v)) {
        CHECK(text_parse_rfc3339(slice_str(text_format_rfc3339(v, out)), &again));
        CHECK(again == v - v % 1000000);
    }
    (void)!text_parse_size(s, &v);
    (void)!text_parse_bool(s, &flag);
}

static void check_escapes(struct slice s)
{
    struct buf b;

    buf_init(&b, SIZE_MAX);
    text_json_escape(&b, s);
    CHECK(text_utf8_valid(buf_slice(&b)));
    CHECK(b.n >= s.n);
    for (size_t i = 0; i < b.n; i++) {
        CHECK((uint8_t)buf_slice(&b).p[i] >= 0x20);
    }
    buf_done(&b);
}

// By the definition; exponential in stars, hence only for small patterns.
static bool glob_plain(struct slice pattern, struct slice s)
{
    if (pattern.n == 0) {
        return s.n == 0;
    }
    if (pattern.p[0] == '*') {
        return glob_plain(slice_from(pattern, 1), s) ||
               (s.n > 0 && glob_plain(pattern, slice_from(s, 1)));
    }
    return s.n > 0 && s.p[0] == pattern.p[0] &&
           glob_plain(slice_from(pattern, 1), slice_from(s, 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = {(const char *)data, size}, a, b;
    size_t cut = size == 0 ? 0 : data[0];
    size_t d;

    check_numbers(all);
    check_escapes(all);
    a = slice_head(slice_from(all, 1), cut);
    b = slice_from(slice_from(all, 1), cut);
    if (a.n < 12 && b.n < 24) {
        CHECK(text_glob(a, b) == glob_plain(a, b));
    } else {
        (void)text_glob(a, b);
    }
    d = text_distance(a, b, 3);
    CHECK(d <= 4 && d == text_distance(b, a, 3) && (d == 0) == slice_eq(a, b));
    return 0;
}
