// SPDX-License-Identifier: Apache-2.0
// What a scrape shows: sums over slots, scales, escapes, bounds; recording and scraping at once.
#include "common/base/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { REQUESTS, OPEN, LATENCY, SECONDS, COUNT };

static const double latency_bounds[] = {0.001, 0.005, 0.1, 0};
static const double plain_bounds[] = {1, 10, 0};

static const struct metric_def defs[COUNT] = {
    [REQUESTS] = {"t_requests_total", METRIC_COUNTER, "route,status", NULL, "Requests,\n\\all.", 0},
    [OPEN] = {"t_open", METRIC_GAUGE, "", NULL, "Open \"streams\".", 0},
    [LATENCY] = {"t_latency_seconds", METRIC_HISTOGRAM, "route", latency_bounds, "Latency.", 1e-6},
    [SECONDS] = {"t_cpu_seconds_total", METRIC_COUNTER, "", NULL, "CPU.", 1e-6},
};

static char *render(struct metric_registry *r)
{
    static struct buf b;

    buf_done(&b);
    buf_init(&b, 1 << 20);
    if (r == NULL) {
        return NULL;
    }
    metric_render(r, &b);
    return (char *)(uintptr_t)buf_cstr(&b);
}

static struct metric_series *requests(struct metric_slot *s, const char *route, const char *status)
{
    const struct slice values[] = {slice_str(route), slice_str(status)};

    return metric_series(s, REQUESTS, values);
}

static void test_empty(void **state)
{
    struct metric_registry *r = metric_registry_new(defs, COUNT, 10);

    (void)state;
    assert_string_equal(render(r), "# HELP t_requests_total Requests,\\n\\\\all.\n"
                                   "# TYPE t_requests_total counter\n"
                                   "# HELP t_open Open \"streams\".\n"
                                   "# TYPE t_open gauge\n"
                                   "t_open 0\n"
                                   "# HELP t_latency_seconds Latency.\n"
                                   "# TYPE t_latency_seconds histogram\n"
                                   "# HELP t_cpu_seconds_total CPU.\n"
                                   "# TYPE t_cpu_seconds_total counter\n"
                                   "t_cpu_seconds_total 0\n");
    metric_registry_free(&r);
    assert_null(r);
    metric_registry_free(&r);
}

static void test_sums_over_slots(void **state)
{
    struct metric_registry *r = metric_registry_new(defs, COUNT, 10);
    struct metric_slot *a = metric_slot_new(r), *b = metric_slot_new(r);
    struct metric_series *first = requests(a, "chat", "200");
    char *text;

    (void)state;
    assert_ptr_equal(first, requests(a, "chat", "200"));
    assert_ptr_not_equal(first, requests(b, "chat", "200"));
    assert_ptr_not_equal(first, requests(a, "chat2", "00"));
    metric_add(first, 3);
    metric_add(requests(b, "chat", "200"), 4);
    metric_add(requests(b, "chat", "500"), 1);
    metric_set(metric_series(a, OPEN, NULL), 9);
    metric_set(metric_series(a, OPEN, NULL), 5);
    metric_add(metric_series(b, OPEN, NULL), -7);
    metric_add(metric_series(b, SECONDS, NULL), 1234567);
    text = render(r);
    assert_non_null(strstr(text, "t_requests_total{route=\"chat\",status=\"200\"} 7\n"));
    assert_non_null(strstr(text, "t_requests_total{route=\"chat\",status=\"500\"} 1\n"));
    assert_non_null(strstr(text, "t_requests_total{route=\"chat2\",status=\"00\"} 0\n"));
    assert_non_null(strstr(text, "\nt_open -2\n"));
    assert_non_null(strstr(text, "\nt_cpu_seconds_total 1.234567\n"));
    metric_registry_free(&r);
}

static void test_escapes(void **state)
{
    static const struct {
        struct slice value;
        const char *shown;
    } cases[] = {
        {SLICE("a\"b"), "route=\"a\\\"b\""}, {SLICE("a\\b"), "route=\"a\\\\b\""},
        {SLICE("a\nb"), "route=\"a\\nb\""},  {SLICE("\xff"), "route=\"\xef\xbf\xbd\""},
        {SLICE(""), "route=\"\""},           {SLICE("\xc3\xa9,}"), "route=\"\xc3\xa9,}\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct metric_registry *r = metric_registry_new(defs, COUNT, 10);
        const struct slice values[] = {cases[i].value, SLICE_NULL};

        metric_add(metric_series(metric_slot_new(r), REQUESTS, values), 1);
        assert_non_null(strstr(render(r), cases[i].shown));
        assert_non_null(strstr(render(r), ",status=\"\"} 1\n"));
        metric_registry_free(&r);
    }
}

static void test_long_label_is_cut(void **state)
{
    struct metric_registry *r = metric_registry_new(defs, COUNT, 10);
    static char value[1000];
    const char *at;

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    metric_add(requests(metric_slot_new(r), value, value), 1);
    at = strstr(render(r), "route=\"");
    assert_non_null(at);
    assert_int_equal(strspn(at + 7, "v"), 256);
    metric_registry_free(&r);
}

static void test_histogram(void **state)
{
    struct metric_registry *r = metric_registry_new(defs, COUNT, 10);
    const struct slice route[] = {SLICE("chat")};
    struct metric_series *a = metric_series(metric_slot_new(r), LATENCY, route);
    struct metric_series *b = metric_series(metric_slot_new(r), LATENCY, route);
    // Each bound is inclusive: 1,000 us is in le="0.001".
    static const uint64_t values[] = {0, 1000, 1001, 5000, 5001, 100000, 100001, 9000000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        metric_observe(i % 2 == 0 ? a : b, values[i]);
    }
    assert_non_null(strstr(render(r), "t_latency_seconds_bucket{route=\"chat\",le=\"0.001\"} 2\n"
                                      "t_latency_seconds_bucket{route=\"chat\",le=\"0.005\"} 4\n"
                                      "t_latency_seconds_bucket{route=\"chat\",le=\"0.1\"} 6\n"
                                      "t_latency_seconds_bucket{route=\"chat\",le=\"+Inf\"} 8\n"
                                      "t_latency_seconds_sum{route=\"chat\"} 9.212003\n"
                                      "t_latency_seconds_count{route=\"chat\"} 8\n"));
    metric_registry_free(&r);
}

static void test_histogram_without_labels(void **state)
{
    static const struct metric_def one[] = {
        {"t_size", METRIC_HISTOGRAM, "", plain_bounds, "Sizes.", 0},
    };
    struct metric_registry *r = metric_registry_new(one, 1, 1);
    struct metric_slot *s = metric_slot_new(r);

    (void)state;
    metric_observe(metric_series(s, 0, NULL), 10);
    metric_observe(metric_series(s, 0, NULL), 11);
    assert_non_null(strstr(render(r), "t_size_bucket{le=\"1\"} 0\n"
                                      "t_size_bucket{le=\"10\"} 1\n"
                                      "t_size_bucket{le=\"+Inf\"} 2\n"
                                      "t_size_sum 21\n"
                                      "t_size_count 2\n"));
    metric_registry_free(&r);
}

static void test_bound_on_series(void **state)
{
    struct metric_registry *r = metric_registry_new(defs, COUNT, 3);
    struct metric_slot *s = metric_slot_new(r);
    char name[16];
    char *text;

    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "m%d", i);
        metric_add(requests(s, name, "200"), 1);
    }
    assert_ptr_equal(requests(s, "m50", "200"), requests(s, "m60", "500"));
    assert_ptr_not_equal(requests(s, "m2", "200"), requests(s, "m60", "500"));
    text = render(r);
    assert_non_null(strstr(text, "{route=\"other\",status=\"other\"} 97\n"));
    assert_non_null(strstr(text, "{route=\"m2\",status=\"200\"} 1\n"));
    assert_null(strstr(text, "m3"));
    metric_registry_free(&r);
}

// --- recording while scraping: what TSan looks at ---

enum { THREADS = 3, ROUNDS = 3000 };

struct recorder {
    struct metric_registry *registry;
    atomic_int *running;
};

static void *record(void *arg)
{
    struct recorder *c = arg;
    struct metric_slot *s = metric_slot_new(c->registry);
    char name[16];

    for (int i = 0; i < ROUNDS; i++) {
        struct slice route = {name, (size_t)snprintf(name, sizeof(name), "r%d", i / 30)};

        metric_add(requests(s, name, "200"), 1);
        metric_observe(metric_series(s, LATENCY, &route), (uint64_t)i);
        metric_set(metric_series(s, OPEN, NULL), i);
    }
    atomic_fetch_sub(c->running, 1);
    return NULL;
}

static unsigned long sum_of(const char *text, const char *name)
{
    unsigned long sum = 0;

    for (const char *at = strstr(text, name); at != NULL; at = strstr(at + 1, name)) {
        sum += strtoul(strstr(at, "} ") + 2, NULL, 10);
    }
    return sum;
}

static void test_scrape_while_recording(void **state)
{
    struct metric_registry *r = metric_registry_new(defs, COUNT, 1000);
    atomic_int running = THREADS;
    struct recorder c = {r, &running};
    pthread_t threads[THREADS];
    unsigned long last = 0;

    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, record, &c), 0);
    }
    while (atomic_load(&running) > 0) {
        unsigned long now = sum_of(render(r), "t_requests_total{");

        assert_true(now >= last);
        last = now;
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(sum_of(render(r), "t_requests_total{"), THREADS * ROUNDS);
    assert_int_equal(sum_of(render(r), "t_latency_seconds_count{"), THREADS * ROUNDS);
    assert_non_null(strstr(render(r), "\nt_open 8997\n"));
    metric_registry_free(&r);
}

static int release_buffer(void **state)
{
    (void)state;
    (void)render(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),           cmocka_unit_test(test_sums_over_slots),
        cmocka_unit_test(test_escapes),         cmocka_unit_test(test_long_label_is_cut),
        cmocka_unit_test(test_histogram),       cmocka_unit_test(test_histogram_without_labels),
        cmocka_unit_test(test_bound_on_series), cmocka_unit_test(test_scrape_while_recording),
    };

    return cmocka_run_group_tests(tests, NULL, release_buffer);
}
