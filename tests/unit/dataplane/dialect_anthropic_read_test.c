// SPDX-License-Identifier: Apache-2.0
// Anthropic's answers, events and errors as the canonical model has them.
#include "dataplane/dialect_anthropic_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;
static struct rng rng;
static struct tape tape;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    rng_init(&rng, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tape_done(&tape);
    arena_done(&arena);
    return 0;
}

static struct canon_context context(bool json_tool)
{
    return (struct canon_context){
        .arena = &arena, .rng = &rng, .endpoint = DIALECT_CHAT, .json_tool = json_tool};
}

static bool read(const char *body, bool json_tool, struct canon_answer *ret)
{
    struct canon_context c = context(json_tool);

    *ret = (struct canon_answer){.id = SLICE_NULL};
    assert_true(tape_parse(&tape, slice_str(body), NULL));
    return dialect_anthropic.read_answer(&tape, &c, ret);
}

static struct canon_answer must(const char *content, const char *reason, bool json_tool)
{
    struct canon_answer a;

    assert_true(read(arena_printf(&arena,
                                  "{\"id\":\"i\",\"model\":\"m\",\"content\":[%s],"
                                  "\"stop_reason\":\"%s\",\"stop_sequence\":null,"
                                  "\"stop_details\":{\"explanation\":\"why\"},\"usage\":{"
                                  "\"input_tokens\":3,\"output_tokens\":2,"
                                  "\"service_tier\":\"priority\"}}",
                                  content, reason),
                     json_tool, &a));
    return a;
}

#define TEXT(s, t) assert_true(slice_eq_str(s, t))
#define T(t)       "{\"type\":\"text\",\"text\":\"" t "\"}"
#define USE        "{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"f\",\"input\":{\"a\": 1}}"
#define JSON                                                                                       \
    "{\"type\":\"tool_use\",\"id\":\"j\",\"name\":\"json_output\",\"input\":{\"a\": [1, \"x y\"]}}"

static void blocks(void **state)
{
    struct canon_answer a =
        must("{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},"
             "{\"type\":\"redacted_thinking\",\"data\":\"d\"},"
             "{\"type\":\"server_tool_use\",\"id\":\"s\",\"name\":\"w\",\"input\":{}},"
             "{\"type\":\"novelty\"}," T("x") "," USE,
             "tool_use", false);
    const struct canon_part *p = a.choices->parts;

    (void)state;
    TEXT(a.id, "i");
    TEXT(a.model, "m");
    TEXT(a.service_tier, "priority");
    assert_int_equal(a.usage.input, 3);
    assert_int_equal(a.choices->finish, CANON_FINISH_TOOLS);
    assert_int_equal(p->kind, CANON_REASONING);
    assert_null(p->signature.p);
    p = p->next;
    assert_int_equal(p->kind, CANON_REDACTED);
    p = p->next;
    assert_int_equal(p->kind, CANON_TEXT);
    p = p->next;
    assert_int_equal(p->kind, CANON_TOOL_CALL);
    TEXT(p->id, "u");
    TEXT(p->args, "{\"a\": 1}");
    assert_null(p->next);
}

static void finishes(void **state)
{
    static const struct {
        const char *content, *reason;
        bool json;
        enum canon_finish want;
    } cases[] = {
        {T("x"), "end_turn", false, CANON_FINISH_STOP},
        {T("x"), "stop_sequence", false, CANON_FINISH_STOP},
        {T("x"), "pause_turn", false, CANON_FINISH_STOP},
        {T("x"), "compaction", false, CANON_FINISH_STOP},
        {T("x"), "max_tokens", false, CANON_FINISH_LENGTH},
        {T("x"), "model_context_window_exceeded", false, CANON_FINISH_LENGTH},
        {T("x"), "refusal", false, CANON_FINISH_FILTER},
        {USE, "tool_use", false, CANON_FINISH_TOOLS},
        {USE, "end_turn", false, CANON_FINISH_TOOLS},
        {USE, "max_tokens", false, CANON_FINISH_LENGTH},
        {JSON, "tool_use", true, CANON_FINISH_STOP},
        {JSON, "tool_use", false, CANON_FINISH_TOOLS},
        {JSON "," USE, "tool_use", true, CANON_FINISH_TOOLS},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_answer a = must(cases[i].content, cases[i].reason, cases[i].json);

        assert_int_equal(a.choices->finish, cases[i].want);
    }
}

static void json_tool_and_refusal(void **state)
{
    struct canon_answer a = must(JSON, "tool_use", true);

    (void)state;
    assert_int_equal(a.choices->parts->kind, CANON_TEXT);
    TEXT(a.choices->parts->text, "{\\\"a\\\":[1,\\\"x y\\\"]}");
    // two of them would be no JSON
    a = must(JSON ",{\"type\":\"tool_use\",\"name\":\"json_output\",\"input\":{}}", "tool_use",
             true);
    TEXT(a.choices->parts->text, "{\\\"a\\\":[1,\\\"x y\\\"]}");
    assert_null(a.choices->parts->next);
    a = must(T("I"), "refusal", false);
    assert_int_equal(a.choices->parts->next->kind, CANON_REFUSAL);
    TEXT(a.choices->parts->next->text, "why");
}

static void citations_count_characters(void **state)
{
    struct canon_answer a = must(
        T("\xc3\xa9\\u00e9\\ud83d\\ude00 ") "," // e, e, a smile, a blank: four characters
                                            "{\"type\":\"text\",\"text\":\"abc\",\"citations\":[{\"type\":\"char_location\"},{"
                                            "\"type\":\"web_search_result_location\",\"url\":\"u\",\"title\":\"t\"},{"
                                            "\"type\":\"web_search_result_location\",\"url\":\"v\",\"title\":null}]}",
        "end_turn", false);
    const struct canon_citation *k = a.choices->citations;

    (void)state;
    TEXT(k->url, "u");
    TEXT(k->title, "t");
    assert_int_equal(k->begin, 4);
    assert_int_equal(k->end, 7);
    TEXT(k->next->url, "v");
    assert_null(k->next->next);
}

static void what_is_no_answer(void **state)
{
    static const char *const bodies[] = {
        "{}", "[]", "\"x\"", "{\"content\":\"x\"}",
        "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}"};
    struct canon_context c = context(false);
    struct canon_answer a;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        assert_false(read(bodies[i], false, &a));
    }
    c.endpoint = DIALECT_COUNT_TOKENS;
    a = (struct canon_answer){.id = SLICE_NULL};
    assert_true(tape_parse(&tape, SLICE("{\"input_tokens\":14}"), NULL));
    assert_true(dialect_anthropic.read_answer(&tape, &c, &a));
    assert_int_equal(a.usage.input, 14);
    assert_true(tape_parse(&tape, SLICE("{\"input_tokens\":\"many\"}"), NULL));
    assert_false(dialect_anthropic.read_answer(&tape, &c, &a));
}

// --- events ------------------------------------------------------------------------------------

static struct dialect_anthropic_reader reader;
static const char *told;

static void note(void *ctx, const struct canon_event *ev)
{
    static const char *const names[] = {
        [CANON_EV_START] = "start",     [CANON_EV_TEXT] = "text",
        [CANON_EV_REFUSAL] = "refusal", [CANON_EV_REASONING] = "reasoning",
        [CANON_EV_SIGNATURE] = "sig",   [CANON_EV_REDACTED] = "redacted",
        [CANON_EV_TOOL] = "tool",       [CANON_EV_ARGS] = "args",
        [CANON_EV_IMAGE] = "image",     [CANON_EV_GOOGLE_SIGNATURE] = "gsig",
        [CANON_EV_CITATION] = "cite",   [CANON_EV_FINISH] = "finish",
        [CANON_EV_USAGE] = "usage",     [CANON_EV_END] = "end",
        [CANON_EV_ERROR] = "error"};

    (void)ctx;
    told = arena_printf(&arena, "%s%s%s", told, told[0] != '\0' ? " " : "", names[ev->kind]);
    if (ev->kind == CANON_EV_TOOL || ev->kind == CANON_EV_ARGS) {
        told = arena_printf(&arena, "%s%u", told, ev->tool);
    }
    if (ev->text.n > 0 || ev->name.n > 0) {
        struct slice s = ev->text.n > 0 ? ev->text : ev->name;

        told = arena_printf(&arena, "%s:" SLICE_FMT, told, SLICE_ARG(s));
    }
    if (ev->kind == CANON_EV_FINISH) {
        told = arena_printf(&arena, "%s:%d", told, (int)ev->finish);
    }
    if (ev->kind == CANON_EV_USAGE) {
        told = arena_printf(&arena, "%s:%u/%u", told, (unsigned)ev->usage->input,
                            (unsigned)ev->usage->output);
    }
    if (ev->kind == CANON_EV_ERROR) {
        told = arena_printf(&arena, "%s:%u:%s:" SLICE_FMT, told, ev->error->status,
                            ev->error->code != NULL ? ev->error->code : "",
                            SLICE_ARG(ev->error->message));
    }
}

static const char *tell(const char *const *events, size_t n, bool json_tool)
{
    struct canon_context c = context(json_tool);

    reader = (struct dialect_anthropic_reader){.tools = 0};
    told = "";
    for (size_t i = 0; i < n; i++) {
        if (!dialect_anthropic.read_event(&reader, &tape, SLICE_NULL, slice_str(events[i]), &c,
                                          (struct canon_sink){note, NULL})) {
            told = arena_printf(&arena, "%s malformed", told);
        }
    }
    dialect_anthropic.read_end(&reader, &c, (struct canon_sink){note, NULL});
    return told;
}

#define TOLD(json, ...)                                                                            \
    tell((const char *const[]){__VA_ARGS__}, ARRAY_LEN(((const char *const[]){__VA_ARGS__})), json)

#define MESSAGE                                                                                    \
    ("{\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"model\":\"m\",\"usage\":{"           \
     "\"input_tokens\":5,\"output_tokens\":1}}}")
#define START(i, block)                                                                            \
    ("{\"type\":\"content_block_start\",\"index\":" i ",\"content_block\":" block "}")
#define DELTA(i, delta) ("{\"type\":\"content_block_delta\",\"index\":" i ",\"delta\":" delta "}")
#define ARGS(i, text)   DELTA(i, "{\"type\":\"input_json_delta\",\"partial_json\":\"" text "\"}")
#define WORD(i, text)   DELTA(i, "{\"type\":\"text_delta\",\"text\":\"" text "\"}")
#define STOP(i)         ("{\"type\":\"content_block_stop\",\"index\":" i "}")
#define FINISH(reason)                                                                             \
    ("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"" reason                            \
     "\"},\"usage\":{\"output_tokens\":7}}")
#define END        "{\"type\":\"message_stop\"}"
#define TOOL(name) "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"" name "\",\"input\":{}}"
#define BUSY       ("{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"}}")

static void streams(void **state)
{
    (void)state;
    assert_string_equal(
        TOLD(false, MESSAGE, START("0", "{\"type\":\"thinking\",\"thinking\":\"\"}"),
             DELTA("0", "{\"type\":\"thinking_delta\",\"thinking\":\"r\"}"),
             DELTA("0", "{\"type\":\"signature_delta\",\"signature\":\"s\"}"), STOP("0"),
             START("1", "{\"type\":\"redacted_thinking\",\"data\":\"d\"}"), STOP("1"),
             START("2", "{\"type\":\"text\",\"text\":\"\"}"), "{\"type\":\"ping\"}", WORD("2", ""),
             WORD("2", "x"), "{\"type\":\"novelty\"}", STOP("2"), START("3", TOOL("f")),
             ARGS("3", ""), ARGS("3", "{}"), STOP("3"), FINISH("tool_use"), END, WORD("4", "late")),
        "start usage:5/1 reasoning:r sig:s redacted:d text:x tool0:f args0:{} finish:3 usage:5/7 "
        "end");
}

static void tool_arguments(void **state)
{
    (void)state;
    // none at all; those of the start, and a block that is not stopped; deltas beside them; blocks
    // that interleave; a server's tool
    assert_string_equal(
        TOLD(false, MESSAGE, START("0", TOOL("f")), STOP("0"), FINISH("tool_use"), END),
        "start usage:5/1 tool0:f args0:{} finish:3 usage:5/7 end");
    assert_string_equal(
        TOLD(false, MESSAGE,
             START("0", "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"a\": 1}}"),
             STOP("0"), START("1", TOOL("g")), FINISH("tool_use"), END),
        "start usage:5/1 tool0:f args0:{\\\"a\\\":1} tool1:g args1:{} finish:3 usage:5/7 end");
    assert_string_equal(
        TOLD(false, MESSAGE,
             START("0", "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"a\": 1}}"),
             ARGS("0", "counts"), STOP("0"), END),
        "start usage:5/1 tool0:f args0:counts finish:3 end");
    assert_string_equal(TOLD(false, MESSAGE, START("5", TOOL("f")), START("9", TOOL("g")),
                             ARGS("5", "1"), ARGS("9", "2"), ARGS("5", "3"), STOP("5"), STOP("9")),
                        "start usage:5/1 tool0:f tool1:g args0:1 args1:2 args0:3");
    assert_string_equal(
        TOLD(false, MESSAGE,
             START("0", "{\"type\":\"server_tool_use\",\"id\":\"t\",\"name\":\"w\",\"input\":{}}"),
             ARGS("0", "{}"), STOP("0"), WORD("1", "x"), FINISH("end_turn"), END),
        "start usage:5/1 text:x finish:1 usage:5/7 end");
}

static void the_json_tool_is_text(void **state)
{
    (void)state;
    assert_string_equal(TOLD(true, MESSAGE, START("0", TOOL("json_output")), ARGS("0", "{"),
                             ARGS("0", "}"), STOP("0"), FINISH("tool_use"), END),
                        "start usage:5/1 text:{ text:} finish:1 usage:5/7 end");
    assert_string_equal(TOLD(true, MESSAGE, START("0", TOOL("json_output")), STOP("0"),
                             START("1", TOOL("f")), STOP("1"), FINISH("tool_use"), END),
                        "start usage:5/1 text:{} tool0:f args0:{} finish:3 usage:5/7 end");
    // what is said behind it would be no JSON, as in a whole answer
    assert_string_equal(TOLD(true, MESSAGE, START("0", TOOL("json_output")), ARGS("0", "{}"),
                             STOP("0"), START("1", "{\"type\":\"text\",\"text\":\"\"}"),
                             WORD("1", "Done."), STOP("1"), START("2", TOOL("json_output")),
                             ARGS("2", "{1}"), STOP("2"), FINISH("tool_use"), END),
                        "start usage:5/1 text:{} finish:1 usage:5/7 end");
}

static void odd_streams(void **state)
{
    (void)state;
    assert_string_equal(TOLD(false, WORD("0", "x"), END), "start text:x finish:1 end");
    assert_string_equal(TOLD(false, MESSAGE, START("0", "{}"), WORD("0", "x"), STOP("0"), END),
                        "start usage:5/1 text:x finish:1 end"); // a block without a type
    assert_string_equal(TOLD(false, MESSAGE, MESSAGE, WORD("0", "x"), FINISH("end_turn")),
                        "start usage:5/1 usage:5/1 text:x finish:1 usage:5/7");
    assert_string_equal(TOLD(false, MESSAGE, "x", "[]", "[DONE]", ""),
                        "start usage:5/1 malformed malformed");
    assert_string_equal(TOLD(false, MESSAGE, BUSY, WORD("0", "late")),
                        "start usage:5/1 error:503:overloaded:busy");
    assert_string_equal(TOLD(false, "{\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}"),
                        "error:500::m");
}

// More blocks open at once than are kept: no harm.
static void many_open_blocks(void **state)
{
    struct canon_context c = context(false);

    (void)state;
    reader = (struct dialect_anthropic_reader){.tools = 0};
    told = "";
    for (unsigned i = 0; i < 40; i++) {
        const char *start = arena_printf(&arena,
                                         "{\"type\":\"content_block_start\",\"index\":%u,"
                                         "\"content_block\":" TOOL("f") "}",
                                         i);

        assert_true(dialect_anthropic.read_event(&reader, &tape, SLICE_NULL, slice_str(start), &c,
                                                 (struct canon_sink){note, NULL}));
    }
    assert_int_equal(reader.tools, 40);
    assert_non_null(strstr(told, "tool39:f"));
}

// --- errors ------------------------------------------------------------------------------------

static void errors(void **state)
{
    static const struct {
        unsigned status;
        const char *body;
        unsigned want;
        const char *type, *code, *message;
    } cases[] = {
        {401,
         "{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\",\"message\":\"m\"}}",
         401, "authentication_error", "invalid_api_key", "m"},
        {402, "{\"error\":{\"type\":\"billing_error\",\"message\":\"m\"}}", 429,
         "insufficient_quota", "insufficient_quota", "m"},
        {403, "{\"error\":{\"type\":\"permission_error\",\"message\":\"m\"}}", 403,
         "permission_error", "permission_denied", "m"},
        {404, "{\"error\":{\"type\":\"not_found_error\",\"message\":\"model: claude-9\"}}", 404,
         "invalid_request_error", "model_not_found", "model: claude-9"},
        {409, "{\"error\":{\"type\":\"conflict_error\",\"message\":\"m\"}}", 409,
         "invalid_request_error", "conflict", "m"},
        {413, "<html>", 413, "invalid_request_error", "request_too_large",
         "upstream returned status 413 with a non-JSON body"},
        {400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 9\"}}",
         400, "invalid_request_error", "context_length_exceeded", "prompt is too long: 9"},
        {400,
         "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"input length and "
         "`max_tokens` exceed context limit: 9\"}}",
         400, "invalid_request_error", "context_length_exceeded",
         "input length and `max_tokens` exceed context limit: 9"},
        {429,
         "{\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\",\"details\":{"
         "\"error_code\":\"contract_spend_limit_reached\"}}}",
         429, "insufficient_quota", "insufficient_quota", "m"},
        {429,
         "{\"error\":{\"type\":\"rate_limit_error\",\"message\":\"m\",\"details\":{"
         "\"error_code\":\"ramp_limit_exceeded\"}}}",
         429, "rate_limit_error", "rate_limit_exceeded", "m"},
        {500, "{\"error\":{\"type\":\"api_error\",\"message\":\"m\"}}", 500, "server_error", NULL,
         "m"},
        {504, "{\"error\":{\"type\":\"timeout_error\",\"message\":\"m\"}}", 504, "timeout_error",
         "upstream_timeout", "m"},
        {529, "{\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}", 503, "server_error",
         "overloaded", "m"},
        // where an answer was due
        {200, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}",
         503, "server_error", "overloaded", "m"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_error e = {.status = 0};

        dialect_anthropic.read_error(cases[i].status, slice_str(cases[i].body), &arena, &e);
        assert_int_equal(e.status, cases[i].want);
        assert_string_equal(e.type, cases[i].type);
        if (cases[i].code == NULL) {
            assert_null(e.code);
        } else {
            assert_string_equal(e.code, cases[i].code);
        }
        TEXT(e.message, cases[i].message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks),
        cmocka_unit_test(finishes),
        cmocka_unit_test(json_tool_and_refusal),
        cmocka_unit_test(citations_count_characters),
        cmocka_unit_test(what_is_no_answer),
        cmocka_unit_test(streams),
        cmocka_unit_test(tool_arguments),
        cmocka_unit_test(the_json_tool_is_text),
        cmocka_unit_test(odd_streams),
        cmocka_unit_test(many_open_blocks),
        cmocka_unit_test(errors),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
