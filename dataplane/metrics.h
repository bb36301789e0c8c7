// SPDX-License-Identifier: Apache-2.0
// The proxy's metric table and what one worker records into it. The number of series grows with
// routes, providers and models, each bounded, never with keys or users.
#ifndef SLUICE_DATAPLANE_METRICS_H
#define SLUICE_DATAPLANE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/metric.h"
#include "common/base/slice.h"
#include "dataplane/dialect.h"

struct metrics; // one worker's slot with its most used series

// The registry with the whole table; free it with metric_registry_free.
struct metric_registry *metrics_registry_new(void);
// Lives as long as the registry; free the struct with metrics_free.
struct metrics *metrics_new(struct metric_registry *r);
void metrics_free(struct metrics **m);

// A finished request.
struct metrics_sample {
    struct slice route, provider, model, cache; // SLICE_NULL or empty where there is none
    unsigned status;
    bool stream, denied, admitted, truncated;
    bool unasked;       // admitted by on-control-loss
    uint64_t parked_us; // waited so long for a lease; 0: not at all
    uint64_t duration_us, ttft_us, generated_us, overhead_us;
    const struct dialect_usage *usage; // NULL: none was used
    bool priced;
    uint64_t cost_nano; // 1e-9 USD, of a priced one
};
void metrics_request(struct metrics *m, const struct metrics_sample *s);
// An attempt ended: why is a short static text ("answered", "status", "connect failed").
void metrics_attempt(struct metrics *m, struct slice provider, struct slice why, bool ejected);
// Another target was tried; degraded: one the user named as a fallback.
void metrics_fallback(struct metrics *m, bool degraded);
// Streams open, by +1 and -1.
void metrics_streams(struct metrics *m, int delta);
// Once a second: state of the worker.
struct metrics_gauges {
    uint64_t in_flight, connections, upstream_idle, upstream_active, loop_lag_us;
};
void metrics_gauges(struct metrics *m, const struct metrics_gauges *g);
// A worker took over a new configuration; what that kept it running for.
void metrics_config_taken(struct metrics *m, uint64_t us);

// Of the whole process, by the thread that serves the ops port (its own slot).
struct metrics_process {
    uint64_t proxies_live; // as heard last; 0: not known
    uint64_t config_seq, control_seq, config_refused, config_from_file, heard_ago_us, cache_entries,
        cache_bytes, cache_evictions, usage_pending, usage_lost, usage_acked, rss_bytes, body_bytes,
        ready;
};
void metrics_process(struct metrics *m, const struct metrics_process *p);
// The connection to the control planes. verdicts: ENVELOPE_VERDICTS counts of messages, borrowed
// for the call.
struct metrics_link {
    uint64_t connected, syncs, deltas, gaps, divergences, unknown, lease_timeouts;
    const uint64_t *verdicts;
};
void metrics_link(struct metrics *m, const struct metrics_link *l);
void metrics_target(struct metrics *m, struct slice provider, struct slice model, unsigned state);

#endif
