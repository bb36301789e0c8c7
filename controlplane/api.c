// SPDX-License-Identifier: Apache-2.0
// Server, routing and authentication. What a client may know is decided in this order: a token
// (below /admin/v1), then the path (404), the method (405), the token's scope (403), the content
// type (415), the size (413), then the body. Everything but the body is decided at the head, before
// a body is read.
#include "controlplane/api.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/api_priv.h"

#define BASE            "/admin/v1"
#define CONNECTIONS_MAX 512u

// Every route there is.
const struct api_route api_routes[] = {
    {"GET", BASE "/keys", api_keys_list, API_READ, API_NO_BODY},
    {"POST", BASE "/keys", api_keys_create, API_KEYS, API_JSON},
    {"GET", BASE "/keys/{id}", api_keys_get, API_READ, API_NO_BODY},
    {"PATCH", BASE "/keys/{id}", api_keys_patch, API_KEYS, API_JSON},
    {"DELETE", BASE "/keys/{id}", api_keys_delete, API_KEYS, API_NO_BODY},
    {"POST", BASE "/keys/{id}/rotate", api_keys_rotate, API_KEYS, API_JSON},
    {"POST", BASE "/keys/{id}/disable", api_keys_disable, API_KEYS, API_JSON},
    {"POST", BASE "/keys/{id}/enable", api_keys_enable, API_KEYS, API_JSON},

    {"GET", BASE "/provider-keys", api_provider_keys_list, API_READ, API_NO_BODY},
    {"POST", BASE "/provider-keys", api_provider_keys_create, API_ADMIN, API_JSON},
    {"GET", BASE "/provider-keys/{id}", api_provider_keys_get, API_READ, API_NO_BODY},
    {"PATCH", BASE "/provider-keys/{id}", api_provider_keys_patch, API_ADMIN, API_JSON},
    {"DELETE", BASE "/provider-keys/{id}", api_provider_keys_delete, API_ADMIN, API_NO_BODY},
    {"POST", BASE "/provider-keys/{id}/rotate", api_provider_keys_rotate, API_ADMIN, API_JSON},
    {"POST", BASE "/provider-keys/{id}/test", api_provider_keys_test, API_ADMIN, API_JSON},

    {"GET", BASE "/teams", api_teams_list, API_READ, API_NO_BODY},
    {"POST", BASE "/teams", api_teams_create, API_KEYS, API_JSON},
    {"GET", BASE "/teams/{id}", api_teams_get, API_READ, API_NO_BODY},
    {"PATCH", BASE "/teams/{id}", api_teams_patch, API_KEYS, API_JSON},
    {"DELETE", BASE "/teams/{id}", api_teams_delete, API_KEYS, API_NO_BODY},
    {"GET", BASE "/users", api_users_list, API_READ, API_NO_BODY},
    {"POST", BASE "/users", api_users_create, API_KEYS, API_JSON},
    {"GET", BASE "/users/{id}", api_users_get, API_READ, API_NO_BODY},
    {"PATCH", BASE "/users/{id}", api_users_patch, API_KEYS, API_JSON},
    {"DELETE", BASE "/users/{id}", api_users_delete, API_KEYS, API_NO_BODY},

    {"GET", BASE "/routers", api_routers_list, API_READ, API_NO_BODY},
    {"GET", BASE "/routers/{id}", api_routers_get, API_READ, API_NO_BODY},
    {"PUT", BASE "/routers/{id}", api_routers_put, API_ADMIN, API_JSON},
    {"DELETE", BASE "/routers/{id}", api_routers_delete, API_ADMIN, API_NO_BODY},
    {"GET", BASE "/providers", api_providers_list, API_READ, API_NO_BODY},
    {"GET", BASE "/providers/{id}", api_providers_get, API_READ, API_NO_BODY},
    {"PUT", BASE "/providers/{id}", api_providers_put, API_ADMIN, API_JSON},
    {"DELETE", BASE "/providers/{id}", api_providers_delete, API_ADMIN, API_NO_BODY},
    {"GET", BASE "/models", api_models_list, API_READ, API_NO_BODY},
    {"GET", BASE "/models/{id...}", api_models_get, API_READ, API_NO_BODY},
    {"PUT", BASE "/models/{id...}", api_models_put, API_ADMIN, API_JSON},
    {"DELETE", BASE "/models/{id...}", api_models_delete, API_ADMIN, API_NO_BODY},
    {"GET", BASE "/catalog", api_catalog_get, API_READ, API_NO_BODY},

    {"GET", BASE "/config", api_config_get, API_READ, API_NO_BODY},
    {"PUT", BASE "/config", api_config_put, API_ADMIN, API_TEXT},
    {"POST", BASE "/config/validate", api_config_validate, API_READ, API_TEXT},
    {"GET", BASE "/config/revisions", api_config_revisions, API_READ, API_NO_BODY},
    {"POST", BASE "/config/revisions/{id}/rollback", api_config_rollback, API_ADMIN, API_JSON},

    {"GET", BASE "/proxies", api_read_proxies, API_READ, API_NO_BODY},
    {"GET", BASE "/health/targets", api_read_targets, API_READ, API_NO_BODY},
    {"POST", BASE "/targets/{id}/drain", api_targets_drain, API_ADMIN, API_JSON},
    {"GET", BASE "/usage", api_usage_get, API_READ, API_NO_BODY},
    {"GET", BASE "/requests", api_requests_list, API_READ, API_NO_BODY},
    {"GET", BASE "/requests/{id}", api_requests_get, API_READ, API_NO_BODY},
    {"POST", BASE "/recovery", api_recovery_post, API_ADMIN, API_JSON},
    {"GET", BASE "/audit", api_read_audit, API_READ, API_NO_BODY},
    {"GET", BASE "/events", api_events_get, API_READ, API_NO_BODY},

    {"GET", BASE "/tokens", api_tokens_list, API_ADMIN, API_NO_BODY},
    {"POST", BASE "/tokens", api_tokens_create, API_ADMIN, API_JSON},
    {"DELETE", BASE "/tokens/{id}", api_tokens_delete, API_ADMIN, API_NO_BODY},

    {"GET", "/healthz", api_read_health, API_OPEN, API_NO_BODY},
    {"GET", "/readyz", api_read_ready, API_OPEN, API_NO_BODY},
    {"GET", "/metrics", api_read_metrics, API_OPEN, API_NO_BODY},
    {"GET", "/openapi.json", api_read_openapi, API_OPEN, API_NO_BODY},
};
const size_t api_n_routes = ARRAY_LEN(api_routes);

bool api_route_at(size_t i, const char **ret_method, const char **ret_path)
{
    if (i >= api_n_routes) {
        return false;
    }
    *ret_method = api_routes[i].method;
    *ret_path = api_routes[i].path;
    return true;
}

// --- life of a call -----------------------------------------------------------------------------

static struct api_call *call_new(struct api *a, struct httpd_req *q)
{
    struct api_call *c = mem_zalloc(sizeof(*c));

    c->api = a;
    c->q = q;
    arena_init(&c->arena, 1024, 4u << 20);
    httpd_set_user(q, c);
    return c;
}

static void call_free_if_done(struct api_call *c)
{
    if (c->q != NULL || c->pending > 0) {
        return;
    }
    CHECK(c->waiting == NULL && c->upstream == NULL);
    json_free(&c->doc);
    api_file_free(&c->w.file);
    resource_unref(&c->w.res);
    resource_unref(&c->w.also);
    mem_wipe(c->w.secret, sizeof(c->w.secret));
    arena_done(&c->arena);
    mem_free(c);
}

void api_hold(struct api_call *c)
{
    c->pending++;
}

void api_release(struct api_call *c)
{
    CHECK(c->pending > 0);
    c->pending--;
    call_free_if_done(c);
}

// --- routing ------------------------------------------------------------------------------------

// Does the path match? Fills param (decoded) from {id}.
static bool match(const char *pattern, struct slice path, char param[RESOURCE_ID_MAX + 1])
{
    struct slice p = slice_str(pattern);

    for (;;) {
        struct slice want, have;

        p = slice_cut(p, '/', &want);
        if (slice_eq_str(want, "{id...}")) {
            return path.n > 0 && api_unescape(path, false, param, RESOURCE_ID_MAX + 1);
        }
        path = slice_cut(path, '/', &have);
        if (slice_eq_str(want, "{id}")) {
            if (have.n == 0 || !api_unescape(have, false, param, RESOURCE_ID_MAX + 1)) {
                return false;
            }
        } else if (!slice_eq(want, have)) {
            return false;
        }
        if (p.p == NULL || path.p == NULL) {
            return p.p == NULL && path.p == NULL;
        }
    }
}

// Sets c->route; else what is allowed there (comma-separated; "" = no such path).
static void find_route(struct api_call *c, struct slice path, char allow[64])
{
    struct slice method = httpd_method(c->q);
    size_t n = 0;

    allow[0] = '\0';
    for (size_t i = 0; i < api_n_routes; i++) {
        const struct api_route *r = &api_routes[i];

        if (!match(r->path, path, c->param)) {
            continue;
        }
        if (slice_eq_str(method, r->method)) {
            c->route = r;
            return;
        }
        n += (size_t)snprintf(allow + n, 64 - n, "%s%s", n > 0 ? ", " : "", r->method);
    }
}

// --- authentication -----------------------------------------------------------------------------

static void hash_token(const struct api *a, struct slice token, uint8_t out[32])
{
    crypto_keyed_hash(out, 32, a->hash_key, &token, 1);
}

// What the token of a call may do, as bits of enum token_scope; 0: nothing. Says who it is.
static unsigned granted(struct api_call *c)
{
    struct slice value = slice_trim(httpd_header(c->q, "authorization"));
    const struct token *token;
    uint8_t hash[32];

    if (!slice_starts_nocase(value, SLICE("bearer "))) {
        return 0;
    }
    value = slice_trim(slice_from(value, 7));
    hash_token(c->api, value, hash);
    if (crypto_equal(hash, c->api->token_hash, sizeof(hash))) {
        c->actor = "admin-token";
        return TOKEN_READ | TOKEN_KEYS | TOKEN_ADMIN;
    }
    token = tokens_check(c->api->tokens, value);
    if (token == NULL) {
        return 0;
    }
    c->actor = arena_printf(&c->arena, "%s%s", API_TOKEN_ACTOR, token->id);
    return token->scopes;
}

static bool suffices(unsigned scopes, enum api_access need)
{
    switch (need) {
    case API_OPEN:
        return true;
    case API_READ:
        return scopes != 0;
    case API_KEYS:
        return (scopes & (TOKEN_KEYS | TOKEN_ADMIN)) != 0;
    case API_ADMIN:
        return (scopes & TOKEN_ADMIN) != 0;
    }
    return false;
}

static bool is_type(struct slice type, enum api_body want)
{
    static const char *const names[] = {"application/json", "application/merge-patch+json",
                                        "application/yaml", "application/x-yaml",
                                        "text/yaml",        "text/x-yaml"};
    size_t n = want == API_TEXT ? ARRAY_LEN(names) : 2;
    struct slice media;

    (void)slice_cut(type, ';', &media); // parameters: charset is UTF-8 anyway
    media = slice_trim(media);
    for (size_t i = 0; i < n; i++) {
        if (slice_eq_nocase(media, slice_str(names[i]))) {
            return true;
        }
    }
    return false;
}

// Clients send a content type with an empty POST, too.
static bool has_body(const struct httpd_req *q)
{
    return httpd_content_length(q) > 0 || httpd_header(q, "transfer-encoding").p != NULL;
}

// --- handlers of the server ---------------------------------------------------------------------

static size_t most(const struct api_route *r)
{
    return r->body == API_TEXT ? API_FILE_MAX : API_BODY_MAX;
}

static void too_large(struct api_call *c)
{
    api_error(c, 413, "request_too_large", "a body may have at most %zu bytes here",
              c->route == NULL ? API_BODY_MAX : most(c->route));
}

// What can be said of a body before it is read. Replied or not: on_ready looks.
static void check_body(struct api_call *c)
{
    struct slice type = httpd_header(c->q, "content-type");

    if (httpd_content_length(c->q) > (int64_t)most(c->route)) {
        too_large(c);
        return;
    }
    if (c->route->body == API_NO_BODY || !has_body(c->q)) {
        return;
    }
    if (type.p != NULL && !is_type(type, c->route->body)) {
        api_error(c, 415, "unsupported_media_type",
                  c->route->body == API_TEXT ? "the body must be application/yaml or JSON"
                                             : "the body must be application/json");
    } else if (httpd_header(c->q, "content-encoding").p != NULL) {
        api_error(c, 415, "unsupported_encoding", "compressed bodies are not taken");
    }
}

static void on_head(void *arg, struct httpd_req *q)
{
    struct api_call *c = call_new(arg, q);
    unsigned scopes = granted(c);
    struct slice path;
    char allow[64];

    c->query = slice_cut(httpd_target(q), '?', &path);
    find_route(c, path, allow);
    if ((c->route == NULL ? slice_starts(path, SLICE(BASE)) : c->route->access != API_OPEN) &&
        scopes == 0) {
        api_error(c, 401, "unauthorized", "a bearer token of the admin API is needed");
    } else if (c->route == NULL && allow[0] != '\0') {
        api_not_allowed(c, allow);
    } else if (c->route == NULL) {
        api_error(c, 404, "unknown_route", "there is no such path; /openapi.json lists all");
    } else if (!suffices(scopes, c->route->access)) {
        api_error(c, 403, "forbidden", "this token lacks the scope \"%s\"",
                  c->route->access == API_KEYS ? "keys" : "admin");
    } else {
        check_body(c);
    }
}

// Those that compile a small configuration: milliseconds. Many in one turn of the loop would keep
// answers of Redis from being read until their time is over. (Whole ones are read beside the loop.)
static bool is_slow(const struct api_route *r)
{
    return r->body != API_TEXT && (slice_eq_str(slice_str(r->method), "PUT") ||
                                   r->fn == api_providers_delete || r->fn == api_models_delete);
}

// One call, then the rest of a turn for everybody else.
static void on_slow(struct loop_timer *t)
{
    struct api *a = container_of(t, struct api, slow_timer);
    struct list_node *n = list_pop_front(&a->slow);
    struct api_call *c;

    if (n == NULL) {
        return;
    }
    c = container_of(n, struct api_call, waiting_turn);
    if (list_first(&a->slow) != NULL) {
        loop_timer_set(a->loop, t, loop_now_us(a->loop) + 1);
    }
    if (c->q != NULL) {
        c->route->fn(c);
    }
    api_release(c);
}

static void run_slowly(struct api_call *c)
{
    struct api *a = c->api;

    api_hold(c);
    list_push_back(&a->slow, &c->waiting_turn);
    if (a->slow.count == 1) {
        loop_timer_set(a->loop, &a->slow_timer, loop_now_us(a->loop));
    }
}

// Without a state "there is no such key" would be a guess. Whether waiting helps, the code says.
static void refuse_without_state(struct api_call *c)
{
    enum follow_status s = follow_status(store_follow(c->api->store));

    if (s == FOLLOW_EMPTY || s == FOLLOW_REGRESSED) {
        api_error(c, 503, "state_regressed",
                  "Redis holds nothing that goes on from before (%s); nothing was changed",
                  follow_status_name(s));
    } else {
        api_error(c, 503, "store_unavailable", "the state is not loaded yet");
    }
}

static void on_ready(void *arg, struct httpd_req *q)
{
    struct api_call *c = httpd_user(q);
    struct slice body = httpd_body(q);
    struct err e;

    (void)arg;
    if (c->replied) {
        return;
    }
    if (body.n > most(c->route)) { // chunked
        too_large(c);
        return;
    }
    if (c->route->access != API_OPEN && c->route->fn != api_recovery_post &&
        !state_ready(store_state(c->api->store))) {
        refuse_without_state(c);
        return;
    }
    if (c->route->body == API_JSON && slice_trim(body).n > 0) {
        c->doc = json_parse(body, API_BODY_MAX, API_DEPTH_MAX, &e);
        if (c->doc == NULL) {
            api_error(c, 400, "invalid_json", "%s", e.message);
            return;
        }
    }
    if (is_slow(c->route)) {
        run_slowly(c);
        return;
    }
    // The handler may answer and be done before it returns; the call is ours until then.
    api_hold(c);
    c->route->fn(c);
    api_release(c);
}

static void on_refused(void *arg, struct httpd_req *q, enum httpd_refusal why)
{
    struct api_call *c = httpd_user(q);

    if (c == NULL) {
        c = call_new(arg, q);
    }
    switch (why) {
    case HTTPD_BAD_FRAMING:
        api_error(c, 400, "bad_framing", "the request's framing is not valid HTTP/1.1");
        break;
    case HTTPD_HEAD_TOO_LARGE:
        api_error(c, 431, "head_too_large", "the request's head is too large");
        break;
    case HTTPD_BODY_TOO_LARGE:
        too_large(c);
        break;
    case HTTPD_OVERLOADED:
        api_error(c, 503, "overloaded", "too many bodies at once");
        break;
    }
}

static void on_gone(void *arg, struct httpd_req *q)
{
    (void)arg;
    (void)q; // a change is carried through; on_done lets go of the exchange
}

static void on_drain(void *arg, struct httpd_req *q)
{
    (void)arg;
    (void)q; // streams of events do not wait: who is too slow is cut off
}

static void on_done(void *arg, struct httpd_req *q, enum httpd_end how)
{
    struct api_call *c = httpd_user(q);

    (void)arg;
    (void)how;
    c->q = NULL;
    // Nobody waits any more for what only the answer is about.
    if (c->waiting != NULL) {
        fleet_wait_cancel(&c->waiting);
        c->pending--;
    }
    if (c->upstream != NULL) {
        upstream_cancel(&c->upstream);
        loop_timer_cancel(c->api->loop, c->deadline);
        c->pending--;
    }
    if (api_write_forget(c)) {
        c->pending--;
    }
    api_events_gone(c);
    call_free_if_done(c);
}

struct api *api_new(const struct api_config *c, struct err *e)
{
    struct api *a = mem_zalloc(sizeof(*a));
    const struct httpd_config hc = {.address = c->address,
                                    .port = c->port,
                                    .max_body = API_FILE_MAX,
                                    .max_connections = CONNECTIONS_MAX,
                                    .on = {.on_head = on_head,
                                           .on_ready = on_ready,
                                           .on_refused = on_refused,
                                           .on_gone = on_gone,
                                           .on_drain = on_drain,
                                           .on_done = on_done},
                                    .arg = a};

    a->loop = c->loop;
    a->store = c->store;
    a->fleet = c->fleet;
    a->upstream = c->upstream;
    a->meters = c->meters;
    a->reader = c->reader;
    a->from = c->from;
    a->fill_gauges = c->fill_gauges;
    a->fill_arg = c->fill_arg;
    crypto_random(a->hash_key, sizeof(a->hash_key));
    hash_token(a, secret_reveal(c->token), a->token_hash);
    a->http = httpd_new(c->loop, &hc, e);
    if (a->http == NULL) {
        mem_free(a);
        return NULL;
    }
    list_init(&a->slow);
    a->slow_timer.fn = on_slow;
    a->tokens = tokens_new(c->loop, c->store);
    a->events = api_events_new(a);
    return a;
}

uint16_t api_port(const struct api *a)
{
    return httpd_port(a->http);
}

void api_drain(struct api *a)
{
    api_events_drain(a->events);
    httpd_drain(a->http);
}

size_t api_active(const struct api *a)
{
    return httpd_active(a->http);
}

void api_free(struct api **ap)
{
    struct api *a = *ap;
    struct list_node *n;

    if (a == NULL) {
        return;
    }
    *ap = NULL;
    httpd_free(&a->http);
    loop_timer_cancel(a->loop, &a->slow_timer);
    while ((n = list_pop_front(&a->slow)) != NULL) {
        api_release(container_of(n, struct api_call, waiting_turn));
    }
    api_events_free(&a->events);
    tokens_free(&a->tokens);
    mem_free(a);
}
