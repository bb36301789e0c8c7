// SPDX-License-Identifier: Apache-2.0
#include "common/base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "common/base/cdefs.h"

static bool contains(const char *network, const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct cidr c;

    assert_true(cidr_parse(slice_str(network), &c));
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1) {
        return cidr_contains(&c, 1, (struct sockaddr *)&v4);
    }
    assert_int_equal(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return cidr_contains(&c, 1, (struct sockaddr *)&v6);
}

static void contains_what_it_says(void **state)
{
    static const struct {
        const char *network, *address;
        bool in;
    } cases[] = {
        {"10.0.0.0/8", "10.255.1.2", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"192.168.128.0/17", "192.168.255.1", true},
        {"192.168.128.0/17", "192.168.127.255", false},
        {"127.0.0.1", "127.0.0.1", true},
        {"127.0.0.1", "127.0.0.2", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "::1", true},
        {"fd00::/8", "fdab::1", true},
        {"fd00::/8", "fe80::1", false},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
        {"::/0", "::ffff:10.1.2.3", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(contains(cases[i].network, cases[i].address), cases[i].in);
    }
}

static void refuses_what_is_none(void **state)
{
    static const char *const bad[] = {"",         "10.0.0.0/33", "::/129",      "10.0.0.0/",
                                      "10.0.0/8", "localhost",   "10.0.0.0/8x", "10.0.0.0/-1",
                                      "/8"};
    struct cidr c;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(cidr_parse(slice_str(bad[i]), &c));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contains_what_it_says),
        cmocka_unit_test(refuses_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
