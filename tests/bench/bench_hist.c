// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/bench_hist.h"

#include <string.h>

// Values below SUB have a bucket each; above, the 7 bits behind the leading one choose it.
static size_t bucket_of(uint64_t us)
{
    unsigned shift;

    if (us < BENCH_HIST_SUB) {
        return (size_t)us;
    }
    shift = 63u - (unsigned)__builtin_clzll(us) - 7u; // us >> shift is in [SUB, 2 * SUB)
    if (shift > 32) {
        return BENCH_HIST_BUCKETS - 1;
    }
    return (size_t)(shift + 1) * BENCH_HIST_SUB + (size_t)((us >> shift) - BENCH_HIST_SUB);
}

// Largest value of a bucket.
static uint64_t value_of(size_t bucket)
{
    uint64_t shift = bucket / BENCH_HIST_SUB, low = bucket % BENCH_HIST_SUB;

    return shift == 0 ? low : ((BENCH_HIST_SUB + low + 1) << (shift - 1)) - 1;
}

void bench_hist_add(struct bench_hist *h, uint64_t us)
{
    h->buckets[bucket_of(us)]++;
    h->count++;
    h->sum += us;
    h->max = us > h->max ? us : h->max;
}

void bench_hist_reset(struct bench_hist *h)
{
    memset(h, 0, sizeof(*h));
}

uint64_t bench_hist_quantile(const struct bench_hist *h, double share)
{
    uint64_t want = (uint64_t)((double)h->count * share), seen = 0;

    for (size_t i = 0; i < BENCH_HIST_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > want || (seen == h->count && seen > 0)) {
            return value_of(i) < h->max ? value_of(i) : h->max;
        }
    }
    return 0;
}

void bench_hist_json(const struct bench_hist *h, struct buf *out)
{
    buf_printf(out, "{\"count\":%lu,\"mean\":%lu,\"p50\":%lu,\"p90\":%lu,", h->count,
               h->count == 0 ? 0 : h->sum / h->count, bench_hist_quantile(h, 0.5),
               bench_hist_quantile(h, 0.9));
    buf_printf(out, "\"p99\":%lu,\"p999\":%lu,\"max\":%lu}", bench_hist_quantile(h, 0.99),
               bench_hist_quantile(h, 0.999), h->max);
}
