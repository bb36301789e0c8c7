// SPDX-License-Identifier: Apache-2.0
// Each kind is an array of references sorted by id: a lookup is a binary search, a listing with a
// cursor starts at one, and an insertion moves pointers (100,000 keys: 800 kB at most, some 20 us,
// at the rate at which people change keys).
//
// A full load is told to listeners as a change from 0 with everything in it: whoever followed from
// another sequence sees that it does not connect and asks for a snapshot.
#include "controlplane/state.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/mem.h"

struct kind_table {
    struct resource **items; // owned references, in order of id
    size_t n, cap;
};

struct state {
    uint8_t epoch[STATE_EPOCH_BYTES];
    uint64_t seq, digest;
    bool ready;
    struct kind_table kinds[RESOURCE_KIND_MAX + 1]; // by enum resource_kind
    struct list listeners;                          // of struct state_listener, borrowed
};

struct state *state_new(void)
{
    struct state *s = mem_zalloc(sizeof(*s));

    list_init(&s->listeners);
    return s;
}

static void table_clear(struct kind_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        resource_unref(&t->items[i]);
    }
    t->n = 0;
}

void state_free(struct state **sp)
{
    struct state *s = *sp;

    if (s == NULL) {
        return;
    }
    *sp = NULL;
    for (size_t k = 0; k <= RESOURCE_KIND_MAX; k++) {
        table_clear(&s->kinds[k]);
        mem_free(s->kinds[k].items);
    }
    mem_free(s);
}

bool state_ready(const struct state *s)
{
    return s->ready;
}

const uint8_t *state_epoch(const struct state *s)
{
    return s->epoch;
}

uint64_t state_seq(const struct state *s)
{
    return s->seq;
}

uint64_t state_digest(const struct state *s)
{
    return s->digest;
}

static bool known_kind(enum resource_kind kind)
{
    return kind >= 1 && kind <= RESOURCE_KIND_MAX;
}

// Index of the first item whose id is >= id.
static size_t lower_bound(const struct kind_table *t, struct slice id)
{
    size_t lo = 0, hi = t->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(slice_str(t->items[mid]->id), id) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static bool holds(const struct kind_table *t, size_t at, struct slice id)
{
    return at < t->n && slice_eq_str(id, t->items[at]->id);
}

struct resource *state_find(const struct state *s, enum resource_kind kind, struct slice id)
{
    const struct kind_table *t;
    size_t at;

    if (!known_kind(kind)) {
        return NULL;
    }
    t = &s->kinds[kind];
    at = lower_bound(t, id);
    return holds(t, at, id) ? t->items[at] : NULL;
}

size_t state_count(const struct state *s, enum resource_kind kind)
{
    return known_kind(kind) ? s->kinds[kind].n : 0;
}

// False: stopped by fn.
static bool each_of(const struct kind_table *t, size_t from,
                    bool (*fn)(void *ctx, struct resource *r), void *ctx)
{
    for (size_t i = from; i < t->n; i++) {
        if (!fn(ctx, t->items[i])) {
            return false;
        }
    }
    return true;
}

void state_each(const struct state *s, enum resource_kind kind, struct slice after,
                bool (*fn)(void *ctx, struct resource *r), void *ctx)
{
    if (known_kind(kind)) {
        const struct kind_table *t = &s->kinds[kind];
        size_t at = after.p == NULL ? 0 : lower_bound(t, after);

        (void)each_of(t, holds(t, at, after) ? at + 1 : at, fn, ctx); // stopped or not: done
        return;
    }
    for (size_t k = 1; k <= RESOURCE_KIND_MAX; k++) {
        if (!each_of(&s->kinds[k], 0, fn, ctx)) {
            return;
        }
    }
}

void state_listen(struct state *s, struct state_listener *l)
{
    list_push_back(&s->listeners, &l->node);
}

void state_unlisten(struct state *s, struct state_listener *l)
{
    if (list_in_one(&l->node)) {
        list_remove(&s->listeners, &l->node);
    }
}

static void tell(struct state *s, const struct state_change *c)
{
    list_foreach_safe (n, &s->listeners) {
        struct state_listener *l = container_of(n, struct state_listener, node);

        l->fn(l, c);
    }
}

static uint64_t digest_of(const struct resource *r)
{
    return resource_digest(r->kind, slice_str(r->id), r->version);
}

static void table_reserve(struct kind_table *t)
{
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 16 : t->cap * 2;
        t->items = mem_realloc_array(t->items, t->cap, sizeof(struct resource *));
    }
}

static void upsert(struct state *s, struct resource *r)
{
    struct kind_table *t = &s->kinds[r->kind];
    size_t at = lower_bound(t, slice_str(r->id));

    if (holds(t, at, slice_str(r->id))) {
        s->digest ^= digest_of(t->items[at]);
        resource_unref(&t->items[at]);
    } else {
        table_reserve(t);
        memmove(t->items + at + 1, t->items + at, (t->n - at) * sizeof(struct resource *));
        t->n++;
    }
    t->items[at] = resource_ref(r);
    s->digest ^= digest_of(r);
}

static void drop(struct state *s, enum resource_kind kind, struct slice id)
{
    struct kind_table *t = &s->kinds[kind];
    size_t at = lower_bound(t, id);

    if (!holds(t, at, id)) {
        return;
    }
    s->digest ^= digest_of(t->items[at]);
    resource_unref(&t->items[at]);
    t->n--;
    memmove(t->items + at, t->items + at + 1, (t->n - at) * sizeof(struct resource *));
}

static int by_id(const void *a, const void *b)
{
    const struct resource *const *x = a, *const *y = b;

    return slice_cmp(slice_str((*x)->id), slice_str((*y)->id));
}

void state_load(struct state *s, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq,
                struct resource *const *all, size_t n)
{
    const struct state_change change = {.prev_seq = 0, .seq = seq, .upserts = all, .n_upserts = n};

    for (size_t k = 0; k <= RESOURCE_KIND_MAX; k++) {
        table_clear(&s->kinds[k]);
    }
    s->digest = 0;
    for (size_t i = 0; i < n; i++) {
        struct kind_table *t = &s->kinds[all[i]->kind];

        CHECK(known_kind(all[i]->kind));
        table_reserve(t);
        t->items[t->n++] = resource_ref(all[i]);
        s->digest ^= digest_of(all[i]);
    }
    for (size_t k = 1; k <= RESOURCE_KIND_MAX; k++) {
        if (s->kinds[k].n > 0) {
            qsort(s->kinds[k].items, s->kinds[k].n, sizeof(struct resource *), by_id);
        }
    }
    memcpy(s->epoch, epoch, STATE_EPOCH_BYTES);
    s->seq = seq;
    s->ready = true;
    tell(s, &change);
}

bool state_apply(struct state *s, const struct state_change *c)
{
    if (!s->ready || c->prev_seq != s->seq || c->seq <= c->prev_seq) {
        return false;
    }
    for (size_t i = 0; i < c->n_deletes; i++) {
        if (known_kind(c->deletes[i].kind)) {
            drop(s, c->deletes[i].kind, slice_str(c->deletes[i].id));
        }
    }
    for (size_t i = 0; i < c->n_upserts; i++) {
        CHECK(known_kind(c->upserts[i]->kind));
        upsert(s, c->upserts[i]);
    }
    s->seq = c->seq;
    tell(s, c);
    return true;
}
