// SPDX-License-Identifier: Apache-2.0
// One control plane process at one address, as the link sees it: three sockets, a session, calls
// under way. Everything handed up is authentic and fresh. Link thread only.
//
// A session is opened by a challenge (hello) whose signed answer names the process; from then on
// only messages of that process with rising counts are believed. Silence for 3 s ends it, the
// sockets are made anew, and so does another process answering at the address.
#ifndef SLUICE_DATAPLANE_PEER_H
#define SLUICE_DATAPLANE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "common/io/endpoint.h"
#include "common/io/loop.h"
#include "proto/envelope.h"
#include "proto/keys.h"
#include "proto/message.h"

struct peer;

// What the proxy has, for the headers of what it sends and to drop old deltas unopened.
struct peer_have {
    uint8_t epoch[ENVELOPE_ID_BYTES];
    uint64_t seq, digest;
};

// Shared by all peers of a link; borrowed for their life.
struct peer_config {
    struct loop *loop;
    const struct keys *keys;
    uint8_t self[ENVELOPE_ID_BYTES]; // our sender id
    const char *proxy;               // our name
    void *arg;
    void (*have)(void *arg, struct peer_have *ret);
    // A session was opened: what the control plane has. Epoch in the envelope.
    void (*on_session)(void *arg, struct peer *p, const struct envelope *e,
                       const struct message_sync_chunk *c);
    // Deltas and heartbeats (also types of later versions), body still encoded.
    void (*on_broadcast)(void *arg, struct peer *p, const struct envelope *e, struct slice body);
    // A session ended.
    void (*on_lost)(void *arg, struct peer *p);
    uint64_t *verdicts; // ENVELOPE_VERDICTS counters
};

// ep is numeric or ipc; copied.
struct peer *peer_new(const struct peer_config *c, const struct endpoint *ep);
// Calls under way end without an answer, on_lost is not called. *p becomes NULL; NULL allowed.
void peer_free(struct peer **p);

// Borrowed for the life of the peer.
const struct endpoint *peer_endpoint(const struct peer *p);
bool peer_has_session(const struct peer *p);

// m NULL: no answer (too late, session over). Otherwise the answer, which may be a refusal; strings
// are valid during the call. The peer may be freed in it.
typedef void (*peer_fn)(void *arg, const struct envelope *e, const struct message *m);
// Sends a request; fn is called exactly once, never from inside. False: cannot be sent now, fn is
// not called.
MUST_CHECK bool peer_call(struct peer *p, const struct message *request, uint64_t timeout_us,
                          peer_fn fn, void *arg);
// Sends a report as of the given state. False: no session or cannot be sent now.
MUST_CHECK bool peer_push(struct peer *p, const struct message *m, const struct peer_have *as_of);

#endif
