// SPDX-License-Identifier: Apache-2.0
// From messages to snapshots.
//
//   delta  prev == seq of current   --> apply, then whatever kept deltas now fit
//          seq <= current           --> nothing (the other replica was faster)
//          prev > current           --> keep, gap
//   snapshot chunks, in order       --> list of resources --> new current --> kept deltas
//
// A resource that does not decode, or whose kind this version does not know, does not stop the
// rest: its previous version stays, and `shadows` remembers which version the control plane
// believes us to have, so that digests can still be compared:
//
//   digest = XOR over the snapshot, with each shadow's own version taken out and the announced put
//   in
#include "dataplane/sync.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define KEPT_MAX       4096u
#define KEPT_BYTES_MAX (16u * 1024 * 1024)
#define TOTAL_MAX      (4u * 1024 * 1024) // resources of a snapshot

// A delta that came too early.
struct kept {
    struct list_node node;
    uint8_t epoch[16];
    size_t n;
    char body[];
};

// A resource that we do not serve in the version that was announced.
struct shadow {
    uint32_t kind;
    uint64_t version; // announced
    bool bad;         // did not decode; false: unknown kind
    char message[200];
    char id[RESOURCE_ID_MAX + 1];
};

struct transfer {
    bool active;
    uint64_t snapshot, seq, digest, total;
    uint64_t received; // items, refused ones included
    uint32_t next;
    uint8_t epoch[16];
    struct resource **list; // owned references
    size_t n, cap;
    struct map shadows;
};

struct sync {
    struct snapshot *current; // one reference
    bool has_expected;        // an epoch of before, while there is no current
    uint8_t expected[16];
    struct map shadows; // "kind/id" -> struct shadow
    struct list kept;   // of struct kept
    size_t kept_bytes;
    struct transfer transfer;
    struct arena arena; // of the delta at hand
};

static const uint8_t no_epoch[16];

// ---- shadows ---------------------------------------------------------------------------------

struct shadow_key {
    char text[RESOURCE_ID_MAX + 16];
    struct slice s;
};

static void shadow_key(struct shadow_key *k, uint32_t kind, const char *id)
{
    size_t n = strlen(id);

    CHECK(n <= RESOURCE_ID_MAX);
    memcpy(k->text, &kind, sizeof(kind));
    memcpy(k->text + sizeof(kind), id, n);
    k->s = SLICE_MAKE(k->text, sizeof(kind) + n);
}

static void shadow_clear(struct map *m, uint32_t kind, const char *id)
{
    struct shadow_key k;

    shadow_key(&k, kind, id);
    mem_free(map_del(m, k.s));
}

static void shadow_put(struct map *m, const struct message_item *item, const struct err *bad)
{
    struct shadow *sh = mem_zalloc(sizeof(*sh));
    struct shadow_key k;

    sh->kind = item->kind;
    sh->version = item->version;
    memcpy(sh->id, item->id, strlen(item->id) + 1);
    sh->bad = bad != NULL;
    if (bad != NULL) {
        size_t n = strnlen(bad->message, sizeof(sh->message) - 1);

        memcpy(sh->message, bad->message, n);
    }
    shadow_key(&k, item->kind, item->id);
    mem_free(map_put(m, k.s, sh));
}

static void shadows_done(struct map *m)
{
    map_foreach (e, m) {
        mem_free(e->value);
    }
    map_done(m);
}

static bool kind_known(uint32_t kind)
{
    return kind >= 1 && kind <= RESOURCE_KIND_MAX;
}

// ---- life ------------------------------------------------------------------------------------

struct sync *sync_new(void)
{
    struct sync *s = mem_zalloc(sizeof(*s));

    map_init(&s->shadows);
    map_init(&s->transfer.shadows);
    list_init(&s->kept);
    arena_init(&s->arena, 16 * 1024, 0);
    return s;
}

static void kept_free(struct kept *k)
{
    mem_wipe(k->body, k->n); // may carry provider keys
    mem_free(k);
}

static void drop_kept(struct sync *s)
{
    struct list_node *n;

    while ((n = list_pop_front(&s->kept)) != NULL) {
        kept_free(container_of(n, struct kept, node));
    }
    s->kept_bytes = 0;
}

static void transfer_done(struct transfer *t)
{
    for (size_t i = 0; i < t->n; i++) {
        resource_unref(&t->list[i]);
    }
    mem_free(t->list);
    shadows_done(&t->shadows);
    *t = (struct transfer){.active = false};
}

void sync_free(struct sync **sp)
{
    struct sync *s = *sp;

    *sp = NULL;
    if (s == NULL) {
        return;
    }
    snapshot_unref(&s->current);
    transfer_done(&s->transfer);
    drop_kept(s);
    shadows_done(&s->shadows);
    arena_done(&s->arena);
    mem_free(s);
}

struct snapshot *sync_current(const struct sync *s)
{
    return s->current;
}

const uint8_t *sync_epoch(const struct sync *s)
{
    return s->current == NULL ? no_epoch : snapshot_epoch(s->current);
}

uint64_t sync_seq(const struct sync *s)
{
    return s->current == NULL ? 0 : snapshot_seq(s->current);
}

static uint64_t announced_digest(const struct snapshot *snap, const struct map *shadows)
{
    uint64_t d = snapshot_digest(snap);

    map_foreach (e, shadows) {
        const struct shadow *sh = e->value;
        struct slice id = slice_str(sh->id);

        if (kind_known(sh->kind)) {
            const struct resource *have = snapshot_find(snap, sh->kind, id);

            d ^= have == NULL ? 0 : resource_digest(sh->kind, id, have->version);
        }
        d ^= resource_digest(sh->kind, id, sh->version);
    }
    return d;
}

uint64_t sync_digest(const struct sync *s)
{
    return s->current == NULL ? 0 : announced_digest(s->current, &s->shadows);
}

void sync_expect(struct sync *s, const uint8_t epoch[16])
{
    memcpy(s->expected, epoch, sizeof(s->expected));
    s->has_expected = true;
}

void sync_restore(struct sync *s, struct snapshot *snap)
{
    CHECK(s->current == NULL);
    s->current = snap;
}

// ---- items -----------------------------------------------------------------------------------

static bool has_fit_id(const char *id)
{
    size_t n = strlen(id);

    return n > 0 && n <= RESOURCE_ID_MAX;
}

static void wipe_secret(const struct message_item *item)
{
    char *secret;

    if (item->kind == RESOURCE_PROVIDER_KEY || item->kind == RESOURCE_SETTINGS) {
        // The bytes are a copy in the message's arena, which nobody else will look at.
        memcpy(&secret, &item->resource.p, sizeof(secret));
        mem_wipe(secret, item->resource.n);
    }
}

// The decoded resource, or NULL when it goes into the shadows. *ret_fatal: cannot even be named.
static struct resource *take_item(const struct message_item *item, struct map *shadows,
                                  bool *ret_fatal)
{
    struct resource *r;
    struct err e = {0};

    *ret_fatal = !has_fit_id(item->id);
    if (*ret_fatal) {
        return NULL;
    }
    if (!kind_known(item->kind)) {
        shadow_put(shadows, item, NULL);
        return NULL;
    }
    r = resource_decode(item->resource, &e);
    wipe_secret(item);
    if (r != NULL &&
        (r->kind != item->kind || r->version != item->version || strcmp(r->id, item->id) != 0)) {
        err_set(&e, ERR_INVALID, "it is not the resource it was announced as");
        resource_unref(&r);
    }
    if (r == NULL) {
        shadow_put(shadows, item, &e);
    } else {
        shadow_clear(shadows, item->kind, item->id);
    }
    return r;
}

// ---- deltas ----------------------------------------------------------------------------------

static bool apply(struct sync *s, const struct message_delta *d, struct err *e)
{
    struct snapshot_delta sd = {.prev_seq = d->prev_seq, .seq = d->seq};
    struct resource **upserts = arena_alloc(&s->arena, d->n_upserts * sizeof(*upserts) + 1);
    struct snapshot_delete *deletes = arena_alloc(&s->arena, d->n_deletes * sizeof(*deletes) + 1);
    struct snapshot *next;
    bool fatal = false;

    for (size_t i = 0; i < d->n_upserts && !fatal; i++) {
        struct resource *r = take_item(&d->upserts[i], &s->shadows, &fatal);

        if (r != NULL) {
            upserts[sd.n_upserts++] = r;
        }
    }
    for (size_t i = 0; i < d->n_deletes && !fatal; i++) {
        const struct message_ref *ref = &d->deletes[i];

        fatal = !has_fit_id(ref->id);
        if (!fatal) {
            shadow_clear(&s->shadows, ref->kind, ref->id);
        }
        if (!fatal && kind_known(ref->kind)) {
            deletes[sd.n_deletes++] = (struct snapshot_delete){ref->kind, ref->id};
        }
    }
    sd.upserts = upserts;
    sd.deletes = deletes;
    next = fatal ? NULL : snapshot_apply(s->current, &sd);
    for (size_t i = 0; i < sd.n_upserts; i++) {
        resource_unref(&upserts[i]);
    }
    if (next == NULL) {
        return err_set(e, ERR_INVALID, "delta %llu: an id is empty or longer than %u bytes",
                       (unsigned long long)d->seq, RESOURCE_ID_MAX);
    }
    snapshot_unref(&s->current);
    s->current = next;
    return true;
}

static void keep(struct sync *s, const uint8_t epoch[16], struct slice body)
{
    struct kept *k;

    if (s->kept.count >= KEPT_MAX || body.n > KEPT_BYTES_MAX - s->kept_bytes) {
        // Whatever is dropped here will be missed, found missing by the next heartbeat and fetched
        // as a snapshot: cheaper than all these deltas anyway.
        drop_kept(s);
        return;
    }
    k = mem_try_alloc(sizeof(*k) + body.n);
    if (k == NULL) {
        return;
    }
    *k = (struct kept){.n = body.n};
    memcpy(k->epoch, epoch, sizeof(k->epoch));
    memcpy(k->body, body.p, body.n);
    list_push_back(&s->kept, &k->node);
    s->kept_bytes += body.n;
}

// The copies of provider keys in a delta that is not applied (now).
static void wipe_items(const struct message_delta *d)
{
    for (size_t i = 0; i < d->n_upserts; i++) {
        char *bytes;

        memcpy(&bytes, &d->upserts[i].resource.p, sizeof(bytes)); // ours, in the arena
        mem_wipe(bytes, d->upserts[i].resource.n);
    }
}

// ADVANCED: it is the next one.
static enum sync_step place(const struct sync *s, const uint8_t epoch[16],
                            const struct message_delta *d)
{
    if (s->current == NULL || memcmp(epoch, sync_epoch(s), 16) != 0) {
        return SYNC_GAP;
    }
    if (d->seq <= sync_seq(s)) {
        return SYNC_NOTHING;
    }
    return d->announced || d->prev_seq != sync_seq(s) ? SYNC_GAP : SYNC_ADVANCED;
}

// One delta against the current snapshot; does not keep it.
static enum sync_step consider(struct sync *s, const uint8_t epoch[16], struct slice body,
                               struct err *e)
{
    enum sync_step step;
    struct message m;

    arena_reset(&s->arena);
    if (!message_decode(MESSAGE_DELTA, body, &s->arena, &m, e)) {
        return SYNC_BAD;
    }
    step = place(s, epoch, &m.u.delta);
    if (step != SYNC_ADVANCED) {
        wipe_items(&m.u.delta);
        return step;
    }
    return apply(s, &m.u.delta, e) ? SYNC_ADVANCED : SYNC_BAD;
}

// Applies kept deltas as long as one fits, drops those that are over.
static bool drain_kept(struct sync *s)
{
    bool advanced = false, again = true;

    while (again) {
        again = false;
        list_foreach_safe (n, &s->kept) {
            struct kept *k = container_of(n, struct kept, node);
            enum sync_step step = consider(s, k->epoch, SLICE_MAKE(k->body, k->n), NULL);

            if (step == SYNC_GAP) {
                continue;
            }
            advanced |= step == SYNC_ADVANCED;
            again |= step == SYNC_ADVANCED;
            list_remove(&s->kept, n);
            s->kept_bytes -= k->n;
            kept_free(k);
        }
    }
    return advanced;
}

enum sync_step sync_delta(struct sync *s, const uint8_t epoch[16], struct slice body, struct err *e)
{
    enum sync_step step = consider(s, epoch, body, e);

    if (step == SYNC_GAP) {
        keep(s, epoch, body);
    } else if (step == SYNC_ADVANCED && s->kept.count > 0) {
        (void)drain_kept(s);
    }
    return step;
}

enum sync_step sync_compare(const struct sync *s, const uint8_t epoch[16], uint64_t seq,
                            uint64_t digest)
{
    if (s->current == NULL || memcmp(epoch, sync_epoch(s), 16) != 0) {
        return SYNC_GAP;
    }
    if (seq != sync_seq(s)) {
        return seq > sync_seq(s) ? SYNC_GAP : SYNC_NOTHING;
    }
    return digest == sync_digest(s) ? SYNC_NOTHING : SYNC_DIVERGED;
}

// ---- snapshots -------------------------------------------------------------------------------

void sync_transfer_begin(struct sync *s)
{
    transfer_done(&s->transfer);
    map_init(&s->transfer.shadows);
    s->transfer.active = true;
}

uint64_t sync_transfer_snapshot(const struct sync *s)
{
    return s->transfer.snapshot;
}

uint32_t sync_transfer_next(const struct sync *s)
{
    return s->transfer.next;
}

static bool names_as_superseded(const struct message_sync_chunk *c, const uint8_t epoch[16])
{
    for (size_t i = 0; i + 16 <= c->supersedes.n; i += 16) {
        if (memcmp(c->supersedes.p + i, epoch, 16) == 0) {
            return true;
        }
    }
    return false;
}

// May a state of this epoch follow ours?
static bool check_succession(const struct sync *s, const uint8_t epoch[16],
                             const struct message_sync_chunk *c, struct err *e)
{
    const uint8_t *ours = s->current != NULL ? sync_epoch(s) : s->has_expected ? s->expected : NULL;
    char hex[33];

    if (ours == NULL) {
        return true;
    }
    if (memcmp(epoch, ours, 16) != 0) {
        if (names_as_superseded(c, ours)) {
            return true;
        }
        text_hex(ours, 16, hex);
        return err_set(
            e, ERR_CONFLICT,
            "the control plane's state has another origin (epoch) than ours (%s) and does not "
            "name it as superseded: run `sluice recover --adopt`, or start this proxy "
            "on an empty data directory",
            hex);
    }
    if (c->seq < sync_seq(s)) {
        return err_set(e, ERR_UNAVAILABLE, "snapshot %llu is behind ours (%llu)",
                       (unsigned long long)c->seq, (unsigned long long)sync_seq(s));
    }
    return true;
}

static bool check_chunk(struct sync *s, const uint8_t epoch[16], const struct message_sync_chunk *c,
                        struct err *e)
{
    struct transfer *t = &s->transfer;

    if (!t->active || c->chunk != t->next || c->snapshot == 0 || c->current) {
        return err_set(e, ERR_INVALID, "not the chunk that was asked for");
    }
    if (c->chunk == 0) {
        if (!check_succession(s, epoch, c, e)) {
            return false;
        }
        if (c->total > TOTAL_MAX) {
            return err_set(e, ERR_TOO_LARGE, "more than %u resources", TOTAL_MAX);
        }
        t->snapshot = c->snapshot;
        t->seq = c->seq;
        t->digest = c->digest;
        t->total = c->total;
        memcpy(t->epoch, epoch, sizeof(t->epoch));
        return true;
    }
    return (c->snapshot == t->snapshot && c->seq == t->seq && c->digest == t->digest &&
            c->total == t->total && memcmp(epoch, t->epoch, sizeof(t->epoch)) == 0) ||
           err_set(e, ERR_INVALID, "chunks of different snapshots");
}

static void transfer_add(struct transfer *t, struct resource *r)
{
    if (t->n == t->cap) {
        t->cap = t->cap == 0 ? 1024 : 2 * t->cap;
        t->list = mem_realloc_array(t->list, t->cap, sizeof(struct resource *));
    }
    t->list[t->n++] = r;
}

// What we serve under this name; NULL: nothing.
static struct resource *find_current(const struct sync *s, const struct message_item *item)
{
    const struct resource *old;
    struct resource *r;

    if (s->current == NULL || !kind_known(item->kind) || !has_fit_id(item->id)) {
        return NULL;
    }
    old = snapshot_find(s->current, item->kind, slice_str(item->id));
    memcpy(&r, &old, sizeof(struct resource *)); // counting references is not changing it
    return r;
}

// A snapshot mostly says what we have already. Within an epoch a version of a resource never
// changes: taken over as it is, a snapshot costs neither the memory nor the time of a second copy.
static bool take_over(struct sync *s, const struct message_item *item)
{
    struct resource *old = s->current == NULL || memcmp(s->transfer.epoch, sync_epoch(s), 16) != 0
                               ? NULL
                               : find_current(s, item);

    if (old == NULL || old->version != item->version) {
        return false;
    }
    wipe_secret(item);
    transfer_add(&s->transfer, resource_ref(old));
    return true;
}

// What we serve of a refused resource: the version before.
static void keep_previous(struct sync *s, const struct message_item *item)
{
    struct resource *old = find_current(s, item);

    if (old != NULL) {
        transfer_add(&s->transfer, resource_ref(old));
    }
}

static bool take_items(struct sync *s, const struct message_sync_chunk *c, struct err *e)
{
    struct transfer *t = &s->transfer;

    t->received += c->n_items;
    if (t->received > t->total || (c->n_items == 0 && !c->last) ||
        (c->last && t->received != t->total)) {
        return err_set(e, ERR_INVALID, "snapshot with a wrong number of resources");
    }
    for (size_t i = 0; i < c->n_items; i++) {
        struct resource *r;
        bool fatal;

        if (take_over(s, &c->items[i])) {
            continue;
        }
        r = take_item(&c->items[i], &t->shadows, &fatal);
        if (fatal) {
            return err_set(e, ERR_INVALID, "an id is empty or longer than %u bytes",
                           RESOURCE_ID_MAX);
        }
        if (r != NULL) {
            transfer_add(t, r);
        } else {
            keep_previous(s, &c->items[i]);
        }
    }
    return true;
}

static void finish(struct sync *s)
{
    struct transfer *t = &s->transfer;
    struct snapshot *next = snapshot_new(t->epoch, t->seq, t->list, t->n);

    snapshot_unref(&s->current);
    s->current = next;
    shadows_done(&s->shadows);
    s->shadows = t->shadows; // moved
    map_init(&t->shadows);
    transfer_done(t);
    (void)drain_kept(s);
    // What is left belongs to another epoch or lies beyond a gap that the next heartbeat shows.
}

enum sync_transfer sync_transfer_chunk(struct sync *s, const uint8_t epoch[16],
                                       const struct message_sync_chunk *c, struct err *e)
{
    if (!check_chunk(s, epoch, c, e) || !take_items(s, c, e)) {
        transfer_done(&s->transfer);
        return SYNC_TRANSFER_BAD;
    }
    if (!c->last) {
        s->transfer.next++;
        return SYNC_TRANSFER_MORE;
    }
    finish(s);
    return SYNC_TRANSFER_DONE;
}

// ---- refused resources -------------------------------------------------------------------------

size_t sync_error_count(const struct sync *s)
{
    size_t n = 0;

    map_foreach (e, &s->shadows) {
        n += ((const struct shadow *)e->value)->bad;
    }
    return n;
}

const struct message_resource_error *sync_errors(const struct sync *s, struct arena *arena,
                                                 size_t max, size_t *ret_n)
{
    struct message_resource_error *list = arena_alloc(arena, max * sizeof(*list) + 1);
    size_t n = 0;

    map_foreach (e, &s->shadows) {
        const struct shadow *sh = e->value;

        if (sh->bad && n < max) {
            list[n++] = (struct message_resource_error){
                .kind = sh->kind,
                .id = arena_strdup(arena, sh->id),
                .version = sh->version,
                .message = arena_strdup(arena, sh->message),
            };
        }
    }
    *ret_n = n;
    return list;
}
