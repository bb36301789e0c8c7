// SPDX-License-Identifier: Apache-2.0
// One client connection around libmicrohttpd's: what that library does not watch.
//
// Client gone. A suspended connection is not in libmicrohttpd's epoll, so the fd is also in ours,
// for its end only, once per connection. What happens depends on the phase:
//
//   IDLE HEAD BODY   libmicrohttpd is made to look: where the end came together with bytes, it has
//                    read those and waits for an edge that never comes
//   WAITING          on_gone, then the exchange is woken and ends
//   REPLYING         a stream: on_gone, the reader reports an error; a complete answer: let it go
//   out
//
// Deadlines. One lazy timer per connection: moving the deadline further away, as each request does,
// is one store; the timer fires at the old time, looks, and sleeps again.
//
//   IDLE HEAD        the next head must be complete within the idle timeout
//   BODY             256 KiB more, or the end, within the idle timeout
//   WAITING          none: the handler has its own
//   REPLYING         the client must have acknowledged bytes within the idle timeout, unless the
//   stream has none for it
#include <linux/tcp.h> // glibc's has no tcpi_bytes_acked
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/httpd_priv.h"

#define FRESH_DRAIN_US MONO_SEC // a connection not told of a drain gets this long for a request

// --- progress and deadlines ----------------------------------------------------------------------

void httpd_conn_deadline(struct httpd_conn *c, uint64_t in_us)
{
    c->deadline_us = loop_now_us(c->h->l) + in_us;
    if (c->timer.due_us == 0 || c->timer.due_us > c->deadline_us) {
        loop_timer_set(c->h->l, &c->timer, c->deadline_us);
    }
}

void httpd_conn_no_deadline(struct httpd_conn *c)
{
    c->deadline_us = UINT64_MAX; // the timer finds out
}

void httpd_conn_cut(struct httpd_conn *c)
{
    const struct sockaddr none = {.sa_family = AF_UNSPEC};

    if (c->q.streaming && c->q.http10) {
        // Only a reset tells it from the end of the body. Best effort.
        (void)connect(c->fd, &none, sizeof none);
    }
}

void httpd_conn_kick(struct httpd_conn *c)
{
    httpd_conn_cut(c);
    // libmicrohttpd sees a hang-up at its next run. Failure: it is closed already.
    (void)shutdown(c->fd, SHUT_RDWR);
    httpd_mhd_dirty(c->d);
}

// Has the client taken anything since the last look?
static bool client_took_bytes(struct httpd_conn *c)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    bool moved;

    if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0) {
        return false;
    }
    moved = info.tcpi_bytes_acked != c->acked;
    c->acked = info.tcpi_bytes_acked;
    return moved;
}

static void on_deadline(struct loop_timer *t)
{
    struct httpd_conn *c = container_of(t, struct httpd_conn, timer);

    if (c->deadline_us == UINT64_MAX) {
        return;
    }
    if (c->deadline_us > loop_now_us(c->h->l)) {
        loop_timer_set(c->h->l, t, c->deadline_us);
        return;
    }
    if (c->q.phase == HTTPD_REPLYING) {
        bool starved = c->q.parked; // the stream has nothing to send: not the client's fault

        if (starved || client_took_bytes(c)) {
            httpd_conn_deadline(c, c->h->idle_us);
            return;
        }
        httpd_conn_tell_gone(c);
    }
    httpd_conn_kick(c);
}

// --- the client leaves ---------------------------------------------------------------------------

void httpd_conn_tell_gone(struct httpd_conn *c)
{
    struct httpd_req *q = &c->q;

    if (!q->visible || q->gone_told || q->aborted) {
        return;
    }
    q->gone_told = true;
    if (c->h->on.on_gone != NULL) {
        c->h->on.on_gone(c->h->arg, q);
    }
}

static void on_client_end(struct loop_watch *w, uint32_t events)
{
    struct httpd_conn *c = container_of(w, struct httpd_conn, watch);
    struct httpd_req *q = &c->q;

    (void)events;
    c->gone = true;
    if (q->phase <= HTTPD_BODY) {
        httpd_conn_kick(c);
    } else if (q->phase == HTTPD_WAITING) {
        httpd_conn_tell_gone(c);
        httpd_mhd_wake(q);
    } else if (q->phase == HTTPD_REPLYING && q->streaming && !q->ended) {
        httpd_conn_tell_gone(c);
        if (q->parked) {
            httpd_mhd_wake(q);
        } else {
            httpd_conn_kick(c); // it may be blocked in a write
        }
    }
}

// --- life ----------------------------------------------------------------------------------------

static void free_conn(struct loop_grave *g)
{
    mem_free(container_of(g, struct httpd_conn, grave));
}

static void forget(struct httpd_conn *c)
{
    struct httpd *h = c->h;

    loop_watch_remove(h->l, &c->watch);
    loop_timer_cancel(h->l, &c->timer);
    list_remove(&h->conns, &c->node);
    c->mhd = NULL;
    loop_bury(h->l, &c->grave);
}

void httpd_conn_open(struct httpd *h, int fd, const union httpd_addr *addr, socklen_t addr_len)
{
    struct httpd_daemon *d = httpd_mhd_daemon(h);
    struct httpd_conn *c;

    if (d == NULL) {
        (void)close(fd); // nothing was read or written
        return;
    }
    c = mem_zalloc(sizeof *c);
    c->h = h;
    c->d = d;
    c->fd = fd;
    c->addr = *addr;
    c->timer.fn = on_deadline;
    c->grave.fn = free_conn;
    c->watch = (struct loop_watch){.fd = fd, .fn = on_client_end};
    list_push_back(&h->conns, &c->node);
    // Before libmicrohttpd takes the fd: it closes it when it fails.
    if (!loop_watch_add(h->l, &c->watch, LOOP_RDHUP | LOOP_EDGE, NULL)) {
        forget(c);
        (void)close(fd); // as above
        return;
    }
    if (httpd_mhd_add(c, addr_len)) {
        httpd_conn_deadline(c, h->idle_us);
    }
}

void httpd_conn_closed(struct httpd_conn *c)
{
    struct httpd *h = c->h;

    if (c->linger) {
        httpd_linger_start(h, c->fd);
    }
    forget(c);
    httpd_listen_room(h);
}

void httpd_conn_begin(struct httpd_conn *c)
{
    struct httpd_req *q = &c->q;

    q->phase = HTTPD_HEAD;
    q->started_us = loop_now_us(c->h->l);
    q->content_length = -1;
    q->stream_left = UINT64_MAX;
    c->used = true;
    httpd_conn_deadline(c, c->h->idle_us);
}

void httpd_conn_end(struct httpd_conn *c, enum httpd_end how)
{
    struct httpd_req *q = &c->q;
    struct httpd *h = c->h;

    if (how == HTTPD_ABORTED) {
        // libmicrohttpd answers some errors itself, with the rest of the request unread.
        c->linger = c->linger || q->phase == HTTPD_HEAD || q->phase == HTTPD_BODY;
        httpd_conn_tell_gone(c);
    }
    if (q->visible) {
        h->active--;
        h->on.on_done(h->arg, q, how);
    }
    httpd_drop_body(q);
    httpd_mhd_drop_response(q);
    httpd_bytes_done(&h->pool, &q->queue);
    if (q->target.p != q->target_inline) {
        httpd_bytes_done(&h->pool, &q->target);
    }
    if (list_in_one(&q->drain_node)) {
        list_remove(&h->drained, &q->drain_node);
    }
    *q = (struct httpd_req){.phase = HTTPD_IDLE};
    // Its answer may have been made before the drain began, without connection: close.
    httpd_conn_deadline(c, h->draining ? FRESH_DRAIN_US : h->idle_us);
}

void httpd_conn_drain(struct httpd_conn *c)
{
    char byte;

    if (c->q.phase != HTTPD_IDLE) {
        return; // its answer will carry connection: close
    }
    if (!c->used) {
        httpd_conn_deadline(c, FRESH_DRAIN_US);
        return;
    }
    // A request that lies in the socket already is still served.
    if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
        httpd_conn_kick(c);
    }
}
