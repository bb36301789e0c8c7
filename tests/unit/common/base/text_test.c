// SPDX-License-Identifier: Apache-2.0
// Small text formats: every parser's accepted and refused forms, formatters back and forth.
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/rng.h"

static void test_parse_duration(void **state)
{
    static const struct {
        const char *in;
        bool ok;
        uint64_t us;
    } cases[] = {
        {"250ms", true, 250000},
        {"10s", true, 10000000},
        {"5m", true, 300000000},
        {"1h", true, 3600000000},
        {"1d", true, 86400000000},
        {"90", true, 90000000},
        {"0", true, 0},
        {"0s", true, 0},
        {"1m30s", true, 90000000},
        {"6m0s", true, 360000000},
        {"1m30.5s", true, 90500000},
        {"1.5h", true, 5400000000},
        {"17us", true, 17},
        {"0.0000001s", true, 0},
        {"1d2h3m4s5ms6us", true, 93784005006},
        {"3652d", true, 315532800000000},
        {"3652d1us", false, 0},
        {"3653d", false, 0},
        {"315532801", false, 0},
        {"99999999999999999999", false, 0},
        {"18446744073709551615d", false, 0},
        {"", false, 0},
        {"s", false, 0},
        {"-1s", false, 0},
        {"1 s", false, 0},
        {" 1s", false, 0},
        {"1s ", false, 0},
        {"1S", false, 0},
        {"1x", false, 0},
        {"1m30", false, 0},
        {"30s1m", false, 0},
        {"1s1s", false, 0},
        {"1.s", false, 0},
        {".5s", false, 0},
        {"1.5", false, 0},
        {"1.1234567890s", false, 0},
        {"1e3s", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t us = 77;

        assert_int_equal(text_parse_duration_us(slice_str(cases[i].in), &us), cases[i].ok);
        assert_true(us == (cases[i].ok ? cases[i].us : 77));
    }
}

static void test_format_duration(void **state)
{
    static const struct {
        uint64_t us;
        const char *out;
    } cases[] = {
        {0, "0s"},
        {1, "1us"},
        {250000, "250ms"},
        {1000000, "1s"},
        {90000000, "1m30s"},
        {86400000000, "1d"},
        {93784005006, "1d2h3m4s5ms6us"},
        {UINT64_MAX, "213503982d8h1m49s551ms615us"},
    };
    struct rng r;
    char out[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(text_format_duration(cases[i].us, out), cases[i].out);
    }
    rng_init(&r, 4);
    for (int i = 0; i < 1000; i++) {
        uint64_t us = rng_below(&r, (uint64_t)315532800000000), back;

        assert_true(text_parse_duration_us(slice_str(text_format_duration(us, out)), &back));
        assert_true(back == us);
    }
}

static void test_format_reset(void **state)
{
    static const struct {
        uint64_t us;
        const char *out;
    } cases[] = {
        {0, "0s"},
        {1, "1ms"},
        {17000, "17ms"},
        {999000, "999ms"},
        {999001, "1s"},
        {1000000, "1s"},
        {8640000, "8.64s"},
        {90500000, "1m30.5s"},
        {360000000, "6m0s"},
        {4320000000, "1h12m0s"},
        {3600001000, "1h0m0.001s"},
        {UINT64_MAX, "5124095576h1m49.552s"},
    };
    char out[32];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(text_format_reset(cases[i].us, out), cases[i].out);
    }
}

static void test_parse_size(void **state)
{
    static const struct {
        const char *in;
        bool ok;
        uint64_t bytes;
    } cases[] = {
        {"32MiB", true, 33554432},
        {"64KiB", true, 65536},
        {"1GiB", true, 1073741824},
        {"4096", true, 4096},
        {"4096B", true, 4096},
        {"1KB", true, 1000},
        {"2MB", true, 2000000},
        {"3GB", true, 3000000000},
        {"0", true, 0},
        {"1mib", true, 1048576},
        {"1TiB", true, 1099511627776},
        {"16777215TiB", true, UINT64_MAX - 1099511627775},
        {"16777216TiB", false, 0},
        {"", false, 0},
        {"MiB", false, 0},
        {"1M", false, 0},
        {"1 MiB", false, 0},
        {"-1", false, 0},
        {"1.5MiB", false, 0},
        {"1MiBx", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t v = 77;

        assert_int_equal(text_parse_size(slice_str(cases[i].in), &v), cases[i].ok);
        assert_true(v == (cases[i].ok ? cases[i].bytes : 77));
    }
}

static void test_parse_bool(void **state)
{
    static const struct {
        const char *in;
        bool ok, value;
    } cases[] = {
        {"true", true, true},  {"yes", true, true},     {"on", true, true},
        {"TRUE", true, true},  {"false", true, false},  {"no", true, false},
        {"off", true, false},  {"", false, false},      {"1", false, false},
        {"tru", false, false}, {"truee", false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool v = false;

        assert_int_equal(text_parse_bool(slice_str(cases[i].in), &v), cases[i].ok);
        assert_int_equal(v, cases[i].ok && cases[i].value);
    }
}

static void test_rfc3339(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},          {951782399, "2000-02-28T23:59:59Z"},
        {951782400, "2000-02-29T00:00:00Z"},  {951868800, "2000-03-01T00:00:00Z"},
        {1795639246, "2026-11-25T20:40:46Z"}, {1735689599, "2024-12-31T23:59:59Z"},
        {4107542400, "2100-03-01T00:00:00Z"}, {253402300799, "9999-12-31T23:59:59Z"},
    };
    struct rng r;
    char out[32];
    uint64_t us;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(text_format_rfc3339(cases[i].seconds * 1000000 + 999999, out),
                            cases[i].text);
        assert_true(text_parse_rfc3339(slice_str(cases[i].text), &us));
        assert_true(us == cases[i].seconds * 1000000);
    }
    assert_string_equal(text_format_rfc3339(UINT64_MAX, out), "9999-12-31T23:59:59Z");
    rng_init(&r, 5);
    for (int i = 0; i < 2000; i++) {
        uint64_t seconds = rng_below(&r, (uint64_t)253402300800);

        assert_true(
            text_parse_rfc3339(slice_str(text_format_rfc3339(seconds * 1000000, out)), &us));
        assert_true(us == seconds * 1000000);
    }
}

static void test_parse_rfc3339(void **state)
{
    static const struct {
        const char *in;
        bool ok;
        uint64_t us;
    } cases[] = {
        {"2026-11-25T20:40:46.25Z", true, 1795639246250000},
        {"2026-11-25t20:40:46z", true, 1795639246000000},
        {"2026-11-25 20:40:46Z", true, 1795639246000000},
        {"2026-11-25T21:40:46+01:00", true, 1795639246000000},
        {"2026-11-25T15:10:46-05:30", true, 1795639246000000},
        {"1970-01-01T00:00:00+00:01", false, 0},
        {"1969-12-31T23:59:59Z", false, 0},
        {"2026-11-25T20:40:46", false, 0},
        {"2026-11-25T20:40Z", false, 0},
        {"2026-13-25T20:40:46Z", false, 0},
        {"2026-00-25T20:40:46Z", false, 0},
        {"2026-02-29T20:40:46Z", false, 0},
        {"2026-11-00T20:40:46Z", false, 0},
        {"2026-11-25T24:40:46Z", false, 0},
        {"2026-11-25T20:60:46Z", false, 0},
        {"2026-11-25T20:40:61Z", false, 0},
        {"2026-11-25T20:40:46.Z", false, 0},
        {"2026-11-25T20:40:46+1:00", false, 0},
        {"2026-11-25T20:40:46+24:00", false, 0},
        {"2026-11-25T20:40:46Zx", false, 0},
        {"2026-11-25x20:40:46Z", false, 0},
        {"20261125T204046Z", false, 0},
        {"", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t us = 77;

        assert_int_equal(text_parse_rfc3339(slice_str(cases[i].in), &us), cases[i].ok);
        assert_true(us == (cases[i].ok ? cases[i].us : 77));
    }
}

static void test_parse_http_date(void **state)
{
    static const struct {
        const char *in;
        bool ok;
        uint64_t us;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", true, 784111777000000},
        {"Wed, 25 Nov 2026 20:40:46 GMT", true, 1795639246000000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", true, 0},
        {"Sun, 6 Nov 1994 08:49:37 GMT", false, 0},
        {"Sunday, 06-Nov-94 08:49:37 GMT", false, 0},
        {"Sun Nov  6 08:49:37 1994", false, 0},
        {"Sun, 06 Nov 1994 08:49:37 UTC", false, 0},
        {"Sun, 06 ovD 1994 08:49:37 GMT", false, 0},
        {"unM, 06 Nov 1994 08:49:37 GMT", false, 0},
        {"Sun, 32 Nov 1994 08:49:37 GMT", false, 0},
        {"Sun, 06 Nov 1994 25:49:37 GMT", false, 0},
        {"", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t us = 77;

        assert_int_equal(text_parse_http_date(slice_str(cases[i].in), &us), cases[i].ok);
        assert_true(us == (cases[i].ok ? cases[i].us : 77));
    }
}

static void test_json_and_utf8(void **state)
{
    static const struct {
        struct slice in;
        const char *out;
        bool valid;
    } cases[] = {
        {SLICE(""), "", true},
        {SLICE("plain"), "plain", true},
        {SLICE("a\"b\\c/d"), "a\\\"b\\\\c/d", true},
        {SLICE("\b\t\n\f\r"), "\\b\\t\\n\\f\\r", true},
        {SLICE("a\0b\x1f\x7f"), "a\\u0000b\\u001f\x7f", true},
        {SLICE("\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x8c\x8a",
         true},
        {SLICE("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"),
         "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", true},
        {SLICE("x\xff"), "x\xef\xbf\xbd", false},
        {SLICE("\x80y"), "\xef\xbf\xbdy", false},
        {SLICE("\xc0\x80"), "\xef\xbf\xbd\xef\xbf\xbd", false},
        {SLICE("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd", false},
        {SLICE("\xe0\x80\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false},
        {SLICE("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false},
        {SLICE("\xf4\x90\x80\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd", false},
        {SLICE("\xf5zz\xf0\x9f"), "\xef\xbf\xbdzz\xef\xbf\xbd\xef\xbf\xbd", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        char quoted[64];

        buf_init(&b, 1000);
        text_json_escape(&b, cases[i].in);
        assert_string_equal(buf_cstr(&b), cases[i].out);
        buf_clear(&b);
        text_json_string(&b, cases[i].in);
        (void)snprintf(quoted, sizeof(quoted), "\"%s\"", cases[i].out);
        assert_string_equal(buf_cstr(&b), quoted);
        assert_int_equal(text_utf8_valid(cases[i].in), cases[i].valid);
        buf_done(&b);
    }
    assert_true(text_utf8_valid(SLICE_NULL));
}

static void test_percent(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {{"", ""},     {"a/b", "a/b"}, {"a%2Fb", "a/b"}, {"%41%4a", "AJ"}, {"%", "%"},
                 {"%4", "%4"}, {"%4g", "%4g"}, {"%g4", "%g4"},   {"%%41", "%A"},   {"a%2", "a%2"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[16];
        size_t n = text_percent_decode(slice_str(cases[i].in), out);

        assert_true(slice_eq_str((struct slice){out, n}, cases[i].out));
    }
}

static void test_hex_and_base62(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x0f, 0xa5, 0xff};
    static const struct {
        const char *in;
        bool ok;
    } cases[] = {
        {"000fa5ff", true},  {"000FA5Ff", true}, {"000fa5f", false},    {"000fa5", false},
        {"000fa5fg", false}, {"", false},        {"000fa5ff00", false},
    };
    char out[16];

    (void)state;
    text_hex(bytes, sizeof(bytes), out);
    assert_string_equal(out, "000fa5ff");
    text_hex(bytes, 0, out);
    assert_string_equal(out, "");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t back[4] = {1, 1, 1, 1};

        assert_int_equal(text_unhex(slice_str(cases[i].in), back, 4), cases[i].ok);
        if (cases[i].ok) {
            assert_memory_equal(back, bytes, 4);
        }
    }
    text_base62((const uint8_t[]){0, 9, 10, 35, 36, 61, 62, 255}, 8, out);
    assert_string_equal(out, "09AZaz07");
}

static void test_distance(void **state)
{
    static const struct {
        const char *a, *b;
        size_t cap, want;
    } cases[] = {
        {"", "", 3, 0},
        {"abc", "abc", 3, 0},
        {"abc", "ab", 3, 1},
        {"abc", "abd", 3, 1},
        {"abc", "acb", 3, 1},
        {"abcd", "badc", 3, 2},
        {"kitten", "sitting", 3, 3},
        {"kitten", "sitting", 2, 3},
        {"", "abc", 3, 3},
        {"", "abcd", 3, 4},
        {"abc", "xyz", 1, 2},
        {"abc", "abc", 0, 0},
        {"abc", "abd", 0, 1},
        {"timeout", "tiemout", 3, 1},
    };
    char longer[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice a = slice_str(cases[i].a), b = slice_str(cases[i].b);

        assert_int_equal(text_distance(a, b, cases[i].cap), cases[i].want);
        assert_int_equal(text_distance(b, a, cases[i].cap), cases[i].want);
    }
    memset(longer, 'x', sizeof(longer));
    struct slice s = {longer, sizeof(longer)};

    assert_int_equal(text_distance(s, s, 3), 0);
    assert_int_equal(text_distance(s, slice_from(s, 1), 3), 4);
    assert_int_equal(text_distance(slice_head(s, 128), slice_head(s, 127), 3), 1);
}

static void test_nearest(void **state)
{
    static const struct slice words[] = {SLICE("timeout"), SLICE("retries"), SLICE("strategy"),
                                         SLICE("ca"), SLICE("cache")};
    static const struct {
        const char *word, *want;
    } cases[] = {
        {"timeout", "timeout"}, {"tiemout", "timeout"},  {"time-out", "timeout"},
        {"retry", NULL},        {"stategy", "strategy"}, {"cahce", "cache"},
        {"cb", "ca"},           {"xyz", NULL},           {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice got = text_nearest(slice_str(cases[i].word), words, ARRAY_LEN(words));

        if (cases[i].want == NULL) {
            assert_null(got.p);
        } else {
            assert_true(slice_eq_str(got, cases[i].want));
        }
    }
    assert_null(text_nearest(SLICE("a"), NULL, 0).p);
}

static void test_glob(void **state)
{
    static const struct {
        const char *pattern, *s;
        bool match;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "x", true},
        {"gpt-4*", "gpt-4o", true},
        {"gpt-4*", "gpt-4", true},
        {"gpt-4*", "gpt-3", false},
        {"*mini", "gpt-4o-mini", true},
        {"*mini", "mini-x", false},
        {"a*b*c", "abc", true},
        {"a*b*c", "aXXbYYc", true},
        {"a*b*c", "acb", false},
        {"a*a", "a", false},
        {"ab*ba", "aba", false},
        {"*a*a*", "a", false},
        {"*a*a*", "xaxax", true},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"a?c", "abc", false},
        {"*.com", "x.com.com", true},
        {"a*bc*bc", "abcbc", true},
        {"a*bc*bc", "abc", false},
    };
    static char as[20000];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(text_glob(slice_str(cases[i].pattern), slice_str(cases[i].s)),
                         cases[i].match);
    }
    // Would take for ever with backtracking.
    memset(as, 'a', sizeof(as));
    assert_false(text_glob(SLICE("a*a*a*a*a*a*a*a*a*a*a*b"), (struct slice){as, sizeof(as)}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_duration), cmocka_unit_test(test_format_duration),
        cmocka_unit_test(test_format_reset),   cmocka_unit_test(test_parse_size),
        cmocka_unit_test(test_parse_bool),     cmocka_unit_test(test_rfc3339),
        cmocka_unit_test(test_parse_rfc3339),  cmocka_unit_test(test_parse_http_date),
        cmocka_unit_test(test_json_and_utf8),  cmocka_unit_test(test_hex_and_base62),
        cmocka_unit_test(test_percent),        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_nearest),        cmocka_unit_test(test_glob),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
