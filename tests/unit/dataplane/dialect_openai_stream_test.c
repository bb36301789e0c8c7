// SPDX-License-Identifier: Apache-2.0
// Streams of OpenAI's dialect and of its vendors, told as canonical events. Each case is a list of
// events as they come and what is told, one line each.
#include "dataplane/dialect_openai_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "proto/resource.h"

static void put_text(struct buf *b, const char *what, struct slice text)
{
    buf_printf(b, "%s '" SLICE_FMT "'", what, SLICE_ARG(text));
}

static void put_usage(struct buf *b, const struct dialect_usage *u)
{
    buf_printf(b, "usage %u+%u", (unsigned)u->input, (unsigned)u->output);
    if (u->has_cached) {
        buf_printf(b, " cached %u", (unsigned)u->cached);
    }
    if (u->has_reasoning) {
        buf_printf(b, " reasoning %u", (unsigned)u->reasoning);
    }
}

static void note(void *ctx, const struct canon_event *ev)
{
    static const char *const finishes[] = {"none", "stop", "length", "tools", "filter"};
    struct buf *b = ctx;

    if (ev->choice != 0) {
        buf_printf(b, "%u: ", ev->choice);
    }
    switch (ev->kind) {
    case CANON_EV_START:
        buf_printf(b, "start " SLICE_FMT " " SLICE_FMT, SLICE_ARG(ev->id), SLICE_ARG(ev->model));
        break;
    case CANON_EV_TEXT:
        put_text(b, "text", ev->text);
        if (ev->logprobs.p != NULL) {
            buf_printf(b, " " SLICE_FMT, SLICE_ARG(ev->logprobs));
        }
        break;
    case CANON_EV_REFUSAL:
        put_text(b, "refusal", ev->text);
        break;
    case CANON_EV_REASONING:
        put_text(b, "reasoning", ev->text);
        break;
    case CANON_EV_SIGNATURE:
        put_text(b, "signature", ev->text);
        break;
    case CANON_EV_REDACTED:
        put_text(b, "redacted", ev->text);
        break;
    case CANON_EV_TOOL:
        buf_printf(b, "tool %u " SLICE_FMT " " SLICE_FMT "%s", ev->tool,
                   SLICE_ARG(slice_starts(ev->id, SLICE("call_")) && ev->id.n == 29 ? SLICE("made")
                                                                                    : ev->id),
                   SLICE_ARG(ev->name), ev->whole ? " whole" : "");
        if (ev->google_signature.p != NULL) {
            buf_printf(b, " " SLICE_FMT, SLICE_ARG(ev->google_signature));
        }
        break;
    case CANON_EV_ARGS:
        buf_printf(b, "args %u " SLICE_FMT, ev->tool, SLICE_ARG(ev->text));
        break;
    case CANON_EV_IMAGE:
        buf_printf(b, "image " SLICE_FMT " " SLICE_FMT, SLICE_ARG(ev->part->media_type),
                   SLICE_ARG(ev->part->data));
        break;
    case CANON_EV_GOOGLE_SIGNATURE:
        put_text(b, "google", ev->text);
        break;
    case CANON_EV_CITATION:
        buf_printf(b, "citation " SLICE_FMT " %u-%u", SLICE_ARG(ev->citation->url),
                   (unsigned)ev->citation->begin, (unsigned)ev->citation->end);
        break;
    case CANON_EV_FINISH:
        buf_printf(b, "finish %s", finishes[ev->finish]);
        break;
    case CANON_EV_USAGE:
        put_usage(b, ev->usage);
        break;
    case CANON_EV_END:
        buf_append_str(b, "end");
        break;
    case CANON_EV_ERROR:
        buf_printf(b, "error %u %s '" SLICE_FMT "'", ev->error->status,
                   ev->error->code == NULL ? "-" : ev->error->code, SLICE_ARG(ev->error->message));
        break;
    }
    buf_append_char(b, '\n');
}

// Chunks with an id; D: of a delta of choice 0; F: with a finish reason.
#define C(choice) "{\"id\":\"c1\",\"model\":\"m\",\"choices\":[" choice "]}"
#define D(delta)  C("{\"index\":0,\"delta\":" delta ",\"finish_reason\":null}")
#define F(reason) C("{\"index\":0,\"delta\":{},\"finish_reason\":\"" reason "\"}")
#define DONE      "[DONE]"
#define S         "start c1 m\n"
#define T(call)   D("{\"tool_calls\":[" call "]}")
#define A         "text 'a'\n"
#define CONTENT_A D("{\"content\":\"a\"}")
#define STOP      "finish stop\nend\n"

#define EVENTS_MAX 9

static const struct resource_quirks splits = {.flags = RESOURCE_SPLIT_THINK};
static const struct resource_quirks cumulative = {.flags = RESOURCE_REASONING_CUMULATIVE};

static const struct stream_case {
    const char *name;
    const char *events[EVENTS_MAX];
    const char *told;
} cases[] = {
    {"OpenAI",
     {D("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"), CONTENT_A,
      D("{\"content\":\"\\u00e9\"}"), F("stop"),
      "{\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}",
      DONE},
     S A "text '\\u00e9'\nfinish stop\nusage 5+2\nend\n"},
    {"no id, no index, odd done",
     {"{\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"eos\"}]}", "[DONE] x"},
     "start  \n" A STOP},
    {"first chunk of Azure's kind",
     {"{\"id\":\"\",\"model\":\"\",\"choices\":[],\"prompt_filter_results\":[]}", CONTENT_A,
      F("stop"), DONE},
     S A STOP},
    {"done without a reason", {CONTENT_A, DONE}, S A STOP},
    {"done after nothing", {DONE}, ""},
    {"end without done", {CONTENT_A, F("length")}, S A "finish length\nend\n"},
    {"cut", {CONTENT_A}, S A},
    {"refusal", {D("{\"refusal\":\"no\"}"), F("stop"), DONE}, S "refusal 'no'\n" STOP},
    {"reasoning in three names",
     {D("{\"reasoning_content\":\"a\",\"reasoning\":\"a\"}"), D("{\"reasoning\":\"b\"}"),
      D("{\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"c\"},{\"summary\":\"d\"},{"
        "\"data\":\"x\"}]}"),
      F("stop"), DONE},
     S "reasoning 'a'\nreasoning 'b'\nreasoning 'c'\nreasoning 'd'\nredacted 'x'\n" STOP},
    {"a delta of reasoning twice (xAI)",
     {D("{\"reasoning_content\":\"Thinking...\"}"), D("{\"reasoning_content\":\"Thinking...\"}"),
      D("{\"reasoning_content\":\"ha\"}"), D("{\"reasoning_content\":\"ha\"}")},
     S "reasoning 'Thinking...'\nreasoning 'ha'\nreasoning 'ha'\n"},
    {"details that repeat (MiniMax)",
     {D("{\"reasoning_details\":[{\"text\":\"ab\"}]}"),
      D("{\"reasoning_details\":[{\"text\":\"abc\"}]}"),
      D("{\"reasoning_details\":[{\"text\":\"abc\"}]}"),
      D("{\"reasoning_details\":[{\"text\":\"abcd\"}]}"),
      C("{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":"
        "\"\",\"reasoning_details\":[{\"text\":\"abcd\"}]}}"),
      DONE},
     S "reasoning 'ab'\nreasoning 'c'\nreasoning 'd'\n" STOP},
    {"details that repeat, unannounced",
     {D("{\"reasoning_details\":[{\"text\":\"0123456789abcdef\"}]}"),
      D("{\"reasoning_details\":[{\"text\":\"0123456789abcdefg\"}]}")},
     S "reasoning '0123456789abcdef'\nreasoning 'g'\n"},
    {"details that begin alike",
     {D("{\"reasoning_details\":[{\"text\":\"I\"}]}"),
      D("{\"reasoning_details\":[{\"text\":\"It\"}]}")},
     S "reasoning 'I'\nreasoning 'It'\n"},
    {"message beside delta (Perplexity)",
     {C("{\"index\":0,\"delta\":{\"content\":\"a\"},\"message\":{\"content\":\"a\"}}"),
      C("{\"index\":0,\"delta\":{\"content\":\"b\"},\"message\":{\"content\":\"ab\"},"
        "\"finish_reason\":\"stop\"}"),
      DONE},
     S A "text 'b'\n" STOP},
    {"message only",
     {C("{\"index\":0,\"message\":{\"content\":\"a\",\"tool_calls\":[{\"id\":\"t\",\"function\":{"
        "\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"stop\"}")},
     S A "tool 0 t f\nargs 0 {}\nfinish tools\nend\n"},
    {"content in parts (Mistral)",
     {D("{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"r\"}]},{"
        "\"type\":\"text\",\"text\":\"a\"},\"b\"]}"),
      F("model_length"), DONE},
     S "reasoning 'r'\n" A "text 'b'\nfinish length\nend\n"},
    {"content in parts (Databricks)",
     {D("{\"content\":[{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":"
        "\"r\",\"signature\":\"s\"}]},{\"type\":\"text\",\"text\":\"a\"}]}")},
     S "reasoning 'r'\nsignature 's'\n" A},
    {"blocks of another gateway",
     {D("{\"reasoning_content\":\"r\",\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":"
        "\"r\"}]}"),
      D("{\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"s\"},{"
        "\"type\":\"redacted_thinking\",\"data\":\"d\"}]}")},
     S "reasoning 'r'\nsignature 's'\nredacted 'd'\n"},
    {"image, citation, Google's signature",
     {D("{\"content\":\"a\",\"extra_content\":{\"google\":{\"thought_signature\":\"g\"}},"
        "\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA==\"}}"
        "],\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"url\":\"u\",\"start_"
        "index\":1,\"end_index\":2}}]}")},
     S A "google 'g'\nimage image/png AA==\ncitation u 1-2\n"},
    {"thoughts in the text",
     {D("{\"content\":\"<think>a</think>b\"}"), F("stop"), DONE},
     S "text '<think>a</think>b'\n" STOP},
    {"thoughts that are split off",
     {D("{\"content\":\"<thi\"}"), D("{\"content\":\"nk>a</\"}"),
      D("{\"content\":\"think>\\n\\nb\"}"), F("stop"), DONE},
     S "reasoning 'a'\ntext 'b'\n" STOP},
    {"thoughts split off that do not end",
     {D("{\"content\":\"<think>a<\"}"), DONE},
     S "reasoning 'a'\nreasoning '<'\n" STOP},
    {"logprobs",
     {C("{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":{\"content\":[]}}")},
     S "text 'a' {\"content\":[]}\n"},
    {"text of old",
     {"{\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":\"a\"}]}"},
     S A},
    // tool calls
    {"a call in pieces",
     {T("{\"index\":0,\"id\":\"t\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":"
        "\"\"}}"),
      T("{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":\"}}"),
      T("{\"index\":0,\"function\":{\"arguments\":\"1}\"}}"), F("tool_calls"), DONE},
     S "tool 0 t f\nargs 0 {\\\"a\\\":\nargs 0 1}\nfinish tools\nend\n"},
    {"id and name repeated",
     {T("{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}"),
      T("{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"}\"}}"),
      T("{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"\",\"arguments\":\"\"}}"), F("stop"),
      DONE},
     S "tool 0 t f\nargs 0 {\nargs 0 }\nfinish tools\nend\n"},
    {"another id in each piece",
     {T("{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}"),
      T("{\"index\":0,\"id\":\"u\",\"function\":{\"arguments\":\"}\"}}")},
     S "tool 0 t f\nargs 0 {\nargs 0 }\n"},
    {"whole calls without index",
     {T("{\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"u\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"),
      T("{\"id\":\"v\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}")},
     S "tool 0 t f\nargs 0 {}\ntool 1 u f\nargs 1 {}\ntool 2 v f\nargs 2 {}\n"},
    {"whole calls all with index 0",
     {T("{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"),
      T("{\"index\":0,\"id\":\"u\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}"),
      T("{\"index\":0,\"function\":{\"arguments\":\" \"}}")},
     S "tool 0 t f\nargs 0 {}\ntool 1 u f\nargs 1 {}\nargs 1  \n"},
    {"pieces without index and id",
     {T("{\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}"),
      T("{\"function\":{\"arguments\":\"}\"}}"),
      T("{\"id\":\"u\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}"),
      T("{\"id\":\"t\",\"function\":{\"arguments\":\"x\"}}")},
     S "tool 0 t f\nargs 0 {\nargs 0 }\ntool 1 u f\nargs 1 {\nargs 0 x\n"},
    {"objects without index and id",
     {T("{\"function\":{\"name\":\"f\",\"arguments\":{ \"a\" : \"\\n\" }}},{\"function\":{\"name\":"
        "\"f\",\"arguments\":{}}}"),
      T("{\"function\":{\"name\":\"f\",\"arguments\":{}}}")},
     S "tool 0 made f whole\nargs 0 {\\\"a\\\":\\\"\\\\n\\\"}\ntool 1 made f whole\nargs 1 {}\n"
       "tool 2 made f whole\nargs 2 {}\n"},
    {"name behind the id",
     {T("{\"index\":0,\"id\":\"t\",\"function\":{\"arguments\":\"\"}}"),
      T("{\"index\":0,\"function\":{\"name\":\"f\"}}"),
      T("{\"index\":0,\"function\":{\"arguments\":\"{}\"}}")},
     S "tool 0 t f\nargs 0 {}\n"},
    {"pieces of two calls mixed",
     {T("{\"index\":1,\"id\":\"u\",\"function\":{\"name\":\"g\"}}"),
      T("{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\"}}"),
      T("{\"index\":1,\"function\":{\"arguments\":\"1\"}},{\"index\":0,\"function\":{"
        "\"arguments\":\"0\"}}")},
     S "tool 0 u g\ntool 1 t f\nargs 0 1\nargs 1 0\n"},
    {"signed call",
     {T("{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"},"
        "\"extra_content\":{\"google\":{\"thought_signature\":\"g\"}}}")},
     S "tool 0 t f g\nargs 0 {}\n"},
    {"function call of old",
     {D("{\"function_call\":{\"name\":\"f\",\"arguments\":\"\"}}"),
      D("{\"function_call\":{\"arguments\":\"{}\"}}"), F("function_call"), DONE},
     S "tool 0 made f\nargs 0 {}\nfinish tools\nend\n"},
    // choices
    {"two choices",
     {C("{\"index\":1,\"delta\":{\"content\":\"b\"}},{\"index\":0,\"delta\":{\"content\":\"a\"}}"),
      C("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}"),
      C("{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}")},
     S "1: text 'b'\n" A "finish stop\n1: finish length\nend\n"},
    {"one of two is cut",
     {C("{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}"),
      C("{\"index\":1,\"delta\":{\"content\":\"b\"}}")},
     S "finish stop\n1: text 'b'\n"},
    {"a reason twice", {CONTENT_A, F("stop"), F("length"), CONTENT_A, DONE}, S A STOP},
    // usage
    {"usage in x_groq",
     {CONTENT_A,
      "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":"
      "{\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}}",
      DONE},
     S A "finish stop\nusage 1+2\nend\n"},
    {"usage in the choice (Moonshot)",
     {C("{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\",\"usage\":{"
        "\"prompt_tokens\":1,\"completion_tokens\":2,\"cached_tokens\":1}}"),
      DONE},
     S A "finish stop\nusage 1+2 cached 1\nend\n"},
    {"usage in every chunk (xAI)",
     {"{\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":{"
      "\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":15,"
      "\"completion_tokens_details\":{\"reasoning_tokens\":5}}}",
      "{\"id\":\"c1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{"
      "\"prompt_tokens\":9,\"completion_tokens\":2,\"total_tokens\":16,"
      "\"completion_tokens_details\":{\"reasoning_tokens\":5}}}"},
     S A "usage 9+6 reasoning 5\nfinish stop\nusage 9+7 reasoning 5\nend\n"},
    {"usage of nulls",
     {CONTENT_A, "{\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":null}}"},
     S A},
    // reasons
    {"sensitive", {CONTENT_A, F("sensitive")}, S A "finish filter\nend\n"},
    {"unknown reason", {CONTENT_A, F("whatever")}, S A STOP},
    {"broken before anything",
     {F("network_error"), DONE},
     S "error 503 overloaded 'upstream ended the answer before it began'\n"},
    {"broken in the middle", {CONTENT_A, F("insufficient_system_resource"), DONE}, S A STOP},
    // errors
    {"error",
     {CONTENT_A, "{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"code\":null}}", DONE},
     S A "error 500 - 'm'\n"},
    {"error of OpenRouter",
     {"{\"id\":\"c1\",\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}],"
      "\"error\":{\"code\":429,\"message\":\"slow\"}}",
      DONE},
     "error 429 rate_limit_exceeded 'slow'\n"},
    {"error of xAI", {"{\"code\":\"Some prose\",\"error\":\"m\"}"}, "error 500 - 'm'\n"},
    {"flat error",
     {"{\"object\":\"error\",\"message\":\"m\",\"code\":503}"},
     "error 503 overloaded 'm'\n"},
    {"error of MiniMax",
     {"{\"base_resp\":{\"status_code\":1002,\"status_msg\":\"slow\"}}"},
     "error 429 rate_limit_exceeded 'slow'\n"},
    {"no error of MiniMax",
     {"{\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"base_resp\":{"
      "\"status_code\":0}}"},
     S A},
    {"null error",
     {"{\"id\":\"c1\",\"model\":\"m\",\"error\":null,\"choices\":[{\"delta\":{\"content\":\"a\"}}]}"},
     S A},
    {"odd types",
     {"{\"id\":5,\"choices\":[1,null,{\"delta\":[]},{\"delta\":{\"content\":5,\"tool_calls\":{}}}]}",
      "{\"choices\":{}}", "{\"choices\":[{\"index\":-1,\"delta\":{\"tool_calls\":[1,{}]}}]}"},
     ""},
};

static void run(const struct stream_case *k, struct buf *told, bool *ret_ok)
{
    _Alignas(16) char reader[DIALECT_OPENAI_STREAM_READER_SIZE] = {0};
    struct canon_sink to = {note, told};
    struct canon_context c = {.model = SLICE("m"),
                              .quirks = strstr(k->name, "MiniMax") != NULL ? cumulative.flags
                                        : strstr(k->name, "split") != NULL ? splits.flags
                                                                           : 0};
    struct tape t = {.tokens = NULL};
    struct arena a;
    struct rng rng;

    rng_init(&rng, 1);
    arena_init(&a, 4096, 0);
    c.arena = &a;
    c.rng = &rng;
    *ret_ok = true;
    for (size_t i = 0; i < EVENTS_MAX && k->events[i] != NULL; i++) {
        *ret_ok =
            dialect_openai_stream_event(reader, &t, SLICE_NULL, slice_str(k->events[i]), &c, to) &&
            *ret_ok;
    }
    dialect_openai_stream_end(reader, &c, to);
    tape_done(&t);
    arena_done(&a);
}

static void streams(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf told;
        bool ok;

        buf_init(&told, 1 << 20);
        run(&cases[i], &told, &ok);
        if (!ok || !slice_eq_str(buf_slice(&told), cases[i].told)) {
            fail_msg("%s:\n" SLICE_FMT, cases[i].name, SLICE_ARG(buf_slice(&told)));
        }
        buf_done(&told);
    }
}

static void malformed(void **state)
{
    static const char *const events[] = {"{", "[]", "null", "5", "\"x\"", "{}x", "x"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        struct stream_case k = {.name = events[i], .events = {events[i]}};
        struct buf told;
        bool ok;

        buf_init(&told, 1 << 20);
        run(&k, &told, &ok);
        assert_false(ok);
        assert_int_equal(told.n, 0);
        buf_done(&told);
    }
}

// What is kept of a stream does not grow with it: many pieces, one call.
static void memory_is_bounded(void **state)
{
    _Alignas(16) char reader[DIALECT_OPENAI_STREAM_READER_SIZE] = {0};
    static const char *const first =
        T("{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}");
    static const char *const more = T("{\"index\":0,\"function\":{\"arguments\":\"0123456789\"}}");
    struct canon_context c = {.model = SLICE("m")};
    struct tape t = {.tokens = NULL};
    struct buf told;
    struct arena a;
    struct rng rng;
    size_t used;

    (void)state;
    rng_init(&rng, 1);
    arena_init(&a, 4096, 0);
    c.arena = &a;
    c.rng = &rng;
    buf_init(&told, 1 << 20);
    assert_true(dialect_openai_stream_event(reader, &t, SLICE_NULL, slice_str(first), &c,
                                            (struct canon_sink){note, &told}));
    used = a.used;
    for (int i = 0; i < 1000; i++) {
        buf_clear(&told);
        assert_true(dialect_openai_stream_event(reader, &t, SLICE_NULL, slice_str(more), &c,
                                                (struct canon_sink){note, &told}));
    }
    assert_int_equal(a.used, used);
    buf_done(&told);
    tape_done(&t);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams),
        cmocka_unit_test(malformed),
        cmocka_unit_test(memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
