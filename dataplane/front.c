// SPDX-License-Identifier: Apache-2.0
// Routes. A target is cut at '?', its first segments choose the family, the rest is looked up in
// one table of API paths:
//
//   /router/{name}[/v1]/API   named router         /ai[/v1]/API   unified API
//   /api[/v1]/API             OpenRouter's paths   [/v1]/API      default router
//   /{provider}/anything      raw                  health, /validate-router-config
//
// Each but the raw ones also behind /v1.
//
// What comes first wins: an API path is never taken for a provider (a provider may not be called
// like a first segment of this table; the control plane refuses such a config).
#include "dataplane/front.h"

#include "common/base/cdefs.h"
#include "dataplane/reply.h"
#include "dataplane/req.h"
#include "dataplane/worker.h"

// --- the table ---------------------------------------------------------------------------------

struct api {
    const char *path;
    bool prefix; // path is followed by one or more segments
    const char *methods;
    enum front_kind kind;
    enum dialect_endpoint endpoint;
    const char *label;
};

static const struct api apis[] = {
    {"chat/completions", false, "POST", FRONT_ROUTED, DIALECT_CHAT, "chat"},
    {"completions", false, "POST", FRONT_ROUTED, DIALECT_COMPLETIONS, "completions"},
    {"embeddings", false, "POST", FRONT_ROUTED, DIALECT_EMBEDDINGS, "embeddings"},
    {"responses", false, "POST", FRONT_ROUTED, DIALECT_RESPONSES, "responses"},
    {"messages", false, "POST", FRONT_ROUTED, DIALECT_MESSAGES, "messages"},
    {"messages/count_tokens", false, "POST", FRONT_ROUTED, DIALECT_COUNT_TOKENS, "messages"},
    {"moderations", false, "POST", FRONT_ROUTED, DIALECT_OTHER, "moderations"},
    {"rerank", false, "POST", FRONT_ROUTED, DIALECT_OTHER, "rerank"},
    {"images/", true, "POST", FRONT_ROUTED, DIALECT_OTHER, "images"},
    {"audio/", true, "POST", FRONT_ROUTED, DIALECT_OTHER, "audio"},
    {"models", false, "GET, HEAD", FRONT_MODELS, DIALECT_OTHER, "models"},
    {"models/", true, "GET, HEAD", FRONT_MODEL, DIALECT_OTHER, "models"},
    {"key", false, "GET, HEAD", FRONT_KEY, DIALECT_OTHER, "key"},
    {"auth/key", false, "GET, HEAD", FRONT_KEY, DIALECT_OTHER, "key"}, // OpenRouter's older name
    {"realtime", false, NULL, FRONT_NOT_SERVED, DIALECT_OTHER, "realtime"},
};

// Only at the root, never under a router.
static const struct api roots[] = {
    {"health", false, "GET, HEAD", FRONT_LIVE, DIALECT_OTHER, "health"},
    {"healthz", false, "GET, HEAD", FRONT_LIVE, DIALECT_OTHER, "health"},
    {"health/liveliness", false, "GET, HEAD", FRONT_LIVE, DIALECT_OTHER, "health"},
    {"readyz", false, "GET, HEAD", FRONT_READY, DIALECT_OTHER, "health"},
    {"health/readiness", false, "GET, HEAD", FRONT_READY, DIALECT_OTHER, "health"},
    {"validate-router-config", false, "POST", FRONT_VALIDATE, DIALECT_OTHER, "validate"},
};

static bool method_in(struct slice method, const char *list)
{
    struct slice rest = slice_str(list);

    while (rest.n > 0) {
        struct slice one;

        rest = slice_cut(rest, ',', &one);
        if (slice_eq(slice_trim(one), method)) {
            return true;
        }
    }
    return false;
}

static const struct api *find(const struct api *table, size_t n, struct slice path)
{
    for (size_t i = 0; i < n; i++) {
        struct slice p = slice_str(table[i].path);

        if (table[i].prefix ? slice_starts(path, p) && path.n > p.n : slice_eq(path, p)) {
            return &table[i];
        }
    }
    return NULL;
}

static void take(const struct api *a, struct slice method, struct slice path,
                 struct front_route *ret)
{
    ret->label = a->label;
    ret->endpoint = a->endpoint;
    ret->path = path;
    ret->kind = a->kind;
    if (a->kind == FRONT_MODEL) {
        ret->rest = slice_from(path, slice_str(a->path).n);
    }
    if (a->methods != NULL && !method_in(method, a->methods)) {
        ret->kind = FRONT_METHOD;
        ret->allow = a->methods;
    }
    ret->anthropic = a->endpoint == DIALECT_MESSAGES || a->endpoint == DIALECT_COUNT_TOKENS;
}

static struct slice skip_prefix(struct slice path, struct slice prefix)
{
    return slice_starts(path, prefix) ? slice_from(path, prefix.n) : path;
}

// path: below the family's prefix, no leading '/'.
static bool match_api(struct slice method, struct slice path, struct front_route *ret)
{
    const struct api *a = find(apis, ARRAY_LEN(apis), skip_prefix(path, SLICE("v1/")));

    if (a == NULL) {
        return false;
    }
    take(a, method, skip_prefix(path, SLICE("v1/")), ret);
    return true;
}

static bool is_family(struct slice path)
{
    return slice_starts(path, SLICE("router/")) || slice_starts(path, SLICE("ai/")) ||
           slice_starts(path, SLICE("api/"));
}

static bool match_family(struct slice method, struct slice path, struct front_route *ret)
{
    if (is_family(skip_prefix(path, SLICE("v1/")))) {
        path = skip_prefix(path, SLICE("v1/"));
    }
    if (slice_starts(path, SLICE("router/"))) {
        struct slice rest = slice_cut(slice_from(path, 7), '/', &ret->router);

        return rest.p != NULL && ret->router.n > 0 && match_api(method, rest, ret);
    }
    if (slice_starts(path, SLICE("ai/"))) {
        ret->unified = true;
        return match_api(method, slice_from(path, 3), ret);
    }
    if (slice_starts(path, SLICE("api/"))) {
        return match_api(method, slice_from(path, 4), ret);
    }
    return match_api(method, path, ret);
}

// RFC 9112, 3.2.2: "http://host/path" is the same request as "/path".
static struct slice origin_form(struct slice target)
{
    struct slice rest;
    size_t at;

    if (!slice_starts_nocase(target, SLICE("http://")) &&
        !slice_starts_nocase(target, SLICE("https://"))) {
        return target;
    }
    rest = slice_from(target, slice_find(target, SLICE("://")) + 3);
    at = slice_find_char(rest, '/');
    return at == SIZE_MAX ? SLICE("/") : slice_from(rest, at);
}

static bool is_clean(struct slice target)
{
    for (size_t i = 0; i < target.n; i++) {
        if ((unsigned char)target.p[i] <= ' ' || target.p[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

void front_parse(struct slice method, struct slice target, struct front_route *ret)
{
    struct slice path, after;
    const struct api *root;

    *ret = (struct front_route){.kind = FRONT_UNKNOWN, .label = "unknown"};
    target = origin_form(target);
    if (target.n == 0 || target.p[0] != '/' || !is_clean(target)) {
        return; // "*", or what could end a request line of ours early
    }
    (void)slice_cut(slice_from(target, 1), '?', &path);
    if (match_family(method, path, ret)) {
        return;
    }
    root = find(roots, ARRAY_LEN(roots), skip_prefix(path, SLICE("v1/")));
    if (root != NULL) {
        take(root, method, skip_prefix(path, SLICE("v1/")), ret);
        return;
    }
    if (ret->router.p != NULL || ret->unified || slice_starts(path, SLICE("router/")) ||
        slice_starts(path, SLICE("api/"))) {
        ret->kind = FRONT_UNKNOWN;
        return;
    }
    after = slice_cut(slice_from(target, 1), '/', &ret->provider);
    if (after.p != NULL && ret->provider.n > 0 && slice_find_char(ret->provider, '?') == SIZE_MAX) {
        ret->kind = FRONT_RAW;
        ret->rest = after;
        ret->label = "raw";
    }
}

// A client that is still sending may lose an early answer to a reset: bodies up to this are read
// first. Above it, refusing early saves more than it costs.
#define BODY_READ_FIRST (256 * 1024)

// --- callbacks: facts only ---------------------------------------------------------------------

static void on_head(void *arg, struct httpd_req *q)
{
    struct worker *w = arg;
    struct req *r = req_new(w, q);

    httpd_set_user(q, r);
    if (httpd_content_length(q) > BODY_READ_FIRST) {
        req_refuse_early(r);
    }
}

static void on_ready(void *arg, struct httpd_req *q)
{
    struct req *r = httpd_user(q);

    (void)arg;
    if (r != NULL) {
        req_on_ready(r);
    }
}

static void on_gone(void *arg, struct httpd_req *q)
{
    struct req *r = httpd_user(q);

    (void)arg;
    if (r != NULL) {
        req_on_gone(r);
    }
}

static void on_drain(void *arg, struct httpd_req *q)
{
    struct req *r = httpd_user(q);

    (void)arg;
    if (r != NULL) {
        req_on_drain(r);
    }
}

static void on_done(void *arg, struct httpd_req *q, enum httpd_end how)
{
    struct req *r = httpd_user(q);

    (void)arg;
    if (r != NULL) {
        httpd_set_user(q, NULL);
        req_on_done(r, how == HTTPD_SENT);
    }
}

// httpd will not take the request: worded here, in the dialect its path names. One that has a
// struct req already (the body grew over its bound) is answered by its own machine's writer, so
// that it gets its access line; it only has to hear of it before this returns.
static void on_refused(void *arg, struct httpd_req *q, enum httpd_refusal why)
{
    static const struct {
        enum reply_code code;
        const char *message;
    } words[] = {
        [HTTPD_BAD_FRAMING] = {REPLY_BAD_FRAMING, "the request is not framed as HTTP/1.1 asks for"},
        [HTTPD_HEAD_TOO_LARGE] = {REPLY_HEAD_TOO_LARGE, "the request head is too large"},
        [HTTPD_BODY_TOO_LARGE] = {REPLY_TOO_LARGE, "the request body is larger than max-body"},
        [HTTPD_OVERLOADED] = {REPLY_OVERLOADED,
                              "too many request bodies are being held; try again"},
    };
    struct worker *w = arg;
    struct req *r = httpd_user(q);
    struct front_route route;
    char id[REQ_ID_CHARS + 1];

    front_parse(httpd_method(q), httpd_target(q), &route);
    reply_refusal(q, route.anthropic, words[why].code, words[why].message,
                  r != NULL ? req_id(r) : req_new_id(w, id));
    if (r != NULL) {
        req_on_refused(r, why);
    } else {
        worker_count_refusal(w, why);
    }
}

const struct httpd_handlers front_handlers = {
    .on_head = on_head,
    .on_ready = on_ready,
    .on_refused = on_refused,
    .on_gone = on_gone,
    .on_drain = on_drain,
    .on_done = on_done,
    .on_accept = worker_on_accept,
};
