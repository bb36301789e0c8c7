// SPDX-License-Identifier: Apache-2.0
// The event loop. The only file that knows epoll. It owns no sockets and no memory of others: it
// borrows watches, timers, tasks and hooks that are embedded in their owners.
//
// One turn (loop_turn), and why each step precedes the next:
//
//   wait      until a watch, a timer, a hook's time or a wake; not at all while work is left over
//   stamp     one clock for the whole turn, so that everything in it agrees on "now"
//   dispatch  watches: they record facts and post tasks
//   timers    after the watches: an answer that came in time beats its deadline
//   tasks     the work, on all facts of the turn at once
//   hooks     what the tasks produced is sent, one visit per connection group
//   bury      nothing of this turn's batch can name the dead any more
//
// Stale events. An event of the batch carries (slot, generation) of the watch table, not a pointer:
// removing a watch bumps its slot's generation, and later events of the same batch do not match.
//
// Timer wheel. Seven levels of 64 slots, 1 ms at the lowest. A timer due at tick D, seen from the
// wheel's tick T < D, lies on the level of the highest base-64 digit in which D and T differ, in
// the slot of D's digit there:
//
//     level 2   . . . x . . .    T's digits:   T6 .. T2 T1 T0
//     level 1   . x . . x . .    every occupied slot of level k is > Tk, and all digits above k
//     level 0   . . x . . . .    are equal to T's
//
// Hence the lowest set bit of the lowest non-empty level is the next thing to happen: no walk over
// timers, no wrap-around. When T reaches the start of a slot on level k > 0 its timers move down.
#include "common/io/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

#define EVENTS_PER_TURN 256
#define TASKS_PER_TURN  1024
#define SLOW_TURN_US    (50 * MONO_MS)

#define WHEEL_LEVELS 7u
#define WHEEL_BITS   6u
#define WHEEL_SLOTS  (1u << WHEEL_BITS)
#define TICK_MAX     ((UINT64_C(1) << (WHEEL_LEVELS * WHEEL_BITS)) - 1) // 139 years
#define BUCKET_PAST  (WHEEL_LEVELS * WHEEL_SLOTS) // already due: fires in the next timer phase
#define BUCKET_FIRE  (BUCKET_PAST + 1)            // being fired now
#define N_BUCKETS    (BUCKET_FIRE + 1)

#define SLOT_NONE UINT32_MAX
#define WAKE_TAG  UINT64_MAX // epoll tag of the eventfd

struct slot {
    struct loop_watch *w; // borrowed; NULL = free
    uint32_t generation;
    uint32_t next_free; // SLOT_NONE ends the list
};

// Phases of a turn, for the slow-turn line.
enum phase { PHASE_WATCHES, PHASE_TIMERS, PHASE_TASKS, PHASE_HOOKS, PHASE_BURY, N_PHASES };

struct loop {
    int epfd;
    int wakefd;
    atomic_bool stopped; // loop_stop was called
    uint64_t now_us, wall_us;
    uint64_t lag_us; // longest turn since loop_take_lag_us

    struct slot *slots; // owned, grows
    uint32_t n_slots, free_slot;
    size_t n_watches;

    uint64_t tick; // last one processed
    uint64_t occupied[WHEEL_LEVELS];
    struct list buckets[N_BUCKETS];
    size_t n_timers;

    struct list tasks;
    struct list hooks;
    struct list_node *hook_next; // cursor of the walk over hooks, kept valid by loop_hook_remove
    bool hook_again;
    uint64_t hook_next_us;
    struct loop_grave *graves;

    struct epoll_event batch[EVENTS_PER_TURN];
};

// --- life ----------------------------------------------------------------------------------------

struct loop *loop_new(struct err *e)
{
    struct loop *l = mem_zalloc(sizeof *l);
    struct epoll_event wake = {.events = EPOLLIN, .data.u64 = WAKE_TAG};

    l->free_slot = SLOT_NONE;
    l->hook_next_us = UINT64_MAX;
    for (size_t i = 0; i < N_BUCKETS; i++) {
        list_init(&l->buckets[i]);
    }
    list_init(&l->tasks);
    list_init(&l->hooks);
    l->wakefd = -1;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epfd >= 0) {
        l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    if (l->wakefd < 0 || epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->wakefd, &wake) != 0) {
        err_set(e, ERR_IO, "cannot make an event loop: %s", strerror(errno));
        loop_free(&l);
        return NULL;
    }
    l->now_us = mono_now_us();
    l->wall_us = mono_wall_us();
    l->tick = l->now_us / MONO_MS;
    return l;
}

static void bury_all(struct loop *l)
{
    while (l->graves != NULL) {
        struct loop_grave *g = l->graves;

        l->graves = g->next;
        g->fn(g);
    }
}

void loop_free(struct loop **lp)
{
    struct loop *l = *lp;

    *lp = NULL;
    if (l == NULL) {
        return;
    }
    bury_all(l);
    CHECK(l->n_watches == 0);
    CHECK(l->n_timers == 0);
    CHECK(l->hooks.count == 0);
    if (l->wakefd >= 0) {
        (void)close(l->wakefd); // nothing can be done about a failure
    }
    if (l->epfd >= 0) {
        (void)close(l->epfd); // as above
    }
    mem_free(l->slots);
    mem_free(l);
}

// --- watches -------------------------------------------------------------------------------------

static uint32_t to_epoll(uint32_t events)
{
    uint32_t ep = 0;

    ep |= (events & LOOP_READ) ? (uint32_t)EPOLLIN : 0;
    ep |= (events & LOOP_WRITE) ? (uint32_t)EPOLLOUT : 0;
    ep |= (events & LOOP_RDHUP) ? (uint32_t)EPOLLRDHUP : 0;
    // A watch without interest stays registered; the kernel reports errors all the same, and
    // level-triggered ones would spin.
    ep |= ((events & LOOP_EDGE) || ep == 0) ? (uint32_t)EPOLLET : 0;
    return ep;
}

static uint32_t from_epoll(uint32_t ep)
{
    uint32_t events = 0;

    events |= (ep & (uint32_t)EPOLLIN) ? LOOP_READ : 0;
    events |= (ep & (uint32_t)EPOLLOUT) ? LOOP_WRITE : 0;
    events |= (ep & (uint32_t)EPOLLRDHUP) ? LOOP_RDHUP : 0;
    events |= (ep & (uint32_t)(EPOLLERR | EPOLLHUP)) ? LOOP_ERROR : 0;
    return events;
}

static uint64_t tag_of(const struct loop *l, uint32_t slot)
{
    return (uint64_t)l->slots[slot].generation << 32 | slot;
}

static uint32_t slot_take(struct loop *l)
{
    uint32_t s = l->free_slot;

    if (s == SLOT_NONE) {
        uint32_t n = l->n_slots == 0 ? 64 : l->n_slots * 2;

        CHECK(n > l->n_slots && n < SLOT_NONE);
        l->slots = mem_realloc_array(l->slots, n, sizeof *l->slots);
        for (uint32_t i = n; i > l->n_slots; i--) {
            l->slots[i - 1] = (struct slot){.next_free = l->free_slot};
            l->free_slot = i - 1;
        }
        l->n_slots = n;
        s = l->free_slot;
    }
    l->free_slot = l->slots[s].next_free;
    return s;
}

static void slot_give(struct loop *l, uint32_t s)
{
    l->slots[s].w = NULL;
    l->slots[s].generation++;
    l->slots[s].next_free = l->free_slot;
    l->free_slot = s;
}

bool loop_watch_add(struct loop *l, struct loop_watch *w, uint32_t events, struct err *e)
{
    struct epoll_event ev = {.events = to_epoll(events)};

    CHECK(!w->added && w->fn != NULL);
    w->slot = slot_take(l);
    ev.data.u64 = tag_of(l, w->slot);
    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, w->fd, &ev) != 0) {
        int error = errno;

        slot_give(l, w->slot);
        return err_set(e, ERR_IO, "cannot watch fd %d: %s", w->fd, strerror(error));
    }
    l->slots[w->slot].w = w;
    l->n_watches++;
    w->added = true;
    w->events = events;
    return true;
}

void loop_watch_set(struct loop *l, struct loop_watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = to_epoll(events)};

    CHECK(w->added);
    if (w->events == events) {
        return;
    }
    w->events = events;
    ev.data.u64 = tag_of(l, w->slot);
    // MOD of a registered open fd cannot run out of anything.
    CHECK(epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) == 0);
}

void loop_watch_remove(struct loop *l, struct loop_watch *w)
{
    if (!w->added) {
        return;
    }
    CHECK(l->slots[w->slot].w == w);
    // Failure means that the fd was closed before: the kernel has forgotten it then.
    (void)epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
    slot_give(l, w->slot);
    l->n_watches--;
    w->added = false;
    w->events = 0;
}

static void dispatch(struct loop *l, int n)
{
    for (int i = 0; i < n; i++) {
        uint64_t tag = l->batch[i].data.u64;
        uint32_t s = (uint32_t)tag;
        uint64_t wakes;

        if (tag == WAKE_TAG) {
            (void)!read(l->wakefd, &wakes, sizeof wakes); // EAGAIN is impossible and harmless
            continue;
        }
        if (l->slots[s].w == NULL || l->slots[s].generation != (uint32_t)(tag >> 32)) {
            continue; // removed by an earlier event of this batch
        }
        l->slots[s].w->fn(l->slots[s].w, from_epoll(l->batch[i].events));
    }
}

// --- timers --------------------------------------------------------------------------------------

static void bucket_put(struct loop *l, struct loop_timer *t, uint32_t bucket)
{
    t->bucket = bucket;
    list_push_back(&l->buckets[bucket], &t->node);
    if (bucket < BUCKET_PAST) {
        l->occupied[bucket / WHEEL_SLOTS] |= UINT64_C(1) << (bucket % WHEEL_SLOTS);
    }
}

static void bucket_remove(struct loop *l, struct loop_timer *t)
{
    struct list *b = &l->buckets[t->bucket];

    list_remove(b, &t->node);
    if (b->count == 0 && t->bucket < BUCKET_PAST) {
        l->occupied[t->bucket / WHEEL_SLOTS] &= ~(UINT64_C(1) << (t->bucket % WHEEL_SLOTS));
    }
}

// First tick at or after the timer's time: rounding up is what makes it never early.
static uint64_t due_tick(const struct loop_timer *t)
{
    uint64_t tick = t->due_us / MONO_MS + (t->due_us % MONO_MS != 0);

    return tick < TICK_MAX ? tick : TICK_MAX;
}

// Puts a timer where the wheel's tick says; one that is due goes to `past`.
static void wheel_place(struct loop *l, struct loop_timer *t, uint32_t past)
{
    uint64_t tick = due_tick(t);
    uint32_t level;

    if (tick <= l->tick) {
        bucket_put(l, t, past);
        return;
    }
    level = (63u - (uint32_t)__builtin_clzll(tick ^ l->tick)) / WHEEL_BITS;
    bucket_put(l, t, level * WHEEL_SLOTS + (uint32_t)(tick >> (level * WHEEL_BITS)) % WHEEL_SLOTS);
}

// Start tick of the nearest occupied slot and its bucket; UINT64_MAX when there is none.
static uint64_t wheel_next(const struct loop *l, uint32_t *ret_bucket)
{
    for (uint32_t level = 0; level < WHEEL_LEVELS; level++) {
        uint32_t shift = level * WHEEL_BITS, slot;

        if (l->occupied[level] == 0) {
            continue;
        }
        slot = (uint32_t)__builtin_ctzll(l->occupied[level]);
        *ret_bucket = level * WHEEL_SLOTS + slot;
        return (l->tick >> (shift + WHEEL_BITS) << (shift + WHEEL_BITS)) | (uint64_t)slot << shift;
    }
    return UINT64_MAX;
}

static void wheel_advance(struct loop *l, uint64_t target)
{
    uint32_t bucket = 0;

    for (;;) {
        uint64_t start = wheel_next(l, &bucket);
        struct list_node *n;

        if (start > target) {
            break;
        }
        l->tick = start;
        for (n = list_first(&l->buckets[bucket]); n != NULL; n = list_first(&l->buckets[bucket])) {
            struct loop_timer *t = container_of(n, struct loop_timer, node);

            bucket_remove(l, t);
            wheel_place(
                l, t, BUCKET_FIRE); // lower, never here again: this slot's digit is the tick's now
        }
    }
    l->tick = target > l->tick ? target : l->tick;
}

static void fire_timers(struct loop *l)
{
    struct list *past = &l->buckets[BUCKET_PAST], *fire = &l->buckets[BUCKET_FIRE];
    struct list_node *n;

    // Moved first: a timer set by another one for a time in the past waits for the next turn.
    for (n = list_first(past); n != NULL; n = list_first(past)) {
        struct loop_timer *t = container_of(n, struct loop_timer, node);

        bucket_remove(l, t);
        bucket_put(l, t, BUCKET_FIRE);
    }
    wheel_advance(l, l->now_us / MONO_MS);
    for (n = list_first(fire); n != NULL; n = list_first(fire)) {
        struct loop_timer *t = container_of(n, struct loop_timer, node);

        loop_timer_cancel(l, t);
        t->fn(t);
    }
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t due_us)
{
    CHECK(t->fn != NULL);
    loop_timer_cancel(l, t);
    t->due_us = due_us == 0 ? 1 : due_us; // 0 means "not set"
    l->n_timers++;
    wheel_place(l, t, BUCKET_PAST);
}

void loop_timer_cancel(struct loop *l, struct loop_timer *t)
{
    if (t->due_us == 0) {
        return;
    }
    bucket_remove(l, t);
    t->due_us = 0;
    l->n_timers--;
}

// --- tasks, hooks, graves ------------------------------------------------------------------------

void loop_post(struct loop *l, struct loop_task *t)
{
    if (!list_in_one(&t->node)) {
        list_push_back(&l->tasks, &t->node);
    }
}

void loop_unpost(struct loop *l, struct loop_task *t)
{
    if (list_in_one(&t->node)) {
        list_remove(&l->tasks, &t->node);
    }
}

static void run_tasks(struct loop *l)
{
    for (int i = 0; i < TASKS_PER_TURN; i++) {
        struct list_node *n = list_pop_front(&l->tasks);
        struct loop_task *t;

        if (n == NULL) {
            return;
        }
        t = container_of(n, struct loop_task, node);
        t->fn(t);
    }
}

void loop_bury(struct loop *l, struct loop_grave *g)
{
    g->next = l->graves;
    l->graves = g;
}

void loop_hook_add(struct loop *l, struct loop_hook *h)
{
    CHECK(h->fn != NULL && !list_in_one(&h->node));
    list_push_back(&l->hooks, &h->node);
    l->hook_again = true; // it may want to say a time before the first wait
}

void loop_hook_remove(struct loop *l, struct loop_hook *h)
{
    if (!list_in_one(&h->node)) {
        return;
    }
    if (l->hook_next == &h->node) {
        l->hook_next = h->node.next;
    }
    list_remove(&l->hooks, &h->node);
}

static void run_hooks(struct loop *l)
{
    l->hook_again = false;
    l->hook_next_us = UINT64_MAX;
    for (struct list_node *n = l->hooks.head.next; n != &l->hooks.head; n = l->hook_next) {
        struct loop_hook *h = container_of(n, struct loop_hook, node);
        uint64_t next_us = UINT64_MAX;

        l->hook_next = n->next;
        if (h->fn(h, &next_us)) {
            l->hook_again = true;
        }
        l->hook_next_us = next_us < l->hook_next_us ? next_us : l->hook_next_us;
    }
    l->hook_next = NULL;
}

// --- turns ---------------------------------------------------------------------------------------

// Milliseconds for epoll_wait, rounded up.
static int wait_ms(const struct loop *l, uint64_t max_wait_us)
{
    uint32_t bucket;
    uint64_t tick, until_us, now_us, wait_us = max_wait_us;

    if (max_wait_us == 0 || l->hook_again || l->tasks.count != 0 ||
        l->buckets[BUCKET_PAST].count != 0) {
        return 0;
    }
    tick = wheel_next(l, &bucket);
    until_us = tick == UINT64_MAX ? UINT64_MAX : tick * MONO_MS;
    until_us = l->hook_next_us < until_us ? l->hook_next_us : until_us;
    if (until_us != UINT64_MAX) {
        now_us = mono_now_us();
        if (until_us <= now_us) {
            return 0;
        }
        wait_us = until_us - now_us < wait_us ? until_us - now_us : wait_us;
    }
    if (wait_us == UINT64_MAX) {
        return -1;
    }
    wait_us = wait_us < 3600 * MONO_SEC ? wait_us : 3600 * MONO_SEC;
    return (int)((wait_us + MONO_MS - 1) / MONO_MS);
}

// t[i]: end of phase i, t[-1] the stamp.
static void report_slow(const struct loop *l, const uint64_t *t, int events)
{
    static const char *const names[N_PHASES] = {"watches", "timers", "tasks", "hooks", "bury"};
    uint64_t start = l->now_us, longest = 0;
    int worst = 0;

    for (int i = 0; i < N_PHASES; i++) {
        if (t[i] - start > longest) {
            longest = t[i] - start;
            worst = i;
        }
        start = t[i];
    }
    LOG(WARN, "loop.slow_turn", LOG_UINT("ms", (start - l->now_us) / MONO_MS),
        LOG_STR("phase", names[worst]), LOG_UINT("phase_ms", longest / MONO_MS),
        LOG_INT("events", events));
}

void loop_turn(struct loop *l, uint64_t max_wait_us)
{
    uint64_t ends[N_PHASES];
    int n = epoll_wait(l->epfd, l->batch, EVENTS_PER_TURN, wait_ms(l, max_wait_us));

    if (n < 0) {
        CHECK(errno == EINTR);
        n = 0;
    }
    l->now_us = mono_now_us();
    l->wall_us = mono_wall_us();
    dispatch(l, n);
    ends[PHASE_WATCHES] = mono_now_us();
    fire_timers(l);
    ends[PHASE_TIMERS] = mono_now_us();
    run_tasks(l);
    ends[PHASE_TASKS] = mono_now_us();
    run_hooks(l);
    ends[PHASE_HOOKS] = mono_now_us();
    bury_all(l);
    ends[PHASE_BURY] = mono_now_us();

    if (ends[PHASE_BURY] - l->now_us > l->lag_us) {
        l->lag_us = ends[PHASE_BURY] - l->now_us;
    }
    if (UNLIKELY(ends[PHASE_BURY] - l->now_us > SLOW_TURN_US)) {
        report_slow(l, ends, n);
    }
}

void loop_run(struct loop *l)
{
    while (!atomic_exchange(&l->stopped, false)) {
        loop_turn(l, UINT64_MAX);
    }
}

void loop_wake(struct loop *l)
{
    uint64_t one = 1;

    (void)!write(l->wakefd, &one, sizeof one); // EAGAIN: it is readable anyway
}

void loop_stop(struct loop *l)
{
    uint64_t one = 1;
    int saved = errno; // signal handlers call this

    atomic_store(&l->stopped, true);
    (void)!write(l->wakefd, &one, sizeof one); // as above
    errno = saved;
}

uint64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

uint64_t loop_wall_us(const struct loop *l)
{
    return l->wall_us;
}

uint64_t loop_take_lag_us(struct loop *l)
{
    uint64_t lag = l->lag_us;

    l->lag_us = 0;
    return lag;
}
