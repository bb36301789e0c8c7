// SPDX-License-Identifier: Apache-2.0
// Response cache in memory: bounded in bytes, LRU + TTL, sharded, shared by all workers. Streams
// are stored as their bytes and replayed as streams. Pure apart from the hash (common/io/crypto).
#ifndef SLUICE_DATAPLANE_CACHE_H
#define SLUICE_DATAPLANE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "dataplane/dialect.h"
#include "dataplane/snapshot.h"

struct cache;
struct cache_entry; // immutable, ref-counted

struct cache_key {
    uint8_t bytes[32];
};

// What directive, request cache-control and helicone-cache-* headers say together.
struct cache_policy {
    bool configured; // section or header turned caching on, whatever else the request says
    bool lookup, store, only_if_cached;
    uint64_t lifetime_us;  // of a new entry; 0: not worth storing
    uint64_t max_age_us;   // older ones are not used for this request
    uint64_t max_stale_us; // may be used that much longer
    uint32_t buckets;
    struct slice seed; // helicone-cache-seed, else the router's
};

// max_bytes: of all entries, split evenly over the shards; 0 keeps nothing. Free it when no worker
// is left; entries that are still referred to live on.
struct cache *cache_new(size_t max_bytes);
void cache_free(struct cache **c);

// section: the router's cache or the global one (NULL: none); headers may be SLICE_NULL. A client
// can turn caching on or off and ask for fresher answers; where the section names no age, its
// max-age is the lifetime. It cannot turn over the section's no-store, no-cache and
// must-revalidate.
struct cache_policy cache_policy(const struct resource_cache *section, struct slice cache_control,
                                 struct slice helicone_enabled, struct slice helicone_bucket_max,
                                 struct slice helicone_seed);
// SHA-256 over (scope, seed, path, model, canonical body without volatile fields (user, metadata,
// stream_options and our extensions), bucket).
void cache_key(struct cache_key *ret, struct slice scope, struct slice seed, struct slice path,
               const struct dialect_request *r, uint32_t bucket);
// One reference or NULL.
struct cache_entry *cache_get(struct cache *c, const struct cache_key *k,
                              const struct cache_policy *p, uint64_t now_us);
void cache_entry_unref(struct cache_entry **e);

struct cache_value {
    unsigned status;
    bool stream;
    bool lacks_usage; // a stream that was made for a client who did not ask for the usage event
    struct slice content_type, provider, model; // copied
    struct dialect_usage usage;
    struct slice body;
};
// Borrowed while the entry is referred to. Age: since it was stored.
const struct cache_value *cache_entry_value(const struct cache_entry *e);
uint64_t cache_entry_age_us(const struct cache_entry *e, uint64_t now_us);
// Copies. Values over 1/8 of a shard are not kept.
void cache_put(struct cache *c, const struct cache_key *k, const struct cache_value *v,
               uint64_t lifetime_us, uint64_t now_us);
struct cache_stats {
    size_t entries, bytes;
    uint64_t hits, misses, evictions;
};
struct cache_stats cache_stats(struct cache *c);

#endif
