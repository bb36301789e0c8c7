// SPDX-License-Identifier: Apache-2.0
// Limits as the admin API writes and reads them, in keys, teams and users:
// {"unit":"requests","amount":1000,"per":"1m"}. Every member is checked; what is wrong is noted by
// its path and the rest is read all the same, so that one answer names every problem.
#include "controlplane/quota.h"

#include <math.h>

#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/calendar.h"

#define UNITS_MAX  INT64_C(1000000000000) // 10^12 requests or tokens
#define USD_MAX    1e9
#define NANO       1e9
#define PER_MIN_US MONO_SEC
#define PER_MAX_US (30 * 86400 * MONO_SEC)

static const char *const limit_fields[] = {"unit", "amount", "per", "time_zone", "on_control_loss"};

struct job {
    struct arena *arena; // of the result
    struct json_report *r;
};

static void read_unit(struct job *j, const struct json_at *limit, struct resource_limit *out)
{
    struct json_at at = json_member(limit, "unit");
    struct slice s;

    if (!json_require(&at, j->r) || !json_want_text(&at, 1, 20, &s, j->r)) {
        return;
    }
    if (slice_eq_str(s, "requests")) {
        out->unit = RESOURCE_REQUESTS;
    } else if (slice_eq_str(s, "tokens")) {
        out->unit = RESOURCE_TOKENS;
    } else if (slice_eq_str(s, "usd")) {
        out->unit = RESOURCE_USD;
    } else {
        json_note(j->r, &at, "must be \"requests\", \"tokens\" or \"usd\"");
    }
}

static void read_amount(struct job *j, const struct json_at *limit, struct resource_limit *out)
{
    struct json_at at = json_member(limit, "amount");
    int64_t units;
    double usd;

    if (!json_require(&at, j->r)) {
        return;
    }
    if (out->unit == RESOURCE_USD) {
        if (json_want_number(&at, 1 / NANO, USD_MAX, &usd, j->r)) {
            out->amount = (uint64_t)llround(usd * NANO);
        }
    } else if (json_want_int(&at, 1, UNITS_MAX, &units, j->r)) {
        out->amount = (uint64_t)units;
    }
}

static void read_per(struct job *j, const struct json_at *limit, struct resource_limit *out)
{
    struct json_at at = json_member(limit, "per");
    struct slice s;

    if (!json_require(&at, j->r) || !json_want_text(&at, 1, 32, &s, j->r)) {
        return;
    }
    if (slice_eq_str(s, "day")) {
        out->calendar = RESOURCE_DAY;
    } else if (slice_eq_str(s, "week")) {
        out->calendar = RESOURCE_WEEK;
    } else if (slice_eq_str(s, "month")) {
        out->calendar = RESOURCE_MONTH;
    } else if (!text_parse_duration_us(s, &out->per_us) || out->per_us < PER_MIN_US ||
               out->per_us > PER_MAX_US) {
        json_note(j->r, &at,
                  "must be a duration from 1s to 30d (\"1m\", \"24h\"), or \"day\", "
                  "\"week\" or \"month\"");
    }
}

static void read_zone(struct job *j, const struct json_at *limit, struct resource_limit *out)
{
    struct json_at at = json_member(limit, "time_zone");
    struct slice s;

    if (json_present_null(&at) || !json_want_text(&at, 1, CALENDAR_ZONE_MAX, &s, j->r)) {
        return;
    }
    if (out->calendar == RESOURCE_ROLLING) {
        json_note(j->r, &at, "only goes with \"per\": \"day\", \"week\" or \"month\"");
    } else if (!calendar_zone_known(s)) {
        json_note(j->r, &at, "is not a time zone known here (\"Europe/Berlin\", \"UTC\")");
    } else {
        out->time_zone = arena_strndup(j->arena, s.p, s.n);
    }
}

static void read_on_loss(struct job *j, const struct json_at *limit, struct resource_limit *out)
{
    struct json_at at = json_member(limit, "on_control_loss");
    struct slice s;

    if (json_present_null(&at) || !json_want_text(&at, 1, 20, &s, j->r)) {
        return;
    }
    if (slice_eq_str(s, "open")) {
        out->on_control_loss = 1;
    } else if (slice_eq_str(s, "closed")) {
        out->on_control_loss = 2;
    } else {
        json_note(j->r, &at, "must be \"open\" or \"closed\"");
    }
}

void quota_read(const struct json_at *body, struct arena *arena, const struct resource_limit **ret,
                size_t *ret_n, struct json_report *r)
{
    struct json_at at = json_member(body, "limits");
    struct job j = {arena, r};
    struct resource_limit *list;
    size_t n;

    if (!json_want_list(&at, RESOURCE_LIMITS_MAX, r)) {
        return;
    }
    n = json_size(&at);
    list = arena_zalloc(arena, (n + 1) * sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        struct json_at limit = json_element(&at, i);

        if (json_want_map(&limit, ARRAY_LEN(limit_fields) + 8, r)) {
            json_known(&limit, limit_fields, ARRAY_LEN(limit_fields), r);
            read_unit(&j, &limit, &list[i]);
            read_amount(&j, &limit, &list[i]);
            read_per(&j, &limit, &list[i]);
            read_zone(&j, &limit, &list[i]);
            read_on_loss(&j, &limit, &list[i]);
        }
    }
    *ret = list;
    *ret_n = n;
}

void quota_render(struct json_out *o, const struct resource_limit *limits, size_t n)
{
    static const char *const units[] = {"", "requests", "tokens", "usd"};
    static const char *const calendars[] = {"", "day", "week", "month"};
    static const char *const on_loss[] = {NULL, "open", "closed"};
    char per[32];

    json_out_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        const struct resource_limit *l = &limits[i];

        json_out_open(o, '{');
        json_out_field_str(o, "unit", units[l->unit]);
        json_out_key(o, "amount");
        if (l->unit == RESOURCE_USD) {
            json_out_double(o, (double)l->amount / NANO);
        } else {
            json_out_u64(o, l->amount);
        }
        json_out_field_str(o, "per",
                           l->calendar != RESOURCE_ROLLING ? calendars[l->calendar]
                                                           : text_format_duration(l->per_us, per));
        if (l->calendar != RESOURCE_ROLLING) {
            json_out_field_str(o, "time_zone", l->time_zone == NULL ? "UTC" : l->time_zone);
        }
        if (l->on_control_loss != 0) {
            json_out_field_str(o, "on_control_loss", on_loss[l->on_control_loss]);
        }
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}
