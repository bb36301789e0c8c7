// SPDX-License-Identifier: Apache-2.0
// Which failures go on, how often, how long to wait.
#include "dataplane/retry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"
#include "common/base/mono.h"

static void classification(void **state)
{
    static const struct {
        enum retry_failure f;
        unsigned status;
        bool next, same;
        enum target_outcome outcome;
    } cases[] = {
        {RETRY_CONNECT, 0, true, true, TARGET_FAILURE},
        {RETRY_BROKEN, 0, true, true, TARGET_FAILURE},
        {RETRY_TIMEOUT, 0, true, false, TARGET_FAILURE},
        {RETRY_STATUS, 200, false, false, TARGET_SUCCESS},
        {RETRY_STATUS, 304, false, false, TARGET_NEUTRAL},
        {RETRY_STATUS, 400, false, false, TARGET_NEUTRAL},
        {RETRY_STATUS, 401, true, false, TARGET_RATE_LIMITED},
        {RETRY_STATUS, 402, true, false, TARGET_RATE_LIMITED},
        {RETRY_STATUS, 403, true, false, TARGET_NEUTRAL},
        {RETRY_STATUS, 404, true, false, TARGET_NEUTRAL},
        {RETRY_STATUS, 408, true, false, TARGET_FAILURE},
        {RETRY_STATUS, 409, false, false, TARGET_NEUTRAL},
        {RETRY_STATUS, 413, false, false, TARGET_NEUTRAL},
        {RETRY_STATUS, 418, false, false, TARGET_NEUTRAL},
        {RETRY_STATUS, 422, false, false, TARGET_NEUTRAL},
        {RETRY_STATUS, 429, true, true, TARGET_RATE_LIMITED},
        {RETRY_STATUS, 498, true, true, TARGET_FAILURE},
        {RETRY_STATUS, 500, true, true, TARGET_FAILURE},
        {RETRY_STATUS, 502, true, true, TARGET_FAILURE},
        {RETRY_STATUS, 503, true, true, TARGET_FAILURE},
        {RETRY_STATUS, 504, true, false, TARGET_FAILURE},
        {RETRY_STATUS, 524, true, false, TARGET_FAILURE},
        {RETRY_STATUS, 529, true, true, TARGET_FAILURE},
        {RETRY_STREAM, 0, true, true, TARGET_FAILURE},
        {RETRY_STREAM, 200, true, true, TARGET_FAILURE},
        {RETRY_STREAM, 400, false, false, TARGET_NEUTRAL},
        {RETRY_STREAM, 429, true, true, TARGET_RATE_LIMITED},
        {RETRY_STREAM, 500, true, true, TARGET_FAILURE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct retry_verdict v = retry_classify(cases[i].f, cases[i].status);

        assert_int_equal(v.next_target, cases[i].next);
        assert_int_equal(v.same_target_ok, cases[i].same);
        assert_int_equal(v.outcome, cases[i].outcome);
    }
}

// Which of several errors is reported.
static void ranks(void **state)
{
    static const struct {
        enum retry_failure f;
        unsigned status;
    } order[] = {{RETRY_STATUS, 422}, {RETRY_STATUS, 429}, {RETRY_STATUS, 503},
                 {RETRY_TIMEOUT, 0},  {RETRY_STATUS, 401}, {RETRY_CONNECT, 0}};
    static const struct {
        enum retry_failure f;
        unsigned status, same_as;
    } equal[] = {{RETRY_STATUS, 400, 422}, {RETRY_STATUS, 413, 422}, {RETRY_STATUS, 529, 503},
                 {RETRY_STATUS, 403, 401}, {RETRY_STATUS, 404, 401}, {RETRY_STREAM, 0, 503}};

    (void)state;
    for (size_t i = 1; i < ARRAY_LEN(order); i++) {
        assert_true(retry_classify(order[i - 1].f, order[i - 1].status).rank <
                    retry_classify(order[i].f, order[i].status).rank);
    }
    for (size_t i = 0; i < ARRAY_LEN(equal); i++) {
        assert_int_equal(retry_classify(equal[i].f, equal[i].status).rank,
                         retry_classify(RETRY_STATUS, equal[i].same_as).rank);
    }
    assert_int_equal(retry_classify(RETRY_STATUS, 504).rank, retry_classify(RETRY_TIMEOUT, 0).rank);
    assert_int_equal(retry_classify(RETRY_BROKEN, 0).rank, retry_classify(RETRY_CONNECT, 0).rank);
}

static void budget(void **state)
{
    struct retry_budget b;
    int taken = 0;

    (void)state;
    retry_budget_init(&b);
    while (retry_budget_take(&b)) {
        taken++;
    }
    assert_int_equal(taken, 10);
    for (int i = 0; i < 1000; i++) {
        retry_budget_request(&b);
        taken += retry_budget_take(&b) ? 1 : 0;
    }
    assert_true(taken >= 209 && taken <= 210); // a fifth of the traffic
    for (int i = 0; i < 100000; i++) {
        retry_budget_request(&b);
    }
    taken = 0;
    while (retry_budget_take(&b)) {
        taken++;
    }
    assert_int_equal(taken, 100);
}

static void backoff(void **state)
{
    static const struct {
        unsigned n;
        uint64_t ceiling;
    } cases[] = {{0, 25 * MONO_MS}, {1, 50 * MONO_MS}, {2, 100 * MONO_MS},     {5, 800 * MONO_MS},
                 {6, MONO_SEC},     {40, MONO_SEC},    {4000000000u, MONO_SEC}};
    struct rng rng;

    (void)state;
    rng_init(&rng, 5);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t most = 0, least = UINT64_MAX;

        for (int k = 0; k < 1000; k++) {
            uint64_t us = retry_backoff_us(cases[i].n, &rng);

            most = us > most ? us : most;
            least = us < least ? us : least;
        }
        assert_true(most <= cases[i].ceiling && most > cases[i].ceiling * 9 / 10);
        assert_true(least < cases[i].ceiling / 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classification),
        cmocka_unit_test(ranks),
        cmocka_unit_test(budget),
        cmocka_unit_test(backoff),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
