// SPDX-License-Identifier: Apache-2.0
// One function for each section; a member that says what is the default anyway is left out where
// the default does not depend on anything else.
#include "proto/config/config_render.h"

#include <stdio.h>
#include <string.h>

#include "common/base/text.h"

const char *config_render_section(enum resource_kind kind)
{
    switch (kind) {
    case RESOURCE_PROVIDER:
        return "providers";
    case RESOURCE_MODEL:
        return "models";
    case RESOURCE_ROUTER:
        return "routers";
    case RESOURCE_PROVIDER_KEY:
    case RESOURCE_KEY:
    case RESOURCE_TEAM:
    case RESOURCE_USER:
    case RESOURCE_SETTINGS:
        return NULL;
    }
    return NULL;
}

// --- pieces -------------------------------------------------------------------------------------

static void put_text(struct json_out *o, const char *name, const char *s)
{
    if (s != NULL) {
        json_out_field_str(o, name, s);
    }
}

static void put_texts(struct json_out *o, const char *name, const char *const *list, size_t n)
{
    if (n > 0) {
        json_out_field_texts(o, name, list, n);
    }
}

static void put_hidden(struct json_out *o, const char *name, const struct resource_pair *list,
                       size_t n)
{
    if (n == 0) {
        return;
    }
    json_out_key(o, name);
    json_out_open(o, '{');
    for (size_t i = 0; i < n; i++) {
        json_out_field_str(o, list[i].name, CONFIG_RENDER_HIDDEN);
    }
    json_out_close(o, '}');
}

static void put_targets(struct json_out *o, const char *name, const struct resource_target *t,
                        size_t n)
{
    json_out_key(o, name);
    json_out_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        json_out_open(o, '{');
        json_out_field_str(o, "provider", t[i].provider);
        put_text(o, "model", t[i].model);
        if (t[i].weight != 1000) {
            json_out_key(o, "weight");
            json_out_double(o, (double)t[i].weight / 1000);
        }
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void put_mappings(struct json_out *o, const char *name, const struct resource_mapping *m,
                         size_t n)
{
    if (n == 0) {
        return;
    }
    json_out_key(o, name);
    json_out_open(o, '{');
    for (size_t i = 0; i < n; i++) {
        json_out_field_texts(o, m[i].from, m[i].to, m[i].n_to);
    }
    json_out_close(o, '}');
}

static void put_cache(struct json_out *o, const struct resource_cache *c)
{
    static const char *const scopes[] = {"team", "key", "router"};

    if (!c->present) {
        return;
    }
    json_out_key(o, "cache");
    json_out_open(o, '{');
    json_out_field_bool(o, "enabled", c->enabled);
    put_text(o, "directive", c->directive);
    json_out_field_u64(o, "buckets", c->buckets);
    put_text(o, "seed", c->seed);
    json_out_field_str(o, "scope", scopes[c->scope]);
    json_out_close(o, '}');
}

static void put_amount(struct json_out *o, const struct resource_limit *l)
{
    char text[40];
    size_t n;

    if (l->unit != RESOURCE_USD) {
        json_out_field_u64(o, "amount", l->amount);
        return;
    }
    // Exact: a double would not be.
    (void)snprintf(text, sizeof(text), "%llu.%09llu", (unsigned long long)(l->amount / 1000000000),
                   (unsigned long long)(l->amount % 1000000000)); // fits
    n = strlen(text);
    while (text[n - 1] == '0' && text[n - 2] != '.') {
        text[--n] = '\0';
    }
    json_out_field_str(o, "amount", text);
}

static void put_limits(struct json_out *o, const struct resource_limit *limits, size_t n)
{
    static const char *const units[] = {"", "requests", "tokens", "usd"};
    static const char *const calendars[] = {"", "day", "week", "month"};
    static const char *const on_loss[] = {NULL, "open", "closed"};
    char per[32];

    if (n == 0) {
        return;
    }
    json_out_key(o, "limits");
    json_out_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        const struct resource_limit *l = &limits[i];
        bool rolling = l->calendar == RESOURCE_ROLLING;

        json_out_open(o, '{');
        json_out_field_str(o, "unit", units[l->unit]);
        put_amount(o, l);
        json_out_field_str(o, "per",
                           rolling ? text_format_duration(l->per_us, per) : calendars[l->calendar]);
        put_text(o, "time-zone", l->time_zone);
        json_out_field_str(o, "scope", l->per_principal ? "per-key" : "total");
        put_text(o, "on-control-loss", on_loss[l->on_control_loss]);
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void put_timeouts(struct json_out *o, const char *name, const struct resource_timeouts *t)
{
    if (t->total_us + t->connect_us + t->first_byte_us + t->idle_us + t->hold_us == 0) {
        return;
    }
    json_out_key(o, name);
    json_out_open(o, '{');
    json_out_field_duration(o, "timeout", t->total_us);
    json_out_field_duration(o, "connection-timeout", t->connect_us);
    json_out_field_duration(o, "first-byte-timeout", t->first_byte_us);
    json_out_field_duration(o, "idle-timeout", t->idle_us);
    json_out_field_duration(o, "hold", t->hold_us);
    json_out_close(o, '}');
}

static void put_attempts(struct json_out *o, uint32_t attempts)
{
    if (attempts != 0) {
        json_out_key(o, "retries");
        json_out_open(o, '{');
        json_out_field_u64(o, "max-attempts", attempts);
        json_out_close(o, '}');
    }
}

// --- providers ----------------------------------------------------------------------------------

static void put_health(struct json_out *o, const struct resource_provider *p)
{
    static const char *const probes[] = {"off", "models", "tcp"};

    json_out_key(o, "health");
    json_out_open(o, '{');
    json_out_field_str(o, "probe", probes[p->probe]);
    json_out_field_duration(o, "interval", p->probe_interval_us);
    json_out_close(o, '}');
}

static void put_pairs(struct json_out *o, const char *name, const struct resource_pair *list,
                      size_t n)
{
    if (n == 0) {
        return;
    }
    json_out_key(o, name);
    json_out_open(o, '{');
    for (size_t i = 0; i < n; i++) {
        json_out_field_str(o, list[i].name, list[i].value);
    }
    json_out_close(o, '}');
}

// {"requests": {"limit": "x-vendors-name"}} from {"x-ratelimit-limit-requests", "x-vendors-name"}.
static void put_limit_headers(struct json_out *o, const struct resource_provider *p)
{
    static const char *const units[] = {"requests", "tokens"};
    static const char *const parts[] = {"limit", "remaining", "reset"};
    char name[64];

    if (p->n_limit_headers == 0) {
        return;
    }
    json_out_key(o, "limit-headers");
    json_out_open(o, '{');
    for (size_t u = 0; u < ARRAY_LEN(units); u++) {
        json_out_key(o, units[u]);
        json_out_open(o, '{');
        for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
            (void)snprintf(name, sizeof(name), "x-ratelimit-%s-%s", parts[i], units[u]); // fits
            for (size_t k = 0; k < p->n_limit_headers; k++) {
                if (strcmp(p->limit_headers[k].name, name) == 0) {
                    json_out_field_str(o, parts[i], p->limit_headers[k].value);
                }
            }
        }
        json_out_close(o, '}');
    }
    json_out_close(o, '}');
}

// A base URL without a path of its own would get the catalogue's.
static bool has_no_path(const char *url)
{
    struct slice u = slice_str(url);
    size_t scheme = slice_find(u, SLICE("://"));
    struct slice rest = slice_from(u, scheme == SIZE_MAX ? 0 : scheme + 3);

    return slice_find_char(rest, '/') + 1 == rest.n;
}

static void render_provider(struct json_out *o, const struct resource_provider *p)
{
    put_text(o, "dialect", p->dialect);
    put_text(o, "base-url", p->base_url);
    put_text(o, "raw-url", p->raw_url);
    if (p->base_url != NULL && has_no_path(p->base_url)) {
        json_out_field_str(o, "path", "/");
    }
    json_out_key(o, "auth");
    json_out_open(o, '{');
    put_text(o, "header", p->auth_header);
    put_text(o, "scheme", p->auth_scheme);
    json_out_close(o, '}');
    if (p->key_variable != NULL) {
        put_texts(o, "key-variables", &p->key_variable, 1);
    }
    json_out_field_bool(o, "key-required", p->needs_key);
    put_texts(o, "models", p->models, p->n_models);
    put_hidden(o, "headers", p->headers, p->n_headers);
    put_hidden(o, "query", p->query, p->n_query);
    if (p->no_stream_options) {
        json_out_field_bool(o, "stream-options", false);
    }
    put_health(o, p);
    config_render_quirks(o, &p->quirks);
    put_pairs(o, "paths", p->paths, p->n_paths);
    put_limit_headers(o, p);
}

// --- models -------------------------------------------------------------------------------------

// `unknown` is left out.
static void put_price(struct json_out *o, const char *name, uint64_t price, uint64_t unknown)
{
    if (price != unknown) {
        json_out_key(o, name);
        json_out_double(o, (double)price / 1e6);
    }
}

static void put_tier(struct json_out *o, const struct resource_price_tier *t)
{
    json_out_open(o, '{');
    json_out_field_u64(o, "above", t->above);
    put_price(o, "input", t->input, UINT64_MAX);
    put_price(o, "cached", t->cached, UINT64_MAX);
    put_price(o, "cache-write", t->cache_write, UINT64_MAX);
    put_price(o, "cache-write-long", t->cache_write_long, 0);
    put_price(o, "output", t->output, UINT64_MAX);
    json_out_close(o, '}');
}

static void put_prices(struct json_out *o, const struct resource_price *p)
{
    json_out_key(o, "price");
    json_out_open(o, '{');
    put_price(o, "input", p->input, UINT64_MAX);
    put_price(o, "cached", p->cached, UINT64_MAX);
    put_price(o, "cache-write", p->cache_write, UINT64_MAX);
    put_price(o, "cache-write-long", p->cache_write_long, 0);
    put_price(o, "output", p->output, UINT64_MAX);
    put_price(o, "reasoning", p->reasoning, 0);
    put_price(o, "audio-input", p->audio_input, 0);
    put_price(o, "audio-output", p->audio_output, 0);
    put_price(o, "image-output", p->image_output, 0);
    if (p->n_tiers > 0) {
        json_out_key(o, "tiers");
        json_out_open(o, '[');
        for (size_t i = 0; i < p->n_tiers; i++) {
            put_tier(o, &p->tiers[i]);
        }
        json_out_close(o, ']');
    }
    json_out_close(o, '}');
}

// "2026-12-01"
static void put_day(struct json_out *o, const char *name, uint64_t wall_us)
{
    char text[32];

    if (wall_us != 0) {
        json_out_field(o, name, slice_head(slice_str(text_format_rfc3339(wall_us, text)), 10));
    }
}

static void put_place(struct json_out *o, const struct resource_model_at *at)
{
    json_out_open(o, '{');
    json_out_field_str(o, "provider", at->provider);
    put_text(o, "id", at->id);
    put_prices(o, &at->price);
    if (at->n_changes > 0) {
        json_out_key(o, "changes");
        json_out_open(o, '[');
        for (size_t i = 0; i < at->n_changes; i++) {
            json_out_open(o, '{');
            put_day(o, "from", at->changes[i].from_wall_us);
            put_prices(o, &at->changes[i].price);
            json_out_close(o, '}');
        }
        json_out_close(o, ']');
    }
    json_out_close(o, '}');
}

static void render_model(struct json_out *o, const struct resource_model *m)
{
    json_out_key(o, "at");
    json_out_open(o, '[');
    for (size_t i = 0; i < m->n_at; i++) {
        put_place(o, &m->at[i]);
    }
    json_out_close(o, ']');
    // Also empty ones: what is left out would be the catalogue's.
    json_out_field_texts(o, "equivalents", m->equivalents, m->n_equivalents);
    json_out_field_texts(o, "aliases", m->aliases, m->n_aliases);
    json_out_field_texts(o, "modalities", m->modalities, m->n_modalities);
    json_out_field_texts(o, "outputs", m->outputs, m->n_outputs);
    json_out_field_u64(o, "context", m->context);
    json_out_field_u64(o, "max-output", m->max_output);
    put_text(o, "kind", m->kind);
    put_day(o, "released", m->released_wall_us);
    config_render_traits(o, &m->traits);
}

// --- routers ------------------------------------------------------------------------------------

static void put_balances(struct json_out *o, const struct resource_router *r)
{
    static const char *const strategies[] = {"latency",        "latency",       "weighted",
                                             "model-weighted", "model-latency", "priority",
                                             "cost",           "least-busy"};

    json_out_key(o, "load-balance");
    json_out_open(o, '{');
    for (size_t i = 0; i < r->n_balances; i++) {
        const struct resource_balance *b = &r->balances[i];
        bool by_model =
            b->strategy == RESOURCE_MODEL_WEIGHTED || b->strategy == RESOURCE_MODEL_LATENCY;

        json_out_key(o, b->endpoint);
        json_out_open(o, '{');
        json_out_field_str(o, "strategy", strategies[b->strategy]);
        put_targets(o, by_model ? "models" : "providers", b->targets, b->n_targets);
        json_out_close(o, '}');
    }
    json_out_close(o, '}');
}

static void render_router(struct json_out *o, const struct resource_router *r)
{
    put_balances(o, r);
    if (r->n_fallbacks > 0) {
        put_targets(o, "fallbacks", r->fallbacks, r->n_fallbacks);
    }
    put_mappings(o, "model-mappings", r->mappings, r->n_mappings);
    put_cache(o, &r->cache);
    put_attempts(o, r->max_attempts);
    put_limits(o, r->limits, r->n_limits);
    put_timeouts(o, "timeouts", &r->timeouts);
    json_out_field_bool(o, "forward-unknown", r->forward_unknown);
    json_out_field_bool(o, "drop-unsupported", r->drop_unsupported);
}

// --- settings -----------------------------------------------------------------------------------

static void put_policy(struct json_out *o, const char *name, const struct resource_cache *cache,
                       const struct resource_limit *limits, size_t n_limits, uint32_t attempts)
{
    json_out_key(o, name);
    json_out_open(o, '{');
    put_cache(o, cache);
    put_limits(o, limits, n_limits);
    put_attempts(o, attempts);
    json_out_close(o, '}');
}

static void put_discover(struct json_out *o, const struct resource_settings *s)
{
    json_out_key(o, "discover");
    json_out_open(o, '{');
    json_out_field_duration(o, "decay", s->decay_us);
    json_out_field_duration(o, "default-rtt", s->default_rtt_us);
    json_out_key(o, "health");
    json_out_open(o, '{');
    json_out_field_duration(o, "ejection", s->ejection_us);
    json_out_close(o, '}');
    json_out_close(o, '}');
}

void config_render_settings(struct json_out *o, const struct resource_settings *s)
{
    static const char *const modes[] = {"default", "optional", "required", "off"};

    json_out_key(o, "auth");
    json_out_open(o, '{');
    json_out_field_str(o, "mode", modes[s->auth_mode]);
    json_out_close(o, '}');
    put_timeouts(o, "dispatcher", &s->timeouts);
    put_discover(o, s);
    put_mappings(o, "default-model-mapping", s->mappings, s->n_mappings);
    put_policy(o, "global", &s->cache, s->limits, s->n_limits, s->max_attempts);
    put_policy(o, "unified-api", &s->unified_cache, s->unified_limits, s->n_unified_limits, 0);
    json_out_key(o, "cache-store");
    json_out_open(o, '{');
    json_out_field_u64(o, "max-bytes", s->cache_bytes);
    json_out_close(o, '}');
    if (s->max_stale_us != 0) {
        json_out_key(o, "control");
        json_out_open(o, '{');
        json_out_field_duration(o, "max-stale", s->max_stale_us);
        json_out_close(o, '}');
    }
}

void config_render(struct json_out *o, const struct resource *r)
{
    if (config_render_section(r->kind) == NULL) {
        json_out_null(o);
        return;
    }
    json_out_open(o, '{');
    if (r->kind == RESOURCE_PROVIDER) {
        render_provider(o, r->u.provider);
    } else if (r->kind == RESOURCE_MODEL) {
        render_model(o, r->u.model);
    } else {
        render_router(o, r->u.router);
    }
    json_out_close(o, '}');
}
