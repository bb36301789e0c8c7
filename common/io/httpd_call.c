// SPDX-License-Identifier: Apache-2.0
// What becomes of a request as it arrives: the decisions between libmicrohttpd's calls
// (httpd_mhd.c) and the handlers.
//
// A response queued at the first call closes the connection in 0.9.75, whether there is a body or
// not; between the first and the last call none can be queued. So an early answer waits for the
// last call while the body is read and dropped, except where that is not worth it; then the
// connection ends with the answer, and lingers (httpd_linger.c):
//
//   no body, or one of at most 256 KiB, or chunked     answer at the last call, connection kept
//   longer, `expect: 100-continue`, framing in doubt   answer now, close, linger
//   chunked and longer than max_body once more         close
#include <stdatomic.h>

#include "common/base/check.h"
#include "common/io/httpd_priv.h"

#define HEAD_ROOM_MIN 1024u // a response head must fit into what the request head leaves

static void show(struct httpd_req *q)
{
    if (!q->visible) {
        q->visible = true;
        httpd_conn_of(q)->h->active++;
    }
}

static void refuse(struct httpd_req *q, enum httpd_refusal why)
{
    const struct httpd *h = httpd_conn_of(q)->h;

    show(q);
    h->on.on_refused(h->arg, q, why);
    CHECK(q->response != NULL || q->aborted);
}

// --- the body ------------------------------------------------------------------------------------

// Room for n more bytes of body, paid from the budget.
static bool reserve_body(struct httpd_req *q, size_t n)
{
    struct httpd *h = httpd_conn_of(q)->h;
    size_t more;

    if (!httpd_bytes_reserve(&h->pool, &q->body, n)) {
        return false;
    }
    if (h->budget == NULL || q->body.cap <= q->charged) {
        return true;
    }
    more = q->body.cap - q->charged;
    if (atomic_fetch_add(&h->budget->used, more) + more > h->budget->max) {
        atomic_fetch_sub(&h->budget->used, more);
        httpd_drop_body(q);
        return false;
    }
    q->charged = q->body.cap;
    return true;
}

static enum httpd_verdict discard_bytes(struct httpd_req *q, size_t n)
{
    const struct httpd *h = httpd_conn_of(q)->h;

    q->discarded += n;
    return q->discarded > h->max_body && q->discarded > HTTPD_EARLY_BODY ? HTTPD_CLOSE : HTTPD_GO;
}

// A chunked body turns out too large: the rest is dropped, on_refused comes at its end.
static enum httpd_verdict overflow(struct httpd_req *q, size_t n, enum httpd_refusal why)
{
    q->refusal = why;
    q->overflow = q->discard = true;
    httpd_drop_body(q);
    return discard_bytes(q, n);
}

enum httpd_verdict httpd_call_bytes(struct httpd_req *q, struct slice bytes)
{
    struct httpd_conn *c = httpd_conn_of(q);
    size_t seen = q->body.n + q->discarded;

    if (q->aborted || c->h->stopping) {
        return HTTPD_CLOSE;
    }
    if (seen / HTTPD_BODY_STEP != (seen + bytes.n) / HTTPD_BODY_STEP) {
        httpd_conn_deadline(c, c->h->idle_us);
    }
    if (q->discard || q->response != NULL) { // answered meanwhile
        return discard_bytes(q, bytes.n);
    }
    if (q->body.n + bytes.n > c->h->max_body) { // a length was checked at the head
        return overflow(q, bytes.n, HTTPD_BODY_TOO_LARGE);
    }
    if (!reserve_body(q, bytes.n)) {
        return overflow(q, bytes.n, HTTPD_OVERLOADED);
    }
    memcpy(q->body.p + q->body.off + q->body.n, bytes.p, bytes.n);
    q->body.n += bytes.n;
    return HTTPD_GO;
}

// --- head and end --------------------------------------------------------------------------------

// True: acceptable; otherwise *ret_why. A body of known length gets its memory here.
static bool accept_head(struct httpd_req *q, const struct httpd_police *p, bool sound,
                        enum httpd_refusal *ret_why)
{
    const struct httpd *h = httpd_conn_of(q)->h;

    if (!sound) {
        *ret_why = HTTPD_BAD_FRAMING;
    } else if (p->head_bytes > HTTPD_HEAD_MAX || q->head_room < HEAD_ROOM_MIN) {
        *ret_why = HTTPD_HEAD_TOO_LARGE;
    } else if (p->length > h->max_body) {
        *ret_why = HTTPD_BODY_TOO_LARGE;
    } else if (p->length > 0 && !reserve_body(q, (size_t)p->length)) {
        *ret_why = HTTPD_OVERLOADED;
    } else {
        return true;
    }
    return false;
}

enum httpd_verdict httpd_call_head(struct httpd_req *q, const struct httpd_police *p, bool sound)
{
    struct httpd_conn *c = httpd_conn_of(q);
    struct httpd *h = c->h;
    bool has_body = p->chunked || p->length > 0, now;
    enum httpd_refusal why;

    if (h->stopping) {
        return HTTPD_CLOSE;
    }
    q->phase = HTTPD_BODY;
    q->http10 = p->http10;
    q->head_room = p->pool_bytes < h->header_memory ? h->header_memory - p->pool_bytes : 0;
    if (p->n_length > 0) {
        q->content_length = p->length > INT64_MAX ? INT64_MAX : (int64_t)p->length;
    }
    httpd_conn_deadline(c, h->idle_us);
    now = has_body && ((p->expects_continue && !p->http10) || p->length > HTTPD_EARLY_BODY);
    if (accept_head(q, p, sound, &why)) {
        show(q);
        h->on.on_head(h->arg, q);
    } else {
        now = now || why == HTTPD_BAD_FRAMING || why == HTTPD_HEAD_TOO_LARGE;
        refuse(q, why);
    }
    if (q->aborted) {
        return HTTPD_CLOSE;
    }
    if (q->response == NULL) {
        return HTTPD_GO;
    }
    httpd_drop_body(q);
    q->discard = true;
    c->linger = now;
    return now ? HTTPD_ANSWER : HTTPD_GO;
}

enum httpd_verdict httpd_call_last(struct httpd_req *q)
{
    struct httpd_conn *c = httpd_conn_of(q);

    if (c->h->stopping) {
        return HTTPD_CLOSE;
    }
    if (q->response == NULL && q->overflow) {
        refuse(q, q->refusal);
    } else if (q->response == NULL) {
        q->phase = HTTPD_WAITING;
        q->ready_us = loop_now_us(c->h->l);
        httpd_conn_no_deadline(c);
        c->h->on.on_ready(c->h->arg, q);
    }
    if (q->aborted) {
        return HTTPD_CLOSE;
    }
    if (q->response != NULL && (!q->bodyless || q->ended)) {
        return HTTPD_ANSWER;
    }
    return c->gone ? HTTPD_CLOSE : HTTPD_PARK;
}
