// SPDX-License-Identifier: Apache-2.0
// Steps from the head to the plan: who asks, may they, what do they want, who could serve it.
#include "dataplane/req_priv.h"

#include <string.h>

#include "common/base/log.h"
#include "common/base/mono.h"
#include "dataplane/auth.h"
#include "dataplane/models_api.h"

#define DEFAULT_TOTAL_US   (900 * MONO_SEC)
#define DEFAULT_CONNECT_US (10 * MONO_SEC)
#define DEFAULT_HOLD_US    (15 * MONO_SEC)
#define DEFAULT_ATTEMPTS   5u
#define COUNT_ANSWER_MAX   4096u

// --- screening ---------------------------------------------------------------------------------

static bool screen_route(struct req *r)
{
    switch (r->route.kind) {
    case FRONT_UNKNOWN:
        (void)req_fail(r, REPLY_UNKNOWN_ROUTE, "there is no route " SLICE_FMT, SLICE_ARG(r->path));
        return false;
    case FRONT_METHOD:
        r->fail.allow = r->route.allow;
        (void)req_fail(r, REPLY_WRONG_METHOD, "this route takes %s", r->route.allow);
        return false;
    case FRONT_NOT_SERVED:
        (void)req_fail(r, REPLY_NOT_SERVED, "WebSocket connections are not served");
        return false;
    case FRONT_ROUTED:
    case FRONT_RAW:
    case FRONT_MODELS:
    case FRONT_MODEL:
    case FRONT_KEY:
    case FRONT_VALIDATE:
    case FRONT_LIVE:
    case FRONT_READY:
        break;
    }
    if (r->route.kind == FRONT_RAW &&
        slice_eq_nocase(httpd_header(r->q, "upgrade"), SLICE("websocket"))) {
        (void)req_fail(r, REPLY_NOT_SERVED, "WebSocket connections are not served");
        return false;
    }
    struct slice encoding = httpd_header(r->q, "content-encoding");
    if (r->route.kind == FRONT_ROUTED && encoding.n > 0 &&
        !slice_eq_nocase(encoding, SLICE("identity"))) {
        (void)req_fail(r, REPLY_UNSUPPORTED_ENCODING,
                       "compressed request bodies are not accepted; send the body as it is");
        return false;
    }
    return true;
}

static struct slice bearer(struct slice v)
{
    if (slice_starts_nocase(v, SLICE("bearer "))) {
        return slice_trim(slice_from(v, 7));
    }
    return v;
}

// Of a header that came more than once the first that is one of our keys counts, else the first.
static void take_credential(void *ctx, struct slice name, struct slice value)
{
    static const struct slice names[4] = {
        {"authorization", 13}, {"x-api-key", 9}, {"x-goog-api-key", 14}, {"api-key", 7}};
    struct slice *given = ctx;

    for (size_t i = 0; i < 4; i++) {
        if (name.n != names[i].n || !slice_eq_nocase(name, names[i])) {
            continue;
        }
        value = i == 0 ? bearer(slice_trim(value)) : slice_trim(value);
        if (given[i].n == 0 || (!auth_is_ours(given[i]) && auth_is_ours(value))) {
            given[i] = value;
        }
        return;
    }
}

// The mode in force. An open mode on an address that others can reach needs --insecure-no-auth.
static enum resource_auth_mode auth_mode(struct worker_shared *s,
                                         const struct resource_settings *set)
{
    enum resource_auth_mode mode =
        set->auth_mode == RESOURCE_AUTH_DEFAULT ? s->conf.auth_default : set->auth_mode;

    if (mode != RESOURCE_AUTH_REQUIRED && !s->conf.auth_may_be_open) {
        if (!atomic_exchange(&s->default_auth_warned, true)) {
            LOG(WARN, "auth.open_mode_refused",
                LOG_STR("hint", "auth.mode is not 'required' on an address others can reach: keys "
                                "are required anyway; --insecure-no-auth allows it"));
        }
        return RESOURCE_AUTH_REQUIRED;
    }
    return mode;
}

static bool control_is_stale(const struct req *r, const struct resource_settings *set)
{
    uint64_t heard = atomic_load(&r->w->shared->control_heard_us);

    return set->max_stale_us != 0 && heard + set->max_stale_us < r->now_us;
}

static bool screen_caller(struct req *r)
{
    const struct resource_settings *set = snapshot_settings(r->snap);
    struct slice given[4] = {SLICE_NULL, SLICE_NULL, SLICE_NULL, SLICE_NULL};
    struct auth_caller who = {NULL, SLICE_NULL};

    httpd_each_header(r->q, take_credential, given);
    switch (auth_check(r->snap, auth_mode(r->w->shared, set), given, r->began_wall_us, &who)) {
    case AUTH_OK:
        break;
    case AUTH_MISSING:
        (void)req_fail(r, REPLY_INVALID_API_KEY,
                       "no API key was given; send it as \"authorization: Bearer sk-sluice-...\"");
        return false;
    case AUTH_UNKNOWN:
        (void)req_fail(r, REPLY_INVALID_API_KEY, "the API key is not known");
        return false;
    case AUTH_DISABLED:
        (void)req_fail(r, REPLY_KEY_DISABLED, "the API key is disabled");
        return false;
    case AUTH_EXPIRED:
        (void)req_fail(r, REPLY_KEY_EXPIRED, "the API key has expired");
        return false;
    }
    r->key = who.key;
    r->principal = arena_dup(&r->arena, who.principal);
    if (who.key != NULL) {
        r->key_id = r->principal;
        r->team = slice_str(arena_strdup(&r->arena, who.key->u.key->team));
        if (control_is_stale(r, set)) {
            (void)req_fail(r, REPLY_INVALID_API_KEY,
                           "the control plane was not heard for longer than control.max-stale: "
                           "keys cannot be trusted now");
            return false;
        }
    }
    return true;
}

// The router by path, header or default; NULL: the unified API.
static bool screen_router(struct req *r)
{
    const struct resource_settings *set = snapshot_settings(r->snap);
    struct slice name = r->route.router;

    if (r->route.kind == FRONT_RAW) {
        r->raw_provider = snapshot_provider(r->snap, r->route.provider);
        if (r->raw_provider == NULL) {
            (void)req_fail(r, REPLY_UNKNOWN_ROUTE,
                           "there is no route " SLICE_FMT " and no such provider",
                           SLICE_ARG(r->path));
            return false;
        }
        name = r->route.provider;
    } else if (!r->route.unified && name.p == NULL) {
        name = httpd_header(r->q, "x-sluice-router");
        name = name.n > 0 ? name : slice_str(set->default_router);
    }
    if (r->route.kind != FRONT_RAW && name.n > 0) {
        r->router = snapshot_find(r->snap, RESOURCE_ROUTER, name);
        if (r->router == NULL) {
            (void)req_fail(r, REPLY_ROUTER_NOT_FOUND, "there is no router `" SLICE_FMT "`",
                           SLICE_ARG(slice_head(name, 64)));
            return false;
        }
    }
    r->router_name = arena_dup(&r->arena, name.n > 0 ? name : SLICE("ai"));
    if (r->route.kind == FRONT_KEY && r->route.router.p == NULL) {
        return true; // every key may look at itself
    }
    if (!route_router_allowed(r->key, r->router_name)) {
        (void)req_fail(r, REPLY_NOT_ALLOWED, "this key may not use `" SLICE_FMT "`",
                       SLICE_ARG(slice_head(r->router_name, 64)));
        return false;
    }
    return true;
}

static uint64_t first_set(uint64_t a, uint64_t b, uint64_t otherwise)
{
    return a != 0 ? a : (b != 0 ? b : otherwise);
}

// Router over settings over built-in; a client may only shorten the total.
static void resolve_policy(struct req *r)
{
    static const struct resource_timeouts none = {.total_us = 0};
    const struct resource_settings *set = snapshot_settings(r->snap);
    const struct resource_router *router = r->router == NULL ? NULL : r->router->u.router;
    const struct resource_timeouts *own = router == NULL ? &none : &router->timeouts;
    const struct resource_timeouts *all = &set->timeouts;
    uint64_t ms = 0;

    r->timeouts.total_us = first_set(own->total_us, all->total_us, DEFAULT_TOTAL_US);
    r->timeouts.connect_us = first_set(own->connect_us, all->connect_us, DEFAULT_CONNECT_US);
    r->timeouts.first_byte_us = first_set(own->first_byte_us, all->first_byte_us, 0);
    r->timeouts.idle_us = first_set(own->idle_us, all->idle_us, 0);
    r->timeouts.hold_us = first_set(own->hold_us, all->hold_us, DEFAULT_HOLD_US);
    if (slice_to_u64(slice_trim(httpd_header(r->q, "x-sluice-timeout-ms")), &ms) && ms > 0 &&
        ms < r->timeouts.total_us / MONO_MS) {
        r->timeouts.total_us = ms * MONO_MS;
    }
    r->max_attempts = (uint32_t)first_set(router == NULL ? 0 : router->max_attempts,
                                          set->max_attempts, DEFAULT_ATTEMPTS);
    if (r->max_attempts > REQ_TRIES_MAX) {
        r->max_attempts = REQ_TRIES_MAX;
    }
    r->no_fallback = slice_eq_str(httpd_header(r->q, "x-sluice-no-fallback"), "1") ||
                     slice_eq_nocase(httpd_header(r->q, "x-sluice-no-fallback"), SLICE("true"));
    r->explain = slice_eq_str(httpd_header(r->q, "x-sluice-explain"), "1") ||
                 slice_eq_nocase(httpd_header(r->q, "x-sluice-explain"), SLICE("true"));
}

bool req_screen(struct req *r)
{
    struct snapshot *now;

    if (r->screened) {
        return r->fail.code == REPLY_NONE;
    }
    r->screened = true;
    if (worker_phase(r->w->shared) == WORKER_ENDING) {
        (void)req_fail(r, REPLY_SHUTTING_DOWN, "the gateway is shutting down");
        return false;
    }
    if (!screen_route(r)) {
        return false;
    }
    if (r->route.kind == FRONT_LIVE || r->route.kind == FRONT_READY ||
        r->route.kind == FRONT_VALIDATE) {
        return true;
    }
    now = worker_snapshot(r->w);
    if (now == NULL) {
        r->fail.retry_after_us = MONO_SEC;
        (void)req_fail(r, REPLY_STARTING, "the gateway has no configuration yet");
        return false;
    }
    r->snap = snapshot_ref(now);
    if (!screen_caller(r) || !screen_router(r)) {
        return false;
    }
    resolve_policy(r);
    return true;
}

// --- steps -------------------------------------------------------------------------------------

enum req_next req_step_authenticate(struct req *r)
{
    return req_screen(r) ? req_set_step(r, REQ_READ) : REQ_MORE;
}

// Woken by httpd: the body is complete, refused, or the client is gone.
enum req_next req_step_read(struct req *r)
{
    if (!r->ready) {
        if (req_is_due(r, REQ_DUE_TOTAL)) {
            return req_fail(r, REPLY_UPSTREAM_TIMEOUT, "the request body did not arrive in time");
        }
        return REQ_WAIT;
    }
    if (r->timeouts.total_us != 0) {
        req_set_due(r, REQ_DUE_TOTAL, r->now_us + r->timeouts.total_us);
    }
    if (r->route.kind == FRONT_ROUTED) {
        return req_set_step(r, REQ_PARSE);
    }
    return req_set_step(r, r->route.kind == FRONT_RAW ? REQ_LIMIT : REQ_LOCAL);
}

enum req_next req_step_local(struct req *r)
{
    models_api_answer(r);
    return r->fail.code != REPLY_NONE ? REQ_MORE : req_set_step(r, REQ_SEND);
}

// What the usage record says beside the caller: copies, bounded.
static void note_labels(struct req *r)
{
    const struct scan_member *user = scan_find(&r->rq.top, "user");
    struct slice text;

    if (user != NULL && user->type == SCAN_STRING && scan_string(user->value, &r->arena, &text)) {
        r->user = arena_dup(&r->arena, slice_head(text, 256));
    }
    r->tags = arena_dup(&r->arena, slice_head(httpd_header(r->q, "x-sluice-tags"), 256));
}

enum req_next req_step_parse(struct req *r)
{
    const char *code = "invalid_json", *param = NULL;
    struct err e;

    if (r->dialect->parse_request == NULL) {
        return req_fail(r, REPLY_NOT_SERVED, "this route's wire format is not served yet");
    }
    if (slice_starts_nocase(httpd_header(r->q, "content-type"), SLICE("multipart/"))) {
        return req_fail(r, REPLY_NOT_SERVED,
                        "multipart bodies are not routed; send them to /{provider}/...");
    }
    if (!r->dialect->parse_request(httpd_body(r->q), r->route.endpoint, &r->arena, &r->rq, &code,
                                   &param, &e)) {
        r->fail.param = param;
        return req_fail(
            r, strcmp(code, "missing_field") == 0 ? REPLY_MISSING_FIELD : REPLY_INVALID_JSON, "%s",
            e.message);
    }
    // The body may be let go before the request ends; what is named later must not borrow it.
    r->model = arena_dup(&r->arena, r->rq.model);
    r->stream = r->rq.stream;
    note_labels(r);
    return req_set_step(r, REQ_PLAN);
}

// Providers that cannot serve this endpoint, in their own words or in translation.
static void exclude_other_dialects(struct req *r)
{
    for (size_t i = 0; i < r->plan.n; i++) {
        struct route_candidate *c = &r->plan.candidates[i];

        if (c->excluded == NULL && attempt_dialect(r, c->provider->res->u.provider) == NULL) {
            c->excluded = "endpoint";
            r->plan.usable--;
        }
    }
}

bool req_count_here(struct req *r)
{
    const char *param = NULL;
    struct buf out;
    struct err e;

    buf_init(&out, COUNT_ANSWER_MAX);
    if (!xlate_count_tokens(attempt_xlate(r), &r->rq, httpd_body(r->q), &out, &param, &e)) {
        buf_done(&out);
        r->fail.param = param;
        (void)req_fail(r, REPLY_INVALID_VALUE, "%s", e.message);
        return false;
    }
    r->estimate = true;
    reply_json(r, 200, &out);
    buf_done(&out);
    return true;
}

enum req_next req_step_plan(struct req *r)
{
    struct route_query query = {
        .snap = r->snap,
        .targets = r->w->shared->targets,
        .router = r->router,
        .key = r->key,
        .request = &r->rq,
        .forced_provider = httpd_header(r->q, "helicone-forced-routing"),
        .no_fallback = r->no_fallback,
        .wall_us = loop_wall_us(r->w->loop),
    };
    struct err e;

    switch (route_plan(&query, &r->arena, &r->plan, &e)) {
    case ROUTE_OK:
        break;
    case ROUTE_MODEL_NOT_FOUND:
        r->fail.param = "model";
        return req_fail(r, REPLY_MODEL_NOT_FOUND, "%s", e.message);
    case ROUTE_NOT_ALLOWED:
        return req_fail(r, REPLY_NOT_ALLOWED, "%s", e.message);
    case ROUTE_NO_PROVIDER:
        return req_fail(r, REPLY_NO_TARGET, "%s", e.message);
    }
    r->no_fallback = r->no_fallback || r->rq.no_fallbacks;
    exclude_other_dialects(r);
    if (r->plan.usable == 0 && r->route.endpoint == DIALECT_COUNT_TOKENS) {
        return req_count_here(r) ? req_set_step(r, REQ_SEND) : REQ_MORE;
    }
    if (r->plan.usable == 0) {
        return req_fail(r, REPLY_NO_TARGET, "no provider of this route serves this endpoint");
    }
    return req_set_step(r, REQ_CACHE);
}
