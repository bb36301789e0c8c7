// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms declared by one table, kept per thread, summed when scraped.
//
// A registry holds families (the table) and slots (one per thread). A series (family + label
// values) is looked up once and then kept by whoever uses it; adding to it is one relaxed atomic on
// memory no other thread writes. The number of series of a family is bounded: past the bound all
// further label values share one series whose labels are all "other".
#ifndef SLUICE_BASE_METRIC_H
#define SLUICE_BASE_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric_def {
    const char *name; // Prometheus name, unit in it
    enum metric_type type;
    const char *labels;   // "route,provider,status" or ""
    const double *bounds; // histogram upper bounds, ascending, ended by 0; borrowed for ever
    const char *help;
    double scale; // value exported = recorded * scale (1e-6: recorded in us, shown in s); 0 = 1
};

struct metric_registry;
struct metric_slot;
struct metric_series;

// defs is borrowed for ever; max_series per family and slot.
struct metric_registry *metric_registry_new(const struct metric_def *defs, size_t n,
                                            size_t max_series);
void metric_registry_free(struct metric_registry **r);
// A slot belongs to the thread that records into it. Freed with the registry.
struct metric_slot *metric_slot_new(struct metric_registry *r);

// def: index in the table; values: one per label, in the table's order, cut at 256 bytes each. The
// series lives as long as the registry. Owner thread of the slot only.
struct metric_series *metric_series(struct metric_slot *s, size_t def, const struct slice *values);
// Counter or gauge. Gauges are summed over slots.
void metric_add(struct metric_series *s, int64_t delta);
void metric_set(struct metric_series *s, int64_t value);
// Histogram; value in the recorded unit.
void metric_observe(struct metric_series *s, uint64_t value);

// Prometheus text format 0.0.4, summed over slots. Any thread.
void metric_render(struct metric_registry *r, struct buf *out);

#endif
