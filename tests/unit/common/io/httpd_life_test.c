// SPDX-License-Identifier: Apache-2.0
// Connections from accept to end: clients that leave, aborts, limits, drain, deadlines, TLS.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/common/io/httpd_rig.h"

// --- the client leaves ---------------------------------------------------------------------------

enum leave { LEAVE_CLOSE, LEAVE_HALF, LEAVE_RESET };

static void leave(int fd, enum leave how)
{
    if (how == LEAVE_HALF) {
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
    } else if (how == LEAVE_RESET) {
        peer_reset(fd);
    } else {
        (void)close(fd);
    }
}

static void gone_is_told_within_a_turn(void **state)
{
    static const char *const request[] = {
        RIG_GET("/hold"),
        "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
        RIG_GET("/stream"),
        "GET /stream HTTP/1.0\r\n\r\n",
    };

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(request); i++) {
        for (int how = LEAVE_CLOSE; how <= LEAVE_RESET; how++) {
            int fd = rig_hold(request[i]);
            struct rig_ex *x = rig_last();

            rig_turns(2);
            leave(fd, (enum leave)how);
            PEER_UNTIL(rig.l, x->gones == 1); // the kernel may take its time
            assert_true(x->done);             // in the serve phase of that turn
            assert_int_equal(x->how, HTTPD_ABORTED);
            PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
            if (how == LEAVE_HALF) {
                (void)close(fd);
            }
        }
    }
    assert_int_equal(httpd_active(rig.h), 0);
}

static void gone_while_a_write_is_blocked(void **state)
{
    char *data = rig_filled(8u << 20);

    (void)state;
    rig_start(NULL);
    for (int how = LEAVE_CLOSE; how <= LEAVE_RESET; how++) {
        int fd = rig_hold(RIG_GET("/stream"));
        struct rig_ex *x = rig_last();

        assert_false(httpd_stream_write(x->q, SLICE_MAKE(data, 8u << 20)));
        rig_turns(30);
        assert_true(httpd_stream_queued(x->q) > 0);
        leave(fd, (enum leave)how);
        PEER_UNTIL(rig.l, x->gones == 1);
        PEER_UNTIL(rig.l, x->done);
        assert_int_equal(x->how, HTTPD_ABORTED);
        if (how == LEAVE_HALF) {
            (void)close(fd);
        }
        // Without a writer there is nobody to tell, until the write fails.
        fd = rig_hold(RIG_GET("/hold"));
        x = rig_last();
        rig_reply(x->q, 200, SLICE_MAKE(data, 8u << 20));
        rig_turns(30);
        leave(fd, (enum leave)how);
        if (how == LEAVE_HALF) {
            assert_int_equal(rig_read(fd, false).body.n, 8u << 20);
            assert_int_equal(x->how, HTTPD_SENT);
            (void)close(fd);
        } else {
            PEER_UNTIL(rig.l, x->done);
            assert_int_equal(x->how, HTTPD_ABORTED);
            assert_int_equal(x->gones, 1);
        }
        PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
    }
    mem_free(data);
}

static void gone_before_the_request_is_complete(void **state)
{
    static const struct {
        const char *sent;
        bool seen; // on_head was called
    } t[] = {
        {"", false},
        {"GET /h", false},
        {"GET /hold HTTP/1.1\r\nHo", false},
        {"POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", true},
        {"POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345", true},
        {"POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345", true},
        {"POST /hold HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12", true},
        {"POST /hold HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n", true},
    };

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        for (int how = LEAVE_CLOSE; how <= LEAVE_RESET; how++) {
            int fd = rig_connect();
            size_t n = rig.n;

            rig_send(fd, t[i].sent);
            PEER_UNTIL(rig.l, httpd_connections(rig.h) == 1);
            rig_turns(3);
            leave(fd, (enum leave)how);
            PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
            assert_int_equal(rig.n - n, t[i].seen ? 1 : 0);
            if (t[i].seen) {
                assert_int_equal(rig_last()->gones, 1);
                assert_int_equal(rig_last()->readies, 0);
                assert_int_equal(rig_last()->how, HTTPD_ABORTED);
            }
            if (how == LEAVE_HALF) {
                (void)close(fd);
            }
        }
    }
}

// --- aborts --------------------------------------------------------------------------------------

static void aborted_exchanges_end_without_gone(void **state)
{
    static const char *const target[] = {"/cut-at-head", "/cut-at-ready", "/hold", "/stream"};
    char request[200];

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(target) * 2; i++) {
        struct rig_answer a;
        int fd;

        (void)snprintf(request, sizeof request,
                       "POST %s HTTP/1.%zu\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi",
                       target[i / 2], i % 2);
        if (i / 2 < 2) {
            fd = rig_connect();
            rig_send(fd, request);
        } else {
            fd = rig_hold(request);
        }
        if (i / 2 == 3) {
            assert_true(httpd_stream_write(rig_last()->q, SLICE("some")));
            rig_turns(2);
        }
        if (i / 2 >= 2) {
            httpd_abort(rig_last()->q);
            httpd_abort(rig_last()->q); // no harm
            if (i / 2 == 3) {
                assert_true(httpd_stream_write(rig_last()->q, SLICE("ignored")));
                httpd_stream_end(rig_last()->q);
            } else {
                rig_reply(rig_last()->q, 200, SLICE("ignored"));
            }
        }
        PEER_UNTIL(rig.l, rig.n == i + 1 && rig_last()->done);
        assert_int_equal(rig_last()->gones, 0);
        assert_int_equal(rig_last()->how, HTTPD_ABORTED);
        if (i / 2 == 3 && i % 2 == 0) { // HTTP/1.0: only a reset shows the cut
            char got[1000];
            ssize_t n;

            while ((n = recv(fd, got, sizeof got, 0)) > 0) {
            }
            assert_int_equal(n, -1);
            assert_int_equal(errno, ECONNRESET);
        } else {
            a = rig_read(fd, false);
            assert_false(a.whole);
            assert_int_equal(a.status, i / 2 == 3 ? 200 : 0);
        }
        (void)close(fd);
    }
}

static void aborts_while_a_write_is_blocked(void **state)
{
    char *data = rig_filled(8u << 20);

    (void)state;
    rig_start(NULL);
    for (int stream = 0; stream < 2; stream++) {
        int fd = rig_hold(stream ? RIG_GET("/stream") : RIG_GET("/hold"));
        struct rig_ex *x = rig_last();

        if (stream) {
            assert_false(httpd_stream_write(x->q, SLICE_MAKE(data, 8u << 20)));
        } else {
            rig_reply(x->q, 200, SLICE_MAKE(data, 8u << 20));
        }
        rig_turns(30);
        assert_false(x->done);
        httpd_abort(x->q);
        PEER_UNTIL(rig.l, x->done);
        assert_int_equal(x->gones, 0);
        assert_false(rig_read(fd, false).whole);
        (void)close(fd);
    }
    mem_free(data);
}

// --- many, and closing down ----------------------------------------------------------------------

static void serves_more_connections_than_daemons_hold(void **state)
{
    int fd[60];

    (void)state;
    rig_start(NULL);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        fd[i] = rig_hold(RIG_GET("/hold"));
    }
    assert_int_equal(httpd_connections(rig.h), 60);
    assert_int_equal(httpd_active(rig.h), 60);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        size_t k = (i * 7) % ARRAY_LEN(fd);

        if (k % 3 == 0) {
            (void)close(fd[k]);
            PEER_UNTIL(rig.l, rig.ex[k].gones == 1);
        } else {
            rig_reply(rig.ex[k].q, 200, SLICE("x"));
            assert_int_equal(rig_read(fd[k], false).status, 200);
            (void)close(fd[k]);
        }
    }
    PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
}

static void connections_over_the_limit_wait(void **state)
{
    int a, b, c;

    (void)state;
    rig_start(&(struct httpd_config){.max_connections = 2});
    a = rig_hold(RIG_GET("/hold"));
    b = rig_hold(RIG_GET("/hold"));
    c = rig_connect();
    rig_send(c, RIG_GET("/target"));
    rig_turns(5);
    assert_int_equal(httpd_connections(rig.h), 2);
    assert_int_equal(rig.n, 2);
    (void)close(a);
    assert_int_equal(rig_read(c, false).status, 200);
    (void)close(b);
    (void)close(c);
    PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
}

static void connections_can_be_given_away(void **state)
{
    struct httpd_config c = {.no_listen = true, .on = *rig_handlers(), .arg = &rig};
    struct httpd *other = httpd_new(rig.l, &c, NULL);
    struct rig_answer a;
    int fd, gone;

    (void)state;
    assert_non_null(other);
    assert_int_equal(httpd_port(other), 0);
    rig_start(NULL);
    rig.take_accepts = 2;
    fd = rig_connect();
    gone = rig_connect();
    PEER_UNTIL(rig.l, rig.n_taken == 2);
    assert_int_equal(httpd_connections(rig.h), 0);
    httpd_give(other, rig.taken[0]);
    assert_int_equal(httpd_connections(other), 1);
    a = rig_ask(fd, RIG_GET("/target"));
    rig_assert_text(a.body, "/target");
    peer_reset(gone);
    httpd_give(other, rig.taken[1]); // left already
    (void)close(fd);
    PEER_UNTIL(rig.l, httpd_connections(other) == 0);
    httpd_free(&other);
}

static void leaving_moves_clients_away(void **state)
{
    struct rig_answer a;
    int kept, fresh;

    (void)state;
    rig_start(NULL);
    kept = rig_connect();
    assert_false(rig_ask(kept, RIG_GET("/target")).close);
    httpd_leave(rig.h);
    a = rig_ask(kept, RIG_GET("/target"));
    assert_int_equal(a.status, 200);
    assert_true(a.close);
    peer_expect_closed(rig.l, kept);
    fresh = rig_connect(); // the listener is still open
    a = rig_ask(fresh, RIG_GET("/target"));
    assert_int_equal(a.status, 200);
    assert_true(a.close);
    PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
    (void)close(kept);
    (void)close(fresh);
}

static void drain_finishes_what_is_there(void **state)
{
    int idle, held, stream, queued, refused, fresh;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rig_ex *x, *y;
    struct rig_answer a;

    (void)state;
    rig_start(NULL);
    to.sin_port = htons(httpd_port(rig.h));
    idle = rig_connect();
    assert_int_equal(rig_ask(idle, RIG_GET("/echo")).status, 200);
    held = rig_hold(RIG_GET("/hold"));
    x = rig_last();
    stream = rig_hold(RIG_GET("/stream"));
    y = rig_last();
    fresh = rig_connect();
    PEER_UNTIL(rig.l, httpd_connections(rig.h) == 4);
    queued = rig_connect(); // connected, not yet accepted
    httpd_drain(rig.h);
    httpd_drain(rig.h);
    refused = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(refused, (struct sockaddr *)&to, sizeof to), -1);
    (void)close(refused);
    peer_expect_closed(rig.l, idle);
    a = rig_ask(queued, RIG_GET("/target"));
    assert_int_equal(a.status, 200);
    assert_true(a.close);
    a = rig_ask(fresh, RIG_GET("/target"));
    assert_int_equal(a.status, 200);
    assert_true(a.close);
    rig_reply(x->q, 200, SLICE("held"));
    a = rig_read(held, false);
    rig_assert_text(a.body, "held");
    assert_true(a.close);
    assert_true(httpd_stream_write(y->q, SLICE("x")));
    httpd_stream_end(y->q);
    a = rig_read(stream, false);
    assert_true(a.whole);
    PEER_UNTIL(rig.l, httpd_connections(rig.h) <= 1);
    // The stream's head was out before the drain: its connection has a second more.
    assert_int_equal(rig_ask(stream, RIG_GET("/target")).close, true);
    PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
    (void)close(idle);
    (void)close(held);
    (void)close(stream);
    (void)close(queued);
    (void)close(fresh);
}

#define TWO_HELD RIG_GET("/hold") RIG_GET("/hold")

static void free_ends_everything_in_flight(void **state)
{
    static const char *const half[] = {
        "",
        "GET /",
        "GET / HTTP/1.1\r\nHost:",
        "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345",
        "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345",
        "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n12345",
        RIG_GET("/echo"),
        TWO_HELD,
    };
    char *data = rig_filled(8u << 20);
    int fd[20];
    size_t n = 0;

    (void)state;
    rig_start(&(struct httpd_config){.budget = &rig.budget, .daemons = 1});
    rig.budget.max = SIZE_MAX;
    for (size_t i = 0; i < ARRAY_LEN(half); i++) {
        fd[n++] = rig_connect();
        rig_send(fd[n - 1], half[i]);
    }
    rig_turns(5);
    fd[n++] = rig_hold(RIG_GET("/stream"));
    fd[n++] = rig_hold(RIG_GET("/stream"));
    assert_false(httpd_stream_write(rig_last()->q, SLICE_MAKE(data, 8u << 20)));
    rig_turns(5);
    fd[n++] = rig_hold(RIG_GET("/hold"));
    rig_reply(rig_last()->q, 200, SLICE_MAKE(data, 8u << 20));
    rig_turns(30);
    fd[n++] = rig_hold(RIG_GET("/hold"));
    fd[n++] = rig_hold("HEAD /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    httpd_stream_begin(rig_last()->q, 200, NULL, 0, -1);
    rig_turns(2);
    fd[n++] = rig_connect(); // a request that nobody has read
    peer_send(fd[n - 1], RIG_GET("/hold"));
    fd[n++] = rig_hold(RIG_GET("/hold")); // parked behind a second request
    peer_send(fd[n - 1], RIG_GET("/hold"));
    httpd_free(&rig.h);
    for (size_t i = 0; i < rig.n; i++) {
        assert_true(rig.ex[i].done);
    }
    while (n > 0) {
        (void)close(fd[--n]);
    }
    mem_free(data);
}

// --- deadlines -----------------------------------------------------------------------------------

static void slow_clients_are_cut(void **state)
{
    static const char *const sent[] = {
        "",
        "GET /ec",
        "GET /echo HTTP/1.1\r\nHos",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345",
        "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345",
        "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n1",
        "GET /echo HTTP/1.1\r\nHost: h\r\n\r\n",
    };
    int fd[ARRAY_LEN(sent)];

    (void)state;
    rig_start(&(struct httpd_config){.idle_timeout_us = 100 * MONO_MS});
    for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
        fd[i] = rig_connect();
        rig_send(fd[i], sent[i]);
    }
    PEER_UNTIL(rig.l, httpd_connections(rig.h) == ARRAY_LEN(sent));
    rig_turns(10);
    fake_mono_advance(99 * MONO_MS);
    rig_turns(2);
    assert_int_equal(httpd_connections(rig.h), ARRAY_LEN(sent));
    fake_mono_advance(MONO_MS);
    rig_turns(2);
    PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
    for (size_t i = 0; i < ARRAY_LEN(sent); i++) {
        (void)close(fd[i]);
    }
}

// Bytes that come in time do not renew the deadline of a head or of a small body.
static void drips_do_not_hold_a_connection(void **state)
{
    static const char *const begin[] = {
        "GET /echo HTTP/1.1\r\nHost: h\r\nX: ",
        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n",
    };

    (void)state;
    rig_start(&(struct httpd_config){.idle_timeout_us = 100 * MONO_MS});
    for (size_t i = 0; i < ARRAY_LEN(begin); i++) {
        int fd = rig_connect();

        rig_send(fd, begin[i]);
        PEER_UNTIL(rig.l, httpd_connections(rig.h) == 1);
        for (int passed = 0; passed < 10; passed++) {
            assert_int_equal(httpd_connections(rig.h), 1);
            assert_true(rig_try_send(fd, "x", 1));
            fake_mono_advance(10 * MONO_MS);
            rig_turns(2);
        }
        PEER_UNTIL(rig.l, httpd_connections(rig.h) == 0);
        (void)close(fd);
    }
}

static void readers_that_stop_are_cut_and_waits_are_not(void **state)
{
    char *data = rig_filled(8u << 20);
    struct rig_ex *blocked, *reply, *held, *starved;
    int fd[4];

    (void)state;
    rig_start(&(struct httpd_config){.idle_timeout_us = 60 * MONO_MS});
    fd[0] = rig_hold(RIG_GET("/hold"));
    held = rig_last();
    fd[1] = rig_hold(RIG_GET("/stream"));
    starved = rig_last();
    fd[2] = rig_hold(RIG_GET("/stream"));
    blocked = rig_last();
    assert_false(httpd_stream_write(blocked->q, SLICE_MAKE(data, 8u << 20)));
    fd[3] = rig_hold(RIG_GET("/hold"));
    reply = rig_last();
    rig_reply(reply->q, 200, SLICE_MAKE(data, 8u << 20));
    FAKE_MONO_LATER(rig.l, blocked->done && reply->done);
    assert_int_equal(blocked->gones, 1);
    assert_int_equal(blocked->how, HTTPD_ABORTED);
    assert_int_equal(reply->how, HTTPD_ABORTED);
    assert_false(held->done);
    assert_false(starved->done);
    rig_reply(held->q, 200, SLICE("late"));
    rig_assert_text(rig_read(fd[0], false).body, "late");
    httpd_stream_end(starved->q);
    assert_true(rig_read(fd[1], false).whole);
    for (size_t i = 0; i < ARRAY_LEN(fd); i++) {
        (void)close(fd[i]);
    }
    mem_free(data);
}

// --- starting ------------------------------------------------------------------------------------

static void failures_to_listen_name_address_and_port(void **state)
{
    uint16_t port;
    int taken = peer_listen(1, &port);
    struct httpd_config c = {
        .address = "127.0.0.1", .port = port, .on = *rig_handlers(), .arg = &rig};
    char want[64];
    struct err e;

    (void)state;
    assert_null(httpd_new(rig.l, &c, &e));
    (void)snprintf(want, sizeof want, "127.0.0.1 port %u", (unsigned)port);
    assert_non_null(strstr(e.message, want));
    c.address = "example.test";
    assert_null(httpd_new(rig.l, &c, &e));
    assert_non_null(strstr(e.message, "\"example.test\""));
    c.address = "127.0.0.1";
    c.port = 0;
    c.tls_cert_pem = c.tls_key_pem = "nonsense";
    assert_null(httpd_new(rig.l, &c, &e));
    assert_non_null(strstr(e.message, "TLS certificate"));
    (void)close(taken);
}

static void two_servers_share_a_port(void **state)
{
    struct httpd_config c = {
        .address = "127.0.0.1", .reuse_port = true, .on = *rig_handlers(), .arg = &rig};
    struct httpd *other;

    (void)state;
    rig_start(&c);
    c.port = httpd_port(rig.h);
    other = httpd_new(rig.l, &c, NULL);
    assert_non_null(other);
    assert_int_equal(httpd_port(other), c.port);
    httpd_free(&other);
}

static void serves_ipv6_and_names_mapped_peers_plainly(void **state)
{
    int fd;

    (void)state;
    rig_start(&(struct httpd_config){.address = "::"});
    fd = rig_hold(RIG_GET("/hold")); // over IPv4
    rig_assert_text(httpd_peer(rig_last()->q), "127.0.0.1");
    (void)close(fd);
}

// --- TLS -----------------------------------------------------------------------------------------

static char *slurp(const char *dir, const char *name)
{
    char path[160], *text = mem_zalloc(16384);
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, 16383, f) > 0);
    (void)fclose(f);
    return text;
}

// curl's output for a request with `body_n` bytes of body.
static char *curl(const struct peer_tls *t, const char *path, const char *file)
{
    char url[128], data[160], *text = mem_zalloc(4u << 20);
    size_t n = 0;
    int out[2], status = -1;
    pid_t pid;

    (void)snprintf(url, sizeof url, "https://localhost:%u%s", (unsigned)httpd_port(rig.h), path);
    (void)snprintf(data, sizeof data, "@%s", file);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(fcntl(out[0], F_SETFL, O_NONBLOCK), 0); // ours only
    pid = fork();
    if (pid == 0) {
        (void)dup2(out[1], 1);
        (void)execlp("curl", "curl", "-sS", "--noproxy", "*", "--http1.1", "--cacert", t->cert,
                     "--data-binary", data, url, url, (char *)NULL);
        _exit(127);
    }
    (void)close(out[1]);
    for (;;) {
        ssize_t k = -1;

        PEER_UNTIL(rig.l, (k = read(out[0], text + n, (4u << 20) - 1 - n)) >= 0);
        if (k == 0) {
            break;
        }
        n += (size_t)k;
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(out[0]);
    if (WEXITSTATUS(status) == 127) {
        mem_free(text);
        return NULL;
    }
    assert_int_equal(status, 0);
    return text;
}

static void serves_tls(void **state)
{
    struct peer_tls t = {.pid = -1};
    char *cert, *key, *got, file[128];
    FILE *f;

    (void)state;
    if (!peer_tls_certificate(&t)) {
        peer_tls_stop(&t);
        skip();
    }
    cert = slurp(t.dir, "cert.pem");
    key = slurp(t.dir, "key.pem");
    rig_start(&(struct httpd_config){.tls_cert_pem = cert, .tls_key_pem = key});
    (void)snprintf(file, sizeof file, "%s/body", t.dir);
    f = fopen(file, "w");
    assert_non_null(f);
    for (int i = 0; i < 100000; i++) {
        (void)fprintf(f, "%09d\n", i);
    }
    (void)fclose(f);
    got = curl(&t, "/later", file);
    if (got == NULL) {
        print_message("skipped: no curl command\n");
    } else {
        assert_int_equal(strlen(got), 2000000);
        assert_memory_equal(got, got + 1000000, 1000000);
        assert_memory_equal(got + 999990, "000099999\n", 10);
        assert_int_equal(rig.n, 2);
        mem_free(got);
    }
    mem_free(cert);
    mem_free(key);
    peer_tls_stop(&t);
}
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(gone_is_told_within_a_turn),
        T(gone_while_a_write_is_blocked),
        T(gone_before_the_request_is_complete),
        T(aborted_exchanges_end_without_gone),
        T(aborts_while_a_write_is_blocked),
        T(serves_more_connections_than_daemons_hold),
        T(connections_over_the_limit_wait),
        T(connections_can_be_given_away),
        T(leaving_moves_clients_away),
        T(drain_finishes_what_is_there),
        T(free_ends_everything_in_flight),
        T(slow_clients_are_cut),
        T(drips_do_not_hold_a_connection),
        T(readers_that_stop_are_cut_and_waits_are_not),
        T(failures_to_listen_name_address_and_port),
        T(two_servers_share_a_port),
        T(serves_ipv6_and_names_mapped_peers_plainly),
        T(serves_tls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
