// SPDX-License-Identifier: Apache-2.0
// Resources: encoding, decoding, reference counts. The shape of each kind is a conv table; this
// file adds what a table cannot say (identity, cross-field bounds, what must be wiped).
//
// A decoded virtual key should take as little memory as possible (there may be 100,000 of them in
// each proxy; models are some hundreds), so it is first converted into a throw-away arena to learn
// its size and then into an arena of exactly that size.
#include "proto/resource.h"

#include <stdatomic.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "proto/conv.h"
#include "proto/wire.h"
#include "sluice.pb-c.h"

#define ANY         UINT32_MAX
#define COMPACT_MAX ((size_t)2048) // of what lies behind its struct

static const struct conv_field pair_fields[] = {
    CONV_S(resource_pair, Pb__Pair, name),
    CONV_S(resource_pair, Pb__Pair, value),
};
static const struct conv_table pair_table = CONV_TABLE(resource_pair, pb__pair, pair_fields);

static const struct conv_field limit_fields[] = {
    CONV_I(resource_limit, Pb__Limit, unit, RESOURCE_REQUESTS, RESOURCE_USD),
    CONV_U(resource_limit, Pb__Limit, amount),
    CONV_U(resource_limit, Pb__Limit, per_us),
    CONV_I(resource_limit, Pb__Limit, calendar, RESOURCE_ROLLING, RESOURCE_MONTH),
    CONV_N(resource_limit, Pb__Limit, time_zone),
    CONV_B(resource_limit, Pb__Limit, per_principal),
    CONV_I(resource_limit, Pb__Limit, on_control_loss, 0, 2),
};
static const struct conv_table limit_table = CONV_TABLE(resource_limit, pb__limit, limit_fields);

static const struct conv_field quirks_fields[] = {
    CONV_U(resource_quirks, Pb__Quirks, flags),
    CONV_SS(resource_quirks, Pb__Quirks, drop),
    CONV_SS(resource_quirks, Pb__Quirks, refuse),
    CONV_SS(resource_quirks, Pb__Quirks, takes),
    CONV_MS(resource_quirks, Pb__Quirks, rename, resource_pair, &pair_table),
    CONV_SS(resource_quirks, Pb__Quirks, efforts),
    CONV_I(resource_quirks, Pb__Quirks, tool_choices, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, formats, 0, ANY),
    CONV_E(resource_quirks, Pb__Quirks, max_tokens_name, RESOURCE_MAX_TOKENS_EITHER),
    CONV_E(resource_quirks, Pb__Quirks, reasoning, RESOURCE_REASONING_SPLIT),
    CONV_E(resource_quirks, Pb__Quirks, reasoning_history, RESOURCE_HISTORY_PARTS),
    CONV_I(resource_quirks, Pb__Quirks, temperature_min, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, temperature_max, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, top_p_max, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, stop_max, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, plain_max_tokens, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, tool_id_length, 0, ANY),
    CONV_B(resource_quirks, Pb__Quirks, tool_id_exact),
    CONV_N(resource_quirks, Pb__Quirks, tool_id_punctuation),
    CONV_N(resource_quirks, Pb__Quirks, prefill),
    CONV_I(resource_quirks, Pb__Quirks, user_min, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, user_max, 0, ANY),
    CONV_N(resource_quirks, Pb__Quirks, greedy),
    CONV_I(resource_quirks, Pb__Quirks, price_flex, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_priority, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_batch, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_fast, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_us, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_peak, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_write, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_write_long, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_rate, 0, ANY),
    CONV_I(resource_quirks, Pb__Quirks, price_search, 0, ANY),
    CONV_SS(resource_quirks, Pb__Quirks, peak_hours),
    CONV_SS(resource_quirks, Pb__Quirks, takes_headers),
};
static const struct conv_table quirks_table =
    CONV_TABLE(resource_quirks, pb__quirks, quirks_fields);

static const struct conv_field traits_fields[] = {
    CONV_U(resource_traits, Pb__Traits, flags),
    CONV_E(resource_traits, Pb__Traits, thinking, RESOURCE_THINKING_PROMPT),
    CONV_E(resource_traits, Pb__Traits, thinking_off, RESOURCE_OFF_NEVER),
    CONV_SS(resource_traits, Pb__Traits, efforts),
    CONV_SS(resource_traits, Pb__Traits, drop),
    CONV_I(resource_traits, Pb__Traits, max_output, 0, ANY),
};
static const struct conv_table traits_table =
    CONV_TABLE(resource_traits, pb__traits, traits_fields);

static const struct conv_field family_fields[] = {
    CONV_SS(resource_family, Pb__Family, match),
    CONV_M(resource_family, Pb__Family, traits, resource_traits, &traits_table),
};
static const struct conv_table family_table =
    CONV_TABLE(resource_family, pb__family, family_fields);

static const struct conv_field provider_fields[] = {
    CONV_S(resource_provider, Pb__Provider, dialect),
    CONV_S(resource_provider, Pb__Provider, base_url),
    CONV_S(resource_provider, Pb__Provider, raw_url),
    CONV_S(resource_provider, Pb__Provider, auth_header),
    CONV_S(resource_provider, Pb__Provider, auth_scheme),
    CONV_N(resource_provider, Pb__Provider, key_variable),
    CONV_B(resource_provider, Pb__Provider, needs_key),
    CONV_B(resource_provider, Pb__Provider, no_stream_options),
    CONV_SS(resource_provider, Pb__Provider, models),
    CONV_MS(resource_provider, Pb__Provider, headers, resource_pair, &pair_table),
    CONV_MS(resource_provider, Pb__Provider, query, resource_pair, &pair_table),
    CONV_I(resource_provider, Pb__Provider, probe, RESOURCE_PROBE_OFF, RESOURCE_PROBE_TCP),
    CONV_U(resource_provider, Pb__Provider, probe_interval_us),
    CONV_M(resource_provider, Pb__Provider, quirks, resource_quirks, &quirks_table),
    CONV_MS(resource_provider, Pb__Provider, paths, resource_pair, &pair_table),
    CONV_MS(resource_provider, Pb__Provider, limit_headers, resource_pair, &pair_table),
};
static const struct conv_table provider_table =
    CONV_TABLE(resource_provider, pb__provider, provider_fields);

static const struct conv_field provider_key_fields[] = {
    CONV_S(resource_provider_key, Pb__ProviderKey, provider),
    CONV_S(resource_provider_key, Pb__ProviderKey, name),
    CONV_X(resource_provider_key, Pb__ProviderKey, value),
    CONV_I(resource_provider_key, Pb__ProviderKey, weight, 1, ANY),
    CONV_I(resource_provider_key, Pb__ProviderKey, state, RESOURCE_ACTIVE, RESOURCE_DISABLED),
    CONV_S(resource_provider_key, Pb__ProviderKey, origin),
    CONV_S(resource_provider_key, Pb__ProviderKey, hint),
};
static const struct conv_table provider_key_table =
    CONV_TABLE(resource_provider_key, pb__provider_key, provider_key_fields);

static const struct conv_field target_fields[] = {
    CONV_S(resource_target, Pb__Target, provider),
    CONV_N(resource_target, Pb__Target, model),
    CONV_I(resource_target, Pb__Target, weight, 0, ANY),
};
static const struct conv_table target_table =
    CONV_TABLE(resource_target, pb__target, target_fields);

static const struct conv_field balance_fields[] = {
    CONV_S(resource_balance, Pb__Balance, endpoint),
    CONV_I(resource_balance, Pb__Balance, strategy, RESOURCE_LATENCY, RESOURCE_LEAST_BUSY),
    CONV_MS(resource_balance, Pb__Balance, targets, resource_target, &target_table),
};
static const struct conv_table balance_table =
    CONV_TABLE(resource_balance, pb__balance, balance_fields);

static const struct conv_field cache_fields[] = {
    CONV_B(resource_cache, Pb__Cache, present),
    CONV_B(resource_cache, Pb__Cache, enabled),
    CONV_N(resource_cache, Pb__Cache, directive),
    CONV_I(resource_cache, Pb__Cache, buckets, 0, ANY),
    CONV_N(resource_cache, Pb__Cache, seed),
    CONV_I(resource_cache, Pb__Cache, scope, 0, 2),
};
static const struct conv_table cache_table = CONV_TABLE(resource_cache, pb__cache, cache_fields);

static const struct conv_field timeouts_fields[] = {
    CONV_U(resource_timeouts, Pb__Timeouts, total_us),
    CONV_U(resource_timeouts, Pb__Timeouts, connect_us),
    CONV_U(resource_timeouts, Pb__Timeouts, first_byte_us),
    CONV_U(resource_timeouts, Pb__Timeouts, idle_us),
    CONV_U(resource_timeouts, Pb__Timeouts, hold_us),
};
static const struct conv_table timeouts_table =
    CONV_TABLE(resource_timeouts, pb__timeouts, timeouts_fields);

static const struct conv_field mapping_fields[] = {
    CONV_S(resource_mapping, Pb__Mapping, from),
    CONV_SS(resource_mapping, Pb__Mapping, to),
};
static const struct conv_table mapping_table =
    CONV_TABLE(resource_mapping, pb__mapping, mapping_fields);

static const struct conv_field router_fields[] = {
    CONV_MS(resource_router, Pb__Router, balances, resource_balance, &balance_table),
    CONV_MS(resource_router, Pb__Router, fallbacks, resource_target, &target_table),
    CONV_I(resource_router, Pb__Router, max_attempts, 0, ANY),
    CONV_M(resource_router, Pb__Router, cache, resource_cache, &cache_table),
    CONV_MS(resource_router, Pb__Router, limits, resource_limit, &limit_table),
    CONV_M(resource_router, Pb__Router, timeouts, resource_timeouts, &timeouts_table),
    CONV_MS(resource_router, Pb__Router, mappings, resource_mapping, &mapping_table),
    CONV_B(resource_router, Pb__Router, forward_unknown),
    CONV_B(resource_router, Pb__Router, drop_unsupported),
    CONV_S(resource_router, Pb__Router, origin),
    CONV_N(resource_router, Pb__Router, where),
};
static const struct conv_table router_table =
    CONV_TABLE(resource_router, pb__router, router_fields);

static const struct conv_field key_fields[] = {
    CONV_F(resource_key, Pb__Key, hash),
    CONV_S(resource_key, Pb__Key, name),
    CONV_N(resource_key, Pb__Key, owner),
    CONV_N(resource_key, Pb__Key, team),
    CONV_I(resource_key, Pb__Key, state, RESOURCE_ACTIVE, RESOURCE_DISABLED),
    CONV_U(resource_key, Pb__Key, expires_wall_us),
    CONV_U(resource_key, Pb__Key, created_wall_us),
    CONV_SS(resource_key, Pb__Key, models),
    CONV_SS(resource_key, Pb__Key, routers),
    CONV_MS(resource_key, Pb__Key, limits, resource_limit, &limit_table),
    CONV_MS(resource_key, Pb__Key, metadata, resource_pair, &pair_table),
    CONV_S(resource_key, Pb__Key, origin),
    CONV_D(resource_key, Pb__Key, previous_hash),
    CONV_U(resource_key, Pb__Key, previous_until_wall_us),
};
static const struct conv_table key_table = CONV_TABLE(resource_key, pb__key, key_fields);

static const struct conv_field team_fields[] = {
    CONV_S(resource_team, Pb__Team, name),
    CONV_MS(resource_team, Pb__Team, limits, resource_limit, &limit_table),
};
static const struct conv_table team_table = CONV_TABLE(resource_team, pb__team, team_fields);

static const struct conv_field user_fields[] = {
    CONV_S(resource_user, Pb__User, name),
    CONV_MS(resource_user, Pb__User, limits, resource_limit, &limit_table),
};
static const struct conv_table user_table = CONV_TABLE(resource_user, pb__user, user_fields);

static const struct conv_field price_tier_fields[] = {
    CONV_U(resource_price_tier, Pb__PriceTier, above),
    CONV_U(resource_price_tier, Pb__PriceTier, input),
    CONV_U(resource_price_tier, Pb__PriceTier, cached),
    CONV_U(resource_price_tier, Pb__PriceTier, cache_write),
    CONV_U(resource_price_tier, Pb__PriceTier, output),
    CONV_U(resource_price_tier, Pb__PriceTier, cache_write_long),
};
static const struct conv_table price_tier_table =
    CONV_TABLE(resource_price_tier, pb__price_tier, price_tier_fields);

static const struct conv_field price_fields[] = {
    CONV_U(resource_price, Pb__Price, input),
    CONV_U(resource_price, Pb__Price, cached),
    CONV_U(resource_price, Pb__Price, cache_write),
    CONV_U(resource_price, Pb__Price, output),
    CONV_U(resource_price, Pb__Price, cache_write_long),
    CONV_U(resource_price, Pb__Price, reasoning),
    CONV_U(resource_price, Pb__Price, audio_input),
    CONV_U(resource_price, Pb__Price, audio_output),
    CONV_U(resource_price, Pb__Price, image_output),
    CONV_MS(resource_price, Pb__Price, tiers, resource_price_tier, &price_tier_table),
};
static const struct conv_table price_table = CONV_TABLE(resource_price, pb__price, price_fields);

static const struct conv_field price_change_fields[] = {
    CONV_U(resource_price_change, Pb__PriceChange, from_wall_us),
    CONV_M(resource_price_change, Pb__PriceChange, price, resource_price, &price_table),
};
static const struct conv_table price_change_table =
    CONV_TABLE(resource_price_change, pb__price_change, price_change_fields);

static const struct conv_field model_at_fields[] = {
    CONV_S(resource_model_at, Pb__ModelAt, provider),
    CONV_S(resource_model_at, Pb__ModelAt, id),
    CONV_M(resource_model_at, Pb__ModelAt, price, resource_price, &price_table),
    CONV_MS(resource_model_at, Pb__ModelAt, changes, resource_price_change, &price_change_table),
};
static const struct conv_table model_at_table =
    CONV_TABLE(resource_model_at, pb__model_at, model_at_fields);

static const struct conv_field model_fields[] = {
    CONV_MS(resource_model, Pb__Model, at, resource_model_at, &model_at_table),
    CONV_SS(resource_model, Pb__Model, equivalents),
    CONV_SS(resource_model, Pb__Model, aliases),
    CONV_SS(resource_model, Pb__Model, modalities),
    CONV_I(resource_model, Pb__Model, context, 0, ANY),
    CONV_I(resource_model, Pb__Model, max_output, 0, ANY),
    CONV_S(resource_model, Pb__Model, kind),
    CONV_SS(resource_model, Pb__Model, outputs),
    CONV_U(resource_model, Pb__Model, released_wall_us),
    CONV_M(resource_model, Pb__Model, traits, resource_traits, &traits_table),
};
static const struct conv_table model_table = CONV_TABLE(resource_model, pb__model, model_fields);

static const struct conv_field settings_fields[] = {
    CONV_I(resource_settings, Pb__Settings, auth_mode, RESOURCE_AUTH_DEFAULT, RESOURCE_AUTH_OFF),
    CONV_F(resource_settings, Pb__Settings, key_hash_key),
    CONV_M(resource_settings, Pb__Settings, timeouts, resource_timeouts, &timeouts_table),
    CONV_U(resource_settings, Pb__Settings, default_rtt_us),
    CONV_U(resource_settings, Pb__Settings, decay_us),
    CONV_U(resource_settings, Pb__Settings, ejection_us),
    CONV_I(resource_settings, Pb__Settings, max_attempts, 0, ANY),
    CONV_MS(resource_settings, Pb__Settings, mappings, resource_mapping, &mapping_table),
    CONV_M(resource_settings, Pb__Settings, cache, resource_cache, &cache_table),
    CONV_U(resource_settings, Pb__Settings, cache_bytes),
    CONV_MS(resource_settings, Pb__Settings, limits, resource_limit, &limit_table),
    CONV_M(resource_settings, Pb__Settings, unified_cache, resource_cache, &cache_table),
    CONV_MS(resource_settings, Pb__Settings, unified_limits, resource_limit, &limit_table),
    CONV_N(resource_settings, Pb__Settings, default_router),
    CONV_U(resource_settings, Pb__Settings, max_stale_us),
    CONV_MS(resource_settings, Pb__Settings, families, resource_family, &family_table),
    CONV_N(resource_settings, Pb__Settings, prices_as_of),
};
static const struct conv_table settings_table =
    CONV_TABLE(resource_settings, pb__settings, settings_fields);

// Where each kind's body sits in Pb__Resource, and the table of its payload.
static const struct kind_row {
    const char *name;
    size_t body;
    const struct conv_table *table;
} kinds[RESOURCE_KIND_MAX + 1] = {
    [RESOURCE_PROVIDER] = {"provider", offsetof(Pb__Resource, provider), &provider_table},
    [RESOURCE_PROVIDER_KEY] = {"provider_key", offsetof(Pb__Resource, provider_key),
                               &provider_key_table},
    [RESOURCE_ROUTER] = {"router", offsetof(Pb__Resource, router), &router_table},
    [RESOURCE_KEY] = {"key", offsetof(Pb__Resource, key), &key_table},
    [RESOURCE_TEAM] = {"team", offsetof(Pb__Resource, team), &team_table},
    [RESOURCE_MODEL] = {"model", offsetof(Pb__Resource, model), &model_table},
    [RESOURCE_SETTINGS] = {"settings", offsetof(Pb__Resource, settings), &settings_table},
    [RESOURCE_USER] = {"user", offsetof(Pb__Resource, user), &user_table},
};

static bool kind_valid(uint32_t kind)
{
    return kind >= 1 && kind <= RESOURCE_KIND_MAX;
}

const char *resource_kind_name(enum resource_kind kind)
{
    return kind_valid(kind) ? kinds[kind].name : "unknown";
}

// The payload pointer, whatever its type: all members of the union are object pointers.
static void set_payload(struct resource *r, void *payload)
{
    memcpy(&r->u, &payload, sizeof(payload));
}

static void *get_payload(const struct resource *r)
{
    void *p;

    memcpy(&p, &r->u, sizeof(p));
    return p;
}

static struct resource *new_empty(enum resource_kind kind, size_t room)
{
    struct resource *r = mem_zalloc(sizeof(*r) + room);

    atomic_init(&r->refs, 1);
    r->kind = kind;
    arena_init(&r->arena, 0, 0);
    return r;
}

struct resource *resource_new(enum resource_kind kind, struct slice id, uint64_t version)
{
    struct resource *r;

    CHECK(kind_valid(kind));
    CHECK(id.n > 0 && id.n <= RESOURCE_ID_MAX);
    r = new_empty(kind, 0);
    set_payload(r, arena_zalloc(&r->arena, kinds[kind].table->size));
    r->id = arena_strndup(&r->arena, id.p, id.n);
    r->version = version;
    return r;
}

struct resource *resource_ref(struct resource *r)
{
    // Relaxed: whoever hands the pointer over orders it.
    CHECK(atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed) > 0);
    return r;
}

void resource_unref(struct resource **r)
{
    struct resource *old = *r;

    *r = NULL;
    if (old == NULL || atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (old->kind == RESOURCE_PROVIDER_KEY) {
        secret_free(&old->u.provider_key->value);
    } else if (old->kind == RESOURCE_SETTINGS) {
        mem_wipe(old->u.settings->key_hash_key, sizeof(old->u.settings->key_hash_key));
    }
    arena_done(&old->arena);
    mem_free(old);
}

void resource_encode(const struct resource *r, struct buf *out)
{
    Pb__Resource pb;
    struct wire_pool pool;
    ProtobufCMessage *body;

    CHECK(kind_valid(r->kind));
    pb__resource__init(&pb);
    // Our own structs, bounded where they were made: no ceiling.
    wire_pool_init(&pool, SIZE_MAX / 4);
    body = conv_to_pb(kinds[r->kind].table, get_payload(r), &pool);
    pb.kind = r->kind;
    memcpy(&pb.id, &r->id, sizeof(pb.id));
    if (r->parent != NULL) {
        memcpy(&pb.parent, &r->parent, sizeof(pb.parent));
    }
    pb.version = r->version;
    memcpy((char *)&pb + kinds[r->kind].body, &body, sizeof(void *));
    wire_pack(&pb.base, out);
    wire_pool_done(&pool);
}

static bool check_identity(const Pb__Resource *pb, struct err *e)
{
    size_t id = strlen(pb->id);

    if (!kind_valid(pb->kind)) {
        return err_set(e, ERR_INVALID, "kind: %u is unknown", pb->kind);
    }
    if (id == 0 || id > RESOURCE_ID_MAX || strlen(pb->parent) > RESOURCE_ID_MAX) {
        return err_set(e, ERR_INVALID, "id or parent: empty, or longer than %u bytes",
                       RESOURCE_ID_MAX);
    }
    if (pb->version == 0) {
        return err_set(e, ERR_INVALID, "version: 0");
    }
    return true;
}

// What the tables cannot say.
static bool check_payload(struct resource *r, struct err *e)
{
    if (r->kind == RESOURCE_ROUTER) {
        struct resource_router *router = r->u.router;

        if (router->n_balances > RESOURCE_ENDPOINT_MAX) {
            return err_set(e, ERR_TOO_LARGE, "balances: more than %u", RESOURCE_ENDPOINT_MAX);
        }
        router->cache.buckets += router->cache.buckets == 0;
    } else if (r->kind == RESOURCE_KEY) {
        size_t n = r->u.key->previous_hash.n;

        if (n != 0 && n != sizeof(r->u.key->hash)) {
            return err_set(e, ERR_INVALID, "previous_hash: %zu bytes", n);
        }
    } else if (r->kind == RESOURCE_SETTINGS) {
        r->u.settings->cache.buckets += r->u.settings->cache.buckets == 0;
        r->u.settings->unified_cache.buckets += r->u.settings->unified_cache.buckets == 0;
    }
    return true;
}

// Bytes that the payload and its strings take in an arena of one block; 0: more than COMPACT_MAX,
// or it does not convert.
static size_t measure(const struct kind_row *row, const ProtobufCMessage *body)
{
    _Alignas(16) char room[ARENA_BLOCK_HEAD + COMPACT_MAX];
    struct arena scratch;
    size_t used = 0;
    void *payload;

    arena_init_in(&scratch, room, sizeof(room));
    payload = arena_zalloc(&scratch, row->table->size);
    if (conv_from_pb(row->table, body, &scratch, payload, NULL) && scratch.used <= COMPACT_MAX) {
        used = scratch.used;
    }
    arena_done(&scratch);
    return used;
}

static bool fill(struct resource *r, const Pb__Resource *pb, const struct kind_row *row,
                 const ProtobufCMessage *body, struct arena *a, struct err *e)
{
    set_payload(r, arena_zalloc(a, row->table->size));
    if (!conv_from_pb(row->table, body, a, get_payload(r), e)) {
        return false;
    }
    // Behind the rest, which then lies as it was measured.
    r->id = arena_strndup(a, pb->id, strlen(pb->id));
    r->parent = pb->parent[0] == '\0' ? NULL : arena_strndup(a, pb->parent, strlen(pb->parent));
    return check_payload(r, e);
}

// With a hundred thousand keys each byte counts: everything lies in one piece behind the struct.
// While it is filled, the struct's own arena is where the head of an arena over that piece lies.
static bool fill_compact(struct resource *r, const Pb__Resource *pb, const struct kind_row *row,
                         const ProtobufCMessage *body, size_t room, struct err *e)
{
    struct arena a;
    bool ok;

    _Static_assert(sizeof(r->arena) == ARENA_BLOCK_HEAD, "one takes the place of the other");
    _Static_assert(offsetof(struct resource, arena) + ARENA_BLOCK_HEAD == sizeof(struct resource) &&
                       sizeof(struct resource) % 16 == 0,
                   "pieces follow the struct");
    arena_init_in(&a, &r->arena, ARENA_BLOCK_HEAD + room);
    ok = fill(r, pb, row, body, &a, e);
    CHECK(a.used <= room); // as measured
    arena_init(&r->arena, 0, 0);
    return ok;
}

static struct resource *from_pb(const Pb__Resource *pb, struct err *e)
{
    const struct kind_row *row = &kinds[pb->kind];
    const ProtobufCMessage *body;
    struct resource *r;
    size_t size = 0;
    bool ok;

    memcpy(&body, (const char *)pb + row->body, sizeof(body));
    if (body == NULL) {
        err_set(e, ERR_INVALID, "%s: missing", row->name);
        return NULL;
    }
    // No secrets in there, so measuring leaves none behind.
    if (pb->kind == RESOURCE_KEY || pb->kind == RESOURCE_MODEL) {
        size = measure(row, body);
    }
    size += size == 0 ? 0 : strlen(pb->id) + 1 + strlen(pb->parent) + 1;
    r = new_empty(pb->kind, size);
    r->version = pb->version;
    ok = size == 0 ? fill(r, pb, row, body, &r->arena, e) : fill_compact(r, pb, row, body, size, e);
    if (!ok) {
        err_prefix(e, "%s", row->name);
        resource_unref(&r);
    }
    return r;
}

struct resource *resource_decode(struct slice bytes, struct err *e)
{
    const struct wire_limits limits = {
        .bytes = RESOURCE_BYTES_MAX,
        .items = RESOURCE_ITEMS_MAX,
        .string = RESOURCE_STRING_MAX,
    };
    struct resource *r = NULL;
    struct wire_pool pool;
    ProtobufCMessage *m;

    // What protobuf-c makes of a legal message stays far below 64 times its size; a message built
    // to be larger is refused.
    wire_pool_init(&pool, 64 * 1024 + 64 * (bytes.n < RESOURCE_BYTES_MAX ? bytes.n : 0));
    m = wire_unpack(&pb__resource__descriptor, bytes, &limits, &pool, e);
    if (m != NULL) {
        const Pb__Resource *pb = (const Pb__Resource *)m;

        if (check_identity(pb, e)) {
            r = from_pb(pb, e);
        }
    }
    wire_pool_done(&pool);
    return r;
}

uint64_t resource_digest(enum resource_kind kind, struct slice id, uint64_t version)
{
    // A fixed key: both planes must get the same number. Nobody gains by a collision here (the
    // state is authenticated), it only has to be unlikely.
    static const struct hash_key key = {0x736c756963652d73, 0x746174652d646967};
    char text[RESOURCE_ID_MAX + 16];
    size_t n = id.n < RESOURCE_ID_MAX ? id.n : RESOURCE_ID_MAX;

    for (unsigned i = 0; i < 8; i++) {
        text[i] = (char)(version >> (8 * i));
    }
    for (unsigned i = 0; i < 4; i++) {
        text[8 + i] = (char)((uint32_t)kind >> (8 * i));
    }
    memcpy(text + 12, id.p, n);
    return hash_bytes(&key, (struct slice){text, 12 + n});
}
