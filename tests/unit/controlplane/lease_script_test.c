// SPDX-License-Identifier: Apache-2.0
// The promise of a limit, held against lua/lease.lua by simulation: several proxies with random,
// uneven, shifting demand, delays on both ways, leases given back or forgotten. Over no interval
// may they admit more than capacity + capacity * w / refill, and they shall admit nearly that.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "tests/unit/controlplane/lease_rig.h"

#define PROXIES 3

static int setup(void **state)
{
    static struct lease_rig rig;

    lease_rig_start(&rig);
    *state = &rig;
    return 0;
}

static int teardown(void **state)
{
    lease_rig_stop(*state);
    return 0;
}

// One lease at a time, as a proxy holds it.
struct proxy {
    const char *name;
    uint64_t units, until_us; // on its own clock
    uint64_t batch;           // of the units
    uint64_t empty_until_us;
};

struct simulation {
    struct lease_rig *rig;
    struct rng rng;
    struct resource_limit limit;
    const char *key;
    struct proxy proxies[PROXIES];
    uint64_t now_us; // true time since the start
    // The bound as a bucket that is watched: it must never run below zero.
    double level;
    uint64_t level_us;
    uint64_t admitted, asked, calls;
    uint64_t max_delay_us;
};

static void step(struct simulation *s, uint64_t us)
{
    s->now_us += us;
    lease_rig_advance(s->rig, us);
}

// The request is sent upstream now.
static void admit(struct simulation *s)
{
    double rate = (double)s->limit.amount / (double)s->limit.per_us;

    s->level += rate * (double)(s->now_us - s->level_us);
    s->level = s->level > (double)s->limit.amount ? (double)s->limit.amount : s->level;
    s->level_us = s->now_us;
    s->level -= 1;
    s->admitted++;
    if (s->level < -1e-6) {
        fail_msg("over the bound by %g after %llu us, amount %llu", -s->level,
                 (unsigned long long)s->now_us, (unsigned long long)s->limit.amount);
    }
}

static uint64_t delay(struct simulation *s)
{
    return s->max_delay_us == 0 ? 0 : rng_below(&s->rng, s->max_delay_us);
}

// Asks for what is needed and a little more; gives back what is left, be it of a lease that is
// over.
static void ask(struct simulation *s, struct proxy *p, uint64_t need)
{
    struct lease_question q = {.key = s->key, .proxy = p->name, .limit = &s->limit};
    struct lease_answer a;

    q.returned = p->units;
    q.batch = p->batch;
    q.want = need + s->limit.amount / 200;
    p->units = 0;
    step(s, delay(s)); // others are not served meanwhile: their requests come later
    a = lease_rig_ask(s->rig, &q);
    s->calls++;
    step(s, delay(s));
    assert_true(a.granted >= 0 && (uint64_t)a.granted <= q.want);
    p->units = (uint64_t)a.granted;
    p->batch = (uint64_t)a.batch;
    p->until_us = s->now_us + (uint64_t)a.lease_us;
    p->empty_until_us = a.granted == 0 ? s->now_us + (uint64_t)a.empty_us : 0;
}

static bool request(struct simulation *s, struct proxy *p)
{
    s->asked++;
    if (s->now_us < p->empty_until_us) {
        return false;
    }
    if (p->units == 0 || s->now_us >= p->until_us) {
        ask(s, p, 1);
    }
    if (p->units == 0 || s->now_us >= p->until_us) {
        return false;
    }
    p->units--;
    admit(s);
    return true;
}

// Demand of `times` the refill for so many refill periods, shifting between the proxies, with
// bursts.
static void run(struct simulation *s, double times, double periods, bool idle_first)
{
    double rate = (double)s->limit.amount / (double)s->limit.per_us * times;
    uint64_t end_us = s->now_us + (uint64_t)(periods * (double)s->limit.per_us);
    size_t favourite = 0;

    if (idle_first) {
        // A few leases are taken and kept idle, over and over: they must not pile up.
        for (int i = 0; i < 60; i++) {
            ask(s, &s->proxies[i % PROXIES], 1);
            step(s, leases_length_us(&s->limit) / 4);
        }
    }
    while (s->now_us < end_us) {
        if (rng_below(&s->rng, 200) == 0) {
            favourite = rng_below(&s->rng, PROXIES);
        }
        if (rng_below(&s->rng, 50) != 0) { // else: one more in the same moment
            step(s, (uint64_t)(-__builtin_log(1 - rng_unit(&s->rng)) / rate) + 1);
        }
        (void)request(
            s, &s->proxies[rng_below(&s->rng, 3) != 0 ? favourite : rng_below(&s->rng, PROXIES)]);
    }
}

static struct simulation simulate(struct lease_rig *rig, const char *key, uint64_t amount,
                                  uint64_t per_us, uint64_t seed)
{
    struct simulation s = {.rig = rig,
                           .key = key,
                           .limit = {.unit = RESOURCE_REQUESTS, .amount = amount, .per_us = per_us},
                           .level = (double)amount};

    rng_init(&s.rng, seed);
    for (size_t i = 0; i < PROXIES; i++) {
        s.proxies[i].name = (const char *const[]){"a", "b", "c"}[i];
    }
    return s;
}

static void never_over_the_bound(void **state)
{
    static const struct {
        uint64_t amount, per_us, delay_us;
        double times, periods;
    } cases[] = {
        {1, 60 * MONO_SEC, 0, 5, 40},
        {1, MONO_SEC, 2 * MONO_MS, 5, 40},
        {2, 60 * MONO_SEC, 20 * MONO_MS, 3, 40},
        {7, 60 * MONO_SEC, 20 * MONO_MS, 0.9, 40},
        {30, 10 * MONO_SEC, 5 * MONO_MS, 1.5, 20},
        {100, 60 * MONO_SEC, 50 * MONO_MS, 2, 8},
        {1000, 60 * MONO_SEC, 5 * MONO_MS, 0.5, 2},
        {1000, 60 * MONO_SEC, 5 * MONO_MS, 1.2, 3},
        {1000, 3600 * MONO_SEC, 50 * MONO_MS, 3, 1},
        {5000, 60 * MONO_SEC, 1 * MONO_MS, 1.1, 1},
    };
    struct lease_rig *rig = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char key[32];
        struct simulation s;

        (void)snprintf(key, sizeof(key), "{sluice}:l:%zu", i);
        s = simulate(rig, key, cases[i].amount, cases[i].per_us, 7 + i);
        s.max_delay_us = cases[i].delay_us;
        run(&s, cases[i].times, cases[i].periods, (i & 1) != 0);
        assert_true(s.admitted > 0);
    }
}

// While demand exceeds it, at least 95 % of what the refill provides is admitted.
static void nearly_all_of_the_refill_is_used(void **state)
{
    static const struct {
        uint64_t amount, per_us, delay_us;
        double periods;
    } cases[] = {
        {1, 60 * MONO_SEC, MONO_MS, 60},
        {3, 60 * MONO_SEC, MONO_MS, 40},
        {10, 60 * MONO_SEC, MONO_MS, 20},
        {60, 60 * MONO_SEC, MONO_MS, 10},
        {1000, 60 * MONO_SEC, MONO_MS, 4},
        {10, MONO_SEC, MONO_MS / 2, 40},
        {100000, 60 * MONO_SEC, MONO_MS / 10, 0.1},
    };
    struct lease_rig *rig = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char key[32];
        struct simulation s;
        double refilled;
        uint64_t before;

        (void)snprintf(key, sizeof(key), "{sluice}:u:%zu", i);
        s = simulate(rig, key, cases[i].amount, cases[i].per_us, 70 + i);
        s.max_delay_us = cases[i].delay_us;
        // Empty it first: what comes then is refill alone. (It does not fill while the leases of
        // the burst that emptied it may still be spent: 2 % of a refill time, once; hence the
        // steps.)
        for (int k = 0; k < 100; k++) {
            step(&s, k % 20 == 0 ? leases_length_us(&s.limit) : 0);
            ask(&s, &s.proxies[k % PROXIES], s.limit.amount);
            while (s.proxies[k % PROXIES].units > 0) {
                s.proxies[k % PROXIES].units--;
                admit(&s);
            }
        }
        before = s.admitted;
        refilled = cases[i].periods * (double)cases[i].amount;
        // Demand so dense that a unit does not wait for its request: a bucket of one fills only
        // once it was emptied.
        run(&s, cases[i].amount < 100 ? 100 : 3, cases[i].periods, false);
        if ((double)(s.admitted - before) < 0.95 * refilled - 1) {
            fail_msg("%llu per %llu us: %llu of %g used", (unsigned long long)cases[i].amount,
                     (unsigned long long)cases[i].per_us, (unsigned long long)(s.admitted - before),
                     refilled);
        }
    }
}

// 1,100 requests inside one second against 1,000 a minute.
static void a_burst_gets_the_capacity(void **state)
{
    struct simulation s = simulate(*state, "{sluice}:burst", 1000, 60 * MONO_SEC, 3);

    for (int i = 0; i < 1100; i++) {
        step(&s, MONO_SEC / 1100);
        (void)request(&s, &s.proxies[0]);
    }
    assert_in_range(s.admitted, 990, 1017);
    // All at once.
    s = simulate(*state, "{sluice}:burst2", 1000, 60 * MONO_SEC, 3);
    ask(&s, &s.proxies[0], 1100);
    assert_in_range(s.proxies[0].units, 990, 1000);
}

static void a_denial_says_when(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limits[] = {
        {.unit = RESOURCE_REQUESTS, .amount = 10, .per_us = 10 * MONO_SEC},
        {.unit = RESOURCE_REQUESTS, .amount = 1, .per_us = 10 * MONO_SEC},
        {.unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC},
    };

    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        char key[32];
        struct lease_question q = {.key = key, .limit = &limits[i], .want = limits[i].amount};
        struct lease_answer a;

        (void)snprintf(key, sizeof(key), "{sluice}:d:%zu", i);
        do {
            a = lease_rig_ask(rig, &q);
        } while (a.granted > 0);
        q.want = 1;
        a = lease_rig_ask(rig, &q);
        assert_int_equal(a.granted, 0);
        assert_int_equal(a.remaining, 0);
        assert_true(a.empty_us > 0 && a.reset_us > 0);
        // Not a moment before, and then.
        lease_rig_advance(rig, (uint64_t)a.empty_us - 2);
        assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
        lease_rig_advance(rig, 3);
        assert_int_equal(lease_rig_ask(rig, &q).granted, 1);
    }
}

static void debt_blocks_until_it_is_repaid(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 1000, .per_us = 10 * MONO_SEC};
    struct lease_question q = {.key = "{sluice}:debt", .limit = &limit, .want = 100};
    struct lease_answer a = lease_rig_ask(rig, &q);

    assert_int_equal(a.granted, 100);
    q = (struct lease_question){.key = "{sluice}:debt", .limit = &limit, .want = 1, .debt = 1900};
    a = lease_rig_ask(rig, &q);
    assert_int_equal(a.granted, 0);
    // 1,005 below zero or so: 10 s and a little.
    assert_in_range(a.empty_us, 10 * MONO_SEC, 11 * MONO_SEC);
    q.debt = 0;
    lease_rig_advance(rig, 9 * MONO_SEC);
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    lease_rig_advance(rig, 2 * MONO_SEC);
    assert_int_equal(lease_rig_ask(rig, &q).granted, 1);
}

static void on_count(void *arg, const struct redis_reply *r, const struct err *e)
{
    assert_null(e);
    *(int64_t *)arg = redis_int(r);
}

static void what_comes_back_in_time_counts_again(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_REQUESTS, .amount = 100, .per_us = 60 * MONO_SEC};
    struct lease_question q = {.key = "{sluice}:back", .limit = &limit, .want = 100};
    struct lease_answer a = lease_rig_ask(rig, &q);

    assert_int_equal(a.granted, 100);
    q.batch = (uint64_t)a.batch;
    q.want = 60;
    q.returned = 60;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 60);
    // Much too late: those units have died, and the bucket has filled since.
    lease_rig_advance(rig, 3600 * MONO_SEC);
    q.returned = 60;
    q.want = 1000;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 100);
    q.returned = 0;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    // The same, now that there is room again: what was spent since is not given out twice.
    lease_rig_advance(rig, 10 * MONO_SEC);
    q.returned = 60;
    assert_in_range(lease_rig_ask(rig, &q).granted, 14, 17);
    // More than was ever given out; a number that was never given.
    q.returned = 100000;
    a = lease_rig_ask(rig, &q);
    assert_true(a.granted <= 100);
    q.batch = UINT64_C(1) << 52;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    q.batch = 0; // a proxy that does not say
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
}

// A reservation that ends long after its lease, while the limit is short all the time: no other
// unit has come in its place, so it counts again. Spent in an instant, all of it stays under the
// bound.
static void a_late_refund_counts_while_nothing_replaced_it(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 6000, .per_us = 60 * MONO_SEC};
    struct lease_question q = {.key = "{sluice}:late", .limit = &limit, .want = 6000};
    struct lease_answer a = lease_rig_ask(rig, &q);
    uint64_t first = (uint64_t)a.batch;

    assert_in_range(a.granted, 5970, 6000);
    q.want = 0;
    // 20 s later a third has been refilled. 3,000 come back: 5,000.
    lease_rig_advance(rig, 20 * MONO_SEC);
    q.returned = 3000;
    q.batch = first;
    a = lease_rig_ask(rig, &q);
    assert_in_range(a.remaining, 4900, 5000);
    // After 15 s more it is full, so the refill has replaced some: 2,000 more are worth nothing.
    lease_rig_advance(rig, 15 * MONO_SEC);
    q.returned = 2000;
    a = lease_rig_ask(rig, &q);
    assert_in_range(a.remaining, 5960, 6000);
    q.returned = 0;
    q.want = 6000;
    assert_in_range(lease_rig_ask(rig, &q).granted, 5960, 6000);
    q.returned = 1000; // the margin's worth was not replaced
    assert_in_range(lease_rig_ask(rig, &q).granted, 0, 30);
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
}

// Another amount: numbers of before mean nothing.
static void another_amount_begins_new_numbers(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit more = {
        .unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC};
    const struct resource_limit less = {
        .unit = RESOURCE_REQUESTS, .amount = 10, .per_us = 60 * MONO_SEC};
    struct lease_question q = {.key = "{sluice}:n", .limit = &more, .want = 1000};
    struct lease_answer a = lease_rig_ask(rig, &q);

    assert_in_range(a.granted, 990, 1000);
    lease_rig_advance(rig, 2 * MONO_SEC); // its lease is over
    q.limit = &less;
    q.want = 0;
    q.returned = 10;
    q.batch = (uint64_t)a.batch;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 0);
    q.limit = &more;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 0);
}

// However many proxies there are, a bucket stays a handful of fields.
static void a_bucket_does_not_grow_with_proxies(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC};
    const struct slice argv[] = {SLICE("HLEN"), SLICE("{sluice}:many")};
    int64_t fields = -1;

    for (int i = 0; i < 200; i++) {
        char name[16];
        struct lease_question q = {
            .key = "{sluice}:many", .proxy = name, .limit = &limit, .want = 1};

        (void)snprintf(name, sizeof(name), "p%d", i);
        assert_int_equal(lease_rig_ask(rig, &q).granted, 1);
    }
    redis_command(rig->redis, argv, ARRAY_LEN(argv), MONO_SEC, on_count, &fields);
    while (fields < 0) {
        loop_turn(rig->loop, 20 * MONO_MS);
    }
    assert_in_range(fields, 1, 10);
}

static void windows_are_whole_at_their_start(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_USD, .amount = 5000000000, .per_us = 86400 * MONO_SEC};
    uint64_t start = rig->redis_us / (86400 * MONO_SEC) * 86400 * MONO_SEC;
    struct lease_question q = {
        .key = "{sluice}:w", .limit = &limit, .want = 3000000000, .anchor_us = start};
    struct lease_answer a = lease_rig_ask(rig, &q);

    assert_int_equal(a.granted, 3000000000);
    assert_int_equal(a.remaining, 2000000000);
    a = lease_rig_ask(rig, &q);
    assert_int_equal(a.granted, 2000000000);
    a = lease_rig_ask(rig, &q);
    assert_int_equal(a.granted, 0);
    assert_int_equal(a.empty_us, start + 86400 * MONO_SEC - rig->redis_us);
    q.returned = 1000000000;
    q.window = start;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 1000000000);
    q.returned = 0;
    // The lease ends with the window.
    lease_rig_advance(rig, (uint64_t)a.empty_us - 1000000);
    q.debt = 7;
    a = lease_rig_ask(rig, &q);
    assert_int_equal(a.granted, 0);
    lease_rig_advance(rig, 1000001);
    q = (struct lease_question){.key = "{sluice}:w",
                                .limit = &limit,
                                .want = 1000,
                                .returned = 2000000000, // of the last one: not taken
                                .window = start,
                                .anchor_us = start};
    a = lease_rig_ask(rig, &q);
    assert_int_equal(a.granted, 1000);
    assert_int_equal(a.remaining, 5000000000 - 1000);
}

// A proxy gives back no more than it was granted in this window.
static void windows_take_back_what_they_gave(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 100, .per_us = 86400 * MONO_SEC};
    uint64_t start = rig->redis_us - 3600 * MONO_SEC;
    struct lease_question q = {
        .key = "{sluice}:wb", .proxy = "a", .limit = &limit, .want = 60, .anchor_us = start};

    assert_int_equal(lease_rig_ask(rig, &q).window, start);
    q.window = start;
    q.proxy = "b";
    q.returned = 50; // it has had nothing
    assert_int_equal(lease_rig_ask(rig, &q).granted, 40);
    q.want = 100;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 40); // its own 40
    q.returned = 0;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    q.proxy = "a";
    q.returned = 60;
    q.window = start - 86400 * MONO_SEC; // of another one
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    q.window = start;
    q.returned = 100;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 60);
}

static void calendar_windows_need_the_right_bounds(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 10, .calendar = RESOURCE_DAY};
    uint64_t t = rig->redis_us;
    char bounds[120];
    struct lease_question q = {.key = "{sluice}:c", .limit = &limit, .want = 10, .bounds = bounds};
    struct lease_answer a;

    (void)snprintf(bounds, sizeof(bounds), "%llu,%llu,%llu,%llu", (unsigned long long)(t - 900),
                   (unsigned long long)(t - 100), (unsigned long long)(t + 5000000),
                   (unsigned long long)(t + 10000000));
    a = lease_rig_ask(rig, &q);
    assert_int_equal(a.granted, 10);
    assert_in_range(a.lease_us, 1, 5000000);
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    lease_rig_advance(rig, 5000001);
    assert_int_equal(lease_rig_ask(rig, &q).granted, 10);
    lease_rig_advance(rig, 5000001);
    assert_int_equal(lease_rig_ask(rig, &q).granted, -1);
}

// Two control planes of which one has no zones, or whose limit got another zone a moment earlier,
// name different windows of one day: what is counted goes on until the window that it is counted in
// is over.
static void other_bounds_begin_nothing_anew(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 100, .calendar = RESOURCE_DAY};
    const uint64_t day = 86400 * MONO_SEC, hour = 3600 * MONO_SEC, t = rig->redis_us;
    char bounds[2][120];
    int64_t granted = 0, first = 0;
    uint64_t no = 1;

    for (int i = 0; i < 2; i++) {
        uint64_t from = t - 10 * hour - (uint64_t)i * hour;

        (void)snprintf(bounds[i], sizeof(bounds[i]), "%llu,%llu,%llu,%llu",
                       (unsigned long long)(from - day), (unsigned long long)from,
                       (unsigned long long)(from + day), (unsigned long long)(from + 2 * day));
    }
    for (int i = 0; i < 40; i++) {
        struct lease_question q = {.key = "{sluice}:c",
                                   .limit = &limit,
                                   .want = 10,
                                   .no = no++,
                                   .window = (uint64_t)first,
                                   .taken = (uint64_t)granted,
                                   .bounds = bounds[i % 2]};
        struct lease_answer a = lease_rig_ask(rig, &q);

        first = i == 0 ? a.window : first;
        granted += a.granted;
        assert_int_equal(a.window, first);
        lease_rig_advance(rig, MONO_SEC);
    }
    assert_int_equal(granted, 100);
    // Then theirs begins.
    lease_rig_advance(rig, 14 * hour);
    for (int i = 0; i < 4; i++) {
        struct lease_question q = {
            .key = "{sluice}:c", .limit = &limit, .want = 60, .no = no++, .bounds = bounds[i % 2]};

        assert_int_equal(lease_rig_ask(rig, &q).granted, i == 0 ? 60 : i == 1 ? 40 : 0);
    }
}

// What a proxy has of a window, told with each question: whatever was lost on the way, in either
// direction, is made good by the next one that arrives.
static void what_is_taken_is_told(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 100, .per_us = 86400 * MONO_SEC};
    uint64_t start = rig->redis_us - 3600 * MONO_SEC;
    struct lease_question q = {.key = "{sluice}:t",
                               .proxy = "a",
                               .limit = &limit,
                               .want = 40,
                               .anchor_us = start,
                               .no = 10};
    struct lease_question other = {
        .key = "{sluice}:t", .proxy = "b", .limit = &limit, .anchor_us = start};

    assert_int_equal(lease_rig_ask(rig, &q).granted, 40);
    q.window = start;
    // The answer to this one gets lost ...
    q = (struct lease_question){.key = q.key,
                                .proxy = "a",
                                .limit = &limit,
                                .want = 30,
                                .anchor_us = start,
                                .window = start,
                                .no = 11,
                                .taken = 40};
    assert_int_equal(lease_rig_ask(rig, &q).granted, 30);
    assert_int_equal(lease_rig_ask(rig, &other).remaining, 30);
    // ... so the proxy has 40 still. It gives back 15: 25.
    q.want = 0;
    q.no = 12;
    q.taken = 25;
    q.returned = 15;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 75);
    q.no = 13; // it does not know that this was heard
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 75);
    // One that was held up comes after that: it changes nothing and is granted nothing.
    q.no = 11;
    q.taken = 40;
    q.want = 30;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    assert_int_equal(lease_rig_ask(rig, &other).remaining, 75);
    // Debt is a part of what is taken: told twice, it is taken once.
    q = (struct lease_question){.key = q.key,
                                .proxy = "a",
                                .limit = &limit,
                                .anchor_us = start,
                                .window = start,
                                .no = 14,
                                .taken = 35,
                                .debt = 10};
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 65);
    q.no = 15;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 65);
}

// Whoever does not know the window (a new process, one that has forgotten a limit, the next window)
// begins at nothing; what was taken under its name before stays used.
static void a_new_account_gives_nothing_back(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 100, .per_us = 86400 * MONO_SEC};
    uint64_t start = rig->redis_us - 3600 * MONO_SEC;
    struct lease_question q = {.key = "{sluice}:t",
                               .proxy = "a",
                               .limit = &limit,
                               .want = 40,
                               .anchor_us = start,
                               .no = 10};

    assert_int_equal(lease_rig_ask(rig, &q).granted, 40);
    q.no = 20;
    q.want = 10;
    q.debt = 5;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 45);
    q = (struct lease_question){.key = q.key,
                                .proxy = "a",
                                .limit = &limit,
                                .anchor_us = start,
                                .window = start,
                                .no = 21,
                                .taken = 5,
                                .returned = 10};
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 55);
    q.no = 22;
    q.taken = 0;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 60); // 40 of before are gone
    // The next window: only what is used too much comes along.
    lease_rig_advance(rig, 86400 * MONO_SEC);
    q.no = 23;
    q.taken = 30;
    q.returned = 5;
    q.debt = 7;
    q.want = 3;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 90);
    for (int i = 0; i < 5; i++) { // the answers get lost: it still knows the one before only
        q.no++;
        assert_int_equal(lease_rig_ask(rig, &q).remaining, 90);
    }
    q = (struct lease_question){.key = q.key,
                                .proxy = "a",
                                .limit = &limit,
                                .anchor_us = start,
                                .window = start + 86400 * MONO_SEC,
                                .no = 40,
                                .taken = 8};
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 92);
}

// The answers to the first questions get lost: what was granted in them is not taken, as the next
// one says by the number of the first. What was taken before that stays used.
static void a_first_question_may_be_repeated(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 100, .per_us = 86400 * MONO_SEC};
    struct lease_question q = {.key = "{sluice}:t",
                               .proxy = "a",
                               .limit = &limit,
                               .want = 60,
                               .anchor_us = rig->redis_us - 3600 * MONO_SEC,
                               .no = 10,
                               .since = 10};

    assert_int_equal(lease_rig_ask(rig, &q).granted, 60);
    q.no = 12;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 60);
    q.no = 11; // it was held up
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    q.no = 13;
    q.want = 30;
    q.debt = q.taken = 5;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 65);
    q.no = 14;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 65);
    // Heard, spent and forgotten: another account begins.
    q.no = q.since = 20;
    q.debt = q.taken = 0;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 35);
    q.no = 21;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 35);
    // They are of this window only.
    lease_rig_advance(rig, 86400 * MONO_SEC);
    q.no = 22;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 70);
    q.no = 23;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 70);
}

// To a bucket, too: what a question without an answer gave back is counted once, and what it was
// granted is there again.
static void a_bucket_is_told_again(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 1000, .per_us = 60 * MONO_SEC};
    struct lease_question q = {
        .key = "{sluice}:t", .proxy = "a", .limit = &limit, .want = 500, .no = 10, .since = 10};
    struct lease_answer first = lease_rig_ask(rig, &q);

    assert_int_equal(first.granted, 500);
    assert_int_equal(first.remaining, 495);
    // It gives back 100 and asks for 20 more. The answer gets lost, and it tells of that again.
    q.no = q.since = 11;
    q.want = 20;
    q.returned = 100;
    q.batch = (uint64_t)first.batch;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 575);
    q.no = 12;
    q.returned = 30;
    q.again = 100;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 605);
    q.no = 13; // nor was that heard; nothing new
    q.returned = 0;
    q.again = 130;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 605);
    q.no = 12; // it was held up
    assert_int_equal(lease_rig_ask(rig, &q).granted, 0);
    // A question that never came: all that it said counts now.
    q.no = 15;
    q.since = 14;
    q.want = 0;
    q.again = 50;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 655);
    q.no = 16; // heard, but not known to be
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 655);
    // Other holders are not told apart from those who number nothing.
    q = (struct lease_question){.key = q.key, .proxy = "b", .limit = &limit, .want = 655};
    assert_int_equal(lease_rig_ask(rig, &q).granted, 655);
}

static void on_stored(void *arg, const struct redis_reply *r, const struct err *e)
{
    bool *done = arg;

    (void)r;
    assert_null(e);
    *done = true;
}

// What the script of an earlier version does to a bucket that takes back 100.
static void earlier_version_takes_back(struct lease_rig *rig, const char *key)
{
    static const char *const fields[2][2] = {{"v", "100"}, {"a", "-100"}};

    for (size_t i = 0; i < 2; i++) {
        const struct slice argv[] = {SLICE("HINCRBYFLOAT"), slice_str(key), slice_str(fields[i][0]),
                                     slice_str(fields[i][1])};
        bool done = false;

        redis_command(rig->redis, argv, ARRAY_LEN(argv), MONO_SEC, on_stored, &done);
        FAKE_MONO_UNTIL(rig->loop, done);
    }
}

// A control plane of an earlier version has heard a question and its answer got lost; nothing says
// so but that the bucket is another one. What is told again does not count then, for a while.
static void earlier_versions_leave_no_word(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 1000, .per_us = 3600 * MONO_SEC};
    struct lease_question q = {
        .key = "{sluice}:t", .proxy = "a", .limit = &limit, .want = 500, .no = 10, .since = 10};
    struct lease_answer first = lease_rig_ask(rig, &q);

    assert_int_equal(first.granted, 500);
    earlier_version_takes_back(rig, q.key); // question 11
    q.no = 12;
    q.since = 11;
    q.want = 0;
    q.returned = 7;
    q.again = 100;
    q.batch = (uint64_t)first.batch;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, first.remaining + 107);
    q.no = 13;
    q.returned = 1;
    q.again = 107;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, first.remaining + 108);
    // Of another proxy, seen by the first one's question.
    q = (struct lease_question){.key = q.key, .proxy = "b", .limit = &limit, .no = 5, .since = 5};
    earlier_version_takes_back(rig, q.key);
    assert_int_equal(lease_rig_ask(rig, &q).remaining, first.remaining + 208);
    q.proxy = "c";
    q.no = 6;
    q.again = 100;
    q.batch = (uint64_t)first.batch;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, first.remaining + 208);
    lease_rig_advance(rig, 21 * MONO_SEC); // 5.8 units at most
    q.proxy = "d";
    assert_in_range(lease_rig_ask(rig, &q).remaining, first.remaining + 308, first.remaining + 314);
}

// A store that lost its tail (or was restored from an older dump) hears from each proxy what it
// has.
static void a_store_that_forgot_is_told(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_TOKENS, .amount = 100, .per_us = 86400 * MONO_SEC};
    uint64_t start = rig->redis_us - 3600 * MONO_SEC;
    struct lease_question q = {.key = "{sluice}:t",
                               .proxy = "a",
                               .limit = &limit,
                               .want = 1,
                               .anchor_us = start,
                               .no = 10};

    assert_int_equal(lease_rig_ask(rig, &q).granted, 1);
    q.window = start;
    q.no = 11;
    q.taken = 60;
    assert_int_equal(lease_rig_ask(rig, &q).remaining, 39);
}

// Redis's clock jumps; the caller's does not.
static void on_pause(void *arg, const struct redis_reply *r, const struct err *e)
{
    (void)r;
    assert_null(e);
    *(bool *)arg = true;
}

// After adopt.lua nothing is granted for one length of a lease, each limit's own.
static void adopting_pauses_for_a_lease(void **state)
{
    struct lease_rig *rig = *state;
    const struct slice argv[] = {SLICE("HSET"), SLICE("{sluice}:clock"), SLICE("pause"),
                                 SLICE("begin")};
    const struct resource_limit minute = {
        .unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC};
    const struct resource_limit day = {
        .unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 86400 * MONO_SEC};
    struct lease_question q = {.key = "{sluice}:p", .limit = &minute, .want = 1};
    struct lease_question w = {.key = "{sluice}:q", .limit = &day, .want = 1};
    bool done = false;

    assert_int_equal(lease_rig_ask(rig, &q).granted, 1);
    redis_command(rig->redis, argv, ARRAY_LEN(argv), MONO_SEC, on_pause, &done);
    while (!done) {
        loop_turn(rig->loop, 20 * MONO_MS);
    }
    assert_int_equal(lease_rig_ask(rig, &q).granted, -2);
    assert_int_equal(lease_rig_ask(rig, &w).granted, -2);
    lease_rig_advance(rig, leases_length_us(&minute) - 1);
    assert_int_equal(lease_rig_ask(rig, &q).granted, -2);
    lease_rig_advance(rig, 1);
    assert_int_equal(lease_rig_ask(rig, &q).granted, 1);
    assert_int_equal(lease_rig_ask(rig, &w).granted, -2);
    lease_rig_advance(rig, leases_length_us(&day));
    assert_int_equal(lease_rig_ask(rig, &w).granted, 1);
    assert_int_equal(lease_rig_ask(rig, &q).granted, 1);
}

static void jumps_of_the_clock_grant_nothing_early(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit limit = {
        .unit = RESOURCE_REQUESTS, .amount = 60, .per_us = 60 * MONO_SEC};
    struct lease_question q = {.key = "{sluice}:jump", .limit = &limit, .want = 60};
    int64_t granted = 0;

    assert_int_equal(lease_rig_ask(rig, &q).granted, 60);
    // An hour ahead at once: nothing of it is believed.
    rig->redis_us += 3600 * MONO_SEC;
    for (int i = 0; i < 10; i++) {
        granted += lease_rig_ask(rig, &q).granted;
        assert_true(rig->clock_error > 0);
        lease_rig_advance(rig, 100 * MONO_MS);
    }
    assert_true(granted <= 1);
    for (int i = 0; i < 100; i++) {
        lease_rig_advance(rig, 100 * MONO_MS);
        granted += lease_rig_ask(rig, &q).granted;
    }
    assert_in_range(granted, 9, 11); // 11 s at one a second: time goes on by the caller's clock

    // Back by a day: it goes on as well.
    rig->redis_us -= 90000 * MONO_SEC;
    granted = 0;
    for (int i = 0; i < 100; i++) {
        lease_rig_advance(rig, 100 * MONO_MS);
        granted += lease_rig_ask(rig, &q).granted;
    }
    assert_in_range(granted, 9, 10);
    assert_true(rig->clock_error < 0);

    // Right again: nothing is made up for, and it is believed as before.
    rig->redis_us += (90000 - 3600) * MONO_SEC;
    granted = 0;
    for (int i = 0; i < 100; i++) {
        lease_rig_advance(rig, 100 * MONO_MS);
        granted += lease_rig_ask(rig, &q).granted;
    }
    assert_in_range(granted, 9, 10);
    assert_int_equal(rig->clock_error, 0);
}

// Two questions in one call: a short lease's pause is over, a long one's is not.
static void ask_both(struct lease_rig *rig, uint64_t debt, uint64_t no)
{
    char n[6][24];
    const struct slice argv[] = {
        SLICE("{sluice}:clock"),
        SLICE("short"),
        SLICE("long"),
        slice_str(rig->caller),
        slice_str(lease_rig_number(n[0], rig->mono_us)),
        SLICE("p"),
        SLICE("b"),
        SLICE("1000"),
        SLICE("1000000"),
        SLICE("10000"),
        SLICE("1"),
        SLICE("0"),
        SLICE("0"),
        SLICE("0"),
        SLICE("0"),
        SLICE("0"),
        SLICE("0"),
        SLICE("0"),
        SLICE("0"),
        SLICE("0"),
        SLICE("w"),
        SLICE("100"),
        SLICE("86400000000"),
        SLICE("5000000"),
        SLICE("1"),
        SLICE("0"),
        slice_str(lease_rig_number(n[1], debt)),
        SLICE("0"),
        SLICE("0"),
        slice_str(lease_rig_number(n[5], no)),
        SLICE("0"),
        SLICE("0"),
        SLICE("0"),
        slice_str(lease_rig_number(n[2], rig->redis_us)),
        slice_str(lease_rig_number(n[3], rig->redis_us / MONO_SEC)),
        slice_str(lease_rig_number(n[4], rig->redis_us % MONO_SEC)),
    };
    struct lease_wait w = {.rig = rig};

    rig->waiting = true;
    redis_eval(rig->redis, 0, 3, argv, ARRAY_LEN(argv), 5 * MONO_SEC, lease_rig_on_reply, &w);
    while (rig->waiting) {
        loop_turn(rig->loop, 20 * MONO_MS);
    }
    assert_int_equal(w.answer.granted, 1);
}

// A message with one answer counts as heard by a proxy that numbers no questions: debts told in it
// must not be lost with the pause. One that does tells them again.
static void debt_is_taken_during_a_pause(void **state)
{
    struct lease_rig *rig = *state;
    const struct resource_limit day = {
        .unit = RESOURCE_REQUESTS, .amount = 100, .per_us = 86400 * MONO_SEC};
    const struct slice argv[] = {SLICE("HSET"), SLICE("{sluice}:clock"), SLICE("pause"),
                                 SLICE("begin")};
    struct lease_question q = {.key = "long", .limit = &day, .anchor_us = rig->redis_us};
    bool done = false;

    redis_command(rig->redis, argv, ARRAY_LEN(argv), MONO_SEC, on_pause, &done);
    while (!done) {
        loop_turn(rig->loop, 20 * MONO_MS);
    }
    q.debt = 7;
    assert_int_equal(lease_rig_ask(rig, &q).granted, -2); // nothing heard: told again
    lease_rig_advance(rig, MONO_SEC);
    q.anchor_us = rig->redis_us;
    ask_both(rig, 30, 0);
    ask_both(rig, 11, 1);
    lease_rig_advance(rig, 5 * MONO_SEC);
    q.debt = 0;
    q.want = 100;
    assert_int_equal(lease_rig_ask(rig, &q).granted, 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(never_over_the_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(nearly_all_of_the_refill_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(a_burst_gets_the_capacity, setup, teardown),
        cmocka_unit_test_setup_teardown(a_denial_says_when, setup, teardown),
        cmocka_unit_test_setup_teardown(debt_blocks_until_it_is_repaid, setup, teardown),
        cmocka_unit_test_setup_teardown(what_comes_back_in_time_counts_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_late_refund_counts_while_nothing_replaced_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(another_amount_begins_new_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bucket_does_not_grow_with_proxies, setup, teardown),
        cmocka_unit_test_setup_teardown(windows_are_whole_at_their_start, setup, teardown),
        cmocka_unit_test_setup_teardown(windows_take_back_what_they_gave, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_taken_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_account_gives_nothing_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_first_question_may_be_repeated, setup, teardown),
        cmocka_unit_test_setup_teardown(a_bucket_is_told_again, setup, teardown),
        cmocka_unit_test_setup_teardown(earlier_versions_leave_no_word, setup, teardown),
        cmocka_unit_test_setup_teardown(a_store_that_forgot_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(calendar_windows_need_the_right_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(other_bounds_begin_nothing_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(adopting_pauses_for_a_lease, setup, teardown),
        cmocka_unit_test_setup_teardown(debt_is_taken_during_a_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(jumps_of_the_clock_grant_nothing_early, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
