// SPDX-License-Identifier: Apache-2.0
// The Lua scripts (controlplane/lua/), compiled in, in the order in which connections load them.
#ifndef SLUICE_CONTROLPLANE_SCRIPTS_H
#define SLUICE_CONTROLPLANE_SCRIPTS_H

#include "common/io/redis.h"

enum scripts_number { SCRIPTS_CHANGE, SCRIPTS_LEASE, SCRIPTS_USAGE, SCRIPTS_ADOPT, SCRIPTS_RESEAL };

#define SCRIPTS_COUNT 5

extern const struct redis_script scripts_all[SCRIPTS_COUNT];

#endif
