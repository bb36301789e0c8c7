// SPDX-License-Identifier: Apache-2.0
// The control plane's three sockets.
//
//   state change --> on_change --> PUB  delta, or "announced" when it is too large
//   each second  --> on_beat   --> PUB  heartbeat
//   REP  sync request   --> image (frozen state) --> chunk         answered at once
//        lease request  --> on_lease(reply)  ... publish_reply_lease   answered later
//        usage report   --> on_usage(reply)  ... publish_reply_usage
//   PULL report --> fleet
//
// What comes in is opened, then checked for freshness: each process that sends has a random id and
// counts its messages on each socket; a count not above the last one is a replay. Except for the
// hello that opens a session, a message must name this process as its recipient, so that nothing
// recorded before a restart can be played to us after it.
#include "controlplane/publish.h"

#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/crypto.h"
#include "common/io/endpoint.h"
#include "common/io/nnsock.h"
#include "controlplane/image.h"
#include "controlplane/senders.h"
#include "controlplane/shelf.h"

#define BIND_TRIES   16
#define REPLIES_MAX  65536u
#define SAY_AGAIN_US (60 * MONO_SEC) // the same complaint in the log

struct publish {
    struct publish_config conf;
    char base[ENDPOINT_TEXT_MAX];
    struct nnsock *pub, *rep, *pull;
    struct state_listener listener;
    struct loop_timer beat;
    uint64_t knows_fleet_us;       // from then on it has heard every proxy that lives
    uint8_t id[ENVELOPE_ID_BYTES]; // ours: sender of all we send
    uint64_t pub_count, rep_count;
    struct senders *senders;
    struct shelf shelf;
    struct list replies; // struct publish_reply, still to be answered
    bool silent;
    char supersedes[PUBLISH_SUPERSEDES_MAX];
    size_t n_supersedes;
    void (*on_lease)(void *arg, const struct message_lease_request *r, struct publish_reply *reply);
    void *lease_arg;
    void (*on_usage)(void *arg, const struct message_usage_report *r, struct publish_reply *reply);
    void *usage_arg;
    struct publish_stats stats;
    uint64_t said_us[ENVELOPE_VERDICTS];     // when each reason was last logged
    struct arena arena;                      // of the message at hand
    struct buf body, plain, wire, resources; // scratch
};

struct publish_reply {
    struct list_node node;
    struct publish *p; // NULL: publish is gone
    struct nnsock_route route;
    uint8_t request[ENVELOPE_ID_BYTES], asker[ENVELOPE_ID_BYTES];
};

// ---- sending ---------------------------------------------------------------------------------

static void fill_header(const struct publish *p, struct envelope *e)
{
    memcpy(e->sender, p->id, sizeof(e->sender));
    if (state_ready(p->conf.state)) {
        memcpy(e->epoch, state_epoch(p->conf.state), sizeof(e->epoch));
        e->seq = state_seq(p->conf.state);
    }
}

static void wipe(struct buf *b)
{
    if (b->p != NULL) {
        mem_wipe(b->p, b->off + b->n); // not all of it: a snapshot may have made it large
    }
    buf_clear(b);
}

static void broadcast(struct publish *p, const struct message *m, uint64_t seq)
{
    struct envelope e = {.type = m->type, .count = ++p->pub_count};

    fill_header(p, &e);
    e.seq = seq;
    wipe(&p->plain);
    message_encode(m, &p->plain);
    buf_clear(&p->wire);
    envelope_close(p->conf.keys, KEYS_BROADCAST, &e, buf_slice(&p->plain), &p->wire);
    wipe(&p->plain);
    (void)!nnsock_send(p->pub, buf_slice(&p->wire), NULL); // PUB always takes it
}

struct asker {
    const struct nnsock_route *route;
    const uint8_t *request, *id;
};

// epoch NULL: that of the state.
static void answer(struct publish *p, const struct asker *to, const struct message *m,
                   const uint8_t *epoch, uint64_t seq)
{
    struct envelope e = {.type = m->type, .count = ++p->rep_count};

    fill_header(p, &e);
    if (epoch != NULL) {
        memcpy(e.epoch, epoch, sizeof(e.epoch));
        e.seq = seq;
    }
    memcpy(e.request, to->request, sizeof(e.request));
    memcpy(e.recipient, to->id, sizeof(e.recipient));
    wipe(&p->plain);
    message_encode(m, &p->plain);
    buf_clear(&p->wire);
    envelope_close(p->conf.keys, KEYS_ANSWER, &e, buf_slice(&p->plain), &p->wire);
    wipe(&p->plain);
    (void)!nnsock_send(p->rep, buf_slice(&p->wire), to->route); // gone or busy: its deadline
}

static void refuse(struct publish *p, const struct asker *to, enum message_reason why,
                   const char *text)
{
    const struct message m = {MESSAGE_REFUSAL, {.refusal = {why, text}}};

    p->stats.refusals++;
    answer(p, to, &m, NULL, 0);
}

// ---- deltas and heartbeats -------------------------------------------------------------------

static bool is_speaking(const struct publish *p)
{
    return state_ready(p->conf.state) && !p->silent;
}

// Items for the change's upserts, their bytes in p->resources. False: larger than a delta may be.
static bool encode_upserts(struct publish *p, const struct state_change *c,
                           struct message_item *items)
{
    size_t sum = 0, offset = 0;

    for (size_t i = 0; i < c->n_upserts; i++) {
        struct resource *r = c->upserts[i];
        size_t before = p->resources.n;

        if (sum > MESSAGE_DELTA_MAX) {
            return false;
        }
        resource_encode(r, &p->resources);
        items[i] = (struct message_item){
            .kind = r->kind,
            .id = r->id,
            .version = r->version,
            .resource = {NULL, p->resources.n - before},
        };
        sum += message_item_size(&items[i]);
    }
    for (size_t i = 0; i < c->n_upserts; i++) {
        items[i].resource.p = p->resources.p + p->resources.off + offset;
        offset += items[i].resource.n;
    }
    return sum <= MESSAGE_DELTA_MAX;
}

static bool encode_delta(struct publish *p, const struct state_change *c, struct message_delta *ret)
{
    struct message_item *items;
    struct message_ref *refs;

    // A change from 0 is a whole load: nobody is at 0 and waits for it.
    if (c->prev_seq == 0 || c->n_upserts + c->n_deletes > MESSAGE_ITEMS_MAX / 4) {
        return false;
    }
    items = arena_alloc(&p->arena, c->n_upserts * sizeof(*items) + 1);
    refs = arena_alloc(&p->arena, c->n_deletes * sizeof(*refs) + 1);
    for (size_t i = 0; i < c->n_deletes; i++) {
        refs[i] = (struct message_ref){c->deletes[i].kind, c->deletes[i].id};
    }
    if (!encode_upserts(p, c, items)) {
        return false;
    }
    ret->upserts = items;
    ret->n_upserts = c->n_upserts;
    ret->deletes = refs;
    ret->n_deletes = c->n_deletes;
    return true;
}

static void on_change(struct state_listener *l, const struct state_change *c)
{
    struct publish *p = container_of(l, struct publish, listener);
    struct message m = {MESSAGE_DELTA, {.delta = {.prev_seq = c->prev_seq, .seq = c->seq}}};

    fleet_advance(p->conf.fleet, state_epoch(p->conf.state), state_seq(p->conf.state));
    if (!is_speaking(p)) {
        return;
    }
    arena_reset(&p->arena);
    wipe(&p->resources);
    m.u.delta.announced = !encode_delta(p, c, &m.u.delta);
    p->stats.deltas++;
    p->stats.announced += m.u.delta.announced;
    broadcast(p, &m, c->seq);
    wipe(&p->resources);
}

static void heartbeat(struct publish *p)
{
    bool known = loop_now_us(p->conf.loop) >= p->knows_fleet_us;
    const struct message m = {MESSAGE_HEARTBEAT,
                              {.heartbeat = {
                                   .seq = state_seq(p->conf.state),
                                   .digest = state_digest(p->conf.state),
                                   .wall_us = loop_wall_us(p->conf.loop),
                                   .live = known ? fleet_live(p->conf.fleet) : 0,
                               }}};

    p->stats.heartbeats++;
    broadcast(p, &m, m.u.heartbeat.seq);
}

void publish_probes(struct publish *p, const struct message_probe *probes, size_t n)
{
    const struct message m = {MESSAGE_PROBES, {.probes = {probes, n}}};

    if (is_speaking(p)) {
        broadcast(p, &m, state_seq(p->conf.state));
    }
}

static void on_beat(struct loop_timer *t)
{
    struct publish *p = container_of(t, struct publish, beat);
    uint64_t now = loop_now_us(p->conf.loop);

    if (is_speaking(p)) {
        heartbeat(p);
    }
    shelf_tidy(&p->shelf, now);
    loop_timer_set(p->conf.loop, &p->beat, now + MONO_SEC);
}

// ---- freshness -------------------------------------------------------------------------------

static void say_refused(struct publish *p, enum envelope_verdict v)
{
    uint64_t now = loop_now_us(p->conf.loop);

    if (v != ENVELOPE_OK && (p->said_us[v] == 0 || now - p->said_us[v] >= SAY_AGAIN_US)) {
        p->said_us[v] = now;
        LOG(WARN, "publish.refused", LOG_STR("reason", envelope_verdict_name(v)),
            LOG_UINT("so_far", p->stats.verdicts[v]));
    }
}

// Opens a message from a proxy and checks that it is new. Body in p->body.
static bool take_in(struct publish *p, struct slice bytes, enum senders_socket socket,
                    struct envelope *ret)
{
    const struct envelope_expect x = {.purpose = KEYS_UPWARD};
    enum envelope_verdict v = envelope_open(p->conf.keys, &x, bytes, ret, &p->body);

    if (v == ENVELOPE_OK && !senders_is_fresh(p->senders, ret, socket, loop_now_us(p->conf.loop))) {
        v = ENVELOPE_REPLAYED;
    }
    p->stats.verdicts[v]++;
    say_refused(p, v);
    return v == ENVELOPE_OK;
}

static bool is_for_us(const struct publish *p, const struct envelope *e)
{
    return memcmp(e->recipient, p->id, sizeof(p->id)) == 0;
}

static bool is_for_anybody(const struct envelope *e)
{
    static const uint8_t zero[ENVELOPE_ID_BYTES];

    return memcmp(e->recipient, zero, sizeof(zero)) == 0;
}

// ---- snapshots -------------------------------------------------------------------------------

static void send_chunk(struct publish *p, const struct asker *to, struct image *image,
                       uint32_t chunk)
{
    struct message m = {.type = MESSAGE_SYNC_CHUNK};

    if (!image_chunk(image, chunk, &p->arena, &p->resources, &m.u.sync_chunk)) {
        refuse(p, to, MESSAGE_GONE, "no such chunk");
        return;
    }
    m.u.sync_chunk.supersedes = SLICE_MAKE(p->supersedes, p->n_supersedes);
    p->stats.chunks++;
    answer(p, to, &m, image_epoch(image), image_seq(image));
    wipe(&p->resources);
}

static void answer_hello(struct publish *p, const struct asker *to, const struct envelope *e,
                         const struct message_sync_request *r)
{
    const struct state *s = p->conf.state;
    struct message m = {MESSAGE_SYNC_CHUNK,
                        {.sync_chunk = {
                             .last = true,
                             .seq = state_seq(s),
                             .digest = state_digest(s),
                         }}};

    m.u.sync_chunk.current = e->seq == state_seq(s) && r->have_digest == state_digest(s) &&
                             memcmp(e->epoch, state_epoch(s), STATE_EPOCH_BYTES) == 0;
    answer(p, to, &m, NULL, 0);
}

static void on_sync_request(struct publish *p, const struct asker *to, const struct envelope *e,
                            const struct message_sync_request *r)
{
    uint64_t now = loop_now_us(p->conf.loop);
    struct image *image;

    if (!is_speaking(p)) {
        refuse(p, to, MESSAGE_NOT_READY, p->silent ? "state has regressed" : "no state yet");
        return;
    }
    if (r->hello) {
        answer_hello(p, to, e, r);
        return;
    }
    image = r->snapshot == 0 ? shelf_current(&p->shelf, p->conf.state, now)
                             : shelf_find(&p->shelf, r->snapshot, now);
    p->stats.snapshots = p->shelf.made;
    if (image != NULL) {
        send_chunk(p, to, image, r->chunk);
    } else if (r->snapshot == 0) {
        refuse(p, to, MESSAGE_NOT_READY, "too many snapshots at once");
    } else {
        refuse(p, to, MESSAGE_GONE, "that snapshot is no longer held");
    }
}

// ---- leases and usage ------------------------------------------------------------------------

static struct publish_reply *reply_new(struct publish *p, const struct asker *to)
{
    struct publish_reply *r = mem_zalloc(sizeof(*r));

    r->p = p;
    r->route = *to->route;
    memcpy(r->request, to->request, sizeof(r->request));
    memcpy(r->asker, to->id, sizeof(r->asker));
    list_push_back(&p->replies, &r->node);
    return r;
}

// m NULL: refused.
static void reply_end(struct publish_reply **rp, const struct message *m)
{
    struct publish_reply *r = *rp;
    struct publish *p = r->p;

    *rp = NULL;
    if (p != NULL) {
        const struct asker to = {&r->route, r->request, r->asker};

        list_remove(&p->replies, &r->node);
        if (m == NULL) {
            refuse(p, &to, MESSAGE_UNSERVED, "cannot be answered now");
        } else {
            answer(p, &to, m, NULL, 0);
        }
    }
    mem_free(r);
}

void publish_reply_lease(struct publish_reply **r, const struct message_lease_grant *g)
{
    const struct message m = {MESSAGE_LEASE_GRANT, {.lease_grant = *g}};

    CHECK(g->n_grants <= MESSAGE_ITEMS_MAX);
    reply_end(r, &m);
}

void publish_reply_usage(struct publish_reply **r, const struct message_usage_ack *a)
{
    const struct message m = {MESSAGE_USAGE_ACK, {.usage_ack = *a}};

    reply_end(r, &m);
}

void publish_reply_drop(struct publish_reply **r)
{
    reply_end(r, NULL);
}

static void on_lease_request(struct publish *p, const struct asker *to,
                             const struct message_lease_request *r)
{
    if (p->on_lease == NULL || p->silent || p->replies.count >= REPLIES_MAX) {
        refuse(p, to, MESSAGE_UNSERVED, "leases are not served here now");
        return;
    }
    p->stats.leases++;
    p->on_lease(p->lease_arg, r, reply_new(p, to));
}

static void on_usage_report(struct publish *p, const struct asker *to,
                            const struct message_usage_report *r)
{
    if (p->on_usage == NULL || p->silent || p->replies.count >= REPLIES_MAX) {
        refuse(p, to, MESSAGE_UNSERVED, "usage is not taken here now");
        return;
    }
    p->stats.usages++;
    p->on_usage(p->usage_arg, r, reply_new(p, to));
}

// ---- receiving -------------------------------------------------------------------------------

static bool decode(struct publish *p, const struct envelope *e, struct message *ret)
{
    struct err err = {0};

    arena_reset(&p->arena);
    if (message_decode(e->type, buf_slice(&p->body), &p->arena, ret, &err)) {
        return true;
    }
    p->stats.verdicts[ENVELOPE_MALFORMED]++;
    LOG(WARN, "publish.malformed", LOG_STR("type", message_type_name(e->type)), LOG_ERR(&err));
    return false;
}

static void on_request(void *arg, struct slice bytes, const struct nnsock_route *route)
{
    struct publish *p = arg;
    struct envelope e;
    struct message m;
    const struct asker to = {route, e.request, e.sender};

    if (!take_in(p, bytes, SENDERS_REQ, &e)) {
        return;
    }
    if (!is_for_us(p, &e) && !(e.type == MESSAGE_SYNC_REQUEST && is_for_anybody(&e))) {
        refuse(p, &to, MESSAGE_STRANGER, "meant for another process");
        return;
    }
    if (e.type != MESSAGE_SYNC_REQUEST && e.type != MESSAGE_LEASE_REQUEST &&
        e.type != MESSAGE_USAGE_REPORT) {
        p->stats.unknown++; // of a later version
        refuse(p, &to, MESSAGE_UNSERVED, "unknown request");
        return;
    }
    if (!decode(p, &e, &m)) {
        refuse(p, &to, MESSAGE_UNREADABLE, "does not decode");
    } else if (m.type == MESSAGE_SYNC_REQUEST) {
        on_sync_request(p, &to, &e, &m.u.sync_request);
    } else if (m.type == MESSAGE_LEASE_REQUEST) {
        on_lease_request(p, &to, &m.u.lease_request);
    } else {
        on_usage_report(p, &to, &m.u.usage_report);
    }
}

static void on_pushed(void *arg, struct slice bytes, const struct nnsock_route *route)
{
    struct publish *p = arg;
    struct envelope e;
    struct message m;

    (void)route;
    if (!take_in(p, bytes, SENDERS_PUSH, &e)) {
        return;
    }
    if (e.type != MESSAGE_REPORT) {
        p->stats.unknown++;
    } else if (!is_for_us(p, &e)) {
        p->stats.verdicts[ENVELOPE_REPLAYED]++;
    } else if (decode(p, &e, &m)) {
        p->stats.reports++;
        fleet_report(p->conf.fleet, e.epoch, e.seq, &m.u.report);
    }
}

// ---- life ------------------------------------------------------------------------------------

static bool open_socket(struct publish *p, struct nnsock **s, enum nnsock_kind kind,
                        const struct endpoint *ep, enum endpoint_socket which, struct err *e)
{
    const struct nnsock_config c = {
        .loop = p->conf.loop,
        .receive_max = ENVELOPE_BYTES_MAX,
        .arg = p,
        .on_message = kind == NNSOCK_REP ? on_request : on_pushed,
    };
    char address[ENDPOINT_TEXT_MAX];

    endpoint_socket_address(ep, which, address);
    *s = nnsock_new(kind, &c, e);
    return *s != NULL && nnsock_bind(*s, address, e);
}

static void close_sockets(struct publish *p)
{
    nnsock_free(&p->pub);
    nnsock_free(&p->rep);
    nnsock_free(&p->pull);
}

static bool open_sockets(struct publish *p, struct err *e)
{
    struct endpoint ep;
    bool any_port;

    if (!endpoint_parse(slice_str(p->conf.listen), &ep, e)) {
        return false;
    }
    any_port = !ep.is_ipc && ep.port == 0;
    for (int i = 0; i < BIND_TRIES; i++) {
        if (any_port && !endpoint_choose_port(&ep, e)) {
            return false;
        }
        if (open_socket(p, &p->pub, NNSOCK_PUB, &ep, ENDPOINT_PUB, e) &&
            open_socket(p, &p->rep, NNSOCK_REP, &ep, ENDPOINT_REP, e) &&
            open_socket(p, &p->pull, NNSOCK_PULL, &ep, ENDPOINT_PULL, e)) {
            endpoint_format(&ep, p->base);
            return true;
        }
        close_sockets(p);
        if (!any_port) { // somebody was faster only when we chose
            break;
        }
    }
    return false;
}

struct publish *publish_new(const struct publish_config *c, struct err *e)
{
    struct publish *p;

    if (keys_signing(c->keys, NULL) == NULL) {
        err_set(e, ERR_INVALID, "a control plane needs a signing key (--signing-key-file)");
        return NULL;
    }
    p = mem_zalloc(sizeof(*p));
    p->conf = *c;
    p->conf.listen = NULL; // only borrowed for this call
    crypto_random(p->id, sizeof(p->id));
    p->senders = senders_new();
    list_init(&p->replies);
    arena_init(&p->arena, 64 * 1024, 0);
    buf_init(&p->body, ENVELOPE_BYTES_MAX);
    buf_init(&p->plain, 2 * (size_t)ENVELOPE_BYTES_MAX);
    buf_init(&p->wire, 2 * (size_t)ENVELOPE_BYTES_MAX);
    buf_init(&p->resources, 4 * (size_t)ENVELOPE_BYTES_MAX);
    p->conf.listen = c->listen;
    if (!open_sockets(p, e)) {
        publish_free(&p);
        return NULL;
    }
    p->listener.fn = on_change;
    state_listen(c->state, &p->listener);
    if (state_ready(c->state)) {
        fleet_advance(c->fleet, state_epoch(c->state), state_seq(c->state));
    }
    p->beat.fn = on_beat;
    p->knows_fleet_us = loop_now_us(c->loop) + FLEET_LIVE_US;
    loop_timer_set(c->loop, &p->beat, loop_now_us(c->loop)); // the first one at once
    return p;
}

void publish_free(struct publish **pp)
{
    struct publish *p = *pp;
    struct list_node *n;

    *pp = NULL;
    if (p == NULL) {
        return;
    }
    if (list_in_one(&p->listener.node)) {
        state_unlisten(p->conf.state, &p->listener);
    }
    loop_timer_cancel(p->conf.loop, &p->beat);
    close_sockets(p);
    while ((n = list_pop_front(&p->replies)) != NULL) {
        container_of(n, struct publish_reply, node)->p = NULL;
    }
    senders_free(&p->senders);
    shelf_done(&p->shelf);
    wipe(&p->plain);
    wipe(&p->resources);
    arena_done(&p->arena);
    buf_done(&p->body);
    buf_done(&p->plain);
    buf_done(&p->wire);
    buf_done(&p->resources);
    mem_free(p);
}

const char *publish_endpoint(const struct publish *p)
{
    return p->base;
}

void publish_on_lease(struct publish *p,
                      void (*fn)(void *arg, const struct message_lease_request *r,
                                 struct publish_reply *reply),
                      void *arg)
{
    p->on_lease = fn;
    p->lease_arg = arg;
}

void publish_on_usage(struct publish *p,
                      void (*fn)(void *arg, const struct message_usage_report *r,
                                 struct publish_reply *reply),
                      void *arg)
{
    p->on_usage = fn;
    p->usage_arg = arg;
}

void publish_set_keys(struct publish *p, const struct keys *k)
{
    CHECK(keys_signing(k, NULL) != NULL);
    p->conf.keys = k;
}

void publish_set_silent(struct publish *p, bool silent)
{
    p->silent = silent;
}

void publish_set_supersedes(struct publish *p, struct slice epochs)
{
    CHECK(epochs.n <= sizeof(p->supersedes));
    p->n_supersedes = epochs.n;
    if (epochs.n > 0) {
        memcpy(p->supersedes, epochs.p, epochs.n);
    }
}

void publish_stats(const struct publish *p, struct publish_stats *ret)
{
    *ret = p->stats;
}
