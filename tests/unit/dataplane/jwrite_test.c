// SPDX-License-Identifier: Apache-2.0
// The JSON writer: commas, names, compaction, JSON inside strings.
#include "dataplane/jwrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static void writes(void **state)
{
    struct buf b;
    struct jwrite w;

    (void)state;
    buf_init(&b, 4096);
    w = jwrite_to(&b);
    jwrite_object(&w);
    jwrite_text_in(&w, "a", SLICE("x\\n"));
    jwrite_text_in(&w, "none", SLICE_NULL);
    jwrite_array_in(&w, "b");
    jwrite_u64(&w, UINT64_MAX);
    jwrite_bool(&w, true);
    jwrite_null(&w);
    jwrite_object(&w);
    jwrite_object_end(&w);
    jwrite_array(&w);
    jwrite_array_end(&w);
    jwrite_array_end(&w);
    jwrite_name_text(&w, SLICE("\\u00e9"));
    jwrite_raw(&w, SLICE("0.70"));
    jwrite_string_in(&w, "s", SLICE("q\"\n"));
    jwrite_object_in(&w, "o");
    jwrite_bool_in(&w, "f", false);
    jwrite_null_in(&w, "n");
    jwrite_u64_in(&w, "u", 0);
    jwrite_raw_in(&w, "r", SLICE("[1]"));
    jwrite_raw_in(&w, "none", SLICE_NULL);
    jwrite_object_end(&w);
    jwrite_name(&w, "t");
    jwrite_text_begin(&w);
    jwrite_text_more(&w, SLICE("a\\t"));
    jwrite_string_more(&w, SLICE("\"b"));
    jwrite_quoted_more(&w, SLICE("{\"k\": \"v w\"}"));
    jwrite_text_end(&w);
    jwrite_object_end(&w);
    assert_string_equal(buf_cstr(&b),
                        "{\"a\":\"x\\n\",\"b\":[18446744073709551615,true,null,{},[]],"
                        "\"\\u00e9\":0.70,\"s\":\"q\\\"\\n\","
                        "\"o\":{\"f\":false,\"n\":null,\"u\":0,\"r\":[1]},"
                        "\"t\":\"a\\t\\\"b{\\\"k\\\":\\\"v w\\\"}\"}");
    buf_done(&b);
}

static void compacts(void **state)
{
    static const struct {
        const char *json, *compact, *quoted;
    } cases[] = {
        {"{}", "{}", "\"{}\""},
        {" { \"a b\" :\t[ 1 ,\r\n 2 ] } ", "{\"a b\":[1,2]}", "\"{\\\"a b\\\":[1,2]}\""},
        {"[\"\\\" , \", 1 ]", "[\"\\\" , \",1]", "\"[\\\"\\\\\\\" , \\\",1]\""},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct jwrite w = jwrite_to(&b);

        buf_clear(&b);
        jwrite_compact(&w, slice_str(cases[i].json));
        assert_string_equal(buf_cstr(&b), cases[i].compact);
        buf_clear(&b);
        w = jwrite_to(&b);
        jwrite_quoted(&w, slice_str(cases[i].json));
        assert_string_equal(buf_cstr(&b), cases[i].quoted);
    }
    buf_done(&b);
}

// Escapes that need not be are undone; what stays means the same.
static void shortens_escapes(void **state)
{
    static const struct {
        const char *json, *compact;
    } cases[] = {
        {"\"\\u00e9 \\u20AC \\ud83d\\ude00\"", "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"{\"a\\/b\": \"c\\/\\u002f\\u0041\\u007f\"}", "{\"a/b\":\"c//A\x7f\"}"},
        {"\"\\u0022\\u005c\\u000A\\u0000\\u001F\\u0009\"", "\"\\\"\\\\\\n\\u0000\\u001f\\t\""},
        {"\"\\\\u00e9\\\\/\"", "\"\\\\u00e9\\\\/\""},         // a backslash, then letters
        {"\"\\ud83d\\u0041\\ude00\"", "\"\\ud83dA\\ude00\""}, // halves of pairs
        {"[\"\\ud83d\", \"\\n\\r\\\"\"]", "[\"\\ud83d\",\"\\n\\r\\\"\"]"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b;
        struct jwrite w;

        buf_init(&b, 1000);
        w = jwrite_to(&b);
        jwrite_compact(&w, slice_str(cases[i].json));
        assert_string_equal(buf_cstr(&b), cases[i].compact);
        buf_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(writes), cmocka_unit_test(compacts),
                                       cmocka_unit_test(shortens_escapes)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
