// SPDX-License-Identifier: Apache-2.0
// The link as it lies in memory: for link.c (its thread, who calls and is called), link_state.c
// (the state that control planes tell) and link_report.c (what they are told) only. Drawing: top of
// link.c.
#ifndef SLUICE_DATAPLANE_LINK_PRIV_H
#define SLUICE_DATAPLANE_LINK_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/io/loop.h"
#include "dataplane/asks.h"
#include "dataplane/journal.h"
#include "dataplane/link.h"
#include "dataplane/lkg.h"
#include "dataplane/outbox.h"
#include "dataplane/peer.h"
#include "dataplane/pull.h"
#include "dataplane/roster.h"
#include "dataplane/sync.h"
#include "dataplane/vitals.h"

struct link {
    // Set before the thread starts, then constant.
    void *arg; // callbacks: called with callback_lock held, not when muted
    void (*on_snapshot)(void *arg, struct snapshot *s);
    void (*on_probes)(void *arg, const struct message_probe *probes, size_t n, uint64_t now_us);
    void (*on_heard)(void *arg, uint64_t now_us);
    char *data_dir, *version, *ops, *proxy, *holder; // owned
    uint64_t lkg_after_us, started_wall_us;
    unsigned n_workers;
    struct journal *journal; // these four are for any thread
    struct outbox *outbox;
    struct asks *asks;
    struct vitals *vitals;
    struct loop *loop;
    pthread_t thread;
    bool has_thread;

    // Any thread.
    atomic_bool usage_due, connected, stopping;
    _Atomic uint64_t stop_at_us;
    pthread_mutex_t lock;
    struct link_stats shown; // under the lock
    struct keys *next_keys;  // under the lock; one reference; NULL: none new
    atomic_bool keys_news;
    pthread_mutex_t callback_lock;
    bool muted; // under the callback lock

    // Link thread.
    struct keys *keys; // one reference
    struct peer_config peer_conf;
    struct roster *roster;
    struct sync *sync;
    struct lkg *lkg;
    struct pull *pull;
    struct loop_hook hook;
    struct loop_timer tick, start_timer, stop_timer;
    struct arena arena; // one message that is read or made; link_report.c begins it anew
    struct link_stats stats;
    bool ending;              // peers are being freed: their calls end, nothing new is started
    bool ack_due;             // a state came into force in this turn
    bool usage_under_way;     // these three: link_report.c only
    uint64_t usage_sent;      // number of the report under way
    uint64_t usage_said_lost; // records, as logged
};

// Around each call of a callback of the owner. False: muted, none may be made; to be ended all the
// same. Link thread.
static inline bool link_may_call(struct link *l)
{
    CHECK(pthread_mutex_lock(&l->callback_lock) == 0);
    return !l->muted;
}

static inline void link_called(struct link *l)
{
    CHECK(pthread_mutex_unlock(&l->callback_lock) == 0);
}

// ---- link_state.c (link thread) ----------------------------------------------------------------

// Takes over the state in the last-known-good file, unless there is one already, no file, or one
// that is refused (logged).
void link_state_load(struct link *l);
// A control plane has this state: a whole snapshot is pulled when ours is older or differs.
void link_state_compare(struct link *l, const uint8_t epoch[16], uint64_t seq, uint64_t digest);
// A change came. Borrowed for the call; one that does not fit is logged, and a snapshot pulled
// instead.
void link_state_delta(struct link *l, const struct envelope *env, struct slice body);
// arg: struct link. For pull_config: a snapshot has come. For peer_config: what we have.
void link_state_pulled(void *arg);
void link_state_have(void *arg, struct peer_have *ret);

// ---- link_report.c (link thread) ---------------------------------------------------------------

// Tells one control plane what is in force here and how we are; with_targets: and how the providers
// are. If it gets lost, the next one is a second away.
void link_report_send(struct link *l, struct peer *p, bool with_targets);
// Tells all of them if a state came into force since the last call.
void link_report_acknowledge(struct link *l);
// Once a second: tells all of them everything, and usage, also what is not a whole report.
void link_report_second(struct link *l);
// Sends the next usage report unless one is under way or no control plane is connected. ask: with
// nothing to send, asks by an empty report 0 what the last one was, as long as a store that lost
// its tail could be helped.
void link_report_usage(struct link *l, bool ask);

#endif
