// SPDX-License-Identifier: Apache-2.0
// The process and its surroundings: signals, limits, readiness, small files, children. Functions
// that touch the whole process are for main, before threads are started.
#ifndef SLUICE_IO_PROC_H
#define SLUICE_IO_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/loop.h"

struct proc_signals;

// Delivers SIGTERM, SIGINT, SIGHUP and SIGCHLD to the loop: fn(arg, signal) runs in watch dispatch.
// Blocks them in the calling thread, so call it before any thread is started (threads inherit the
// mask). SIGPIPE is ignored from here on. SIGCHLD may stand for several children: call proc_reap
// until it is false.
MUST_CHECK struct proc_signals *proc_signals_new(struct loop *l, void (*fn)(void *arg, int signo),
                                                 void *arg, struct err *e);
// The signals stay blocked. *s becomes NULL; NULL allowed.
void proc_signals_free(struct proc_signals **s);

// Soft limit on open files raised to the hard one; the limit now in force.
uint64_t proc_raise_nofile(void);
// Secrets stay out of core dumps and out of reach of debuggers of the same user.
void proc_harden(void);
// The variables stay (in locked memory, left out of core dumps), but /proc/PID/environ shows their
// names only. For the first line of main: pointers that getenv gave before dangle.
void proc_hide_env(void);
// The same for what an argument says: the n bytes at `at` within argv become '*'.
void proc_hide_arg(char *at, size_t n);
// Cut at 15 bytes. The calling thread.
void proc_name_thread(const char *name);
// The calling thread yields to all others of the machine that want to run (nice 19).
void proc_lower_thread(void);

// "READY=1", "STOPPING=1", "STATUS=..." to the service manager. True without NOTIFY_SOCKET.
bool proc_notify(const char *state);

// Whole file into *out (initialised by the caller, emptied first). ERR_NOT_FOUND, ERR_TOO_LARGE
// over max_bytes or out's ceiling, ERR_IO. Not for pipes.
MUST_CHECK bool proc_read_file(const char *path, size_t max_bytes, struct buf *out, struct err *e);
// Replaces the file at once or not at all, also over a crash (temporary file beside it, fsync,
// rename). The mode is set exactly.
MUST_CHECK bool proc_write_file(const char *path, struct slice data, mode_t mode, struct err *e);
// mkdir -p, new directories 0700. True when it is there already.
MUST_CHECK bool proc_mkdirs(const char *path, struct err *e);
// Exclusive lock on a file (made when absent) for as long as the returned fd is open; -1 with
// ERR_CONFLICT when another process holds it. The caller closes the fd.
MUST_CHECK int proc_lock(const char *path, struct err *e);
// "<directory of the running program>/<name>", owned by the caller (mem_free).
char *proc_sibling(const char *name);

struct proc_child {
    const char *const *argv; // NULL-ended; argv[0] is looked up in PATH when it has no '/'
    const char *const *env;  // NULL-ended "NAME=value" added to or replacing ours; NULL = none
    // Which of our own variables ("NAME=value") it gets; NULL: all.
    bool (*passes)(const char *variable);
    bool own_group;       // the terminal's Ctrl-C does not reach it
    bool die_with_parent; // gets SIGTERM when the calling thread ends, however it ends
};

// Starts a child with our environment (as far as it passes), stdout and stderr, stdin from
// /dev/null and a clean signal mask. Its pid, or -1: also when the program cannot be executed. All
// borrowed for the call.
MUST_CHECK pid_t proc_spawn(const struct proc_child *c, struct err *e);
// One ended child (any), without waiting. False: none. *ret_status as from waitpid(2).
bool proc_reap(pid_t *ret_pid, int *ret_status);
// "exit code 1", "signal 9": for logs. Returns out.
const char *proc_status_text(int status, char out[32]);

#endif
