// SPDX-License-Identifier: Apache-2.0
#include "common/io/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void good_ones(void **state)
{
    static const struct {
        const char *text, *pub, *pull, *base;
    } cases[] = {
        {"tcp://127.0.0.1:7400", "tcp://127.0.0.1:7400", "tcp://127.0.0.1:7402", NULL},
        {"tcp://[::1]:7400", "tcp://[::1]:7400", "tcp://[::1]:7402", NULL},
        {"tcp://control.svc:1", "tcp://control.svc:1", "tcp://control.svc:3", NULL},
        {"tcp://*:65533", "tcp://*:65533", "tcp://*:65535", NULL},
        {"ipc:///no/such/x", "ipc:///no/such/x.pub", "ipc:///no/such/x.pull", NULL},
        {"ipc:///no/such/", "ipc:///no/such/control.pub", "ipc:///no/such/control.pull",
         "ipc:///no/such/control"},
        {"ipc:///tmp", "ipc:///tmp/control.pub", "ipc:///tmp/control.pull", "ipc:///tmp/control"},
    };
    char out[ENDPOINT_TEXT_MAX];
    struct endpoint ep;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(endpoint_parse(slice_str(cases[i].text), &ep, NULL));
        endpoint_socket_address(&ep, ENDPOINT_PUB, out);
        assert_string_equal(out, cases[i].pub);
        endpoint_socket_address(&ep, ENDPOINT_PULL, out);
        assert_string_equal(out, cases[i].pull);
        endpoint_format(&ep, out);
        assert_string_equal(out, cases[i].base == NULL ? cases[i].text : cases[i].base);
    }
}

#define A30 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void bad_ones(void **state)
{
    static const char *const cases[] = {
        "",
        "tcp://",
        "tcp://host",
        "tcp://:7400",
        "tcp://host:",
        "tcp://host:x",
        "tcp://host:65534",
        "tcp://host:-1",
        "tcp://::1:7400",
        "tcp://a/b:7400",
        "ipc://relative",
        "ipc:///",
        "ipc://",
        "http://host:7400",
        ("ipc:///" A30 A30 A30),
    };
    struct endpoint ep;
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_false(endpoint_parse(slice_str(cases[i]), &ep, &e));
        assert_int_equal(e.code, ERR_INVALID);
    }
    assert_false(endpoint_parse(SLICE("tcp://a\0b:1"), &ep, &e));
}

static void ports_are_found(void **state)
{
    struct endpoint ep;
    struct err e;

    (void)state;
    assert_true(endpoint_parse(SLICE("tcp://127.0.0.1:0"), &ep, NULL));
    assert_true(endpoint_choose_port(&ep, &e));
    assert_true(ep.port > 0 && ep.port <= 65533);
    assert_true(endpoint_parse(SLICE("tcp://name:0"), &ep, NULL));
    assert_false(endpoint_choose_port(&ep, &e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(bad_ones),
        cmocka_unit_test(ports_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
