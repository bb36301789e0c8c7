// SPDX-License-Identifier: Apache-2.0
// Server-sent events: framing in every line end, the same events however the bytes are cut, bounds,
// and time that grows with the bytes only.
#include "dataplane/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/mono.h"

// CPU time of this thread: other processes may have the machine.
static uint64_t cpu_us(void)
{
    struct timespec ts;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

// Events as text: "event|data|flags\n" each; raw bytes are gathered aside.
struct log {
    struct buf text, raw;
    size_t n, stop; // stop: after so many; 0 = never
};

static bool on_event(void *ctx, const struct sse_event *e)
{
    struct log *l = ctx;

    buf_append(&l->raw, e->raw);
    if (e->data.p == NULL) {
        buf_append_str(&l->text, e->comment ? "#" : "-");
    } else {
        buf_append(&l->text, e->event);
        buf_append_char(&l->text, '|');
        buf_append(&l->text, e->data);
    }
    buf_append_char(&l->text, ';');
    return ++l->n != l->stop;
}

static void log_init(struct log *l)
{
    *l = (struct log){.n = 0};
    buf_init(&l->text, SIZE_MAX);
    buf_init(&l->raw, SIZE_MAX);
}

static void log_done(struct log *l)
{
    buf_done(&l->text);
    buf_done(&l->raw);
}

// Each piece in a block of its own size: nothing is read past it.
static bool feed(struct sse *s, struct slice piece, struct log *l)
{
    char *copy = mem_strndup(piece.p, piece.n);
    bool ok = sse_feed(s, (struct slice){copy, piece.n}, on_event, l);

    mem_free(copy);
    return ok;
}

static void check(struct slice text, size_t first, size_t step, const char *expected)
{
    struct log l;
    struct sse s;

    log_init(&l);
    sse_init(&s);
    assert_true(feed(&s, slice_head(text, first), &l));
    for (size_t at = first; at < text.n; at += step) {
        assert_true(feed(&s, slice_head(slice_from(text, at), step), &l));
    }
    sse_end(&s, on_event, &l);
    buf_append_char(&l.text, '\0');
    assert_string_equal(buf_slice(&l.text).p, expected);
    sse_done(&s);
    log_done(&l);
}

static void check_all_cuts(struct slice text, const char *expected)
{
    for (size_t first = 0; first <= text.n; first++) {
        check(text, first, SIZE_MAX / 2, expected);
    }
    for (size_t step = 1; step < 5; step++) {
        check(text, 0, step, expected);
    }
}

// '\n' of the text by other line ends.
static struct slice with_line_ends(struct buf *b, struct slice text, const char *line_end)
{
    buf_clear(b);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\n') {
            buf_append_str(b, line_end);
        } else {
            buf_append_char(b, text.p[i]);
        }
    }
    return buf_slice(b);
}

static void framing(void **state)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", ""},
        {"data: {\"a\":1}\n\ndata: [DONE]\n\n", "|{\"a\":1};|[DONE];"},
        // no SSE, but Google's errors: its lines are the data
        {"data: x\n[1]\n\n[{\n  \"error\": {}\ndata: 1\n}]\n\ndata: y\n\n",
         "|x;|[{\n  \"error\": {}\ndata: 1\n}];|y;"},
        {"{\"error\":1}", "|{\"error\":1};"},
        {"data:x\n\n", "|x;"},
        {"data:  x\n\n", "| x;"},
        {"data\n\n", "|;"},
        {"data:\n\n", "|;"},
        {"data: \n\n", "|;"},
        {"data: a\ndata: b\ndata:c\n\n", "|a\nb\nc;"},
        {"data:\ndata: b\n\n", "|\nb;"},
        {"data: a\ndata\n\n", "|a\n;"},
        {"event: ping\ndata: {}\n\n", "ping|{};"},
        {"data: 1\nevent:m\nevent: n\n\n", "n|1;"},
        {"id: 7\nretry: 10\nfoo: bar\ndata: 1\n\n", "|1;"},
        {"event: x\n\n", "-;"},
        {": comment\n\n", "#;"},
        {":\n\n", "#;"},
        {": a\n: b\n\n", "#;"},
        {": a\ndata: 1\n\n", "|1;"},
        {": a\nid: 1\n\n", "-;"},
        {"\n\n", "-;-;"},
        {"data: 1\n\n\ndata: 2\n\n", "|1;-;|2;"},
        {"data: 1", "|1;"},
        {"data: 1\n", "|1;"},
        {"data: 1\n\ndata: [DONE]", "|1;|[DONE];"},
        {"data: 1\n\n: bye", "|1;"},
        {"data: 1\n\nevent: x\n", "|1;"},
        {"Data: 1\n\n", "-;"},
        {" data: 1\n\n", "-;"},
        {"data : 1\n\n", "-;"},
        {"data: a:b\n\n", "|a:b;"},
        {"\xEF\xBB\xBF: ping\ndata:x\n\n", "|x;"},
        {"\xEF\xBB\xBF"
         "data: 1\n\n",
         "|1;"},
        {"data: 1\n\n\xEF\xBB\xBF"
         "data: 2\n\n",
         "|1;-;"},
        {"\xEF\xBB\xBF", ""},
        {"\xEF\xBB", ""},
        {"data: caf\xC3\xA9\n\n", "|caf\xC3\xA9;"},
    };
    static const char *const line_ends[] = {"\n", "\r\n", "\r"};
    struct buf b;

    (void)state;
    buf_init(&b, 4096);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t k = 0; k < ARRAY_LEN(line_ends); k++) {
            check_all_cuts(with_line_ends(&b, slice_str(cases[i].text), line_ends[k]),
                           cases[i].expected);
        }
    }
    buf_done(&b);
}

static void mixed_line_ends(void **state)
{
    (void)state;
    check_all_cuts(SLICE("data: 1\r\ndata: 2\rdata: 3\n\r\ndata: 4\r\n\rdata: 5\r\r\n"),
                   "|1\n2\n3;|4;|5;");
    check_all_cuts(SLICE("data: 1\n\r\r\n\n"), "|1;-;-;");
}

// Every byte that came is in exactly one event's raw bytes, up to the unterminated rest.
static void raw_is_what_came(void **state)
{
    struct slice text =
        SLICE("\xEF\xBB\xBF: hi\r\n\r\nevent: a\ndata: 1\n\n\n\ndata: 2\r\rdata: 3");

    (void)state;
    for (size_t step = 1; step <= text.n; step++) {
        struct log l;
        struct sse s;

        log_init(&l);
        sse_init(&s);
        for (size_t at = 0; at < text.n; at += step) {
            assert_true(feed(&s, slice_head(slice_from(text, at), step), &l));
        }
        sse_end(&s, on_event, &l);
        assert_true(slice_eq(buf_slice(&l.raw), text));
        sse_done(&s);
        log_done(&l);
    }
}

static void stopping_drops_the_rest(void **state)
{
    struct log l;
    struct sse s;

    (void)state;
    for (int split = 0; split < 2; split++) {
        log_init(&l);
        sse_init(&s);
        l.stop = 1;
        if (split == 1) {
            assert_true(feed(&s, SLICE("da"), &l));
        }
        assert_true(
            feed(&s, slice_from(SLICE("data: 1\n\ndata: 2\n\nda"), split == 1 ? 2 : 0), &l));
        assert_int_equal(l.n, 1);
        l.stop = 0;
        assert_true(feed(&s, SLICE("data: 3\n\n"), &l));
        buf_append_char(&l.text, '\0');
        assert_string_equal(buf_slice(&l.text).p, "|1;|3;");
        sse_done(&s);
        log_done(&l);
    }
}

// A buffer with an event of n bytes in all: "data: xxx...\n\n".
static void put_event(struct buf *b, size_t n)
{
    buf_append_str(b, "data: ");
    for (size_t left = n - 8; left > 0;) {
        static const char many[4096] = {0};
        size_t some = left < sizeof(many) ? left : sizeof(many);

        buf_append(b, (struct slice){many, some});
        left -= some;
    }
    buf_append_str(b, "\n\n");
}

static bool count(void *ctx, const struct sse_event *e)
{
    (void)e;
    ++*(size_t *)ctx;
    return true;
}

// The bound is on one event, however the reads are cut: many events may be larger together.
static void bound_of_one_event(void **state)
{
    static const struct {
        size_t event, n;
        bool ok;
    } cases[] = {
        {SSE_EVENT_MAX, 1, true},
        {SSE_EVENT_MAX + 1, 1, false},
        {SSE_EVENT_MAX / 2, 3, true},
        {1000, 10000, true},
    };
    static const size_t steps[] = {SIZE_MAX / 2, 9000001, 100000, 65536, 4095};
    struct buf b;

    (void)state;
    buf_init(&b, SIZE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&b);
        for (size_t k = 0; k < cases[i].n; k++) {
            put_event(&b, cases[i].event);
        }
        for (size_t k = 0; k < ARRAY_LEN(steps); k++) {
            size_t n = 0;
            bool ok = true;
            struct sse s;

            sse_init(&s);
            for (size_t at = 0; at < b.n && ok; at += steps[k]) {
                ok = sse_feed(&s, slice_head(slice_from(buf_slice(&b), at), steps[k]), count, &n);
            }
            assert_int_equal(ok, cases[i].ok);
            assert_int_equal(n, ok ? cases[i].n : 0);
            sse_done(&s);
        }
    }
    // An endless line is noticed as well; and many data lines in one read do not overrun anything.
    buf_clear(&b);
    while (b.n < SSE_EVENT_MAX + 100) {
        buf_append_str(&b, "data: x\n");
    }
    for (int split = 0; split < 2; split++) {
        struct sse s;
        size_t n = 0;

        sse_init(&s);
        if (split == 1) {
            assert_true(sse_feed(&s, SLICE("d"), count, &n));
        }
        assert_false(sse_feed(&s, slice_from(buf_slice(&b), split == 1 ? 1 : 0), count, &n));
        sse_done(&s);
    }
    buf_done(&b);
}

// A megabyte in pieces of one byte, and a megabyte of shortest lines of one kind.
static void linear_time(void **state)
{
    static const char *const units[] = {"a", "a\n", "a\r", "\r", "\n", "a\r\n"};
    uint64_t began = cpu_us();
    struct buf b;

    (void)state;
    buf_init(&b, 4u << 20);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        for (int pieces = 0; pieces < 2; pieces++) {
            struct sse s;
            size_t n = 0;

            buf_clear(&b);
            buf_append_str(&b, "data: ");
            while (b.n < 1u << 20) {
                buf_append_str(&b, units[i]);
            }
            sse_init(&s);
            for (size_t at = 0; at < b.n;) {
                struct slice in = slice_head(slice_from(buf_slice(&b), at), pieces == 1 ? 1 : b.n);

                assert_true(sse_feed(&s, in, count, &n));
                at += in.n;
            }
            sse_end(&s, count, &n);
            sse_done(&s);
        }
    }
    assert_true(cpu_us() - began < 10 * MONO_SEC);
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing),
        cmocka_unit_test(mixed_line_ends),
        cmocka_unit_test(raw_is_what_came),
        cmocka_unit_test(stopping_drops_the_rest),
        cmocka_unit_test(bound_of_one_event),
        cmocka_unit_test(linear_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
