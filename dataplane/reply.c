// SPDX-License-Identifier: Apache-2.0
// Answers to the client. Our own headers come first: when the head would not fit into the
// connection's memory, httpd leaves the last ones out, which are the provider's.
#include "dataplane/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/mono.h"
#include "common/base/text.h"
#include "dataplane/dialect_error.h"
#include "dataplane/metrics.h"
#include "dataplane/req_priv.h"

#define ROUTE_TEXT_MAX 1024u // x-sluice-route
#define DROPPED_MAX    1024u // x-sluice-dropped-params

static const struct {
    unsigned status;
    const char *type, *code;
} codes[REPLY_N_CODES] = {
#define X(name, status, type, code) [REPLY_##name] = {status, type, code},
    REPLY_CODES(X)
#undef X
};

unsigned reply_status(enum reply_code c)
{
    return codes[c].status;
}

const char *reply_code_text(enum reply_code c)
{
    return codes[c].code == NULL ? "" : codes[c].code;
}

// --- headers -----------------------------------------------------------------------------------

// Some values come from request bodies (a model's name): a control byte in one must not become a
// header of its own.
static struct slice harmless(struct arena *a, struct slice value)
{
    bool bad = false;
    char *copy;

    // No early exit: the compiler can vectorise it.
    for (size_t i = 0; i < value.n; i++) {
        bad |= (unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f;
    }
    if (!bad) {
        return value;
    }
    copy = arena_strndup(a, value.p, value.n);
    for (size_t i = 0; i < value.n; i++) {
        copy[i] = (unsigned char)copy[i] < ' ' || copy[i] == 0x7f ? '?' : copy[i];
    }
    return (struct slice){copy, value.n};
}

void reply_head_add(struct reply_head *h, const char *name, struct slice value)
{
    if (h->n < REPLY_HEADERS_MAX && value.p != NULL) {
        h->h[h->n++] = (struct httpd_header){slice_str(name), harmless(h->arena, value)};
    }
}

void reply_head_printf(struct reply_head *h, const char *name, const char *fmt, ...)
{
    char text[160];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n > 0) {
        struct slice s = {text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1};

        reply_head_add(h, name, arena_dup(h->arena, s));
    }
}

static void add_number(struct reply_head *h, const char *name, uint64_t v)
{
    char text[20];

    if (h->n < REPLY_HEADERS_MAX) {
        h->h[h->n++] =
            (struct httpd_header){slice_str(name), arena_dup(h->arena, text_format_u64(v, text))};
    }
}

static uint64_t seconds_up(uint64_t us)
{
    uint64_t s = (us + MONO_SEC - 1) / MONO_SEC;

    return s == 0 ? 1 : s;
}

static void add_openai_limits(struct reply_head *h, const struct limit_view *v)
{
    bool tokens = v->unit == RESOURCE_TOKENS;
    char reset[32];

    add_number(h, tokens ? "x-ratelimit-limit-tokens" : "x-ratelimit-limit-requests", v->limit);
    add_number(h, tokens ? "x-ratelimit-remaining-tokens" : "x-ratelimit-remaining-requests",
               v->remaining);
    reply_head_add(h, tokens ? "x-ratelimit-reset-tokens" : "x-ratelimit-reset-requests",
                   slice_str(arena_strdup(h->arena, text_format_reset(v->reset_us, reset))));
}

static char *put_pair(char *to, const char *key, uint64_t v)
{
    char digits[20];
    struct slice n = text_format_u64(v, digits);

    return mempcpy(mempcpy(to, key, strlen(key)), n.p, n.n);
}

// `"requests";q=100;w=60`: a unit and two numbers of the IETF's RateLimit fields.
static void add_unit_pairs(struct reply_head *h, const char *name, const char *unit,
                           const char *key_a, uint64_t a, const char *key_b, uint64_t b)
{
    char text[80]; // the longest unit and two numbers of 20 digits
    char *p = text;

    *p++ = '"';
    p = mempcpy(p, unit, strlen(unit));
    *p++ = '"';
    p = put_pair(p, key_a, a);
    p = put_pair(p, key_b, b);
    reply_head_add(h, name, arena_dup(h->arena, (struct slice){text, (size_t)(p - text)}));
}

void reply_head_limits(struct reply_head *h, const struct limit_view *v, bool anthropic,
                       uint64_t wall_us)
{
    char at[32];
    const char *unit = v->unit == RESOURCE_REQUESTS ? "requests"
                       : v->unit == RESOURCE_TOKENS ? "tokens"
                                                    : "usd";

    if (!v->present) {
        return;
    }
    if (v->unit != RESOURCE_USD) {
        add_openai_limits(h, v);
    }
    add_unit_pairs(h, "RateLimit-Policy", unit, ";q=", v->limit, ";w=", seconds_up(v->window_us));
    add_unit_pairs(h, "RateLimit", unit, ";r=", v->remaining, ";t=", seconds_up(v->reset_us));
    if (anthropic && v->unit == RESOURCE_REQUESTS) {
        add_number(h, "anthropic-ratelimit-requests-limit", v->limit);
        add_number(h, "anthropic-ratelimit-requests-remaining", v->remaining);
        reply_head_printf(h, "anthropic-ratelimit-requests-reset", "%s",
                          text_format_rfc3339(wall_us + v->reset_us, at));
    }
}

static void add_retry_after(struct reply_head *h, uint64_t us)
{
    if (us != 0) {
        add_number(h, "retry-after", seconds_up(us));
        add_number(h, "retry-after-ms", (us + MONO_MS - 1) / MONO_MS);
    }
}

static const char *cache_text(enum req_cache_state c)
{
    switch (c) {
    case REQ_CACHE_HIT:
        return "hit";
    case REQ_CACHE_MISS:
        return "miss";
    case REQ_CACHE_BYPASS:
        return "bypass";
    case REQ_CACHE_NONE:
        break;
    }
    return NULL;
}

static void add_cache(const struct req *r, struct reply_head *h)
{
    if (r->cache == REQ_CACHE_NONE) {
        return;
    }
    reply_head_add(h, "x-sluice-cache", slice_str(cache_text(r->cache)));
    if (r->cache != REQ_CACHE_BYPASS) {
        reply_head_add(h, "helicone-cache", slice_str(r->cache == REQ_CACHE_HIT ? "HIT" : "MISS"));
    }
    if (r->cache == REQ_CACHE_HIT) {
        reply_head_printf(h, "helicone-cache-bucket-idx", "%u", r->cache_bucket);
        reply_head_printf(h, "age", "%llu",
                          (unsigned long long)(cache_entry_age_us(r->entry, r->now_us) / MONO_SEC));
    }
}

// What we added to the time: request read -> upstream head written, plus the provider's last needed
// byte -> client head queued. The latter is counted from the stamp of the turn that read that byte.
static void measure_overhead(struct req *r)
{
    uint64_t now = mono_now_us(), before = 0;

    if (r->cache == REQ_CACHE_HIT) {
        r->overhead_us = now > r->ready_us ? now - r->ready_us : 0;
        return;
    }
    if (r->first_started_us > r->ready_us) {
        before = r->first_started_us - r->ready_us;
    }
    if (r->at.times.written_us > r->at.started_us) {
        before += r->at.times.written_us - r->at.started_us;
    }
    r->overhead_us = before + (now > r->now_us ? now - r->now_us : 0);
}

static void add_route_text(struct req *r, struct reply_head *h)
{
    struct buf b;

    if (!r->explain || r->plan.n == 0) {
        return;
    }
    buf_init(&b, ROUTE_TEXT_MAX);
    for (size_t i = 0; i < r->plan.n; i++) {
        const struct route_candidate *c = &r->plan.candidates[i];
        const char *why = balance_reason(c, r->now_us);
        unsigned status = 0;

        for (unsigned k = 0; k < r->attempts; k++) {
            if (r->tries[k].candidate == c) {
                why = r->tries[k].reason;
                status = r->tries[k].status;
            }
        }
        // Cut at the bound: a debugging aid, not a contract.
        if (!buf_try_printf(&b, "%s%s/" SLICE_FMT "=%s", i == 0 ? "" : ", ", c->provider->res->id,
                            SLICE_ARG(c->model), why) ||
            (status != 0 && !buf_try_printf(&b, "(%u)", status))) {
            break;
        }
    }
    reply_head_add(h, "x-sluice-route", arena_dup(h->arena, buf_slice(&b)));
    buf_done(&b);
}

static void add_cost(const struct req *r, struct reply_head *h)
{
    char usd[40];

    if (r->cache == REQ_CACHE_HIT) {
        reply_head_add(h, "x-sluice-cost", SLICE("0.0"));
    } else if (r->cost.known && r->answered_model.p != NULL) {
        reply_head_add(h, "x-sluice-cost",
                       slice_str(arena_strdup(h->arena, price_format_usd(r->cost.pico, usd))));
    }
}

static bool is_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 127 || s.p[i] == ',') {
            return false;
        }
    }
    return s.n > 0;
}

// Parameters that the provider could not take.
static void add_dropped(struct req *r, struct reply_head *h)
{
    const struct canon_outcome *o = r->at.outcome;
    struct buf b;

    if (o == NULL || o->n_dropped == 0) {
        return;
    }
    buf_init(&b, DROPPED_MAX);
    for (size_t i = 0; i < o->n_dropped; i++) {
        struct slice name = slice_str(o->dropped[i]);

        // Names may be the client's: what would end the header line, or make it endless, stays out.
        if (name.n > 64 || !is_name(name) || b.n + name.n + 1 >= DROPPED_MAX) {
            continue;
        }
        if (b.n > 0) {
            buf_append_char(&b, ',');
        }
        buf_append(&b, name);
    }
    reply_head_add(h, "x-sluice-dropped-params", arena_dup(h->arena, buf_slice(&b)));
    buf_done(&b);
}

// Everything our answers carry beside content-type: ids, who served it, cache state, limits, cost,
// overhead, the provider's own headers where one answered.
static void add_common(struct req *r, struct reply_head *h)
{
    bool failed = r->fail.code != REPLY_NONE || (r->best.present && r->provider.p == NULL);
    struct slice provider = failed ? r->best.provider : r->provider;
    struct slice model = failed ? r->best.model : r->answered_model;
    struct slice id = failed ? r->best.request_id : r->at.request_id;

    reply_head_add(h, "x-request-id", r->request_id);
    if (r->route.anthropic) {
        reply_head_add(h, "request-id", r->request_id); // where its SDKs look
    }
    reply_head_add(h, "helicone-id", r->request_id);
    reply_head_add(h, "x-sluice-provider", provider);
    reply_head_add(h, "helicone-provider", provider);
    reply_head_add(h, "x-sluice-model", model);
    if (r->attempts > 0) {
        add_number(h, "x-sluice-attempts", r->attempts);
    }
    add_cache(r, h);
    reply_head_add(h, "x-sluice-upstream-request-id", id);
    reply_head_add(h, "helicone-provider-req-id", id);
    add_cost(r, h);
    if (r->at.head_in || r->cache == REQ_CACHE_HIT) {
        measure_overhead(r);
        add_number(h, "x-sluice-overhead-us", r->overhead_us);
    }
    reply_head_limits(h, &r->pass.view, r->route.anthropic, r->began_wall_us);
    add_dropped(r, h);
    if (r->estimate) {
        reply_head_add(h, "x-sluice-estimate", SLICE("1"));
    }
    add_route_text(r, h);
}

static bool has_header(const struct reply_head *h, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_eq_nocase(h->h[i].name, name)) {
            return true;
        }
    }
    return false;
}

// A routed answer has lost the provider's headers that ours replace (attempt.c). A raw one keeps
// them: ours of the same name (x-request-id, limits) stay the only ones.
static void add_provider_headers(const struct req *r, struct reply_head *h,
                                 const struct httpd_header *list, size_t n)
{
    size_t ours = r->route.kind == FRONT_RAW ? h->n : 0;

    for (size_t i = 0; i < n && h->n < REPLY_HEADERS_MAX; i++) {
        if (!has_header(h, ours, list[i].name)) {
            h->h[h->n++] = list[i];
        }
    }
}

// --- whole answers and heads -------------------------------------------------------------------

static void begin_head(struct req *r, struct reply_head *h, struct slice content_type)
{
    h->arena = &r->arena;
    h->n = 0;
    if (content_type.n > 0) {
        reply_head_add(h, "content-type", content_type);
    }
    add_common(r, h);
}

static void send_whole(struct req *r, unsigned status, struct reply_head *h, struct buf *body)
{
    r->status = status;
    r->head_sent = true;
    r->answered = true;
    httpd_reply(r->q, status, h->h, h->n, body);
}

void reply_plain(struct req *r, unsigned status, struct slice content_type, struct buf *body)
{
    struct reply_head h;

    begin_head(r, &h, content_type);
    add_provider_headers(r, &h, r->at.headers, r->at.n_headers);
    send_whole(r, status, &h, body);
}

void reply_json(struct req *r, unsigned status, struct buf *body)
{
    struct reply_head h;

    begin_head(r, &h, SLICE("application/json"));
    send_whole(r, status, &h, body);
}

void reply_stream_head(struct req *r)
{
    struct reply_head h;

    begin_head(r, &h, SLICE("text/event-stream; charset=utf-8"));
    reply_head_add(&h, "cache-control", SLICE("no-cache"));
    add_provider_headers(r, &h, r->at.headers, r->at.n_headers);
    r->status = 200;
    r->head_sent = true;
    httpd_stream_begin(r->q, 200, h.h, h.n, -1);
}

void reply_relay_head(struct req *r)
{
    struct reply_head h;

    begin_head(r, &h, r->at.content_type);
    if (r->at.status >= 400) { // a raw path: the provider's word, not ours
        reply_head_printf(&h, "x-sluice-upstream-status", "%u", r->at.status);
    }
    add_provider_headers(r, &h, r->at.headers, r->at.n_headers);
    r->status = r->at.status;
    r->head_sent = true;
    httpd_stream_begin(r->q, r->at.status, h.h, h.n, r->at.content_length);
}

// --- errors ------------------------------------------------------------------------------------

void reply_write_error(const struct dialect *d, enum reply_code c, struct slice message,
                       const char *param, struct slice request_id, struct buf *out)
{
    struct dialect_error e = {
        .status = codes[c].status,
        .type = d == &dialect_openai ? codes[c].type : NULL,
        .code = codes[c].code,
        .param = param,
        .message = message,
        .request_id = request_id,
    };

    d->write_error(&e, out);
}

void reply_refusal(struct httpd_req *q, bool anthropic, enum reply_code c, const char *message,
                   struct slice request_id)
{
    struct httpd_header h[] = {{SLICE("content-type"), SLICE("application/json")},
                               {SLICE("x-request-id"), request_id},
                               {SLICE("helicone-id"), request_id},
                               {SLICE("retry-after"), SLICE("1")},
                               {SLICE("retry-after-ms"), SLICE("1000")}};
    struct buf body;

    buf_init(&body, 4096);
    reply_write_error(anthropic ? &dialect_anthropic : &dialect_openai, c, slice_str(message), NULL,
                      request_id, &body);
    httpd_reply(q, reply_status(c), h, ARRAY_LEN(h) - (c == REPLY_OVERLOADED ? 0 : 2), &body);
    buf_done(&body);
}

// In whose words the client expects an error of ours: on a raw path the provider's (Google has
// OpenAI's endpoints, too).
static const struct dialect *words_of(const struct req *r)
{
    const struct snapshot_provider *p = NULL;
    const struct dialect *d;

    if (r->route.kind != FRONT_RAW) {
        return r->dialect;
    }
    if (r->snap != NULL) {
        p = snapshot_provider(r->snap, r->route.provider);
    }
    d = p == NULL ? NULL : dialect_find(slice_str(p->res->u.provider->dialect));
    if (d == NULL || d->write_error == NULL ||
        (d == &dialect_gemini && slice_find(r->route.rest, SLICE("/openai/")) != SIZE_MAX)) {
        return &dialect_openai;
    }
    return d;
}

// The provider's error in the client's shape.
static void map_error(struct req *r, struct dialect_error *e)
{
    const struct req_upstream_error *b = &r->best;
    struct slice body = b->encoded ? SLICE("") : buf_slice(&b->body);
    const struct dialect *d = b->dialect != NULL ? b->dialect : &dialect_openai;

    if (b->status == 0) {
        e->status = b->timed_out ? 504 : 502;
        e->type = b->timed_out ? "timeout_error" : "server_error";
        e->code = b->timed_out ? "upstream_timeout" : "upstream_failed";
        e->message = slice_str(arena_printf(
            &r->arena, "the provider " SLICE_FMT " %s: %s", SLICE_ARG(b->provider),
            b->http_status == 0 || b->timed_out ? "did not answer" : "sent no usable answer",
            b->reason));
        return;
    }
    if (!b->encoded) {
        d->read_error(b->status, body, &r->arena, e);
        e->request_id = r->request_id;
        e->attempts = r->attempts;
        return;
    }
    dialect_error_classify(b->status, SLICE_NULL, &r->arena, e);
    e->message = slice_str(arena_printf(
        &r->arena, "upstream returned status %u with a compressed body", b->http_status));
}

// One attempt, equal dialects, an error in the dialect's shape: the client gets it as it came.
static bool goes_unchanged(struct req *r)
{
    const struct req_upstream_error *b = &r->best;

    return r->attempts == 1 && b->status >= 400 && b->status == b->http_status && !b->from_event &&
           b->dialect == r->dialect &&
           (b->encoded || (r->dialect->is_own_error != NULL &&
                           r->dialect->is_own_error(b->status, buf_slice(&b->body))));
}

// Every 429, 503 and 529 says when to come back; where nobody knows: soon, a key may be added or a
// target recover at any moment.
static void add_wait(struct reply_head *h, unsigned status, uint64_t wait_us)
{
    if (wait_us == 0 && (status == 429 || status == 503 || status == 529)) {
        wait_us = MONO_SEC;
    }
    add_retry_after(h, wait_us);
}

static void upstream_error(struct req *r)
{
    struct reply_head h;
    struct dialect_error e = {.request_id = r->request_id, .attempts = r->attempts};
    const struct dialect *words = words_of(r);
    bool unchanged = goes_unchanged(r);
    uint64_t wait = r->best.retry_after_us;
    struct buf body;

    begin_head(r, &h, unchanged ? r->best.content_type : SLICE("application/json"));
    if (r->best.status != 0) { // a 200 that was no answer makes an error of our own
        add_number(&h, "x-sluice-upstream-status", r->best.http_status);
    }
    reply_head_add(&h, "x-should-retry", r->best.should_retry);
    if (unchanged) {
        add_wait(&h, r->best.status, wait);
        add_provider_headers(r, &h, r->best.headers, r->best.n_headers);
        send_whole(r, r->best.status, &h, &r->best.body);
        return;
    }
    map_error(r, &e);
    if (e.no_retry && r->best.should_retry.p == NULL) {
        reply_head_add(&h, "x-should-retry", SLICE("false"));
    }
    if (words->error_status != NULL) {
        e.status = words->error_status(&e);
    }
    add_wait(&h, e.status, wait);
    buf_init(&body, ATTEMPT_ERROR_MAX * 8);
    words->write_error(&e, &body);
    send_whole(r, e.status, &h, &body);
    buf_done(&body);
}

static void own_error(struct req *r)
{
    const struct dialect *words = words_of(r);
    struct reply_head h;
    struct buf body;

    begin_head(r, &h, SLICE("application/json"));
    if (words == &dialect_anthropic && !r->route.anthropic) {
        reply_head_add(&h, "request-id", r->request_id);
    }
    add_wait(&h, reply_status(r->fail.code), r->fail.retry_after_us);
    if (r->fail.code == REPLY_BUDGET_EXCEEDED) {
        reply_head_add(&h, "x-should-retry", SLICE("false"));
    }
    reply_head_add(&h, "allow", slice_str(r->fail.allow));
    buf_init(&body, 8192);
    reply_write_error(words, r->fail.code, slice_str(r->fail.message), r->fail.param, r->request_id,
                      &body);
    send_whole(r, reply_status(r->fail.code), &h, &body);
    buf_done(&body);
}

// The status is out already: one error event, and the stream ends without its terminator.
static void error_event(struct req *r)
{
    struct dialect_error e = {.request_id = r->request_id, .attempts = r->attempts};
    struct buf out;

    if (r->fail.code == REPLY_NONE) {
        map_error(r, &e);
    } else if (r->fail.code == REPLY_UPSTREAM_TRUNCATED && r->at.xlate != NULL) {
        e = xlate_cut_error(r->request_id);
    } else {
        e.status = codes[r->fail.code].status;
        e.type = r->route.anthropic ? NULL : codes[r->fail.code].type;
        e.code = codes[r->fail.code].code;
        e.message = slice_str(r->fail.message);
        e.attempts = 0;
    }
    buf_init(&out, ATTEMPT_ERROR_MAX * 8);
    r->dialect->write_error_event(&e, &out);
    (void)!httpd_stream_write(r->q, buf_slice(&out)); // the last bytes: nothing waits for room
    buf_done(&out);
    httpd_stream_end(r->q);
    r->answered = true;
}

void reply_failure(struct req *r)
{
    if (r->fail.code == REPLY_NONE && !r->best.present) {
        (void)req_fail(r, REPLY_UPSTREAM_FAILED, "no provider answered");
    }
    if (!r->head_sent) {
        if (r->fail.code != REPLY_NONE) {
            own_error(r);
        } else {
            upstream_error(r);
        }
    } else if (r->stream && r->route.kind == FRONT_ROUTED) {
        error_event(r);
    } else {
        httpd_abort(r->q); // a cut body must not look like a whole one
        r->answered = true;
    }
}
