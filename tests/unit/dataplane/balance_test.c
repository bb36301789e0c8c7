// SPDX-License-Identifier: Apache-2.0
// Picking among candidates: each strategy, tiers, health, and what is said when none is left.
#include "dataplane/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/mono.h"
#include "tests/unit/dataplane/build.h"

#define NOW (5000 * MONO_SEC)
#define N   4

static struct build b;
static struct snapshot *snap;
static struct target_table *table;
static struct route_candidate c[N];
static struct route_plan plan;
static struct rng rng;

static const struct resource_model_at prices[N] = {
    {.provider = "p0",
     .id = "m",
     .price = {.input = 5, .cached = 0, .cache_write = 0, .output = 5}},
    {.provider = "p1",
     .id = "m",
     .price = {.input = 1, .cached = 0, .cache_write = 0, .output = 2}},
    {.provider = "p2",
     .id = "m",
     .price = {.input = UINT64_MAX, .cached = 0, .cache_write = 0, .output = 1}},
    {.provider = "p3",
     .id = "m",
     .price = {.input = 1, .cached = 0, .cache_write = 0, .output = 2}}};

// Four candidates at four providers, weights 1000 each.
static int setup(void **state)
{
    static const struct target_config cfg = {.default_rtt_us = 250 * MONO_MS,
                                             .decay_us = 30 * MONO_SEC,
                                             .ejection_us = 30 * MONO_SEC,
                                             .cooldown_us = 30 * MONO_SEC};

    (void)state;
    b.n = 0;
    for (size_t i = 0; i < N; i++) {
        (void)build_provider(&b, prices[i].provider, NULL);
    }
    snap = build_snapshot(&b);
    table = target_table_new(&cfg, 16);
    for (size_t i = 0; i < N; i++) {
        c[i] = (struct route_candidate){.provider =
                                            snapshot_provider(snap, slice_str(prices[i].provider)),
                                        .model = SLICE("m"),
                                        .weight = 1000,
                                        .target = target_get(table, slice_str(prices[i].provider),
                                                             SLICE("m"), SLICE_NULL, SLICE_NULL)};
        target_first_byte(c[i].target, NOW, 100000);
    }
    plan = (struct route_plan){.strategy = RESOURCE_LATENCY, .candidates = c, .n = N, .usable = N};
    rng_init(&rng, 42);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    target_table_free(&table);
    build_done(&b, &snap);
    return 0;
}

static void eject(struct target *t)
{
    for (int i = 0; i < 5; i++) {
        assert_true(target_begin(t, NOW, true));
        (void)target_end(t, NOW, TARGET_FAILURE, 0);
    }
    assert_int_equal(target_status(t, NOW), TARGET_EJECTED);
}

static void cool(struct target *t, uint64_t us)
{
    assert_true(target_begin(t, NOW, true));
    (void)target_end(t, NOW, TARGET_RATE_LIMITED, us);
}

static size_t pick(void)
{
    struct balance_pick p = balance_next(&plan, NOW, &rng);

    assert_non_null(p.candidate);
    return (size_t)(p.candidate - c);
}

// Shares of many picks, in per cent.
static void shares(unsigned ret[N])
{
    enum { PICKS = 20000 };
    unsigned n[N] = {0};

    for (int i = 0; i < PICKS; i++) {
        n[pick()]++;
    }
    for (size_t i = 0; i < N; i++) {
        ret[i] = (n[i] * 100 + PICKS / 2) / PICKS;
    }
}

static void assert_shares(unsigned s0, unsigned s1, unsigned s2, unsigned s3)
{
    const unsigned expected[N] = {s0, s1, s2, s3};
    unsigned got[N];

    shares(got);
    for (size_t i = 0; i < N; i++) {
        assert_true(abs((int)got[i] - (int)expected[i]) <= 1);
    }
}

static void weights(void **state)
{
    static const enum resource_strategy both[] = {RESOURCE_WEIGHTED, RESOURCE_MODEL_WEIGHTED};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        (void)teardown(NULL);
        (void)setup(NULL);
        plan.strategy = both[i];
        assert_shares(25, 25, 25, 25);
        c[0].weight = 700;
        c[1].weight = 200;
        c[2].weight = 100;
        c[3].weight = 0;
        assert_shares(70, 20, 10, 0);
        eject(c[0].target); // its share goes to the others, in proportion
        assert_shares(0, 67, 33, 0);
        c[1].tried = true;
        assert_shares(0, 0, 100, 0);
        c[2].excluded = "no_key";
        assert_shares(0, 0, 0, 100); // no weight, but nothing else
        c[1].tried = false;
        c[1].weight = 0;
        assert_shares(0, 50, 0, 50);
    }
}

static void latency_prefers_the_fast(void **state)
{
    unsigned got[N];

    (void)state;
    target_first_byte(c[0].target, NOW, 900000);
    target_first_byte(c[1].target, NOW, 200000);
    target_first_byte(c[2].target, NOW, 300000);
    shares(got); // 100 ms is c[3]
    assert_true(got[0] <= 1);
    assert_true(got[3] > got[1] && got[1] > got[2] && got[2] > got[0]);
    assert_true(abs((int)got[3] - 50) <= 1); // whenever it is one of the two
    for (int i = 0; i < 3; i++) {            // requests in flight count
        assert_true(target_begin(c[3].target, NOW, false));
    }
    shares(got);
    assert_true(got[1] > got[3]);
    plan.n = 1;
    assert_int_equal(pick(), 0);
}

static void quota_steers_away(void **state)
{
    unsigned got[N];

    (void)state;
    plan.n = 2;
    target_quota(c[0].target, NOW, 5, 1000, 60 * MONO_SEC);
    shares(got);
    assert_int_equal(got[0], 0);
    target_quota(c[1].target, NOW, 0, 1000, 60 * MONO_SEC);
    assert_int_equal(pick(), 0); // there is nothing better
}

static void priority_spills(void **state)
{
    (void)state;
    plan.strategy = RESOURCE_PRIORITY;
    assert_shares(100, 0, 0, 0);
    eject(c[0].target);
    assert_shares(0, 100, 0, 0);
    cool(c[1].target, MONO_SEC);
    assert_shares(0, 0, 100, 0);
    c[2].tried = true;
    assert_shares(0, 0, 0, 100);
    c[3].tried = true;
    assert_shares(100, 0, 0, 0); // only a guess against it
}

// The keys of the first target share its traffic.
static void priority_spreads_over_keys(void **state)
{
    (void)state;
    plan.strategy = RESOURCE_PRIORITY;
    c[1].provider = c[0].provider;
    c[0].weight = 750;
    c[1].weight = 250;
    assert_shares(75, 25, 0, 0);
    c[1].model = SLICE("other"); // another target
    assert_shares(100, 0, 0, 0);
}

static void cost_takes_the_cheapest(void **state)
{
    (void)state;
    plan.strategy = RESOURCE_COST;
    for (size_t i = 0; i < N; i++) {
        c[i].price = &prices[i].price;
    }
    target_first_byte(c[1].target, NOW, 500000);
    assert_shares(0, 0, 0, 100); // of two as cheap the faster one
    c[3].tried = true;
    assert_shares(0, 100, 0, 0);
    c[1].tried = true;
    assert_shares(100, 0, 0, 0);
    c[0].tried = true;
    assert_shares(0, 0, 100, 0); // unpriced ones last
    c[0].tried = false;
    c[0].price = NULL;
    target_first_byte(c[0].target, NOW, 900000);
    assert_shares(0, 0, 100, 0);
}

static void least_busy(void **state)
{
    (void)state;
    plan.strategy = RESOURCE_LEAST_BUSY;
    assert_shares(25, 25, 25, 25);
    assert_true(target_begin(c[0].target, NOW, false));
    assert_true(target_begin(c[1].target, NOW, false));
    assert_true(target_begin(c[1].target, NOW, false));
    assert_true(target_begin(c[2].target, NOW, false));
    assert_shares(0, 0, 0, 100);
    c[3].tried = true;
    assert_shares(50, 0, 50, 0);
}

static void tiers_and_order(void **state)
{
    (void)state;
    c[0].tier = 2;
    c[1].tier = 1;
    c[2].order = 1;
    c[3].order = 1;
    assert_shares(0, 0, 50, 50);
    c[2].tried = c[3].tried = true;
    assert_shares(0, 100, 0, 0);
    c[1].tried = true;
    assert_shares(100, 0, 0, 0);
    // A healthy degradation comes before a guess against the strategy's own.
    c[2].tried = false;
    eject(c[2].target);
    assert_shares(100, 0, 0, 0);
    c[0].tried = true;
    assert_int_equal(pick(), 2);
    assert_true(balance_next(&plan, NOW, &rng).last_resort);
    // Degradations go in the order the user gave, however slow.
    (void)teardown(NULL);
    (void)setup(NULL);
    for (size_t i = 0; i < N; i++) {
        c[i].tier = 1;
    }
    target_first_byte(c[0].target, NOW, 900000);
    assert_shares(100, 0, 0, 0);
}

static void half_open_gets_its_trial(void **state)
{
    struct balance_pick p;

    (void)state;
    eject(c[2].target);
    p = balance_next(&plan, NOW + 31 * MONO_SEC, &rng);
    assert_ptr_equal(p.candidate, &c[2]);
    assert_false(p.last_resort);
    assert_true(target_begin(c[2].target, NOW + 31 * MONO_SEC, p.last_resort));
    for (int i = 0; i < 100; i++) { // one is enough
        assert_ptr_not_equal(balance_next(&plan, NOW + 31 * MONO_SEC, &rng).candidate, &c[2]);
    }
    // While it runs, the last target is not refused.
    c[0].tried = c[1].tried = c[3].tried = true;
    p = balance_next(&plan, NOW + 31 * MONO_SEC, &rng);
    assert_ptr_equal(p.candidate, &c[2]);
    assert_true(p.last_resort);
}

static void nothing_left(void **state)
{
    static const struct {
        uint64_t cooling_s[2]; // 0: ejected
        bool limited;          // all of them
        bool found;
        uint64_t retry_s;
    } cases[] = {
        {{20, 10}, true, false, 10},
        {{0, 10}, false, true, 0}, // the ejected one is only a guess
        {{0, 0}, false, true, 0},
    };
    struct balance_pick p;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)teardown(NULL);
        (void)setup(NULL);
        plan.n = 2;
        for (size_t k = 0; k < 2; k++) {
            if (cases[i].cooling_s[k] == 0) {
                eject(c[k].target);
            } else {
                cool(c[k].target, cases[i].cooling_s[k] * MONO_SEC);
            }
        }
        p = balance_next(&plan, NOW, &rng);
        assert_int_equal(p.candidate != NULL, cases[i].found);
        assert_int_equal(p.last_resort, cases[i].found);
        assert_int_equal(p.all_rate_limited, cases[i].limited);
        assert_true(p.retry_at_us == (cases[i].found ? 0 : NOW + cases[i].retry_s * MONO_SEC));
    }
    // An untimed cool-down never excludes the last one, a quota that is gone does.
    (void)teardown(NULL);
    (void)setup(NULL);
    plan.n = 1;
    cool(c[0].target, 0);
    assert_int_equal(pick(), 0);
    target_quota(c[0].target, NOW + 31 * MONO_SEC, 0, 10, 5 * MONO_SEC);
    p = balance_next(&plan, NOW + 31 * MONO_SEC, &rng);
    assert_null(p.candidate);
    assert_true(p.all_rate_limited && p.retry_at_us == NOW + 36 * MONO_SEC);
    // All tried, none at all.
    c[0].tried = true;
    p = balance_next(&plan, NOW, &rng);
    assert_null(p.candidate);
    assert_false(p.all_rate_limited || p.retry_at_us != 0);
    plan.n = 0;
    p = balance_next(&plan, NOW, &rng);
    assert_null(p.candidate);
    assert_false(p.all_rate_limited);
}

static void reasons(void **state)
{
    (void)state;
    assert_string_equal(balance_reason(&c[0], NOW), "ok");
    cool(c[0].target, MONO_SEC);
    assert_string_equal(balance_reason(&c[0], NOW), "cooling");
    eject(c[1].target);
    assert_string_equal(balance_reason(&c[1], NOW), "ejected");
    assert_string_equal(balance_reason(&c[1], NOW + 31 * MONO_SEC), "trial");
    target_quota(c[2].target, NOW, 0, 10, MONO_SEC);
    assert_string_equal(balance_reason(&c[2], NOW), "no_quota");
    c[2].tried = true;
    assert_string_equal(balance_reason(&c[2], NOW), "tried");
    c[2].excluded = "no_key";
    assert_string_equal(balance_reason(&c[2], NOW), "no_key");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(weights),
        T(latency_prefers_the_fast),
        T(quota_steers_away),
        T(priority_spills),
        T(priority_spreads_over_keys),
        T(cost_takes_the_cheapest),
        T(least_busy),
        T(tiers_and_order),
        T(half_open_gets_its_trial),
        T(nothing_left),
        T(reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
