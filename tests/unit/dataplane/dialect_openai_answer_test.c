// SPDX-License-Identifier: Apache-2.0
// What is seen in answers and stream events of OpenAI's dialect and its vendors' variants.
#include "dataplane/dialect_openai_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct dialect_event see(struct dialect_stream *s, const char *data)
{
    return dialect_openai_answer_event(s, SLICE_NULL, slice_str(data));
}

#define DELTA(d) "{\"choices\":[{\"index\":0,\"delta\":" d ",\"finish_reason\":null}]}"

// First content of a stream.
static void first_content(void **state)
{
    static const struct {
        const char *data;
        bool content;
    } cases[] = {
        {DELTA("{}"), false},
        {DELTA("{\"role\":\"assistant\"}"), false},
        {DELTA("{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}"), false},
        {DELTA("{\"role\":\"assistant\",\"content\":null}"), false},
        {DELTA("{\"content\":\"\"}"), false},
        {DELTA("{\"content\":[]}"), false},
        {DELTA("{\"content\":\"a\"}"), true},
        {DELTA("{\"content\":\" \"}"), true},
        {DELTA("{\"content\":\"\\n\"}"), true},
        {DELTA("{\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}"), true},
        {DELTA("{\"reasoning_content\":\"\"}"), false},
        {DELTA("{\"reasoning_content\":\"a\"}"), true},
        {DELTA("{\"reasoning\":\"a\"}"), true},
        {DELTA("{\"reasoning\":null,\"reasoning_details\":[]}"), false},
        {DELTA("{\"reasoning_details\":[{\"text\":\"a\"}]}"), true},
        {DELTA("{\"refusal\":\"no\"}"), true},
        {DELTA("{\"tool_calls\":[]}"), false},
        {DELTA("{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"type\":\"function\"}]}"), false},
        {DELTA("{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\"}}]}"), false},
        {DELTA("{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}"),
         true},
        {DELTA("{\"tool_calls\":[{\"index\":0},{\"index\":1,\"function\":{\"arguments\":\"{\"}}]}"),
         true},
        {DELTA("{\"tool_calls\":[{\"index\":0,\"custom\":{\"name\":\"c\"}}]}"), true},
        {DELTA("{\"function_call\":{\"name\":\"f\"}}"), true},
        {DELTA("{\"function_call\":{\"name\":\"\",\"arguments\":\"\"}}"), false},
        {DELTA("{\"audio\":{\"id\":\"a\",\"data\":\"AA==\"}}"), true},
        {DELTA("{\"audio\":null}"), false},
        {"{\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":null}]}", false},
        {"{\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":null}]}", true},
        {"{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}", true},
        {"{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"\"}]}", false},
        {"{\"choices\":[],\"prompt_filter_results\":[{\"prompt_index\":0}]}", false},
        {"{\"choices\":[]}", false},
        {"{\"choices\":null}", false},
        {"{}", false},
        {"{\"usage\":null}", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_stream s = {.content_seen = false};
        struct dialect_event ev = see(&s, cases[i].data);

        if (ev.content != cases[i].content) {
            fail_msg("%s", cases[i].data);
        }
        assert_int_equal(s.content_seen, cases[i].content);
        assert_false(ev.malformed || ev.error || ev.terminator || ev.usage_only);
    }
}

static void terminators_and_junk(void **state)
{
    static const struct {
        const char *data;
        bool terminator, malformed;
    } cases[] = {
        {"[DONE]", true, false},
        {"[DONE] ", true, false},
        {"[DONE]x", true, false},
        {"[done]", false, true},
        {"", false, false},
        {"x", false, true},
        {"{", false, true},
        {"[]", false, true},
        {"null", false, true},
        {"\"a\"", false, true},
        {" {\"choices\":[]}", false, false},
        {"\n{}\n", false, false},
        {"{}{}", false, true},
        {"{\"a\":\"\xff\"}", false, true},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_stream s = {.content_seen = false};
        struct dialect_event ev = see(&s, cases[i].data);

        assert_int_equal(ev.terminator, cases[i].terminator);
        assert_int_equal(s.terminated, cases[i].terminator);
        assert_int_equal(ev.malformed, cases[i].malformed);
        assert_false(ev.content);
    }
}

// After the first content events are looked at by their words; nothing that matters is missed.
static void after_the_first_content(void **state)
{
    struct dialect_stream s = {.content_seen = false};
    struct dialect_event ev;

    (void)state;
    (void)see(&s, DELTA("{\"content\":\"a\"}"));
    ev = see(&s, DELTA("{\"content\":\"\\\"finish_reason\\\":\\\"stop\\\" \\\"usage\\\" error\"}"));
    assert_true(ev.content && !ev.finish);
    ev = see(&s, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"}}],\"usage\":null,"
                 "\"error\":null}");
    assert_true(ev.content && !ev.error && !ev.usage_only);
    ev = see(&s, "{\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":null}]}");
    assert_false(ev.content);
    assert_int_equal(s.choices_seen, 3); // a second choice that begins late
    ev = see(&s, "{\"choices\":[{\"delta\":{},\"finish_reason\" : \"stop\",\"index\":0}]}");
    assert_true(ev.finish && ev.content);
    assert_int_equal(s.choices_finished, 1);
    ev = see(&s, "{\"choices\":[{\"index\":1,\"delta\":{},\"finish_reason\":\"length\"}],"
                 "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}");
    assert_true(ev.finish && !ev.usage_only);
    assert_int_equal(s.choices_finished, 3);
    assert_int_equal(s.usage.output, 2);
    ev = see(&s, "{\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20}}");
    assert_true(ev.usage_only && !ev.content);
    assert_int_equal(s.usage.input, 10);
    ev = see(&s, "{\"error\":{\"message\":\"x\"}}");
    assert_true(ev.error);
    ev = see(&s, "{\"error\":false,\"choices\":[]}");
    assert_false(ev.error);
    ev = see(&s, "{\"error\":\"\",\"choices\":[]}");
    assert_false(ev.error);
    ev = see(&s, "{\"object\":\"error\",\"message\":\"x\"}");
    assert_true(ev.error);
    ev = see(&s, "[DONE]");
    assert_true(ev.terminator);
}

static void usage_events(void **state)
{
    static const struct {
        const char *data;
        bool only, known;
    } cases[] = {
        {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", true, true},
        {"{\"usage\":{\"prompt_tokens\":1}}", true, true},
        {"{\"choices\":[],\"usage\":null}", false, false},
        {"{\"choices\":[],\"usage\":{}}", true, false},
        {"{\"choices\":[],\"usage\":{\"prompt_tokens\":null,\"completion_tokens\":null}}", true,
         false},
        {"{\"choices\":[{\"index\":0,\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}", false, true},
        {"{\"choices\":[],\"usage\":3}", false, false},
    };
    struct dialect_stream s = {.content_seen = false};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        s = (struct dialect_stream){.content_seen = false};
        assert_int_equal(see(&s, cases[i].data).usage_only, cases[i].only);
        assert_int_equal(s.usage.known, cases[i].known);
    }
    // Cumulative usage: the last counts; an empty object afterwards takes nothing away.
    s = (struct dialect_stream){.content_seen = false};
    (void)see(&s, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],"
                  "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}");
    (void)see(&s, "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}],"
                  "\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}");
    (void)see(&s, "{\"choices\":[],\"usage\":{}}");
    assert_true(s.usage.known);
    assert_int_equal(s.usage.output, 2);
}

static void error_events(void **state)
{
    static const struct {
        const char *data;
        unsigned status;
    } cases[] = {
        {"{\"error\":{\"message\":\"m\"}}", 500},
        {"{\"error\":{\"code\":429,\"message\":\"m\"}}", 429},
        {"{\"error\":{\"code\":\"503\",\"message\":\"m\"}}", 503},
        {"{\"error\":{\"status\":529}}", 529},
        {"{\"error\":{\"code\":200}}", 500},
        {"{\"error\":{\"type\":\"rate_limit_error\"}}", 429},
        {"{\"error\":{\"code\":\"rate_limit_exceeded\",\"type\":\"tokens\"}}", 429},
        {"{\"error\":{\"code\":\"RateLimitReached\"}}", 429},
        {"{\"error\":{\"type\":\"insufficient_quota\"}}", 429},
        {"{\"error\":{\"status\":\"RESOURCE_EXHAUSTED\"}}", 429},
        {"{\"error\":{\"type\":\"overloaded_error\"}}", 503},
        {"{\"error\":{\"type\":\"engine_overloaded_error\"}}", 503},
        {"{\"error\":{\"type\":\"service_unavailable\"}}", 503},
        {"{\"error\":{\"type\":\"timeout_error\"}}", 504},
        {"{\"error\":{\"type\":\"invalid_request_error\",\"code\":null}}", 400},
        {"{\"error\":{\"code\":\"context_length_exceeded\"}}", 400},
        {"{\"error\":{\"type\":\"authentication_error\"}}", 401},
        {"{\"error\":{\"type\":\"permission_error\"}}", 403},
        {"{\"error\":{\"code\":\"model_not_found\"}}", 404},
        {"{\"error\":{\"type\":\"server_error\"}}", 500},
        {"{\"error\":\"text\"}", 500},
        {"[{\"error\":{\"code\":429}}]", 429},
        {"{\"error\":\"text\",\"code\":\"429\"}", 429},
        {"{\"error\":\"text\",\"code\":\"The service is unavailable\"}", 503},
        {"{\"error\":{}}", 500},
        {"{\"object\":\"error\",\"message\":\"m\",\"code\":400}", 400},
        {"{\"object\":\"error\",\"type\":\"invalid_request_error\"}", 400},
        {"{\"choices\":[{\"finish_reason\":\"error\"}],\"error\":{\"code\":502}}", 502},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int seen = 0; seen < 2; seen++) {
            struct dialect_stream s = {.content_seen = seen == 1};
            struct dialect_event ev = see(&s, cases[i].data);

            if (!ev.error || ev.error_status != cases[i].status) {
                fail_msg("%s: %u", cases[i].data, ev.error_status);
            }
            assert_false(ev.content || ev.finish);
        }
    }
}

// The provider's end of an answer, not the model's: an error where nothing was said yet.
static void ends_before_the_begin(void **state)
{
    static const char *const reasons[] = {"insufficient_system_resource", "network_error", "error"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        struct dialect_stream s = {.content_seen = false};
        struct dialect_event ev;
        char data[200];

        (void)snprintf(
            data, sizeof(data),
            "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"%s\"}]}",
            reasons[i]);
        ev = see(&s, data);
        assert_true(ev.error && !ev.finish && !ev.content);
        assert_int_equal(ev.error_status, 503);
        s.content_seen = true;
        ev = see(&s, data);
        assert_true(!ev.error && ev.finish);
        s.content_seen = false;
        (void)snprintf(
            data, sizeof(data),
            "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"%s\"}]}",
            reasons[i]);
        ev = see(&s, data);
        assert_true(!ev.error && ev.finish);
    }
}

static void usage_of_answers(void **state)
{
    static const struct {
        const char *body;
        struct dialect_usage u;
    } cases[] = {
        {"{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,"
         "\"prompt_tokens_details\":{\"cached_tokens\":64,\"cache_write_tokens\":8},"
         "\"completion_tokens_details\":{\"reasoning_tokens\":5}}}",
         {.known = true,
          .input = 100,
          .cached = 64,
          .cache_write = 8,
          .output = 20,
          .reasoning = 5}},
        {"{\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}", {.known = true, .input = 5}},
        {"{\"usage\":{\"input_tokens\":7,\"output_tokens\":8,\"input_tokens_details\":{"
         "\"cached_tokens\":3},\"output_tokens_details\":{\"reasoning_tokens\":2}}}",
         {.known = true, .input = 7, .cached = 3, .output = 8, .reasoning = 2}},
        // DeepSeek
        {"{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":120,"
         "\"prompt_cache_hit_tokens\":64,\"prompt_cache_miss_tokens\":36}}",
         {.known = true, .input = 100, .cached = 64, .output = 20}},
        // xAI: reasoning beside the completion
        {"{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":20,\"total_tokens\":170,"
         "\"completion_tokens_details\":{\"reasoning_tokens\":50}}}",
         {.known = true, .input = 100, .output = 70, .reasoning = 50}},
        // the same numbers where reasoning is inside
        {"{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":70,\"total_tokens\":170,"
         "\"completion_tokens_details\":{\"reasoning_tokens\":50}}}",
         {.known = true, .input = 100, .output = 70, .reasoning = 50}},
        // Groq, Moonshot, Mistral
        {"{\"x_groq\":{\"id\":\"r\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}}",
         {.known = true, .input = 1, .output = 2}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"cached_tokens\":4}}",
         {.known = true, .input = 9, .cached = 4, .output = 1}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"num_cached_tokens\":4}}",
         {.known = true, .input = 9, .cached = 4, .output = 1}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"prompt_token_details\":{"
         "\"cached_tokens\":4}}}",
         {.known = true, .input = 9, .cached = 4, .output = 1}},
        // audio; what the vendor says it cost: OpenRouter, Perplexity, DeepInfra, xAI
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":8,\"prompt_tokens_details\":{"
         "\"audio_tokens\":4},\"completion_tokens_details\":{\"audio_tokens\":3}}}",
         {.known = true, .input = 9, .output = 8, .audio_input = 4, .audio_output = 3}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"cost\":9.12e-4}}",
         {.known = true, .input = 9, .output = 1, .has_cost = true, .cost_pico = 912000000}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"cost\":{\"input_tokens_cost\":1,"
         "\"total_cost\":0.006}}}",
         {.known = true, .input = 9, .output = 1, .has_cost = true, .cost_pico = 6000000000}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"estimated_cost\":0.5}}",
         {.known = true, .input = 9, .output = 1, .has_cost = true, .cost_pico = 500000000000}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"cost_in_usd_ticks\":37756}}",
         {.known = true, .input = 9, .output = 1, .has_cost = true, .cost_pico = 3775600}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"cost\":null}}",
         {.known = true, .input = 9, .output = 1}},
        {"{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"cost\":-1}}",
         {.known = true, .input = 9, .output = 1}},
        // Moonshot: in the first choice
        {"{\"choices\":[{\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}},{\"usage\":1}]}",
         {.known = true, .input = 2, .output = 3}},
        // nothing, nulls, other types
        {"{}", {.known = false}},
        {"{\"usage\":null}", {.known = false}},
        {"{\"usage\":[]}", {.known = false}},
        {"{\"usage\":{\"prompt_tokens\":null}}", {.known = false}},
        {"{\"usage\":{\"prompt_tokens\":\"5\",\"completion_tokens\":-1}}", {.known = false}},
        {"{\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":null,\"prompt_tokens_details\":"
         "null,\"completion_tokens_details\":null}}",
         {.known = true, .input = 3}},
        {"{\"usage\":{\"prompt_tokens\":18446744073709551615,\"completion_tokens\":1}}",
         {.known = true, .input = (uint64_t)1 << 40, .output = 1}},
        {"not json", {.known = false}},
        {"", {.known = false}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_usage u = dialect_openai_answer_whole(slice_str(cases[i].body)).usage;
        const struct dialect_usage *x = &cases[i].u;

        if (u.known != x->known || u.input != x->input || u.cached != x->cached ||
            u.cache_write != x->cache_write || u.output != x->output ||
            u.reasoning != x->reasoning || u.audio_input != x->audio_input ||
            u.audio_output != x->audio_output || u.has_cost != x->has_cost ||
            u.cost_pico != x->cost_pico) {
            fail_msg("%s", cases[i].body);
        }
    }
}

// A counter of 0 is told apart from one that is not there: clients see the difference.
static void usage_that_is_there(void **state)
{
    static const struct {
        const char *usage;
        bool cached, cache_write, reasoning;
    } cases[] = {
        {"{\"prompt_tokens\":9}", false, false, false},
        {"{\"prompt_tokens_details\":{\"cached_tokens\":0}}", true, false, false},
        {"{\"prompt_tokens_details\":{\"cached_tokens\":null,\"cache_write_tokens\":0}}", false,
         true, false},
        {"{\"prompt_cache_hit_tokens\":0}", true, false, false},
        {"{\"cached_tokens\":1}", true, false, false},
        {"{\"completion_tokens_details\":{\"reasoning_tokens\":0}}", false, false, true},
        {"{\"completion_tokens_details\":{\"reasoning_tokens\":null}}", false, false, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_usage u = {.known = false};
        char body[200];

        (void)snprintf(body, sizeof(body), "{\"prompt_tokens\":1,%s", cases[i].usage + 1);
        assert_true(dialect_openai_answer_usage(slice_str(body), &u));
        if (u.has_cached != cases[i].cached || u.has_cache_write != cases[i].cache_write ||
            u.has_reasoning != cases[i].reasoning) {
            fail_msg("%s", body);
        }
    }
}

static void whole_answers(void **state)
{
    static const struct {
        const char *body;
        bool malformed;
        unsigned error_status;
    } cases[] = {
        {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", false, 0},
        {" [] ", false, 0},
        {"{\"error\":null,\"choices\":[]}", false, 0},
        {"{\"error\":{\"code\":429}}", false, 429},
        {"{\"error\":{\"code\":\"x\",\"message\":\"m\"}}", false, 500},
        {"{\"error\":{\"code\":\"rate_limit_exceeded\"}}", false, 429},
        {"{\"error\":{\"code\":200}}", false, 500},
        {"{\"error\":\"text\"}", false, 500},
        {"{\"error\":\"text\",\"code\":429}", false, 429},
        {"{\"error\":\"\"}", false, 0},
        {"{\"error\":false,\"data\":[]}", false, 0}, // nothing is wrong
        {"{\"error\":0}", false, 0},
        {"{\"error\":\"text\",\"choices\":[]}", false, 0},
        {"{\"object\":\"error\",\"message\":\"m\",\"code\":404}", false, 404},
        {"{\"object\":\"list\",\"data\":[]}", false, 0},
        {"{\"choices\":null,\"base_resp\":{\"status_code\":1002,\"status_msg\":\"m\"}}", false,
         429},
        {"{\"base_resp\":{\"status_code\":7}}", false, 500},
        {"{\"base_resp\":{\"status_code\":0}}", false, 0},
        {"{\"choices\":[1],\"base_resp\":{\"status_code\":1002}}", false, 0},
        {"{\"choices\":[],\"error\":{\"code\":429}}", false, 0},
        {"{\"error\":{\"code\":429}", true, 0},
        {"{\"error\":{\"code\":429}}x", true, 0},
        {"{\"a\":1,}", true, 0},
        {"", true, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_answer a = dialect_openai_answer_whole(slice_str(cases[i].body));

        if (a.malformed != cases[i].malformed || a.error_status != cases[i].error_status) {
            fail_msg("%s", cases[i].body);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usage_that_is_there),
        cmocka_unit_test(whole_answers),
        cmocka_unit_test(first_content),
        cmocka_unit_test(terminators_and_junk),
        cmocka_unit_test(after_the_first_content),
        cmocka_unit_test(usage_events),
        cmocka_unit_test(error_events),
        cmocka_unit_test(ends_before_the_begin),
        cmocka_unit_test(usage_of_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
