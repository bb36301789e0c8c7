// SPDX-License-Identifier: Apache-2.0
// Secrets: contents, references, hints; memory that outlives nothing.
#include "common/base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

static void test_reveal_and_refs(void **state)
{
    struct secret *s = secret_new(SLICE("sk-123\0x")), *again = secret_ref(s);

    (void)state;
    assert_ptr_equal(s, again);
    secret_unref(&s);
    assert_null(s);
    assert_int_equal(secret_reveal(again).n, 8);
    assert_memory_equal(secret_reveal(again).p, "sk-123\0x", 9);
    secret_unref(&again);
    secret_unref(&again);
    assert_null(secret_new(SLICE_NULL));
    assert_null(secret_ref(NULL));
    assert_null(secret_reveal(NULL).p);
    s = secret_new(SLICE(""));
    assert_non_null(s);
    assert_int_equal(secret_reveal(s).n, 0);
    assert_string_equal(secret_reveal(s).p, "");
    secret_unref(&s);
}

static void test_hint(void **state)
{
    static const struct {
        const char *value, *hint;
    } cases[] = {
        {NULL, "..."},
        {"", "..."},
        {"abcdefghijk", "..."},
        {"abcdefghijkl", "...ijkl"},
        {"sk-proj-0123456789wxyz", "...wxyz"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct secret *s = secret_new(slice_str(cases[i].value));
        char out[8];

        secret_hint(s, out);
        assert_string_equal(out, cases[i].hint);
        secret_unref(&s);
    }
}

static void test_large(void **state)
{
    static char big[100000];
    struct secret *s;

    (void)state;
    memset(big, 'x', sizeof(big));
    s = secret_new((struct slice){big, sizeof(big)});
    assert_memory_equal(secret_reveal(s).p, big, sizeof(big));
    secret_unref(&s);
}

static void *churn(void *arg)
{
    for (int i = 0; i < 1000; i++) {
        struct secret *s = secret_ref(arg);

        secret_unref(&s);
    }
    return NULL;
}

static void test_refs_over_threads(void **state)
{
    struct secret *s = secret_new(SLICE("shared"));
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, churn, s), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_string_equal(secret_reveal(s).p, "shared");
    secret_unref(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reveal_and_refs),
        cmocka_unit_test(test_hint),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_refs_over_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
