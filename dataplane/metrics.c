// SPDX-License-Identifier: Apache-2.0
// One table, two columns of names: OpenTelemetry's GenAI conventions as Prometheus spells them
// (gen_ai_*), and our own (sluice_*).
#include "dataplane/metrics.h"

#include "common/base/cdefs.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "proto/envelope.h"

#define SERIES_MAX 1000u // of one family and slot; further ones are "other"

// Seconds (recorded in us). 10 us to 100 ms for our own time, up to 10 minutes for providers'.
static const double overhead_bounds[] = {10e-6,  25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3,
                                         2.5e-3, 5e-3,  10e-3, 25e-3,  50e-3,  100e-3, 0};
static const double duration_bounds[] = {0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56,
                                         5.12, 10,   20,   40,   80,   300,  600,  0};
// The conventions' advice for this one.
static const double per_token_bounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                          0.3,  0.4,   0.5,  0.75,  1.0, 2.5,  0};
static const double token_bounds[] = {1,    4,     16,    64,     256,     1024,
                                      4096, 16384, 65536, 262144, 1048576, 0};

enum {
    M_REQUESTS,
    M_DURATION,
    M_TTFT,
    M_PER_TOKEN,
    M_TOKENS,
    M_COST,
    M_UNPRICED,
    M_OVERHEAD,
    M_ATTEMPTS,
    M_FALLBACKS,
    M_EJECTIONS,
    M_CACHE,
    M_LIMITS,
    M_PARKED,
    M_TRUNCATED,
    M_STREAMS,
    M_IN_FLIGHT,
    M_CONNECTIONS,
    M_UPSTREAM,
    M_LOOP_LAG,
    M_CONFIG_TAKEN,
    M_CONFIG_SEQ,
    M_CONFIG_LAG,
    M_CONFIG_REFUSED,
    M_CONFIG_FROM_FILE,
    M_CONTROL_HEARD,
    M_PROXIES_LIVE,
    M_CACHE_ENTRIES,
    M_CACHE_BYTES,
    M_CACHE_EVICTIONS,
    M_USAGE_PENDING,
    M_USAGE_LOST,
    M_USAGE_ACKED,
    M_LINK_CONNECTED,
    M_LINK_SYNCS,
    M_LINK_DELTAS,
    M_LINK_GAPS,
    M_LINK_DIVERGED,
    M_LINK_REFUSED,
    M_LINK_UNKNOWN,
    M_LINK_LEASE_TIMEOUTS,
    M_RSS,
    M_BODY_BYTES,
    M_READY,
    M_TARGET_STATE,
    M_COUNT
};

static const struct metric_def defs[M_COUNT] = {
    [M_REQUESTS] = {"sluice_requests_total", METRIC_COUNTER, "route,provider,model,status", NULL,
                    "Requests answered.", 0},
    [M_DURATION] = {"gen_ai_client_operation_duration_seconds", METRIC_HISTOGRAM,
                    "gen_ai_operation_name,gen_ai_provider_name", duration_bounds,
                    "Time from a request's first byte to the end of its answer.", 1e-6},
    [M_TTFT] = {"gen_ai_server_time_to_first_token_seconds", METRIC_HISTOGRAM,
                "gen_ai_provider_name", duration_bounds,
                "Time from a request's first byte to the first content of a streamed answer.",
                1e-6},
    [M_PER_TOKEN] = {"gen_ai_server_time_per_output_token_seconds", METRIC_HISTOGRAM,
                     "gen_ai_provider_name", per_token_bounds,
                     "Time per output token after the first, of streamed answers.", 1e-6},
    [M_TOKENS] = {"gen_ai_client_token_usage", METRIC_HISTOGRAM,
                  "gen_ai_provider_name,gen_ai_token_type", token_bounds,
                  "Tokens used by a request.", 0},
    [M_COST] = {"sluice_cost_usd_total", METRIC_COUNTER, "provider", NULL,
                "What requests cost by the catalogue's prices or the provider's own word.", 1e-9},
    [M_UNPRICED] = {"sluice_unpriced_total", METRIC_COUNTER, "provider", NULL,
                    "Requests that used tokens whose price is not known.", 0},
    [M_OVERHEAD] = {"sluice_overhead_seconds", METRIC_HISTOGRAM, "", overhead_bounds,
                    "Our own part of a request's time: request read to upstream head written, plus "
                    "the provider's first needed byte to client head queued.",
                    1e-6},
    [M_ATTEMPTS] = {"sluice_attempts_total", METRIC_COUNTER, "provider,result", NULL,
                    "Attempts at providers, by how they ended.", 0},
    [M_FALLBACKS] = {"sluice_fallbacks_total", METRIC_COUNTER, "kind", NULL,
                     "Attempts after the first: at an equal target or at a degraded one.", 0},
    [M_EJECTIONS] = {"sluice_ejections_total", METRIC_COUNTER, "provider", NULL,
                     "Targets ejected for failures.", 0},
    [M_CACHE] = {"sluice_cache_requests_total", METRIC_COUNTER, "result", NULL,
                 "Requests by what the response cache did.", 0},
    [M_LIMITS] = {"sluice_limit_decisions_total", METRIC_COUNTER, "decision", NULL,
                  "Requests admitted (`admitted_unasked`: by on-control-loss) or denied by limits.",
                  0},
    [M_PARKED] = {"sluice_limit_parked_seconds", METRIC_HISTOGRAM, "", overhead_bounds,
                  "Time requests waited for a lease, of those that had to wait at all.", 1e-6},
    [M_TRUNCATED] = {"sluice_truncated_total", METRIC_COUNTER, "provider", NULL,
                     "Answers cut by the provider after content had been relayed.", 0},
    [M_STREAMS] = {"sluice_streams_open", METRIC_GAUGE, "", NULL, "Streams being relayed.", 0},
    [M_IN_FLIGHT] = {"sluice_requests_in_flight", METRIC_GAUGE, "", NULL, "Requests being served.",
                     0},
    [M_CONNECTIONS] = {"sluice_client_connections", METRIC_GAUGE, "", NULL,
                       "Client connections open.", 0},
    [M_UPSTREAM] = {"sluice_upstream_connections", METRIC_GAUGE, "state", NULL,
                    "Connections to providers.", 0},
    [M_LOOP_LAG] = {"sluice_loop_lag_seconds", METRIC_HISTOGRAM, "", overhead_bounds,
                    "Longest turn of a worker's loop in each second.", 1e-6},
    [M_CONFIG_TAKEN] = {"sluice_config_taken_seconds", METRIC_HISTOGRAM, "", overhead_bounds,
                        "CPU time a worker took to change to a new configuration.", 1e-6},
    [M_CONFIG_SEQ] = {"sluice_config_seq", METRIC_GAUGE, "", NULL,
                      "Sequence number of the configuration in force.", 0},
    [M_CONFIG_LAG] = {"sluice_config_lag", METRIC_GAUGE, "", NULL,
                      "Changes the control plane announced that are not in force yet.", 0},
    [M_CONFIG_REFUSED] =
        {"sluice_config_refused", METRIC_GAUGE, "", NULL,
         "Resources of the configuration that this version cannot use: what they were before is served.",
         0},
    [M_CONFIG_FROM_FILE] =
        {"sluice_config_from_file", METRIC_GAUGE, "", NULL,
         "1 while the configuration in force is the last known good one from the data directory.",
         0},
    [M_PROXIES_LIVE] =
        {"sluice_proxies_live", METRIC_GAUGE, "", NULL,
         "Proxies that share the limits, as the control plane said last; 0: not known.", 0},
    [M_CONTROL_HEARD] = {"sluice_control_heard_seconds", METRIC_GAUGE, "", NULL,
                         "Time since the control plane was last heard.", 1e-6},
    [M_CACHE_ENTRIES] = {"sluice_cache_entries", METRIC_GAUGE, "", NULL, "Answers stored.", 0},
    [M_CACHE_BYTES] = {"sluice_cache_bytes", METRIC_GAUGE, "", NULL, "Bytes of answers stored.", 0},
    [M_CACHE_EVICTIONS] = {"sluice_cache_evictions", METRIC_GAUGE, "", NULL,
                           "Answers put out for room since start.", 0},
    [M_USAGE_PENDING] = {"sluice_usage_pending", METRIC_GAUGE, "", NULL,
                         "Usage records not yet acknowledged by the control plane.", 0},
    [M_USAGE_LOST] = {"sluice_usage_lost", METRIC_GAUGE, "", NULL,
                      "Usage records lost since start because the queue was full.", 0},
    [M_USAGE_ACKED] = {"sluice_usage_acked_total", METRIC_COUNTER, "", NULL,
                       "Usage records that the control plane has acknowledged since start.", 0},
    [M_LINK_CONNECTED] = {"sluice_link_connected", METRIC_GAUGE, "", NULL,
                          "1 while some control plane is alive.", 0},
    [M_LINK_SYNCS] = {"sluice_link_snapshots_total", METRIC_COUNTER, "", NULL,
                      "Whole states fetched from a control plane.", 0},
    [M_LINK_DELTAS] = {"sluice_link_deltas_total", METRIC_COUNTER, "", NULL,
                       "Changes from a control plane that were taken over.", 0},
    [M_LINK_GAPS] =
        {"sluice_link_gaps_total", METRIC_COUNTER, "", NULL,
         "Messages that told of a change beyond the next one: what is between was missing.", 0},
    [M_LINK_DIVERGED] = {"sluice_link_divergences_total", METRIC_COUNTER, "", NULL,
                         "Heartbeats whose digest showed another content at our sequence.", 0},
    [M_LINK_REFUSED] = {"sluice_link_messages_refused_total", METRIC_COUNTER, "reason", NULL,
                        "Messages from control planes that were not believed (old: the other "
                        "replica was faster).",
                        0},
    [M_LINK_UNKNOWN] = {"sluice_link_messages_unknown_total", METRIC_COUNTER, "", NULL,
                        "Messages of a type that only later versions know, ignored.", 0},
    [M_LINK_LEASE_TIMEOUTS] = {"sluice_link_lease_timeouts_total", METRIC_COUNTER, "", NULL,
                               "Requests for leases that had no answer in time.", 0},
    [M_RSS] = {"sluice_resident_bytes", METRIC_GAUGE, "", NULL, "Resident memory.", 0},
    [M_BODY_BYTES] = {"sluice_body_bytes", METRIC_GAUGE, "", NULL, "Request bodies being held.", 0},
    [M_READY] = {"sluice_ready", METRIC_GAUGE, "", NULL, "1 when the proxy takes requests.", 0},
    [M_TARGET_STATE] = {"sluice_target_state", METRIC_GAUGE, "provider,model", NULL,
                        "0 ok, 1 half-open, 2 ejected, 3 cooling, 4 cooling by guess, 5 no quota.",
                        0},
};

struct metrics {
    struct metric_slot *slot; // lives as long as the registry
    // Series without labels, looked up once.
    struct metric_series *overhead, *streams, *in_flight, *connections, *lag, *taken, *idle,
        *active;
};

struct metric_registry *metrics_registry_new(void)
{
    return metric_registry_new(defs, M_COUNT, SERIES_MAX);
}

static struct metric_series *one(struct metrics *m, size_t def, struct slice a)
{
    return metric_series(m->slot, def, &a);
}

struct metrics *metrics_new(struct metric_registry *r)
{
    struct metrics *m = mem_zalloc(sizeof(*m));

    m->slot = metric_slot_new(r);
    m->overhead = metric_series(m->slot, M_OVERHEAD, NULL);
    m->streams = metric_series(m->slot, M_STREAMS, NULL);
    m->in_flight = metric_series(m->slot, M_IN_FLIGHT, NULL);
    m->connections = metric_series(m->slot, M_CONNECTIONS, NULL);
    m->lag = metric_series(m->slot, M_LOOP_LAG, NULL);
    m->taken = metric_series(m->slot, M_CONFIG_TAKEN, NULL);
    m->idle = one(m, M_UPSTREAM, SLICE("idle"));
    m->active = one(m, M_UPSTREAM, SLICE("active"));
    return m;
}

void metrics_free(struct metrics **m)
{
    mem_free(*m);
    *m = NULL;
}

static struct slice or_none(struct slice s)
{
    return s.n == 0 ? SLICE("none") : s;
}

static void count_tokens(struct metrics *m, struct slice provider, const struct dialect_usage *u)
{
    const struct slice in[] = {provider, SLICE("input")}, out[] = {provider, SLICE("output")};

    if (u->input > 0) {
        metric_observe(metric_series(m->slot, M_TOKENS, in), u->input);
    }
    if (u->output > 0) {
        metric_observe(metric_series(m->slot, M_TOKENS, out), u->output);
    }
}

void metrics_request(struct metrics *m, const struct metrics_sample *s)
{
    char digits[20];
    struct slice provider = or_none(s->provider);
    const struct slice labels[] = {s->route, provider, or_none(s->model),
                                   text_format_u64(s->status, digits)};
    const struct slice op[] = {s->route, provider};

    metric_add(metric_series(m->slot, M_REQUESTS, labels), 1);
    metric_observe(metric_series(m->slot, M_DURATION, op), s->duration_us);
    if (s->overhead_us > 0) {
        metric_observe(m->overhead, s->overhead_us);
    }
    if (s->cache.n > 0) {
        metric_add(one(m, M_CACHE, s->cache), 1);
    }
    if (s->admitted || s->denied) {
        struct slice admitted = s->unasked ? SLICE("admitted_unasked") : SLICE("admitted");

        metric_add(one(m, M_LIMITS, s->denied ? SLICE("denied") : admitted), 1);
    }
    if (s->parked_us > 0) {
        metric_observe(metric_series(m->slot, M_PARKED, NULL), s->parked_us);
    }
    if (s->truncated) {
        metric_add(one(m, M_TRUNCATED, provider), 1);
    }
    if (s->stream && s->ttft_us > 0) {
        metric_observe(one(m, M_TTFT, provider), s->ttft_us);
    }
    if (s->usage != NULL) {
        count_tokens(m, provider, s->usage);
        if (s->priced) {
            metric_add(one(m, M_COST, provider), (int64_t)s->cost_nano);
        } else if (s->usage->input + s->usage->output > 0) {
            metric_add(one(m, M_UNPRICED, provider), 1);
        }
        if (s->stream && s->usage->output > 1 && s->ttft_us > 0) {
            metric_observe(one(m, M_PER_TOKEN, provider), s->generated_us / (s->usage->output - 1));
        }
    }
}

void metrics_attempt(struct metrics *m, struct slice provider, struct slice why, bool ejected)
{
    const struct slice labels[] = {or_none(provider), why};

    metric_add(metric_series(m->slot, M_ATTEMPTS, labels), 1);
    if (ejected) {
        metric_add(one(m, M_EJECTIONS, or_none(provider)), 1);
    }
}

void metrics_fallback(struct metrics *m, bool degraded)
{
    metric_add(one(m, M_FALLBACKS, degraded ? SLICE("degraded") : SLICE("equal")), 1);
}

void metrics_streams(struct metrics *m, int delta)
{
    metric_add(m->streams, delta);
}

void metrics_gauges(struct metrics *m, const struct metrics_gauges *g)
{
    metric_set(m->in_flight, (int64_t)g->in_flight);
    metric_set(m->connections, (int64_t)g->connections);
    metric_set(m->idle, (int64_t)g->upstream_idle);
    metric_set(m->active, (int64_t)g->upstream_active);
    metric_observe(m->lag, g->loop_lag_us);
}

void metrics_config_taken(struct metrics *m, uint64_t us)
{
    metric_observe(m->taken, us);
}

static void set(struct metrics *m, size_t def, uint64_t value)
{
    metric_set(metric_series(m->slot, def, NULL), (int64_t)value);
}

void metrics_process(struct metrics *m, const struct metrics_process *p)
{
    set(m, M_CONFIG_SEQ, p->config_seq);
    set(m, M_CONFIG_LAG, p->control_seq > p->config_seq ? p->control_seq - p->config_seq : 0);
    set(m, M_CONFIG_REFUSED, p->config_refused);
    set(m, M_CONFIG_FROM_FILE, p->config_from_file);
    set(m, M_CONTROL_HEARD, p->heard_ago_us);
    set(m, M_PROXIES_LIVE, p->proxies_live);
    set(m, M_CACHE_ENTRIES, p->cache_entries);
    set(m, M_CACHE_BYTES, p->cache_bytes);
    set(m, M_CACHE_EVICTIONS, p->cache_evictions);
    set(m, M_USAGE_PENDING, p->usage_pending);
    set(m, M_USAGE_LOST, p->usage_lost);
    set(m, M_USAGE_ACKED, p->usage_acked);
    set(m, M_RSS, p->rss_bytes);
    set(m, M_BODY_BYTES, p->body_bytes);
    set(m, M_READY, p->ready);
}

void metrics_link(struct metrics *m, const struct metrics_link *l)
{
    set(m, M_LINK_CONNECTED, l->connected);
    set(m, M_LINK_SYNCS, l->syncs);
    set(m, M_LINK_DELTAS, l->deltas);
    set(m, M_LINK_GAPS, l->gaps);
    set(m, M_LINK_DIVERGED, l->divergences);
    set(m, M_LINK_UNKNOWN, l->unknown);
    set(m, M_LINK_LEASE_TIMEOUTS, l->lease_timeouts);
    for (unsigned v = 1; v < ENVELOPE_VERDICTS; v++) {
        struct slice reason = slice_str(envelope_verdict_name((enum envelope_verdict)v));

        metric_set(metric_series(m->slot, M_LINK_REFUSED, &reason), (int64_t)l->verdicts[v]);
    }
}

void metrics_target(struct metrics *m, struct slice provider, struct slice model, unsigned state)
{
    const struct slice labels[] = {provider, model};

    metric_set(metric_series(m->slot, M_TARGET_STATE, labels), state);
}
