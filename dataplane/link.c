// SPDX-License-Identifier: Apache-2.0
// The link's thread: what comes in goes through `sync` and becomes snapshots, what goes out is
// collected from other threads and sent once a turn.
//
//   peers --delta, heartbeat--> sync --ADVANCED--> on_snapshot (in force) --> lkg, 1 s later
//                                 |                        |
//                                GAP, DIVERGED             v
//                                 v                    report to every control plane (fleet)
//                               pull: snapshot
//
//   other threads: link_lease, link_usage, link_health --> on_turn (loop hook)
//
// Here: the thread, its owner's callbacks, what other threads call. What comes in is taken over by
// link_state.c, what goes out said by link_report.c. The parts: peer (one control plane), roster
// (all of them), sync (what a message means), pull (asking for snapshots), lkg (the file), asks
// (leases), outbox (usage), vitals (health).
#include "dataplane/link.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/crypto.h"
#include "common/io/loop.h"
#include "common/io/proc.h"
#include "dataplane/link_priv.h"

#define LKG_AFTER_US (50 * MONO_MS)

// ---- callbacks ---------------------------------------------------------------------------------

static void call_heard(struct link *l, uint64_t now_us)
{
    if (link_may_call(l) && l->on_heard != NULL) {
        l->on_heard(l->arg, now_us);
    }
    link_called(l);
}

static void call_probes(struct link *l, const struct message_probe *probes, size_t n)
{
    if (link_may_call(l) && l->on_probes != NULL) {
        l->on_probes(l->arg, probes, n, loop_now_us(l->loop));
    }
    link_called(l);
}

void link_mute(struct link *l)
{
    if (l != NULL) {
        CHECK(pthread_mutex_lock(&l->callback_lock) == 0);
        l->muted = true;
        CHECK(pthread_mutex_unlock(&l->callback_lock) == 0);
    }
}

// ---- what peers tell ---------------------------------------------------------------------------

static void heard(struct link *l)
{
    l->stats.heard_us = loop_now_us(l->loop);
    call_heard(l, l->stats.heard_us);
}

static void on_broadcast(void *arg, struct peer *p, const struct envelope *env, struct slice body)
{
    struct link *l = arg;
    struct message m;

    (void)p;
    heard(l);
    if (env->type == MESSAGE_DELTA) {
        link_state_delta(l, env, body);
    } else if (env->type == MESSAGE_HEARTBEAT) {
        arena_reset(&l->arena);
        if (message_decode(MESSAGE_HEARTBEAT, body, &l->arena, &m, NULL)) {
            link_state_compare(l, env->epoch, m.u.heartbeat.seq, m.u.heartbeat.digest);
            if (m.u.heartbeat.live != 0) {
                l->stats.live = m.u.heartbeat.live;
            }
        }
    } else if (env->type == MESSAGE_PROBES) {
        arena_reset(&l->arena);
        if (message_decode(MESSAGE_PROBES, body, &l->arena, &m, NULL)) {
            call_probes(l, m.u.probes.probes, m.u.probes.n_probes);
        }
    } else {
        l->stats.unknown++; // of a later version
    }
}

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
    link_state_compare(l, env->epoch, c->seq, c->digest);
    link_report_send(l, p, true);
    link_report_usage(l, false);
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

// ---- the loop ----------------------------------------------------------------------------------

static void show_stats(struct link *l)
{
    struct outbox_stats usage;
    struct pull_stats pulled;

    outbox_stats(l->outbox, &usage);
    pull_stats(l->pull, &pulled);
    l->stats.syncs = pulled.syncs;
    l->stats.gaps = pulled.gaps;
    l->stats.divergences = pulled.divergences;
    l->stats.connected = roster_preferred(l->roster) != NULL;
    l->stats.lease_timeouts = asks_timeouts(l->asks);
    l->stats.usage_pending = usage.pending;
    l->stats.usage_lost = usage.lost;
    l->stats.usage_acked = usage.acked;
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    l->shown = l->stats;
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
}

// Between two turns nothing holds on to the old ones.
static void take_keys(struct link *l)
{
    struct keys *fresh;
    bool resealed;

    if (!atomic_load(&l->keys_news)) {
        return;
    }
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    fresh = l->next_keys;
    l->next_keys = NULL;
    atomic_store(&l->keys_news, false);
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    resealed = keys_current(fresh) != keys_current(l->keys);
    keys_unref(&l->keys);
    l->keys = fresh;
    l->peer_conf.keys = fresh;
    if (l->lkg != NULL) {
        lkg_set_keys(l->lkg, fresh);
        if (resealed && sync_current(l->sync) != NULL) {
            lkg_save(l->lkg, sync_current(l->sync));
        }
    }
}

static void check_stop(struct link *l)
{
    uint64_t at_us = atomic_load(&l->stop_at_us);

    if (!atomic_load(&l->stopping)) {
        return;
    }
    outbox_close(l->outbox);
    link_report_usage(l, false);
    if ((outbox_is_empty(l->outbox) && asks_is_idle(l->asks)) || mono_now_us() >= at_us) {
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
    take_keys(l);
    asks_send(l->asks, l->roster);
    link_report_acknowledge(l);
    if (atomic_exchange(&l->usage_due, false)) {
        outbox_close(l->outbox);
        link_report_usage(l, false);
    }
    check_stop(l);
    show_stats(l);
    return false;
}

static void on_tick(struct loop_timer *t)
{
    struct link *l = container_of(t, struct link, tick);
    uint64_t now = loop_now_us(l->loop);

    link_report_second(l);
    journal_tick(l->journal);
    snapshot_reap();
    loop_timer_set(l->loop, &l->tick, now + MONO_SEC);
}

// No control plane has answered in the first moment.
static void on_start_timer(struct loop_timer *t)
{
    link_state_load(container_of(t, struct link, start_timer));
}

static void on_stop_timer(struct loop_timer *t)
{
    (void)t; // check_stop runs after every turn
}

static void teardown(struct link *l)
{
    l->ending = true;
    loop_timer_cancel(l->loop, &l->tick);
    if (l->pull != NULL) {
        pull_end(l->pull);
    }
    roster_free(&l->roster); // ends all calls
    pull_free(&l->pull);
    loop_timer_cancel(l->loop, &l->start_timer);
    loop_timer_cancel(l->loop, &l->stop_timer);
    lkg_free(&l->lkg);
    sync_free(&l->sync);
    snapshot_reap();
}

static void *thread_main(void *arg)
{
    struct link *l = arg;

    uint8_t epoch[16];

    proc_name_thread("sluice-link");
    if (l->data_dir != NULL && lkg_epoch(l->data_dir, l->keys, epoch)) {
        sync_expect(l->sync, epoch);
    }
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

static void free_all(struct link *l)
{
    if (l->loop != NULL && !l->has_thread) { // never ran: nobody has torn it down
        teardown(l);
    }
    loop_free(&l->loop);
    outbox_free(&l->outbox);
    journal_close(&l->journal);
    asks_free(&l->asks);
    vitals_free(&l->vitals);
    arena_done(&l->arena);
    (void)pthread_mutex_destroy(&l->lock);
    (void)pthread_mutex_destroy(&l->callback_lock);
    keys_unref(&l->keys);
    keys_unref(&l->next_keys);
    mem_free(l->data_dir);
    mem_free(l->version);
    mem_free(l->ops);
    mem_free(l->holder);
    mem_free(l->proxy);
    mem_free(l);
}

static void copy_config(struct link *l, const struct link_config *c)
{
    l->arg = c->arg;
    l->on_snapshot = c->on_snapshot;
    l->on_heard = c->on_heard;
    l->on_probes = c->on_probes;
    l->keys = keys_ref(c->keys);
    l->data_dir = mem_strdup(c->data_dir);
    l->version = mem_strdup(c->version == NULL ? "" : c->version);
    l->ops = mem_strdup(c->ops == NULL ? "" : c->ops);
    l->holder = mem_strdup(c->holder == NULL ? "" : c->holder);
    l->lkg_after_us = c->lkg_after_us == 0 ? LKG_AFTER_US : c->lkg_after_us;
    l->n_workers = c->n_workers;
    l->started_wall_us = mono_wall_us();
}

// Without a journal on disk requests are served all the same.
static struct journal *open_journal(const char *dir)
{
    struct err e = {0};
    struct journal *j = journal_open(dir, JOURNAL_RING_BYTES, &e);

    if (j == NULL && dir != NULL) {
        LOG(ERROR, "link.no_journal", LOG_ERR(&e),
            LOG_STR("meaning", "usage not yet reported is lost when this process is killed"));
        j = journal_open(NULL, JOURNAL_RING_BYTES, &e);
    }
    CHECK(j != NULL); // memory
    return j;
}

static void init_parts(struct link *l, const struct link_config *c)
{
    const struct asks_config ac = {l->loop, l->proxy,    l->holder,
                                   c->arg,  c->on_lease, c->on_lease_lost};

    l->journal = open_journal(l->data_dir);
    l->outbox = outbox_new(l->journal);
    l->sync = sync_new();
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    CHECK(pthread_mutex_init(&l->callback_lock, NULL) == 0);
    l->asks = asks_new(&ac);
    l->vitals = vitals_new();
    arena_init(&l->arena, 64 * 1024, 0);
    l->hook.fn = on_turn;
    l->tick.fn = on_tick;
    l->start_timer.fn = on_start_timer;
    l->stop_timer.fn = on_stop_timer;
    l->peer_conf = (struct peer_config){
        .loop = l->loop,
        .keys = l->keys,
        .proxy = l->proxy,
        .arg = l,
        .have = link_state_have,
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

    CHECK(c->on_snapshot != NULL);
    copy_config(l, c);
    l->proxy = vitals_proxy_id(c->proxy_id, l->data_dir, e);
    l->loop = l->proxy == NULL ? NULL : loop_new(e);
    init_parts(l, c);
    if (l->loop != NULL) {
        l->roster = roster_new(l->loop, &l->peer_conf, c->endpoints, c->n_endpoints, e);
    }
    if (l->roster != NULL) {
        l->pull = pull_new(&(const struct pull_config){l->loop, l->sync, l->roster, l->proxy, l,
                                                       link_state_pulled});
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

bool link_lease(struct link *l, const struct message_lease_item *items, size_t n)
{
    bool ok, first;

    if (n == 0 || !atomic_load(&l->connected)) {
        return n == 0;
    }
    ok = asks_add(l->asks, items, n, &first);
    if (first) {
        loop_wake(l->loop);
    }
    return ok;
}

uint32_t link_attempt(struct link *l, uint32_t slot, const struct message_usage_record *so_far)
{
    return journal_begin(l->journal, slot, so_far);
}

bool link_usage(struct link *l, const struct message_usage_record *r)
{
    return link_finish(l, 0, r);
}

bool link_finish(struct link *l, uint32_t slot, const struct message_usage_record *r)
{
    bool due, ok = outbox_add(l->outbox, slot, r, &due);

    if (due) {
        atomic_store(&l->usage_due, true);
        loop_wake(l->loop);
    }
    return ok;
}

void link_health(struct link *l, uint64_t in_flight, const struct message_target_health *targets,
                 size_t n)
{
    vitals_set(l->vitals, in_flight, targets, n);
}

void link_set_keys(struct link *l, struct keys *keys)
{
    struct keys *old;

    CHECK(pthread_mutex_lock(&l->lock) == 0);
    old = l->next_keys;
    l->next_keys = keys_ref(keys);
    atomic_store(&l->keys_news, true); // with the lock held: true means that there are some
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    keys_unref(&old);
    loop_wake(l->loop);
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
