// SPDX-License-Identifier: Apache-2.0
// Requests of OpenAI clients into the canonical model and out again as a body for a provider of the
// same dialect: what is understood comes out, in one form. And what is refused, by its name.
#include "dataplane/dialect_openai_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "dataplane/dialect_openai_send.h"

struct job {
    struct arena a;
    struct tape t;
    struct canon_request r;
    struct canon_outcome o;
    struct canon_target target;
    struct buf out;
    const char *param;
    struct err e;
};

static void begin(struct job *j)
{
    *j = (struct job){.target = {.model = SLICE("up")}};
    arena_init(&j->a, 4096, 0);
    buf_init(&j->out, 1 << 20);
    j->o.arena = &j->a;
}

static void end(struct job *j)
{
    tape_done(&j->t);
    buf_done(&j->out);
    arena_done(&j->a);
}

static bool read(struct job *j, const char *body, enum dialect_endpoint ep)
{
    struct dialect_request rq = {.endpoint = ep};

    j->r = (struct canon_request){.endpoint = ep, .client = &dialect_openai};
    assert_true(tape_parse(&j->t, slice_str(body), NULL));
    rq.stream = tape_true(&j->t, tape_get(&j->t, 0, "stream"));
    j->r.stream = rq.stream;
    return dialect_openai_request_read(&rq, &j->t, &j->a, &j->r, &j->param, &j->e);
}

static void join_dropped(const struct canon_outcome *o, char out[300])
{
    size_t n = 0;

    out[0] = '\0';
    for (size_t i = 0; i < o->n_dropped; i++) {
        n += (size_t)snprintf(out + n, 300 - n, "%s%s", i == 0 ? "" : ",", o->dropped[i]);
    }
}

#define USER    "{\"role\":\"user\",\"content\":\"Hi\"}"
#define IN(m)   "{\"model\":\"x\",\"messages\":[" USER "]," m "}"
#define OUT(m)  "{\"model\":\"up\",\"messages\":[" USER "]," m "}"
#define MIN(m)  "{\"messages\":[" m "]}"
#define MOUT(m) "{\"model\":\"up\",\"messages\":[" m "]}"
#define FN(n)   "{\"type\":\"function\",\"function\":{\"name\":\"" n "\"}}"

enum {
    PLAIN,
    OPENAI,
    REASONS,
    FORWARDS,
    WANTS_REASONING,
    NO_USAGE,
    LENIENT,
    BY_RESPONSES,
    NO_EFFORT
};

static const struct round_case {
    const char *name;
    int target;
    const char *in, *out; // out: "400 <param>" refused by the writer
    const char *dropped;
} rounds[] = {
    {"least", PLAIN, MIN(USER), MOUT(USER), ""},
    {"sampling", PLAIN,
     IN("\"temperature\":0.70,\"top_p\":1e-1,\"seed\":5,\"n\":2,\"presence_penalty\":-1,"
        "\"frequency_penalty\":0,\"logit_bias\":{\"5\": 1},\"logprobs\":true,\"top_logprobs\":3,"
        "\"top_k\":4"),
     OUT("\"temperature\":0.70,\"top_p\":1e-1,\"presence_penalty\":-1,\"frequency_penalty\":0,"
         "\"logit_bias\":{\"5\": 1},\"logprobs\":true,\"top_logprobs\":3,\"n\":2,\"seed\":5"),
     "top_k"},
    {"nulls", PLAIN,
     IN("\"temperature\":null,\"tools\":null,\"tool_choice\":null,\"stop\":null,\"n\":null,"
        "\"max_tokens\":null,\"response_format\":null,\"x\":null,\"user\":null"),
     MOUT(USER), ""},
    {"max", PLAIN, IN("\"max_tokens\":5"), OUT("\"max_tokens\":5"), ""},
    {"newer max", PLAIN, IN("\"max_completion_tokens\":6,\"max_tokens\":5"),
     OUT("\"max_tokens\":6"), ""},
    {"newer max at OpenAI", OPENAI, IN("\"max_completion_tokens\":6"),
     OUT("\"max_completion_tokens\":6"), ""},
    {"max of a reasoning model", REASONS, IN("\"max_tokens\":6"),
     OUT("\"max_completion_tokens\":6"), ""},
    {"no max", PLAIN, IN("\"max_tokens\":0"), "400 max_tokens", ""},
    {"what reasoning models refuse", REASONS,
     IN("\"temperature\":1,\"top_p\":1,\"presence_penalty\":0,\"logprobs\":true,\"stop\":\"x\""),
     MOUT(USER), "temperature,top_p,presence_penalty,logprobs,stop"},
    {"stop", PLAIN, IN("\"stop\":\"a\\n\""), OUT("\"stop\":[\"a\\n\"]"), ""},
    {"stops", PLAIN, IN("\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]"),
     OUT("\"stop\":[\"a\",\"b\",\"c\",\"d\"]"), ""},
    {"stream", PLAIN, IN("\"stream\":true"),
     OUT("\"stream\":true,\"stream_options\":{\"include_usage\":true}"), ""},
    {"stream without usage", NO_USAGE, IN("\"stream\":true"), OUT("\"stream\":true"), ""},
    {"user", PLAIN, IN("\"user\":\"u\""), OUT("\"user\":\"u\""), ""},
    {"user at OpenAI", OPENAI, IN("\"user\":\"u\""), OUT("\"safety_identifier\":\"u\""), ""},
    {"two users", OPENAI, IN("\"user\":\"u\",\"safety_identifier\":\"s\""),
     OUT("\"safety_identifier\":\"s\""), ""},
    {"long user", OPENAI,
     IN("\"user\":\"0123456789012345678901234567890123456789012345678901234567890123x\""),
     OUT("\"safety_identifier\":"
         "\"23975c6df71a336f019e2a2b8b55f6046e62ab77c6aa9ace2bad65b94d54e44a\""),
     ""},
    {"hints", PLAIN,
     IN("\"store\":true,\"prediction\":{\"a\" : 1},\"prompt_cache_key\":\"k\",\"metadata\":{},"
        "\"verbosity\":\"low\",\"service_tier\":\"flex\""),
     OUT("\"verbosity\":\"low\",\"metadata\":{},\"service_tier\":\"flex\",\"store\":true,"
         "\"prediction\":{\"a\" : 1},\"prompt_cache_key\":\"k\""),
     ""},
    {"unknown", PLAIN, IN("\"x\":1,\"y\":{}"), MOUT(USER), ""},
    {"unknown, forwarded", FORWARDS, IN("\"x\":1.0,\"y\":{ }"), OUT("\"x\":1.0,\"y\":{ }"), ""},
    {"ours", FORWARDS,
     IN("\"models\":[\"a\"],\"provider\":{},\"route\":\"x\",\"transforms\":[],\"usage\":{}"),
     MOUT(USER), ""},
    {"effort", PLAIN, IN("\"reasoning_effort\":\"xhigh\""), OUT("\"reasoning_effort\":\"xhigh\""),
     ""},
    {"default effort", PLAIN, IN("\"reasoning_effort\":\"default\""), MOUT(USER), ""},
    {"thinking wins", PLAIN,
     IN("\"reasoning_effort\":\"low\",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":8192}"),
     OUT("\"reasoning_effort\":\"medium\""), ""},
    {"no thinking", PLAIN, IN("\"thinking\":{\"type\":\"disabled\"}"), MOUT(USER), ""},
    {"reasoning in words", PLAIN, IN("\"reasoning\":{\"effort\":\"xhigh\"}"),
     OUT("\"reasoning_effort\":\"xhigh\""), ""},
    {"reasoning in tokens", PLAIN, IN("\"reasoning\":{\"max_tokens\":9000}"),
     OUT("\"reasoning_effort\":\"high\""), ""},
    {"reasoning off", PLAIN, IN("\"reasoning\":{\"enabled\":false}"),
     OUT("\"reasoning_effort\":\"none\""), ""},
    {"reasoning unsaid", PLAIN, IN("\"reasoning\":{\"exclude\":true}"), MOUT(USER), ""},
    {"effort goes before reasoning", PLAIN,
     IN("\"reasoning\":{\"effort\":\"low\"},\"reasoning_effort\":\"high\""),
     OUT("\"reasoning_effort\":\"high\""), ""},
    {"tools beside an effort", NO_EFFORT,
     IN("\"reasoning_effort\":\"high\",\"tools\":[" FN("a") "]"), OUT("\"tools\":[" FN("a") "]"),
     "reasoning_effort"},
    {"tools without effort", NO_EFFORT, IN("\"reasoning_effort\":\"none\",\"tools\":[" FN("a") "]"),
     OUT("\"tools\":[" FN("a") "],\"reasoning_effort\":\"none\""), ""},
    {"effort without tools", NO_EFFORT, IN("\"reasoning_effort\":\"high\""),
     OUT("\"reasoning_effort\":\"high\""), ""},
    {"tools while it reasons", BY_RESPONSES, IN("\"tools\":[" FN("a") "]"),
     OUT("\"tools\":[" FN("a") "],\"reasoning_effort\":\"none\""), ""},
    {"adaptive thinking", PLAIN, IN("\"thinking\":{\"type\":\"adaptive\"}"),
     OUT("\"reasoning_effort\":\"high\""), ""},
    // form
    {"text", PLAIN, IN("\"response_format\":{\"type\":\"text\"}"), MOUT(USER), ""},
    {"json", PLAIN, IN("\"response_format\":{\"type\":\"json_object\"}"),
     OUT("\"response_format\":{\"type\":\"json_object\"}"), ""},
    {"schema", PLAIN,
     IN("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
        "\"description\":\"d\",\"strict\":false,\"schema\":{ \"a\":1}}}"),
     OUT("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
         "\"description\":\"d\",\"schema\":{ \"a\":1},\"strict\":false}}"),
     ""},
    {"flat schema", PLAIN,
     IN("\"response_format\":{\"type\":\"json_schema\",\"schema\":{\"a\":1}}"),
     OUT("\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"output\","
         "\"schema\":{\"a\":1}}}"),
     ""},
    // tools
    {"tools", PLAIN,
     IN("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"description\":\"d\","
        "\"parameters\":{\"x\": 1},\"strict\":true}}," FN("b") "],\"parallel_tool_calls\":false,"
                                                               "\"tool_choice\":\"required\""),
     OUT("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"description\":\"d\","
         "\"parameters\":{\"x\": 1},\"strict\":true}}," FN("b") "],\"tool_choice\":\"required\","
                                                                "\"parallel_tool_calls\":false"),
     ""},
    {"functions of old", PLAIN,
     IN("\"functions\":[{\"name\":\"a\",\"parameters\":{}}],\"function_call\":{\"name\":\"a\"}"),
     OUT("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"parameters\":{}}}],"
         "\"tool_choice\":" FN("a")),
     ""},
    {"a choice without tools", PLAIN, IN("\"tool_choice\":\"auto\""), MOUT(USER), ""},
    {"allowed", PLAIN,
     IN("\"tools\":[" FN("a") "," FN("b") "],\"tool_choice\":{\"type\":\"allowed_tools\","
                                          "\"allowed_tools\":{\"mode\":\"required\",\"tools\":[" FN(
                                              "b") "]}}"),
     OUT("\"tools\":[" FN("b") "],\"tool_choice\":\"required\""), ""},
    {"custom at OpenAI", OPENAI,
     IN("\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"sql\"}}],\"tool_choice\":{\"type\":"
        "\"custom\",\"custom\":{\"name\":\"sql\"}}"),
     OUT("\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"sql\"}}],\"tool_choice\":{"
         "\"type\":\"custom\",\"custom\":{\"name\":\"sql\"}}"),
     ""},
    {"custom elsewhere", PLAIN,
     IN("\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"sql\"}}]"), "400 tools", ""},
    {"custom left out", LENIENT,
     IN("\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"sql\"}}]"), MOUT(USER), "tools"},
    {"a provider's own tool", PLAIN, IN("\"tools\":[{\"type\":\"web_search\"}]"), MOUT(USER),
     "tools.web_search"},
    // messages
    {"system", PLAIN,
     MIN("{\"role\":\"developer\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
         "\"text\",\"text\":\"b\"}]},{\"role\":\"system\",\"content\":\"c\",\"name\":\"n\"}," USER),
     MOUT("{\"role\":\"system\",\"content\":\"a\\n\\nb\"},{\"role\":\"system\",\"name\":\"n\","
          "\"content\":\"c\"}," USER),
     ""},
    {"parts", OPENAI,
     MIN("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\u00e9\"},{\"type\":"
         "\"image_url\",\"image_url\":\"http://x\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
         "\"data:image\\/png;base64,AA==\",\"detail\":\"low\"}},{\"type\":\"input_audio\","
         "\"input_audio\":{\"data\":\"AA==\",\"format\":\"wav\"}},{\"type\":\"file\",\"file\":{"
         "\"filename\":\"f.pdf\",\"file_data\":\"data:application/pdf;base64,AA==\"}},{\"type\":"
         "\"file\",\"file\":{\"file_id\":\"f1\"}},{\"type\":\"file\",\"file\":{\"filename\":\"a."
         "csv\",\"file_data\":\"AA==\"}}]}"),
     MOUT("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\\u00e9\"},{\"type\":"
          "\"image_url\",\"image_url\":{\"url\":\"http://x\"}},{\"type\":\"image_url\",\"image_"
          "url\":{\"url\":\"data:image/png;base64,AA==\",\"detail\":\"low\"}},{\"type\":\"input_"
          "audio\",\"input_audio\":{\"data\":\"AA==\",\"format\":\"wav\"}},{\"type\":\"file\","
          "\"file\":{\"filename\":\"f.pdf\",\"file_data\":\"data:application/pdf;base64,AA==\"}},{"
          "\"type\":\"file\",\"file\":{\"file_id\":\"f1\"}},{\"type\":\"file\",\"file\":{"
          "\"filename\":\"a.csv\",\"file_data\":\"data:text/csv;base64,AA==\"}}]}"),
     ""},
    {"one text part", PLAIN,
     MIN("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\",\"cache_control\":{}}"
         "]}"),
     MOUT(USER), ""},
    {"unknown part", PLAIN, MIN("{\"role\":\"user\",\"content\":[{\"type\":\"video\"}]}"),
     "400 messages", ""},
    {"unknown part left out", LENIENT,
     MIN("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"video\"}]"
         "}"),
     MOUT("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}"), "messages"},
    {"assistant", PLAIN,
     MIN(USER ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":"
              "\"text\",\"text\":\"b\"}],\"refusal\":null,\"tool_calls\":[],\"function_call\":null,"
              "\"annotations\":[],\"parsed\":null}"),
     MOUT(USER ",{\"role\":\"assistant\",\"content\":\"ab\"}"), ""},
    {"refusal", PLAIN,
     MIN(USER ",{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"},{\"role\":"
              "\"assistant\",\"content\":[{\"type\":\"refusal\",\"refusal\":\"no\"}]}"),
     MOUT(USER ",{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"},{\"role\":"
               "\"assistant\",\"content\":null,\"refusal\":\"no\"}"),
     ""},
    {"calls and results", PLAIN,
     MIN("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"t\",\"type\":"
         "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}},{\"id\":"
         "\"u\",\"function\":{\"name\":\"f\",\"arguments\":\" \\n\"}},{\"id\":\"v\",\"type\":"
         "\"function\",\"function\":{\"name\":\"f\",\"arguments\":{\"b\":2}}}]},{\"role\":\"tool\","
         "\"tool_call_id\":\"t\",\"content\":\"x\"},{\"role\":\"tool\",\"tool_call_id\":\"u\","
         "\"content\":[{\"type\":\"text\",\"text\":\"y\"},{\"type\":\"text\",\"text\":\"z\"}]},{"
         "\"role\":\"tool\",\"tool_call_id\":\"v\",\"content\":\"\"}"),
     MOUT("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"t\",\"type\":"
          "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"}},{\"id\":"
          "\"u\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":"
          "\"v\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"b\\\":2}\""
          "}}]},{\"role\":\"tool\",\"tool_call_id\":\"t\",\"content\":\"x\"},{\"role\":\"tool\","
          "\"tool_call_id\":\"u\",\"content\":\"y\\nz\"},{\"role\":\"tool\",\"tool_call_id\":"
          "\"v\",\"content\":\"\"}"),
     ""},
    {"functions and their answers", PLAIN,
     MIN("{\"role\":\"assistant\",\"content\":null,\"function_call\":{\"name\":\"f\","
         "\"arguments\":\"{}\"}},{\"role\":\"function\",\"name\":\"f\",\"content\":\"x\"}"),
     MOUT("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_function_1\","
          "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":"
          "\"tool\",\"tool_call_id\":\"call_function_1\",\"content\":\"x\"}"),
     ""},
    {"image in a result", PLAIN,
     MIN("{\"role\":\"tool\",\"tool_call_id\":\"t\",\"content\":[{\"type\":\"image_url\",\"image_"
         "url\":{\"url\":\"http://x\"}}]}"),
     MOUT("{\"role\":\"tool\",\"tool_call_id\":\"t\",\"content\":\"\"},{\"role\":\"user\","
          "\"content\":[{\"type\":\"text\",\"text\":\"Image from tool result t:\"},{\"type\":"
          "\"image_url\",\"image_url\":{\"url\":\"http://x\"}}]}"),
     ""},
    {"reasoning is left out", PLAIN,
     MIN(USER ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"r\",\"thinking_"
              "blocks\":[{\"type\":\"thinking\",\"thinking\":\"r\",\"signature\":\"s\"}]}"),
     MOUT(USER ",{\"role\":\"assistant\",\"content\":\"a\"}"), ""},
    {"reasoning is wanted", WANTS_REASONING,
     MIN(USER ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"r\"},{\"role\":"
              "\"assistant\",\"content\":\"b\",\"reasoning\":\"q\"},{\"role\":\"assistant\","
              "\"content\":\"c\",\"reasoning_details\":[{\"text\":\"p\"},{\"data\":\"\"}]},{"
              "\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"text\":"
              "\"n\"},{\"text\":\"o\"}]},{\"type\":\"text\",\"text\":\"d\"}]}"),
     MOUT(USER ",{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"r\"},{\"role\":"
               "\"assistant\",\"content\":\"b\",\"reasoning_content\":\"q\"},{\"role\":"
               "\"assistant\",\"content\":\"c\",\"reasoning_content\":\"p\"},{\"role\":"
               "\"assistant\",\"content\":\"d\",\"reasoning_content\":\"no\"}"),
     ""},
};

static struct canon_target target_of(int kind)
{
    static const struct resource_traits by_responses = {.flags = RESOURCE_TOOLS_BY_RESPONSES};
    static const struct resource_traits no_effort = {.flags = RESOURCE_TOOLS_NO_EFFORT};

    return (struct canon_target){.model = SLICE("up"),
                                 .openai = kind == OPENAI || kind == REASONS,
                                 .reasoning_model = kind == REASONS,
                                 .forward_unknown = kind == FORWARDS,
                                 .wants_reasoning = kind == WANTS_REASONING,
                                 .no_stream_usage = kind == NO_USAGE,
                                 .drop_unsupported = kind == LENIENT,
                                 .traits = kind == BY_RESPONSES ? &by_responses
                                           : kind == NO_EFFORT  ? &no_effort
                                                                : NULL};
}

static void check_round(const struct round_case *k)
{
    char dropped[300];
    struct job j;

    begin(&j);
    j.target = target_of(k->target);
    if (!read(&j, k->in, DIALECT_CHAT)) {
        fail_msg("%s: %s", k->name, j.e.message);
    }
    if (!dialect_openai_send_request(&j.r, &j.target, &j.o, &j.out)) {
        if (strncmp(k->out, "400 ", 4) != 0 || strcmp(k->out + 4, j.o.param) != 0) {
            fail_msg("%s: %s %s", k->name, j.o.param, j.o.message);
        }
    } else if (!slice_eq_str(buf_slice(&j.out), k->out)) {
        fail_msg("%s: " SLICE_FMT, k->name, SLICE_ARG(buf_slice(&j.out)));
    } else {
        join_dropped(&j.o, dropped);
        if (strcmp(dropped, k->dropped) != 0) {
            fail_msg("%s: dropped %s", k->name, dropped);
        }
    }
    end(&j);
}

static void round_trips(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rounds); i++) {
        check_round(&rounds[i]);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *body, *param;
        enum dialect_endpoint ep;
    } cases[] = {
        {"[]", "body", DIALECT_CHAT},
        {"{}", "messages", DIALECT_CHAT},
        {"{\"messages\":[]}", "messages", DIALECT_CHAT},
        {"{\"messages\":\"Hi\"}", "messages", DIALECT_CHAT},
        {MIN("5"), "messages[0]", DIALECT_CHAT},
        {MIN("{}"), "messages[0].role", DIALECT_CHAT},
        {MIN(USER ",{\"role\":\"robot\"}"), "messages[1].role", DIALECT_CHAT},
        {MIN("{\"role\":\"user\"}"), "messages[0].content", DIALECT_CHAT},
        {MIN("{\"role\":\"user\",\"content\":5}"), "messages[0].content", DIALECT_CHAT},
        {MIN("{\"role\":\"user\",\"content\":[5]}"), "messages[0].content[0].type", DIALECT_CHAT},
        {MIN("{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"},{\"type\":\"text\"}"
             "]}"),
         "messages[0].content[1].text", DIALECT_CHAT},
        {MIN("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}"),
         "messages[0].content[0].image_url.url", DIALECT_CHAT},
        {MIN("{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":\"data:x\"}]}"),
         "messages[0].content[0].image_url.url", DIALECT_CHAT},
        {MIN("{\"role\":\"user\",\"content\":[{\"type\":\"input_audio\",\"input_audio\":{}}]}"),
         "messages[0].content[0].input_audio.data", DIALECT_CHAT},
        {MIN("{\"role\":\"user\",\"content\":[{\"type\":\"file\",\"file\":{}}]}"),
         "messages[0].content[0].file", DIALECT_CHAT},
        {MIN("{\"role\":\"tool\",\"content\":\"x\"}"), "messages[0].tool_call_id", DIALECT_CHAT},
        {MIN("{\"role\":\"function\",\"content\":\"x\"}"), "messages[0].role", DIALECT_CHAT},
        {MIN("{\"role\":\"assistant\",\"tool_calls\":{}}"), "messages[0].tool_calls", DIALECT_CHAT},
        {MIN("{\"role\":\"assistant\",\"tool_calls\":[{}]}"), "messages[0].tool_calls[0].id",
         DIALECT_CHAT},
        {MIN("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"t\"}]}"),
         "messages[0].tool_calls[0].function.name", DIALECT_CHAT},
        {MIN("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"t\",\"function\":{\"name\":\"f\","
             "\"arguments\":\"{\"}}]}"),
         "messages[0].tool_calls[0].function.arguments", DIALECT_CHAT},
        {MIN("{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"t\",\"function\":{\"name\":\"f\","
             "\"arguments\":\"[1]\"}}]}"),
         "messages[0].tool_calls[0].function.arguments", DIALECT_CHAT},
        {IN("\"temperature\":\"hot\""), "temperature", DIALECT_CHAT},
        {IN("\"n\":1.5"), "n", DIALECT_CHAT},
        {IN("\"n\":0"), "n", DIALECT_CHAT},
        {IN("\"logprobs\":1"), "logprobs", DIALECT_CHAT},
        {IN("\"max_tokens\":\"5\""), "max_tokens", DIALECT_CHAT},
        {IN("\"max_tokens\":-1"), "max_tokens", DIALECT_CHAT},
        {IN("\"stop\":5"), "stop", DIALECT_CHAT},
        {IN("\"stop\":[\"a\",5]"), "stop", DIALECT_CHAT},
        {IN("\"user\":5"), "user", DIALECT_CHAT},
        {IN("\"reasoning_effort\":\"much\""), "reasoning_effort", DIALECT_CHAT},
        {IN("\"thinking\":{\"type\":\"x\"}"), "thinking.type", DIALECT_CHAT},
        {IN("\"reasoning\":\"x\""), "reasoning", DIALECT_CHAT},
        {IN("\"reasoning\":{\"effort\":\"x\"}"), "reasoning.effort", DIALECT_CHAT},
        {IN("\"reasoning\":{\"max_tokens\":-1}"), "reasoning.max_tokens", DIALECT_CHAT},
        {IN("\"response_format\":{}"), "response_format.type", DIALECT_CHAT},
        {IN("\"response_format\":{\"type\":\"json_schema\"}"), "response_format.json_schema.schema",
         DIALECT_CHAT},
        {IN("\"tools\":{}"), "tools", DIALECT_CHAT},
        {IN("\"tools\":[5]"), "tools[0]", DIALECT_CHAT},
        {IN("\"tools\":[{}]"), "tools[0].type", DIALECT_CHAT},
        {IN("\"tools\":[" FN("a") ",{\"type\":\"function\"}]"), "tools[1].function.name",
         DIALECT_CHAT},
        {IN("\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"a\",\"parameters\":5}}]"),
         "tools[0].function.parameters", DIALECT_CHAT},
        {IN("\"functions\":[{}]"), "functions[0].name", DIALECT_CHAT},
        {IN("\"tool_choice\":\"some\""), "tool_choice", DIALECT_CHAT},
        {IN("\"tool_choice\":{\"type\":\"function\"}"), "tool_choice.function.name", DIALECT_CHAT},
        {IN("\"function_call\":\"required\""), "function_call", DIALECT_CHAT},
        {"{\"prompt\":[\"a\",\"b\"]}", "prompt", DIALECT_COMPLETIONS},
        {"{\"prompt\":[1,2]}", "prompt", DIALECT_COMPLETIONS},
        {"{}", "prompt", DIALECT_COMPLETIONS},
        {"{\"prompt\":\"a\",\"suffix\":\"b\"}", "suffix", DIALECT_COMPLETIONS},
        {"{\"prompt\":\"a\",\"echo\":true}", "echo", DIALECT_COMPLETIONS},
        {"{\"prompt\":\"a\",\"best_of\":2}", "best_of", DIALECT_COMPLETIONS},
        {"{}", "input", DIALECT_EMBEDDINGS},
        {"{\"input\":\"\"}", "input", DIALECT_EMBEDDINGS},
        {"{\"input\":[]}", "input", DIALECT_EMBEDDINGS},
        {"{\"input\":[\"a\",\"\"]}", "input", DIALECT_EMBEDDINGS},
        {"{\"input\":\"a\",\"encoding_format\":\"x\"}", "encoding_format", DIALECT_EMBEDDINGS},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct job j;

        begin(&j);
        if (read(&j, cases[i].body, cases[i].ep) || j.e.code != ERR_INVALID ||
            strcmp(j.param, cases[i].param) != 0) {
            fail_msg("%s: %s", cases[i].body, j.param == NULL ? "read" : j.param);
        }
        end(&j);
    }
}

// What an OpenAI body cannot show again.
static void canonical(void **state)
{
    const struct canon_part *p;
    struct job j;

    (void)state;
    begin(&j);
    assert_true(read(
        &j,
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\",\"cache_control\":{\"a\":1}},{"
        "\"role\":\"assistant\",\"content\":\"a\",\"extra_content\":{\"google\":{\"thought_"
        "signature\":\"g\"}},\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"t\","
        "\"signature\":\"s\"},{\"type\":\"redacted_thinking\",\"data\":\"d\"}],\"reasoning_"
        "content\":\"t\",\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{"
        "\"name\":\"f\",\"arguments\":\"\"},\"extra_content\":{\"google\":{\"thought_signature\":"
        "\"h\"}}},{\"id\":\"y\",\"type\":\"custom\",\"custom\":{\"name\":\"c\",\"input\":\"i\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":\"r\",\"cache_control\":{}}],"
        "\"safety_settings\":[1],\"parallel_tool_calls\":true,\"tools\":[{\"type\":\"function\","
        "\"cache_control\":{\"b\":1},\"function\":{\"name\":\"f\"}}]}",
        DIALECT_CHAT));
    assert_true(slice_eq_str(j.r.messages->parts->cache_control, "{\"a\":1}"));
    p = j.r.messages->next->parts;
    assert_int_equal(p->kind, CANON_REASONING);
    assert_true(slice_eq_str(p->signature, "s"));
    p = p->next;
    assert_int_equal(p->kind, CANON_REDACTED);
    assert_true(slice_eq_str(p->data, "d"));
    p = p->next;
    assert_int_equal(p->kind, CANON_TEXT);
    assert_true(slice_eq_str(p->google_signature, "g"));
    p = p->next;
    assert_int_equal(p->kind, CANON_TOOL_CALL);
    assert_true(slice_eq_str(p->google_signature, "h"));
    assert_true(slice_eq_str(p->args, "{}"));
    p = p->next;
    assert_true(p->custom && slice_eq_str(p->text, "i") && p->next == NULL);
    p = j.r.messages->next->next->parts;
    assert_true(p->kind == CANON_TOOL_RESULT && slice_eq_str(p->text, "r"));
    assert_true(slice_eq_str(p->cache_control, "{}"));
    assert_true(slice_eq_str(j.r.safety_settings, "[1]"));
    assert_int_equal(j.r.parallel, 1);
    assert_true(slice_eq_str(j.r.tools->cache_control, "{\"b\":1}"));
    end(&j);
}

static void completions_of_old(void **state)
{
    struct job j;

    (void)state;
    begin(&j);
    assert_true(read(&j,
                     "{\"prompt\":[\"Once\"],\"max_tokens\":5,\"logprobs\":2,\"best_of\":1,"
                     "\"echo\":false,\"suffix\":null,\"stop\":\"x\"}",
                     DIALECT_COMPLETIONS));
    assert_true(dialect_openai_send_request(&j.r, &j.target, &j.o, &j.out));
    assert_true(slice_eq_str(buf_slice(&j.out),
                             "{\"model\":\"up\",\"messages\":[{\"role\":\"user\",\"content\":"
                             "\"Once\"}],\"max_tokens\":5,\"stop\":[\"x\"]}"));
    assert_true(j.r.extras->hint && slice_eq_str(j.r.extras->name, "logprobs"));
    end(&j);
}

static void embeddings(void **state)
{
    struct job j;

    (void)state;
    begin(&j);
    assert_true(read(&j,
                     "{\"input\":[\"a\",\"b\"],\"dimensions\":8,\"encoding_format\":\"base64\","
                     "\"user\":\"u\"}",
                     DIALECT_EMBEDDINGS));
    assert_true(j.r.base64);
    assert_true(dialect_openai_send_request(&j.r, &j.target, &j.o, &j.out));
    assert_true(slice_eq_str(buf_slice(&j.out),
                             "{\"model\":\"up\",\"input\":[\"a\",\"b\"],\"dimensions\":8,"
                             "\"encoding_format\":\"base64\",\"user\":\"u\"}"));
    end(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips), cmocka_unit_test(refused),
        cmocka_unit_test(canonical),   cmocka_unit_test(completions_of_old),
        cmocka_unit_test(embeddings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
