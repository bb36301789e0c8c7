// SPDX-License-Identifier: Apache-2.0
// Which failures go on to another target, when, and how often: classification of outcomes, retry
// budget (20 % of traffic, per worker), full-jitter back-off. Pure.
#ifndef SLUICE_DATAPLANE_RETRY_H
#define SLUICE_DATAPLANE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "dataplane/target.h"

enum retry_failure {
    RETRY_CONNECT, // network: nothing was answered
    RETRY_BROKEN,  // reset before the head, protocol error
    RETRY_TIMEOUT, // connect, first byte, idle, hold
    RETRY_STATUS,  // an HTTP status
    RETRY_STREAM,  // error event, cut or stall before first content, encoded or non-SSE answer
};

struct retry_verdict {
    bool next_target;            // may go to another target
    bool same_target_ok;         // may also be tried again on the same one
    enum target_outcome outcome; // what to tell target_end
    uint8_t rank; // when every target failed, the error of the lowest rank is reported
};

// status: what was answered (RETRY_STATUS), what an error event stands for (RETRY_STREAM, 0: none),
// else ignored.
struct retry_verdict retry_classify(enum retry_failure f, unsigned status);

// Token bucket: each request adds 0.2, each retry takes 1; starts with 10, at most 100.
struct retry_budget {
    double tokens;
};
void retry_budget_init(struct retry_budget *b);
void retry_budget_request(struct retry_budget *b);
bool retry_budget_take(struct retry_budget *b);
// Full jitter: uniform in [0, min(cap 1 s, 25 ms << n)]; for the n-th repeat on the same target.
// Another target: no delay.
uint64_t retry_backoff_us(unsigned n, struct rng *rng);

#endif
