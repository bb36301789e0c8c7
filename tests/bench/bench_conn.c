// SPDX-License-Identifier: Apache-2.0
// Reads go through one buffer for all connections (the loop is the only thread), and are parsed at
// once, so that thousands of open streams cost the generator little memory.
#include "tests/bench/bench_conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mono.h"

#define RETRY_US 20000u

static char read_buffer[256 * 1024];

static void on_event(struct loop_watch *w, uint32_t events);
static void on_retry(struct loop_timer *t);

void bench_conn_init(struct bench_conn *c, struct loop *l, const struct bench_conn_events *events,
                     void *owner, const struct sockaddr_storage *address, socklen_t address_n)
{
    c->loop = l;
    c->events = events;
    c->owner = owner;
    c->address = address;
    c->address_n = address_n;
    c->watch.fn = on_event;
    c->watch.fd = -1;
    c->timer.fn = on_retry;
    h1_init(&c->h1, false);
}

void bench_conn_close(struct bench_conn *c)
{
    loop_timer_cancel(c->loop, &c->timer);
    if (c->watch.fd >= 0) {
        loop_watch_remove(c->loop, &c->watch);
        (void)close(c->watch.fd);
        c->watch.fd = -1;
    }
    h1_done(&c->h1);
    c->state = BENCH_IDLE_CLOSED;
}

static void fail(struct bench_conn *c, enum bench_result r)
{
    bool busy = c->state == BENCH_BUSY || r == BENCH_CONNECT;

    bench_conn_close(c);
    loop_timer_set(c->loop, &c->timer, loop_now_us(c->loop) + RETRY_US);
    if (busy) {
        c->events->on_end(c, r);
    }
}

static void on_retry(struct loop_timer *t)
{
    bench_conn_connect(container_of(t, struct bench_conn, timer));
}

void bench_conn_connect(struct bench_conn *c)
{
    const int on = 1;
    struct err e;
    int fd = socket(c->address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        fail(c, BENCH_CONNECT);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->watch.fd = fd;
    c->state = BENCH_CONNECTING;
    if ((connect(fd, (const struct sockaddr *)c->address, c->address_n) < 0 &&
         errno != EINPROGRESS) ||
        !loop_watch_add(c->loop, &c->watch, LOOP_WRITE, &e)) {
        fail(c, BENCH_CONNECT);
    }
}

// False: the connection is gone.
static bool push(struct bench_conn *c)
{
    while (c->sent < c->request.n) {
        ssize_t n = send(c->watch.fd, c->request.p + c->sent, c->request.n - c->sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EAGAIN) {
            loop_watch_set(c->loop, &c->watch, LOOP_READ | LOOP_WRITE);
            return true;
        }
        if (n < 0) {
            fail(c, BENCH_IO);
            return false;
        }
        c->sent += (size_t)n;
    }
    loop_watch_set(c->loop, &c->watch, LOOP_READ);
    return true;
}

void bench_conn_send(struct bench_conn *c, struct slice request, unsigned expected_status)
{
    c->state = BENCH_BUSY;
    c->request = request;
    c->sent = 0;
    c->head_seen = false;
    c->first_us = 0;
    c->expected = expected_status;
    h1_done(&c->h1);
    h1_init(&c->h1, false);
    (void)push(c); // a failure has been reported
}

static void finish(struct bench_conn *c)
{
    enum bench_result r = c->h1.status == c->expected ? BENCH_OK : BENCH_STATUS;
    bool again = c->h1.keep_alive && c->watch.fd >= 0;

    c->state = BENCH_READY;
    if (!again) {
        bench_conn_close(c);
        loop_timer_set(c->loop, &c->timer, loop_now_us(c->loop));
    }
    c->events->on_end(c, r);
    if (again && c->state == BENCH_READY) {
        c->events->on_ready(c);
    }
}

// False: the answer has ended, or the connection.
static bool feed(struct bench_conn *c, struct slice in)
{
    struct err e;

    while (in.n > 0 && c->h1.state != H1_DONE) {
        struct slice body;
        size_t n = h1_feed(&c->h1, in, &body, &e);

        if (c->h1.state == H1_FAILED) {
            fail(c, BENCH_IO);
            return false;
        }
        if (c->h1.state != H1_HEAD && !c->head_seen) {
            c->head_seen = true;
            c->first_us = mono_now_us();
            c->events->on_head(c);
        }
        if (body.n > 0 && c->events->on_body != NULL) {
            c->events->on_body(c, body);
        }
        in = slice_from(in, n);
    }
    if (c->h1.state == H1_DONE) {
        finish(c);
        return false;
    }
    return true;
}

static void pull(struct bench_conn *c)
{
    struct err e;
    ssize_t n = recv(c->watch.fd, read_buffer, sizeof(read_buffer), 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n > 0 && c->state == BENCH_BUSY) {
        (void)feed(c, SLICE_MAKE(read_buffer, (size_t)n));
    } else if (n == 0 && c->state == BENCH_BUSY && c->head_seen && h1_eof(&c->h1, &e)) {
        c->h1.keep_alive = false;
        finish(c);
    } else {
        fail(c, BENCH_IO); // reset, closed too early, or bytes that nobody asked for
    }
}

static void connected(struct bench_conn *c)
{
    int error = 0;
    socklen_t n = sizeof(error);

    if (getsockopt(c->watch.fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error != 0) {
        fail(c, BENCH_CONNECT);
        return;
    }
    loop_watch_set(c->loop, &c->watch, LOOP_READ);
    c->state = BENCH_READY;
    c->events->on_ready(c);
}

static void on_event(struct loop_watch *w, uint32_t events)
{
    struct bench_conn *c = container_of(w, struct bench_conn, watch);

    if (c->state == BENCH_CONNECTING) {
        connected(c);
        return;
    }
    if ((events & LOOP_WRITE) != 0 && c->state == BENCH_BUSY && !push(c)) {
        return;
    }
    if ((events & (LOOP_READ | LOOP_ERROR)) != 0 && c->watch.fd >= 0) {
        pull(c);
    }
}
