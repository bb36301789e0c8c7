// SPDX-License-Identifier: Apache-2.0
// What is seen in answers and stream events of Anthropic's dialect that pass through.
#include "dataplane/dialect_anthropic_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"

#define START(block) "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":" block "}"
#define DELTA(delta) "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":" delta "}"

static struct dialect_event see(struct dialect_stream *s, const char *event, const char *data)
{
    return dialect_anthropic_answer_event(s, slice_str(event), slice_str(data));
}

// First content of a stream, and what else an event says.
static void events(void **state)
{
    static const struct {
        const char *data;
        bool content, finish, terminator, malformed;
        unsigned error;
    } cases[] = {
        {"{\"type\":\"ping\"}", false, false, false, false, 0},
        {"{\"type\":\"new_event\",\"text\":\"x\"}", false, false, false, false, 0},
        {"{\"type\":\"message_start\",\"message\":{\"usage\":null}}", false, false, false, false,
         0},
        {"{\"type\":\"content_block_stop\",\"index\":0}", false, false, false, false, 0},
        {START("{\"type\":\"text\",\"text\":\"\"}"), false, false, false, false, 0},
        {START("{\"type\":\"text\",\"text\":\"a\"}"), true, false, false, false, 0},
        {START("{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}"), false, false, false,
         false, 0},
        {START("{\"type\":\"redacted_thinking\",\"data\":\"x\"}"), true, false, false, false, 0},
        {START("{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{}}"), true, false,
         false, false, 0},
        {DELTA("{\"type\":\"text_delta\",\"text\":\"\"}"), false, false, false, false, 0},
        {DELTA("{\"type\":\"text_delta\",\"text\":\" \"}"), true, false, false, false, 0},
        {DELTA("{\"type\":\"thinking_delta\",\"thinking\":\"a\"}"), true, false, false, false, 0},
        {DELTA("{\"type\":\"signature_delta\",\"signature\":\"a\"}"), false, false, false, false,
         0},
        {DELTA("{\"type\":\"input_json_delta\",\"partial_json\":\"\"}"), false, false, false, false,
         0},
        {DELTA("{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}"), true, false, false, false,
         0},
        {"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null}}", false, false, false,
         false, 0},
        {"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}", true, true, false,
         false, 0},
        {" {\"type\":\"message_stop\"}", false, false, true, false, 0},
        {"{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}", false,
         false, false, false, 529},
        {"{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\"}}", false, false, false,
         false, 429},
        {"{\"type\":\"error\",\"error\":{\"type\":\"api_error\"}}", false, false, false, false,
         500},
        {"{\"type\":\"error\"}", false, false, false, false, 500},
        {"{\"error\":{\"type\":\"billing_error\"}}", false, false, false, false, 402},
        {"", false, false, false, false, 0},
        {"[]", false, false, false, true, 0},
        {"\"x\"", false, false, false, true, 0},
        {"{\"type\":", false, false, false, true, 0},
        {"[DONE]", false, false, false, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_stream s = {.content_seen = false};
        struct dialect_event ev = see(&s, NULL, cases[i].data);

        if (ev.content != cases[i].content || ev.finish != cases[i].finish ||
            ev.terminator != cases[i].terminator || ev.malformed != cases[i].malformed ||
            ev.error != (cases[i].error != 0) || ev.error_status != cases[i].error) {
            fail_msg("%s", cases[i].data);
        }
        assert_int_equal(s.content_seen, cases[i].content);
        assert_int_equal(s.terminated, cases[i].terminator);
        assert_int_equal(s.choices_finished, cases[i].finish);
        assert_int_equal(s.choices_seen, cases[i].finish);
    }
}

// The event's name stands in where the data has no type; deltas are not read once content flows.
static void names_of_events(void **state)
{
    struct dialect_stream s = {.content_seen = false};

    (void)state;
    assert_true(see(&s, "message_stop", "{}").terminator);
    assert_false(see(&s, "message_stop", "{\"type\":\"ping\"}").terminator);
    assert_true(see(&s, "content_block_delta", "x").malformed);
    assert_true(see(&s, "content_block_delta", DELTA("{\"text\":\"a\"}")).content);
    assert_true(see(&s, "content_block_delta", "x").content);
    assert_true(see(&s, NULL, "x").malformed);
    assert_true(see(&s, "error", "{\"type\":\"error\",\"error\":{}}").error);
}

static void usage_is_cumulative(void **state)
{
    struct dialect_stream s = {.content_seen = false};

    (void)state;
    (void)see(&s, "message_start",
              "{\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":20,"
              "\"cache_creation_input_tokens\":null,\"cache_read_input_tokens\":5,"
              "\"output_tokens\":1}}}");
    assert_true(s.usage.known && s.usage.has_cached && !s.usage.has_cache_write);
    assert_int_equal(s.usage.input, 25);
    assert_int_equal(s.usage.output, 1);
    (void)see(&s, "message_delta",
              "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{"
              "\"output_tokens\":7,\"output_tokens_details\":{\"thinking_tokens\":3}}}");
    assert_int_equal(s.usage.input, 25);
    assert_int_equal(s.usage.output, 7);
    assert_int_equal(s.usage.reasoning, 3);
    (void)see(&s, "message_delta",
              "{\"type\":\"message_delta\",\"usage\":{\"input_tokens\":30,\"output_tokens\":null,"
              "\"cache_creation_input_tokens\":4,\"cache_read_input_tokens\":10,"
              "\"cache_creation\":{\"ephemeral_1h_input_tokens\":2}}}");
    assert_int_equal(s.usage.input, 44);
    assert_int_equal(s.usage.cached, 10);
    assert_int_equal(s.usage.cache_write, 4);
    assert_int_equal(s.usage.cache_write_1h, 2);
    assert_int_equal(s.usage.output, 7);
}

// providers/testvectors/misc.json, and numbers that are none.
static void usage_of_objects(void **state)
{
    static const struct {
        const char *usage;
        bool known, cached, write;
        uint64_t input, output;
    } cases[] = {
        {"{\"input_tokens\":10,\"cache_creation_input_tokens\":null,"
         "\"cache_read_input_tokens\":90,\"output_tokens\":5}",
         true, true, false, 100, 5},
        {"{}", false, false, false, 0, 0},
        {"null", false, false, false, 0, 0},
        {"{\"input_tokens\":-1,\"output_tokens\":1.5}", false, false, false, 0, 0},
        {"{\"input_tokens\":99999999999999999}", true, false, false, (uint64_t)1 << 40, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_usage u = {.known = false};

        dialect_anthropic_answer_usage(slice_str(cases[i].usage), &u);
        assert_int_equal(u.known, cases[i].known);
        assert_int_equal(u.has_cached, cases[i].cached);
        assert_int_equal(u.has_cache_write, cases[i].write);
        assert_int_equal(u.input, cases[i].input);
        assert_int_equal(u.output, cases[i].output);
    }
}

// Searches are paid for each; they are counted up to here, and null is no news.
static void searches_are_counted(void **state)
{
    struct dialect_usage u = {.known = false};

    (void)state;
    dialect_anthropic_answer_usage(
        SLICE("{\"input_tokens\":1,\"server_tool_use\":{\"web_search_requests\":1}}"), &u);
    assert_int_equal(u.searches, 1);
    dialect_anthropic_answer_usage(
        SLICE("{\"output_tokens\":1,\"server_tool_use\":{\"web_search_requests\":3}}"), &u);
    dialect_anthropic_answer_usage(SLICE("{\"output_tokens\":2,\"server_tool_use\":null}"), &u);
    assert_int_equal(u.searches, 3);
}

static void whole_answers(void **state)
{
    static const struct {
        const char *body;
        bool malformed, known;
        unsigned error;
    } cases[] = {
        {"{\"content\":[],\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}", false, true, 0},
        {"{\"content\":[]}", false, false, 0},
        {"{\"input_tokens\":14}", false, true, 0}, // count_tokens costs nothing
        {"{\"type\":\"error\",\"error\":{\"type\":\"not_found_error\"}}", false, false, 404},
        {"{\"error\":{\"type\":\"nonsense\"}}", false, false, 500},
        {"{\"content\":[],\"error\":{\"type\":\"api_error\"}}", false, false, 0},
        {"{\"content\":[}", true, false, 0},
        {"", true, false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_answer a = dialect_anthropic_answer_whole(slice_str(cases[i].body));

        assert_int_equal(a.malformed, cases[i].malformed);
        assert_int_equal(a.usage.known, cases[i].known);
        assert_int_equal(a.error_status, cases[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events),
        cmocka_unit_test(names_of_events),
        cmocka_unit_test(usage_is_cumulative),
        cmocka_unit_test(usage_of_objects),
        cmocka_unit_test(searches_are_counted),
        cmocka_unit_test(whole_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
