// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "dataplane/metrics.h"
#include "proto/envelope.h"

static bool has(const struct buf *b, const char *text)
{
    return slice_find(buf_slice(b), slice_str(text)) != SIZE_MAX;
}

static void counts_a_request(void **state)
{
    struct metric_registry *r = metrics_registry_new();
    struct metrics *m = metrics_new(r);
    struct dialect_usage usage = {.known = true, .input = 10, .output = 5};
    struct metrics_sample s = {.route = SLICE("chat"),
                               .provider = SLICE("openai"),
                               .model = SLICE("gpt"),
                               .cache = SLICE("miss"),
                               .status = 200,
                               .stream = true,
                               .admitted = true,
                               .duration_us = 2000000,
                               .ttft_us = 400000,
                               .generated_us = 1600000,
                               .overhead_us = 120,
                               .usage = &usage,
                               .priced = true,
                               .cost_nano = 7000000};
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    metrics_request(m, &s);
    s.priced = false;
    metrics_request(m, &s);
    metrics_attempt(m, SLICE("openai"), SLICE("answered"), false);
    metrics_attempt(m, SLICE("openai"), SLICE("status"), true);
    metrics_fallback(m, true);
    metrics_streams(m, 1);
    metric_render(r, &out);
    assert_true(has(&out, "sluice_requests_total{route=\"chat\",provider=\"openai\",model=\"gpt\","
                          "status=\"200\"} 2"));
    assert_true(has(&out, "sluice_cost_usd_total{provider=\"openai\"} 0.007\n"));
    assert_true(has(&out, "sluice_unpriced_total{provider=\"openai\"} 1\n"));
    assert_true(has(&out, "sluice_overhead_seconds_sum 0.00024"));
    assert_true(has(&out, "gen_ai_server_time_to_first_token_seconds_sum{gen_ai_provider_name="
                          "\"openai\"} 0.8"));
    assert_true(has(&out, "gen_ai_server_time_per_output_token_seconds_sum{gen_ai_provider_name="
                          "\"openai\"} 0.8"));
    assert_true(has(&out, "gen_ai_token_type=\"input\"} 20"));
    assert_true(has(&out, "sluice_cache_requests_total{result=\"miss\"} 2"));
    assert_true(has(&out, "sluice_limit_decisions_total{decision=\"admitted\"} 2"));
    assert_true(has(&out, "sluice_attempts_total{provider=\"openai\",result=\"status\"} 1"));
    assert_true(has(&out, "sluice_ejections_total{provider=\"openai\"} 1"));
    assert_true(has(&out, "sluice_fallbacks_total{kind=\"degraded\"} 1"));
    assert_true(has(&out, "sluice_streams_open 1"));
    buf_done(&out);
    metrics_free(&m);
    metric_registry_free(&r);
}

// A client chooses model names: the number of series stays bounded.
static void bounds_its_series(void **state)
{
    struct metric_registry *r = metrics_registry_new();
    struct metrics *m = metrics_new(r);
    struct buf out;
    size_t lines = 0;

    (void)state;
    buf_init(&out, 16u << 20);
    for (int i = 0; i < 5000; i++) {
        char name[32];
        int n = snprintf(name, sizeof(name), "model-%d", i);
        struct metrics_sample s = {
            .route = SLICE("chat"), .model = {name, (size_t)n}, .status = 200};

        metrics_request(m, &s);
    }
    metric_render(r, &out);
    struct slice rest = buf_slice(&out);
    while (rest.n > 0) {
        struct slice line;

        rest = slice_cut(rest, '\n', &line);
        lines += slice_starts(line, SLICE("sluice_requests_total{")) ? 1 : 0;
    }
    assert_true(lines <= 1001);
    assert_true(has(&out, "model=\"other\""));
    buf_done(&out);
    metrics_free(&m);
    metric_registry_free(&r);
}

// All that the link counts is there to be read.
static void shows_the_link(void **state)
{
    static const uint64_t verdicts[ENVELOPE_VERDICTS] = {0};
    static const char *const lines[] = {
        "sluice_config_seq 40\n",
        "sluice_config_lag 2\n",
        "sluice_config_refused 3\n",
        "sluice_config_from_file 1\n",
        "sluice_usage_pending 4\n",
        "sluice_usage_lost 5\n",
        "sluice_usage_acked_total 6\n",
        "sluice_link_connected 1\n",
        "sluice_link_snapshots_total 7\n",
        "sluice_link_deltas_total 8\n",
        "sluice_link_gaps_total 9\n",
        "sluice_link_divergences_total 10\n",
        "sluice_link_messages_unknown_total 11\n",
        "sluice_link_lease_timeouts_total 12\n",
    };
    struct metric_registry *r = metrics_registry_new();
    struct metrics *m = metrics_new(r);
    struct buf out;

    (void)state;
    buf_init(&out, 1u << 20);
    metrics_process(m, &(const struct metrics_process){.config_seq = 40,
                                                       .control_seq = 42,
                                                       .config_refused = 3,
                                                       .config_from_file = 1,
                                                       .usage_pending = 4,
                                                       .usage_lost = 5,
                                                       .usage_acked = 6});
    metrics_link(m, &(const struct metrics_link){.connected = 1,
                                                 .syncs = 7,
                                                 .deltas = 8,
                                                 .gaps = 9,
                                                 .divergences = 10,
                                                 .unknown = 11,
                                                 .lease_timeouts = 12,
                                                 .verdicts = verdicts});
    metric_render(r, &out);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        assert_true(has(&out, lines[i]));
    }
    buf_done(&out);
    metrics_free(&m);
    metric_registry_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_a_request),
        cmocka_unit_test(bounds_its_series),
        cmocka_unit_test(shows_the_link),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
