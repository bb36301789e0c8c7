// SPDX-License-Identifier: Apache-2.0
// A proxy's connection to its control planes: one thread with its own loop that receives state,
// builds the next snapshot off the request path, hands it over, acknowledges it, and carries
// health, leases and usage the other way. It goes on alone when every control plane is gone, and
// starts from the sealed last-known-good file when none answers. How:
// docs/internals/protocol.md.
#ifndef SLUICE_DATAPLANE_LINK_H
#define SLUICE_DATAPLANE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/snapshot.h"
#include "proto/envelope.h"
#include "proto/keys.h"
#include "proto/message.h"

struct link;

// All strings are copied; of the keys a reference is taken. Callbacks run on the link's
// thread and must not block.
struct link_config {
    const char *const *endpoints; // bases: "tcp://host:7400", "ipc:///dir"
    size_t n_endpoints;           // 1..16
    struct keys *keys;
    const char *data_dir;  // last-known-good file, usage journal, proxy id; NULL: nowhere
    const char *proxy_id;  // NULL: the one in data_dir, else a random one
    const char *holder;    // goes with lease questions (limit_store_holder); NULL: none
    const char *version;   // of this program, for the fleet's list
    const char *ops;       // "127.0.0.1:9464": where the ops port is
    unsigned n_workers;    // for the fleet's list
    uint64_t lkg_after_us; // no answer for so long at start: use the file; 0: 50 ms
    void *arg;
    // A new state. s is borrowed for the call: whoever keeps it takes a reference. When it returns,
    // every request that begins is served from s: then it is acknowledged upwards.
    void (*on_snapshot)(void *arg, struct snapshot *s);
    // Grants, in the order of no particular request. May be NULL.
    void (*on_lease)(void *arg, const struct message_grant *grants, size_t n, uint64_t now_us);
    // These questions will have no grant (refused, timed out, link down); answered: others of the
    // same request have. Each that was sent is told of, here or there. May be NULL.
    void (*on_lease_lost)(void *arg, const struct message_lease_item *items, size_t n,
                          bool answered);
    // What the control plane that probes providers has found: hints. May be NULL.
    void (*on_probes)(void *arg, const struct message_probe *probes, size_t n, uint64_t now_us);
    // An authentic message of a live control plane came. May be NULL.
    void (*on_heard)(void *arg, uint64_t now_us);
};

// Not started yet. NULL with *e: bad endpoint, data directory not writable, no fds.
MUST_CHECK struct link *link_new(const struct link_config *c, struct err *e);
MUST_CHECK bool link_start(struct link *l, struct err *e);
// When it returns no callback is running and none will be made any more, but for those of leases,
// which come until the link is stopped: what is granted last wants to be given back. Usage is still
// taken and sent. For the end: before what the callbacks use is taken down. Any thread; NULL
// allowed.
void link_mute(struct link *l);
// Sends what usage and lease questions it still can for at most flush_us, ends the thread, frees
// everything. Call when no other thread uses the link any more. *l becomes NULL; NULL allowed.
void link_stop(struct link **l, uint64_t flush_us);

// ---- any thread --------------------------------------------------------------------------------

// Asks for leases; all that come within a turn of the link travel together. Everything is copied.
// False: no control plane is connected or the queue is full; no callback comes then.
MUST_CHECK bool link_lease(struct link *l, const struct message_lease_item *items, size_t n);
// An attempt begins: into the journal, so that it is reported (as so_far says, `interrupted`) even
// if this process is killed. slot: 0 for the first of a request, then what the last call returned.
// No lock, no system call.
uint32_t link_attempt(struct link *l, uint32_t slot, const struct message_usage_record *so_far);
// The request is over; slot as from link_attempt, 0: there was none. Copied. False: the journal is
// full and the record is lost (counted).
bool link_finish(struct link *l, uint32_t slot, const struct message_usage_record *r);
// link_finish without a slot.
bool link_usage(struct link *l, const struct message_usage_record *r);
// Other keys from now on, in the link's next turn; what is on disk is sealed with them soon after.
// Takes a reference.
void link_set_keys(struct link *l, struct keys *keys);
// Replaces what the next health reports (one a second) say about this proxy. Copied.
void link_health(struct link *l, uint64_t in_flight, const struct message_target_health *targets,
                 size_t n);

// Counted since link_new, as of the end of the last turn.
struct link_stats {
    bool connected;       // some control plane is alive
    uint64_t control_seq; // highest heard
    uint64_t heard_us;    // monotonic time of the last authentic message; 0: never
    uint64_t syncs, deltas, gaps, divergences, lease_timeouts;
    uint64_t usage_pending, usage_lost, usage_acked; // records
    uint64_t resource_errors;                        // refused resources at present
    uint64_t verdicts[ENVELOPE_VERDICTS];
    uint64_t live;    // proxies of this cluster, as a control plane said last; 0: not known
    uint64_t unknown; // broadcasts of a type that this version does not know: ignored
    bool from_file;   // the current snapshot came from the last-known-good file
};
void link_stats(struct link *l, struct link_stats *ret);
// Borrowed while the link lives.
const char *link_proxy_id(const struct link *l);

#endif
