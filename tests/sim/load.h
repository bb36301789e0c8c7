// SPDX-License-Identifier: Apache-2.0
// Requests of one virtual key: a random stream at a given pace, of which half goes to a few proxies
// that change every few seconds, and the rest to all. What is admitted is told to the watches of
// the limits that apply.
#ifndef SLUICE_TESTS_SIM_LOAD_H
#define SLUICE_TESTS_SIM_LOAD_H

#include <stdint.h>

#include "tests/sim/fleet.h"
#include "tests/sim/watch.h"

#define LOAD_WATCHES_MAX 6u

struct load {
    // Set by the owner; borrowed for the life of the fleet.
    struct fleet *fleet;
    struct events *events;
    size_t n_proxies;
    const struct snapshot *snap;
    const struct resource *router, *key;
    double per_second;
    uint64_t from_us, until_us;
    // In waves: so long at that pace, then so long at this, and so on. 0: steady.
    uint64_t wave_us, ebb_us;
    double ebb_per_second;
    bool every_other_fails; // wave, while the next one is there; what succeeds is as reserved
    uint64_t tokens;        // of a request on average; 0: tokens are of no interest
    struct watch *watches[LOAD_WATCHES_MAX];
    enum resource_unit units[LOAD_WATCHES_MAX];
    size_t n_watches;
    // private
    struct rng rng;
    size_t hot;
    uint64_t hot_until_us;
};

void load_start(struct load *l, uint64_t seed);

#endif
