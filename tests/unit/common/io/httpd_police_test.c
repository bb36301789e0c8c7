// SPDX-License-Identifier: Apache-2.0
// What the server refuses: framing, sizes, budget. Exchanges that are served are in httpd_test.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/common/io/httpd_rig.h"

// --- framing -------------------------------------------------------------------------------------

#define POST_(headers, body) "POST /echo HTTP/1.1\r\n" headers "\r\n" body
#define POST(headers, body)  POST_("Host: h\r\n" headers, body)

// A literal with its length: some hold NULs.
#define L(s)                                                                                       \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

static const struct slice badly_framed[] = {
    // lengths and encodings
    L(POST("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", "0\r\n\r\n")),
    L(POST("Content-Length: 2\r\nContent-Length: 2\r\n", "hi")),
    L(POST("Content-Length: 2\r\nContent-Length: 3\r\n", "hi")),
    L(POST("Content-Length: 2, 2\r\n", "hi")),
    L(POST("Content-Length: +2\r\n", "hi")),
    L(POST("Content-Length: -2\r\n", "hi")),
    L(POST("Content-Length: 0x2\r\n", "hi")),
    L(POST("Content-Length: 2 2\r\n", "hi")),
    L(POST("Content-Length: two\r\n", "hi")),
    L(POST("Content-Length:\r\n", "hi")),
    L(POST("Content-Length: 99999999999999999999999\r\n", "hi")),
    L(POST("Content-Length: 18446744073709551616\r\n", "hi")),
    L(POST("Transfer-Encoding: gzip\r\n", "hi")),
    L(POST("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding: identity\r\n", "hi")),
    L(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding:\r\n", "0\r\n\r\n")),
    L(POST("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
    L(POST("Content-Length : 2\r\n", "hi")),
    L("POST /echo HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    // Host
    L("GET /echo HTTP/1.1\r\n\r\n"),
    L("GET /echo HTTP/1.1\r\nX: y\r\n\r\n"),
    L("GET /echo HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    L("GET /echo HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n"),
    L("GET /echo HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    // control bytes
    L(POST("X: a\0b\r\n", "")),
    L(POST("X: a\0\r\n", "")),
    L(POST("X: \0\r\n", "")),
    L(POST("X\0: a\r\n", "")),
    L(POST("X: a\0Content-Length: 2\r\n", "hi")),
    L(POST("X: a\x01\r\n", "")),
    L(POST("X: a\x7f\r\n", "")),
    L(POST("X: a\x1b[31m\r\n", "")),
    L(POST("X: 0123456789abcdef\x08zzzz\r\n", "")),
    L(POST("X: a\rb\r\n", "")),
    L(POST("X\x01: a\r\n", "")),
    L(POST("X Y: a\r\n", "")),
    L(POST("X\xc3\xa9: a\r\n", "")),
    L(POST(": a\r\n", "")),
    L(POST("X(: a\r\n", "")),
    L("GET /ec\0ho HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("GET /echo\0 HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("GET /ec\x01ho HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("GET /ec\x7fho HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("GET /ec\tho HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("GET /ec ho HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("GET  /echo HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("GET /echo  HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("G(T /echo HTTP/1.1\r\nHost: h\r\n\r\n"),
    L("G\x01T /echo HTTP/1.1\r\nHost: h\r\n\r\n"),
    // lines
    L("GET /echo HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n"),
    L("GET /echo HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n"),
    L("GET /echo HTTP/1.1\r\nHost: h\r\nX: y\r\n folded\r\n\r\n"),
};

static void bad_framing_is_400_and_close(void **state)
{
    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(badly_framed); i++) {
        int fd = rig_connect();
        struct rig_answer a;

        rig.n = 0;
        assert_true(rig_try_send(fd, badly_framed[i].p, badly_framed[i].n));
        a = rig_read(fd, false);
        // An absurd length is 413 in libmicrohttpd.
        if ((a.status != 400 && !(a.status == 413 && rig.n == 0)) || !a.close) {
            fail_msg("%zu: %u instead of 400: %.*s", i, a.status, (int)badly_framed[i].n,
                     badly_framed[i].p);
        }
        peer_expect_closed(rig.l, fd);
        PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
        for (size_t k = 0; k < rig.n; k++) { // libmicrohttpd answers some by itself
            assert_int_equal(rig.ex[k].heads, 0);
            assert_int_equal(rig.ex[k].why, HTTPD_BAD_FRAMING);
            assert_int_equal(rig.ex[k].how, HTTPD_SENT);
        }
        (void)close(fd);
    }
}

// What looks odd and is no danger.
static void harmless_oddities_are_served(void **state)
{
    static const struct slice request[] = {
        L("\r\nGET /echo HTTP/1.1\r\nHost: h\r\n\r\n"),
        L("GET /echo HTTP/1.1\nHost: h\n\n"),
        L("GET /echo HTTP/1.1\r\nHost:\r\n\r\n"),
        L("GET /echo HTTP/1.1\r\nHost:   h  \r\n\r\n"),
        L("GET /echo HTTP/1.1\r\nhOST: h\r\nX: a\tb\r\nY: \xc3\xa9\r\nEmpty:\r\n\r\n"),
        L("GET /echo HTTP/1.0\r\n\r\n"),
        L("GET /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"),
        L("GET /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 00\r\n\r\n"),
        L("POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n"),
        L("GET /echo HTTP/1.1\r\nHost: h\r\nCookie: a=b; c=d; e\r\n\r\n"),
        L("GET /echo?a&b=c&&=&%zz HTTP/1.1\r\nHost: h\r\n\r\n"),
    };

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(request); i++) {
        int fd = rig_connect();
        struct rig_answer a;

        assert_true(rig_try_send(fd, request[i].p, request[i].n));
        a = rig_read(fd, false);
        if (a.status != 200) {
            fail_msg("%zu: %u instead of 200: %.*s", i, a.status, (int)request[i].n, request[i].p);
        }
        (void)close(fd);
    }
}

// Bodies whose chunks are broken end with 400 or with the connection; never served.
static void broken_chunks_are_not_served(void **state)
{
    static const struct slice body[] = {
        L("x\r\nhi\r\n0\r\n\r\n"),
        L("-1\r\nhi\r\n0\r\n\r\n"),
        L("ffffffffffffffffffff\r\nhi\r\n0\r\n\r\n"),
        L("2\r\nhi!\r\n0\r\n\r\n"),
        L("2hi\r\n0\r\n\r\n"),
        L("\r\n0\r\n\r\n"),
        L(" 2\r\nhi\r\n0\r\n\r\n"),
        L("0x2\r\nhi\r\n0\r\n\r\n"),
    };

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(body); i++) {
        int fd = rig_connect();
        struct rig_answer a;

        rig_send(fd, POST("Transfer-Encoding: chunked\r\n", ""));
        assert_true(rig_try_send(fd, body[i].p, body[i].n));
        a = rig_read(fd, false);
        if (a.status != 400 && a.status != 413 && a.status != 0) {
            fail_msg("%zu: %u for %.*s", i, a.status, (int)body[i].n, body[i].p);
        }
        peer_expect_closed(rig.l, fd);
        PEER_UNTIL(rig.l, rig_last()->done);
        assert_int_equal(rig_last()->how, HTTPD_ABORTED);
        assert_int_equal(rig_last()->gones, 1);
        assert_int_equal(rig_last()->readies, 0);
        (void)close(fd);
    }
}

// Bytes that are no HTTP: closed, or 400; never a 5xx, never a handler.
static void garbage_is_closed(void **state)
{
    static const struct slice bytes[] = {
        L("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"), // a TLS hello
        L("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        L("GET /\r\n\r\n"),
        L("GET\r\n\r\n"),
        L("GET / HTTP/9.9\r\nHost: h\r\n\r\n"),
        L("GET / HTTP/1.1 \r\nHost: h\r\n\r\n"),
        L("GET / http/1.1\r\nHost: h\r\n\r\n"),
        L("\0\0\0\0\r\n\r\n"),
        L(" \r\n\r\n"),
        L("GET /echo FTP/1.1\r\nHost: h\r\n\r\n"),
    };

    (void)state;
    rig_start(&(struct httpd_config){.idle_timeout_us = 200 * MONO_MS});
    for (size_t i = 0; i < ARRAY_LEN(bytes); i++) {
        int fd = rig_connect();
        struct rig_answer a;

        assert_true(rig_try_send(fd, bytes[i].p, bytes[i].n));
        rig_turns(10);
        fake_mono_advance(200 * MONO_MS); // what still looks like the beginning of something
        a = rig_read(fd, false);
        if (a.status != 0 && a.status != 400 && a.status != 505) {
            fail_msg("%zu: %u", i, a.status);
        }
        PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
        (void)close(fd);
    }
}

// --- sizes ---------------------------------------------------------------------------------------

// A request head of exactly n bytes.
static char *head_of(size_t n, const char *end_of_head)
{
    char *p = mem_alloc(n + 1);

    (void)snprintf(p, n, "GET /echo HTTP/1.1\r\nHost: h\r\n");
    for (size_t at = strlen(p); at < n; at = strlen(p)) {
        size_t left = n - at - strlen(end_of_head);

        if (left == 0) {
            (void)memcpy(p + at, end_of_head, strlen(end_of_head) + 1);
            break;
        }
        // Lines of 128 bytes, the last one longer.
        left = left >= 256 ? 128 : left;
        (void)snprintf(p + at, left, "X-Line: ");
        memset(p + strlen(p), 'x', left - 8 - 2);
        memcpy(p + at + left - 2, "\r\n", 3);
    }
    assert_int_equal(strlen(p), n);
    return p;
}

static void long_heads_are_431(void **state)
{
    static const struct {
        size_t n;
        unsigned status;
    } t[] = {
        {5000, 200},  {10 * 1024 - 100, 200}, {10 * 1024, 200}, {10 * 1024 + 1, 431},
        {12000, 431}, {16000, 431},           {17000, 431},     {100000, 431},
    };

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char *head = head_of(t[i].n, "\r\n");
        int fd = rig_connect();
        struct rig_answer a;

        (void)rig_try_send(fd, head, t[i].n); // it may be answered before its end
        a = rig_read(fd, false);
        if (a.status != t[i].status || a.close != (a.status == 431)) {
            fail_msg("%zu bytes: %u", t[i].n, a.status);
        }
        (void)close(fd);
        mem_free(head);
    }
}

// Many small headers, cookies or arguments use up libmicrohttpd's pool beyond their bytes.
static void heads_of_many_parts_are_answered(void **state)
{
    static const char *const unit[] = {"A:\r\n", "Cookie: a=b; c=d; e=f\r\n", "a&"};

    (void)state;
    rig_start(NULL);
    for (size_t k = 0; k < ARRAY_LEN(unit); k++) {
        bool refused = false;

        for (size_t n = 1; n < 8000; n += n / 3 + 1) {
            int fd = rig_connect();
            struct rig_answer a;
            struct buf head;

            buf_init(&head, 1 << 20);
            buf_append_str(&head, k == 2 ? "GET /echo?" : "GET /echo HTTP/1.1\r\nHost: h\r\n");
            for (size_t i = 0; i < n; i++) {
                buf_append_str(&head, unit[k]);
            }
            buf_append_str(&head, k == 2 ? " HTTP/1.1\r\nHost: h\r\n\r\n" : "\r\n");
            (void)rig_try_send(fd, buf_slice(&head).p, head.n);
            a = rig_read(fd, false);
            if (refused ? a.status != 431 && a.status != 414 && a.status != 413
                        : a.status != 200 && a.status != 431) {
                fail_msg("%s times %zu: %u", unit[k], n, a.status);
            }
            refused = a.status != 200;
            if (!refused) { // the head's rest was enough for the answer's
                assert_true(rig_value(a.head, "x-m").p != NULL);
            }
            (void)close(fd);
            buf_done(&head);
            rig.n = 0;
        }
        assert_true(refused);
    }
}

static void bodies_over_the_limit_are_413(void **state)
{
    static const struct {
        size_t max, n;
        bool chunked, close;
        unsigned status;
    } t[] = {
        {1000, 1000, false, false, 200},
        {1000, 1001, false, false, 413}, // short: read to its end
        {1000, 300000, false, true, 413},
        {1000, 1000, true, false, 200},
        {1000, 1001, true, false, 413},
        {1000, 200000, true, false, 413},
        {400000, 400001, true, false, 413},
        {400000, 700000, true, false, 413},
        {400000, 900000, true, true, 0}, // as much again, and beyond: closed
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        char head[200], *data = mem_zalloc(t[i].n), end[] = "\r\n0\r\n\r\n";
        struct rig_answer a;
        int fd;

        rig.budget.max = 10 << 20;
        rig_start(&(struct httpd_config){.max_body = t[i].max, .budget = &rig.budget});
        fd = rig_connect();
        if (t[i].chunked) {
            (void)snprintf(head, sizeof head, "%s%zx\r\n",
                           POST("Transfer-Encoding: chunked\r\n", ""), t[i].n);
        } else {
            (void)snprintf(head, sizeof head,
                           "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", t[i].n);
        }
        rig_send(fd, head);
        (void)(rig_try_send(fd, data, t[i].n) &&
               rig_try_send(fd, end, t[i].chunked ? sizeof end - 1 : 0));
        a = rig_read(fd, false);
        if (a.status != t[i].status || (a.status != 0 && a.close != t[i].close)) {
            fail_msg("%zu: %u%s", i, a.status, a.close ? " and close" : "");
        }
        if (!t[i].close) {
            a = rig_ask(fd, "GET /target HTTP/1.1\r\nHost: h\r\n\r\n");
            rig_assert_text(a.body, "/target");
        }
        if (t[i].status == 413) {
            assert_int_equal(rig.ex[0].why, HTTPD_BODY_TOO_LARGE);
            assert_int_equal(rig.ex[0].refusals, 1);
        }
        (void)close(fd);
        mem_free(data);
        httpd_free(&rig.h);
        assert_int_equal(rig.budget.used, 0);
        rig.n = 0;
    }
}

static void bodies_over_the_budget_are_refused_unread(void **state)
{
    struct rig_answer a;
    int first, fd;

    (void)state;
    rig.budget.max = 100000;
    rig_start(&(struct httpd_config){.budget = &rig.budget});
    first = rig_hold("POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345");
    assert_in_range(rig.budget.used, 5, 4096);
    // Known length: at the head, with no byte of the body there.
    fd = rig_connect();
    rig_send(fd, POST("Content-Length: 99900\r\n", ""));
    PEER_UNTIL(rig.l, rig.n == 2);
    assert_int_equal(rig_last()->why, HTTPD_OVERLOADED);
    assert_int_equal(rig_last()->heads, 0);
    assert_true(rig.budget.used < 5000);
    (void)close(fd);
    // Asked whether to send it: answered at once.
    fd = rig_connect();
    a = rig_ask(fd, POST("Expect: 100-continue\r\nContent-Length: 99900\r\n", ""));
    assert_int_equal(a.status, 503);
    (void)close(fd);
    // Chunked: when it gets there; answered at its end.
    fd = rig_connect();
    rig_send(fd, POST("Transfer-Encoding: chunked\r\n", "30000\r\n"));
    for (int i = 0; i < 0x30; i++) {
        char block[4096] = {0};

        assert_true(rig_try_send(fd, block, sizeof block));
        assert_true(rig.budget.used <= rig.budget.max);
    }
    a = rig_ask(fd, "\r\n0\r\n\r\n");
    assert_int_equal(a.status, 503);
    assert_int_equal(rig_last()->heads, 1);
    assert_int_equal(rig_last()->refusals, 1);
    assert_int_equal(rig_last()->why, HTTPD_OVERLOADED);
    // The connection and the rest of the budget can be used again.
    a = rig_ask(fd, POST("Content-Length: 2\r\n", "ok"));
    rig_assert_text(a.body, "ok");
    (void)close(fd);
    httpd_drop_body(rig.ex[0].q);
    assert_int_equal(rig.budget.used, 0);
    assert_int_equal(httpd_body(rig.ex[0].q).n, 0);
    rig_reply(rig.ex[0].q, 200, SLICE("x"));
    assert_int_equal(rig_read(first, false).status, 200);
    (void)close(first);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(bad_framing_is_400_and_close),
        T(harmless_oddities_are_served),
        T(broken_chunks_are_not_served),
        T(garbage_is_closed),
        T(long_heads_are_431),
        T(heads_of_many_parts_are_answered),
        T(bodies_over_the_limit_are_413),
        T(bodies_over_the_budget_are_refused_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
