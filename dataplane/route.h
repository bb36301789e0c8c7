// SPDX-License-Identifier: Apache-2.0
// From snapshot + request to an ordered set of candidate targets. Pure: no I/O, no clock, no
// randomness. Model names: "provider/model", bare names through the catalogue, aliases, the
// router's providers; suffixes :nitro (latency) and :floor (cost); mappings (router, settings,
// catalogue equivalents) where a provider lacks the model.
#ifndef SLUICE_DATAPLANE_ROUTE_H
#define SLUICE_DATAPLANE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/dialect.h"
#include "dataplane/snapshot.h"
#include "dataplane/target.h"

#define ROUTE_CANDIDATES_MAX 64u

// One (provider, model, key). Lives in the plan's arena; borrows the snapshot.
struct route_candidate {
    const struct snapshot_provider *provider;
    const struct resource *key;         // u.provider_key; NULL: provider needs none
    struct slice model;                 // provider's model id
    const struct resource_price *price; // of the catalogue, as it is now; NULL unpriced
    struct target *target;              // NULL where excluded
    uint32_t weight;                    // thousandths, key's share already in it
    uint16_t tier;        // 0: the strategy's targets; 1, 2, ...: degradations, in order
    uint16_t order;       // within the tier: place in provider.order, all others behind; else 0
    const char *excluded; // static reason it cannot be used at all (no_key, not_allowed,
                          // ignored...), or NULL
    bool tried;           // set by the request machine
};

struct route_plan {
    enum resource_strategy strategy;
    struct route_candidate *candidates; // usable and excluded ones, in order
    size_t n, usable;
};

struct route_query {
    const struct snapshot *snap;
    struct target_table *targets;
    const struct resource *router; // NULL: unified API
    const struct resource *key;    // virtual key or NULL (anonymous)
    const struct dialect_request *request;
    struct slice forced_provider; // helicone-forced-routing or SLICE_NULL
    bool no_fallback;             // x-sluice-no-fallback
    uint64_t wall_us;             // now: prices change with days
};

enum route_result {
    ROUTE_OK,
    ROUTE_MODEL_NOT_FOUND, // *e lists near matches
    ROUTE_NOT_ALLOWED,     // the key may not use the model
    ROUTE_NO_PROVIDER,     // every provider of the router is without key: *e names them and their
                           // variables
};

enum route_result route_plan(const struct route_query *q, struct arena *a, struct route_plan *ret,
                             struct err *e);
// Models this caller may use through this router (NULL: unified): fn for each "provider/id" with
// its catalogue entry.
void route_models(const struct snapshot *s, const struct resource *router,
                  const struct resource *key,
                  void (*fn)(void *ctx, const struct resource *model,
                             const struct resource_model_at *at),
                  void *ctx);
// May this key use this router name ("ai" for the unified API)?
bool route_router_allowed(const struct resource *key, struct slice router);

#endif
