// SPDX-License-Identifier: Apache-2.0
// GET /requests, GET /requests/{id}: the recent requests, newest first, from the capped stream that
// the usage script fills. Pages of the stream are read one after the other and filtered here, so
// that no answer of Redis and no turn of the loop is long.
#include <string.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"
#include "controlplane/names.h"
#include "controlplane/usage.h"
#include "proto/message.h"

#define REDIS_US    (800 * MONO_MS)
#define PAGE        "100"
#define PAGE_N      100u
#define LOOK_AT_MAX 20000u                  // entries of one call
#define TAG         (USAGE_DIMENSIONS - 1u) // the last one

struct requests_query {
    struct api_call *c;
    struct slice id;                       // NULL: a list
    struct slice filter[USAGE_DIMENSIONS]; // by dimension; SLICE_NULL: any
    struct slice outcome;                  // SLICE_NULL: any
    uint64_t status_from, status_to;       // both included
    uint64_t from_us, to_us;               // of the wall clock
    bool interrupted;                      // only those
    char last[48];                         // id of the last entry looked at
    size_t left, looked_at;
    bool found;
    struct buf body;
    struct json_out o;
    struct arena arena; // of one entry
};

// ---- one entry ---------------------------------------------------------------------------------

static bool has_tag(struct slice tags, struct slice tag)
{
    struct slice one;

    while (tags.n > 0) {
        tags = slice_cut(tags, ',', &one);
        if (slice_eq(slice_trim(one), tag)) {
            return true;
        }
    }
    return tag.n == 0;
}

static bool matches(const struct requests_query *q, const struct message_usage_record *r)
{
    const char *const have[] = {r->key, r->team, r->user, r->model, r->provider, r->router};

    if (q->id.p != NULL) {
        return slice_eq_str(q->id, r->request_id);
    }
    for (size_t i = 0; i < ARRAY_LEN(have); i++) {
        struct slice want = q->filter[i + 1]; // the first dimension is everything

        if (want.p != NULL && !slice_eq_str(want, have[i])) {
            return false;
        }
    }
    return (q->filter[TAG].p == NULL || has_tag(slice_str(r->tags), q->filter[TAG])) &&
           r->status >= q->status_from && r->status <= q->status_to && r->wall_us >= q->from_us &&
           r->wall_us <= q->to_us && (r->interrupted || !q->interrupted) &&
           (q->outcome.p == NULL || slice_eq_str(q->outcome, r->outcome));
}

static void put_request(struct json_out *o, const char *proxy, const struct message_usage_record *r)
{
    static const char *const caches[] = {NULL, "hit", "miss", "bypass", "coalesced"};
    char time[32];

    json_out_open(o, '{');
    json_out_field_str(o, "id", r->request_id);
    json_out_field_str(o, "time", text_format_rfc3339(r->wall_us, time));
    json_out_field_str(o, "proxy", proxy);
    json_out_field_str(o, "key", r->key);
    json_out_field_str(o, "team", r->team);
    json_out_field_str(o, "user", r->user);
    json_out_field_str(o, "router", r->router);
    json_out_field_str(o, "provider", r->provider);
    json_out_field_str(o, "model", r->model);
    json_out_field_str(o, "tags", r->tags);
    json_out_field_u64(o, "status", r->status);
    json_out_field_u64(o, "attempts", r->attempts);
    json_out_field_u64(o, "input_tokens", r->input);
    json_out_field_u64(o, "cached_tokens", r->cached);
    json_out_field_u64(o, "output_tokens", r->output);
    json_out_field_u64(o, "reasoning_tokens", r->reasoning);
    json_out_key(o, "cost_usd");
    json_out_double(o, (double)r->cost / 1e9);
    json_out_field_str(o, "cache", r->cache < ARRAY_LEN(caches) ? caches[r->cache] : NULL);
    json_out_field_u64(o, "latency_us", r->latency_us);
    json_out_field_u64(o, "ttft_us", r->ttft_us);
    json_out_field_bool(o, "stream", r->stream);
    json_out_field_bool(o, "interrupted", r->interrupted);
    json_out_field_bool(o, "estimated", r->estimated);
    json_out_field_str(o, "outcome", r->outcome);
    json_out_close(o, '}');
}

// An entry of the stream: [id, ["r", a usage report of one record]].
static void take_entry(struct requests_query *q, const struct redis_reply *entry)
{
    struct slice id = redis_text(redis_item(entry, 0));
    struct slice bytes = redis_text(redis_item(redis_item(entry, 1), 1));
    struct message m;
    const struct message_usage_report *one = &m.u.usage_report;

    if (id.n == 0 || id.n >= sizeof(q->last)) {
        return;
    }
    memcpy(q->last, id.p, id.n);
    q->last[id.n] = '\0';
    if (q->id.p != NULL && slice_find(bytes, q->id) == SIZE_MAX) {
        return; // not worth decoding
    }
    arena_reset(&q->arena);
    if (message_decode(MESSAGE_USAGE_REPORT, bytes, &q->arena, &m, NULL) && one->n_records == 1 &&
        matches(q, &one->records[0])) {
        put_request(&q->o, one->proxy, &one->records[0]);
        q->found = true;
        q->left--;
    }
}

// ---- the pages ---------------------------------------------------------------------------------

static void on_page(void *arg, const struct redis_reply *r, const struct err *e);

static void query_free(struct requests_query *q)
{
    struct api_call *c = q->c;

    arena_done(&q->arena);
    mem_free(q);
    api_release(c);
}

static void ask(struct requests_query *q)
{
    struct api_call *c = q->c;
    const char *from = q->last[0] == '\0' ? "+" : arena_printf(&c->arena, "(%s", q->last);

    redis_command(store_redis(c->api->store),
                  (const struct slice[]){SLICE("XREVRANGE"), SLICE(NAMES_RECENT), slice_str(from),
                                         SLICE("-"), SLICE("COUNT"), SLICE(PAGE)},
                  6, REDIS_US, on_page, q);
}

static void finish(struct requests_query *q, bool more)
{
    struct api_call *c = q->c;

    if (q->id.p == NULL) {
        json_out_close(&q->o, ']');
        json_out_field_str(&q->o, "next_cursor", more ? q->last : NULL);
        json_out_close(&q->o, '}');
        api_send(c, 200, &q->body, 0);
    } else if (q->found) {
        api_send(c, 200, &q->body, 0);
    } else {
        buf_done(&q->body);
        api_error(c, 404, "not_found", "no such request among the recent ones");
    }
    query_free(q);
}

static void on_page(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct requests_query *q = arg;
    size_t n = redis_count(r), i = 0;

    if (e != NULL) {
        buf_done(&q->body);
        api_error(q->c, 503, "store_unavailable", "%s", e->message);
        query_free(q);
        return;
    }
    while (i < n && q->left > 0) {
        take_entry(q, redis_item(r, i++));
    }
    q->looked_at += i;
    if (q->left == 0 || n < PAGE_N || q->looked_at >= LOOK_AT_MAX) {
        finish(q, i < n || n == PAGE_N);
    } else {
        ask(q);
    }
}

// ---- parameters --------------------------------------------------------------------------------

// "429", "4xx", "error" (400 and above).
static void read_status(struct api_call *c, struct requests_query *q)
{
    struct slice s = api_query(c, "status");

    q->status_to = UINT64_MAX;
    if (s.p == NULL) {
        return;
    }
    if (slice_eq_str(s, "error")) {
        q->status_from = 400;
    } else if (s.n == 3 && s.p[0] >= '1' && s.p[0] <= '5' && s.p[1] == 'x' && s.p[2] == 'x') {
        q->status_from = (uint64_t)(s.p[0] - '0') * 100;
        q->status_to = q->status_from + 99;
    } else if (s.n == 3 && slice_to_u64(s, &q->status_from)) {
        q->status_to = q->status_from;
    } else {
        api_note_query(c, "status", "must be a status like 429, a class like 5xx, or error");
    }
}

static void read_cursor(struct api_call *c, struct requests_query *q, struct slice cursor)
{
    bool good = cursor.n < sizeof(q->last);

    for (size_t i = 0; i < cursor.n; i++) {
        good = good && ((cursor.p[i] >= '0' && cursor.p[i] <= '9') || cursor.p[i] == '-');
    }
    if (!good) {
        api_note_query(c, "cursor", "is not a cursor that a list gave");
    } else if (cursor.n > 0) {
        memcpy(q->last, cursor.p, cursor.n);
    }
}

static void read_filters(struct api_call *c, struct requests_query *q)
{
    struct slice interrupted = api_query(c, "interrupted");

    for (size_t i = 1; i < USAGE_DIMENSIONS; i++) {
        q->filter[i] = api_query(c, usage_dimensions[i]);
    }
    q->outcome = api_query(c, "outcome");
    q->interrupted = slice_eq_str(interrupted, "true");
    if (interrupted.p != NULL && !q->interrupted && !slice_eq_str(interrupted, "false")) {
        api_note_query(c, "interrupted", "must be true or false");
    }
    read_status(c, q);
    q->from_us = api_query_time(c, "from", 0);
    q->to_us = api_query_time(c, "to", UINT64_MAX);
}

static void begin(struct requests_query *q)
{
    buf_init(&q->body, API_ANSWER_MAX);
    arena_init(&q->arena, 2048, 0);
    q->o = json_out_to(&q->body);
    if (q->id.p == NULL) {
        json_out_open(&q->o, '{');
        json_out_key(&q->o, "data");
        json_out_open(&q->o, '[');
    }
    api_hold(q->c);
    ask(q);
}

void api_requests_list(struct api_call *c)
{
    struct requests_query *q;
    struct slice cursor;
    size_t limit;

    if (!api_page(c, &limit, &cursor)) {
        return;
    }
    q = mem_zalloc(sizeof(*q));
    q->c = c;
    q->left = limit;
    read_cursor(c, q, cursor);
    read_filters(c, q);
    if (c->report.n > 0) {
        mem_free(q);
        api_invalid(c);
        return;
    }
    begin(q);
}

void api_requests_get(struct api_call *c)
{
    struct requests_query *q = mem_zalloc(sizeof(*q));

    q->c = c;
    q->id = slice_str(c->param);
    q->left = 1;
    begin(q);
}
