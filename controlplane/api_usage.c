// SPDX-License-Identifier: Apache-2.0
// GET /usage?group_by=key&from=...&to=...&bucket=hour: one HGETALL for each hour or day, the rows
// in order of time.
#include <stdio.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"
#include "controlplane/usage.h"

#define HOUR_US     (3600 * MONO_SEC)
#define DAY_US      (24 * HOUR_US)
#define BUCKETS_MAX 800u
#define REDIS_US    (900 * MONO_MS)

struct row {
    uint64_t sums[USAGE_METRICS];
};

struct usage_query {
    struct api_call *c;
    const char *dimension;
    bool day;
    uint64_t from_us, step_us;
    size_t n;
    size_t waiting;
    bool failed;
    char message[200];
    struct buf *parts; // n, JSON rows of each bucket without the comma between buckets
    size_t next;       // bucket whose answer comes next (replies keep their order)
};

static void put_row(struct usage_query *q, struct json_out *o, struct slice value,
                    const struct row *row)
{
    char at[32];

    json_out_open(o, '{');
    json_out_field_str(o, "bucket", text_format_rfc3339(q->from_us + q->next * q->step_us, at));
    if (strcmp(q->dimension, "total") != 0) {
        json_out_field(o, q->dimension, value.n == 0 ? SLICE_NULL : value);
    }
    for (int m = 0; m < USAGE_METRICS; m++) {
        if (m == USAGE_COST) {
            json_out_key(o, "cost_usd");
            json_out_double(o, (double)row->sums[m] / 1e9);
        } else {
            json_out_field_u64(o, usage_metrics[m], row->sums[m]);
        }
    }
    json_out_close(o, '}');
}

static void add_field(struct map *rows, struct arena *a, struct slice field, uint64_t amount)
{
    struct slice value, metric = slice_cut(field, USAGE_SEPARATOR, &value);
    struct row *row = map_get(rows, value);

    if (row == NULL) {
        row = arena_zalloc(a, sizeof(*row));
        (void)map_put(rows, value, row);
    }
    for (int m = 0; m < USAGE_METRICS; m++) {
        if (slice_eq_str(metric, usage_metrics[m])) {
            row->sums[m] += amount;
        }
    }
}

static void take_bucket(struct usage_query *q, const struct redis_reply *r)
{
    struct buf *part = &q->parts[q->next];
    struct json_out o = json_out_to(part);
    struct arena a;
    struct map rows;

    arena_init(&a, 4096, 0);
    map_init(&rows);
    for (size_t i = 0; i + 1 < redis_count(r); i += 2) {
        add_field(&rows, &a, redis_text(redis_item(r, i)),
                  (uint64_t)redis_int(redis_item(r, i + 1)));
    }
    map_foreach (e, &rows) {
        put_row(q, &o, e->key, e->value);
    }
    map_done(&rows);
    arena_done(&a);
}

static void query_end(struct usage_query *q)
{
    struct api_call *c = q->c;
    struct buf body;

    if (q->failed) {
        api_error(c, 503, "store_unavailable", "%s", q->message);
    } else {
        struct json_out o;

        buf_init(&body, SIZE_MAX / 4);
        o = json_out_to(&body);
        json_out_open(&o, '{');
        json_out_key(&o, "data");
        json_out_open(&o, '[');
        for (size_t i = 0; i < q->n; i++) {
            if (q->parts[i].n > 0) {
                json_out_raw(&o, buf_slice(&q->parts[i]));
            }
        }
        json_out_close(&o, ']');
        json_out_field_str(&o, "next_cursor", NULL);
        json_out_close(&o, '}');
        api_send(c, 200, &body, 0);
    }
    for (size_t i = 0; i < q->n; i++) {
        buf_done(&q->parts[i]);
    }
    mem_free(q->parts);
    mem_free(q);
    api_release(c);
}

static void on_bucket(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct usage_query *q = arg;

    if (e != NULL) {
        q->failed = true;
        (void)snprintf(q->message, sizeof(q->message), "%.180s", e->message);
    } else if (!q->failed) {
        take_bucket(q, r);
    }
    q->next++;
    if (--q->waiting == 0) {
        query_end(q);
    }
}

// --- parameters ---------------------------------------------------------------------------------

static void note(struct api_call *c, const char *name, const char *problem)
{
    const struct json_at root = {0};
    const struct json_at at = {.up = &root, .name = name};

    json_note(&c->report, &at, "%s", problem);
}

static uint64_t read_time(struct api_call *c, const char *name, uint64_t otherwise)
{
    struct slice s = api_query(c, name);
    uint64_t us = otherwise;

    if (s.p != NULL && !text_parse_rfc3339(s, &us)) {
        note(c, name, "must be a time like 2026-11-25T00:00:00Z");
    }
    return us;
}

static const char *read_dimension(struct api_call *c)
{
    struct slice s = api_query(c, "group_by");

    if (s.p == NULL) {
        return usage_dimensions[0];
    }
    for (int i = 0; i < USAGE_DIMENSIONS; i++) {
        if (slice_eq_str(s, usage_dimensions[i])) {
            return usage_dimensions[i];
        }
    }
    note(c, "group_by", "must be one of key, team, user, model, provider, router, tag, total");
    return usage_dimensions[0];
}

static bool read_query(struct api_call *c, struct usage_query *q)
{
    struct slice bucket = api_query(c, "bucket");
    uint64_t to, from, now = loop_wall_us(c->api->loop);

    q->day = slice_eq_str(bucket, "day");
    if (bucket.p != NULL && !q->day && !slice_eq_str(bucket, "hour")) {
        note(c, "bucket", "must be \"hour\" or \"day\"");
    }
    q->step_us = q->day ? DAY_US : HOUR_US;
    q->dimension = read_dimension(c);
    to = read_time(c, "to", now);
    from =
        read_time(c, "from", to > (q->day ? 30 : 1) * DAY_US ? to - (q->day ? 30 : 1) * DAY_US : 0);
    q->from_us = from - from % q->step_us;
    if (c->report.n == 0 && to < from) {
        note(c, "to", "is before from");
    } else if (c->report.n == 0) {
        q->n = (size_t)((to - q->from_us) / q->step_us) + 1;
        if (q->n > BUCKETS_MAX) {
            note(c, "from", "covers more than 800 buckets: ask for days, or for less");
        }
    }
    return c->report.n == 0;
}

void api_usage_get(struct api_call *c)
{
    struct usage_query *q = mem_zalloc(sizeof(*q));

    q->c = c;
    if (!read_query(c, q)) {
        mem_free(q);
        api_invalid(c);
        return;
    }
    q->parts = mem_zalloc_array(q->n, sizeof(*q->parts));
    q->waiting = q->n;
    api_hold(c);
    for (size_t i = 0; i < q->n; i++) {
        char name[64];

        buf_init(&q->parts[i], API_ANSWER_MAX);
        redis_command(
            store_redis(c->api->store),
            (const struct slice[]){
                SLICE("HGETALL"),
                slice_str(usage_name(q->day, q->from_us + i * q->step_us, q->dimension, name))},
            2, REDIS_US, on_bucket, q);
    }
}
