// SPDX-License-Identifier: Apache-2.0
// Answers from the snapshot: no upstream call, no lease. Bodies are written straight into a buffer;
// their size is bounded by the catalogue.
#include "dataplane/models_api.h"

#include <string.h>

#include "common/base/mono.h"
#include "common/base/text.h"
#include "dataplane/models_anthropic.h"
#include "dataplane/req_priv.h"

#define BODY_MAX (64u * 1024 * 1024)

// --- models ------------------------------------------------------------------------------------

struct listing {
    struct buf *out;
    uint64_t wall_us;
    struct slice only; // one model's id, or SLICE_NULL
    const char *separator;
    bool anthropic;
    size_t n;
};

// USD for one token, as a string; nothing where `absent` is the price.
static void put_price(struct buf *b, const char *name, uint64_t pico, uint64_t absent)
{
    char text[40];

    if (pico != absent) {
        buf_printf(b, ",\"%s\":\"%s\"", name, price_format_usd(pico, text));
    }
}

// OpenRouter's members; null where unpriced.
static void put_pricing(struct buf *b, const struct resource_price *p)
{
    char text[40];

    if (p->input == UINT64_MAX || p->output == UINT64_MAX) {
        buf_append_str(b, "\"pricing\":{\"prompt\":null,\"completion\":null}");
        return;
    }
    buf_printf(b, "\"pricing\":{\"prompt\":\"%s\"", price_format_usd(p->input, text));
    put_price(b, "completion", p->output, UINT64_MAX);
    put_price(b, "input_cache_read", p->cached, UINT64_MAX);
    put_price(b, "input_cache_write", p->cache_write, UINT64_MAX);
    put_price(b, "internal_reasoning", p->reasoning, 0);
    put_price(b, "audio", p->audio_input, 0);
    buf_append_char(b, '}');
}

static void put_modalities(struct buf *b, const char *const *list, size_t n)
{
    buf_append_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            buf_append_char(b, ',');
        }
        text_json_string(b, slice_str(list[i]));
    }
    buf_append_char(b, ']');
}

static void put_architecture(struct buf *b, const struct resource_model *m)
{
    static const char *const text[] = {"text"};
    bool vectors = m->kind != NULL && strcmp(m->kind, "embeddings") == 0;

    buf_append_str(b, "\"architecture\":{\"input_modalities\":");
    put_modalities(b, m->modalities, m->n_modalities);
    buf_append_str(b, ",\"output_modalities\":");
    if (vectors) {
        buf_append_str(b, "[\"embeddings\"]");
    } else if (m->n_outputs > 0) {
        put_modalities(b, m->outputs, m->n_outputs);
    } else {
        put_modalities(b, text, 1);
    }
    buf_append_char(b, '}');
}

static void put_count(struct buf *b, uint32_t n)
{
    if (n == 0) {
        buf_append_str(b, "null");
    } else {
        buf_printf(b, "%u", n);
    }
}

// OpenAI's shape with OpenRouter's extra members.
static void put_model(struct buf *b, const struct resource *m, const struct resource_model_at *at,
                      uint64_t wall_us)
{
    const struct resource_model *x = m->u.model;

    buf_append_str(b, "{\"id\":\"");
    text_json_escape(b, slice_str(at->provider));
    buf_append_char(b, '/');
    text_json_escape(b, slice_str(at->id));
    buf_printf(b, "\",\"object\":\"model\",\"created\":%llu,\"owned_by\":",
               (unsigned long long)(x->released_wall_us / 1000000));
    text_json_string(b, slice_str(at->provider));
    buf_append_str(b, ",\"canonical_slug\":");
    text_json_string(b, slice_str(m->id));
    buf_append_str(b, ",\"name\":");
    text_json_string(b, slice_str(m->id));
    buf_append_str(b, ",\"context_length\":");
    put_count(b, x->context);
    buf_append_char(b, ',');
    put_architecture(b, x);
    buf_append_char(b, ',');
    put_pricing(b, price_at(at, wall_us));
    buf_append_str(b, ",\"top_provider\":{\"context_length\":");
    put_count(b, x->context);
    buf_append_str(b, ",\"max_completion_tokens\":");
    put_count(b, x->max_output);
    buf_append_str(b, "}}");
}

static bool is_alias(const struct resource_model *m, struct slice name)
{
    for (size_t i = 0; i < m->n_aliases; i++) {
        if (slice_eq_str(name, m->aliases[i])) {
            return true;
        }
    }
    return false;
}

// "provider/id", or the canonical name or an alias (its first place).
static bool is_wanted(const struct listing *l, const struct resource *m,
                      const struct resource_model_at *at)
{
    struct slice provider = slice_str(at->provider);

    if (l->only.p == NULL) {
        return true;
    }
    if (slice_eq_str(l->only, m->id) || is_alias(m->u.model, l->only)) {
        return l->n == 0;
    }
    return l->only.n > provider.n && slice_starts(l->only, provider) &&
           l->only.p[provider.n] == '/' &&
           slice_eq_str(slice_from(l->only, provider.n + 1), at->id);
}

static void list_model(void *ctx, const struct resource *m, const struct resource_model_at *at)
{
    struct listing *l = ctx;

    if (is_wanted(l, m, at)) {
        buf_append_str(l->out, l->n == 0 ? "" : l->separator);
        if (l->anthropic) {
            models_anthropic_put(l->out, m, at);
        } else {
            put_model(l->out, m, at, l->wall_us);
        }
        l->n++;
    }
}

static void collect_model(void *ctx, const struct resource *m, const struct resource_model_at *at)
{
    models_anthropic_add(ctx, m, at);
}

static void answer_anthropic_models(struct req *r)
{
    struct models_anthropic list = {.arena = &r->arena};
    struct slice path, query = slice_cut(httpd_target(r->q), '?', &path);
    const char *param = NULL;
    struct buf body;

    buf_init(&body, BODY_MAX);
    route_models(r->snap, r->router, r->key, collect_model, &list);
    if (models_anthropic_page(&list, query, &body, &param)) {
        reply_json(r, 200, &body);
    } else {
        r->fail.param = param;
        (void)req_fail(r, REPLY_INVALID_VALUE, "%s: there is no such page", param);
    }
    buf_done(&body);
}

static void answer_models(struct req *r)
{
    struct buf body;
    struct listing l = {
        .out = &body, .wall_us = loop_wall_us(r->w->loop), .only = SLICE_NULL, .separator = ","};

    if (r->route.anthropic) {
        answer_anthropic_models(r);
        return;
    }
    buf_init(&body, BODY_MAX);
    buf_append_str(&body, "{\"object\":\"list\",\"data\":[");
    route_models(r->snap, r->router, r->key, list_model, &l);
    buf_append_str(&body, "]}");
    reply_json(r, 200, &body);
    buf_done(&body);
}

// Model ids may hold "%2F".
static struct slice decoded(struct arena *a, struct slice s)
{
    char *out = arena_alloc(a, s.n + 1);

    return (struct slice){out, text_percent_decode(s, out)};
}

static void answer_model(struct req *r)
{
    struct buf body;
    struct listing l = {.out = &body,
                        .wall_us = loop_wall_us(r->w->loop),
                        .only = decoded(&r->arena, r->route.rest),
                        .separator = ",",
                        .anthropic = r->route.anthropic};

    buf_init(&body, BODY_MAX);
    route_models(r->snap, r->router, r->key, list_model, &l);
    if (l.n == 0) {
        (void)req_fail(r, REPLY_MODEL_NOT_FOUND, "there is no model `" SLICE_FMT "` for this key",
                       SLICE_ARG(slice_head(l.only, 128)));
    } else {
        reply_json(r, 200, &body);
    }
    buf_done(&body);
}

// --- the calling key ---------------------------------------------------------------------------

static void put_strings(struct buf *b, const char *const *list, size_t n)
{
    buf_append_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        buf_append_str(b, i == 0 ? "" : ",");
        text_json_string(b, slice_str(list[i]));
    }
    buf_append_char(b, ']');
}

static void put_text(struct buf *b, const char *name, const char *value)
{
    buf_printf(b, ",\"%s\":", name);
    if (value == NULL) {
        buf_append_str(b, "null");
    } else {
        text_json_string(b, slice_str(value));
    }
}

struct key_limits {
    struct buf *out;
    size_t n;
    uint64_t nano_limit, nano_left; // of the first limit in money; limit 0: none
};

static void put_amount(struct buf *b, const char *name, enum resource_unit unit, uint64_t amount)
{
    char text[40];

    if (unit == RESOURCE_USD) {
        buf_printf(b, ",\"%s\":%s", name,
                   price_format_usd(amount > UINT64_MAX / 1000 ? UINT64_MAX : amount * 1000, text));
    } else {
        buf_printf(b, ",\"%s\":%llu", name, (unsigned long long)amount);
    }
}

// The key's own limits and those of its router, team and the whole installation alike.
static void put_limit(void *ctx, const struct resource_limit *l, const struct limit_view *v)
{
    static const char *const calendars[] = {"", "day", "week", "month"};
    static const char *const units[] = {"", "requests", "tokens", "usd"};
    struct key_limits *k = ctx;
    char per[32];

    buf_printf(k->out, "%s{\"unit\":\"%s\"", k->n++ == 0 ? "" : ",", units[l->unit]);
    put_amount(k->out, "amount", l->unit, l->amount);
    put_amount(k->out, "remaining", l->unit, v->remaining);
    buf_printf(k->out, ",\"per\":\"%s\",\"reset_ms\":%llu}",
               l->calendar != RESOURCE_ROLLING ? calendars[l->calendar]
                                               : text_format_duration(l->per_us, per),
               (unsigned long long)((v->reset_us + MONO_MS - 1) / MONO_MS));
    if (l->unit == RESOURCE_USD && k->nano_limit == 0) {
        k->nano_limit = l->amount;
        k->nano_left = v->remaining;
    }
}

static void put_key(struct buf *b, const struct req *r)
{
    const struct resource_key *k = r->key->u.key;
    char when[32];

    text_json_string(b, slice_str(r->key->id));
    put_text(b, "label", k->name);
    put_text(b, "name", k->name);
    put_text(b, "owner", k->owner);
    put_text(b, "team", k->team);
    buf_append_str(b, ",\"models\":");
    put_strings(b, k->models, k->n_models);
    buf_append_str(b, ",\"routers\":");
    put_strings(b, k->routers, k->n_routers);
    put_text(b, "expires_at",
             k->expires_wall_us == 0 ? NULL : text_format_rfc3339(k->expires_wall_us, when));
}

// OpenRouter's members (label, limit, limit_remaining, usage: in dollars) beside our own. What was
// used without a limit is the control plane's to know.
static void answer_key(struct req *r)
{
    struct limit_query q = {
        .snap = r->snap, .router = r->router, .key = r->key, .principal = r->principal};
    struct buf body;
    struct key_limits limits = {.out = &body};

    buf_init(&body, BODY_MAX);
    buf_append_str(&body, "{\"data\":{\"id\":");
    if (r->key == NULL) {
        buf_append_str(&body, "null,\"label\":\"anonymous\"");
    } else {
        put_key(&body, r);
    }
    buf_append_str(&body, ",\"limits\":[");
    limit_each(r->w->shared->limits, &q, r->now_us, put_limit, &limits);
    buf_append_char(&body, ']');
    if (limits.nano_limit != 0) {
        put_amount(&body, "limit", RESOURCE_USD, limits.nano_limit);
        put_amount(&body, "limit_remaining", RESOURCE_USD, limits.nano_left);
        put_amount(&body, "usage", RESOURCE_USD, limits.nano_limit - limits.nano_left);
    } else {
        buf_append_str(&body, ",\"limit\":null,\"limit_remaining\":null,\"usage\":null");
    }
    buf_append_str(&body, ",\"is_free_tier\":false}}");
    reply_json(r, 200, &body);
    buf_done(&body);
}

// --- probes, validation ------------------------------------------------------------------------

static void answer_probe(struct req *r)
{
    bool ready = r->route.kind == FRONT_LIVE || worker_is_ready(r->w->shared);
    struct buf body;

    buf_init(&body, 256);
    buf_append_str(&body, ready ? "{\"status\":\"ok\"}" : "{\"status\":\"not ready\"}");
    reply_json(r, ready ? 200 : 503, &body);
    buf_done(&body);
}

static void answer_validate(struct req *r)
{
    struct buf body, why;

    if (r->w->shared->validate == NULL) {
        (void)req_fail(r, REPLY_NOT_SERVED, "this build cannot check router configs");
        return;
    }
    buf_init(&body, 64u * 1024);
    buf_init(&why, 8192);
    if (r->w->shared->validate(httpd_body(r->q), &why)) {
        buf_append_str(&body, "{\"valid\":true,\"error\":null}");
    } else {
        buf_append_str(&body, "{\"valid\":false,\"error\":");
        text_json_string(&body, buf_slice(&why));
        buf_append_char(&body, '}');
    }
    reply_json(r, 200, &body);
    buf_done(&why);
    buf_done(&body);
}

void models_api_answer(struct req *r)
{
    switch (r->route.kind) {
    case FRONT_MODELS:
        answer_models(r);
        return;
    case FRONT_MODEL:
        answer_model(r);
        return;
    case FRONT_KEY:
        answer_key(r);
        return;
    case FRONT_VALIDATE:
        answer_validate(r);
        return;
    case FRONT_LIVE:
    case FRONT_READY:
        answer_probe(r);
        return;
    case FRONT_ROUTED:
    case FRONT_RAW:
    case FRONT_UNKNOWN:
    case FRONT_METHOD:
    case FRONT_NOT_SERVED:
        break;
    }
    (void)req_fail(r, REPLY_UNKNOWN_ROUTE, "there is no such route");
}
