// SPDX-License-Identifier: Apache-2.0
// A supervised child process of `sluice up`: started, restarted when it dies (100 ms, doubling to 5
// s), told to stop. Loop thread only.
#ifndef SLUICE_CLI_CHILD_H
#define SLUICE_CLI_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/io/loop.h"

#define CHILD_ARGS_MAX 48u

// Embedded; child_init before use. Strings live in the arena given to child_init.
struct child {
    const char *name; // "redis", "control", "proxy", "mock"
    const char *argv[CHILD_ARGS_MAX + 1];
    size_t n_args;
    const char *const *env;               // borrowed: NULL-ended additions, or NULL
    bool (*passes)(const char *variable); // which of our variables it gets; NULL: all
    const char *pid_file;
    const char *json_file; // its ready file; removed before each start
    pid_t pid;             // 0 = not running
    bool supervised;       // restarted when it dies
    uint64_t started_us, backoff_us;
    struct loop *loop;
    struct loop_timer restart;
};

// name and run_dir are borrowed for the life of *c; RUN_DIR/NAME.pid and NAME.json are its files.
void child_init(struct child *c, struct loop *l, struct arena *a, const char *name,
                const char *run_dir);
// Appends arguments, borrowed; the first is the program. More than CHILD_ARGS_MAX: dies.
void child_arg(struct child *c, const char *arg);
void child_arg2(struct child *c, const char *option, const char *value);
// Starts it. False: it could not be started (not what it does then).
MUST_CHECK bool child_start(struct child *c, struct err *e);
// It has ended (from proc_reap). Schedules the restart when supervised.
void child_ended(struct child *c, int status);
// No restart any more; the signal if it runs.
void child_stop(struct child *c, int signo);
// Its ready file is there.
bool child_is_ready(const struct child *c);

#endif
