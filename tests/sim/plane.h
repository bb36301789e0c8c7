// SPDX-License-Identifier: Apache-2.0
// The control plane's side: its leases.c and its state, and lua/lease.lua in a Redis of its own,
// all on a clock that the simulation moves. Two things are led here when leases.c is compiled for
// the simulation (CMakeLists.txt), and nothing else is changed:
//
//   redis_eval    -> plane_eval: to a connection whose copy of the script has TIME replaced by the
//                    simulation's clock, and the caller's monotonic clock likewise
//   loop_wall_us  -> plane_wall_us: what calendar windows are worked out from
#ifndef SLUICE_TESTS_SIM_PLANE_H
#define SLUICE_TESTS_SIM_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controlplane/leases.h"
#include "proto/resource.h"

struct plane;

// A private Redis with these resources in it; NULL: it could not be started. clock: virtual time
// (wall clock, us), borrowed for the life of the plane (one at a time).
struct plane *plane_new(const uint64_t *clock, struct resource *const *all, size_t n);
void plane_free(struct plane **p);
// One of two control planes on two machines answers. As leases_ask; the script runs as of now.
void plane_ask(struct plane *p, unsigned which, const struct message_lease_request *r, leases_fn fn,
               void *arg);
// Turns the loop until *done.
void plane_wait(struct plane *p, const bool *done);
// Questions that the script has answered.
uint64_t plane_questions(const struct plane *p);

#endif
