// SPDX-License-Identifier: Apache-2.0
// Steps from the limits to the provider's head, and what follows a failed attempt.
//
// Order of trying: the strategy's own targets (tier 0), each once. Before a degradation (a higher
// tier, or giving up) the last target may get one repeat: after the Retry-After it named, up to 3
// s, else after a jittered back-off; never after a timeout.
#include "dataplane/req_priv.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mono.h"
#include "dataplane/metrics.h"

#define FALLBACK_OUTPUT    1024u // tokens reserved for an answer of unknown length
#define REPEAT_WAIT_MAX_US (3 * MONO_SEC)
#define ERROR_WAIT_US      (5 * MONO_SEC) // for the body of a provider's error

// --- limits ------------------------------------------------------------------------------------

// The dearest candidate of the first tier bounds what admission must set aside.
static uint64_t reserve_nano(const struct req *r)
{
    struct dialect_usage u = {.known = true,
                              .input = dialect_estimate_tokens(r->rq.prompt_bytes),
                              .output = r->rq.max_tokens != 0 ? r->rq.max_tokens : FALLBACK_OUTPUT};
    uint64_t most = 0;

    for (size_t i = 0; i < r->plan.n; i++) {
        const struct route_candidate *c = &r->plan.candidates[i];

        if (c->excluded == NULL && c->tier == 0) {
            struct meter_rates rates = req_rates(r, c);
            uint64_t nano = price_nano(meter_cost(c->price, &rates, &u, false).pico);

            most = nano > most ? nano : most;
        }
    }
    return most;
}

static void prepare_pass(struct req *r)
{
    if (r->wake_msg == NULL) {
        r->wake_msg = worker_wake_new(r);
    }
    if (r->pass.wake == NULL) {
        r->pass.wake = req_wake_cb; // once: while it is parked the link's thread reads it
    }
}

// Woken by req_on_wake (a lease came) or REQ_DUE_WAKE (it did not).
enum req_next req_step_limit(struct req *r)
{
    uint64_t tokens = r->route.kind == FRONT_RAW ? dialect_estimate_tokens(httpd_body(r->q).n)
                                                 : meter_reserve_tokens(&r->rq, FALLBACK_OUTPUT);
    struct limit_query q = {r->snap, r->router, r->key, r->principal, tokens, reserve_nano(r)};

    if (r->pass.parked_until_us != 0 && !r->woken && !req_is_due(r, REQ_DUE_WAKE)) {
        return REQ_WAIT;
    }
    r->woken = false;
    prepare_pass(r);
    // The clock now, not that of the turn's beginning: since then this thread may have stood still
    // for longer than a lease lasts, and its units may be another proxy's.
    switch (limit_admit(r->w->shared->limits, &r->pass, &q, mono_now_us())) {
    case LIMIT_OK:
        break;
    case LIMIT_DENIED:
        r->fail.retry_after_us = r->pass.retry_after_us != 0 ? r->pass.retry_after_us : 1;
        return req_fail(r, r->pass.budget ? REPLY_BUDGET_EXCEEDED : REPLY_RATE_LIMITED,
                        r->pass.budget ? "the budget is spent" : "the rate limit is reached");
    case LIMIT_PARKED:
        req_set_due(r, REQ_DUE_WAKE, r->pass.parked_until_us);
        return REQ_WAIT;
    }
    r->admitted = true;
    req_set_due(r, REQ_DUE_WAKE, 0);
    return req_set_step(r, REQ_PICK);
}

// --- picking -----------------------------------------------------------------------------------

static enum req_next give_up(struct req *r)
{
    return req_set_step(r, REQ_REPLY_ERROR);
}

static uint64_t repeat_delay(struct req *r)
{
    uint64_t named = r->at.limits.retry_after_us;

    return named != 0 ? named : retry_backoff_us(r->attempts, &r->w->rng);
}

// One more try of the target that just failed, instead of a degradation. False: not this one.
static bool repeat_instead(struct req *r, const struct route_candidate *next)
{
    uint64_t delay;

    if (r->repeat == NULL || r->repeated ||
        (next != NULL && next->tier <= r->repeat->tier && !r->no_fallback)) {
        return false;
    }
    delay = repeat_delay(r);
    if (delay > REPEAT_WAIT_MAX_US || r->now_us + delay >= r->due[REQ_DUE_TOTAL] ||
        !retry_budget_take(&r->w->retry)) {
        return false;
    }
    r->repeated = true;
    r->chosen = r->repeat;
    req_set_due(r, REQ_DUE_WAKE, r->now_us + delay);
    return true;
}

// The request cannot be put into this target's words: the next one is asked, and when there is none
// the client is told what was in the way.
static enum req_next pass_over(struct req *r, struct route_candidate *c, const char *code,
                               const char *param, const struct err *e)
{
    struct req_unfit *u = &r->unfit;

    if (u->code == NULL) {
        u->code = code;
        u->param = param;
        (void)snprintf(u->message, sizeof(u->message), "%.199s", e->message);
    }
    c->tried = true;
    c->excluded = "unsupported_parameter";
    attempt_reset(r);
    return REQ_MORE;
}

static enum reply_code unfit_code(const char *code)
{
    if (strcmp(code, reply_code_text(REPLY_NO_THREADS)) == 0) {
        return REPLY_NO_THREADS;
    }
    return strcmp(code, reply_code_text(REPLY_INVALID_VALUE)) == 0 ? REPLY_INVALID_VALUE
                                                                   : REPLY_UNSUPPORTED_PARAMETER;
}

static enum req_next no_target(struct req *r, const struct balance_pick *pick)
{
    if (r->attempts > 0) {
        return give_up(r);
    }
    if (r->unfit.code != NULL) {
        r->fail.param = r->unfit.param;
        return req_fail(r, unfit_code(r->unfit.code), "%s", r->unfit.message);
    }
    r->fail.retry_after_us =
        pick->retry_at_us > r->now_us ? pick->retry_at_us - r->now_us : MONO_SEC;
    return req_fail(r, pick->all_rate_limited ? REPLY_ALL_COOLING : REPLY_NO_TARGET,
                    pick->all_rate_limited
                        ? "every target of this route is cooling down for a rate limit"
                        : "no target of this route is available now");
}

static void start(struct req *r, struct route_candidate *c)
{
    r->tries[r->attempts++] = (struct req_try){c, "started", 0};
    if (r->attempts > 1) {
        metrics_fallback(r->w->metrics, c->tier > 0);
    }
    attempt_start(r, c);
}

static enum req_next start_raw(struct req *r)
{
    const struct snapshot_provider *p = r->raw_provider;
    const struct resource *key = NULL;
    uint64_t sum = 0, at;

    if (p->n_keys == 0 && p->res->u.provider->needs_key) {
        return req_fail(r, REPLY_NO_TARGET, "provider %s has no key%s%s", p->res->id,
                        p->res->u.provider->key_variable != NULL ? "; set " : "",
                        p->res->u.provider->key_variable != NULL ? p->res->u.provider->key_variable
                                                                 : "");
    }
    for (size_t i = 0; i < p->n_keys; i++) {
        sum += p->keys[i]->u.provider_key->weight;
    }
    at = sum == 0 ? 0 : rng_below(&r->w->rng, sum);
    for (size_t i = 0; i < p->n_keys && key == NULL; i++) {
        if (at < p->keys[i]->u.provider_key->weight) {
            key = p->keys[i];
        } else {
            at -= p->keys[i]->u.provider_key->weight;
        }
    }
    r->attempts++;
    attempt_start_raw(r, key);
    return req_set_step(r, REQ_HEAD);
}

enum req_next req_step_pick(struct req *r)
{
    struct route_candidate *c = r->chosen;
    struct balance_pick pick = {.candidate = c};
    const char *code = NULL, *param = NULL;
    bool chosen = c != NULL;
    struct err e;

    if (r->route.kind == FRONT_RAW) {
        return start_raw(r);
    }
    if (r->attempts == 0) {
        retry_budget_request(&r->w->retry);
    } else if (r->attempts >= r->max_attempts) {
        return give_up(r);
    }
    r->chosen = NULL;
    if (c == NULL) {
        pick = balance_next(&r->plan, r->now_us, &r->w->rng);
        if (r->attempts > 0 && repeat_instead(r, pick.candidate)) {
            return req_set_step(r, REQ_BACKOFF);
        }
        if (pick.candidate == NULL) {
            return no_target(r, &pick);
        }
        if (r->attempts > 0 && (r->no_fallback || !retry_budget_take(&r->w->retry))) {
            return give_up(r);
        }
        c = pick.candidate;
    }
    if (!attempt_prepare(r, c, &code, &param, &e)) {
        return pass_over(r, c, code, param, &e);
    }
    if (!target_begin(c->target, r->now_us, chosen || pick.last_resort)) {
        return REQ_MORE; // another request has just taken its half-open trial
    }
    start(r, c);
    return req_set_step(r, REQ_HEAD);
}

// --- waiting for the head ----------------------------------------------------------------------

// A stream's client that waited for REQ_DUE_HOLD gets its head, then a comment (Anthropic's: a
// ping) every 15 s, so that nothing between us and it gives up. From then on a failure is an event
// in the stream.
void req_keep_alive(struct req *r)
{
    bool now = false;

    if (!r->stream || r->committed) {
        return;
    }
    if (req_is_due(r, REQ_DUE_HOLD)) {
        req_set_due(r, REQ_DUE_HOLD, 0);
        if (!r->head_sent) {
            reply_stream_head(r);
            now = true;
        }
    }
    if (now || req_is_due(r, REQ_DUE_ALIVE)) {
        req_set_due(r, REQ_DUE_ALIVE, r->now_us + r->w->keep_alive_us);
        if (!now && !r->blocked && !httpd_stream_write(r->q, r->dialect->keep_alive)) {
            r->blocked = true;
        }
    }
}

enum req_next req_attempt_failed(struct req *r, enum retry_failure f, const char *reason)
{
    r->at.failure = f;
    r->at.reason = reason;
    return req_set_step(r, REQ_JUDGE);
}

enum req_next req_attempt_overdue(struct req *r)
{
    if (req_is_due(r, REQ_DUE_TOTAL)) {
        (void)attempt_settle(r, TARGET_FAILURE, 0);
        return req_fail(r, REPLY_UPSTREAM_TIMEOUT,
                        "the provider did not answer within the request's time (total)");
    }
    return req_attempt_failed(r, RETRY_TIMEOUT,
                              req_is_due(r, REQ_DUE_FIRST) ? "first byte timeout" : "idle timeout");
}

bool req_is_overdue(const struct req *r)
{
    return req_is_due(r, REQ_DUE_TOTAL) || req_is_due(r, REQ_DUE_FIRST) ||
           req_is_due(r, REQ_DUE_IDLE);
}

static enum req_next never_answered(struct req *r)
{
    switch (r->at.result) {
    case UPSTREAM_CONNECT_FAILED:
        return req_attempt_failed(r, RETRY_CONNECT, "connect failed");
    case UPSTREAM_CONNECT_TIMEOUT:
        return req_attempt_failed(r, RETRY_TIMEOUT, "connect timeout");
    case UPSTREAM_PROTOCOL:
        return req_attempt_failed(r, RETRY_BROKEN, "not HTTP/1.1");
    case UPSTREAM_COMPLETE:
    case UPSTREAM_BROKEN:
    case UPSTREAM_TRUNCATED:
        break;
    }
    return req_attempt_failed(r, RETRY_BROKEN, "connection lost");
}

// What the status and content type say the body is.
static enum req_next head_came(struct req *r)
{
    bool observed = r->route.endpoint == DIALECT_CHAT || r->route.endpoint == DIALECT_COMPLETIONS ||
                    r->route.endpoint == DIALECT_MESSAGES;

    if (r->at.status < 400) { // refusals are quick, and must not attract more
        target_first_byte(r->at.target, r->now_us, r->at.head_us - r->at.started_us);
    }
    attempt_note_quota(r);
    if (r->timeouts.idle_us != 0) {
        req_set_due(r, REQ_DUE_IDLE, r->now_us + r->timeouts.idle_us);
    }
    if (r->route.kind == FRONT_RAW) {
        req_set_due(r, REQ_DUE_FIRST, 0);
        return req_set_step(r, REQ_RELAY);
    }
    if (r->at.status >= 300) {
        req_set_due(r, REQ_DUE_FIRST, 0);
        req_set_due(r, REQ_DUE_IDLE, r->now_us + ERROR_WAIT_US);
        return req_set_step(r, REQ_COLLECT);
    }
    if (!r->stream) {
        req_set_due(r, REQ_DUE_FIRST, 0);
        return req_set_step(r, REQ_COLLECT);
    }
    if (r->at.encoded) {
        return req_attempt_failed(r, RETRY_STREAM, "encoded stream");
    }
    if (!observed) {
        return req_set_step(r, REQ_RELAY); // its events are not known to this dialect
    }
    if (!r->at.is_stream) {
        // A whole answer, or an error object, where a stream was asked for: its body says which.
        req_set_due(r, REQ_DUE_FIRST, 0);
        return req_set_step(r, REQ_COLLECT);
    }
    stream_begin(&r->out, r->at.dialect, r->at.xlate, r->rq.n, !dialect_shows_usage(&r->rq),
                 r->cache_store);
    if (r->rq.usage_in_body && r->at.xlate == NULL) {
        stream_show_cost(&r->out, req_cost_text, r);
    }
    return req_set_step(r, REQ_HOLD);
}

// Woken by the attempt's head or end, or a deadline.
enum req_next req_step_head(struct req *r)
{
    if (r->at.head_in) {
        return head_came(r);
    }
    if (r->at.ended) {
        return never_answered(r);
    }
    if (req_is_overdue(r)) {
        return req_attempt_overdue(r);
    }
    req_keep_alive(r);
    return REQ_WAIT;
}

// Woken by REQ_DUE_WAKE.
enum req_next req_step_backoff(struct req *r)
{
    if (req_is_due(r, REQ_DUE_TOTAL)) {
        return req_fail(r, REPLY_UPSTREAM_TIMEOUT, "the request's time is over (total)");
    }
    if (!req_is_due(r, REQ_DUE_WAKE)) {
        req_keep_alive(r);
        return REQ_WAIT;
    }
    req_set_due(r, REQ_DUE_WAKE, 0);
    return req_set_step(r, REQ_PICK);
}

// --- judging a failed attempt ------------------------------------------------------------------

static struct slice tried_provider(const struct req *r)
{
    return slice_str(r->at.cand == NULL ? r->raw_provider->res->id : r->at.cand->provider->res->id);
}

// Keeps the provider's error if it ranks before what is kept.
static void keep_error(struct req *r, unsigned status, uint8_t rank)
{
    struct req_upstream_error *b = &r->best;

    if (b->present && b->rank <= rank) {
        return;
    }
    b->present = true;
    b->rank = rank;
    b->status = status;
    b->http_status = r->at.head_in ? r->at.status : 0;
    b->reason = r->at.reason;
    b->timed_out = r->at.failure == RETRY_TIMEOUT;
    b->encoded = r->at.encoded;
    b->content_type = r->at.content_type;
    b->request_id = r->at.request_id;
    b->retry_after_us = r->at.limits.retry_after_us;
    b->should_retry = r->at.should_retry;
    b->dialect = r->at.dialect;
    b->headers = r->at.headers;
    b->n_headers = r->at.n_headers;
    b->provider = arena_dup(&r->arena, tried_provider(r));
    b->model = r->at.cand == NULL ? SLICE_NULL : arena_dup(&r->arena, r->at.cand->model);
    buf_clear(&b->body);
    if (r->out.failed) {
        buf_move(&b->body, &r->out.error);
        b->from_event = true;
    } else {
        b->from_event = false;
        if (status != 0) { // else it is no error's body
            buf_move(&b->body, &r->answer);
        }
    }
}

static void note_try(struct req *r, unsigned status)
{
    struct req_try *t = &r->tries[r->attempts - 1];

    t->reason = r->at.reason;
    t->status = status;
}

// The HTTP status the failure stands for; 0: the provider gave none.
static unsigned failure_status(const struct req *r)
{
    switch (r->at.failure) {
    case RETRY_STATUS:
        return r->at.status;
    case RETRY_STREAM:
        return r->out.failed ? r->out.error_status : r->at.odd_status;
    case RETRY_CONNECT:
    case RETRY_BROKEN:
    case RETRY_TIMEOUT:
        break;
    }
    return 0;
}

// Some providers name the wait in the body only, and that there is no use in waiting.
static void read_wait(struct req *r, unsigned status, struct retry_verdict *v)
{
    const struct dialect *d = r->at.dialect;
    struct dialect_error e = {.status = 0};

    if (r->at.limits.retry_after_us == 0 && (status == 429 || status == 503) && d != NULL &&
        d->read_error != NULL && !r->at.encoded && r->answer.n > 0) {
        d->read_error(status, buf_slice(&r->answer), &r->arena, &e);
        r->at.limits.retry_after_us = e.retry_after_us;
        v->same_target_ok = v->same_target_ok && !e.no_retry;
    }
}

static uint32_t context_of(const struct req *r, const struct route_candidate *c)
{
    struct snapshot_model found;

    if (!snapshot_model_at(r->snap, slice_str(c->provider->res->id), c->model, &found)) {
        return 0;
    }
    return found.res->u.model->context;
}

// What a refusal means where its status alone does not say it: credit that is used up as 400, 403
// or 429, an invalid key or a prompt that is too long as 400. False: the status says it all.
static bool read_refusal(struct req *r, unsigned status, struct dialect_error *ret)
{
    const struct dialect *d = r->at.dialect;

    *ret = (struct dialect_error){.status = 0};
    if ((status != 400 && status != 403 && status != 413 && status != 429) || d == NULL ||
        d->read_error == NULL || r->at.encoded) {
        return false;
    }
    d->read_error(status, r->out.failed ? buf_slice(&r->out.error) : buf_slice(&r->answer),
                  &r->arena, ret);
    return ret->code != NULL;
}

// A prompt that is too long for one model may go to a model that takes more; the others are left
// out. False: there is none.
static bool only_larger(struct req *r)
{
    uint32_t had = context_of(r, r->at.cand);
    bool any = false;

    for (size_t i = 0; i < r->plan.n; i++) {
        struct route_candidate *c = &r->plan.candidates[i];

        if (c->excluded != NULL || c->tried || c == r->at.cand) {
            continue;
        }
        if (had != 0 && context_of(r, c) > had) {
            any = true;
        } else {
            c->tried = true;
            c->excluded = "context";
        }
    }
    return any;
}

// What the failure means, by status and by what the provider said.
static struct retry_verdict verdict_of(struct req *r, unsigned status)
{
    struct retry_verdict v = retry_classify(r->at.failure, status);
    struct dialect_error e;

    if (r->at.cand == NULL || !read_refusal(r, status, &e)) {
        return v;
    }
    if (strcmp(e.code, "insufficient_quota") == 0) {
        return retry_classify(RETRY_STATUS, 402);
    }
    if (e.status == 401) {
        return retry_classify(RETRY_STATUS, 401);
    }
    v.next_target = v.next_target || e.elsewhere;
    if (!v.next_target && strcmp(e.code, "context_length_exceeded") == 0) {
        v.next_target = only_larger(r);
    }
    return v;
}

enum req_next req_step_judge(struct req *r)
{
    unsigned status = failure_status(r);
    struct retry_verdict v = verdict_of(r, status);
    bool ejected;

    read_wait(r, status, &v);
    note_try(r, status);
    keep_error(r, status, v.rank);
    ejected = attempt_settle(r, v.outcome, r->at.limits.retry_after_us);
    metrics_attempt(r->w->metrics, tried_provider(r), slice_str(r->at.reason), ejected);
    r->repeat = v.same_target_ok ? r->at.cand : NULL;
    if (r->at.cand == NULL) {
        v.next_target = v.same_target_ok = false; // a raw call goes where it was sent, once
    } else {
        r->at.cand->tried = true;
    }
    attempt_reset(r);
    stream_close(&r->out);
    buf_clear(&r->answer);
    req_set_due(r, REQ_DUE_FIRST, 0);
    req_set_due(r, REQ_DUE_IDLE, 0);
    if (!v.next_target && !v.same_target_ok) {
        return req_set_step(r, REQ_REPLY_ERROR);
    }
    return req_set_step(r, REQ_PICK);
}
