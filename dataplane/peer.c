// SPDX-License-Identifier: Apache-2.0
// One control plane process.
//
//          .----------- sockets made, connecting ------------.
//          v                                                 |
//   NO SESSION --hello sent--> GREETING --answered--> SESSION +--3 s of silence--> (sockets anew)
//          ^                      |                      |
//          '----- no answer ------'<--other process------'
//
// nanomsg connects in the background and drops what cannot be sent, so the hello is tried every
// 10 ms (100 ms after a second of failing) until a socket takes it.
//
// Broadcasts of a process with which there is no session yet are held until the hello is answered:
// without that, a delta published between the control plane's answer and its arrival would be lost,
// since the two travel on different connections. Those of any other process are dropped then.
#include "dataplane/peer.h"

#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/crypto.h"
#include "common/io/nnsock.h"

#define SILENCE_US      (3 * MONO_SEC)
#define HELLO_US        MONO_SEC
#define HELLO_FAST_US   (10 * MONO_MS)
#define HELLO_SLOW_US   (100 * MONO_MS)
#define HELD_MAX        1024u
#define HELD_BYTES_MAX  (4u * 1024 * 1024)
#define CALLS_MAX       4096u
#define REFUSED_WAIT_US (250 * MONO_MS) // before greeting somebody who is not ready again
#define SAY_AGAIN_US    (60 * MONO_SEC) // the same complaint in the log

// An authentic broadcast of a process we have no session with (yet).
struct held {
    struct list_node node;
    struct envelope e;
    size_t n;
    char body[];
};

struct call {
    struct list_node node;
    struct peer *p;
    uint8_t request[ENVELOPE_ID_BYTES];
    struct loop_timer deadline;
    struct loop_grave grave;
    peer_fn fn;
    void *arg;
};

struct peer {
    const struct peer_config *conf;
    struct endpoint ep;
    struct nnsock *sub, *req, *push;
    struct loop_timer timer; // next hello, or the check for silence
    struct loop_grave grave;
    struct list calls; // of struct call
    struct list held;  // of struct held
    size_t held_bytes;
    uint64_t req_count, push_count; // of what we sent
    uint64_t opened_us;             // when the sockets were made
    uint64_t heard_us;
    bool greeting, session, dead;
    uint8_t control[ENVELOPE_ID_BYTES];  // process of the session, or of the last one
    uint64_t pub_count;                  // of `control`: last broadcast seen
    uint64_t said_us[ENVELOPE_VERDICTS]; // when each reason was last logged
    struct arena arena;
    struct buf body, plain, wire;
};

static void greet(struct peer *p);

// ---- sockets ---------------------------------------------------------------------------------

static void on_published(void *arg, struct slice bytes, const struct nnsock_route *route);
static void on_answered(void *arg, struct slice bytes, const struct nnsock_route *route);

static bool open_socket(struct peer *p, struct nnsock **s, enum nnsock_kind kind,
                        enum endpoint_socket which, struct err *e)
{
    const struct nnsock_config c = {
        .loop = p->conf->loop,
        .receive_max = ENVELOPE_BYTES_MAX,
        .arg = p,
        .on_message = kind == NNSOCK_SUB ? on_published : on_answered,
    };
    char address[ENDPOINT_TEXT_MAX];

    endpoint_socket_address(&p->ep, which, address);
    *s = nnsock_new(kind, &c, e);
    return *s != NULL && nnsock_connect(*s, address, e);
}

static void close_sockets(struct peer *p)
{
    nnsock_free(&p->sub);
    nnsock_free(&p->req);
    nnsock_free(&p->push);
}

static void open_sockets(struct peer *p)
{
    struct err e = {0};

    close_sockets(p);
    p->opened_us = loop_now_us(p->conf->loop);
    if (!open_socket(p, &p->sub, NNSOCK_SUB, ENDPOINT_PUB, &e) ||
        !open_socket(p, &p->req, NNSOCK_REQ, ENDPOINT_REP, &e) ||
        !open_socket(p, &p->push, NNSOCK_PUSH, ENDPOINT_PULL, &e)) {
        LOG(WARN, "link.socket", LOG_ERR(&e)); // out of descriptors: tried again after the silence
        close_sockets(p);
    }
}

// ---- calls -----------------------------------------------------------------------------------

static void on_call_bury(struct loop_grave *g)
{
    mem_free(container_of(g, struct call, grave));
}

static void call_end(struct call *c, const struct envelope *e, const struct message *m)
{
    peer_fn fn = c->fn;
    void *arg = c->arg;

    list_remove(&c->p->calls, &c->node);
    loop_timer_cancel(c->p->conf->loop, &c->deadline);
    c->grave.fn = on_call_bury;
    loop_bury(c->p->conf->loop, &c->grave);
    fn(arg, e, m);
}

static void end_all_calls(struct peer *p)
{
    // Only those there now: an fn may start new ones.
    for (size_t n = p->calls.count; n > 0 && p->calls.count > 0; n--) {
        call_end(container_of(list_first(&p->calls), struct call, node), NULL, NULL);
    }
}

static void on_deadline(struct loop_timer *t)
{
    call_end(container_of(t, struct call, deadline), NULL, NULL);
}

static struct call *find_call(struct peer *p, const uint8_t request[ENVELOPE_ID_BYTES])
{
    list_foreach (n, &p->calls) {
        struct call *c = container_of(n, struct call, node);

        if (memcmp(c->request, request, ENVELOPE_ID_BYTES) == 0) {
            return c;
        }
    }
    return NULL;
}

static void seal(struct peer *p, const struct envelope *e, const struct message *m)
{
    buf_clear(&p->plain);
    message_encode(m, &p->plain);
    buf_clear(&p->wire);
    envelope_close(p->conf->keys, KEYS_UPWARD, e, buf_slice(&p->plain), &p->wire);
}

bool peer_call(struct peer *p, const struct message *request, uint64_t timeout_us, peer_fn fn,
               void *arg)
{
    bool is_hello = request->type == MESSAGE_SYNC_REQUEST && request->u.sync_request.hello;
    struct envelope e = {.type = request->type};
    struct peer_have have = {.seq = 0};
    struct call *c;

    if (p->req == NULL || p->calls.count >= CALLS_MAX || (!p->session && !is_hello)) {
        return false;
    }
    p->conf->have(p->conf->arg, &have);
    memcpy(e.epoch, have.epoch, sizeof(e.epoch));
    e.seq = have.seq;
    e.count = ++p->req_count;
    memcpy(e.sender, p->conf->self, sizeof(e.sender));
    crypto_random(e.request, sizeof(e.request));
    if (!is_hello) {
        memcpy(e.recipient, p->control, sizeof(e.recipient));
    }
    seal(p, &e, request);
    if (!nnsock_send(p->req, buf_slice(&p->wire), NULL)) {
        return false;
    }
    c = mem_zalloc(sizeof(*c));
    c->p = p;
    c->fn = fn;
    c->arg = arg;
    c->deadline.fn = on_deadline;
    memcpy(c->request, e.request, sizeof(c->request));
    list_push_back(&p->calls, &c->node);
    loop_timer_set(p->conf->loop, &c->deadline, loop_now_us(p->conf->loop) + timeout_us);
    return true;
}

bool peer_push(struct peer *p, const struct message *m, const struct peer_have *as_of)
{
    struct envelope e = {.type = m->type, .seq = as_of->seq};

    if (p->push == NULL || !p->session) {
        return false;
    }
    memcpy(e.epoch, as_of->epoch, sizeof(e.epoch));
    memcpy(e.sender, p->conf->self, sizeof(e.sender));
    memcpy(e.recipient, p->control, sizeof(e.recipient));
    e.count = ++p->push_count;
    seal(p, &e, m);
    return nnsock_send(p->push, buf_slice(&p->wire), NULL);
}

// ---- session ---------------------------------------------------------------------------------

// What is held may carry provider keys.
static void held_free(struct held *h)
{
    mem_wipe(h->body, h->n);
    mem_free(h);
}

static void drop_held(struct peer *p)
{
    struct list_node *n;

    while ((n = list_pop_front(&p->held)) != NULL) {
        held_free(container_of(n, struct held, node));
    }
    p->held_bytes = 0;
}

static void hold(struct peer *p, const struct envelope *e, struct slice body)
{
    struct held *h;

    if (p->held.count >= HELD_MAX || body.n > HELD_BYTES_MAX - p->held_bytes) {
        drop_held(p); // missed deltas are noticed by sequence
        return;
    }
    h = mem_try_alloc(sizeof(*h) + body.n);
    if (h == NULL) {
        return;
    }
    *h = (struct held){.e = *e, .n = body.n};
    memcpy(h->body, body.p, body.n);
    list_push_back(&p->held, &h->node);
    p->held_bytes += body.n;
}

static void set_timer(struct peer *p, uint64_t in_us)
{
    loop_timer_set(p->conf->loop, &p->timer, loop_now_us(p->conf->loop) + in_us);
}

static void lose_session(struct peer *p)
{
    bool had = p->session;

    p->session = false;
    if (had) {
        p->conf->on_lost(p->conf->arg, p);
    }
}

// A broadcast of the session's process.
static void deliver(struct peer *p, const struct envelope *e, struct slice body)
{
    if (e->count <= p->pub_count) {
        p->conf->verdicts[ENVELOPE_REPLAYED]++;
        return;
    }
    p->pub_count = e->count;
    p->heard_us = loop_now_us(p->conf->loop);
    p->conf->on_broadcast(p->conf->arg, p, e, body);
}

static void deliver_held(struct peer *p)
{
    struct list_node *n;

    while (!p->dead && (n = list_pop_front(&p->held)) != NULL) {
        struct held *h = container_of(n, struct held, node);

        p->held_bytes -= h->n;
        if (memcmp(h->e.sender, p->control, ENVELOPE_ID_BYTES) == 0) {
            deliver(p, &h->e, SLICE_MAKE(h->body, h->n));
        } else {
            p->conf->verdicts[ENVELOPE_REPLAYED]++;
        }
        held_free(h);
    }
}

static void on_hello_answer(void *arg, const struct envelope *e, const struct message *m)
{
    struct peer *p = arg;

    p->greeting = false;
    if (p->dead) {
        return;
    }
    if (m == NULL || m->type != MESSAGE_SYNC_CHUNK) {
        set_timer(p, m == NULL ? HELLO_FAST_US : REFUSED_WAIT_US);
        return;
    }
    p->session = true;
    if (memcmp(p->control, e->sender, sizeof(p->control)) != 0) {
        p->pub_count = 0;
        memcpy(p->control, e->sender, sizeof(p->control));
    }
    p->heard_us = loop_now_us(p->conf->loop);
    set_timer(p, SILENCE_US);
    p->conf->on_session(p->conf->arg, p, e, &m->u.sync_chunk);
    deliver_held(p);
}

static void greet(struct peer *p)
{
    struct message m = {MESSAGE_SYNC_REQUEST,
                        {.sync_request = {.proxy = p->conf->proxy, .hello = true}}};
    struct peer_have have = {.seq = 0};
    uint64_t now = loop_now_us(p->conf->loop);

    if (p->greeting) {
        return;
    }
    p->conf->have(p->conf->arg, &have);
    m.u.sync_request.have_digest = have.digest;
    if (peer_call(p, &m, HELLO_US, on_hello_answer, p)) {
        p->greeting = true;
        loop_timer_cancel(p->conf->loop, &p->timer);
    } else if (now - p->opened_us > SILENCE_US) {
        // Nobody there for 3 s: begin again, so that nanomsg's back-off starts over too.
        open_sockets(p);
        set_timer(p, HELLO_FAST_US);
    } else {
        set_timer(p, now - p->opened_us < MONO_SEC ? HELLO_FAST_US : HELLO_SLOW_US);
    }
}

static void on_timer(struct loop_timer *t)
{
    struct peer *p = container_of(t, struct peer, timer);
    uint64_t now = loop_now_us(p->conf->loop);

    if (!p->session) {
        greet(p);
        return;
    }
    if (p->heard_us + SILENCE_US > now) {
        set_timer(p, p->heard_us + SILENCE_US - now);
        return;
    }
    open_sockets(p);
    set_timer(p, HELLO_FAST_US);
    drop_held(p);
    end_all_calls(p);
    lose_session(p);
}

// ---- receiving -------------------------------------------------------------------------------

// What is never normal is for a person to know: damage, other people's messages, keys that are
// missing.
static void say_refused(struct peer *p, enum envelope_verdict v)
{
    uint64_t now = loop_now_us(p->conf->loop);
    char at[ENDPOINT_TEXT_MAX];

    if (v == ENVELOPE_OK || v == ENVELOPE_OLD ||
        (p->said_us[v] != 0 && now - p->said_us[v] < SAY_AGAIN_US)) {
        return;
    }
    p->said_us[v] = now;
    endpoint_format(&p->ep, at);
    LOG(WARN, "link.refused", LOG_STR("control", at), LOG_STR("reason", envelope_verdict_name(v)),
        LOG_UINT("so_far", p->conf->verdicts[v]));
}

static bool take_in(struct peer *p, enum keys_purpose purpose, struct slice bytes,
                    struct envelope *ret)
{
    struct peer_have have = {.seq = 0};
    struct envelope_expect x = {.purpose = purpose};
    enum envelope_verdict v;

    p->conf->have(p->conf->arg, &have);
    x.have_epoch = have.epoch;
    x.have_seq = have.seq;
    v = envelope_open(p->conf->keys, &x, bytes, ret, &p->body);
    p->conf->verdicts[v]++;
    say_refused(p, v);
    return v == ENVELOPE_OK;
}

static void take_broadcast(struct peer *p, const struct envelope *e)
{
    if (p->session && memcmp(e->sender, p->control, ENVELOPE_ID_BYTES) == 0) {
        deliver(p, e, buf_slice(&p->body));
        return;
    }
    // Somebody else speaks at this address: a restarted control plane, or a recording of an old
    // one. A challenge tells them apart; until it is answered the session we have goes on.
    hold(p, e, buf_slice(&p->body));
    greet(p);
}

// It may hold provider keys.
static void wipe_body(struct peer *p)
{
    struct slice s = buf_slice(&p->body);

    if (s.n > 0) {
        mem_wipe(p->body.p + p->body.off, s.n);
    }
    buf_clear(&p->body);
}

// In all that follows the peer may be freed, but not before the loop's turn is over.
static void on_published(void *arg, struct slice bytes, const struct nnsock_route *route)
{
    struct peer *p = arg;
    struct envelope e;

    (void)route;
    if (take_in(p, KEYS_BROADCAST, bytes, &e)) {
        take_broadcast(p, &e);
    }
    wipe_body(p);
}

static void take_answer(struct peer *p, const struct envelope *e)
{
    struct message m;
    struct call *c = find_call(p, e->request);

    if (c == NULL || memcmp(e->recipient, p->conf->self, ENVELOPE_ID_BYTES) != 0 ||
        (c->fn != on_hello_answer && memcmp(e->sender, p->control, ENVELOPE_ID_BYTES) != 0 &&
         e->type != MESSAGE_REFUSAL)) {
        p->conf->verdicts[ENVELOPE_REPLAYED]++; // or too late
        return;
    }
    arena_reset(&p->arena);
    if (!message_decode(e->type, buf_slice(&p->body), &p->arena, &m, NULL)) {
        p->conf->verdicts[ENVELOPE_MALFORMED]++;
        call_end(c, NULL, NULL);
        return;
    }
    if (memcmp(e->sender, p->control, ENVELOPE_ID_BYTES) == 0) {
        p->heard_us = loop_now_us(p->conf->loop);
    }
    if (m.type == MESSAGE_REFUSAL && m.u.refusal.reason == MESSAGE_STRANGER) {
        greet(p);
    }
    call_end(c, e, &m);
}

static void on_answered(void *arg, struct slice bytes, const struct nnsock_route *route)
{
    struct peer *p = arg;
    struct envelope e;

    (void)route;
    if (take_in(p, KEYS_ANSWER, bytes, &e)) {
        take_answer(p, &e);
    }
    wipe_body(p);
}

// ---- life ------------------------------------------------------------------------------------

struct peer *peer_new(const struct peer_config *c, const struct endpoint *ep)
{
    struct peer *p = mem_zalloc(sizeof(*p));

    p->conf = c;
    p->ep = *ep;
    list_init(&p->calls);
    list_init(&p->held);
    arena_init(&p->arena, 64 * 1024, 0);
    buf_init(&p->body, ENVELOPE_BYTES_MAX);
    // It will hold secrets: reserved whole, so that growing leaves no copies behind.
    CHECK(buf_try_reserve(&p->body, ENVELOPE_BYTES_MAX));
    buf_init(&p->plain, 2 * (size_t)ENVELOPE_BYTES_MAX);
    buf_init(&p->wire, 2 * (size_t)ENVELOPE_BYTES_MAX);
    p->timer.fn = on_timer;
    open_sockets(p);
    set_timer(p, 0);
    return p;
}

static void on_bury(struct loop_grave *g)
{
    struct peer *p = container_of(g, struct peer, grave);

    arena_done(&p->arena);
    mem_wipe(p->body.p, p->body.cap);
    buf_done(&p->body);
    buf_done(&p->plain);
    buf_done(&p->wire);
    mem_free(p);
}

void peer_free(struct peer **pp)
{
    struct peer *p = *pp;

    *pp = NULL;
    if (p == NULL) {
        return;
    }
    p->dead = true;
    p->session = false;
    loop_timer_cancel(p->conf->loop, &p->timer);
    close_sockets(p);
    end_all_calls(p);
    loop_timer_cancel(p->conf->loop, &p->timer);
    drop_held(p);
    p->grave.fn = on_bury;
    loop_bury(p->conf->loop, &p->grave);
}

const struct endpoint *peer_endpoint(const struct peer *p)
{
    return &p->ep;
}

bool peer_has_session(const struct peer *p)
{
    return p->session;
}
