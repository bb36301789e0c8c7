// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/io/json.h"

static struct json_value *must_parse(const char *text)
{
    struct err e = {0};
    struct json_value *v = json_parse(slice_str(text), 1 << 20, 32, &e);

    if (v == NULL) {
        fail_msg("%s: %s", text, e.message);
    }
    return v;
}

static void refuses_what_is_no_json(void **state)
{
    static const struct {
        const char *text;
        enum err_code code;
        const char *part;
    } cases[] = {
        {"", ERR_INVALID, "not valid JSON"},
        {"{", ERR_INVALID, "line 1"},
        {"{\"a\":1}x", ERR_INVALID, "not valid JSON"},
        {"{\"a\":1,\"a\":2}", ERR_INVALID, "occurs twice"},
        {"\"\xff\"", ERR_INVALID, "UTF-8"},
        {"\"\\u0000\"", ERR_INVALID, "U+0000"},
        {"{\"a\\u0000\":1}", ERR_INVALID, "U+0000"},
        {"123456789012345678901234567890", ERR_INVALID, "out of range"},
        {"1e999", ERR_INVALID, "out of range"},
        {"[[[[[[[[[1]]]]]]]]]", ERR_TOO_LARGE, "deeper than 8"},
        {"{\"a\":\"[[[[[[[[[[[[\"", ERR_INVALID, "not valid JSON"},
        {"                                                                      ", ERR_TOO_LARGE,
         "at most 64"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = {0};
        struct json_value *v = json_parse(slice_str(cases[i].text), 64, 8, &e);

        assert_null(v);
        assert_int_equal(e.code, cases[i].code);
        if (strstr(e.message, cases[i].part) == NULL) {
            fail_msg("%s: %s", cases[i].text, e.message);
        }
    }
}

static void does_not_quote_the_text_in_its_errors(void **state)
{
    struct err e = {0};

    (void)state;
    assert_null(json_parse(SLICE("{\"value\":sk-very-secret}"), 1 << 10, 8, &e));
    assert_null(strstr(e.message, "secret"));
}

static void getters_say_where(void **state)
{
    struct json_value *v = must_parse("{\"name\":7,\"limits\":[{\"per\":true,\"amount\":1.5}],"
                                      "\"nul\":null,\"big\":12,\"bad\":\"a\\u202eb\",\"\\u0007\":1,"
                                      "\"empty\":\"\",\"nmae\":1}");
    struct json_report r = {0};
    struct json_at root = json_root(v), name = json_member(&root, "name");
    struct json_at limits = json_member(&root, "limits"), first = json_element(&limits, 0);
    struct json_at per = json_member(&first, "per"), amount = json_member(&first, "amount");
    struct json_at nul = json_member(&root, "nul"), big = json_member(&root, "big");
    struct json_at bad = json_member(&root, "bad"), missing = json_member(&first, "missing");
    struct json_at empty = json_member(&root, "empty");
    static const char *const names[] = {"name", "limits", "nul", "big", "bad", "empty"};
    struct slice s = SLICE("untouched");
    int64_t n = 5;
    double d = 0;
    size_t i = 0;

    (void)state;
    assert_false(json_want_text(&name, 1, 8, &s, &r));
    assert_false(json_want_text(&per, 1, 8, &s, &r));
    assert_false(json_want_int(&amount, 1, 8, &n, &r));
    assert_false(json_want_text(&nul, 1, 8, &s, &r));
    assert_false(json_want_int(&big, 1, 8, &n, &r));
    assert_false(json_want_text(&bad, 1, 8, &s, &r));
    assert_false(json_want_text(&empty, 1, 8, &s, &r));
    assert_false(json_require(&missing, &r));
    assert_false(json_want_list(&limits, 0, &r));
    assert_false(json_want_map(&limits, 9, &r));
    json_known(&root, names, ARRAY_LEN(names), &r);

    static const struct json_problem want[] = {
        {"name", "expected a string, got a number"},
        {"limits[0].per", "expected a string, got a boolean"},
        {"limits[0].amount", "must be a whole number"},
        {"nul", "expected a string, got null"},
        {"big", "must be between 1 and 8"},
        {"bad", "must not contain control, zero-width or bidirectional characters"},
        {"empty", "must not be empty"},
        {"limits[0].missing", "is required"},
        {"limits", "has 1 entries; at most 0 are allowed"},
        {"limits", "expected an object, got an array"},
        {"?", "unknown field"},
        {"nmae", "unknown field; did you mean \"name\"?"},
    };
    assert_int_equal(r.n, ARRAY_LEN(want));
    for (i = 0; i < r.n; i++) {
        assert_string_equal(r.items[i].field, want[i].field);
        assert_string_equal(r.items[i].problem, want[i].problem);
    }
    assert_true(slice_eq_str(s, "untouched"));
    assert_int_equal(n, 5);

    // Right and absent places note nothing.
    r = (struct json_report){0};
    assert_true(json_want_number(&amount, 0, 2, &d, &r));
    assert_true(d == 1.5);
    assert_true(json_want_raw_text(&bad, 1, 8, &s, &r));
    assert_false(json_want_text(&missing, 1, 8, &s, &r));
    assert_false(json_want_bool(&missing, &(bool){false}, &r));
    assert_false(json_present(&missing));
    assert_true(json_present_null(&nul));
    assert_int_equal(r.n, 0);
    json_free(&v);
    assert_null(v);
}

static void paths_and_reports_are_bounded(void **state)
{
    char text[4096] = "{\"", path[JSON_PATH_MAX];
    struct json_value *v;
    struct json_report r = {0};
    struct json_at at[64];

    (void)state;
    for (size_t i = 0; i < 700; i++) {
        memcpy(text + 2 + 2 * i, "\xc3\xa9", 2); // é
    }
    (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "\":{\"b\":1}}");
    v = must_parse(text);
    at[0] = json_root(v);
    json_known(&at[0], NULL, 0, &r);
    assert_int_equal(r.n, 1);
    assert_int_equal(strlen(r.items[0].field), 64);

    // Deeper than a path can say: the end of it is kept, whole characters only.
    for (size_t i = 1; i < ARRAY_LEN(at); i++) {
        at[i] = json_member(&at[i - 1], "\xc3\xa9t\xc3\xa9");
    }
    json_path(&at[ARRAY_LEN(at) - 1], path);
    assert_true(strlen(path) < JSON_PATH_MAX);
    assert_true(((unsigned char)path[0] & 0xc0) != 0x80);
    for (int i = 0; i < 40; i++) {
        json_note(&r, &at[1], "x");
    }
    assert_int_equal(r.n, 41);
    json_free(&v);
}

static void writes(void **state)
{
    struct buf b;
    struct json_out o;
    struct json_value *v = must_parse("{\"x\":[1,2.5,0.6,\"\xc3\xa9\"]}");

    (void)state;
    buf_init(&b, 1 << 16);
    o = json_out_to(&b);
    json_out_open(&o, '{');
    json_out_field_str(&o, "a", "q\"\n");
    json_out_field_str(&o, "none", NULL);
    json_out_field_u64(&o, "n", UINT64_MAX);
    json_out_field_bool(&o, "b", true);
    json_out_key(&o, "list");
    json_out_open(&o, '[');
    json_out_double(&o, -4);
    json_out_double(&o, 0.5);
    json_out_double(&o, 1e9);
    json_out_double(&o, NAN);
    json_out_open(&o, '{');
    json_out_close(&o, '}');
    json_out_value(&o, v);
    json_out_raw(&o, SLICE("[]"));
    json_out_close(&o, ']');
    json_out_field_texts(&o, "texts", (const char *const[]){"p", "q"}, 2);
    json_out_field_texts(&o, "empty", NULL, 0);
    json_out_field_duration(&o, "time", 90000000);
    json_out_field_duration(&o, "unset", 0);
    json_out_field(&o, "z", SLICE(""));
    json_out_close(&o, '}');
    assert_string_equal(buf_cstr(&b),
                        "{\"a\":\"q\\\"\\n\",\"none\":null,\"n\":18446744073709551615,"
                        "\"b\":true,\"list\":[-4,0.5,1000000000,null,{},"
                        "{\"x\":[1,2.5,0.6,\"\xc3\xa9\"]},[]],\"texts\":[\"p\",\"q\"],\"empty\":[],"
                        "\"time\":\"1m30s\",\"z\":\"\"}");
    buf_done(&b);
    json_free(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_is_no_json),
        cmocka_unit_test(does_not_quote_the_text_in_its_errors),
        cmocka_unit_test(getters_say_where),
        cmocka_unit_test(paths_and_reports_are_bounded),
        cmocka_unit_test(writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
