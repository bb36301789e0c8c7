// SPDX-License-Identifier: Apache-2.0
// Requests in OpenAI's dialect: what is read of them, how they are edited, errors written.
#include "dataplane/dialect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

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

static struct dialect_request parsed(const char *body, enum dialect_endpoint ep)
{
    struct dialect_request r = {.n = 0};
    const char *code = NULL, *param = NULL;
    struct err e = {.code = ERR_NONE};

    if (!dialect_openai.parse_request(slice_str(body), ep, &arena, &r, &code, &param, &e)) {
        fail_msg("%s: %s", body, e.message);
    }
    return r;
}

static void finds(void **state)
{
    (void)state;
    assert_ptr_equal(dialect_find(SLICE("openai")), &dialect_openai);
    assert_ptr_equal(dialect_find(SLICE("anthropic")), &dialect_anthropic);
    assert_ptr_equal(dialect_find(SLICE("gemini")), &dialect_gemini);
    assert_ptr_equal(dialect_find(SLICE("ollama")), &dialect_ollama);
    assert_null(dialect_find(SLICE("cohere")));
    assert_null(dialect_find(SLICE_NULL));
    assert_int_equal(dialect_estimate_tokens(0), 0);
    assert_int_equal(dialect_estimate_tokens(1), 1);
    assert_int_equal(dialect_estimate_tokens(4), 1);
    assert_int_equal(dialect_estimate_tokens(5), 2);
    assert_true(dialect_estimate_tokens(UINT64_MAX) == UINT64_MAX / 4 + 1);
}

static void paths(void **state)
{
    (void)state;
    static const struct {
        enum dialect_endpoint ep;
        const char *path;
    } cases[] = {{DIALECT_CHAT, "chat/completions"},     {DIALECT_COMPLETIONS, "completions"},
                 {DIALECT_EMBEDDINGS, "embeddings"},     {DIALECT_RESPONSES, "responses"},
                 {DIALECT_MESSAGES, "chat/completions"}, {DIALECT_OTHER, "images/generations"}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_call call = {.endpoint = cases[i].ep,
                                    .client_path = SLICE("images/generations")};
        struct buf out;

        assert_true(dialect_openai.serves(cases[i].ep));
        buf_init(&out, 256);
        dialect_openai.write_path(&call, &out);
        assert_string_equal(buf_cstr(&out), cases[i].path);
        buf_done(&out);
    }
    assert_false(dialect_openai.serves(DIALECT_COUNT_TOKENS));
}

static void reads(void **state)
{
    struct dialect_request r = parsed(
        "{\"mod\\u0065l\":\"openai\\/gpt\",\"messages\":[1,2],\"stream\":true,"
        "\"stream_options\":{\"include_usage\":true},\"max_tokens\":5,\"n\":3,"
        "\"models\":[\"a\",\"b\\u0063\"],\"provider\":{\"order\":[\"x\"],\"only\":[\"y\",\"z\"],"
        "\"ignore\":null,\"allow_fallbacks\":false,\"sort\":\"price\"},"
        "\"usage\":{\"include\":true},\"prompt\":\"12\"}",
        DIALECT_CHAT);

    (void)state;
    assert_true(slice_eq_str(r.model, "openai/gpt"));
    assert_non_null(r.model_member);
    assert_true(r.stream && r.include_usage && r.no_fallbacks && r.usage_in_body);
    assert_int_equal(r.max_tokens, 5);
    assert_int_equal(r.n, 3);
    assert_int_equal(r.prompt_bytes, 5 + 4);
    assert_int_equal(r.n_models, 2);
    assert_true(slice_eq_str(r.models[1], "bc"));
    assert_int_equal(r.n_order, 1);
    assert_int_equal(r.n_only, 2);
    assert_true(slice_eq_str(r.only[1], "z"));
    assert_int_equal(r.n_ignore, 0);
}

static void reads_defaults(void **state)
{
    static const struct {
        const char *body;
        bool stream, include;
        uint64_t max_tokens;
        uint32_t n;
    } cases[] = {
        {"{\"model\":\"m\"}", false, false, 0, 1},
        {"{\"model\":\"m\",\"stream\":null,\"n\":null,\"max_tokens\":null,\"models\":null,"
         "\"provider\":null,\"stream_options\":null,\"usage\":null}",
         false, false, 0, 1},
        {"{\"model\":\"m\",\"stream\":false,\"n\":0}", false, false, 0, 1},
        {"{\"model\":\"m\",\"n\":1000000,\"max_tokens\":7,\"max_completion_tokens\":9}", false,
         false, 9, 128},
        {"{\"model\":\"m\",\"max_output_tokens\":8}", false, false, 8, 1},
        {"{\"model\":\"m\",\"max_tokens\":1.5,\"n\":-1}", false, false, 0, 1},
        {"{\"model\":\"m\",\"max_tokens\":18446744073709551615}", false, false, UINT64_MAX, 1},
        {"{\"model\":\"m\",\"stream\":true,\"stream_options\":{}}", true, false, 0, 1},
        {"{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":false}}", true,
         false, 0, 1},
        {"{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":false,"
         "\"include\\u005fusage\":true}}",
         true, true, 0, 1},
        {"{\"model\":\"m\",\"stream\":true,\"stream_options\":[true]}", true, false, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_request r = parsed(cases[i].body, DIALECT_CHAT);

        assert_int_equal(r.stream, cases[i].stream);
        assert_int_equal(r.include_usage, cases[i].include);
        assert_true(r.max_tokens == cases[i].max_tokens);
        assert_int_equal(r.n, cases[i].n);
    }
}

static void refuses(void **state)
{
    char long_model[600], lists[1200];
    const struct {
        const char *body, *code, *param;
    } cases[] = {
        {"", "invalid_json", NULL},
        {"[]", "invalid_json", NULL},
        {"{\"model\":\"m\"", "invalid_json", NULL},
        {"{\"model\":\"m\",\"model\":\"n\"}", "invalid_json", NULL},
        {"{}", "missing_field", "model"},
        {"{\"model\":null}", "missing_field", "model"},
        {"{\"model\":1}", "missing_field", "model"},
        {"{\"model\":\"\"}", "missing_field", "model"},
        {"{\"model\":\"\\ud800\"}", "missing_field", "model"},
        {long_model, "missing_field", "model"},
        {"{\"models\":[],\"x\":1}", "missing_field", "model"},
        {"{\"model\":\"m\",\"stream\":\"true\"}", "missing_field", "stream"},
        {"{\"model\":\"m\",\"stream\":1}", "missing_field", "stream"},
        {"{\"model\":\"m\",\"models\":\"a\"}", "missing_field", "models"},
        {"{\"model\":\"m\",\"models\":[1]}", "missing_field", "models"},
        {lists, "missing_field", "models"},
        {"{\"model\":\"m\",\"provider\":\"a\"}", "missing_field", "provider"},
        {"{\"model\":\"m\",\"provider\":{\"order\":\"a\"}}", "missing_field", "provider"},
        {"{\"model\":\"m\",\"provider\":{\"only\":[null]}}", "missing_field", "provider"},
    };
    size_t n = (size_t)snprintf(lists, sizeof(lists), "{\"model\":\"m\",\"models\":[\"a\"");

    (void)state;
    (void)snprintf(long_model, sizeof(long_model), "{\"model\":\"%0513d\"}", 1);
    for (int i = 0; i < 64; i++) {
        n += (size_t)snprintf(lists + n, sizeof(lists) - n, ",\"a\"");
    }
    (void)snprintf(lists + n, sizeof(lists) - n, "]}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_request r;
        const char *code = "?", *param = "?";
        struct err e = {.code = ERR_NONE};

        assert_false(dialect_openai.parse_request(slice_str(cases[i].body), DIALECT_CHAT, &arena,
                                                  &r, &code, &param, &e));
        assert_string_equal(code, cases[i].code);
        if (cases[i].param == NULL) {
            assert_null(param);
        } else {
            assert_string_equal(param, cases[i].param);
        }
        assert_int_equal(e.code, ERR_INVALID);
        assert_true(e.message[0] != '\0');
    }
}

static const struct {
    const char *body, *expected;
    enum dialect_endpoint ep;
    bool usage;
} edit_cases[] = {
    // the model only
    {"{\"model\":\"m\"}", "{\"model\":\"up\"}", DIALECT_CHAT, true},
    {"{\"model\":\"up\",\"x\":1}", "{\"model\":\"up\",\"x\":1}", DIALECT_CHAT, true},
    {"{\"model\":\"\\u0075p\",\"x\":1}", "{\"model\":\"\\u0075p\",\"x\":1}", DIALECT_CHAT, true},
    {" { \"x\" : 1 , \"model\" : \"m\" } ", " { \"x\" : 1 , \"model\" : \"up\" } ", DIALECT_CHAT,
     true},
    // extensions: first, middle, last, runs, alone
    {"{\"models\":[],\"model\":\"up\"}", "{\"model\":\"up\"}", DIALECT_CHAT, false},
    {"{\"model\":\"up\",\"route\":\"fallback\",\"x\":1}", "{\"model\":\"up\",\"x\":1}",
     DIALECT_CHAT, false},
    {"{\"model\":\"m\",\"usage\":{\"include\":true}}", "{\"model\":\"up\"}", DIALECT_CHAT, false},
    {"{ \"models\" : [ ] , \"provider\" : { } , \"model\" : \"m\" , \"route\" : 1 , "
     "\"transforms\" : [] }",
     "{ \"model\" : \"up\" }", DIALECT_CHAT, false},
    {"{\"a\":1,\"models\":[],\"b\":2,\"usage\":1,\"model\":\"m\",\"route\":1,\"c\":3,"
     "\"provider\":{},\"d\":4,\"transforms\":0}",
     "{\"a\":1,\"b\":2,\"model\":\"up\",\"c\":3,\"d\":4}", DIALECT_CHAT, false},
    {"{\"mod\\u0065ls\":[],\"model\":\"up\"}", "{\"model\":\"up\"}", DIALECT_CHAT, false},
    {"{\"models\":[\"a\"]}", "{\"model\":\"up\"}", DIALECT_CHAT, false},
    {"{\"models\":[\"a\"],\"x\":1,\"route\":1}", "{\"model\":\"up\",\"x\":1}", DIALECT_CHAT, false},
    // include_usage in every shape of stream_options
    {"{\"model\":\"m\",\"stream\":true}",
     "{\"stream_options\":{\"include_usage\":true},\"model\":\"up\",\"stream\":true}", DIALECT_CHAT,
     true},
    {"{\"model\":\"m\",\"stream\":true}", "{\"model\":\"up\",\"stream\":true}", DIALECT_CHAT,
     false},
    {"{\"model\":\"m\",\"stream\":false}", "{\"model\":\"up\",\"stream\":false}", DIALECT_CHAT,
     true},
    {"{\"model\":\"up\",\"stream\":true,\"stream_options\":null}",
     "{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", DIALECT_CHAT,
     true},
    {"{\"model\":\"up\",\"stream\":true,\"stream_options\":7}",
     "{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", DIALECT_CHAT,
     true},
    {"{\"model\":\"up\",\"stream\":true,\"stream_options\":{}}",
     "{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", DIALECT_CHAT,
     true},
    {"{\"model\":\"up\",\"stream\":true,\"stream_options\":{\n \t\r}}",
     "{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", DIALECT_CHAT,
     true},
    {"{\"model\":\"up\",\"stream\":true,\"stream_options\":{ \"x\":1}}",
     "{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\":true, "
     "\"x\":1}}",
     DIALECT_CHAT, true},
    {"{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\" : false ,"
     "\"x\":1}}",
     "{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\" : true ,"
     "\"x\":1}}",
     DIALECT_CHAT, true},
    {"{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
     "{\"model\":\"up\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}", DIALECT_CHAT,
     true},
    {"{\"stream_options\":{\"include_usage\":null},\"stream\":true,\"model\":\"m\"}",
     "{\"stream_options\":{\"include_usage\":true},\"stream\":true,\"model\":\"up\"}",
     DIALECT_COMPLETIONS, true},
    {"{\"models\":[\"a\"],\"stream\":true}",
     "{\"model\":\"up\",\"stream_options\":{\"include_usage\":true},\"stream\":true}", DIALECT_CHAT,
     true},
    // not where the endpoint does not know it
    {"{\"model\":\"up\",\"stream\":true}", "{\"model\":\"up\",\"stream\":true}", DIALECT_RESPONSES,
     true},
    {"{\"model\":\"up\",\"stream\":true}", "{\"model\":\"up\",\"stream\":true}", DIALECT_OTHER,
     true},
};

// OpenRouter's words reach OpenRouter, and no one else.
static void keeps_what_a_provider_defined(void **state)
{
    static const char *const keep[] = {"top_k", "provider", "models"};
    const struct slice body =
        SLICE("{\"model\":\"m\",\"models\":[\"a\"],\"provider\":{},\"route\":\"x\"}");
    struct dialect_splice sp[DIALECT_SPLICES_MAX];
    struct dialect_request r = parsed(body.p, DIALECT_CHAT);

    (void)state;
    assert_int_equal(dialect_openai.edit_request(&r, body, SLICE("m"), true, &arena, sp, 8), 1);
    assert_int_equal(sp[0].end - sp[0].begin,
                     strlen(",\"models\":[\"a\"],\"provider\":{},\"route\":\"x\""));
    r.keep = keep;
    r.n_keep = ARRAY_LEN(keep);
    assert_int_equal(dialect_openai.edit_request(&r, body, SLICE("m"), true, &arena, sp, 8), 1);
    assert_int_equal(sp[0].end - sp[0].begin, strlen(",\"route\":\"x\""));
}

static void edits(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(edit_cases); i++) {
        struct slice body = slice_str(edit_cases[i].body);
        struct dialect_request r = parsed(edit_cases[i].body, edit_cases[i].ep);
        struct dialect_splice sp[DIALECT_SPLICES_MAX];
        struct slice pieces[2 * DIALECT_SPLICES_MAX + 1];
        char got[512];
        size_t n, count, bytes = 0, at = 0;

        n = dialect_openai.edit_request(&r, body, SLICE("up"), edit_cases[i].usage, &arena, sp,
                                        ARRAY_LEN(sp));
        count = dialect_spliced(body, sp, n, pieces, ARRAY_LEN(pieces), &bytes);
        for (size_t k = 0; k < count; k++) {
            assert_true(pieces[k].n > 0);
            memcpy(got + at, pieces[k].p, pieces[k].n);
            at += pieces[k].n;
        }
        got[at] = '\0';
        assert_int_equal(at, bytes);
        assert_string_equal(got, edit_cases[i].expected);
    }
}

static void odd_upstream_names(void **state)
{
    struct slice body = SLICE("{\"model\":\"m\"}");
    struct dialect_request r = parsed("{\"model\":\"m\"}", DIALECT_CHAT);
    struct dialect_splice sp[DIALECT_SPLICES_MAX];
    char name[4097];

    (void)state;
    r.top.members[0].value = slice_head(slice_from(body, 9), 3); // parsed() had its own text
    assert_int_equal(dialect_openai.edit_request(&r, body, SLICE("a\"b\\c\n"), true, &arena, sp, 8),
                     1);
    assert_true(slice_eq_str(sp[0].text, "\"a\\\"b\\\\c\\n\""));
    assert_int_equal(sp[0].begin, 9);
    assert_int_equal(sp[0].end, 12);
    memset(name, 1, sizeof(name)); // the longest text: every byte six times as long
    (void)dialect_openai.edit_request(&r, body, (struct slice){name, 4096}, true, &arena, sp, 8);
    assert_int_equal(sp[0].text.n, 6 * 4096 + 2);
}

static void errors(void **state)
{
    static const struct {
        struct dialect_error e;
        const char *openai, *anthropic;
    } cases[] = {
        {{.status = 400, .message = {"a \"b\"", 5}},
         "{\"error\":{\"message\":\"a \\\"b\\\"\",\"type\":\"invalid_request_error\",\"param\":"
         "null,\"code\":null}}",
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"a "
         "\\\"b\\\"\"}}"},
        {{.status = 503,
          .code = "overloaded",
          .param = "p",
          .message = {"m", 1},
          .request_id = {"id", 2},
          .attempts = 3},
         "{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":\"p\",\"code\":"
         "\"overloaded\",\"attempts\":3}}",
         "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\","
         "\"attempts\":3},\"request_id\":\"id\"}"},
        {{.status = 200, .type = "own", .message = {"\xff", 1}, .attempts = 1},
         "{\"error\":{\"message\":\"\xef\xbf\xbd\",\"type\":\"own\",\"param\":null,\"code\":null}}",
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":"
         "\"\xef\xbf\xbd\"}}"},
    };
    static const struct {
        unsigned status;
        const char *openai, *anthropic;
    } types[] = {
        {401, "invalid_request_error", "authentication_error"},
        {402, "invalid_request_error", "billing_error"},
        {403, "permission_error", "permission_error"},
        {404, "invalid_request_error", "not_found_error"},
        {413, "invalid_request_error", "request_too_large"},
        {429, "rate_limit_error", "rate_limit_error"},
        {500, "server_error", "api_error"},
        {502, "server_error", "api_error"},
        {504, "timeout_error", "timeout_error"},
        {529, "server_error", "overloaded_error"},
    };
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&b);
        dialect_openai.write_error(&cases[i].e, &b);
        assert_string_equal(buf_cstr(&b), cases[i].openai);
        buf_clear(&b);
        dialect_anthropic.write_error(&cases[i].e, &b);
        assert_string_equal(buf_cstr(&b), cases[i].anthropic);
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct dialect_error e = {.status = types[i].status, .message = SLICE("m")};

        buf_clear(&b);
        dialect_openai.write_error_event(&e, &b);
        assert_true(slice_starts(buf_slice(&b), SLICE("data: {\"error\"")));
        assert_true(slice_ends(buf_slice(&b), SLICE("}\n\n")));
        assert_non_null(strstr(buf_cstr(&b), types[i].openai));
        buf_clear(&b);
        dialect_anthropic.write_error_event(&e, &b);
        assert_true(slice_starts(buf_slice(&b), SLICE("event: error\ndata: {\"type\":\"error\"")));
        assert_true(slice_ends(buf_slice(&b), SLICE("}\n\n")));
        assert_non_null(strstr(buf_cstr(&b), types[i].anthropic));
    }
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(paths),
        cmocka_unit_test(reads),
        cmocka_unit_test(reads_defaults),
        cmocka_unit_test(refuses),
        cmocka_unit_test(edits),
        cmocka_unit_test(keeps_what_a_provider_defined),
        cmocka_unit_test(errors),
        cmocka_unit_test(odd_upstream_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
