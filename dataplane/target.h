// SPDX-License-Identifier: Apache-2.0
// Health of targets (provider, model, provider key, base URL): peak EWMA of the time to first byte,
// requests in flight, passive ejection, 429 cool-downs, remaining quota. Shared by all workers:
// fields are atomics, the table is read without a lock. Time comes as an argument; pure otherwise.
#ifndef SLUICE_DATAPLANE_TARGET_H
#define SLUICE_DATAPLANE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

struct target;
struct target_table;

struct target_config {
    uint64_t default_rtt_us; // 250 ms
    uint64_t decay_us;       // 30 s
    uint64_t ejection_us;    // 30 s, times the number of ejections, at most 300 s
    uint64_t cooldown_us;    // 30 s for a 429 without a time
};

// *c is copied. Free it when no thread is left that uses one of its targets.
struct target_table *target_table_new(const struct target_config *c, size_t max_targets);
void target_table_free(struct target_table **t);
// New values for what happens from now on; what was measured and ejected stays. Any thread.
void target_table_tune(struct target_table *t, const struct target_config *c);

// Finds or creates; lives as long as the table. Past max_targets all unknown ones share one entry.
// Any thread.
struct target *target_get(struct target_table *t, struct slice provider, struct slice model,
                          struct slice key_id, struct slice base_url);

// The same for a model that only the client knows, of which there could be any number: half of the
// table is theirs, what comes later shares the model "*" of its provider and key.
struct target *target_get_unlisted(struct target_table *t, struct slice provider,
                                   struct slice model, struct slice key_id, struct slice base_url);

enum target_status {
    TARGET_OK,
    TARGET_TRIAL, // ejected, time is over: one request may try
    TARGET_EJECTED,
    TARGET_COOLING,       // 429, the provider named the time
    TARGET_COOLING_GUESS, // 429 without a time: never excludes the last target
    TARGET_NO_QUOTA,      // remaining-quota headers say 0: as COOLING
};

enum target_status target_status(const struct target *t, uint64_t now_us);
// When the status may change for the better; 0 if OK.
uint64_t target_until_us(const struct target *t, uint64_t now_us);
// Load for power of two choices: peak EWMA of time to first byte x (in flight + 1).
double target_load(const struct target *t, uint64_t now_us);
uint32_t target_in_flight(const struct target *t);
// 0..1000: share of quota left by the last headers (1000 unknown); steering multiplies the load
// below 100.
uint32_t target_quota_permille(const struct target *t, uint64_t now_us);

enum target_outcome {
    TARGET_SUCCESS,
    TARGET_FAILURE,      // connect failure, timeout, 5xx, 529, cut stream
    TARGET_RATE_LIMITED, // 429
    TARGET_NEUTRAL,      // other 4xx, cancelled by the client
};

// An attempt starts. A target whose ejection is over gives one trial: the attempt that claims it.
// False, and nothing counted: another attempt has it, pick again. insist (nothing else is left):
// goes beside a trial, never false.
MUST_CHECK bool target_begin(struct target *t, uint64_t now_us, bool insist);
// First byte of the answer after ttfb_us.
void target_first_byte(struct target *t, uint64_t now_us, uint64_t ttfb_us);
// cooldown_us: from Retry-After or the reset header, 0 = not timed. Returns true when this ejected
// the target.
bool target_end(struct target *t, uint64_t now_us, enum target_outcome o, uint64_t cooldown_us);
// Remaining-quota headers. remaining 0 with reset_us > 0 = no quota until then.
void target_quota(struct target *t, uint64_t now_us, uint64_t remaining, uint64_t limit,
                  uint64_t reset_us);
// A hint of a control-plane probe: a good one ends an ejection early.
void target_probe(struct target *t, uint64_t now_us, bool good);

// The same for every target of a provider.
void target_probe_provider(struct target_table *t, struct slice provider, uint64_t now_us,
                           bool good);

// For /health/targets, metrics and reports.
struct target_view {
    struct slice provider, model, key_id; // borrowed from the table
    enum target_status status;
    uint64_t ewma_us, until_us;
    uint32_t in_flight, ejections;
    uint64_t successes, failures;
};
void target_each(struct target_table *t, uint64_t now_us,
                 void (*fn)(void *ctx, const struct target_view *v), void *ctx);

#endif
