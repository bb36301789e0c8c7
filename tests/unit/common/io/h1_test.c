// SPDX-License-Identifier: Apache-2.0
// Every case is parsed whole, cut in two at each byte, and byte by byte: the outcome must be the
// same.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/base/mem.h"
#include "common/io/h1.h"

enum end { OPEN, EOF_AFTER }; // does the connection end behind the input?

struct test_case {
    const char *name;
    const char *in;
    bool head_request;
    enum end end;
    // expected
    enum h1_state state;
    unsigned status;
    bool keep_alive;
    const char *body;
    size_t rest;       // bytes behind the message
    const char *error; // part of the message when H1_FAILED
};

#define OK "HTTP/1.1 200 OK\r\n"

static const struct test_case cases[] = {
    {"fixed length", OK "Content-Length: 5\r\n\r\nhello", false, OPEN, H1_DONE, 200, true, "hello",
     0, NULL},
    {"no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", false, OPEN, H1_DONE, 200, true, "",
     0, NULL},
    {"empty reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false, OPEN, H1_DONE, 200, true,
     "", 0, NULL},
    {"bare LF", "HTTP/1.1 429 Slow\nContent-Length: 2\n\nhi", false, OPEN, H1_DONE, 429, true, "hi",
     0, NULL},
    {"rest is left", OK "Content-Length: 2\r\n\r\nhiHTTP/1.1", false, OPEN, H1_DONE, 200, true,
     "hi", 8, NULL},
    {"blanks round values", OK "content-length:\t 2 \t\r\n\r\nhi", false, OPEN, H1_DONE, 200, true,
     "hi", 0, NULL},
    {"same length twice", OK "Content-Length: 2\r\nContent-Length: 2, 2\r\n\r\nhi", false, OPEN,
     H1_DONE, 200, true, "hi", 0, NULL},
    {"body not complete", OK "Content-Length: 5\r\n\r\nhel", false, OPEN, H1_BODY, 200, true, "hel",
     0, NULL},
    {"body cut", OK "Content-Length: 5\r\n\r\nhel", false, EOF_AFTER, H1_FAILED, 200, true, "hel",
     0, "inside the response body"},
    {"head cut", OK "Content-Le", false, EOF_AFTER, H1_FAILED, 0, false, "", 0,
     "inside the response head"},
    {"nothing came", "", false, EOF_AFTER, H1_FAILED, 0, false, "", 0, "before a response"},

    {"until close", OK "\r\nall of it", false, EOF_AFTER, H1_DONE, 200, false, "all of it", 0,
     NULL},
    {"until close, open", OK "\r\nall of", false, OPEN, H1_BODY, 200, false, "all of", 0, NULL},
    {"close", OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", false, OPEN, H1_DONE, 200,
     false, "x", 0, NULL},
    {"close in a list", OK "connection: foo , CLOSE\r\ncontent-length: 1\r\n\r\nx", false, OPEN,
     H1_DONE, 200, false, "x", 0, NULL},
    {"1.0 closes", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, OPEN, H1_DONE, 200,
     false, "x", 0, NULL},
    {"1.0 keeps", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", false,
     OPEN, H1_DONE, 200, true, "x", 0, NULL},
    {"1.0 chunked closes",
     "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
     false, OPEN, H1_DONE, 200, false, "x", 0, NULL},
    {"1.3 is 1.1", "HTTP/1.3 200 OK\r\nContent-Length: 0\r\n\r\n", false, OPEN, H1_DONE, 200, true,
     "", 0, NULL},

    {"HEAD", OK "Content-Length: 500\r\n\r\n", true, OPEN, H1_DONE, 200, true, "", 0, NULL},
    {"HEAD chunked", OK "Transfer-Encoding: chunked\r\n\r\n", true, OPEN, H1_DONE, 200, true, "", 0,
     NULL},
    {"HEAD without length", OK "\r\n", true, OPEN, H1_DONE, 200, true, "", 0, NULL},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", false, OPEN, H1_DONE, 204, true, "", 0, NULL},
    {"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, OPEN, H1_DONE, 304,
     true, "", 0, NULL},
    {"100 then 200", "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\nx", false, OPEN,
     H1_DONE, 200, true, "x", 0, NULL},
    {"103 with headers",
     "HTTP/1.1 103 Early Hints\r\nlink: x\r\ncontent-length: 7\r\n\r\n" OK
     "content-length: 1\r\n\r\nx",
     false, OPEN, H1_DONE, 200, true, "x", 0, NULL},
    {"cut behind a 100", "HTTP/1.1 100 Continue\r\n\r\n", false, EOF_AFTER, H1_FAILED, 0, false, "",
     0, "before"},
    {"101", "HTTP/1.1 101 Switching\r\n\r\n", false, OPEN, H1_FAILED, 101, false, "", 0,
     "protocol switch"},

    {"chunked", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=\"y\"\r\n!\r\n0\r\n\r\n",
     false, OPEN, H1_DONE, 200, true, "hello!", 0, NULL},
    {"chunked, hex and zeros",
     OK "Transfer-Encoding: Chunked\r\n\r\n000A\r\n0123456789\r\n00\r\n\r\nmore", false, OPEN,
     H1_DONE, 200, true, "0123456789", 4, NULL},
    {"chunked, blanks", OK "Transfer-Encoding: chunked\r\n\r\n1 \t\r\nx\r\n0 ;e\r\n\r\n", false,
     OPEN, H1_DONE, 200, true, "x", 0, NULL},
    {"chunked, bare LF", OK "Transfer-Encoding: chunked\r\n\r\n2\nhi\n1;e\n!\n0\nt: v\n\n", false,
     OPEN, H1_DONE, 200, true, "hi!", 0, NULL},
    {"trailers", OK "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\nC: d\r\n\r\n", false, OPEN,
     H1_DONE, 200, true, "", 0, NULL},
    {"chunked, cut in data", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhel", false, EOF_AFTER,
     H1_FAILED, 200, true, "hel", 0, "inside the response body"},
    {"chunked, cut before the end", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", false,
     EOF_AFTER, H1_FAILED, 200, true, "hi", 0, "inside the response body"},
    {"chunk too long", OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhiX\r\n", false, OPEN, H1_FAILED,
     200, true, "hi", 3, "longer than its size"},
    {"chunk size is text", OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", false, OPEN, H1_FAILED,
     200, true, "", 5, "chunk size"},
    {"chunk size empty", OK "Transfer-Encoding: chunked\r\n\r\n\r\n", false, OPEN, H1_FAILED, 200,
     true, "", 2, "chunk size"},
    {"chunk size negative", OK "Transfer-Encoding: chunked\r\n\r\n-1\r\n", false, OPEN, H1_FAILED,
     200, true, "", 4, "chunk size"},
    {"two sizes", OK "Transfer-Encoding: chunked\r\n\r\n1 2\r\n", false, OPEN, H1_FAILED, 200, true,
     "", 3, "chunk size"},
    {"largest chunk size", OK "Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nx", false,
     OPEN, H1_BODY, 200, true, "x", 0, NULL},
    {"chunk size too large", OK "Transfer-Encoding: chunked\r\n\r\n8000000000000000\r\n", false,
     OPEN, H1_FAILED, 200, true, "", 3, "too large"},
    {"CR without LF", OK "Transfer-Encoding: chunked\r\n\r\n1\rx", false, OPEN, H1_FAILED, 200,
     true, "", 1, "CR without LF"},
    {"CR inside an extension", OK "Transfer-Encoding: chunked\r\n\r\n1;a\rb\r\n", false, OPEN,
     H1_FAILED, 200, true, "", 3, "CR without LF"},
    {"folded trailer", OK "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n", false, OPEN,
     H1_FAILED, 200, true, "", 6, "trailer"},

    {"both framings", OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false, OPEN,
     H1_FAILED, 200, false, "", 0, "Content-Length with Transfer-Encoding"},
    {"lengths differ", OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", false, OPEN, H1_FAILED,
     200, false, "", 0, "differing"},
    {"lengths differ in a list", OK "Content-Length: 1, 2\r\n\r\n", false, OPEN, H1_FAILED, 200,
     false, "", 0, "differing"},
    {"length signed", OK "Content-Length: +1\r\n\r\n", false, OPEN, H1_FAILED, 200, false, "", 0,
     "malformed"},
    {"length empty", OK "Content-Length:\r\n\r\n", false, OPEN, H1_FAILED, 200, false, "", 0,
     "malformed"},
    {"length huge", OK "Content-Length: 9223372036854775808\r\n\r\n", false, OPEN, H1_FAILED, 200,
     false, "", 0, "malformed"},
    {"gzip, chunked", OK "Transfer-Encoding: gzip, chunked\r\n\r\n", false, OPEN, H1_FAILED, 200,
     false, "", 0, "other than chunked"},
    {"chunked twice", OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", false,
     OPEN, H1_FAILED, 200, false, "", 0, "other than chunked"},
    {"folded", OK "A: b\r\n c\r\n\r\n", false, OPEN, H1_FAILED, 200, false, "", 0, "folded"},
    {"blank before colon", OK "A : b\r\n\r\n", false, OPEN, H1_FAILED, 200, false, "", 0,
     "header name"},
    {"no colon", OK "Ab\r\n\r\n", false, OPEN, H1_FAILED, 200, false, "", 0, "header name"},
    {"no name", OK ": b\r\n\r\n", false, OPEN, H1_FAILED, 200, false, "", 0, "header name"},
    {"CR in a value", OK "A: b\rc\r\n\r\n", false, OPEN, H1_FAILED, 200, false, "", 0,
     "control byte"},
    {"DEL in a value", OK "A: b\x7f\r\n\r\n", false, OPEN, H1_FAILED, 200, false, "", 0,
     "control byte"},
    {"control byte in the reason", "HTTP/1.1 200 O\x01K\r\n\r\n", false, OPEN, H1_FAILED, 0, false,
     "", 0, "control byte"},
    {"status of two digits", "HTTP/1.1 20 OK\r\n\r\n", false, OPEN, H1_FAILED, 0, false, "", 0,
     "status code"},
    {"status of four digits", "HTTP/1.1 2000 OK\r\n\r\n", false, OPEN, H1_FAILED, 0, false, "", 0,
     "status code"},
    {"status below 100", "HTTP/1.1 099 OK\r\n\r\n", false, OPEN, H1_FAILED, 0, false, "", 0,
     "status code"},
    {"HTTP/2", "HTTP/2 200\r\n\r\n", false, OPEN, H1_FAILED, 0, false, "", 0, "status line"},
    {"leading empty line", "\r\n" OK "\r\n", false, OPEN, H1_FAILED, 0, false, "", 0,
     "status line"},
    {"another protocol", "SSH-2.0-OpenSSH", false, OPEN, H1_FAILED, 0, false, "", 0, "status line"},
    {"h2 frames", "\x01\x02\x03", false, OPEN, H1_FAILED, 0, false, "", 0, "status line"},
};

struct outcome {
    struct h1 h;
    struct buf body;
    size_t used;
    struct err e;
};

// Feeds in pieces of at most `piece` bytes, the first one of `first` bytes.
static void parse(const struct test_case *t, struct slice in, size_t first, size_t piece,
                  struct outcome *o)
{
    size_t end = first;

    *o = (struct outcome){.used = 0};
    h1_init(&o->h, t->head_request);
    buf_init(&o->body, 1u << 20);
    while (o->h.state != H1_DONE && o->h.state != H1_FAILED) {
        // A copy of exactly these bytes, so that ASan sees a read past them.
        struct slice part = slice_from(slice_head(in, end), o->used), run;
        char *copy = mem_strndup(part.p, part.n);
        size_t n = h1_feed(&o->h, (struct slice){copy, part.n}, &run, &o->e);

        assert_true(n <= part.n);
        assert_true(run.n == 0 || (run.p >= copy && run.p + run.n <= copy + part.n));
        buf_append(&o->body, run);
        o->used += n;
        mem_free(copy);
        if (n == part.n && o->h.state != H1_DONE && o->h.state != H1_FAILED) {
            if (end == in.n) {
                break;
            }
            end = end + piece < in.n ? end + piece : in.n;
        }
    }
    if (t->end == EOF_AFTER && o->h.state != H1_FAILED) {
        bool whole = h1_eof(&o->h, &o->e);

        assert_int_equal(whole, o->h.state == H1_DONE);
    }
}

static void drop(struct outcome *o)
{
    h1_done(&o->h);
    buf_done(&o->body);
}

static void check_outcome(const struct test_case *t, const struct outcome *o, size_t in_n)
{
    assert_int_equal(o->h.state, t->state);
    assert_int_equal(o->h.status, t->status);
    assert_int_equal(o->h.keep_alive, t->keep_alive);
    assert_true(slice_eq_str(buf_slice(&o->body), t->body));
    if (t->state == H1_FAILED) {
        assert_non_null(strstr(o->e.message, t->error));
        assert_true(o->e.code != ERR_NONE);
    } else {
        assert_int_equal(in_n - o->used, t->rest);
    }
}

static void responses_parse_alike_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct test_case *t = &cases[i];
        struct slice in = slice_str(t->in);
        struct outcome o;

        print_message("  %s\n", t->name);
        for (size_t first = 0; first <= in.n; first++) {
            parse(t, in, first, in.n, &o);
            check_outcome(t, &o, in.n);
            drop(&o);
        }
        for (size_t piece = 1; piece < 4; piece++) {
            parse(t, in, piece, piece, &o);
            check_outcome(t, &o, in.n);
            drop(&o);
        }
    }
}

static void feed_all(struct h1 *h, const char *text)
{
    struct slice run, in = slice_str(text);
    struct err e = {.code = ERR_NONE};

    while (in.n > 0 && h->state != H1_FAILED) {
        size_t n = h1_feed(h, in, &run, &e);

        in = slice_from(in, n);
        if (h->state == H1_DONE) {
            return;
        }
    }
}

static void headers_are_found_and_dropped(void **state)
{
    struct h1 h;

    (void)state;
    h1_init(&h, false);
    feed_all(
        &h,
        "HTTP/1.1 103 Hints\r\nX-A: interim\r\n\r\n"
        "HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nEmpty:\r\nUtf: \xc3\xa9\r\nContent-Length: 3\r\n\r\n");
    assert_int_equal(h.state, H1_BODY);
    assert_int_equal(h.n_headers, 5);
    assert_int_equal(h.content_length, 3);
    assert_true(slice_eq_str(h1_header(&h, "x-A"), "1"));
    assert_true(slice_eq_str(h1_header(&h, "utf"), "\xc3\xa9"));
    assert_non_null(h1_header(&h, "empty").p);
    assert_int_equal(h1_header(&h, "empty").n, 0);
    assert_null(h1_header(&h, "absent").p);
    assert_true(slice_eq_str(h.headers[1].name, "x-a"));
    h1_drop_head(&h);
    assert_int_equal(h.n_headers, 0);
    assert_null(h.headers);
    assert_null(h1_header(&h, "x-a").p);
    feed_all(&h, "abc");
    assert_int_equal(h.state, H1_DONE);
    h1_done(&h);
    h1_init(&h, false);
    feed_all(&h, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(h.state, H1_DONE);
    assert_int_equal(h.status, 404);
    h1_done(&h);
}

static void stops_behind_the_head(void **state)
{
    struct h1 h;
    struct slice run;

    (void)state;
    h1_init(&h, false);
    struct slice in = SLICE("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    size_t n = h1_feed(&h, in, &run, NULL);

    assert_int_equal(n, in.n - 3);
    assert_int_equal(run.n, 0);
    assert_int_equal(h.state, H1_BODY);
    assert_int_equal(h1_feed(&h, slice_from(in, n), &run, NULL), 3);
    assert_int_equal(run.n, 3);
    assert_int_equal(h1_feed(&h, SLICE("more"), &run, NULL), 0);
    assert_int_equal(h.state, H1_DONE);
    assert_true(h1_eof(&h, NULL));
    h1_done(&h);
}

// Feeds `head`, then `piece` up to n times; the state at the end.
static enum h1_state feed_many(const char *head, const char *piece, size_t n, const char *tail)
{
    struct h1 h;
    enum h1_state s;

    h1_init(&h, false);
    feed_all(&h, head);
    for (size_t i = 0; i < n && h.state != H1_FAILED; i++) {
        feed_all(&h, piece);
    }
    feed_all(&h, tail);
    s = h.state;
    h1_done(&h);
    return s;
}

static void bounds_hold(void **state)
{
    const char *chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    (void)state;
    // Header count: one of them is the length.
    assert_int_equal(feed_many(OK, "A: b\r\n", H1_HEADERS_MAX - 1, "Content-Length: 0\r\n\r\n"),
                     H1_DONE);
    assert_int_equal(feed_many(OK, "A: b\r\n", H1_HEADERS_MAX, "Content-Length: 0\r\n\r\n"),
                     H1_FAILED);
    // Head bytes, without ever an end of line.
    assert_int_equal(feed_many(OK "A: ", "0123456789abcdef", H1_HEAD_MAX / 16 - 3, ""), H1_HEAD);
    assert_int_equal(feed_many(OK "A: ", "0123456789abcdef", H1_HEAD_MAX / 16, ""), H1_FAILED);
    // Interim responses.
    assert_int_equal(feed_many("", "HTTP/1.1 100 Continue\r\n\r\n", H1_INTERIM_MAX,
                               OK "Content-Length: 0\r\n\r\n"),
                     H1_DONE);
    assert_int_equal(feed_many("", "HTTP/1.1 100 Continue\r\n\r\n", H1_INTERIM_MAX + 1, ""),
                     H1_FAILED);
    // Chunk framing.
    assert_int_equal(feed_many(chunked, "0", 1000, "1\r\nx"), H1_BODY);
    assert_int_equal(feed_many(chunked, "0", H1_LINE_MAX + 1, ""), H1_FAILED);
    assert_int_equal(feed_many(chunked, "1;e\r\nx\r\n", 10000, "0\r\n\r\n"), H1_DONE);
    assert_int_equal(feed_many(chunked, "0\r\n", 1, "A: b\r\n\r\n"), H1_DONE);
    assert_int_equal(feed_many("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                               "A: bcdef\r\n", H1_TRAILER_MAX / 10 - 1, "\r\n"),
                     H1_DONE);
    assert_int_equal(feed_many("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                               "A: bcdef\r\n", H1_TRAILER_MAX / 10 + 2, "\r\n"),
                     H1_FAILED);
}

static void nul_bytes_are_refused_in_heads_and_kept_in_bodies(void **state)
{
    struct h1 h;
    struct slice run;
    struct err e;
    struct slice bad = SLICE("HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n");
    struct slice head = SLICE("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");

    (void)state;
    h1_init(&h, false);
    (void)h1_feed(&h, bad, &run, &e);
    assert_int_equal(h.state, H1_FAILED);
    assert_int_equal(h1_feed(&h, bad, &run, &e), 0); // stays failed
    assert_false(h1_eof(&h, &e));
    h1_done(&h);
    h1_init(&h, false);
    assert_int_equal(h1_feed(&h, head, &run, &e), head.n);
    assert_int_equal(h1_feed(&h, SLICE("\0\r\n"), &run, &e), 3);
    assert_true(slice_eq(run, SLICE("\0\r\n")));
    assert_int_equal(h.state, H1_DONE);
    h1_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_parse_alike_however_they_are_cut),
        cmocka_unit_test(headers_are_found_and_dropped),
        cmocka_unit_test(stops_behind_the_head),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(nul_bytes_are_refused_in_heads_and_kept_in_bodies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
