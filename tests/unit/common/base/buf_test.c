// SPDX-License-Identifier: Apache-2.0
// The byte queue: content over many appends and consumes, its ceiling, moves.
#include "common/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/rng.h"
#include "tests/unit/death.h"

static void test_append_and_consume(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_true(slice_eq_str(buf_slice(&b), ""));
    assert_non_null(buf_slice(&b).p);
    buf_append(&b, SLICE("hello "));
    buf_append_str(&b, "world");
    buf_append_char(&b, '!');
    buf_printf(&b, " %d%s", 42, "x");
    assert_true(slice_eq_str(buf_slice(&b), "hello world! 42x"));
    buf_consume(&b, 6);
    assert_string_equal(buf_cstr(&b), "world! 42x");
    buf_clear(&b);
    assert_int_equal(buf_slice(&b).n, 0);
    assert_string_equal(buf_cstr(&b), "");
    buf_append(&b, SLICE_NULL);
    assert_int_equal(b.n, 0);
    buf_done(&b);
    buf_append_str(&b, "again");
    assert_int_equal(b.max, 100);
    buf_done(&b);
}

static void test_ceiling(void **state)
{
    struct buf b;
    size_t room;

    (void)state;
    buf_init(&b, 10);
    assert_true(buf_try_append(&b, SLICE("12345678")));
    assert_false(buf_try_append(&b, SLICE("abc")));
    assert_false(buf_try_printf(&b, "%s", "abc"));
    assert_false(buf_try_reserve(&b, 3));
    assert_false(buf_try_reserve(&b, SIZE_MAX));
    assert_true(slice_eq_str(buf_slice(&b), "12345678"));
    assert_true(buf_try_reserve(&b, 2));
    (void)buf_tail(&b, &room);
    assert_int_equal(room, 2);
    assert_true(buf_try_printf(&b, "%s", "ab"));
    assert_false(buf_try_printf(&b, "%s", "c"));
    assert_true(buf_try_printf(&b, "%s", ""));
    assert_string_equal(buf_cstr(&b), "12345678ab");
    // The ceiling counts data, not what was consumed.
    buf_consume(&b, 5);
    assert_true(buf_try_append(&b, SLICE("vwxyz")));
    assert_true(slice_eq_str(buf_slice(&b), "678abvwxyz"));
    buf_done(&b);
    buf_init(&b, SIZE_MAX);
    assert_false(buf_try_reserve(&b, SIZE_MAX));
    assert_false(buf_try_reserve(&b, SIZE_MAX / 2));
    buf_done(&b);
}

static void test_tail_and_commit(void **state)
{
    struct buf b;
    size_t room;
    char *p;

    (void)state;
    buf_init(&b, 1000);
    assert_true(buf_try_reserve(&b, 300));
    p = buf_tail(&b, &room);
    assert_true(room >= 300);
    memcpy(p, "xyz", 3);
    buf_commit(&b, 3);
    assert_true(slice_eq_str(buf_slice(&b), "xyz"));
    buf_done(&b);
}

static void test_move(void **state)
{
    struct buf a, b;

    (void)state;
    buf_init(&a, 10);
    buf_init(&b, 20);
    buf_append_str(&a, "old");
    buf_append_str(&b, "content");
    buf_consume(&b, 3);
    buf_move(&a, &b);
    assert_true(slice_eq_str(buf_slice(&a), "tent"));
    assert_int_equal(a.max, 10);
    assert_int_equal(b.n, 0);
    assert_null(b.p);
    assert_int_equal(b.max, 20);
    buf_move(&a, &a);
    assert_true(slice_eq_str(buf_slice(&a), "tent"));
    buf_done(&a);
    buf_done(&b);
}

// printf at every fill level: the text that just fits, and the one that does not, come out whole.
static void test_printf_at_every_fill(void **state)
{
    (void)state;
    for (size_t fill = 0; fill < 140; fill++) {
        struct buf b;

        buf_init(&b, 4096);
        for (size_t i = 0; i < fill; i++) {
            buf_append_char(&b, '.');
        }
        buf_printf(&b, "%s-%d", "abcdef", 12);
        assert_int_equal(b.n, fill + 9);
        assert_true(slice_ends(buf_slice(&b), SLICE("abcdef-12")));
        buf_done(&b);
    }
}

// Against a plain model: a counting byte stream goes in and out in random pieces.
static void test_random_queue(void **state)
{
    struct buf b;
    struct rng r;
    uint8_t in = 0, out = 0;

    (void)state;
    rng_init(&r, 7);
    buf_init(&b, 3000);
    for (int step = 0; step < 20000; step++) {
        size_t n = rng_below(&r, 400);
        char chunk[400];

        if (rng_below(&r, 2) == 0) {
            for (size_t i = 0; i < n; i++) {
                chunk[i] = (char)(uint8_t)(in + i);
            }
            size_t before = b.n;
            bool fits = before + n <= 3000;

            assert_int_equal(buf_try_append(&b, (struct slice){chunk, n}), fits);
            assert_int_equal(b.n, before + (fits ? n : 0));
            in = (uint8_t)(in + (fits ? n : 0));
        } else {
            n = n < b.n ? n : b.n;
            for (size_t i = 0; i < n; i++) {
                assert_int_equal((uint8_t)buf_slice(&b).p[i], (uint8_t)(out + i));
            }
            buf_consume(&b, n);
            out = (uint8_t)(out + n);
        }
        assert_true(b.off + b.n <= b.cap);
        assert_true(b.cap <= 8192);
    }
    buf_done(&b);
}

static void overflow_append(void)
{
    struct buf b;

    buf_init(&b, 2);
    buf_append_str(&b, "abc");
}

// What others make too large is left out, and noted.
static void test_soft(void **state)
{
    struct buf b, to;

    (void)state;
    buf_init_soft(&b, 4);
    buf_append_str(&b, "abc");
    assert_false(b.over);
    buf_append_str(&b, "de");
    buf_append_char(&b, 'f'); // would fit, but not behind a gap
    buf_printf(&b, "%d", 1);
    assert_true(b.over);
    assert_string_equal(buf_cstr(&b), "abc");
    buf_clear(&b);
    assert_false(b.over);
    buf_printf(&b, "%d", 12345);
    assert_true(b.over);
    buf_init(&to, 9);
    buf_move(&to, &b);
    assert_true(to.over && b.soft && !b.over && b.n == 0);
    buf_done(&to);
    buf_append_str(&b, "abcde");
    assert_true(b.over);
    buf_done(&b);
    assert_true(b.soft && !b.over);
}

static void consume_too_much(void)
{
    struct buf b;

    buf_init(&b, 10);
    buf_append_str(&b, "abc");
    buf_consume(&b, 4);
}

static void commit_too_much(void)
{
    struct buf b;

    buf_init(&b, 10);
    buf_commit(&b, 1);
}

static void test_misuse_dies(void **state)
{
    (void)state;
    assert_true(death_aborts(overflow_append, "buf_append"));
    assert_true(death_aborts(consume_too_much, "buf_consume"));
    assert_true(death_aborts(commit_too_much, "buf_commit"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_consume),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_tail_and_commit),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_printf_at_every_fill),
        cmocka_unit_test(test_random_queue),
        cmocka_unit_test(test_soft),
        cmocka_unit_test(test_misuse_dies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
