// SPDX-License-Identifier: Apache-2.0
// The event loop: epoll watches, a timer wheel, a run queue and an end-of-turn graveyard. One loop
// per thread; every function but loop_stop and loop_wake is for the owner thread only.
//
// A turn, in this order: wait, stamp the clock, dispatch watches, due timers, run queue (until
// empty or 1,024 tasks; leftovers next turn without waiting), serve hooks in order of registration,
// bury. Watches and timers record facts and post tasks; tasks do the work; serve hooks let httpd
// send what the tasks produced, in the same turn.
#ifndef SLUICE_IO_LOOP_H
#define SLUICE_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/list.h"

struct loop;

#define LOOP_READ  0x1u // level-triggered
#define LOOP_WRITE 0x2u
#define LOOP_RDHUP 0x4u // peer closed or half-closed; with LOOP_EDGE usable as the only interest
#define LOOP_EDGE  0x8u
#define LOOP_ERROR 0x10u // only reported: EPOLLERR or EPOLLHUP

// Embedded in its owner; zero-initialise. Owned by the owner, borrowed by the loop while added. An
// event of the same batch for a removed watch is dropped, so a watch may be removed at any time,
// but its memory must be given to loop_bury rather than freed.
struct loop_watch {
    int fd;
    uint32_t events; // what is asked for; 0 = not added
    bool added;
    uint32_t slot; // private: index in the loop's table
    void (*fn)(struct loop_watch *w, uint32_t events);
};

// Single-shot. Embedded; zero-initialise.
struct loop_timer {
    struct list_node node; // private
    uint64_t due_us;       // absolute; 0 = not set
    uint32_t bucket;       // private
    void (*fn)(struct loop_timer *t);
};

// In the run queue at most once. Embedded; zero-initialise.
struct loop_task {
    struct list_node node; // private
    void (*fn)(struct loop_task *t);
};

// Memory that a pending event may still name: fn(g) frees it at the end of the turn. Embedded.
struct loop_grave {
    struct loop_grave *next; // private
    void (*fn)(struct loop_grave *g);
};

// Called at the end of each turn, after the run queue. Returns true when it has to be called again
// without waiting. next_us: earliest time it wants to be called (absolute), UINT64_MAX = none.
struct loop_hook {
    struct list_node node; // private
    bool (*fn)(struct loop_hook *h, uint64_t *ret_next_us);
};

// NULL on failure (fds exhausted).
MUST_CHECK struct loop *loop_new(struct err *e);
// All watches, timers and hooks must have been removed. Runs the graveyard.
void loop_free(struct loop **l);
// Runs turns until loop_stop.
void loop_run(struct loop *l);
// One turn; waits at most max_wait_us (0: does not wait). For tests and for draining.
void loop_turn(struct loop *l, uint64_t max_wait_us);
// Makes loop_run return after the current turn. Any thread, also signal handlers.
void loop_stop(struct loop *l);
// Makes a waiting loop start its turn now. Any thread.
void loop_wake(struct loop *l);

// Time stamped at the start of this turn (monotonic / wall, microseconds).
uint64_t loop_now_us(const struct loop *l);
uint64_t loop_wall_us(const struct loop *l);
// Longest time between the stamp and the end of a turn since the last call, us ("loop lag").
uint64_t loop_take_lag_us(struct loop *l);

// w->fd and w->fn are set by the caller. False: epoll refused (fd closed or limits).
MUST_CHECK bool loop_watch_add(struct loop *l, struct loop_watch *w, uint32_t events,
                               struct err *e);
// Changes the interest; no system call when it is the same.
void loop_watch_set(struct loop *l, struct loop_watch *w, uint32_t events);
// Idempotent. Call before close(fd).
void loop_watch_remove(struct loop *l, struct loop_watch *w);

// (Re-)arms; a time in the past fires in the next timer phase. Resolution 1 ms, never early.
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t due_us);
// Idempotent.
void loop_timer_cancel(struct loop *l, struct loop_timer *t);

// Idempotent while queued.
void loop_post(struct loop *l, struct loop_task *t);
// Idempotent.
void loop_unpost(struct loop *l, struct loop_task *t);

// g->fn is called at the end of this turn, or by loop_free. Once for each grave.
void loop_bury(struct loop *l, struct loop_grave *g);

// Hooks are called in the order in which they were added; one may remove itself, or others.
void loop_hook_add(struct loop *l, struct loop_hook *h);
void loop_hook_remove(struct loop *l, struct loop_hook *h);

#endif
