// SPDX-License-Identifier: Apache-2.0
// Asking for snapshots.
//
//   IDLE --gap--> WAITING (random delay) --> TRANSFERRING --last chunk--> IDLE
//                    |                            |
//         the delta came after all          failed: BACKING OFF (doubling) --> TRANSFERRING
//
// A gap is not acted upon at once: the missing delta may be on its way from another replica, and a
// thousand proxies that missed the same one should not ask in the same millisecond. The very first
// state is asked for without delay.
#include "dataplane/pull.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/rng.h"

#define CHUNK_US        (2 * MONO_SEC) // deadline of one chunk
#define GAP_JITTER_US   (50 * MONO_MS)
#define RETRY_MIN_US    (100 * MONO_MS) // after a failed transfer, doubling
#define RETRY_MAX_US    (5 * MONO_SEC)
#define DIVERGED_MAX_US (60 * MONO_SEC)
#define QUIET_FAILURES  12u // a refused epoch is said again every so many times (a minute)

enum pull_state { IDLE, WAITING, TRANSFERRING, BACKING_OFF };

struct pull {
    struct pull_config conf;
    enum pull_state state;
    bool ended;
    bool diverged; // ask even though the sequence is the wanted one
    uint8_t wanted_epoch[16];
    uint64_t wanted_seq;
    struct loop_timer timer; // in WAITING and BACKING_OFF
    struct rng rng;
    unsigned failures;    // of transfers, in a row
    uint64_t diverged_us; // when we last asked because of a divergence
    unsigned divergences; // in a row
    struct pull_stats stats;
};

static void request_chunk(struct pull *p);

static void set_timer(struct pull *p, enum pull_state state, uint64_t in_us)
{
    p->state = state;
    loop_timer_set(p->conf.loop, &p->timer, loop_now_us(p->conf.loop) + in_us);
}

static void want(struct pull *p, uint64_t in_us)
{
    uint64_t due_us = loop_now_us(p->conf.loop) + in_us;

    if (!p->ended && (p->state == IDLE || (p->state == WAITING && due_us < p->timer.due_us))) {
        set_timer(p, WAITING, in_us);
    }
}

void pull_gap(struct pull *p, const uint8_t epoch[16], uint64_t seq)
{
    bool first = sync_current(p->conf.sync) == NULL;

    p->stats.gaps++;
    memcpy(p->wanted_epoch, epoch, sizeof(p->wanted_epoch));
    p->wanted_seq = seq;
    want(p, first ? 0 : rng_below(&p->rng, GAP_JITTER_US));
}

// Again and again the same divergence is something that a snapshot does not mend: slower and
// slower.
void pull_diverged(struct pull *p)
{
    uint64_t wait_us = MONO_SEC << (p->divergences < 6 ? p->divergences : 6);
    uint64_t now = loop_now_us(p->conf.loop);

    wait_us = wait_us < DIVERGED_MAX_US ? wait_us : DIVERGED_MAX_US;
    if (p->diverged_us != 0 && now < p->diverged_us + wait_us) {
        return;
    }
    LOG(WARN, "link.diverged", LOG_UINT("seq", sync_seq(p->conf.sync)));
    p->stats.divergences++;
    p->divergences++;
    p->diverged_us = now;
    p->diverged = true;
    want(p, 0);
}

void pull_agreed(struct pull *p)
{
    p->divergences = 0;
    p->diverged = false;
}

static void fail(struct pull *p, const struct err *e)
{
    uint64_t wait_us = RETRY_MIN_US << (p->failures < 6 ? p->failures : 6);

    // A foreign epoch needs a person: no hurry, and no flood of lines.
    if (e->code == ERR_CONFLICT) {
        wait_us = RETRY_MAX_US;
    }
    if (p->failures == 0 || (e->code == ERR_CONFLICT && p->failures % QUIET_FAILURES == 0)) {
        LOG(WARN, "link.sync_failed", LOG_ERR(e));
    }
    p->failures++;
    wait_us = wait_us < RETRY_MAX_US ? wait_us : RETRY_MAX_US;
    set_timer(p, BACKING_OFF, wait_us / 2 + rng_below(&p->rng, wait_us / 2));
    roster_prefer_other(p->conf.roster);
}

static void done(struct pull *p)
{
    p->state = IDLE;
    p->failures = 0;
    p->diverged = false;
    p->stats.syncs++;
    LOG(INFO, "link.synced", LOG_UINT("seq", sync_seq(p->conf.sync)),
        LOG_UINT("refused", sync_error_count(p->conf.sync)));
    p->conf.on_done(p->conf.arg);
}

static void on_chunk(void *arg, const struct envelope *env, const struct message *m)
{
    struct pull *p = arg;
    struct err e = {0};

    if (p->ended) {
        return;
    }
    if (m == NULL || m->type != MESSAGE_SYNC_CHUNK) {
        err_set(&e, ERR_UNAVAILABLE, "%s",
                m == NULL                    ? "no answer in time"
                : m->type == MESSAGE_REFUSAL ? m->u.refusal.message
                                             : "unexpected answer");
        fail(p, &e);
        return;
    }
    switch (sync_transfer_chunk(p->conf.sync, env->epoch, &m->u.sync_chunk, &e)) {
    case SYNC_TRANSFER_MORE:
        request_chunk(p);
        break;
    case SYNC_TRANSFER_DONE:
        done(p);
        break;
    case SYNC_TRANSFER_BAD:
        fail(p, &e);
        break;
    }
}

static void request_chunk(struct pull *p)
{
    const struct sync *s = p->conf.sync;
    const struct message m = {MESSAGE_SYNC_REQUEST,
                              {.sync_request = {
                                   .proxy = p->conf.proxy,
                                   .snapshot = sync_transfer_snapshot(s),
                                   .chunk = sync_transfer_next(s),
                                   .have_digest = sync_digest(s),
                               }}};
    struct peer *peer = roster_preferred(p->conf.roster);

    // Were the preferred one another by now, it would not know the snapshot and say so.
    if (peer == NULL || !peer_call(peer, &m, CHUNK_US, on_chunk, p)) {
        struct err e;

        err_set(&e, ERR_UNAVAILABLE, "no control plane is connected");
        fail(p, &e);
    }
}

static bool has_come_meanwhile(const struct pull *p)
{
    const struct sync *s = p->conf.sync;

    return !p->diverged && sync_current(s) != NULL && sync_seq(s) >= p->wanted_seq &&
           memcmp(sync_epoch(s), p->wanted_epoch, sizeof(p->wanted_epoch)) == 0;
}

static void on_timer(struct loop_timer *t)
{
    struct pull *p = container_of(t, struct pull, timer);

    p->state = IDLE;
    if (has_come_meanwhile(p) || roster_preferred(p->conf.roster) == NULL) {
        p->failures = 0;
        return; // without anybody to ask: the next session compares states anyway
    }
    sync_transfer_begin(p->conf.sync);
    p->state = TRANSFERRING;
    request_chunk(p);
}

struct pull *pull_new(const struct pull_config *c)
{
    struct pull *p = mem_zalloc(sizeof(*p));

    p->conf = *c;
    p->timer.fn = on_timer;
    rng_init(&p->rng, 0);
    return p;
}

void pull_end(struct pull *p)
{
    p->ended = true;
    loop_timer_cancel(p->conf.loop, &p->timer);
}

void pull_free(struct pull **p)
{
    mem_free(*p);
    *p = NULL;
}

void pull_stats(const struct pull *p, struct pull_stats *ret)
{
    *ret = p->stats;
}
