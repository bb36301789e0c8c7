// SPDX-License-Identifier: Apache-2.0
// Limits by leases: quota granted by the control plane in blocks, spent locally by all workers
// (architecture.md rule 5).
//
//   request --limit_admit--> OK        units taken from the lease (atomics, no lock)
//                        --> DENIED    "empty until t", cached: no round trip
//                        --> PARKED    wake() is called when the lease has come or the deadline (50
//                        ms) is over
//
// The store is shared by the workers; leases are asked for through `ask` (the link), renewed in the
// background at half.
#ifndef SLUICE_DATAPLANE_LIMIT_H
#define SLUICE_DATAPLANE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "dataplane/snapshot.h"

struct limit_store;

// One lease question / answer, as the link carries it.
struct limit_ask {
    const char *limit_id; // "r:production:0:anonymous"
    uint64_t want;        // units asked for; the answer may be less
    uint64_t returned;    // units of an earlier lease given back
    uint64_t debt;        // units used beyond what was leased: to be taken from the limit
};
struct limit_grant {
    struct slice limit_id;
    uint64_t granted; // units, valid for lease_us from receipt
    uint64_t lease_us;
    uint64_t remaining; // of the whole limit, after this grant
    uint64_t limit;     // amount
    uint64_t empty_us;  // granted == 0: nothing before this time from now
    uint64_t reset_us;  // until the limit is whole again, from now
};

struct limit_config {
    // Sends questions; thread-safe; false: link is down (then on-control-loss decides).
    bool (*ask)(void *arg, const struct limit_ask *items, size_t n);
    void *arg;
    uint64_t park_us; // 50 ms
};

struct limit_store *limit_store_new(const struct limit_config *c);
void limit_store_free(struct limit_store **s);

// What the most limiting limit says, for headers.
struct limit_view {
    bool present;
    enum resource_unit unit;
    uint64_t limit, remaining, reset_us, window_us;
};

// A request's passage through its limits. Embedded in the request; zero-initialise. Owner: the
// request.
#define LIMIT_PER_REQUEST_MAX 16u
struct limit_pass {
    struct list_node node;                // private: in a limit's waiting list
    void *waiting;                        // private: the limit it waits for
    void *entries[LIMIT_PER_REQUEST_MAX]; // private: limits units were taken from
    uint64_t taken[LIMIT_PER_REQUEST_MAX];
    size_t n;
    void (*wake)(struct limit_pass
                     *p); // called on the link's thread, a lock held: must only post to a mailbox
    uint64_t parked_until_us; // PARKED: call again at this time at the latest
    struct limit_view view;
    uint64_t retry_after_us; // DENIED
    bool budget;             // DENIED by a usd limit
};

enum limit_result { LIMIT_OK, LIMIT_DENIED, LIMIT_PARKED };

// All limits that apply: router's, key's, global or unified. tokens/nano_usd: reservation. All or
// nothing: what was taken is given back on DENIED. After PARKED call again when woken or at
// parked_until_us.
enum limit_result limit_admit(struct limit_store *s, struct limit_pass *p,
                              const struct snapshot *snap, const struct resource *router,
                              const struct resource *key, struct slice principal, uint64_t tokens,
                              uint64_t nano_usd, uint64_t now_us);
// The request stops waiting (client gone, deadline). True: no wake() will come. False: wake() was
// called already, what it posted is on its way and the pass must stay allocated until it arrives.
bool limit_unpark(struct limit_store *s, struct limit_pass *p);
// Settles the reservation with the real usage (more: debt; failed before first content: refund
// everything).
void limit_settle(struct limit_store *s, struct limit_pass *p, bool refund, uint64_t tokens,
                  uint64_t nano_usd);
// Answers from the link (its thread).
void limit_granted(struct limit_store *s, const struct limit_grant *g, size_t n, uint64_t now_us);
// Once a second from one thread: asks for leases due, gives back expired or idle ones, forgets old
// entries.
void limit_tick(struct limit_store *s, uint64_t now_us);

#endif
