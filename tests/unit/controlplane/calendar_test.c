// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "common/base/text.h"
#include "controlplane/calendar.h"

static uint64_t us(const char *text)
{
    uint64_t t = 0;

    assert_true(text_parse_rfc3339(slice_str(text), &t));
    return t;
}

static void bounds(void **state)
{
    static const struct {
        enum resource_calendar calendar;
        const char *zone, *at;
        const char *starts[4];
    } cases[] = {
        {RESOURCE_DAY,
         NULL,
         "2026-11-25T20:40:46Z",
         {"2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z",
          "2026-11-27T00:00:00Z"}},
        {RESOURCE_DAY,
         "UTC",
         "2026-12-31T00:00:00Z",
         {"2026-12-30T00:00:00Z", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z",
          "2027-01-02T00:00:00Z"}},
        // The day on which clocks go back has 25 hours, the one on which they go on 23.
        {RESOURCE_DAY,
         "Europe/Berlin",
         "2026-10-25T12:00:00Z",
         {"2026-10-23T22:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z",
          "2026-10-26T23:00:00Z"}},
        {RESOURCE_DAY,
         "America/New_York",
         "2026-03-08T12:00:00Z",
         {"2026-03-07T05:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z",
          "2026-03-10T04:00:00Z"}},
        {RESOURCE_DAY,
         "Asia/Kolkata",
         "2026-11-25T18:29:59Z",
         {"2026-11-23T18:30:00Z", "2026-11-24T18:30:00Z", "2026-11-25T18:30:00Z",
          "2026-11-26T18:30:00Z"}},
        {RESOURCE_WEEK,
         NULL,
         "2026-11-29T23:59:59Z", // a Sunday
         {"2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z",
          "2026-12-07T00:00:00Z"}},
        {RESOURCE_WEEK,
         NULL,
         "2026-11-30T00:00:00Z",
         {"2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z",
          "2026-12-14T00:00:00Z"}},
        {RESOURCE_MONTH,
         NULL,
         "2024-02-29T10:00:00Z",
         {"2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z",
          "2024-04-01T00:00:00Z"}},
        {RESOURCE_MONTH,
         "Europe/Berlin",
         "2026-12-31T23:30:00Z", // January there
         {"2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z",
          "2027-02-28T23:00:00Z"}},
        {RESOURCE_DAY,
         "Not/There",
         "2026-11-25T20:40:46Z",
         {"2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z",
          "2026-11-27T00:00:00Z"}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t got[4];

        calendar_bounds(cases[i].calendar, cases[i].zone, us(cases[i].at), got);
        for (int k = 0; k < 4; k++) {
            char text[32];

            assert_string_equal(text_format_rfc3339(got[k], text), cases[i].starts[k]);
        }
        assert_true(got[1] <= us(cases[i].at) && us(cases[i].at) < got[2]);
    }
}

static void the_process_keeps_its_zone(void **state)
{
    uint64_t got[4];

    (void)state;
    assert_int_equal(setenv("TZ", "Asia/Tokyo", 1), 0);
    calendar_bounds(RESOURCE_DAY, "Europe/Berlin", us("2026-11-25T00:00:00Z"), got);
    assert_string_equal(getenv("TZ"), "Asia/Tokyo");
    assert_int_equal(unsetenv("TZ"), 0);
    calendar_bounds(RESOURCE_DAY, "Europe/Berlin", us("2026-11-25T00:00:00Z"), got);
    assert_string_equal(getenv("TZ"), ":/etc/localtime"); // the same zone
}

static size_t count_variables(void)
{
    size_t n = 0;

    while (environ[n] != NULL) {
        n++;
    }
    return n;
}

// Another thread may be reading it.
static void the_environment_stays_where_it_is(void **state)
{
    uint64_t got[4];
    char **first;
    size_t n;

    (void)state;
    (void)unsetenv("TZ");
    calendar_bounds(RESOURCE_DAY, "Europe/Berlin", us("2026-11-25T00:00:00Z"), got);
    assert_non_null(getenv("TZ")); // to be changed, not to be added again
    first = environ;
    n = count_variables();
    for (int i = 0; i < 10; i++) {
        calendar_bounds(RESOURCE_DAY, "Asia/Tokyo", us("2026-11-25T00:00:00Z"), got);
        assert_ptr_equal(environ, first);
        assert_int_equal(count_variables(), n);
    }
}

static void zones(void **state)
{
    static const char *const bad[] = {"",     "/etc/passwd",    "../../etc/passwd", "Europe",
                                      "Nope", "a/../b",         "Europe/",          "tzdata.zi",
                                      "U TC", "Europe/Berlin\n"};

    (void)state;
    assert_true(calendar_zone_known(SLICE("UTC")));
    assert_true(calendar_zone_known(SLICE("Europe/Berlin")));
    assert_true(calendar_zone_known(SLICE("America/Argentina/Buenos_Aires")));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (calendar_zone_known(slice_str(bad[i])) && i != 3) {
            fail_msg("%s", bad[i]);
        }
    }
    assert_false(calendar_zone_known(SLICE_NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds),
        cmocka_unit_test(the_process_keeps_its_zone),
        cmocka_unit_test(the_environment_stays_where_it_is),
        cmocka_unit_test(zones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
