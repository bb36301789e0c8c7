// SPDX-License-Identifier: Apache-2.0
// Response cache in memory.
//
// 16 shards, each a map from 32-byte keys to entries and a list from most to least recently used,
// under one mutex that is never held while bytes are copied in or out: entries are immutable and
// ref-counted, so a hit hands out a reference and a put builds its entry first. An entry lives in
// its shard until it is replaced or pushed out by newer ones, even when it is stale (a request may
// accept that); readers keep theirs alive.
#include "dataplane/cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/cachecontrol.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "common/io/crypto.h"

#define SHARDS 16u
#define DEFAULT_MAX_AGE                                                                            \
    (7 * 86400 * MONO_SEC)  // a section or header that enables caching but names no age
#define ENTRY_OVERHEAD 256u // struct, map slot, key copy

struct cache_entry {
    struct list_node node; // in the shard's list while it is stored
    _Atomic uint32_t refs; // shard's one + readers
    struct cache_key key;
    struct cache_value value; // slices into `bytes`
    uint64_t stored_us, lifetime_us;
    size_t size; // what it counts for
    char bytes[];
};

struct shard {
    pthread_mutex_t lock;
    struct map entries; // key bytes -> struct cache_entry
    struct list lru;    // most recent first
    size_t bytes;
    uint64_t hits, misses, evictions;
};

struct cache {
    size_t shard_max; // bytes
    struct shard shards[SHARDS];
};

struct cache *cache_new(size_t max_bytes)
{
    struct cache *c = mem_zalloc(sizeof(*c));

    c->shard_max = max_bytes / SHARDS;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_init(&c->shards[i].lock, NULL);
        map_init(&c->shards[i].entries);
        list_init(&c->shards[i].lru);
    }
    return c;
}

void cache_entry_unref(struct cache_entry **e)
{
    if (*e != NULL && atomic_fetch_sub(&(*e)->refs, 1) == 1) {
        mem_free(*e);
    }
    *e = NULL;
}

// Lock held.
static void drop(struct shard *s, struct cache_entry *e)
{
    (void)map_del(&s->entries, (struct slice){(const char *)e->key.bytes, sizeof(e->key.bytes)});
    list_remove(&s->lru, &e->node);
    s->bytes -= e->size;
    cache_entry_unref(&e);
}

void cache_free(struct cache **c)
{
    if (*c == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &(*c)->shards[i];

        while (s->lru.count > 0) {
            drop(s, container_of(list_first(&s->lru), struct cache_entry, node));
        }
        map_done(&s->entries);
        pthread_mutex_destroy(&s->lock);
    }
    mem_free(*c);
    *c = NULL;
}

// --- policy ------------------------------------------------------------------------------------

#define LIFETIME_MAX (365 * 86400 * MONO_SEC)

static uint64_t seconds(uint32_t s)
{
    return (uint64_t)s * MONO_SEC;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void apply_directive(struct cache_policy *p, const struct cachecontrol *cc)
{
    if (cc->has_max_age || cc->has_s_maxage) {
        p->lifetime_us = seconds(cc->has_s_maxage ? cc->s_maxage_s : cc->max_age_s);
    }
    p->max_stale_us = cc->has_max_stale ? seconds(cc->max_stale_s) : 0;
    p->store = p->store && !cc->no_store;
    p->lookup = p->lookup && !cc->no_store && !cc->no_cache;
}

static void apply_request(struct cache_policy *p, const struct cachecontrol *cc,
                          const struct cachecontrol *section)
{
    bool section_age = section->has_max_age || section->has_s_maxage;

    p->store = p->store && !cc->no_store;
    p->lookup = p->lookup && !cc->no_store && !cc->no_cache;
    if (cc->has_max_age && !section_age && cc->max_age_s > 0) {
        p->lifetime_us = seconds(cc->max_age_s);
    }
    if (cc->has_max_age) {
        p->max_age_us = seconds(cc->max_age_s);
    }
    if (cc->has_min_fresh) {
        uint64_t fresh = seconds(cc->min_fresh_s), limit = least(p->max_age_us, p->lifetime_us);

        p->max_age_us = limit > fresh ? limit - fresh : 0;
    }
    if (cc->has_max_stale && !section->must_revalidate) {
        p->max_stale_us = seconds(cc->max_stale_s);
    }
    p->only_if_cached = cc->only_if_cached && p->lookup;
}

struct cache_policy cache_policy(const struct resource_cache *section, struct slice cache_control,
                                 struct slice helicone_enabled, struct slice helicone_bucket_max,
                                 struct slice helicone_seed)
{
    struct cache_policy p = {.lifetime_us = DEFAULT_MAX_AGE, .max_age_us = UINT64_MAX};
    bool present = section != NULL && section->present;
    bool enabled = present && section->enabled;
    struct cachecontrol own, asked;
    uint64_t buckets = 0;

    cachecontrol_init(&own);
    cachecontrol_init(&asked);
    (void)cachecontrol_parse(&own, slice_str(present ? section->directive : NULL),
                             NULL); // was validated with the config
    (void)cachecontrol_parse(&asked, cache_control,
                             NULL); // unknown directives of a client are skipped (RFC 9111, 5.2)
    p.configured = enabled;
    (void)!text_parse_bool(slice_trim(helicone_enabled), &enabled); // else as the section says
    p.configured = p.configured || enabled;
    p.lookup = p.store = enabled;
    apply_directive(&p, &own);
    apply_request(&p, &asked, &own);
    p.lifetime_us = least(p.lifetime_us, LIFETIME_MAX);
    p.max_age_us = least(p.max_age_us, p.lifetime_us);
    p.buckets = present && section->buckets > 0 ? section->buckets : 1;
    if (slice_to_u64(slice_trim(helicone_bucket_max), &buckets) && buckets >= 1) {
        p.buckets = (uint32_t)least(buckets, 20); // Helicone's own ceiling
    }
    p.seed = helicone_seed.n > 0 ? helicone_seed : slice_str(present ? section->seed : NULL);
    return p;
}

// --- key ---------------------------------------------------------------------------------------

static void add_framed(struct crypto_sha256 *h, struct slice s)
{
    uint64_t n = s.n;

    crypto_sha256_add(h, (struct slice){(const char *)&n, sizeof(n)});
    crypto_sha256_add(h, s);
}

// The bytes of a JSON value without insignificant white space.
static void add_canonical(struct crypto_sha256 *h, struct slice v)
{
    const char *p = v.p, *end = v.p + v.n, *run = v.p;

    while (p < end) {
        if (*p == '"') {
            for (p++; *p != '"'; p++) {
                p += *p == '\\' ? 1 : 0;
            }
            p++;
        } else if (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r') {
            crypto_sha256_add(h, (struct slice){run, (size_t)(p - run)});
            run = ++p;
        } else {
            p++;
        }
    }
    crypto_sha256_add(h, (struct slice){run, (size_t)(p - run)});
}

static bool is_volatile(struct slice key)
{
    static const char *const names[] = {"user",       "metadata", "stream_options",
                                        "models",     "provider", "route",
                                        "transforms", "usage",    "model"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq_str(key, names[i])) {
            return true;
        }
    }
    return false;
}

static int by_key(const void *a, const void *b)
{
    const struct scan_member *const *x = a, *const *y = b;

    return slice_cmp((*x)->key, (*y)->key);
}

#define MEMBERS_ON_STACK 64u

static void add_body(struct crypto_sha256 *h, const struct scan_object *o)
{
    const struct scan_member *few[MEMBERS_ON_STACK], **members = few;
    size_t n = 0;

    if (o->n > MEMBERS_ON_STACK) {
        members = mem_zalloc_array(o->n, sizeof(*members));
    }
    for (size_t i = 0; i < o->n; i++) {
        if (!is_volatile(o->members[i].key)) {
            members[n++] = &o->members[i];
        }
    }
    qsort(members, n, sizeof(*members), by_key);
    for (size_t i = 0; i < n; i++) {
        add_framed(h, members[i]->key);
        add_canonical(h, members[i]->value);
        crypto_sha256_add(h, SLICE("\n"));
    }
    if (members != few) {
        mem_free(members);
    }
}

void cache_key(struct cache_key *ret, struct slice scope, struct slice seed, struct slice path,
               const struct dialect_request *r, uint32_t bucket)
{
    struct crypto_sha256 h;

    crypto_sha256_begin(&h);
    add_framed(&h, scope);
    add_framed(&h, seed.p == NULL ? SLICE("") : seed);
    add_framed(&h, path);
    add_framed(&h, r->model);
    crypto_sha256_add(&h, (struct slice){(const char *)&bucket, sizeof(bucket)});
    add_body(&h, &r->top);
    crypto_sha256_end(&h, ret->bytes);
}

// --- store -------------------------------------------------------------------------------------

// SHA-256 output is uniform: its first byte picks the shard.
static struct shard *shard_of(struct cache *c, const struct cache_key *k)
{
    return &c->shards[k->bytes[0] % SHARDS];
}

static struct slice key_slice(const struct cache_key *k)
{
    return (struct slice){(const char *)k->bytes, sizeof(k->bytes)};
}

struct cache_entry *cache_get(struct cache *c, const struct cache_key *k,
                              const struct cache_policy *p, uint64_t now_us)
{
    struct shard *s = shard_of(c, k);
    struct cache_entry *e;

    pthread_mutex_lock(&s->lock);
    e = map_get(&s->entries, key_slice(k));
    if (e != NULL) {
        uint64_t age = cache_entry_age_us(e, now_us);
        uint64_t fresh = least(e->lifetime_us, p->max_age_us);

        if (age > fresh && age - fresh > p->max_stale_us) {
            e = NULL;
        }
    }
    if (e != NULL) {
        atomic_fetch_add(&e->refs, 1);
        list_remove(&s->lru, &e->node);
        list_push_front(&s->lru, &e->node);
        s->hits++;
    } else {
        s->misses++;
    }
    pthread_mutex_unlock(&s->lock);
    return e;
}

const struct cache_value *cache_entry_value(const struct cache_entry *e)
{
    return &e->value;
}

uint64_t cache_entry_age_us(const struct cache_entry *e, uint64_t now_us)
{
    return now_us > e->stored_us ? now_us - e->stored_us : 0;
}

static struct slice copy_into(char **at, struct slice s)
{
    struct slice copy = {*at, s.n};

    if (s.n > 0) {
        memcpy(*at, s.p, s.n);
    }
    *at += s.n;
    return copy;
}

static struct cache_entry *entry_new(const struct cache_key *k, const struct cache_value *v,
                                     size_t n)
{
    struct cache_entry *e = mem_try_alloc(sizeof(*e) + n);
    char *at;

    if (e == NULL) {
        return NULL;
    }
    *e = (struct cache_entry){.refs = 1, .key = *k, .value = *v, .size = n + ENTRY_OVERHEAD};
    at = e->bytes;
    e->value.content_type = copy_into(&at, v->content_type);
    e->value.provider = copy_into(&at, v->provider);
    e->value.model = copy_into(&at, v->model);
    e->value.body = copy_into(&at, v->body);
    return e;
}

void cache_put(struct cache *c, const struct cache_key *k, const struct cache_value *v,
               uint64_t lifetime_us, uint64_t now_us)
{
    size_t n = v->content_type.n + v->provider.n + v->model.n + v->body.n;
    struct shard *s = shard_of(c, k);
    struct cache_entry *e, *old;

    if (n + ENTRY_OVERHEAD > c->shard_max / 8) {
        return;
    }
    e = entry_new(k, v, n);
    if (e == NULL) {
        return; // a cache that cannot grow is a miss, never an error
    }
    e->stored_us = now_us;
    e->lifetime_us = lifetime_us;
    pthread_mutex_lock(&s->lock);
    old = map_get(&s->entries, key_slice(k));
    if (old != NULL) {
        drop(s, old);
    }
    while (s->lru.count > 0 && s->bytes + e->size > c->shard_max) {
        drop(s, container_of(list_last(&s->lru), struct cache_entry, node));
        s->evictions++;
    }
    (void)map_put(&s->entries, key_slice(k), e);
    list_push_front(&s->lru, &e->node);
    s->bytes += e->size;
    pthread_mutex_unlock(&s->lock);
}

struct cache_stats cache_stats(struct cache *c)
{
    struct cache_stats st = {0};

    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *s = &c->shards[i];

        pthread_mutex_lock(&s->lock);
        st.entries += s->lru.count;
        st.bytes += s->bytes;
        st.hits += s->hits;
        st.misses += s->misses;
        st.evictions += s->evictions;
        pthread_mutex_unlock(&s->lock);
    }
    return st;
}
