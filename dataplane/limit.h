// SPDX-License-Identifier: Apache-2.0
// Limits by leases: a request's way through all limits that apply to it. The leases are in the
// store (limit_store.h), spent by all workers.
//
//   request --limit_admit--> OK        units taken from the lease
//                        --> DENIED    "empty until t", cached: no round trip
//                        --> PARKED    wake() is called when the lease has come; the deadline
//                                      (50 ms) is the caller's timer
//
// Any thread; of a request one call at a time. No call blocks or does I/O; asking is done by the
// link.
#ifndef SLUICE_DATAPLANE_LIMIT_H
#define SLUICE_DATAPLANE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "dataplane/snapshot.h"

struct limit_store;
struct limit_entry; // one limit in the store

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
    struct limit_entry *entry; // pinned
    uint64_t taken;            // reservation
    uint64_t local;            // taken of the own share instead
    uint64_t batch;            // that lease's
    uint32_t lease;            // number of the lease they came from
    enum resource_unit unit;
};

// A request's passage through its limits. Embedded in the request; zero-initialise. Owner: the
// request.
#define LIMIT_PER_REQUEST_MAX (5u * RESOURCE_LIMITS_MAX) // router, all, key, team, user
#define LIMIT_FEW             8u                         // no more than these: no allocation
struct limit_pass {
    struct list_node node;            // private: in a limit's waiting list
    struct limit_entry *waiting;      // private: the limit it waits for or was woken by, pinned
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

#endif
