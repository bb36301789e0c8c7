// SPDX-License-Identifier: Apache-2.0
// The registry of proxies.
//
//   report --> proxy (by id): state, errors | targets      the two halves in an arena each, because
//                |                                         an acknowledgement replaces only the
//                first
//                v
//   waits: answered when no live proxy is behind, looked at after each report, each second (a proxy
//   may have died) and at their own deadline
#include "controlplane/fleet.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

struct proxy {
    struct fleet_proxy pub; // strings and errors live in `state`, but for the id
    char *id;               // owned
    struct arena state, health;
    const struct message_target_health *targets; // in `health`
    size_t n_targets;
    uint64_t targets_us; // when they were reported
};

struct fleet {
    struct loop *loop;
    struct map proxies; // id -> struct proxy
    struct list waits;  // struct fleet_wait
    uint8_t epoch[16];
    uint64_t seq;
    struct loop_timer tick;
};

struct fleet_wait {
    struct list_node node;
    struct fleet *fleet;
    uint64_t seq, began_us;
    struct loop_timer deadline;
    struct loop_task task; // posted when there is nothing to wait for
    struct loop_grave grave;
    void (*fn)(void *arg, const struct fleet_outcome *o);
    void *arg;
};

static bool is_live(const struct fleet *f, const struct proxy *p)
{
    return p->pub.seen_us + FLEET_LIVE_US > loop_now_us(f->loop);
}

// One that has fallen silent since the wait began may be frozen or cut off, and serve on.
static bool is_waited_for(const struct fleet_wait *w, const struct proxy *p)
{
    return is_live(w->fleet, p) || p->pub.seen_us + FLEET_LIVE_US > w->began_us;
}

static bool has_applied(const struct fleet *f, const struct proxy *p, uint64_t seq)
{
    return memcmp(p->pub.epoch, f->epoch, sizeof(f->epoch)) == 0 && p->pub.seq >= seq;
}

static void proxy_free(struct proxy *p)
{
    arena_done(&p->state);
    arena_done(&p->health);
    mem_free(p->id);
    mem_free(p);
}

// ---- waits -----------------------------------------------------------------------------------

static void on_wait_bury(struct loop_grave *g)
{
    mem_free(container_of(g, struct fleet_wait, grave));
}

// Takes it out of everything; fn can no longer be called.
static void wait_end(struct fleet_wait *w)
{
    list_remove(&w->fleet->waits, &w->node);
    loop_timer_cancel(w->fleet->loop, &w->deadline);
    loop_unpost(w->fleet->loop, &w->task);
    w->grave.fn = on_wait_bury;
    loop_bury(w->fleet->loop, &w->grave);
}

static void wait_answer(struct fleet_wait *w)
{
    struct fleet *f = w->fleet;
    const char **missing = mem_zalloc_array(map_count(&f->proxies) + 1, sizeof(char *));
    struct fleet_outcome o = {.missing = missing};

    map_foreach (e, &f->proxies) {
        const struct proxy *p = e->value;

        if (!is_waited_for(w, p)) {
            continue;
        }
        o.live++;
        if (has_applied(f, p, w->seq)) {
            o.applied++;
        } else {
            missing[o.n_missing++] = p->id;
        }
    }
    wait_end(w);
    w->fn(w->arg, &o);
    mem_free(missing);
}

static bool wait_is_over(const struct fleet_wait *w)
{
    const struct fleet *f = w->fleet;

    map_foreach (e, &f->proxies) {
        if (is_waited_for(w, e->value) && !has_applied(f, e->value, w->seq)) {
            return false;
        }
    }
    return true;
}

// Callbacks may start and cancel waits, so each one answered means starting over.
static void check_waits(struct fleet *f)
{
    bool again = true;

    while (again) {
        again = false;
        list_foreach (n, &f->waits) {
            struct fleet_wait *w = container_of(n, struct fleet_wait, node);

            if (wait_is_over(w)) {
                wait_answer(w);
                again = true;
                break;
            }
        }
    }
}

static void on_deadline(struct loop_timer *t)
{
    wait_answer(container_of(t, struct fleet_wait, deadline));
}

static void on_task(struct loop_task *t)
{
    struct fleet_wait *w = container_of(t, struct fleet_wait, task);

    if (wait_is_over(w)) { // nobody fell behind since
        wait_answer(w);
    }
}

struct fleet_wait *fleet_wait(struct fleet *f, uint64_t seq, uint64_t timeout_us,
                              void (*fn)(void *arg, const struct fleet_outcome *o), void *arg)
{
    struct fleet_wait *w = mem_zalloc(sizeof(*w));

    *w = (struct fleet_wait){
        .fleet = f, .seq = seq, .began_us = loop_now_us(f->loop), .fn = fn, .arg = arg};
    w->deadline.fn = on_deadline;
    w->task.fn = on_task;
    list_push_back(&f->waits, &w->node);
    loop_timer_set(f->loop, &w->deadline, loop_now_us(f->loop) + timeout_us);
    if (wait_is_over(w)) {
        loop_post(f->loop, &w->task);
    }
    return w;
}

void fleet_wait_cancel(struct fleet_wait **w)
{
    struct fleet_wait *old = *w;

    *w = NULL;
    if (old != NULL) {
        wait_end(old);
    }
}

// ---- life ------------------------------------------------------------------------------------

static void on_tick(struct loop_timer *t)
{
    struct fleet *f = container_of(t, struct fleet, tick);
    uint64_t now = loop_now_us(f->loop);

    map_foreach (e, &f->proxies) {
        struct proxy *p = e->value;

        if (p->pub.seen_us + FLEET_FORGET_US <= now) {
            (void)map_del(&f->proxies, slice_str(p->id));
            proxy_free(p);
        }
    }
    check_waits(f);
    loop_timer_set(f->loop, &f->tick, now + MONO_SEC);
}

struct fleet *fleet_new(struct loop *l)
{
    struct fleet *f = mem_zalloc(sizeof(*f));

    f->loop = l;
    map_init(&f->proxies);
    list_init(&f->waits);
    f->tick.fn = on_tick;
    loop_timer_set(l, &f->tick, loop_now_us(l) + MONO_SEC);
    return f;
}

void fleet_free(struct fleet **fp)
{
    struct fleet *f = *fp;
    struct list_node *n;

    *fp = NULL;
    if (f == NULL) {
        return;
    }
    while ((n = list_first(&f->waits)) != NULL) {
        wait_answer(container_of(n, struct fleet_wait, node));
    }
    loop_timer_cancel(f->loop, &f->tick);
    map_foreach (e, &f->proxies) {
        proxy_free(e->value);
    }
    map_done(&f->proxies);
    mem_free(f);
}

// ---- reports ---------------------------------------------------------------------------------

static struct proxy *find_or_add(struct fleet *f, const char *id)
{
    struct proxy *p = map_get(&f->proxies, slice_str(id));

    // A flood of made-up ids needs the cluster secret; it is bounded all the same.
    if (p == NULL && map_count(&f->proxies) < FLEET_PROXIES_MAX) {
        p = mem_zalloc(sizeof(*p));
        p->id = mem_strdup(id);
        p->pub.id = p->id;
        arena_init(&p->state, 512, 0);
        arena_init(&p->health, 1024, 0);
        (void)map_put(&f->proxies, slice_str(id), p);
    }
    return p;
}

static void copy_errors(struct proxy *p, const struct message_report *r)
{
    struct message_resource_error *copy = arena_alloc(&p->state, r->n_errors * sizeof(*copy) + 1);

    for (size_t i = 0; i < r->n_errors; i++) {
        copy[i] = r->errors[i];
        copy[i].id = arena_strdup(&p->state, r->errors[i].id);
        copy[i].message = arena_strdup(&p->state, r->errors[i].message);
    }
    p->pub.errors = copy;
    p->pub.n_errors = r->n_errors;
}

static void copy_targets(struct proxy *p, const struct message_report *r)
{
    struct message_target_health *copy;

    arena_reset(&p->health);
    copy = arena_alloc(&p->health, r->n_targets * sizeof(*copy) + 1);
    for (size_t i = 0; i < r->n_targets; i++) {
        const struct message_target_health *from = &r->targets[i];

        copy[i] = *from;
        copy[i].provider = arena_strdup(&p->health, from->provider);
        copy[i].model = arena_strdup(&p->health, from->model);
        copy[i].key_id = arena_strdup(&p->health, from->key_id);
        copy[i].endpoint = arena_strdup(&p->health, from->endpoint);
        copy[i].reason = arena_strdup(&p->health, from->reason);
    }
    p->targets = copy;
    p->n_targets = r->n_targets;
}

void fleet_report(struct fleet *f, const uint8_t epoch[16], uint64_t seq,
                  const struct message_report *r)
{
    struct proxy *p = find_or_add(f, r->proxy);

    if (p == NULL) {
        return;
    }
    arena_reset(&p->state);
    p->pub.version = arena_strdup(&p->state, r->version);
    p->pub.ops = arena_strdup(&p->state, r->ops);
    memcpy(p->pub.epoch, epoch, sizeof(p->pub.epoch));
    p->pub.seq = seq;
    p->pub.digest = r->digest;
    p->pub.in_flight = r->in_flight;
    p->pub.started_wall_us = r->started_wall_us;
    p->pub.workers = r->workers;
    p->pub.seen_us = loop_now_us(f->loop);
    copy_errors(p, r);
    if (r->has_targets) {
        copy_targets(p, r);
        p->targets_us = p->pub.seen_us;
    }
    check_waits(f);
}

void fleet_advance(struct fleet *f, const uint8_t epoch[16], uint64_t seq)
{
    memcpy(f->epoch, epoch, sizeof(f->epoch));
    f->seq = seq;
}

// ---- questions -------------------------------------------------------------------------------

static int by_id(const void *a, const void *b)
{
    const struct proxy *const *x = a, *const *y = b;

    return strcmp((*x)->id, (*y)->id);
}

// Owned array of all proxies in order of id.
static struct proxy **sorted(struct fleet *f, size_t *ret_n)
{
    struct proxy **list = mem_zalloc_array(map_count(&f->proxies) + 1, sizeof(struct proxy *));
    size_t n = 0;

    map_foreach (e, &f->proxies) {
        list[n++] = e->value;
    }
    qsort(list, n, sizeof(struct proxy *), by_id);
    *ret_n = n;
    return list;
}

void fleet_each(struct fleet *f, bool (*fn)(void *ctx, const struct fleet_proxy *p), void *ctx)
{
    size_t n;
    struct proxy **list = sorted(f, &n);

    for (size_t i = 0; i < n; i++) {
        list[i]->pub.live = is_live(f, list[i]);
        if (!fn(ctx, &list[i]->pub)) {
            break;
        }
    }
    mem_free(list);
}

size_t fleet_live(struct fleet *f)
{
    size_t n = 0;

    map_foreach (e, &f->proxies) {
        n += is_live(f, e->value);
    }
    return n;
}

uint64_t fleet_max_seq(const struct fleet *f, const uint8_t epoch[16])
{
    uint64_t max = 0;

    map_foreach (e, &f->proxies) {
        const struct proxy *p = e->value;

        if (memcmp(p->pub.epoch, epoch, sizeof(p->pub.epoch)) == 0 && p->pub.seq > max) {
            max = p->pub.seq;
        }
    }
    return max;
}

// ---- targets ---------------------------------------------------------------------------------

struct merged {
    struct fleet_target pub;
    uint64_t ewma_sum;
    size_t ewma_n;
};

static bool keeps_away(uint32_t state)
{
    return state == MESSAGE_TARGET_COOLING || state == MESSAGE_TARGET_EJECTED ||
           state == MESSAGE_TARGET_TRIAL;
}

// How bad a state is; unknown ones of later versions count as healthy.
static unsigned badness(uint32_t state)
{
    switch (state) {
    case MESSAGE_TARGET_HEALTHY:
        return 1;
    case MESSAGE_TARGET_TRIAL:
        return 2;
    case MESSAGE_TARGET_COOLING:
        return 3;
    case MESSAGE_TARGET_EJECTED:
        return 4;
    default:
        return 0;
    }
}

static void merge(struct merged *m, const struct message_target_health *t, uint64_t age_us)
{
    uint64_t until_us = t->until_us > age_us ? t->until_us - age_us : 0;

    m->pub.proxies++;
    m->pub.unhealthy += keeps_away(t->state);
    m->pub.in_flight += t->in_flight;
    m->pub.requests += t->requests;
    m->pub.failures += t->failures;
    m->ewma_sum += t->ewma_us;
    m->ewma_n += t->ewma_us > 0;
    if (until_us > m->pub.until_us) {
        m->pub.until_us = until_us;
    }
    if (badness(t->state) > badness(m->pub.state)) {
        m->pub.state = t->state;
        m->pub.reason = t->reason;
    }
}

static struct merged *merged_of(struct map *all, struct arena *a,
                                const struct message_target_health *t)
{
    struct slice key = slice_str(
        arena_printf(a, "%s\x1f%s\x1f%s\x1f%s", t->provider, t->model, t->key_id, t->endpoint));
    struct merged *m = map_get(all, key);

    if (m == NULL) {
        m = arena_zalloc(a, sizeof(*m));
        m->pub = (struct fleet_target){
            .provider = t->provider,
            .model = t->model,
            .key_id = t->key_id,
            .endpoint = t->endpoint,
            .reason = "",
        };
        (void)map_put(all, key, m);
    }
    return m;
}

static int by_key(const void *a, const void *b)
{
    const struct map_entry *const *x = a, *const *y = b;

    return slice_cmp((*x)->key, (*y)->key);
}

void fleet_targets(struct fleet *f, bool (*fn)(void *ctx, const struct fleet_target *t), void *ctx)
{
    struct map_entry **list;
    struct arena a;
    struct map all;
    size_t n = 0;

    arena_init(&a, 4096, 0);
    map_init(&all);
    map_foreach (e, &f->proxies) {
        struct proxy *p = e->value;
        uint64_t age_us = loop_now_us(f->loop) - p->targets_us;

        for (size_t i = 0; is_live(f, p) && i < p->n_targets; i++) {
            merge(merged_of(&all, &a, &p->targets[i]), &p->targets[i], age_us);
        }
    }
    list = mem_zalloc_array(map_count(&all) + 1, sizeof(struct map_entry *));
    map_foreach (e, &all) {
        list[n++] = e;
    }
    qsort(list, n, sizeof(struct map_entry *), by_key);
    for (size_t i = 0; i < n; i++) {
        struct merged *m = list[i]->value;

        m->pub.ewma_us = m->ewma_n == 0 ? 0 : m->ewma_sum / m->ewma_n;
        if (!fn(ctx, &m->pub)) {
            break;
        }
    }
    mem_free(list);
    map_done(&all);
    arena_done(&a);
}
