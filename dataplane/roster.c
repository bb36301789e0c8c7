// SPDX-License-Identifier: Apache-2.0
// Endpoints to peers.
//
//   "tcp://control:7400" --dns, every 5 s--> 10.0.0.4, 10.0.0.7 --> a peer each
//   "tcp://10.0.0.9:7400", "ipc:///run/x"  --------------------> one peer for ever
//
// An address that the name no longer has loses its peer, unless that has a session: whoever answers
// a challenge is a control plane, whatever DNS says. When resolving fails, everything stays.
#include "dataplane/roster.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/rng.h"
#include "common/io/dns.h"

#define RESOLVE_US (5 * MONO_SEC)

struct origin {
    struct roster *r;
    struct endpoint ep;
    struct dns_query *query; // pending, or NULL
    struct loop_timer again;
    bool complained;
};

struct member {
    struct peer *peer; // owned; NULL = free
    struct origin *from;
};

struct roster {
    struct loop *loop;
    const struct peer_config *conf;
    struct dns *dns;
    struct rng rng;
    struct origin origins[ROSTER_ENDPOINTS_MAX];
    size_t n_origins;
    struct member members[ROSTER_PEERS_MAX];
    struct peer *preferred; // borrowed from members
};

// ---- choosing --------------------------------------------------------------------------------

// A random peer with a session, not `except`.
static struct peer *choose(struct roster *r, const struct peer *except)
{
    struct peer *chosen = NULL;
    uint64_t seen = 0;

    for (size_t i = 0; i < ROSTER_PEERS_MAX; i++) {
        struct peer *p = r->members[i].peer;

        if (p != NULL && p != except && peer_has_session(p) && rng_below(&r->rng, ++seen) == 0) {
            chosen = p;
        }
    }
    return chosen;
}

void roster_note(struct roster *r)
{
    if (r->preferred == NULL || !peer_has_session(r->preferred)) {
        r->preferred = choose(r, NULL);
    }
}

void roster_prefer_other(struct roster *r)
{
    struct peer *other = choose(r, r->preferred);

    if (other != NULL) {
        r->preferred = other;
    }
}

struct peer *roster_preferred(const struct roster *r)
{
    return r->preferred;
}

void roster_each(struct roster *r, void (*fn)(void *ctx, struct peer *p), void *ctx)
{
    for (size_t i = 0; i < ROSTER_PEERS_MAX; i++) {
        if (r->members[i].peer != NULL && peer_has_session(r->members[i].peer)) {
            fn(ctx, r->members[i].peer);
        }
    }
}

// ---- members ---------------------------------------------------------------------------------

static void add_member(struct roster *r, struct origin *from, const struct endpoint *ep)
{
    for (size_t i = 0; i < ROSTER_PEERS_MAX; i++) {
        if (r->members[i].peer == NULL) {
            r->members[i].peer = peer_new(r->conf, ep);
            r->members[i].from = from;
            return;
        }
    }
}

static void drop_member(struct roster *r, struct member *m)
{
    if (r->preferred == m->peer) {
        r->preferred = NULL;
    }
    peer_free(&m->peer);
    roster_note(r);
}

static bool is_listed(const char *host, const char *const *addresses, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(host, addresses[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_member(const struct roster *r, const struct origin *from, const char *host)
{
    for (size_t i = 0; i < ROSTER_PEERS_MAX; i++) {
        const struct member *m = &r->members[i];

        if (m->peer != NULL && m->from == from && strcmp(peer_endpoint(m->peer)->host, host) == 0) {
            return true;
        }
    }
    return false;
}

static void reconcile(struct origin *o, const char *const *addresses, size_t n)
{
    struct roster *r = o->r;

    for (size_t i = 0; i < ROSTER_PEERS_MAX; i++) {
        struct member *m = &r->members[i];

        if (m->peer != NULL && m->from == o && !peer_has_session(m->peer) &&
            !is_listed(peer_endpoint(m->peer)->host, addresses, n)) {
            drop_member(r, m);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct endpoint ep = o->ep;

        if (!has_member(r, o, addresses[i])) {
            CHECK(strlen(addresses[i]) < sizeof(ep.host));
            memcpy(ep.host, addresses[i], strlen(addresses[i]) + 1);
            add_member(r, o, &ep);
        }
    }
}

// ---- resolving -------------------------------------------------------------------------------

static void on_resolved(void *arg, const char *const *addresses, size_t n, const struct err *e)
{
    struct origin *o = arg;

    o->query = NULL;
    if (n > 0) {
        o->complained = false;
        reconcile(o, addresses, n);
    } else if (!o->complained) {
        o->complained = true;
        LOG(WARN, "link.resolve", LOG_STR("host", o->ep.host), LOG_ERR(e));
    }
    loop_timer_set(o->r->loop, &o->again, loop_now_us(o->r->loop) + RESOLVE_US);
}

static void on_again(struct loop_timer *t)
{
    struct origin *o = container_of(t, struct origin, again);

    o->query = dns_resolve(o->r->dns, o->ep.host, on_resolved, o, NULL);
    if (o->query == NULL) { // no thread to be had: later
        loop_timer_set(o->r->loop, &o->again, loop_now_us(o->r->loop) + RESOLVE_US);
    }
}

// ---- life ------------------------------------------------------------------------------------

struct roster *roster_new(struct loop *l, const struct peer_config *c, const char *const *endpoints,
                          size_t n, struct err *e)
{
    struct roster *r = mem_zalloc(sizeof(*r));

    r->loop = l;
    r->conf = c;
    rng_init(&r->rng, 0);
    if (n == 0 || n > ROSTER_ENDPOINTS_MAX) {
        err_set(e, ERR_INVALID, "1 to %u control endpoints", ROSTER_ENDPOINTS_MAX);
        roster_free(&r);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        struct origin *o = &r->origins[i];

        o->r = r;
        o->again.fn = on_again;
        if (!endpoint_parse(slice_str(endpoints[i]), &o->ep, e)) {
            roster_free(&r);
            return NULL;
        }
        if (!o->ep.is_ipc && o->ep.port == 0) {
            err_set(e, ERR_INVALID, "control endpoint \"%s\": a port is needed", endpoints[i]);
            roster_free(&r);
            return NULL;
        }
        r->n_origins++;
    }
    r->dns = dns_new(l, e);
    if (r->dns == NULL) {
        roster_free(&r);
    }
    return r;
}

void roster_start(struct roster *r)
{
    for (size_t i = 0; i < r->n_origins; i++) {
        struct origin *o = &r->origins[i];

        if (o->ep.is_ipc || dns_is_numeric(slice_str(o->ep.host))) {
            add_member(r, o, &o->ep);
        } else {
            loop_timer_set(r->loop, &o->again, loop_now_us(r->loop));
        }
    }
}

void roster_free(struct roster **rp)
{
    struct roster *r = *rp;

    *rp = NULL;
    if (r == NULL) {
        return;
    }
    for (size_t i = 0; i < r->n_origins; i++) {
        loop_timer_cancel(r->loop, &r->origins[i].again);
        dns_cancel(&r->origins[i].query);
    }
    r->preferred = NULL;
    for (size_t i = 0; i < ROSTER_PEERS_MAX; i++) {
        peer_free(&r->members[i].peer);
    }
    dns_free(&r->dns);
    mem_free(r);
}
