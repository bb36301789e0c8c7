// SPDX-License-Identifier: Apache-2.0
// Routes: which target leads where. The callbacks are tested with the machine (req_test.c).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "dataplane/front.h"

static void routes(void **state)
{
    static const struct {
        const char *method, *target;
        enum front_kind kind;
        const char *router, *path, *provider, *rest; // NULL: not looked at
        bool unified;
    } cases[] = {
        {"POST", "/v1/chat/completions", FRONT_ROUTED, NULL, "chat/completions", NULL, NULL, false},
        {"POST", "/chat/completions?x=1", FRONT_ROUTED, NULL, "chat/completions", NULL, NULL,
         false},
        {"POST", "/router/production/chat/completions", FRONT_ROUTED, "production",
         "chat/completions", NULL, NULL, false},
        {"POST", "/router/production/v1/embeddings", FRONT_ROUTED, "production", "embeddings", NULL,
         NULL, false},
        {"POST", "/ai/chat/completions", FRONT_ROUTED, NULL, "chat/completions", NULL, NULL, true},
        {"POST", "/ai/v1/chat/completions", FRONT_ROUTED, NULL, "chat/completions", NULL, NULL,
         true},
        {"POST", "/api/v1/chat/completions", FRONT_ROUTED, NULL, "chat/completions", NULL, NULL,
         false},
        {"POST", "/api/chat/completions", FRONT_ROUTED, NULL, "chat/completions", NULL, NULL,
         false},
        {"POST", "/v1/router/x/v1/chat/completions", FRONT_ROUTED, "x", "chat/completions", NULL,
         NULL, false},
        {"POST", "/v1/ai/messages", FRONT_ROUTED, NULL, "messages", NULL, NULL, true},
        {"POST", "/v1/api/v1/rerank", FRONT_ROUTED, NULL, "rerank", NULL, NULL, false},
        {"POST", "/v1/router/x/nothing", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"POST", "/api/v1/v1/rerank", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"POST", "/v1/validate-router-config", FRONT_VALIDATE, NULL, NULL, NULL, NULL, false},
        {"POST", "/v1/images/generations", FRONT_ROUTED, NULL, "images/generations", NULL, NULL,
         false},
        {"POST", "/v1/audio/speech", FRONT_ROUTED, NULL, "audio/speech", NULL, NULL, false},
        {"POST", "/v1/images/", FRONT_UNKNOWN + 0, NULL, NULL, "v1", NULL, false},
        {"GET", "/v1/models", FRONT_MODELS, NULL, NULL, NULL, NULL, false},
        {"GET", "/models/openai%2Fgpt-4o", FRONT_MODEL, NULL, NULL, NULL, "openai%2Fgpt-4o", false},
        {"GET", "/v1/models/openai/gpt-4o", FRONT_MODEL, NULL, NULL, NULL, "openai/gpt-4o", false},
        {"GET", "/router/r/models", FRONT_MODELS, "r", NULL, NULL, NULL, false},
        {"GET", "/v1/key", FRONT_KEY, NULL, NULL, NULL, NULL, false},
        {"GET", "/api/v1/key", FRONT_KEY, NULL, NULL, NULL, NULL, false},
        {"GET", "/health", FRONT_LIVE, NULL, NULL, NULL, NULL, false},
        {"GET", "/healthz", FRONT_LIVE, NULL, NULL, NULL, NULL, false},
        {"GET", "/health/liveliness", FRONT_LIVE, NULL, NULL, NULL, NULL, false},
        {"GET", "/readyz", FRONT_READY, NULL, NULL, NULL, NULL, false},
        {"GET", "/health/readiness", FRONT_READY, NULL, NULL, NULL, NULL, false},
        {"POST", "/validate-router-config", FRONT_VALIDATE, NULL, NULL, NULL, NULL, false},
        {"GET", "/v1/chat/completions", FRONT_METHOD, NULL, NULL, NULL, NULL, false},
        {"POST", "/v1/models", FRONT_METHOD, NULL, NULL, NULL, NULL, false},
        {"POST", "/health", FRONT_METHOD, NULL, NULL, NULL, NULL, false},
        {"GET", "/v1/realtime?model=x", FRONT_NOT_SERVED, NULL, NULL, NULL, NULL, false},
        {"GET", "/openai/v1/models?x=%2F", FRONT_RAW, NULL, NULL, "openai", "v1/models?x=%2F",
         false},
        {"DELETE", "/openai/", FRONT_RAW, NULL, NULL, "openai", "", false},
        {"GET", "/openai", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"GET", "/", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"GET", "/?a/b", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"GET", "/x?a/b", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"GET", "/openai/a b", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"GET", "/openai/a\r\nx: y", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"OPTIONS", "*", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"GET", "", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"POST", "/router/", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"POST", "/router/production", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"POST", "/router/production/nothing", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
        {"POST", "/ai/nothing", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, true},
        {"POST", "/api/v1/nothing", FRONT_UNKNOWN, NULL, NULL, NULL, NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct front_route r;

        front_parse(slice_str(cases[i].method), slice_str(cases[i].target), &r);
        if (cases[i].kind == FRONT_UNKNOWN && cases[i].provider != NULL) {
            assert_int_equal(r.kind, FRONT_RAW); // no such provider: the machine answers 404
            assert_true(slice_eq_str(r.provider, cases[i].provider));
            continue;
        }
        assert_int_equal(r.kind, cases[i].kind);
        assert_int_equal(r.unified, cases[i].unified);
        assert_true(cases[i].router == NULL || slice_eq_str(r.router, cases[i].router));
        assert_true(cases[i].path == NULL || slice_eq_str(r.path, cases[i].path));
        assert_true(cases[i].provider == NULL || slice_eq_str(r.provider, cases[i].provider));
        assert_true(cases[i].rest == NULL || slice_eq_str(r.rest, cases[i].rest));
    }
}

static void answers_in_the_dialect_of_the_path(void **state)
{
    struct front_route r;

    (void)state;
    front_parse(SLICE("POST"), SLICE("/v1/messages"), &r);
    assert_true(r.anthropic);
    front_parse(SLICE("GET"), SLICE("/router/x/messages/count_tokens"), &r);
    assert_true(r.anthropic);
    assert_int_equal(r.kind, FRONT_METHOD);
    front_parse(SLICE("POST"), SLICE("/v1/embeddings"), &r);
    assert_false(r.anthropic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes),
        cmocka_unit_test(answers_in_the_dialect_of_the_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
