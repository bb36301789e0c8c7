// SPDX-License-Identifier: Apache-2.0
// GET /usage?group_by=key,model&provider=openai&from=...&to=...&bucket=hour: one HGETALL for each
// hour or day, the rows in order of time. Grouping by one thing reads that thing's sums; grouping
// by several, or a filter, reads the cube and adds up what falls together.
#include <stdio.h>
#include <string.h>

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
#define PARTS       (USAGE_DIMENSIONS - 1) // of a cube's value: all but "total"
#define TAGS        (PARTS - 1)            // the last one
#define OTHER       "(other)"

struct row {
    uint64_t sums[USAGE_METRICS];
};

struct usage_query {
    struct api_call *c;
    unsigned group[PARTS]; // usage_dimensions - 1, as asked for
    size_t n_group;        // 0: total
    struct slice filter[PARTS];
    bool cube;
    bool day;
    uint64_t from_us, step_us;
    size_t n;
    size_t waiting;
    bool failed;
    char message[200];
    struct buf *parts; // n, JSON rows of each bucket without the comma between buckets
    size_t next;       // bucket whose answer comes next (replies keep their order)
};

// The rows of one bucket.
struct rows {
    const struct usage_query *q;
    struct arena arena;
    struct map map; // values of the group, joined -> struct row
};

// ---- answers -----------------------------------------------------------------------------------

static void put_row(struct usage_query *q, struct json_out *o, struct slice value,
                    const struct row *row)
{
    char at[32];

    json_out_open(o, '{');
    json_out_field_str(o, "bucket", text_format_rfc3339(q->from_us + q->next * q->step_us, at));
    for (size_t i = 0; i < q->n_group; i++) {
        struct slice part;

        value = slice_cut(value, USAGE_JOINT, &part);
        json_out_field(o, usage_dimensions[q->group[i] + 1], part.n == 0 ? SLICE_NULL : part);
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

static void add_to_row(struct rows *rows, struct slice value, struct slice metric, uint64_t amount)
{
    struct row *row = map_get(&rows->map, value);

    if (row == NULL) {
        row = arena_zalloc(&rows->arena, sizeof(*row));
        (void)map_put(&rows->map, arena_dup(&rows->arena, value), row);
    }
    for (int m = 0; m < USAGE_METRICS; m++) {
        if (slice_eq_str(metric, usage_metrics[m])) {
            row->sums[m] += amount;
        }
    }
}

static bool has_tag(struct slice tags, struct slice tag)
{
    struct slice one;

    while (tags.n > 0) {
        tags = slice_cut(tags, ',', &one);
        if (slice_eq(one, tag)) {
            return true;
        }
    }
    return tag.n == 0;
}

// One value of the cube: into the row (with tags in the group: rows) it belongs to.
static void add_cell(struct rows *rows, struct slice value, struct slice metric, uint64_t amount)
{
    const struct usage_query *q = rows->q;
    bool by_tag = false, other = slice_find_char(value, USAGE_JOINT) == SIZE_MAX;
    struct slice part[PARTS], tag, tags;

    for (size_t i = 0; i < PARTS; i++) {
        part[i] = SLICE(OTHER);
        if (!other) {
            value = slice_cut(value, USAGE_JOINT, &part[i]);
        }
        if (q->filter[i].p != NULL &&
            (i == TAGS ? !has_tag(part[i], q->filter[i]) : !slice_eq(part[i], q->filter[i]))) {
            return;
        }
    }
    for (size_t i = 0; i < q->n_group; i++) {
        by_tag = by_tag || q->group[i] == TAGS;
    }
    tags = part[TAGS];
    do { // once without tags
        const char *joined = "";

        if (by_tag) {
            tags = slice_cut(tags, ',', &tag);
            part[TAGS] = tag;
        }
        for (size_t i = 0; i < q->n_group; i++) {
            struct slice p = part[q->group[i]];

            joined = i == 0 ? arena_strndup(&rows->arena, p.p == NULL ? "" : p.p, p.n)
                            : arena_printf(&rows->arena, "%s%c" SLICE_FMT, joined, USAGE_JOINT,
                                           SLICE_ARG(p));
        }
        add_to_row(rows, slice_str(joined), metric, amount);
    } while (by_tag && tags.n > 0);
}

static void take_bucket(struct usage_query *q, const struct redis_reply *r)
{
    struct json_out o = json_out_to(&q->parts[q->next]);
    struct rows rows = {.q = q};

    arena_init(&rows.arena, 4096, 0);
    map_init(&rows.map);
    for (size_t i = 0; i + 1 < redis_count(r); i += 2) {
        uint64_t amount = (uint64_t)redis_int(redis_item(r, i + 1));
        struct slice value,
            metric = slice_cut(redis_text(redis_item(r, i)), USAGE_SEPARATOR, &value);

        if (q->cube) {
            add_cell(&rows, value, metric, amount);
        } else {
            add_to_row(&rows, value, metric, amount);
        }
    }
    map_foreach (e, &rows.map) {
        put_row(q, &o, e->key, e->value);
    }
    map_done(&rows.map);
    arena_done(&rows.arena);
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

// Number of a dimension - 1; PARTS: not one.
static unsigned dimension_of(struct slice name)
{
    for (unsigned i = 0; i < PARTS; i++) {
        if (slice_eq_str(name, usage_dimensions[i + 1])) {
            return i;
        }
    }
    return PARTS;
}

static void read_group(struct api_call *c, struct usage_query *q)
{
    struct slice s = api_query(c, "group_by"), one;
    bool known = s.p == NULL || s.n > 0, twice = false;

    if (slice_eq_str(s, usage_dimensions[0])) {
        return; // "total"
    }
    while (s.p != NULL && known && !twice) {
        unsigned d;

        s = slice_cut(s, ',', &one);
        d = dimension_of(one);
        known = d < PARTS;
        for (size_t i = 0; i < q->n_group; i++) {
            twice = twice || q->group[i] == d;
        }
        if (known && !twice) {
            q->group[q->n_group++] = d;
        }
    }
    if (!known || twice) {
        api_note_query(
            c, "group_by",
            "must be total, or some of key, team, user, model, provider, router, tag with commas "
            "between them, each once");
    }
}

static void read_filters(struct api_call *c, struct usage_query *q)
{
    q->cube = q->n_group > 1;
    for (size_t i = 0; i < PARTS; i++) {
        q->filter[i] = api_query(c, usage_dimensions[i + 1]);
        q->cube = q->cube || q->filter[i].p != NULL;
    }
}

static bool read_query(struct api_call *c, struct usage_query *q)
{
    struct slice bucket = api_query(c, "bucket");
    uint64_t to, from, now = loop_wall_us(c->api->loop);

    q->day = slice_eq_str(bucket, "day");
    if (bucket.p != NULL && !q->day && !slice_eq_str(bucket, "hour")) {
        api_note_query(c, "bucket", "must be \"hour\" or \"day\"");
    }
    q->step_us = q->day ? DAY_US : HOUR_US;
    read_group(c, q);
    read_filters(c, q);
    to = api_query_time(c, "to", now);
    from = api_query_time(c, "from",
                          to > (q->day ? 30 : 1) * DAY_US ? to - (q->day ? 30 : 1) * DAY_US : 0);
    q->from_us = from - from % q->step_us;
    if (c->report.n == 0 && to < from) {
        api_note_query(c, "to", "is before from");
    } else if (c->report.n == 0) {
        q->n = (size_t)((to - q->from_us) / q->step_us) + 1;
        if (q->n > BUCKETS_MAX) {
            api_note_query(c, "from", "covers more than 800 buckets: ask for days, or for less");
        }
    }
    return c->report.n == 0;
}

static const char *dimension_to_read(const struct usage_query *q)
{
    if (q->cube) {
        return USAGE_CUBE;
    }
    return q->n_group == 0 ? usage_dimensions[0] : usage_dimensions[q->group[0] + 1];
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
            (const struct slice[]){SLICE("HGETALL"),
                                   slice_str(usage_name(q->day, q->from_us + i * q->step_us,
                                                        dimension_to_read(q), name))},
            2, REDIS_US, on_bucket, q);
    }
}
