// SPDX-License-Identifier: Apache-2.0
// Answers come in the loop's thread; cancelling and leaving never wait.
#include "common/io/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mono.h"

struct answer {
    size_t calls, n;
    char first[64];
    enum err_code code;
};

static void note(void *arg, const char *const *addresses, size_t n, const struct err *e)
{
    struct answer *a = arg;

    a->calls++;
    a->n = n;
    a->code = n == 0 ? e->code : ERR_NONE;
    if (n > 0) {
        (void)snprintf(a->first, sizeof(a->first), "%s", addresses[0]);
    }
}

static void names_and_numbers(void **state)
{
    struct err e;
    struct loop *l = loop_new(&e);
    struct dns *d = dns_new(l, &e);
    struct answer v4 = {0}, v6 = {0}, local = {0}, none = {0}, gone = {0};
    struct dns_query *q;
    char longer[300];

    (void)state;
    assert_non_null(dns_resolve(d, "127.0.0.1", note, &v4, &e));
    q = dns_resolve(d, "127.0.0.2", note, &gone, &e);
    dns_cancel(&q);
    assert_null(q);
    dns_cancel(&q);
    assert_non_null(dns_resolve(d, "::1", note, &v6, &e));
    assert_non_null(dns_resolve(d, "localhost", note, &local, &e));
    // ".invalid" never exists (RFC 2606); a label of 64 characters is not even asked for.
    assert_non_null(
        dns_resolve(d, "x123456789012345678901234567890123456789012345678901234567890123x.invalid",
                    note, &none, &e));
    while (v4.calls + v6.calls + local.calls + none.calls < 4) {
        loop_turn(l, 10 * MONO_MS);
    }
    assert_int_equal(v4.n, 1);
    assert_string_equal(v4.first, "127.0.0.1");
    assert_string_equal(v6.first, "::1");
    assert_true(local.n >= 1);
    assert_int_equal(none.n, 0);
    assert_int_not_equal(none.code, ERR_NONE);
    assert_int_equal(gone.calls, 0);
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    assert_null(dns_resolve(d, longer, note, &none, &e));
    assert_null(dns_resolve(d, "", note, &none, &e));
    dns_free(&d);
    dns_free(&d);
    loop_free(&l);
}

static void leaving_with_questions_open(void **state)
{
    struct answer a = {0};
    struct err e;

    (void)state;
    for (int i = 0; i < 50; i++) {
        struct loop *l = loop_new(&e);
        struct dns *d = dns_new(l, &e);

        for (int k = 0; k < i % 5; k++) {
            assert_non_null(dns_resolve(d, "127.0.0.1", note, &a, &e));
        }
        dns_free(&d);
        loop_free(&l);
    }
    assert_int_equal(a.calls, 0);
}

static void numeric(void **state)
{
    (void)state;
    assert_true(dns_is_numeric(SLICE("10.0.0.1")));
    assert_true(dns_is_numeric(SLICE("fe80::1")));
    assert_false(dns_is_numeric(SLICE("redis")));
    assert_false(dns_is_numeric(SLICE("10.0.0")));
    assert_false(dns_is_numeric(SLICE("")));
    assert_false(dns_is_numeric(SLICE("[::1]")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_numbers),
        cmocka_unit_test(leaving_with_questions_open),
        cmocka_unit_test(numeric),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
