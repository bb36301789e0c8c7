// SPDX-License-Identifier: Apache-2.0
// Hash map as a dense array of entries (insertion order) and an index of slots into it.
//
//   index    [ 0 | 3 | 0 | 1 | 2 | 0 | ... ]   value = entry number + 1, 0 = empty; linear probing
//   entries  [ e0 | e1 | e2 | ... ]            removed entries stay, key.p == NULL
//
// A removed entry keeps its index slot, so probing walks over it; both go away when the table is
// rebuilt, which happens when the entries are full. The index is twice the entries, so a probe
// always ends.
#include "common/base/map.h"

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"

#define MAP_FIRST_CAP 8

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->len; i++) {
        mem_free((char *)(uintptr_t)m->entries[i].key.p);
    }
    mem_free(m->entries);
    mem_free(m->index);
    map_init(m);
}

static struct map_entry *find(const struct map *m, struct slice key, uint64_t hash)
{
    size_t mask = m->index_cap - 1;

    if (m->live == 0) {
        return NULL;
    }
    for (size_t at = hash & mask; m->index[at] != 0; at = (at + 1) & mask) {
        struct map_entry *e = &m->entries[m->index[at] - 1];

        if (e->hash == hash && e->key.p != NULL && slice_eq(e->key, key)) {
            return e;
        }
    }
    return NULL;
}

static void index_add(struct map *m, uint64_t hash, size_t entry)
{
    size_t mask = m->index_cap - 1;
    size_t at = hash & mask;

    while (m->index[at] != 0) {
        at = (at + 1) & mask;
    }
    m->index[at] = (uint32_t)(entry + 1);
}

// Drops removed entries, doubles if more than half would still be in use, indexes anew.
static void rebuild(struct map *m)
{
    size_t cap = m->cap == 0 ? MAP_FIRST_CAP : m->live > m->cap / 2 ? m->cap * 2 : m->cap;
    size_t kept = 0;

    CHECK(cap < UINT32_MAX / 2);
    for (size_t i = 0; i < m->len; i++) {
        if (m->entries[i].key.p != NULL) {
            m->entries[kept++] = m->entries[i];
        }
    }
    m->len = kept;
    if (cap != m->cap) {
        m->entries = mem_realloc_array(m->entries, cap, sizeof(*m->entries));
        m->cap = cap;
    }
    mem_free(m->index);
    m->index_cap = cap * 2;
    m->index = mem_zalloc_array(m->index_cap, sizeof(*m->index));
    for (size_t i = 0; i < m->len; i++) {
        index_add(m, m->entries[i].hash, i);
    }
}

void *map_get(const struct map *m, struct slice key)
{
    const struct map_entry *e;

    if (m->live == 0) {
        return NULL;
    }
    e = find(m, key, hash_bytes(hash_process_key(), key));
    return e == NULL ? NULL : e->value;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    uint64_t hash = hash_bytes(hash_process_key(), key);
    struct map_entry *e = find(m, key, hash);

    CHECK(value != NULL);
    if (e != NULL) {
        void *old = e->value;

        e->value = value;
        return old;
    }
    if (m->len == m->cap) {
        rebuild(m);
    }
    m->entries[m->len] = (struct map_entry){
        .key = {mem_strndup(key.p, key.n), key.n},
        .hash = hash,
        .value = value,
    };
    index_add(m, hash, m->len);
    m->len++;
    m->live++;
    return NULL;
}

void *map_del(struct map *m, struct slice key)
{
    struct map_entry *e;
    void *old;

    if (m->live == 0) {
        return NULL;
    }
    e = find(m, key, hash_bytes(hash_process_key(), key));
    if (e == NULL) {
        return NULL;
    }
    old = e->value;
    // The caller's key may be this very key: nothing reads it from here on.
    mem_free((char *)(uintptr_t)e->key.p);
    e->key = SLICE_NULL;
    e->value = NULL;
    m->live--;
    return old;
}

struct map_entry *map_next(const struct map *m, const struct map_entry *after)
{
    size_t i = after == NULL ? 0 : (size_t)(after - m->entries) + 1;

    while (i < m->len && m->entries[i].key.p == NULL) {
        i++;
    }
    return i < m->len ? &m->entries[i] : NULL;
}
