// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/meters.h"

static void what_was_counted_is_shown(void **state)
{
    static const char *const lines[] = {
        "sluice_control_api_requests_total{route=\"/admin/v1/keys\",status=\"201\"} 2\n",
        "sluice_control_commits_total{outcome=\"conflict\"} 1\n",
        "sluice_control_leases_total{result=\"granted\"} 3\n",
        "sluice_control_usage_reports_total{result=\"applied\"} 1\n",
        "sluice_control_usage_records_total 12\n",
        "sluice_control_usage_reports_lost_total 4\n",
        "sluice_control_redis_clock_jumps_total 1\n",
        "sluice_control_seq 9\n",
        "sluice_control_resources{kind=\"key\"} 5\n",
        "sluice_control_loop_lag_seconds 0.0015\n",
        "sluice_control_messages{kind=\"bad\"} 6\n",
    };
    struct meters *m = meters_new();
    struct meters_gauges g = {.seq = 9, .loop_lag_us = 1500, .bad_messages = 6};
    struct buf out;

    (void)state;
    g.resources[RESOURCE_KEY] = 5;
    meters_api(m, "/admin/v1/keys", 201);
    meters_api(m, "/admin/v1/keys", 201);
    meters_commit(m, STORE_CONFLICT);
    meters_lease(m, 3, 1, 0);
    meters_usage(m, "applied", 12, 4);
    meters_clock_jump(m);
    buf_init(&out, 1u << 20);
    meters_render(m, &g, &out);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        if (strstr(buf_cstr(&out), lines[i]) == NULL) {
            fail_msg("no %s in %s", lines[i], buf_cstr(&out));
        }
    }
    buf_done(&out);
    meters_free(&m);
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_counted_is_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
