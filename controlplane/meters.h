// SPDX-License-Identifier: Apache-2.0
// Metrics of the control plane (/metrics, names sluice_control_*). Loop thread only.
#ifndef SLUICE_CONTROLPLANE_METERS_H
#define SLUICE_CONTROLPLANE_METERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "controlplane/store.h"
#include "proto/envelope.h"

struct meters;

struct meters *meters_new(void);
void meters_free(struct meters **m);

// An answer of the admin API. route: its pattern, "" = none.
void meters_api(struct meters *m, const char *route, unsigned status);
void meters_commit(struct meters *m, enum store_outcome outcome);
// Questions about limits answered.
void meters_lease(struct meters *m, size_t granted, size_t empty, size_t refused);
// A usage report: applied, repeated (not the next number) or failed; records counted by it.
void meters_usage(struct meters *m, const char *result, size_t records, uint64_t lost);
// A probe of a provider.
void meters_probe(struct meters *m, bool good);
// Redis's clock was off by so much against the caller's.
void meters_clock_jump(struct meters *m);

// Set when scraped.
struct meters_gauges {
    uint64_t seq, proxies_live, bad_records, redis_up, store_current, loop_lag_us;
    uint64_t deltas, snapshots, heartbeats, refusals, bad_messages, unknown_messages;
    uint64_t refused[ENVELOPE_VERDICTS]; // messages of proxies, by why
    uint64_t old_key_records;            // sealed with a master key that is not the first
    uint64_t resources[RESOURCE_KIND_MAX + 1];
};
void meters_render(struct meters *m, const struct meters_gauges *g, struct buf *out);

#endif
