// SPDX-License-Identifier: Apache-2.0
// The proxies as the control plane knows them from their acknowledgements and health reports: which
// state they serve from, how they are, what they think of the targets. Loop thread only.
//
// A proxy is live when it was heard within 3 s, and forgotten after an hour of silence.
#ifndef SLUICE_CONTROLPLANE_FLEET_H
#define SLUICE_CONTROLPLANE_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/io/loop.h"
#include "proto/message.h"

#define FLEET_LIVE_US     (3 * (uint64_t)1000000)
#define FLEET_FORGET_US   (3600 * (uint64_t)1000000)
#define FLEET_PROXIES_MAX 10000u

struct fleet;

struct fleet_proxy {
    const char *id, *version, *ops;
    uint8_t epoch[16];
    uint64_t seq; // in force there
    uint64_t digest, in_flight, started_wall_us;
    uint64_t seen_us; // monotonic
    bool live;
    uint32_t workers;
    const struct message_resource_error *errors;
    size_t n_errors;
};

// A target as the live proxies see it together.
struct fleet_target {
    const char *provider, *model, *key_id, *endpoint;
    uint32_t state;                         // the worst that any of them sees
    uint64_t ewma_us;                       // mean over the proxies that have one
    uint64_t in_flight, requests, failures; // sums
    uint64_t until_us;                      // longest, from their report
    const char *reason;                     // of the worst; "" when none
    size_t proxies, unhealthy;              // that know it; that keep away from it
};

struct fleet_outcome {
    size_t live, applied;       // of those that were live when the wait began, or are now
    const char *const *missing; // ids of those that have not applied it
    size_t n_missing;
};

struct fleet *fleet_new(struct loop *l);
// Pending waits are answered with what is known.
void fleet_free(struct fleet **f);

// A report that publish has authenticated.
void fleet_report(struct fleet *f, const uint8_t epoch[16], uint64_t seq,
                  const struct message_report *r);
// The state now; lags and waits are measured against it.
void fleet_advance(struct fleet *f, const uint8_t epoch[16], uint64_t seq);

// Calls fn once: as soon as every live proxy has applied seq of the current epoch, or at the
// timeout. A proxy that falls silent meanwhile is waited for all the same: it may serve on. Never
// from inside this call; strings are valid during fn. With no live proxy the answer comes in the
// next turn.
struct fleet_wait;
struct fleet_wait *fleet_wait(struct fleet *f, uint64_t seq, uint64_t timeout_us,
                              void (*fn)(void *arg, const struct fleet_outcome *o), void *arg);
// fn will not be called. *w becomes NULL; NULL allowed. Not after fn was called.
void fleet_wait_cancel(struct fleet_wait **w);

// In order of id; fn returns false to stop. Strings are valid during fn.
void fleet_each(struct fleet *f, bool (*fn)(void *ctx, const struct fleet_proxy *p), void *ctx);
// Merged over live proxies, in order of provider, model, key, endpoint.
void fleet_targets(struct fleet *f, bool (*fn)(void *ctx, const struct fleet_target *t), void *ctx);
size_t fleet_live(struct fleet *f);
// Highest seq that any proxy has reported within this epoch; 0: none. Above the store's own: the
// store went back in time.
uint64_t fleet_max_seq(const struct fleet *f, const uint8_t epoch[16]);

#endif
