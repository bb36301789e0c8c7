// SPDX-License-Identifier: Apache-2.0
// A local midnight is asked of mktime(3) with tm_isdst = -1: it knows the days of 23 and 25 hours,
// and where midnight does not exist it gives the first moment of the day.
//
// It goes by the environment's TZ, which stays there once it was set: setenv(3) of a variable that
// exists only changes a pointer, while adding and removing one moves the whole under whoever reads
// it meanwhile (the reader's thread imports it).
#include "controlplane/calendar.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"

#define ZONES "/usr/share/zoneinfo/"
#define USEC  UINT64_C(1000000)
#define LOCAL ":/etc/localtime" // what no TZ at all means

bool calendar_zone_known(struct slice zone)
{
    char path[sizeof(ZONES) + CALENDAR_ZONE_MAX + 1];

    if (slice_eq_str(zone, "UTC")) {
        return true;
    }
    if (zone.n == 0 || zone.n > CALENDAR_ZONE_MAX) {
        return false;
    }
    // No dots at all: no "..", no files with endings; must not begin with '/'.
    for (size_t i = 0; i < zone.n; i++) {
        char c = zone.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '+' || c == '/';

        if (!letter && (i == 0 || !other)) {
            return false;
        }
    }
    (void)snprintf(path, sizeof(path), ZONES SLICE_FMT, SLICE_ARG(zone)); // fits
    return zone.p[zone.n - 1] != '/' && access(path, R_OK) == 0;
}

// The start of the window `by` windows after the one that holds *t (local).
static uint64_t start_of(enum resource_calendar calendar, const struct tm *t, int by)
{
    struct tm s = {.tm_year = t->tm_year, .tm_mon = t->tm_mon, .tm_mday = 1, .tm_isdst = -1};
    time_t at;

    switch (calendar) {
    case RESOURCE_MONTH:
        s.tm_mon += by;
        break;
    case RESOURCE_WEEK:
        s.tm_mday = t->tm_mday - (t->tm_wday + 6) % 7 + 7 * by;
        break;
    case RESOURCE_DAY:
    case RESOURCE_ROLLING:
        s.tm_mday = t->tm_mday + by;
        break;
    }
    at = mktime(&s);
    return at < 0 ? 0 : (uint64_t)at * USEC;
}

void calendar_bounds(enum resource_calendar calendar, const char *zone, uint64_t wall_us,
                     uint64_t ret[4])
{
    const char *old = getenv("TZ");
    char *saved = mem_strdup(old);
    time_t now = (time_t)(wall_us / USEC);
    struct tm local;
    char name[CALENDAR_ZONE_MAX + 2];

    // ":" says that it is a file, not a POSIX rule.
    (void)snprintf(name, sizeof(name), ":%s",
                   zone != NULL && calendar_zone_known(slice_str(zone)) ? zone : "UTC");
    (void)setenv("TZ", name, 1); // fails only without memory: then the old zone counts
    tzset();
    (void)localtime_r(&now, &local);
    for (int i = 0; i < 4; i++) {
        ret[i] = start_of(calendar, &local, i - 1);
    }
    (void)setenv("TZ", saved == NULL ? LOCAL : saved, 1);
    tzset();
    mem_free(saved);
}
