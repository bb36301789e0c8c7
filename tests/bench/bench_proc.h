// SPDX-License-Identifier: Apache-2.0
// CPU time and memory of the processes under test, from /proc.
#ifndef SLUICE_BENCH_PROC_H
#define SLUICE_BENCH_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"

struct bench_proc {
    uint64_t user_us, system_us; // since its start, all threads; in steps of 10 ms
    uint64_t rss_kb;
};

// False: no such process.
MUST_CHECK bool bench_proc_sample(pid_t pid, struct bench_proc *ret, struct err *e);

#endif
