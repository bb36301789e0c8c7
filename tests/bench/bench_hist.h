// SPDX-License-Identifier: Apache-2.0
// Log-linear histogram of microseconds: 128 buckets per power of two, so within 1 %.
#ifndef SLUICE_BENCH_HIST_H
#define SLUICE_BENCH_HIST_H

#include <stdint.h>

#include "common/base/buf.h"

#define BENCH_HIST_SUB     128u
#define BENCH_HIST_BUCKETS (BENCH_HIST_SUB * 34u) // up to 2^40 us

struct bench_hist {
    uint64_t buckets[BENCH_HIST_BUCKETS];
    uint64_t count, sum, max;
};

void bench_hist_add(struct bench_hist *h, uint64_t us);
void bench_hist_reset(struct bench_hist *h);
// Smallest value that `share` (0..1) of the samples do not exceed; 0 when empty.
uint64_t bench_hist_quantile(const struct bench_hist *h, double share);
// {"count":N,"mean":N,"p50":N,"p90":N,"p99":N,"p999":N,"max":N}
void bench_hist_json(const struct bench_hist *h, struct buf *out);

#endif
