// SPDX-License-Identifier: Apache-2.0
// The proxies' side: each has the limit store of the data plane, a clock of its own, a link that
// delays and loses messages as link.c would see it (one request a turn, given up after 100 ms), and
// requests that wait and are woken as the worker does it. Proxies are killed and come back empty.
#ifndef SLUICE_TESTS_SIM_FLEET_H
#define SLUICE_TESTS_SIM_FLEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "dataplane/limit.h"
#include "dataplane/limit_store.h"
#include "tests/sim/event.h"
#include "tests/sim/plane.h"

struct fleet;

struct fleet_config {
    struct events *events; // borrowed
    struct plane *plane;   // borrowed
    size_t n;              // proxies
    uint64_t seed;
    double loss;           // share of messages that get lost, each way
    uint64_t delay_us;     // one way, at most; one in a hundred takes up to a hundred times as long
    uint64_t kill_each_us; // one proxy is killed every so often; 0: never
};

// A request that a proxy gets now.
struct fleet_request {
    struct limit_query q; // what it points to lives as long as the fleet
    uint64_t used_tokens, used_nano;
    bool refund;      // it fails before its first content
    uint64_t hold_us; // from admission to its end
    void (*on_admitted)(void *arg, const struct fleet_request *r);
    void *arg;
};

struct fleet_stats {
    uint64_t requests, admitted, denied, parked, dropped; // dropped: by a kill
    uint64_t asked;                                       // questions
    uint64_t open;                                        // admitted without an answer
    uint64_t lost, kills;
    uint64_t parked_us_max, parked_us_sum;
};

struct fleet *fleet_new(const struct fleet_config *c);
void fleet_free(struct fleet **f);
void fleet_send(struct fleet *f, size_t proxy, const struct fleet_request *what);
const struct fleet_stats *fleet_stats(const struct fleet *f);

#endif
