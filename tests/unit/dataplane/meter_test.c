// SPDX-License-Identifier: Apache-2.0
// From usage to cost and reservation; the cost in an answer's body.
#include "dataplane/meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"

static void costs(void **state)
{
    static const struct resource_price p = {.input = 1000000,
                                            .cached = 50000,
                                            .cache_write = 1250000,
                                            .output = 5000000,
                                            .cache_write_long = 2000000,
                                            .image_output = 30000000};
    static const struct {
        struct dialect_usage u;
        bool believed, known;
        uint64_t pico;
    } cases[] = {
        {{.known = true, .input = 10000, .cached = 4000, .output = 1200}, false, true, 12200000000},
        {{.known = true,
          .input = 10000,
          .cached = 4000,
          .cache_write = 1000,
          .output = 1200,
          .reasoning = 700}, // reasoning is output
         false,
         true,
         12450000000},
        {{.known = true, .input = 1000, .cache_write = 1000, .cache_write_1h = 400},
         false,
         true,
         1550000000},
        {{.known = false, .input = 10, .output = 10}, false, false, 0},
        {{.known = true, .input = 10, .has_cost = true, .cost_pico = 77}, true, true, 77},
        {{.known = true, .input = 10, .has_cost = true, .cost_pico = 77}, false, true, 10000000},
        {{.known = false, .has_cost = true, .cost_pico = 0}, true, true, 0},
        {{.known = true, .input = 10}, true, true, 10000000},
        // tiers; one without a rate is unpriced, never priced as another
        {{.known = true, .input = 10, .tier = DIALECT_TIER_FLEX}, false, true, 5000000},
        {{.known = true, .input = 10, .tier = DIALECT_TIER_PRIORITY}, false, true, 20000000},
        {{.known = true, .input = 10, .tier = DIALECT_TIER_BATCH}, false, false, 0},
        {{.known = true, .input = 10, .tier = DIALECT_TIER_BATCH, .has_cost = true}, true, true, 0},
        {{.known = true, .input = 10, .us_only = true}, false, true, 11000000},
        {{.known = true, .input = 10, .tier = DIALECT_TIER_FLEX, .us_only = true},
         false,
         true,
         5500000},
        // searches are paid for each, whatever the tier
        {{.known = true, .input = 10, .searches = 3, .tier = DIALECT_TIER_FLEX},
         false,
         true,
         30005000000},
        {{.known = true, .searches = UINT64_MAX}, false, true, UINT64_MAX - 1},
        // a part of the output with a price of its own
        {{.known = true, .output = 10, .image_output = 4}, false, true, 150000000},
        {{.known = true, .input = (uint64_t)1 << 60, .tier = DIALECT_TIER_PRIORITY},
         false,
         true,
         UINT64_MAX - 1},
    };
    static const struct meter_rates rates = {
        .flex = 500, .priority = 2000, .us = 1100, .now = 1000, .search = 10000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct price_cost x = meter_cost(&p, &rates, &cases[i].u, cases[i].believed);

        if (x.known != cases[i].known || x.pico != cases[i].pico) {
            fail_msg("case %zu: %d %llu", i, x.known, (unsigned long long)x.pico);
        }
        assert_int_equal(meter_cost(NULL, &rates, &cases[i].u, cases[i].believed).known,
                         cases[i].believed && cases[i].u.has_cost);
    }
}

// 2026-11-23 is a Monday.
static void rates_of_hours(void **state)
{
    static const char *const spans[] = {"01:00-04:00", "06:00-10:00", "nonsense"};
    struct resource_quirks q = {
        .price_peak = 2000, .peak_hours = spans, .n_peak_hours = ARRAY_LEN(spans)};
    static const struct {
        uint64_t wall_s;
        uint32_t now;
    } cases[] = {
        {1795393800, 1000},
        {1795395599, 1000},
        {1795395600, 2000},
        {1795406399, 2000},
        {1795406400, 1000},
        {1795413600, 2000},
        {1795428000, 1000},
        {1795395600 - 86400, 1000},     // Sunday
        {1795395600 + 4 * 86400, 2000}, // Friday
        {1795395600 + 5 * 86400, 1000}, // Saturday
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (meter_rates_of(&q, cases[i].wall_s * 1000000).now != cases[i].now) {
            fail_msg("case %zu", i);
        }
    }
    assert_int_equal(meter_rates_of(&(struct resource_quirks){.flags = 0}, 0).now, 1000);
    assert_int_equal(meter_rates_of(&(struct resource_quirks){.price_rate = 1100}, 0).now, 1100);
    q.price_rate = 1100;
    assert_int_equal(meter_rates_of(&q, cases[0].wall_s * 1000000).now, cases[0].now * 11 / 10);
    // without a price for searches nobody knows what they cost
    assert_false(meter_cost(&(struct resource_price){.input = 1},
                            &(struct meter_rates){.now = 1000},
                            &(struct dialect_usage){.known = true, .searches = 1}, false)
                     .known);
}

static void reservations(void **state)
{
    static const struct {
        uint64_t prompt, max_tokens, fallback, expected;
        uint32_t n;
        enum dialect_endpoint ep;
    } cases[] = {
        {0, 0, 1024, 1024, 1, DIALECT_CHAT},
        {10, 0, 1024, 1027, 1, DIALECT_CHAT},
        {10, 100, 1024, 103, 1, DIALECT_CHAT},
        {10, 100, 1024, 303, 3, DIALECT_CHAT},
        {4000, 0, 1024, 1000, 1, DIALECT_EMBEDDINGS},
        {0, UINT64_MAX, 1, (uint64_t)128 << 40, 128, DIALECT_CHAT}, // cut, no wrap-around
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct dialect_request r = {.endpoint = cases[i].ep,
                                    .prompt_bytes = cases[i].prompt,
                                    .max_tokens = cases[i].max_tokens,
                                    .n = cases[i].n};

        assert_true(meter_reserve_tokens(&r, cases[i].fallback) == cases[i].expected);
    }
}

static void the_cost_goes_into_the_usage(void **state)
{
    static const struct {
        const char *body, *with; // NULL: nothing is inserted
    } cases[] = {
        {"{\"id\":\"x\",\"usage\":{\"prompt_tokens\":1},\"y\":2}",
         "{\"id\":\"x\",\"usage\":{\"prompt_tokens\":1,\"cost\":0.5},\"y\":2}"},
        {"{ \"usage\" : { \"a\" : {} } }", "{ \"usage\" : { \"a\" : {} ,\"cost\":0.5} }"},
        {"{\"usage\":{}}", "{\"usage\":{\"cost\":0.5}}"},
        {"{\"usage\":{ }}", "{\"usage\":{ \"cost\":0.5}}"},
        {"{\"usage\":{\n\t\r }}", "{\"usage\":{\n\t\r \"cost\":0.5}}"},
        {"{\"usage\":{\"cost\":1}}", NULL}, // the provider's own
        {"{\"usage\":null}", NULL},
        {"{\"usage\":[]}", NULL},
        {"{\"x\":{\"usage\":{}}}", NULL},
        {"{\"usage\":{", NULL},
        {"[DONE]", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out;
        bool done;

        buf_init(&out, 256);
        done = meter_insert_cost(slice_str(cases[i].body), SLICE("0.5"), &out);
        assert_int_equal(done, cases[i].with != NULL);
        if (done) {
            assert_string_equal(buf_cstr(&out), cases[i].with);
        } else {
            assert_int_equal(out.n, 0);
        }
        buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs),
        cmocka_unit_test(rates_of_hours),
        cmocka_unit_test(reservations),
        cmocka_unit_test(the_cost_goes_into_the_usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
