// SPDX-License-Identifier: Apache-2.0
// Bump allocation: alignment, ceiling, reset, text helpers.
#include "common/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/rng.h"
#include "tests/unit/death.h"

static void test_pieces_are_aligned_and_apart(void **state)
{
    enum { COUNT = 500 };
    static struct {
        uint8_t *p;
        size_t n;
    } pieces[COUNT];
    struct arena a;
    struct rng r;

    (void)state;
    rng_init(&r, 3);
    arena_init(&a, 0, 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            pieces[i].n = rng_below(&r, i % 50 == 0 ? 100000 : 100);
            pieces[i].p = arena_alloc(&a, pieces[i].n);
            assert_int_equal((uintptr_t)pieces[i].p % 16, 0);
            memset(pieces[i].p, (int)(i & 0xff), pieces[i].n);
        }
        for (size_t i = 0; i < COUNT; i++) {
            for (size_t j = 0; j < pieces[i].n; j++) {
                assert_int_equal(pieces[i].p[j], i & 0xff);
            }
        }
        arena_reset(&a);
        assert_int_equal(a.used, 0);
        assert_true(a.head != NULL);
    }
    arena_done(&a);
    assert_null(a.head);
}

// Strings lie close together; whatever comes behind them begins where it must.
static void test_strings_are_packed(void **state)
{
    struct arena a;
    char *one, *two;
    void *piece;

    (void)state;
    arena_init(&a, 256, 64);
    one = arena_strdup(&a, "abc");
    two = arena_strdup(&a, "");
    assert_ptr_equal(two, one + 4);
    assert_int_equal(a.used, 5);
    piece = arena_alloc(&a, 8);
    assert_ptr_equal(piece, one + 16);
    assert_int_equal(a.used, 32);
    assert_string_equal(one, "abc");
    (void)arena_strdup(&a, "x");
    assert_null(arena_try_alloc(&a, 32)); // the gap counts
    assert_non_null(arena_try_alloc(&a, 16));
    arena_done(&a);
}

static void test_ceiling(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 64, 1024);
    assert_null(arena_try_alloc(&a, 1025));
    assert_null(arena_try_alloc(&a, SIZE_MAX));
    assert_null(a.head);
    assert_non_null(arena_try_alloc(&a, 1000));
    assert_non_null(arena_try_alloc(&a, 16));
    assert_null(arena_try_alloc(&a, 1));
    arena_reset(&a);
    assert_non_null(arena_try_alloc(&a, 1024));
    assert_null(arena_try_alloc(&a, 0));
    arena_done(&a);
    // Usable again with the same ceiling.
    assert_non_null(arena_try_alloc(&a, 1024));
    assert_null(arena_try_alloc(&a, 1));
    arena_done(&a);
}

static void test_reset_keeps_the_first_block(void **state)
{
    struct arena a;
    struct arena_block *first;

    (void)state;
    arena_init(&a, 256, 0);
    (void)arena_alloc(&a, 100);
    first = a.head;
    (void)arena_alloc(&a, 50000);
    (void)arena_alloc(&a, 200);
    (void)arena_alloc(&a, 90000);
    (void)arena_alloc(&a, 100);
    arena_reset(&a);
    assert_ptr_equal(a.head, first);
    arena_done(&a);
}

static void test_text(void **state)
{
    struct arena a;
    struct slice s;

    (void)state;
    arena_init(&a, 256, 0);
    assert_string_equal(arena_strndup(&a, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(&a, NULL, 0), "");
    assert_string_equal(arena_strdup(&a, "xyz"), "xyz");
    assert_null(arena_strdup(&a, NULL));
    assert_null(arena_dup(&a, SLICE_NULL).p);
    s = arena_dup(&a, SLICE("a\0b"));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b", 4);
    assert_string_equal(arena_printf(&a, "%s=%d", "n", 5), "n=5");
    assert_string_equal(arena_printf(&a, "%s", ""), "");
    assert_memory_equal(arena_zalloc(&a, 4), "\0\0\0\0", 4);
    arena_done(&a);
}

static void exhaust(void)
{
    struct arena a;

    arena_init(&a, 64, 100);
    (void)arena_alloc(&a, 101);
}

static void test_exhaustion_dies(void **state)
{
    (void)state;
    assert_true(death_aborts(exhaust, "arena_alloc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_are_aligned_and_apart),
        cmocka_unit_test(test_strings_are_packed),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_reset_keeps_the_first_block),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_exhaustion_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
