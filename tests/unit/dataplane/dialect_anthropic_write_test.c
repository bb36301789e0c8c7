// SPDX-License-Identifier: Apache-2.0
// Requests of OpenAI's clients as Anthropic gets them.
#include "dataplane/dialect_anthropic_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/xlate.h"

static struct arena arena;
static struct rng rng;

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
    arena_done(&arena);
    return 0;
}

// The body, or "param: message" of a refusal; then the dropped parameters, each after a blank.
static const char *sent(struct canon_target t, const char *members, const char *messages)
{
    struct xlate_refusal why;
    const char *code = NULL, *param = NULL, *text;
    struct dialect_request rq;
    struct xlate x;
    struct buf b;
    struct err e;
    const char *body = arena_printf(
        &arena, "{\"model\":\"c\"%s%s,\"messages\":%s}", members[0] != '\0' ? "," : "", members,
        messages != NULL ? messages : "[{\"role\":\"user\",\"content\":\"u\"}]");

    if (t.model.p == NULL) {
        t.model = SLICE("m");
    }
    if (t.default_max_tokens == 0) {
        t.default_max_tokens = 4096;
    }
    if (!dialect_openai.parse_request(slice_str(body), DIALECT_CHAT, &arena, &rq, &code, &param,
                                      &e)) {
        fail_msg("%s: %s", body, e.message);
    }
    xlate_init(&x, &dialect_openai, &arena, &rng);
    buf_init(&b, 1 << 20);
    if (xlate_request(&x, &dialect_anthropic, &t, &rq, slice_str(body), &b, &why, &e)) {
        struct err bad;

        if (!scan_validate(buf_slice(&b), &bad)) {
            fail_msg("%s: %s", buf_cstr(&b), bad.message);
        }
        text = arena_strdup(&arena, buf_cstr(&b));
    } else {
        text = arena_printf(&arena, "%s: %s: %s", why.code, why.param, e.message);
    }
    for (size_t i = 0; i < x.outcome.n_dropped; i++) {
        text = arena_printf(&arena, "%s %s", text, x.outcome.dropped[i]);
    }
    buf_done(&b);
    xlate_done(&x);
    return text;
}

#define U    "{\"role\":\"user\",\"content\":\"u\"}"
#define SYS  "{\"role\":\"system\",\"content\":\"s\"}"
#define TU   "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"u\"}]}"
#define HEAD "{\"model\":\"m\",\"max_tokens\":4096,"
#define MSGS "\"messages\":[" TU "]"
#define CALL(id)                                                                                   \
    "{\"id\":\"" id                                                                                \
    "\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1.0}\"}}"
#define USE(id) "{\"type\":\"tool_use\",\"id\":\"" id "\",\"name\":\"f\",\"input\":{\"a\":1.0}}"

// --- messages ----------------------------------------------------------------------------------

static void turns(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"[" SYS "," U "," SYS "]", "\"system\":[{\"type\":\"text\",\"text\":\"s\"},{\"type\":"
                                    "\"text\",\"text\":\"s\"}]," MSGS},
        {"[" U "," U "]", "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\","
                          "\"text\":\"u\"},{\"type\":\"text\",\"text\":\"u\"}]}]"},
        {"[" U ",{\"role\":\"user\",\"content\":\" \\n\"},{\"role\":\"assistant\",\"content\":\"\"}"
         "," U "]",
         "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"u\"},{"
         "\"type\":\"text\",\"text\":\"u\"}]}]"},
        {"[{\"role\":\"assistant\",\"content\":\"a\"}," U "]",
         "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\".\"}]},{"
         "\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}," TU "]"},
        {"[" SYS "]", "\"system\":[{\"type\":\"text\",\"text\":\"s\"}],\"messages\":[{\"role\":"
                      "\"user\",\"content\":[{\"type\":\"text\",\"text\":\".\"}]}]"},
        // a prefill ends without white space
        {"[" U ",{\"role\":\"assistant\",\"content\":\"a \\n\"}]",
         "\"messages\":[" TU ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
         "\"a\"}]}]"},
        // a refusal speaks where there is nothing else
        {"[" U ",{\"role\":\"assistant\",\"content\":null,\"refusal\":\"no\"}," U "]",
         "\"messages\":[" TU ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
         "\"no\"}]}," TU "]"},
        // results first, whatever their place; strings stay strings, none is left out
        {"[" U
         ",{\"role\":\"assistant\",\"content\":\"t\",\"tool_calls\":[" CALL("a") "," CALL("b") "," CALL(
             "c") "]}," U
                  ",{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"},{\"role\":\"tool\","
                  "\"tool_call_id\":\"b\",\"content\":\"\"},{\"role\":\"tool\",\"tool_call_id\":\"c\","
                  "\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\",\"text\":\" \"}]}]",
         "\"messages\":[" TU ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":"
         "\"t\"}," USE("a") "," USE("b") "," USE(
             "c") "]},{\"role\":\"user\",\"content\":[{\"type\":"
                  "\"tool_result\",\"tool_use_id\":\"a\",\"content\":\"1\"},{\"type\":\"tool_result\","
                  "\"tool_use_id\":\"b\"},{\"type\":\"tool_result\",\"tool_use_id\":\"c\",\"content\":[{"
                  "\"type\":\"text\",\"text\":\"x\"}]},{\"type\":\"text\",\"text\":\"u\"}]}]"},
        // ids that do not fit, the same in call and result
        {"[" U ",{\"role\":\"assistant\",\"tool_calls\":[" CALL("a.b") "," CALL(
             "a:b") "]},{"
                    "\"role\":\"tool\",\"tool_call_id\":\"a.b\",\"content\":\"1\"},{\"role\":\"tool\","
                    "\"tool_call_id\":\"a:b\",\"content\":\"2\"}]",
         "\"messages\":[" TU ",{\"role\":\"assistant\",\"content\":[" USE("a_b") "," USE(
             "a_b_2") "]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":"
                      "\"a_b\",\"content\":\"1\"},{\"type\":\"tool_result\",\"tool_use_id\":\"a_b_2\","
                      "\"content\":\"2\"}]}]"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(sent((struct canon_target){.gemini3 = false}, "", cases[i].in),
                            arena_printf(&arena, HEAD "%s}", cases[i].out));
    }
}

static void system_in_the_middle(void **state)
{
    static const char in[] =
        "[" SYS "," U "," SYS ",{\"role\":\"assistant\",\"content\":\"a\"}," SYS "," U "]";

    (void)state;
    assert_string_equal(
        sent((struct canon_target){.keep_mid_system = true}, "", in), HEAD
        "\"system\":[{\"type\":\"text\",\"text\":\"s\"},{\"type\":\"text\",\"text\":\"s\"}],"
        "\"messages\":[" TU ",{\"role\":\"system\",\"content\":[{\"type\":\"text\",\"text\":"
        "\"s\"}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}," TU
        "]}");
}

#define PART(p) "[{\"role\":\"user\",\"content\":[" p "]}]"
#define FILE_OF(url)                                                                               \
    "{\"type\":\"file\",\"file\":{\"filename\":\"x.pdf\",\"file_data\":\"" url "\"}}"

static void media(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AA==\"},"
         "\"cache_control\":{\"type\":\"ephemeral\"}}",
         "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\","
         "\"data\":\"AA==\"},\"cache_control\":{\"type\":\"ephemeral\"}}"},
        {"{\"type\":\"image_url\",\"image_url\":\"https://x/y\"}",
         "{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x/y\"}}"},
        {FILE_OF("data:application/pdf;base64,JVBERi0="),
         "{\"type\":\"document\",\"source\":{\"type\":\"base64\",\"media_type\":"
         "\"application/pdf\",\"data\":\"JVBERi0=\"}}"},
        {FILE_OF("data:text/plain;base64,SGkgIsOpIgo="),
         "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\","
         "\"data\":\"Hi \\\"\xc3\xa9\\\"\\n\"}}"},
        {FILE_OF("data:text/csv;charset=utf-8;base64,YSxi"),
         "{\"type\":\"document\",\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\","
         "\"data\":\"a,b\"}}"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(
            sent((struct canon_target){.gemini3 = false}, "",
                 arena_printf(&arena, PART("%s"), cases[i].in)),
            arena_printf(&arena, HEAD "\"messages\":[{\"role\":\"user\",\"content\":[%s]}]}",
                         cases[i].out));
    }
}

static void reasoning(void **state)
{
    static const char history[] =
        "[" U ",{\"role\":\"assistant\",\"content\":\"t\",\"reasoning_content\":\"r\","
        "\"thinking_blocks\":[{\"type\":\"thinking\",\"thinking\":\"r\",\"signature\":\"s\"},{"
        "\"type\":\"redacted_thinking\",\"data\":\"d\"}],\"tool_calls\":[" CALL(
            "a") "]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}]";
    const char *kept =
        "\"content\":[{\"type\":\"thinking\",\"thinking\":\"r\",\"signature\":\"s\"},"
        "{\"type\":\"redacted_thinking\",\"data\":\"d\"},{\"type\":\"text\","
        "\"text\":\"t\"}," USE("a") "]";
    struct canon_target t = {.thinks = CANON_THINKS_MANUAL};
    const char *got = sent(t, "\"reasoning_effort\":\"low\"", history);

    (void)state;
    assert_non_null(strstr(got, kept));
    assert_non_null(strstr(got, "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":1024}"));
    t.strip_signatures = true; // then there is none to go on from
    got = sent(t, "\"reasoning_effort\":\"low\"", history);
    assert_null(strstr(got, "\"thinking\""));
    assert_non_null(strstr(got, "\"content\":[{\"type\":\"text\",\"text\":\"t\"}," USE("a") "]"));
    got = sent(t, "\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}", history);
    assert_null(strstr(got, "\"thinking\""));
}

// --- parameters --------------------------------------------------------------------------------

#define F   "{\"type\":\"function\",\"function\":{\"name\":\"f\"}}"
#define G   "{\"type\":\"function\",\"function\":{\"name\":\"g\"}}"
#define TF  "{\"name\":\"f\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}"
#define TG  "{\"name\":\"g\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}"
#define FG  "\"tools\":[" F "," G "]"
#define TFG "\"tools\":[" TF "," TG "]"
#define JSON                                                                                       \
    "{\"name\":\"json_output\",\"description\":\"Give the final answer as the input of this tool.\",\"input_schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"minimum\":1}}}}"
#define FORMAT                                                                                     \
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"minimum\":1}}}}}"
#define SAY(t)      "\"system\":[{\"type\":\"text\",\"text\":\"" t "\"}]," MSGS
#define FORCE(name) "\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"" name "\"}}"

struct parameter {
    const char *in, *out;
    struct canon_target t;
};

static void check(const struct parameter *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *want =
            cases[i].out[0] == '"' ? arena_printf(&arena, HEAD "%s", cases[i].out) : cases[i].out;

        assert_string_equal(sent(cases[i].t, cases[i].in, NULL), want);
    }
}

static void sampling_and_the_rest(void **state)
{
    static const struct parameter cases[] = {
        {"\"max_completion_tokens\":9,\"max_tokens\":5",
         "{\"model\":\"m\",\"max_tokens\":9," MSGS "}",
         {.max_output = 10}},
        {"\"max_tokens\":50", "{\"model\":\"m\",\"max_tokens\":10," MSGS "}", {.max_output = 10}},
        {"\"temperature\":0.70,\"top_k\":5", MSGS ",\"temperature\":0.70,\"top_k\":5}", {}},
        {"\"temperature\":1.5", MSGS ",\"temperature\":1}", {}},
        {"\"temperature\":1e2", MSGS ",\"temperature\":1}", {}},
        {"\"top_p\":0.5", MSGS ",\"top_p\":0.5}", {}},
        {"\"top_p\":0.5,\"temperature\":1", MSGS ",\"temperature\":1} top_p", {}},
        {"\"top_p\":0.5,\"temperature\":null", MSGS ",\"top_p\":0.5}", {}},
        {"\"top_p\":0.5,\"temperature\":1,\"top_k\":1",
         MSGS "} temperature top_p top_k",
         {.no_sampling = true}},
        {"\"stop\":\"x\"", MSGS ",\"stop_sequences\":[\"x\"]}", {}},
        {"\"stop\":[\" \",\"\"]", MSGS "}", {}},
        {"\"stream\":true", MSGS ",\"stream\":true}", {}},
        {"\"stream\":false", MSGS "}", {}},
        {"\"user\":\"a\",\"safety_identifier\":\"b\"",
         MSGS ",\"metadata\":{\"user_id\":\"b\"}}",
         {}},
        {"\"service_tier\":\"auto\"", MSGS ",\"service_tier\":\"auto\"}", {}},
        {"\"service_tier\":\"default\"", MSGS ",\"service_tier\":\"standard_only\"}", {}},
        {"\"service_tier\":\"flex\"", MSGS "} service_tier", {}},
        {"\"n\":1,\"modalities\":[\"text\"],\"parallel_tool_calls\":false", MSGS "}", {}},
        {"\"n\":2", "unsupported_parameter: n: n > 1 is not supported by this provider", {}},
        {"\"n\":2", MSGS "} n", {.drop_unsupported = true}},
        {"\"modalities\":[\"text\",\"audio\"]",
         "unsupported_parameter: modalities: audio is not supported by this provider",
         {}},
        {"\"tools\":[{\"type\":\"custom\",\"custom\":{\"name\":\"c\"}}]",
         "unsupported_parameter: tools: tools of type custom are not supported by this provider",
         {}},
        {"\"novel\":{\"a\":1}", MSGS "}", {}},
        {"\"novel\":{\"a\":1}", MSGS ",\"novel\":{\"a\":1}}", {.forward_unknown = true}},
    };

    (void)state;
    check(cases, ARRAY_LEN(cases));
}

static void hints_are_named(void **state)
{
    const char *got = sent((struct canon_target){.gemini3 = false},
                           "\"seed\":1,\"logit_bias\":{},\"presence_penalty\":1,"
                           "\"frequency_penalty\":1,\"logprobs\":true,\"top_logprobs\":2,"
                           "\"prediction\":{},\"verbosity\":\"low\",\"store\":true,"
                           "\"metadata\":{},\"prompt_cache_key\":\"x\"",
                           NULL);
    static const char *const names[] = {
        "seed",     "logit_bias",   "presence_penalty", "frequency_penalty",
        "logprobs", "top_logprobs", "prediction",       "verbosity",
        "store",    "metadata",     "prompt_cache_key"};

    (void)state;
    assert_true(slice_starts(slice_str(got), SLICE(HEAD MSGS "} ")));
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_non_null(strstr(got, arena_printf(&arena, " %s", names[i])));
    }
}

static void parts_it_cannot_take(void **state)
{
    static const char *const parts[] = {
        "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AA==\",\"format\":\"wav\"}}",
        "{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}",
        FILE_OF("data:application/zip;base64,AA=="),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *in =
            arena_printf(&arena, PART("%s,{\"type\":\"text\",\"text\":\"u\"}"), parts[i]);
        const char *got = sent((struct canon_target){.gemini3 = false}, "", in);

        assert_true(slice_starts(slice_str(got), SLICE("unsupported_parameter: messages: ")));
        assert_string_equal(sent((struct canon_target){.drop_unsupported = true}, "", in),
                            HEAD MSGS "} messages");
    }
}

// The same parts in a result; what is left out there may not go unsaid.
static void results_it_cannot_take(void **state)
{
    static const char *const parts[] = {
        "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"AA==\",\"format\":\"wav\"}}",
        "{\"type\":\"file\",\"file\":{\"file_id\":\"f\"}}",
        FILE_OF("data:application/zip;base64,AA=="),
        "{\"type\":\"novelty\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *in = arena_printf(&arena,
                                      "[" U ",{\"role\":\"assistant\",\"tool_calls\":[" CALL(
                                          "a") "]},{\"role\":\"tool\",\"tool_call_id\":\"a\","
                                               "\"content\":[%s]}]",
                                      parts[i]);
        const char *got = sent((struct canon_target){.gemini3 = false}, "", in);

        assert_true(slice_starts(slice_str(got), SLICE("unsupported_parameter: messages: ")));
        got = sent((struct canon_target){.drop_unsupported = true}, "", in);
        assert_non_null(
            strstr(got, "{\"type\":\"tool_result\",\"tool_use_id\":\"a\"}]}]} messages"));
    }
}

// A model that takes no prefill gets the user's word last; one that thinks takes none.
static void prefills(void **state)
{
    static const struct resource_traits none = {.flags = RESOURCE_NO_PREFILL};
    static const char in[] = "[" U ",{\"role\":\"assistant\",\"content\":\"a \"}]";
    const char *got = sent((struct canon_target){.traits = &none}, "", in);

    (void)state;
    assert_string_equal(
        got, HEAD "\"messages\":[" TU ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
                  "\"text\":\"a \"}]},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":"
                  "\"Continue.\"}]}]}");
    got = sent((struct canon_target){.thinks = CANON_THINKS_MANUAL}, "\"reasoning_effort\":\"low\"",
               in);
    assert_string_equal(got, HEAD "\"messages\":[" TU
                                  ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\","
                                  "\"text\":\"a\"}]}]}");
}

static void tool_choice(void **state)
{
    static const struct parameter cases[] = {
        {FG, MSGS "," TFG "}", {}},
        {FG ",\"tool_choice\":\"auto\"", MSGS "," TFG ",\"tool_choice\":{\"type\":\"auto\"}}", {}},
        {FG ",\"tool_choice\":\"none\",\"parallel_tool_calls\":false",
         MSGS "," TFG ",\"tool_choice\":{\"type\":\"none\"}}",
         {}},
        {FG ",\"tool_choice\":\"required\",\"parallel_tool_calls\":false",
         MSGS "," TFG ",\"tool_choice\":{\"type\":\"any\",\"disable_parallel_tool_use\":true}}",
         {}},
        {FG "," FORCE("g"),
         MSGS "," TFG ",\"tool_choice\":{\"type\":\"tool\",\"name\":\"g\"}}",
         {}},
        {FG ",\"parallel_tool_calls\":false",
         MSGS "," TFG ",\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}}",
         {}},
        {FG ",\"parallel_tool_calls\":true", MSGS "," TFG "}", {}},
        {"\"tool_choice\":\"required\"", MSGS "}", {}},
        {"\"tools\":[],\"tool_choice\":\"auto\"", MSGS "}", {}},
        {FG "," FORCE("g"),
         SAY("Call the tool g in this turn.") ",\"tools\":[" TG "],"
                                              "\"tool_choice\":{\"type\":\"auto\"}} tool_choice",
         {.no_forced_tools = true}},
        {FG ",\"tool_choice\":\"required\"",
         SAY("Call at least one of the provided tools in this turn.") "," TFG
                                                                      ",\"tool_choice\":{\"type\":\"auto\"}} tool_choice",
         {.no_forced_tools = true}},
        {FG ",\"tool_choice\":{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":\"auto\","
            "\"tools\":[" G "]}}",
         MSGS ",\"tools\":[" TG "],\"tool_choice\":{\"type\":\"auto\"}}",
         {}},
        {"\"tools\":[{\"type\":\"function\",\"cache_control\":{\"type\":\"ephemeral\"},"
         "\"function\":{\"name\":\"f\",\"description\":\"d\",\"strict\":true,\"parameters\":{ "
         "\"properties\": {}}}}]",
         MSGS ",\"tools\":[{\"name\":\"f\",\"description\":\"d\",\"input_schema\":{\"type\":"
              "\"object\",\"properties\":{}},\"strict\":true,\"cache_control\":{\"type\":"
              "\"ephemeral\"}}]}",
         {}},
        {"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"strict\":true,"
         "\"parameters\":{}}}]",
         MSGS
         ",\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\",\"properties\":{}}}]}",
         {.no_structured = true}},
    };

    (void)state;
    check(cases, ARRAY_LEN(cases));
}

static void json_output(void **state)
{
    static const struct parameter cases[] = {
        {"\"response_format\":{\"type\":\"text\"}", MSGS "}", {}},
        {"\"response_format\":{\"type\":\"json_object\"}",
         SAY("Respond with one valid JSON object and nothing else.") "}",
         {}},
        {FORMAT,
         MSGS ",\"output_config\":{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":"
              "\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":false}}}}",
         {}},
        {FORMAT,
         MSGS ",\"tools\":[" JSON "],\"tool_choice\":{\"type\":\"tool\",\"name\":"
              "\"json_output\"}}",
         {.no_structured = true}},
        {FG "," FORMAT,
         MSGS ",\"tools\":[" TF "," TG "," JSON "],\"tool_choice\":{\"type\":"
              "\"any\"}}",
         {.no_structured = true}},
        {FG "," FORMAT ",\"tool_choice\":\"none\"",
         MSGS ",\"tools\":[" TF "," TG "," JSON "],\"tool_choice\":{\"type\":\"tool\",\"name\":"
              "\"json_output\"}}",
         {.no_structured = true}},
        {FORMAT,
         SAY("Call the tool json_output in this turn.") ",\"tools\":[" JSON "],"
                                                        "\"tool_choice\":{\"type\":\"auto\"}}",
         {.no_structured = true, .no_forced_tools = true}},
    };

    (void)state;
    check(cases, ARRAY_LEN(cases));
}

#define ADAPTIVE(effort)                                                                           \
    MSGS ",\"thinking\":{\"type\":\"adaptive\",\"display\":\"summarized\"},\"output_config\":{"    \
         "\"effort\":\"" effort "\"}}"
#define BUDGET(n) MSGS ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":" n "}}"
#define EFFORT(e) "\"reasoning_effort\":\"" e "\""

static void thinking(void **state)
{
    static const struct parameter cases[] = {
        {EFFORT("minimal"), ADAPTIVE("low"), {.thinks = CANON_THINKS_ADAPTIVE}},
        {EFFORT("high"), ADAPTIVE("high"), {.thinks = CANON_THINKS_ADAPTIVE}},
        {EFFORT("xhigh"), ADAPTIVE("xhigh"), {.thinks = CANON_THINKS_ADAPTIVE}},
        {EFFORT("xhigh"), ADAPTIVE("max"), {.thinks = CANON_THINKS_ADAPTIVE, .no_xhigh = true}},
        {EFFORT("none"),
         MSGS ",\"thinking\":{\"type\":\"disabled\"}}",
         {.thinks = CANON_THINKS_ADAPTIVE, .thinking_off = CANON_OFF_DISABLED}},
        {EFFORT("none"),
         MSGS ",\"thinking\":{\"type\":\"between_tools\"}}",
         {.thinks = CANON_THINKS_ADAPTIVE, .thinking_off = CANON_OFF_BETWEEN_TOOLS}},
        {EFFORT("none"),
         MSGS ",\"output_config\":{\"effort\":\"low\"}}",
         {.thinks = CANON_THINKS_ADAPTIVE, .thinking_off = CANON_OFF_EFFORT_LOW}},
        {EFFORT("none"),
         MSGS ",\"output_config\":{\"effort\":\"low\"}}",
         {.thinks = CANON_THINKS_ADAPTIVE, .thinking_off = CANON_OFF_OMIT}},
        {EFFORT("none"), MSGS "}", {.thinks = CANON_THINKS_MANUAL}},
        {EFFORT("low"), BUDGET("1024"), {.thinks = CANON_THINKS_MANUAL}},
        {EFFORT("minimal"), BUDGET("1024"), {.thinks = CANON_THINKS_MANUAL}},
        {EFFORT("medium"), BUDGET("3276"), {.thinks = CANON_THINKS_MANUAL}},
        {EFFORT("medium") ",\"max_tokens\":1279", // 1,023 would be too few
         "{\"model\":\"m\",\"max_tokens\":1279," MSGS "}",
         {.thinks = CANON_THINKS_MANUAL}},
        {EFFORT("max") ",\"max_tokens\":64000,\"temperature\":0.5",
         "{\"model\":\"m\",\"max_tokens\":64000," MSGS ",\"thinking\":{\"type\":\"enabled\","
         "\"budget_tokens\":24576}} temperature",
         {.thinks = CANON_THINKS_MANUAL}},
        {EFFORT("low"), MSGS "} reasoning_effort", {.thinks = CANON_THINKS_NEVER}},
        {EFFORT("none"), MSGS "}", {.thinks = CANON_THINKS_NEVER}},
        // a forced tool leaves thinking out, and sampling in
        {EFFORT("low") "," FG ",\"tool_choice\":\"required\",\"temperature\":0",
         MSGS "," TFG ",\"tool_choice\":{\"type\":\"any\"},\"temperature\":0}",
         {.thinks = CANON_THINKS_MANUAL}},
        // Anthropic's own member wins
        {EFFORT("low") ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000},\"top_p\":1",
         MSGS ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000}} top_p",
         {.thinks = CANON_THINKS_MANUAL}},
        {"\"thinking\":{\"type\":\"disabled\"},\"top_p\":1",
         MSGS ",\"thinking\":{\"type\":\"disabled\"},\"top_p\":1}",
         {.thinks = CANON_THINKS_MANUAL}},
    };

    (void)state;
    check(cases, ARRAY_LEN(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns),
        cmocka_unit_test(system_in_the_middle),
        cmocka_unit_test(media),
        cmocka_unit_test(reasoning),
        cmocka_unit_test(sampling_and_the_rest),
        cmocka_unit_test(hints_are_named),
        cmocka_unit_test(parts_it_cannot_take),
        cmocka_unit_test(results_it_cannot_take),
        cmocka_unit_test(prefills),
        cmocka_unit_test(tool_choice),
        cmocka_unit_test(json_output),
        cmocka_unit_test(thinking),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
