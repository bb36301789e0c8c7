// SPDX-License-Identifier: Apache-2.0
// Texts by text, in an arena: what translators look up for each tool call of a conversation,
// however many a client sends (a list would make a large body quadratic). Keyed hash: the keys are
// the client's. Nothing is ever removed. Pure.
#ifndef SLUICE_DATAPLANE_CANON_INDEX_H
#define SLUICE_DATAPLANE_CANON_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"

struct canon_index_slot {
    struct slice key, value; // key.p NULL: free
    uint64_t number;
};

// Zero-initialised is empty.
struct canon_index {
    struct canon_index_slot *slots; // in the arena
    size_t n, cap;
};

// NULL: not there. The slot may move with the next add.
struct canon_index_slot *canon_index_find(const struct canon_index *x, struct slice key);
// The slot of the key, made with a SLICE_NULL value and 0 when it was not there. Borrows the key.
struct canon_index_slot *canon_index_add(struct canon_index *x, struct arena *a, struct slice key);

#endif
