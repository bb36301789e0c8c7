// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/boot.h"
#include "common/base/log.h"
#include "common/io/yaml.h"

static struct arena arena;
static struct problem_list problems;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    problem_list_init(&problems);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    problem_list_done(&problems);
    return 0;
}

static bool read_boot(const char *text, struct boot *out)
{
    const struct node *root = yaml_parse(&arena, "f", slice_str(text), &problems);
    struct conf_ctx c;

    assert_non_null(root);
    conf_init(&c, &arena, &problems);
    return boot_read(&c, root, out);
}

static void defaults_are_those_of_the_contract(void **state)
{
    struct boot b;
    struct conf_ctx c;

    (void)state;
    conf_init(&c, &arena, &problems);
    assert_true(boot_read(&c, NULL, &b));
    assert_string_equal(b.server.address.s, "127.0.0.1");
    assert_int_equal(b.server.port, 8080);
    assert_int_equal(b.server.ops_port, 9464);
    assert_int_equal(b.server.max_body, 32 << 20);
    assert_int_equal(b.server.max_buffered, 1 << 30);
    assert_int_equal(b.server.header_memory, 16384);
    assert_int_equal(b.server.drain_delay_us, 0);
    assert_int_equal(b.server.shutdown_timeout_us, 30000000);
    assert_false(b.server.tls.enabled);
    assert_int_equal(b.control.max_stale_us, 0);
    assert_string_equal(b.control.listen.s, "tcp://127.0.0.1:7400");
    assert_int_equal(b.logging.level, LOG_INFO);
    assert_false(b.logging.json);
    assert_true(b.logging.access);
    assert_int_equal(b.admin.port, 8081);
    assert_null(b.egress.proxy.s);
    assert_null(b.redis.url.s);
}

static void sections_of_others_are_skipped_and_mistakes_are_not(void **state)
{
    struct boot b;

    (void)state;
    assert_true(read_boot("routers: [nonsense]\nproviders: 5\nminio: {}\nserver: {port: 1}\n", &b));
    assert_int_equal(b.server.port, 1);
    assert_false(read_boot("sever: {port: 1}\n", &b));
    assert_string_equal(problems.first->path, "sever");
    assert_non_null(strstr(problems.first->message, "did you mean \"server\"?"));
}

static void everything_can_be_set(void **state)
{
    struct boot b;

    (void)state;
    assert_true(read_boot(
        "server: {address: '::', port: 0, tls: {cert: c, key: k}, max-body: 1MiB, workers: 2}\n"
        "control: {endpoints: ['tcp://a:7400', 'ipc:///run/x'], cluster-secret-file: /s}\n"
        "logging: {level: debug, format: json, access: false}\n"
        "egress: {proxy: 'http://p:3128', ca-file: /ca, allowed-networks: [10.0.0.0/8, '::1']}\n"
        "redis: unix:/run/redis.sock\nadmin: {port: 1, token-file: /t}\n",
        &b));
    assert_true(b.server.tls.enabled);
    assert_int_equal(b.control.endpoints.n, 2);
    assert_int_equal(b.logging.level, LOG_DEBUG);
    assert_true(b.logging.json);
    assert_false(b.logging.access);
    assert_string_equal(b.egress.ca_file.s, "/ca");
    assert_int_equal(b.egress.allowed_networks.n, 2);
    assert_string_equal(b.redis.url.s, "unix:/run/redis.sock");
    assert_string_equal(b.admin.token_file.s, "/t");
}

static void helicones_telemetry_sets_the_level(void **state)
{
    static const struct {
        const char *text;
        int level;
        bool json;
    } cases[] = {
        {"telemetry: {level: 'info,ai_gateway=trace'}", LOG_INFO, false},
        {"telemetry: {level: trace, format: json}", LOG_DEBUG, true},
        {"telemetry: {level: 'ai_gateway=trace,error'}", LOG_ERROR, false},
        {"telemetry: {level: 'ai_gateway=trace'}", LOG_INFO, false},
        {"telemetry: {level: warn}\nlogging: {level: debug, format: text}", LOG_DEBUG, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct boot b;

        assert_true(read_boot(cases[i].text, &b));
        assert_int_equal(b.logging.level, cases[i].level);
        assert_int_equal(b.logging.json, cases[i].json);
    }
    assert_int_equal(problems.warnings, 0);
}

static void what_has_no_effect_is_said(void **state)
{
    static const char *const texts[] = {"telemetry: {exporter: otlp}",
                                        "redis: {url: 'unix:/r', connection-timeout: 5s}"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct boot b;
        size_t before = problems.warnings;

        assert_true(read_boot(texts[i], &b));
        assert_int_equal(problems.warnings, before + 1);
    }
}

static void what_needs_a_restart_is_named(void **state)
{
    struct boot a, b;
    struct buf out;

    (void)state;
    assert_true(read_boot("server: {port: 1}", &a));
    assert_true(read_boot("server: {port: 2}\nlogging: {level: debug}\negress: {ca-file: /x}", &b));
    buf_init(&out, 1000);
    boot_restart_keys(&a, &b, &out);
    assert_string_equal(buf_cstr(&out), "server.port, egress.ca-file");
    buf_done(&out);
}

static void loopback_is_recognised(void **state)
{
    static const char *const yes[] = {"127.0.0.1", "127.9.9.9", "::1",
                                      "localhost", "unix:/x",   "/x"};
    static const char *const no[] = {"0.0.0.0", "10.0.0.1", "::", "example.com", ""};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(boot_is_loopback(yes[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        assert_false(boot_is_loopback(no[i]));
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(defaults_are_those_of_the_contract),
        T(sections_of_others_are_skipped_and_mistakes_are_not),
        T(everything_can_be_set),
        T(helicones_telemetry_sets_the_level),
        T(what_has_no_effect_is_said),
        T(what_needs_a_restart_is_named),
        T(loopback_is_recognised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
