// SPDX-License-Identifier: Apache-2.0
// The control plane's sockets towards the proxies: publishes every change of the state at once and
// a heartbeat each second, answers snapshot requests from the state, takes reports into the fleet,
// and hands lease requests and usage reports to whoever registered for them. Loop thread only. How:
// docs/internals/protocol.md.
#ifndef SLUICE_CONTROLPLANE_PUBLISH_H
#define SLUICE_CONTROLPLANE_PUBLISH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "controlplane/fleet.h"
#include "controlplane/state.h"
#include "proto/envelope.h"
#include "proto/keys.h"
#include "proto/message.h"

struct publish;

struct publish_config {
    struct loop *loop;
    struct state *state;     // borrowed; listened to
    struct fleet *fleet;     // borrowed
    const struct keys *keys; // borrowed; needs a signing key
    const char *listen;      // base: "tcp://127.0.0.1:7400" (port 0: three free ones), "ipc:///dir"
};

// NULL with *e: address in use, no signing key, ...
MUST_CHECK struct publish *publish_new(const struct publish_config *c, struct err *e);
// Reply handles still out stay valid and go nowhere. *p becomes NULL; NULL allowed.
void publish_free(struct publish **p);
// The base in use (with the real port). Borrowed.
const char *publish_endpoint(const struct publish *p);

// A request waiting for its answer: answered or dropped exactly once, now or later.
struct publish_reply;

// The request is borrowed for the call. No callback registered: the proxy is told so.
void publish_on_lease(struct publish *p,
                      void (*fn)(void *arg, const struct message_lease_request *r,
                                 struct publish_reply *reply),
                      void *arg);
void publish_on_usage(struct publish *p,
                      void (*fn)(void *arg, const struct message_usage_report *r,
                                 struct publish_reply *reply),
                      void *arg);
// *r becomes NULL.
void publish_reply_lease(struct publish_reply **r, const struct message_lease_grant *g);
void publish_reply_usage(struct publish_reply **r, const struct message_usage_ack *a);
// It cannot be answered (store away): the proxy is told at once instead of running into its
// deadline.
void publish_reply_drop(struct publish_reply **r);

// What the prober found; borrowed for the call. Nothing happens while there is no state to speak
// of.
void publish_probes(struct publish *p, const struct message_probe *probes, size_t n);

// Other keys from now on; borrowed like the first.
void publish_set_keys(struct publish *p, const struct keys *k);

// While silent nothing is published and snapshots are refused (the state has regressed).
void publish_set_silent(struct publish *p, bool silent);
// The epochs that the state's epoch replaces by a person's decision, 16 bytes each, told in
// snapshots so that proxies may follow; empty: none. Copied.
void publish_set_supersedes(struct publish *p, struct slice epochs);
#define PUBLISH_SUPERSEDES_MAX (8u * 16u)

struct publish_stats {
    uint64_t deltas, announced, heartbeats, snapshots, chunks, reports, leases, usages, refusals;
    uint64_t unknown; // messages of a type that this version does not know
    uint64_t verdicts[ENVELOPE_VERDICTS];
};
void publish_stats(const struct publish *p, struct publish_stats *ret);

#endif
