// SPDX-License-Identifier: Apache-2.0
// The state a proxy serves by: from what control planes tell, or from the last-known-good file, to
// what is in force.
//
//   lkg file, if nobody answers at start -----------.
//   delta --sync_delta--> fits ---------------------+--> take_over: on_snapshot, then it is
//     |                                             |    acknowledged, and kept in the file
//     `-----------------> fits not ------.          |
//   heartbeat, session --sync_compare--> pull ------'
//                         (behind, or other content)
//
// All of it on the link's thread.
#include <string.h>

#include "common/base/log.h"
#include "dataplane/link_priv.h"

static void call_snapshot(struct link *l, struct snapshot *s)
{
    if (link_may_call(l)) {
        l->on_snapshot(l->arg, s);
    }
    link_called(l);
}

static void take_over(struct link *l)
{
    struct snapshot *s = sync_current(l->sync);

    l->stats.resource_errors = sync_error_count(l->sync);
    call_snapshot(l, s);
    l->ack_due = true;
    if (l->lkg != NULL && !l->stats.from_file) {
        lkg_save_soon(l->lkg, s);
    }
    snapshot_reap();
}

void link_state_load(struct link *l)
{
    struct snapshot *s;
    struct err e = {0};
    bool stale = false;

    if (sync_current(l->sync) != NULL || l->data_dir == NULL) {
        return;
    }
    s = lkg_load(l->data_dir, l->keys, &stale, &e);
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
    if (stale) { // the secret it is sealed with may be taken away before anything else changes
        lkg_save(l->lkg, s);
    }
}

void link_state_pulled(void *arg)
{
    struct link *l = arg;

    l->stats.from_file = false;
    take_over(l);
}

static void note_control_seq(struct link *l, const uint8_t epoch[16], uint64_t seq)
{
    if (sync_current(l->sync) == NULL || memcmp(epoch, sync_epoch(l->sync), 16) != 0) {
        l->stats.control_seq = 0; // not comparable with ours
    } else if (seq > l->stats.control_seq) {
        l->stats.control_seq = seq;
    }
}

void link_state_compare(struct link *l, const uint8_t epoch[16], uint64_t seq, uint64_t digest)
{
    note_control_seq(l, epoch, seq);
    switch (sync_compare(l->sync, epoch, seq, digest)) {
    case SYNC_GAP:
        pull_gap(l->pull, epoch, seq);
        break;
    case SYNC_DIVERGED:
        pull_diverged(l->pull);
        break;
    case SYNC_NOTHING:
        if (seq == sync_seq(l->sync)) {
            pull_agreed(l->pull);
        }
        break;
    case SYNC_ADVANCED:
    case SYNC_BAD:
        break;
    }
}

void link_state_delta(struct link *l, const struct envelope *env, struct slice body)
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
        pull_gap(l->pull, env->epoch, env->seq);
        break;
    case SYNC_BAD:
        LOG(ERROR, "link.bad_delta", LOG_UINT("seq", env->seq), LOG_ERR(&e));
        pull_gap(l->pull, env->epoch, env->seq);
        break;
    case SYNC_NOTHING:
    case SYNC_DIVERGED:
        break;
    }
}

void link_state_have(void *arg, struct peer_have *ret)
{
    const struct link *l = arg;

    memcpy(ret->epoch, sync_epoch(l->sync), sizeof(ret->epoch));
    ret->seq = sync_seq(l->sync);
    ret->digest = sync_digest(l->sync);
}
