// SPDX-License-Identifier: Apache-2.0
// The loop on a clock that the test moves, with real descriptors. A turn may end early with nothing
// (EINTR); what was ready before it began is seen in it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/rng.h"
#include "common/io/loop.h"
#include "tests/unit/fake_mono.h"

static struct loop *l;

static int setup(void **state)
{
    (void)state;
    fake_mono_advance(MONO_MS - mono_now_us() % MONO_MS); // whole ticks to begin with
    l = loop_new(NULL);
    return l == NULL;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(&l);
    return l != NULL;
}

// --- timers --------------------------------------------------------------------------------------

struct probe {
    struct loop_timer t;
    uint64_t wanted_us, fired_us;
    int n;
};

static int fired_in_all;

static void on_timer(struct loop_timer *t)
{
    struct probe *p = (struct probe *)t;

    p->fired_us = loop_now_us(l);
    p->n++;
    fired_in_all++;
}

static void arm(struct probe *p, uint64_t in_us)
{
    p->t.fn = on_timer;
    p->wanted_us = loop_now_us(l) + in_us;
    loop_timer_set(l, &p->t, p->wanted_us);
}

static void timers_fire_once_in_order_and_never_early(void **state)
{
    // Spread over three levels of the wheel.
    static const uint64_t in_ms[] = {1, 2, 63, 64, 65, 70, 127, 128, 200, 300, 5, 0};
    struct probe p[ARRAY_LEN(in_ms)] = {0};

    (void)state;
    // Anywhere within a tick: the tick that ends it is the first one that is not early.
    for (uint64_t within_us = 0; within_us < MONO_MS; within_us += 333) {
        fake_mono_advance(within_us);
        loop_turn(l, 0);
        for (size_t i = 0; i < ARRAY_LEN(in_ms); i++) {
            p[i].n = 0;
            arm(&p[i], in_ms[i] * MONO_MS);
        }
        for (int step = 0; step < 3100; step++) {
            fake_mono_advance(100);
            loop_turn(l, 0);
        }
        for (size_t i = 0; i < ARRAY_LEN(in_ms); i++) {
            assert_int_equal(p[i].n, 1);
            assert_true(p[i].fired_us >= p[i].wanted_us);
            assert_true(p[i].fired_us < p[i].wanted_us + MONO_MS + 100);
            assert_int_equal(p[i].t.due_us, 0);
        }
    }
}

// What a wait comes to in real time: as long as the nearest timer, and it ends.
static void a_turn_waits_for_the_nearest_timer(void **state)
{
    struct probe far = {0}, near = {0};
    uint64_t longest_us = 0;

    (void)state;
    // Where the wheel has both timers where they are due, and no slot to move them down on the way.
    fake_mono_advance(64 * MONO_MS - mono_now_us() % (64 * MONO_MS));
    loop_turn(l, 0);
    arm(&far, 3600 * MONO_SEC);
    arm(&near, 20 * MONO_MS);
    for (int i = 0; i < 200 && longest_us < 20 * MONO_MS; i++) { // a stopped process is woken early
        uint64_t since_us = fake_mono_real_us(), took_us;

        loop_turn(l, UINT64_MAX);
        took_us = fake_mono_real_us() - since_us;
        longest_us = took_us > longest_us ? took_us : longest_us;
    }
    assert_true(longest_us >= 20 * MONO_MS);
    assert_int_equal(near.n, 0); // as long as its time has not come, whatever the machine's says
    fake_mono_advance(20 * MONO_MS);
    loop_turn(l, UINT64_MAX);
    assert_int_equal(near.n, 1);
    loop_timer_cancel(l, &far.t);
}

static void timers_are_cancelled_and_re_armed(void **state)
{
    struct probe a = {0}, b = {0};

    (void)state;
    arm(&a, 2 * MONO_MS);
    arm(&b, 2 * MONO_MS);
    loop_timer_cancel(l, &a.t);
    loop_timer_cancel(l, &a.t);
    arm(&b, 500 * MONO_SEC);
    arm(&b, 3 * MONO_MS);
    fake_mono_advance(2 * MONO_MS);
    loop_turn(l, 0);
    assert_int_equal(b.n, 0);
    fake_mono_advance(MONO_MS);
    loop_turn(l, 0);
    assert_int_equal(b.n, 1);
    assert_true(b.fired_us >= b.wanted_us);
    assert_int_equal(a.n, 0);
}

static void re_arm_in_the_past(struct loop_timer *t)
{
    struct probe *p = (struct probe *)t;

    if (++p->n < 3) {
        loop_timer_set(l, t, 1);
    }
}

static void a_past_time_fires_in_the_next_timer_phase(void **state)
{
    struct probe p = {.t.fn = re_arm_in_the_past};

    (void)state;
    loop_timer_set(l, &p.t, 0);
    for (int i = 1; i <= 3; i++) {
        loop_turn(l, UINT64_MAX); // does not wait
        assert_int_equal(p.n, i);
    }
    loop_turn(l, 0);
    assert_int_equal(p.n, 3);
}

static struct probe *victim;

static void cancel_victim(struct loop_timer *t)
{
    (void)t;
    loop_timer_cancel(l, &victim->t);
}

static void a_timer_may_cancel_another_one_of_the_same_batch(void **state)
{
    struct probe a = {.t.fn = cancel_victim}, b = {0};

    (void)state;
    victim = &b;
    loop_timer_set(l, &a.t, 1);
    arm(&b, 0);
    loop_turn(l, 0);
    loop_turn(l, 0);
    assert_int_equal(b.n, 0);
}

// Far times only move down level by level; what is checked is that no timer is lost or early when
// thousands are set and cancelled at random.
static void many_random_timers(void **state)
{
    enum { N = 4000 };
    struct probe *p = mem_zalloc_array(N, sizeof *p);
    struct rng r;
    int cancelled = 0;

    (void)state;
    rng_init(&r, 7);
    fired_in_all = 0;
    for (int i = 0; i < N; i++) {
        uint64_t far = rng_below(&r, 4) == 0 ? 20 * 86400 * MONO_SEC : 150 * MONO_MS;

        arm(&p[i], rng_below(&r, far));
    }
    for (int i = 0; i < N; i++) {
        if (p[i].wanted_us > loop_now_us(l) + 160 * MONO_MS || rng_below(&r, 8) == 0) {
            loop_timer_cancel(l, &p[i].t);
            cancelled++;
        }
    }
    for (uint64_t passed = 0, step; passed < 161 * MONO_MS; passed += step) {
        step = rng_below(&r, 3 * MONO_MS);
        fake_mono_advance(step);
        loop_turn(l, 0);
    }
    assert_int_equal(fired_in_all, N - cancelled);
    for (int i = 0; i < N; i++) {
        assert_true(p[i].n == 0 || p[i].fired_us >= p[i].wanted_us);
        assert_true(p[i].n == 0 || p[i].fired_us < p[i].wanted_us + 4 * MONO_MS);
    }
    mem_free(p);
}

static void the_far_end_of_time_is_no_problem(void **state)
{
    struct probe p = {0}, q = {0};

    (void)state;
    p.t.fn = on_timer;
    loop_timer_set(l, &p.t, UINT64_MAX);
    arm(&q, MONO_MS);
    fake_mono_advance(MONO_MS);
    loop_turn(l, UINT64_MAX);
    assert_int_equal(q.n, 1);
    assert_int_equal(p.n, 0);
    loop_timer_cancel(l, &p.t);
}

// --- watches -------------------------------------------------------------------------------------

struct end {
    struct loop_watch w;
    struct loop_grave g;
    uint32_t seen;
    int n;
    struct end *kill;
};

static int buried;

static void on_bury(struct loop_grave *g)
{
    (void)g;
    buried++;
}

static void on_event(struct loop_watch *w, uint32_t events)
{
    struct end *e = (struct end *)w;

    e->seen |= events;
    e->n++;
    if (e->kill != NULL) {
        loop_watch_remove(l, &e->kill->w);
        loop_bury(l, &e->kill->g);
    }
}

static void watches_report_what_was_asked(void **state)
{
    int s[2];
    char c;
    struct end e = {.w.fn = on_event};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
    e.w.fd = s[0];
    assert_true(loop_watch_add(l, &e.w, LOOP_WRITE, NULL));
    loop_turn(l, UINT64_MAX);
    assert_int_equal(e.seen, LOOP_WRITE);
    loop_watch_set(l, &e.w, LOOP_READ | LOOP_RDHUP);
    e.seen = 0;
    loop_turn(l, 0);
    assert_int_equal(e.seen, 0);
    assert_int_equal(write(s[1], "x", 1), 1);
    loop_turn(l, UINT64_MAX);
    assert_int_equal(e.seen, LOOP_READ);
    assert_int_equal(read(s[0], &c, 1), 1);
    assert_int_equal(shutdown(s[1], SHUT_WR), 0);
    loop_turn(l, UINT64_MAX);
    assert_true(e.seen & LOOP_RDHUP);
    // Without interest, a dead peer does not spin the loop.
    loop_watch_set(l, &e.w, 0);
    (void)close(s[1]);
    loop_turn(l, 0);
    e.n = 0;
    loop_turn(l, MONO_MS);
    loop_turn(l, MONO_MS);
    assert_int_equal(e.n, 0);
    loop_watch_remove(l, &e.w);
    loop_watch_remove(l, &e.w);
    (void)close(s[0]);
}

static void half_close_is_seen_without_asking_for_data(void **state)
{
    int s[2];
    struct end e = {.w.fn = on_event};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
    e.w.fd = s[0];
    assert_true(loop_watch_add(l, &e.w, LOOP_RDHUP | LOOP_EDGE, NULL));
    assert_int_equal(write(s[1], "x", 1), 1);
    loop_turn(l, 0);
    assert_false(e.seen & (LOOP_RDHUP | LOOP_READ));
    assert_int_equal(shutdown(s[1], SHUT_WR), 0);
    loop_turn(l, UINT64_MAX);
    assert_true(e.seen & LOOP_RDHUP);
    loop_watch_remove(l, &e.w);
    (void)close(s[0]);
    (void)close(s[1]);
}

static void an_event_of_a_removed_watch_is_dropped(void **state)
{
    int s[2], t[2];
    struct end a = {.w.fn = on_event, .g.fn = on_bury}, b = {.w.fn = on_event, .g.fn = on_bury};

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, t), 0);
    a.w.fd = s[0];
    b.w.fd = t[0];
    a.kill = &b;
    b.kill = &a;
    buried = 0;
    assert_true(loop_watch_add(l, &a.w, LOOP_WRITE, NULL));
    assert_true(loop_watch_add(l, &b.w, LOOP_WRITE, NULL));
    loop_turn(l, UINT64_MAX); // both are ready; whoever comes first removes the other
    assert_int_equal(a.n + b.n, 1);
    assert_int_equal(buried, 1);
    loop_watch_remove(l, &a.w);
    loop_watch_remove(l, &b.w);
    for (int i = 0; i < 2; i++) {
        (void)close(s[i]);
        (void)close(t[i]);
    }
}

static void adding_a_closed_fd_fails(void **state)
{
    struct err err;
    struct end e = {.w.fn = on_event, .w.fd = 999999};

    (void)state;
    assert_false(loop_watch_add(l, &e.w, LOOP_READ, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_false(e.w.added);
}

static void the_watch_table_grows(void **state)
{
    enum { N = 200 };
    struct end *e = mem_zalloc_array(N, sizeof *e);

    (void)state;
    for (int i = 0; i < N; i++) {
        int s[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
        (void)close(s[1]);
        e[i].w = (struct loop_watch){.fd = s[0], .fn = on_event};
        assert_true(loop_watch_add(l, &e[i].w, LOOP_READ, NULL));
    }
    loop_turn(l, UINT64_MAX);
    for (int i = 0; i < N; i++) {
        assert_true(e[i].seen & LOOP_READ);
        loop_watch_remove(l, &e[i].w);
        (void)close(e[i].w.fd);
    }
    mem_free(e);
}

// --- tasks and hooks -----------------------------------------------------------------------------

static char order[64];
static size_t n_order;

static void note(char c)
{
    if (n_order < sizeof order - 1) {
        order[n_order++] = c;
        order[n_order] = '\0';
    }
}

struct job {
    struct loop_task t;
    int n, repost;
};

static void on_task(struct loop_task *t)
{
    struct job *j = (struct job *)t;

    note('k');
    j->n++;
    if (j->repost > 0) {
        j->repost--;
        loop_post(l, t);
        loop_post(l, t);
    }
}

static void tasks_run_until_the_queue_is_empty_but_bounded(void **state)
{
    struct job a = {.t.fn = on_task, .repost = 5}, b = {.t.fn = on_task, .repost = 5000},
               c = {.t.fn = on_task};

    (void)state;
    loop_post(l, &a.t);
    loop_post(l, &a.t);
    loop_post(l, &c.t);
    loop_unpost(l, &c.t);
    loop_unpost(l, &c.t);
    loop_turn(l, UINT64_MAX);
    assert_int_equal(a.n, 6);
    assert_int_equal(c.n, 0);
    loop_post(l, &b.t);
    loop_turn(l, UINT64_MAX);
    assert_int_equal(b.n, 1024);
    while (b.n < 5001) {
        loop_turn(l, UINT64_MAX); // never waits while work is left
    }
}

struct hk {
    struct loop_hook h;
    char c;
    int again;
    uint64_t next_us;
    struct hk *removes;
};

static bool on_hook(struct loop_hook *h, uint64_t *ret_next_us)
{
    struct hk *k = (struct hk *)h;

    note(k->c);
    if (k->removes != NULL) {
        loop_hook_remove(l, &k->removes->h);
    }
    if (k->next_us != 0) {
        *ret_next_us = k->next_us;
    }
    return k->again-- > 0;
}

static void on_order_timer(struct loop_timer *t)
{
    (void)t;
    note('t');
}

static void on_order_watch(struct loop_watch *w, uint32_t events)
{
    (void)events;
    note('w');
    loop_watch_remove(l, w);
}

static void on_order_bury(struct loop_grave *g)
{
    (void)g;
    note('g');
}

static void a_turn_goes_watches_timers_tasks_hooks_bury(void **state)
{
    int s[2];
    struct loop_watch w = {.fn = on_order_watch};
    struct loop_timer t = {.fn = on_order_timer};
    struct loop_grave g = {.fn = on_order_bury};
    struct job j = {.t.fn = on_task};
    struct hk h1 = {.h.fn = on_hook, .c = '1'}, h2 = {.h.fn = on_hook, .c = '2'};

    (void)state;
    n_order = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
    w.fd = s[0];
    loop_bury(l, &g);
    loop_hook_add(l, &h1.h);
    loop_hook_add(l, &h2.h);
    loop_post(l, &j.t);
    loop_timer_set(l, &t, 1);
    assert_true(loop_watch_add(l, &w, LOOP_WRITE, NULL));
    loop_turn(l, 0);
    assert_string_equal(order, "wtk12g");
    loop_hook_remove(l, &h1.h);
    loop_hook_remove(l, &h2.h);
    loop_hook_remove(l, &h2.h);
    (void)close(s[0]);
    (void)close(s[1]);
}

static void hooks_ask_for_another_turn_or_a_time(void **state)
{
    struct hk h = {.h.fn = on_hook, .c = 'h', .again = 2};

    (void)state;
    n_order = 0;
    loop_turn(l, 0);
    loop_hook_add(l, &h.h);
    loop_turn(l, UINT64_MAX);
    loop_turn(l, UINT64_MAX);
    h.next_us = mono_now_us() + 5 * MONO_MS;
    loop_turn(l, UINT64_MAX);
    assert_string_equal(order, "hhh");
    loop_turn(l, UINT64_MAX); // would wait for ever
    loop_hook_remove(l, &h.h);
}

static void a_hook_may_remove_any_hook(void **state)
{
    struct hk a = {.h.fn = on_hook, .c = 'a'}, b = {.h.fn = on_hook, .c = 'b'},
              c = {.h.fn = on_hook, .c = 'c'};

    (void)state;
    n_order = 0;
    loop_hook_add(l, &a.h);
    loop_hook_add(l, &b.h);
    loop_hook_add(l, &c.h);
    a.removes = &b;
    c.removes = &c;
    loop_turn(l, 0);
    loop_turn(l, 0);
    assert_string_equal(order, "aca");
    loop_hook_remove(l, &a.h);
}

// --- wake and stop -------------------------------------------------------------------------------

static void *stop_it(void *arg)
{
    loop_wake(arg);
    loop_wake(arg);
    loop_stop(arg);
    return NULL;
}

static void another_thread_wakes_and_stops(void **state)
{
    pthread_t t;

    (void)state;
    assert_int_equal(pthread_create(&t, NULL, stop_it, l), 0);
    loop_run(l); // would wait for ever
    assert_int_equal(pthread_join(t, NULL), 0);
    loop_wake(l);
    loop_turn(l, UINT64_MAX);
}

static void take_a_while(struct loop_task *t)
{
    (void)t;
    fake_mono_advance(7 * MONO_MS);
}

static void the_longest_turn_is_reported_once(void **state)
{
    struct loop_task t = {.fn = take_a_while};

    (void)state;
    loop_turn(l, 0);
    assert_int_equal(loop_take_lag_us(l), 0);
    loop_post(l, &t);
    loop_turn(l, 0);
    loop_turn(l, 0);
    assert_int_equal(loop_take_lag_us(l), 7 * MONO_MS);
    assert_int_equal(loop_take_lag_us(l), 0);
    assert_true(loop_wall_us(l) > UINT64_C(1600000000) * MONO_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(timers_fire_once_in_order_and_never_early, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_waits_for_the_nearest_timer, setup, teardown),
        cmocka_unit_test_setup_teardown(timers_are_cancelled_and_re_armed, setup, teardown),
        cmocka_unit_test_setup_teardown(a_past_time_fires_in_the_next_timer_phase, setup, teardown),
        cmocka_unit_test_setup_teardown(a_timer_may_cancel_another_one_of_the_same_batch, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_random_timers, setup, teardown),
        cmocka_unit_test_setup_teardown(the_far_end_of_time_is_no_problem, setup, teardown),
        cmocka_unit_test_setup_teardown(watches_report_what_was_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(half_close_is_seen_without_asking_for_data, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_event_of_a_removed_watch_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(adding_a_closed_fd_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(the_watch_table_grows, setup, teardown),
        cmocka_unit_test_setup_teardown(tasks_run_until_the_queue_is_empty_but_bounded, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_turn_goes_watches_timers_tasks_hooks_bury, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(hooks_ask_for_another_turn_or_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_hook_may_remove_any_hook, setup, teardown),
        cmocka_unit_test_setup_teardown(another_thread_wakes_and_stops, setup, teardown),
        cmocka_unit_test_setup_teardown(the_longest_turn_is_reported_once, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
