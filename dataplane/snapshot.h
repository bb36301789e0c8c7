// SPDX-License-Identifier: Apache-2.0
// What a proxy serves from: every resource at one (epoch, seq), immutable, shared by all workers.
// Built by the link thread; a delta clones only the buckets it touches (>= 1,024 ref-counted
// buckets) and the top table. Lookups are for any thread and take no lock. Pure: no I/O.
//
// Lifetime: a request holds one reference from authentication to its last routing decision, the
// worker holds one for "current". The last unref never frees on a worker: the snapshot goes to a
// retire list that snapshot_reap (link thread) empties.
#ifndef SLUICE_DATAPLANE_SNAPSHOT_H
#define SLUICE_DATAPLANE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "proto/resource.h"

struct snapshot;

// A provider with its keys, as routing wants it. Lives as long as the snapshot.
struct snapshot_provider {
    const struct resource *res;         // u.provider; id is the name
    const struct resource *const *keys; // u.provider_key, active ones only, in order of id
    size_t n_keys;
    uint32_t index; // position among the providers of this snapshot (order of id)
};

// Where a model name leads.
struct snapshot_model {
    const struct resource *res; // u.model
    const struct resource_model_at
        *at; // entry that matched (provider, id); NULL when matched by bare name or alias
};

struct snapshot_delete {
    enum resource_kind kind;
    const char *id;
};

struct snapshot_delta {
    uint64_t prev_seq, seq;
    struct resource *const *upserts; // borrowed; the snapshot takes its own references
    size_t n_upserts;
    const struct snapshot_delete *deletes;
    size_t n_deletes;
};

// A complete state. One reference.
struct snapshot *snapshot_new(const uint8_t epoch[16], uint64_t seq, struct resource *const *all,
                              size_t n);
// A new snapshot: base with the delta. base is untouched. One reference.
struct snapshot *snapshot_apply(const struct snapshot *base, const struct snapshot_delta *d);
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot **s);
// Frees retired snapshots. Link thread (and at exit).
void snapshot_reap(void);

// What it is the state of. The epoch has 16 bytes, borrowed; the digest is over all resources
// (resource.h). Any thread, like all lookups below: what they return is borrowed from s.
uint64_t snapshot_seq(const struct snapshot *s);
const uint8_t *snapshot_epoch(const struct snapshot *s);
uint64_t snapshot_digest(const struct snapshot *s);
size_t snapshot_count(const struct snapshot *s, enum resource_kind kind);

// NULL if absent.
const struct resource *snapshot_find(const struct snapshot *s, enum resource_kind kind,
                                     struct slice id);
const struct snapshot_provider *snapshot_provider(const struct snapshot *s, struct slice name);
// All providers, in order of name.
const struct snapshot_provider *const *snapshot_providers(const struct snapshot *s, size_t *ret_n);
// Never NULL: defaults when the settings resource is absent.
const struct resource_settings *snapshot_settings(const struct snapshot *s);
// By canonical name or alias.
MUST_CHECK bool snapshot_model_by_name(const struct snapshot *s, struct slice name,
                                       struct snapshot_model *ret);
// By (provider, provider's id).
MUST_CHECK bool snapshot_model_at(const struct snapshot *s, struct slice provider, struct slice id,
                                  struct snapshot_model *ret);
// Every resource of a kind, in order of id (keys, teams and users: in any); fn returns false to
// stop.
void snapshot_each(const struct snapshot *s, enum resource_kind kind,
                   bool (*fn)(void *ctx, const struct resource *r), void *ctx);

#endif
