// SPDX-License-Identifier: Apache-2.0
// Clocks. Logic takes "now" as an argument; only the loop and main call these.
#ifndef SLUICE_BASE_MONO_H
#define SLUICE_BASE_MONO_H

#include <stdint.h>

#define MONO_MS  ((uint64_t)1000)
#define MONO_SEC ((uint64_t)1000000)

// CLOCK_MONOTONIC in microseconds; never 0.
uint64_t mono_now_us(void);
// Time that the calling thread has run, microseconds: what was taken from it by others is not in
// it. A system call; not for each request.
uint64_t mono_thread_cpu_us(void);
// CLOCK_REALTIME, microseconds since the epoch.
uint64_t mono_wall_us(void);

#endif
