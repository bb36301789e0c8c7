// SPDX-License-Identifier: Apache-2.0
// The clocks run forward and in the right unit.
#include "common/base/mono.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

static void test_monotonic(void **state)
{
    uint64_t last = mono_now_us();

    (void)state;
    assert_true(last > 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = mono_now_us();

        assert_true(now >= last);
        last = now;
    }
}

static void test_wall_is_microseconds(void **state)
{
    uint64_t before = (uint64_t)time(NULL), wall = mono_wall_us() / MONO_SEC;

    (void)state;
    // time() may lag by one tick.
    assert_true(wall + 1 >= before);
    assert_true(wall <= (uint64_t)time(NULL) + 1);
    assert_int_equal(MONO_SEC / MONO_MS, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monotonic),
        cmocka_unit_test(test_wall_is_microseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
