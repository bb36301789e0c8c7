// SPDX-License-Identifier: Apache-2.0
// What the files of `sluice up` share: up.c starts, watches and stops the children, up_children.c
// knows their command lines, up_ready.c reads what they say when they are ready and prints it.
// Main thread.
#ifndef SLUICE_CLI_UP_PRIV_H
#define SLUICE_CLI_UP_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/child.h"
#include "cli/options.h"
#include "common/base/arena.h"
#include "common/io/loop.h"
#include "common/io/proc.h"

enum up_step { UP_MOCK, UP_REDIS, UP_CONTROL, UP_PROXY, UP_COUNT };

// One for the process. Texts are in the arena.
struct up {
    struct options opt;
    struct arena arena;
    struct loop *loop;
    struct proc_signals *signals;
    const char *data, *run; // directories
    struct child children[UP_COUNT];
    bool wanted[UP_COUNT];
    int step; // being started; UP_COUNT = running
    bool stopping;
    bool demo;
    bool locked; // callers need a key
    bool tls;    // the proxy serves HTTPS
    int exit_code;
    struct loop_timer poll, deadline;
    const char *control_env[2]; // where the demo's mock is
    int lock;
};

// "mock", "redis", ...
extern const char *const up_step_names[UP_COUNT];
// DIR/NAME, in the arena.
const char *up_path(struct up *u, const char *dir, const char *name);

// --- up_children.c -------------------------------------------------------------------------------

// Sets up all children, with their command lines and what they see of the environment.
void up_children_build(struct up *u);
// Asks the control plane's own reader of configuration: 0 = some provider has a key, 1 = none has,
// 2 = the configuration is wrong (it said why), -1 = it could not be asked. Waits for it.
int up_children_check_keys(struct up *u);

// --- up_ready.c ----------------------------------------------------------------------------------

// Is this child ready: its ready file is there, or Redis answers?
bool up_ready(struct up *u, int step);
// A number from a child's ready file; 0 when it is not there. "ports" of the mock: the first.
int64_t up_ready_number(const struct child *c, const char *name);
// The same for a flag.
bool up_ready_flag(const struct child *c, const char *name);
// Tells a person where everything is, and a line to try it. Asks the proxy for its models.
void up_ready_print(struct up *u, int64_t port, int64_t admin_port);

#endif
