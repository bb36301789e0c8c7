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
// other side is waited for with FAKE_MONO_UNTIL, which has no deadline: ctest has one.
#ifndef SLUICE_TESTS_UNIT_FAKE_MONO_H
#define SLUICE_TESTS_UNIT_FAKE_MONO_H

#include <stdatomic.h>
#include <stdint.h>

#include "common/base/mono.h"
#include "common/io/loop.h"

#define FAKE_MONO_START_US  (1000 * MONO_SEC)
#define FAKE_MONO_WALL_0_US UINT64_C(1750000000000000) // the wall's time when ours was 0

static _Atomic uint64_t fake_mono_now_us = FAKE_MONO_START_US;

uint64_t mono_now_us(void)
{
    return atomic_load(&fake_mono_now_us);
}

uint64_t mono_thread_cpu_us(void)
{
    return atomic_load(&fake_mono_now_us);
}

uint64_t mono_wall_us(void)
{
    return FAKE_MONO_WALL_0_US + atomic_load(&fake_mono_now_us);
}

// Any thread.
static inline void fake_mono_advance(uint64_t us)
{
    (void)atomic_fetch_add(&fake_mono_now_us, us);
}

// What is due within `us` from now, and what comes of it: the loop goes forward in steps of `step`.
static inline void fake_mono_pass(struct loop *l, uint64_t us, uint64_t step)
{
    for (uint64_t passed = 0; passed < us; passed += step) {
        fake_mono_advance(step < us - passed ? step : us - passed);
        loop_turn(l, 0);
    }
}

// Turns the loop until others, who live in real time, have done their part.
#define FAKE_MONO_UNTIL(loop, cond)                                                                \
    while (!(cond)) {                                                                              \
        loop_turn((loop), 20 * MONO_MS);                                                           \
    }

#endif
