// SPDX-License-Identifier: Apache-2.0
// Open addressing, at most half full. Outgrown tables stay in the arena until it is reset: together
// they are smaller than the last one.
#include "dataplane/canon_index.h"

#include "common/base/hash.h"

#define FIRST_CAP 32u // a power of two, as all are

static struct canon_index_slot *slot_of(const struct canon_index *x, struct slice key)
{
    size_t at = (size_t)hash_bytes(hash_process_key(), key) & (x->cap - 1);

    while (x->slots[at].key.p != NULL && !slice_eq(x->slots[at].key, key)) {
        at = (at + 1) & (x->cap - 1);
    }
    return &x->slots[at];
}

static void grow(struct canon_index *x, struct arena *a)
{
    struct canon_index old = *x;

    x->cap = old.cap == 0 ? FIRST_CAP : old.cap * 2;
    x->slots = arena_zalloc(a, x->cap * sizeof(*x->slots));
    for (size_t i = 0; i < old.cap; i++) {
        if (old.slots[i].key.p != NULL) {
            *slot_of(x, old.slots[i].key) = old.slots[i];
        }
    }
}

struct canon_index_slot *canon_index_find(const struct canon_index *x, struct slice key)
{
    struct canon_index_slot *s;

    if (x->cap == 0 || key.p == NULL) {
        return NULL;
    }
    s = slot_of(x, key);
    return s->key.p == NULL ? NULL : s;
}

struct canon_index_slot *canon_index_add(struct canon_index *x, struct arena *a, struct slice key)
{
    struct canon_index_slot *s;

    if (2 * x->n >= x->cap) {
        grow(x, a);
    }
    s = slot_of(x, key.p == NULL ? SLICE("") : key);
    if (s->key.p == NULL) {
        s->key = key.p == NULL ? SLICE("") : key;
        x->n++;
    }
    return s;
}
