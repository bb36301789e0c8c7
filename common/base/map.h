// SPDX-License-Identifier: Apache-2.0
// Hash map from byte strings to pointers. Keys are copied, values borrowed. Iteration order is
// insertion order as long as nothing is removed.
#ifndef SLUICE_BASE_MAP_H
#define SLUICE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

struct map_entry {
    struct slice key; // owned by the map, NUL behind it; .p == NULL: removed
    uint64_t hash;
    void *value;
};

struct map {
    struct map_entry *entries; // owned; len used slots
    uint32_t *index;           // owned; open addressing into entries, 0 = empty
    size_t len, cap, index_cap, live;
};

// Empty; nothing is allocated.
void map_init(struct map *m);
// Frees keys and tables, not the values.
void map_done(struct map *m);
// NULL if absent.
void *map_get(const struct map *m, struct slice key);
// Inserts or replaces; returns the old value or NULL. value must not be NULL.
void *map_put(struct map *m, struct slice key, void *value);
// Removes; returns the old value or NULL.
void *map_del(struct map *m, struct slice key);
static inline size_t map_count(const struct map *m)
{
    return m->live;
}

// for (struct map_entry *e = ...): skips removed entries. Nothing may be put meanwhile; deleting
// the current entry is allowed.
struct map_entry *map_next(const struct map *m, const struct map_entry *after);
#define map_foreach(e, m)                                                                          \
    for (struct map_entry *e = map_next((m), NULL); e != NULL; e = map_next((m), e))

#endif
