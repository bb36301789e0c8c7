// SPDX-License-Identifier: Apache-2.0
// Lines of JSON: every split of the bytes gives the same lines.
#include "dataplane/ndjson.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct seen {
    struct buf out;
    size_t lines, stop_at;
};

static bool on_line(void *ctx, struct slice line)
{
    struct seen *s = ctx;

    buf_append(&s->out, line);
    buf_append_char(&s->out, '|');
    return ++s->lines != s->stop_at;
}

static void takes_every_split(void **state)
{
    static const char text[] = "{\"a\":1}\n\r\n{\"b\":\"x y\"}\r\n  \n[3]\nlast";

    (void)state;
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        struct seen s = {.lines = 0};
        struct ndjson n;

        buf_init(&s.out, 4096);
        ndjson_init(&n, 64);
        assert_true(ndjson_feed(&n, (struct slice){text, cut}, on_line, &s));
        assert_true(
            ndjson_feed(&n, (struct slice){text + cut, sizeof(text) - 1 - cut}, on_line, &s));
        ndjson_end(&n, on_line, &s);
        assert_string_equal(buf_cstr(&s.out), "{\"a\":1}|{\"b\":\"x y\"}|[3]|last|");
        ndjson_done(&n);
        buf_done(&s.out);
    }
}

static void bounds_a_line_and_stops(void **state)
{
    struct seen s = {.stop_at = 1};
    struct ndjson n;

    (void)state;
    buf_init(&s.out, 4096);
    ndjson_init(&n, 8);
    assert_false(ndjson_feed(&n, SLICE("123456789\n"), on_line, &s));
    ndjson_done(&n);
    ndjson_init(&n, 8);
    assert_true(ndjson_feed(&n, SLICE("12345"), on_line, &s));
    assert_false(ndjson_feed(&n, SLICE("6789"), on_line, &s));
    ndjson_done(&n);
    ndjson_init(&n, 8);
    assert_true(ndjson_feed(&n, SLICE("1\n2\n3\n"), on_line, &s));
    assert_string_equal(buf_cstr(&s.out), "1|");
    ndjson_done(&n);
    buf_done(&s.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(takes_every_split),
                                       cmocka_unit_test(bounds_a_line_and_stops)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
