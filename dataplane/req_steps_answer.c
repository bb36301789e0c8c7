// SPDX-License-Identifier: Apache-2.0
// Steps that take the provider's answer: collecting a plain one, holding and relaying a stream,
// relaying bytes that are not looked at.
#include "dataplane/req_priv.h"

#include "common/base/mono.h"
#include "dataplane/metrics.h"

// --- common ------------------------------------------------------------------------------------

static void touch_idle(struct req *r)
{
    if (r->timeouts.idle_us != 0) {
        req_set_due(r, REQ_DUE_IDLE, r->now_us + r->timeouts.idle_us);
    }
}

// The answer is the client's now: usage, price and the target's verdict.
static void answered_well(struct req *r)
{
    (void)attempt_settle(r, TARGET_SUCCESS, 0); // success ejects nobody
    r->cost = req_cost(r, &r->usage);
}

static void note_success(struct req *r)
{
    if (r->attempts > 0 && r->attempts <= REQ_TRIES_MAX) {
        r->tries[r->attempts - 1].reason = "answered";
        r->tries[r->attempts - 1].status = r->at.status;
    }
    req_note_answerer(r);
    metrics_attempt(r->w->metrics, r->provider, SLICE("answered"), false);
}

// Moves what came to the client's queue; stops the provider while the client is slow.
static void pass_on(struct req *r)
{
    struct slice in = buf_slice(&r->at.in);

    if (in.n > 0) {
        r->bytes_out += in.n;
        if (!httpd_stream_write(r->q, in)) {
            r->blocked = true;
        }
        buf_clear(&r->at.in);
    }
    if (r->blocked) {
        attempt_pause(r);
        touch_idle(r); // the client is slow, not the provider
    } else {
        attempt_resume(r);
    }
}

// --- plain answers -----------------------------------------------------------------------------

static bool promises_json(const struct req *r)
{
    return r->at.is_json || r->route.endpoint != DIALECT_OTHER;
}

// Puts the collected answer into the client's words: in place of it, as JSON or, where a stream was
// asked for, as events. False: it is no answer of the provider's dialect.
static bool translate_answer(struct req *r, struct dialect_answer *ret)
{
    struct xlate *x = attempt_xlate(r);
    struct buf out;
    bool ok;

    if (r->at.xlate == NULL) {
        xlate_equal(x, &r->rq, arena_dup(&r->arena, r->at.cand->model));
        xlate_answered(x, loop_wall_us(r->w->loop) / MONO_SEC);
        if (r->rq.usage_in_body) {
            x->context.cost = req_cost_text;
            x->context.cost_ctx = r;
        }
    }
    buf_init_soft(&out, STREAM_MADE_MAX);
    ok = xlate_answer(x, buf_slice(&r->answer), r->stream, &out, ret);
    if (ok) {
        buf_move(&r->answer, &out);
    }
    buf_done(&out);
    return ok;
}

// The provider streamed what the client wants whole. NULL: it is in r->answer now; else why not.
static const char *put_together(struct req *r, struct dialect_usage *ret_usage)
{
    struct dialect_answer a;
    struct slice error;
    struct buf out;
    bool ok;

    buf_init_soft(&out, STREAM_MADE_MAX);
    ok = xlate_gather(r->at.xlate, buf_slice(&r->answer), &out, &a, &error);
    if (ok) {
        buf_move(&r->answer, &out);
        *ret_usage = a.usage;
    } else if (error.p != NULL) {
        buf_clear(&r->answer);
        buf_append(&r->answer, slice_head(error, ATTEMPT_ERROR_MAX));
        r->at.odd_status = a.error_status;
    }
    buf_done(&out);
    return ok ? NULL : error.p != NULL ? "error event" : "cut or malformed stream";
}

// Is it an endpoint whose answers can be told as events?
static bool is_streamable(const struct req *r)
{
    return r->dialect->read_answer != NULL &&
           (r->route.endpoint == DIALECT_CHAT || r->route.endpoint == DIALECT_COMPLETIONS ||
            r->route.endpoint == DIALECT_MESSAGES);
}

// NVIDIA's slow functions: the answer would have to be fetched later. It did not come in time.
#define HTTP_DEFERRED 202u
#define HTTP_TOO_LATE 504u
#define DEFERRED_ERROR                                                                               \
    "{\"error\":{\"message\":\"the provider deferred its answer (202)\",\"type\":\"timeout_error\"," \
    "\"param\":null,\"code\":\"upstream_timeout\"}}"

// Complete by its framing; is it what was promised? NULL: yes, and *ret_usage is what it says it
// used; else why not.
static const char *flaw_of(struct req *r, struct dialect_usage *ret_usage)
{
    struct slice body = buf_slice(&r->answer);
    struct dialect_answer a = {.malformed = false};

    if (r->at.xlate == NULL && (r->at.encoded || !promises_json(r))) {
        return NULL;
    }
    if (r->at.status == HTTP_DEFERRED && r->route.endpoint != DIALECT_OTHER) {
        r->at.odd_status = HTTP_TOO_LATE;
        buf_clear(&r->answer);
        buf_append_str(&r->answer, DEFERRED_ERROR);
        return "deferred";
    }
    if (r->at.is_stream && !r->at.encoded && !r->stream && attempt_streams(r)) {
        return put_together(r, ret_usage);
    }
    if (r->at.encoded || !r->at.is_json) {
        return "not JSON";
    }
    if (r->at.dialect->observe_answer != NULL) {
        a = r->at.dialect->observe_answer(body);
    }
    if (a.malformed) {
        return "malformed JSON";
    }
    if (a.error_status != 0 && body.n <= ATTEMPT_ERROR_MAX) {
        r->at.odd_status = a.error_status;
        return "error in a 200";
    }
    if (r->at.xlate == NULL && r->stream && !is_streamable(r)) {
        return "not a stream";
    }
    if ((r->at.xlate != NULL || r->stream) && !translate_answer(r, &a)) {
        return r->at.xlate == NULL ? "not a stream" : "malformed JSON";
    }
    *ret_usage = a.usage;
    return NULL;
}

// A whole answer where the client asked for a stream: its events, all at once.
static enum req_next send_as_stream(struct req *r)
{
    if (!r->head_sent) {
        reply_stream_head(r);
    }
    req_commit(r);
    (void)!httpd_stream_write(r->q,
                              buf_slice(&r->answer)); // the last bytes: nothing waits for room
    httpd_stream_end(r->q);
    r->answered = true;
    return req_set_step(r, REQ_SEND);
}

static enum req_next send_answer(struct req *r, const struct dialect_usage *usage)
{
    struct slice type = r->at.xlate != NULL ? SLICE("application/json") : r->at.content_type;

    note_success(r);
    r->first_content_us = r->at.head_us;
    // Counting tokens uses none.
    r->usage =
        r->route.endpoint == DIALECT_COUNT_TOKENS ? (struct dialect_usage){.known = true} : *usage;
    answered_well(r);
    r->bytes_out = buf_slice(&r->answer).n;
    if (r->stream) {
        return send_as_stream(r);
    }
    if (r->at.status == 200 && !r->at.encoded) {
        req_cache_store(r, buf_slice(&r->answer), type);
    }
    req_show_cost(r, r->cost, &r->answer);
    reply_plain(r, r->at.status, type, &r->answer);
    req_commit(r);
    return req_set_step(r, REQ_SEND);
}

static void take_in(struct req *r)
{
    attempt_resume(r);
    if (r->answer.n == 0) {
        buf_move(&r->answer, &r->at.in);
    } else {
        // The reader is paused far below the ceiling of the two.
        buf_append(&r->answer, buf_slice(&r->at.in));
        buf_clear(&r->at.in);
    }
}

// A provider's error: only as much of its body as we keep.
static enum req_next collect_error(struct req *r)
{
    bool enough = r->answer.n + r->at.in.n > ATTEMPT_ERROR_MAX;

    if (!enough) {
        take_in(r);
    }
    if (enough || r->at.ended || req_is_overdue(r)) {
        return req_attempt_failed(r, RETRY_STATUS, "status");
    }
    return REQ_WAIT;
}

// Woken by bytes, the end, or a deadline.
enum req_next req_step_collect(struct req *r)
{
    if (r->at.status >= 300) {
        return collect_error(r);
    }
    if (r->at.in.n > 0) {
        touch_idle(r);
        take_in(r);
    }
    if (r->answer.n > ATTEMPT_COLLECT_MAX && !r->stream && r->at.xlate == NULL) {
        return req_set_step(r, REQ_RELAY);
    }
    if (r->at.ended) {
        struct dialect_usage usage = {.known = false};
        const char *flaw = r->at.result == UPSTREAM_COMPLETE ? flaw_of(r, &usage) : "cut";

        return flaw == NULL ? send_answer(r, &usage) : req_attempt_failed(r, RETRY_STREAM, flaw);
    }
    if (r->answer.n > (r->at.xlate == NULL ? ATTEMPT_COLLECT_MAX : XLATE_ANSWER_MAX)) {
        return req_attempt_failed(r, RETRY_STREAM,
                                  r->at.xlate == NULL ? "not a stream" : "too large to translate");
    }
    if (req_is_overdue(r)) {
        return req_attempt_overdue(r);
    }
    req_keep_alive(r);
    return REQ_WAIT;
}

// --- bytes that are not looked at --------------------------------------------------------------

static bool has_no_body(const struct req *r)
{
    return r->at.status == 204 || r->at.status == 304;
}

static void begin_relay(struct req *r)
{
    if (r->route.kind == FRONT_RAW) {
        r->provider = arena_dup(&r->arena, slice_str(r->raw_provider->res->id));
    } else {
        note_success(r);
    }
    r->first_content_us = r->at.head_us;
    if (slice_eq_str(r->method, "HEAD")) { // with the length that a GET would have
        reply_relay_head(r);
        httpd_stream_end(r->q);
        r->answered = true;
    } else if (has_no_body(r)) {
        reply_plain(r, r->at.status, r->at.content_type, NULL);
    } else {
        reply_relay_head(r);
    }
    req_commit(r);
    if (r->answer.n > 0 && !r->answered) { // what COLLECT had until it became too large
        r->bytes_out += r->answer.n;
        if (!httpd_stream_write(r->q, buf_slice(&r->answer))) {
            r->blocked = true;
        }
    }
    buf_done(&r->answer);
}

static enum target_outcome relay_outcome(const struct req *r)
{
    if (r->at.result != UPSTREAM_COMPLETE) {
        return TARGET_FAILURE;
    }
    return retry_classify(RETRY_STATUS, r->at.status).outcome;
}

// The head was all there is to answer (HEAD, 204, 304): nothing of the provider is waited for.
static enum req_next end_bodiless(struct req *r)
{
    (void)attempt_settle(r, retry_classify(RETRY_STATUS, r->at.status).outcome,
                         r->at.limits.retry_after_us);
    attempt_stop(r);
    return req_set_step(r, REQ_SEND);
}

static enum req_next end_relay(struct req *r)
{
    (void)attempt_settle(r, relay_outcome(r), r->at.limits.retry_after_us);
    if (r->at.result != UPSTREAM_COMPLETE) {
        r->truncated = true;
        return req_fail(r, REPLY_UPSTREAM_TRUNCATED, "the answer was cut");
    }
    httpd_stream_end(r->q);
    r->answered = true;
    return req_set_step(r, REQ_SEND);
}

// Woken by bytes, the end, room in the client's queue, or a deadline.
enum req_next req_step_relay(struct req *r)
{
    if (!r->committed) {
        begin_relay(r);
    }
    if (r->answered) {
        return end_bodiless(r);
    }
    if (r->at.in.n > 0) {
        touch_idle(r);
    }
    pass_on(r);
    if (r->at.ended) {
        return end_relay(r);
    }
    if (req_is_overdue(r)) {
        (void)attempt_settle(r, TARGET_FAILURE, 0);
        return req_fail(r, REPLY_UPSTREAM_TIMEOUT, "the answer did not end in time");
    }
    return REQ_WAIT;
}

// --- streams -----------------------------------------------------------------------------------

static void emit_to_client(void *ctx, struct slice raw)
{
    struct req *r = ctx;

    r->bytes_out += raw.n;
    r->emitted_us = r->now_us;
    if (!httpd_stream_write(r->q, raw)) {
        r->blocked = true;
    }
}

// A provider that thinks for long is silent in the middle of its stream too. Events are relayed
// whole, so this always stands between two.
static void keep_alive(struct req *r)
{
    uint64_t at = r->emitted_us + r->w->keep_alive_us;

    if (!req_is_due(r, REQ_DUE_ALIVE)) {
        return;
    }
    if (r->now_us >= at) {
        if (!r->blocked && !httpd_stream_write(r->q, r->dialect->keep_alive)) {
            r->blocked = true;
        }
        at = r->now_us + r->w->keep_alive_us;
    }
    req_set_due(r, REQ_DUE_ALIVE, at);
}

static void feed(struct req *r)
{
    if (r->at.in.n > 0) {
        stream_feed(&r->out, buf_slice(&r->at.in));
        buf_clear(&r->at.in);
    }
    // Comments and pings are no progress.
    if (r->out.progress) {
        r->out.progress = false;
        touch_idle(r);
    }
    if (r->at.ended && r->at.result == UPSTREAM_COMPLETE) {
        stream_finish(&r->out);
    }
}

// First content (or as much as may be held): from here on the client has it.
static enum req_next open_stream(struct req *r)
{
    note_success(r);
    r->first_content_us = r->now_us;
    if (!r->head_sent) {
        reply_stream_head(r);
    }
    req_commit(r);
    metrics_streams(r->w->metrics, 1);
    r->streaming = true;
    req_set_due(r, REQ_DUE_FIRST, 0);
    req_set_due(r, REQ_DUE_HOLD, 0);
    req_set_due(r, REQ_DUE_ALIVE, r->now_us + r->w->keep_alive_us);
    stream_release(&r->out, emit_to_client, r);
    return req_set_step(r, REQ_STREAM);
}

// Woken by bytes, the end, or a deadline.
enum req_next req_step_hold(struct req *r)
{
    feed(r);
    attempt_resume(r);
    if (r->out.content || r->out.overfull) {
        return open_stream(r);
    }
    if (r->out.failed) {
        return req_attempt_failed(r, RETRY_STREAM, "error event");
    }
    if (r->out.oversized || r->out.malformed) {
        return req_attempt_failed(r, RETRY_STREAM, "malformed event");
    }
    if (r->at.ended) {
        if (r->at.result == UPSTREAM_COMPLETE && stream_is_complete(&r->out)) {
            return open_stream(r);
        }
        return req_attempt_failed(r, RETRY_STREAM, "cut before content");
    }
    if (req_is_overdue(r)) {
        return req_attempt_overdue(r);
    }
    req_keep_alive(r);
    return REQ_WAIT;
}

static void note_usage(struct req *r)
{
    r->usage = r->out.seen.usage;
}

static enum req_next end_stream(struct req *r)
{
    note_usage(r);
    answered_well(r);
    if (r->out.teeing) {
        req_cache_store(r, buf_slice(&r->out.tee), SLICE("text/event-stream"));
    }
    httpd_stream_end(r->q);
    r->answered = true;
    return req_set_step(r, REQ_SEND);
}

// The provider's own error event went out as the last one; no [DONE] follows.
static enum req_next end_failed_stream(struct req *r)
{
    note_usage(r);
    (void)attempt_settle(r, TARGET_FAILURE, 0);
    attempt_stop(r);
    r->truncated = true;
    httpd_stream_end(r->q);
    r->answered = true;
    return req_set_step(r, REQ_SEND);
}

static enum req_next cut_stream(struct req *r, enum reply_code code, const char *why)
{
    note_usage(r);
    (void)attempt_settle(r, TARGET_FAILURE, 0);
    attempt_stop(r);
    r->truncated = true;
    return req_fail(r, code, "%s", why);
}

// Woken by bytes, the end, room in the client's queue, or a deadline.
enum req_next req_step_stream(struct req *r)
{
    feed(r);
    if (r->out.failed) {
        return end_failed_stream(r);
    }
    if (r->out.malformed) { // translated: there is nothing to relay in its place
        return cut_stream(r, REPLY_UPSTREAM_TRUNCATED, "the provider sent a malformed event");
    }
    if (r->out.oversized) {
        return cut_stream(r, REPLY_UPSTREAM_TRUNCATED,
                          "the provider sent an event that is too large");
    }
    if (r->at.ended) {
        // After the terminator nothing can be missing, however the connection ended.
        if ((r->at.result == UPSTREAM_COMPLETE || r->out.seen.terminated) &&
            stream_is_complete(&r->out)) {
            return end_stream(r);
        }
        return cut_stream(r, REPLY_UPSTREAM_TRUNCATED,
                          "the provider's stream was cut before its end");
    }
    if (r->blocked) {
        attempt_pause(r);
        touch_idle(r);
    } else {
        attempt_resume(r);
    }
    if (req_is_overdue(r)) {
        return cut_stream(r, REPLY_UPSTREAM_TIMEOUT,
                          req_is_due(r, REQ_DUE_TOTAL)
                              ? "the stream did not end within the request's time (total)"
                              : "the provider's stream stalled (idle)");
    }
    keep_alive(r);
    return REQ_WAIT;
}
