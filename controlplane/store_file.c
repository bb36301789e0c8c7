// SPDX-License-Identifier: Apache-2.0
// The configuration file as one change: what it wants is compared, resource by resource, with what
// Redis has of origin file or environment; what differs is put, what is wanted no more is deleted.
// Equal means equal in every encoded byte but the version.
#include <stdio.h>
#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/text.h"
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

// What the hash is keyed with: the installation's key for hashing virtual keys, in force or about
// to be (made here if need be). It outlives master keys.
static const uint8_t *hash_key(struct store *s, const struct store_file *f)
{
    const struct resource *old = state_find(store_state(s), RESOURCE_SETTINGS, SLICE("global"));

    for (size_t i = 0; old == NULL && i < f->n; i++) {
        if (f->wanted[i]->kind == RESOURCE_SETTINGS) {
            uint8_t *key = f->wanted[i]->u.settings->key_hash_key;

            if (is_zero(key, 32)) {
                crypto_random(key, 32);
            }
            return key;
        }
    }
    return old == NULL ? NULL : old->u.settings->key_hash_key;
}

void store_file_hash(struct store *s, const struct store_file *f, char out[STORE_DIGEST_HEX])
{
    uint8_t *hashes = mem_zalloc_array(f->n + 1, 32);
    uint8_t whole[32], key[32] = {0};
    struct slice all;
    struct buf b;

    buf_init(&b, RESOURCE_BYTES_MAX + 65536);
    if (hash_key(s, f) != NULL) { // copied: encode_wanted takes it out of the resource meanwhile
        memcpy(key, hash_key(s, f), sizeof(key));
    }
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

// What only the store knows about a resource of the file.
static void complete(struct resource *r, const struct resource *old, uint64_t now_wall_us)
{
    if (r->kind == RESOURCE_SETTINGS) {
        if (old != NULL) {
            memcpy(r->u.settings->key_hash_key, old->u.settings->key_hash_key, 32);
        } else if (is_zero(r->u.settings->key_hash_key, 32)) {
            crypto_random(r->u.settings->key_hash_key, 32);
        }
    }
    if (r->kind == RESOURCE_KEY && r->u.key->created_wall_us == 0) {
        r->u.key->created_wall_us = old != NULL && old->u.key->created_wall_us != 0
                                        ? old->u.key->created_wall_us
                                        : now_wall_us;
    }
}

static bool same(struct store *s, struct resource *r, struct resource *old, const char *where,
                 struct buf *a, struct buf *b)
{
    const struct follow_owner *owner = follow_owner(store_follow(s), r->kind, slice_str(r->id));
    struct resource *copy;

    if (owner == NULL || owner->origin != origin_of(r) ||
        !slice_eq(slice_str(owner->where), slice_head(slice_str(where), RECORD_WHERE_MAX))) {
        return false;
    }
    // By way of the decoder, which puts defaults where nothing was said: `old` has been there.
    encode_as(r, old->version, a);
    copy = resource_decode(buf_slice(a), NULL);
    if (copy == NULL) {
        return false;
    }
    encode_as(copy, old->version, a);
    encode_as(old, old->version, b);
    resource_unref(&copy);
    return slice_eq(buf_slice(a), buf_slice(b));
}

struct diff {
    struct store_op *ops;
    size_t n, cap;
    struct map wanted; // fields that the file wants
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

static void add_put(struct diff *d, const struct store_file *f, size_t i, struct buf *a,
                    struct buf *b)
{
    struct resource *r = f->wanted[i];
    struct resource *old = state_find(store_state(d->s), r->kind, slice_str(r->id));
    const char *where = where_of(f, i);
    struct store_op *op;

    complete(r, old, f->now_wall_us);
    if (old != NULL && same(d->s, r, old, where, a, b)) {
        r->version = old->version;
        return;
    }
    r->version = old == NULL ? 1 : old->version + 1;
    op = diff_add(d);
    op->res = r;
    op->expected = old == NULL ? 0 : old->version;
    op->origin = origin_of(r);
    op->where = where;
}

static void add_delete(void *ctx, enum resource_kind kind, struct slice id,
                       const struct follow_owner *o)
{
    struct diff *d = ctx;
    char field[RECORD_FIELD_MAX];
    struct resource *old = state_find(store_state(d->s), kind, id);
    struct store_op *op;

    (void)o;
    if (old == NULL || !record_field(kind, id, field) ||
        map_get(&d->wanted, slice_str(field)) != NULL) {
        return;
    }
    op = diff_add(d);
    op->kind = kind;
    op->id = slice_str(old->id); // lives until the state changes: longer than this call
    op->expected = old->version;
}

void store_file_apply(struct store *s, const struct store_file *f, store_fn fn, void *arg,
                      size_t *ret_changes)
{
    struct diff d = {.s = s};
    char hash[STORE_DIGEST_HEX], audit[200];
    struct buf a, b;

    store_file_hash(s, f, hash);
    map_init(&d.wanted);
    buf_init(&a, RESOURCE_BYTES_MAX + 65536);
    buf_init(&b, RESOURCE_BYTES_MAX + 65536);
    for (size_t i = 0; i < f->n; i++) {
        char field[RECORD_FIELD_MAX];

        if (record_field(f->wanted[i]->kind, slice_str(f->wanted[i]->id), field)) {
            (void)map_put(&d.wanted, slice_str(field), f->wanted[i]); // a repeat replaces itself
            add_put(&d, f, i, &a, &b);
        }
    }
    follow_each_owned(store_follow(s), add_delete, &d);
    (void)snprintf(
        audit, sizeof(audit),
        "{\"action\":\"config.apply\",\"actor\":\"file\",\"changes\":%zu,\"hash\":\"%.16s\"}", d.n,
        hash);
    *ret_changes = d.n;
    store_commit(s,
                 &(const struct store_change){.ops = d.ops,
                                              .n = d.n,
                                              .audit = slice_str(audit),
                                              .file_hash = slice_str(hash),
                                              .only_new = f->only_new},
                 fn, arg);
    map_done(&d.wanted);
    mem_free(d.ops);
    wipe(&a);
    wipe(&b);
}
