// SPDX-License-Identifier: Apache-2.0
// Snapshots: one state of all resources, immutable, sharing what did not change with the one
// before.
//
//   snapshot N      table [ * | * | * | ... 4,096 ]      views: index of each small kind,
//                           |   |   |                           providers with keys, models
//                           v   v   v
//                         bucket: (hash, resource) (hash, resource) ...     ref-counted
//                               ^       ^
//   snapshot N+1    table [ *' | * | * | ... ]
//
// A resource is in the bucket that the hash of (kind, id) names. A delta copies the table (32 KiB),
// takes a reference to each bucket, and clones only the buckets it touches: with 100,000 keys a
// bucket holds about 25. Buckets own references to their resources, views only borrow them.
//
// Freeing a snapshot walks the table and may free a hundred thousand resources, so it never happens
// where the last reference is dropped: dead snapshots wait on a lock-free stack until the link
// thread calls snapshot_reap.
#include "dataplane/snapshot.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "dataplane/view.h"

#define BUCKETS     4096u
#define INDEX_KINDS (RESOURCE_KIND_MAX + 1)

struct slot {
    uint64_t hash;
    struct resource *r; // one reference
};

struct bucket {
    _Atomic uint32_t refs;
    uint32_t n, cap;
    struct slot slots[];
};

struct snapshot {
    _Atomic uint32_t refs;
    uint64_t seq, digest;
    uint8_t epoch[16];
    size_t counts[RESOURCE_KIND_MAX + 1];
    const struct resource_settings *settings; // of the settings resource, or the defaults
    struct view_index *index[INDEX_KINDS];    // NULL for keys and teams
    struct view_providers *providers;
    struct view_models *models;
    struct snapshot *next_retired;
    struct bucket *table[BUCKETS]; // NULL = empty
};

static struct snapshot *_Atomic retired; // stack, linked by next_retired

static const struct resource_settings default_settings = {
    .auth_mode = RESOURCE_AUTH_DEFAULT,
    .timeouts = {.total_us = 15 * 60 * MONO_SEC,
                 .connect_us = 10 * MONO_SEC,
                 .hold_us = 15 * MONO_SEC},
    .default_rtt_us = 250 * MONO_MS,
    .decay_us = 30 * MONO_SEC,
    .ejection_us = 30 * MONO_SEC,
    .max_attempts = 5,
    .cache = {.buckets = 1},
    .unified_cache = {.buckets = 1},
};

static bool kind_is_indexed(enum resource_kind kind)
{
    return kind != RESOURCE_KEY && kind != RESOURCE_TEAM && kind != RESOURCE_USER;
}

static bool kind_valid(enum resource_kind kind)
{
    return kind >= 1 && kind <= RESOURCE_KIND_MAX;
}

static uint64_t hash_of(enum resource_kind kind, struct slice id)
{
    return hash_bytes(hash_process_key(), id) ^ ((uint64_t)kind * 0x9e3779b97f4a7c15U);
}

// ---- buckets ---------------------------------------------------------------------------------

static struct bucket *bucket_new(const struct bucket *from, uint32_t cap)
{
    struct bucket *b = mem_alloc(sizeof(*b) + cap * sizeof(b->slots[0]));

    atomic_init(&b->refs, 1);
    b->cap = cap;
    b->n = from == NULL ? 0 : from->n;
    CHECK(b->n <= cap);
    for (uint32_t i = 0; i < b->n; i++) {
        b->slots[i] = from->slots[i];
        (void)resource_ref(b->slots[i].r);
    }
    return b;
}

static void bucket_unref(struct bucket *b)
{
    if (b == NULL || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < b->n; i++) {
        resource_unref(&b->slots[i].r);
    }
    mem_free(b);
}

static struct slot *bucket_find(struct bucket *b, enum resource_kind kind, struct slice id,
                                uint64_t hash)
{
    for (uint32_t i = 0; b != NULL && i < b->n; i++) {
        struct slot *s = &b->slots[i];

        if (s->hash == hash && s->r->kind == kind && slice_eq_str(id, s->r->id)) {
            return s;
        }
    }
    return NULL;
}

// ---- building: only while nobody else sees the snapshot ----------------------------------------

struct builder {
    struct snapshot *s;
    uint32_t touched;           // bit per kind
    unsigned char own[BUCKETS]; // this bucket belongs to s alone
};

// The bucket, made ours, with room for one more.
static struct bucket *own_bucket(struct builder *b, size_t at)
{
    struct bucket **place = &b->s->table[at];
    struct bucket *old = *place;
    uint32_t n = old == NULL ? 0 : old->n;

    if (!b->own[at] || old == NULL) {
        *place = bucket_new(old, n + 4);
        bucket_unref(old);
        b->own[at] = 1;
    } else if (n == old->cap) {
        old = mem_realloc_array(old, 1, sizeof(*old) + 2 * n * sizeof(old->slots[0]));
        old->cap = 2 * n;
        *place = old;
    }
    return *place;
}

static void account(struct builder *b, const struct resource *gone, const struct resource *come)
{
    if (gone != NULL) {
        b->s->digest ^= resource_digest(gone->kind, slice_str(gone->id), gone->version);
        b->s->counts[gone->kind]--;
        b->touched |= 1U << gone->kind;
    }
    if (come != NULL) {
        b->s->digest ^= resource_digest(come->kind, slice_str(come->id), come->version);
        b->s->counts[come->kind]++;
        b->touched |= 1U << come->kind;
    }
}

static void put(struct builder *b, struct resource *r)
{
    struct slice id = slice_str(r->id);
    uint64_t hash = hash_of(r->kind, id);
    struct bucket *bucket = own_bucket(b, hash % BUCKETS);
    struct slot *s = bucket_find(bucket, r->kind, id, hash);

    account(b, s == NULL ? NULL : s->r, r);
    if (s == NULL) {
        s = &bucket->slots[bucket->n++];
        s->hash = hash;
    } else {
        resource_unref(&s->r);
    }
    s->r = resource_ref(r);
}

static void take_out(struct builder *b, enum resource_kind kind, struct slice id)
{
    uint64_t hash = hash_of(kind, id);
    struct bucket *bucket = b->s->table[hash % BUCKETS];
    struct slot *s = bucket_find(bucket, kind, id, hash);

    if (s == NULL) {
        return;
    }
    bucket = own_bucket(b, hash % BUCKETS);
    s = bucket_find(bucket, kind, id, hash);
    account(b, s->r, NULL);
    resource_unref(&s->r);
    *s = bucket->slots[--bucket->n];
}

// ---- views -----------------------------------------------------------------------------------

// Every resource of a kind from the buckets; owned array of *ret_n.
static const struct resource **collect(const struct snapshot *s, enum resource_kind kind,
                                       size_t *ret_n)
{
    const struct resource **list = mem_zalloc_array(s->counts[kind] + 1, sizeof(struct resource *));
    size_t n = 0;

    for (size_t at = 0; at < BUCKETS; at++) {
        const struct bucket *b = s->table[at];

        for (uint32_t i = 0; b != NULL && i < b->n; i++) {
            if (b->slots[i].r->kind == kind) {
                list[n++] = b->slots[i].r;
            }
        }
    }
    CHECK(n == s->counts[kind]);
    *ret_n = n;
    return list;
}

static void insert_in_order(const struct resource **list, size_t n, const struct resource *r)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(list[middle]->id, r->id) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    memmove(list + low + 1, list + low, (n - low) * sizeof(struct resource *));
    list[low] = r;
}

// The index of the base with a delta worked in: cheaper than walking all buckets.
static struct view_index *index_after(const struct snapshot *s, enum resource_kind kind,
                                      const struct snapshot *base, const struct snapshot_delta *d)
{
    const struct view_index *old = base->index[kind];
    const struct resource **list =
        mem_zalloc_array(old->n + d->n_upserts + 1, sizeof(struct resource *));
    struct view_index *v;
    size_t n = 0;

    for (size_t i = 0; i < old->n; i++) {
        const struct resource *now = snapshot_find(s, kind, slice_str(old->r[i]->id));

        if (now != NULL) {
            list[n++] = now;
        }
    }
    for (size_t i = 0; i < d->n_upserts; i++) {
        const struct resource *r = d->upserts[i];

        // Not there before, and this is the one that stayed (an id may come twice).
        if (r->kind == kind && snapshot_find(base, kind, slice_str(r->id)) == NULL &&
            snapshot_find(s, kind, slice_str(r->id)) == r) {
            insert_in_order(list, n++, r);
        }
    }
    CHECK(n == s->counts[kind]);
    v = view_index_new(list, n, true);
    mem_free(list);
    return v;
}

static void build_index(struct builder *b, enum resource_kind kind, const struct snapshot *base,
                        const struct snapshot_delta *d)
{
    struct snapshot *s = b->s;

    if (base != NULL && (b->touched & (1U << kind)) == 0) {
        s->index[kind] = view_index_ref(base->index[kind]);
    } else if (base != NULL && d->n_upserts <= 64) {
        s->index[kind] = index_after(s, kind, base, d);
    } else {
        size_t n;
        const struct resource **list = collect(s, kind, &n);

        s->index[kind] = view_index_new(list, n, false);
        mem_free(list);
    }
}

static void build_views(struct builder *b, const struct snapshot *base,
                        const struct snapshot_delta *d)
{
    const uint32_t provider_kinds = 1U << RESOURCE_PROVIDER | 1U << RESOURCE_PROVIDER_KEY;
    struct snapshot *s = b->s;
    const struct resource *settings = snapshot_find(s, RESOURCE_SETTINGS, SLICE("global"));

    s->settings = settings == NULL ? &default_settings : settings->u.settings;
    for (unsigned kind = 1; kind <= RESOURCE_KIND_MAX; kind++) {
        if (kind_is_indexed(kind)) {
            build_index(b, kind, base, d);
        }
    }
    if (base != NULL && (b->touched & provider_kinds) == 0) {
        s->providers = view_providers_ref(base->providers);
    } else {
        s->providers =
            view_providers_new(s->index[RESOURCE_PROVIDER], s->index[RESOURCE_PROVIDER_KEY]);
    }
    if (base != NULL && (b->touched & 1U << RESOURCE_MODEL) == 0) {
        s->models = view_models_ref(base->models);
    } else {
        s->models = view_models_new(s->index[RESOURCE_MODEL]);
    }
}

// ---- life ------------------------------------------------------------------------------------

// Empty buckets of the size they will have: a hundred thousand keys fill them to the last slot.
static void make_room(struct builder *b, struct resource *const *all, size_t n)
{
    uint32_t *sizes = mem_zalloc_array(BUCKETS, sizeof(*sizes));

    for (size_t i = 0; i < n; i++) {
        sizes[hash_of(all[i]->kind, slice_str(all[i]->id)) % BUCKETS]++;
    }
    for (size_t at = 0; at < BUCKETS; at++) {
        if (sizes[at] > 0) {
            b->s->table[at] = bucket_new(NULL, sizes[at]);
            b->own[at] = 1;
        }
    }
    mem_free(sizes);
}

struct snapshot *snapshot_new(const uint8_t epoch[16], uint64_t seq, struct resource *const *all,
                              size_t n)
{
    struct builder b = {.s = mem_zalloc(sizeof(struct snapshot))};

    atomic_init(&b.s->refs, 1);
    b.s->seq = seq;
    memcpy(b.s->epoch, epoch, sizeof(b.s->epoch));
    make_room(&b, all, n);
    for (size_t i = 0; i < n; i++) {
        put(&b, all[i]);
    }
    build_views(&b, NULL, NULL);
    return b.s;
}

struct snapshot *snapshot_apply(const struct snapshot *base, const struct snapshot_delta *d)
{
    struct builder b = {.s = mem_zalloc(sizeof(struct snapshot))};

    CHECK(d->prev_seq == base->seq && d->seq > d->prev_seq);
    atomic_init(&b.s->refs, 1);
    b.s->seq = d->seq;
    b.s->digest = base->digest;
    memcpy(b.s->epoch, base->epoch, sizeof(b.s->epoch));
    memcpy(b.s->counts, base->counts, sizeof(b.s->counts));
    memcpy(b.s->table, base->table, sizeof(b.s->table));
    for (size_t i = 0; i < BUCKETS; i++) {
        if (b.s->table[i] != NULL) {
            atomic_fetch_add_explicit(&b.s->table[i]->refs, 1, memory_order_relaxed);
        }
    }
    for (size_t i = 0; i < d->n_deletes; i++) {
        take_out(&b, d->deletes[i].kind, slice_str(d->deletes[i].id));
    }
    for (size_t i = 0; i < d->n_upserts; i++) {
        put(&b, d->upserts[i]);
    }
    build_views(&b, base, d);
    return b.s;
}

static void snapshot_free(struct snapshot *s)
{
    view_providers_unref(&s->providers);
    view_models_unref(&s->models);
    for (size_t kind = 0; kind < INDEX_KINDS; kind++) {
        view_index_unref(&s->index[kind]);
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        bucket_unref(s->table[i]);
    }
    mem_free(s);
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    CHECK(atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed) > 0);
    return s;
}

void snapshot_unref(struct snapshot **s)
{
    struct snapshot *old = *s;

    *s = NULL;
    if (old == NULL || atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    old->next_retired = atomic_load_explicit(&retired, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&retired, &old->next_retired, old,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

void snapshot_reap(void)
{
    struct snapshot *s = atomic_exchange_explicit(&retired, NULL, memory_order_acquire);

    while (s != NULL) {
        struct snapshot *next = s->next_retired;

        snapshot_free(s);
        s = next;
    }
}

// ---- questions -------------------------------------------------------------------------------

uint64_t snapshot_seq(const struct snapshot *s)
{
    return s->seq;
}

const uint8_t *snapshot_epoch(const struct snapshot *s)
{
    return s->epoch;
}

uint64_t snapshot_digest(const struct snapshot *s)
{
    return s->digest;
}

size_t snapshot_count(const struct snapshot *s, enum resource_kind kind)
{
    return kind_valid(kind) ? s->counts[kind] : 0;
}

const struct resource *snapshot_find(const struct snapshot *s, enum resource_kind kind,
                                     struct slice id)
{
    uint64_t hash = hash_of(kind, id);
    const struct slot *slot = bucket_find(s->table[hash % BUCKETS], kind, id, hash);

    return slot == NULL ? NULL : slot->r;
}

const struct snapshot_provider *snapshot_provider(const struct snapshot *s, struct slice name)
{
    return view_providers_find(s->providers, name);
}

const struct snapshot_provider *const *snapshot_providers(const struct snapshot *s, size_t *ret_n)
{
    return view_providers_all(s->providers, ret_n);
}

const struct resource_settings *snapshot_settings(const struct snapshot *s)
{
    return s->settings;
}

bool snapshot_model_by_name(const struct snapshot *s, struct slice name, struct snapshot_model *ret)
{
    return view_models_by_name(s->models, name, ret);
}

bool snapshot_model_at(const struct snapshot *s, struct slice provider, struct slice id,
                       struct snapshot_model *ret)
{
    return view_models_at(s->models, provider, id, ret);
}

// Too many to keep in order for the one who asks.
static void each_unordered(const struct snapshot *s, enum resource_kind kind,
                           bool (*fn)(void *ctx, const struct resource *r), void *ctx)
{
    for (size_t at = 0; at < BUCKETS; at++) {
        const struct bucket *b = s->table[at];

        for (uint32_t i = 0; b != NULL && i < b->n; i++) {
            if (b->slots[i].r->kind == kind && !fn(ctx, b->slots[i].r)) {
                return;
            }
        }
    }
}

void snapshot_each(const struct snapshot *s, enum resource_kind kind,
                   bool (*fn)(void *ctx, const struct resource *r), void *ctx)
{
    struct view_index *v;

    CHECK(kind_valid(kind));
    if (!kind_is_indexed(kind)) {
        each_unordered(s, kind, fn, ctx);
        return;
    }
    v = view_index_ref(s->index[kind]);
    for (size_t i = 0; i < v->n && fn(ctx, v->r[i]); i++) {
    }
    view_index_unref(&v);
}
