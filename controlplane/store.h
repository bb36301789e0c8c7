// SPDX-License-Identifier: Apache-2.0
// All truth is in Redis; this is the way to it. A change is one Lua script (lua/change.lua):
// version checks, idempotency, the write, INCR of the sequence, the stream entry and the audit
// entry happen together or not at all. Reads come from the state, which follow.h keeps. Loop thread
// only.
#ifndef SLUICE_CONTROLPLANE_STORE_H
#define SLUICE_CONTROLPLANE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "common/io/redis.h"
#include "controlplane/follow.h"
#include "controlplane/record.h"
#include "controlplane/state.h"

#define STORE_COMMIT_US  900000u // a write is answered within this, whatever Redis does
#define STORE_DIGEST_HEX 65u
#define STORE_OPS_MAX    100000u
#define STORE_NEEDS_MAX  256u // of one resource

struct store;

struct store_config {
    struct loop *loop;
    const char *redis_url;          // borrowed for the call
    struct state *state;            // borrowed
    const struct record_keys *keys; // at least one; copied
    bool init;                      // and first_epoch: follow.h
    const uint8_t *first_epoch;
    const uint8_t *mark_epoch; // where we were when we last ran (follow.h); borrowed for the call
    uint64_t mark_seq;
    void (*on_status)(void *arg, enum follow_status s, const char *message);
    void *arg;
};

MUST_CHECK struct store *store_new(const struct store_config *c, struct err *e);
// Pending commits are answered with STORE_UNKNOWN.
void store_free(struct store **s);
// The connection for commands other than changes (leases, usage, audit). Borrowed.
struct redis *store_redis(struct store *s);
struct follow *store_follow(struct store *s);
struct state *store_state(struct store *s);
const struct record_keys *store_keys(const struct store *s);
// Other master keys from now on (copied). What could not be opened before is read again.
void store_set_keys(struct store *s, const struct record_keys *k);

// --- changes ------------------------------------------------------------------------------------

#define STORE_ANY_VERSION UINT64_MAX

// Puts `res` (borrowed for the call; its version is what it will have) or deletes (kind, id).
struct store_op {
    const struct resource *res; // NULL: delete
    enum resource_kind kind;    // delete
    struct slice id;            // delete
    uint64_t expected;          // version it must have now; 0: must not exist
    enum record_origin origin;  // put
    const char *where;          // put; NULL = ""
    bool moved;                 // put: only `where` is another; for store_file_diff
    bool needed;                // nothing is written: (kind, id) must be there
};

enum store_outcome {
    STORE_DONE,        // in force as of `seq`, and the state here has it
    STORE_AGAIN,       // the idempotency key was used for this very request: `payload`, `seq`;
                       // the state here has that, too
    STORE_REUSED,      // ... for another request
    STORE_CONFLICT,    // some resource has another version: `version`; with a message: something
                       // that is needed was deleted
    STORE_KNOWN,       // the file was applied before
    STORE_REGRESSED,   // Redis went back in time, or is not initialised: nothing done
    STORE_UNAVAILABLE, // nothing was sent
    STORE_UNKNOWN,     // no answer: it may have happened
};

struct store_result {
    enum store_outcome outcome;
    uint64_t seq;
    uint64_t version;     // CONFLICT: what it has
    struct slice payload; // AGAIN; borrowed
    const char *message;  // a sentence, or ""
};

struct store_change {
    const struct store_op *ops;
    size_t n;
    struct slice audit; // JSON; empty: none
    // Empty: no idempotency key. Else the name (any bytes: who + key) and a digest of the request.
    struct slice idempotency, digest;
    struct slice payload; // what a repeat is told
    // A whole file: hash as hex. only_new: not if it was ever applied; else: not if it is latest.
    struct slice file_hash;
    bool only_new;
    // exact: the sequence must be at_seq, else STORE_CONFLICT. With a file at_seq is always what it
    // was compared with: STORE_CONFLICT if another one was applied since.
    bool exact;
    uint64_t at_seq;
    // A provider's id: STORE_CONFLICT if a router or a key that may name it was written behind
    // at_seq. Empty: none.
    struct slice unnamed;
    // With a file: what the list of revisions says of it (a JSON object), and its sealed content.
    struct slice revision, revision_set;
    // An entry of NAMES_TOKENS: put (must be new), or deleted where the value is empty (must be
    // there; else STORE_CONFLICT). Empty field: none.
    struct slice token, token_value;
};

typedef void (*store_fn)(void *arg, const struct store_result *r);

// Everything is copied. fn comes exactly once, never from inside the call, within STORE_COMMIT_US.
void store_commit(struct store *s, const struct store_change *c, store_fn fn, void *arg);

// What the resource names and must not miss: a needed operation for each of its providers that the
// state has, up to max. Returns how many. They borrow from r.
size_t store_needs(struct store *s, const struct resource *r, struct store_op *ops, size_t max);

// --- the configuration file ---------------------------------------------------------------------

struct store_file {
    // Borrowed for the call. Versions are filled in here, and the settings' key_hash_key: the one
    // in force, else what it holds, else a new one; and created_wall_us of keys where it is 0.
    struct resource *const *wanted;
    size_t n;
    const char *const *where; // n of them ("file.yaml:12"), or NULL
    uint64_t now_wall_us;     // for the age of keys that the file names for the first time
    bool only_new;            // at start: not if its hash is in the history
    bool keep_env;            // what the environment owns stays as it is (rollback)
    const char *source;       // for the list of revisions: "gw.yaml", "PUT /config"; may be NULL
    const char *actor;        // who applies it; NULL: "file"
    struct slice audit;       // empty: a plain one is made
    struct slice idempotency, digest, payload; // as in struct store_change
    bool exact;                                // the sequence must be at_seq: If-Match
    uint64_t at_seq;
};

// What applying would do to one resource.
struct store_file_change {
    enum resource_kind kind;
    struct slice id;
    const struct resource *before, *after; // NULL: it is created, deleted; borrowed
    bool takes_over;                       // the API owns it now
    bool moved; // nothing but its place in the file is another (what a 409 names)
};
// Calls fn for each, in the order of the file, deletions last. Returns how many. Borrowed for the
// call, as in store_file_apply. fn may be NULL.
size_t store_file_diff(struct store *s, const struct store_file *f,
                       void (*fn)(void *ctx, const struct store_file_change *c), void *ctx);

// What would make the hash of the file: its meaning, not its bytes (environment, catalogue and
// provider keys count). out gets hex.
void store_file_hash(struct store *s, const struct store_file *f, char out[STORE_DIGEST_HEX]);
// Applies the difference between what the file wants and what Redis has from it, as one change.
// DONE: r->seq, and *ret_changes resources were written or deleted. The state must be ready.
// CONFLICT: another file was applied meanwhile, or something changed that this one changes; look at
// the state again and repeat. Two files never mix.
void store_file_apply(struct store *s, const struct store_file *f, store_fn fn, void *arg,
                      size_t *ret_changes);

#endif
