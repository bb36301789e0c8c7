// SPDX-License-Identifier: Apache-2.0
// Reading functions over slices, absent and empty ones included.
#include "common/base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_compare(void **state)
{
    static const struct {
        const char *a, *b;
        bool eq, nocase, starts, starts_nocase, ends;
        int cmp;
    } cases[] = {
        {"", "", true, true, true, true, true, 0},
        {"abc", "abc", true, true, true, true, true, 0},
        {"abc", "ABC", false, true, false, true, false, 1},
        {"abc", "ab", false, false, true, true, false, 1},
        {"abc", "bc", false, false, false, false, true, -1},
        {"abc", "", false, false, true, true, true, 1},
        {"ab", "abc", false, false, false, false, false, -1},
        {"Content-Type: x", "content-type", false, false, false, true, false, -1},
        {"[", "{", false, false, false, false, false, -1},
        {"\xe9", "\xc9", false, false, false, false, false, 1},
        {NULL, "", true, true, true, true, true, 0},
        {NULL, NULL, true, true, true, true, true, 0},
        {"", NULL, true, true, true, true, true, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice a = slice_str(cases[i].a), b = slice_str(cases[i].b);
        int c = slice_cmp(a, b);

        assert_int_equal(slice_eq(a, b), cases[i].eq);
        assert_int_equal(slice_eq_str(a, cases[i].b), cases[i].eq);
        assert_int_equal(slice_eq_nocase(a, b), cases[i].nocase);
        assert_int_equal(slice_starts(a, b), cases[i].starts);
        assert_int_equal(slice_starts_nocase(a, b), cases[i].starts_nocase);
        assert_int_equal(slice_ends(a, b), cases[i].ends);
        assert_int_equal((c > 0) - (c < 0), cases[i].cmp);
        c = slice_cmp(b, a);
        assert_int_equal((c > 0) - (c < 0), -cases[i].cmp);
    }
}

static void test_find(void **state)
{
    static const struct {
        const char *s, *needle;
        size_t at;
    } cases[] = {
        {"", "", 0},
        {NULL, "", 0},
        {"abc", "", 0},
        {"abc", "a", 0},
        {"abc", "c", 2},
        {"abc", "bc", 1},
        {"abc", "abcd", SIZE_MAX},
        {"aab", "ab", 1},
        {"abc", "x", SIZE_MAX},
        {NULL, "x", SIZE_MAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = slice_str(cases[i].s), needle = slice_str(cases[i].needle);

        assert_int_equal(slice_find(s, needle), cases[i].at);
        if (needle.n == 1) {
            assert_int_equal(slice_find_char(s, needle.p[0]), cases[i].at);
        }
    }
    assert_int_equal(slice_find_char(SLICE("a\0b"), 'b'), 2);
}

static void test_trim(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""}, {" \t ", ""}, {"a", "a"}, {" a b\t", "a b"}, {"\na\n", "\na\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(slice_eq_str(slice_trim(slice_str(cases[i].in)), cases[i].out));
    }
    assert_null(slice_trim(SLICE_NULL).p);
}

static void test_parts(void **state)
{
    struct slice s = SLICE("abcdef");

    (void)state;
    assert_true(slice_eq_str(slice_from(s, 2), "cdef"));
    assert_int_equal(slice_from(s, 6).n, 0);
    assert_int_equal(slice_from(s, SIZE_MAX).n, 0);
    assert_non_null(slice_from(s, 9).p);
    assert_null(slice_from(SLICE_NULL, 9).p);
    assert_true(slice_eq_str(slice_head(s, 2), "ab"));
    assert_true(slice_eq(slice_head(s, 99), s));
    assert_int_equal(slice_head(SLICE_NULL, 9).n, 0);
}

static void test_cut(void **state)
{
    static const struct {
        const char *in, *head, *rest; // rest NULL: no separator
    } cases[] = {
        {"a,b,c", "a", "b,c"}, {"a", "a", NULL}, {"a,", "a", ""}, {",a", "", "a"}, {"", "", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice head, rest = slice_cut(slice_str(cases[i].in), ',', &head);

        assert_true(slice_eq_str(head, cases[i].head));
        assert_true(slice_eq_str(rest, cases[i].rest));
        assert_int_equal(rest.p == NULL, cases[i].rest == NULL);
    }
}

static void test_to_u64(void **state)
{
    static const struct {
        const char *in;
        bool ok;
        uint64_t value;
    } cases[] = {
        {"0", true, 0},
        {"00012", true, 12},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x1", false, 0},
        {"1.0", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t v = 77;

        assert_int_equal(slice_to_u64(slice_str(cases[i].in), &v), cases[i].ok);
        assert_true(v == (cases[i].ok ? cases[i].value : 77));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare), cmocka_unit_test(test_find), cmocka_unit_test(test_trim),
        cmocka_unit_test(test_parts),   cmocka_unit_test(test_cut),  cmocka_unit_test(test_to_u64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
