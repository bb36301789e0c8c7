// SPDX-License-Identifier: Apache-2.0
// Usage of requests, counted exactly once: numbered reports of the proxies are applied by one
// script (lua/usage.lua) to aggregates by hour and by day and to a capped stream of recent
// requests. Loop thread only.
//
//   {sluice}:usage:h:2026112520:key   hash: "<value>\x1f<metric>" -> sum      (d:20261125:key by
//   day)
#ifndef SLUICE_CONTROLPLANE_USAGE_H
#define SLUICE_CONTROLPLANE_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/io/loop.h"
#include "controlplane/meters.h"
#include "controlplane/store.h"
#include "proto/message.h"

#define USAGE_SEPARATOR '\x1f'
#define USAGE_JOINT     '\x1e' // between the parts of a value of the cube

enum usage_metric {
    USAGE_REQUESTS,
    USAGE_ERRORS, // status 400 and above
    USAGE_INTERRUPTED,
    USAGE_CACHE_HITS,
    USAGE_INPUT, // tokens
    USAGE_CACHED,
    USAGE_OUTPUT,
    USAGE_REASONING,
    USAGE_COST, // nano-USD
    USAGE_ATTEMPTS,
};
#define USAGE_METRICS 10

// What can be grouped by; "total" is everything.
#define USAGE_DIMENSIONS 8
extern const char *const usage_dimensions[USAGE_DIMENSIONS];
// Everything by all dimensions at once: "{sluice}:usage:h:2026112520:cube"; a value has the parts
// usage_dimensions[1..7], the last one being all tags with commas. For grouping by several.
#define USAGE_CUBE "cube"
extern const char *const usage_metrics[USAGE_METRICS];

struct usage;

struct usage *usage_new(struct loop *l, struct store *s, struct meters *m);
// After the store was freed.
void usage_free(struct usage **u);

// ok: last is the number of the last report applied. Not ok: Redis did not answer; the proxy sends
// again. Called once, never from inside usage_report.
typedef void (*usage_fn)(void *arg, bool ok, uint64_t last);
void usage_report(struct usage *u, const struct message_usage_report *r, usage_fn fn, void *arg);

// "{sluice}:usage:h:2026112520:key"; out holds 64 bytes.
const char *usage_name(bool day, uint64_t wall_us, const char *dimension, char out[64]);

#endif
