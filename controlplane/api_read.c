// SPDX-License-Identifier: Apache-2.0
// What can only be read here: routers, providers, models, proxies, targets, the audit log, health
// and metrics.
#include <math.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"
#include "controlplane/names.h"
#include "controlplane/quota.h"

#define REDIS_US (800 * MONO_MS)

static void put_origin(struct api_call *c, struct json_out *o, const struct resource *r)
{
    const struct follow_owner *owner = api_owner(c, r);

    json_out_field_str(o, "origin", owner == NULL ? "api" : record_origin_name(owner->origin));
    if (owner != NULL && owner->where[0] != '\0') {
        json_out_field_str(o, "where", owner->where);
    }
    json_out_field_u64(o, "version", r->version);
}

// --- routers ------------------------------------------------------------------------------------

static void put_targets(struct json_out *o, const char *name, const struct resource_target *t,
                        size_t n)
{
    json_out_key(o, name);
    json_out_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        json_out_open(o, '{');
        json_out_field_str(o, "provider", t[i].provider);
        json_out_field_str(o, "model", t[i].model);
        json_out_key(o, "weight");
        json_out_double(o, (double)t[i].weight / 1000);
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void put_balances(struct json_out *o, const struct resource_router *r)
{
    static const char *const strategies[] = {
        "",         "latency", "weighted",  "model-weighted", "model-latency",
        "priority", "cost",    "least-busy"};

    json_out_key(o, "load_balance");
    json_out_open(o, '{');
    for (size_t i = 0; i < r->n_balances; i++) {
        json_out_key(o, r->balances[i].endpoint);
        json_out_open(o, '{');
        json_out_field_str(o, "strategy", strategies[r->balances[i].strategy]);
        put_targets(o, "targets", r->balances[i].targets, r->balances[i].n_targets);
        json_out_close(o, '}');
    }
    json_out_close(o, '}');
}

static void put_cache(struct json_out *o, const struct resource_cache *cache)
{
    static const char *const scopes[] = {"team", "key", "router"};

    json_out_key(o, "cache");
    if (!cache->present) {
        json_out_null(o);
        return;
    }
    json_out_open(o, '{');
    json_out_field_bool(o, "enabled", cache->enabled);
    json_out_field_str(o, "directive", cache->directive);
    json_out_field_u64(o, "buckets", cache->buckets);
    json_out_field_str(o, "seed", cache->seed);
    json_out_field_str(o, "scope", scopes[cache->scope]);
    json_out_close(o, '}');
}

void api_read_router(struct api_call *c, struct json_out *o, const struct resource *r)
{
    const struct resource_router *router = r->u.router;

    json_out_field_str(o, "id", r->id);
    put_origin(c, o, r);
    put_balances(o, router);
    put_targets(o, "fallbacks", router->fallbacks, router->n_fallbacks);
    put_cache(o, &router->cache);
    json_out_key(o, "limits");
    quota_render(o, router->limits, router->n_limits);
    json_out_key(o, "timeouts");
    json_out_open(o, '{');
    json_out_field_duration(o, "total", router->timeouts.total_us);
    json_out_field_duration(o, "connect", router->timeouts.connect_us);
    json_out_field_duration(o, "first_byte", router->timeouts.first_byte_us);
    json_out_field_duration(o, "idle", router->timeouts.idle_us);
    json_out_field_duration(o, "hold", router->timeouts.hold_us);
    json_out_close(o, '}');
    json_out_field_u64(o, "max_attempts", router->max_attempts);
    json_out_key(o, "model_mappings");
    json_out_open(o, '{');
    for (size_t i = 0; i < router->n_mappings; i++) {
        json_out_field_texts(o, router->mappings[i].from, router->mappings[i].to,
                             router->mappings[i].n_to);
    }
    json_out_close(o, '}');
    json_out_field_bool(o, "forward_unknown", router->forward_unknown);
    json_out_field_bool(o, "drop_unsupported", router->drop_unsupported);
}

// --- providers and models -----------------------------------------------------------------------

struct key_count {
    const char *provider;
    uint64_t active, all;
};

static bool count_key(void *ctx, struct resource *r)
{
    struct key_count *k = ctx;

    if (strcmp(r->u.provider_key->provider, k->provider) == 0) {
        k->all++;
        k->active += r->u.provider_key->state == RESOURCE_ACTIVE;
    }
    return true;
}

void api_read_provider(struct api_call *c, struct json_out *o, const struct resource *r)
{
    const struct resource_provider *p = r->u.provider;
    struct key_count keys = {.provider = r->id};

    state_each(store_state(c->api->store), RESOURCE_PROVIDER_KEY, SLICE_NULL, count_key, &keys);
    json_out_field_str(o, "id", r->id);
    put_origin(c, o, r);
    json_out_field_str(o, "dialect", p->dialect);
    json_out_field_str(o, "base_url", p->base_url);
    json_out_field_str(o, "state", p->needs_key && keys.active == 0 ? "no_key" : "active");
    json_out_field_str(o, "key_variable", p->key_variable);
    json_out_field_bool(o, "needs_key", p->needs_key);
    json_out_field_u64(o, "keys", keys.all);
    json_out_field_u64(o, "active_keys", keys.active);
    json_out_field_texts(o, "models", p->models, p->n_models);
}

// USD per million tokens; unknown: null.
static void put_price(struct json_out *o, const char *name, uint64_t price)
{
    json_out_key(o, name);
    if (price == UINT64_MAX) {
        json_out_null(o);
    } else {
        json_out_double(o, (double)price / 1e6);
    }
}

void api_read_model(struct api_call *c, struct json_out *o, const struct resource *r)
{
    const struct resource_model *m = r->u.model;

    json_out_field_str(o, "id", r->id);
    put_origin(c, o, r);
    json_out_field_str(o, "kind", m->kind);
    json_out_field_u64(o, "context", m->context);
    json_out_field_u64(o, "max_output", m->max_output);
    json_out_field_texts(o, "modalities", m->modalities, m->n_modalities);
    json_out_field_texts(o, "aliases", m->aliases, m->n_aliases);
    json_out_field_texts(o, "equivalents", m->equivalents, m->n_equivalents);
    json_out_key(o, "at");
    json_out_open(o, '[');
    for (size_t i = 0; i < m->n_at; i++) {
        json_out_open(o, '{');
        json_out_field_str(o, "provider", m->at[i].provider);
        json_out_field_str(o, "id", m->at[i].id);
        json_out_key(o, "usd_per_million_tokens");
        json_out_open(o, '{');
        put_price(o, "input", m->at[i].price.input);
        put_price(o, "cached", m->at[i].price.cached);
        put_price(o, "cache_write", m->at[i].price.cache_write);
        put_price(o, "output", m->at[i].price.output);
        json_out_close(o, '}');
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

// --- proxies and targets ------------------------------------------------------------------------

struct rows {
    struct api_call *c;
    struct json_out o;
};

static bool put_proxy(void *ctx, const struct fleet_proxy *p)
{
    struct rows *rows = ctx;
    struct api *a = rows->c->api;
    struct json_out *o = &rows->o;
    uint64_t seq = state_seq(store_state(a->store)), now = loop_now_us(a->loop);
    uint64_t ago = now > p->seen_us ? now - p->seen_us : 0;
    char text[32];

    json_out_open(o, '{');
    json_out_field_str(o, "id", p->id);
    json_out_field_bool(o, "live", p->live);
    json_out_field_str(o, "version", p->version);
    json_out_field_str(o, "ops", p->ops);
    json_out_field_u64(o, "applied_seq", p->seq);
    json_out_field_u64(o, "lag", seq > p->seq ? seq - p->seq : 0);
    json_out_field_u64(o, "in_flight", p->in_flight);
    json_out_field_u64(o, "workers", p->workers);
    json_out_field_str(o, "started_at", text_format_rfc3339(p->started_wall_us, text));
    json_out_field_str(o, "last_seen", text_format_rfc3339(loop_wall_us(a->loop) - ago, text));
    json_out_key(o, "errors");
    json_out_open(o, '[');
    for (size_t i = 0; i < p->n_errors; i++) {
        json_out_open(o, '{');
        json_out_field_str(o, "kind", resource_kind_name((enum resource_kind)p->errors[i].kind));
        json_out_field_str(o, "id", p->errors[i].id);
        json_out_field_u64(o, "version", p->errors[i].version);
        json_out_field_str(o, "message", p->errors[i].message);
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
    json_out_close(o, '}');
    return true;
}

static bool put_target(void *ctx, const struct fleet_target *t)
{
    static const char *const states[] = {"unknown", "healthy", "cooling", "ejected", "trial"};
    struct rows *rows = ctx;
    struct json_out *o = &rows->o;
    const struct resource *key =
        state_find(store_state(rows->c->api->store), RESOURCE_PROVIDER_KEY, slice_str(t->key_id));

    json_out_open(o, '{');
    json_out_field_str(o, "id", t->key_id[0] == '\0' ? NULL : t->key_id);
    json_out_field_str(o, "provider", t->provider);
    json_out_field_str(o, "model", t->model);
    json_out_field_str(o, "key_id", t->key_id);
    json_out_field_bool(o, "drained", key != NULL && key->u.provider_key->state != RESOURCE_ACTIVE);
    json_out_field_str(o, "endpoint", t->endpoint);
    json_out_field_str(o, "state", t->state < ARRAY_LEN(states) ? states[t->state] : "unknown");
    json_out_field_str(o, "reason", t->reason);
    json_out_key(o, "ttfb_ms");
    json_out_double(o, round((double)t->ewma_us / 100) / 10); // tenths are enough
    json_out_field_u64(o, "in_flight", t->in_flight);
    json_out_field_u64(o, "requests", t->requests);
    json_out_field_u64(o, "failures", t->failures);
    json_out_field_u64(o, "back_in_ms", t->until_us / 1000);
    json_out_field_u64(o, "proxies", t->proxies);
    json_out_field_u64(o, "unhealthy", t->unhealthy);
    json_out_close(o, '}');
    return true;
}

static struct rows rows_begin(struct api_call *c, struct buf *body)
{
    struct rows rows = {.c = c};

    buf_init(body, API_ANSWER_MAX);
    rows.o = json_out_to(body);
    json_out_open(&rows.o, '{');
    json_out_key(&rows.o, "data");
    json_out_open(&rows.o, '[');
    return rows;
}

// These lists are short: always whole.
static void rows_end(struct rows *rows, struct buf *body)
{
    json_out_close(&rows->o, ']');
    json_out_field_str(&rows->o, "next_cursor", NULL);
    json_out_close(&rows->o, '}');
    api_send(rows->c, 200, body, 0);
}

void api_read_proxies(struct api_call *c)
{
    struct buf body;
    struct rows rows = rows_begin(c, &body);

    fleet_each(c->api->fleet, put_proxy, &rows);
    rows_end(&rows, &body);
}

void api_read_targets(struct api_call *c)
{
    struct buf body;
    struct rows rows = rows_begin(c, &body);

    fleet_targets(c->api->fleet, put_target, &rows);
    rows_end(&rows, &body);
}

static void render_drained(struct api_call *c, struct json_out *o)
{
    const struct resource_provider_key *key = c->w.res->u.provider_key;

    json_out_field_str(o, "id", c->w.res->id);
    json_out_field_str(o, "provider", key->provider);
    json_out_field_bool(o, "drained", key->state != RESOURCE_ACTIVE);
}

// No new requests go to the targets of this provider key until it is drained no more; those under
// way end. Also for keys of the file and the environment: it is not they who decide that.
void api_targets_drain(struct api_call *c)
{
    static const char *const names[] = {"drain"};
    struct json_at body = json_root(c->doc), at = json_member(&body, "drain");
    const struct resource *old =
        state_find(store_state(c->api->store), RESOURCE_PROVIDER_KEY, slice_str(c->param));
    const struct follow_owner *owner = old == NULL ? NULL : api_owner(c, old);
    bool drain = true;

    if (old == NULL) {
        api_not_found(c, "target (its id is that of its provider key)");
        return;
    }
    if (!api_write_begin(c, old)) {
        return;
    }
    if (json_present(&body) && json_want_map(&body, 16, &c->report)) {
        json_known(&body, names, ARRAY_LEN(names), &c->report);
        (void)json_want_bool(&at, &drain, &c->report); // absent: true
    }
    if (c->report.n > 0) {
        api_invalid(c);
        return;
    }
    c->w.action = drain ? "target.drain" : "target.undrain";
    c->w.status = 200;
    c->w.render = render_drained;
    c->w.res = vkey_copy(old);
    c->w.res->u.provider_key->state = drain ? RESOURCE_DISABLED : RESOURCE_ACTIVE;
    if (owner != NULL) {
        c->w.origin = owner->origin;
        c->w.where = arena_strdup(&c->arena, owner->where);
    }
    api_write_commit(c);
}

// --- audit --------------------------------------------------------------------------------------

// An entry of the stream: [id, ["seq", n, "entry", json]].
static void put_entry(struct json_out *o, const struct redis_reply *entry)
{
    const struct redis_reply *fields = redis_item(entry, 1);
    struct slice json = SLICE_NULL;
    uint64_t seq = 0;

    for (size_t i = 0; i + 1 < redis_count(fields); i += 2) {
        if (slice_eq_str(redis_text(redis_item(fields, i)), "seq")) {
            seq = (uint64_t)redis_int(redis_item(fields, i + 1));
        } else if (slice_eq_str(redis_text(redis_item(fields, i)), "entry")) {
            json = redis_text(redis_item(fields, i + 1));
        }
    }
    if (json.n < 2 || json.p[0] != '{') {
        return;
    }
    // Our own object with two members put in front.
    json_out_open(o, '{');
    json_out_field(o, "entry_id", redis_text(redis_item(entry, 0)));
    json_out_field_u64(o, "seq", seq);
    json_out_raw(o, SLICE_MAKE(json.p + 1, json.n - 2));
    json_out_close(o, '}');
}

static void on_audit(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct api_call *c = arg;
    size_t limit = (size_t)c->w.expected, n = redis_count(r);

    if (e != NULL) {
        api_error(c, 503, "store_unavailable", "%s", e->message);
    } else {
        struct buf body;
        struct rows rows = rows_begin(c, &body);
        bool more = n > limit;

        n = more ? limit : n;
        for (size_t i = 0; i < n; i++) {
            put_entry(&rows.o, redis_item(r, i));
        }
        json_out_close(&rows.o, ']');
        json_out_field(&rows.o, "next_cursor",
                       more ? redis_text(redis_item(redis_item(r, n - 1), 0)) : SLICE_NULL);
        json_out_close(&rows.o, '}');
        api_send(c, 200, &body, 0);
    }
    api_release(c);
}

static bool is_stream_id(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((s.p[i] < '0' || s.p[i] > '9') && s.p[i] != '-') {
            return false;
        }
    }
    return s.n > 0 && s.n < 42;
}

// Newest first.
void api_read_audit(struct api_call *c)
{
    struct slice cursor;
    size_t limit;
    const char *from, *count;

    if (!api_page(c, &limit, &cursor)) {
        return;
    }
    if (cursor.p != NULL && !is_stream_id(cursor)) {
        const struct json_at root = {0};
        const struct json_at at = {.up = &root, .name = "cursor"};

        json_note(&c->report, &at, "is not a cursor that a list gave");
        api_invalid(c);
        return;
    }
    c->w.expected = limit;
    from = cursor.p == NULL ? "+" : arena_printf(&c->arena, "(" SLICE_FMT, SLICE_ARG(cursor));
    count = arena_printf(&c->arena, "%zu", limit + 1);
    api_hold(c);
    redis_command(store_redis(c->api->store),
                  (const struct slice[]){SLICE("XREVRANGE"), SLICE(NAMES_AUDIT), slice_str(from),
                                         SLICE("-"), SLICE("COUNT"), slice_str(count)},
                  6, REDIS_US, on_audit, c);
}

// --- health, metrics, openapi -------------------------------------------------------------------

static void send_status(struct api_call *c, unsigned status, const char *word)
{
    struct json_out o;
    struct buf body;

    buf_init(&body, 4096);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_field_str(&o, "status", word);
    json_out_field_str(&o, "store", follow_status_name(follow_status(store_follow(c->api->store))));
    json_out_field_u64(&o, "seq", state_seq(store_state(c->api->store)));
    json_out_close(&o, '}');
    api_send(c, status, &body, 0);
}

// The loop turns, or this would not be answered.
void api_read_health(struct api_call *c)
{
    send_status(c, 200, "ok");
}

// There is a complete state to read and to publish; Redis's present health is told, not judged.
void api_read_ready(struct api_call *c)
{
    bool ready = state_ready(store_state(c->api->store));

    send_status(c, ready ? 200 : 503, ready ? "ready" : "loading");
}

void api_read_metrics(struct api_call *c)
{
    struct store *s = c->api->store;
    struct meters_gauges g = {
        .seq = state_seq(store_state(s)),
        .proxies_live = fleet_live(c->api->fleet),
        .bad_records = follow_bad_records(store_follow(s)),
        .redis_up = redis_is_up(store_redis(s)),
        .store_current = follow_status(store_follow(s)) == FOLLOW_CURRENT,
        .loop_lag_us = loop_take_lag_us(c->api->loop),
    };
    struct buf body;

    if (c->api->fill_gauges != NULL) {
        c->api->fill_gauges(c->api->fill_arg, &g);
    }
    for (int k = 1; k <= RESOURCE_KIND_MAX; k++) {
        g.resources[k] = state_count(store_state(s), (enum resource_kind)k);
    }
    buf_init(&body, 8u << 20);
    meters_render(c->api->meters, &g, &body);
    api_send_text(c, "text/plain; version=0.0.4; charset=utf-8", &body);
}

extern const unsigned char api_openapi_json[];
extern const size_t api_openapi_json_size;

struct slice api_openapi(void)
{
    return SLICE_MAKE((const char *)api_openapi_json, api_openapi_json_size);
}

void api_read_openapi(struct api_call *c)
{
    struct buf body;

    buf_init(&body, 4u << 20);
    buf_append(&body, api_openapi());
    api_send_text(c, "application/json", &body);
}
