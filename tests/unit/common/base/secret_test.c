// SPDX-License-Identifier: Apache-2.0
// Secrets: contents and hints.
#include "common/base/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_reveal(void **state)
{
    struct secret *s = secret_new(SLICE("sk-123\0x"));

    (void)state;
    assert_int_equal(secret_reveal(s).n, 8);
    assert_memory_equal(secret_reveal(s).p, "sk-123\0x", 9);
    secret_free(&s);
    assert_null(s);
    secret_free(&s);
    assert_null(secret_new(SLICE_NULL));
    assert_null(secret_reveal(NULL).p);
    s = secret_new(SLICE(""));
    assert_non_null(s);
    assert_int_equal(secret_reveal(s).n, 0);
    assert_string_equal(secret_reveal(s).p, "");
    secret_free(&s);
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
        secret_free(&s);
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
    secret_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reveal),
        cmocka_unit_test(test_hint),
        cmocka_unit_test(test_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
