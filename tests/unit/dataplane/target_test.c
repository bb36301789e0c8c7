// SPDX-License-Identifier: Apache-2.0
// Health of targets: every transition of the table in target.c, latency, quota; the trial of a
// half-open target is claimed once by threads that race for it.
#include "dataplane/target.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/mono.h"

#define NOW (5000 * MONO_SEC)

static const struct target_config config = {.default_rtt_us = 250 * MONO_MS,
                                            .decay_us = 30 * MONO_SEC,
                                            .ejection_us = 30 * MONO_SEC,
                                            .cooldown_us = 30 * MONO_SEC};
static struct target_table *table;
static struct target *t;

static int setup(void **state)
{
    (void)state;
    table = target_table_new(&config, 16);
    t = target_get(table, SLICE("openai"), SLICE("gpt"), SLICE("k1"), SLICE("http://h/"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    target_table_free(&table);
    return 0;
}

static bool once(uint64_t now_us, enum target_outcome o, uint64_t cooldown_us)
{
    assert_true(target_begin(t, now_us, true));
    return target_end(t, now_us, o, cooldown_us);
}

static void eject_by_failures(uint64_t now_us)
{
    for (int i = 0; i < 4; i++) {
        assert_false(once(now_us, TARGET_FAILURE, 0));
        assert_int_equal(target_status(t, now_us), TARGET_OK);
    }
    assert_true(once(now_us, TARGET_FAILURE, 0));
    assert_int_equal(target_status(t, now_us), TARGET_EJECTED);
}

static void identity(void **state)
{
    struct target *a;

    (void)state;
    assert_ptr_equal(
        t, target_get(table, SLICE("openai"), SLICE("gpt"), SLICE("k1"), SLICE("http://h/")));
    assert_ptr_not_equal(
        t, target_get(table, SLICE("openai"), SLICE("gpt"), SLICE("k2"), SLICE("http://h/")));
    assert_ptr_not_equal(
        t, target_get(table, SLICE("openai"), SLICE("gpt"), SLICE("k1"), SLICE("http://i/")));
    a = target_get(table, SLICE("ollama"), SLICE("m"), SLICE_NULL, SLICE_NULL);
    assert_ptr_equal(a, target_get(table, SLICE("ollama"), SLICE("m"), SLICE(""), SLICE("")));
    // Names do not run into each other.
    assert_ptr_not_equal(target_get(table, SLICE("ab"), SLICE("c"), SLICE_NULL, SLICE_NULL),
                         target_get(table, SLICE("a"), SLICE("bc"), SLICE_NULL, SLICE_NULL));
}

static void count_one(void *ctx, const struct target_view *v)
{
    (void)v;
    ++*(size_t *)ctx;
}

static void full_table_shares_one(void **state)
{
    struct target *last = NULL;
    char name[32], huge[2000] = {0};
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct target *x;

        (void)snprintf(name, sizeof(name), "m%d", i);
        x = target_get(table, SLICE("p"), slice_str(name), SLICE_NULL, SLICE_NULL);
        assert_true(i < 16 || x == last);
        last = x;
    }
    assert_ptr_equal(
        last, target_get(table, SLICE("p"), (struct slice){huge, 2000}, SLICE_NULL, SLICE_NULL));
    target_each(table, NOW, count_one, &n);
    assert_int_equal(n, 16);
}

static void consecutive_failures_eject(void **state)
{
    (void)state;
    eject_by_failures(NOW);
    assert_true(target_until_us(t, NOW) == NOW + 30 * MONO_SEC);
    assert_int_equal(target_status(t, NOW + 30 * MONO_SEC - 1), TARGET_EJECTED);
    assert_int_equal(target_status(t, NOW + 30 * MONO_SEC), TARGET_TRIAL);
    assert_true(target_until_us(t, NOW + 30 * MONO_SEC) == 0);
}

static void a_success_breaks_the_row(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        assert_false(once(NOW + (uint64_t)i * 6 * MONO_SEC,
                          i % 5 == 4 ? TARGET_SUCCESS : TARGET_FAILURE, 0));
    }
    // 4 of 5 failed, but never 20 requests in one minute.
    assert_int_equal(target_status(t, NOW), TARGET_OK);
}

// A reload of discover.*: from the next ejection on.
static void tuning_is_in_force_at_once(void **state)
{
    struct target_config other = config;

    (void)state;
    other.ejection_us = 5 * MONO_SEC;
    target_table_tune(table, &other);
    eject_by_failures(NOW);
    assert_int_equal(target_status(t, NOW + 5 * MONO_SEC - 1), TARGET_EJECTED);
    assert_int_equal(target_status(t, NOW + 5 * MONO_SEC), TARGET_TRIAL);
}

static void error_rate_ejects(void **state)
{
    static const struct {
        int successes, failures;
        uint64_t step_us;
        bool ejected;
    } cases[] = {
        {17, 3, 0, true},                 // 3 of 20
        {18, 2, 0, false},                // 2 of 20 is not more than 10 %
        {16, 3, 0, false},                // fewer than 20
        {30, 4, MONO_SEC, true},          // within a minute
        {40, 4, 5 * MONO_SEC, false},     // 12 a minute
        {200, 25, 100 * MONO_MS, true},   // 11 %
        {2000, 100, 10 * MONO_MS, false}, // 4.8 %
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t now = NOW;
        bool ejected = false;

        target_table_free(&table);
        (void)setup(NULL);
        for (int k = 0; k < cases[i].successes + cases[i].failures; k++, now += cases[i].step_us) {
            // Failures last, with a success between them.
            int left = cases[i].successes + cases[i].failures - k;
            bool fail = left <= 2 * cases[i].failures && left % 2 == 1;

            ejected = once(now, fail ? TARGET_FAILURE : TARGET_SUCCESS, 0) || ejected;
        }
        assert_int_equal(ejected, cases[i].ejected);
    }
}

static void ejections_grow_and_are_forgotten(void **state)
{
    uint64_t now = NOW;

    (void)state;
    eject_by_failures(now);
    for (uint64_t times = 2; times < 14; times++) {
        uint64_t expected = times * 30 > 300 ? 300 : times * 30;

        now = target_until_us(t, now);
        assert_int_equal(target_status(t, now), TARGET_TRIAL);
        assert_true(once(now, TARGET_FAILURE, 0));
        assert_true(target_until_us(t, now) == now + expected * MONO_SEC);
    }
    now = target_until_us(t, now);
    assert_false(once(now, TARGET_SUCCESS, 0));
    assert_int_equal(target_status(t, now), TARGET_OK);
    now += 1000 * MONO_SEC; // long healthy: the count starts again
    eject_by_failures(now);
    assert_true(target_until_us(t, now) == now + 30 * MONO_SEC);
}

static void one_trial_at_a_time(void **state)
{
    uint64_t later = NOW + 31 * MONO_SEC;

    (void)state;
    eject_by_failures(NOW);
    assert_true(target_begin(t, later, false));
    assert_int_equal(target_status(t, later), TARGET_EJECTED); // for all others
    assert_true(target_until_us(t, later) == later + MONO_SEC);
    assert_false(target_begin(t, later, false));
    assert_int_equal(target_in_flight(t), 1);
    assert_true(target_begin(t, later, true)); // the last target is never refused
    assert_int_equal(target_in_flight(t), 2);
    assert_false(target_end(t, later, TARGET_SUCCESS, 0));
    assert_int_equal(target_status(t, later), TARGET_OK);
    assert_false(target_end(t, later, TARGET_NEUTRAL, 0));
    assert_int_equal(target_in_flight(t), 0);
}

static void a_trial_that_says_nothing_is_free_again(void **state)
{
    uint64_t later = NOW + 31 * MONO_SEC;

    (void)state;
    eject_by_failures(NOW);
    assert_true(target_begin(t, later, false));
    assert_false(target_end(t, later, TARGET_NEUTRAL, 0));
    assert_int_equal(target_status(t, later), TARGET_TRIAL);
    assert_true(target_begin(t, later, false));
    assert_true(target_end(t, later, TARGET_FAILURE, 0));
    assert_true(target_until_us(t, later) == later + 60 * MONO_SEC);
    // A claim of the ejection before does not block the trial of this one.
    assert_int_equal(target_status(t, later + 60 * MONO_SEC), TARGET_TRIAL);
    assert_true(target_begin(t, later + 60 * MONO_SEC, false));
    assert_false(target_end(t, later + 60 * MONO_SEC, TARGET_SUCCESS, 0));
}

static void late_results(void **state)
{
    (void)state;
    assert_true(target_begin(t, NOW, false));
    assert_true(target_begin(t, NOW, false));
    eject_by_failures(NOW);
    assert_false(target_end(t, NOW + 1, TARGET_FAILURE, 0)); // from before: not a second ejection
    assert_true(target_until_us(t, NOW + 1) == NOW + 30 * MONO_SEC);
    assert_false(target_end(t, NOW + 2, TARGET_SUCCESS, 0)); // it is up
    assert_int_equal(target_status(t, NOW + 2), TARGET_OK);
}

static void rate_limits_cool(void **state)
{
    static const struct {
        uint64_t first, second; // Retry-After of two 429s, the second 10 s later; 0 = none
        enum target_status status;
        uint64_t until_s; // after the first
    } cases[] = {
        {20 * MONO_SEC, UINT64_MAX, TARGET_COOLING, 20},
        {0, UINT64_MAX, TARGET_COOLING_GUESS, 30},
        {60 * MONO_SEC, 0, TARGET_COOLING, 60},            // a guess says less than a time
        {60 * MONO_SEC, 5 * MONO_SEC, TARGET_COOLING, 60}, // the longer time
        {15 * MONO_SEC, 20 * MONO_SEC, TARGET_COOLING, 30},
        {0, 5 * MONO_SEC, TARGET_COOLING, 15}, // a time says more than a guess
        {0, 0, TARGET_COOLING_GUESS, 40},
        {5 * MONO_SEC, 0, TARGET_COOLING_GUESS, 40},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t until = NOW + cases[i].until_s * MONO_SEC, now = NOW;

        target_table_free(&table);
        (void)setup(NULL);
        assert_false(once(NOW, TARGET_RATE_LIMITED, cases[i].first));
        if (cases[i].second != UINT64_MAX) {
            now = NOW + 10 * MONO_SEC;
            assert_false(once(now, TARGET_RATE_LIMITED, cases[i].second));
        }
        assert_int_equal(target_status(t, now), cases[i].status);
        assert_true(target_until_us(t, now) == until);
        assert_int_equal(target_status(t, until - 1), cases[i].status);
        assert_int_equal(target_status(t, until), TARGET_OK);
    }
}

static void rate_limit_ends_an_ejection(void **state)
{
    (void)state;
    eject_by_failures(NOW);
    assert_false(once(NOW + 31 * MONO_SEC, TARGET_RATE_LIMITED, 2 * MONO_SEC));
    assert_int_equal(target_status(t, NOW + 31 * MONO_SEC), TARGET_COOLING);
    assert_int_equal(target_status(t, NOW + 33 * MONO_SEC), TARGET_OK);
    // A time without bounds is cut.
    assert_false(once(NOW, TARGET_RATE_LIMITED, UINT64_MAX));
    assert_true(target_until_us(t, NOW) == NOW + 86400 * MONO_SEC);
}

static void quota(void **state)
{
    static const struct {
        uint64_t remaining, limit, reset_us;
        uint32_t permille;
        enum target_status status;
    } cases[] = {
        {50, 100, MONO_SEC, 500, TARGET_OK},
        {100, 100, MONO_SEC, 1000, TARGET_OK},
        {200, 100, MONO_SEC, 1000, TARGET_OK},
        {1, 100000, MONO_SEC, 1, TARGET_OK},
        {0, 100, MONO_SEC, 0, TARGET_NO_QUOTA},
        {0, 0, MONO_SEC, 0, TARGET_NO_QUOTA},
        {5, 0, MONO_SEC, 1000, TARGET_OK},
        {0, 100, 0, 1000, TARGET_OK}, // until when is not known: says nothing
        {UINT64_MAX / 2, UINT64_MAX, MONO_SEC, 500, TARGET_OK},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        target_quota(t, NOW, cases[i].remaining, cases[i].limit, cases[i].reset_us);
        assert_true(abs((int)target_quota_permille(t, NOW) - (int)cases[i].permille) <= 1);
        assert_int_equal(target_status(t, NOW), cases[i].status);
        assert_int_equal(target_status(t, NOW + MONO_SEC), TARGET_OK);
        assert_int_equal(target_quota_permille(t, NOW + MONO_SEC), 1000);
    }
    target_quota(t, NOW, 0, 100, 7 * MONO_SEC);
    assert_true(target_until_us(t, NOW) == NOW + 7 * MONO_SEC);
}

static void quota_steers(void **state)
{
    double plain;

    (void)state;
    target_first_byte(t, NOW, 100000);
    plain = target_load(t, NOW);
    target_quota(t, NOW, 10, 100, MONO_SEC); // a tenth left: as it is
    assert_true(fabs(target_load(t, NOW) - plain) < 1);
    target_quota(t, NOW, 50, 1000, MONO_SEC);
    assert_true(fabs(target_load(t, NOW) - 2 * plain) < 1);
    target_quota(t, NOW, 1, 1000, MONO_SEC);
    assert_true(fabs(target_load(t, NOW) - 10 * plain) < 1);
}

static void latency(void **state)
{
    double load;

    (void)state;
    assert_true(target_load(t, NOW) <= 1.0); // never tried: one request finds out
    assert_true(target_begin(t, NOW, false));
    assert_true(fabs(target_load(t, NOW) - 500000) < 1); // the others go by the assumed value
    assert_false(target_end(t, NOW, TARGET_SUCCESS, 0));
    target_first_byte(t, NOW, 100000); // the first one counts
    assert_true(fabs(target_load(t, NOW) - 100000) < 1);
    target_first_byte(t, NOW, 400000); // slower: at once
    assert_true(fabs(target_load(t, NOW) - 400000) < 1);
    target_first_byte(t, NOW, 100000); // faster at the same moment: the peak stays
    assert_true(fabs(target_load(t, NOW) - 400000) < 1);
    target_first_byte(t, NOW + 30 * MONO_SEC, 100000); // after one decay time: 1/e of the old
    load = 400000 * exp(-1) + 100000 * (1 - exp(-1));
    assert_true(fabs(target_load(t, NOW + 30 * MONO_SEC) - load) < 2);
    // Idle: the past fades.
    assert_true(fabs(target_load(t, NOW + 60 * MONO_SEC) - load * exp(-1)) < 2);
    assert_true(target_load(t, NOW + 100000 * MONO_SEC) >= 1.0);
    assert_true(target_begin(t, NOW + 30 * MONO_SEC, false));
    assert_true(target_begin(t, NOW + 30 * MONO_SEC, false));
    assert_true(fabs(target_load(t, NOW + 30 * MONO_SEC) - 3 * load) < 6);
    // A steady stream of fast answers brings it down within the decay time.
    for (int i = 0; i < 1200; i++) {
        target_first_byte(t, NOW + 30 * MONO_SEC + (uint64_t)i * 100 * MONO_MS, 50000);
    }
    assert_true(target_load(t, NOW + 150 * MONO_SEC) / 3 < 60000);
}

// A target that only refuses is not "never tried" for ever.
static void refusals_are_no_attraction(void **state)
{
    static const enum target_outcome outcomes[] = {TARGET_FAILURE, TARGET_NEUTRAL,
                                                   TARGET_RATE_LIMITED};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(outcomes); i++) {
        target_table_free(&table);
        (void)setup(NULL);
        assert_false(once(NOW, outcomes[i], 0));
        assert_true(fabs(target_load(t, NOW) - 250000) < 1);
        target_first_byte(t, NOW + 1, 1000000);
        assert_true(fabs(target_load(t, NOW + 1) - 1000000) < 1);
    }
}

static void probes(void **state)
{
    (void)state;
    target_probe(t, NOW, true);
    target_probe(t, NOW, false); // hints: never eject
    assert_int_equal(target_status(t, NOW), TARGET_OK);
    eject_by_failures(NOW);
    target_probe(t, NOW + MONO_SEC, false);
    assert_int_equal(target_status(t, NOW + MONO_SEC), TARGET_EJECTED);
    target_probe(t, NOW + MONO_SEC, true);
    assert_int_equal(target_status(t, NOW + MONO_SEC), TARGET_TRIAL);
    assert_true(once(NOW + MONO_SEC, TARGET_FAILURE, 0));
    assert_true(target_until_us(t, NOW + MONO_SEC) == NOW + 61 * MONO_SEC);
}

static void on_view(void *ctx, const struct target_view *v)
{
    *(struct target_view *)ctx = *v;
}

static void view(void **state)
{
    struct target_view v = {.in_flight = 9};

    (void)state;
    eject_by_failures(NOW);
    assert_true(target_begin(t, NOW, false));
    target_first_byte(t, NOW, 1234);
    target_each(table, NOW, on_view, &v);
    assert_true(slice_eq_str(v.provider, "openai"));
    assert_true(slice_eq_str(v.model, "gpt"));
    assert_true(slice_eq_str(v.key_id, "k1"));
    assert_int_equal(v.status, TARGET_EJECTED);
    assert_int_equal(v.ewma_us, 1234);
    assert_int_equal(v.in_flight, 1);
    assert_int_equal(v.ejections, 1);
    assert_int_equal(v.failures, 5);
    assert_int_equal(v.successes, 0);
    assert_true(v.until_us == NOW + 30 * MONO_SEC);
}

// --- threads -----------------------------------------------------------------------------------

#define THREADS 4
#define ROUNDS  200

static atomic_int claimed, ejected, arrived;

static void rendezvous(int round)
{
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < (round + 1) * THREADS) {
        (void)sched_yield();
    }
}

static void *racer(void *arg)
{
    int step = 0;

    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t now = NOW + (uint64_t)round * 1000 * MONO_SEC;
        bool won;

        for (int i = 0; i < 3; i++) { // 12 failures between all: one ejection
            (void)!target_begin(t, now, true);
            atomic_fetch_add(&ejected, target_end(t, now, TARGET_FAILURE, 0) ? 1 : 0);
        }
        rendezvous(step++);
        now += 400 * MONO_SEC;
        (void)target_load(t, now);
        won = target_begin(t, now, false);
        atomic_fetch_add(&claimed, won ? 1 : 0);
        rendezvous(step++);
        if (won) {
            (void)target_end(t, now, TARGET_SUCCESS, 0);
        }
        (void)target_get(table, SLICE("openai"), SLICE("x"), SLICE("y"), SLICE("z"));
        rendezvous(step++);
    }
    return NULL;
}

static void trial_is_claimed_once(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    atomic_store(&claimed, 0);
    atomic_store(&ejected, 0);
    atomic_store(&arrived, 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, racer, NULL), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&ejected), ROUNDS);
    assert_int_equal(atomic_load(&claimed), ROUNDS);
    assert_int_equal(target_in_flight(t), 0);
}

// Names that only clients know get half of the table, then one entry for each provider and key.
static void unlisted_models_cannot_fill_the_table(void **state)
{
    struct target_table *small = target_table_new(&config, 8);
    struct target *own[4], *shared;

    (void)state;
    for (int i = 0; i < 4; i++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "new-%d", i);
        own[i] = target_get_unlisted(small, SLICE("p"), slice_str(name), SLICE("k"), SLICE("u"));
        for (int j = 0; j < i; j++) {
            assert_ptr_not_equal(own[i], own[j]);
        }
    }
    shared = target_get_unlisted(small, SLICE("p"), SLICE("new-4"), SLICE("k"), SLICE("u"));
    assert_ptr_equal(shared, target_get(small, SLICE("p"), SLICE("*"), SLICE("k"), SLICE("u")));
    assert_ptr_equal(
        shared, target_get_unlisted(small, SLICE("p"), SLICE("new-5"), SLICE("k"), SLICE("u")));
    assert_ptr_equal(
        own[0], target_get_unlisted(small, SLICE("p"), SLICE("new-0"), SLICE("k"), SLICE("u")));
    assert_ptr_not_equal(shared,
                         target_get(small, SLICE("p"), SLICE("listed"), SLICE("k"), SLICE("u")));
    target_table_free(&small);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(identity),
        T(full_table_shares_one),
        T(unlisted_models_cannot_fill_the_table),
        T(consecutive_failures_eject),
        T(a_success_breaks_the_row),
        T(tuning_is_in_force_at_once),
        T(error_rate_ejects),
        T(ejections_grow_and_are_forgotten),
        T(one_trial_at_a_time),
        T(a_trial_that_says_nothing_is_free_again),
        T(late_results),
        T(rate_limits_cool),
        T(rate_limit_ends_an_ejection),
        T(quota),
        T(quota_steers),
        T(latency),
        T(refusals_are_no_attraction),
        T(probes),
        T(view),
        T(trial_is_claimed_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
