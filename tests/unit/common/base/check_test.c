// SPDX-License-Identifier: Apache-2.0
// A failed CHECK names its place, runs the hook once and aborts.
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/death.h"

static void fail_check(void)
{
    CHECK(1 + 1 == 3);
}

static void fail_unreachable(void)
{
    UNREACHABLE();
}

static void hook(void)
{
    (void)!write(STDERR_FILENO, "hook ran\n", 9);
}

static void hook_that_fails(void)
{
    hook();
    CHECK(2 + 2 == 5);
}

static void fail_with_hook(void)
{
    check_set_hook(hook);
    CHECK(1 + 1 == 3);
}

static void fail_in_hook(void)
{
    check_set_hook(hook_that_fails);
    CHECK(1 + 1 == 3);
}

static void fail_after_removal(void)
{
    check_set_hook(hook);
    check_set_hook(NULL);
    CHECK(1 + 1 == 3);
}

static void test_aborts_with_message(void **state)
{
    static const struct {
        void (*fn)(void);
        const char *text;
    } cases[] = {
        {fail_check, "check_test.c"},       {fail_check, "fail_check: 1 + 1 == 3"},
        {fail_unreachable, "unreachable"},  {fail_with_hook, "1 + 1 == 3\nhook ran\n"},
        {fail_in_hook, "hook ran\nCHECK"},  {fail_in_hook, "2 + 2 == 5"},
        {fail_after_removal, "1 + 1 == 3"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(death_aborts(cases[i].fn, cases[i].text));
    }
    assert_false(death_aborts(fail_after_removal, "hook ran"));
}

static void test_evaluates_once(void **state)
{
    int calls = 0;

    (void)state;
    CHECK(++calls == 1);
    assert_int_equal(calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aborts_with_message),
        cmocka_unit_test(test_evaluates_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
