// SPDX-License-Identifier: Apache-2.0
// What translation costs: CPU time of one thread for a request and its answer, and for one event of
// a stream, between every pair of dialects, over sizes up to a megabyte. No sockets: these are the
// calls that the request machine makes (xlate.h). Reading the client's body for routing
// (parse_request) is counted, since a translated request pays for it as well; what pass-through
// pays for the same request (parse_request, edit_request, observe_answer) stands beside it.
//
//   bench_translate [seconds a figure]   -> a line a figure: name, microseconds
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "dataplane/dialect.h"
#include "dataplane/stream.h"
#include "dataplane/xlate.h"

#define OUT_MAX ((size_t)64 * 1024 * 1024)

struct pair {
    const struct dialect *client, *provider;
    enum dialect_endpoint ep;
    const char *request, *answer;     // %s: text that makes up the size
    const char *first, *event, *last; // of a stream
};

#define TOOLS_OPENAI                                                                                  \
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get_tide\",\"description\":\"Tide\"," \
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"harbour\":{\"type\":\"string\"}}}}}]"
#define REQUEST_OPENAI                                                                             \
    "{\"model\":\"m\",\"max_tokens\":100,\"temperature\":0.7,\"stream\":%s," TOOLS_OPENAI          \
    ",\"messages\":[{\"role\":\"system\",\"content\":\"Be short.\"},{\"role\":\"user\",\"content\":\"%s\"}]}"
#define REQUEST_ANTHROPIC                                                                                        \
    "{\"model\":\"m\",\"max_tokens\":100,\"temperature\":0.7,\"stream\":%s,\"tools\":[{\"name\":\"get_tide\","   \
    "\"description\":\"Tide\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"harbour\":{\"type\":"      \
    "\"string\"}}}}],\"system\":\"Be short.\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\"," \
    "\"text\":\"%s\"}]}]}"
#define ANSWER_OPENAI                                                                                           \
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1763800000,\"model\":\"m\",\"choices\":" \
    "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null," \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10,\"total_tokens\":30}}"
#define ANSWER_ANTHROPIC                                                                                             \
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{\"type\":\"text\"," \
    "\"text\":\"%s\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":20,"          \
    "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":10}}"
#define ANSWER_GEMINI                                                                                             \
    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%s\"}],\"role\":\"model\"},\"finishReason\":\"STOP\"," \
    "\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":20,\"candidatesTokenCount\":10,"                       \
    "\"totalTokenCount\":30},\"modelVersion\":\"m\",\"responseId\":\"r1\"}"
#define ANSWER_OLLAMA                                                                                           \
    "{\"model\":\"m\",\"created_at\":\"2026-11-20T10:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":" \
    "\"%s\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":20,\"eval_count\":10}"
#define CHUNK(delta, finish)                                                                                    \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1763800000,\"model\":\"m\"," \
    "\"choices\":[{\"index\":0,\"delta\":" delta ",\"logprobs\":null,\"finish_reason\":" finish                 \
    "}]}\n\n"
#define GEMINI_EVENT(text, more)                                                                   \
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"" text                            \
    "\"}],\"role\":\"model\"}" more                                                                \
    ",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":5,\"candidatesTokenCount\":1,"         \
    "\"totalTokenCount\":6},\"modelVersion\":\"m\",\"responseId\":\"r1\"}\r\n\r\n"
#define OLLAMA_LINE(text, more)                                                                                        \
    "{\"model\":\"m\",\"created_at\":\"2026-11-20T10:00:00Z\",\"message\":{\"role\":\"assistant\",\"content\":\"" text \
    "\"}," more "}\n"

static const struct pair pairs[] = {
    {&dialect_openai, &dialect_anthropic, DIALECT_CHAT, REQUEST_OPENAI, ANSWER_ANTHROPIC,
     "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":"
     "\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,"
     "\"usage\":{\"input_tokens\":20,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: "
     "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
     "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
     "\"type\":\"text_delta\",\"text\":\" and so on\"}}\n\n",
     "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"},
    {&dialect_openai, &dialect_gemini, DIALECT_CHAT, REQUEST_OPENAI, ANSWER_GEMINI,
     GEMINI_EVENT("Hi", ""), GEMINI_EVENT(" and so on", ""),
     GEMINI_EVENT("", ",\"finishReason\":\"STOP\"")},
    {&dialect_openai, &dialect_ollama, DIALECT_CHAT, REQUEST_OPENAI, ANSWER_OLLAMA,
     OLLAMA_LINE("Hi", "\"done\":false"), OLLAMA_LINE(" and so on", "\"done\":false"),
     OLLAMA_LINE("", "\"done\":true,\"done_reason\":\"stop\"")},
    {&dialect_anthropic, &dialect_openai, DIALECT_MESSAGES, REQUEST_ANTHROPIC, ANSWER_OPENAI,
     CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null"),
     CHUNK("{\"content\":\" and so on\"}", "null"), "data: [DONE]\n\n"},
    {&dialect_anthropic, &dialect_gemini, DIALECT_MESSAGES, REQUEST_ANTHROPIC, ANSWER_GEMINI,
     GEMINI_EVENT("Hi", ""), GEMINI_EVENT(" and so on", ""),
     GEMINI_EVENT("", ",\"finishReason\":\"STOP\"")},
};

static uint64_t cpu_ns(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void die(const char *what, const struct pair *p)
{
    (void)fprintf(stderr, "%s (%s -> %s)\n", what, p->client->name, p->provider->name);
    exit(1);
}

static struct slice filled(const char *format, const char *stream, size_t size)
{
    size_t n = strlen(format);
    char *text, *out;

    text = mem_zalloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        text[i] = i % 61 == 60 ? ' ' : (char)('a' + i % 26);
    }
    out = mem_zalloc(n + size + 16);
    // The first %s of a request is `stream`; answers have the text only.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)(stream != NULL ? snprintf(out, n + size + 16, format, stream, text)
                          : snprintf(out, n + size + 16, format, text));
#pragma GCC diagnostic pop
    mem_free(text);
    return slice_str(out);
}

static void drop(struct slice s)
{
    mem_free((void *)(uintptr_t)s.p);
}

static struct canon_target target_of(const struct pair *p)
{
    return (struct canon_target){.model = SLICE("m"),
                                 .default_max_tokens = 4096,
                                 .gemini3 = true,
                                 .openai = p->provider == &dialect_openai};
}

// --- a request and its answer --------------------------------------------------------------------

static void translate_once(const struct pair *p, struct slice request, struct slice answer,
                           struct arena *a, struct rng *rng, struct buf *out)
{
    struct xlate_refusal why;
    struct canon_target t = target_of(p);
    const char *code, *param;
    struct dialect_answer seen;
    struct dialect_request rq;
    struct xlate x;
    struct err e;

    if (!p->client->parse_request(request, p->ep, a, &rq, &code, &param, &e)) {
        die(e.message, p);
    }
    xlate_init(&x, p->client, a, rng);
    if (!xlate_request(&x, p->provider, &t, &rq, request, out, &why, &e)) {
        die(e.message, p);
    }
    buf_clear(out);
    xlate_answered(&x, 1763800000);
    if (!xlate_answer(&x, answer, false, out, &seen)) {
        die("the answer cannot be read", p);
    }
    buf_clear(out);
    xlate_done(&x);
}

static void pass_once(const struct pair *p, struct slice request, struct slice answer,
                      struct arena *a, struct rng *rng, struct buf *out)
{
    struct dialect_splice splices[DIALECT_SPLICES_MAX];
    const char *code, *param;
    struct dialect_request rq;
    struct err e;

    (void)rng;
    (void)out;
    if (!p->client->parse_request(request, p->ep, a, &rq, &code, &param, &e)) {
        die(e.message, p);
    }
    (void)p->client->edit_request(&rq, request, SLICE("other"), true, a, splices,
                                  DIALECT_SPLICES_MAX);
    (void)p->client->observe_answer(answer);
}

static double measure(const struct pair *p, size_t size, double seconds, const char *answer_format,
                      void (*once)(const struct pair *p, struct slice request, struct slice answer,
                                   struct arena *a, struct rng *rng, struct buf *out))
{
    struct slice request = filled(p->request, "false", size);
    struct slice answer = filled(answer_format, NULL, size);
    uint64_t began, spent = 0, n = 0;
    struct arena a;
    struct rng rng;
    struct buf out;

    arena_init(&a, 65536, 0);
    rng_init(&rng, 1);
    buf_init(&out, OUT_MAX);
    while (spent < (uint64_t)(seconds * 1e9) || n < 3) {
        began = cpu_ns();
        for (int i = 0; i < 16; i++) {
            once(p, request, answer, &a, &rng, &out);
            arena_reset(&a);
        }
        spent += cpu_ns() - began;
        n += 16;
    }
    buf_done(&out);
    arena_done(&a);
    drop(request);
    drop(answer);
    return (double)spent / (double)n / 1e3;
}

// --- a stream ------------------------------------------------------------------------------------

static void emit(void *ctx, struct slice raw)
{
    *(size_t *)ctx += raw.n;
}

// One stream of n events; returns the CPU time of its events in the middle.
static uint64_t stream_once(const struct pair *p, uint64_t n, bool translated)
{
    struct xlate_refusal why;
    struct slice request = filled(p->request, "true", 100);
    struct canon_target t = target_of(p);
    const struct dialect *provider = translated ? p->provider : p->client;
    const char *code, *param;
    struct dialect_request rq;
    struct arena a;
    struct rng rng;
    struct buf out;
    struct xlate x;
    struct stream s;
    struct err e;
    size_t bytes = 0;
    uint64_t began;

    arena_init(&a, 65536, 0);
    rng_init(&rng, 1);
    buf_init(&out, OUT_MAX);
    xlate_init(&x, p->client, &a, &rng);
    if (!p->client->parse_request(request, p->ep, &a, &rq, &code, &param, &e) ||
        (translated && !xlate_request(&x, provider, &t, &rq, request, &out, &why, &e))) {
        die(e.message, p);
    }
    stream_begin(&s, provider, translated ? &x : NULL, 1, false, false);
    stream_feed(&s, slice_str(p->first));
    stream_feed(&s, slice_str(p->event));
    stream_release(&s, emit, &bytes);
    began = cpu_ns();
    for (uint64_t i = 0; i < n; i++) {
        stream_feed(&s, slice_str(p->event));
    }
    began = cpu_ns() - began;
    stream_feed(&s, slice_str(p->last));
    stream_finish(&s);
    if (s.failed || s.malformed || bytes == 0) {
        die("the stream failed", p);
    }
    stream_close(&s);
    xlate_done(&x);
    buf_done(&out);
    arena_done(&a);
    drop(request);
    return began;
}

static double measure_stream(const struct pair *p, double seconds, bool translated)
{
    uint64_t spent = 0, n = 0;

    while (spent < (uint64_t)(seconds * 1e9)) {
        spent += stream_once(p, 10000, translated);
        n += 10000;
    }
    return (double)spent / (double)n / 1e3;
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {300, 10000, 100000, 1000000};
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.3;

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const struct pair *p = &pairs[i];

        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            (void)printf("%s->%s %zu %.3f\n", p->client->name, p->provider->name, sizes[k],
                         measure(p, sizes[k], seconds, p->answer, translate_once));
        }
        (void)printf("%s->%s event %.3f\n", p->client->name, p->provider->name,
                     measure_stream(p, seconds, true));
    }
    for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
        (void)printf("openai=openai %zu %.3f\n", sizes[k],
                     measure(&pairs[0], sizes[k], seconds, ANSWER_OPENAI, pass_once));
    }
    // The events of an OpenAI provider, passed through.
    struct pair equal = pairs[3];
    equal.client = &dialect_openai;
    equal.ep = DIALECT_CHAT;
    equal.request = REQUEST_OPENAI;
    (void)printf("openai=openai event %.3f\n", measure_stream(&equal, seconds, false));
    return 0;
}
