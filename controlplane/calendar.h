// SPDX-License-Identifier: Apache-2.0
// Boundaries of calendar windows (day, week from Monday, month) in a time zone. Uses the libc's
// time zone files by way of TZ: only the control loop's thread may call this, and no other thread
// may ask for local time.
#ifndef SLUICE_CONTROLPLANE_CALENDAR_H
#define SLUICE_CONTROLPLANE_CALENDAR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "proto/resource.h"

#define CALENDAR_ZONE_MAX 64u

// "UTC", or a name that the system's time zone files have ("Europe/Berlin"). Reads the disk.
bool calendar_zone_known(struct slice zone);
// Starts of the window before the one that holds `wall_us`, of that one, of the next and of the one
// behind it: three whole windows. zone NULL = UTC; one that is not known counts as UTC.
void calendar_bounds(enum resource_calendar calendar, const char *zone, uint64_t wall_us,
                     uint64_t ret[4]);

#endif
