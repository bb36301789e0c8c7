// SPDX-License-Identifier: Apache-2.0
// A client and a provider without sockets: httpd.h, upstream.h and link.h as the request machine
// sees them. A test plays the client (fake_request, fake_gone, fake_room) and the provider
// (fake_answer_head, fake_answer_data, fake_answer_end) and reads what the machine did. Included by
// one test only: it defines the functions of those headers.
#ifndef SLUICE_TESTS_UNIT_DATAPLANE_FAKE_IO_H
#define SLUICE_TESTS_UNIT_DATAPLANE_FAKE_IO_H

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/h1.h"
#include "common/io/httpd.h"
#include "common/io/upstream.h"
#include "dataplane/front.h"
#include "dataplane/link.h"
#include "dataplane/worker.h"

#define FAKE_HEADERS_MAX 16u
#define FAKE_CALLS_MAX   16u

// --- the client --------------------------------------------------------------------------------

struct httpd_req {
    const char *method, *target, *body;
    int64_t content_length;
    struct httpd_header headers[FAKE_HEADERS_MAX];
    size_t n_headers;
    void *user;
    uint64_t started_us, ready_us;
    // what the machine did
    unsigned status;
    struct buf head; // "name: value\n"
    struct buf out;  // body so far
    bool replied, streaming, ended, aborted, dropped, close_after;
    bool full; // stream_write answers false
    bool done; // on_done was delivered
};

static struct worker *fake_worker;

struct slice httpd_method(const struct httpd_req *q)
{
    return slice_str(q->method);
}
struct slice httpd_target(const struct httpd_req *q)
{
    return slice_str(q->target);
}
struct slice httpd_header(const struct httpd_req *q, const char *name)
{
    for (size_t i = 0; i < q->n_headers; i++) {
        if (slice_eq_nocase(q->headers[i].name, slice_str(name))) {
            return q->headers[i].value;
        }
    }
    return SLICE_NULL;
}
void httpd_each_header(const struct httpd_req *q,
                       void (*fn)(void *ctx, struct slice name, struct slice value), void *ctx)
{
    for (size_t i = 0; i < q->n_headers; i++) {
        fn(ctx, q->headers[i].name, q->headers[i].value);
    }
}
int64_t httpd_content_length(const struct httpd_req *q)
{
    return q->content_length;
}
struct slice httpd_body(const struct httpd_req *q)
{
    CHECK(!q->dropped);
    return slice_str(q->body);
}
void httpd_drop_body(struct httpd_req *q)
{
    q->dropped = true;
}
struct slice httpd_peer(const struct httpd_req *q)
{
    (void)q;
    return SLICE("127.0.0.1");
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

static void fake_take_head(struct httpd_req *q, unsigned status, const struct httpd_header *h,
                           size_t n)
{
    CHECK(!q->replied && !q->streaming);
    q->status = status;
    for (size_t i = 0; i < n; i++) {
        buf_printf(&q->head, SLICE_FMT ": " SLICE_FMT "\n", SLICE_ARG(h[i].name),
                   SLICE_ARG(h[i].value));
    }
}
void httpd_reply(struct httpd_req *q, unsigned status, const struct httpd_header *h, size_t n,
                 struct buf *body)
{
    fake_take_head(q, status, h, n);
    q->replied = true;
    if (body != NULL) {
        buf_append(&q->out, buf_slice(body));
        buf_done(body);
    }
}
void httpd_stream_begin(struct httpd_req *q, unsigned status, const struct httpd_header *h,
                        size_t n, int64_t content_length)
{
    (void)content_length;
    fake_take_head(q, status, h, n);
    q->streaming = true;
}
bool httpd_stream_write(struct httpd_req *q, struct slice s)
{
    CHECK(q->streaming && !q->ended);
    buf_append(&q->out, s);
    return !q->full;
}
size_t httpd_stream_queued(const struct httpd_req *q)
{
    (void)q;
    return 0;
}
void httpd_stream_end(struct httpd_req *q)
{
    CHECK(q->streaming);
    q->ended = true;
}
void httpd_abort(struct httpd_req *q)
{
    q->aborted = true;
}
void httpd_close_after(struct httpd_req *q)
{
    q->close_after = true;
}

// The server itself is not there.
struct httpd *httpd_new(struct loop *l, const struct httpd_config *c, struct err *e)
{
    (void)l;
    (void)c;
    (void)err_set(e, ERR_IO, "no server in this test");
    return NULL;
}
uint16_t httpd_port(const struct httpd *h)
{
    (void)h;
    return 0;
}
void httpd_give(struct httpd *h, int fd)
{
    (void)h;
    (void)fd;
}
size_t httpd_connections(const struct httpd *h)
{
    (void)h;
    return 0;
}
size_t httpd_active(const struct httpd *h)
{
    (void)h;
    return 0;
}
void httpd_leave(struct httpd *h)
{
    (void)h;
}
void httpd_drain(struct httpd *h)
{
    (void)h;
}
void httpd_free(struct httpd **h)
{
    *h = NULL;
}

// --- the provider ------------------------------------------------------------------------------

struct upstream_call {
    bool live, paused, cancelled;
    struct upstream_handlers on;
    void *arg;
    char *origin;
    struct buf head, body;
};

static struct upstream_call fake_calls[FAKE_CALLS_MAX];
static size_t fake_n_calls;

struct upstream *upstream_new(struct loop *l, const struct upstream_config *c, struct err *e)
{
    (void)l;
    (void)c;
    (void)err_set(e, ERR_IO, "no upstream in this test");
    return NULL;
}
void upstream_free(struct upstream **u)
{
    *u = NULL;
}
struct upstream_call *upstream_start(struct upstream *u, const struct upstream_request *rq)
{
    struct upstream_call *c = &fake_calls[fake_n_calls++];

    (void)u;
    CHECK(fake_n_calls <= FAKE_CALLS_MAX);
    *c = (struct upstream_call){.live = true, .on = rq->on, .arg = rq->arg};
    c->origin = mem_strdup(rq->origin);
    buf_init(&c->head, 1u << 20);
    buf_init(&c->body, 64u << 20);
    buf_append(&c->head, rq->head);
    for (size_t i = 0; i < rq->n_body; i++) {
        buf_append(&c->body, rq->body[i]);
    }
    return c;
}
void upstream_pause(struct upstream_call *c)
{
    c->paused = true;
}
void upstream_resume(struct upstream_call *c)
{
    c->paused = false;
}
void upstream_cancel(struct upstream_call **c)
{
    if (*c != NULL) {
        (*c)->live = false;
        (*c)->cancelled = true;
        *c = NULL;
    }
}
struct upstream_times upstream_times(const struct upstream_call *c)
{
    (void)c;
    return (struct upstream_times){.written_us = mono_now_us()};
}
size_t upstream_idle(const struct upstream *u)
{
    (void)u;
    return 0;
}
size_t upstream_active(const struct upstream *u)
{
    (void)u;
    return 0;
}

// --- the link ----------------------------------------------------------------------------------

static struct {
    unsigned n;
    uint32_t status, attempts;
    uint64_t input, output, cost;
    bool estimated;
    char provider[64];
} fake_usage; // the last record

uint32_t link_attempt(struct link *l, uint32_t slot, const struct message_usage_record *so_far)
{
    (void)l;
    (void)so_far;
    return slot + 1;
}
bool link_finish(struct link *l, uint32_t slot, const struct message_usage_record *r)
{
    (void)l;
    (void)slot;
    fake_usage.n++;
    fake_usage.status = r->status;
    fake_usage.attempts = r->attempts;
    fake_usage.input = r->input;
    fake_usage.output = r->output;
    fake_usage.cost = r->cost;
    fake_usage.estimated = r->estimated;
    (void)snprintf(fake_usage.provider, sizeof(fake_usage.provider), "%s", r->provider);
    return true;
}

// --- playing -----------------------------------------------------------------------------------

// One or more turns, until nothing is left to do.
static inline void fake_turns(void)
{
    for (int i = 0; i < 6; i++) {
        loop_turn(fake_worker->loop, 0);
    }
}

static inline void fake_header(struct httpd_req *q, const char *name, const char *value)
{
    q->headers[q->n_headers++] = (struct httpd_header){slice_str(name), slice_str(value)};
}

static inline void fake_prepare(struct httpd_req *q, const char *method, const char *target,
                                const char *body)
{
    *q = (struct httpd_req){.method = method, .target = target, .body = body};
    q->content_length = (int64_t)strlen(body);
    buf_init(&q->head, 1u << 20);
    buf_init(&q->out, 64u << 20);
}

// Head, body and all turns that follow.
static inline void fake_send(struct httpd_req *q)
{
    q->started_us = mono_now_us();
    front_handlers.on_head(fake_worker, q);
    loop_turn(fake_worker->loop, 0);
    q->ready_us = mono_now_us();
    front_handlers.on_ready(fake_worker, q);
    fake_turns();
}

static inline void fake_request(struct httpd_req *q, const char *target, const char *body)
{
    fake_prepare(q, "POST", target, body);
    fake_send(q);
}

static inline void fake_gone(struct httpd_req *q)
{
    front_handlers.on_gone(fake_worker, q);
}

static inline void fake_room(struct httpd_req *q)
{
    q->full = false;
    front_handlers.on_drain(fake_worker, q);
    fake_turns();
}

// The client has taken all of it (or the connection was aborted).
static inline void fake_finish(struct httpd_req *q)
{
    q->done = true;
    front_handlers.on_done(fake_worker, q, q->aborted ? HTTPD_ABORTED : HTTPD_SENT);
    fake_turns();
}

static inline void fake_free(struct httpd_req *q)
{
    buf_done(&q->head);
    buf_done(&q->out);
}

static inline struct upstream_call *fake_call(size_t i)
{
    CHECK(i < fake_n_calls);
    return &fake_calls[i];
}

// text: status line and headers, without the empty line.
static inline void fake_answer_head(size_t i, const char *text)
{
    struct upstream_call *c = fake_call(i);
    struct h1 h;
    struct slice body = SLICE_NULL;
    struct err e;
    char all[4096];
    int n = snprintf(all, sizeof(all), "%s\r\n\r\n", text);

    CHECK(c->live);
    h1_init(&h, false);
    (void)h1_feed(&h, (struct slice){all, (size_t)n}, &body, &e);
    CHECK(h.state == H1_BODY || h.state == H1_DONE);
    c->on.on_head(c->arg, &h);
    h1_done(&h);
}

static inline void fake_answer_data(size_t i, const char *text)
{
    struct upstream_call *c = fake_call(i);

    CHECK(c->live);
    c->on.on_data(c->arg, slice_str(text));
}

static inline void fake_answer_end(size_t i, enum upstream_result r)
{
    struct upstream_call *c = fake_call(i);

    CHECK(c->live);
    c->live = false;
    c->on.on_end(c->arg, r, "as the test says");
}

static inline void fake_answer(size_t i, const char *head, const char *body)
{
    fake_answer_head(i, head);
    fake_answer_data(i, body);
    fake_answer_end(i, UPSTREAM_COMPLETE);
    fake_turns();
}

static inline void fake_forget_calls(void)
{
    for (size_t i = 0; i < fake_n_calls; i++) {
        mem_free(fake_calls[i].origin);
        buf_done(&fake_calls[i].head);
        buf_done(&fake_calls[i].body);
    }
    fake_n_calls = 0;
}

static inline bool fake_has(const struct buf *b, const char *text)
{
    return slice_find(buf_slice(b), slice_str(text)) != SIZE_MAX;
}

#endif
