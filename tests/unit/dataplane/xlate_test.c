// SPDX-License-Identifier: Apache-2.0
// Translation as a whole: long conversations cost no more than their length, between every pair of
// dialects; counting tokens; a document in place of a stream; what follows an end is not told. What
// each translation says is in tests/vectors.
#include "dataplane/xlate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/mem.h"

#define OUT_MAX ((size_t)512 << 20)

static struct arena arena;
static struct rng rng;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 65536, 0);
    rng_init(&rng, 1);
    buf_init(&out, OUT_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_done(&out);
    arena_done(&arena);
    return 0;
}

static struct dialect_request parse(const struct dialect *client, enum dialect_endpoint ep,
                                    struct slice body)
{
    const char *code = NULL, *param = NULL;
    struct dialect_request rq;
    struct err e;

    if (!client->parse_request(body, ep, &arena, &rq, &code, &param, &e)) {
        fail_msg("%s", e.message);
    }
    return rq;
}

static void translate(const struct dialect *client, enum dialect_endpoint ep,
                      const struct dialect *provider, struct slice body)
{
    struct xlate_refusal why;
    const struct canon_target target = {
        .model = SLICE("m"), .default_max_tokens = 100, .gemini3 = true};
    struct dialect_request rq = parse(client, ep, body);
    struct xlate x;
    struct err e;

    buf_clear(&out);
    xlate_init(&x, client, &arena, &rng);
    if (!xlate_request(&x, provider, &target, &rq, body, &out, &why, &e)) {
        fail_msg("%s -> %s: %s (%s)", client->name, provider->name, e.message, why.param);
    }
    xlate_done(&x);
}

// --- long conversations --------------------------------------------------------------------------

#define MANY 20000 // pairs of a call and its result; quadratic work on them takes minutes

// CPU time of this thread: other processes may have the machine.
static uint64_t cpu_us(void)
{
    struct timespec ts;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void openai_history(struct buf *b)
{
    buf_append_str(b, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"go\"}");
    for (int i = 0; i < MANY; i++) {
        buf_printf(
            b,
            ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c/%d\",\"type\":"
            "\"function\",\"function\":{\"name\":\"f%d\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
            "\"tool_call_id\":\"c/%d\",\"content\":\"r\"}",
            i, i % 100, i);
    }
    buf_append_str(b, ",{\"role\":\"user\",\"content\":\"on\"}],\"tools\":[");
    for (int i = 0; i < MANY; i++) {
        buf_printf(b, "%s{\"type\":\"function\",\"function\":{\"name\":\"f%d\"}}",
                   i == 0 ? "" : ",", i);
    }
    buf_append_str(
        b, "],\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\","
           "\"tools\":[");
    for (int i = 0; i < MANY; i++) {
        buf_printf(b, "%s{\"type\":\"function\",\"function\":{\"name\":\"f%d\"}}",
                   i == 0 ? "" : ",", MANY - i - 1);
    }
    buf_append_str(b, "]}}}");
}

static void anthropic_history(struct buf *b)
{
    buf_append_str(
        b,
        "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":\"go\"}");
    for (int i = 0; i < MANY; i++) {
        buf_printf(
            b,
            ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"t\"},{\"type\":"
            "\"tool_use\",\"id\":\"c%d\",\"name\":\"f\",\"input\":{}}]},{\"role\":\"user\",\"content\":"
            "[{\"type\":\"text\",\"text\":\"also\"},{\"type\":\"tool_result\",\"tool_use_id\":\"c%d\","
            "\"content\":\"r\"}]}",
            i, i);
    }
    buf_append_str(b, "],\"tools\":[");
    for (int i = 0; i < MANY; i++) {
        buf_printf(b, "%s{\"name\":\"f%d\",\"input_schema\":{\"type\":\"object\"}}",
                   i == 0 ? "" : ",", i);
    }
    buf_append_str(b, "]}");
}

static void long_conversations(void **state)
{
    static const struct dialect *const providers[] = {&dialect_openai, &dialect_anthropic,
                                                      &dialect_gemini, &dialect_ollama};
    struct buf openai, anthropic;
    uint64_t began = cpu_us();

    (void)state;
    buf_init(&openai, OUT_MAX);
    buf_init(&anthropic, OUT_MAX);
    openai_history(&openai);
    anthropic_history(&anthropic);
    for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
        if (providers[i] != &dialect_openai) {
            translate(&dialect_openai, DIALECT_CHAT, providers[i], buf_slice(&openai));
        }
        if (providers[i] != &dialect_anthropic) {
            translate(&dialect_anthropic, DIALECT_MESSAGES, providers[i], buf_slice(&anthropic));
        }
    }
    assert_true(cpu_us() - began < 60 * 1000000ull);
    buf_done(&openai);
    buf_done(&anthropic);
}

// --- long streams
// ---------------------------------------------------------------------------------

#define CHUNK(delta)                                                                               \
    "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":" delta                     \
    ",\"finish_reason\":null}]}"

// What is told again and again, behind what opens it.
static const struct {
    const struct dialect *provider;
    const char *first, *event;
} streams[] = {
    {&dialect_openai, CHUNK("{\"role\":\"assistant\"}"), CHUNK("{\"content\":\"a\\nb\"}")},
    {&dialect_openai, CHUNK("{\"role\":\"assistant\"}"), CHUNK("{\"reasoning\":\"a\"}")},
    {&dialect_openai, CHUNK("{\"role\":\"assistant\"}"),
     CHUNK("{\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"a\"}]}")},
    {&dialect_openai, CHUNK("{\"role\":\"assistant\"}"),
     CHUNK("{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}")},
    {&dialect_openai,
     CHUNK("{\"tool_calls\":[{\"index\":0,\"id\":\"t\",\"function\":{\"name\":\"f\"}}]}"),
     CHUNK("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"x\"}}]}")},
    {&dialect_anthropic,
     "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
     "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}"},
    {&dialect_anthropic,
     "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\","
     "\"name\":\"f\",\"input\":{}}}",
     "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\","
     "\"partial_json\":\"\\\"x\"}}"},
    {&dialect_anthropic,
     "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"thinking\","
     "\"thinking\":\"\"}}",
     "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"thinking_delta\","
     "\"thinking\":\"a\"}}"},
    {&dialect_gemini,
     "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"responseId\":\"r\"}",
     "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"},{\"text\":\"b\",\"thought\":true}]}}]}"},
    {&dialect_gemini,
     "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"responseId\":\"r\"}",
     "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\\n\"}]},\"logprobsResult\":{\"chosenCandidates\":["
     "{\"token\":\"\\n\",\"logProbability\":-1}]},\"groundingMetadata\":{\"groundingChunks\":[{\"web\":{"
     "\"uri\":\"u\"}}],\"groundingSupports\":[{\"segment\":{\"endIndex\":9999999},"
     "\"groundingChunkIndices\":[0]}]}}]}"},
    {&dialect_ollama, "{\"model\":\"m\",\"message\":{\"content\":\"a\"},\"done\":false}",
     "{\"model\":\"m\",\"message\":{\"content\":\"a\",\"thinking\":\"b\"},\"done\":false}"},
    {&dialect_gemini,
     "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"responseId\":\"r\"}",
     "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"logprobsResult\":{"
     "\"chosenCandidates\":[{\"token\":\"a\",\"logProbability\":-1}]}}]}"},
    {&dialect_ollama, "{\"model\":\"m\",\"message\":{\"content\":\"a\"},\"done\":false}",
     "{\"model\":\"m\",\"message\":{\"content\":\"a\"},\"logprobs\":[{\"token\":\"a\",\"logprob\":-1}],"
     "\"done\":false}"},
};

static void stream_many(const struct dialect *client, size_t i)
{
    struct dialect_stream s = {.content_seen = false};
    size_t before = 0;
    struct xlate x;

    xlate_init(&x, client, &arena, &rng);
    x.provider = streams[i].provider;
    x.context = (struct canon_context){.arena = &arena,
                                       .rng = &rng,
                                       .endpoint = client == &dialect_openai ? DIALECT_CHAT
                                                                             : DIALECT_MESSAGES,
                                       .model = SLICE("m")};
    for (int n = 0; n < 5000; n++) {
        struct dialect_event ev;

        buf_clear(&out);
        ev = xlate_event(&x, &s, SLICE_NULL,
                         slice_str(n == 0 ? streams[i].first : streams[i].event), &out);
        assert_false(ev.malformed || ev.error);
        assert_true(n < 2 || ev.content);
        assert_true(n < 2 || out.n > 0);
        before = n == 10 ? arena.used : before;
    }
    assert_int_equal(arena.used, before);
    xlate_done(&x);
}

static void long_streams_hold_no_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(streams); i++) {
        if (streams[i].provider != &dialect_openai) {
            stream_many(&dialect_openai, i);
        }
        if (streams[i].provider != &dialect_anthropic) {
            stream_many(&dialect_anthropic, i);
        }
    }
}

// --- counting, documents, ends
// ---------------------------------------------------------------------

static void counts_tokens(void **state)
{
    const struct slice body = SLICE(
        "{\"model\":\"m\",\"system\":\"12345678\",\"messages\":[{\"role\":\"user\",\"content\":["
        "{\"type\":\"text\",\"text\":\"\\n\\u00e94\"},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":"
        "\"https://h/x\"}}]}]}");
    struct dialect_request rq = parse(&dialect_anthropic, DIALECT_COUNT_TOKENS, body);
    const char *param = NULL;
    struct xlate x;
    struct err e;

    (void)state;
    xlate_init(&x, &dialect_anthropic, &arena, &rng);
    assert_true(xlate_count_tokens(&x, &rq, body, &out, &param, &e));
    assert_string_equal(buf_cstr(&out), "{\"input_tokens\":1603}");
    xlate_done(&x);
}

// What a provider counted is the answer, not what was used.
static void counting_uses_nothing(void **state)
{
    struct dialect_answer seen;
    struct xlate x;

    (void)state;
    xlate_init(&x, &dialect_anthropic, &arena, &rng);
    x.provider = &dialect_gemini;
    x.context = (struct canon_context){
        .arena = &arena, .rng = &rng, .endpoint = DIALECT_COUNT_TOKENS, .model = SLICE("m")};
    assert_true(xlate_answer(&x, SLICE("{\"totalTokens\":1000}"), false, &out, &seen));
    assert_string_equal(buf_cstr(&out), "{\"input_tokens\":1000}");
    assert_true(seen.usage.known && seen.usage.input == 0);
    xlate_done(&x);
}

// Gemini counts in every event: who leaves in the middle pays for what was used until then.
static void usage_is_known_before_the_end(void **state)
{
    struct dialect_stream s = {.content_seen = false};
    struct xlate x;

    (void)state;
    xlate_init(&x, &dialect_openai, &arena, &rng);
    x.provider = &dialect_gemini;
    x.context = (struct canon_context){.arena = &arena, .rng = &rng, .model = SLICE("m")};
    (void)xlate_event(
        &x, &s, SLICE_NULL,
        SLICE("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}],\"usageMetadata\":{"
              "\"promptTokenCount\":900,\"candidatesTokenCount\":3,\"promptTokensDetails\":[{"
              "\"modality\":\"TEXT\",\"tokenCount\":1},{\"modality\":\"AUDIO\",\"tokenCount\":7}],"
              "\"candidatesTokensDetails\":[{\"modality\":\"IMAGE\",\"tokenCount\":2}]}}"),
        &out);
    assert_true(s.usage.known && s.usage.input == 900 && s.usage.output == 3);
    assert_int_equal(s.usage.audio_input, 7);
    assert_int_equal(s.usage.image_output, 2);
    xlate_done(&x);
}

static void tells_a_document_as_a_stream(void **state)
{
    const struct slice body = SLICE("{\"model\":\"m\",\"stream\":true,\"messages\":[]}");
    const struct slice answer = SLICE(
        "{\"id\":\"c1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m1\",\"choices\":[{"
        "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}");
    struct dialect_request rq = parse(&dialect_openai, DIALECT_CHAT, body);
    struct dialect_answer seen;
    struct xlate x;

    (void)state;
    xlate_init(&x, &dialect_openai, &arena, &rng);
    xlate_equal(&x, &rq, SLICE("m"));
    xlate_answered(&x, 7);
    assert_true(xlate_answer(&x, answer, true, &out, &seen));
    assert_non_null(strstr(buf_cstr(&out), "\"delta\":{\"content\":\"Hi\"}"));
    assert_non_null(strstr(buf_cstr(&out), "\"finish_reason\":\"stop\""));
    assert_true(slice_ends(buf_slice(&out), SLICE("data: [DONE]\n\n")));
    assert_false(xlate_answer(&x, SLICE("{\"id\":\"c1\"}"), true, &out, &seen));
    xlate_done(&x);
}

// Servers that send a document where a stream was asked for like to indent it.
static void a_document_has_lines_an_event_has_one(void **state)
{
    const struct slice body = SLICE("{\"model\":\"m\",\"stream\":true,\"messages\":[]}");
    const struct slice answer = SLICE(
        "{\n \"id\": \"c1\",\n \"choices\": [\n {\"index\": 0, \"message\": {\"content\": \"Hi\"},\n"
        "\"logprobs\": {\n\"content\": [\r\n{\"token\": \"Hi\",\n\"logprob\": -0.10}]\n},\n"
        "\"finish_reason\": \"stop\"}\n]\n}\n");
    struct dialect_request rq = parse(&dialect_openai, DIALECT_CHAT, body);
    struct dialect_answer seen;
    struct slice rest, line;
    struct xlate x;

    (void)state;
    xlate_init(&x, &dialect_openai, &arena, &rng);
    xlate_equal(&x, &rq, SLICE("m"));
    assert_true(xlate_answer(&x, answer, true, &out, &seen));
    assert_non_null(strstr(buf_cstr(&out),
                           "\"logprobs\":{\"content\":[{\"token\":\"Hi\",\"logprob\":-0.10}]}"));
    for (rest = buf_slice(&out); rest.n > 0;) {
        rest = slice_cut(rest, '\n', &line);
        assert_true(line.n == 0 || slice_starts(line, SLICE("data: ")));
    }
    xlate_done(&x);
}

static void nothing_follows_the_end(void **state)
{
    static const char *const lines[] = {
        "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}",
        "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":"
        "\"stop\",\"eval_count\":2}"};
    struct dialect_stream s = {.content_seen = false};
    struct xlate x;

    (void)state;
    xlate_init(&x, &dialect_openai, &arena, &rng);
    x.provider = &dialect_ollama;
    x.context = (struct canon_context){.arena = &arena, .rng = &rng, .model = SLICE("m")};
    assert_true(xlate_event(&x, &s, SLICE_NULL, slice_str(lines[0]), &out).content);
    assert_true(xlate_event(&x, &s, SLICE_NULL, slice_str(lines[1]), &out).terminator);
    assert_true(s.terminated && s.usage.output == 2);
    buf_clear(&out);
    assert_false(xlate_event(&x, &s, SLICE_NULL, slice_str(lines[0]), &out).content);
    xlate_end(&x, &s, &out);
    assert_int_equal(out.n, 0);
    xlate_done(&x);
}

static void count(void *ctx, const struct canon_event *ev)
{
    unsigned *n = ctx;

    n[ev->kind]++;
}

// Gemini's events may be a list, in which more may stand behind an error. An error reads the whole
// list once more: 100,000 of them must not do so each.
static void nothing_follows_an_error(void **state)
{
    unsigned told[CANON_EV_ERROR + 1] = {0};
    struct canon_context c = {.arena = &arena, .rng = &rng, .model = SLICE("m")};
    struct tape t = {.tokens = NULL};
    void *reader = arena_zalloc(&arena, dialect_gemini.reader_size);
    struct buf list;

    (void)state;
    buf_init(&list, OUT_MAX);
    buf_append_str(&list, "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}");
    for (int i = 0; i < 100000; i++) {
        buf_append_str(&list, ",{\"error\":{\"code\":503,\"message\":\"m\"}}");
    }
    buf_append_str(&list, ",{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\"}]}}]}]");
    assert_true(dialect_gemini.read_event(reader, &t, SLICE_NULL, buf_slice(&list), &c,
                                          (struct canon_sink){count, told}));
    assert_int_equal(told[CANON_EV_TEXT], 1);
    assert_int_equal(told[CANON_EV_ERROR], 1);
    tape_done(&t);
    buf_done(&list);
}

// All events of a stream as one list, with an error at its end: no answer.
static void a_list_with_an_error_is_no_answer(void **state)
{
    static const struct slice whole = SLICE(
        "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":\"STOP\"}]}]");
    static const struct slice failed =
        SLICE("[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"finishReason\":"
              "\"STOP\"}]},{\"error\":{\"code\":503,\"message\":\"m\"}}]");
    struct dialect_answer seen;
    struct xlate x;

    (void)state;
    xlate_init(&x, &dialect_openai, &arena, &rng);
    x.provider = &dialect_gemini;
    x.context = (struct canon_context){.arena = &arena, .rng = &rng, .model = SLICE("m")};
    assert_true(xlate_answer(&x, whole, false, &out, &seen));
    assert_false(xlate_answer(&x, failed, false, &out, &seen));
    xlate_done(&x);
}

// --- what is too large -----------------------------------------------------------------------

// A name is said once by the client and repeated with each result: 60 bytes become 100,000.
static void a_request_that_grows_too_large(void **state)
{
    struct xlate_refusal why;
    static const struct dialect *const providers[] = {&dialect_ollama}; // others shorten names
    const struct canon_target target = {.model = SLICE("m"), .default_max_tokens = 100};
    char *name = mem_zalloc(100001);
    struct buf body, small;

    (void)state;
    memset(name, 'n', 100000);
    buf_init(&body, OUT_MAX);
    buf_printf(
        &body,
        "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"c\","
        "\"type\":\"function\",\"function\":{\"name\":\"%s\",\"arguments\":\"{}\"}}]}",
        name);
    for (int i = 0; i < 100; i++) {
        buf_append_str(&body, ",{\"role\":\"tool\",\"tool_call_id\":\"c\",\"content\":\"r\"}");
    }
    buf_append_str(&body, "]}");
    for (size_t i = 0; i < ARRAY_LEN(providers); i++) {
        struct dialect_request rq = parse(&dialect_openai, DIALECT_CHAT, buf_slice(&body));
        struct xlate x;
        struct err e;

        buf_init_soft(&small, 1 << 20);
        xlate_init(&x, &dialect_openai, &arena, &rng);
        assert_false(
            xlate_request(&x, providers[i], &target, &rq, buf_slice(&body), &small, &why, &e));
        assert_string_equal(why.code, "invalid_value");
        xlate_done(&x);
        buf_done(&small);
    }
    buf_done(&body);
    mem_free(name);
}

// So does the id of a result with many images; and nothing of it is kept.
static void a_result_with_a_long_id(void **state)
{
    char *id = mem_zalloc(20001);
    struct buf body;

    (void)state;
    memset(id, 'i', 20000);
    buf_init(&body, OUT_MAX);
    buf_printf(
        &body,
        "{\"model\":\"m\",\"max_tokens\":5,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
        "\"tool_result\",\"tool_use_id\":\"%s\",\"content\":[{\"type\":\"text\",\"text\":\"t\"}",
        id);
    for (int i = 0; i < 1000; i++) {
        buf_append_str(&body, ",{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"u\"}}");
    }
    buf_append_str(&body, "]}]}]}");
    translate(&dialect_anthropic, DIALECT_MESSAGES, &dialect_openai, buf_slice(&body));
    assert_true(out.n > 20000000);
    assert_true(arena.used < 2000000);
    buf_done(&body);
    mem_free(id);
}

// Eight references to itself, sixteen deep: 200 bytes that would take for ever.
static void a_schema_that_names_itself(void **state)
{
    struct xlate_refusal why;
    const struct canon_target target = {.model = SLICE("m"), .gemini_schema = true};
    uint64_t began = cpu_us();
    struct dialect_request rq;
    struct buf body;
    struct xlate x;
    struct err e;

    (void)state;
    buf_init(&body, OUT_MAX);
    buf_append_str(&body,
                   "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                   "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\","
                   "\"schema\":{\"$ref\":\"#/$defs/d\",\"$defs\":{\"d\":{\"type\":\"object\","
                   "\"properties\":{");
    for (int i = 0; i < 8; i++) {
        buf_printf(&body, "%s\"p%d\":{\"$ref\":\"#/$defs/d\"}", i == 0 ? "" : ",", i);
    }
    buf_append_str(&body, "}}}}}}}");
    rq = parse(&dialect_openai, DIALECT_CHAT, buf_slice(&body));
    xlate_init(&x, &dialect_openai, &arena, &rng);
    assert_true(xlate_request(&x, &dialect_gemini, &target, &rq, buf_slice(&body), &out, &why, &e));
    assert_non_null(strstr(buf_cstr(&out), "\"p0\":{\"type\":\"object\",\"properties\":{\"p0\":"));
    assert_true(out.n < 1 << 20);
    assert_true(cpu_us() - began < 10 * 1000000ull);
    xlate_done(&x);
    buf_done(&body);
}

// A definition of many members that say nothing here, named a thousand times; members that are
// there again and again: little or nothing is written, but it would take minutes.
static void schemas_that_are_too_much(void **state)
{
    static const struct {
        const char *member, *definition;
    } cases[] = {{"{\"$ref\":\"#/$defs/d\"}", "\"x\":1"},
                 {"{\"$ref\":\"#/$defs/d\"}", "\"const\":1"},
                 {"{}", "\"const\":1"}};
    const struct canon_target target = {.model = SLICE("m"), .gemini_schema = true};
    uint64_t began = cpu_us();

    (void)state;
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        struct xlate_refusal why;
        struct dialect_request rq;
        struct buf body;
        struct xlate x;
        struct err e;

        buf_init(&body, OUT_MAX);
        buf_append_str(
            &body, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                   "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"s\","
                   "\"schema\":{\"type\":\"object\",\"properties\":{\"p\":{");
        for (int i = 0; i < 200000; i++) {
            buf_printf(&body, "%s%s", i == 0 ? "" : ",", cases[c].definition);
        }
        buf_append_str(&body, "}");
        for (int i = 0; i < 1000; i++) {
            buf_printf(&body, ",\"p%d\":%s", i, cases[c].member);
        }
        buf_append_str(&body, "},\"$defs\":{\"d\":{");
        for (int i = 0; i < 200000; i++) {
            buf_printf(&body, "%s%s", i == 0 ? "" : ",", cases[c].definition);
        }
        buf_append_str(&body, "}}}}}}");
        rq = parse(&dialect_openai, DIALECT_CHAT, buf_slice(&body));
        xlate_init(&x, &dialect_openai, &arena, &rng);
        buf_clear(&out);
        assert_false(
            xlate_request(&x, &dialect_gemini, &target, &rq, buf_slice(&body), &out, &why, &e));
        assert_string_equal(why.code, "invalid_value");
        assert_true(cpu_us() - began < 60 * 1000000ull);
        xlate_done(&x);
        buf_done(&body);
    }
}

// Many small parts, and the provider's name of its model in each of the chunks they become.
static void an_answer_that_grows_too_large(void **state)
{
    struct dialect_stream s = {.content_seen = false};
    struct dialect_answer seen;
    struct buf answer, small;
    struct xlate x;

    (void)state;
    buf_init(&answer, OUT_MAX);
    buf_append_str(&answer, "{\"modelVersion\":\"");
    for (int i = 0; i < 1000; i++) {
        buf_append_str(&answer, "0123456789");
    }
    buf_append_str(&answer, "\",\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}");
    for (int i = 0; i < 1000; i++) {
        buf_append_str(&answer, ",{\"text\":\"a\"},{\"functionCall\":{\"name\":\"f\"}}");
    }
    buf_append_str(&answer, "]},\"finishReason\":\"STOP\"}]}");
    xlate_init(&x, &dialect_openai, &arena, &rng);
    x.provider = &dialect_gemini;
    x.context = (struct canon_context){.arena = &arena, .rng = &rng, .model = SLICE("m")};
    buf_init_soft(&small, 1 << 20);
    assert_false(xlate_answer(&x, buf_slice(&answer), true, &small, &seen));
    xlate_reset(&x);
    x.provider = &dialect_gemini;
    buf_clear(&small);
    assert_true(xlate_event(&x, &s, SLICE_NULL, buf_slice(&answer), &small).malformed);
    xlate_done(&x);
    buf_done(&small);
    buf_done(&answer);
}

// --- lifetimes -------------------------------------------------------------------------------

// A stream that flows holds no snapshot: a new configuration frees the provider that is answering.
static void a_stream_outlives_its_provider(void **state)
{
    struct xlate_refusal why;
    const struct slice body =
        SLICE("{\"model\":\"m\",\"max_tokens\":5,\"stream\":true,\"messages\":[{\"role\":\"user\","
              "\"content\":\"go\"}]}");
    struct dialect_request rq = parse(&dialect_anthropic, DIALECT_MESSAGES, body);
    struct resource_quirks *quirks = mem_zalloc(sizeof(*quirks));
    const struct canon_target target = {
        .model = SLICE("m"), .default_max_tokens = 100, .quirks = quirks};
    struct dialect_stream s = {.content_seen = false};
    struct xlate x;
    struct err e;

    (void)state;
    quirks->flags = RESOURCE_SPLIT_THINK;
    xlate_init(&x, &dialect_anthropic, &arena, &rng);
    assert_true(xlate_request(&x, &dialect_openai, &target, &rq, body, &out, &why, &e));
    memset(quirks, 0, sizeof(*quirks));
    mem_free(quirks);
    buf_clear(&out);
    (void)xlate_event(&x, &s, SLICE_NULL, SLICE(CHUNK("{\"content\":\"<think>why</think>Hi\"}")),
                      &out);
    assert_non_null(strstr(buf_cstr(&out), "\"thinking\":\"why\""));
    xlate_done(&x);
}

// What the splitter holds back is told from memory of its own, which goes before the answer is
// written.
static void split_thoughts_are_kept(void **state)
{
    const struct slice answer = SLICE(
        "{\"id\":\"c1\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"<th\"}},{\"index\":1,"
        "\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"<think>a<\"},{\"type\":\"text\","
        "\"text\":\"bc</think>so\"}]}},{\"index\":2,\"message\":{\"content\":\"<think>why</thi\"}}]}");
    struct dialect_answer seen;
    struct xlate x;

    (void)state;
    xlate_init(&x, &dialect_openai, &arena, &rng);
    x.provider = &dialect_openai;
    x.context = (struct canon_context){.arena = &arena,
                                       .rng = &rng,
                                       .endpoint = DIALECT_CHAT,
                                       .model = SLICE("m"),
                                       .quirks = RESOURCE_SPLIT_THINK};
    assert_true(xlate_answer(&x, answer, false, &out, &seen));
    assert_non_null(strstr(buf_cstr(&out), "\"content\":\"<th\""));
    assert_non_null(strstr(buf_cstr(&out), "\"reasoning_content\":\"a<bc\""));
    assert_non_null(strstr(buf_cstr(&out), "\"reasoning_content\":\"why</thi\""));
    xlate_done(&x);
}

// --- paths -----------------------------------------------------------------------------------

static void model_names_stay_in_their_folder(void **state)
{
    static const struct {
        const char *model, *path;
    } cases[] = {
        {"gemini-3", "models/gemini-3:generateContent"},
        {"tunedModels/x.1", "tunedModels/x.1:generateContent"},
        {"a?b#c%\r\nd", "models/a%3Fb%23c%25%0D%0Ad:generateContent"},
        {"..", "models/%2E%2E:generateContent"},
        {"x/../../v2/y", "x%2F%2E%2E%2F%2E%2E%2Fv2%2Fy:generateContent"},
        {"./files", "%2E%2Ffiles:generateContent"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_call call = {.endpoint = DIALECT_CHAT, .model = slice_str(cases[i].model)};

        buf_clear(&out);
        dialect_gemini.write_path(&call, &out);
        assert_string_equal(buf_cstr(&out), cases[i].path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(long_conversations, setup, teardown),
        cmocka_unit_test_setup_teardown(long_streams_hold_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(counts_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(counting_uses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(usage_is_known_before_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(tells_a_document_as_a_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(a_document_has_lines_an_event_has_one, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_follows_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_follows_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(a_list_with_an_error_is_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_that_grows_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(a_result_with_a_long_id, setup, teardown),
        cmocka_unit_test_setup_teardown(a_schema_that_names_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(schemas_that_are_too_much, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_that_grows_too_large, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_outlives_its_provider, setup, teardown),
        cmocka_unit_test_setup_teardown(split_thoughts_are_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(model_names_stay_in_their_folder, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
