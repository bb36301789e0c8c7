// SPDX-License-Identifier: Apache-2.0
// Active probes of providers (`health: {probe: models|tcp|off, interval: 15s}`), by one control
// plane at a time (hold.h). What is found is published as hints; a proxy's own view of a target
// wins downwards. Loop thread only.
#ifndef SLUICE_CONTROLPLANE_PROBER_H
#define SLUICE_CONTROLPLANE_PROBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/io/upstream.h"
#include "controlplane/meters.h"
#include "controlplane/store.h"
#include "proto/message.h"

struct prober;

struct prober_config {
    struct loop *loop;
    struct store *store;       // borrowed
    struct upstream *upstream; // borrowed; for `models`
    struct dial_config dial;   // for `tcp`; borrowed for the call
    struct meters *meters;     // borrowed
    // Each result as it comes; borrowed for the call.
    void (*publish)(void *arg, const struct message_probe *probes, size_t n);
    void *arg;
};

MUST_CHECK struct prober *prober_new(const struct prober_config *c, struct err *e);
// Before the store and upstream are freed. *p becomes NULL; NULL allowed.
void prober_free(struct prober **p);

#endif
