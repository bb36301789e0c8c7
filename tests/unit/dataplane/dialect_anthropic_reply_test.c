// SPDX-License-Identifier: Apache-2.0
// Answers and events as an Anthropic client gets them.
#include "dataplane/dialect_anthropic_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena arena;
static struct rng rng;
static struct buf out;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    rng_init(&rng, 1);
    buf_init(&out, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    buf_done(&out);
    return 0;
}

static struct canon_context context(void)
{
    return (struct canon_context){
        .arena = &arena, .rng = &rng, .endpoint = DIALECT_MESSAGES, .model = SLICE("sent")};
}

static const char *answered(struct canon_part *parts, enum canon_finish finish, const char *stop)
{
    struct canon_choice_out k = {
        .parts = parts, .finish = finish, .stop_sequence = slice_str(stop)};
    struct canon_answer a = {.id = SLICE("x1"), .model = SLICE("m"), .choices = &k};
    struct canon_context c = context();

    buf_clear(&out);
    dialect_anthropic.write_answer(&a, &c, &out);
    return buf_cstr(&out);
}

#define HEAD "{\"id\":\"msg_x1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\","
#define ZERO                                                                                       \
    "\"usage\":{\"input_tokens\":0,\"cache_creation_input_tokens\":0,"                             \
    "\"cache_read_input_tokens\":0,\"output_tokens\":0}}"

static void blocks_in_order(void **state)
{
    struct canon_part raw = {.kind = CANON_TOOL_CALL, .name = SLICE("g"), .text = SLICE("{bad")};
    struct canon_part call = {.kind = CANON_TOOL_CALL,
                              .id = SLICE("call_1"),
                              .name = SLICE("f"),
                              .args = SLICE("{\"a\": 1.50}"),
                              .next = &raw};
    struct canon_part two = {.kind = CANON_TEXT, .text = SLICE("two"), .next = &call};
    struct canon_part one = {.kind = CANON_TEXT, .text = SLICE("one\\n"), .next = &two};
    struct canon_part hidden = {.kind = CANON_REDACTED, .data = SLICE("d"), .next = &one};
    struct canon_part thought = {.kind = CANON_REASONING, .text = SLICE("t"), .next = &hidden};

    (void)state;
    raw.id = SLICE("call_2");
    assert_string_equal(
        answered(&thought, CANON_FINISH_TOOLS, NULL), HEAD
        "\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},"
        "{\"type\":\"redacted_thinking\",\"data\":\"d\"},"
        "{\"type\":\"text\",\"text\":\"one\\ntwo\"},"
        "{\"type\":\"tool_use\",\"id\":\"call_1\",\"name\":\"f\",\"input\":{\"a\":1.50}},"
        "{\"type\":\"tool_use\",\"id\":\"call_2\",\"name\":\"g\",\"input\":"
        "{\"raw_arguments\":\"{bad\"}}],\"stop_reason\":\"tool_use\",\"stop_sequence\":null," ZERO);
}

static void stop_reasons(void **state)
{
    static const struct {
        enum canon_finish finish;
        enum canon_part_kind kind;
        const char *stop, *want;
    } cases[] = {
        {CANON_FINISH_STOP, CANON_TEXT, NULL, "\"end_turn\",\"stop_sequence\":null"},
        {CANON_FINISH_NONE, CANON_TEXT, NULL, "\"end_turn\",\"stop_sequence\":null"},
        {CANON_FINISH_STOP, CANON_TEXT, "END", "\"stop_sequence\",\"stop_sequence\":\"END\""},
        {CANON_FINISH_STOP, CANON_TOOL_CALL, NULL, "\"tool_use\",\"stop_sequence\":null"},
        {CANON_FINISH_LENGTH, CANON_TOOL_CALL, NULL, "\"max_tokens\",\"stop_sequence\":null"},
        {CANON_FINISH_TOOLS, CANON_TOOL_CALL, NULL, "\"tool_use\",\"stop_sequence\":null"},
        {CANON_FINISH_FILTER, CANON_TEXT, "END", "\"refusal\",\"stop_sequence\":null"},
        {CANON_FINISH_STOP, CANON_REFUSAL, NULL, "\"refusal\",\"stop_sequence\":null"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_part p = {.kind = cases[i].kind, .text = SLICE("x"), .args = SLICE("{}")};
        const char *got = answered(&p, cases[i].finish, cases[i].stop);

        if (slice_find(slice_str(got), slice_str(arena_printf(&arena, "\"stop_reason\":%s,\"usage",
                                                              cases[i].want))) == SIZE_MAX) {
            fail_msg("%zu: %s", i, got);
        }
    }
}

static struct slice price(void *ctx, const struct dialect_usage *u, char text[32])
{
    (void)ctx;
    return (struct slice){text, (size_t)snprintf(text, 32, "0.00%u", (unsigned)u->output)};
}

static void usage_and_counts(void **state)
{
    struct canon_answer a = {.usage = {.known = true,
                                       .input = 100,
                                       .cached = 60,
                                       .cache_write = 10,
                                       .output = 7,
                                       .reasoning = 3}};
    struct canon_context c = context();

    (void)state;
    c.cost = price;
    buf_clear(&out);
    dialect_anthropic.write_answer(&a, &c, &out);
    assert_true(slice_starts(buf_slice(&out), SLICE("{\"id\":\"msg_")));
    assert_true(
        slice_ends(buf_slice(&out),
                   SLICE("\"role\":\"assistant\",\"model\":\"sent\",\"content\":[],\"stop_reason\":"
                         "\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":30,"
                         "\"cache_creation_input_tokens\":10,\"cache_read_input_tokens\":60,"
                         "\"output_tokens\":7,\"output_tokens_details\":{\"thinking_tokens\":3},"
                         "\"cost\":0.007}}")));
    c.endpoint = DIALECT_COUNT_TOKENS;
    buf_clear(&out);
    dialect_anthropic.write_answer(&a, &c, &out);
    assert_string_equal(buf_cstr(&out), "{\"input_tokens\":100}");
}

// --- events ------------------------------------------------------------------------------------

static struct dialect_anthropic_writer writer;

static void begin(void)
{
    writer = (struct dialect_anthropic_writer){.index = 0};
    buf_clear(&out);
}

static void tell(struct canon_event ev)
{
    struct canon_context c = context();

    dialect_anthropic.write_event(&writer, &ev, &c, &out);
}

static void tell_text(enum canon_event_kind kind, const char *text)
{
    tell((struct canon_event){.kind = kind, .text = slice_str(text)});
}

#define EVENT(name, rest) "event: " name "\ndata: {\"type\":\"" name "\"" rest "}\n\n"
#define OPEN(i, block)    EVENT("content_block_start", ",\"index\":" i ",\"content_block\":" block)
#define DELTA(i, delta)   EVENT("content_block_delta", ",\"index\":" i ",\"delta\":" delta)
#define CLOSE(i)          EVENT("content_block_stop", ",\"index\":" i)
#define LAST(reason, input, output)                                                                \
    EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"" reason                                 \
                           "\",\"stop_sequence\":null},\"usage\":{\"input_tokens\":" input         \
                           ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"     \
                           "\"output_tokens\":" output "}")                                        \
    EVENT("message_stop", "")

static void one_block_is_open(void **state)
{
    struct dialect_usage u = {.known = true, .input = 9, .output = 4};

    (void)state;
    begin();
    tell((struct canon_event){.kind = CANON_EV_START, .id = SLICE("a"), .model = SLICE("m")});
    tell_text(CANON_EV_TEXT, "");
    tell_text(CANON_EV_REASONING, "think");
    tell_text(CANON_EV_SIGNATURE, "sig");
    tell_text(CANON_EV_REDACTED, "data");
    tell_text(CANON_EV_TEXT, "one");
    tell_text(CANON_EV_TEXT, "two");
    tell((struct canon_event){
        .kind = CANON_EV_TOOL, .tool = 0, .id = SLICE("i"), .name = SLICE("f")});
    tell((struct canon_event){.kind = CANON_EV_ARGS, .tool = 0, .text = SLICE("")});
    tell((struct canon_event){.kind = CANON_EV_ARGS, .tool = 0, .text = SLICE("{")});
    tell((struct canon_event){
        .kind = CANON_EV_TOOL, .tool = 1, .id = SLICE("j"), .name = SLICE("g")});
    tell((struct canon_event){.kind = CANON_EV_ARGS, .tool = 0, .text = SLICE("late")});
    tell((struct canon_event){.kind = CANON_EV_ARGS, .tool = 1, .text = SLICE("{}")});
    tell((struct canon_event){.kind = CANON_EV_FINISH, .finish = CANON_FINISH_TOOLS});
    tell((struct canon_event){.kind = CANON_EV_USAGE, .usage = &u});
    tell((struct canon_event){.kind = CANON_EV_END});
    assert_string_equal(
        buf_cstr(&out),
        EVENT("message_start",
              ",\"message\":{\"id\":\"msg_a\",\"type\":\"message\",\"role\":\"assistant\","
              "\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
              "\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}")
            OPEN("0", "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}") DELTA(
                "0", "{\"type\":\"thinking_delta\",\"thinking\":\"think\"}")
                DELTA("0", "{\"type\":\"signature_delta\",\"signature\":\"sig\"}") CLOSE("0") OPEN(
                    "1", "{\"type\":\"redacted_thinking\",\"data\":\"data\"}") CLOSE("1")
                    OPEN("2", "{\"type\":\"text\",\"text\":\"\"}") DELTA(
                        "2", "{\"type\":\"text_delta\",\"text\":\"one\"}")
                        DELTA("2", "{\"type\":\"text_delta\",\"text\":\"two\"}") CLOSE("2") OPEN(
                            "3", "{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{}}")
                            DELTA("3", "{\"type\":\"input_json_delta\",\"partial_json\":\"{\"}")
                                CLOSE("3") OPEN(
                                    "4",
                                    "{\"type\":\"tool_use\",\"id\":\"j\",\"name\":\"g\",\"input\":{}}")
                                    DELTA("4",
                                          "{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}")
                                        CLOSE("4") LAST("tool_use", "9", "4"));
}

// Text behind a call is a block of its own; what has no place is left out.
static void what_has_no_place(void **state)
{
    struct canon_part image = {.kind = CANON_IMAGE};

    (void)state;
    begin();
    tell((struct canon_event){.kind = CANON_EV_TEXT, .choice = 1, .text = SLICE("other")});
    tell((struct canon_event){.kind = CANON_EV_IMAGE, .part = &image});
    tell_text(CANON_EV_GOOGLE_SIGNATURE, "x");
    tell((struct canon_event){.kind = CANON_EV_CITATION});
    tell((struct canon_event){.kind = CANON_EV_ARGS, .text = SLICE("{}")});
    assert_int_equal(out.n, 0);
    tell((struct canon_event){.kind = CANON_EV_TOOL, .id = SLICE("i"), .name = SLICE("f")});
    tell_text(CANON_EV_TEXT, "t");
    tell((struct canon_event){.kind = CANON_EV_END});
    assert_string_equal(
        buf_cstr(&out),
        OPEN("0", "{\"type\":\"tool_use\",\"id\":\"i\",\"name\":\"f\",\"input\":{}}") CLOSE("0")
            OPEN("1", "{\"type\":\"text\",\"text\":\"\"}")
                DELTA("1", "{\"type\":\"text_delta\",\"text\":\"t\"}") CLOSE("1")
                    LAST("tool_use", "0", "0"));
}

static void refusals_and_errors(void **state)
{
    struct dialect_error e = {.status = 503, .type = "server_error", .message = SLICE("busy")};

    (void)state;
    begin();
    tell_text(CANON_EV_REFUSAL, "no");
    tell((struct canon_event){.kind = CANON_EV_FINISH, .finish = CANON_FINISH_STOP});
    tell((struct canon_event){.kind = CANON_EV_END});
    assert_string_equal(buf_cstr(&out), OPEN("0", "{\"type\":\"text\",\"text\":\"\"}")
                                            DELTA("0", "{\"type\":\"text_delta\",\"text\":\"no\"}")
                                                CLOSE("0") LAST("refusal", "0", "0"));
    begin();
    tell((struct canon_event){.kind = CANON_EV_ERROR, .error = &e});
    assert_string_equal(buf_cstr(&out), EVENT("error", ",\"error\":{\"type\":\"overloaded_error\","
                                                       "\"message\":\"busy\"}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_in_order),   cmocka_unit_test(stop_reasons),
        cmocka_unit_test(usage_and_counts),  cmocka_unit_test(one_block_is_open),
        cmocka_unit_test(what_has_no_place), cmocka_unit_test(refusals_and_errors),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
