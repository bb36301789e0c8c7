// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/stream.h"

#define ROLE   "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n"
#define WORD   "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w\"}}]}\n\n"
#define FINISH "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE  "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n"
#define OOPS   "data: {\"error\":{\"message\":\"m\",\"type\":\"rate_limit_error\"}}\n\n"

static void emit(void *ctx, struct slice raw)
{
    buf_append(ctx, raw);
}

static struct stream begin(bool hide, bool tee)
{
    struct stream s;

    stream_begin(&s, &dialect_openai, NULL, 1, hide, tee);
    return s;
}

static void feed(struct stream *s, const char *text)
{
    stream_feed(s, slice_str(text));
}

static void holds_until_content(void **state)
{
    struct stream s = begin(true, false);
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    feed(&s, ": ping\n\n" ROLE);
    assert_false(s.content);
    assert_false(s.progress); // neither a comment nor a role is progress
    feed(&s, WORD);
    assert_true(s.content && s.progress);
    stream_release(&s, emit, &out);
    assert_true(slice_eq_str(buf_slice(&out), ": ping\n\n" ROLE WORD));
    feed(&s, FINISH USAGE "data: [DONE]\n\n");
    assert_true(slice_eq_str(buf_slice(&out), ": ping\n\n" ROLE WORD FINISH "data: [DONE]\n\n"));
    assert_true(stream_is_complete(&s));
    assert_int_equal(s.seen.usage.output, 2);
    stream_close(&s);
    stream_close(&s); // idempotent
    buf_done(&out);
}

static struct slice half_a_dollar(void *ctx, const struct dialect_usage *u, char out[40])
{
    (void)out;
    *(uint64_t *)ctx = u->output;
    return u->output == 2 ? SLICE("0.5") : SLICE_NULL;
}

// usage: {include: true}: the client sees the cost, the cache's copy stays as it came.
static void shows_the_cost(void **state)
{
    static const struct {
        const char *event, *shown;
    } cases[] = {
        {USAGE, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,"
                "\"cost\":0.5}}\n\n"},
        {"id: 7\r\ndata:{\"choices\":[],\"usage\":{\"completion_tokens\":2}}\r\nx: y\r\n\r\n",
         "id: 7\r\ndata:{\"choices\":[],\"usage\":{\"completion_tokens\":2,\"cost\":0.5}}\r\nx: "
         "y\r\n\r\n"},
        {"data: {\"choices\":[],\ndata: \"usage\":{\"completion_tokens\":2}}\n\n",
         "data: {\"choices\":[], \"usage\":{\"completion_tokens\":2,\"cost\":0.5}}\n\n"},
        // unpriced; the provider's own
        {"data: {\"choices\":[],\"usage\":{\"completion_tokens\":3}}\n\n",
         "data: {\"choices\":[],\"usage\":{\"completion_tokens\":3,\"cost\":null}}\n\n"},
        {"data: {\"choices\":[],\"usage\":{\"completion_tokens\":2,\"cost\":9}}\n\n",
         "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2,\"cost\":9}}\n\n"},
        {"data: {\"choices\":[],\"usage\":null}\n\n", "data: {\"choices\":[],\"usage\":null}\n\n"},
        {"data: [DONE]\n\n", "data: [DONE]\n\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stream s = begin(false, true);
        uint64_t seen = 0;
        struct buf out;

        buf_init(&out, 1u << 20);
        stream_show_cost(&s, half_a_dollar, &seen);
        feed(&s, WORD);
        stream_release(&s, emit, &out);
        buf_clear(&out);
        feed(&s, cases[i].event);
        if (!slice_eq_str(buf_slice(&out), cases[i].shown)) {
            fail_msg("case %zu: %s", i, buf_cstr(&out));
        }
        assert_true(slice_ends(buf_slice(&s.tee), slice_str(cases[i].event)));
        stream_close(&s);
        buf_done(&out);
    }
}

static void is_overfull_at_its_bound(void **state)
{
    struct stream s = begin(true, false);

    (void)state;
    for (int i = 0; i < 2000 && !s.overfull; i++) {
        feed(&s, ": a comment of some forty bytes, no more\n\n");
    }
    assert_true(s.overfull);
    assert_false(s.content);
    assert_true(s.held.n <= STREAM_HOLD_MAX + 64);
    stream_close(&s);
}

static void keeps_an_error_to_itself_before_content(void **state)
{
    struct stream s = begin(true, true);

    (void)state;
    feed(&s, ROLE OOPS WORD);
    assert_true(s.failed);
    assert_int_equal(s.error_status, 429);
    assert_true(slice_starts(buf_slice(&s.error), SLICE("{\"error\"")));
    assert_true(slice_eq_str(buf_slice(&s.held), ROLE));
    assert_false(stream_is_complete(&s));
    assert_false(s.teeing);
    stream_close(&s);
}

static void passes_an_error_on_after_content(void **state)
{
    struct stream s = begin(true, false);

    (void)state;
    feed(&s, WORD OOPS WORD); // all in one read
    assert_true(s.failed && s.content);
    assert_true(slice_eq_str(buf_slice(&s.held), WORD OOPS));
    stream_close(&s);
}

static void copies_all_of_it_to_the_tee(void **state)
{
    struct stream s = begin(true, true);

    (void)state;
    feed(&s, WORD FINISH USAGE "data: [DONE]\n\n");
    assert_true(slice_eq_str(buf_slice(&s.tee), WORD FINISH USAGE "data: [DONE]\n\n"));
    stream_close(&s);
}

static void is_complete_by_finish_reasons_or_terminator(void **state)
{
    static const struct {
        const char *text;
        uint32_t choices;
        bool complete;
    } cases[] = {
        {WORD, 1, false},        {WORD FINISH, 1, true},
        {WORD FINISH, 2, false}, {WORD "data: [DONE]\n\n", 1, true},
        {"", 1, false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct stream s = begin(true, false);

        s.choices = cases[i].choices;
        feed(&s, cases[i].text);
        stream_finish(&s);
        assert_int_equal(stream_is_complete(&s), cases[i].complete);
        stream_close(&s);
    }
}

static void closes_an_unterminated_last_event(void **state)
{
    struct stream s = begin(true, false);
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    feed(&s, WORD);
    stream_release(&s, emit, &out);
    feed(&s, "data: [DONE]");
    stream_finish(&s);
    stream_finish(&s); // idempotent
    assert_true(slice_eq_str(buf_slice(&out), WORD "data: [DONE]\n\n"));
    assert_true(stream_is_complete(&s));
    stream_close(&s);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_until_content),
        cmocka_unit_test(shows_the_cost),
        cmocka_unit_test(is_overfull_at_its_bound),
        cmocka_unit_test(keeps_an_error_to_itself_before_content),
        cmocka_unit_test(passes_an_error_on_after_content),
        cmocka_unit_test(copies_all_of_it_to_the_tee),
        cmocka_unit_test(is_complete_by_finish_reasons_or_terminator),
        cmocka_unit_test(closes_an_unterminated_last_event),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
