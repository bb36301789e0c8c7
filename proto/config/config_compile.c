// SPDX-License-Identifier: Apache-2.0
// Order of work: what names a provider comes before providers are written, since a provider of the
// catalogue may be there only because it is named.
//
//   collect providers, models -> routers -> settings, virtual keys -> models -> providers -> sort
#include "proto/config/config_compile.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"

#define KEY_PREFIX       "sk-sluice-"
#define KEY_ID_MIN       4u
#define KEY_ID_MAX       32u
#define KEY_SECRET_MIN   24u
#define KEY_SECRET_MAX   128u
#define HELICONE_ENTRY   ((uint64_t)16 << 10) // bytes taken for one answer of `max-size`
#define HELICONE_MAX     ((uint64_t)256 << 20)
#define ENCODED_TEXT_MAX ((size_t)64 << 20)
#define DEFAULT_ATTEMPTS 5u

// --- helpers of the other files ------------------------------------------------------------------

const char *config_compile_add(struct config_compile *k, struct resource *r, const struct node *n)
{
    struct config *c = k->out;
    struct problem_place at = problem_place_of_key(n);
    const char *where = NULL;

    if (c->n_resources == c->cap_resources) {
        c->cap_resources = c->cap_resources == 0 ? 64 : 2 * c->cap_resources;
        c->resources = mem_realloc_array(c->resources, c->cap_resources, sizeof(*c->resources));
        c->where = mem_realloc_array(c->where, c->cap_resources, sizeof(*c->where));
    }
    if (n != NULL) {
        where = at.line == 0 ? at.file : arena_printf(k->ctx->arena, "%s:%u", at.file, at.line);
    }
    c->where[c->n_resources] = where;
    c->resources[c->n_resources++] = r;
    return where;
}

bool config_compile_name(struct config_compile *k, const struct node *n, const char *name,
                         size_t max)
{
    size_t len = strlen(name);
    bool ok = len >= 1 && len <= max;

    for (size_t i = 0; i < len && ok; i++) {
        char c = name[i];
        bool word = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');

        ok = word || (i > 0 && (c == '-' || c == '_' || c == '.'));
    }
    if (!ok) {
        conf_complain(k->ctx, PROBLEM_ERROR, n, true,
                      "a name is 1 to %zu of A-Z a-z 0-9 . _ - and starts with a letter or digit",
                      max);
    }
    return ok;
}

const char *config_compile_str(struct resource *r, const struct conf_text *t)
{
    return arena_strdup(&r->arena, t->s);
}

const char *const *config_compile_strs(struct resource *r, const struct conf_texts *t,
                                       size_t *ret_n)
{
    const char **out = arena_zalloc(&r->arena, (t->n + 1) * sizeof(*out));

    for (size_t i = 0; i < t->n; i++) {
        out[i] = config_compile_str(r, &t->items[i]);
    }
    *ret_n = t->n;
    return out;
}

const struct resource_pair *config_compile_pairs(struct resource *r, const struct conf_entries *e,
                                                 size_t *ret_n)
{
    struct resource_pair *out = arena_zalloc(&r->arena, (e->n + 1) * sizeof(*out));

    for (size_t i = 0; i < e->n; i++) {
        const struct conf_text *value = e->items[i].value;

        out[i].name = arena_strdup(&r->arena, e->items[i].name);
        out[i].value = value->s == NULL ? "" : config_compile_str(r, value);
    }
    *ret_n = e->n;
    return out;
}

// --- settings ------------------------------------------------------------------------------------

static uint64_t cache_bytes(const struct schema_store *s)
{
    uint64_t bytes;

    if (node_get(s->node, SLICE("max-size")) == NULL ||
        node_get(s->node, SLICE("max-bytes")) != NULL) {
        return s->max_bytes;
    }
    bytes = s->max_size * HELICONE_ENTRY; // max_size < 2^32
    return bytes < HELICONE_MAX ? bytes : HELICONE_MAX;
}

static void put_policies(struct config_compile *k, struct resource *r)
{
    const struct schema_policy *g = &k->doc->global, *u = &k->doc->unified_api;
    const struct config_limit_source global = {&g->rate_limit, &g->limits};
    const struct config_limit_source unified = {&u->rate_limit, &u->limits};
    struct resource_settings *s = r->u.settings;
    size_t mark = conf_enter(k->ctx, "global", SIZE_MAX);

    s->cache = config_limit_cache(k, r, &g->cache);
    s->limits = config_limit_all(k, r, &global, &s->n_limits);
    s->max_attempts = config_limit_attempts(k, &g->retries);
    s->max_attempts = s->max_attempts == 0 ? DEFAULT_ATTEMPTS : s->max_attempts;
    conf_leave(k->ctx, mark);
    mark = conf_enter(k->ctx, "unified-api", SIZE_MAX);
    s->unified_cache = config_limit_cache(k, r, &u->cache);
    s->unified_limits = config_limit_all(k, r, &unified, &s->n_unified_limits);
    if (u->retries.node != NULL) {
        conf_complain(k->ctx, PROBLEM_WARNING, u->retries.node, true,
                      "has no effect in this version: the unified API uses global.retries");
    }
    conf_leave(k->ctx, mark);
}

static bool has_router(const struct schema *doc, const char *name)
{
    for (size_t i = 0; i < doc->routers.n; i++) {
        if (strcmp(doc->routers.items[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void emit_settings(struct config_compile *k)
{
    struct resource *r = resource_new(RESOURCE_SETTINGS, SLICE("global"), 1);
    const struct schema_discover *d = &k->doc->discover;
    const struct schema_health *health = d->health.node != NULL ? &d->health : &d->monitor.health;
    struct resource_settings *s = r->u.settings;
    size_t mark;

    s->auth_mode = (enum resource_auth_mode)k->doc->auth.mode;
    s->timeouts = config_limit_timeouts(&k->doc->dispatcher);
    s->default_rtt_us = d->default_rtt_us;
    s->decay_us = d->decay_us;
    s->ejection_us = health->ejection_us;
    mark = conf_enter(k->ctx, "default-model-mapping", SIZE_MAX);
    s->mappings = config_router_mappings(k, r, &k->doc->mappings, &s->n_mappings);
    conf_leave(k->ctx, mark);
    put_policies(k, r);
    s->cache_bytes = cache_bytes(&k->doc->cache_store);
    s->default_router = has_router(k->doc, "default") ? "default" : NULL;
    s->max_stale_us = k->doc->boot.control.max_stale_us;
    config_families_put(k, r);
    (void)config_compile_add(k, r, NULL);
}

// --- virtual keys --------------------------------------------------------------------------------

static bool alphanumeric(struct slice s, size_t min, size_t max)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))) {
            return false;
        }
    }
    return s.n >= min && s.n <= max;
}

// "sk-sluice-<id>-<secret>"
static bool split_key(const struct conf_text *t, struct slice *ret_id, struct slice *ret_secret)
{
    struct slice s = slice_trim(slice_str(t->s));

    if (!slice_starts(s, SLICE(KEY_PREFIX))) {
        return false;
    }
    *ret_secret = slice_cut(slice_from(s, sizeof(KEY_PREFIX) - 1), '-', ret_id);
    return alphanumeric(*ret_id, KEY_ID_MIN, KEY_ID_MAX) &&
           alphanumeric(*ret_secret, KEY_SECRET_MIN, KEY_SECRET_MAX);
}

static const struct conf_texts *all_if_unset(const struct conf_texts *t)
{
    static const struct conf_text star = {"*", NULL};
    static const struct conf_texts all = {&star, 1, NULL};

    return t->node == NULL ? &all : t;
}

static void put_key_secret(struct config_compile *k, struct resource *r, struct slice secret)
{
    struct config *c = k->out;

    if (map_put(&k->key_ids, slice_str(r->id), r) != NULL) {
        conf_complain(k->ctx, PROBLEM_ERROR, NULL, false,
                      "another key in this file has the same id (%s)", r->id);
    }
    if ((c->n_keys & (c->n_keys - 1)) == 0) { // as much room as the next power of two
        c->keys = mem_realloc_array(c->keys, c->n_keys == 0 ? 1 : 2 * c->n_keys, sizeof(*c->keys));
    }
    c->keys[c->n_keys++] = (struct config_key){r, secret_new(secret)};
}

static void emit_key(struct config_compile *k, const struct conf_entry *e)
{
    const struct schema_virtual_key *s = e->value;
    const struct config_limit_source limits = {NULL, &s->limits};
    struct slice id, secret;
    struct resource *r;
    size_t mark;

    if (s->key.s == NULL) {
        return; // reported as missing
    }
    if (!split_key(&s->key, &id, &secret)) {
        mark = conf_enter(k->ctx, "key", SIZE_MAX);
        conf_complain(
            k->ctx, PROBLEM_ERROR, s->key.node, false,
            "expected sk-sluice-<id>-<secret> (id: 4 to 32, secret: 24 to 128 letters and "
            "digits)");
        conf_leave(k->ctx, mark);
        return;
    }
    r = resource_new(RESOURCE_KEY, id, 1);
    r->u.key->name = arena_strdup(&r->arena, e->name);
    r->u.key->owner = config_compile_str(r, &s->owner);
    r->u.key->team = config_compile_str(r, &s->team);
    r->u.key->state = s->enabled ? RESOURCE_ACTIVE : RESOURCE_DISABLED;
    if (s->expires_at.s != NULL &&
        !text_parse_rfc3339(slice_str(s->expires_at.s), &r->u.key->expires_wall_us)) {
        mark = conf_enter(k->ctx, "expires-at", SIZE_MAX);
        conf_complain(k->ctx, PROBLEM_ERROR, s->expires_at.node, false,
                      "expected a time such as 2027-01-31T00:00:00Z, found %s",
                      problem_show(k->ctx->problems, s->expires_at.node));
        conf_leave(k->ctx, mark);
    }
    r->u.key->models = config_compile_strs(r, all_if_unset(&s->models), &r->u.key->n_models);
    r->u.key->routers = config_compile_strs(r, all_if_unset(&s->routers), &r->u.key->n_routers);
    r->u.key->limits = config_limit_all(k, r, &limits, &r->u.key->n_limits);
    r->u.key->metadata = config_compile_pairs(r, &s->metadata, &r->u.key->n_metadata);
    r->u.key->origin = "file";
    (void)config_compile_add(k, r, e->node);
    put_key_secret(k, r, secret);
}

static void emit_keys(struct config_compile *k)
{
    size_t top = conf_enter(k->ctx, "keys", SIZE_MAX);

    for (size_t i = 0; i < k->doc->keys.n; i++) {
        size_t mark = conf_enter(k->ctx, k->doc->keys.items[i].name, SIZE_MAX);

        emit_key(k, &k->doc->keys.items[i]);
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, top);
}

// --- what does nothing yet -----------------------------------------------------------------------

static void check_helicone(struct config_compile *k)
{
    const struct node *at = k->doc->helicone.node;

    for (size_t i = 0; i < k->doc->routers.n && at == NULL; i++) {
        at = ((const struct schema_router *)k->doc->routers.items[i].value)->helicone.node;
    }
    if (at == NULL) {
        return;
    }
    k->out->helicone = true;
    problem_add(k->ctx->problems, PROBLEM_NOTICE, problem_place_of_key(at), "helicone",
                "has no effect: this version has no Helicone exporter, nothing is sent anywhere");
}

// --- the end -------------------------------------------------------------------------------------

struct placed {
    struct resource *r;
    const char *where;
};

static int by_kind_and_id(const void *a, const void *b)
{
    const struct resource *x = ((const struct placed *)a)->r, *y = ((const struct placed *)b)->r;

    return x->kind != y->kind ? (x->kind < y->kind ? -1 : 1) : strcmp(x->id, y->id);
}

static void sort_resources(struct config *c)
{
    struct placed *all = mem_zalloc_array(c->n_resources + 1, sizeof(*all));

    for (size_t i = 0; i < c->n_resources; i++) {
        all[i] = (struct placed){c->resources[i], c->where[i]};
    }
    qsort(all, c->n_resources, sizeof(*all), by_kind_and_id);
    for (size_t i = 0; i < c->n_resources; i++) {
        c->resources[i] = all[i].r;
        c->where[i] = all[i].where;
    }
    mem_free(all);
}

// What a proxy would refuse to decode must not be published.
static void check_sizes(struct config_compile *k)
{
    for (size_t i = 0; i < k->out->n_resources; i++) {
        const struct resource *r = k->out->resources[i];
        struct buf b;

        if (r->kind == RESOURCE_PROVIDER_KEY) {
            continue; // bounded by its own checks; no copies of secrets
        }
        buf_init(&b, ENCODED_TEXT_MAX);
        resource_encode(r, &b);
        if (b.n > RESOURCE_BYTES_MAX) {
            problem_add(k->ctx->problems, PROBLEM_ERROR, (struct problem_place){0}, r->id,
                        "this %s is too large: %zu bytes, at most %u", resource_kind_name(r->kind),
                        b.n, RESOURCE_BYTES_MAX);
        }
        buf_done(&b);
    }
}

void config_compile(struct config *c, struct conf_ctx *ctx, const struct config_options *o)
{
    struct config_compile k = {
        .ctx = ctx,
        .out = c,
        .doc = &c->schema,
        .catalog = &c->catalog,
        .options = o,
    };

    config_provider_collect(&k);
    config_model_collect(&k);
    config_router_emit(&k);
    emit_settings(&k);
    map_init(&k.key_ids);
    emit_keys(&k);
    map_done(&k.key_ids);
    config_model_emit(&k);
    config_provider_emit(&k);
    check_helicone(&k);
    sort_resources(c);
    check_sizes(&k);
}
