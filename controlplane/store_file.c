// SPDX-License-Identifier: Apache-2.0
// The configuration file as one change: what it wants is compared, resource by resource, with what
// Redis has of origin file or environment; what differs is put, what is wanted no more is deleted.
// Equal means equal in every encoded byte but the version. The difference holds as long as no other
// file was applied since: the sum would be neither the one nor the other. What the API changes
// meanwhile is guarded by the versions of the resources.
#include <stdio.h>
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "common/io/json.h"
#include "controlplane/revision.h"
#include "controlplane/store.h"

static enum record_origin origin_of(const struct resource *r)
{
    if (r->kind == RESOURCE_PROVIDER_KEY && r->u.provider_key->origin != NULL &&
        strcmp(r->u.provider_key->origin, "env") == 0) {
        return RECORD_ENV;
    }
    return RECORD_FILE;
}

static const char *where_of(const struct store_file *f, size_t i)
{
    const struct resource *r = f->wanted[i];

    if (f->where != NULL && f->where[i] != NULL) {
        return f->where[i];
    }
    return r->kind == RESOURCE_ROUTER && r->u.router->where != NULL ? r->u.router->where : "";
}

static void encode_as(struct resource *r, uint64_t version, struct buf *out)
{
    uint64_t own = r->version;

    buf_clear(out);
    r->version = version;
    resource_encode(r, out);
    r->version = own;
}

static void wipe(struct buf *b)
{
    if (b->p != NULL) {
        mem_wipe(b->p, b->cap);
    }
    buf_done(b);
}

static int by_text(const void *a, const void *b)
{
    return memcmp(a, b, 32);
}

// Encoded without what this file fills in: those parts are not the configuration's.
static void encode_wanted(struct resource *r, struct buf *out)
{
    uint8_t hash_key[32];
    uint64_t created;

    if (r->kind == RESOURCE_SETTINGS) {
        memcpy(hash_key, r->u.settings->key_hash_key, sizeof(hash_key));
        memset(r->u.settings->key_hash_key, 0, sizeof(hash_key));
        encode_as(r, 0, out);
        memcpy(r->u.settings->key_hash_key, hash_key, sizeof(hash_key));
        mem_wipe(hash_key, sizeof(hash_key));
    } else if (r->kind == RESOURCE_KEY) {
        created = r->u.key->created_wall_us;
        r->u.key->created_wall_us = 0;
        encode_as(r, 0, out);
        r->u.key->created_wall_us = created;
    } else if (r->kind == RESOURCE_PROVIDER_KEY) {
        enum resource_state state = r->u.provider_key->state;

        r->u.provider_key->state = RESOURCE_ACTIVE;
        encode_as(r, 0, out);
        r->u.provider_key->state = state;
    } else {
        encode_as(r, 0, out);
    }
}

static bool is_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

// What the hash is keyed with, copied (encode_wanted takes it out of the resource meanwhile): the
// installation's key for hashing virtual keys, in force or about to be (made here if need be). It
// outlives master keys.
static void hash_key(struct store *s, const struct store_file *f, uint8_t out[32])
{
    const struct resource *old = state_find(store_state(s), RESOURCE_SETTINGS, SLICE("global"));

    memset(out, 0, 32);
    if (old != NULL) {
        memcpy(out, old->u.settings->key_hash_key, 32);
    }
    for (size_t i = 0; old == NULL && i < f->n; i++) {
        if (f->wanted[i]->kind == RESOURCE_SETTINGS) {
            uint8_t *key = f->wanted[i]->u.settings->key_hash_key;

            if (is_zero(key, 32)) {
                crypto_random(key, 32);
            }
            memcpy(out, key, 32);
        }
    }
}

void store_file_hash(struct store *s, const struct store_file *f, char out[STORE_DIGEST_HEX])
{
    uint8_t *hashes = mem_zalloc_array(f->n + 1, 32);
    uint8_t whole[32], key[32];
    struct slice all;
    struct buf b;

    buf_init(&b, RESOURCE_BYTES_MAX + 65536);
    hash_key(s, f, key);
    for (size_t i = 0; i < f->n; i++) {
        struct slice parts[2];

        encode_wanted(f->wanted[i], &b);
        parts[0] = buf_slice(&b);
        parts[1] = slice_str(record_origin_name(origin_of(f->wanted[i])));
        crypto_keyed_hash(hashes + 32 * i, 32, key, parts, 2);
    }
    wipe(&b);
    qsort(hashes, f->n, 32, by_text); // the order of the file does not matter
    all = SLICE_MAKE((const char *)hashes, 32 * f->n);
    crypto_keyed_hash(whole, sizeof(whole), key, &all, 1);
    text_hex(whole, sizeof(whole), out);
    mem_wipe(key, sizeof(key));
    mem_free(hashes);
}

// A router `default` that the API made.
static bool api_has_default(struct store *s)
{
    return state_find(store_state(s), RESOURCE_ROUTER, SLICE("default")) != NULL &&
           follow_owner(store_follow(s), RESOURCE_ROUTER, SLICE("default")) == NULL;
}

// What only the store knows about a resource of the file.
static void complete(struct store *s, struct resource *r, const struct resource *old,
                     uint64_t now_wall_us)
{
    if (r->kind == RESOURCE_SETTINGS) {
        if (old != NULL) {
            memcpy(r->u.settings->key_hash_key, old->u.settings->key_hash_key, 32);
        } else if (is_zero(r->u.settings->key_hash_key, 32)) {
            crypto_random(r->u.settings->key_hash_key, 32);
        }
        if (api_has_default(s)) {
            r->u.settings->default_router = "default";
        }
    }
    if (r->kind == RESOURCE_KEY && r->u.key->created_wall_us == 0) {
        r->u.key->created_wall_us = old != NULL && old->u.key->created_wall_us != 0
                                        ? old->u.key->created_wall_us
                                        : now_wall_us;
    }
    // A file says nothing of it: whoever drained the key decides when it comes back.
    if (r->kind == RESOURCE_PROVIDER_KEY && old != NULL) {
        r->u.provider_key->state = old->u.provider_key->state;
    }
}

// The same of the same owner, perhaps in another place of the file.
static bool same_content(struct store *s, struct resource *r, struct resource *old, struct buf *a,
                         struct buf *b)
{
    const struct follow_owner *owner = follow_owner(store_follow(s), r->kind, slice_str(r->id));
    struct resource *copy;

    if (owner == NULL || owner->origin != origin_of(r)) {
        return false;
    }
    // By way of the decoder, which puts defaults where nothing was said: `old` has been there.
    encode_as(r, old->version, a);
    copy = resource_decode(buf_slice(a), NULL);
    if (copy == NULL) {
        return false;
    }
    if (r->kind == RESOURCE_ROUTER) {
        copy->u.router->where = old->u.router->where;
    }
    encode_as(copy, old->version, a);
    encode_as(old, old->version, b);
    resource_unref(&copy);
    return slice_eq(buf_slice(a), buf_slice(b));
}

static bool same_place(struct store *s, const struct resource *r, const char *where)
{
    const struct follow_owner *owner = follow_owner(store_follow(s), r->kind, slice_str(r->id));

    return owner != NULL &&
           slice_eq(slice_str(owner->where), slice_head(slice_str(where), RECORD_WHERE_MAX));
}

struct diff {
    struct store_op *ops;
    size_t n, cap;
    struct map wanted; // fields that the file wants
    const struct store_file *f;
    struct store *s;
};

static struct store_op *diff_add(struct diff *d)
{
    if (d->n == d->cap) {
        d->cap = d->cap == 0 ? 64 : 2 * d->cap;
        d->ops = mem_realloc_array(d->ops, d->cap, sizeof(*d->ops));
    }
    d->ops[d->n] = (struct store_op){0};
    return &d->ops[d->n++];
}

// What the catalogue alone says gives way to what a person has set through the API.
static bool gives_way(struct store *s, const struct resource *r, const struct resource *old,
                      const char *where)
{
    return old != NULL && where[0] == '\0' &&
           (r->kind == RESOURCE_PROVIDER || r->kind == RESOURCE_MODEL) &&
           follow_owner(store_follow(s), r->kind, slice_str(r->id)) == NULL;
}

static void add_put(struct diff *d, size_t i, struct buf *a, struct buf *b)
{
    struct resource *r = d->f->wanted[i];
    struct resource *old = state_find(store_state(d->s), r->kind, slice_str(r->id));
    const char *where = where_of(d->f, i);
    struct store_op *op;
    bool moved;

    if (gives_way(d->s, r, old, where)) {
        return;
    }
    complete(d->s, r, old, d->f->now_wall_us);
    moved = old != NULL && same_content(d->s, r, old, a, b);
    if (moved && same_place(d->s, r, where)) {
        r->version = old->version;
        return;
    }
    r->version = old == NULL ? 1 : old->version + 1;
    op = diff_add(d);
    op->res = r;
    op->expected = old == NULL ? 0 : old->version;
    op->origin = origin_of(r);
    op->where = where;
    op->moved = moved;
}

static void add_delete(void *ctx, enum resource_kind kind, struct slice id,
                       const struct follow_owner *o)
{
    struct diff *d = ctx;
    char field[RECORD_FIELD_MAX];
    struct resource *old = state_find(store_state(d->s), kind, id);
    struct store_op *op;

    if (old == NULL || !record_field(kind, id, field) ||
        map_get(&d->wanted, slice_str(field)) != NULL ||
        (d->f->keep_env && o->origin == RECORD_ENV)) {
        return;
    }
    op = diff_add(d);
    op->kind = kind;
    op->id = slice_str(old->id); // lives until the state changes: longer than this call
    op->expected = old->version;
}

// Providers that a changed router names and that are not the file's must still be there.
static void add_needs(struct diff *d)
{
    size_t writes = d->n;

    for (size_t i = 0; i < writes; i++) {
        struct store_op needs[STORE_NEEDS_MAX];
        size_t n =
            d->ops[i].res == NULL ? 0 : store_needs(d->s, d->ops[i].res, needs, STORE_NEEDS_MAX);

        for (size_t k = 0; k < n; k++) {
            char field[RECORD_FIELD_MAX];

            // What it wants itself it writes itself, or takes from the state as it was compared.
            if (record_field(RESOURCE_PROVIDER, needs[k].id, field) &&
                map_get(&d->wanted, slice_str(field)) == NULL) {
                *diff_add(d) = needs[k];
            }
        }
    }
}

static void diff_init(struct diff *d, struct store *s, const struct store_file *f)
{
    struct buf a, b;

    *d = (struct diff){.s = s, .f = f};
    map_init(&d->wanted);
    buf_init(&a, RESOURCE_BYTES_MAX + 65536);
    buf_init(&b, RESOURCE_BYTES_MAX + 65536);
    for (size_t i = 0; i < f->n; i++) {
        char field[RECORD_FIELD_MAX];

        if (record_field(f->wanted[i]->kind, slice_str(f->wanted[i]->id), field)) {
            (void)map_put(&d->wanted, slice_str(field), f->wanted[i]); // a repeat replaces itself
            add_put(d, i, &a, &b);
        }
    }
    follow_each_owned(store_follow(s), add_delete, d);
    wipe(&a);
    wipe(&b);
}

static void diff_done(struct diff *d)
{
    map_done(&d->wanted);
    mem_free(d->ops);
}

size_t store_file_diff(struct store *s, const struct store_file *f,
                       void (*fn)(void *ctx, const struct store_file_change *c), void *ctx)
{
    struct diff d;
    size_t n;

    diff_init(&d, s, f);
    for (size_t i = 0; i < d.n && fn != NULL; i++) {
        const struct store_op *op = &d.ops[i];
        struct store_file_change c = {.kind = op->res != NULL ? op->res->kind : op->kind,
                                      .id = op->res != NULL ? slice_str(op->res->id) : op->id,
                                      .after = op->res,
                                      .moved = op->moved};

        c.before = state_find(store_state(s), c.kind, c.id);
        c.takes_over = c.before != NULL && follow_owner(store_follow(s), c.kind, c.id) == NULL;
        fn(ctx, &c);
    }
    n = d.n;
    diff_done(&d);
    return n;
}

// What the list of revisions says of this one; the script puts the sequence in front.
static void describe(const struct diff *d, const char *hash, struct buf *b)
{
    struct json_out o = json_out_to(b);
    char now[32];

    json_out_open(&o, '{');
    json_out_field_str(&o, "at", text_format_rfc3339(mono_wall_us(), now));
    json_out_field_str(&o, "actor", d->f->actor == NULL ? "file" : d->f->actor);
    json_out_field_str(&o, "source", d->f->source);
    json_out_field(&o, "hash", slice_head(slice_str(hash), 16));
    json_out_field_u64(&o, "changes", d->n);
    json_out_close(&o, '}');
}

void store_file_apply(struct store *s, const struct store_file *f, store_fn fn, void *arg,
                      size_t *ret_changes)
{
    struct store_change change = {.only_new = f->only_new,
                                  .exact = f->exact,
                                  .at_seq = f->exact ? f->at_seq : state_seq(store_state(s)),
                                  .audit = f->audit,
                                  .idempotency = f->idempotency,
                                  .digest = f->digest,
                                  .payload = f->payload};
    char hash[STORE_DIGEST_HEX], audit[256], now[32];
    struct buf about, set;
    struct diff d;

    store_file_hash(s, f, hash);
    diff_init(&d, s, f);
    *ret_changes = d.n;
    (void)snprintf(audit, sizeof(audit),
                   "{\"at\":\"%s\",\"action\":\"config.apply\",\"actor\":\"file\",\"changes\":%zu,"
                   "\"hash\":\"%.16s\"}",
                   text_format_rfc3339(mono_wall_us(), now), d.n, hash); // fits
    if (change.audit.n == 0) {
        change.audit = slice_str(audit);
    }
    buf_init(&about, 4096);
    buf_init(&set, REVISION_BYTES_MAX);
    describe(&d, hash, &about);
    for (size_t i = 0; i < f->n && d.n > 0; i++) {
        revision_add(&set, f->wanted[i], origin_of(f->wanted[i]), where_of(f, i), store_keys(s));
    }
    add_needs(&d);
    change.ops = d.ops;
    change.n = d.n;
    change.file_hash = slice_str(hash);
    change.revision = buf_slice(&about);
    change.revision_set = buf_slice(&set);
    store_commit(s, &change, fn, arg);
    buf_done(&about);
    buf_done(&set);
    diff_done(&d);
}
