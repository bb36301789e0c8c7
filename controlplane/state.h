// SPDX-License-Identifier: Apache-2.0
// The control plane's in-memory view of every resource at one (epoch, seq), fed by the store as it
// follows Redis's stream. Publishing, the admin API's reads and lease decisions use it. Loop thread
// only.
#ifndef SLUICE_CONTROLPLANE_STATE_H
#define SLUICE_CONTROLPLANE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/list.h"
#include "common/base/slice.h"
#include "proto/resource.h"

#define STATE_EPOCH_BYTES 16

struct state_delete {
    enum resource_kind kind;
    const char *id; // borrowed
};

// One applied change: everything that became true at `seq`.
struct state_change {
    uint64_t prev_seq, seq;
    struct resource *const *upserts; // borrowed
    size_t n_upserts;
    const struct state_delete *deletes; // borrowed
    size_t n_deletes;
};

// Embedded in a listener; fn is called after the state has changed. A full load comes as a change
// with prev_seq 0 and everything in it: it connects to no earlier sequence.
struct state_listener {
    struct list_node node;
    void (*fn)(struct state_listener *l, const struct state_change *c);
};

struct state;

struct state *state_new(void);
void state_free(struct state **s);

// False until the first complete load.
bool state_ready(const struct state *s);
const uint8_t *state_epoch(const struct state *s); // STATE_EPOCH_BYTES
uint64_t state_seq(const struct state *s);
uint64_t state_digest(const struct state *s); // XOR of resource_digest over everything
// Borrowed until the next change; NULL if absent.
struct resource *state_find(const struct state *s, enum resource_kind kind, struct slice id);
size_t state_count(const struct state *s, enum resource_kind kind);
// Every resource of the kind (0 = all kinds), in order of id within a kind; fn returns false to
// stop. `after`: start behind that id (SLICE_NULL: at the beginning; only with a kind).
void state_each(const struct state *s, enum resource_kind kind, struct slice after,
                bool (*fn)(void *ctx, struct resource *r), void *ctx);
void state_listen(struct state *s, struct state_listener *l);
void state_unlisten(struct state *s, struct state_listener *l);

// For the store only. A full load replaces everything; a change is applied if prev_seq matches.
void state_load(struct state *s, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq,
                struct resource *const *all, size_t n);
MUST_CHECK bool state_apply(struct state *s, const struct state_change *c);

#endif
