// SPDX-License-Identifier: Apache-2.0
// Cost arithmetic: the worked examples over the catalogue's own prices, tiers, parts, what is
// unknown, rounding, saturation, text.
#include "dataplane/price.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/document.h"
#include "common/io/json.h"
#include "proto/config/config.h"

#define NONE UINT64_MAX

static struct env *env;
static struct config *c;

static int setup(void **state)
{
    (void)state;
    env = env_new();
    if (!env_set(env, SLICE("ZAI_API_KEY"), SLICE("key-of-zai-012345"))) {
        return 1;
    }
    c = config_parse("f.yaml", SLICE(""), &(const struct config_options){.env = env});
    return config_ok(c) ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    config_free(&c);
    env_free(&env);
    return 0;
}

// The catalogue's prices of a model at its first provider, at noon of a day.
static const struct resource_price *price_of(const char *model, const char *day)
{
    char when[32];
    uint64_t wall_us;

    (void)snprintf(when, sizeof(when), "%sT12:00:00Z", day);
    assert_true(text_parse_rfc3339(slice_str(when), &wall_us));
    for (size_t i = 0; i < c->n_resources; i++) {
        const struct resource *r = c->resources[i];

        if (r->kind == RESOURCE_MODEL && strcmp(r->id, model) == 0) {
            return price_at(&r->u.model->at[0], wall_us);
        }
    }
    fail_msg("%s is not in the catalogue", model);
    return NULL;
}

static void worked_examples(void **state)
{
    static const struct {
        const char *model, *day;
        struct price_tokens t;
        uint64_t pico;
        const char *usd;
    } cases[] = {
        {"gpt-6.1-terra",
         "2026-11-22",
         {.input = 10000, .cached = 4000, .output = 1200},
         12200000000,
         "0.0122"},
        {"gpt-6.1-terra",
         "2026-11-22",
         {.input = 300000, .cached = 100000, .output = 2000},
         425000000000,
         "0.425"},
        {"gpt-6.1-terra", "2026-11-22", {.input = 272000, .output = 1}, 272005000000, "0.272005"},
        {"gpt-6.1-terra", "2026-11-22", {.input = 272001}, 544002000000, "0.544002"},
        {"claude-opus-5-5",
         "2026-11-22",
         {.input = 21000, .cached = 15000, .cache_write = 4000, .output = 800},
         47000000000,
         "0.047"},
        {"claude-haiku-5-5",
         "2026-11-22",
         {.input = 100001, .cached = 90000, .output = 500},
         10750500000,
         "0.0107505"},
        {"gemini-4-argon", "2026-11-30", {.input = 5000, .output = 900}, 19000000000, "0.019"},
        {"gemini-4-argon", "2026-12-01", {.input = 5000, .output = 900}, 38000000000, "0.038"},
        {"gemini-3.8-flash", "2026-12-31", {.input = 1000000}, 750000000000, "0.75"},
        {"gemini-3.8-flash", "2027-01-01", {.input = 1000000}, 1500000000000, "1.5"},
        {"gpt-4-turbo",
         "2026-11-22",
         {.input = 1000, .cached = 400, .output = 10},
         10300000000,
         "0.0103"},
        {"glm-4.7-flash", "2026-11-22", {.input = 1000, .output = 10}, 0, "0.0"},
        {"gpt-6-luna", "2026-11-22", {.input = 1, .output = 1}, 600000, "0.0000006"},
        // Anthropic's writes: 1.25 x for 5 minutes, 2 x for an hour.
        {"claude-sonnet-5-5",
         "2026-11-22",
         {.input = 1000, .cache_write = 1000},
         2500000000,
         "0.0025"},
        {"claude-sonnet-5-5",
         "2026-11-22",
         {.input = 1000, .cache_write = 1000, .cache_write_long = 600},
         3400000000,
         "0.0034"},
        {"gpt-6.2-sol",
         "2026-11-22",
         {.input = 1000, .cache_write = 1000, .cache_write_long = 1000},
         5000000000,
         "0.005"},
        {"gpt-audio",
         "2026-11-22",
         {.input = 100, .audio_input = 60, .output = 50, .audio_output = 40},
         40 * 2500000ULL + 60 * 32000000ULL + 10 * 10000000ULL + 40 * 64000000ULL,
         "0.00468"},
        {"gemini-3.1-pro-preview",
         "2026-11-22",
         {.input = 200001, .output = 1},
         800022000000,
         "0.800022"},
    };
    char text[40];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct price_cost x = price_cost(price_of(cases[i].model, cases[i].day), NULL, &cases[i].t);

        if (!x.known || x.pico != cases[i].pico) {
            fail_msg("case %zu, %s: %llu", i, cases[i].model, (unsigned long long)x.pico);
        }
        assert_string_equal(price_format_usd(x.pico, text), cases[i].usd);
    }
}

static uint64_t number(const struct json_at *o, const char *name, struct json_report *r)
{
    struct json_at at = json_member(o, name);
    int64_t v = 0;

    return json_present(&at) && json_want_int(&at, 0, INT64_MAX, &v, r) ? (uint64_t)v : 0;
}

static const char *text_of(const struct json_at *o, const char *name, char out[64],
                           struct json_report *r)
{
    struct json_at at = json_member(o, name);
    struct slice s = SLICE_NULL;

    assert_true(json_want_text(&at, 1, 63, &s, r));
    (void)snprintf(out, 64, SLICE_FMT, SLICE_ARG(s));
    return out;
}

static void check_vector(const struct json_at *one)
{
    struct json_report r = {.n = 0};
    struct json_at usage = json_member(one, "usage"), pico = json_member(one, "cost_units");
    const struct price_tokens t = {
        .input = number(&usage, "input_total", &r),
        .cached = number(&usage, "input_cached", &r),
        .cache_write = number(&usage, "cache_write", &r),
        .output = number(&usage, "output_total", &r),
    };
    char model[64], day[64];
    struct price_cost x;

    x = price_cost(price_of(text_of(one, "model", model, &r), text_of(one, "date", day, &r)), NULL,
                   &t);
    assert_true(x.known && json_present(&pico));
    if (r.n != 0 || x.pico != number(one, "cost_units", &r)) {
        fail_msg("%s: %llu", model, (unsigned long long)x.pico);
    }
}

// tests/vectors/costs.json, whatever it holds.
static void vectors(void **state)
{
    struct err err;
    size_t n;
    char *text =
        document_read_file(NULL, SLUICE_SOURCE_DIR "/tests/vectors/costs.json", 1 << 20, &n, &err);
    struct json_value *doc;
    struct json_at root, cases;

    (void)state;
    assert_non_null(text);
    doc = json_parse((struct slice){text, n}, 1 << 20, 32, &err);
    assert_non_null(doc);
    root = json_root(doc);
    cases = json_member(&root, "cases");
    assert_true(json_size(&cases) >= 10);
    for (size_t i = 0; i < json_size(&cases); i++) {
        struct json_at one = json_element(&cases, i);

        check_vector(&one);
    }
    json_free(&doc);
    mem_free(text);
}

// What a vendor asks for where the price does not say; a price that says so goes first.
static void shares(void **state)
{
    static const struct price_shares anthropic = {1250, 2000};
    static const struct resource_price_tier tier = {
        .above = 100, .input = 30, .cached = 3, .cache_write = UINT64_MAX, .output = 7};
    const struct resource_price plain = {.input = 11,
                                         .cached = UINT64_MAX,
                                         .cache_write = UINT64_MAX,
                                         .output = 5,
                                         .tiers = &tier,
                                         .n_tiers = 1};
    struct resource_price own = plain;
    const struct price_tokens few = {.input = 10, .cache_write = 6, .cache_write_long = 2};
    const struct price_tokens many = {.input = 101, .cache_write = 6, .cache_write_long = 2};

    (void)state;
    assert_true(price_cost(&plain, NULL, &few).pico == 110);
    assert_true(price_cost(&plain, &anthropic, &few).pico == 4 * 11 + 4 * 14 + 2 * 22);
    assert_true(price_cost(&plain, &anthropic, &many).pico == 95 * 30 + 4 * 38 + 2 * 60);
    own.cache_write = 1;
    assert_true(price_cost(&own, &anthropic, &few).pico == 4 * 11 + 6);
    own.cache_write_long = 9;
    assert_true(price_cost(&own, &anthropic, &few).pico == 4 * 11 + 4 + 2 * 9);
    own.input = own.cache_write = UINT64_MAX;
    assert_false(price_cost(&own, &anthropic, &few).known);
}

static void unknown_is_not_free(void **state)
{
    const struct resource_price *gemma = price_of("gemma-4-31b-it", "2026-11-22");
    const struct price_tokens some = {.input = 1, .output = 1};
    struct price_cost x = price_cost(gemma, NULL, &some);

    (void)state;
    assert_false(x.known);
    assert_true(x.pico == 0);
    assert_false(price_cost(NULL, NULL, &some).known);
    x = price_cost(price_of("glm-4.7-flash", "2026-11-22"), NULL, &some);
    assert_true(x.known && x.pico == 0);
}

static const struct resource_price_tier tiers[] = {
    {.above = 100, .input = 20, .cached = NONE, .cache_write = NONE, .output = NONE},
    {.above = 200, .input = NONE, .cached = 3, .cache_write = 40, .output = 300},
};
static const struct resource_price steps = {.input = 10,
                                            .cached = 1,
                                            .cache_write = NONE,
                                            .output = 100,
                                            .cache_write_long = 15,
                                            .reasoning = 50,
                                            .tiers = tiers,
                                            .n_tiers = 2};
static const struct resource_price no_output = {
    .input = 10, .cached = NONE, .cache_write = NONE, .output = NONE};
static const struct resource_price no_input = {
    .input = NONE, .cached = 1, .cache_write = 1, .output = 1};
static const struct resource_price huge = {
    .input = NONE - 1, .cached = NONE - 1, .cache_write = NONE - 1, .output = NONE - 1};

static void parts_and_tiers(void **state)
{
    static const struct {
        const struct resource_price *p;
        struct price_tokens t;
        bool known;
        uint64_t pico;
    } cases[] = {
        {&steps, {.input = 0}, true, 0},
        {&steps, {.input = 100, .cached = 40}, true, 640},
        {&steps, {.input = 100, .cache_write = 100}, true, 1000}, // as input
        {&steps, {.input = 100, .cache_write = 100, .cache_write_long = 10}, true, 1050},
        {&steps, {.output = 10, .reasoning = 4}, true, 800},
        {&steps, {.output = 10, .reasoning = 40}, true, 500}, // no more than there is
        {&steps, {.input = 101, .cached = 1, .output = 1}, true, 2120},
        {&steps, {.input = 201, .cached = 1, .cache_write = 100, .output = 1}, true, 5303},
        {&steps, {.input = 5, .cached = 9}, true, 5}, // no wrap-around
        {&steps, {.input = 5, .cached = 3, .cache_write = 9}, true, 23},
        {&steps, {.input = 10, .audio_input = 90}, true, 100},
        {&no_output, {.input = 10}, true, 100}, // embeddings
        {&no_output, {.input = 10, .output = 1}, false, 0},
        {&no_output, {.output = 1, .reasoning = 1}, false, 0},
        {&no_input, {.input = 10, .output = 1}, false, 0},
        {&no_input, {.input = 10, .cached = 10, .output = 1}, true, 11},
        {&no_input, {.output = 1}, true, 1},
        {&huge, {.input = 1}, true, NONE - 1},
        {&huge, {.input = 3, .output = 3}, true, NONE - 1},
        {&huge, {.input = NONE, .output = NONE}, true, NONE - 1},
        {&steps, {.input = NONE, .cached = NONE, .output = NONE}, true, NONE - 1},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct price_cost x = price_cost(cases[i].p, NULL, &cases[i].t);

        if (x.known != cases[i].known || x.pico != cases[i].pico) {
            fail_msg("case %zu: %d %llu", i, x.known, (unsigned long long)x.pico);
        }
    }
}

static void copies_stand_alone(void **state)
{
    struct arena a;
    struct resource_price copy;
    const struct price_tokens t = {.input = 201, .output = 1};

    (void)state;
    arena_init(&a, 0, 0);
    copy = price_copy(&steps, &a);
    assert_ptr_not_equal(copy.tiers, steps.tiers);
    assert_true(price_cost(&copy, NULL, &t).pico == price_cost(&steps, NULL, &t).pico);
    copy = price_copy(&no_output, &a);
    assert_null(copy.tiers);
    arena_done(&a);
}

static void nano_rounds_up(void **state)
{
    (void)state;
    assert_int_equal(price_nano(0), 0);
    assert_int_equal(price_nano(1), 1);
    assert_int_equal(price_nano(1000), 1);
    assert_int_equal(price_nano(1001), 2);
    assert_true(price_nano(UINT64_MAX) == UINT64_MAX / 1000 + 1);
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
        uint64_t back;

        assert_string_equal(price_format_usd(cases[i].pico, out), cases[i].text);
        if (cases[i].pico != UINT64_MAX) {
            assert_true(price_parse_usd(slice_str(out), &back) && back == cases[i].pico);
        }
    }
}

static void numbers_of_providers(void **state)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t pico;
    } cases[] = {
        {"0", true, 0},
        {"0.0", true, 0},
        {"0e9", true, 0},
        {"1", true, 1000000000000},
        {"0.000912", true, 912000000},
        {"9.12e-4", true, 912000000},
        {"9.12E-04", true, 912000000},
        {"0.95e+0", true, 950000000000},
        {"1.23456e2", true, 123456000000000},
        {"0.0000000000001", true, 1},    // a tenth of a picodollar is one
        {"0.0000000000010001", true, 2}, // rounded up
        {"0.0000000000010000", true, 1},
        {"1e-30", true, 1},
        {"0.00000000000000000000000000000000000000000000000000", true, 0},
        {"0.30000000000000000000000000000000000000000000000000000000001", true, 300000000001},
        {"18446744", true, 18446744000000000000ULL},
        {"18446745", false, 0},
        {"1e400", false, 0},
        {"1e9999999999", false, 0},
        {"-1", false, 0},
        {"", false, 0},
        {".5", false, 0},
        {"1.", false, 0},
        {"1e", false, 0},
        {"1x", false, 0},
        {"null", false, 0},
        {"\"1\"", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t pico = 7;
        bool ok = price_parse_usd(slice_str(cases[i].text), &pico);

        if (ok != cases[i].ok || (ok && pico != cases[i].pico)) {
            fail_msg("%s: %d %llu", cases[i].text, ok, (unsigned long long)pico);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(worked_examples),
        cmocka_unit_test(vectors),
        cmocka_unit_test(shares),
        cmocka_unit_test(unknown_is_not_free),
        cmocka_unit_test(parts_and_tiers),
        cmocka_unit_test(copies_stand_alone),
        cmocka_unit_test(nano_rounds_up),
        cmocka_unit_test(formats),
        cmocka_unit_test(numbers_of_providers),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
