// SPDX-License-Identifier: Apache-2.0
// Answers of providers of OpenAI's dialect into the canonical model and out again to an OpenAI
// client: every vendor's form comes out in one.
#include "dataplane/dialect_openai_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "dataplane/dialect_openai_read.h"

// Message `m` and reason `f` of the only choice.
#define IN(m, f)                                                                                   \
    "{\"id\":\"i\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{" m                      \
    "},\"finish_reason\":"                                                                         \
    "" f "}]}"
#define OUT_OF(m, f, rest)                                                                         \
    "{\"id\":\"i\",\"object\":\"chat.completion\",\"created\":7,\"model\":\"m\",\"choices\":[{"    \
    "\"index\":0,\"message\":{\"role\":\"assistant\"," m                                           \
    "},\"logprobs\":null,\"finish_reason\":\"" f "\"}]" rest "}"
#define OUT(m, f) OUT_OF(m, f, "")
#define A         "\"content\":\"a\",\"refusal\":null"
#define CALL(id, a)                                                                                \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"" a     \
    "\"}}"

static void chats(void **state)
{
    static const struct {
        const char *in, *out; // out NULL: no answer
    } cases[] = {
        {IN("\"role\":\"assistant\",\"content\":\"a\"", "\"stop\""), OUT(A, "stop")},
        {" \n\n" IN("\"content\":\"a\"", "null"), OUT(A, "stop")},
        {IN("\"content\":null", "\"length\""), OUT("\"content\":\"\",\"refusal\":null", "length")},
        {IN("\"content\":\"\",\"refusal\":\"no\"", "\"refusal\""),
         OUT("\"content\":\"\",\"refusal\":\"no\"", "content_filter")},
        {IN("\"content\":\"\\u00e9\\\"\"", "\"whatever\""),
         OUT("\"content\":\"\\u00e9\\\"\",\"refusal\":null", "stop")},
        // reasoning
        {IN("\"content\":\"a\",\"reasoning_content\":\"r\",\"reasoning\":\"x\"", "\"stop\""),
         OUT(A ",\"reasoning_content\":\"r\"", "stop")},
        {IN("\"content\":\"a\",\"reasoning\":\"r\"", "\"stop\""),
         OUT(A ",\"reasoning_content\":\"r\"", "stop")},
        {IN("\"content\":\"a\",\"reasoning_details\":[{\"text\":\"r\"},{\"text\":\"s\"}]",
            "\"stop\""),
         OUT(A ",\"reasoning_content\":\"rs\"", "stop")},
        {IN("\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"r\"}]},"
            "{\"type\":\"text\",\"text\":\"a\"}]",
            "\"stop\""),
         OUT(A ",\"reasoning_content\":\"r\"", "stop")},
        {IN("\"content\":[{\"type\":\"reasoning\",\"summary\":[{\"text\":\"r\",\"signature\":\"s\"}]"
            "},{\"type\":\"text\",\"text\":\"a\"}]",
            "\"stop\""),
         OUT(A ",\"reasoning_content\":\"r\",\"thinking_blocks\":[{\"type\":\"thinking\","
               "\"thinking\":\"r\",\"signature\":\"s\"}]",
             "stop")},
        {IN("\"content\":\"a\",\"reasoning_content\":\"r\",\"thinking_blocks\":[{\"type\":"
            "\"thinking\",\"thinking\":\"r\",\"signature\":\"s\"},{\"type\":\"redacted_thinking\","
            "\"data\":\"d\"}]",
            "\"stop\""),
         OUT(A ",\"reasoning_content\":\"r\",\"thinking_blocks\":[{\"type\":\"thinking\","
               "\"thinking\":\"r\",\"signature\":\"s\"},{\"type\":\"redacted_thinking\",\"data\":"
               "\"d\"}]",
             "stop")},
        // tools
        {IN("\"content\":null,\"tool_calls\":[" CALL("t", "{\\\"a\\\": 1}") "]", "\"stop\""),
         OUT("\"content\":null,\"refusal\":null,\"tool_calls\":[" CALL("t", "{\\\"a\\\":1}") "]",
             "tool_calls")},
        {IN("\"content\":\"a\",\"tool_calls\":[{\"id\":\"t\",\"function\":{\"name\":\"f\","
            "\"arguments\":{\"a\": [1, 2]}}},{\"id\":\"u\",\"function\":{\"name\":\"f\"}}]",
            "\"length\""),
         OUT(A ",\"tool_calls\":[" CALL("t", "{\\\"a\\\":[1,2]}") "," CALL("u", "{}") "]",
             "length")},
        {IN("\"content\":null,\"tool_calls\":[" CALL("t", "{x") "]", "\"tool_calls\""),
         OUT("\"content\":null,\"refusal\":null,\"tool_calls\":[" CALL(
                 "t", "{\\\"raw_arguments\\\":\\\"{x\\\"}") "]",
             "tool_calls")},
        {IN("\"content\":null,\"tool_calls\":[" CALL("t", "5") "]", "\"tool_calls\""),
         OUT("\"content\":null,\"refusal\":null,\"tool_calls\":[" CALL(
                 "t", "{\\\"raw_arguments\\\":\\\"5\\\"}") "]",
             "tool_calls")},
        {IN("\"content\":\"a\",\"tool_calls\":[]", "\"stop\""), OUT(A, "stop")},
        {IN("\"content\":\"a\",\"tool_calls\":null,\"function_call\":null", "\"stop\""),
         OUT(A, "stop")},
        // beside the text
        {IN("\"content\":\"a\",\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{"
            "\"start_index\":0,\"end_index\":1,\"title\":\"t\",\"url\":\"u\"}}]",
            "\"stop\""),
         OUT(A ",\"annotations\":[{\"type\":\"url_citation\",\"url_citation\":{\"start_index\":0,"
               "\"end_index\":1,\"title\":\"t\",\"url\":\"u\"}}]",
             "stop")},
        {IN("\"content\":\"a\",\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:"
            "image/png;base64,AA==\"}}],\"extra_content\":{\"google\":{\"thought_signature\":\"g\"}"
            "}",
            "\"stop\""),
         OUT(A ",\"images\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;"
               "base64,AA==\"}}],\"extra_content\":{\"google\":{\"thought_signature\":\"g\"}}",
             "stop")},
        // usage
        {"{\"id\":\"i\",\"model\":\"m\",\"service_tier\":\"flex\",\"choices\":[{\"message\":{"
         "\"content\":\"a\"}}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"prompt_"
         "tokens_details\":{\"cached_tokens\":4,\"audio_tokens\":0},\"completion_tokens_details\":{"
         "\"reasoning_tokens\":1}}}",
         OUT_OF(A, "stop",
                ",\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8,"
                "\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{"
                "\"reasoning_tokens\":1}},\"service_tier\":\"flex\"")},
        {"{\"choices\":[]}", NULL},
        {"{}", NULL},
        {"[]", NULL},
        {"{\"choices\":[5]}", NULL},
        {"{\"error\":{\"message\":\"m\"}}", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_context c = {.created = 7, .model = SLICE("asked")};
        struct tape t = {.tokens = NULL};
        struct canon_answer answer;
        struct arena a;
        struct rng rng;
        struct buf out;
        bool ok;

        arena_init(&a, 4096, 0);
        rng_init(&rng, 1);
        buf_init(&out, 1 << 20);
        c.arena = &a;
        c.rng = &rng;
        assert_true(tape_parse(&t, slice_str(cases[i].in), NULL));
        ok = dialect_openai_read_answer(&t, &c, &answer);
        if (ok) {
            dialect_openai_write_answer(&answer, &c, &out);
        }
        if (ok != (cases[i].out != NULL) || (ok && !slice_eq_str(buf_slice(&out), cases[i].out))) {
            fail_msg("%s\n" SLICE_FMT, cases[i].in, SLICE_ARG(buf_slice(&out)));
        }
        tape_done(&t);
        buf_done(&out);
        arena_done(&a);
    }
}

// Several choices, in the old form, with a made id.
static void completions_of_old(void **state)
{
    struct canon_part text = {.kind = CANON_TEXT, .text = SLICE("a")};
    struct canon_part thought = {.kind = CANON_REASONING, .text = SLICE("r"), .next = &text};
    struct canon_choice_out second = {.index = 1, .finish = CANON_FINISH_LENGTH};
    struct canon_choice_out first = {
        .next = &second, .parts = &thought, .finish = CANON_FINISH_STOP};
    struct canon_answer answer = {.choices = &first};
    struct canon_context c = {
        .created = 7, .model = SLICE("asked"), .endpoint = DIALECT_COMPLETIONS};
    struct arena a;
    struct rng rng;
    struct buf out;

    (void)state;
    arena_init(&a, 4096, 0);
    rng_init(&rng, 1);
    buf_init(&out, 1 << 20);
    c.arena = &a;
    c.rng = &rng;
    dialect_openai_write_answer(&answer, &c, &out);
    assert_true(slice_starts(buf_slice(&out), SLICE("{\"id\":\"cmpl-")));
    assert_true(slice_ends(
        buf_slice(&out),
        SLICE("\"object\":\"text_completion\",\"created\":7,\"model\":\"asked\",\"choices\":[{"
              "\"text\":\"a\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"},{\"text\":"
              "\"\",\"index\":1,\"logprobs\":null,\"finish_reason\":\"length\"}]}")));
    buf_done(&out);
    arena_done(&a);
}

static void embeddings(void **state)
{
    static const struct {
        const char *in, *out;
        bool base64;
    } cases[] = {
        {"[1.0, -2.5]", "[1.0,-2.5]", false},
        {"[1.0, -2.5]", "\"AACAPwAAIMA=\"", true},
        {"[0.5,0.25,-0.125,3.0]", "\"AAAAPwAAgD4AAAC+AABAQA==\"", true},
        {"[]", "\"\"", true},
        {"[1e400,-0,1E-400]", "\"AACAfwAAAIAAAAAA\"", true},
        {"[0.50000000000000000000000000000000000000000000000000000000000000000000000001]",
         "\"AAAAPw==\"", true},
        {"\"AAAAPw==\"", "\"AAAAPw==\"", true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice vector = slice_str(cases[i].in);
        struct canon_answer answer = {.vectors = &vector, .n_vectors = 1, .model = SLICE("m")};
        struct canon_context c = {.endpoint = DIALECT_EMBEDDINGS, .base64 = cases[i].base64};
        char want[300];
        struct buf out;

        buf_init(&out, 1 << 20);
        answer.usage = (struct dialect_usage){.known = true, .input = 4};
        dialect_openai_write_answer(&answer, &c, &out);
        (void)snprintf(want, sizeof(want),
                       "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                       "\"embedding\":%s}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":4,"
                       "\"total_tokens\":4}}",
                       cases[i].out);
        if (!slice_eq_str(buf_slice(&out), want)) {
            fail_msg("%s\n" SLICE_FMT, cases[i].in, SLICE_ARG(buf_slice(&out)));
        }
        buf_done(&out);
    }
}

// More numbers than are encoded at once.
static void long_vectors(void **state)
{
    struct canon_context c = {.endpoint = DIALECT_EMBEDDINGS, .base64 = true};
    struct canon_answer answer = {.n_vectors = 1, .model = SLICE("m")};
    struct slice vector;
    struct buf in, out;

    (void)state;
    buf_init(&in, 1 << 20);
    buf_init(&out, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        buf_append_str(&in, i == 0 ? "[1" : ",1");
    }
    buf_append_str(&in, "]");
    vector = buf_slice(&in);
    answer.vectors = &vector;
    dialect_openai_write_answer(&answer, &c, &out);
    // 4,000 bytes are 5,336 characters; each three numbers are the same 16.
    assert_true(slice_find(buf_slice(&out), SLICE("AACAPwAAgD8AAIA/AACAPw==\"")) != SIZE_MAX);
    assert_int_equal(out.n - strlen("{\"object\":\"list\",\"data\":[{\"object\":\"embedding\","
                                    "\"index\":0,\"embedding\":\"\"}],\"model\":\"m\",\"usage\":{"
                                    "\"prompt_tokens\":0,\"total_tokens\":0}}"),
                     5336);
    buf_done(&in);
    buf_done(&out);
}

static void embeddings_read(void **state)
{
    static const struct {
        const char *in;
        bool ok;
    } cases[] = {
        {"{\"data\":[{\"index\":1,\"embedding\":[2]},{\"index\":0,\"embedding\":[1]}]}", true},
        {"{\"data\":[{\"embedding\":[1]},{\"embedding\":\"AA==\"}]}", true},
        {"{\"data\":[]}", false},
        {"{\"data\":[{\"index\":5,\"embedding\":[2]}]}", false},
        {"{\"data\":[{\"index\":0,\"embedding\":[2]},{\"index\":0,\"embedding\":[1]}]}", false},
        {"{\"data\":[{\"index\":0}]}", false},
        {"{}", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_context c = {.endpoint = DIALECT_EMBEDDINGS};
        struct tape t = {.tokens = NULL};
        struct canon_answer answer;
        struct arena a;

        arena_init(&a, 4096, 0);
        c.arena = &a;
        assert_true(tape_parse(&t, slice_str(cases[i].in), NULL));
        if (dialect_openai_read_answer(&t, &c, &answer) != cases[i].ok) {
            fail_msg("%s", cases[i].in);
        }
        assert_true(!cases[i].ok || slice_eq_str(answer.vectors[0], "[1]"));
        tape_done(&t);
        arena_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chats),           cmocka_unit_test(completions_of_old),
        cmocka_unit_test(embeddings),      cmocka_unit_test(long_vectors),
        cmocka_unit_test(embeddings_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
