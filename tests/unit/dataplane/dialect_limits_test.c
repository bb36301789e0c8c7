// SPDX-License-Identifier: Apache-2.0
// Providers' limit headers in every documented form.
#include "dataplane/dialect_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mono.h"

#define WALL (1770000000 * MONO_SEC) // 2026-02-02T02:40:00Z

static void times(void **state)
{
    static const struct {
        const char *text;
        uint64_t us; // 0: refused
    } cases[] = {
        {"6ms", 6 * MONO_MS},
        {"1s", MONO_SEC},
        {"8.64s", 8640 * MONO_MS},
        {"1m30.5s", 90500 * MONO_MS},
        {"6m0s", 360 * MONO_SEC},
        {"1h2m3s", 3723 * MONO_SEC},
        {"2m59.56s", 179560 * MONO_MS},
        {"500us", 500},
        {"0s", 1},
        {"0", 1},
        {"0.0", 1},
        {" 90 ", 90 * MONO_SEC},
        {"0.5", 500 * MONO_MS},
        {"12.345678901", 12345678},
        {"2.", 0},
        {".5", 0},
        {"1.2.3", 0},
        {"86400", 86400 * MONO_SEC},
        {"999999999", 86400 * MONO_SEC},
        {"2592000s", 86400 * MONO_SEC},
        {"1770000060", 60 * MONO_SEC},
        {"1770000060000", 60 * MONO_SEC},
        {"1769999999", 1},
        {"18446744073709551615", 86400 * MONO_SEC},
        {"2026-02-02T02:40:30Z", 30 * MONO_SEC},
        {"2026-02-02T02:39:30Z", 1},
        {"Mon, 02 Feb 2026 02:41:00 GMT", 60 * MONO_SEC},
        {"Mon, 02 Feb 2026 02:30:00 GMT", 1},
        {"", 0},
        {"soon", 0},
        {"-1", 0},
        {"1 s", 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t us = 0;

        assert_int_equal(dialect_limits_time(slice_str(cases[i].text), WALL, &us),
                         cases[i].us != 0);
        assert_true(us == cases[i].us);
    }
}

struct header {
    const char *name, *value;
};

static struct slice get(void *ctx, const char *name)
{
    for (const struct header *h = ctx; h->name != NULL; h++) {
        if (strcmp(h->name, name) == 0) {
            return slice_str(h->value);
        }
    }
    return SLICE_NULL;
}

static void families(void **state)
{
    struct {
        struct header headers[8];
        struct dialect_limits l;
    } cases[] = {
        {{{NULL, NULL}}, {.has_requests = false}},
        {{{"x-ratelimit-limit-requests", "10000"},
          {"x-ratelimit-remaining-requests", "9999"},
          {"x-ratelimit-reset-requests", "6ms"},
          {"x-ratelimit-limit-tokens", "30000"},
          {"x-ratelimit-remaining-tokens", "15000"},
          {"x-ratelimit-reset-tokens", "1m30.5s"}},
         {true, true, 9999, 10000, 15000, 30000, 90500 * MONO_MS, 0}},
        {{{"anthropic-ratelimit-requests-limit", "50"},
          {"anthropic-ratelimit-requests-remaining", "1"},
          {"anthropic-ratelimit-requests-reset", "2026-02-02T02:40:10Z"},
          {"anthropic-ratelimit-tokens-limit", "1000"},
          {"anthropic-ratelimit-tokens-remaining", "900"},
          {"anthropic-ratelimit-tokens-reset", "2026-02-02T02:41:00Z"}},
         {true, true, 1, 50, 900, 1000, 10 * MONO_SEC, 0}},
        {{{"x-ratelimit-limit-req-minute", "60"}, // Mistral
          {"x-ratelimit-remaining-req-minute", "59"},
          {"x-ratelimit-limit-tokens-minute", "500"},
          {"x-ratelimit-remaining-tokens-minute", "100"}},
         {true, true, 59, 60, 100, 500, 0, 0}},
        {{{"x-ratelimit-limit-req-minute", "60"}, // Mistral's month, nearly over
          {"x-ratelimit-remaining-req-minute", "59"},
          {"x-ratelimit-limit-tokens-minute", "500"},
          {"x-ratelimit-remaining-tokens-minute", "400"},
          {"x-ratelimit-limit-tokens-month", "10000"},
          {"x-ratelimit-remaining-tokens-month", "10"}},
         {true, true, 59, 60, 10, 10000, 0, 0}},
        {{{"x-ratelimit-limit-req-month", "60"}, // and far from it
          {"x-ratelimit-remaining-req-month", "59"},
          {"x-ratelimit-limit-req-minute", "10"},
          {"x-ratelimit-remaining-req-minute", "1"}},
         {true, false, 1, 10, 0, 0, 0, 0}},
        {{{"x-ratelimit-limit-requests", "60"}, // SambaNova's day
          {"x-ratelimit-remaining-requests", "59"},
          {"x-ratelimit-reset-requests", "30"},
          {"x-ratelimit-limit-requests-day", "100"},
          {"x-ratelimit-remaining-requests-day", "0"},
          {"x-ratelimit-reset-requests-day", "3600"}},
         {true, false, 0, 100, 0, 0, 3600 * MONO_SEC, 3600 * MONO_SEC}},
        {{{"x-ratelimit-limit-requests-day", "1000"}, // Cerebras
          {"x-ratelimit-remaining-requests-day", "10"},
          {"x-ratelimit-reset-requests-day", "33011.382867"},
          {"x-ratelimit-limit-tokens-minute", "500"},
          {"x-ratelimit-remaining-tokens-minute", "500"},
          {"x-ratelimit-reset-tokens-minute", "11.3"}},
         {true, true, 10, 1000, 500, 500, 33011382867, 0}},
        {{{"x-ratelimit-limit", "20"}, // OpenRouter
          {"x-ratelimit-remaining", "0"},
          {"x-ratelimit-reset", "1770000030000"}},
         {true, false, 0, 20, 0, 0, 30 * MONO_SEC, 30 * MONO_SEC}},
        {{{"x-tokenlimit-limit", "20"}, {"x-tokenlimit-remaining", "7"}},
         {false, true, 0, 0, 7, 20, 0, 0}},
        {{{"x-ratelimit-limit-tokens-prompt", "600"}, // Fireworks
          {"x-ratelimit-remaining-tokens-prompt", "60"},
          {"x-ratelimit-over-limit", "no"}},
         {false, true, 0, 0, 60, 600, 0, 0}},
        {{{"ratelimitbysize-limit", "600"}, // Mistral, once
          {"ratelimitbysize-remaining", "60"},
          {"ratelimitbysize-reset", "9"}},
         {false, true, 0, 0, 60, 600, 9 * MONO_SEC, 0}},
        {{{"x-ratelimit-limit-requests", "15"}, // GitHub
          {"x-ratelimit-remaining-requests", "0"},
          {"x-ratelimit-renewalperiod-requests", "60"}},
         {true, false, 0, 15, 0, 0, 60 * MONO_SEC, 60 * MONO_SEC}},
        {{{"x-ratelimit-remaining-requests", "-1"}, {"x-ratelimit-limit-requests", "5"}},
         {.has_requests = false}},
        // huge numbers do not turn the comparison round
        {{{"x-ratelimit-limit-requests", "18446744073709551615"},
          {"x-ratelimit-remaining-requests", "18446744073709551615"},
          {"x-ratelimit-reset-requests", "1s"},
          {"x-ratelimit-limit-tokens", "18446744073709551615"},
          {"x-ratelimit-remaining-tokens", "5"},
          {"x-ratelimit-reset-tokens", "2s"}},
         {true, true, UINT64_MAX, UINT64_MAX, 5, UINT64_MAX, 2 * MONO_SEC, 0}},
        // a limit that is at its end times the 429 where nothing else does
        {{{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "17s"}},
         {false, true, 0, 0, 0, 0, 17 * MONO_SEC, 17 * MONO_SEC}},
        {{{"x-ratelimit-remaining-tokens", "0"},
          {"x-ratelimit-reset-tokens", "17s"},
          {"retry-after", "3"}},
         {false, true, 0, 0, 0, 0, 17 * MONO_SEC, 3 * MONO_SEC}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_limits l = dialect_limits_read(get, cases[i].headers, WALL);
        const struct dialect_limits *x = &cases[i].l;

        assert_int_equal(l.has_requests, x->has_requests);
        assert_int_equal(l.has_tokens, x->has_tokens);
        assert_true(!l.has_requests || (l.remaining_requests == x->remaining_requests &&
                                        l.limit_requests == x->limit_requests));
        assert_true(!l.has_tokens || (l.remaining_tokens == x->remaining_tokens &&
                                      l.limit_tokens == x->limit_tokens));
        assert_true(l.reset_us == x->reset_us);
        assert_true(l.retry_after_us == x->retry_after_us);
    }
}

static void retry_after(void **state)
{
    struct {
        struct header headers[3];
        uint64_t us;
    } cases[] = {
        {{{"retry-after", "2"}}, 2 * MONO_SEC},
        {{{"retry-after", "0"}}, 1}, // timed: at once
        {{{"retry-after", "1.5"}}, 1500 * MONO_MS},
        {{{"retry-after", "20s"}}, 20 * MONO_SEC},
        {{{"retry-after", "Mon, 02 Feb 2026 02:40:07 GMT"}}, 7 * MONO_SEC},
        {{{"retry-after", "Mon, 02 Feb 2026 02:39:07 GMT"}}, 1},
        {{{"retry-after", "999999"}}, 86400 * MONO_SEC},
        {{{"retry-after", "later"}}, 0},
        {{{"retry-after-ms", "250"}, {"retry-after", "1"}}, 250 * MONO_MS},
        {{{"retry-after-ms", "250.5"}, {"retry-after", "1"}}, 250500},
        {{{"retry-after-ms", "x"}, {"retry-after", "1"}}, MONO_SEC},
        {{{"retry-after-ms", "99999999999"}}, 86400 * MONO_SEC},
        {{{NULL, NULL}}, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(dialect_limits_read(get, cases[i].headers, WALL).retry_after_us == cases[i].us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),
        cmocka_unit_test(families),
        cmocka_unit_test(retry_after),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
