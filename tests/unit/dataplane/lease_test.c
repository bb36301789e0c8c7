// SPDX-License-Identifier: Apache-2.0
// Arithmetic of one lease: nothing is lost, nothing is spent twice, nothing outlives its lease.
#include "dataplane/lease.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mono.h"
#include "common/base/rng.h"

#define NOW (1000 * MONO_SEC)

static const struct resource_limit hundred = {
    .unit = RESOURCE_REQUESTS, .amount = 100, .per_us = 60 * MONO_SEC};

static struct lease fresh(void)
{
    struct lease l = {.unit = 0};

    lease_configure(&l, &hundred);
    return l;
}

static void grant(struct lease *l, uint64_t units, uint64_t now_us)
{
    struct limit_grant g = {.granted = units,
                            .lease_us = MONO_SEC,
                            .remaining = l->amount - units,
                            .limit = 100,
                            .reset_us = 60 * MONO_SEC};

    lease_granted(l, &g, now_us);
}

static void takes_what_is_there(void **state)
{
    struct lease l = fresh();

    (void)state;
    assert_false(lease_take(&l, 1));
    assert_true(lease_take(&l, 0));
    grant(&l, 10, NOW);
    assert_true(lease_take(&l, 7));
    assert_false(lease_take(&l, 4));
    assert_true(lease_take(&l, 3));
    assert_int_equal(l.units, 0);
    assert_int_equal(l.spent, 10);
}

static void asks_by_the_pace_of_spending(void **state)
{
    static const struct resource_limit many = {
        .unit = RESOURCE_REQUESTS, .amount = 10000, .per_us = 60 * MONO_SEC};
    struct lease l = {.unit = 0};
    struct limit_ask q;

    (void)state;
    lease_configure(&l, &many);
    assert_false(lease_question(&l, 0, NOW, &q)); // nothing to say
    assert_true(lease_question(&l, 3, NOW, &q));
    assert_int_equal(q.want, 3);
    assert_true(lease_is_asked_for(&l, NOW));
    assert_false(lease_question(&l, 3, NOW + 200 * MONO_MS, &q)); // one at a time, however long
    lease_lost(&l, &q, NOW + 200 * MONO_MS);
    assert_true(lease_question(&l, 3, NOW + 200 * MONO_MS, &q));
    grant(&l, 20, NOW);
    assert_false(lease_is_asked_for(&l, NOW));
    assert_true(lease_take(&l, 20));
    assert_true(lease_question(&l, 1, NOW, &q));
    assert_int_equal(q.want, 41);
    grant(&l, 41, NOW);
    assert_true(lease_take(&l, 41));
    assert_true(lease_question(&l, 60, NOW, &q));
    assert_int_equal(q.want, 142);
    grant(&l, 142, NOW);
    assert_true(lease_take(&l, 142));
    assert_true(lease_question(&l, 1, NOW, &q));
    assert_int_equal(q.want, 101); // beyond the need no more than 1 % of the limit
    grant(&l, 20, NOW);
    assert_true(lease_question(&l, 20000, NOW, &q));
    assert_int_equal(q.want, 10000); // never more than the limit
}

// With less than half of the limit left nothing is kept ready that is not soon spent.
static void is_thrifty_when_units_are_short(void **state)
{
    static const struct resource_limit many = {
        .unit = RESOURCE_REQUESTS, .amount = 10000, .per_us = 60 * MONO_SEC};
    struct limit_grant g = {.granted = 1, .lease_us = MONO_SEC, .remaining = 4000};
    struct lease l = {.unit = 0};
    uint64_t now = NOW;
    struct limit_ask q;

    (void)state;
    lease_configure(&l, &many);
    // One each ten seconds: just that one, and no renewal.
    for (int i = 0; i < 5; i++, now += 10 * MONO_SEC) {
        assert_true(lease_question(&l, 1, now, &q));
        assert_int_equal(q.want, 1);
        lease_granted(&l, &g, now);
        assert_true(lease_take(&l, 1));
        assert_false(lease_wants_renewal(&l, now));
    }
    // A hundred a second: what is spent in a lease, which is a second long.
    for (int i = 0; i < 400; i++, now += 10 * MONO_MS) {
        assert_true(lease_question(&l, 1, now, &q));
        g.granted = 1;
        lease_granted(&l, &g, now);
        assert_true(lease_take(&l, 1));
    }
    assert_true(lease_wants_renewal(&l, now));
    assert_true(lease_question(&l, 1, now, &q));
    assert_in_range(q.want, 80, 101);
    // And it forgets.
    now += 60 * MONO_SEC;
    lease_granted(&l, &g, now);
    assert_true(lease_question(&l, 1, now, &q));
    assert_int_equal(q.want, 1);
    // Plenty: twice what was spent.
    g.remaining = 5000;
    lease_granted(&l, &g, now);
    assert_true(lease_take(&l, 1));
    assert_true(lease_wants_renewal(&l, now));
    assert_true(lease_question(&l, 1, now, &q));
    assert_int_equal(q.want, 3);
}

// Units of many hands gather a little before somebody who was refused asks again.
static void an_empty_bucket_is_not_asked_at_once(void **state)
{
    struct limit_grant none = {.granted = 0, .empty_us = 60, .lease_us = 300 * MONO_MS};
    struct lease l = fresh();
    struct limit_ask q;

    (void)state;
    assert_true(lease_question(&l, 1, NOW, &q));
    lease_granted(&l, &none, NOW);
    assert_int_equal(l.empty_until_us, NOW + 75 * MONO_MS);
    none.empty_us = MONO_SEC;
    lease_granted(&l, &none, NOW);
    assert_int_equal(l.empty_until_us, NOW + MONO_SEC);
}

// What goes back says from which grant it is: the oldest, when there are several.
static void what_is_owed_names_its_batch(void **state)
{
    struct limit_grant g = {.granted = 10, .lease_us = MONO_SEC, .remaining = 90, .batch = 500};
    struct lease l = fresh();
    struct limit_ask q;
    uint32_t no;

    (void)state;
    lease_granted(&l, &g, NOW);
    no = l.no;
    g.batch = 600;
    lease_granted(&l, &g, NOW + MONO_MS); // joins
    assert_int_equal(l.batch, 500);
    assert_true(lease_take(&l, 15));
    lease_expire(&l, NOW + 2 * MONO_SEC);
    g.batch = 700;
    lease_granted(&l, &g, NOW + 2 * MONO_SEC);
    assert_int_equal(l.batch, 700);
    lease_end(&l);
    assert_true(lease_question(&l, 0, NOW + 2 * MONO_SEC, &q));
    assert_int_equal(q.returned, 15);
    assert_int_equal(q.batch, 500);
    lease_granted(&l, &(const struct limit_grant){.batch = 700}, NOW + 2 * MONO_SEC);
    // A refund long after.
    lease_put_back(&l, no, 500, RESOURCE_REQUESTS, 3);
    assert_true(lease_question(&l, 0, NOW + 3 * MONO_SEC, &q));
    assert_int_equal(q.returned, 3);
    assert_int_equal(q.batch, 500);
    lease_not_asked(&l, &q);
    lease_put_back(&l, no, 700, RESOURCE_REQUESTS, 1);
    assert_true(lease_question(&l, 0, NOW + 3 * MONO_SEC, &q));
    assert_int_equal(q.returned, 4);
    assert_int_equal(q.batch, 500);
    // A number is no window.
    g.batch = 800;
    lease_granted(&l, &g, NOW + 4 * MONO_SEC);
    assert_int_equal(l.units, 10);
}

// What a question without an answer gave back is told again as such, until one is answered, or it
// is too old for the control plane to know.
static void what_was_given_back_is_told_again(void **state)
{
    struct lease l = fresh();
    struct limit_ask q;

    (void)state;
    lease_granted(&l, &(const struct limit_grant){.granted = 10, .lease_us = MONO_SEC, .batch = 5},
                  NOW);
    lease_end(&l);
    assert_true(lease_question(&l, 0, NOW + 1, &q));
    assert_int_equal(q.returned, 10);
    assert_int_equal(q.again, 0);
    assert_int_equal(q.since, q.no);
    lease_lost(&l, &q, NOW + 2);
    lease_put_back(&l, l.no, 9, RESOURCE_REQUESTS, 3);
    assert_true(lease_question(&l, 0, NOW + 3, &q));
    assert_int_equal(q.returned, 3);
    assert_int_equal(q.again, 10);
    assert_int_equal(q.batch, 5);
    assert_int_equal(q.since, NOW + 1);
    lease_lost(&l, &q, NOW + 4);
    assert_true(lease_question(&l, 0, NOW + 5, &q));
    assert_int_equal(q.returned, 0);
    assert_int_equal(q.again, 13);
    lease_not_asked(&l, &q);
    assert_true(lease_question(&l, 0, NOW + 6, &q));
    assert_int_equal(q.again, 13);
    lease_lost(&l, &q, NOW + 7);
    assert_true(lease_question(&l, 1, NOW + 20 * MONO_SEC, &q));
    assert_int_equal(q.again, 0);
    assert_int_equal(q.since, q.no);
    grant(&l, 1, NOW + 20 * MONO_SEC);
    assert_false(lease_question(&l, 0, NOW + 20 * MONO_SEC, &q));
}

// Nothing gets too old while a question is open: its answer may get lost, and what it gave back
// would then be told as if it had not been.
static void an_open_question_is_not_forgotten(void **state)
{
    struct lease l = fresh();
    struct limit_ask q;

    (void)state;
    lease_put_back(&l, l.no, 5, RESOURCE_REQUESTS, 10);
    assert_true(lease_question(&l, 0, NOW, &q));
    lease_lost(&l, &q, NOW + 100 * MONO_MS);
    lease_put_back(&l, l.no, 9, RESOURCE_REQUESTS, 3);
    assert_true(lease_question(&l, 0, NOW + 9950 * MONO_MS, &q));
    assert_int_equal(q.since, NOW);
    assert_false(lease_question(&l, 1, NOW + 10001 * MONO_MS, &(struct limit_ask){0}));
    lease_lost(&l, &q, NOW + 10050 * MONO_MS);
    assert_true(lease_question(&l, 1, NOW + 10100 * MONO_MS, &q));
    assert_int_equal(q.again, 0); // or `since` would be the number of one that told of it
    assert_int_equal(q.since, q.no);
}

static void renews_at_half_and_near_the_end(void **state)
{
    struct lease l = fresh();
    struct limit_grant none = {.granted = 0, .empty_us = MONO_SEC, .lease_us = MONO_SEC};
    struct limit_ask q;

    (void)state;
    assert_false(lease_wants_renewal(&l, NOW));
    assert_true(lease_question(&l, 1, NOW, &q));
    grant(&l, 10, NOW);
    assert_true(lease_take(&l, 5));
    assert_false(lease_wants_renewal(&l, NOW));
    assert_true(lease_take(&l, 1));
    assert_true(lease_wants_renewal(&l, NOW));
    lease_granted(&l, &none, NOW);
    assert_false(lease_wants_renewal(&l, NOW)); // there is nothing to be had
    assert_int_equal(l.units, 4);               // what is left may be spent
    assert_true(lease_wants_renewal(&l, NOW + 1100 * MONO_MS));
    assert_false(lease_wants_renewal(&l, NOW + 6 * MONO_SEC)); // for whom?

    l = fresh();
    grant(&l, 10, NOW);
    assert_false(lease_wants_renewal(&l, NOW + 700 * MONO_MS));
    assert_true(lease_wants_renewal(&l, NOW + 760 * MONO_MS));
}

static void what_is_over_is_owed(void **state)
{
    struct lease l = fresh();
    struct limit_ask q;
    uint32_t no;

    (void)state;
    grant(&l, 10, NOW);
    no = l.no;
    assert_true(lease_take(&l, 4));
    lease_expire(&l, NOW + MONO_SEC - 1);
    assert_int_equal(l.units, 6);
    lease_expire(&l, NOW + MONO_SEC);
    assert_int_equal(l.units, 0);
    assert_int_equal(l.owed, 6);
    // A refund after the end goes the same way, before and after the next lease began.
    lease_put_back(&l, no, 0, RESOURCE_REQUESTS, 1);
    assert_int_equal(l.owed, 7);
    grant(&l, 5, NOW + 2 * MONO_SEC);
    lease_put_back(&l, no, 0, RESOURCE_REQUESTS, 2);
    assert_int_equal(l.owed, 9);
    assert_int_equal(l.units, 5);
    assert_true(lease_question(&l, 0, NOW, &q));
    assert_int_equal(q.returned, 9);
    assert_int_equal(q.want, 0);
    assert_false(lease_question(&l, 0, NOW, &q));
}

static void grants_do_not_lengthen_a_lease(void **state)
{
    struct lease l = fresh();

    (void)state;
    grant(&l, 10, NOW);
    grant(&l, 10, NOW + 500 * MONO_MS); // joins
    assert_int_equal(l.units, 20);
    assert_int_equal(l.full, 20);
    assert_true(l.until_us == NOW + MONO_SEC);
    grant(&l, 10, NOW + 800 * MONO_MS); // last quarter: takes over
    assert_int_equal(l.units, 10);
    assert_int_equal(l.owed, 20);
    assert_true(l.until_us == NOW + 1800 * MONO_MS);
}

// Of a window they do: units of one window are all alike until it ends.
static void grants_of_a_window_lengthen_it(void **state)
{
    static const struct resource_limit day = {
        .unit = RESOURCE_REQUESTS, .amount = 100, .calendar = RESOURCE_DAY};
    struct lease l = {.unit = 0};
    struct limit_grant g = {.granted = 10, .lease_us = MONO_SEC, .remaining = 90, .window = 7};

    (void)state;
    lease_configure(&l, &day);
    lease_granted(&l, &g, NOW);
    lease_granted(&l, &g, NOW + 800 * MONO_MS);
    assert_int_equal(l.units, 20);
    assert_int_equal(l.owed, 0);
    assert_true(l.until_us == NOW + 1800 * MONO_MS);
    g.lease_us = 100 * MONO_MS; // the window is about to end
    lease_granted(&l, &g, NOW + 900 * MONO_MS);
    assert_true(l.until_us == NOW + 1000 * MONO_MS);
}

static void asked(struct lease *l, uint64_t now_us)
{
    struct limit_ask q;

    assert_true(lease_question(l, 1, now_us, &q));
}

// The answer took `after`; the lease is one second.
static void a_slow_answer_is_a_short_lease(void **state)
{
    static const struct resource_limit day = {
        .unit = RESOURCE_REQUESTS, .amount = 100, .calendar = RESOURCE_DAY};
    static const struct {
        bool window;
        uint64_t after_ms, until_ms;
    } cases[] = {
        {false, 0, 1000},    {false, 500, 1500},  {false, 1000, 2000},
        {false, 1500, 2000}, {false, 2500, 2000}, // over before it came
        {true, 0, 1000},     {true, 500, 1000},   {true, 1500, 1000},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct lease l = fresh();

        if (cases[i].window) {
            lease_configure(&l, &day);
            l.asked_at_us = 0;
        }
        asked(&l, NOW);
        grant(&l, 10, NOW + cases[i].after_ms * MONO_MS);
        assert_int_equal(l.until_us, NOW + cases[i].until_ms * MONO_MS);
        lease_expire(&l, NOW + cases[i].after_ms * MONO_MS);
        assert_int_equal(l.units, cases[i].after_ms >= cases[i].until_ms ? 0 : 10);
    }
}

// Whatever else has been answered, lost or changed meanwhile.
static void an_answer_is_as_old_as_its_question(void **state)
{
    static const struct resource_limit day = {
        .unit = RESOURCE_TOKENS, .amount = 100, .calendar = RESOURCE_DAY};
    static const struct resource_limit more = {
        .unit = RESOURCE_TOKENS, .amount = 500, .calendar = RESOURCE_DAY};
    struct limit_grant g = {.granted = 50, .lease_us = 50 * MONO_MS, .window = 7}, none = {0};
    struct lease l = {.unit = 0};
    struct limit_ask q;

    (void)state;
    lease_configure(&l, &day);
    asked(&l, NOW);
    lease_configure(&l, &more);
    lease_granted(&l, &g, NOW + 80 * MONO_MS); // the window ended 30 ms ago
    assert_int_equal(l.until_us, NOW + 50 * MONO_MS);

    l = fresh();
    grant(&l, 10, NOW);
    lease_end(&l);
    assert_true(lease_question(&l, 0, NOW + 1, &q));
    lease_granted(&l, &none, NOW + 2); // to what was given back
    asked(&l, NOW + 2);
    grant(&l, 10, NOW + 1500 * MONO_MS);
    assert_int_equal(l.until_us, NOW + 2 + 2000 * MONO_MS);
}

// Units of yesterday are worth nothing today: nothing of them goes back.
static void a_window_that_is_over_is_forgotten(void **state)
{
    static const struct resource_limit day = {
        .unit = RESOURCE_TOKENS, .amount = 100, .calendar = RESOURCE_DAY};
    struct limit_grant g = {.granted = 50, .lease_us = 5 * MONO_SEC, .remaining = 50, .window = 7};
    struct lease l = {.unit = 0};
    struct limit_ask q;
    uint32_t no;

    (void)state;
    lease_configure(&l, &day);
    asked(&l, NOW);
    lease_granted(&l, &g, NOW);
    no = l.no;
    assert_true(lease_take(&l, 40));
    lease_expire(&l, NOW + 5 * MONO_SEC);
    assert_int_equal(l.owed, 10);
    assert_true(lease_question(&l, 0, NOW + 6 * MONO_SEC, &q)); // the same day
    assert_int_equal(q.returned, 10);
    assert_int_equal(q.window, 7);
    lease_put_back(&l, no, 0, RESOURCE_TOKENS, 30);
    g.window = 8; // the next one
    lease_granted(&l, &g, NOW + 21 * MONO_SEC);
    lease_put_back(&l, no, 0, RESOURCE_TOKENS, 5); // a request that began yesterday
    assert_int_equal(l.owed, 0);
    assert_int_equal(l.units, 50);
    lease_put_back(&l, no, 0, RESOURCE_TOKENS, -5); // what it used too much counts
    assert_int_equal(l.units, 45);
    lease_put_back(&l, l.no, 0, RESOURCE_TOKENS, 5);
    assert_int_equal(l.units, 50);
}

// An answer cut by the control plane is no proof that there is no more.
static void scarce_means_nothing_is_left(void **state)
{
    struct limit_grant g = {.granted = 1, .lease_us = MONO_SEC, .remaining = 7};
    struct lease l = fresh();
    struct limit_ask q;

    (void)state;
    assert_true(lease_question(&l, 5, NOW, &q));
    lease_granted(&l, &g, NOW);
    assert_false(l.scarce);
    assert_true(lease_question(&l, 5, NOW, &q));
    g.remaining = 0;
    lease_granted(&l, &g, NOW);
    assert_true(l.scarce);
}

static void debt_is_sent_once(void **state)
{
    struct lease l = fresh();
    struct limit_ask q;

    (void)state;
    grant(&l, 10, NOW);
    assert_true(lease_take(&l, 10));
    lease_put_back(&l, l.no, 0, RESOURCE_REQUESTS, -25);
    assert_int_equal(l.units, -25);
    assert_false(lease_take(&l, 0)); // blocks
    assert_true(lease_question(&l, 0, NOW, &q));
    assert_int_equal(q.debt, 25);
    assert_int_equal(l.units, 0);
    lease_not_asked(&l, &q);
    assert_int_equal(l.units, -25);
    assert_true(lease_question(&l, 1, NOW, &q));
    lease_lost(&l, &q, NOW);
    assert_int_equal(l.units, -25); // kept
    assert_true(lease_question(&l, 1, NOW, &q));
    assert_int_equal(q.debt, 25);
    // A grant that comes before the debt was sent pays it.
    lease_put_back(&l, l.no, 0, RESOURCE_REQUESTS, -5);
    grant(&l, 8, NOW);
    assert_int_equal(l.units, 3);
}

static void unsent_is_undone_lost_is_not_given_twice(void **state)
{
    struct lease l = fresh();
    struct limit_ask q;

    (void)state;
    grant(&l, 10, NOW);
    lease_end(&l);
    assert_true(lease_question(&l, 1, NOW, &q));
    assert_int_equal(q.returned, 10);
    lease_not_asked(&l, &q);
    assert_int_equal(l.owed, 10);
    assert_false(lease_is_asked_for(&l, NOW));
    assert_true(lease_question(&l, 1, NOW, &q));
    lease_lost(&l, &q, NOW);
    assert_int_equal(l.owed, 0);
    assert_false(lease_is_asked_for(&l, NOW));
}

// An answer got lost; the question after it, which would have said so, could not be sent.
static void what_was_to_be_told_stays_so(void **state)
{
    static const struct resource_limit day = {
        .unit = RESOURCE_TOKENS, .amount = 100, .calendar = RESOURCE_DAY};
    struct limit_grant g = {.granted = 10, .lease_us = 5 * MONO_SEC, .remaining = 90, .window = 7};
    struct lease l = {.unit = 0};
    struct limit_ask q;

    (void)state;
    lease_configure(&l, &day);
    asked(&l, NOW);
    lease_granted(&l, &g, NOW);
    assert_true(lease_take(&l, 10));
    asked(&l, NOW + MONO_SEC);
    lease_lost(&l, &(struct limit_ask){.want = 1}, NOW + MONO_SEC);
    assert_true(lease_question(&l, 1, NOW + 2 * MONO_SEC, &q));
    lease_not_asked(&l, &q);
    assert_true(lease_question(&l, 0, NOW + 3 * MONO_SEC, &q)); // by the tick
    assert_int_equal(q.taken, 10);
}

static void changed_configuration(void **state)
{
    static const struct resource_limit less = {
        .unit = RESOURCE_REQUESTS, .amount = 5, .per_us = 60 * MONO_SEC};
    static const struct resource_limit tokens = {
        .unit = RESOURCE_TOKENS, .amount = 100, .per_us = 60 * MONO_SEC};
    struct lease l = fresh();
    struct limit_grant none = {.granted = 0, .empty_us = 5 * MONO_SEC};
    uint32_t no;

    (void)state;
    grant(&l, 10, NOW);
    no = l.no;
    assert_true(lease_take(&l, 2));
    lease_configure(&l, &hundred); // the same: nothing happens
    assert_int_equal(l.units, 8);
    lease_configure(&l, &less);
    assert_int_equal(l.units, 0);
    assert_int_equal(l.owed, 8);
    lease_put_back(&l, no, 0, RESOURCE_REQUESTS, 2);
    assert_int_equal(l.owed, 10);
    lease_granted(&l, &none, NOW);
    assert_true(l.empty_until_us > NOW);
    lease_configure(&l, &hundred); // raised: ask again
    assert_int_equal(l.empty_until_us, 0);
    lease_configure(&l, &tokens);
    assert_int_equal(l.owed, 0);
    lease_put_back(&l, no, 0, RESOURCE_REQUESTS, 2); // units of another kind
    assert_int_equal(l.owed, 0);
    assert_int_equal(l.units, 0);
}

static void loss_rule(void **state)
{
    static const struct {
        enum resource_unit unit;
        int rule;
        bool open;
    } cases[] = {{RESOURCE_REQUESTS, 0, true}, {RESOURCE_TOKENS, 0, true},
                 {RESOURCE_USD, 0, false},     {RESOURCE_USD, 1, true},
                 {RESOURCE_REQUESTS, 1, true}, {RESOURCE_REQUESTS, 2, false},
                 {RESOURCE_USD, 2, false}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct resource_limit limit = {
            .unit = cases[i].unit, .amount = 1, .on_control_loss = cases[i].rule};
        struct lease l = {.unit = 0};

        lease_configure(&l, &limit);
        assert_int_equal(l.open_on_loss, cases[i].open);
    }
}

// The share of one of `live` proxies of what was left, refilled by as much; a new window is whole.
static void own_share(void **state)
{
    static const struct resource_limit bucket = {
        .unit = RESOURCE_REQUESTS, .amount = 600, .per_us = 60 * MONO_SEC};
    static const struct resource_limit few = {
        .unit = RESOURCE_REQUESTS, .amount = 1, .per_us = 60 * MONO_SEC};
    static const struct resource_limit day = {
        .unit = RESOURCE_USD, .amount = 1000, .calendar = RESOURCE_DAY};
    static const struct resource_limit closed = {
        .unit = RESOURCE_USD, .amount = 1000, .per_us = MONO_SEC, .on_control_loss = 2};
    struct limit_grant g = {
        .granted = 1, .lease_us = MONO_SEC, .remaining = 300, .reset_us = 100 * MONO_SEC};
    struct lease l = {.unit = 0};

    (void)state;
    lease_configure(&l, &bucket);
    assert_int_equal(lease_local(&l, 0, NOW), 0);
    assert_int_equal(lease_local(&l, 3, NOW), 200); // never heard: of all
    lease_granted(&l, &g, NOW);
    // 300, and ten seconds' refill.
    assert_int_equal(lease_local(&l, 4, NOW + 10 * MONO_SEC), 100);
    lease_local_take(&l, 100);
    assert_int_equal(lease_local(&l, 4, NOW + 10 * MONO_SEC), 0);
    assert_int_equal(lease_local(&l, 4, NOW + 12 * MONO_SEC), 5);
    assert_int_equal(lease_local(&l, 4, NOW + 1000 * MONO_SEC), 150);
    lease_local_put_back(&l, 5);
    assert_int_equal(lease_local(&l, 4, NOW + 1000 * MONO_SEC), 150); // never more
    assert_false(lease_local_is_owed(&l));

    lease_configure(&l, &few); // a whole one in the end
    assert_int_equal(lease_local(&l, 3, NOW), 0);
    assert_int_equal(lease_local(&l, 3, NOW + 110 * MONO_SEC), 0);
    assert_int_equal(lease_local(&l, 3, NOW + 181 * MONO_SEC), 1);

    l = (struct lease){.unit = 0};
    lease_configure(&l, &day);
    lease_granted(&l, &g, NOW);
    assert_int_equal(lease_local(&l, 3, NOW + MONO_SEC), 100);
    lease_local_take(&l, 100);
    assert_int_equal(lease_local(&l, 3, NOW + 99 * MONO_SEC), 0);
    assert_int_equal(lease_local(&l, 3, NOW + 100 * MONO_SEC), 333); // the next day
    lease_local_take(&l, 333);
    assert_int_equal(lease_local(&l, 3, NOW + 1000 * MONO_SEC), 0);
    assert_true(lease_local_is_owed(&l));
    lease_granted(&l, &g, NOW + 1000 * MONO_SEC);
    lease_local_put_back(&l, 50); // it is over
    assert_int_equal(lease_local(&l, 3, NOW + 1000 * MONO_SEC), 100);

    l = (struct lease){.unit = 0};
    lease_configure(&l, &closed);
    assert_int_equal(lease_local(&l, 1, NOW), 0);
}

static void hostile_numbers(void **state)
{
    struct lease l = fresh();
    struct limit_grant g = {.granted = UINT64_MAX,
                            .lease_us = UINT64_MAX,
                            .remaining = UINT64_MAX,
                            .limit = UINT64_MAX,
                            .empty_us = UINT64_MAX,
                            .reset_us = UINT64_MAX};
    struct limit_ask q = {.debt = UINT64_MAX};

    (void)state;
    for (int i = 0; i < 40; i++) {
        lease_granted(&l, &g, NOW);
    }
    assert_true(l.units > 0 && l.until_us > NOW && l.reset_at_us > NOW);
    assert_int_equal(lease_remaining(&l, NOW), 100);
    for (int i = 0; i < 40; i++) {
        lease_put_back(&l, l.no, 0, RESOURCE_REQUESTS, -(int64_t)LEASE_UNITS_MAX);
        lease_lost(&l, &q, NOW);
    }
    assert_true(l.units < 0);
    assert_int_equal(lease_remaining(&l, NOW), 100);
    g.granted = 0;
    lease_granted(&l, &g, NOW);
    assert_true(l.empty_until_us > NOW);
    assert_int_equal(lease_remaining(&l, NOW), 0);
}

// Whatever happens in whatever order: granted = used + returned - debt + what is still here.
static void nothing_is_lost_or_doubled(void **state)
{
    struct rng rng;

    (void)state;
    rng_init(&rng, 7);
    for (int round = 0; round < 200; round++) {
        struct lease l = fresh();
        int64_t granted = 0, used = 0, returned = 0, debt = 0, held = 0;
        uint64_t now = NOW;
        uint32_t no = 0;

        for (int step = 0; step < 300; step++) {
            uint64_t n = rng_below(&rng, 12);
            struct limit_ask q;

            now += rng_below(&rng, 50 * MONO_MS);
            lease_expire(&l, now);
            switch (rng_below(&rng, 6)) {
            case 0:
                grant(&l, n, now);
                granted += (int64_t)n;
                break;
            case 1:
                if (held == 0 && lease_take(&l, n)) {
                    held = (int64_t)n;
                    no = l.no;
                }
                break;
            case 2:
                lease_put_back(&l, no, 0, RESOURCE_REQUESTS, held - (int64_t)n);
                used += (int64_t)n;
                held = 0;
                break;
            case 3:
                lease_end(&l);
                break;
            default:
                if (!lease_question(&l, n, now, &q)) {
                    break;
                }
                if (n % 3 == 0) {
                    lease_not_asked(&l, &q);
                } else {
                    returned += (int64_t)q.returned;
                    debt += (int64_t)q.debt;
                }
            }
            assert_int_equal(granted, used + returned - debt + held + l.units + (int64_t)l.owed);
        }
    }
}

// Asked in requests, counts tokens since: what the question took along is not owed in tokens.
static void a_question_of_another_unit_leaves_no_debt(void **state)
{
    const struct resource_limit requests = {
        .unit = RESOURCE_REQUESTS, .amount = 100, .per_us = 60 * MONO_SEC};
    const struct resource_limit tokens = {
        .unit = RESOURCE_TOKENS, .amount = 100, .per_us = 60 * MONO_SEC};

    (void)state;
    for (int sent = 0; sent < 2; sent++) {
        struct lease l = {0};
        struct limit_ask q, next;

        lease_configure(&l, &requests);
        lease_put_back(&l, 0, 0, RESOURCE_REQUESTS, -30);
        assert_true(lease_question(&l, 1, 1000, &q));
        assert_int_equal(q.debt, 30);
        assert_int_equal(q.unit, RESOURCE_REQUESTS);
        lease_configure(&l, &tokens);
        if (sent) {
            lease_lost(&l, &q, 2000);
        } else {
            lease_not_asked(&l, &q);
        }
        assert_int_equal(l.units, 0);
        assert_false(lease_question(&l, 0, 3000, &next));
    }
}

// Another period or kind of limit: nothing of the one before is given back to it, neither what was
// in hand, nor what a request had reserved, nor what an answer still brings.
static void another_period_begins_anew(void **state)
{
    static const struct resource_limit others[] = {
        {.unit = RESOURCE_REQUESTS, .amount = 100, .per_us = 10 * MONO_SEC},
        {.unit = RESOURCE_REQUESTS, .amount = 100, .per_us = 7200 * MONO_SEC},
        {.unit = RESOURCE_REQUESTS, .amount = 100, .calendar = RESOURCE_DAY},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct lease l = fresh();
        struct limit_ask q;
        uint32_t no;

        asked(&l, NOW);
        grant(&l, 10, NOW);
        no = l.no;
        assert_true(lease_take(&l, 4));
        asked(&l, NOW);
        lease_configure(&l, &others[i]);
        assert_int_equal(l.owed, 0);
        lease_put_back(&l, no, 0, RESOURCE_REQUESTS, 2);
        assert_false(lease_question(&l, 5, NOW, &q)); // first the answer to the old one
        assert_true(lease_is_asked_for(&l, NOW));
        grant(&l, 10, NOW);
        assert_int_equal(l.units, 0);
        assert_false(lease_is_asked_for(&l, NOW));
        assert_false(lease_question(&l, 0, NOW, &q));
        lease_put_back(&l, no, 0, RESOURCE_REQUESTS, -3); // used too much: that counts
        assert_true(lease_question(&l, 5, NOW, &q));
        assert_int_equal(q.debt, 3);
        assert_int_equal(q.returned, 0);
        assert_int_equal(q.window, 0);
    }
}

// Another amount alone changes nothing in what belongs to whom.
static void another_amount_keeps_the_window(void **state)
{
    static const struct resource_limit day = {
        .unit = RESOURCE_TOKENS, .amount = 100, .calendar = RESOURCE_DAY};
    static const struct resource_limit more = {
        .unit = RESOURCE_TOKENS, .amount = 500, .calendar = RESOURCE_DAY};
    struct limit_grant g = {.granted = 50, .lease_us = 5 * MONO_SEC, .remaining = 50, .window = 7};
    struct lease l = {.unit = 0};
    struct limit_ask q;

    (void)state;
    lease_configure(&l, &day);
    asked(&l, NOW);
    lease_granted(&l, &g, NOW);
    assert_true(lease_take(&l, 20));
    lease_configure(&l, &more);
    assert_true(lease_question(&l, 0, NOW, &q));
    assert_int_equal(q.returned, 30);
    assert_int_equal(q.window, 7);
    assert_int_equal(q.taken, 20);
}

// As lua/lease.lua counts a window.
struct window {
    uint64_t starts, amount;
    int64_t used, own, last;
};

static struct limit_grant decide(struct window *w, const struct limit_ask *q)
{
    int64_t give = (int64_t)q->want;

    if ((int64_t)q->no <= w->last) {
        give = 0;
    } else if (q->window == w->starts || (q->window == 0 && w->last >= (int64_t)q->since)) {
        w->used += (int64_t)q->taken - w->own;
        w->own = (int64_t)q->taken;
    } else {
        w->used += (int64_t)q->debt;
        w->own = (int64_t)q->debt;
    }
    w->last = (int64_t)q->no > w->last ? (int64_t)q->no : w->last;
    give = give < (int64_t)w->amount - w->used ? give : (int64_t)w->amount - w->used;
    give = give < 0 ? 0 : give;
    w->used += give;
    w->own += give;
    return (struct limit_grant){
        .granted = (uint64_t)give,
        .lease_us = 5 * MONO_SEC,
        .remaining = (uint64_t)(w->used < (int64_t)w->amount ? (int64_t)w->amount - w->used : 0),
        .window = w->starts};
}

// Questions and answers get lost, or come when they were given up; the process dies and another one
// reads its book. Never is less used in the control plane's eyes than was spent and may be spent
// here, and in the end it is the same.
static void a_window_is_exact_whatever_gets_lost(void **state)
{
    static const struct resource_limit day = {
        .unit = RESOURCE_TOKENS, .amount = 3000, .calendar = RESOURCE_DAY};
    struct rng rng;

    (void)state;
    rng_init(&rng, 11);
    for (int round = 0; round < 200; round++) {
        struct window w = {.starts = 7, .amount = 3000};
        struct lease l = {.unit = 0};
        struct limit_ask open = {.no = 0}, late = {.no = 0}, q;
        int64_t spent = 0, held = 0;
        uint64_t now = NOW;
        uint32_t no = 0;

        lease_configure(&l, &day);
        for (int step = 0; step < 400; step++) {
            uint64_t n = rng_below(&rng, 30);
            struct limit_grant g;
            struct book_line line;

            now += rng_below(&rng, 50 * MONO_MS);
            lease_expire(&l, now);
            switch (rng_below(&rng, 8)) {
            case 0:
            case 1:
                if (held == 0 && lease_take(&l, n)) {
                    held = (int64_t)n;
                    no = l.no;
                }
                break;
            case 2:
                lease_put_back(&l, no, 0, RESOURCE_TOKENS, held - (int64_t)n / 2);
                spent += (int64_t)n / 2;
                held = 0;
                break;
            case 3: // one that was held up
                if (late.no != 0 && step > 20) {
                    (void)decide(&w, &late);
                }
                break;
            case 4: // dies: what a request had reserved counts as used
                lease_bequeath(&l, &line);
                l = (struct lease){.unit = 0};
                lease_inherit(&l, &line);
                lease_configure(&l, &day);
                late = open.no != 0 ? open : late;
                open.no = 0;
                spent += held;
                held = 0;
                break;
            default:
                if (open.no == 0) {
                    if (lease_question(&l, rng_below(&rng, 2) * n, now, &q)) {
                        open = q;
                    }
                } else if (n < 5) {
                    lease_lost(&l, &open, now); // the question
                    late = open;
                    open.no = 0;
                } else {
                    g = decide(&w, &open);
                    if (n < 10) {
                        lease_lost(&l, &open, now); // the answer
                    } else {
                        lease_granted(&l, &g, now);
                    }
                    open.no = 0;
                }
            }
            // What is known, and what is owed and will be told.
            assert_true(w.used + ((int64_t)l.taken > w.own ? (int64_t)l.taken - w.own : 0) +
                            (l.units < 0 ? -l.units : 0) >=
                        spent + held + (l.units > 0 ? l.units : 0));
        }
        if (open.no != 0) {
            lease_lost(&l, &open, now);
        }
        lease_put_back(&l, no, 0, RESOURCE_TOKENS, held);
        lease_end(&l);
        for (int i = 0; i < 2; i++) {
            if (lease_question(&l, 0, now, &q)) {
                struct limit_grant g = decide(&w, &q);

                lease_granted(&l, &g, now);
            }
        }
        assert_false(lease_question(&l, 0, now, &q));
        if (l.window == 7) { // else nobody has ever heard of it
            assert_int_equal(w.used, spent);
        }
    }
}

// What would be missing if this process died: no more than it spends in half a second, or at once.
static void little_of_a_window_is_in_hand(void **state)
{
    static const struct {
        uint64_t amount, units, each_us, most;
    } cases[] = {
        {10000000, 1, MONO_MS, 520},          // a thousand a second
        {10000000, 1, 100 * MONO_MS, 8},      // ten a second
        {1000000, 1, 2 * MONO_SEC, 2},        // now and then
        {50, 1, 100 * MONO_MS, 2},            // few
        {10000000, 700, 100 * MONO_MS, 4500}, // 700 tokens each
        {10000000, 700, 3 * MONO_SEC, 1500},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct resource_limit limit = {
            .unit = RESOURCE_TOKENS, .amount = cases[i].amount, .calendar = RESOURCE_DAY};
        struct window w = {.starts = 7, .amount = cases[i].amount};
        struct lease l = {.unit = 0};
        uint64_t now = NOW, waited = 0, asks = 0;

        lease_configure(&l, &limit);
        for (int n = 0; n < 4000 && w.used + 2 * (int64_t)cases[i].most < (int64_t)limit.amount;
             n++, now += cases[i].each_us) {
            struct limit_grant g;
            struct limit_ask q;
            bool taken;

            lease_expire(&l, now);
            taken = lease_take(&l, cases[i].units);
            if (!taken) {
                lease_end(&l);
                waited++;
            }
            if ((!taken || lease_wants_renewal(&l, now)) &&
                lease_question(&l, taken ? 1 : cases[i].units, now, &q)) {
                asks++;
                g = decide(&w, &q);
                lease_granted(&l, &g, now);
                taken = taken || lease_take(&l, cases[i].units);
            }
            assert_true(taken);
            if (l.units > (int64_t)cases[i].most) {
                fail_msg("case %zu: %lld in hand", i, (long long)l.units);
            }
        }
        if (cases[i].each_us < MONO_SEC && limit.amount > 1000) {
            assert_true(waited <= 20 && asks <= 4000 / 2);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_period_begins_anew),
        cmocka_unit_test(another_amount_keeps_the_window),
        cmocka_unit_test(a_window_is_exact_whatever_gets_lost),
        cmocka_unit_test(little_of_a_window_is_in_hand),
        cmocka_unit_test(a_question_of_another_unit_leaves_no_debt),
        cmocka_unit_test(takes_what_is_there),
        cmocka_unit_test(asks_by_the_pace_of_spending),
        cmocka_unit_test(is_thrifty_when_units_are_short),
        cmocka_unit_test(an_empty_bucket_is_not_asked_at_once),
        cmocka_unit_test(what_is_owed_names_its_batch),
        cmocka_unit_test(what_was_given_back_is_told_again),
        cmocka_unit_test(an_open_question_is_not_forgotten),
        cmocka_unit_test(renews_at_half_and_near_the_end),
        cmocka_unit_test(what_is_over_is_owed),
        cmocka_unit_test(grants_do_not_lengthen_a_lease),
        cmocka_unit_test(grants_of_a_window_lengthen_it),
        cmocka_unit_test(a_slow_answer_is_a_short_lease),
        cmocka_unit_test(an_answer_is_as_old_as_its_question),
        cmocka_unit_test(what_was_to_be_told_stays_so),
        cmocka_unit_test(a_window_that_is_over_is_forgotten),
        cmocka_unit_test(scarce_means_nothing_is_left),
        cmocka_unit_test(debt_is_sent_once),
        cmocka_unit_test(unsent_is_undone_lost_is_not_given_twice),
        cmocka_unit_test(changed_configuration),
        cmocka_unit_test(loss_rule),
        cmocka_unit_test(own_share),
        cmocka_unit_test(hostile_numbers),
        cmocka_unit_test(nothing_is_lost_or_doubled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
