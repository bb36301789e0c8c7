// SPDX-License-Identifier: Apache-2.0
// What translation must know of a target: the catalogue's facts about provider and model and the
// router's wishes, as canon_target has them. Pure.
#ifndef SLUICE_DATAPLANE_FACTS_H
#define SLUICE_DATAPLANE_FACTS_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "dataplane/canon.h"
#include "dataplane/snapshot.h"

// Traits of a provider's model: its catalogue entry's, else those of the first family that matches
// its id, else none (all zero). Borrows the snapshot.
const struct resource_traits *facts_traits(const struct snapshot *s, struct slice provider,
                                           struct slice model);
// router: NULL for the unified API. `model` is copied to the arena; the rest of *ret borrows the
// snapshot.
void facts_of_target(const struct snapshot *s, const struct resource *provider, struct slice model,
                     const struct resource *router, struct arena *a, struct canon_target *ret);

#endif
