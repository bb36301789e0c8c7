// SPDX-License-Identifier: Apache-2.0
// The token tape: shapes, readers, bounds, what is refused.
#include "dataplane/tape.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

static struct tape t;

static void parse(const char *text)
{
    struct err e;

    if (!tape_parse(&t, slice_str(text), &e)) {
        fail_msg("%s: %s", text, e.message);
    }
}

static int teardown(void **state)
{
    (void)state;
    tape_done(&t);
    return 0;
}

static void has_the_shape_of_its_drawing(void **state)
{
    static const struct tape_token wanted[] = {
        {0, 19, 7, SCAN_OBJECT, false}, {1, 4, 2, SCAN_STRING, false},
        {5, 10, 5, SCAN_ARRAY, false},  {6, 7, 4, SCAN_NUMBER, false},
        {8, 9, 5, SCAN_NUMBER, false},  {11, 14, 6, SCAN_STRING, false},
        {15, 18, 7, SCAN_STRING, false}};

    (void)state;
    parse("{\"a\":[1,2],\"b\":\"x\"}");
    assert_int_equal(t.n, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_int_equal(t.tokens[i].begin, wanted[i].begin);
        assert_int_equal(t.tokens[i].end, wanted[i].end);
        assert_int_equal(t.tokens[i].next, wanted[i].next);
        assert_int_equal(t.tokens[i].type, wanted[i].type);
        assert_int_equal(t.tokens[i].escaped, wanted[i].escaped);
    }
}

static void reads(void **state)
{
    uint64_t v = 0;

    (void)state;
    parse(" {\"a\" : 0.70 , \"\\u0062\":\"x\\n\", \"c\":[true,null,{\"d\":\"7\"}], \"n\":null,"
          "\"a\":18446744073709551615, \"e\":{}, \"f\":[] } ");
    assert_true(
        slice_eq_str(tape_raw(&t, tape_get(&t, 0, "a")), "18446744073709551615")); // the last
    assert_true(tape_u64(&t, tape_get(&t, 0, "a"), &v) && v == UINT64_MAX);
    assert_true(slice_eq_str(tape_get_text(&t, 0, "b"), "x\\n"));
    assert_true(tape_eq(&t, tape_get(&t, 0, "b"), "x\n"));
    assert_false(tape_eq(&t, tape_get(&t, 0, "b"), "x"));
    uint32_t c = tape_get(&t, 0, "c"), first = tape_first(&t, c);
    assert_true(tape_true(&t, first));
    assert_true(tape_absent(&t, tape_after(&t, c, first)));
    uint32_t o = tape_after(&t, c, tape_after(&t, c, first));
    assert_true(tape_u64(&t, tape_get(&t, o, "d"), &v) && v == 7);
    assert_int_equal(tape_after(&t, c, o), TAPE_NONE);
    assert_int_equal(tape_given(&t, 0, "n"), TAPE_NONE);
    assert_int_not_equal(tape_get(&t, 0, "n"), TAPE_NONE);
    assert_int_equal(tape_first(&t, tape_get(&t, 0, "e")), TAPE_NONE);
    assert_int_equal(tape_first(&t, tape_get(&t, 0, "f")), TAPE_NONE);
    assert_false(tape_u64(&t, tape_get(&t, 0, "c"), &v));
}

// What is not there can be asked on and on.
static void takes_none(void **state)
{
    uint64_t v = 3;
    size_t n = 0;

    (void)state;
    parse("[1]");
    uint32_t none = tape_get(&t, tape_get(&t, 0, "x"), "y");
    assert_int_equal(none, TAPE_NONE);
    assert_null(tape_raw(&t, none).p);
    assert_null(tape_get_text(&t, none, "z").p);
    assert_false(tape_true(&t, none));
    assert_true(tape_absent(&t, none));
    assert_false(tape_u64(&t, none, &v));
    TAPE_ITEMS(&t, none, i)
    {
        n++;
    }
    TAPE_MEMBERS(&t, 0, k)
    {
        n++;
    }
    assert_int_equal(n, 0);
    TAPE_ITEMS(&t, 0, j)
    {
        n++;
    }
    assert_int_equal(n, 1);
}

static void refuses(void **state)
{
    static const char *const bad[] = {
        "",    "{",  "[1,", "{\"a\"}",    "{\"a\":}", "[1 2]", "{} {}", "[1]x", "\"\x01\"",
        "tru", "01", "[,]", "{\"a\":1,}", "\"\xff\"", "1.",    "{1:2}", "]",    "nul"};
    char deep[2 * SCAN_DEPTH_MAX + 8];
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t n = strlen(bad[i]);
        char *exact = mem_alloc(n + (n == 0)); // ends where its block ends

        memcpy(exact, bad[i], n);
        assert_false(tape_parse(&t, (struct slice){exact, n}, &e));
        assert_int_equal(t.n, 0);
        assert_int_equal(e.code, ERR_INVALID);
        assert_non_null(strstr(e.message, "at byte"));
        mem_free(exact);
    }
    memset(deep, '[', SCAN_DEPTH_MAX);
    memset(deep + SCAN_DEPTH_MAX, ']', SCAN_DEPTH_MAX);
    assert_true(tape_parse(&t, (struct slice){deep, 2 * SCAN_DEPTH_MAX}, &e));
    assert_int_equal(t.n, SCAN_DEPTH_MAX);
    memset(deep, '[', SCAN_DEPTH_MAX + 1);
    assert_false(tape_parse(&t, (struct slice){deep, sizeof(deep)}, &e));
}

static void bounds_its_tokens(void **state)
{
    struct buf b;
    struct err e;

    (void)state;
    buf_init(&b, 16u << 20);
    buf_append_char(&b, '[');
    for (uint32_t i = 0; i < TAPE_TOKENS_MAX - 2; i++) {
        buf_append(&b, SLICE("0,"));
    }
    buf_append(&b, SLICE("0]"));
    assert_true(tape_parse(&t, buf_slice(&b), &e));
    assert_int_equal(t.n, TAPE_TOKENS_MAX);
    buf_done(&b);
    buf_init(&b, 16u << 20);
    buf_append_char(&b, '[');
    for (uint32_t i = 0; i < TAPE_TOKENS_MAX; i++) {
        buf_append(&b, SLICE("0,"));
    }
    buf_append(&b, SLICE("0]"));
    assert_false(tape_parse(&t, buf_slice(&b), &e));
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(has_the_shape_of_its_drawing, teardown),
        cmocka_unit_test_teardown(reads, teardown),
        cmocka_unit_test_teardown(takes_none, teardown),
        cmocka_unit_test_teardown(refuses, teardown),
        cmocka_unit_test_teardown(bounds_its_tokens, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
