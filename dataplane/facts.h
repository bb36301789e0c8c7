// SPDX-License-Identifier: Apache-2.0
// What translation must know of a target: the catalogue's facts about provider and model and the
// router's wishes, as canon_target has them. Pure.
#ifndef SLUICE_DATAPLANE_FACTS_H
#define SLUICE_DATAPLANE_FACTS_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "dataplane/canon.h"
#include "dataplane/snapshot.h"

// Traits of a provider's model: its catalogue entry's, else those of the first family that matches
// its id, else none (all zero). Borrows the snapshot.
const struct resource_traits *facts_traits(const struct snapshot *s, struct slice provider,
                                           struct slice model);
// Is it OpenAI itself, or Azure, which serves its models?
bool facts_is_openai(const struct resource *provider);

#define FACTS_MEMO       64u // places; a power of two
#define FACTS_MEMO_MODEL 96u // longer ids are not kept

// What was found out about the targets asked last, since every request asks. Zero-initialised is
// empty. Borrows the snapshot it was reset to; of its worker's thread only.
struct facts_memo {
    const struct snapshot *snapshot;
    struct facts_memo_entry {
        const struct resource *provider; // NULL: free
        size_t n;
        char model[FACTS_MEMO_MODEL];
        struct canon_target target;
    } entries[FACTS_MEMO];
};

// Another snapshot is in force; the caller holds a reference to it until the next reset.
void facts_memo_reset(struct facts_memo *m, const struct snapshot *s);

// memo: used where it is of this snapshot. router: NULL for the unified API. `model` is copied to
// the arena; the rest of *ret borrows the snapshot.
void facts_of_target(struct facts_memo *memo, const struct snapshot *s,
                     const struct resource *provider, struct slice model,
                     const struct resource *router, struct arena *a, struct canon_target *ret);

#endif
