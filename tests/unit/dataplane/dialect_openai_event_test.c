// SPDX-License-Identifier: Apache-2.0
// Canonical events as an OpenAI client's stream.
#include "dataplane/dialect_openai_event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"

struct job {
    _Alignas(16) char writer[DIALECT_OPENAI_EVENT_WRITER_SIZE];
    struct arena a;
    struct rng rng;
    struct canon_context c;
    struct buf out;
};

static void begin(struct job *j, bool include_usage)
{
    *j = (struct job){
        .c = {.created = 7, .model = SLICE("asked \"x\""), .include_usage = include_usage}};
    arena_init(&j->a, 4096, 0);
    rng_init(&j->rng, 1);
    buf_init(&j->out, 1 << 20);
    j->c.arena = &j->a;
    j->c.rng = &j->rng;
}

static void end(struct job *j)
{
    buf_done(&j->out);
    arena_done(&j->a);
}

static void tell(struct job *j, struct canon_event ev)
{
    dialect_openai_event_write(j->writer, &ev, &j->c, &j->out);
}

static void start(struct job *j)
{
    tell(j, (struct canon_event){.kind = CANON_EV_START, .id = SLICE("i"), .model = SLICE("m")});
}

// What was written since the last call.
static void expect(struct job *j, const char *want)
{
    if (!slice_eq_str(buf_slice(&j->out), want)) {
        fail_msg(SLICE_FMT "\n%s", SLICE_ARG(buf_slice(&j->out)), want);
    }
    buf_clear(&j->out);
}

#define HEAD                                                                                       \
    "data: {\"id\":\"i\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"m\","      \
    "\"choices\":["
#define CHOICE(n, d)                                                                               \
    HEAD "{\"index\":" n ",\"delta\":{" d "},\"logprobs\":null,\"finish_reason\":null}]}\n\n"
#define ROLE(n) CHOICE(n, "\"role\":\"assistant\",\"content\":\"\"")
#define FINISH(n, f)                                                                               \
    HEAD "{\"index\":" n ",\"delta\":{},\"logprobs\":null,\"finish_reason\":\"" f "\"}]}\n\n"
#define DONE "data: [DONE]\n\n"

static void deltas(void **state)
{
    static const struct canon_part image = {.kind = CANON_IMAGE,
                                            .source = CANON_BASE64,
                                            .media_type = {"image/png", 9},
                                            .data = {"AA==", 4}};
    static const struct canon_citation citation = {
        .url = {"u", 1}, .title = {"t", 1}, .begin = 1, .end = 2};
    const struct {
        struct canon_event ev;
        const char *want;
    } cases[] = {
        {{.kind = CANON_EV_TEXT, .text = SLICE("a\\n")}, CHOICE("0", "\"content\":\"a\\n\"")},
        {{.kind = CANON_EV_TEXT, .text = SLICE("")}, ""},
        {{.kind = CANON_EV_REFUSAL, .text = SLICE("no")}, CHOICE("0", "\"refusal\":\"no\"")},
        {{.kind = CANON_EV_REASONING, .text = SLICE("r")},
         CHOICE("0", "\"reasoning_content\":\"r\"")},
        {{.kind = CANON_EV_SIGNATURE, .text = SLICE("s")},
         CHOICE("0", "\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":"
                     "\"s\"}]")},
        {{.kind = CANON_EV_REDACTED, .text = SLICE("d")},
         CHOICE("0", "\"thinking_blocks\":[{\"type\":\"redacted_thinking\",\"data\":\"d\"}]")},
        {{.kind = CANON_EV_TOOL, .tool = 1, .id = SLICE("t"), .name = SLICE("f")},
         CHOICE("0", "\"tool_calls\":[{\"index\":1,\"id\":\"t\",\"type\":\"function\",\"function\":"
                     "{\"name\":\"f\",\"arguments\":\"\"}}]")},
        {{.kind = CANON_EV_ARGS, .tool = 1, .text = SLICE("{}")},
         CHOICE("0", "\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{}\"}}]")},
        {{.kind = CANON_EV_ARGS, .tool = 1, .text = SLICE("")}, ""},
        {{.kind = CANON_EV_TOOL,
          .tool = 2,
          .whole = true,
          .id = SLICE("u"),
          .name = SLICE("g"),
          .google_signature = SLICE("s")},
         ""},
        {{.kind = CANON_EV_ARGS, .tool = 2, .text = SLICE("{1}")},
         CHOICE("0", "\"tool_calls\":[{\"index\":2,\"id\":\"u\",\"type\":\"function\",\"function\":"
                     "{\"name\":\"g\",\"arguments\":\"{1}\"},\"extra_content\":{\"google\":{"
                     "\"thought_signature\":\"s\"}}}]")},
        {{.kind = CANON_EV_TOOL, .tool = 3, .whole = true, .id = SLICE("v"), .name = SLICE("h")},
         ""},
        {{.kind = CANON_EV_GOOGLE_SIGNATURE, .text = SLICE("s")}, // behind the call that waited
         CHOICE("0", "\"tool_calls\":[{\"index\":3,\"id\":\"v\",\"type\":\"function\",\"function\":"
                     "{\"name\":\"h\",\"arguments\":\"{}\"}}]")
             CHOICE("0", "\"extra_content\":{\"google\":{\"thought_signature\":\"s\"}}")},
        {{.kind = CANON_EV_IMAGE, .part = &image},
         CHOICE("0", "\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;"
                     "base64,AA==\"}}]")},
        {{.kind = CANON_EV_CITATION, .citation = &citation},
         CHOICE("0",
                "\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"start_index\":"
                "1,\"end_index\":2,\"title\":\"t\",\"url\":\"u\"}}]")},
        {{.kind = CANON_EV_TEXT, .choice = 1, .text = SLICE("b")},
         ROLE("1") CHOICE("1", "\"content\":\"b\"")},
        {{.kind = CANON_EV_FINISH, .finish = CANON_FINISH_STOP}, FINISH("0", "tool_calls")},
        {{.kind = CANON_EV_FINISH, .finish = CANON_FINISH_STOP}, ""},
        {{.kind = CANON_EV_CITATION, .citation = &citation}, ""}, // too late
        {{.kind = CANON_EV_FINISH, .choice = 1, .finish = CANON_FINISH_NONE}, FINISH("1", "stop")},
        {{.kind = CANON_EV_FINISH, .choice = 2, .finish = CANON_FINISH_FILTER},
         ROLE("2") FINISH("2", "content_filter")},
        {{.kind = CANON_EV_END}, DONE},
    };
    struct job j;

    (void)state;
    begin(&j, false);
    start(&j);
    expect(&j, ROLE("0"));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        tell(&j, cases[i].ev);
        expect(&j, cases[i].want);
    }
    end(&j);
}

static struct slice cost(void *ctx, const struct dialect_usage *u, char out[40])
{
    (void)ctx;
    (void)u;
    memcpy(out, "0.5", 3);
    return (struct slice){out, 3};
}

#define NULL_USAGE(d)                                                                              \
    HEAD "{\"index\":0,\"delta\":{" d                                                              \
         "},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}"                            \
         "\n\n"

static void usage(void **state)
{
    struct dialect_usage u = {.known = true, .has_reasoning = true, .input = 5, .output = 3};
    struct job j;

    (void)state;
    begin(&j, true);
    start(&j);
    expect(&j, NULL_USAGE("\"role\":\"assistant\",\"content\":\"\""));
    tell(&j,
         (struct canon_event){.kind = CANON_EV_TEXT, .text = SLICE("a"), .logprobs = SLICE("{}")});
    expect(&j, HEAD "{\"index\":0,\"delta\":{\"content\":\"a\"},\"logprobs\":{},\"finish_reason\":"
                    "null}],\"usage\":null}\n\n");
    tell(&j, (struct canon_event){.kind = CANON_EV_USAGE, .usage = &u});
    expect(&j, "");
    j.c.cost = cost;
    tell(&j, (struct canon_event){.kind = CANON_EV_END});
    expect(&j,
           HEAD "],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8,"
                "\"completion_tokens_details\":{\"reasoning_tokens\":0},\"cost\":0.5}}\n\n" DONE);
    end(&j);
}

// Asked for and not known: no chunk is better than one of zeros.
static void unknown_usage(void **state)
{
    struct job j;

    (void)state;
    begin(&j, true);
    start(&j);
    buf_clear(&j.out);
    tell(&j, (struct canon_event){.kind = CANON_EV_END});
    expect(&j, DONE);
    end(&j);
}

static void error(void **state)
{
    struct dialect_error er = {
        .status = 503, .type = "server_error", .code = "overloaded", .message = SLICE("m")};
    struct job j;

    (void)state;
    begin(&j, true);
    tell(&j, (struct canon_event){.kind = CANON_EV_ERROR, .error = &er});
    expect(&j, "data: {\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"param\":null,"
               "\"code\":\"overloaded\"}}\n\n");
    end(&j);
}

// A provider that names neither itself nor its answer.
static void made_up(void **state)
{
    struct slice out;
    struct job j;

    (void)state;
    begin(&j, false);
    tell(&j, (struct canon_event){.kind = CANON_EV_START});
    tell(&j, (struct canon_event){.kind = CANON_EV_TEXT, .text = SLICE("a")});
    out = buf_slice(&j.out);
    assert_true(slice_starts(out, SLICE("data: {\"id\":\"chatcmpl-")));
    assert_true(slice_find(out, SLICE("\"model\":\"asked \\\"x\\\"\"")) != SIZE_MAX);
    // one id in both chunks
    assert_true(slice_find(slice_from(out, 50), slice_head(out, 48)) != SIZE_MAX);
    end(&j);
}

static void completions_of_old(void **state)
{
    struct job j;

    (void)state;
    begin(&j, false);
    j.c.endpoint = DIALECT_COMPLETIONS;
    start(&j);
    tell(&j, (struct canon_event){.kind = CANON_EV_REASONING, .text = SLICE("r")});
    expect(&j, "");
    tell(&j, (struct canon_event){.kind = CANON_EV_TEXT, .text = SLICE("a")});
    expect(&j, "data: {\"id\":\"i\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\","
               "\"choices\":[{\"text\":\"a\",\"index\":0,\"logprobs\":null,\"finish_reason\":null}]"
               "}\n\n");
    tell(&j, (struct canon_event){.kind = CANON_EV_FINISH, .finish = CANON_FINISH_LENGTH});
    expect(&j, "data: {\"id\":\"i\",\"object\":\"text_completion\",\"created\":7,\"model\":\"m\","
               "\"choices\":[{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":"
               "\"length\"}]}\n\n");
    tell(&j, (struct canon_event){.kind = CANON_EV_END});
    expect(&j, DONE);
    end(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deltas), cmocka_unit_test(usage),   cmocka_unit_test(unknown_usage),
        cmocka_unit_test(error),  cmocka_unit_test(made_up), cmocka_unit_test(completions_of_old),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
