// SPDX-License-Identifier: Apache-2.0
// Reports become proxies, waits end when they should, targets are merged.
#include "controlplane/fleet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mono.h"
#include "tests/unit/fake_mono.h"

static const uint8_t one[16] = {1}, two[16] = {2};
static struct loop *loop;
static struct fleet *fleet;

static int setup(void **state)
{
    (void)state;
    loop = loop_new(NULL);
    fleet = fleet_new(loop);
    return loop == NULL;
}

static int teardown(void **state)
{
    (void)state;
    fleet_free(&fleet);
    loop_free(&loop);
    return 0;
}

static void report(const char *id, const uint8_t epoch[16], uint64_t seq)
{
    const struct message_report r = {.proxy = id, .version = "1", .ops = "o", .workers = 2};

    fleet_report(fleet, epoch, seq, &r);
}

static void pass(uint64_t us)
{
    fake_mono_advance(us);
    loop_turn(loop, 0);
}

struct seen {
    unsigned calls;
    size_t live, applied, n_missing;
    char missing[32];
};

static void see(void *arg, const struct fleet_outcome *o)
{
    struct seen *s = arg;

    s->calls++;
    s->live = o->live;
    s->applied = o->applied;
    s->n_missing = o->n_missing;
    if (o->n_missing > 0) {
        (void)snprintf(s->missing, sizeof(s->missing), "%s", o->missing[0]);
    }
}

static void a_wait_ends_with_the_last_proxy(void **state)
{
    struct seen s = {0};

    (void)state;
    fleet_advance(fleet, one, 5);
    report("a", one, 4);
    report("b", one, 4);
    (void)fleet_wait(fleet, 5, 10 * MONO_SEC, see, &s);
    report("a", one, 5);
    assert_int_equal(s.calls, 0);
    report("b", one, 6); // further is as good
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.live, 2);
    assert_int_equal(s.applied, 2);
    assert_int_equal(s.n_missing, 0);
}

static void a_wait_ends_at_its_time(void **state)
{
    struct seen s = {0};

    (void)state;
    fleet_advance(fleet, one, 5);
    report("a", one, 5);
    report("b", two, 9); // another epoch counts as behind
    (void)fleet_wait(fleet, 5, 20 * MONO_MS, see, &s);
    pass(19 * MONO_MS);
    assert_int_equal(s.calls, 0);
    pass(MONO_MS);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.live, 2);
    assert_int_equal(s.applied, 1);
    assert_string_equal(s.missing, "b");
}

static void nobody_to_wait_for(void **state)
{
    struct seen s = {0};

    (void)state;
    fleet_advance(fleet, one, 5);
    (void)fleet_wait(fleet, 5, 10 * MONO_SEC, see, &s);
    assert_int_equal(s.calls, 0); // never from inside
    loop_turn(loop, 0);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.live, 0);
}

static void cancelled_waits_stay_silent(void **state)
{
    struct seen s = {0}, t = {0};
    struct fleet_wait *w;

    (void)state;
    report("a", one, 4);
    fleet_advance(fleet, one, 5);
    w = fleet_wait(fleet, 5, 1, see, &s);
    (void)fleet_wait(fleet, 6, 10 * MONO_SEC, see, &t);
    fleet_wait_cancel(&w);
    assert_null(w);
    fleet_wait_cancel(&w);
    report("a", one, 5);
    pass(5 * MONO_MS);
    assert_int_equal(s.calls, 0);
    fleet_free(&fleet); // what is pending is answered
    assert_int_equal(t.calls, 1);
    assert_int_equal(t.n_missing, 1);
}

// Who falls silent while somebody waits for it may be cut off and serve on: it is named.
static void the_silent_are_named(void **state)
{
    struct seen s = {0}, late = {0};

    (void)state;
    fleet_advance(fleet, one, 5);
    report("a", one, 4);
    (void)fleet_wait(fleet, 5, FLEET_LIVE_US + 100 * MONO_MS, see, &s);
    pass(FLEET_LIVE_US);
    assert_int_equal(s.calls, 0);
    pass(100 * MONO_MS);
    assert_int_equal(s.calls, 1);
    assert_int_equal(fleet_live(fleet), 0);
    assert_int_equal(s.live, 1);
    assert_int_equal(s.applied, 0);
    assert_int_equal(s.n_missing, 1);
    assert_string_equal(s.missing, "a");

    // Who was silent for longer before is not waited for.
    (void)fleet_wait(fleet, 5, 60 * MONO_SEC, see, &late);
    pass(60 * MONO_SEC);
    assert_int_equal(late.calls, 1);
    assert_int_equal(late.live, 0);
    assert_int_equal(late.n_missing, 0);
}

static char text[512];

static bool put_proxy(void *ctx, const struct fleet_proxy *p)
{
    size_t n = strlen(text);

    (void)ctx;
    (void)snprintf(text + n, sizeof(text) - n, "%s@%lu%s ", p->id, (unsigned long)p->seq,
                   p->live ? "" : "+");
    return true;
}

static void proxies_in_order(void **state)
{
    (void)state;
    report("c", one, 3);
    report("a", one, 7);
    report("b", two, 9);
    report("a", one, 8);
    text[0] = '\0';
    fleet_each(fleet, put_proxy, NULL);
    assert_string_equal(text, "a@8 b@9 c@3 ");
    assert_int_equal(fleet_live(fleet), 3);
    assert_int_equal(fleet_max_seq(fleet, one), 8);
    assert_int_equal(fleet_max_seq(fleet, two), 9);
}

static struct fleet_target targets[4];
static size_t n_targets;

static bool put_target(void *ctx, const struct fleet_target *t)
{
    (void)ctx;
    targets[n_targets++] = *t;
    return n_targets < 4;
}

static void targets_are_merged(void **state)
{
    const struct message_target_health a[] = {
        {"openai", "m", "k1", "", MESSAGE_TARGET_HEALTHY, 100, 1, 10, 0, 0, ""},
        {"anthropic", "c", "k2", "", MESSAGE_TARGET_TRIAL, 0, 0, 1, 1, 0, "half open"},
    };
    const struct message_target_health b[] = {
        {"openai", "m", "k1", "", MESSAGE_TARGET_COOLING, 300, 2, 20, 3, 30 * MONO_SEC, "429"},
    };
    struct message_report r = {
        .proxy = "a", .version = "", .ops = "", .has_targets = true, .targets = a, .n_targets = 2};

    (void)state;
    fleet_report(fleet, one, 1, &r);
    r.proxy = "b";
    r.targets = b;
    r.n_targets = 1;
    fleet_report(fleet, one, 1, &r);
    report("b", one, 2); // an acknowledgement leaves the targets as they are
    n_targets = 0;
    fleet_targets(fleet, put_target, NULL);
    assert_int_equal(n_targets, 2);
    assert_string_equal(targets[0].provider, "anthropic");
    assert_int_equal(targets[0].unhealthy, 1);
    assert_int_equal(targets[0].ewma_us, 0);
    assert_int_equal(targets[1].state, MESSAGE_TARGET_COOLING);
    assert_string_equal(targets[1].reason, "429");
    assert_int_equal(targets[1].ewma_us, 200);
    assert_int_equal(targets[1].in_flight, 3);
    assert_int_equal(targets[1].requests, 30);
    assert_int_equal(targets[1].failures, 3);
    assert_int_equal(targets[1].proxies, 2);
    assert_int_equal(targets[1].unhealthy, 1);
    assert_true(targets[1].until_us == 30 * MONO_SEC);
}

static void errors_are_kept(void **state)
{
    char id[8] = "r", why[8] = "bad";
    const struct message_resource_error e[] = {{RESOURCE_ROUTER, id, 4, why}};
    struct message_report r = {.proxy = "a", .version = "", .ops = "", .errors = e, .n_errors = 1};

    (void)state;
    fleet_report(fleet, one, 1, &r);
    id[0] = why[0] = 'x'; // copied
    text[0] = '\0';
    fleet_each(fleet, put_proxy, NULL);
    assert_string_equal(text, "a@1 ");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_wait_ends_with_the_last_proxy),
        TEST(a_wait_ends_at_its_time),
        TEST(nobody_to_wait_for),
        TEST(cancelled_waits_stay_silent),
        TEST(the_silent_are_named),
        TEST(proxies_in_order),
        TEST(targets_are_merged),
        TEST(errors_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
