// SPDX-License-Identifier: Apache-2.0
// The operations of a change, whole and damaged; answers of Redis are store_test.c's.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "controlplane/entry.h"

static const char whole[] = "\0\0\0\6team:a\0\0\0\3rec"
                            "\0\0\0\6team:b\0\0\0\0";

static void operations_come_in_order(void **state)
{
    struct slice ops = SLICE_MAKE(whole, sizeof(whole) - 1);
    struct entry_op op;

    (void)state;
    assert_true(entry_take_op(&ops, &op));
    assert_true(slice_eq_str(op.field, "team:a"));
    assert_true(slice_eq_str(op.record, "rec"));
    assert_true(entry_take_op(&ops, &op));
    assert_true(slice_eq_str(op.field, "team:b"));
    assert_int_equal(op.record.n, 0);
    assert_false(entry_take_op(&ops, &op));
}

static void an_early_end_is_an_end(void **state)
{
    const size_t first = 4 + 6 + 4 + 3, second = first + 4 + 6 + 4;

    (void)state;
    for (size_t n = 0; n < sizeof(whole); n++) {
        struct slice ops = SLICE_MAKE(whole, n);
        struct entry_op op;
        size_t found = 0;

        while (entry_take_op(&ops, &op)) {
            found++;
        }
        assert_int_equal(found, (n >= first) + (n >= second));
    }
}

static void lengths_beyond_the_end_are_damage(void **state)
{
    static const char *const damaged[] = {"\377\377\377\377team:a", "\0\0\0\1x\377\377\377\377rec",
                                          "\200\0\0\0"};
    static const size_t n[] = {10, 12, 4};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++) {
        struct slice ops = SLICE_MAKE(damaged[i], n[i]);
        struct entry_op op;

        assert_false(entry_take_op(&ops, &op));
    }
}

static void no_answer_has_no_entries(void **state)
{
    struct entry e = {.seq = 1};

    (void)state;
    assert_int_equal(redis_count(entry_list(NULL)), 0);
    assert_false(entry_parse(NULL, &e));
    assert_int_equal(e.seq, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_come_in_order),
        cmocka_unit_test(an_early_end_is_an_end),
        cmocka_unit_test(lengths_beyond_the_end_are_damage),
        cmocka_unit_test(no_answer_has_no_entries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
