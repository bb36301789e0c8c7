// SPDX-License-Identifier: Apache-2.0
// Escaped text: decoding, blanks, JSON inside strings, data URLs.
#include "dataplane/jtext.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static void decodes(void **state)
{
    static const struct {
        const char *text, *chars;
    } cases[] = {{"", ""},
                 {"plain \xc3\xa9", "plain \xc3\xa9"},
                 {"a\\n\\t\\\"\\\\\\/\\b\\f\\r", "a\n\t\"\\/\b\f\r"},
                 {"\\u0041\\u00e9\\u20ac", "A\xc3\xa9\xe2\x82\xac"},
                 {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
                 {"\\uD83Dx", "\xef\xbf\xbdx"}, // lone high
                 {"\\ude00", "\xef\xbf\xbd"},   // lone low
                 {"\\ud83d\\u0041", "\xef\xbf\xbd"
                                    "A"}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice text = slice_str(cases[i].text);

        assert_true(slice_eq_str(jtext_decode(text, &arena), cases[i].chars));
        assert_true(jtext_eq(text, cases[i].chars));
        assert_false(jtext_eq(text, "no"));
        assert_false(jtext_eq(jtext_join(text, SLICE("x"), &arena), cases[i].chars));
    }
    assert_true(slice_eq_str(jtext_encode(SLICE("a\n\"\\\x01\xc3\xa9"), &arena),
                             "a\\n\\\"\\\\\\u0001\xc3\xa9"));
    assert_ptr_equal(jtext_encode(SLICE("same"), &arena).p, "same");
}

static void knows_blanks(void **state)
{
    (void)state;
    assert_true(jtext_is_blank(SLICE("")));
    assert_true(jtext_is_blank(SLICE(" \\n\\t\\r\\u0020 ")));
    assert_false(jtext_is_blank(SLICE(" \\\\ ")));
    assert_false(jtext_is_blank(SLICE("x")));
    assert_true(slice_eq_str(jtext_trim_end(SLICE(" a b \\n\\u0020 ")), " a b"));
    assert_true(slice_eq_str(jtext_trim_end(SLICE("a\\\\")), "a\\\\"));
    assert_int_equal(jtext_trim_end(SLICE(" \\n")).n, 0);
    assert_true(slice_eq_str(jtext_join(SLICE("a"), SLICE("b"), &arena), "ab"));
    assert_true(slice_eq_str(jtext_join(SLICE_NULL, SLICE("b"), &arena), "b"));
    assert_null(jtext_join(SLICE_NULL, SLICE_NULL, &arena).p);
}

static void finds_json_inside(void **state)
{
    struct slice json;

    (void)state;
    assert_true(jtext_to_json(SLICE("{\\\"a\\\": [1]}"), &arena, &json));
    assert_true(slice_eq_str(json, "{\"a\": [1]}"));
    assert_true(jtext_to_json(SLICE(" \\n"), &arena, &json));
    assert_true(slice_eq_str(json, "{}"));
    assert_false(jtext_to_json(SLICE("{\\\"a\\\":"), &arena, &json));
    assert_false(jtext_to_json(SLICE("text"), &arena, &json));
}

static void splits_data_urls(void **state)
{
    struct slice type, data;

    (void)state;
    assert_true(jtext_data_url(SLICE("data:image\\/png;base64,iVBO\\/w=="), &arena, &type, &data));
    assert_true(slice_eq_str(type, "image/png"));
    assert_true(slice_eq_str(data, "iVBO/w=="));
    assert_true(
        jtext_data_url(SLICE("DATA:text/plain;charset=utf-8;BASE64,eA=="), &arena, &type, &data));
    assert_true(slice_eq_str(type, "text/plain"));
    assert_false(jtext_data_url(SLICE("https://h/x.png"), &arena, &type, &data));
    assert_false(jtext_data_url(SLICE("data:image/png,abc"), &arena, &type, &data));
    assert_false(jtext_data_url(SLICE("data:image/png;base64"), &arena, &type, &data));
}

static void counts_characters(void **state)
{
    static const struct {
        const char *text;
        size_t characters, bytes;
    } cases[] = {
        {"", 0, 0},
        {"plain", 5, 5},
        {"\xc3\xa9t\xc3\xa9", 3, 5},
        {"\\u00e9t\\u00e9 \\n\\\"", 6, 8},
        {"\\ud83d\\ude00", 1, 4},
        {"a\xf0\x9f\x98\x80\\u20ac-", 4, 9},
        {"\\ud83dx", 2, 4}, // a lone half is U+FFFD
        {"ends\\", 5, 5},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t bytes = 99;

        assert_int_equal(jtext_count(slice_str(cases[i].text), &bytes), cases[i].characters);
        assert_int_equal(bytes, cases[i].bytes);
        assert_int_equal(jtext_decode(slice_str(cases[i].text), &arena).n, bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(decodes, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_characters, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_blanks, setup, teardown),
        cmocka_unit_test_setup_teardown(finds_json_inside, setup, teardown),
        cmocka_unit_test_setup_teardown(splits_data_urls, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
