// SPDX-License-Identifier: Apache-2.0
// Errors of vendors in every shape that is documented, and what becomes of them.
#include "dataplane/dialect_error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/mem.h"

#include "common/base/cdefs.h"

static void check_text(const char *body, const char *got, const char *want)
{
    if ((got == NULL) != (want == NULL) || (got != NULL && strcmp(got, want) != 0)) {
        fail_msg("%s: %s instead of %s", body, got == NULL ? "NULL" : got,
                 want == NULL ? "NULL" : want);
    }
}

#define OVERLOADED "server_error", "overloaded"
#define RATE       "rate_limit_error", "rate_limit_exceeded"
#define QUOTA      "insufficient_quota", "insufficient_quota"
#define INVALID    "invalid_request_error"
#define NON_JSON   "with a non-JSON body"

static void bodies(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
        unsigned out;
        const char *type, *code, *param, *message; // message: how it begins or ends
    } cases[] = {
        // shapes
        {400, "{\"error\":{\"message\":\"m\",\"type\":\"x\",\"param\":\"n\",\"code\":\"c\"}}", 400,
         INVALID, "c", "n", "m"},
        {400, "[{\"error\":{\"message\":\"m\",\"code\":400}}]", 400, INVALID, NULL, NULL, "m"},
        {400, "{\"code\":\"Client specified\",\"error\":\"bad \\u00e9\"}", 400, INVALID, NULL, NULL,
         "bad \xc3\xa9"},
        {400, "{\"errors\":[{\"code\":5007,\"message\":\"No such model\"}]}", 400, INVALID, NULL,
         NULL, "No such model"},
        {400, "{\"errors\":{\"message\":\"x\"}}", 400, INVALID, NULL, NULL, NON_JSON},
        {422,
         "{\"detail\":[{\"loc\":[\"body\",\"messages\",0],\"msg\":\"bad\"},{\"msg\":\"worse\"}]}",
         422, INVALID, NULL, NULL, "body.messages.0: bad; worse"},
        {422,
         "{\"object\":\"error\",\"message\":{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"extra\"}]}}",
         422, INVALID, NULL, NULL, "body: extra"},
        {401, "{\"detail\":\"Unauthorized\"}", 401, "authentication_error", "invalid_api_key", NULL,
         "Unauthorized"},
        {403, "{\"fault\":{\"faultstring\":\"f\"}}", 403, "permission_error", "permission_denied",
         NULL, "f"},
        {404, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404}", 404, INVALID,
         NULL, NULL, "Not Found"},
        {500, "{\"title\":\"T\",\"detail\":\"D\"}", 500, "server_error", NULL, NULL, "D"},
        {400, "{\"error_code\":\"BAD_REQUEST\",\"message\":\"m\"}", 400, INVALID, NULL, NULL, "m"},
        {400, "{\"error\":{\"message\":{\"detail\":[{\"msg\":\"m\"}]},\"code\":\"x\"}}", 400,
         INVALID, "x", NULL, NON_JSON},
        {502, "<html><body>x</body></html>", 502, "server_error", NULL, NULL, NON_JSON},
        {501, "<html><body>x</body></html>", 502, "server_error", NULL, NULL, NON_JSON},
        {503, "<html><body>x</body></html>", 503, "server_error", "overloaded", NULL, NON_JSON},
        {502, "Bad gateway\n", 502, "server_error", NULL, NULL, "Bad gateway"},
        {500, "", 502, "server_error", NULL, NULL, NON_JSON},
        {500, "{\"error\":", 502, "server_error", NULL, NULL, NON_JSON},
        {500, "\"text\"", 500, "server_error", NULL, NULL, "text"},
        {500, "{}", 500, "server_error", NULL, NULL, NON_JSON},
        {500, "[]", 500, "server_error", NULL, NULL, NON_JSON},
        // statuses
        {402, "{\"error\":{\"message\":\"Insufficient Balance\",\"code\":\"z\"}}", 429, QUOTA, NULL,
         "Insufficient Balance"},
        {404, "{\"error\":\"model \\\"x\\\" not found\"}", 404, INVALID, "model_not_found", NULL,
         "model \"x\" not found"},
        {404, "{\"error\":{\"code\":\"DeploymentNotFound\",\"message\":\"The model\"}}", 404,
         INVALID, "DeploymentNotFound", NULL, "The model"},
        {408, "{\"error\":{\"message\":\"m\"}}", 504, "timeout_error", "upstream_timeout", NULL,
         "m"},
        {409, "{\"error\":{\"message\":\"m\"}}", 409, INVALID, "conflict", NULL, "m"},
        {413, "{\"error\":{\"message\":\"m\",\"code\":\"x\"}}", 413, INVALID, "request_too_large",
         NULL, "m"},
        {429, "{\"message\":\"Service tier\",\"type\":\"t\",\"code\":\"3505\"}", 429, RATE, NULL,
         "Service tier"},
        {498, "{\"error\":{\"message\":\"m\"}}", 503, OVERLOADED, NULL, "m"},
        {503, "{\"error\":{\"message\":\"m\"}}", 503, OVERLOADED, NULL, "m"},
        {524, "{\"error\":{\"message\":\"m\"}}", 504, "timeout_error", "upstream_timeout", NULL,
         "m"},
        {529, "{\"error\":{\"message\":\"m\"}}", 503, OVERLOADED, NULL, "m"},
        {520, "{\"error\":{\"message\":\"m\"}}", 502, "server_error", NULL, NULL, "m"},
        {418, "{\"error\":{\"message\":\"m\"}}", 418, INVALID, NULL, NULL, "m"},
        {302, "", 500, "server_error", NULL, NULL, NON_JSON},
        {400, "{\"error\":{\"message\":\"m\",\"code\":-32602}}", 400, INVALID, NULL, NULL, "m"},
        {404, "{\"code\":404,\"reason\":\"MODEL_NOT_FOUND\",\"message\":\"model not found\"}", 404,
         INVALID, "model_not_found", NULL, "model not found"},
        {400, "{\"code\":20012,\"message\":\"Model does not exist.\",\"data\":null}", 400, INVALID,
         NULL, NULL, "Model does not exist."},
        // 200
        {200, "{\"error\":{\"message\":\"m\",\"code\":502,\"metadata\":{}}}", 502, "server_error",
         NULL, NULL, "m"},
        {200, "{\"error\":{\"message\":\"m\",\"code\":\"429\"}}", 429, RATE, NULL, "m"},
        {200, "{\"error\":{\"message\":\"m\"}}", 500, "server_error", NULL, NULL, "m"},
        {200, "{\"base_resp\":{\"status_code\":1002,\"status_msg\":\"slow\"}}", 429, RATE, NULL,
         "slow"},
        {200, "{\"base_resp\":{\"status_code\":1008,\"status_msg\":\"no money\"}}", 429, QUOTA,
         NULL, "no money"},
        {200, "{\"base_resp\":{\"status_code\":1026,\"status_msg\":\"no\"}}", 400, INVALID,
         "content_policy_violation", NULL, "no"},
        // upgrades
        {400, "{\"error\":{\"message\":\"This model's Maximum context length is 8\"}}", 400,
         INVALID, "context_length_exceeded", NULL, "This model's Maximum context length is 8"},
        {413, "{\"message\":\"Prompt is too long\"}", 400, INVALID, "context_length_exceeded", NULL,
         "Prompt is too long"},
        {429, "{\"message\":\"too many tokens per minute\"}", 429, RATE, NULL,
         "too many tokens per minute"},
        {429, "{\"error\":{\"message\":\"You exceeded your current quota, please\"}}", 429, QUOTA,
         NULL, "You exceeded your current quota, please"},
        {400, "{\"error\":{\"message\":\"Access denied\",\"code\":\"Arrearage\"}}", 429, QUOTA,
         NULL, "Access denied"},
        {429, "{\"error\":{\"code\":\"1113\",\"message\":\"m\"}}", 429, QUOTA, NULL, "m"},
        {400, "{\"error\":{\"code\":\"1261\",\"message\":\"m\"}}", 400, INVALID,
         "context_length_exceeded", NULL, "m"},
        {429, "{\"error\":{\"message\":\"m\",\"type\":\"exceeded_current_quota_error\"}}", 429,
         QUOTA, NULL, "m"},
        {400, "{\"error\":{\"code\":\"data_inspection_failed\",\"message\":\"m\"}}", 400, INVALID,
         "content_policy_violation", NULL, "m"},
        {500, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"m\"}}", 500,
         "server_error", "insufficient_quota", NULL, "m"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *body = mem_strdup(cases[i].body);
        struct slice want = slice_str(cases[i].message);
        struct dialect_error er;
        struct arena a;

        arena_init(&a, 1024, 0);
        dialect_error_read(cases[i].status, slice_str(body), &a, &er);
        mem_free(body); // what was read is in the arena
        if (er.status != cases[i].out) {
            fail_msg("%s: %u", cases[i].body, er.status);
        }
        check_text(cases[i].body, er.type, cases[i].type);
        check_text(cases[i].body, er.code, cases[i].code);
        check_text(cases[i].body, er.param, cases[i].param);
        if (!slice_eq(er.message, want) &&
            !(slice_eq_str(want, NON_JSON) && slice_ends(er.message, want))) {
            fail_msg("%s: " SLICE_FMT, cases[i].body, SLICE_ARG(er.message));
        }
        arena_done(&a);
    }
}

static void long_plain_text_is_no_message(void **state)
{
    struct dialect_error er;
    struct arena a;
    char text[502];

    (void)state;
    memset(text, 'x', sizeof(text));
    arena_init(&a, 1024, 0);
    dialect_error_read(500, (struct slice){text, 500}, &a, &er);
    assert_int_equal(er.message.n, 500);
    dialect_error_read(500, (struct slice){text, 501}, &a, &er);
    assert_true(slice_eq_str(er.message, "upstream returned status 500 with a non-JSON body"));
    arena_done(&a);
}

static void openai_own(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
        bool is;
    } cases[] = {
        {429,
         "{\"error\":{\"message\":\"m\",\"type\":\"tokens\",\"param\":null,\"code\":\"c\"},\"x\":1}",
         true},
        {400, "{\"error\":{\"message\":\"m\",\"type\":\"t\"}}", true},
        {400, "{\"error\":{\"message\":\"m\",\"type\":null}}", false},
        {400, "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":400}}", false},
        {402, "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":null,\"code\":\"c\"}}",
         false},
        {529, "{\"error\":{\"message\":\"m\",\"type\":\"t\"}}", false},
        {200, "{\"error\":{\"message\":\"m\",\"type\":\"t\"}}", false},
        {400, "{\"error\":{\"message\":\"m\",\"type\":\"BadRequestError\"}}", false}, // vLLM
        {400, "{\"error\":{\"message\":\"m\",\"type\":\"Arrearage\",\"code\":\"Arrearage\"}}",
         false},
        {400, "{\"error\":{\"message\":\"m\",\"type\":\"x\",\"code\":\"data_inspection_failed\"}}",
         false},
        {429, "{\"error\":{\"message\":\"m\",\"type\":\"exceeded_current_quota_error\"}}", false},
        {429, "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"code\":\"insufficient_quota\"}}",
         true},
        {429, "{\"error\":{\"message\":\"m\",\"type\":\"insufficient_quota\"}}", true},
        {400, "{\"error\":\"m\"}", false},
        {400, "[]", false},
        {400, "<html>", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (dialect_error_is_openai(cases[i].status, slice_str(cases[i].body)) != cases[i].is) {
            fail_msg("%u %s", cases[i].status, cases[i].body);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(long_plain_text_is_no_message),
        cmocka_unit_test(openai_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
