// SPDX-License-Identifier: Apache-2.0
// The link's thread: what comes in goes through `sync` and becomes snapshots, what goes out is
// collected from other threads and sent once a turn.
//
//   peers --delta, heartbeat--> sync --ADVANCED--> on_snapshot (workers take it) --> lkg, 1 s later
//                                 |                        |
//                                GAP, DIVERGED         link_applied, by all workers
//                                 v                        v
//                              transfer: chunks        report to every control plane (fleet)
//
//   other threads: link_lease, link_usage, link_applied, link_health --lock--> on_turn (loop hook)
//
// A gap is not acted upon at once: the missing delta may be on its way from another replica, and a
// thousand proxies that missed the same one should not ask in the same millisecond. So the snapshot
// is asked for after a random delay, if it is still needed then. Failures double the delay.
#include "dataplane/link.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/rng.h"
#include "common/io/crypto.h"
#include "common/io/loop.h"
#include "common/io/proc.h"
#include "dataplane/lkg.h"
#include "dataplane/outbox.h"
#include "dataplane/peer.h"
#include "dataplane/roster.h"
#include "dataplane/sync.h"

#define WORKERS_MAX       1024u
#define LKG_AFTER_US      (50 * MONO_MS)
#define LKG_EVERY_US      MONO_SEC
#define SYNC_US           (2 * MONO_SEC)  // deadline of one chunk
#define GAP_JITTER_US     (50 * MONO_MS)  // before acting on a gap
#define RETRY_MIN_US      (100 * MONO_MS) // after a failed transfer, doubling
#define RETRY_MAX_US      (5 * MONO_SEC)
#define CONFLICT_RETRY_US (5 * MONO_SEC) // a foreign epoch needs a person
#define DIVERGED_MAX_US   (60 * MONO_SEC)
#define LEASE_US          (100 * MONO_MS)
#define LEASE_ITEMS       1024u  // of one request
#define LEASES_MAX        65536u // items waiting
#define USAGE_US          (2 * MONO_SEC)
#define USAGE_BYTES_MAX   (32u * 1024 * 1024)
#define ERRORS_MAX        256u // refused resources named in a report
#define TARGETS_MAX       2048u
#define PROXY_ID_MAX      64u

// Lease questions as one thread asked them.
struct batch {
    struct list_node node;
    struct arena arena; // strings and items
    struct message_lease_item *items;
    size_t n;
};

// Batches that travel in one request.
struct lease_call {
    struct link *l;
    struct list batches;
};

struct link {
    // Set before the thread starts, then constant.
    void *arg;
    void (*on_snapshot)(void *arg, struct snapshot *s);
    void (*on_lease)(void *arg, const struct message_grant *grants, size_t n, uint64_t now_us);
    void (*on_lease_lost)(void *arg, const struct message_lease_item *items, size_t n);
    void (*on_heard)(void *arg, uint64_t now_us);
    char *data_dir, *version, *ops, *proxy;
    char stream[23]; // names our numbering of usage reports
    const struct keys *keys;
    uint64_t lkg_after_us, started_wall_us;
    unsigned n_workers;
    struct outbox *outbox; // thread-safe
    struct loop *loop;
    pthread_t thread;
    bool has_thread;

    // Any thread.
    _Atomic uint64_t *applied; // per worker
    atomic_bool applied_news, usage_due, connected, stopping;
    _Atomic uint64_t stop_at_us;
    pthread_mutex_t lock; // the rest of this group
    struct list leases;   // struct batch
    size_t n_leases;      // items in them
    struct arena health_arena;
    struct message_target_health *targets;
    size_t n_targets;
    uint64_t in_flight;
    struct link_stats shown;

    // Link thread.
    struct peer_config peer_conf;
    struct roster *roster;
    struct sync *sync;
    struct lkg *lkg;
    struct rng rng;
    struct loop_hook hook;
    struct loop_timer tick, sync_timer, lkg_timer, start_timer, stop_timer;
    struct arena arena;
    struct link_stats stats;
    bool transferring, backing_off, lkg_dirty;
    bool ending;          // peers are being freed: their calls end, nothing new is started
    unsigned failures;    // of transfers, in a row
    uint64_t diverged_us; // when we last asked because of a divergence
    unsigned divergences; // in a row
    uint64_t acked_seq;   // told to the control planes
    uint8_t acked_epoch[16];
    bool usage_under_way;
    uint64_t usage_last; // highest report number acknowledged
    bool usage_known;    // usage_last came from a control plane
};

// ---- taking over a new state -------------------------------------------------------------------

static void take_over(struct link *l)
{
    struct snapshot *s = sync_current(l->sync);

    // After a change of epoch sequences begin anew; what workers said before means nothing.
    if (memcmp(l->acked_epoch, sync_epoch(l->sync), sizeof(l->acked_epoch)) != 0) {
        for (unsigned i = 0; i < l->n_workers; i++) {
            atomic_store(&l->applied[i], 0);
        }
        memcpy(l->acked_epoch, sync_epoch(l->sync), sizeof(l->acked_epoch));
        l->acked_seq = 0;
    }
    l->stats.seq = sync_seq(l->sync);
    l->stats.resource_errors = sync_error_count(l->sync);
    l->on_snapshot(l->arg, s);
    if (l->lkg != NULL && !l->lkg_dirty && !l->stats.from_file) {
        l->lkg_dirty = true;
        loop_timer_set(l->loop, &l->lkg_timer, loop_now_us(l->loop) + LKG_EVERY_US);
    }
    snapshot_reap();
}

static void on_lkg_timer(struct loop_timer *t)
{
    struct link *l = container_of(t, struct link, lkg_timer);

    if (lkg_is_busy(l->lkg)) { // a large state on a slow disk
        loop_timer_set(l->loop, t, loop_now_us(l->loop) + LKG_EVERY_US);
        return;
    }
    l->lkg_dirty = false;
    lkg_save(l->lkg, sync_current(l->sync));
}

// No control plane has answered in the first moment.
static void on_start_timer(struct loop_timer *t)
{
    struct link *l = container_of(t, struct link, start_timer);
    struct snapshot *s;
    struct err e = {0};

    if (sync_current(l->sync) != NULL || l->data_dir == NULL) {
        return;
    }
    s = lkg_load(l->data_dir, l->keys, &e);
    if (s == NULL) {
        if (e.code != ERR_NOT_FOUND) {
            LOG(ERROR, "lkg.refused", LOG_ERR(&e));
        }
        return;
    }
    LOG(WARN, "lkg.used", LOG_UINT("seq", snapshot_seq(s)));
    sync_restore(l->sync, s);
    l->stats.from_file = true;
    take_over(l);
}

// ---- asking for a snapshot ---------------------------------------------------------------------

static void request_chunk(struct link *l);

static void want_sync(struct link *l, uint64_t in_us)
{
    uint64_t due_us = loop_now_us(l->loop) + in_us;

    if (l->transferring || l->backing_off ||
        (l->sync_timer.due_us != 0 && l->sync_timer.due_us <= due_us)) {
        return;
    }
    loop_timer_set(l->loop, &l->sync_timer, due_us);
}

static void want_sync_for_gap(struct link *l)
{
    l->stats.gaps++;
    want_sync(l, sync_current(l->sync) == NULL ? 0 : rng_below(&l->rng, GAP_JITTER_US));
}

// Again and again the same divergence: something a snapshot does not mend. Slower and slower.
static void want_sync_for_divergence(struct link *l)
{
    uint64_t wait_us = MONO_SEC << (l->divergences < 6 ? l->divergences : 6);
    uint64_t now = loop_now_us(l->loop);

    if (l->diverged_us != 0 &&
        now < l->diverged_us + (wait_us < DIVERGED_MAX_US ? wait_us : DIVERGED_MAX_US)) {
        return;
    }
    LOG(WARN, "link.diverged", LOG_UINT("seq", sync_seq(l->sync)));
    l->stats.divergences++;
    l->divergences++;
    l->diverged_us = now;
    want_sync(l, 0);
}

static void transfer_failed(struct link *l, const struct err *e)
{
    uint64_t wait_us = RETRY_MIN_US << (l->failures < 6 ? l->failures : 6);

    if (l->failures == 0 || (e->code == ERR_CONFLICT && l->failures % 12 == 0)) {
        LOG(WARN, "link.sync_failed", LOG_ERR(e));
    }
    l->transferring = false;
    l->failures++;
    wait_us = wait_us < RETRY_MAX_US ? wait_us : RETRY_MAX_US;
    if (e->code == ERR_CONFLICT) {
        wait_us = CONFLICT_RETRY_US;
    }
    l->backing_off = true;
    loop_timer_set(l->loop, &l->sync_timer,
                   loop_now_us(l->loop) + wait_us / 2 + rng_below(&l->rng, wait_us / 2));
    roster_prefer_other(l->roster);
}

static void transfer_ended(struct link *l)
{
    l->transferring = false;
    l->failures = 0;
    l->stats.syncs++;
    l->stats.from_file = false;
    LOG(INFO, "link.synced", LOG_UINT("seq", sync_seq(l->sync)),
        LOG_UINT("refused", sync_error_count(l->sync)));
    take_over(l);
}

static void on_chunk(void *arg, const struct envelope *env, const struct message *m)
{
    struct link *l = arg;
    struct err e = {0};

    if (l->ending) {
        return;
    }
    if (m == NULL || m->type != MESSAGE_SYNC_CHUNK) {
        err_set(&e, ERR_UNAVAILABLE, "%s",
                m == NULL                    ? "no answer in time"
                : m->type == MESSAGE_REFUSAL ? m->u.refusal.message
                                             : "unexpected answer");
        transfer_failed(l, &e);
        return;
    }
    switch (sync_transfer_chunk(l->sync, env->epoch, &m->u.sync_chunk, &e)) {
    case SYNC_TRANSFER_MORE:
        request_chunk(l);
        break;
    case SYNC_TRANSFER_DONE:
        transfer_ended(l);
        break;
    case SYNC_TRANSFER_BAD:
        transfer_failed(l, &e);
        break;
    }
}

static void request_chunk(struct link *l)
{
    const struct message m = {MESSAGE_SYNC_REQUEST,
                              {.sync_request = {
                                   .proxy = l->proxy,
                                   .snapshot = sync_transfer_snapshot(l->sync),
                                   .chunk = sync_transfer_next(l->sync),
                                   .have_digest = sync_digest(l->sync),
                               }}};
    struct peer *p = roster_preferred(l->roster);

    if (p == NULL || !peer_call(p, &m, SYNC_US, on_chunk, l)) {
        struct err e;

        err_set(&e, ERR_UNAVAILABLE, "no control plane is connected");
        transfer_failed(l, &e);
    }
}

static void on_sync_timer(struct loop_timer *t)
{
    struct link *l = container_of(t, struct link, sync_timer);
    bool was_failing = l->backing_off;

    l->backing_off = false;
    // The missing delta may have come meanwhile.
    if (!was_failing && l->divergences == 0 && l->stats.control_seq != 0 &&
        sync_seq(l->sync) >= l->stats.control_seq) {
        return;
    }
    if (roster_preferred(l->roster) == NULL) {
        return; // the next session compares states anyway
    }
    sync_transfer_begin(l->sync);
    l->transferring = true;
    request_chunk(l);
}

// ---- what peers tell ---------------------------------------------------------------------------

static void on_have(void *arg, struct peer_have *ret)
{
    const struct link *l = arg;

    memcpy(ret->epoch, sync_epoch(l->sync), sizeof(ret->epoch));
    ret->seq = sync_seq(l->sync);
    ret->digest = sync_digest(l->sync);
}

static void note_control_seq(struct link *l, const uint8_t epoch[16], uint64_t seq)
{
    if (sync_current(l->sync) == NULL || memcmp(epoch, sync_epoch(l->sync), 16) != 0) {
        l->stats.control_seq = 0; // not comparable with ours
    } else if (seq > l->stats.control_seq) {
        l->stats.control_seq = seq;
    }
}

static void compare(struct link *l, const uint8_t epoch[16], uint64_t seq, uint64_t digest)
{
    note_control_seq(l, epoch, seq);
    switch (sync_compare(l->sync, epoch, seq, digest)) {
    case SYNC_GAP:
        want_sync_for_gap(l);
        break;
    case SYNC_DIVERGED:
        want_sync_for_divergence(l);
        break;
    case SYNC_NOTHING:
        if (seq == sync_seq(l->sync)) {
            l->divergences = 0;
        }
        break;
    case SYNC_ADVANCED:
    case SYNC_BAD:
        break;
    }
}

static void on_delta(struct link *l, const struct envelope *env, struct slice body)
{
    struct err e = {0};

    note_control_seq(l, env->epoch, env->seq);
    switch (sync_delta(l->sync, env->epoch, body, &e)) {
    case SYNC_ADVANCED:
        l->stats.deltas++;
        l->stats.from_file = false;
        take_over(l);
        break;
    case SYNC_GAP:
        want_sync_for_gap(l);
        break;
    case SYNC_BAD:
        LOG(ERROR, "link.bad_delta", LOG_UINT("seq", env->seq), LOG_ERR(&e));
        want_sync_for_gap(l);
        break;
    case SYNC_NOTHING:
    case SYNC_DIVERGED:
        break;
    }
}

static void heard(struct link *l)
{
    l->stats.heard_us = loop_now_us(l->loop);
    if (l->on_heard != NULL) {
        l->on_heard(l->arg, l->stats.heard_us);
    }
}

static void on_broadcast(void *arg, struct peer *p, const struct envelope *env, struct slice body)
{
    struct link *l = arg;
    struct message m;

    (void)p;
    heard(l);
    if (env->type == MESSAGE_DELTA) {
        on_delta(l, env, body);
    } else if (env->type == MESSAGE_HEARTBEAT) {
        arena_reset(&l->arena);
        if (message_decode(MESSAGE_HEARTBEAT, body, &l->arena, &m, NULL)) {
            compare(l, env->epoch, m.u.heartbeat.seq, m.u.heartbeat.digest);
        }
    } // other types: of a later version
}

static void send_report(struct link *l, struct peer *p, bool with_targets);
static void send_usage(struct link *l);

static void on_session(void *arg, struct peer *p, const struct envelope *env,
                       const struct message_sync_chunk *c)
{
    struct link *l = arg;
    char at[ENDPOINT_TEXT_MAX];

    endpoint_format(peer_endpoint(p), at);
    LOG(INFO, "link.connected", LOG_STR("control", at), LOG_UINT("seq", c->seq));
    heard(l);
    roster_note(l->roster);
    atomic_store(&l->connected, true);
    compare(l, env->epoch, c->seq, c->digest);
    send_report(l, p, true);
    send_usage(l);
}

static void on_lost(void *arg, struct peer *p)
{
    struct link *l = arg;
    char at[ENDPOINT_TEXT_MAX];

    endpoint_format(peer_endpoint(p), at);
    LOG(WARN, "link.lost", LOG_STR("control", at));
    roster_note(l->roster);
    atomic_store(&l->connected, roster_preferred(l->roster) != NULL);
}

// ---- reports -----------------------------------------------------------------------------------

// What all workers serve from; 0: nothing yet.
static uint64_t applied_by_all(const struct link *l)
{
    uint64_t min = sync_seq(l->sync);

    for (unsigned i = 0; i < l->n_workers; i++) {
        uint64_t seq = atomic_load(&l->applied[i]);

        min = seq < min ? seq : min;
    }
    return min;
}

static const struct message_target_health *copy_targets(struct link *l, size_t *ret_n)
{
    struct message_target_health *copy;

    CHECK(pthread_mutex_lock(&l->lock) == 0);
    copy = arena_alloc(&l->arena, l->n_targets * sizeof(*copy) + 1);
    for (size_t i = 0; i < l->n_targets; i++) {
        copy[i] = l->targets[i];
        copy[i].provider = arena_strdup(&l->arena, copy[i].provider);
        copy[i].model = arena_strdup(&l->arena, copy[i].model);
        copy[i].key_id = arena_strdup(&l->arena, copy[i].key_id);
        copy[i].endpoint = arena_strdup(&l->arena, copy[i].endpoint);
        copy[i].reason = arena_strdup(&l->arena, copy[i].reason);
    }
    *ret_n = l->n_targets;
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    return copy;
}

static void send_report(struct link *l, struct peer *p, bool with_targets)
{
    struct message m = {MESSAGE_REPORT,
                        {.report = {
                             .proxy = l->proxy,
                             .version = l->version,
                             .ops = l->ops,
                             .started_wall_us = l->started_wall_us,
                             .workers = l->n_workers,
                             .has_targets = with_targets,
                         }}};
    struct peer_have as_of;

    on_have(l, &as_of);
    as_of.seq = applied_by_all(l);
    m.u.report.digest = as_of.seq == sync_seq(l->sync) ? as_of.digest : 0;
    arena_reset(&l->arena);
    m.u.report.errors = sync_errors(l->sync, &l->arena, ERRORS_MAX, &m.u.report.n_errors);
    if (with_targets) {
        m.u.report.targets = copy_targets(l, &m.u.report.n_targets);
    }
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    m.u.report.in_flight = l->in_flight;
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    (void)!peer_push(p, &m, &as_of); // lost: the next one is a second away
}

static void on_each_report(void *ctx, struct peer *p)
{
    send_report(ctx, p, true);
}

static void on_each_ack(void *ctx, struct peer *p)
{
    send_report(ctx, p, false);
}

static void acknowledge(struct link *l)
{
    uint64_t seq;

    if (!atomic_exchange(&l->applied_news, false)) {
        return;
    }
    seq = applied_by_all(l);
    if (seq > l->acked_seq) {
        l->acked_seq = seq;
        roster_each(l->roster, on_each_ack, l);
    }
}

// ---- leases ------------------------------------------------------------------------------------

static void batch_free(struct batch *b)
{
    arena_done(&b->arena);
    mem_free(b);
}

// Ends the batches; lost: nobody has answered them.
static void lease_call_end(struct lease_call *c, bool lost)
{
    struct list_node *n;

    while ((n = list_pop_front(&c->batches)) != NULL) {
        struct batch *b = container_of(n, struct batch, node);

        if (lost && c->l->on_lease_lost != NULL) {
            c->l->on_lease_lost(c->l->arg, b->items, b->n);
        }
        batch_free(b);
    }
    mem_free(c);
}

static void on_lease_answer(void *arg, const struct envelope *env, const struct message *m)
{
    struct lease_call *c = arg;
    struct link *l = c->l;
    bool granted = m != NULL && m->type == MESSAGE_LEASE_GRANT;

    (void)env;
    l->stats.lease_timeouts += m == NULL;
    if (granted && l->on_lease != NULL) {
        l->on_lease(l->arg, m->u.lease_grant.grants, m->u.lease_grant.n_grants,
                    loop_now_us(l->loop));
    }
    lease_call_end(c, !granted);
}

// Sends some of the batches as one request; takes those it sends from the list.
static void send_leases(struct link *l, struct list *batches)
{
    struct lease_call *c = mem_zalloc(sizeof(*c));
    struct message m = {MESSAGE_LEASE_REQUEST, {.lease_request = {.proxy = l->proxy}}};
    struct peer *p = roster_preferred(l->roster);
    struct message_lease_item *items;
    size_t n = 0;

    c->l = l;
    list_init(&c->batches);
    arena_reset(&l->arena);
    items = arena_alloc(&l->arena, LEASE_ITEMS * sizeof(*items));
    while (batches->count > 0) {
        struct batch *b = container_of(list_first(batches), struct batch, node);

        if (n + b->n > LEASE_ITEMS) {
            break;
        }
        memcpy(items + n, b->items, b->n * sizeof(*items));
        n += b->n;
        list_remove(batches, &b->node);
        list_push_back(&c->batches, &b->node);
    }
    m.u.lease_request.items = items;
    m.u.lease_request.n_items = n;
    if (p == NULL || !peer_call(p, &m, LEASE_US, on_lease_answer, c)) {
        lease_call_end(c, true);
    }
}

static void take_leases(struct link *l)
{
    struct list batches;
    struct list_node *n;

    list_init(&batches);
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    while ((n = list_pop_front(&l->leases)) != NULL) {
        list_push_back(&batches, n);
    }
    l->n_leases = 0;
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    while (batches.count > 0) {
        send_leases(l, &batches);
    }
}

bool link_lease(struct link *l, const struct message_lease_item *items, size_t n)
{
    struct batch *b;
    bool ok, was_empty = false;

    if (n == 0 || !atomic_load(&l->connected)) {
        return n == 0;
    }
    CHECK(n <= LEASE_ITEMS);
    b = mem_zalloc(sizeof(*b));
    arena_init(&b->arena, 64 + n * 96, 0);
    b->items = arena_alloc(&b->arena, n * sizeof(*b->items));
    b->n = n;
    for (size_t i = 0; i < n; i++) {
        b->items[i] = items[i];
        b->items[i].limit_id = arena_strdup(&b->arena, items[i].limit_id);
    }
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    ok = l->n_leases + n <= LEASES_MAX;
    if (ok) {
        was_empty = l->leases.count == 0;
        list_push_back(&l->leases, &b->node);
        l->n_leases += n;
    }
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    if (!ok) {
        batch_free(b);
    } else if (was_empty) {
        loop_wake(l->loop);
    }
    return ok;
}

// ---- usage -------------------------------------------------------------------------------------

static void on_usage_answer(void *arg, const struct envelope *env, const struct message *m)
{
    struct link *l = arg;

    (void)env;
    l->usage_under_way = false;
    if (l->ending || m == NULL || m->type != MESSAGE_USAGE_ACK) {
        return; // the tick sends it again, to whoever is preferred then
    }
    l->usage_last = m->u.usage_ack.last;
    l->usage_known = true;
    outbox_acked(l->outbox, l->usage_last, loop_now_us(l->loop));
    send_usage(l);
}

// One report is under way at a time: they are applied in order.
static void send_usage(struct link *l)
{
    struct message m = {MESSAGE_USAGE_REPORT, {.usage_report = {.number = 0}}};
    struct peer *p = roster_preferred(l->roster);

    if (l->usage_under_way || p == NULL) {
        return;
    }
    arena_reset(&l->arena);
    if (!outbox_next(l->outbox, &l->arena, &m.u.usage_report)) {
        return;
    }
    m.u.usage_report.proxy = l->proxy;
    m.u.usage_report.stream = l->stream;
    l->usage_under_way = peer_call(p, &m, USAGE_US, on_usage_answer, l);
}

bool link_usage(struct link *l, const struct message_usage_record *r)
{
    bool due, ok = outbox_add(l->outbox, r, &due);

    if (due) {
        atomic_store(&l->usage_due, true);
        loop_wake(l->loop);
    }
    return ok;
}

// ---- the loop ----------------------------------------------------------------------------------

static void show_stats(struct link *l)
{
    struct outbox_stats usage;

    outbox_stats(l->outbox, &usage);
    l->stats.connected = roster_preferred(l->roster) != NULL;
    l->stats.usage_pending = usage.pending;
    l->stats.usage_lost = usage.lost;
    l->stats.usage_acked = usage.acked;
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    l->shown = l->stats;
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
}

static void check_stop(struct link *l)
{
    uint64_t at_us = atomic_load(&l->stop_at_us);

    if (!atomic_load(&l->stopping)) {
        return;
    }
    outbox_close(l->outbox);
    send_usage(l);
    if (outbox_is_empty(l->outbox) || mono_now_us() >= at_us) {
        loop_stop(l->loop);
    } else if (l->stop_timer.due_us == 0) {
        loop_timer_set(l->loop, &l->stop_timer, at_us);
    }
}

// After each turn: what other threads left for us.
static bool on_turn(struct loop_hook *h, uint64_t *ret_next_us)
{
    struct link *l = container_of(h, struct link, hook);

    *ret_next_us = UINT64_MAX;
    take_leases(l);
    acknowledge(l);
    if (atomic_exchange(&l->usage_due, false)) {
        outbox_close(l->outbox);
        send_usage(l);
    }
    check_stop(l);
    show_stats(l);
    return false;
}

static void on_tick(struct loop_timer *t)
{
    struct link *l = container_of(t, struct link, tick);
    uint64_t now = loop_now_us(l->loop);

    roster_each(l->roster, on_each_report, l);
    if (l->usage_known) {
        outbox_acked(l->outbox, l->usage_last, now); // forgets what is old enough
    }
    outbox_close(l->outbox);
    send_usage(l);
    snapshot_reap();
    loop_timer_set(l->loop, &l->tick, now + MONO_SEC);
}

static void on_stop_timer(struct loop_timer *t)
{
    (void)t; // check_stop runs after every turn
}

static void teardown(struct link *l)
{
    l->ending = true;
    loop_timer_cancel(l->loop, &l->tick);
    roster_free(&l->roster); // ends all calls
    loop_timer_cancel(l->loop, &l->sync_timer);
    loop_timer_cancel(l->loop, &l->lkg_timer);
    loop_timer_cancel(l->loop, &l->start_timer);
    loop_timer_cancel(l->loop, &l->stop_timer);
    if (l->lkg_dirty) {
        lkg_save(l->lkg, sync_current(l->sync));
    }
    lkg_free(&l->lkg);
    sync_free(&l->sync);
    snapshot_reap();
}

static void *thread_main(void *arg)
{
    struct link *l = arg;

    proc_name_thread("sluice-link");
    loop_hook_add(l->loop, &l->hook);
    loop_timer_set(l->loop, &l->tick, loop_now_us(l->loop) + MONO_SEC);
    loop_timer_set(l->loop, &l->start_timer, loop_now_us(l->loop) + l->lkg_after_us);
    roster_start(l->roster);
    loop_run(l->loop);
    loop_hook_remove(l->loop, &l->hook);
    teardown(l);
    return NULL;
}

// ---- life --------------------------------------------------------------------------------------

static bool is_fit_proxy_id(struct slice s)
{
    if (s.n == 0 || s.n > PROXY_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (memchr("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-", s.p[i],
                   65) == NULL) {
            return false;
        }
    }
    return true;
}

// The id kept in the data directory, made when there is none.
static bool find_proxy_id(struct link *l, const char *given, struct err *e)
{
    char path[4096], id[PROXY_ID_MAX + 1] = "p-";
    struct buf b;
    bool ok = true;

    crypto_random_id(id + 2, 12);
    if (given != NULL) {
        ok = is_fit_proxy_id(slice_str(given));
        l->proxy = mem_strdup(given);
        return ok ||
               err_set(e, ERR_INVALID, "proxy id: 1 to %u of A-Z a-z 0-9 . _ -", PROXY_ID_MAX);
    }
    if (l->data_dir != NULL) {
        int n = snprintf(path, sizeof(path), "%s/proxy-id", l->data_dir);

        if (n < 0 || (size_t)n >= sizeof(path)) {
            return err_set(e, ERR_INVALID, "%s: path too long", l->data_dir);
        }
        buf_init(&b, 1024);
        if (proc_read_file(path, 256, &b, NULL) && is_fit_proxy_id(slice_trim(buf_slice(&b)))) {
            struct slice s = slice_trim(buf_slice(&b));

            memcpy(id, s.p, s.n);
            id[s.n] = '\0';
        } else {
            ok = proc_write_file(path, slice_str(id), 0600, e);
        }
        buf_done(&b);
    }
    l->proxy = mem_strdup(id);
    return ok;
}

static void free_all(struct link *l)
{
    struct list_node *n;

    if (l->loop != NULL && !l->has_thread) { // never ran: nobody has torn it down
        teardown(l);
    }
    while ((n = list_pop_front(&l->leases)) != NULL) {
        batch_free(container_of(n, struct batch, node));
    }
    loop_free(&l->loop);
    outbox_free(&l->outbox);
    arena_done(&l->arena);
    arena_done(&l->health_arena);
    (void)pthread_mutex_destroy(&l->lock);
    mem_free(l->applied);
    mem_free(l->data_dir);
    mem_free(l->version);
    mem_free(l->ops);
    mem_free(l->proxy);
    mem_free(l);
}

static void copy_config(struct link *l, const struct link_config *c)
{
    l->arg = c->arg;
    l->on_snapshot = c->on_snapshot;
    l->on_lease = c->on_lease;
    l->on_lease_lost = c->on_lease_lost;
    l->on_heard = c->on_heard;
    l->keys = c->keys;
    l->data_dir = mem_strdup(c->data_dir);
    l->version = mem_strdup(c->version == NULL ? "" : c->version);
    l->ops = mem_strdup(c->ops == NULL ? "" : c->ops);
    l->lkg_after_us = c->lkg_after_us == 0 ? LKG_AFTER_US : c->lkg_after_us;
    l->n_workers = c->n_workers;
    l->started_wall_us = mono_wall_us();
}

static void init_parts(struct link *l)
{
    l->applied = mem_zalloc_array(l->n_workers, sizeof(*l->applied));
    l->outbox = outbox_new(USAGE_BYTES_MAX);
    l->sync = sync_new();
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    list_init(&l->leases);
    arena_init(&l->health_arena, 1024, 0);
    arena_init(&l->arena, 64 * 1024, 0);
    rng_init(&l->rng, 0);
    crypto_random_id(l->stream, sizeof(l->stream) - 1);
    l->hook.fn = on_turn;
    l->tick.fn = on_tick;
    l->sync_timer.fn = on_sync_timer;
    l->lkg_timer.fn = on_lkg_timer;
    l->start_timer.fn = on_start_timer;
    l->stop_timer.fn = on_stop_timer;
    l->peer_conf = (struct peer_config){
        .loop = l->loop,
        .keys = l->keys,
        .proxy = l->proxy,
        .arg = l,
        .have = on_have,
        .on_session = on_session,
        .on_broadcast = on_broadcast,
        .on_lost = on_lost,
        .verdicts = l->stats.verdicts,
    };
    crypto_random(l->peer_conf.self, sizeof(l->peer_conf.self));
}

struct link *link_new(const struct link_config *c, struct err *e)
{
    struct link *l = mem_zalloc(sizeof(*l));
    bool ok;

    CHECK(c->n_workers >= 1 && c->n_workers <= WORKERS_MAX && c->on_snapshot != NULL);
    copy_config(l, c);
    ok = find_proxy_id(l, c->proxy_id, e);
    l->loop = ok ? loop_new(e) : NULL;
    init_parts(l);
    if (l->loop != NULL) {
        l->roster = roster_new(l->loop, &l->peer_conf, c->endpoints, c->n_endpoints, e);
    }
    if (l->roster != NULL && l->data_dir != NULL) {
        l->lkg = lkg_new(l->data_dir, l->keys, e);
    }
    if (l->roster == NULL || (l->data_dir != NULL && l->lkg == NULL)) {
        if (l->loop == NULL) {
            sync_free(&l->sync);
        }
        free_all(l);
        return NULL;
    }
    return l;
}

bool link_start(struct link *l, struct err *e)
{
    sigset_t all, before;
    int rc;

    // Signals are for main; nanomsg's threads, made from ours, inherit this too.
    CHECK(sigfillset(&all) == 0);
    CHECK(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    rc = pthread_create(&l->thread, NULL, thread_main, l);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    l->has_thread = rc == 0;
    return rc == 0 || err_set(e, ERR_UNAVAILABLE, "link thread: %s", strerror(rc));
}

void link_stop(struct link **lp, uint64_t flush_us)
{
    struct link *l = *lp;

    if (l == NULL) {
        return;
    }
    if (l->has_thread) {
        atomic_store(&l->stop_at_us, mono_now_us() + flush_us);
        atomic_store(&l->stopping, true);
        loop_wake(l->loop);
        CHECK(pthread_join(l->thread, NULL) == 0);
    }
    *lp = NULL; // only now: callbacks may have looked at it
    free_all(l);
}

// ---- other threads -----------------------------------------------------------------------------

void link_applied(struct link *l, unsigned worker, uint64_t seq)
{
    CHECK(worker < l->n_workers);
    atomic_store(&l->applied[worker], seq);
    atomic_store(&l->applied_news, true);
    loop_wake(l->loop);
}

void link_health(struct link *l, uint64_t in_flight, const struct message_target_health *targets,
                 size_t n)
{
    n = n < TARGETS_MAX ? n : TARGETS_MAX;
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    arena_reset(&l->health_arena);
    l->targets = arena_alloc(&l->health_arena, n * sizeof(*l->targets) + 1);
    for (size_t i = 0; i < n; i++) {
        struct message_target_health *t = &l->targets[i];

        *t = targets[i];
        t->provider = arena_strdup(&l->health_arena, targets[i].provider);
        t->model = arena_strdup(&l->health_arena, targets[i].model);
        t->key_id = arena_strdup(&l->health_arena, targets[i].key_id);
        t->endpoint = arena_strdup(&l->health_arena, targets[i].endpoint);
        t->reason = arena_strdup(&l->health_arena, targets[i].reason);
    }
    l->n_targets = n;
    l->in_flight = in_flight;
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
}

void link_stats(struct link *l, struct link_stats *ret)
{
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    *ret = l->shown;
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
}

const char *link_proxy_id(const struct link *l)
{
    return l->proxy;
}
