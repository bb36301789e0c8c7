// SPDX-License-Identifier: Apache-2.0
// Error values: text, prefixes, cuts, one line only.
#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/slice.h"
#include "common/base/text.h"

static void test_set_and_prefix(void **state)
{
    struct err e = {0};

    (void)state;
    assert_false(err_set(&e, ERR_INVALID, "port %d is too large", 70000));
    assert_int_equal(e.code, ERR_INVALID);
    assert_string_equal(e.message, "port 70000 is too large");
    assert_false(err_prefix(&e, "%s:%d", "gw.yaml", 12));
    assert_int_equal(e.code, ERR_INVALID);
    assert_string_equal(e.message, "gw.yaml:12: port 70000 is too large");
    assert_false(err_set(NULL, ERR_IO, "x"));
    assert_false(err_prefix(NULL, "x"));
    // An error may be built from its own message.
    err_set(&e, ERR_IO, "while loading: %s", e.message);
    assert_string_equal(e.message, "while loading: gw.yaml:12: port 70000 is too large");
}

static void test_newlines_become_spaces(void **state)
{
    struct err e;

    (void)state;
    err_set(&e, ERR_INVALID, "a\nb\r\tc");
    assert_string_equal(e.message, "a b  c");
    err_prefix(&e, "x\ny");
    assert_string_equal(e.message, "x y: a b  c");
}

// Messages of every length around the limit, made of 1- to 4-byte characters, stay valid UTF-8.
static void test_cut_keeps_characters_whole(void **state)
{
    static const char *const chars[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8c\x8a"};
    char text[512];

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(chars); c++) {
        for (size_t lead = 0; lead < 8; lead++) {
            size_t n = lead, len = strlen(chars[c]);
            struct err e;

            memset(text, 'x', lead);
            for (; n + len < sizeof(text); n += len) {
                memcpy(text + n, chars[c], len);
            }
            text[n] = '\0';
            err_set(&e, ERR_INVALID, "%s", text);
            assert_true(text_utf8_valid(slice_str(e.message)));
            assert_true(strlen(e.message) >= sizeof(e.message) - 4);
            err_prefix(&e, "prefix");
            assert_true(text_utf8_valid(slice_str(e.message)));
            assert_true(slice_starts(slice_str(e.message), SLICE("prefix: ")));
            assert_true(strlen(e.message) >= sizeof(e.message) - 4);
        }
    }
}

// A prefix may use up all the room, to the last byte.
static void test_long_prefixes(void **state)
{
    char text[512];

    (void)state;
    for (size_t n = 390; n < 410; n++) {
        struct err e;

        memset(text, 'p', n);
        text[n] = '\0';
        err_set(&e, ERR_INVALID, "tail");
        err_prefix(&e, "%s", text);
        assert_int_equal(strlen(e.message),
                         n + 6 < sizeof(e.message) ? n + 6 : sizeof(e.message) - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_and_prefix),
        cmocka_unit_test(test_newlines_become_spaces),
        cmocka_unit_test(test_cut_keeps_characters_whole),
        cmocka_unit_test(test_long_prefixes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
