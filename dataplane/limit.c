// SPDX-License-Identifier: Apache-2.0
// Spending leases.
//
// A limit in use is an entry in one of 64 shards, each with its own mutex; a request holds one
// shard lock at a time, for some tens of nanoseconds, and never across a call to the link (only
// wake(), which posts, runs under one). An entry's life:
//
//   units > 0 --------take-------> spent; at half of the last grant a new lease is asked for
//   units gone, not empty -------> asked; the request waits in `waiting`, woken by the grant
//   grant of 0 ------------------> empty_until: requests are denied without a round trip
//   lease over or replaced ------> what is left is owed: it goes back with the next question
//   no answer in time -----------> on-control-loss: rates open, budgets closed
//
// Units are signed: settling a request that used more than it reserved leaves a debt, which is sent
// along.
#include "dataplane/limit.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

#define SHARDS       64u
#define ID_MAX       320u
#define ASK_AGAIN_US (200 * MONO_MS) // an unanswered question may be repeated
#define FORGET_US    (600 * MONO_SEC)

struct entry {
    char id[ID_MAX];
    struct shard *shard; // borrowed
    enum resource_unit unit;
    uint64_t amount, window_us;
    bool open_on_loss;

    int64_t units;           // left of the lease; negative = debt
    uint64_t lease_until_us; // 0 = none
    uint64_t lease_us;       // length of the current lease
    uint64_t owed;           // units of leases that are over, to be given back
    uint64_t last_grant;     // units of the last grant: renewal at half
    uint64_t empty_until_us;
    uint64_t rest; // of the whole limit, as last heard (a lower bound later)
    uint64_t reset_at_us;
    uint64_t spent;       // since the last question: what the next one asks for
    uint64_t asked_at_us; // 0 = no question open
    uint64_t used_at_us;
    uint32_t pins;       // passes that hold it
    struct list waiting; // struct limit_pass
};

struct shard {
    pthread_mutex_t lock;
    struct map entries; // id -> struct entry, owned
};

struct limit_store {
    struct limit_config cfg;
    struct shard shards[SHARDS];
};

// One limit that applies to a request.
struct applied {
    const struct resource_limit *limit;
    char id[ID_MAX];
};

struct question {
    struct limit_ask items[LIMIT_PER_REQUEST_MAX];
    size_t n;
};

struct limit_store *limit_store_new(const struct limit_config *c)
{
    struct limit_store *s = mem_zalloc(sizeof(*s));

    s->cfg = *c;
    if (s->cfg.park_us == 0) {
        s->cfg.park_us = 50 * MONO_MS;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&s->shards[i].lock, NULL);
        map_init(&s->shards[i].entries);
    }
    return s;
}

void limit_store_free(struct limit_store **s)
{
    if (*s == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        map_foreach (e, &(*s)->shards[i].entries) {
            mem_free(e->value);
        }
        map_done(&(*s)->shards[i].entries);
        pthread_mutex_destroy(&(*s)->shards[i].lock);
    }
    mem_free(*s);
    *s = NULL;
}

static struct shard *shard_of(struct limit_store *s, struct slice id)
{
    return &s->shards[hash_bytes(hash_process_key(), id) % SHARDS];
}

// --- which limits apply -----------------------------------------------------------------------

struct applied_list {
    struct applied items[LIMIT_PER_REQUEST_MAX];
    size_t n;
};

static void add_limits(struct applied_list *l, const struct resource_limit *limits, size_t n,
                       const char *prefix, const char *owner, struct slice principal)
{
    for (size_t i = 0; i < n && l->n < LIMIT_PER_REQUEST_MAX; i++) {
        struct applied *a = &l->items[l->n++];
        struct slice who = limits[i].per_principal ? principal : SLICE("*");

        a->limit = &limits[i];
        if (principal.p == NULL) { // limits of a key or team: the owner is the principal
            (void)snprintf(a->id, sizeof(a->id), "%s:%s:%zu", prefix, owner, i);
        } else if (owner != NULL) {
            (void)snprintf(a->id, sizeof(a->id), "%s:%s:%zu:" SLICE_FMT, prefix, owner, i,
                           SLICE_ARG(who));
        } else {
            (void)snprintf(a->id, sizeof(a->id), "%s:%zu:" SLICE_FMT, prefix, i, SLICE_ARG(who));
        }
    }
}

static void collect(struct applied_list *l, const struct snapshot *snap,
                    const struct resource *router, const struct resource *key,
                    struct slice principal)
{
    const struct resource_settings *set = snapshot_settings(snap);

    l->n = 0;
    if (router != NULL) {
        add_limits(l, router->u.router->limits, router->u.router->n_limits, "r", router->id,
                   principal);
    } else {
        add_limits(l, set->unified_limits, set->n_unified_limits, "u", NULL, principal);
    }
    add_limits(l, set->limits, set->n_limits, "g", NULL, principal);
    if (key == NULL) {
        return;
    }
    add_limits(l, key->u.key->limits, key->u.key->n_limits, "k", key->id, SLICE_NULL);
    if (key->u.key->team != NULL) {
        const struct resource *team =
            snapshot_find(snap, RESOURCE_TEAM, slice_str(key->u.key->team));

        if (team != NULL) {
            add_limits(l, team->u.team->limits, team->u.team->n_limits, "t", team->id, SLICE_NULL);
        }
    }
}

// --- entries (shard lock held) ----------------------------------------------------------------

static struct entry *entry_of(struct shard *sh, const struct applied *a)
{
    struct entry *e = map_get(&sh->entries, slice_str(a->id));

    if (e == NULL) {
        e = mem_zalloc(sizeof(*e));
        memcpy(e->id, a->id, sizeof(e->id));
        e->shard = sh;
        list_init(&e->waiting);
        (void)map_put(&sh->entries, slice_str(e->id), e);
    }
    // The configuration may have changed since the entry was made.
    if (e->amount != a->limit->amount && e->amount != 0) {
        e->empty_until_us = 0;
    }
    e->unit = a->limit->unit;
    e->amount = a->limit->amount;
    e->window_us = a->limit->per_us;
    e->open_on_loss = a->limit->on_control_loss == 1 ||
                      (a->limit->on_control_loss == 0 && a->limit->unit != RESOURCE_USD);
    return e;
}

// What is left of the lease is no longer spent but owed.
static void end_lease(struct entry *e)
{
    if (e->units > 0) {
        e->owed += (uint64_t)e->units;
        e->rest += (uint64_t)e->units;
        e->units = 0;
    }
    e->lease_until_us = 0;
}

static void expire(struct entry *e, uint64_t now_us)
{
    if (e->lease_until_us != 0 && now_us >= e->lease_until_us) {
        end_lease(e);
    }
}

// need 0: only gives back. What was spent since the last question is asked for twice over: a lease
// that lasts to its half keeps its size, one that ran dry doubles.
static void ask(struct question *q, struct entry *e, uint64_t need, uint64_t now_us)
{
    bool open = e->asked_at_us != 0 && now_us - e->asked_at_us < ASK_AGAIN_US;
    uint64_t want = need == 0 || open ? 0 : need + 2 * e->spent;
    uint64_t debt = e->units < 0 ? (uint64_t)-e->units : 0;

    if (q->n == LIMIT_PER_REQUEST_MAX || (want == 0 && e->owed == 0 && debt == 0)) {
        return;
    }
    q->items[q->n++] = (struct limit_ask){e->id, want, e->owed, debt};
    e->owed = 0;
    e->units += (int64_t)debt;
    if (want > 0) {
        e->asked_at_us = now_us;
        e->spent = 0;
    }
}

static uint64_t remaining_of(const struct entry *e, uint64_t now_us)
{
    uint64_t units = e->units > 0 ? (uint64_t)e->units : 0;

    if (now_us < e->empty_until_us) {
        return 0;
    }
    return units + e->rest > e->amount ? e->amount : units + e->rest;
}

// The limit nearest to its end is the one shown.
static void show(struct limit_pass *p, const struct entry *e, uint64_t now_us, bool denied)
{
    struct limit_view v = {
        .present = true,
        .unit = e->unit,
        .limit = e->amount,
        .remaining = denied ? 0 : remaining_of(e, now_us),
        .reset_us = e->reset_at_us > now_us ? e->reset_at_us - now_us : 0,
        .window_us = e->window_us,
    };
    // Compared as shares: a/b < c/d <=> a*d < c*b, in doubles since token limits are large.
    bool nearer = !p->view.present || (double)v.remaining * (double)p->view.limit <
                                          (double)p->view.remaining * (double)v.limit;

    if (denied || nearer) {
        p->view = v;
    }
}

static void wait_in(struct limit_pass *p, struct entry *e)
{
    p->waiting = e;
    list_push_back(&e->waiting, &p->node);
}

// Renewal in the background: half of the last grant is spent, or the lease is in its last quarter.
static void renew(struct entry *e, struct question *q, uint64_t now_us)
{
    bool half = e->units * 2 < (int64_t)e->last_grant;
    bool ending = e->lease_until_us != 0 && e->lease_until_us < now_us + e->lease_us / 4;

    if ((half || ending) && now_us >= e->empty_until_us) {
        ask(q, e, 1, now_us);
    }
}

static enum limit_result take(struct limit_store *s, struct limit_pass *p, const struct applied *a,
                              uint64_t units, uint64_t now_us, struct question *q)
{
    struct shard *sh = shard_of(s, slice_str(a->id));
    enum limit_result result = LIMIT_OK;

    pthread_mutex_lock(&sh->lock);
    struct entry *e = entry_of(sh, a);
    expire(e, now_us);
    e->used_at_us = now_us;
    if (e->units >= (int64_t)units) {
        e->units -= (int64_t)units;
        e->spent += units;
        p->entries[p->n] = e;
        p->taken[p->n++] = units;
        e->pins++;
        renew(e, q, now_us);
        show(p, e, now_us, false);
    } else if (now_us < e->empty_until_us) {
        result = LIMIT_DENIED;
        p->retry_after_us = e->empty_until_us - now_us;
        p->budget = e->unit == RESOURCE_USD;
        show(p, e, now_us, true);
    } else if (p->parked_until_us != 0 && now_us >= p->parked_until_us) {
        // No answer in time: on-control-loss decides.
        result = e->open_on_loss ? LIMIT_OK : LIMIT_DENIED;
        p->retry_after_us = MONO_SEC;
        p->budget = e->unit == RESOURCE_USD;
        show(p, e, now_us, result == LIMIT_DENIED);
    } else {
        result = LIMIT_PARKED;
        ask(q, e, units * (e->waiting.count + 1), now_us);
        wait_in(p, e);
    }
    pthread_mutex_unlock(&sh->lock);
    return result;
}

// Gives back units to the lease they came from.
static void give_back(struct limit_pass *p, size_t i, int64_t units)
{
    struct entry *e = p->entries[i];

    pthread_mutex_lock(&e->shard->lock);
    e->units += units;
    if (units > 0 && e->lease_until_us == 0) {
        e->lease_until_us = 1; // long over: goes back with the next tick
    }
    if (units > 0) {
        e->empty_until_us = 0;
    }
    e->pins--;
    pthread_mutex_unlock(&e->shard->lock);
}

static void give_back_all(struct limit_pass *p)
{
    for (size_t i = 0; i < p->n; i++) {
        give_back(p, i, (int64_t)p->taken[i]);
    }
    p->n = 0;
}

static uint64_t cost_of(const struct resource_limit *l, uint64_t tokens, uint64_t nano_usd)
{
    switch (l->unit) {
    case RESOURCE_TOKENS:
        return tokens;
    case RESOURCE_USD:
        return nano_usd;
    case RESOURCE_REQUESTS:
        break;
    }
    return 1;
}

enum limit_result limit_admit(struct limit_store *s, struct limit_pass *p,
                              const struct snapshot *snap, const struct resource *router,
                              const struct resource *key, struct slice principal, uint64_t tokens,
                              uint64_t nano_usd, uint64_t now_us)
{
    struct applied_list list;
    struct question q = {.n = 0};
    enum limit_result result = LIMIT_OK;

    collect(&list, snap, router, key, principal);
    p->view.present = false;
    p->waiting = NULL;
    for (size_t i = 0; i < list.n && result == LIMIT_OK; i++) {
        result =
            take(s, p, &list.items[i], cost_of(list.items[i].limit, tokens, nano_usd), now_us, &q);
    }
    if (result != LIMIT_OK) {
        give_back_all(p);
    }
    if (result == LIMIT_PARKED && p->parked_until_us == 0) {
        p->parked_until_us = now_us + s->cfg.park_us;
    }
    if (q.n > 0 && !s->cfg.ask(s->cfg.arg, q.items, q.n) && result == LIMIT_PARKED &&
        limit_unpark(s, p)) {
        // The link is down: no answer will come, decide now.
        p->parked_until_us = now_us;
        return limit_admit(s, p, snap, router, key, principal, tokens, nano_usd, now_us);
    }
    return result;
}

bool limit_unpark(struct limit_store *s, struct limit_pass *p)
{
    struct entry *e = p->waiting;
    bool removed = false;

    (void)s;
    if (e == NULL) {
        return true;
    }
    pthread_mutex_lock(&e->shard->lock);
    if (list_in_one(&p->node)) {
        list_remove(&e->waiting, &p->node);
        removed = true;
    }
    pthread_mutex_unlock(&e->shard->lock);
    p->waiting = NULL;
    return removed;
}

void limit_settle(struct limit_store *s, struct limit_pass *p, bool refund, uint64_t tokens,
                  uint64_t nano_usd)
{
    (void)s;
    for (size_t i = 0; i < p->n; i++) {
        const struct entry *e = p->entries[i];
        struct resource_limit unit = {.unit = e->unit};
        uint64_t used = refund ? 0 : cost_of(&unit, tokens, nano_usd);

        give_back(p, i, (int64_t)p->taken[i] - (int64_t)used);
    }
    p->n = 0;
}

static void apply_grant(struct entry *e, const struct limit_grant *g, uint64_t now_us)
{
    (void)expire(
        e, now_us); // what was left is spent as part of the new lease or lost: never over-admitted
    e->asked_at_us = 0;
    e->rest = g->remaining;
    e->reset_at_us = now_us + g->reset_us;
    if (g->granted > 0) {
        end_lease(e); // units of the old lease do not live longer by the new one
        e->units += (int64_t)g->granted;
        e->last_grant = g->granted;
        e->lease_until_us = now_us + g->lease_us;
        e->lease_us = g->lease_us;
        e->empty_until_us = 0;
    } else if (g->empty_us > 0) {
        e->empty_until_us = now_us + g->empty_us;
    }
    while (e->waiting.count > 0) {
        struct limit_pass *p = container_of(list_pop_front(&e->waiting), struct limit_pass, node);

        p->wake(p);
    }
}

void limit_granted(struct limit_store *s, const struct limit_grant *g, size_t n, uint64_t now_us)
{
    for (size_t i = 0; i < n; i++) {
        struct shard *sh = shard_of(s, g[i].limit_id);

        pthread_mutex_lock(&sh->lock);
        struct entry *e = map_get(&sh->entries, g[i].limit_id);
        if (e != NULL) {
            apply_grant(e, &g[i], now_us);
        }
        pthread_mutex_unlock(&sh->lock);
    }
}

static bool is_forgotten(const struct entry *e, uint64_t now_us)
{
    return e->pins == 0 && e->waiting.count == 0 && e->units == 0 &&
           now_us - e->used_at_us > FORGET_US;
}

// One batch of what a shard has to say; true when there may be more.
static bool tick_shard(struct limit_store *s, struct shard *sh, uint64_t now_us)
{
    struct question q = {.n = 0};

    pthread_mutex_lock(&sh->lock);
    map_foreach (it, &sh->entries) {
        struct entry *e = it->value;

        expire(e, now_us);
        ask(&q, e, 0, now_us);
        if (e->owed == 0 && is_forgotten(e, now_us)) {
            (void)map_del(&sh->entries, it->key);
            mem_free(e);
        }
    }
    pthread_mutex_unlock(&sh->lock);
    if (q.n > 0) {
        (void)s->cfg.ask(s->cfg.arg, q.items,
                         q.n); // link down: the control plane ends the lease by its time
    }
    return q.n == LIMIT_PER_REQUEST_MAX;
}

void limit_tick(struct limit_store *s, uint64_t now_us)
{
    for (size_t i = 0; i < SHARDS; i++) {
        while (tick_shard(s, &s->shards[i], now_us)) {
        }
    }
}
