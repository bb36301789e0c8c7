// SPDX-License-Identifier: Apache-2.0
// A request of a proxy becomes one or more script calls of at most CHUNK questions (so that no call
// keeps Redis for long); its answer is sent when all are back.
//
// Windows of calendars need their boundaries, which Redis cannot compute: three windows around the
// time we expect are sent along; when Redis's clock is in none of them (its clock is not ours) the
// answer tells its time, and those questions are asked once more.
#include "controlplane/leases.h"

#include <stdio.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/calendar.h"
#include "controlplane/names.h"
#include "controlplane/scripts.h"

#define CHUNK         256u
#define ARGS_EACH     14u
#define HOLDER_MAX    64u // bytes of a holder's name that tell it from others
#define LEASE_MIN_US  (10 * MONO_MS)
#define LEASE_MAX_US  (5 * MONO_SEC)
#define BUCKET_MAX_US (3600 * MONO_SEC) // longer ones are windows
#define JUMP_LOG_US   (10 * MONO_SEC)   // at most one line in that time
#define DAMAGE_LOG_US (10 * MONO_SEC)   // the same for one key
#define PAUSED        (-2)              // the script's "not now", instead of a grant
#define DAMAGED       (-3)              // what is stored of the limit cannot be used
#define SHARE_MIN     128u              // requests that one question may always be granted
#define KEY_SHOWN     512u              // bytes of a key that tell it from others

struct leases {
    void (*on_empty)(void *arg, const char *limit_id, bool empty);
    void *on_empty_arg;
    struct loop *loop;
    struct store *store;
    struct meters *meters;
    char caller[64];
    int64_t offset_us; // the script's clock less our wall clock, as last heard
    uint64_t jump_logged_us;
    char damaged[KEY_SHOWN]; // the key that was logged last
    uint64_t damage_logged_us;
    struct list asks; // struct ask
};

// One question. Strings in the ask's arena.
struct item {
    const char *limit_id, *key;
    struct resource_limit limit; // a copy: the state may change meanwhile
    uint64_t anchor_us;
    uint64_t want, returned, debt, window, batch, no, taken, since, back_again;
    bool answered, again;
};

// A proxy's request.
struct ask {
    struct list_node node;
    struct leases *l;
    leases_fn fn;
    void *arg;
    struct arena arena;
    const char *holder;
    struct item *items;
    size_t n;
    struct message_grant *grants;
    size_t n_grants, refused;
    unsigned calls; // script calls on their way
    bool failed;
};

struct call {
    struct ask *ask;
    size_t n;
    struct item *items[CHUNK];
};

static uint64_t clamp(uint64_t v, uint64_t lo, uint64_t hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static bool is_bucket(const struct resource_limit *l)
{
    return l->calendar == RESOURCE_ROLLING && l->per_us <= BUCKET_MAX_US;
}

// At most 1 % of the refill time; half of that, so that what is granted late in a burst is no loss.
// Limits so small that a single unit is a long time get a fifth of it: their bucket does not fill
// while a lease may still be spent.
uint64_t leases_length_us(const struct resource_limit *limit)
{
    if (!is_bucket(limit)) {
        return LEASE_MAX_US;
    }
    return clamp(limit->per_us / (limit->amount < 100 ? 1000 : 200), LEASE_MIN_US, LEASE_MAX_US);
}

// --- which limit --------------------------------------------------------------------------------

static bool principal_ok(struct slice p)
{
    for (size_t i = 0; i < p.n; i++) {
        if ((unsigned char)p.p[i] <= 0x20 || (unsigned char)p.p[i] >= 0x7f) {
            return false;
        }
    }
    return p.n > 0 && p.n <= RESOURCE_ID_MAX;
}

// "<index>:<principal>" or "<index>".
static const struct resource_limit *at_index(const struct resource_limit *limits, size_t n,
                                             struct slice rest, bool has_principal)
{
    struct slice index, principal = slice_cut(rest, ':', &index);
    uint64_t i;

    if (!slice_to_u64(index, &i) || i >= n || has_principal != (principal.p != NULL)) {
        return NULL;
    }
    if (has_principal &&
        (!principal_ok(principal) || limits[i].per_principal == slice_eq_str(principal, "*"))) {
        return NULL;
    }
    return &limits[i];
}

const struct resource_limit *leases_find(const struct state *s, struct slice limit_id,
                                         const struct resource **ret_key)
{
    struct slice kind, owner, rest = slice_cut(limit_id, ':', &kind);
    const struct resource *settings = state_find(s, RESOURCE_SETTINGS, SLICE("global"));
    const struct resource *r;

    if (ret_key != NULL) {
        *ret_key = NULL;
    }
    if (slice_eq_str(kind, "u") && settings != NULL) {
        return at_index(settings->u.settings->unified_limits,
                        settings->u.settings->n_unified_limits, rest, true);
    }
    if (slice_eq_str(kind, "g") && settings != NULL) {
        return at_index(settings->u.settings->limits, settings->u.settings->n_limits, rest, true);
    }
    rest = slice_cut(rest, ':', &owner);
    if (slice_eq_str(kind, "r")) {
        r = state_find(s, RESOURCE_ROUTER, owner);
        return r == NULL ? NULL : at_index(r->u.router->limits, r->u.router->n_limits, rest, true);
    }
    if (slice_eq_str(kind, "k")) {
        r = state_find(s, RESOURCE_KEY, owner);
        if (ret_key != NULL) {
            *ret_key = r;
        }
        return r == NULL ? NULL : at_index(r->u.key->limits, r->u.key->n_limits, rest, false);
    }
    if (slice_eq_str(kind, "t")) {
        r = state_find(s, RESOURCE_TEAM, owner);
        return r == NULL ? NULL : at_index(r->u.team->limits, r->u.team->n_limits, rest, false);
    }
    if (slice_eq_str(kind, "o")) {
        r = state_find(s, RESOURCE_USER, owner);
        return r == NULL ? NULL : at_index(r->u.user->limits, r->u.user->n_limits, rest, false);
    }
    return NULL;
}

// --- questions to Redis -------------------------------------------------------------------------

struct args {
    struct slice *v;
    size_t n;
    struct arena *arena;
};

static void add(struct args *a, struct slice s)
{
    a->v[a->n++] = s;
}

static void add_u64(struct args *a, uint64_t v)
{
    // Numbers are doubles in Lua: nobody asks for more than 2^53.
    uint64_t max = UINT64_C(1) << 53;

    add(a, slice_str(arena_printf(a->arena, "%llu", (unsigned long long)(v < max ? v : max))));
}

static struct slice bounds_of(struct leases *l, struct arena *arena,
                              const struct resource_limit *limit)
{
    uint64_t t[4], now = loop_wall_us(l->loop);

    now = l->offset_us < 0 && now < (uint64_t)-l->offset_us ? 0 : now + (uint64_t)l->offset_us;
    calendar_bounds(limit->calendar, limit->time_zone, now, t);
    return slice_str(arena_printf(arena, "%llu,%llu,%llu,%llu", (unsigned long long)t[0],
                                  (unsigned long long)t[1], (unsigned long long)t[2],
                                  (unsigned long long)t[3]));
}

// The arguments of lua/lease.lua.
static void add_item(struct leases *l, struct args *a, const struct item *it)
{
    const struct resource_limit *limit = &it->limit;

    add(a, is_bucket(limit)                      ? SLICE("b")
           : limit->calendar == RESOURCE_ROLLING ? SLICE("w")
                                                 : SLICE("c"));
    add_u64(a, limit->amount);
    add_u64(a, limit->per_us);
    add_u64(a, leases_length_us(limit));
    add_u64(a, it->want);
    add_u64(a, it->returned);
    add_u64(a, it->debt);
    add_u64(a, it->window);
    add_u64(a, it->batch);
    add_u64(a, it->no);
    add_u64(a, it->taken);
    add_u64(a, it->since);
    add_u64(a, it->back_again);
    if (limit->calendar == RESOURCE_ROLLING) {
        add_u64(a, it->anchor_us);
    } else {
        add(a, bounds_of(l, a->arena, limit));
    }
}

static void ask_end(struct ask *k)
{
    struct leases *l = k->l;
    struct message_lease_grant g = {k->grants, k->n_grants};
    size_t granted = 0;

    for (size_t i = 0; i < k->n_grants; i++) {
        granted += k->grants[i].granted > 0;
    }
    meters_lease(l->meters, granted, k->n_grants - granted, k->refused);
    list_remove(&l->asks, &k->node);
    k->fn(k->arg, k->failed && k->n_grants == 0 ? NULL : &g);
    arena_done(&k->arena);
    mem_free(k);
}

static void send_calls(struct ask *k);

static void heard_clock(struct leases *l, uint64_t clock_us, int64_t error_us)
{
    l->offset_us = (int64_t)clock_us - (int64_t)loop_wall_us(l->loop);
    if (error_us == 0) {
        return;
    }
    meters_clock_jump(l->meters);
    if (loop_now_us(l->loop) - l->jump_logged_us >= JUMP_LOG_US) {
        l->jump_logged_us = loop_now_us(l->loop);
        LOG(WARN, "leases.clock", LOG_STR("redis", redis_name(store_redis(l->store))),
            LOG_INT("ahead_us", error_us),
            LOG_STR("effect", "its clock is not believed; limits go on by ours"));
    }
}

// Proxies ask again and again.
static void say_damaged(struct leases *l, const char *key, struct slice why, const char *effect)
{
    uint64_t now = loop_now_us(l->loop);

    if (strncmp(l->damaged, key, sizeof(l->damaged) - 1) == 0 &&
        now - l->damage_logged_us < DAMAGE_LOG_US) {
        return;
    }
    (void)snprintf(l->damaged, sizeof(l->damaged), "%s", key);
    l->damage_logged_us = now;
    LOG(ERROR, "leases.damaged", LOG_STR("key", key), LOG_SLICE("reason", why),
        LOG_STR("effect", effect));
}

static void take_answer(struct ask *k, struct item *it, const struct redis_reply *r)
{
    int64_t granted = redis_int(redis_item(r, 0));

    if (granted == PAUSED) {
        it->answered = true;
        k->failed = true; // like a control plane that is away: as `on-control-loss` says
        return;
    }
    if (granted == DAMAGED) {
        it->answered = true;
        k->refused++;
        say_damaged(k->l, it->key, redis_text(redis_item(r, 1)),
                    "nothing is granted of this limit; delete the key to begin it anew");
        return;
    }
    if (granted < 0 && !it->again) {
        it->again = true; // no window held the clock's time: now we know it
        return;
    }
    it->answered = true;
    if (granted < 0) {
        k->refused++;
        return;
    }
    if (k->l->on_empty != NULL && it->want > 0) {
        k->l->on_empty(k->l->on_empty_arg, it->limit_id, granted == 0);
    }
    k->grants[k->n_grants++] = (struct message_grant){
        .limit_id = it->limit_id,
        .granted = (uint64_t)granted,
        .lease_us = (uint64_t)redis_int(redis_item(r, 1)),
        .remaining = (uint64_t)redis_int(redis_item(r, 2)),
        .amount = it->limit.amount,
        .reset_us = (uint64_t)redis_int(redis_item(r, 3)),
        .empty_until_us = (uint64_t)redis_int(redis_item(r, 4)),
        .window = (uint64_t)redis_int(redis_item(r, 5)),
        .batch = (uint64_t)redis_int(redis_item(r, 6)),
    };
}

static void on_script(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct call *c = arg;
    struct ask *k = c->ask;
    bool again = false;

    if (e != NULL) {
        k->failed = true;
        if (e->code == ERR_INVALID) {
            LOG(ERROR, "leases.script", LOG_ERR(e));
        }
        for (size_t i = 0; i < c->n; i++) {
            c->items[i]->answered = true;
        }
    } else {
        if (c->n > 0) { // not fail_soon's
            heard_clock(k->l, (uint64_t)redis_int(redis_item(r, 0)), redis_int(redis_item(r, 1)));
        }
        if (c->n > 0 && redis_item(r, 2 + c->n) != NULL) {
            say_damaged(k->l, NAMES_CLOCK, SLICE("it holds no time"),
                        "it was made anew, from the clock of Redis");
        }
        for (size_t i = 0; i < c->n; i++) {
            take_answer(k, c->items[i], redis_item(r, 2 + i));
            again = again || !c->items[i]->answered;
        }
    }
    mem_free(c);
    k->calls--;
    if (again && k->calls == 0) {
        send_calls(k);
    }
    if (k->calls == 0) {
        ask_end(k);
    }
}

static void send_call(struct ask *k, struct call *c)
{
    struct leases *l = k->l;
    struct args a = {.arena = &k->arena};

    a.v = mem_zalloc_array(4 + c->n * (1 + ARGS_EACH), sizeof(struct slice));
    add(&a, SLICE(NAMES_CLOCK));
    for (size_t i = 0; i < c->n; i++) {
        add(&a, slice_str(c->items[i]->key));
    }
    add(&a, slice_str(l->caller));
    add_u64(&a, loop_now_us(l->loop));
    add(&a, slice_str(k->holder));
    for (size_t i = 0; i < c->n; i++) {
        add_item(l, &a, c->items[i]);
    }
    k->calls++;
    redis_eval(store_redis(l->store), SCRIPTS_LEASE, 1 + c->n, a.v, a.n, LEASES_TIMEOUT_US,
               on_script, c);
    mem_free(a.v);
}

// Everything that has no answer yet.
static void send_calls(struct ask *k)
{
    struct call *c = NULL;

    for (size_t i = 0; i < k->n; i++) {
        if (k->items[i].answered) {
            continue;
        }
        if (c == NULL) {
            c = mem_zalloc(sizeof(*c));
            c->ask = k;
        }
        c->items[c->n++] = &k->items[i];
        if (c->n == CHUNK) {
            send_call(k, c);
            c = NULL;
        }
    }
    if (c != NULL) {
        send_call(k, c);
    }
}

// "{sluice}:l:" id ":" what it counts and over what: another kind of limit in the same place begins
// anew, another amount goes on.
static const char *key_of(struct arena *a, const char *id, const struct resource_limit *limit)
{
    return arena_printf(a, "%s%s:%d:%d:%llu", NAMES_LIMIT, id, (int)limit->unit,
                        (int)limit->calendar, (unsigned long long)limit->per_us);
}

// A proxy says itself how much it needs. Requests are small, so there no honest question is for a
// large part of a large limit at once, and no other one shall starve everybody else. (For tokens
// and money a single request may need nearly all there is.)
static uint64_t most_at_once(const struct resource_limit *limit)
{
    return limit->unit == RESOURCE_REQUESTS && limit->amount > 10 * SHARE_MIN ? limit->amount / 10
           : limit->unit == RESOURCE_REQUESTS && limit->amount > SHARE_MIN    ? SHARE_MIN
                                                                              : limit->amount;
}

// As proxies say it.
static uint64_t period_of(const struct resource_limit *limit)
{
    return limit->calendar != RESOURCE_ROLLING ? (uint64_t)limit->calendar : limit->per_us;
}

static bool fill_item(struct ask *k, struct item *it, const struct message_lease_item *from)
{
    const struct resource *key;
    const struct resource_limit *limit =
        leases_find(store_state(k->l->store), slice_str(from->limit_id), &key);

    if (limit == NULL || limit->amount == 0) {
        return false;
    }
    *it = (struct item){
        .limit_id = arena_strdup(&k->arena, from->limit_id),
        .key = key_of(&k->arena, from->limit_id, limit),
        .limit = *limit,
        .anchor_us = key == NULL ? 0 : key->u.key->created_wall_us,
        .want = from->want < most_at_once(limit) ? from->want : most_at_once(limit),
        .returned = from->returned < limit->amount ? from->returned : limit->amount,
        .debt = from->debt,
        .window = from->window,
        .batch = from->batch,
        .no = from->no,
        .taken = from->taken,
        .since = from->since,
        .back_again = from->again < limit->amount ? from->again : limit->amount,
    };
    if (from->unit != 0 && from->unit != (uint64_t)limit->unit) {
        it->returned = it->debt = 0; // of what stood in this place before: nothing of this limit's
        it->window = it->since = it->back_again = 0;
    }
    if (from->period != 0 && from->period != period_of(limit)) {
        // The same; what was used too much counts all the same.
        it->returned = it->back_again = it->window = it->since = 0;
    }
    it->limit.time_zone = arena_strdup(&k->arena, limit->time_zone);
    return true;
}

// An earlier version of the proxy has its name only.
static const char *name_of(const struct message_lease_request *r)
{
    return r->holder == NULL || r->holder[0] == '\0' ? r->proxy : r->holder;
}

static void fail_soon(struct ask *k)
{
    // Through the connection's own way of failing, so that fn is not called from inside leases_ask.
    struct call *c = mem_zalloc(sizeof(*c));

    c->ask = k;
    k->calls++;
    redis_command(store_redis(k->l->store), (const struct slice[]){SLICE("PING")}, 1,
                  LEASES_TIMEOUT_US, on_script, c);
}

void leases_ask(struct leases *l, const struct message_lease_request *r, leases_fn fn, void *arg)
{
    struct ask *k = mem_zalloc(sizeof(*k));

    k->l = l;
    k->fn = fn;
    k->arg = arg;
    arena_init(&k->arena, 2048, 0); // a request is bounded by its message
    k->holder = name_of(r);
    k->holder = arena_strndup(&k->arena, k->holder, strnlen(k->holder, HOLDER_MAX));
    k->items = arena_zalloc(&k->arena, (r->n_items + 1) * sizeof(*k->items));
    k->grants = arena_zalloc(&k->arena, (r->n_items + 1) * sizeof(*k->grants));
    for (size_t i = 0; i < r->n_items; i++) {
        if (fill_item(k, &k->items[k->n], &r->items[i])) {
            k->n++;
        } else {
            k->refused++;
        }
    }
    list_push_back(&l->asks, &k->node);
    send_calls(k);
    if (k->calls == 0) {
        fail_soon(k);
    }
}

void leases_on_empty(struct leases *l, void (*fn)(void *arg, const char *limit_id, bool empty),
                     void *arg)
{
    l->on_empty = fn;
    l->on_empty_arg = arg;
}

struct leases *leases_new(struct loop *loop, struct store *s, struct meters *m, const char *caller)
{
    struct leases *l = mem_zalloc(sizeof(*l));

    l->loop = loop;
    l->store = s;
    l->meters = m;
    if (caller[0] == '\0') {
        crypto_random_id(l->caller, 32);
    } else {
        (void)snprintf(l->caller, sizeof(l->caller), "%s", caller);
    }
    list_init(&l->asks);
    return l;
}

void leases_free(struct leases **lp)
{
    struct leases *l = *lp;

    if (l == NULL) {
        return;
    }
    *lp = NULL;
    // The store is freed first: its connection has answered everything by then.
    CHECK(l->asks.count == 0);
    mem_free(l);
}
