// SPDX-License-Identifier: Apache-2.0
// Allocation: edge sizes, refusal of absurd ones, zeroing, duplicates.
#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/unit/death.h"

static void test_try_refuses_absurd_sizes(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1};
    char *p = mem_alloc(4);

    (void)state;
    memcpy(p, "abc", 4);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_null(mem_try_alloc(sizes[i]));
        assert_null(mem_try_realloc(p, sizes[i]));
    }
    assert_string_equal(p, "abc");
    mem_free(p);
}

static void test_zero_sizes_are_pointers(void **state)
{
    void *all[] = {mem_alloc(0), mem_zalloc(0), mem_zalloc_array(0, 8), mem_try_alloc(0)};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        assert_non_null(all[i]);
        mem_free(all[i]);
    }
    mem_free(NULL);
}

static void test_zeroed_and_grown(void **state)
{
    uint32_t *p = mem_zalloc_array(100, sizeof(*p));

    (void)state;
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(p[i], 0);
        p[i] = (uint32_t)i;
    }
    p = mem_realloc_array(p, 1000, sizeof(*p));
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(p[i], i);
    }
    mem_free(p);
}

// Sizes around those that are kept for reuse: a block that comes back is whole, is its owner's
// alone, and zeroed when that was asked for.
static void test_reused_blocks(void **state)
{
    static const size_t sizes[] = {1024, 1025,  1280,  1281,  2047, 2048,
                                   2049, 40000, 65535, 65536, 65537};

    (void)state;
    for (size_t round = 0; round < 3; round++) {
        unsigned char *all[ARRAY_LEN(sizes)];

        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            all[i] = mem_zalloc(sizes[i]);
            assert_int_equal(all[i][0] | all[i][sizes[i] - 1], 0);
            memset(all[i], (int)(i + 1), sizes[i]);
        }
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            assert_int_equal(all[i][0], i + 1);
            assert_int_equal(all[i][sizes[i] - 1], i + 1);
            mem_free(all[i]);
        }
    }
}

static void test_realloc_keeps_content(void **state)
{
    static const size_t sizes[] = {10,     1000,  1500, 3000, 60000, 65536,
                                   100000, 50000, 1500, 1025, 900};
    unsigned char *p = mem_alloc(sizes[0]);

    (void)state;
    memset(p, 7, sizes[0]);
    for (size_t i = 1; i < ARRAY_LEN(sizes); i++) {
        size_t kept = sizes[i - 1] < sizes[i] ? sizes[i - 1] : sizes[i];

        p = mem_try_realloc(p, sizes[i]);
        assert_non_null(p);
        assert_int_equal(p[0], 7);
        assert_int_equal(p[kept - 1], 7);
        memset(p, 7, sizes[i]);
    }
    mem_free(p);
}

static void test_duplicates(void **state)
{
    char *a = mem_strndup("abcdef", 3), *b = mem_strdup("xyz"), *c = mem_strndup(NULL, 0);

    (void)state;
    assert_string_equal(a, "abc");
    assert_string_equal(b, "xyz");
    assert_string_equal(c, "");
    assert_null(mem_strdup(NULL));
    mem_wipe(b, 3);
    assert_memory_equal(b, "\0\0\0", 4);
    mem_wipe(NULL, 0);
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

// Not constants, so that the compiler does not warn about them.
static volatile size_t huge = SIZE_MAX / 2;

static void alloc_huge(void)
{
    mem_free(mem_alloc(huge * 2));
}

static void zalloc_overflow(void)
{
    mem_free(mem_zalloc_array(huge, 16));
}

static void realloc_overflow(void)
{
    mem_free(mem_realloc_array(NULL, huge, 16));
}

static void strndup_huge(void)
{
    mem_free(mem_strndup("x", huge));
}

static void test_exhaustion_dies(void **state)
{
    static void (*const cases[])(void) = {alloc_huge, zalloc_overflow, realloc_overflow,
                                          strndup_huge};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(death_aborts(cases[i], "out of memory"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_try_refuses_absurd_sizes),
        cmocka_unit_test(test_zero_sizes_are_pointers),
        cmocka_unit_test(test_zeroed_and_grown),
        cmocka_unit_test(test_reused_blocks),
        cmocka_unit_test(test_realloc_keeps_content),
        cmocka_unit_test(test_duplicates),
        cmocka_unit_test(test_exhaustion_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
