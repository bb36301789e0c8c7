// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cdefs.h"
#include "dataplane/dp_conf.h"

static bool parse(const char *const *words, struct dp_conf_args *ret)
{
    static char text[32][64]; // the arguments borrow it
    char *argv[33];
    int n = 0;

    for (; words[n] != NULL; n++) {
        (void)snprintf(text[n], sizeof(text[n]), "%s", words[n]);
        argv[n] = text[n];
    }
    argv[n] = NULL;
    optind = 0; // glibc: start anew
    opterr = 0;
    return dp_conf_parse(n, argv, ret);
}

static void reads_the_command_line(void **state)
{
    const char *const words[] = {"sluice-proxy",
                                 "-c",
                                 "f.yaml",
                                 "--control",
                                 "ipc:///a,tcp://h:1",
                                 "--data-dir",
                                 "/d",
                                 "--port",
                                 "0",
                                 "--workers",
                                 "3",
                                 "--address",
                                 "::1",
                                 "--insecure-no-auth",
                                 "--ready-file",
                                 "r",
                                 NULL};
    struct dp_conf_args a;

    (void)state;
    assert_true(parse(words, &a));
    assert_int_equal(a.action, DP_CONF_RUN);
    assert_string_equal(a.file, "f.yaml");
    assert_string_equal(a.control, "ipc:///a,tcp://h:1");
    assert_int_equal(a.port, 0);
    assert_int_equal(a.ops_port, -1);
    assert_int_equal(a.workers, 3);
    assert_true(a.insecure_no_auth);
}

static void refuses_bad_arguments(void **state)
{
    static const char *const bad[][4] = {
        {"sluice-proxy", "--port", "70000", NULL}, {"sluice-proxy", "--port", "x", NULL},
        {"sluice-proxy", "--workers", "-1", NULL}, {"sluice-proxy", "--nothing", NULL, NULL},
        {"sluice-proxy", "word", NULL, NULL},      {"sluice-proxy", "--control", NULL, NULL},
    };
    struct dp_conf_args a;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(parse(bad[i], &a));
    }
}

static void puts_the_command_line_over_the_file(void **state)
{
    char path[] = "/tmp/dp_conf_test.XXXXXX";
    static const char text[] = "server: {port: 1234, workers: 2, max-body: 1MiB}\n"
                               "control: {endpoints: [\"tcp://a:7400\"]}\n"
                               "routers: {whatever: this is not the proxy's}\n";
    struct dp_conf_args a = {.port = 99, .ops_port = -1, .workers = -1, .data_dir = "/data"};
    struct dp_conf c;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    (void)close(fd);
    assert_true(dp_conf_load(&a, path, &c));
    assert_int_equal(c.boot.server.port, 99);
    assert_int_equal(c.boot.server.ops_port, 9464);
    assert_int_equal(c.boot.server.max_body, 1u << 20);
    assert_int_equal(c.workers, 2);
    assert_int_equal(c.n_endpoints, 1);
    assert_string_equal(c.endpoints[0], "tcp://a:7400");
    assert_string_equal(c.cluster_secret_file, "/data/cluster-secret");
    assert_string_equal(c.public_key_file, "/data/control-public-key");
    dp_conf_done(&c);
    a.control = "ipc:///run, tcp://b:1";
    assert_true(dp_conf_load(&a, path, &c));
    assert_int_equal(c.n_endpoints, 2);
    assert_string_equal(c.endpoints[1], "tcp://b:1");
    dp_conf_done(&c);
    assert_int_equal(unlink(path), 0);
}

static void refuses_a_broken_file(void **state)
{
    char path[] = "/tmp/dp_conf_test.XXXXXX";
    struct dp_conf_args a = {.port = -1, .ops_port = -1, .workers = -1};
    struct dp_conf c;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "server: {prt: 1}\n", 17), 17);
    (void)close(fd);
    assert_false(dp_conf_load(&a, path, &c));
    dp_conf_done(&c);
    assert_int_equal(unlink(path), 0);
    assert_false(dp_conf_load(&a, path, &c)); // not there
    dp_conf_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_command_line),
        cmocka_unit_test(refuses_bad_arguments),
        cmocka_unit_test(puts_the_command_line_over_the_file),
        cmocka_unit_test(refuses_a_broken_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
