// SPDX-License-Identifier: Apache-2.0
// What a proxy knows of the control plane's state: the current snapshot, deltas that cannot be
// applied yet, a snapshot being received, and the resources it had to refuse. Decides what each
// message means; sends and receives nothing. One thread (the link's).
#ifndef SLUICE_DATAPLANE_SYNC_H
#define SLUICE_DATAPLANE_SYNC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/snapshot.h"
#include "proto/message.h"

struct sync;

enum sync_step {
    SYNC_NOTHING,  // known already, or from a replica that lags: go on
    SYNC_ADVANCED, // there is a new current snapshot
    SYNC_GAP,      // something is missing: ask for a snapshot (it may still come by itself)
    SYNC_DIVERGED, // same sequence, other content: ask for a snapshot
    SYNC_BAD,      // not understood; *e says why
};

struct sync *sync_new(void);
void sync_free(struct sync **s);

// Borrowed until the next step; NULL before the first state.
struct snapshot *sync_current(const struct sync *s);
// Zero epoch, 0 and 0 before the first state. The digest is of what the control plane has
// announced, refused resources included.
const uint8_t *sync_epoch(const struct sync *s);
uint64_t sync_seq(const struct sync *s);
uint64_t sync_digest(const struct sync *s);

// The epoch that this proxy was in when it last ran, though its state is not loaded (yet): no other
// is taken for it, unless it names this one as superseded.
void sync_expect(struct sync *s, const uint8_t epoch[16]);
// A state from the last-known-good file; only before any other. Takes the reference.
void sync_restore(struct sync *s, struct snapshot *snap);

// An authentic delta, still encoded. What comes too early is kept (bounded) and applied when it
// fits.
MUST_CHECK enum sync_step sync_delta(struct sync *s, const uint8_t epoch[16], struct slice body,
                                     struct err *e);
// What a control plane says it has.
enum sync_step sync_compare(const struct sync *s, const uint8_t epoch[16], uint64_t seq,
                            uint64_t digest);

// ---- receiving a snapshot ----------------------------------------------------------------------

// Drops what an unfinished one had received.
void sync_transfer_begin(struct sync *s);
enum sync_transfer {
    SYNC_TRANSFER_MORE, // ask for sync_transfer_next
    SYNC_TRANSFER_DONE, // current is new; kept deltas have been applied
    SYNC_TRANSFER_BAD,  // refused, *e says why: begin again, perhaps elsewhere
};
MUST_CHECK enum sync_transfer sync_transfer_chunk(struct sync *s, const uint8_t epoch[16],
                                                  const struct message_sync_chunk *c,
                                                  struct err *e);
uint64_t sync_transfer_snapshot(const struct sync *s); // number to ask for; 0: the first chunk
uint32_t sync_transfer_next(const struct sync *s);

// ---- refused resources -------------------------------------------------------------------------

// Those that did not decode: previous version kept. In *arena; at most max.
const struct message_resource_error *sync_errors(const struct sync *s, struct arena *arena,
                                                 size_t max, size_t *ret_n);
size_t sync_error_count(const struct sync *s);

#endif
