// SPDX-License-Identifier: Apache-2.0
// Anthropic's dialect where it passes through: what is read of a request, how it is edited, paths,
// errors written.
#include "dataplane/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/dialect_anthropic_strip.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static void reads_the_envelope(void **state)
{
    struct dialect_request r;
    const char *code = NULL, *param = NULL;
    struct err e;

    (void)state;
    assert_true(dialect_anthropic.parse_request(
        SLICE("{\"model\":\"claude\",\"max_tokens\":12,\"stream\":true,\"system\":\"abc\","
              "\"models\":[\"x\"],\"messages\":[],\"thinking\":{\"type\":\"adaptive\"}}"),
        DIALECT_MESSAGES, &arena, &r, &code, &param, &e));
    assert_true(slice_eq_str(r.model, "claude"));
    assert_true(r.stream);
    assert_int_equal(r.max_tokens, 12);
    assert_int_equal(r.prompt_bytes, 7);
    assert_int_equal(r.n_models, 1);
    assert_false(dialect_anthropic.parse_request(SLICE("{\"messages\":[]}"), DIALECT_MESSAGES,
                                                 &arena, &r, &code, &param, &e));
    assert_string_equal(param, "model");
    assert_false(dialect_anthropic.parse_request(SLICE("{"), DIALECT_MESSAGES, &arena, &r, &code,
                                                 &param, &e));
    assert_string_equal(code, "invalid_json");
}

// The bytes of an edited body.
static const char *joined(const char *body, const struct dialect_splice *sp, size_t n)
{
    struct slice pieces[64];
    size_t bytes, at = 0, count;
    char *out;

    assert_true(2 * n + 1 <= ARRAY_LEN(pieces));
    count = dialect_spliced(slice_str(body), sp, n, pieces, ARRAY_LEN(pieces), &bytes);
    out = arena_alloc(&arena, bytes + 1);
    for (size_t i = 0; i < count; i++) {
        memcpy(out + at, pieces[i].p, pieces[i].n);
        at += pieces[i].n;
    }
    out[at] = '\0';
    return out;
}

// The request as it goes to another model; stripped: of its signed reasoning too.
static const char *edited(const char *body, bool stripped)
{
    struct dialect_splice sp[DIALECT_SPLICES_MAX], *all = sp;
    struct dialect_request r;
    const char *code, *param;
    struct err e;
    size_t n;

    if (!dialect_anthropic.parse_request(slice_str(body), DIALECT_MESSAGES, &arena, &r, &code,
                                         &param, &e)) {
        fail_msg("%s: %s", body, e.message);
    }
    n = dialect_anthropic.edit_request(&r, slice_str(body), SLICE("new"), true, &arena, sp,
                                       ARRAY_LEN(sp));
    if (stripped) {
        n = dialect_anthropic_strip(slice_str(body), sp, n, &arena, &all);
    }
    return joined(body, all, n);
}

static void edits_the_model_only(void **state)
{
    (void)state;
    assert_string_equal(
        edited("{\"model\" : \"old\", \"stream\":true, \"x\":{\"y\":1.50}, \"messages\":[]}",
               false),
        "{\"model\" : \"new\", \"stream\":true, \"x\":{\"y\":1.50}, \"messages\":[]}");
    assert_string_equal(
        edited("{\"models\":[\"a\"],\"model\":\"old\",\"provider\":{},\"messages\":[],"
               "\"usage\":{\"include\":true}}",
               false),
        "{\"model\":\"new\",\"messages\":[]}");
}

#define T   "{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"s\"}"
#define R   "{\"type\":\"redacted_thinking\",\"data\":\"d\"}"
#define X   "{\"type\":\"text\",\"text\":\"x\"}"
#define U   "{\"role\":\"user\",\"content\":\"u\"}"
#define A   "{\"role\":\"assistant\",\"content\":"
#define USE "{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{}}"
#define RES "{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"i\"}]}"
#define ON  ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}"

static void strips_signed_reasoning(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"[" U "]", "[" U "]"},
        {"[" U "," A "[" T "," X "]}," U "]", "[" U "," A "[" X "]}," U "]"},
        {"[" U "," A "[" T "," R " , " X "]}]", "[" U "," A "[" X "]}]"},
        {"[" U "," A "[" X "," T "," R "]}]", "[" U "," A "[" X "]}]"},
        {"[" U "," A "[" T "," X "," R "," X "," T "]}]", "[" U "," A "[" X "," X "]}]"},
        {"[" U "," A "[" T "," R "]}," U "]", "[" U "," U "]"},
        {"[" A "[" T "]}," A "[" R "]}," U "]", "[" U "]"},
        {"[" U "," A "[" T "]}," A "[" R "]}]", "[" U "]"},
        {"[" A "[" T "]}]", "[" A "[" T "]}]"}, // else there were no messages
        {"[" U "," A "\"plain\"}," A "[]}]", "[" U "," A "\"plain\"}," A "[]}]"},
        {"[{\"role\":\"user\",\"content\":[" T "]}]", "[{\"role\":\"user\",\"content\":[" T "]}]"},
        {"[" U "," A "[" T "," USE "]}," RES "]" ON,
         "[" U "," A "[" USE "]}," RES "],\"thinking\":{\"type\":\"disabled\"}"},
        {"[" U "," A "[" T "," X "]}," U "]" ON, "[" U "," A "[" X "]}," U "]" ON},
        {"[" U "," A "[" USE "]}," RES "]" ON, "[" U "," A "[" USE "]}," RES "]" ON},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *body = arena_printf(&arena, "{\"model\":\"m\",\"messages\":%s}", cases[i].in);
        const char *want =
            arena_printf(&arena, "{\"model\":\"new\",\"messages\":%s}", cases[i].out);

        assert_string_equal(edited(body, true), want);
    }
    // Beside members of ours that go as well.
    assert_string_equal(edited("{\"provider\":{},\"messages\":[" U "," A "[" T "," USE "]}," RES
                               "],\"models\":[]" ON ",\"route\":1,\"model\":\"m\"}",
                               true),
                        "{\"messages\":[" U "," A "[" USE "]}," RES
                        "],\"thinking\":{\"type\":\"disabled\"},\"model\":\"new\"}");
}

static void paths(void **state)
{
    static const struct {
        enum dialect_endpoint ep;
        const char *path; // NULL: not served
    } cases[] = {
        {DIALECT_MESSAGES, "messages"},
        {DIALECT_CHAT, "messages"},
        {DIALECT_COMPLETIONS, "messages"},
        {DIALECT_COUNT_TOKENS, "messages/count_tokens"},
        {DIALECT_EMBEDDINGS, NULL},
        {DIALECT_RESPONSES, NULL},
        {DIALECT_OTHER, NULL},
    };
    struct buf b;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_call call = {.endpoint = cases[i].ep, .stream = true};

        assert_int_equal(dialect_anthropic.serves(cases[i].ep), cases[i].path != NULL);
        if (cases[i].path != NULL) {
            buf_init(&b, 100);
            dialect_anthropic.write_path(&call, &b);
            assert_string_equal(buf_cstr(&b), cases[i].path);
            buf_done(&b);
        }
    }
}

static void errors_go_by_their_status(void **state)
{
    static const struct {
        unsigned status;
        const char *type;
    } cases[] = {
        {400, "invalid_request_error"},
        {401, "authentication_error"},
        {402, "billing_error"},
        {403, "permission_error"},
        {404, "not_found_error"},
        {409, "conflict_error"},
        {413, "request_too_large"},
        {422, "invalid_request_error"},
        {429, "rate_limit_error"},
        {500, "api_error"},
        {502, "api_error"},
        {503, "overloaded_error"},
        {504, "timeout_error"},
        {529, "overloaded_error"},
    };
    struct buf b;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_error e = {.status = cases[i].status,
                                  .type = "server_error", // OpenAI's word
                                  .message = SLICE("no \"x\""),
                                  .request_id = SLICE("req_1")};

        buf_init(&b, 1000);
        dialect_anthropic.write_error(&e, &b);
        assert_string_equal(buf_cstr(&b),
                            arena_printf(&arena,
                                         "{\"type\":\"error\",\"error\":{\"type\":\"%s\","
                                         "\"message\":\"no \\\"x\\\"\"},\"request_id\":\"req_1\"}",
                                         cases[i].type));
        buf_done(&b);
    }
}

static void statuses_of_other_dialects(void **state)
{
    static const struct {
        unsigned status;
        const char *code;
        unsigned want;
    } cases[] = {
        {503, "overloaded", 529}, {429, "insufficient_quota", 402},
        {422, NULL, 400},         {429, "rate_limit_exceeded", 429},
        {429, NULL, 429},         {500, NULL, 500},
        {401, NULL, 401},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_error e = {.status = cases[i].status, .code = cases[i].code};

        assert_int_equal(dialect_anthropic.error_status(&e), cases[i].want);
    }
}

static void its_own_errors(void **state)
{
    static const struct {
        const char *body;
        bool want;
    } cases[] = {
        {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}", true},
        {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}", false},
        {"{\"type\":\"error\",\"error\":\"m\"}", false},
        {"{\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}", false},
        {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"}", false},
        {"<html>", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(dialect_anthropic.is_own_error(400, slice_str(cases[i].body)),
                         cases[i].want);
    }
}

static void error_events_are_framed(void **state)
{
    struct dialect_error e = {.status = 500, .message = SLICE("m"), .attempts = 2};
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    dialect_anthropic.write_error_event(&e, &b);
    assert_string_equal(buf_cstr(&b),
                        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\","
                        "\"message\":\"m\",\"attempts\":2}}\n\n");
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_envelope),
        cmocka_unit_test(edits_the_model_only),
        cmocka_unit_test(strips_signed_reasoning),
        cmocka_unit_test(paths),
        cmocka_unit_test(errors_go_by_their_status),
        cmocka_unit_test(statuses_of_other_dialects),
        cmocka_unit_test(its_own_errors),
        cmocka_unit_test(error_events_are_framed),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
