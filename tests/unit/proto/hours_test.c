// SPDX-License-Identifier: Apache-2.0
// Hours of a day as text; which times they hold is tested where they are used (meter_test.c).
#include "proto/hours.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void spans(void **state)
{
    static const struct {
        const char *text;
        unsigned begin, end; // end 0: refused
    } cases[] = {
        {"01:00-04:00", 60, 240},    {"00:00-24:00", 0, 1440},
        {"23:59-24:00", 1439, 1440}, {"04:00-01:00", 0, 0},
        {"01:00-01:00", 0, 0},       {"1:00-4:00", 0, 0},
        {"01:60-04:00", 0, 0},       {"01:00-24:01", 0, 0},
        {"01:00-25:00", 0, 0},       {"", 0, 0},
        {"01:00 04:00", 0, 0},       {"01:00-04:00 ", 0, 0},
        {"0a:00-04:00", 0, 0},       {"01.00-04:00", 0, 0},
        {"+1:00-04:00", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hours_span s = {0, 0};

        if (hours_parse(slice_str(cases[i].text), &s) != (cases[i].end != 0) ||
            (cases[i].end != 0 && (s.begin != cases[i].begin || s.end != cases[i].end))) {
            fail_msg("%s: %u to %u", cases[i].text, s.begin, s.end);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(spans)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
