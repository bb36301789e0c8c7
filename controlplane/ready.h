// SPDX-License-Identifier: Apache-2.0
// Telling whoever started the control plane that it serves: once, in the log, to the ready file and
// to the service manager. Ready is, too, what can get no further without a person (Redis is empty,
// regressed, or has been away for seconds). Loop thread only.
#ifndef SLUICE_CONTROLPLANE_READY_H
#define SLUICE_CONTROLPLANE_READY_H

#include <stdbool.h>
#include <stdint.h>

#include "controlplane/state.h"

// Embedded; zero-initialise, then fill in. All borrowed until the last ready_tell.
struct ready {
    const char *file; // NULL: none
    const char *admin_address;
    uint16_t admin_port;       // as bound
    const char *listen;        // as bound, towards the proxies
    const struct state *state; // its sequence is told
    bool told;                 // to be read
};

// Idempotent. A ready file that cannot be written is logged.
void ready_tell(struct ready *r);

#endif
