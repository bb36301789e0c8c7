// SPDX-License-Identifier: Apache-2.0
// An Anthropic client's request: what becomes of each member and block, and what is refused.
#include "dataplane/dialect_anthropic_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct arena arena;
static struct tape tape;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tape_done(&tape);
    arena_done(&arena);
    return 0;
}

static bool read(const char *body, struct canon_request *ret, const char **ret_param, struct err *e)
{
    // Only /v1/messages itself needs max_tokens.
    static const struct dialect_request rq = {.endpoint = DIALECT_COUNT_TOKENS};

    if (!tape_parse(&tape, slice_str(body), e)) {
        fail_msg("%s: %s", body, e->message);
    }
    *ret = (struct canon_request){
        .endpoint = DIALECT_MESSAGES, .client = &dialect_anthropic, .choices = 1, .parallel = -1};
    return dialect_anthropic.read_request(&rq, &tape, &arena, ret, ret_param, e);
}

static struct canon_request must(const char *members)
{
    struct canon_request r;
    const char *param = NULL;
    struct err e;

    if (!read(arena_printf(&arena, "{\"messages\":[]%s%s}", members[0] != '\0' ? "," : "", members),
              &r, &param, &e)) {
        fail_msg("%s: %s", members, e.message);
    }
    return r;
}

// Part `n` of the only message that has this content.
static const struct canon_part *part(const char *role, const char *content, size_t n)
{
    struct canon_request r;
    const char *param = NULL;
    const struct canon_part *p;
    struct err e;

    if (!read(arena_printf(&arena, "{\"messages\":[{\"role\":\"%s\",\"content\":%s}]}", role,
                           content),
              &r, &param, &e)) {
        fail_msg("%s: %s", content, e.message);
    }
    assert_null(r.messages->next);
    for (p = r.messages->parts; p != NULL && n > 0; p = p->next) {
        n--;
    }
    return p;
}

#define TEXT(s, t) assert_true(slice_eq_str(s, t))

static void system_and_roles(void **state)
{
    struct canon_request r;
    const char *param;
    struct err e;
    const struct canon_message *m;

    (void)state;
    assert_true(read("{\"messages\":[{\"role\":\"user\",\"content\":\"u\"},{\"role\":\"system\","
                     "\"content\":\"s\"},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
                     "\"text\":\"a\"}]}],\"system\":[{\"type\":\"text\",\"text\":\"one\","
                     "\"cache_control\":{\"type\":\"ephemeral\"}},{\"type\":\"text\","
                     "\"text\":\"two\"}]}",
                     &r, &param, &e));
    m = r.messages;
    assert_int_equal(m->role, CANON_SYSTEM);
    TEXT(m->parts->text, "one");
    TEXT(m->parts->cache_control, "{\"type\":\"ephemeral\"}");
    TEXT(m->parts->next->text, "two");
    m = m->next;
    assert_int_equal(m->role, CANON_USER);
    TEXT(m->parts->text, "u");
    m = m->next;
    assert_int_equal(m->role, CANON_SYSTEM);
    m = m->next;
    assert_int_equal(m->role, CANON_ASSISTANT);
    assert_null(m->next);
}

static void media(void **state)
{
    static const struct {
        const char *block;
        enum canon_part_kind kind;
        enum canon_source source;
        const char *type, *data, *name;
    } cases[] = {
        {"{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
         "\"data\":\"AA==\"}}",
         CANON_IMAGE, CANON_BASE64, "image/png", "AA==", NULL},
        {"{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://x\"}}", CANON_IMAGE,
         CANON_URL, NULL, "http://x", NULL},
        {"{\"type\":\"image\",\"source\":{\"type\":\"file\",\"file_id\":\"f\"}}", CANON_IMAGE,
         CANON_FILE_ID, NULL, "f", NULL},
        {"{\"type\":\"document\",\"title\":\"t.pdf\",\"source\":{\"type\":\"base64\","
         "\"media_type\":\"application/pdf\",\"data\":\"AA==\"}}",
         CANON_FILE, CANON_BASE64, "application/pdf", "AA==", "t.pdf"},
        {"{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\","
         "\"data\":\"abc\"}}",
         CANON_FILE, CANON_PLAIN, "text/plain", "abc", NULL},
        {"{\"type\":\"document\",\"source\":{\"type\":\"url\",\"url\":\"u\"}}", CANON_FILE,
         CANON_URL, NULL, "u", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct canon_part *p = part("user", arena_printf(&arena, "[%s]", cases[i].block), 0);

        assert_int_equal(p->kind, cases[i].kind);
        assert_int_equal(p->source, cases[i].source);
        TEXT(p->media_type, cases[i].type);
        TEXT(p->data, cases[i].data);
        TEXT(p->name, cases[i].name);
    }
}

static void texts_of_documents(void **state)
{
    static const char content[] =
        "[{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":\"whole\"}},"
        "{\"type\":\"document\",\"source\":{\"type\":\"content\",\"content\":[{\"type\":\"text\","
        "\"text\":\"one\"},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"u\"}}]}},"
        "{\"type\":\"search_result\",\"title\":\"T\",\"source\":\"S\",\"content\":[{\"type\":"
        "\"text\",\"text\":\"found\"}]},{\"type\":\"container_upload\",\"file_id\":\"f\"}]";

    (void)state;
    TEXT(part("user", content, 0)->text, "whole");
    TEXT(part("user", content, 1)->text, "one");
    assert_int_equal(part("user", content, 2)->kind, CANON_IMAGE);
    TEXT(part("user", content, 3)->text, "T\\nS\\n");
    TEXT(part("user", content, 4)->text, "found");
    assert_int_equal(part("user", content, 5)->kind, CANON_OTHER);
    TEXT(part("user", content, 5)->name, "container_upload");
    TEXT(part("user", content, 5)->raw, "{\"type\":\"container_upload\",\"file_id\":\"f\"}");
    assert_null(part("user", content, 6));
}

static void tools_in_history(void **state)
{
    static const char calls[] =
        "[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"s\"},"
        "{\"type\":\"redacted_thinking\",\"data\":\"d\"},"
        "{\"type\":\"server_tool_use\",\"id\":\"x\",\"name\":\"web_search\",\"input\":{}},"
        "{\"type\":\"web_search_tool_result\",\"tool_use_id\":\"x\",\"content\":[]},"
        "{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{\"a\":1}},"
        "{\"type\":\"tool_use\",\"id\":\"j\",\"name\":\"g\"}]";
    static const char results[] =
        "[{\"type\":\"tool_result\",\"tool_use_id\":\"i\",\"content\":\"6.1\",\"is_error\":true},"
        "{\"type\":\"tool_result\",\"tool_use_id\":\"j\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"x\"},{\"type\":\"tool_reference\",\"tool_name\":\"t\"}]},"
        "{\"type\":\"tool_result\",\"tool_use_id\":\"k\"},"
        "{\"type\":\"tool_result\",\"tool_use_id\":\"l\",\"content\":\"\"}]";
    const struct canon_part *p = part("assistant", calls, 0);

    (void)state;
    assert_int_equal(p->kind, CANON_REASONING);
    TEXT(p->text, "t");
    TEXT(p->signature, "s");
    p = p->next;
    assert_int_equal(p->kind, CANON_REDACTED);
    TEXT(p->data, "d");
    p = p->next; // what ran at Anthropic is left out
    assert_int_equal(p->kind, CANON_TOOL_CALL);
    TEXT(p->args, "{\"a\":1}");
    TEXT(p->next->args, "{}");
    p = part("user", results, 0);
    assert_true(p->is_error);
    TEXT(p->text, "6.1");
    TEXT(p->parts->text, "6.1");
    p = p->next;
    assert_null(p->text.p);
    TEXT(p->parts->text, "x");
    assert_null(p->parts->next);
    p = p->next;
    assert_null(p->parts);
    assert_null(p->text.p);
    assert_non_null(p->next->text.p);
    assert_null(p->next->parts);
}

static void tools_and_choice(void **state)
{
    struct canon_request r =
        must("\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":"
             "\"object\"},\"strict\":true},{\"type\":\"custom\",\"name\":\"g\",\"input_schema\":{}}"
             ",{\"type\":\"web_search_20250305\",\"name\":\"web_search\"}],\"tool_choice\":{"
             "\"type\":\"tool\",\"name\":\"f\",\"disable_parallel_tool_use\":true}");

    (void)state;
    assert_int_equal(r.tools->kind, CANON_FUNCTION);
    assert_int_equal(r.tools->strict, 1);
    TEXT(r.tools->parameters, "{\"type\":\"object\"}");
    assert_int_equal(r.tools->next->kind, CANON_FUNCTION);
    assert_int_equal(r.tools->next->strict, -1);
    assert_int_equal(r.tools->next->next->kind, CANON_TYPED);
    TEXT(r.tools->next->next->type, "web_search_20250305");
    assert_int_equal(r.choice, CANON_CHOICE_NAMED);
    TEXT(r.names[0], "f");
    assert_int_equal(r.parallel, 0);
    assert_string_equal(r.tool_choice.name, "tool_choice");
    assert_int_equal(must("\"tool_choice\":{\"type\":\"any\"}").choice, CANON_CHOICE_REQUIRED);
    assert_int_equal(must("\"tool_choice\":{\"type\":\"none\"}").choice, CANON_CHOICE_NONE);
    assert_int_equal(must("\"tool_choice\":{\"type\":\"auto\"}").parallel, -1);
    assert_int_equal(must("\"tool_choice\":null").choice, CANON_CHOICE_NONE_GIVEN);
}

static void thinking_and_effort(void **state)
{
    static const struct {
        const char *members;
        enum canon_thinking thinking;
        enum canon_effort effort;
    } cases[] = {
        {"", CANON_THINKING_NOT_GIVEN, CANON_EFFORT_NOT_GIVEN},
        {"\"output_config\":{\"effort\":\"low\"}", CANON_THINKING_NOT_GIVEN,
         CANON_EFFORT_NOT_GIVEN},
        {"\"thinking\":{\"type\":\"disabled\"}", CANON_THINKING_DISABLED, CANON_EFFORT_NOT_GIVEN},
        {"\"thinking\":{\"type\":\"between_tools\"}", CANON_THINKING_BETWEEN_TOOLS,
         CANON_EFFORT_NOT_GIVEN},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}", CANON_THINKING_ENABLED,
         CANON_EFFORT_LOW},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":8192}", CANON_THINKING_ENABLED,
         CANON_EFFORT_MEDIUM},
        {"\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":8193}", CANON_THINKING_ENABLED,
         CANON_EFFORT_HIGH},
        {"\"thinking\":{\"type\":\"adaptive\"}", CANON_THINKING_ADAPTIVE, CANON_EFFORT_HIGH},
        {"\"output_config\":{\"effort\":\"max\"},\"thinking\":{\"type\":\"adaptive\"}",
         CANON_THINKING_ADAPTIVE, CANON_EFFORT_MAX},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_request r = must(cases[i].members);

        assert_int_equal(r.thinking, cases[i].thinking);
        assert_int_equal(r.effort, cases[i].effort);
    }
}

static void parameters(void **state)
{
    struct canon_request r =
        must("\"max_tokens\":7,\"temperature\":0.70,\"top_p\":null,\"top_k\":5,"
             "\"stop_sequences\":[\"a\",\"b\"],\"metadata\":{\"user_id\":\"u\"},"
             "\"service_tier\":\"standard_only\",\"cache_control\":{\"type\":\"ephemeral\"},"
             "\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"a\":1}}}");

    (void)state;
    assert_true(r.max_given);
    assert_int_equal(r.max_tokens, 7);
    TEXT(r.temperature.raw, "0.70");
    assert_null(r.top_p.raw.p);
    assert_string_equal(r.top_k.name, "top_k");
    assert_int_equal(r.n_stop, 2);
    TEXT(r.stop[1], "b");
    assert_string_equal(r.stop_name, "stop_sequences");
    TEXT(r.user_text, "u");
    TEXT(r.service_tier.raw, "\"default\"");
    TEXT(r.cache_control, "{\"type\":\"ephemeral\"}");
    assert_int_equal(r.format, CANON_FORMAT_SCHEMA);
    TEXT(r.schema, "{\"a\":1}");
    TEXT(r.schema_name, "output");
    assert_int_equal(r.schema_strict, 1);
    assert_null(r.extras);
    r = must("\"output_format\":{\"type\":\"json_schema\",\"schema\":{}}");
    assert_int_equal(r.format, CANON_FORMAT_SCHEMA);
}

static void other_members(void **state)
{
    struct canon_request r =
        must("\"model\":\"m\",\"stream\":true,\"models\":[],\"provider\":{},\"usage\":{},"
             "\"speed\":\"fast\",\"diagnostics\":null,\"novel\":{\"x\":1}");

    (void)state;
    TEXT(r.extras->name, "speed");
    assert_true(r.extras->hint);
    TEXT(r.extras->next->name, "novel");
    TEXT(r.extras->next->raw, "{\"x\":1}");
    assert_false(r.extras->next->hint);
    assert_null(r.extras->next->next);
}

static void refuses(void **state)
{
    static const struct {
        const char *body, *param;
    } cases[] = {
        {"{}", "messages"},
        {"{\"messages\":null}", "messages"},
        {"{\"messages\":{}}", "messages"},
        {"{\"messages\":[1]}", "messages[0].role"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"tool\"}]}",
         "messages[1].role"},
        {"{\"messages\":[{\"role\":\"user\"}]}", "messages[0].content"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{}]}]}", "messages[0].content[0].type"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"}]}]}",
         "messages[0].content[0].text"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},"
         "{\"type\":\"image\",\"source\":{\"type\":\"base64\"}}]}]}",
         "messages[0].content[1].source"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"document\"}]}]}",
         "messages[0].content[0].source"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\"}]}]}",
         "messages[0].content[0].tool_use_id"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
         "\"i\",\"content\":[{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\"}]}]}]}",
         "messages[0].content[0].content[0].type"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\",\"id\":\"i\","
         "\"name\":\"f\",\"input\":[]}]}]}",
         "messages[0].content[0].input"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"tool_use\"}]}]}",
         "messages[0].content[0]"},
        {"{\"messages\":[],\"system\":5}", "system"},
        {"{\"messages\":[],\"system\":[{\"type\":\"text\",\"text\":5}]}", "system[0].text"},
        {"{\"messages\":[],\"max_tokens\":0}", "max_tokens"},
        {"{\"messages\":[],\"max_tokens\":\"5\"}", "max_tokens"},
        {"{\"messages\":[],\"tools\":{}}", "tools"},
        {"{\"messages\":[],\"tools\":[{}]}", "tools[0].name"},
        {"{\"messages\":[],\"tools\":[{\"type\":5}]}", "tools[0].type"},
        {"{\"messages\":[],\"tool_choice\":\"auto\"}", "tool_choice.type"},
        {"{\"messages\":[],\"tool_choice\":{\"type\":\"tool\"}}", "tool_choice.name"},
        {"{\"messages\":[],\"thinking\":{\"type\":\"much\"}}", "thinking.type"},
        {"{\"messages\":[],\"thinking\":{\"type\":\"enabled\"}}", "thinking.budget_tokens"},
        {"{\"messages\":[],\"output_config\":{\"effort\":\"great\"}}", "output_config.effort"},
        {"{\"messages\":[],\"output_config\":{\"format\":{\"type\":\"xml\"}}}",
         "output_config.format"},
        {"{\"messages\":[],\"stop_sequences\":\"x\"}", "stop_sequences"},
        {"{\"messages\":[],\"stop_sequences\":[1]}", "stop_sequences"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_request r;
        const char *param = NULL;
        struct err e = {.code = ERR_NONE};

        if (read(cases[i].body, &r, &param, &e)) {
            fail_msg("%s", cases[i].body);
        }
        assert_int_equal(e.code, ERR_INVALID);
        assert_string_equal(param, cases[i].param);
        assert_non_null(strstr(e.message, cases[i].param));
    }
}

static void wants_a_bound_of_the_answer(void **state)
{
    static const struct dialect_request rq = {.endpoint = DIALECT_MESSAGES};
    struct canon_request r = {.endpoint = DIALECT_MESSAGES};
    const char *param = NULL;
    struct err e;

    (void)state;
    assert_true(tape_parse(&tape, SLICE("{\"messages\":[]}"), &e));
    assert_false(dialect_anthropic.read_request(&rq, &tape, &arena, &r, &param, &e));
    assert_string_equal(param, "max_tokens");
}

// Its SDKs know the code and send the whole conversation instead.
static void refuses_threads(void **state)
{
    struct dialect_error er = {.status = 400, .message = SLICE("m")};
    struct canon_request r;
    const char *param = NULL;
    struct buf out;
    struct err e;

    (void)state;
    assert_true(read("{\"messages\":[],\"thread\":null}", &r, &param, &e));
    assert_false(read("{\"messages\":[],\"thread\":{\"type\":\"create\"}}", &r, &param, &e));
    assert_string_equal(param, "thread");
    er.code = r.error_code;
    buf_init(&out, 4096);
    dialect_anthropic.write_error(&er, &out);
    assert_string_equal(
        buf_cstr(&out),
        "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"m\","
        "\"details\":{\"error_code\":\"thread_unsupported_request\",\"unsupported\":["
        "\"thread\"]}}}");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(system_and_roles),
        cmocka_unit_test(media),
        cmocka_unit_test(texts_of_documents),
        cmocka_unit_test(tools_in_history),
        cmocka_unit_test(tools_and_choice),
        cmocka_unit_test(thinking_and_effort),
        cmocka_unit_test(parameters),
        cmocka_unit_test(other_members),
        cmocka_unit_test(refuses),
        cmocka_unit_test(wants_a_bound_of_the_answer),
        cmocka_unit_test(refuses_threads),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
