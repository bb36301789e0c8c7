// SPDX-License-Identifier: Apache-2.0
// Limits by leases: quota granted by the control plane in blocks, spent locally by all workers.
//
//   request --limit_admit--> OK        units taken from the lease
//                        --> DENIED    "empty until t", cached: no round trip
//                        --> PARKED    wake() is called when the lease has come; the deadline
//                                      (50 ms) is the caller's timer
//
// The store is shared by the workers; leases are asked for through `ask` (the link), renewed in the
// background at half. No control plane in time: on-control-loss decides; by default a share of the
// limit for this proxy, then rates are open and budgets closed.
#ifndef SLUICE_DATAPLANE_LIMIT_H
#define SLUICE_DATAPLANE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "dataplane/book.h"
#include "dataplane/snapshot.h"

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
    uint64_t park_us; // 50 ms
    // Keeps what is held here over the death of this process; what it has from the last one is
    // given back. Borrowed; NULL: nothing is kept.
    struct book *book;
};

struct limit_store *limit_store_new(const struct limit_config *c);
void limit_store_free(struct limit_store **s);
// Names who holds what is granted here: goes along with every question. As long as the store.
const char *limit_holder(const struct limit_store *s);
// How many proxies share the limits, as last heard; 0 (as at the start): not known, and then there
// is no share of a limit to be spent without a control plane. Any thread.
void limit_set_live(struct limit_store *s, uint64_t proxies);

// What the most limiting limit says, for headers.
struct limit_view {
    bool present;
    enum resource_unit unit;
    uint64_t limit, remaining, reset_us, window_us;
};

// What a request says of itself. All borrowed for the call.
struct limit_query {
    const struct snapshot *snap;
    const struct resource *router; // NULL: unified API
    const struct resource *key;    // NULL: anonymous
    struct slice principal;
    uint64_t tokens, nano_usd; // reservation
};

// Units a request holds of one limit.
struct limit_hold {
    void *entry;    // pinned
    uint64_t taken; // reservation
    uint64_t local; // taken of the own share instead
    uint64_t batch; // that lease's
    uint32_t lease; // number of the lease they came from
    enum resource_unit unit;
};

// A request's passage through its limits. Embedded in the request; zero-initialise. Owner: the
// request.
#define LIMIT_PER_REQUEST_MAX (5u * RESOURCE_LIMITS_MAX) // router, all, key, team, user
#define LIMIT_FEW             8u                         // no more than these: no allocation
struct limit_pass {
    struct list_node node;            // private: in a limit's waiting list
    void *waiting;                    // private: the limit it waits for or was woken by, pinned
    uint64_t short_of;                // private: units it waits for
    uint64_t parked_at_us;            // private: since when; 0: never parked
    struct limit_hold few[LIMIT_FEW]; // private
    struct limit_hold *many;          // private, owned: instead of few, while more are held
    size_t n;                         // private: held
    // Called on the link's thread, a lock held: must only post to a mailbox.
    void (*wake)(struct limit_pass *p);
    uint64_t parked_until_us; // PARKED: call again at this time at the latest
    struct limit_view view;
    uint64_t retry_after_us; // DENIED
    bool budget;             // DENIED by a usd limit
    bool open;               // OK although a limit could not be asked about (on-control-loss)
    uint64_t parked_us;      // OK, DENIED: how long it was parked; 0: not at all
};

enum limit_result { LIMIT_OK, LIMIT_DENIED, LIMIT_PARKED };

// All limits that apply: router's (or unified), global, key's, team's, user's. All or nothing: what
// was taken is given back on DENIED and PARKED. After PARKED call again when woken or at
// parked_until_us; it may answer PARKED again while the control plane answers. A call at
// parked_until_us may cross a wake() that is already on its way.
enum limit_result limit_admit(struct limit_store *s, struct limit_pass *p,
                              const struct limit_query *q, uint64_t now_us);
// The request stops waiting (client gone, deadline). True: no wake() will come. False: wake() was
// called already, what it posted is on its way and the pass must stay allocated until it arrives.
// Must be called before the pass dies if the last answer was PARKED.
bool limit_unpark(struct limit_store *s, struct limit_pass *p);
// Settles the reservation with the real usage (more: debt; failed before first content: refund
// everything). Call once after OK: what a pass holds is let go of here.
void limit_settle(struct limit_store *s, struct limit_pass *p, bool refund, uint64_t tokens,
                  uint64_t nano_usd);
// What this proxy knows of every limit that applies, without taking anything; `remaining` is a
// lower bound where a lease was granted here, else the whole amount. Any thread.
void limit_each(struct limit_store *s, const struct limit_query *q, uint64_t now_us,
                void (*fn)(void *ctx, const struct resource_limit *l, const struct limit_view *v),
                void *ctx);
// Answers from the link (its thread).
void limit_granted(struct limit_store *s, const struct limit_grant *g, size_t n, uint64_t now_us);
// These questions were sent and will have no answer (link's thread). Debt is told again; so is, of
// a window, how much of it is taken here, whatever of it the control plane has heard. Wakes who
// waits: on-control-loss decides.
void limit_lost(struct limit_store *s, const struct limit_ask *items, size_t n, uint64_t now_us);
// The answer came without these: a limit that is not known there, or Redis answered only some. As
// limit_lost, but nobody is woken: it is asked again in a moment.
void limit_left_out(struct limit_store *s, const struct limit_ask *items, size_t n);
// Once a second from one thread: gives back leases that are over, reports debt, forgets old
// entries.
void limit_tick(struct limit_store *s, uint64_t now_us);
// Wakes nobody from now on; when it returns no wake() is running. At the end, before those go who
// are woken.
void limit_hush(struct limit_store *s);
// No request will come any more: gives back everything. False: some questions have no answer yet,
// and until then what they grant cannot be given back; call again. True: all was heard, or nobody
// is there to be told.
bool limit_end(struct limit_store *s, uint64_t now_us);

#endif
