// SPDX-License-Identifier: Apache-2.0
// Model names: what a client's name means in a snapshot, and what a provider calls that model.
// Pure; private to route.c.
#ifndef SLUICE_DATAPLANE_ROUTE_NAME_H
#define SLUICE_DATAPLANE_ROUTE_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "dataplane/snapshot.h"

// A model as asked for, taken apart. Borrows the name given, the arena and the snapshot.
struct route_name {
    struct slice full;           // without suffix: "openai/gpt-4o-mini" or "gpt-4o-mini"
    struct slice provider;       // "openai" where the part before the first '/' is a provider
    struct slice id;             // the rest, or all of it
    struct snapshot_model known; // res NULL: not in the catalogue
    bool dated;                  // id names a snapshot of `known` ("gpt-4o-2024-08-06"), or has a
                                 // suffix for the provider: where the model is first served, the id
                                 // stays as it was asked for
    enum resource_strategy sort; // by suffix, or 0
};

// A provider's own id of a model.
struct route_id {
    struct slice id;                    // SLICE_NULL: it does not have it
    const struct resource_model_at *at; // entry of the catalogue; NULL: none
};

// Dated ids that the catalogue does not list have the price of the undated one. "%2F" stands for
// '/' where the name is not known as written. A name like "google/gemini-x" whose first part is no
// provider of ours is looked up by its last part as well.
struct route_name route_name_resolve(const struct snapshot *s, struct slice model, struct arena *a);
// Without mappings: the catalogue says so, or it was named with this provider (unknown models of a
// known provider pass through), or a glob of the provider's takes a bare name.
struct route_id route_name_at(const struct route_name *w, const struct snapshot_provider *p);
// The first mapping that the provider has: router's (may be NULL), settings', catalogue's.
struct route_id route_name_mapped(const struct route_name *w, const struct snapshot_provider *p,
                                  const struct snapshot *s, const struct resource *router,
                                  struct arena *a);

#endif
