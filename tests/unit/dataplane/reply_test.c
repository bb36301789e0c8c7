// SPDX-License-Identifier: Apache-2.0
// Headers and error bodies that need no request; the rest is tested with the machine (req_test.c).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mono.h"
#include "dataplane/dialect.h"
#include "dataplane/reply.h"

static struct slice find(const struct reply_head *h, const char *name)
{
    for (size_t i = 0; i < h->n; i++) {
        if (slice_eq_str(h->h[i].name, name)) {
            return h->h[i].value;
        }
    }
    return SLICE_NULL;
}

static void shows_a_limit_in_every_form(void **state)
{
    struct arena a;
    struct reply_head h = {.arena = &a, .n = 0};
    struct limit_view v = {.present = true,
                           .unit = RESOURCE_REQUESTS,
                           .limit = 1000,
                           .remaining = 3,
                           .reset_us = 90500 * MONO_MS,
                           .window_us = 60 * MONO_SEC};

    (void)state;
    arena_init(&a, 4096, 0);
    reply_head_limits(&h, &v, true, 0);
    assert_true(slice_eq_str(find(&h, "x-ratelimit-limit-requests"), "1000"));
    assert_true(slice_eq_str(find(&h, "x-ratelimit-remaining-requests"), "3"));
    assert_true(slice_eq_str(find(&h, "x-ratelimit-reset-requests"), "1m30.5s"));
    assert_true(slice_eq_str(find(&h, "RateLimit-Policy"), "\"requests\";q=1000;w=60"));
    assert_true(slice_eq_str(find(&h, "RateLimit"), "\"requests\";r=3;t=91"));
    assert_true(slice_eq_str(find(&h, "anthropic-ratelimit-requests-remaining"), "3"));
    assert_true(
        slice_eq_str(find(&h, "anthropic-ratelimit-requests-reset"), "1970-01-01T00:01:30Z"));

    h.n = 0;
    v.unit = RESOURCE_TOKENS;
    reply_head_limits(&h, &v, false, 0);
    assert_true(slice_eq_str(find(&h, "x-ratelimit-limit-tokens"), "1000"));
    assert_null(find(&h, "anthropic-ratelimit-requests-limit").p);

    h.n = 0;
    v.unit = RESOURCE_USD;
    reply_head_limits(&h, &v, false, 0);
    assert_int_equal(h.n, 2); // RateLimit and its policy only

    h.n = 0;
    v.present = false;
    reply_head_limits(&h, &v, false, 0);
    assert_int_equal(h.n, 0);
    arena_done(&a);
}

static void never_overflows(void **state)
{
    struct arena a;
    struct reply_head h = {.arena = &a, .n = 0};

    (void)state;
    arena_init(&a, 4096, 0);
    for (unsigned i = 0; i < REPLY_HEADERS_MAX * 2; i++) {
        reply_head_printf(&h, "x", "%0300u", i); // longer than the text's room: cut
    }
    assert_int_equal(h.n, REPLY_HEADERS_MAX);
    h.n = 0;
    reply_head_add(&h, "y", SLICE_NULL); // absent values make no header
    assert_int_equal(h.n, 0);
    reply_head_add(&h, "y", SLICE("a\r\nset-cookie: b\x7f"));
    assert_true(slice_eq_str(h.h[0].value, "a??set-cookie: b?"));
    arena_done(&a);
}

static void words_errors_in_each_dialect(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    reply_write_error(&dialect_openai, REPLY_MISSING_FIELD, SLICE("say \"what\""), "model",
                      SLICE("id"), &b);
    assert_true(slice_eq_str(buf_slice(&b),
                             "{\"error\":{\"message\":\"say \\\"what\\\"\",\"type\":\"invalid_"
                             "request_error\",\"param\":\"model\",\"code\":\"missing_field\"}}"));
    buf_clear(&b);
    reply_write_error(&dialect_anthropic, REPLY_RATE_LIMITED, SLICE("slow"), NULL, SLICE("id"), &b);
    assert_true(slice_eq_str(buf_slice(&b),
                             "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
                             "\"message\":\"slow\"},\"request_id\":\"id\"}"));
    buf_clear(&b);
    reply_write_error(&dialect_gemini, REPLY_RATE_LIMITED, SLICE("slow"), NULL, SLICE("id"), &b);
    assert_true(slice_eq_str(buf_slice(&b), "{\"error\":{\"code\":429,\"message\":\"slow\","
                                            "\"status\":\"RESOURCE_EXHAUSTED\"}}"));
    buf_done(&b);
}

static void has_the_contract_s_codes(void **state)
{
    static const struct {
        enum reply_code c;
        unsigned status;
        const char *code;
    } cases[] = {
        {REPLY_INVALID_JSON, 400, "invalid_json"},
        {REPLY_MISSING_FIELD, 400, "missing_field"},
        {REPLY_MODEL_NOT_FOUND, 404, "model_not_found"},
        {REPLY_INVALID_API_KEY, 401, "invalid_api_key"},
        {REPLY_KEY_DISABLED, 401, "key_disabled"},
        {REPLY_KEY_EXPIRED, 401, "key_expired"},
        {REPLY_NOT_ALLOWED, 403, "not_allowed"},
        {REPLY_ROUTER_NOT_FOUND, 404, "router_not_found"},
        {REPLY_UNKNOWN_ROUTE, 404, "unknown_route"},
        {REPLY_TOO_LARGE, 413, "request_too_large"},
        {REPLY_OVERLOADED, 503, "overloaded"},
        {REPLY_UNSUPPORTED_ENCODING, 415, "unsupported_encoding"},
        {REPLY_BAD_FRAMING, 400, "bad_framing"},
        {REPLY_RATE_LIMITED, 429, "rate_limit_exceeded"},
        {REPLY_BUDGET_EXCEEDED, 429, "budget_exceeded"},
        {REPLY_UPSTREAM_FAILED, 502, "upstream_failed"},
        {REPLY_NO_TARGET, 503, "no_target_available"},
        {REPLY_ALL_COOLING, 429, "rate_limit_exceeded"},
        {REPLY_UPSTREAM_TIMEOUT, 504, "upstream_timeout"},
        {REPLY_SHUTTING_DOWN, 503, "shutting_down"},
        {REPLY_UPSTREAM_TRUNCATED, 502, "upstream_truncated"},
        {REPLY_NOT_SERVED, 501, "not_supported"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(reply_status(cases[i].c), cases[i].status);
        assert_string_equal(reply_code_text(cases[i].c), cases[i].code);
    }
    assert_string_equal(reply_code_text(REPLY_NONE), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shows_a_limit_in_every_form),
        cmocka_unit_test(never_overflows),
        cmocka_unit_test(words_errors_in_each_dialect),
        cmocka_unit_test(has_the_contract_s_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
