// SPDX-License-Identifier: Apache-2.0
// Who gets what of a finished request:
//
//   access line   every request but healthy probes          log_access (buffered per worker)
//   metrics       every request but probes                  metrics_request
//   usage record  requests that reached a provider or the   link_usage (to the control plane)
//                 cache
#include "dataplane/access.h"

#include "common/base/log.h"
#include "common/base/mono.h"
#include "dataplane/link.h"
#include "dataplane/metrics.h"
#include "dataplane/req_priv.h"

static bool is_probe(const struct req *r)
{
    return r->route.kind == FRONT_LIVE || r->route.kind == FRONT_READY;
}

static const char *code_of(const struct req *r)
{
    if (r->fail.code != REPLY_NONE) {
        return reply_code_text(r->fail.code);
    }
    if (r->best.present && !r->committed) {
        return r->best.reason;
    }
    return r->truncated ? "upstream_error" : "";
}

static const char *outcome_of(const struct req *r)
{
    return r->gone && !r->sent ? "client_gone" : code_of(r);
}

static const char *cache_name(const struct req *r)
{
    static const char *const names[] = {"", "hit", "miss", "bypass"};

    return names[r->cache];
}

static uint64_t span(uint64_t from, uint64_t to)
{
    return from != 0 && to > from ? to - from : 0;
}

static void write_line(const struct req *r)
{
    bool priced = r->cost.known && r->cache != REQ_CACHE_HIT;
    char usd[40];
    const struct log_field f[] = {
        LOG_SLICE("id", r->request_id),
        LOG_SLICE("peer", r->peer),
        LOG_SLICE("method", r->method),
        LOG_SLICE("path", r->path),
        LOG_UINT("status", r->status),
        LOG_SLICE("key", r->principal),
        LOG_SLICE("router", r->router_name),
        LOG_SLICE("model", r->model),
        LOG_SLICE("provider", r->provider.p != NULL ? r->provider : r->best.provider),
        LOG_SLICE("upstream_model",
                  r->answered_model.p != NULL ? r->answered_model : r->best.model),
        LOG_UINT("attempts", r->attempts),
        LOG_STR("outcome", outcome_of(r)),
        LOG_STR("cache", cache_name(r)),
        LOG_BOOL("stream", r->stream),
        LOG_UINT("ttft_us", span(r->began_us, r->first_content_us)),
        LOG_UINT("overhead_us", r->overhead_us),
        LOG_UINT("duration_us", span(r->began_us, r->now_us)),
        LOG_UINT("bytes_out", r->bytes_out),
        LOG_UINT("input_tokens", r->usage.input),
        LOG_UINT("cached_tokens", r->usage.cached),
        LOG_UINT("output_tokens", r->usage.output),
        LOG_BOOL("estimated", r->usage_estimated),
        LOG_STR("cost_usd", priced ? price_format_usd(r->cost.pico, usd) : ""),
        LOG_SLICE("prices_as_of", priced ? r->prices_as_of : SLICE_NULL),
    };

    log_access(f, ARRAY_LEN(f));
}

// What a request keeps for its accounts are arena_dup's copies, which end in a NUL.
static const char *cstr(struct slice s)
{
    return s.n == 0 ? "" : s.p;
}

static void send_usage(struct req *r)
{
    static const uint32_t caches[] = {MESSAGE_CACHE_NONE, MESSAGE_CACHE_HIT, MESSAGE_CACHE_MISS,
                                      MESSAGE_CACHE_BYPASS};
    bool hit = r->cache == REQ_CACHE_HIT;
    struct message_usage_record u = {
        .request_id = cstr(r->request_id),
        .key = cstr(r->key_id),
        .router = cstr(r->router_name),
        .provider = cstr(r->provider.p != NULL ? r->provider : r->best.provider),
        .model = cstr(r->answered_model.p != NULL ? r->answered_model : r->best.model),
        .status = r->status,
        // A hit costs nothing; its tokens are those of the stored answer and are not counted again.
        .input = hit ? 0 : r->usage.input,
        .cached = hit ? 0 : r->usage.cached,
        .output = hit ? 0 : r->usage.output,
        .reasoning = hit ? 0 : r->usage.reasoning,
        .cost = hit ? 0 : price_nano(r->cost.pico),
        .cache = caches[r->cache],
        .latency_us = span(r->began_us, r->now_us),
        .ttft_us = span(r->began_us, r->first_content_us),
        .attempts = r->attempts,
        .interrupted = false,
        .wall_us = loop_wall_us(r->w->loop),
        .team = cstr(r->team),
        .user = cstr(r->user),
        .tags = cstr(r->tags),
        .stream = r->stream,
        .estimated = r->usage_estimated,
        .outcome = outcome_of(r),
    };

    if (r->w->shared->link != NULL) {
        (void)link_finish(r->w->shared->link, r->journal, &u); // a lost one is counted by the link
        r->journal = 0;
    }
}

// What is said of a request that this process does not live to finish: the tokens of the prompt as
// they are estimated, nothing of the answer.
void access_attempt(struct req *r)
{
    const struct route_candidate *c = r->at.cand;
    struct dialect_usage guess = {.known = true,
                                  .input = dialect_estimate_tokens(r->rq.prompt_bytes)};
    struct meter_rates rates = {.now = 0};

    if (r->w->shared->link == NULL) {
        return;
    }
    if (c != NULL) {
        rates = req_rates(r, c);
    }
    const struct message_usage_record u = {
        .request_id = cstr(r->request_id),
        .key = cstr(r->key_id),
        .router = cstr(r->router_name),
        .provider = c != NULL ? c->provider->res->id : r->raw_provider->res->id,
        .model = c != NULL ? arena_strndup(&r->arena, c->model.p, c->model.n) : cstr(r->model),
        .input = guess.input,
        .cost = c != NULL ? price_nano(meter_cost(c->price, &rates, &guess, false).pico) : 0,
        .attempts = r->attempts,
        .wall_us = loop_wall_us(r->w->loop),
        .team = cstr(r->team),
        .user = cstr(r->user),
        .tags = cstr(r->tags),
        .stream = r->stream,
        .outcome = "interrupted",
    };

    r->journal = link_attempt(r->w->shared->link, r->journal, &u);
}

static void count(const struct req *r)
{
    struct metrics_sample s = {
        .route = slice_str(r->route.label),
        .provider = r->provider.p != NULL ? r->provider : r->best.provider,
        .model = r->answered_model.p != NULL ? r->answered_model : r->best.model,
        .status = r->gone && !r->sent ? 499 : r->status,
        .stream = r->stream,
        .cache = slice_str(cache_name(r)),
        .duration_us = span(r->began_us, r->now_us),
        .ttft_us = span(r->began_us, r->first_content_us),
        .generated_us = span(r->first_content_us, r->now_us),
        .overhead_us = r->overhead_us,
        .usage = r->cache == REQ_CACHE_HIT ? NULL : &r->usage,
        .priced = r->cost.known,
        .cost_nano = price_nano(r->cost.pico),
        .unasked = r->pass.open,
        .parked_us = r->pass.parked_us,
        .denied = r->fail.code == REPLY_RATE_LIMITED || r->fail.code == REPLY_BUDGET_EXCEEDED,
        .admitted = r->admitted,
        .truncated = r->truncated,
    };

    metrics_request(r->w->metrics, &s);
}

void access_record(struct req *r)
{
    if (is_probe(r)) {
        return;
    }
    if (log_access_enabled()) {
        write_line(r);
    }
    count(r);
    if (r->at.started || r->attempts > 0 || r->cache == REQ_CACHE_HIT) {
        send_usage(r);
    }
}
