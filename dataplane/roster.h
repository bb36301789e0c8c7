// SPDX-License-Identifier: Apache-2.0
// Which control planes there are: endpoints as configured, the addresses their names have now
// (resolved again every 5 s), one peer for each address, and the one that is asked. Link thread
// only.
#ifndef SLUICE_DATAPLANE_ROSTER_H
#define SLUICE_DATAPLANE_ROSTER_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "dataplane/peer.h"

#define ROSTER_ENDPOINTS_MAX 16u
#define ROSTER_PEERS_MAX     64u

struct roster;

// c is borrowed for the life of the roster and given to every peer. NULL with *e naming the
// endpoint.
MUST_CHECK struct roster *roster_new(struct loop *l, const struct peer_config *c,
                                     const char *const *endpoints, size_t n, struct err *e);
// Makes the peers and starts resolving. On the thread of the loop.
void roster_start(struct roster *r);
void roster_free(struct roster **r);

// The one to ask; NULL while none has a session.
struct peer *roster_preferred(const struct roster *r);
// Chooses another one with a session, at random, if there is one.
void roster_prefer_other(struct roster *r);
// To be called when a peer's session opens or ends.
void roster_note(struct roster *r);
// Every peer with a session.
void roster_each(struct roster *r, void (*fn)(void *ctx, struct peer *p), void *ctx);

#endif
