// SPDX-License-Identifier: Apache-2.0
// The ops port: /metrics, /healthz, /readyz, /debug/requests. Served by the main thread, so that a
// scrape takes nothing from a worker but the answer about its requests in flight.
#ifndef SLUICE_DATAPLANE_OPS_H
#define SLUICE_DATAPLANE_OPS_H

#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/io/loop.h"
#include "dataplane/worker.h"

struct ops;

struct ops_config {
    const char *address; // borrowed for the call
    uint16_t port;       // 0: any
    struct worker_shared *shared;
    void (*refresh)(void *arg); // before each scrape: brings the process's gauges up to date
    void *arg;
};

// Listens at once. NULL with *e.
MUST_CHECK struct ops *ops_new(struct loop *l, const struct ops_config *c, struct err *e);
uint16_t ops_port(const struct ops *o);
// After the workers have ended. *o becomes NULL; NULL allowed.
void ops_free(struct ops **o);

#endif
