// SPDX-License-Identifier: Apache-2.0
// Cost arithmetic: what is priced how, rounding, saturation, text.
#include "dataplane/meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cdefs.h"

#define NONE UINT64_MAX

static void costs(void **state)
{
    static const struct resource_price full = {
        .input = 1000000, .cached = 50000, .cache_write = 1250000, .output = 5000000};
    static const struct resource_price plain = {
        .input = 1000000, .cached = NONE, .cache_write = NONE, .output = 5000000};
    static const struct resource_price free_of_charge = {
        .input = 0, .cached = 0, .cache_write = 0, .output = 0};
    static const struct resource_price no_output = {
        .input = 1000000, .cached = NONE, .cache_write = NONE, .output = NONE};
    static const struct resource_price no_input = {
        .input = NONE, .cached = 1, .cache_write = 1, .output = 1};
    static const struct resource_price huge = {
        .input = NONE - 1, .cached = NONE - 1, .cache_write = NONE - 1, .output = NONE - 1};
    static const struct {
        const struct resource_price *price;
        struct dialect_usage u; // known, input, cached, written, output, reasoning
        bool priced;
        uint64_t pico;
    } cases[] = {
        {&full, {true, 10000, 4000, 0, 1200, 0}, true, 12200000000},
        {&full, {true, 10000, 4000, 1000, 1200, 700}, true, 12450000000}, // reasoning is output
        {&plain, {true, 10000, 4000, 1000, 1200, 0}, true, 16000000000},
        {&free_of_charge, {true, 10, 0, 0, 10, 0}, true, 0},
        {&full, {true, 0, 0, 0, 0, 0}, true, 0},
        {&full, {true, 5, 9, 0, 0, 0}, true, 450000}, // more cached than input: no wrap-around
        {&full, {true, 5, 3, 9, 0, 0}, true, 11400000},
        {&full, {true, 1, NONE, NONE, 0, 0}, true, NONE - 1},
        {&full, {false, 10, 0, 0, 10, 0}, false, 0},
        {NULL, {true, 10, 0, 0, 10, 0}, false, 0},
        {&no_output, {true, 10, 0, 0, 0, 0}, true, 10000000}, // embeddings
        {&no_output, {true, 10, 0, 0, 1, 0}, false, 0},
        {&no_input, {true, 10, 0, 0, 1, 0}, false, 0},
        {&no_input, {true, 0, 0, 0, 1, 0}, true, 1},
        {&huge, {true, 1, 0, 0, 0, 0}, true, NONE - 1},
        {&huge, {true, 3, 0, 0, 3, 0}, true, NONE - 1},
        {&huge, {true, 1, 0, 0, 1, 0}, true, NONE - 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct meter_cost c = meter_cost(cases[i].price, &cases[i].u);

        assert_int_equal(c.priced, cases[i].priced);
        assert_true(c.pico == cases[i].pico);
    }
}

static void nano_rounds_up(void **state)
{
    (void)state;
    assert_int_equal(meter_nano(0), 0);
    assert_int_equal(meter_nano(1), 1);
    assert_int_equal(meter_nano(1000), 1);
    assert_int_equal(meter_nano(1001), 2);
    assert_true(meter_nano(UINT64_MAX) == UINT64_MAX / 1000 + 1);
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

static void formats(void **state)
{
    static const struct {
        uint64_t pico;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {1, "0.000000000001"},
        {600000, "0.0000006"},
        {150000000, "0.00015"},
        {12200000000, "0.0122"},
        {1000000000000, "1.0"},
        {10000000000000, "10.0"},
        {1500000000000, "1.5"},
        {UINT64_MAX, "18446744.073709551615"},
    };
    char out[40];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_string_equal(meter_format_usd(cases[i].pico, out), cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs),
        cmocka_unit_test(nano_rounds_up),
        cmocka_unit_test(reservations),
        cmocka_unit_test(formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
