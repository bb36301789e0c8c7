// SPDX-License-Identifier: Apache-2.0
// Who may spend which lease.
//
// All limits that apply are tried one after the other; a request holds the lock of one shard of the
// store at a time. What a lease goes through is in lease.h, where it is kept in limit_store.c.
//
//   all limits have the units --------> OK
//   one is known to be empty ---------> DENIED, what was taken of others is put back
//   one is short ---------------------> questions for all that are short go out together; PARKED in
//                                       the first of them, woken by its answer
//   link down, no answer in time -----> on-control-loss: the own share, then rates open, budgets
//                                       closed
//
// One answer that is late is no loss while others come: the question is asked again, of another
// control plane if there is one.
//
// `unmet` of a lease counts what all waiting requests need, so that the next question covers them
// together.
#include "dataplane/limit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "dataplane/lease.h"
#include "dataplane/limit_priv.h"

#define PARKS_MAX 8u              // park_us a request may wait in all while answers come
#define SILENT_US (400 * MONO_MS) // without any answer: the control plane may be gone

// One limit that applies to a request.
struct applied {
    const struct resource_limit *limit;
    char id[LIMIT_ID_MAX];
};

// --- which limits apply -----------------------------------------------------------------------

struct applied_list {
    struct applied items[LIMIT_PER_REQUEST_MAX];
    size_t n;
};

// Appends to an id as far as there is room. (printf's formats were 2 % of a request.)
static void put(struct applied *a, size_t *at, struct slice s)
{
    s = slice_head(s, sizeof(a->id) - 1 - *at);
    if (s.n > 0) {
        memcpy(a->id + *at, s.p, s.n);
        *at += s.n;
    }
}

// "r:production:0:7Gk2", "u:0:*", "k:7Gk2:0". who NULL: not one for each principal.
static void name_limit(struct applied *a, const char *prefix, const char *owner, size_t index,
                       struct slice who)
{
    char digits[20];
    size_t at = 0;

    put(a, &at, slice_str(prefix));
    if (owner != NULL) {
        put(a, &at, SLICE(":"));
        put(a, &at, slice_str(owner));
    }
    put(a, &at, SLICE(":"));
    put(a, &at, text_format_u64(index, digits));
    if (who.p != NULL) {
        put(a, &at, SLICE(":"));
        put(a, &at, who);
    }
    a->id[at] = '\0';
}

static void add_limits(struct applied_list *l, const struct resource_limit *limits, size_t n,
                       const char *prefix, const char *owner, struct slice principal)
{
    for (size_t i = 0; i < n && l->n < LIMIT_PER_REQUEST_MAX; i++) {
        struct applied *a = &l->items[l->n++];
        struct slice who = limits[i].per_principal ? principal : SLICE("*");

        a->limit = &limits[i];
        // Limits of a key, a team or a user: the owner is the principal.
        name_limit(a, prefix, owner, i, principal.p == NULL ? SLICE_NULL : who);
    }
}

static void collect(struct applied_list *l, const struct limit_query *q)
{
    const struct resource_settings *set = snapshot_settings(q->snap);
    const struct resource_key *key = q->key == NULL ? NULL : q->key->u.key;
    const struct resource *team, *user;

    l->n = 0;
    if (q->router != NULL) {
        add_limits(l, q->router->u.router->limits, q->router->u.router->n_limits, "r",
                   q->router->id, q->principal);
    } else {
        add_limits(l, set->unified_limits, set->n_unified_limits, "u", NULL, q->principal);
    }
    add_limits(l, set->limits, set->n_limits, "g", NULL, q->principal);
    if (key == NULL) {
        return;
    }
    add_limits(l, key->limits, key->n_limits, "k", q->key->id, SLICE_NULL);
    team = key->team == NULL ? NULL : snapshot_find(q->snap, RESOURCE_TEAM, slice_str(key->team));
    if (team != NULL) {
        add_limits(l, team->u.team->limits, team->u.team->n_limits, "t", team->id, SLICE_NULL);
    }
    user = key->owner == NULL ? NULL : snapshot_find(q->snap, RESOURCE_USER, slice_str(key->owner));
    if (user != NULL) {
        add_limits(l, user->u.user->limits, user->u.user->n_limits, "o", user->id, SLICE_NULL);
    }
}

static uint64_t cost_of(enum resource_unit unit, uint64_t tokens, uint64_t nano_usd)
{
    uint64_t cost = 1;

    switch (unit) {
    case RESOURCE_TOKENS:
        cost = tokens;
        break;
    case RESOURCE_USD:
        cost = nano_usd;
        break;
    case RESOURCE_REQUESTS:
        break;
    }
    return cost < LEASE_UNITS_MAX ? cost : LEASE_UNITS_MAX;
}

// --- entries (shard lock held) ----------------------------------------------------------------

static struct limit_entry *entry_of(struct limit_store *s, struct limit_shard *sh,
                                    const struct applied *a)
{
    struct limit_entry *e = map_get(&sh->entries, slice_str(a->id));

    if (e == NULL) {
        e = limit_store_add(s, sh, a->id);
    }
    lease_configure(&e->lease, a->limit);
    return e;
}

// --- what is shown ----------------------------------------------------------------------------

// A calendar's window as RateLimit-Policy names it: months have 30 days.
static uint64_t shown_window(uint64_t per_us, enum resource_calendar calendar)
{
    static const uint64_t days[] = {
        [RESOURCE_ROLLING] = 0, [RESOURCE_DAY] = 1, [RESOURCE_WEEK] = 7, [RESOURCE_MONTH] = 30};

    return calendar == RESOURCE_ROLLING ? per_us : days[calendar] * 86400 * MONO_SEC;
}

static struct limit_view view_of(const struct lease *l, uint64_t now_us)
{
    return (struct limit_view){
        .present = true,
        .unit = l->unit,
        .limit = l->amount,
        .remaining = lease_remaining(l, now_us),
        .reset_us = l->reset_at_us > now_us ? l->reset_at_us - now_us : 0,
        .window_us = shown_window(l->window_us, l->calendar),
    };
}

// The limit nearest to its end is the one shown.
static void show(struct limit_pass *p, const struct lease *l, uint64_t now_us, bool denied)
{
    struct limit_view v = view_of(l, now_us);

    v.remaining = denied ? 0 : v.remaining;
    // Compared as shares: a/b < c/d <=> a*d < c*b, in doubles since token limits are large.
    bool nearer = !p->view.present || (double)v.remaining * (double)p->view.limit <
                                          (double)p->view.remaining * (double)v.limit;

    if (denied || nearer) {
        p->view = v;
    }
}

static enum limit_result deny(struct limit_pass *p, const struct lease *l, uint64_t retry_us,
                              uint64_t now_us)
{
    p->retry_after_us = retry_us;
    p->budget = l->unit == RESOURCE_USD;
    show(p, l, now_us, true);
    return LIMIT_DENIED;
}

// --- admission --------------------------------------------------------------------------------

static struct limit_hold *holds_of(struct limit_pass *p)
{
    return p->many != NULL ? p->many : p->few;
}

// local: taken of the own share, beside `units` of the lease.
static void hold(struct limit_pass *p, struct limit_entry *e, uint64_t units, uint64_t local)
{
    if (p->n == LIMIT_FEW && p->many == NULL) {
        p->many = mem_zalloc_array(LIMIT_PER_REQUEST_MAX, sizeof(*p->many));
        memcpy(p->many, p->few, sizeof(p->few));
    }
    CHECK(p->n < LIMIT_PER_REQUEST_MAX);
    holds_of(p)[p->n++] =
        (struct limit_hold){e, units, local, e->lease.batch, e->lease.no, e->lease.unit};
    e->pins++;
}

static void let_go(struct limit_pass *p)
{
    mem_free(p->many);
    p->many = NULL;
    p->n = 0;
}

static bool control_is_lost(const struct limit_store *s, const struct limit_pass *p,
                            const struct lease *l, uint64_t now_us)
{
    if (p->parked_at_us == 0 ||
        now_us < atomic_load_explicit(&s->heard_us, memory_order_relaxed) + SILENT_US) {
        return false;
    }
    if (l->lost_us >= p->parked_at_us && l->lost_us > l->heard_us) {
        return true;
    }
    return now_us >= p->parked_until_us && now_us >= l->heard_us + s->cfg.park_us;
}

struct admission {
    struct limit_store *s;
    struct limit_pass *p;
    uint64_t now_us;
    bool link_down;
    struct limit_question *q;      // of this round
    const struct applied *missing; // the first limit that was short
    uint64_t missing_units;
};

// No control plane: the limit's own rule. What goes through is debt once it is spent, but not in
// buckets, which refill.
static enum limit_result without_control(struct admission *ad, struct limit_entry *e,
                                         uint64_t units, bool dry)
{
    struct limit_pass *p = ad->p;
    struct lease *l = &e->lease;
    uint64_t live = atomic_load_explicit(&ad->s->live, memory_order_relaxed);
    bool share = lease_local(l, live, ad->now_us) >= units;

    if (!share && !l->open_on_loss) {
        return deny(p, l, MONO_SEC, ad->now_us);
    }
    if (!dry) {
        p->open = true;
        if (share) {
            lease_local_take(l, units);
        }
        if (lease_local_is_owed(l)) {
            hold(p, e, 0, share ? units : 0);
        }
        show(p, l, ad->now_us, false);
    }
    return LIMIT_OK;
}

// All there was has come, and it is too little. Smaller requests may still use what is here; but
// when none has come until the same happens again, it goes back at once, and for a moment nothing
// is asked for here: with what other proxies hold in the same way it may be enough for one of
// theirs.
static enum limit_result deny_scarce(struct admission *ad, struct limit_entry *e, uint64_t units)
{
    struct lease *l = &e->lease;
    uint64_t have = l->units > 0 ? (uint64_t)l->units : 0;
    uint64_t wait_us = lease_wait_us(l, units - have, ad->now_us);

    if (have > 0 && l->stuck++ > 0) {
        lease_end(l);
        limit_store_ask(ad->q, e, 0, ad->now_us);
        l->empty_until_us = ad->now_us + (wait_us < MONO_SEC ? wait_us : MONO_SEC);
    }
    return deny(ad->p, l, wait_us, ad->now_us);
}

// The lease does not have the units.
static enum limit_result fall_short(struct admission *ad, struct limit_entry *e, uint64_t units,
                                    bool dry)
{
    struct limit_pass *p = ad->p;
    struct lease *l = &e->lease;
    uint64_t now_us = ad->now_us;

    if (units > l->amount) { // never
        return deny(p, l, l->window_us != 0 ? l->window_us : MONO_SEC, now_us);
    }
    if (now_us < l->empty_until_us) {
        return deny(p, l, lease_empty_us(l, now_us), now_us);
    }
    if (ad->link_down || control_is_lost(ad->s, p, l, now_us)) {
        return without_control(ad, e, units, dry);
    }
    if (p->parked_at_us != 0 && l->scarce && l->heard_us >= p->parked_at_us) {
        return deny_scarce(ad, e, units);
    }
    if (p->parked_at_us != 0 && now_us >= p->parked_at_us + PARKS_MAX * ad->s->cfg.park_us) {
        return deny(p, l, MONO_SEC, now_us); // it answers, but others are quicker
    }
    if (!lease_is_asked_for(l, now_us)) {
        lease_end(l); // all in one hand, or two halves would pass each other on the way
    }
    limit_store_ask(ad->q, e, units + l->unmet, now_us);
    return LIMIT_PARKED;
}

// dry: another limit was short already, so nothing is taken; only questions are collected.
static enum limit_result take(struct admission *ad, const struct applied *a, uint64_t units,
                              bool dry)
{
    struct limit_shard *sh = limit_store_shard(ad->s, slice_str(a->id));
    enum limit_result result = LIMIT_OK;

    pthread_mutex_lock(&sh->lock);
    struct limit_entry *e = entry_of(ad->s, sh, a);
    lease_expire(&e->lease, ad->now_us);
    e->used_at_us = ad->now_us;
    if (dry ? e->lease.units < (int64_t)units : !lease_take(&e->lease, units)) {
        result = fall_short(ad, e, units, dry);
    } else if (!dry) {
        hold(ad->p, e, units, 0);
        if (lease_wants_renewal(&e->lease, ad->now_us)) {
            limit_store_ask(ad->q, e, 1, ad->now_us);
        }
        show(ad->p, &e->lease, ad->now_us, false);
    }
    limit_store_unlock(sh, e);
    return result;
}

// Changes an entry by the difference between what a pass took and what it used, and lets go of it.
static void give_back(const struct limit_hold *h, int64_t units)
{
    struct limit_entry *e = h->entry;

    pthread_mutex_lock(&e->shard->lock);
    e->pins--;
    lease_put_back(&e->lease, h->lease, h->batch, h->unit, units);
    if (h->local > 0) {
        uint64_t used = units < 0 ? (uint64_t)-units : 0;

        lease_local_put_back(&e->lease, used < h->local ? h->local - used : 0);
    }
    limit_store_unlock(e->shard, e);
}

static void give_back_all(struct limit_pass *p)
{
    for (size_t i = 0; i < p->n; i++) {
        give_back(&holds_of(p)[i], (int64_t)holds_of(p)[i].taken);
    }
    let_go(p);
}

// Lets go of the limit the pass waited for. True: no wake() will come.
static bool leave(struct limit_pass *p)
{
    struct limit_entry *e = p->waiting;
    bool removed = false;

    if (e == NULL) {
        return true;
    }
    pthread_mutex_lock(&e->shard->lock);
    if (list_in_one(&p->node)) {
        list_remove(&e->waiting, &p->node);
        removed = true;
    }
    e->lease.unmet -= p->short_of;
    e->pins--;
    pthread_mutex_unlock(&e->shard->lock);
    p->waiting = NULL;
    return removed;
}

// False: an answer came meanwhile, look again.
static bool park(struct admission *ad)
{
    struct limit_pass *p = ad->p;
    struct limit_shard *sh = limit_store_shard(ad->s, slice_str(ad->missing->id));
    bool parked = false;

    pthread_mutex_lock(&sh->lock);
    struct limit_entry *e = entry_of(ad->s, sh, ad->missing);
    if (lease_is_asked_for(&e->lease, ad->now_us)) {
        p->waiting = e;
        p->short_of = ad->missing_units;
        e->lease.unmet += p->short_of;
        e->pins++;
        list_push_back(&e->waiting, &p->node);
        parked = true;
    }
    limit_store_unlock(sh, e);
    return parked;
}

static enum limit_result try_all(struct admission *ad, const struct applied_list *list,
                                 const struct limit_query *q)
{
    enum limit_result result = LIMIT_OK;

    ad->p->view.present = false;
    ad->q->n = 0;
    for (size_t i = 0; i < list->n && result != LIMIT_DENIED; i++) {
        uint64_t units = cost_of(list->items[i].limit->unit, q->tokens, q->nano_usd);
        enum limit_result one = take(ad, &list->items[i], units, result == LIMIT_PARKED);

        if (one == LIMIT_PARKED && result == LIMIT_OK) {
            ad->missing = &list->items[i];
            ad->missing_units = units;
        }
        result = one > result || one == LIMIT_DENIED ? one : result;
    }
    if (result != LIMIT_OK) {
        give_back_all(ad->p);
    }
    return result;
}

enum limit_result limit_admit(struct limit_store *s, struct limit_pass *p,
                              const struct limit_query *query, uint64_t now_us)
{
    struct limit_question q; // large, not zeroed
    struct admission ad = {.s = s, .p = p, .now_us = now_us, .q = &q};
    struct applied_list list;
    enum limit_result result;

    (void)leave(p);
    collect(&list, query);
    for (;;) {
        bool sent;

        result = try_all(&ad, &list, query);
        sent = q.n == 0 || limit_store_send(s, &q);
        if (result != LIMIT_PARKED) {
            p->parked_us = p->parked_at_us == 0 ? 0 : now_us - p->parked_at_us + 1;
            p->parked_at_us = p->parked_until_us = 0;
            return result;
        }
        p->parked_at_us = p->parked_at_us == 0 ? now_us : p->parked_at_us;
        if (p->parked_until_us <= now_us) {
            p->parked_until_us = now_us + s->cfg.park_us;
        }
        if (!sent) {
            ad.link_down = true; // no answer will come, decide now
        } else if (park(&ad)) {
            return LIMIT_PARKED;
        }
    }
}

bool limit_unpark(struct limit_store *s, struct limit_pass *p)
{
    (void)s;
    return leave(p);
}

void limit_settle(struct limit_store *s, struct limit_pass *p, bool refund, uint64_t tokens,
                  uint64_t nano_usd)
{
    (void)s;
    for (size_t i = 0; i < p->n; i++) {
        const struct limit_hold *h = &holds_of(p)[i];
        uint64_t used = refund ? 0 : cost_of(h->unit, tokens, nano_usd);

        give_back(h, (int64_t)h->taken - (int64_t)used);
    }
    let_go(p);
}

// --- looking ----------------------------------------------------------------------------------

void limit_each(struct limit_store *s, const struct limit_query *q, uint64_t now_us,
                void (*fn)(void *ctx, const struct resource_limit *l, const struct limit_view *v),
                void *ctx)
{
    struct applied_list list;

    collect(&list, q);
    for (size_t i = 0; i < list.n; i++) {
        const struct applied *a = &list.items[i];
        struct limit_shard *sh = limit_store_shard(s, slice_str(a->id));
        // Nothing was asked yet: whole, as far as is known here.
        struct limit_view v = {.present = true,
                               .unit = a->limit->unit,
                               .limit = a->limit->amount,
                               .remaining = a->limit->amount,
                               .window_us = shown_window(a->limit->per_us, a->limit->calendar)};

        pthread_mutex_lock(&sh->lock);
        const struct limit_entry *e = map_get(&sh->entries, slice_str(a->id));
        if (e != NULL && e->lease.heard_us != 0) {
            v = view_of(&e->lease, now_us);
        }
        pthread_mutex_unlock(&sh->lock);
        fn(ctx, a->limit, &v);
    }
}
