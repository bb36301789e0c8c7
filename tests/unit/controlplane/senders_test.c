// SPDX-License-Identifier: Apache-2.0
// Only rising counts are fresh; the memory for processes is bounded.
#include "controlplane/senders.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mono.h"

static void only_rising_counts_are_fresh(void **state)
{
    struct senders *s = senders_new();
    struct envelope a = {.sender = {1}, .count = 5}, b = {.sender = {2}, .count = 1};

    (void)state;
    assert_true(senders_is_fresh(s, &a, SENDERS_REQ, 1));
    assert_false(senders_is_fresh(s, &a, SENDERS_REQ, 1));
    assert_true(senders_is_fresh(s, &a, SENDERS_PUSH, 1)); // another socket counts for itself
    assert_true(senders_is_fresh(s, &b, SENDERS_REQ, 1));
    a.count = 4;
    assert_false(senders_is_fresh(s, &a, SENDERS_REQ, 1));
    a.count = 6;
    assert_true(senders_is_fresh(s, &a, SENDERS_REQ, 1));
    b.count = 0;
    assert_false(senders_is_fresh(s, &b, SENDERS_PUSH, 1));
    senders_free(&s);
    assert_null(s);
}

static void senders_are_bounded(void **state)
{
    struct senders *s = senders_new();
    struct envelope e = {.count = 1};

    (void)state;
    for (uint32_t i = 0; i < SENDERS_MAX; i++) {
        memcpy(e.sender, &i, sizeof(i));
        assert_true(senders_is_fresh(s, &e, SENDERS_REQ, i == 0 ? 1 : 10 * MONO_SEC));
    }
    e.sender[15] = 1;
    assert_false(senders_is_fresh(s, &e, SENDERS_REQ, 11 * MONO_SEC));
    // One has been silent for an hour.
    assert_true(senders_is_fresh(s, &e, SENDERS_REQ, 3600 * MONO_SEC + 2));
    senders_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_rising_counts_are_fresh),
        cmocka_unit_test(senders_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
