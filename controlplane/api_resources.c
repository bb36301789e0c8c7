// SPDX-License-Identifier: Apache-2.0
// /providers, /models, /routers: what the configuration file has sections of, one resource at a
// time. A PUT takes what would stand below the name in the file, as JSON, and goes the same way:
// it is wrapped into a document with one entry, compiled, and the one resource taken out.
//
//   PUT /routers/blue {...} --> {"routers": {"blue": {...}}} --config_parse--> resource --> change
//
// Whose it is decides: what a file names stays its own (409); what only the catalogue says may be
// replaced here, and a DELETE brings the catalogue's back.
#include <stdio.h>

#include "common/base/mem.h"
#include "controlplane/api_priv.h"
#include "proto/config/config_render.h"

struct kind_api {
    enum resource_kind kind;
    const char *what, *put, *del; // for messages and the audit log
    void (*render)(struct api_call *c, struct json_out *o, const struct resource *r);
};

static const struct kind_api providers = {RESOURCE_PROVIDER, "provider", "provider.put",
                                          "provider.delete", api_read_provider};
static const struct kind_api models = {RESOURCE_MODEL, "model", "model.put", "model.delete",
                                       api_read_model};
static const struct kind_api routers = {RESOURCE_ROUTER, "router", "router.put", "router.delete",
                                        api_read_router};

static const struct kind_api *kind_of(enum resource_kind kind)
{
    return kind == RESOURCE_PROVIDER ? &providers : kind == RESOURCE_MODEL ? &models : &routers;
}

static void render_one(struct api_call *c, struct json_out *o, const struct resource *r)
{
    kind_of(r->kind)->render(c, o, r);
    json_out_key(o, "config");
    config_render(o, r);
}

static void render_written(struct api_call *c, struct json_out *o)
{
    render_one(c, o, c->w.res);
}

// --- from a body to a resource ------------------------------------------------------------------

struct pairs {
    struct json_out *o;
    const struct resource_pair *old;
    size_t n;
    struct json_report *r;
};

// A hidden value stays what it is: what was read may be written back.
static bool put_pair(void *ctx, const struct json_at *at)
{
    struct pairs *p = ctx;
    struct json_report ignored = {0};
    struct slice value = SLICE_NULL;

    if (json_want_raw_text(at, 0, RESOURCE_STRING_MAX, &value, &ignored) &&
        slice_eq_str(value, CONFIG_RENDER_HIDDEN)) {
        value = SLICE_NULL;
        for (size_t i = 0; i < p->n; i++) {
            if (slice_eq_nocase(slice_str(p->old[i].name), slice_str(at->name))) {
                value = slice_str(p->old[i].value);
            }
        }
        if (value.p == NULL) {
            json_note(p->r, at, "has no value that could stay: give one");
            value = SLICE("");
        }
        json_out_field(p->o, at->name, value);
        return true;
    }
    json_out_key(p->o, at->name);
    json_out_value(p->o, at->value);
    return true;
}

struct members {
    struct json_out *o;
    const struct resource *old;
    struct json_report *r;
};

static bool put_member(void *ctx, const struct json_at *at)
{
    struct members *m = ctx;
    struct slice name = slice_str(at->name);
    bool headers = slice_eq_str(name, "headers"), query = slice_eq_str(name, "query");
    struct pairs pairs = {.o = m->o, .r = m->r};
    struct json_report ignored = {0};

    json_out_key(m->o, at->name);
    if (m->old == NULL || m->old->kind != RESOURCE_PROVIDER || (!headers && !query) ||
        !json_want_map(at, RESOURCE_ITEMS_MAX, &ignored)) {
        json_out_value(m->o, at->value);
        return true;
    }
    pairs.old = headers ? m->old->u.provider->headers : m->old->u.provider->query;
    pairs.n = headers ? m->old->u.provider->n_headers : m->old->u.provider->n_query;
    json_out_open(m->o, '{');
    json_each(at, put_pair, &pairs);
    json_out_close(m->o, '}');
    return true;
}

// {"routers": {"blue": BODY}}
static struct config *compile(struct api_call *c, enum resource_kind kind,
                              const struct json_at *body, const struct resource *old)
{
    struct config *config;
    struct json_out o;
    struct buf text;

    buf_init(&text, API_ANSWER_MAX); // escapes and values that stay make it longer than the body
    o = json_out_to(&text);
    json_out_open(&o, '{');
    if (body != NULL) {
        struct members m = {&o, old, &c->report};

        json_out_key(&o, config_render_section(kind));
        json_out_open(&o, '{');
        json_out_key(&o, c->param);
        json_out_open(&o, '{');
        json_each(body, put_member, &m);
        json_out_close(&o, '}');
        json_out_close(&o, '}');
    }
    json_out_close(&o, '}');
    config = api_file_parse(c, "body", buf_slice(&text));
    mem_wipe(text.p, text.cap);
    buf_done(&text);
    return config;
}

// One reference to the resource of that kind and the call's id; NULL: it made none.
static struct resource *take(struct api_call *c, const struct config *config,
                             enum resource_kind kind)
{
    for (size_t i = 0; config_ok(config) && i < config->n_resources; i++) {
        struct resource *r = config->resources[i];

        if (r->kind == kind && strcmp(r->id, c->param) == 0) {
            return resource_ref(r);
        }
    }
    return NULL;
}

static bool no_provider(struct api_call *c, const char *name)
{
    return state_find(store_state(c->api->store), RESOURCE_PROVIDER, slice_str(name)) == NULL;
}

static void check_targets(struct api_call *c, const char *member, const struct resource_target *t,
                          size_t n)
{
    const struct json_at root = {0};
    const struct json_at at = {.up = &root, .name = member};

    for (size_t i = 0; i < n; i++) {
        if (no_provider(c, t[i].provider)) {
            json_note(&c->report, &at, "there is no provider \"%.64s\" (PUT /providers/%.64s)",
                      t[i].provider, t[i].provider);
        }
    }
}

// The catalogue knows providers that are not in force: naming one in a router does not bring it in.
// (In a model it may stand, as in the catalogue's own: there it only says what it costs.)
static void check_references(struct api_call *c, const struct resource *r)
{
    if (r->kind != RESOURCE_ROUTER) {
        return;
    }
    for (size_t i = 0; i < r->u.router->n_balances; i++) {
        check_targets(c, "load-balance", r->u.router->balances[i].targets,
                      r->u.router->balances[i].n_targets);
    }
    check_targets(c, "fallbacks", r->u.router->fallbacks, r->u.router->n_fallbacks);
}

static void refuse_keys(struct api_call *c, const struct json_at *body)
{
    struct json_at keys = json_member(body, "keys");

    if (json_present(&keys)) {
        json_note(&c->report, &keys, "are set at /provider-keys");
    }
}

// NULL: replied.
static struct resource *from_body(struct api_call *c, enum resource_kind kind,
                                  const struct resource *old)
{
    struct json_at body = json_root(c->doc);
    struct resource *r = NULL;
    char prefix[RESOURCE_ID_MAX + 20];
    struct config *config;

    if (!json_text_is_plain(slice_str(c->param))) {
        const struct json_at root = {0};
        const struct json_at at = {.up = &root, .name = "id"};

        json_note(&c->report, &at,
                  "must not contain control, zero-width or bidirectional characters");
    } else if (json_require(&body, &c->report) && json_want_map(&body, 256, &c->report)) {
        if (kind == RESOURCE_PROVIDER) {
            refuse_keys(c, &body);
        }
        config = compile(c, kind, &body, old);
        (void)snprintf(prefix, sizeof(prefix), "%s.%s", config_render_section(kind), c->param);
        api_file_note(c, config, prefix);
        r = take(c, config, kind);
        if (r != NULL) {
            check_references(c, r);
        } else if (c->report.n == 0) {
            json_note(&c->report, &body, "makes no such %s", kind_of(kind)->what);
        }
        config_free(&config);
    }
    if (c->report.n > 0) {
        resource_unref(&r);
        api_invalid(c);
    }
    return r;
}

// --- put ----------------------------------------------------------------------------------------

// Only the catalogue says so: no file names it.
static bool is_catalogue(const struct follow_owner *o)
{
    return o != NULL && o->origin == RECORD_FILE && o->where[0] == '\0';
}

static bool equal(struct resource *a, const struct resource *b)
{
    struct buf x, y;
    uint64_t version = a->version;
    bool same;

    buf_init(&x, RESOURCE_BYTES_MAX * 4);
    buf_init(&y, RESOURCE_BYTES_MAX * 4);
    a->version = b->version;
    resource_encode(a, &x);
    resource_encode(b, &y);
    a->version = version;
    same = slice_eq(buf_slice(&x), buf_slice(&y));
    buf_done(&x);
    buf_done(&y);
    return same;
}

// Made as the decoder would make it: defaults filled in, bounds checked.
static struct resource *settled(struct resource *r)
{
    struct resource *copy;
    struct buf b;

    buf_init(&b, RESOURCE_BYTES_MAX * 4);
    resource_encode(r, &b);
    copy = b.n <= RESOURCE_BYTES_MAX ? resource_decode(buf_slice(&b), NULL) : NULL;
    buf_done(&b);
    resource_unref(&r);
    return copy;
}

// The paths without a router go to the one called `default`: the settings say whether there is one.
static void follow_default(struct api_call *c, bool exists)
{
    const struct resource *settings =
        state_find(store_state(c->api->store), RESOURCE_SETTINGS, SLICE("global"));

    if (strcmp(c->param, "default") == 0 && settings != NULL &&
        (settings->u.settings->default_router != NULL) != exists) {
        c->w.also = vkey_copy(settings);
        c->w.also->u.settings->default_router = exists ? "default" : NULL;
    }
}

static void again_status(struct api_call *c)
{
    c->w.status = strcmp(c->w.salt, "201") == 0 ? 201 : 200;
}

static void put_resource(struct api_call *c, enum resource_kind kind, struct resource *old)
{
    struct resource *r;
    bool ours = old == NULL || api_owner(c, old) == NULL;

    if (!api_write_begin(c, old) || (old == NULL && !api_write_may_be_there(c))) {
        return;
    }
    r = from_body(c, kind, old);
    if (r == NULL) {
        return;
    }
    r->version = old == NULL ? 1 : old->version + 1;
    if (kind == RESOURCE_ROUTER) {
        r->u.router->origin = "api";
        r->u.router->where = NULL;
    }
    c->w.res = settled(r);
    if (c->w.res == NULL) {
        api_error(c, 413, "request_too_large", "this %s is too large", kind_of(kind)->what);
        return;
    }
    c->w.action = kind_of(kind)->put;
    c->w.status = old == NULL ? 201 : 200;
    c->w.render = render_written;
    c->w.again = again_status;
    (void)snprintf(c->w.salt, sizeof(c->w.salt), "%u", c->w.status); // fits
    if (ours && old != NULL && c->w.idempotency.p == NULL && equal(c->w.res, old)) {
        api_write_unchanged(c, old);
        return;
    }
    if (kind == RESOURCE_ROUTER) {
        follow_default(c, true);
    }
    api_write_commit(c);
}

static void put(struct api_call *c, enum resource_kind kind)
{
    struct resource *old = state_find(store_state(c->api->store), kind, slice_str(c->param));
    const struct follow_owner *owner = old == NULL ? NULL : api_owner(c, old);

    if (owner != NULL && !is_catalogue(owner)) {
        api_owned(c, owner);
    } else {
        put_resource(c, kind, old);
    }
}

// --- delete -------------------------------------------------------------------------------------

struct use {
    const char *provider;
    struct resource *by;
};

static bool names(const struct resource_target *t, size_t n, const char *provider)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(t[i].provider, provider) == 0) {
            return true;
        }
    }
    return false;
}

static bool look_for_use(void *ctx, struct resource *r)
{
    struct use *u = ctx;
    bool used = false;

    if (r->kind == RESOURCE_PROVIDER_KEY) {
        used = strcmp(r->u.provider_key->provider, u->provider) == 0;
    } else {
        const struct resource_router *router = r->u.router;

        used = names(router->fallbacks, router->n_fallbacks, u->provider);
        for (size_t i = 0; i < router->n_balances; i++) {
            used = used ||
                   names(router->balances[i].targets, router->balances[i].n_targets, u->provider);
        }
    }
    if (used) {
        u->by = r;
    }
    return !used;
}

// False: replied.
static bool unused(struct api_call *c)
{
    struct use u = {.provider = c->param};

    state_each(store_state(c->api->store), RESOURCE_ROUTER, SLICE_NULL, look_for_use, &u);
    if (u.by == NULL) {
        state_each(store_state(c->api->store), RESOURCE_PROVIDER_KEY, SLICE_NULL, look_for_use, &u);
    }
    if (u.by != NULL) {
        api_error(c, 409, "in_use", "%s \"%.100s\" uses it: change or delete that first",
                  u.by->kind == RESOURCE_ROUTER ? "router" : "provider key", u.by->id);
    }
    return u.by == NULL;
}

// What the catalogue says of it; NULL: nothing.
static struct resource *of_catalogue(struct api_call *c, enum resource_kind kind)
{
    struct config *config = compile(c, kind, NULL, NULL);
    struct resource *r = take(c, config, kind);

    config_free(&config);
    return r;
}

static void delete_resource(struct api_call *c, enum resource_kind kind);

static void delete_provider(struct api_call *c)
{
    delete_resource(c, RESOURCE_PROVIDER);
}

static void delete_resource(struct api_call *c, enum resource_kind kind)
{
    const struct resource *old = api_write_target(c, kind, kind_of(kind)->what);
    struct resource *instead;

    if (old == NULL) {
        return;
    }
    instead = kind == RESOURCE_ROUTER ? NULL : of_catalogue(c, kind);
    if (instead == NULL && kind == RESOURCE_PROVIDER) {
        if (!unused(c)) {
            return;
        }
        c->w.unnamed = c->param; // who comes to use it meanwhile must be seen
        c->w.look_again = delete_provider;
    }
    if (instead != NULL) {
        instead->version = old->version + 1;
        c->w.res = settled(instead);
        c->w.origin = RECORD_FILE;
    }
    if (kind == RESOURCE_ROUTER) {
        follow_default(c, false);
    }
    api_write_commit(c);
}

static void delete(struct api_call *c, enum resource_kind kind)
{
    const struct resource *old = state_find(store_state(c->api->store), kind, slice_str(c->param));

    api_write_delete_begin(c, kind, kind_of(kind)->del);
    if ((old == NULL || is_catalogue(api_owner(c, old))) &&
        httpd_header(c->q, "idempotency-key").p != NULL) {
        api_write_delete_again(c);
    } else {
        delete_resource(c, kind);
    }
}

// --- routes -------------------------------------------------------------------------------------

static void get(struct api_call *c, enum resource_kind kind)
{
    api_get(c, kind, kind_of(kind)->what, render_one);
}

void api_providers_list(struct api_call *c)
{
    api_list(c, RESOURCE_PROVIDER, api_read_provider);
}

void api_providers_get(struct api_call *c)
{
    get(c, RESOURCE_PROVIDER);
}

void api_providers_put(struct api_call *c)
{
    put(c, RESOURCE_PROVIDER);
}

void api_providers_delete(struct api_call *c)
{
    delete (c, RESOURCE_PROVIDER);
}

void api_models_list(struct api_call *c)
{
    api_list(c, RESOURCE_MODEL, api_read_model);
}

void api_models_get(struct api_call *c)
{
    get(c, RESOURCE_MODEL);
}

void api_models_put(struct api_call *c)
{
    put(c, RESOURCE_MODEL);
}

void api_models_delete(struct api_call *c)
{
    delete (c, RESOURCE_MODEL);
}

void api_routers_list(struct api_call *c)
{
    api_list(c, RESOURCE_ROUTER, api_read_router);
}

void api_routers_get(struct api_call *c)
{
    get(c, RESOURCE_ROUTER);
}

void api_routers_put(struct api_call *c)
{
    put(c, RESOURCE_ROUTER);
}

void api_routers_delete(struct api_call *c)
{
    delete (c, RESOURCE_ROUTER);
}
