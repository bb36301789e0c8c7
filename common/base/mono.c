// SPDX-License-Identifier: Apache-2.0
// The two clocks, in microseconds.
#include "common/base/mono.h"

#include <time.h>

#include "common/base/check.h"

static uint64_t read_us(clockid_t id)
{
    struct timespec ts;

    CHECK(clock_gettime(id, &ts) == 0);
    return (uint64_t)ts.tv_sec * MONO_SEC + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t mono_now_us(void)
{
    uint64_t now = read_us(CLOCK_MONOTONIC);

    // 0 means "not set" everywhere else.
    return now == 0 ? 1 : now;
}

uint64_t mono_thread_cpu_us(void)
{
    return read_us(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t mono_wall_us(void)
{
    return read_us(CLOCK_REALTIME);
}
