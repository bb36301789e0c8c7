// SPDX-License-Identifier: Apache-2.0
// Last steps: errors, a client that left, waiting for the answer to be taken, accounts.
#include "dataplane/req_priv.h"

#include "common/base/mono.h"
#include "dataplane/access.h"
#include "dataplane/metrics.h"

#define CLIENT_CLOSED 499              // as nginx logs a client that left before it got a status
#define SEND_US       (120 * MONO_SEC) // for a client to take what is queued

static void clear_deadlines(struct req *r)
{
    for (int i = 0; i < REQ_N_DUE; i++) {
        if (i != REQ_DUE_TOTAL) {
            req_set_due(r, (enum req_due)i, 0);
        }
    }
}

// Stops what still runs for a request that will not be answered by it.
static void stop_work(struct req *r)
{
    if (!r->admitted) {
        (void)limit_unpark(r->w->shared->limits, &r->pass); // wake_queued covers a late wake
    }
    attempt_stop(r);
    (void)attempt_settle(r, TARGET_NEUTRAL, 0);
    clear_deadlines(r);
}

// A provider of another dialect that did not count: the prompt is at hand.
static bool may_estimate(const struct req *r)
{
    return r->route.endpoint == DIALECT_COUNT_TOKENS && r->best.present &&
           r->fail.code == REPLY_NONE && !r->head_sent && r->xlate != NULL && r->xlate->has_request;
}

// Woken by httpd: the client's body is in. An answer to a client that still sends may be lost, so
// it is read first.
enum req_next req_step_reply_error(struct req *r)
{
    if (!r->ready && !r->ending && r->q != NULL && !req_is_due(r, REQ_DUE_TOTAL)) {
        return REQ_WAIT;
    }
    stop_work(r);
    if (!r->answered && !(may_estimate(r) && req_count_here(r))) {
        reply_failure(r);
    }
    return req_set_step(r, REQ_SEND);
}

// Tokens cost money: the provider's connection is closed in the turn in which the client left.
enum req_next req_step_cancel(struct req *r)
{
    if (r->out.live) {
        r->usage = r->out.seen.usage;
    }
    r->status = r->status != 0 ? r->status : CLIENT_CLOSED;
    stop_work(r);
    if (!r->answered && r->q != NULL) {
        httpd_abort(r->q);
        r->answered = true;
    }
    return req_set_step(r, REQ_SEND);
}

// Woken by httpd's on_done, or REQ_DUE_TOTAL (set anew) for a client that does not take its answer.
enum req_next req_step_send(struct req *r)
{
    if (r->done) {
        return req_set_step(r, REQ_ACCOUNT);
    }
    if (!r->sending) {
        r->sending = true;
        clear_deadlines(r);
        req_set_due(r, REQ_DUE_TOTAL, r->now_us + SEND_US);
        return REQ_WAIT;
    }
    if (req_is_due(r, REQ_DUE_TOTAL)) {
        req_set_due(r, REQ_DUE_TOTAL, 0);
        httpd_abort(r->q);
    }
    return REQ_WAIT;
}

// What was used when nobody said so: the prompt by its length, an answer by its events or bytes.
static void estimate_usage(struct req *r)
{
    if (r->usage.known || r->cache == REQ_CACHE_HIT || !r->at.started ||
        r->route.kind == FRONT_RAW) {
        return;
    }
    if (!r->committed && r->fail.code != REPLY_NONE) {
        return; // failed before any content: nothing is charged
    }
    r->usage_estimated = true;
    r->usage.input = dialect_estimate_tokens(r->rq.prompt_bytes);
    r->usage.output = r->out.live ? r->out.events : dialect_estimate_tokens(r->bytes_out);
    r->usage.known = true; // by us
    r->cost = req_cost(r, &r->usage);
    r->usage.known = false;
}

// A stream that was cut after the provider had told what the prompt took (Anthropic does so first):
// what was generated until then is counted by its events, and all of it is paid for.
static void price_cut_stream(struct req *r)
{
    bool cut = r->truncated || (r->gone && !r->sent);

    if (!cut || !r->usage.known || !r->committed || !r->out.live || r->cache == REQ_CACHE_HIT) {
        return;
    }
    if (r->out.events > r->usage.output) {
        r->usage.output = r->out.events;
        r->usage_estimated = true;
    }
    r->cost = req_cost(r, &r->usage);
}

enum req_next req_step_account(struct req *r)
{
    bool refund = !r->committed && r->fail.code != REPLY_NONE;

    refund = refund || (r->best.present && !r->committed);
    estimate_usage(r);
    price_cut_stream(r);
    if (r->admitted) {
        limit_settle(r->w->shared->limits, &r->pass, refund, r->usage.input + r->usage.output,
                     price_nano(r->cost.pico));
    }
    if (r->streaming) {
        metrics_streams(r->w->metrics, -1);
    }
    access_record(r);
    return req_set_step(r, REQ_DONE);
}

enum req_next req_step_done(struct req *r)
{
    (void)r;
    return REQ_END;
}
