// SPDX-License-Identifier: Apache-2.0
// Loads all resources from Redis and follows the stream of changes, on a connection of its own (it
// blocks). What this replica writes comes back the same way. Loop thread only. How, and what
// "regressed" means: docs/internals/control-plane.md.
#ifndef SLUICE_CONTROLPLANE_FOLLOW_H
#define SLUICE_CONTROLPLANE_FOLLOW_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "controlplane/record.h"
#include "controlplane/state.h"

struct follow;

enum follow_status {
    FOLLOW_CONNECTING, // Redis has not been reached yet; nothing is known
    FOLLOW_LOADING,    // reading everything; an older state may be there meanwhile
    FOLLOW_CURRENT,    // the state is Redis's
    FOLLOW_LOST,       // Redis is away; the state stays as it was
    FOLLOW_EMPTY,      // Redis holds no epoch, and we were not told to make one
    FOLLOW_REGRESSED,  // Redis went back in time: other epoch, or a lower sequence than we had
};

struct follow_config {
    struct loop *loop;
    const char *redis_url;          // borrowed for the call
    struct state *state;            // borrowed; filled
    const struct record_keys *keys; // borrowed
    bool init;                      // an empty Redis gets an epoch
    const uint8_t *first_epoch;     // STATE_EPOCH_BYTES: this one; NULL: any. Borrowed for the call
    // Where this installation was when we last ran; borrowed for the call; NULL: not known.
    const uint8_t *mark_epoch; // STATE_EPOCH_BYTES
    uint64_t mark_seq;
    // After the status has changed (never from inside follow_new). message: a sentence, or "".
    void (*on_status)(void *arg, enum follow_status s, const char *message);
    void *arg;
};

// Where a resource that the API must not change comes from.
struct follow_owner {
    enum record_origin origin;
    char *where; // "ai-gateway-config.yaml:12" or ""
};

// NULL for a bad URL.
MUST_CHECK struct follow *follow_new(const struct follow_config *c, struct err *e);
void follow_free(struct follow **f);
enum follow_status follow_status(const struct follow *f);
const char *follow_status_name(enum follow_status s);
// A write found out that Redis is not what it was: look now.
void follow_suspect(struct follow *f);
// A proxy has applied this sequence: if it is of our epoch and Redis has less at the next look, it
// regressed.
void follow_seen(struct follow *f, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq);
// Where we have been: the epoch (NULL: nowhere yet) and the highest sequence seen in it.
const uint8_t *follow_known_epoch(const struct follow *f);
uint64_t follow_known_seq(const struct follow *f);
// What Redis has, at the last look; NULL: none. Not ours while it is regressed.
const uint8_t *follow_redis_epoch(const struct follow *f);
// The epochs that Redis's epoch replaces by a person's decision, 16 bytes each, oldest first.
struct slice follow_superseded(const struct follow *f);
// NULL: owned by the API (or absent). Borrowed until the next change.
const struct follow_owner *follow_owner(const struct follow *f, enum resource_kind kind,
                                        struct slice id);
// Everything that the file or the environment owns.
void follow_each_owned(const struct follow *f,
                       void (*fn)(void *ctx, enum resource_kind kind, struct slice id,
                                  const struct follow_owner *o),
                       void *ctx);
// There are other keys now: if any record could not be used, everything is read again.
void follow_retry_bad(struct follow *f);
// Records that could not be used since the start (wrong master key, damage).
uint64_t follow_bad_records(const struct follow *f);

#endif
