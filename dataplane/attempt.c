// SPDX-License-Identifier: Apache-2.0
// One upstream call of a request.
//
// The head is written into the worker's scratch buffer, copied by upstream_start and wiped, since
// it holds the provider's key. The body is never copied: the client's bytes with a few splices go
// out as pieces (dialect_spliced). Our own head is written from scratch (attempt_head.c); on raw
// paths all of the client's headers go but credentials, hop-by-hop ones and our own.
#include "dataplane/attempt.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "dataplane/access.h"
#include "dataplane/attempt_body.h"
#include "dataplane/attempt_head.h"
#include "dataplane/req_priv.h"

#define HEADERS_MAX 40u // of the provider's, to be relayed

static bool is_one_of(struct slice name, const struct slice *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (name.n == list[i].n && slice_eq_nocase(name, list[i])) {
            return true;
        }
    }
    return false;
}

bool attempt_is_hop_header(struct slice name)
{
    static const struct slice hop[] = {
        {"connection", 10},        {"keep-alive", 10}, {"proxy-authenticate", 18},
        {"proxy-connection", 16},  {"te", 2},          {"trailer", 7},
        {"transfer-encoding", 17}, {"upgrade", 7},     {"proxy-authorization", 19},
        {"content-length", 14},    {"expect", 6},
    };

    return is_one_of(name, hop, ARRAY_LEN(hop));
}

bool attempt_split_url(struct slice url, struct slice *ret_origin, struct slice *ret_path)
{
    size_t at = slice_find(url, SLICE("://"));
    size_t slash;

    if (at == SIZE_MAX ||
        (!slice_starts(url, SLICE("http://")) && !slice_starts(url, SLICE("https://")))) {
        return false;
    }
    slash = slice_find_char(slice_from(url, at + 3), '/');
    if (slash == SIZE_MAX) {
        *ret_origin = url;
        *ret_path = SLICE("/");
    } else {
        *ret_origin = slice_head(url, at + 3 + slash);
        *ret_path = slice_from(url, at + 3 + slash);
    }
    return true;
}

// --- callbacks: facts only ---------------------------------------------------------------------

struct getter {
    const struct h1 *head;
    const struct resource_provider *p; // NULL: raw
};

// A limit header by OpenAI's name, under this vendor's.
static struct slice get_header(void *ctx, const char *name)
{
    const struct getter *g = ctx;

    for (size_t i = 0; g->p != NULL && i < g->p->n_limit_headers; i++) {
        if (strcmp(g->p->limit_headers[i].name, name) == 0) {
            return h1_header(g->head, g->p->limit_headers[i].value);
        }
    }
    return h1_header(g->head, name);
}

// Headers of the provider that its answer does not keep on its way.
static bool is_dropped(const struct req *r, struct slice name)
{
    static const struct slice always[] = {
        {"content-type", 12},
        {"date", 4},
        {"server", 6},
        {"alt-svc", 7},
        {"strict-transport-security", 25},
    };
    static const struct slice routed[] = {
        {"set-cookie", 10},      {"retry-after", 11},
        {"retry-after-ms", 14},  {"x-should-retry", 14},
        {"x-request-id", 12},    {"request-id", 10},
        {"ratelimit", 9},        {"ratelimit-policy", 16},
        {"ratelimit-limit", 15}, {"ratelimit-remaining", 19},
        {"ratelimit-reset", 15},
    };

    // About the provider's bytes, where the client gets others.
    static const struct slice of_bytes[] = {
        {"etag", 4}, {"digest", 6}, {"content-digest", 14}, {"content-md5", 11}};

    if (attempt_is_hop_header(name) || is_one_of(name, always, ARRAY_LEN(always)) ||
        (r->at.xlate != NULL && is_one_of(name, of_bytes, ARRAY_LEN(of_bytes)))) {
        return true;
    }
    if (slice_starts_nocase(name, SLICE("x-sluice-")) ||
        slice_starts_nocase(name, SLICE("helicone-"))) {
        return true;
    }
    if (r->route.kind == FRONT_RAW) {
        return false;
    }
    return is_one_of(name, routed, ARRAY_LEN(routed)) ||
           slice_starts_nocase(name, SLICE("x-ratelimit-")) ||
           slice_starts_nocase(name, SLICE("anthropic-ratelimit-"));
}

// The head is copied as a whole: one copy is cheaper than two for each header.
static void copy_headers(struct req *r, const struct h1 *head)
{
    size_t max = head->n_headers < HEADERS_MAX ? head->n_headers : HEADERS_MAX;
    struct slice whole = buf_slice(&head->head), copy = arena_dup(&r->arena, whole);
    struct attempt *at = &r->at;

    at->headers = arena_alloc(&r->arena, max * sizeof(*at->headers));
    for (size_t i = 0; i < head->n_headers && at->n_headers < max; i++) {
        const struct h1_header *h = &head->headers[i];

        if (!is_dropped(r, h->name)) {
            at->headers[at->n_headers++] = (struct httpd_header){
                .name = {copy.p + (h->name.p - whole.p), h->name.n},
                .value = {copy.p + (h->value.p - whole.p), h->value.n},
            };
        }
    }
}

static struct slice first_header(struct req *r, const struct h1 *head, const char *a, const char *b)
{
    struct slice v = h1_header(head, a);

    v = v.p != NULL ? v : h1_header(head, b);
    return v.p != NULL ? arena_dup(&r->arena, v) : SLICE_NULL;
}

static bool type_is(struct slice content_type, struct slice type)
{
    struct slice head;

    (void)slice_cut(content_type, ';', &head);
    return slice_eq_nocase(slice_trim(head), type);
}

static bool is_json_type(struct slice content_type)
{
    struct slice head;

    (void)slice_cut(content_type, ';', &head);
    return type_is(content_type, SLICE("application/json")) ||
           slice_ends(slice_trim(head), SLICE("+json"));
}

static void on_head(void *arg, const struct h1 *head)
{
    struct req *r = arg;
    struct attempt *at = &r->at;
    struct getter g = {head, at->cand == NULL ? NULL : at->cand->provider->res->u.provider};
    const struct dialect *d = at->dialect != NULL ? at->dialect : r->dialect; // raw: any
    struct slice encoding = h1_header(head, "content-encoding");

    at->head_in = true;
    at->head_us = mono_now_us();
    at->times = upstream_times(at->call);
    at->status = head->status;
    at->content_length = head->content_length;
    at->content_type = arena_dup(&r->arena, h1_header(head, "content-type"));
    at->encoded = encoding.n > 0 && !slice_eq_nocase(slice_trim(encoding), SLICE("identity"));
    at->is_json = is_json_type(at->content_type);
    at->is_stream = type_is(at->content_type,
                            d->ndjson ? SLICE("application/x-ndjson") : SLICE("text/event-stream"));
    at->request_id = first_header(r, head, "x-request-id", "request-id");
    at->should_retry = first_header(r, head, "x-should-retry", "x-should-retry");
    if (d->observe_limits != NULL) {
        at->limits = d->observe_limits(get_header, &g, loop_wall_us(r->w->loop));
    }
    if (at->xlate != NULL) {
        xlate_answered(at->xlate, loop_wall_us(r->w->loop) / MONO_SEC);
    }
    copy_headers(r, head);
    req_post(r);
}

// From here on a provider may know of it, whatever becomes of us.
static void on_write(void *arg)
{
    access_attempt(arg);
}

static void on_data(void *arg, struct slice data)
{
    struct req *r = arg;

    buf_append(&r->at.in, data); // far below its ceiling: reading pauses at ATTEMPT_IN_HIGH
    if (r->at.in.n > ATTEMPT_IN_HIGH) {
        attempt_pause(r);
    }
    req_post(r);
}

static void on_end(void *arg, enum upstream_result result, const char *message)
{
    struct req *r = arg;
    struct attempt *at = &r->at;

    at->ended = true;
    at->result = result;
    if (at->times.written_us == 0) {
        at->times = upstream_times(at->call);
    }
    at->call = NULL; // it dies when this returns
    if (message != NULL) {
        size_t n = strlen(message);

        n = n < sizeof(at->message) ? n : sizeof(at->message) - 1;
        memcpy(at->message, message, n);
        at->message[n] = '\0';
    }
    req_post(r);
}

// --- starting ----------------------------------------------------------------------------------

static void begin(struct req *r, struct target *target)
{
    struct attempt *at = &r->at;

    at->target = target;
    at->begun = true;
    at->started = true;
    at->started_us = mono_now_us();
    if (r->first_started_us == 0) {
        r->first_started_us = at->started_us;
        if (r->stream) {
            req_set_due(r, REQ_DUE_HOLD, r->now_us + r->timeouts.hold_us);
        }
    }
    if (r->timeouts.first_byte_us != 0) {
        req_set_due(r, REQ_DUE_FIRST, r->now_us + r->timeouts.first_byte_us);
    }
}

static void launch(struct req *r, struct slice origin, struct buf *head, struct upstream_request *u)
{
    u->origin = arena_strndup(&r->arena, origin.p, origin.n);
    u->head = buf_slice(head);
    u->connect_timeout_us = r->timeouts.connect_us;
    u->on_write = on_write;
    u->on.on_head = on_head;
    u->on.on_data = on_data;
    u->on.on_end = on_end;
    u->arg = r;
    r->at.call = upstream_start(r->w->upstream, u);
    mem_wipe(head->p, head->cap);
    buf_clear(head);
}

// A config that passed the control plane's checks has a good URL; if not, the attempt fails like a
// connect.
static void bad_url(struct req *r)
{
    on_end(r, UPSTREAM_CONNECT_FAILED, "the provider's base-url is not an http(s) URL");
}

void attempt_start(struct req *r, struct route_candidate *c)
{
    const struct resource_provider *p = c->provider->res->u.provider;
    struct upstream_request u = {.origin = NULL};
    struct slice origin, path;
    size_t bytes = 0;

    r->at.cand = c;
    begin(r, c->target);
    if (!attempt_split_url(slice_str(p->base_url), &origin, &path)) {
        r->at.times.written_us = 1;
        bad_url(r);
        return;
    }
    u.n_body = attempt_pieces(r, c, u.body, &bytes);
    attempt_head_write(r, &r->w->scratch, p, c->key, origin, path, bytes);
    launch(r, origin, &r->w->scratch, &u);
}

// --- raw ---------------------------------------------------------------------------------------

struct raw_copy {
    struct buf *out;
    const char *auth_header;
    struct slice connection; // names more headers of this hop (RFC 9110, 7.6.1)
    bool trace;
};

static bool names_header(struct slice list, struct slice name)
{
    while (list.n > 0) {
        struct slice one;

        list = slice_cut(list, ',', &one);
        if (slice_eq_nocase(slice_trim(one), name)) {
            return true;
        }
    }
    return false;
}

static void copy_raw_header(void *ctx, struct slice name, struct slice value)
{
    static const struct slice ours[] = {
        {"host", 4},    {"authorization", 13},  {"x-api-key", 9},
        {"api-key", 7}, {"x-goog-api-key", 14}, {"x-request-id", 12},
    };
    static const struct slice trace[] = {{"traceparent", 11}, {"tracestate", 10}};
    struct raw_copy *c = ctx;

    if (!names_header(c->connection, name) &&
        (c->trace || !is_one_of(name, trace, ARRAY_LEN(trace))) && !attempt_is_hop_header(name) &&
        !is_one_of(name, ours, ARRAY_LEN(ours)) &&
        !slice_eq_nocase(name, slice_str(c->auth_header)) &&
        !slice_starts_nocase(name, SLICE("x-sluice-")) &&
        !slice_starts_nocase(name, SLICE("helicone-"))) {
        attempt_head_put(c->out, name, value);
    }
}

void attempt_start_raw(struct req *r, const struct resource *key)
{
    const struct resource_provider *p = r->raw_provider->res->u.provider;
    struct upstream_request u = {.head_request = slice_eq_str(r->method, "HEAD")};
    struct buf *b = &r->w->scratch;
    struct raw_copy copy = {b, p->auth_header, httpd_header(r->q, "connection"),
                            !r->w->shared->conf.drop_trace};
    struct slice origin, path, body = httpd_body(r->q);

    begin(r, target_get(r->w->shared->targets, slice_str(r->raw_provider->res->id), SLICE("(raw)"),
                        key == NULL ? SLICE_NULL : slice_str(key->id), slice_str(p->base_url)));
    // A raw call goes where it was sent, whatever is thought of the target's health.
    r->at.begun = target_begin(r->at.target, r->now_us, true);
    if (!attempt_split_url(slice_str(p->raw_url), &origin, &path)) {
        r->at.times.written_us = 1;
        bad_url(r);
        return;
    }
    buf_append(b, r->method);
    buf_append_char(b, ' ');
    buf_append(b, path);
    buf_append(b, r->route.rest);
    buf_append_str(b, " HTTP/1.1\r\n");
    attempt_head_put(b, SLICE("host"), attempt_head_authority(origin));
    attempt_head_put_auth(b, p, key);
    httpd_each_header(r->q, copy_raw_header, &copy);
    attempt_head_put_provider(r, b, p, false);
    if (body.n > 0 || slice_eq_str(r->method, "POST") || slice_eq_str(r->method, "PUT") ||
        slice_eq_str(r->method, "PATCH")) {
        attempt_head_put_length(b, body.n);
    }
    buf_append_str(b, "\r\n");
    if (body.n > 0) {
        u.body[0] = body;
        u.n_body = 1;
    }
    launch(r, origin, b, &u);
}

// --- flow and ends -----------------------------------------------------------------------------

void attempt_pause(struct req *r)
{
    if (!r->at.paused && r->at.call != NULL) {
        r->at.paused = true;
        upstream_pause(r->at.call);
    }
}

void attempt_resume(struct req *r)
{
    if (r->at.paused && r->at.call != NULL) {
        r->at.paused = false;
        upstream_resume(r->at.call);
    }
}

void attempt_stop(struct req *r)
{
    upstream_cancel(&r->at.call);
}

bool attempt_settle(struct req *r, enum target_outcome o, uint64_t cooldown_us)
{
    if (!r->at.begun) {
        return false;
    }
    r->at.begun = false;
    return target_end(r->at.target, r->now_us, o, cooldown_us);
}

void attempt_note_quota(struct req *r)
{
    const struct dialect_limits *l = &r->at.limits;
    bool requests = l->has_requests && l->limit_requests > 0;
    bool tokens = l->has_tokens && l->limit_tokens > 0;

    // The counter with the smaller share left decides.
    if (requests && tokens &&
        (double)l->remaining_tokens / (double)l->limit_tokens <
            (double)l->remaining_requests / (double)l->limit_requests) {
        requests = false;
    }
    if (requests) {
        target_quota(r->at.target, r->now_us, l->remaining_requests, l->limit_requests,
                     l->reset_us);
    } else if (tokens) {
        target_quota(r->at.target, r->now_us, l->remaining_tokens, l->limit_tokens, l->reset_us);
    }
}

void attempt_reset(struct req *r)
{
    struct buf in = r->at.in;
    struct dialect_limits limits = r->at.limits;

    if (r->at.call != NULL) {
        attempt_stop(r);
    }
    (void)attempt_settle(r, TARGET_NEUTRAL, 0);
    buf_clear(&in);
    buf_done(&r->at.body);
    r->at = (struct attempt){
        .in = in, .limits = {.retry_after_us = limits.retry_after_us}, .started = r->at.started};
}
