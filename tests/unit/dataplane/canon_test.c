// SPDX-License-Identifier: Apache-2.0
// What translators share: tool-call ids made to fit.
#include "dataplane/canon.h"

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

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A62 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void ids_fit(void **state)
{
    static const struct {
        const char *in, *extra;
        size_t max;
        const char *out;
    } cases[] = {
        {"functions.get_tide:1", "_-", 64, "functions_get_tide_1"},
        {"call/2", "_.:-", 64, "call_2"},
        {A64 "aaaaaa", "_-", 64, A64},
        {"toolu_01Abc-9", "_-", 64, "toolu_01Abc-9"},
        {"\\u00e9\xc3\xa9", "_-", 64, "__"},
        {"", "_-", 64, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_ids ids = {.arena = &arena, .extra = cases[i].extra, .max = cases[i].max};

        assert_true(slice_eq_str(canon_fit_id(&ids, slice_str(cases[i].in)), cases[i].out));
    }
}

static void collisions_are_told_apart(void **state)
{
    struct canon_ids ids = {.arena = &arena, .extra = "_-", .max = 64};

    (void)state;
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE("a_2")), "a_2"));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE("a")), "a"));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE("b:c")), "b_c"));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE("b.c")), "b_c_2"));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE("b/c")), "b_c_3"));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE("b.c")), "b_c_2"));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE("b_c")), "b_c_4"));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE(A64 "x")), A64));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE(A64 "y")), A62 "_2"));
    assert_true(slice_eq_str(canon_fit_id(&ids, SLICE("a")), "a"));
}

// Many ids, all of which become the same, in time that does not grow with their square.
static void many_ids(void **state)
{
    struct canon_ids ids = {.arena = &arena, .extra = "_-", .max = 64};
    char text[32];

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 100000; i++) {
            size_t n = 0;
            char want[32];

            for (unsigned v = i, k = 0; k < 10; k++, v /= 4) {
                text[n++] = ".:/ "[v % 4];
            }
            (void)snprintf(want, sizeof(want), i == 0 ? "__________" : "___________%u", i + 1);
            assert_true(
                slice_eq_str(canon_fit_id(&ids, arena_dup(&arena, (struct slice){text, n})), want));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_fit),
        cmocka_unit_test(collisions_are_told_apart),
        cmocka_unit_test(many_ids),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
