// SPDX-License-Identifier: Apache-2.0
// The leases of all limits that this proxy uses: quota granted by the control plane in blocks,
// spent by all workers (limit.h).
//
// Leases are asked for through `ask` (the link), renewed in the background at half. No control
// plane in time: on-control-loss decides; by default a share of the limit for this proxy, then
// rates are open and budgets closed.
#ifndef SLUICE_DATAPLANE_LIMIT_STORE_H
#define SLUICE_DATAPLANE_LIMIT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"

struct book;
struct limit_store;

// One lease question / answer, as the link carries it.
struct limit_ask {
    const char *limit_id; // "r:production:0:anonymous"
    uint64_t want;        // units asked for; the answer may be less
    uint64_t returned;    // units of an earlier lease given back
    uint64_t debt;        // units used beyond what was leased: to be taken from the limit
    uint64_t window;      // that `returned` came from; 0: a bucket
    uint64_t batch;       // that `returned` and `again` came from, the oldest; 0: a window
    uint64_t unit;        // enum resource_unit of all this; 0: not known
    uint64_t period;      // lease_period of the limit; 0: not known
    uint64_t no;          // number of the question; 0: another one is under way
    uint64_t taken;       // of `window`, all that this proxy has, as if this were heard; no > 0
    uint64_t since;       // number of the first question since the last answer was heard
    uint64_t again;       // returned to a bucket from there on, before this one
};
struct limit_grant {
    struct slice limit_id;
    uint64_t granted; // units, valid for lease_us (from when: lease.h)
    uint64_t lease_us;
    uint64_t remaining; // of the whole limit, after this grant
    uint64_t limit;     // amount
    uint64_t empty_us;  // granted == 0: nothing before this time from now
    uint64_t reset_us;  // until the limit is whole again, from now
    uint64_t window;    // names the window; 0: a bucket
    uint64_t batch;     // numbers what a bucket has granted
};

struct limit_config {
    // Sends questions (copies them); thread-safe; false: the link is down and nothing was sent.
    bool (*ask)(void *arg, const struct limit_ask *items, size_t n);
    void *arg;
    uint64_t park_us; // a request waits so long for an answer; 0: 50 ms
    // Keeps what is held here over the death of this process; what it has from the last one is
    // given back. Borrowed; NULL: nothing is kept.
    struct book *book;
};

// *c is copied. Never NULL. What the book has from the process before is in it, to be given back.
struct limit_store *limit_store_new(const struct limit_config *c);
// When no thread uses it any more: no pass holds or waits. *s becomes NULL; NULL allowed. Gives
// nothing back (limit_store_end).
void limit_store_free(struct limit_store **s);
// Names who holds what is granted here: goes along with every question. Borrowed while the store
// lives.
const char *limit_store_holder(const struct limit_store *s);
// How many proxies share the limits, as last heard; 0 (as at the start): not known, and then there
// is no share of a limit to be spent without a control plane. Any thread.
void limit_store_set_live(struct limit_store *s, uint64_t proxies);

// Answers from the link (its thread), which may call wake() of who waits. Borrowed for the call;
// limits that are not in use here are passed over.
void limit_store_granted(struct limit_store *s, const struct limit_grant *g, size_t n,
                         uint64_t now_us);
// These questions were sent and will have no answer (link's thread). Debt is told again; so is, of
// a window, how much of it is taken here, whatever of it the control plane has heard. Wakes who
// waits: on-control-loss decides.
void limit_store_lost(struct limit_store *s, const struct limit_ask *items, size_t n,
                      uint64_t now_us);
// The answer came without these: a limit that is not known there, or Redis answered only some. As
// limit_store_lost, but nobody is woken: it is asked again in a moment.
void limit_store_left_out(struct limit_store *s, const struct limit_ask *items, size_t n);
// Once a second from one thread: gives back leases that are over, reports debt, forgets old
// entries.
void limit_store_tick(struct limit_store *s, uint64_t now_us);
// Wakes nobody from now on; when it returns no wake() is running. At the end, before those go who
// are woken.
void limit_store_hush(struct limit_store *s);
// No request will come any more: gives back everything. False: some questions have no answer yet,
// and until then what they grant cannot be given back; call again. True: all was heard, or nobody
// is there to be told.
bool limit_store_end(struct limit_store *s, uint64_t now_us);

#endif
