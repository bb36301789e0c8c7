// SPDX-License-Identifier: Apache-2.0
// Picks the next candidate of a plan: by strategy among the healthy ones of the lowest tier that
// has any, never excluding the last target for an ejection or an untimed cool-down. Pure: clock and
// randomness are arguments.
#ifndef SLUICE_DATAPLANE_BALANCE_H
#define SLUICE_DATAPLANE_BALANCE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "dataplane/route.h"

struct balance_pick {
    struct route_candidate *candidate; // NULL: none
    bool all_rate_limited;             // when NULL: every one is cooling down for a rate limit
    uint64_t retry_at_us;              // when NULL: the soonest time one comes back (0 unknown)
    bool last_resort; // taken in spite of an ejection or a guessed cool-down: target_begin insists
};

// Does not mark it tried and does not call target_begin.
struct balance_pick balance_next(struct route_plan *p, uint64_t now_us, struct rng *rng);
// Why a candidate would not be picked now: static text for x-sluice-route ("ok", "ejected",
// "cooling", "tried", "no_key", ...).
const char *balance_reason(const struct route_candidate *c, uint64_t now_us);

#endif
