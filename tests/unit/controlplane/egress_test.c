// SPDX-License-Identifier: Apache-2.0
// URLs, the request for the models, and that the settings of the file arrive.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/egress.h"

static void urls_are_split(void **state)
{
    static const struct {
        const char *url, *origin, *host, *path; // origin NULL: refused
    } rows[] = {
        {"https://h:1/v1/", "https://h:1", "h:1", "/v1/"},
        {"http://h", "http://h", "h", "/"},
        {"http://[::1]:8000/a/b/", "http://[::1]:8000", "[::1]:8000", "/a/b/"},
        {"http:///v1/", NULL, NULL, NULL},
        {"h:1/v1/", NULL, NULL, NULL},
        {"", NULL, NULL, NULL},
        {NULL, NULL, NULL, NULL},
    };
    char origin[EGRESS_ORIGIN_MAX];
    struct slice host, path;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        bool ok = egress_split(rows[i].url, origin, &host, &path);

        assert_int_equal(ok, rows[i].origin != NULL);
        if (ok) {
            assert_string_equal(origin, rows[i].origin);
            assert_true(slice_eq_str(host, rows[i].host));
            assert_true(slice_eq_str(path, rows[i].path));
        }
    }
}

static void models_are_asked_for(void **state)
{
    const struct resource_pair headers[] = {{"x-one", "1"}},
                               query[] = {{"api-version", "2 a"}, {"b", "&"}};
    struct resource_provider p = {.dialect = "openai",
                                  .auth_header = "authorization",
                                  .auth_scheme = "Bearer",
                                  .headers = headers,
                                  .n_headers = 1,
                                  .query = query,
                                  .n_query = 2};
    struct secret *key = secret_new(SLICE("sk-1"));
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    egress_ask_models(&p, SLICE("h:1"), SLICE("/v1/"), key, &b);
    assert_string_equal(buf_cstr(&b),
                        "GET /v1/models?api-version=2%20a&b=%26 HTTP/1.1\r\nhost: h:1\r\n"
                        "accept: application/json\r\nuser-agent: sluice\r\n"
                        "authorization: Bearer sk-1\r\nx-one: 1\r\n\r\n");
    buf_clear(&b);
    p = (struct resource_provider){
        .dialect = "anthropic", .auth_header = "x-api-key", .auth_scheme = ""};
    egress_ask_models(&p, SLICE("h"), SLICE("/"), key, &b);
    assert_non_null(strstr(buf_cstr(&b), "\r\nx-api-key: sk-1\r\n"));
    buf_clear(&b);
    egress_ask_models(&p, SLICE("h"), SLICE("/"), NULL, &b);
    assert_null(strstr(buf_cstr(&b), "x-api-key"));
    buf_clear(&b);
    p.dialect = "ollama";
    egress_ask_models(&p, SLICE("h"), SLICE("/api/"), NULL, &b);
    assert_true(slice_starts(buf_slice(&b), SLICE("GET /api/tags HTTP/1.1\r\n")));
    buf_done(&b);
    secret_free(&key);
}

static void settings_arrive(void **state)
{
    static const struct conf_text networks[] = {{"10.0.0.0/8", NULL}, {"::1/128", NULL}};
    struct boot_egress b = {.proxy = {"http://proxy:3128", NULL},
                            .ca_file = {"/etc/ca.pem", NULL},
                            .allowed_networks = {networks, 2, NULL}};
    static struct egress e;

    (void)state;
    egress_init(&e, &b);
    assert_string_equal(e.dial.proxy, "http://proxy:3128");
    assert_string_equal(e.dial.ca_file, "/etc/ca.pem");
    assert_int_equal(e.dial.n_allowed, 2);
    assert_ptr_equal(e.dial.allowed, e.allowed);
    b = (struct boot_egress){0};
    egress_init(&e, &b);
    assert_string_equal(e.dial.proxy, "");
    assert_null(e.dial.ca_file);
    assert_int_equal(e.dial.n_allowed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_split),
        cmocka_unit_test(models_are_asked_for),
        cmocka_unit_test(settings_arrive),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
