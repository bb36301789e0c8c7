// SPDX-License-Identifier: Apache-2.0
// Answers and streams over real sockets. Clients that leave, deadlines and closing down are in
// httpd_life_test.c, what is refused in httpd_police_test.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/common/io/httpd_rig.h"

// --- answers -------------------------------------------------------------------------------------

static void answers_and_keeps_the_connection(void **state)
{
    struct rig_answer a;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_connect();
    a = rig_ask(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_int_equal(a.status, 200);
    assert_false(a.close);
    rig_assert_text(a.body, "hello");
    rig_assert_text(rig_value(a.head, "x-n"), "1");
    rig_assert_text(rig_value(a.head, "x-m"), "two");
    assert_non_null(rig_value(a.head, "date").p);
    a = rig_ask(fd, RIG_GET("/later"));
    assert_int_equal(a.status, 200);
    rig_assert_text(a.body, "");
    rig_assert_text(rig_value(a.head, "content-length"), "0");
    a = rig_ask(fd, RIG_GET("/empty"));
    assert_int_equal(a.status, 204);
    assert_null(rig_value(a.head, "content-length").p);
    assert_int_equal(httpd_connections(rig.h), 1);
    assert_int_equal(rig.n, 3);
    PEER_UNTIL(rig.l, httpd_active(rig.h) == 0);
    (void)close(fd);
    PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
    for (size_t i = 0; i < rig.n; i++) {
        assert_int_equal(rig.ex[i].how, HTTPD_SENT);
    }
}

static void shows_the_target_as_sent(void **state)
{
    static const char *const target[] = {
        "/target/a%2Fb?x=%2F&y=+&z=%zz&q",
        "/target?",
        "/target?a=b=c&&;d",
        "/target//..//.",
        "/target/\xc3\xa9?\xff\xfe=%00%0d%0a",
        "/target/#frag?x",
        "/target?a\"<>\\^`{|}",
    };
    char request[2048];
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_connect();
    for (size_t i = 0; i < ARRAY_LEN(target); i++) {
        struct rig_answer a;

        (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target[i]);
        a = rig_ask(fd, request);
        assert_int_equal(a.status, 200);
        rig_assert_text(a.body, target[i]);
    }
    for (size_t n = 150; n < 1800; n += 10 + n / 2) { // around the inline copy and beyond
        char t[2000] = "/target?";
        struct rig_answer a;

        memset(t + strlen(t), 'x', n);
        (void)snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", t);
        a = rig_ask(fd, request);
        rig_assert_text(a.body, t);
    }
    (void)close(fd);
}

static void serves_forms_that_are_not_paths(void **state)
{
    static const char *const request[] = {
        "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET http://h/x?y HTTP/1.1\r\nHost: h\r\n\r\n",
        "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
        "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    static const char *const target[] = {"*", "http://h/x?y", "h:443", "/pot"};
    static const char *const method[] = {"OPTIONS", "GET", "CONNECT", "BREW"};

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(request); i++) {
        int fd = rig_hold(request[i]);

        assert_string_equal(rig_last()->target, target[i]);
        rig_assert_text(httpd_method(rig_last()->q), method[i]);
        rig_reply(rig_last()->q, 404, SLICE("no"));
        assert_int_equal(rig_read(fd, false).status, 404);
        (void)close(fd);
    }
}

static void collect(void *ctx, struct slice name, struct slice value)
{
    struct buf *b = ctx;

    buf_append(b, name);
    buf_append_char(b, '=');
    buf_append(b, value);
    buf_append_char(b, ';');
}

static void shows_headers_peer_and_times(void **state)
{
    struct httpd_req *q;
    struct buf b;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_hold("GET /hold HTTP/1.1\r\nHost:h\r\nA: 1\r\nb:  two words \t\r\na: 3\r\nEmpty:\r\n"
                  "Cookie: k=v; w\r\n\r\n");
    q = rig_last()->q;
    rig_assert_text(httpd_header(q, "a"), "1");
    rig_assert_text(httpd_header(q, "B"), "two words");
    rig_assert_text(httpd_header(q, "host"), "h");
    assert_null(httpd_header(q, "c").p);
    assert_non_null(httpd_header(q, "empty").p);
    assert_int_equal(httpd_header(q, "empty").n, 0);
    buf_init(&b, 1000);
    httpd_each_header(q, collect, &b);
    rig_assert_text(buf_slice(&b), "Host=h;A=1;b=two words;a=3;Empty=;Cookie=k=v; w;");
    buf_done(&b);
    rig_assert_text(httpd_peer(q), "127.0.0.1");
    assert_int_equal(httpd_content_length(q), -1);
    assert_true(httpd_started_us(q) > 0 && httpd_ready_us(q) >= httpd_started_us(q));
    assert_int_equal(httpd_active(rig.h), 1);
    rig_reply(q, 200, SLICE("x"));
    assert_int_equal(rig_read(fd, false).status, 200);
    (void)close(fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
    static const char body[] = "POST /later?0 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nb0" //
        RIG_GET(
            "/target?1") "POST /echo?2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "2\r\nb2\r\n0\r\n\r\n" RIG_GET(
                             "/deny?3") "POST /later?4 HTTP/1.1\r\nHost: "
                                        "h\r\nContent-Length: 2\r\n\r\nb4";
    static const char *const want[] = {"b0", "/target?1", "b2", "denied", "b4"};

    (void)state;
    rig_start(NULL);
    for (int drip = 0; drip < 2; drip++) { // at once, and byte by byte
        int fd = rig_connect();

        for (size_t i = 0; i < (drip ? sizeof body - 1 : 1); i++) {
            assert_true(drip ? rig_try_send(fd, body + i, 1)
                             : rig_try_send(fd, body, sizeof body - 1));
        }
        for (size_t i = 0; i < ARRAY_LEN(want); i++) {
            struct rig_answer a = rig_read(fd, false);

            assert_int_equal(a.status, i == 3 ? 401 : 200);
            rig_assert_text(a.body, want[i]);
        }
        (void)close(fd);
    }
    assert_int_equal(rig.n, 10);
}

static void takes_bodies_of_any_size(void **state)
{
    static const size_t size[] = {1, 511, 512, 513, 16384, 65536, 65537, 300000, 3u << 20};
    char *data = rig_filled(3u << 20), head[256], chunk[32];

    (void)state;
    rig_start(&(struct httpd_config){.budget = &rig.budget});
    rig.budget.max = SIZE_MAX;
    for (size_t i = 0; i < 2 * ARRAY_LEN(size); i++) {
        size_t n = size[i / 2], sent = 0;
        int fd = rig_connect();
        struct rig_answer a;

        if (i % 2 == 0) {
            (void)snprintf(head, sizeof head,
                           "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", n);
            rig_send(fd, head);
            assert_true(rig_try_send(fd, data, n));
        } else {
            rig_send(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
            for (size_t k = 1; sent < n; k = k * 3 + 1) {
                k = k > n - sent ? n - sent : k;
                (void)snprintf(chunk, sizeof chunk, "%zX%s\r\n", k, sent == 0 ? ";ext=1" : "");
                rig_send(fd, chunk);
                assert_true(rig_try_send(fd, data + sent, k));
                rig_send(fd, "\r\n");
                sent += k;
            }
            rig_send(fd, "0\r\nTrailer: x\r\n\r\n");
        }
        a = rig_read(fd, false);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body.n, n);
        assert_memory_equal(a.body.p, data, n);
        (void)close(fd);
    }
    mem_free(data);
}

static void sends_100_continue_when_asked(void **state)
{
    struct rig_answer a;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_connect();
    a = rig_ask(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                    "Content-Length: 2\r\n\r\n");
    assert_int_equal(a.status, 100);
    a = rig_ask(fd, "hi");
    assert_int_equal(a.status, 200);
    rig_assert_text(a.body, "hi");
    // An early answer instead, and no body is waited for.
    a = rig_ask(fd, "POST /deny HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n"
                    "Content-Length: 2\r\n\r\n");
    assert_int_equal(a.status, 401);
    assert_true(a.close);
    rig_assert_text(a.body, "denied");
    peer_expect_closed(rig.l, fd);
    (void)close(fd);
}

static void early_answers_wait_for_short_bodies(void **state)
{
    static const char *const head[] = {
        "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 262144\r\n\r\n",
        "POST /deny HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n",
    };
    char *data = rig_filled(256 * 1024);

    (void)state;
    rig_start(&(struct httpd_config){.budget = &rig.budget});
    rig.budget.max = 1 << 20;
    for (size_t i = 0; i < ARRAY_LEN(head); i++) {
        int fd = rig_connect();
        struct rig_answer a;
        char byte;

        rig_send(fd, head[i]);
        assert_true(rig_try_send(fd, data, 200 * 1024));
        PEER_UNTIL(rig.l, rig.n == i + 1);
        rig_turns(3);
        assert_int_equal(recv(fd, &byte, 1, 0), -1); // nothing yet
        assert_int_equal(rig.budget.used, 0);
        assert_true(rig_try_send(fd, data, 56 * 1024));
        rig_send(fd, i == 0 ? "" : "\r\n0\r\n\r\n");
        a = rig_read(fd, false);
        assert_int_equal(a.status, 401);
        assert_false(a.close);
        rig_assert_text(a.body, "denied");
        assert_int_equal(rig_ask(fd, RIG_GET("/echo")).status, 200);
        (void)close(fd);
        rig.n = i + 1;
    }
    mem_free(data);
}

// A blocking client that sends its whole body before it looks at the answer must see the answer.
static void early_answer_to_a_long_body_is_not_lost(void **state)
{
    char *data = rig_filled(600 * 1024);
    struct rig_answer a;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_connect();
    rig_send(fd, "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 600000\r\n\r\n");
    for (int i = 0; i < 60; i++) { // all of it, though the answer is there after the first turn
        assert_true(rig_try_send(fd, data + i * 10000, 10000));
    }
    a = rig_read(fd, false);
    assert_int_equal(a.status, 401);
    assert_true(a.close);
    rig_assert_text(a.body, "denied");
    peer_expect_closed(rig.l, fd);
    assert_int_equal(httpd_connections(rig.h), 0);
    (void)close(fd);
    mem_free(data);
}

static void end_bodyless(unsigned status, int64_t content_length)
{
    struct httpd_req *q = rig_last()->q;

    httpd_stream_begin(q, status, NULL, 0, content_length);
    assert_true(httpd_stream_write(q, SLICE("dropped")));
    rig_turns(3);
    assert_false(rig_last()->done);
    httpd_stream_end(q);
    PEER_UNTIL(rig.l, rig_last()->done);
    assert_int_equal(rig_last()->how, HTTPD_SENT);
}

static void head_gets_no_body(void **state)
{
    struct rig_answer a;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_connect();
    a = rig_ask(fd, "HEAD /target/x HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(a.status, 200);
    rig_assert_text(rig_value(a.head, "content-length"), "9");
    (void)close(fd);
    // A stream to HEAD is over when its writer says so, not before.
    for (int64_t n = -1; n < 200; n += 100) {
        fd = rig_hold("HEAD /hold HTTP/1.1\r\nHost: h\r\n\r\n");
        end_bodyless(200, n);
        a = rig_read(fd, true);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.close, n < 0);
        if (n < 0) {
            assert_null(rig_value(a.head, "transfer-encoding").p);
            peer_expect_closed(rig.l, fd);
        } else {
            assert_int_equal(strtol(rig_value(a.head, "content-length").p, NULL, 10), n);
            rig_assert_text(rig_ask(fd, RIG_GET("/target/y")).body, "/target/y");
        }
        (void)close(fd);
    }
}

static void some_statuses_have_no_body(void **state)
{
    static const unsigned status[] = {204, 304};

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(status); i++) {
        for (int64_t n = -1; n < 200; n += 100) {
            int fd = rig_hold(RIG_GET("/hold"));

            end_bodyless(status[i], n);
            assert_int_equal(rig_read(fd, false).status, status[i]);
            rig_assert_text(rig_ask(fd, RIG_GET("/target/y")).body, "/target/y");
            (void)close(fd);
        }
    }
}

static void http_1_0_is_served(void **state)
{
    struct rig_answer a;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_connect();
    a = rig_ask(fd, "GET /target HTTP/1.0\r\n\r\n");
    assert_int_equal(a.status, 200);
    rig_assert_text(a.body, "/target");
    peer_expect_closed(rig.l, fd);
    (void)close(fd);
    fd = rig_hold("GET /stream HTTP/1.0\r\n\r\n");
    assert_true(httpd_stream_write(rig_last()->q, SLICE("until ")));
    rig_turns(2);
    assert_true(httpd_stream_write(rig_last()->q, SLICE("close")));
    httpd_stream_end(rig_last()->q);
    a = rig_read(fd, false);
    rig_assert_text(a.body, "until close");
    assert_null(rig_value(a.head, "transfer-encoding").p);
    assert_int_equal(rig_last()->how, HTTPD_SENT);
    (void)close(fd);
}

static void close_after_and_response_heads(void **state)
{
    const struct httpd_header h[] = {
        {SLICE("Content-Length"), SLICE("999")},
        {SLICE("Connection"), SLICE("upgrade")},
        {SLICE("Transfer-Encoding"), SLICE("x")},
        {SLICE("x-empty"), SLICE("")},
        {SLICE("x-bad"), SLICE("a\r\nx-injected: 1")},
        {SLICE("x bad"), SLICE("1")},
        {SLICE("Date"), SLICE("yesterday")},
        {SLICE("x-tab"), SLICE("a\tb")},
        {SLICE("x-nul"), SLICE("a\0b")},
        {SLICE("x-good"), SLICE("yes")},
    };
    struct rig_answer a;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_hold(RIG_GET("/hold"));
    httpd_close_after(rig_last()->q);
    httpd_reply(rig_last()->q, 200, h, ARRAY_LEN(h), NULL);
    a = rig_read(fd, false);
    assert_true(a.close);
    rig_assert_text(rig_value(a.head, "content-length"), "0");
    rig_assert_text(rig_value(a.head, "x-good"), "yes");
    rig_assert_text(rig_value(a.head, "x-tab"), "a\tb");
    assert_null(rig_value(a.head, "x-injected").p);
    assert_null(rig_value(a.head, "x-bad").p);
    assert_null(rig_value(a.head, "x bad").p);
    assert_null(rig_value(a.head, "x-nul").p);
    assert_int_not_equal(rig_value(a.head, "date").n, 9);
    assert_null(rig_value(a.head, "transfer-encoding").p);
    peer_expect_closed(rig.l, fd);
    (void)close(fd);
}

static void response_heads_over_the_limit_are_cut(void **state)
{
    struct httpd_header h[64];
    char value[1024];
    struct rig_answer a;
    int fd;

    (void)state;
    memset(value, 'v', sizeof value);
    for (size_t i = 0; i < ARRAY_LEN(h); i++) {
        h[i] = (struct httpd_header){i % 2 ? SLICE("x-odd") : SLICE("x-even"),
                                     SLICE_MAKE(value, i == 0 ? 1024 : 300)};
    }
    rig_start(NULL);
    for (int big_request = 0; big_request < 2; big_request++) {
        char request[9500] = "GET /hold HTTP/1.1\r\nHost: h\r\nX: ";

        memset(request + strlen(request), 'x', big_request ? 9300 : 10);
        memcpy(request + strlen(request), "\r\n\r\n", 5);
        fd = rig_hold(request);
        httpd_reply(rig_last()->q, 200, h, ARRAY_LEN(h), NULL);
        a = rig_read(fd, false);
        assert_int_equal(a.status, 200);
        assert_true(a.head.n <= 5 * 1024);
        assert_true(a.head.n > (big_request ? 1100 : 4096));
        assert_int_equal(rig_value(a.head, "x-even").n, 1024);
        (void)close(fd);
    }
}

// --- streams -------------------------------------------------------------------------------------

static void streams_leave_in_the_same_turn(void **state)
{
    char got[64];
    struct rig_answer a;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_hold(RIG_GET("/stream"));
    PEER_UNTIL(rig.l,
               recv(fd, got, sizeof got, MSG_PEEK) > 0); // the head does not wait for content
    for (int i = 0; i < 3; i++) {
        assert_true(httpd_stream_write(rig_last()->q, SLICE("data: 1\n\n")));
        assert_true(httpd_stream_write(rig_last()->q, SLICE("data: 2\n\n")));
        assert_int_equal(httpd_stream_queued(rig_last()->q), 18);
        rig_turns(1);
        assert_int_equal(httpd_stream_queued(rig_last()->q), 0);
    }
    httpd_stream_end(rig_last()->q);
    a = rig_read(fd, false);
    assert_true(a.whole);
    assert_int_equal(a.body.n, 54);
    rig_assert_text(rig_value(a.head, "transfer-encoding"), "chunked");
    assert_int_equal(rig_ask(fd, RIG_GET("/echo")).status, 200);
    (void)close(fd);
}

static void streams_of_known_length(void **state)
{
    struct rig_answer a;
    int fd;

    (void)state;
    rig_start(NULL);
    fd = rig_hold(RIG_GET("/hold"));
    httpd_stream_begin(rig_last()->q, 200, NULL, 0, 10);
    assert_true(httpd_stream_write(rig_last()->q, SLICE("01234")));
    rig_turns(2);
    assert_true(httpd_stream_write(rig_last()->q, SLICE("56789 too much")));
    rig_turns(3);
    assert_false(rig_last()->done); // not before its end is told
    httpd_stream_end(rig_last()->q);
    a = rig_read(fd, false);
    rig_assert_text(a.body, "0123456789");
    rig_assert_text(rig_value(a.head, "content-length"), "10");
    rig_send(fd, RIG_GET("/hold"));
    PEER_UNTIL(rig.l, rig.n == 2 && rig_last()->readies == 1);
    // Ends short: the client must be able to tell.
    httpd_stream_begin(rig_last()->q, 200, NULL, 0, 10);
    assert_true(httpd_stream_write(rig_last()->q, SLICE("01234")));
    httpd_stream_end(rig_last()->q);
    a = rig_read(fd, false);
    assert_int_equal(a.status, 200);
    assert_false(a.whole);
    assert_int_equal(rig_last()->how, HTTPD_ABORTED);
    (void)close(fd);
    fd = rig_hold(RIG_GET("/hold"));
    httpd_stream_begin(rig_last()->q, 200, NULL, 0, 0);
    rig_turns(3);
    assert_false(rig_last()->done);
    httpd_stream_end(rig_last()->q);
    a = rig_read(fd, false);
    rig_assert_text(rig_value(a.head, "content-length"), "0");
    (void)close(fd);
}

static void slow_readers_hold_back_the_writer(void **state)
{
    static const int64_t length[] = {-1, 12000000};
    char *data = rig_filled(12000000);

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(length); i++) {
        int fd = rig_hold(RIG_GET("/hold")), drains = 0;
        struct rig_ex *x = rig_last();
        struct rig_answer a;
        size_t sent = 0;

        httpd_stream_begin(x->q, 200, NULL, 0, length[i]);
        for (int idle = 0; idle < 20; idle++) { // until the socket's buffers are full
            while (sent < 12000000 && x->drains == drains) {
                size_t n = sent + 10000 > 12000000 ? 12000000 - sent : 10000;
                bool more = httpd_stream_write(x->q, SLICE_MAKE(data + sent, n));

                sent += n;
                idle = 0;
                if (!more) {
                    break;
                }
            }
            drains = x->drains;
            if (httpd_stream_queued(x->q) >= 64 * 1024) {
                for (int k = 0; k < 10 && x->drains == drains; k++) {
                    loop_turn(rig.l, 5 * MONO_MS); // the kernel moves it on to the other side
                }
                if (x->drains == drains) {
                    break;
                }
                drains = x->drains;
            } else {
                rig_turns(1);
            }
        }
        assert_true(sent < 12000000);
        assert_in_range(httpd_stream_queued(x->q), 64 * 1024, 64 * 1024 + 10000);
        rig_turns(10);
        assert_int_equal(x->drains, drains); // nobody reads
        while (sent < 12000000) {
            if (x->drains == drains) {
                assert_true(rig_more(fd));
                continue;
            }
            assert_true(httpd_stream_queued(x->q) < 32 * 1024);
            drains = x->drains;
            for (bool more = true; more && sent < 12000000;) {
                size_t n = sent + 10000 > 12000000 ? 12000000 - sent : 10000;

                more = httpd_stream_write(x->q, SLICE_MAKE(data + sent, n));
                sent += n;
            }
        }
        httpd_stream_end(x->q);
        a = rig_read(fd, false);
        assert_true(a.whole);
        assert_int_equal(a.body.n, 12000000);
        assert_memory_equal(a.body.p, data, a.body.n);
        (void)close(fd);
    }
    mem_free(data);
}
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(answers_and_keeps_the_connection),
        T(shows_the_target_as_sent),
        T(serves_forms_that_are_not_paths),
        T(shows_headers_peer_and_times),
        T(answers_pipelined_requests_in_order),
        T(takes_bodies_of_any_size),
        T(sends_100_continue_when_asked),
        T(early_answers_wait_for_short_bodies),
        T(early_answer_to_a_long_body_is_not_lost),
        T(head_gets_no_body),
        T(some_statuses_have_no_body),
        T(http_1_0_is_served),
        T(close_after_and_response_heads),
        T(response_heads_over_the_limit_are_cut),
        T(streams_leave_in_the_same_turn),
        T(streams_of_known_length),
        T(slow_readers_hold_back_the_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
