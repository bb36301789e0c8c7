// SPDX-License-Identifier: Apache-2.0
// The clocks (common/base/mono.h) in the hands of a test: time stands until fake_mono_advance. A
// program that includes this defines mono.c's functions, so that the archive's member is not
// linked; one file of a program includes it. With it
//
//   loop_turn(l, 0)                                  fires no timer, however slow the machine
//   fake_mono_advance(MONO_SEC); loop_turn(l, 0)     fires what is due within that second
//   loop_turn(l, 20 * MONO_MS)                       still waits for sockets, in real time
//
// so nothing depends on how long the test was kept from running. A real process or thread on the
// other side is waited for with FAKE_MONO_UNTIL; it has no deadline, ctest has one.
//
// Libraries with a clock of their own (libcurl) want time to pass: after fake_mono_run it does, and
// fake_mono_advance jumps over a deadline that is too far away to come by itself.
#ifndef SLUICE_TESTS_UNIT_FAKE_MONO_H
#define SLUICE_TESTS_UNIT_FAKE_MONO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "common/base/mono.h"
#include "common/io/loop.h"

#define FAKE_MONO_START_US  (1000 * MONO_SEC)
#define FAKE_MONO_WALL_0_US UINT64_C(1750000000000000) // the wall's time when ours was 0

static _Atomic uint64_t fake_mono_moved_us = FAKE_MONO_START_US;
static _Atomic bool fake_mono_runs, fake_mono_wall_is_real;

static inline uint64_t fake_mono_read_us(clockid_t id)
{
    struct timespec ts;

    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * MONO_SEC + (uint64_t)ts.tv_nsec / 1000;
}

// The machine's clock, for measuring what is real.
static inline uint64_t fake_mono_real_us(void)
{
    return fake_mono_read_us(CLOCK_MONOTONIC);
}

uint64_t mono_now_us(void)
{
    return atomic_load(&fake_mono_moved_us) +
           (atomic_load(&fake_mono_runs) ? fake_mono_real_us() : 0);
}

uint64_t mono_thread_cpu_us(void)
{
    return mono_now_us();
}

uint64_t mono_wall_us(void)
{
    return atomic_load(&fake_mono_wall_is_real) ? fake_mono_read_us(CLOCK_REALTIME)
                                                : FAKE_MONO_WALL_0_US + mono_now_us();
}

// Before there is a loop: time passes by itself as well.
static inline void fake_mono_run(void)
{
    atomic_store(&fake_mono_runs, true);
}

// It stands at the machine's time: for threads that wait for a time themselves (condition
// variables).
static inline void fake_mono_begin_now(void)
{
    atomic_store(&fake_mono_moved_us, fake_mono_real_us());
}

// The wall's time is the machine's: for what has to agree with that of a real Redis.
static inline void fake_mono_use_real_wall(void)
{
    atomic_store(&fake_mono_wall_is_real, true);
}

// Any thread.
static inline void fake_mono_advance(uint64_t us)
{
    (void)atomic_fetch_add(&fake_mono_moved_us, us);
}

// A turn that waits up to 20 ms for others, who live in real time. As it waits, time passes: `us`
// in these 20 ms, and never more in one turn, so that the time for which the test itself was
// stopped is not in it.
static inline void fake_mono_turn(struct loop *l, uint64_t us)
{
    uint64_t since_us = fake_mono_real_us(), took_us;

    loop_turn(l, 20 * MONO_MS);
    took_us = fake_mono_real_us() - since_us;
    fake_mono_advance((took_us < 20 * MONO_MS ? took_us : 20 * MONO_MS) * us / (20 * MONO_MS));
}

// Until a real process, thread or socket has done its part. Time goes twenty times as slow as the
// machine's: a deadline of 100 ms is two seconds of silence.
#define FAKE_MONO_UNTIL(loop, cond)                                                                \
    while (!(cond)) {                                                                              \
        fake_mono_turn((loop), MONO_MS);                                                           \
    }

// Until something comes to pass by a timer of the product.
#define FAKE_MONO_LATER(loop, cond)                                                                \
    while (!(cond)) {                                                                              \
        fake_mono_turn((loop), 20 * MONO_MS);                                                      \
    }

#endif
