// SPDX-License-Identifier: Apache-2.0
// The public side of the HTTP server: its life, and what handlers may ask of an exchange. How the
// parts fit is in httpd_priv.h, the life of an exchange in httpd.h and httpd_mhd.c.
#include "common/io/httpd.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/httpd_priv.h"

#define DEFAULT_HEADER_MEMORY (16u * 1024)
#define DEFAULT_MAX_BODY      (32u << 20)
#define DEFAULT_IDLE_US       (75 * MONO_SEC)
#define DEFAULT_HIGH_WATER    (64u * 1024)

// --- life ----------------------------------------------------------------------------------------

static struct httpd *make(struct loop *l, const struct httpd_config *c)
{
    struct httpd *h = mem_zalloc(sizeof *h);

    h->l = l;
    h->on = c->on;
    h->arg = c->arg;
    h->header_memory = c->header_memory == 0 ? DEFAULT_HEADER_MEMORY : c->header_memory;
    h->max_body = c->max_body == 0 ? DEFAULT_MAX_BODY : c->max_body;
    h->max_connections = c->max_connections == 0 ? SIZE_MAX : c->max_connections;
    h->idle_us = c->idle_timeout_us == 0 ? DEFAULT_IDLE_US : c->idle_timeout_us;
    h->high_water = c->stream_high_water == 0 ? DEFAULT_HIGH_WATER : c->stream_high_water;
    h->budget = c->budget;
    h->max_daemons = c->daemons == 0 ? 1 : c->daemons;
    h->daemons = mem_zalloc_array(h->max_daemons, sizeof(struct httpd_daemon *));
    h->listener.fd = -1;
    list_init(&h->dirty);
    list_init(&h->later);
    list_init(&h->open);
    list_init(&h->drained);
    list_init(&h->conns);
    list_init(&h->lingering);
    h->hook.fn = httpd_mhd_serve;
    loop_hook_add(l, &h->hook);
    return h;
}

struct httpd *httpd_new(struct loop *l, const struct httpd_config *c, struct err *e)
{
    struct httpd *h;

    CHECK(c->on.on_head != NULL && c->on.on_ready != NULL);
    CHECK(c->on.on_refused != NULL && c->on.on_done != NULL);
    CHECK((c->tls_cert_pem == NULL) == (c->tls_key_pem == NULL));
    h = make(l, c);
    if (c->tls_cert_pem != NULL) {
        h->tls = httpd_tls_new(c->tls_cert_pem, c->tls_key_pem, e);
        if (h->tls == NULL) {
            httpd_free(&h);
            return NULL;
        }
    }
    if (!httpd_listen_start(h, c, e)) {
        httpd_free(&h);
        return NULL;
    }
    return h;
}

uint16_t httpd_port(const struct httpd *h)
{
    return h->port;
}

void httpd_give(struct httpd *h, int fd)
{
    union httpd_addr a = {0};
    socklen_t n = sizeof a;

    if (getpeername(fd, &a.any, &n) != 0) {
        n = sizeof a.v4; // gone already: libmicrohttpd will notice
    }
    httpd_conn_open(h, fd, &a, n);
}

size_t httpd_connections(const struct httpd *h)
{
    return h->conns.count;
}

size_t httpd_active(const struct httpd *h)
{
    return h->active;
}

void httpd_leave(struct httpd *h)
{
    h->leaving = true;
}

void httpd_drain(struct httpd *h)
{
    if (h->draining) {
        return;
    }
    httpd_listen_stop(h);
    h->leaving = h->draining = true;
    list_foreach (n, &h->conns) {
        httpd_conn_drain(container_of(n, struct httpd_conn, node));
    }
}

void httpd_free(struct httpd **hp)
{
    struct httpd *h = *hp;

    *hp = NULL;
    if (h == NULL) {
        return;
    }
    httpd_mhd_stop_all(h);
    httpd_linger_stop_all(h);
    if (h->listener.fd >= 0) {
        h->max_connections = 0; // nobody is accepted any more
        httpd_listen_stop(h);
    }
    loop_hook_remove(h->l, &h->hook);
    httpd_pool_done(&h->pool);
    httpd_tls_free(&h->tls);
    mem_free(h);
}

// --- request -------------------------------------------------------------------------------------

struct slice httpd_method(const struct httpd_req *q)
{
    return q->method;
}

struct slice httpd_target(const struct httpd_req *q)
{
    return SLICE_MAKE(q->target.p, q->target.n);
}

struct slice httpd_header(const struct httpd_req *q, const char *name)
{
    return httpd_mhd_header(q, name);
}

void httpd_each_header(const struct httpd_req *q,
                       void (*fn)(void *ctx, struct slice name, struct slice value), void *ctx)
{
    httpd_mhd_each_header(q, fn, ctx);
}

int64_t httpd_content_length(const struct httpd_req *q)
{
    return q->content_length;
}

struct slice httpd_body(const struct httpd_req *q)
{
    return q->body.p == NULL ? SLICE("") : SLICE_MAKE(q->body.p + q->body.off, q->body.n);
}

void httpd_drop_body(struct httpd_req *q)
{
    struct httpd *h = httpd_conn_of(q)->h;

    httpd_bytes_done(&h->pool, &q->body);
    if (q->charged > 0) {
        atomic_fetch_sub(&h->budget->used, q->charged);
        q->charged = 0;
    }
}

struct slice httpd_peer(const struct httpd_req *cq)
{
    // Only the text, made once for all requests of a connection, changes.
    struct httpd_conn *c = httpd_conn_of((struct httpd_req *)(uintptr_t)cq);
    const union httpd_addr *a = &c->addr;

    if (c->peer[0] == '\0') {
        const struct in6_addr *v6 = &a->v6.sin6_addr;

        if (a->any.sa_family == AF_INET) {
            (void)inet_ntop(AF_INET, &a->v4.sin_addr, c->peer, sizeof c->peer);
        } else if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(v6)) {
            (void)inet_ntop(AF_INET, &v6->s6_addr[12], c->peer, sizeof c->peer);
        } else if (a->any.sa_family == AF_INET6) {
            (void)inet_ntop(AF_INET6, v6, c->peer, sizeof c->peer);
        }
    }
    return slice_str(c->peer);
}

uint64_t httpd_started_us(const struct httpd_req *q)
{
    return q->started_us;
}

uint64_t httpd_ready_us(const struct httpd_req *q)
{
    return q->ready_us;
}

void httpd_set_user(struct httpd_req *q, void *user)
{
    q->user = user;
}

void *httpd_user(const struct httpd_req *q)
{
    return q->user;
}

// --- response ------------------------------------------------------------------------------------

// The client or the handler has ended it: nothing that is said now matters.
static bool is_over(const struct httpd_req *q)
{
    return q->gone_told || q->aborted;
}

// A response for a final status; providers may send anything.
static unsigned sane_status(unsigned status)
{
    return status >= 200 && status <= 999 ? status : 502;
}

void httpd_reply(struct httpd_req *q, unsigned status, const struct httpd_header *h, size_t n,
                 struct buf *body)
{
    if (is_over(q)) {
        if (body != NULL) {
            buf_done(body);
        }
        return;
    }
    CHECK(q->response == NULL && q->phase != HTTPD_REPLYING);
    q->status = sane_status(status);
    if (!httpd_mhd_make_reply(q, h, n, body)) {
        q->aborted = true; // out of memory: closing is all that is left
    }
    httpd_mhd_wake(q);
}

void httpd_stream_begin(struct httpd_req *q, unsigned status, const struct httpd_header *h,
                        size_t n, int64_t content_length)
{
    if (is_over(q)) {
        return;
    }
    CHECK(q->response == NULL && q->phase == HTTPD_WAITING);
    q->status = sane_status(status);
    q->streaming = true;
    q->bodyless =
        content_length == 0 || status == 204 || status == 304 || slice_eq(q->method, SLICE("HEAD"));
    if (!httpd_mhd_make_stream(q, h, n, content_length)) {
        q->aborted = true; // as above
    }
    httpd_mhd_wake(q);
}

bool httpd_stream_write(struct httpd_req *q, struct slice s)
{
    struct httpd *h = httpd_conn_of(q)->h;

    if (is_over(q)) {
        return true;
    }
    CHECK(q->streaming && !q->ended);
    if (q->bodyless) {
        return true;
    }
    if (q->stream_left != UINT64_MAX) {
        s = slice_head(s, q->stream_left < s.n ? (size_t)q->stream_left : s.n);
        q->stream_left -= s.n;
    }
    if (s.n > 0) {
        if (!httpd_bytes_reserve(&h->pool, &q->queue, s.n)) {
            httpd_abort(q);
            return true;
        }
        memcpy(q->queue.p + q->queue.off + q->queue.n, s.p, s.n);
        q->queue.n += s.n;
        httpd_mhd_wake(q);
    }
    if (q->queue.n >= h->high_water) {
        q->want_drain = true;
        return false;
    }
    return true;
}

size_t httpd_stream_queued(const struct httpd_req *q)
{
    return q->queue.n;
}

void httpd_stream_end(struct httpd_req *q)
{
    if (is_over(q)) {
        return;
    }
    CHECK(q->streaming);
    q->ended = true;
    httpd_mhd_wake(q);
}

void httpd_abort(struct httpd_req *q)
{
    if (q->aborted) {
        return;
    }
    q->aborted = true;
    if (q->parked) {
        httpd_conn_cut(httpd_conn_of(q));
        httpd_mhd_wake(q);
    } else {
        httpd_conn_kick(httpd_conn_of(q));
    }
}

void httpd_close_after(struct httpd_req *q)
{
    q->close_after = true;
}
