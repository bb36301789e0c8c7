// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 exchanges over pooled connections.
//
//                          +-- no byte came, connection was reused: once --+
//                          v                                               |
//   start -+-(none idle)-> dialing -(on_dialed)-> exchange: send, read ----+-> on_end
//          +-(idle one)------------------------------^                     |
//                                              connection: to the pool <---+-> closed
//
// The watch of a connection (see connpool) stays registered for reading for
// its whole life, busy or idle: a request on a reused connection costs no epoll_ctl. Interest in
// writing is added only while a request does not fit into the socket; interest in reading is
// dropped only when an event comes that a paused call does not want.
//
// What keeps the hot path short: the request leaves inside upstream_start with one sendmsg; a read
// shorter than the buffer is taken as "drained" (plain TCP), no second recv that says EAGAIN; one
// read buffer for all calls. TLS reads until EAGAIN, because decrypted bytes are invisible to
// epoll; a call that has to stop before that (budget, pause) goes to the ready list, which a timer
// in the past serves next turn.
//
// Handlers may cancel the call they are called for: u->current tells the dispatcher that the call
// died meanwhile.
#include "common/io/upstream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/connpool.h"

#define DEFAULT_IDLE_US    (50 * MONO_SEC)
#define DEFAULT_MAX_IDLE   256u
#define DEFAULT_READ_CHUNK (64u * 1024)
#define SCRATCH_MAX        (64u * 1024)
#define SPARE_CALLS        256u
#define TLS_FIRST          (16u * 1024) // head and body up to here leave as one TLS record
#define TLS_WRITE          (64u * 1024) // bytes for one dial_send
#define TLS_WRITES         4u           // dial_sends in one event
#define MAX_PIECES         (1u + UPSTREAM_BODY_PIECES) // head and request.body

// From upstream_start to on_end or cancel. About 400 bytes and the copied head while a request is
// in flight; a response being streamed has given the head back.
struct upstream_call {
    struct upstream *u;
    struct list_node node;          // u->active, or u->spare
    struct list_node ready_node;    // u->ready
    struct connpool_origin *origin; // counted
    struct dial_conn *dialing;      // owned; until connected
    struct connpool_conn *conn;     // its ->user is this
    struct upstream_handlers on;
    void (*on_write)(void *arg);
    void *arg;
    struct h1 h;
    char *head; // owned copy, wiped: it names a key; until the response head
    size_t head_n;
    struct slice piece[MAX_PIECES]; // the request; [0] is the head
    unsigned n_pieces, at_piece;    // at_piece, at_byte: what was sent
    size_t at_byte;
    uint64_t connect_timeout_us;
    struct upstream_times times;
    char *failure; // owned: on_end(failure_result, failure) is due
    enum upstream_result failure_result;
    bool paused;
    bool sent;        // the whole request is with the kernel
    bool blocked;     // it did not fit: waiting to write
    bool send_broken; // writing failed; an answer may still be readable
    bool got_bytes;   // something came back on this connection
    bool head_seen;   // on_head was called
    bool retried;
};

struct upstream {
    struct loop *l;
    struct dial *dial; // owned
    size_t read_chunk, scratch_n;
    char *scratch; // owned; what every read goes through
    struct connpool pool;
    struct list active, spare, ready;
    struct loop_timer ready_timer;
    struct upstream_call *current; // its handler is running; NULL when it was cancelled in there
};

// Nothing is waiting to be read. Overwrites the scratch buffer.
static bool conn_is_silent(struct upstream *u, struct connpool_conn *k)
{
    return dial_recv(k->dc, u->scratch, u->scratch_n) < 0 && errno == EAGAIN;
}

// --- calls ---------------------------------------------------------------------------------------

static void drop_request_head(struct upstream_call *c)
{
    if (c->head != NULL) {
        mem_wipe(c->head, c->head_n);
        mem_free(c->head);
        c->head = NULL;
    }
}

static void call_release(struct upstream_call *c)
{
    struct upstream *u = c->u;

    list_remove(&u->active, &c->node);
    if (list_in_one(&c->ready_node)) {
        list_remove(&u->ready, &c->ready_node);
    }
    connpool_origin_unref(c->origin);
    h1_done(&c->h);
    drop_request_head(c);
    mem_free(c->failure);
    if (u->spare.count < SPARE_CALLS) {
        list_push_front(&u->spare, &c->node);
    } else {
        mem_free(c);
    }
}

static void call_close(struct upstream_call *c)
{
    if (c->conn != NULL) {
        connpool_close(c->conn);
        c->conn = NULL;
    }
}

// The last thing that happens to a call; its connection has been let go of.
static void call_end(struct upstream_call *c, enum upstream_result r, const char *message)
{
    struct upstream *u = c->u;

    u->current = c;
    c->on.on_end(c->arg, r, message);
    u->current = NULL;
    call_release(c);
}

static void call_fail(struct upstream_call *c, enum upstream_result r, const char *message)
{
    call_close(c);
    call_end(c, r, message);
}

static void ready_post(struct upstream_call *c)
{
    struct upstream *u = c->u;

    if (!list_in_one(&c->ready_node)) {
        list_push_back(&u->ready, &c->ready_node);
        loop_timer_set(u->l, &u->ready_timer, 1); // next timer phase
    }
}

// For places where no handler may be called.
static void call_fail_later(struct upstream_call *c, enum upstream_result r, const char *message)
{
    c->failure = mem_strdup(message);
    c->failure_result = r;
    ready_post(c);
}

// Brings the interest of the connection in line with what its call wants.
static void update_watch(struct upstream_call *c)
{
    uint32_t events = (c->paused ? 0 : LOOP_READ) | (c->blocked ? LOOP_WRITE : 0);

    loop_watch_set(c->u->l, &c->conn->watch, events);
}

// --- sending -------------------------------------------------------------------------------------

static void advance(struct upstream_call *c, size_t n)
{
    while (c->at_piece < c->n_pieces) {
        size_t left = c->piece[c->at_piece].n - c->at_byte;

        if (n < left) {
            c->at_byte += n;
            return;
        }
        n -= left;
        c->at_piece++;
        c->at_byte = 0;
    }
}

// One sendmsg of everything that is left.
static ssize_t send_plain(struct upstream_call *c)
{
    struct iovec iov[MAX_PIECES];
    struct msghdr m = {.msg_iov = iov};

    for (unsigned i = c->at_piece; i < c->n_pieces; i++) {
        struct slice s = slice_from(c->piece[i], i == c->at_piece ? c->at_byte : 0);

        iov[m.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)s.p, s.n};
    }
    ssize_t n = sendmsg(c->conn->watch.fd, &m, MSG_NOSIGNAL);

    if (n > 0) {
        advance(c, (size_t)n);
    }
    return n;
}

// After EAGAIN the TLS library wants the same bytes again: the amount depends on the position only.
static ssize_t send_tls(struct upstream_call *c)
{
    ssize_t n = 0;

    for (unsigned i = 0; i < TLS_WRITES && c->at_piece < c->n_pieces; i++) {
        struct slice s = slice_head(slice_from(c->piece[c->at_piece], c->at_byte), TLS_WRITE);

        n = dial_send(c->conn->dc, s.p, s.n);
        if (n < 0) {
            break;
        }
        advance(c, (size_t)n);
    }
    return n;
}

static void call_send(struct upstream_call *c)
{
    ssize_t n;

    if (c->at_piece == 0 && c->at_byte == 0 && c->on_write != NULL) {
        c->on_write(c->arg);
    }
    n = c->conn->plain ? send_plain(c) : send_tls(c);
    c->blocked = false;
    if (c->at_piece == c->n_pieces) {
        c->sent = true;
        c->times.written_us = mono_now_us(); // the turn's stamp would hide our own work
    } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
        c->send_broken = true; // what can be read decides the call's fate
        ready_post(c);
    } else {
        c->blocked = true;
    }
    update_watch(c);
}

// --- connecting ----------------------------------------------------------------------------------

static void on_event(struct loop_watch *w, uint32_t events);
static void on_dialed(void *arg, enum dial_result r, const char *message);

static void call_dial(struct upstream_call *c)
{
    struct err e;

    c->dialing = dial_start(c->u->dial, c->origin->name, c->connect_timeout_us, on_dialed, c, &e);
    if (c->dialing == NULL) {
        call_fail_later(c, UPSTREAM_CONNECT_FAILED, e.message);
    }
}

static void attach(struct upstream_call *c, struct connpool_conn *k)
{
    c->conn = k;
    k->user = c;
    c->times.connected_us = loop_now_us(c->u->l);
    call_send(c);
}

static void on_dialed(void *arg, enum dial_result r, const char *message)
{
    struct upstream_call *c = arg;
    struct err e;

    if (r != DIAL_OK) {
        dial_close(&c->dialing);
        call_end(c, r == DIAL_TIMED_OUT ? UPSTREAM_CONNECT_TIMEOUT : UPSTREAM_CONNECT_FAILED,
                 message);
        return;
    }
    struct connpool_conn *k = connpool_add(c->origin, &c->dialing, on_event, &e);

    if (k == NULL) {
        call_end(c, UPSTREAM_CONNECT_FAILED, e.message);
        return;
    }
    attach(c, k);
}

// A reused connection that its server had closed: once more on a fresh one. False: not allowed.
static bool call_retry(struct upstream_call *c)
{
    if (!c->times.reused || c->got_bytes || c->retried) {
        return false;
    }
    call_close(c);
    c->retried = true;
    c->times.reused = false;
    c->sent = c->blocked = c->send_broken = false;
    c->at_piece = 0;
    c->at_byte = 0;
    call_dial(c);
    return true;
}

// --- reading -------------------------------------------------------------------------------------

// The handler has returned. False: it cancelled the call, which is gone now.
static bool survived(struct upstream_call *c)
{
    struct upstream *u = c->u;
    bool alive = u->current == c;

    u->current = NULL;
    if (!alive) {
        call_release(c);
    }
    return alive;
}

static bool emit_head(struct upstream_call *c)
{
    c->head_seen = true;
    // The request's bytes are the caller's again: what was not sent stays unsent.
    c->n_pieces = 0;
    if (c->blocked) {
        c->blocked = false;
        update_watch(c);
    }
    drop_request_head(c);
    c->u->current = c;
    c->on.on_head(c->arg, &c->h);
    if (!survived(c)) {
        return false;
    }
    h1_drop_head(&c->h);
    return true;
}

static bool emit_data(struct upstream_call *c, struct slice data)
{
    c->u->current = c;
    c->on.on_data(c->arg, data);
    return survived(c);
}

// clean: nothing is known to be left unread on the connection.
static void call_complete(struct upstream_call *c, bool clean)
{
    struct connpool_conn *k = c->conn;

    c->conn = NULL;
    if (clean && c->sent && c->h.keep_alive) {
        connpool_put(k);
    } else {
        connpool_close(k);
    }
    call_end(c, UPSTREAM_COMPLETE, "");
}

// False: the call is over.
static bool call_feed(struct upstream_call *c, struct slice in, bool drained)
{
    while (in.n > 0) {
        struct slice run;
        struct err e;

        in = slice_from(in, h1_feed(&c->h, in, &run, &e));
        if (c->h.state == H1_FAILED) {
            call_fail(c, UPSTREAM_PROTOCOL, e.message);
            return false;
        }
        if (!c->head_seen && c->h.state != H1_HEAD && !emit_head(c)) {
            return false;
        }
        if (run.n > 0 && !emit_data(c, run)) {
            return false;
        }
        if (c->h.state == H1_DONE) {
            call_complete(c, in.n == 0 && (drained || conn_is_silent(c->u, c->conn)));
            return false;
        }
    }
    return true;
}

static void call_broken(struct upstream_call *c, const char *why)
{
    struct err e;

    if (!call_retry(c)) {
        (void)err_set(&e, ERR_IO, "connection lost: %s", why);
        call_fail(c, c->head_seen ? UPSTREAM_TRUNCATED : UPSTREAM_BROKEN, e.message);
    }
}

static void call_eof(struct upstream_call *c)
{
    struct err e;

    if (call_retry(c)) {
        return;
    }
    if (h1_eof(&c->h, &e)) {
        call_complete(c, false);
    } else {
        call_fail(c, c->head_seen ? UPSTREAM_TRUNCATED : UPSTREAM_BROKEN, e.message);
    }
}

static void call_read(struct upstream_call *c)
{
    struct upstream *u = c->u;
    size_t budget = u->read_chunk;
    bool plain = c->conn->plain;

    while (budget > 0) {
        size_t room = budget < u->scratch_n ? budget : u->scratch_n;
        ssize_t n = dial_recv(c->conn->dc, u->scratch, room);

        if (n < 0) {
            if ((errno != EAGAIN && errno != EINTR) || c->send_broken) {
                call_broken(c, strerror(errno));
            }
            return;
        }
        if (n == 0) {
            call_eof(c);
            return;
        }
        if (!c->got_bytes) {
            c->got_bytes = true;
            c->times.first_byte_us = loop_now_us(u->l);
        }
        bool drained = plain && (size_t)n < room;

        if (!call_feed(c, (struct slice){u->scratch, (size_t)n}, drained) || drained || c->paused) {
            return; // a paused call goes on in upstream_resume
        }
        budget -= (size_t)n;
    }
    if (!plain) {
        ready_post(c); // epoll does not know of decrypted bytes
    }
}

static void on_event(struct loop_watch *w, uint32_t events)
{
    struct connpool_conn *k = container_of(w, struct connpool_conn, watch);
    struct upstream_call *c = k->user;

    if (c == NULL) {
        // Idle: TLS session tickets are no harm; anything else is a close, or bytes nobody asked
        // for.
        if (!conn_is_silent(container_of(k->origin->pool, struct upstream, pool), k)) {
            connpool_close(k);
        }
        return;
    }
    if (c->blocked && (events & (LOOP_WRITE | LOOP_ERROR)) != 0) {
        call_send(c);
    }
    if ((events & (LOOP_READ | LOOP_ERROR)) == 0) {
        return;
    }
    if (c->paused) {
        update_watch(c);
    } else {
        call_read(c);
    }
}

static void on_ready(struct loop_timer *t)
{
    struct upstream *u = container_of(t, struct upstream, ready_timer);

    // Those that come back in here have their turn in the next one.
    for (size_t n = u->ready.count; n > 0 && u->ready.count > 0; n--) {
        struct upstream_call *c =
            container_of(list_pop_front(&u->ready), struct upstream_call, ready_node);

        if (c->failure != NULL) {
            call_end(c, c->failure_result, c->failure);
        } else if (c->conn != NULL && !c->paused) {
            call_read(c);
        }
    }
}

// --- interface -----------------------------------------------------------------------------------

static void take_request(struct upstream_call *c, const struct upstream_request *rq)
{
    size_t total = 0, n = rq->head.n, first;

    CHECK(rq->head.n > 0 && rq->n_body <= ARRAY_LEN(rq->body));
    for (size_t i = 0; i < rq->n_body; i++) {
        total += rq->body[i].n;
    }
    // Over TLS two small writes would be two records and two packets: the body's start joins the
    // head.
    first = c->origin->tls && n < TLS_FIRST ? TLS_FIRST - n : 0;
    first = first < total ? first : total;
    c->head = mem_alloc(n + first);
    c->head_n = n;
    memcpy(c->head, rq->head.p, n);
    for (size_t i = 0; i < rq->n_body; i++) {
        struct slice s = rq->body[i];
        size_t part = s.n < first ? s.n : first;

        if (part > 0) {
            memcpy(c->head + n, s.p, part);
        }
        n += part;
        first -= part;
        if (s.n > part) {
            c->piece[++c->n_pieces] = slice_from(s, part);
        }
    }
    c->piece[0] = (struct slice){c->head, n};
    c->n_pieces++;
}

struct upstream_call *upstream_start(struct upstream *u, const struct upstream_request *rq)
{
    struct list_node *n = list_pop_front(&u->spare);
    struct upstream_call *c =
        n != NULL ? container_of(n, struct upstream_call, node) : mem_alloc(sizeof(*c));

    *c = (struct upstream_call){.u = u, .on = rq->on, .on_write = rq->on_write, .arg = rq->arg};
    c->origin = connpool_origin_ref(&u->pool, rq->origin);
    c->connect_timeout_us = rq->connect_timeout_us;
    c->times.started_us = loop_now_us(u->l);
    h1_init(&c->h, rq->head_request);
    take_request(c, rq);
    list_push_back(&u->active, &c->node);

    struct connpool_conn *k = connpool_take(c->origin);

    if (k == NULL) {
        call_dial(c);
        return c;
    }
    c->times.reused = true;
    attach(c, k);
    if (c->send_broken) {
        (void)call_retry(c); // allowed: nothing was read
    }
    return c;
}

void upstream_pause(struct upstream_call *c)
{
    c->paused = true;
}

void upstream_resume(struct upstream_call *c)
{
    if (!c->paused) {
        return;
    }
    c->paused = false;
    if (c->conn != NULL) {
        update_watch(c);
        if (!c->conn->plain || c->send_broken) {
            ready_post(c);
        }
    }
}

void upstream_cancel(struct upstream_call **cp)
{
    struct upstream_call *c = *cp;

    *cp = NULL;
    if (c == NULL) {
        return;
    }
    dial_close(&c->dialing);
    call_close(c);
    if (c->u->current == c) {
        c->u->current = NULL; // whoever called the handler frees it
    } else {
        call_release(c);
    }
}

struct upstream_times upstream_times(const struct upstream_call *c)
{
    return c->times;
}

size_t upstream_idle(const struct upstream *u)
{
    return u->pool.n_idle;
}

size_t upstream_active(const struct upstream *u)
{
    return u->active.count;
}

struct upstream *upstream_new(struct loop *l, const struct upstream_config *cfg, struct err *e)
{
    struct dial *d = dial_new(l, &cfg->dial, e);

    if (d == NULL) {
        return NULL;
    }
    struct upstream *u = mem_zalloc(sizeof(*u));

    u->l = l;
    u->dial = d;
    u->read_chunk = cfg->read_chunk != 0 ? cfg->read_chunk : DEFAULT_READ_CHUNK;
    u->scratch_n = u->read_chunk < SCRATCH_MAX ? u->read_chunk : SCRATCH_MAX;
    u->scratch = mem_alloc(u->scratch_n);
    u->ready_timer.fn = on_ready;
    connpool_init(&u->pool, l, cfg->idle_timeout_us != 0 ? cfg->idle_timeout_us : DEFAULT_IDLE_US,
                  cfg->max_idle_per_origin != 0 ? cfg->max_idle_per_origin : DEFAULT_MAX_IDLE);
    list_init(&u->active);
    list_init(&u->spare);
    list_init(&u->ready);
    return u;
}

void upstream_free(struct upstream **up)
{
    struct upstream *u = *up;
    struct list_node *n;

    *up = NULL;
    if (u == NULL) {
        return;
    }
    CHECK(u->current == NULL); // not from inside a handler
    while ((n = list_first(&u->active)) != NULL) {
        struct upstream_call *c = container_of(n, struct upstream_call, node);

        upstream_cancel(&c);
    }
    connpool_done(&u->pool);
    loop_timer_cancel(u->l, &u->ready_timer);
    dial_free(&u->dial);
    while ((n = list_pop_front(&u->spare)) != NULL) {
        mem_free(container_of(n, struct upstream_call, node));
    }
    mem_free(u->scratch);
    mem_free(u);
}
