// SPDX-License-Identifier: Apache-2.0
// Admission through limits and their store, with a control plane played by the test: what is asked,
// who is parked and woken, what an unreachable control plane means, that no limit is passed; the
// same under threads (the reason it is run under TSan).
#include "dataplane/limit.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/rng.h"
#include "dataplane/book.h"
#include "dataplane/limit_store.h"
#include "tests/unit/dataplane/build.h"

#define NOW    (1000 * MONO_SEC)
#define WINDOW 7 // there is only one

// --- the control plane -------------------------------------------------------------------------

struct question {
    char id[320];
    uint64_t want, returned, debt, no, taken;
    struct limit_ask item; // its id is in this
};

// Answers one question at a time; every limit has `left` units and no refill.
struct control {
    bool down;
    struct question asked[256];
    size_t n;
    struct {
        char id[320];
        int64_t left, granted, returned, debt;
        int64_t taken; // as the proxy should know it
    } limits[40];
    size_t n_limits;
    int64_t left; // what a limit starts with
};

static bool on_ask(void *arg, const struct limit_ask *items, size_t n)
{
    struct control *c = arg;

    if (c->down) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        struct question *q = &c->asked[c->n++];

        CHECK(c->n < ARRAY_LEN(c->asked)); // may be on another thread
        (void)snprintf(q->id, sizeof(q->id), "%s", items[i].limit_id);
        q->want = items[i].want;
        q->returned = items[i].returned;
        q->debt = items[i].debt;
        q->no = items[i].no;
        q->taken = items[i].taken;
        q->item = items[i];
    }
    return true;
}

static size_t limit_no(struct control *c, const char *id)
{
    size_t i = 0;

    while (i < c->n_limits && strcmp(c->limits[i].id, id) != 0) {
        i++;
    }
    if (i == c->n_limits) {
        CHECK(c->n_limits < ARRAY_LEN(c->limits));
        (void)snprintf(c->limits[i].id, sizeof(c->limits[i].id), "%s", id);
        c->limits[i].left = c->left;
        c->n_limits++;
    }
    return i;
}

static bool is_window(const struct question *q)
{
    return q->item.period < MONO_SEC || q->item.period > 3600 * MONO_SEC;
}

static struct limit_grant decide(struct control *c, const struct question *q)
{
    size_t i = limit_no(c, q->id);
    int64_t give;

    c->limits[i].left += (int64_t)q->returned - (int64_t)q->debt;
    c->limits[i].returned += (int64_t)q->returned;
    c->limits[i].debt += (int64_t)q->debt;
    if (is_window(q) && q->item.window != WINDOW) {
        c->limits[i].taken = (int64_t)q->debt;
    } else {
        c->limits[i].taken += (int64_t)q->debt - (int64_t)q->returned;
    }
    CHECK(q->no > 0 && (q->taken == 0 || (int64_t)q->taken == c->limits[i].taken));
    give = (int64_t)q->want < c->limits[i].left ? (int64_t)q->want : c->limits[i].left;
    give = give < 0 ? 0 : give;
    c->limits[i].left -= give;
    c->limits[i].granted += give;
    c->limits[i].taken += give;
    return (struct limit_grant){
        .limit_id = slice_str(c->limits[i].id),
        .granted = (uint64_t)give,
        .lease_us = MONO_SEC,
        .remaining = c->limits[i].left > 0 ? (uint64_t)c->limits[i].left : 0,
        .limit = 100,
        .empty_us = give == 0 && q->want > 0 ? 30 * MONO_SEC : 0,
        .reset_us = 60 * MONO_SEC,
        .window = is_window(q) ? WINDOW : 0,
    };
}

// Answers everything that was asked so far.
static void answer(struct control *c, struct limit_store *s, uint64_t now_us)
{
    size_t n = c->n;

    for (size_t i = 0; i < n; i++) {
        struct limit_grant g = decide(c, &c->asked[i]);

        limit_store_granted(s, &g, 1, now_us);
    }
    c->n = 0;
}

// None of what was asked so far gets there.
static void lose(struct control *c, struct limit_store *s, uint64_t now_us)
{
    size_t n = c->n;

    for (size_t i = 0; i < n; i++) {
        c->asked[i].item.limit_id = c->asked[i].id;
        limit_store_lost(s, &c->asked[i].item, 1, now_us);
    }
    c->n = 0;
}

// --- fixtures ----------------------------------------------------------------------------------

struct world {
    struct build b;
    struct snapshot *snap;
    struct limit_store *store;
    struct control control;
    const struct resource *router, *key;
    struct limit_query q;
};

struct caller {
    struct limit_pass pass; // first
    atomic_int woken;
};

static void on_wake(struct limit_pass *p)
{
    struct caller *c = container_of(p, struct caller, pass);

    atomic_fetch_add(&c->woken, 1);
}

static void begin(struct world *w, const struct resource_limit *limits, size_t n, int64_t left)
{
    struct limit_config cfg = {.ask = on_ask, .arg = &w->control};
    struct resource *router;

    *w = (struct world){.control.left = left};
    router = build_add(&w->b, RESOURCE_ROUTER, "production");
    router->u.router->limits = limits;
    router->u.router->n_limits = n;
    (void)build_key(&w->b, "alice");
    w->snap = build_snapshot(&w->b);
    w->router = router;
    w->store = limit_store_new(&cfg);
    w->q = (struct limit_query){
        .snap = w->snap, .router = router, .principal = SLICE("anonymous"), .tokens = 10};
}

static void end(struct world *w)
{
    limit_store_free(&w->store);
    build_done(&w->b, &w->snap);
}

static struct caller caller(void)
{
    struct caller c = {.pass.wake = on_wake};

    return c;
}

static enum limit_result admit(struct world *w, struct caller *c, uint64_t now_us)
{
    return limit_admit(w->store, &c->pass, &w->q, now_us);
}

static const struct resource_limit ten_requests[] = {
    {.unit = RESOURCE_REQUESTS, .amount = 10, .per_us = 60 * MONO_SEC, .per_principal = true}};

// --- tests -------------------------------------------------------------------------------------

static void no_limits_no_questions(void **state)
{
    struct world w;
    struct caller c = caller();

    (void)state;
    begin(&w, NULL, 0, 0);
    assert_int_equal(admit(&w, &c, NOW), LIMIT_OK);
    assert_false(c.pass.view.present);
    assert_int_equal(w.control.n, 0);
    limit_settle(w.store, &c.pass, false, 5, 5);
    end(&w);
}

static void first_request_parks_until_the_lease(void **state)
{
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    begin(&w, ten_requests, 1, 10);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    assert_true(a.pass.parked_until_us == NOW + 50 * MONO_MS);
    assert_int_equal(w.control.n, 1);
    assert_string_equal(w.control.asked[0].id, "r:production:0:anonymous");
    assert_int_equal(w.control.asked[0].want, 1);
    assert_int_equal(admit(&w, &b, NOW + 1), LIMIT_PARKED); // the same question
    assert_int_equal(w.control.n, 1);
    answer(&w.control, w.store, NOW + 2);
    assert_int_equal(a.woken, 1);
    assert_int_equal(b.woken, 1);
    assert_int_equal(admit(&w, &a, NOW + 3), LIMIT_OK);
    assert_int_equal(a.pass.view.limit, 10);
    assert_int_equal(a.pass.view.remaining, 9);
    assert_true(a.pass.view.reset_us > 59 * MONO_SEC);
    // The renewal that the first one set off covers the other.
    assert_int_equal(admit(&w, &b, NOW + 4), LIMIT_PARKED);
    answer(&w.control, w.store, NOW + 5);
    assert_int_equal(admit(&w, &b, NOW + 6), LIMIT_OK);
    limit_settle(w.store, &a.pass, false, 0, 0);
    limit_settle(w.store, &b.pass, false, 0, 0);
    end(&w);
}

static void many_waiters_are_covered_by_one_question(void **state)
{
    struct world w;
    struct caller c[8];
    size_t ok = 0;

    (void)state;
    begin(&w, ten_requests, 1, 10);
    for (size_t i = 0; i < 8; i++) {
        c[i] = caller();
        assert_int_equal(admit(&w, &c[i], NOW), LIMIT_PARKED);
    }
    for (int round = 0; round < 8; round++) {
        answer(&w.control, w.store, NOW + 1);
        for (size_t i = 0; i < 8; i++) {
            if (c[i].pass.n == 0 && admit(&w, &c[i], NOW + 2) == LIMIT_OK) {
                ok++;
            }
        }
    }
    answer(&w.control, w.store, NOW + 3);
    for (size_t i = 0; i < 8; i++) {
        if (c[i].pass.n == 0 && admit(&w, &c[i], NOW + 4) == LIMIT_OK) {
            ok++;
        }
    }
    assert_int_equal(ok, 8);
    end(&w);
}

static void empty_is_remembered(void **state)
{
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    begin(&w, ten_requests, 1, 0);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW + 1), LIMIT_DENIED);
    assert_true(a.pass.retry_after_us == 30 * MONO_SEC - 1);
    assert_false(a.pass.budget);
    assert_int_equal(a.pass.view.remaining, 0);
    assert_int_equal(admit(&w, &b, NOW + 29 * MONO_SEC), LIMIT_DENIED);
    assert_int_equal(w.control.n, 0); // no round trip
    assert_int_equal(admit(&w, &b, NOW + 31 * MONO_SEC), LIMIT_PARKED);
    assert_int_equal(w.control.n, 1);
    assert_true(limit_unpark(w.store, &b.pass));
    end(&w);
}

static void all_or_nothing(void **state)
{
    static const struct resource_limit two[] = {
        {.unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC},
        {.unit = RESOURCE_USD, .amount = 100000, .per_us = 86400 * MONO_SEC}};
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    begin(&w, two, 2, 8);
    w.q.nano_usd = 8;
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    assert_int_equal(w.control.n, 2); // both in one round trip
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    assert_int_equal(a.pass.n, 2);
    answer(&w.control, w.store, NOW); // renewals: there is no more money
    assert_int_equal(admit(&w, &b, NOW), LIMIT_DENIED);
    assert_true(b.pass.budget);
    assert_int_equal(b.pass.n, 0);
    limit_settle(w.store, &a.pass, true, 0, 0); // a failed: everything comes back
    limit_store_tick(w.store, NOW + 2 * MONO_SEC);
    answer(&w.control, w.store, NOW + 2 * MONO_SEC);
    limit_store_tick(w.store, NOW + 4 * MONO_SEC); // and what was asked for b
    answer(&w.control, w.store, NOW + 4 * MONO_SEC);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(w.control.limits[i].left, 8);
    }
    end(&w);
}

// Limits in five places add up: none is left out, all are settled.
static void every_limit_counts(void **state)
{
    struct resource_limit many[RESOURCE_LIMITS_MAX];
    struct resource *key;
    struct world w;
    struct caller a = caller();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = (struct resource_limit){
            .unit = RESOURCE_TOKENS, .amount = 1000 + i, .per_us = 60 * MONO_SEC};
    }
    begin(&w, many, ARRAY_LEN(many), 100);
    key = build_add(&w.b, RESOURCE_KEY, "bob");
    key->u.key->limits = many;
    key->u.key->n_limits = ARRAY_LEN(many);
    w.q.key = key;
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    assert_int_equal(w.control.n, 32);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    assert_int_equal(a.pass.n, 32);
    lose(&w.control, w.store, NOW);
    limit_settle(w.store, &a.pass, false, 15, 0); // 5 more than reserved
    assert_int_equal(a.pass.n, 0);
    limit_store_tick(w.store, NOW + 2 * MONO_SEC);
    answer(&w.control, w.store, NOW + 2 * MONO_SEC);
    assert_int_equal(w.control.n_limits, 32);
    for (size_t i = 0; i < w.control.n_limits; i++) {
        assert_int_equal(w.control.limits[i].debt, 5);
    }
    // The last one alone denies.
    w.control.limits[31].left = 0;
    assert_int_equal(admit(&w, &a, NOW + 3 * MONO_SEC), LIMIT_PARKED);
    answer(&w.control, w.store, NOW + 3 * MONO_SEC);
    assert_int_equal(admit(&w, &a, NOW + 3 * MONO_SEC), LIMIT_DENIED);
    assert_int_equal(a.pass.n, 0);
    end(&w);
}

static void more_than_the_limit_is_denied_at_once(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 100, .per_us = 60 * MONO_SEC}};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, tokens, 1, 100);
    w.q.tokens = 101;
    assert_int_equal(admit(&w, &a, NOW), LIMIT_DENIED);
    assert_true(a.pass.retry_after_us == 60 * MONO_SEC);
    w.q.tokens = UINT64_MAX;
    assert_int_equal(admit(&w, &a, NOW), LIMIT_DENIED);
    assert_int_equal(w.control.n, 0);
    end(&w);
}

// A request larger than the lease gets its units in one answer, together with what is left here.
static void large_request_gathers_everything(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 10000, .per_us = 60 * MONO_SEC}};
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    begin(&w, tokens, 1, 100);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    answer(&w.control, w.store, NOW); // the renewal: 11 more
    w.q.tokens = 85;
    assert_int_equal(admit(&w, &b, NOW), LIMIT_PARKED);
    assert_int_equal(w.control.asked[0].returned, 11);
    assert_int_equal(w.control.asked[0].want, 95);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &b, NOW), LIMIT_OK);
    end(&w);
}

// The answer gave all there is, and that is too little: no use in asking on and on. Smaller
// requests go on.
static void too_little_is_said_at_once(void **state)
{
    static const struct resource_limit cases[] = {
        {.unit = RESOURCE_TOKENS, .amount = 100, .per_us = 60 * MONO_SEC},
        {.unit = RESOURCE_TOKENS, .amount = 100, .per_us = 86400 * MONO_SEC}};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w;
        struct caller a = caller(), b = caller();

        begin(&w, &cases[i], 1, 40);
        w.q.tokens = 70;
        assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
        answer(&w.control, w.store, NOW + 1);
        assert_int_equal(admit(&w, &a, NOW + 2), LIMIT_DENIED);
        // 30 of 100 units refill in 18 s of a minute; a window is tried again soon.
        assert_true(a.pass.retry_after_us / MONO_SEC == (i == 0 ? 18 : 1));
        assert_int_equal(w.control.n, 0);
        w.q.tokens = 25;
        assert_int_equal(admit(&w, &b, NOW + 3), LIMIT_OK);
        end(&w);
    }
}

// It happens again, and nobody here could use what is held: it goes back, perhaps others can.
static void too_little_again_goes_back(void **state)
{
    static const struct resource_limit day = {
        .unit = RESOURCE_TOKENS, .amount = 100, .per_us = 86400 * MONO_SEC};
    struct caller a = caller();
    struct world w;

    (void)state;
    begin(&w, &day, 1, 40);
    w.q.tokens = 70;
    for (uint64_t i = 0; i < 2; i++) {
        uint64_t now = NOW + i * 100;

        assert_int_equal(admit(&w, &a, now), LIMIT_PARKED);
        answer(&w.control, w.store, now + 1);
        assert_int_equal(w.control.limits[0].left, 0);
        assert_int_equal(admit(&w, &a, now + 2), LIMIT_DENIED);
    }
    assert_int_equal(w.control.n, 1);
    assert_int_equal(w.control.asked[0].returned, 40);
    assert_int_equal(w.control.asked[0].want, 0);
    answer(&w.control, w.store, NOW + MONO_MS);
    assert_int_equal(admit(&w, &a, NOW + MONO_MS), LIMIT_DENIED); // without asking
    assert_int_equal(w.control.n, 0);
    assert_int_equal(admit(&w, &a, NOW + 2 * MONO_SEC), LIMIT_PARKED);
    answer(&w.control, w.store, NOW + 2 * MONO_SEC);
    assert_int_equal(admit(&w, &a, NOW + 2 * MONO_SEC), LIMIT_DENIED);
    end(&w);
}

static void settling_makes_debt_or_refund(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 10000, .per_us = 60 * MONO_SEC}};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, tokens, 1, 100);
    w.q.tokens = 40;
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    answer(&w.control, w.store, NOW); // renewal: 41 of the other 60
    limit_settle(w.store, &a.pass, false, 120, 0);
    assert_int_equal(admit(&w, &a, NOW + 1), LIMIT_PARKED); // 80 of debt against 41 at hand
    assert_int_equal(w.control.asked[0].debt, 39);
    answer(&w.control, w.store, NOW + 1);
    assert_int_equal(w.control.limits[0].left, -20);
    assert_int_equal(admit(&w, &a, NOW + 2), LIMIT_DENIED);
    end(&w);
}

static void closed_link(void **state)
{
    static const struct {
        struct resource_limit limit;
        enum limit_result expected;
        bool budget;
        int64_t debt;
    } cases[] = {
        {{.unit = RESOURCE_REQUESTS, .amount = 9}, LIMIT_OK, false, 1},
        {{.unit = RESOURCE_REQUESTS, .amount = 9, .per_us = MONO_SEC}, LIMIT_OK, false, 0},
        {{.unit = RESOURCE_TOKENS, .amount = 99}, LIMIT_OK, false, 3},
        {{.unit = RESOURCE_TOKENS, .amount = 99, .per_us = MONO_SEC}, LIMIT_OK, false, 0},
        {{.unit = RESOURCE_USD, .amount = 9}, LIMIT_DENIED, true, 0},
        {{.unit = RESOURCE_REQUESTS, .amount = 9, .on_control_loss = 2}, LIMIT_DENIED, false, 0},
        {{.unit = RESOURCE_USD, .amount = 9, .on_control_loss = 1}, LIMIT_OK, true, 7},
        {{.unit = RESOURCE_USD, .amount = 9, .per_us = MONO_SEC, .on_control_loss = 1},
         LIMIT_OK,
         true,
         7},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        // Down from the start; no answer within the time; the link gives the question up.
        for (int how = 0; how < 3; how++) {
            struct world w;
            struct caller a = caller(), b = caller();
            enum limit_result got;

            begin(&w, &cases[i].limit, 1, 9);
            w.q.nano_usd = 5;
            w.control.down = how == 0;
            got = admit(&w, &a, NOW);
            if (how == 1) {
                assert_int_equal(got, LIMIT_PARKED);
                assert_int_equal(admit(&w, &a, NOW + 49 * MONO_MS), LIMIT_PARKED);
                got = admit(&w, &a, a.pass.parked_until_us);
                assert_int_equal(a.woken, 0);
            } else if (how == 2) {
                assert_int_equal(got, LIMIT_PARKED);
                lose(&w.control, w.store, NOW + 1);
                assert_int_equal(a.woken, 1);
                got = admit(&w, &a, NOW + 2);
            }
            assert_int_equal(got, cases[i].expected);
            if (got == LIMIT_DENIED) {
                assert_int_equal(a.pass.budget, cases[i].budget);
                assert_true(a.pass.retry_after_us == MONO_SEC);
            }
            limit_settle(w.store, &a.pass, false, 3, 7);
            // It is back: money and windows are made up for, buckets have refilled.
            w.control.down = false;
            lose(&w.control, w.store, NOW + 100 * MONO_MS);
            limit_store_tick(w.store, NOW + MONO_SEC);
            answer(&w.control, w.store, NOW + MONO_SEC);
            if (w.control.n_limits > 0) {
                assert_int_equal(w.control.limits[0].debt, cases[i].debt);
            }
            assert_int_equal(admit(&w, &b, NOW + 2 * MONO_SEC), LIMIT_PARKED);
            assert_true(limit_unpark(w.store, &b.pass));
            end(&w);
        }
    }
}

// While other answers come, one that got lost is asked for again; without any it is a loss.
static void one_lost_answer_is_no_loss(void **state)
{
    static const struct resource_limit requests[] = {
        {.unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC}};
    const struct limit_grant other = {.limit_id = SLICE("another"), .granted = 1};
    struct world w;
    struct caller a = caller();

    (void)state;
    for (int heard = 0; heard < 2; heard++) {
        struct limit_ask item = {.limit_id = "r:production:0:*", .want = 1};

        begin(&w, requests, 1, 100);
        assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
        w.control.n = 0;
        if (heard != 0) {
            limit_store_granted(w.store, &other, 1, NOW + 10 * MONO_MS);
        }
        limit_store_lost(w.store, &item, 1, NOW + 100 * MONO_MS);
        if (heard == 0) {
            assert_int_equal(admit(&w, &a, NOW + 100 * MONO_MS), LIMIT_OK);
            assert_true(a.pass.open);
        } else {
            assert_int_equal(admit(&w, &a, NOW + 100 * MONO_MS), LIMIT_PARKED);
            assert_int_equal(w.control.n, 1);
            answer(&w.control, w.store, NOW + 101 * MONO_MS);
            assert_int_equal(admit(&w, &a, NOW + 101 * MONO_MS), LIMIT_OK);
            assert_false(a.pass.open);
        }
        a.pass.open = false;
        end(&w);
    }
}

// A question that the answer left out: its debt is told again, and who waits is not woken but asks
// again in a moment.
static void left_out_is_told_again(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 10000, .per_us = 86400 * MONO_SEC}};
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    begin(&w, tokens, 1, 1000);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    answer(&w.control, w.store, NOW);
    limit_settle(w.store, &a.pass, false, 500, 0);
    assert_int_equal(admit(&w, &b, NOW), LIMIT_PARKED);
    assert_int_equal(w.control.n, 1);
    w.control.asked[0].item.limit_id = w.control.asked[0].id;
    limit_store_left_out(w.store, &w.control.asked[0].item, 1);
    w.control.n = 0;
    assert_int_equal(b.woken, 0);
    limit_store_tick(w.store, NOW + 10 * MONO_MS);
    assert_int_equal(w.control.n, 1);
    assert_int_equal(w.control.asked[0].debt, 500 - 10 - 12);
    answer(&w.control, w.store, NOW + 20 * MONO_MS);
    assert_int_equal(w.control.limits[0].left, 500);
    assert_int_equal(admit(&w, &b, NOW + 50 * MONO_MS), LIMIT_PARKED);
    answer(&w.control, w.store, NOW + 51 * MONO_MS);
    assert_int_equal(admit(&w, &b, NOW + 52 * MONO_MS), LIMIT_OK);
    end(&w);
}

// At the end everything in hand goes back at once.
static void the_end_gives_everything_back(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 10000, .per_us = 86400 * MONO_SEC}};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, tokens, 1, 1000);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    answer(&w.control, w.store, NOW);
    limit_settle(w.store, &a.pass, false, 4, 0);
    assert_false(limit_store_end(w.store, NOW)); // until it was heard
    answer(&w.control, w.store, NOW);
    assert_true(limit_store_end(w.store, NOW));
    assert_int_equal(w.control.limits[0].left, 996);
    end(&w);
}

// Of a window one question is open at a time: what is granted in it goes back when it has come, and
// what was said in one that got lost is said again. Then nothing is left to wait for.
static void the_end_waits_for_questions(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 10000, .per_us = 86400 * MONO_SEC}};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, tokens, 1, 1000);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    limit_settle(w.store, &a.pass, false, 4, 0);
    assert_int_equal(w.control.n, 1); // for more
    assert_false(limit_store_end(w.store, NOW));
    assert_int_equal(w.control.n, 1);
    answer(&w.control, w.store, NOW);
    assert_false(limit_store_end(w.store, NOW));
    lose(&w.control, w.store, NOW);
    assert_false(limit_store_end(w.store, NOW));
    assert_int_equal(w.control.n, 1);
    assert_int_equal(w.control.asked[0].taken, 4);
    w.control.limits[0].taken = 4;
    w.control.limits[0].left = 996;
    answer(&w.control, w.store, NOW);
    assert_true(limit_store_end(w.store, NOW));
    end(&w);
}

// Nobody is there to be told: nothing to wait for either.
static void the_end_does_not_wait_for_nobody(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 10000, .per_us = 86400 * MONO_SEC}};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, tokens, 1, 1000);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    w.control.down = true;
    assert_true(limit_store_end(w.store, NOW));
    end(&w);
}

// Workers go before the last answers come.
static void nobody_is_woken_after_a_hush(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 10000, .per_us = 86400 * MONO_SEC}};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, tokens, 1, 1000);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    limit_store_hush(w.store);
    answer(&w.control, w.store, NOW);
    assert_int_equal(a.woken, 0);
    assert_true(limit_unpark(w.store, &a.pass));
    assert_false(limit_store_end(w.store, NOW));
    answer(&w.control, w.store, NOW);
    assert_int_equal(w.control.limits[0].left, 1000);
    end(&w);
}

// One of four proxies may spend a quarter of what was left when the control plane was heard last.
static void the_own_share_comes_first(void **state)
{
    static const struct resource_limit usd[] = {
        {.unit = RESOURCE_USD, .amount = 1000, .per_us = 86400 * MONO_SEC}};
    struct world w;
    struct caller a = caller(), b = caller();
    uint64_t now = NOW + 10 * MONO_SEC; // the first lease is over
    int admitted = 0;

    (void)state;
    begin(&w, usd, 1, 410);
    w.q.nano_usd = 10;
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    limit_settle(w.store, &a.pass, false, 0, 10);
    limit_store_tick(w.store, now);
    lose(&w.control, w.store, now);
    w.control.down = true;
    assert_int_equal(admit(&w, &a, now), LIMIT_DENIED); // how many we are is not known
    limit_store_set_live(w.store, 4);
    while (admitted < 100 && admit(&w, &a, now) == LIMIT_OK) {
        assert_true(a.pass.open);
        if (admitted % 2 == 0) { // half of them use nothing
            limit_settle(w.store, &a.pass, true, 0, 0);
        } else {
            limit_settle(w.store, &a.pass, false, 0, 10);
        }
        admitted++;
    }
    assert_in_range(admitted, 18, 20); // a hundred units, twice
    assert_int_equal(admit(&w, &b, now), LIMIT_DENIED);
    assert_true(b.pass.budget);
    // It answers again: what was spent is debt.
    w.control.down = false;
    limit_store_tick(w.store, now);
    answer(&w.control, w.store, now);
    assert_int_equal(w.control.limits[0].debt, admitted / 2 * 10);
    assert_int_equal(w.control.limits[0].left, 410 - 10 - admitted / 2 * 10);
    end(&w);
}

// A store that ends without a word (a killed process) and one that comes after it: what was in hand
// goes back, what was owed is owed, what a request in flight had reserved counts as used.
static void the_next_process_gives_back(void **state)
{
    static const struct resource_limit limits[] = {
        {.unit = RESOURCE_TOKENS, .amount = 1000, .per_us = 86400 * MONO_SEC},
        {.unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC},
    };
    char dir[] = "/tmp/sluice-limit-XXXXXX", file[64];
    struct limit_config cfg = {.ask = on_ask};
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file, sizeof(file), "%s/" BOOK_FILE, dir);
    begin(&w, limits, 2, 900);
    limit_store_free(&w.store);
    cfg.arg = &w.control;
    cfg.book = book_open(dir, "boot", NULL);
    assert_non_null(cfg.book);
    w.store = limit_store_new(&cfg);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    answer(&w.control, w.store, NOW); // renewals: 11 tokens and 3 requests more
    assert_int_equal(w.control.limits[0].left, 879);
    assert_int_equal(w.control.limits[1].left, 896);
    limit_settle(w.store, &a.pass, false, 12, 0); // two more than reserved
    assert_int_equal(admit(&w, &b, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &b, NOW), LIMIT_OK); // and never ends
    answer(&w.control, w.store, NOW);
    limit_store_free(&w.store);
    book_close(&cfg.book);

    cfg.book = book_open(dir, "boot", NULL);
    w.store = limit_store_new(&cfg);
    w.control.n = 0;
    limit_store_tick(w.store, NOW + MONO_SEC);
    assert_int_equal(w.control.n, 2);
    answer(&w.control, w.store, NOW + MONO_SEC);
    assert_int_equal(w.control.limits[0].left, 900 - 12 - 10);
    assert_int_equal(w.control.limits[1].left, 900 - 2);
    limit_store_tick(w.store, NOW + 2 * MONO_SEC); // once
    assert_int_equal(w.control.n, 0);
    limit_store_free(&w.store);
    book_close(&cfg.book);

    cfg.book = book_open(dir, "boot", NULL); // nor by a third one
    w.store = limit_store_new(&cfg);
    limit_store_tick(w.store, NOW + 3 * MONO_SEC);
    assert_int_equal(w.control.n, 0);
    end(&w);
    book_close(&cfg.book);
    (void)unlink(file);
    (void)rmdir(dir);
}

// The lease is spent first; only then the rule of the limit counts.
static void lease_outlasts_the_link(void **state)
{
    static const struct resource_limit usd[] = {
        {.unit = RESOURCE_USD, .amount = 10000, .per_us = 86400 * MONO_SEC}};
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    begin(&w, usd, 1, 9000);
    w.q.nano_usd = 10;
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    answer(&w.control, w.store, NOW); // 12 more
    w.control.down = true;
    assert_int_equal(admit(&w, &b, NOW), LIMIT_OK);
    limit_settle(w.store, &b.pass, false, 0, 10);
    assert_int_equal(admit(&w, &b, NOW), LIMIT_DENIED); // 2 left
    w.control.down = false;
    limit_settle(w.store, &a.pass, false, 0, 10);
    limit_store_tick(w.store, NOW + 5 * MONO_SEC);
    answer(&w.control, w.store, NOW + 5 * MONO_SEC);
    assert_int_equal(w.control.limits[0].left, 8980); // nothing was lost on the way
    end(&w);
}

// While the control plane answers, running out of time never opens a limit.
static void slow_is_not_lost(void **state)
{
    struct world w;
    struct caller a = caller(), quick = caller();
    uint64_t now = NOW;
    enum limit_result got;

    (void)state;
    begin(&w, ten_requests, 1, 1000);
    got = admit(&w, &a, now);
    for (int i = 0; i < 40 && got == LIMIT_PARKED; i++) {
        now += 49 * MONO_MS;
        answer(&w.control, w.store, now);
        while (admit(&w, &quick, now) == LIMIT_OK) { // always there before it
            limit_settle(w.store, &quick.pass, false, 0, 0);
        }
        (void)limit_unpark(w.store, &quick.pass);
        quick = caller();
        now += MONO_MS;
        got = admit(&w, &a, now);
    }
    assert_int_equal(got, LIMIT_DENIED);
    assert_true(now - NOW >= 400 * MONO_MS && now - NOW < 600 * MONO_MS);
    assert_true(a.pass.retry_after_us == MONO_SEC);
    end(&w);
}

static void unparked_is_not_woken(void **state)
{
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    begin(&w, ten_requests, 1, 10);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    assert_true(limit_unpark(w.store, &a.pass));
    assert_true(limit_unpark(w.store, &a.pass)); // idempotent
    assert_int_equal(admit(&w, &b, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(a.woken, 0);
    assert_int_equal(b.woken, 1);
    assert_false(limit_unpark(w.store, &b.pass)); // the wake is on its way
    assert_true(limit_unpark(w.store, &b.pass));
    end(&w);
}

// A request that comes at its deadline is out of the list: no wake hits it when it is gone.
static void deadline_leaves_the_list(void **state)
{
    struct world w;
    struct caller *a = mem_zalloc(sizeof(*a));

    (void)state;
    begin(&w, ten_requests, 1, 10);
    a->pass.wake = on_wake;
    assert_int_equal(admit(&w, a, NOW), LIMIT_PARKED);
    assert_int_equal(admit(&w, a, NOW + 50 * MONO_MS), LIMIT_OK); // open on loss
    limit_settle(w.store, &a->pass, false, 0, 0);
    mem_free(a);
    answer(&w.control, w.store, NOW + 60 * MONO_MS);
    end(&w);
}

static void which_limits_apply(void **state)
{
    static const struct resource_limit shared[] = {
        {.unit = RESOURCE_REQUESTS, .amount = 10, .per_us = MONO_SEC}};
    struct build b = {.n = 0};
    struct control control = {.left = 100};
    struct limit_config cfg = {.ask = on_ask, .arg = &control};
    struct limit_store *s = limit_store_new(&cfg);
    struct resource *router = build_add(&b, RESOURCE_ROUTER, "r1");
    struct resource_settings *set = build_add(&b, RESOURCE_SETTINGS, "global")->u.settings;
    struct resource_key *key = build_key(&b, "alice");
    struct resource_team *team = build_add(&b, RESOURCE_TEAM, "red")->u.team;
    struct resource_user *user = build_add(&b, RESOURCE_USER, "ann@x.org")->u.user;
    struct snapshot *snap;
    static const struct {
        bool router, key;
        const char *principal, *ids;
    } cases[] = {
        {false, false, "anonymous", "u:0:anonymous g:0:* "},
        {true, false, "anonymous", "r:r1:0:* r:r1:1:anonymous g:0:* "},
        {true, true, "alice", "r:r1:0:* r:r1:1:alice g:0:* k:alice:0 t:red:0 o:ann@x.org:0 "},
        {false, true, "alice", "u:0:alice g:0:* k:alice:0 t:red:0 o:ann@x.org:0 "},
    };
    static const struct resource_limit two[] = {
        {.unit = RESOURCE_REQUESTS, .amount = 10, .per_us = MONO_SEC},
        {.unit = RESOURCE_REQUESTS, .amount = 10, .per_us = MONO_SEC, .per_principal = true}};

    (void)state;
    router->u.router->limits = two;
    router->u.router->n_limits = 2;
    set->limits = shared;
    set->n_limits = 1;
    set->unified_limits = ten_requests;
    set->n_unified_limits = 1;
    key->limits = team->limits = user->limits = shared;
    key->n_limits = team->n_limits = user->n_limits = 1;
    key->team = "red";
    key->owner = "ann@x.org";
    snap = build_snapshot(&b);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct limit_query q = {
            .snap = snap,
            .router = cases[i].router ? router : NULL,
            .key = cases[i].key ? snapshot_find(snap, RESOURCE_KEY, SLICE("alice")) : NULL,
            .principal = slice_str(cases[i].principal),
        };
        struct caller c = caller();
        char ids[512] = "";
        size_t n = 0;

        assert_int_equal(limit_admit(s, &c.pass, &q, NOW + i * 10 * MONO_SEC), LIMIT_PARKED);
        for (size_t k = 0; k < control.n; k++) {
            n += (size_t)snprintf(ids + n, sizeof(ids) - n, "%s ", control.asked[k].id);
        }
        assert_string_equal(ids, cases[i].ids);
        assert_true(limit_unpark(s, &c.pass));
        lose(&control, s, NOW + i * 10 * MONO_SEC);
    }
    limit_store_free(&s);
    build_done(&b, &snap);
}

// The nearest to its end is shown.
static void view_shows_the_tightest(void **state)
{
    static const struct resource_limit two[] = {
        {.unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60 * MONO_SEC},
        {.unit = RESOURCE_TOKENS, .amount = 50, .per_us = 3600 * MONO_SEC}};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, two, 2, 50);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    // 49 of 1000 requests, 40 of 50 tokens.
    assert_int_equal(a.pass.view.unit, RESOURCE_REQUESTS);
    assert_int_equal(a.pass.view.limit, 1000);
    assert_int_equal(a.pass.view.remaining, 49);
    assert_true(a.pass.view.window_us == 60 * MONO_SEC);
    end(&w);
}

static void a_calendar_s_window_has_its_days(void **state)
{
    static const struct resource_limit limit = {
        .unit = RESOURCE_REQUESTS, .amount = 5, .calendar = RESOURCE_WEEK};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, &limit, 1, 50);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    assert_true(a.pass.view.window_us == 7 * 86400 * MONO_SEC);
    end(&w);
}

// Lowering or raising the amount takes effect with the next request.
static void amount_changes(void **state)
{
    static struct resource_limit limit = {
        .unit = RESOURCE_REQUESTS, .amount = 10, .per_us = 60 * MONO_SEC};
    struct world w;
    struct caller a = caller(), b = caller();

    (void)state;
    limit.amount = 10;
    begin(&w, &limit, 1, 10);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    answer(&w.control, w.store, NOW);
    limit.amount = 1;
    w.control.limits[0].left = -9; // as the script would see it: 10 - 1 - 9
    assert_int_equal(admit(&w, &b, NOW + 1), LIMIT_PARKED);
    answer(&w.control, w.store, NOW + 1);
    assert_int_equal(admit(&w, &b, NOW + 2), LIMIT_DENIED);
    limit.amount = 1000;
    w.control.limits[0].left = 990;
    assert_int_equal(admit(&w, &b, NOW + 3), LIMIT_PARKED); // the "empty" is forgotten
    answer(&w.control, w.store, NOW + 3);
    assert_int_equal(admit(&w, &b, NOW + 4), LIMIT_OK);
    end(&w);
}

// Idle entries are forgotten, but not with something left to say or somebody holding them.
static void forgetting(void **state)
{
    static const struct resource_limit tokens[] = {
        {.unit = RESOURCE_TOKENS, .amount = 100, .per_us = 60 * MONO_SEC}};
    struct world w;
    struct caller a = caller();

    (void)state;
    begin(&w, tokens, 1, 100);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_PARKED);
    answer(&w.control, w.store, NOW);
    assert_int_equal(admit(&w, &a, NOW), LIMIT_OK);
    answer(&w.control, w.store, NOW);
    limit_store_tick(w.store, NOW + 700 * MONO_SEC); // held
    answer(&w.control, w.store, NOW + 700 * MONO_SEC);
    limit_settle(w.store, &a.pass, false, 99, 0);
    limit_store_tick(w.store, NOW + 800 * MONO_SEC); // debt to be sent, then forgotten
    answer(&w.control, w.store, NOW + 800 * MONO_SEC);
    limit_store_tick(w.store, NOW + 801 * MONO_SEC);
    answer(&w.control, w.store, NOW + 801 * MONO_SEC);
    assert_int_equal(w.control.limits[0].left, 1);
    end(&w);
}

// Random requests, answers in random order and delay, a link that comes and goes: never more is
// out than the limit, and in the end everything is accounted for.
static void exact_over_random_sequences(void **state)
{
    static const struct resource_limit two[] = {
        {.unit = RESOURCE_TOKENS, .amount = 400, .per_us = 60 * MONO_SEC, .on_control_loss = 2},
        {.unit = RESOURCE_REQUESTS, .amount = 400, .per_us = 60 * MONO_SEC, .on_control_loss = 2}};
    struct rng rng;

    (void)state;
    rng_init(&rng, 3);
    for (int round = 0; round < 60; round++) {
        struct world w;
        struct caller c[12];
        int64_t reserved[12] = {0}, out = 0, used = 0;
        uint64_t now = NOW;

        begin(&w, two, 2, 400);
        for (size_t i = 0; i < 12; i++) {
            c[i] = caller();
        }
        for (int step = 0; step < 400; step++) {
            size_t i = (size_t)rng_below(&rng, 12);

            now += rng_below(&rng, 20 * MONO_MS);
            w.control.down = rng_below(&rng, 8) == 0;
            w.q.tokens = 1 + rng_below(&rng, 60);
            switch (rng_below(&rng, 4)) {
            case 0:
            case 1:
                if (reserved[i] != 0) {
                    int64_t really = (int64_t)rng_below(&rng, (uint64_t)reserved[i] + 1);
                    bool refund = rng_below(&rng, 4) == 0;

                    limit_settle(w.store, &c[i].pass, refund, (uint64_t)really, 0);
                    used += refund ? 0 : really;
                    out -= reserved[i];
                    reserved[i] = 0;
                    c[i] = caller();
                } else if (admit(&w, &c[i], now) == LIMIT_OK) {
                    reserved[i] = (int64_t)w.q.tokens;
                    out += reserved[i];
                }
                assert_true(out + used <= 400);
                break;
            case 2:
                answer(&w.control, w.store, now);
                break;
            default:
                if (reserved[i] == 0) {
                    (void)limit_unpark(w.store, &c[i].pass);
                    c[i] = caller();
                }
                limit_store_tick(w.store, now);
            }
        }
        w.control.down = false;
        for (size_t i = 0; i < 12; i++) {
            (void)limit_unpark(w.store, &c[i].pass);
            limit_settle(w.store, &c[i].pass, true, 0, 0);
        }
        for (int i = 0; i < 4; i++) {
            answer(&w.control, w.store, now);
            now += 2 * MONO_SEC;
            limit_store_tick(w.store, now);
        }
        assert_int_equal(w.control.limits[limit_no(&w.control, "r:production:0:*")].left,
                         400 - used);
        end(&w);
    }
}

// --- threads -----------------------------------------------------------------------------------

#define THREADS    4
#define PER_THREAD 2000

struct shared {
    struct world w;
    pthread_mutex_t lock; // control
    atomic_int admitted, denied, running;
};

static bool on_ask_locked(void *arg, const struct limit_ask *items, size_t n)
{
    struct shared *sh = arg;
    bool ok;

    pthread_mutex_lock(&sh->lock);
    ok = sh->w.control.n + n < ARRAY_LEN(sh->w.control.asked) && on_ask(&sh->w.control, items, n);
    pthread_mutex_unlock(&sh->lock);
    return ok;
}

static void *worker(void *arg)
{
    struct shared *sh = arg;
    struct rng rng;

    rng_init(&rng, (uint64_t)(uintptr_t)&rng | 1);
    for (int i = 0; i < PER_THREAD; i++) {
        struct caller c = caller();
        enum limit_result got = admit(&sh->w, &c, mono_now_us());

        while (got == LIMIT_PARKED && rng_below(&rng, 50) != 0) {
            for (int spin = 0; atomic_load(&c.woken) == 0 && spin < 1000; spin++) {
                (void)sched_yield();
            }
            got = admit(&sh->w, &c, mono_now_us());
        }
        if (got == LIMIT_PARKED && !limit_unpark(sh->w.store, &c.pass)) {
            while (atomic_load(&c.woken) == 0) { // as the request machine: wait for the message
                (void)sched_yield();
            }
        }
        if (got == LIMIT_OK) {
            bool refund = rng_below(&rng, 2) == 0;

            limit_settle(sh->w.store, &c.pass, refund, 0, 0);
            atomic_fetch_add(&sh->admitted, refund ? 0 : 1);
        } else if (got == LIMIT_DENIED) {
            atomic_fetch_add(&sh->denied, 1);
        }
    }
    atomic_fetch_sub(&sh->running, 1);
    return NULL;
}

static void *link_thread(void *arg)
{
    struct shared *sh = arg;

    while (atomic_load(&sh->running) > 0) {
        struct question asked[16];
        struct limit_grant g;
        size_t n;

        pthread_mutex_lock(&sh->lock);
        n = sh->w.control.n < 16 ? sh->w.control.n : 16;
        memcpy(asked, sh->w.control.asked, n * sizeof(asked[0]));
        sh->w.control.n -= n;
        memmove(sh->w.control.asked, sh->w.control.asked + n, sh->w.control.n * sizeof(asked[0]));
        pthread_mutex_unlock(&sh->lock);
        for (size_t i = 0; i < n; i++) {
            pthread_mutex_lock(&sh->lock);
            g = decide(&sh->w.control, &asked[i]);
            g.empty_us = g.empty_us != 0 ? 1 : 0;
            pthread_mutex_unlock(&sh->lock);
            limit_store_granted(sh->w.store, &g, 1, mono_now_us());
        }
        limit_store_tick(sh->w.store, mono_now_us());
        (void)sched_yield();
    }
    return NULL;
}

static void threads_stay_within_the_limit(void **state)
{
    static const struct resource_limit limit[] = {{.unit = RESOURCE_REQUESTS,
                                                   .amount = 3000,
                                                   .per_us = 86400 * MONO_SEC,
                                                   .on_control_loss = 2}};
    struct shared *sh = mem_zalloc(sizeof(*sh));
    struct limit_config cfg = {.ask = on_ask_locked, .arg = sh};
    pthread_t t[THREADS], link;

    (void)state;
    begin(&sh->w, limit, 1, 3000);
    limit_store_free(&sh->w.store);
    sh->w.store = limit_store_new(&cfg);
    pthread_mutex_init(&sh->lock, NULL);
    atomic_store(&sh->running, THREADS);
    assert_int_equal(pthread_create(&link, NULL, link_thread, sh), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, worker, sh), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        (void)pthread_join(t[i], NULL);
    }
    (void)pthread_join(link, NULL);
    assert_true(atomic_load(&sh->admitted) <= 3000);
    assert_true(atomic_load(&sh->admitted) > 0);
    // Everything given back: what is left is what was not used.
    for (uint64_t i = 0; i < 4; i++) {
        answer(&sh->w.control, sh->w.store, mono_now_us() + i * 2 * MONO_SEC);
        limit_store_tick(sh->w.store, mono_now_us() + i * 2 * MONO_SEC);
    }
    assert_int_equal(sh->w.control.limits[0].left, 3000 - atomic_load(&sh->admitted));
    end(&sh->w);
    pthread_mutex_destroy(&sh->lock);
    mem_free(sh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_limits_no_questions),
        cmocka_unit_test(first_request_parks_until_the_lease),
        cmocka_unit_test(many_waiters_are_covered_by_one_question),
        cmocka_unit_test(empty_is_remembered),
        cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(every_limit_counts),
        cmocka_unit_test(more_than_the_limit_is_denied_at_once),
        cmocka_unit_test(large_request_gathers_everything),
        cmocka_unit_test(too_little_is_said_at_once),
        cmocka_unit_test(too_little_again_goes_back),
        cmocka_unit_test(settling_makes_debt_or_refund),
        cmocka_unit_test(the_next_process_gives_back),
        cmocka_unit_test(closed_link),
        cmocka_unit_test(one_lost_answer_is_no_loss),
        cmocka_unit_test(left_out_is_told_again),
        cmocka_unit_test(the_end_gives_everything_back),
        cmocka_unit_test(the_end_waits_for_questions),
        cmocka_unit_test(the_end_does_not_wait_for_nobody),
        cmocka_unit_test(nobody_is_woken_after_a_hush),
        cmocka_unit_test(the_own_share_comes_first),
        cmocka_unit_test(lease_outlasts_the_link),
        cmocka_unit_test(slow_is_not_lost),
        cmocka_unit_test(unparked_is_not_woken),
        cmocka_unit_test(deadline_leaves_the_list),
        cmocka_unit_test(which_limits_apply),
        cmocka_unit_test(view_shows_the_tightest),
        cmocka_unit_test(a_calendar_s_window_has_its_days),
        cmocka_unit_test(amount_changes),
        cmocka_unit_test(forgetting),
        cmocka_unit_test(exact_over_random_sequences),
        cmocka_unit_test(threads_stay_within_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
