// SPDX-License-Identifier: Apache-2.0
// Random numbers: repeatable by seed, in range, even.
#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "tests/unit/death.h"

// State 1, 2, 3, 4: the first outputs of the authors' reference code.
static void test_reference(void **state)
{
    static const uint64_t want[] = {11520U, 0U, 1509978240U, 1215971899390074240U};
    struct rng r = {{1, 2, 3, 4}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(rng_next(&r) == want[i]);
    }
}

static void test_seeds(void **state)
{
    struct rng a, b, c, d;

    (void)state;
    rng_init(&a, 5);
    rng_init(&b, 5);
    rng_init(&c, 6);
    for (int i = 0; i < 100; i++) {
        assert_true(rng_next(&a) == rng_next(&b));
    }
    assert_true(rng_next(&a) != rng_next(&c));
    rng_init(&c, 0);
    rng_init(&d, 0);
    assert_true(rng_next(&c) != rng_next(&d));
}

static void test_below_is_even(void **state)
{
    static const uint64_t limits[] = {1, 2, 3, 7, 10};
    struct rng r;

    (void)state;
    rng_init(&r, 99);
    for (size_t l = 0; l < ARRAY_LEN(limits); l++) {
        size_t counts[10] = {0};

        for (int i = 0; i < 10000; i++) {
            uint64_t v = rng_below(&r, limits[l]);

            assert_true(v < limits[l]);
            counts[v]++;
        }
        // Within 20 % of even: more than six standard deviations for 1,000 of 10,000.
        for (size_t i = 0; i < limits[l]; i++) {
            assert_in_range(counts[i] * limits[l], 8000, 12000);
        }
    }
    for (int i = 0; i < 1000; i++) {
        assert_true(rng_below(&r, ((uint64_t)1 << 63) + 1) <= (uint64_t)1 << 63);
    }
}

static void test_unit(void **state)
{
    struct rng r;
    double sum = 0;

    (void)state;
    rng_init(&r, 1);
    for (int i = 0; i < 10000; i++) {
        double v = rng_unit(&r);

        assert_true(v >= 0 && v < 1);
        sum += v;
    }
    assert_true(sum > 4800 && sum < 5200);
}

static void below_zero(void)
{
    struct rng r;

    rng_init(&r, 1);
    (void)rng_below(&r, 0);
}

static void test_zero_dies(void **state)
{
    (void)state;
    assert_true(death_aborts(below_zero, "rng_below"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),     cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_below_is_even), cmocka_unit_test(test_unit),
        cmocka_unit_test(test_zero_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
