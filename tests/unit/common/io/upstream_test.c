// SPDX-License-Identifier: Apache-2.0
// The server is this test: see peer.h. Every test ends with nothing in flight and nothing leaked.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/io/upstream.h"
#include "tests/unit/common/io/peer.h"
#include "tests/unit/fake_mono.h"

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define MIB (1024u * 1024)

// What a handler does when it is called.
enum act { NOTHING, CANCEL, PAUSE, PAUSE_RESUME, START_NEXT };

struct probe {
    struct upstream_call *c;
    struct upstream_times times; // at the end
    unsigned status;
    int heads, ends;
    enum upstream_result r;
    char message[256];
    struct buf data;
    size_t largest; // piece
    enum act in_head, in_data, in_end;
    struct probe *next; // START_NEXT
};

static struct loop *l;
static struct upstream *u;
static int listener;
static uint16_t port;
static char origin[64];

static void use_config(const struct upstream_config *cfg)
{
    upstream_free(&u);
    u = upstream_new(l, cfg, NULL);
    assert_non_null(u);
}

static int setup(void **state)
{
    struct upstream_config cfg = {.dial.proxy = ""};

    (void)state;
    l = loop_new(NULL);
    u = upstream_new(l, &cfg, NULL);
    listener = peer_listen(64, &port);
    (void)snprintf(origin, sizeof(origin), "http://127.0.0.1:%u", port);
    return u == NULL;
}

static int teardown(void **state)
{
    (void)state;
    upstream_free(&u);
    loop_free(&l);
    return close(listener);
}

// --- handlers ------------------------------------------------------------------------------------

static void start(struct probe *p, const char *text);

static void act(struct probe *p, enum act a)
{
    switch (a) {
    case NOTHING:
        break;
    case CANCEL:
        upstream_cancel(&p->c);
        break;
    case PAUSE:
        upstream_pause(p->c);
        break;
    case PAUSE_RESUME:
        upstream_pause(p->c);
        upstream_resume(p->c);
        break;
    case START_NEXT:
        start(p->next, GET);
        break;
    }
}

static void on_head(void *arg, const struct h1 *head)
{
    struct probe *p = arg;

    assert_int_equal(p->heads++, 0);
    p->status = head->status;
    act(p, p->in_head);
}

static void on_data(void *arg, struct slice data)
{
    struct probe *p = arg;

    assert_int_equal(p->heads, 1);
    assert_int_equal(p->ends, 0);
    buf_append(&p->data, data);
    p->largest = data.n > p->largest ? data.n : p->largest;
    act(p, p->in_data);
}

static void on_end(void *arg, enum upstream_result r, const char *message)
{
    struct probe *p = arg;

    assert_int_equal(p->ends++, 0);
    p->r = r;
    p->times = upstream_times(p->c);
    (void)snprintf(p->message, sizeof(p->message), "%s", message);
    act(p, p->in_end);
    p->c = NULL;
}

static void send_request(struct probe *p, struct upstream_request *rq)
{
    p->heads = p->ends = 0;
    p->status = 0;
    p->largest = 0;
    buf_done(&p->data);
    buf_init(&p->data, SIZE_MAX);
    rq->origin = rq->origin == NULL ? origin : rq->origin;
    rq->connect_timeout_us = rq->connect_timeout_us == 0 ? 120 * MONO_SEC : rq->connect_timeout_us;
    rq->on = (struct upstream_handlers){on_head, on_data, on_end};
    rq->arg = p;
    p->c = upstream_start(u, rq);
    assert_non_null(p->c);
    assert_int_equal(p->heads + p->ends, 0); // no handler from inside
}

static void start(struct probe *p, const char *text)
{
    struct upstream_request rq = {.head = slice_str(text)};

    send_request(p, &rq);
}

static void finish(struct probe *p, enum upstream_result r)
{
    PEER_UNTIL(l, p->ends > 0);
    if (p->r != r) {
        print_message("result %d: %s\n", (int)p->r, p->message);
    }
    assert_int_equal(p->r, r);
}

static void expect_data(struct probe *p, const char *text)
{
    assert_true(slice_eq_str(buf_slice(&p->data), text));
    buf_done(&p->data);
}

// A call up to the point where the server has read its request; the server's socket.
static int open_call(struct probe *p)
{
    int s;

    start(p, GET);
    s = peer_accept(l, listener);
    peer_expect(l, s, GET);
    return s;
}

// One whole exchange on a new connection, which is idle in the pool then.
static int idle_connection(void)
{
    struct probe p = {.ends = 0};
    int s = open_call(&p);

    peer_send(s, OK2);
    finish(&p, UPSTREAM_COMPLETE);
    expect_data(&p, "ok");
    assert_int_equal(upstream_active(u), 0);
    return s;
}

// --- answers -------------------------------------------------------------------------------------

static void connections_are_reused(void **state)
{
    struct probe p = {.ends = 0};
    int s = open_call(&p);

    (void)state;
    assert_int_equal(upstream_active(u), 1);
    peer_send(s, OK2);
    finish(&p, UPSTREAM_COMPLETE);
    assert_int_equal(p.status, 200);
    expect_data(&p, "ok");
    assert_false(p.times.reused);
    assert_true(p.times.started_us <= p.times.connected_us);
    assert_true(p.times.connected_us <= p.times.written_us);
    assert_true(p.times.first_byte_us >= p.times.connected_us);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(upstream_idle(u), 1);
        start(&p, GET);
        assert_int_equal(upstream_idle(u), 0);
        peer_expect(l, s, GET); // it left inside upstream_start
        peer_send(s, OK2);
        finish(&p, UPSTREAM_COMPLETE);
        assert_true(p.times.reused);
        expect_data(&p, "ok");
    }
    assert_int_equal(peer_try_accept(listener), -1);
    upstream_free(&u);
    peer_expect_closed(l, s);
    (void)close(s);
}

static void answers_may_be_cut_anywhere(void **state)
{
    static const struct {
        const char *answer, *body;
    } cases[] = {
        {OK2, "ok"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\n6;e\r\n world\r\n0\r\nT: x\r\n\r\n",
         "hello world"},
        {"HTTP/1.1 204 No Content\r\n\r\n", ""},
    };
    struct probe p = {.ends = 0};
    int s = idle_connection();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t n = strlen(cases[i].answer);

        for (size_t cut = 1; cut < n; cut++) {
            start(&p, GET);
            peer_expect(l, s, GET);
            assert_int_equal(send(s, cases[i].answer, cut, 0), cut);
            loop_turn(l, 0);
            assert_int_equal(p.ends, 0);
            assert_int_equal(send(s, cases[i].answer + cut, n - cut, 0), n - cut);
            finish(&p, UPSTREAM_COMPLETE);
            expect_data(&p, cases[i].body);
        }
        start(&p, GET);
        for (size_t at = 0; at < n; at++) {
            assert_int_equal(send(s, cases[i].answer + at, 1, 0), 1);
            loop_turn(l, 0);
        }
        finish(&p, UPSTREAM_COMPLETE);
        peer_expect(l, s, GET);
        expect_data(&p, cases[i].body);
    }
    (void)close(s);
}

static void what_ends_a_call(void **state)
{
    static const struct {
        const char *name, *answer;
        bool head_request, reset, close;
        enum upstream_result r;
        const char *body;
        size_t idle;
    } cases[] = {
        {"keeps", OK2, false, false, false, UPSTREAM_COMPLETE, "ok", 1},
        {"closes", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false,
         false, false, UPSTREAM_COMPLETE, "ok", 0},
        {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, false, false,
         UPSTREAM_COMPLETE, "ok", 0},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", true, false, false,
         UPSTREAM_COMPLETE, "", 1},
        {"until close", "HTTP/1.1 200 OK\r\n\r\nall", false, false, true, UPSTREAM_COMPLETE, "all",
         0},
        {"until close, reset", "HTTP/1.1 200 OK\r\n\r\nall", false, true, false, UPSTREAM_TRUNCATED,
         "all", 0},
        {"more than asked for", OK2 "HTTP/1.1 200", false, false, false, UPSTREAM_COMPLETE, "ok",
         0},
        {"body cut", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", false, false, true,
         UPSTREAM_TRUNCATED, "ok", 0},
        {"body reset", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", false, true, false,
         UPSTREAM_TRUNCATED, "ok", 0},
        {"last chunk missing", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
         false, false, true, UPSTREAM_TRUNCATED, "ok", 0},
        {"nothing", "", false, false, true, UPSTREAM_BROKEN, "", 0},
        {"nothing, reset", "", false, true, false, UPSTREAM_BROKEN, "", 0},
        {"half a head", "HTTP/1.1 200 OK\r\nConte", false, false, true, UPSTREAM_BROKEN, "", 0},
        {"half a head, reset", "HTTP/1.1 200 OK\r\nConte", false, true, false, UPSTREAM_BROKEN, "",
         0},
        {"only 100", "HTTP/1.1 100 Continue\r\n\r\n", false, false, true, UPSTREAM_BROKEN, "", 0},
        {"not HTTP", "220 smtp ready\r\n", false, false, false, UPSTREAM_PROTOCOL, "", 0},
        {"both framings",
         "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok", false,
         false, false, UPSTREAM_PROTOCOL, "", 0},
        {"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz", false,
         false, false, UPSTREAM_PROTOCOL, "ok", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct probe p = {.ends = 0};
        struct upstream_request rq = {.head = SLICE(GET), .head_request = cases[i].head_request};
        int s;

        print_message("  %s\n", cases[i].name);
        send_request(&p, &rq);
        s = peer_accept(l, listener);
        peer_expect(l, s, GET);
        peer_send(s, cases[i].answer);
        if (cases[i].reset) {
            PEER_UNTIL(l, p.data.n == strlen(cases[i].body)); // half a head is read, too
            PEER_UNTIL(l, cases[i].answer[0] == '\0' || upstream_times(p.c).first_byte_us != 0);
            peer_reset(s);
        } else if (cases[i].close) {
            assert_int_equal(shutdown(s, SHUT_WR), 0);
        }
        finish(&p, cases[i].r);
        expect_data(&p, cases[i].body);
        assert_int_equal(upstream_idle(u), cases[i].idle);
        assert_int_equal(p.heads,
                         cases[i].r == UPSTREAM_BROKEN ||
                                 (cases[i].r == UPSTREAM_PROTOCOL && cases[i].body[0] == '\0')
                             ? 0
                             : 1);
        assert_true(cases[i].r == UPSTREAM_COMPLETE || p.message[0] != '\0');
        if (!cases[i].reset) {
            if (cases[i].idle == 0) {
                peer_expect_closed(l, s);
            }
            (void)close(s);
            PEER_UNTIL(l, upstream_idle(u) == 0);
        }
    }
}

static void connecting_may_fail(void **state)
{
    static const char *const bad[] = {"ftp://127.0.0.1", "http://127.0.0.1:99999", "",
                                      "http://a..b:80"};
    struct probe p = {.ends = 0};
    struct upstream_request rq = {.head = SLICE(GET), .origin = NULL};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char text[64];
    uint16_t closed_port, full_port;
    int closed = peer_listen(-1, &closed_port), full = peer_listen(0, &full_port), fill[4];

    (void)state;
    (void)snprintf(text, sizeof(text), "http://127.0.0.1:%u", closed_port);
    rq.origin = text;
    send_request(&p, &rq);
    finish(&p, UPSTREAM_CONNECT_FAILED);
    assert_true(p.message[0] != '\0');
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        rq.origin = bad[i];
        rq.connect_timeout_us = 120 * MONO_SEC;
        send_request(&p, &rq);
        finish(&p, UPSTREAM_CONNECT_FAILED);
        send_request(&p, &rq);
        upstream_cancel(&p.c); // before it is told
        loop_turn(l, 0);
        assert_int_equal(p.ends, 0);
    }
    a.sin_port = htons(full_port);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fill[i], (struct sockaddr *)&a, sizeof(a));
    }
    (void)snprintf(text, sizeof(text), "http://127.0.0.1:%u", full_port);
    rq.origin = text;
    rq.connect_timeout_us = 60 * MONO_MS;
    send_request(&p, &rq);
    finish(&p, UPSTREAM_CONNECT_TIMEOUT);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
        (void)close(fill[i]);
    }
    (void)close(full);
    (void)close(closed);
    assert_int_equal(upstream_active(u), 0);
}

// --- pool ----------------------------------------------------------------------------------------

static void idle_connections_are_watched(void **state)
{
    int s = idle_connection();

    (void)state;
    assert_int_equal(upstream_idle(u), 1);
    (void)close(s);
    PEER_UNTIL(l, upstream_idle(u) == 0);
    s = idle_connection();
    peer_reset(s);
    PEER_UNTIL(l, upstream_idle(u) == 0);
    s = idle_connection();
    peer_send(s, "HTTP/1.1 408 Request Timeout\r\n\r\n"); // nobody asked
    PEER_UNTIL(l, upstream_idle(u) == 0);
    peer_expect_closed(l, s);
    (void)close(s);
}

static void the_last_used_comes_first_and_the_pool_is_bounded(void **state)
{
    struct upstream_config cfg = {
        .dial.proxy = "", .max_idle_per_origin = 2, .idle_timeout_us = 1800 * MONO_SEC};
    struct probe p[3] = {{.ends = 0}};
    int s[3];
    char byte;

    (void)state;
    use_config(&cfg);
    for (size_t i = 0; i < 3; i++) {
        s[i] = open_call(&p[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        peer_send(s[i], OK2);
        finish(&p[i], UPSTREAM_COMPLETE);
    }
    assert_int_equal(upstream_idle(u), 2);
    peer_expect_closed(l, s[2]);
    start(&p[0], GET);
    peer_expect(l, s[1], GET);
    assert_int_equal(recv(s[0], &byte, 1, 0), -1);
    peer_send(s[1], OK2);
    finish(&p[0], UPSTREAM_COMPLETE);
    // Both go when their time is over.
    assert_int_equal(upstream_idle(u), 2);
    fake_mono_advance(1800 * MONO_SEC);
    peer_expect_closed(l, s[0]);
    peer_expect_closed(l, s[1]);
    assert_int_equal(upstream_idle(u), 0);
    for (size_t i = 0; i < 3; i++) {
        buf_done(&p[i].data);
        (void)close(s[i]);
    }
}

// The server has closed a reused connection: nothing is seen of it.
static void stale_connections_are_replaced_once(void **state)
{
    struct probe p = {.ends = 0};
    int s, t;

    (void)state;
    for (int how = 0; how < 4; how++) {
        s = idle_connection();
        if (how == 0) { // closed before we write; no turn in between
            (void)close(s);
            start(&p, GET);
        } else if (how == 1) { // reset before we write
            peer_reset(s);
            start(&p, GET);
        } else { // closed, or reset, when the request has arrived
            start(&p, GET);
            peer_expect(l, s, GET);
            if (how == 2) {
                (void)close(s);
            } else {
                peer_reset(s);
            }
        }
        t = peer_accept(l, listener);
        peer_expect(l, t, GET);
        assert_int_equal(p.ends, 0);
        peer_send(t, OK2);
        finish(&p, UPSTREAM_COMPLETE);
        assert_false(p.times.reused);
        expect_data(&p, "ok");
        (void)close(t);
        PEER_UNTIL(l, upstream_idle(u) == 0);
    }
    // Twice is once too often.
    s = idle_connection();
    start(&p, GET);
    (void)close(s);
    t = peer_accept(l, listener);
    (void)close(t);
    finish(&p, UPSTREAM_BROKEN);
    assert_int_equal(peer_try_accept(listener), -1);
    // A byte of an answer was seen: told, not tried again.
    s = idle_connection();
    start(&p, GET);
    peer_send(s, "H");
    PEER_UNTIL(l, upstream_times(p.c).first_byte_us != 0);
    (void)close(s);
    finish(&p, UPSTREAM_BROKEN);
    assert_int_equal(peer_try_accept(listener), -1);
    // The fresh connection cannot be made.
    s = idle_connection();
    start(&p, GET);
    (void)close(listener);
    (void)close(s);
    finish(&p, UPSTREAM_CONNECT_FAILED);
    listener = peer_listen(1, &port); // teardown closes it
}

// --- uploads -------------------------------------------------------------------------------------

static void fill_body(char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)(i * 31 + i / 251);
    }
}

static void large_requests_arrive_whole(void **state)
{
    enum { N = 8 * MIB };
    char *body = mem_alloc(N), *got = mem_alloc(N + 64);
    struct upstream_request rq = {
        .head = SLICE("POST / HTTP/1.1\r\n\r\n"),
        .body = {{body, 1},
                 {body + 1, 0},
                 {body + 1, 3 * MIB},
                 {body + 1 + 3 * MIB, N - 1 - 3 * MIB}},
        .n_body = 4,
    };
    struct probe p = {.ends = 0};
    int s;

    (void)state;
    fill_body(body, N);
    for (int round = 0; round < 2; round++) { // fresh, and reused
        send_request(&p, &rq);
        if (round == 0) {
            s = peer_accept(l, listener);
        }
        for (int i = 0; i < 20; i++) {
            loop_turn(l, 0); // the socket fills
        }
        peer_read(l, s, got, rq.head.n + N);
        assert_memory_equal(got, rq.head.p, rq.head.n);
        assert_memory_equal(got + rq.head.n, body, N);
        peer_send(s, OK2);
        finish(&p, UPSTREAM_COMPLETE);
        expect_data(&p, "ok");
        assert_int_equal(upstream_idle(u), 1);
        assert_true(p.times.written_us > 0);
    }
    (void)close(s);
    mem_free(body);
    mem_free(got);
}

static void an_early_answer_is_relayed(void **state)
{
    enum { N = 16 * MIB };
    static const char answer[] = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
    char *body = mem_zalloc(N);
    struct upstream_request rq = {
        .head = SLICE("POST / HTTP/1.1\r\n\r\n"), .body = {{body, N}}, .n_body = 1};
    struct probe p = {.ends = 0};

    (void)state;
    for (int how = 0; how < 3; how++) {
        send_request(&p, &rq);
        int s = peer_accept(l, listener);

        for (int i = 0; i < 10; i++) {
            loop_turn(l, 0);
        }
        peer_send(s, "HTTP/1.1 102 Processing\r\n\r\n"); // does not stop the upload
        loop_turn(l, 0);
        assert_int_equal(p.heads, 0);
        peer_send(s, answer);
        if (how == 1) {
            (void)close(s); // unread bytes: the kernel answers with RST
        } else if (how == 2) {
            p.in_head = CANCEL;
            PEER_UNTIL(l, p.heads > 0);
            assert_int_equal(p.ends, 0);
        }
        if (how < 2) {
            finish(&p, UPSTREAM_COMPLETE);
            assert_int_equal(p.status, 413);
            expect_data(&p, "no");
        }
        assert_int_equal(upstream_idle(u), 0);
        if (how != 1) {
            (void)close(s);
        }
    }
    mem_free(body);
}

// --- back-pressure -------------------------------------------------------------------------------

static size_t send_much(int s, const char *p, size_t n)
{
    size_t sent = 0;
    ssize_t m;

    while (sent < n && (m = send(s, p + sent, n - sent, MSG_NOSIGNAL)) > 0) {
        sent += (size_t)m;
    }
    return sent;
}

static void paused_calls_stop_reading_and_go_on(void **state)
{
    enum { N = 1 * MIB, CHUNK = 4096 };
    struct upstream_config cfg = {.dial.proxy = "", .read_chunk = CHUNK};
    char *body = mem_alloc(N), head[64];
    struct probe p = {.in_data = PAUSE};
    size_t sent = 0;
    int s;

    (void)state;
    use_config(&cfg);
    fill_body(body, N);
    s = open_call(&p);
    (void)snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", N);
    peer_send(s, head);
    while (p.ends == 0) {
        size_t before = p.data.n;

        sent += send_much(s, body + sent, N - sent);
        PEER_UNTIL(l, p.data.n > before || p.ends > 0);
        size_t at = p.data.n;
        for (int i = 0; i < 3; i++) {
            loop_turn(l, 0);
        }
        assert_int_equal(p.data.n, at); // paused is paused
        assert_true(at - before <= CHUNK);
        if (p.c != NULL) {
            upstream_resume(p.c);
        }
    }
    finish(&p, UPSTREAM_COMPLETE);
    assert_int_equal(p.data.n, N);
    assert_memory_equal(buf_slice(&p.data).p, body, N);
    assert_int_equal(upstream_idle(u), 1);
    buf_done(&p.data);
    (void)close(s);
    mem_free(body);
}

static void no_wake_up_is_lost(void **state)
{
    struct probe p = {.ends = 0};
    int s = open_call(&p);

    (void)state;
    // Paused before anything came, the event comes meanwhile.
    upstream_pause(p.c);
    peer_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab");
    for (int i = 0; i < 5; i++) {
        loop_turn(l, 0);
    }
    assert_int_equal(p.heads, 0);
    upstream_resume(p.c);
    PEER_UNTIL(l, p.data.n == 2);
    // Paused and resumed without an event in between; twice.
    upstream_pause(p.c);
    upstream_pause(p.c);
    upstream_resume(p.c);
    upstream_resume(p.c);
    peer_send(s, "cd");
    PEER_UNTIL(l, p.data.n == 4);
    // From inside the handler.
    p.in_data = PAUSE_RESUME;
    peer_send(s, "ef");
    finish(&p, UPSTREAM_COMPLETE);
    expect_data(&p, "abcdef");
    // The end arrives while paused.
    p.in_data = PAUSE;
    start(&p, GET);
    peer_expect(l, s, GET);
    peer_send(s, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    PEER_UNTIL(l, p.data.n == 1);
    peer_send(s, "1\r\ny\r\n0\r\n\r\n");
    loop_turn(l, 0);
    loop_turn(l, 0);
    assert_int_equal(p.data.n, 1);
    upstream_resume(p.c);
    PEER_UNTIL(l, p.ends == 1);
    expect_data(&p, "xy");
    (void)close(s);
}

// A connection that breaks under a paused call neither spins nor is lost.
static void a_break_while_paused_waits(void **state)
{
    struct probe p = {.in_head = PAUSE};

    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        uint64_t longest_us = 0;
        int s = open_call(&p);

        peer_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
        PEER_UNTIL(l, p.heads == 1);
        if (reset != 0) {
            peer_reset(s);
        } else {
            (void)close(s);
        }
        for (int i = 0; i < 200 && longest_us < 10 * MONO_MS; i++) { // spinning, it never waits
            uint64_t since_us = fake_mono_real_us(), took_us;

            loop_turn(l, 10 * MONO_MS);
            took_us = fake_mono_real_us() - since_us;
            longest_us = took_us > longest_us ? took_us : longest_us;
        }
        assert_true(longest_us >= 10 * MONO_MS);
        assert_int_equal(p.ends, 0);
        upstream_resume(p.c);
        finish(&p, UPSTREAM_TRUNCATED);
        expect_data(&p, "abc");
    }
}

// --- cancelling ----------------------------------------------------------------------------------

static void calls_can_be_cancelled_in_every_state(void **state)
{
    enum { N = 16 * MIB };
    char *body = mem_zalloc(N);
    struct upstream_request big = {
        .head = SLICE("POST / HTTP/1.1\r\n\r\n"), .body = {{body, N}}, .n_body = 1};
    struct probe p = {.ends = 0};
    int s;

    (void)state;
    upstream_cancel(&p.c); // NULL allowed
    start(&p, GET);        // not even started to connect
    upstream_cancel(&p.c);
    assert_null(p.c);
    start(&p, GET);
    loop_turn(l, 0); // connecting
    upstream_cancel(&p.c);
    while ((s = peer_try_accept(listener)) >= 0) {
        peer_expect_closed(l, s);
        (void)close(s);
    }
    s = open_call(&p); // waiting for the head
    upstream_cancel(&p.c);
    peer_expect_closed(l, s);
    (void)close(s);
    s = open_call(&p); // inside the body, and paused
    peer_send(s, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    PEER_UNTIL(l, p.data.n == 3);
    upstream_pause(p.c);
    upstream_cancel(&p.c);
    peer_expect_closed(l, s);
    (void)close(s);
    send_request(&p, &big); // blocked in writing
    s = peer_accept(l, listener);
    for (int i = 0; i < 10; i++) {
        loop_turn(l, 0);
    }
    upstream_cancel(&p.c);
    (void)close(s);
    s = idle_connection(); // on a reused connection
    start(&p, GET);
    upstream_cancel(&p.c);
    peer_expect(l, s, GET);
    peer_expect_closed(l, s);
    (void)close(s);
    for (int i = 0; i < 5; i++) {
        loop_turn(l, 0);
    }
    assert_int_equal(p.ends, 0);
    assert_int_equal(upstream_active(u), 0);
    assert_int_equal(upstream_idle(u), 0);
    buf_done(&p.data);
    mem_free(body);
}

static void calls_can_be_cancelled_in_every_handler(void **state)
{
    struct probe p = {.ends = 0};
    int s;

    (void)state;
    for (int where = 0; where < 3; where++) {
        p = (struct probe){.ends = 0};
        p.in_head = where == 0 ? CANCEL : NOTHING;
        p.in_data = where == 1 ? CANCEL : NOTHING;
        p.in_end = where == 2 ? CANCEL : NOTHING;
        s = open_call(&p);
        peer_send(
            s,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
        PEER_UNTIL(l, p.c == NULL);
        loop_turn(l, 0);
        assert_int_equal(p.heads, 1);
        assert_int_equal(p.data.n, where);
        assert_int_equal(p.ends, where == 2);
        assert_int_equal(upstream_active(u), 0);
        if (where < 2) {
            peer_expect_closed(l, s);
        }
        buf_done(&p.data);
        (void)close(s);
        PEER_UNTIL(l, upstream_idle(u) == 0);
    }
}

static void a_call_may_be_started_in_the_end_of_another(void **state)
{
    struct probe next = {.ends = 0}, p = {.in_end = START_NEXT, .next = &next};
    int s = open_call(&p);

    (void)state;
    peer_send(s, OK2);
    finish(&p, UPSTREAM_COMPLETE);
    peer_expect(l, s, GET); // on the same connection
    peer_send(s, OK2);
    finish(&next, UPSTREAM_COMPLETE);
    assert_true(next.times.reused);
    expect_data(&p, "ok");
    expect_data(&next, "ok");
    // Also when it ended badly.
    start(&p, GET);
    peer_send(s, "nonsense");
    finish(&p, UPSTREAM_PROTOCOL);
    upstream_cancel(&next.c);
    buf_done(&p.data);
    buf_done(&next.data);
    (void)close(s);
}

static void freeing_calls_no_handler(void **state)
{
    struct probe p[3] = {{.ends = 0}};
    int s = idle_connection(), t;

    (void)state;
    start(&p[0], GET); // on the idle one
    t = open_call(&p[1]);
    start(&p[2], GET); // connecting
    upstream_free(&u);
    assert_null(u);
    loop_turn(l, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(p[i].ends, 0);
        buf_done(&p[i].data);
    }
    peer_expect(l, s, GET);
    peer_expect_closed(l, s);
    peer_expect_closed(l, t);
    (void)close(s);
    (void)close(t);
}

// --- TLS -----------------------------------------------------------------------------------------

static void tls_get(struct probe *p, const char *tls_origin, const char *path)
{
    char head[64];
    struct upstream_request rq = {.origin = tls_origin, .head = SLICE_NULL};

    (void)snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\n\r\n", path);
    rq.head = slice_str(head);
    send_request(p, &rq);
}

static void tls_basics(const char *at)
{
    struct probe p = {.ends = 0};

    tls_get(&p, at, "/alpn");
    finish(&p, UPSTREAM_COMPLETE);
    expect_data(&p, "http/1.1 0");
    assert_int_equal(upstream_idle(u), 1);
    for (int i = 0; i < 5; i++) {
        loop_turn(l, MONO_MS); // session tickets come in and do no harm
    }
    assert_int_equal(upstream_idle(u), 1);
    tls_get(&p, at, "/alpn");
    finish(&p, UPSTREAM_COMPLETE);
    assert_true(p.times.reused);
    expect_data(&p, "http/1.1 0");
    tls_get(&p, at, "/two"); // bytes nobody asked for hide in the same record
    finish(&p, UPSTREAM_COMPLETE);
    expect_data(&p, "http/1.1 0");
    assert_int_equal(upstream_idle(u), 0);
    tls_get(&p, at, "/close");
    finish(&p, UPSTREAM_COMPLETE);
    expect_data(&p, "until close");
}

static void tls_bodies(const char *at)
{
    enum { N = 3 * MIB };
    char *body = mem_zalloc(N), head[64];
    struct upstream_request rq = {.origin = at, .body = {{body, 7}, {body, N - 7}}, .n_body = 2};
    struct probe p = {.ends = 0};

    (void)snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nContent-Length: %u\r\n\r\n", N);
    rq.head = slice_str(head);
    send_request(&p, &rq);
    finish(&p, UPSTREAM_COMPLETE);
    expect_data(&p, "3145728");
    rq.body[1].n = 13; // small: one record
    rq.head = SLICE("POST /echo HTTP/1.1\r\nContent-Length: 20\r\n\r\n");
    send_request(&p, &rq);
    finish(&p, UPSTREAM_COMPLETE);
    expect_data(&p, "20");
    p.in_data = PAUSE;
    tls_get(&p, at, "/big");
    while (p.ends == 0) {
        loop_turn(l, 5 * MONO_MS);
        if (p.c != NULL) {
            upstream_resume(p.c);
        }
    }
    assert_int_equal(p.r, UPSTREAM_COMPLETE);
    assert_int_equal(p.data.n, MIB);
    p.in_data = NOTHING;
    tls_get(&p, at, "/big");
    finish(&p, UPSTREAM_COMPLETE);
    assert_int_equal(p.data.n, MIB);
    p.in_data = CANCEL;
    tls_get(&p, at, "/big");
    PEER_UNTIL(l, p.c == NULL);
    assert_int_equal(p.ends, 0);
    buf_done(&p.data);
    mem_free(body);
}

static void https_works_alike(void **state)
{
    struct peer_tls tls;
    char at[64];

    (void)state;
    if (!peer_tls_start(&tls)) {
        skip();
    }
    (void)snprintf(at, sizeof(at), "https://localhost:%u", tls.port);
    use_config(&(struct upstream_config){.dial = {.proxy = "", .ca_file = tls.cert}});
    tls_basics(at);
    use_config(
        &(struct upstream_config){.dial = {.proxy = "", .ca_file = tls.cert}, .read_chunk = 1000});
    tls_bodies(at);
    peer_tls_stop(&tls);
}

// --- all at once ---------------------------------------------------------------------------------

enum { SERVED = 24 };

// Reads what came and answers, whole or in part, well or badly.
static void serve_at_random(struct rng *r, int *s)
{
    static const char *const answers[] = {
        OK2,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "2\r\nok\r\n",
        "0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "garbage\r\n",
    };
    char sink[4096];

    for (size_t i = 0; i < SERVED; i++) {
        if (s[i] < 0) {
            s[i] = peer_try_accept(listener);
        }
        if (s[i] < 0 || rng_below(r, 3) == 0) {
            continue;
        }
        ssize_t n = recv(s[i], sink, sizeof(sink), 0);
        uint64_t what = rng_below(r, 20);

        if (n == 0 || (n < 0 && errno != EAGAIN) || what == 0) {
            (void)close(s[i]);
            s[i] = -1;
        } else if (what == 1) {
            peer_reset(s[i]);
            s[i] = -1;
        } else if (n > 0 || what < 6) {
            const char *text = answers[what < 16 ? 0 : rng_below(r, ARRAY_LEN(answers))];

            (void)!send(s[i], text, strlen(text), MSG_NOSIGNAL); // it may be gone
        }
    }
}

static enum act random_act(struct rng *r)
{
    static const enum act acts[] = {CANCEL, PAUSE, PAUSE_RESUME};
    uint64_t n = rng_below(r, 12);

    return n < ARRAY_LEN(acts) ? acts[n] : NOTHING;
}

static void anything_may_happen_at_any_time(void **state)
{
    static struct probe p[16];
    struct rng r;
    int s[SERVED];
    int ends = 0;

    (void)state;
    rng_init(&r, 7);
    memset(s, -1, sizeof(s));
    for (int round = 0; round < 4000; round++) {
        struct probe *q = &p[rng_below(&r, ARRAY_LEN(p))];

        if (q->c == NULL) {
            ends += q->ends;
            q->in_head = random_act(&r);
            q->in_data = random_act(&r);
            q->in_end = rng_below(&r, 2) == 0 ? CANCEL : NOTHING;
            start(q, GET);
        } else if (rng_below(&r, 12) == 0) {
            upstream_cancel(&q->c);
        } else if (rng_below(&r, 2) == 0) {
            upstream_resume(q->c);
        } else if (rng_below(&r, 8) == 0) {
            upstream_pause(q->c);
        }
        if (rng_below(&r, 3) == 0) {
            serve_at_random(&r, s);
            loop_turn(l, 0);
        }
    }
    assert_true(ends > 100); // it was not all cancelling
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        upstream_cancel(&p[i].c);
        buf_done(&p[i].data);
    }
    assert_int_equal(upstream_active(u), 0);
    for (size_t i = 0; i < SERVED; i++) {
        if (s[i] >= 0) {
            (void)close(s[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(connections_are_reused, setup, teardown),
        cmocka_unit_test_setup_teardown(answers_may_be_cut_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(what_ends_a_call, setup, teardown),
        cmocka_unit_test_setup_teardown(connecting_may_fail, setup, teardown),
        cmocka_unit_test_setup_teardown(idle_connections_are_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_used_comes_first_and_the_pool_is_bounded, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stale_connections_are_replaced_once, setup, teardown),
        cmocka_unit_test_setup_teardown(large_requests_arrive_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(an_early_answer_is_relayed, setup, teardown),
        cmocka_unit_test_setup_teardown(paused_calls_stop_reading_and_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(no_wake_up_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(a_break_while_paused_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_can_be_cancelled_in_every_state, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_can_be_cancelled_in_every_handler, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_may_be_started_in_the_end_of_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(freeing_calls_no_handler, setup, teardown),
        cmocka_unit_test_setup_teardown(https_works_alike, setup, teardown),
        cmocka_unit_test_setup_teardown(anything_may_happen_at_any_time, setup, teardown),
    };

    fake_mono_run(); // libcurl has its own clock
    return cmocka_run_group_tests(tests, NULL, NULL);
}
