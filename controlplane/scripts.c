// SPDX-License-Identifier: Apache-2.0
// The bytes come from controlplane/lua/ by way of cmake/embed.cmake; a NUL stands behind each.
#include "controlplane/scripts.h"

extern const unsigned char scripts_change_lua[], scripts_lease_lua[], scripts_usage_lua[],
    scripts_adopt_lua[], scripts_reseal_lua[];

const struct redis_script scripts_all[SCRIPTS_COUNT] = {
    [SCRIPTS_CHANGE] = {"change", (const char *)scripts_change_lua},
    [SCRIPTS_LEASE] = {"lease", (const char *)scripts_lease_lua},
    [SCRIPTS_USAGE] = {"usage", (const char *)scripts_usage_lua},
    [SCRIPTS_ADOPT] = {"adopt", (const char *)scripts_adopt_lua},
    [SCRIPTS_RESEAL] = {"reseal", (const char *)scripts_reseal_lua},
};
