// SPDX-License-Identifier: Apache-2.0
// A report's records are summed up here first, so that the script does one HINCRBY for each (hash,
// field) and not for each record.
#include "controlplane/usage.h"

#include <stdio.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/names.h"
#include "controlplane/scripts.h"
#include "proto/envelope.h"

#define TIMEOUT_US (1 * MONO_SEC)
#define HOUR_US    (3600 * MONO_SEC)
#define VALUE_MAX  128u
#define TAGS_MAX   8u
#define PAST_US    (40 * 86400 * MONO_SEC) // older times are not believed
#define FUTURE_US  (3600 * MONO_SEC)
#define RECENT_MAX 1000u // of one report
#define ENTRY_MAX  ((size_t)ENVELOPE_BYTES_MAX)

const char *const usage_dimensions[USAGE_DIMENSIONS] = {"total", "key",      "team",   "user",
                                                        "model", "provider", "router", "tag"};
const char *const usage_metrics[USAGE_METRICS] = {
    [USAGE_REQUESTS] = "requests",
    [USAGE_ERRORS] = "errors",
    [USAGE_INTERRUPTED] = "interrupted",
    [USAGE_CACHE_HITS] = "cache_hits",
    [USAGE_INPUT] = "input_tokens",
    [USAGE_CACHED] = "cached_tokens",
    [USAGE_OUTPUT] = "output_tokens",
    [USAGE_REASONING] = "reasoning_tokens",
    [USAGE_COST] = "cost",
    [USAGE_ATTEMPTS] = "attempts",
};

struct usage {
    struct loop *loop;
    struct store *store;
    struct meters *meters;
};

// A sum on its way: hash by index, field, amount.
struct sum {
    size_t hash;
    const char *field;
    uint64_t amount;
};

// Records of one hour that only differ in what is summed.
struct cell {
    const struct message_usage_record *like; // one of them
    uint64_t wall_us;
    uint64_t sums[USAGE_METRICS];
};

// A report being summed up.
struct tally {
    struct arena arena;
    struct map cells;  // what they have in common -> struct cell
    struct map hashes; // name -> index + 1
    const char **names;
    size_t n_names, cap_names;
    struct map sums; // "<hash> <field>" -> struct sum
    uint64_t now_wall_us;
    struct buf entry;
};

struct pending {
    struct usage *u;
    usage_fn fn;
    void *arg;
    size_t records;
};

const char *usage_name(bool day, uint64_t wall_us, const char *dimension, char out[64])
{
    time_t t = (time_t)(wall_us / MONO_SEC);
    struct tm tm;
    char stamp[16];

    (void)gmtime_r(&t, &tm);
    (void)strftime(stamp, sizeof(stamp), day ? "%Y%m%d" : "%Y%m%d%H", &tm); // fits
    (void)snprintf(out, 64, "%s%s:%s:%s", NAMES_USAGE, day ? "d" : "h", stamp, dimension);
    return out;
}

static size_t hash_index(struct tally *t, const char *name)
{
    void *have = map_get(&t->hashes, slice_str(name));

    if (have != NULL) {
        return (size_t)(uintptr_t)have - 1;
    }
    if (t->n_names == t->cap_names) {
        t->cap_names = t->cap_names == 0 ? 32 : 2 * t->cap_names;
        t->names = mem_realloc_array(t->names, t->cap_names, sizeof(*t->names));
    }
    t->names[t->n_names++] = arena_strdup(&t->arena, name);
    (void)map_put(&t->hashes, slice_str(name), (void *)(uintptr_t)t->n_names);
    return t->n_names - 1;
}

static void add(struct tally *t, size_t hash, struct slice value, enum usage_metric m, uint64_t n)
{
    const char *field, *name;
    struct sum *s;

    if (n == 0) {
        return;
    }
    field = arena_printf(&t->arena, SLICE_FMT "%c%s", SLICE_ARG(value), USAGE_SEPARATOR,
                         usage_metrics[m]);
    name = arena_printf(&t->arena, "%zu %s", hash, field);
    s = map_get(&t->sums, slice_str(name));
    if (s == NULL) {
        s = arena_zalloc(&t->arena, sizeof(*s));
        s->hash = hash;
        s->field = field;
        (void)map_put(&t->sums, slice_str(name), s);
    }
    s->amount += n;
}

static uint64_t time_of(const struct tally *t, const struct message_usage_record *r)
{
    bool past = r->wall_us + PAST_US < t->now_wall_us;
    bool future = r->wall_us > t->now_wall_us + FUTURE_US;

    return past || future ? t->now_wall_us : r->wall_us;
}

// Bounded, without our separator.
static struct slice clean(struct tally *t, struct slice s, size_t max)
{
    char *copy;

    s = slice_head(s, max);
    copy = arena_strndup(&t->arena, s.p == NULL ? "" : s.p, s.n);
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)copy[i] < 0x20) {
            copy[i] = '?';
        }
    }
    return SLICE_MAKE(copy, s.n);
}

static void add_value(struct tally *t, const struct cell *c, const char *dimension,
                      struct slice value)
{
    char name[64];

    for (int day = 0; day < 2; day++) {
        size_t h = hash_index(t, usage_name(day == 1, c->wall_us, dimension, name));

        for (int m = 0; m < USAGE_METRICS; m++) {
            add(t, h, value, (enum usage_metric)m, c->sums[m]);
        }
    }
}

// Each tag once, and all of them as a part of the cube's value.
static struct slice add_tags(struct tally *t, const struct cell *c)
{
    struct slice tags = slice_str(c->like->tags), tag, seen[TAGS_MAX];
    const char *all = "";
    size_t n = 0;

    while (n < TAGS_MAX && tags.n > 0) {
        bool again = false;

        tags = slice_cut(tags, ',', &tag);
        tag = clean(t, slice_trim(tag), VALUE_MAX);
        for (size_t i = 0; i < n; i++) {
            again = again || slice_eq(seen[i], tag);
        }
        if (tag.n > 0 && !again) {
            add_value(t, c, "tag", tag);
            all = arena_printf(&t->arena, "%s%s" SLICE_FMT, all, n == 0 ? "" : ",", SLICE_ARG(tag));
            seen[n++] = tag;
        }
    }
    return slice_str(all);
}

static void add_cell(struct tally *t, const struct cell *c)
{
    const struct message_usage_record *r = c->like;
    const char *const values[] = {r->key, r->team, r->user, r->model, r->provider, r->router};
    const char *cube = "";
    struct slice tags;

    add_value(t, c, "total", SLICE(""));
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct slice v = clean(t, slice_str(values[i]), VALUE_MAX);

        add_value(t, c, usage_dimensions[i + 1], v);
        cube = arena_printf(&t->arena, "%s" SLICE_FMT "%c", cube, SLICE_ARG(v), USAGE_JOINT);
    }
    tags = add_tags(t, c);
    cube = arena_printf(&t->arena, "%s" SLICE_FMT, cube, SLICE_ARG(tags));
    add_value(t, c, USAGE_CUBE, slice_str(cube));
}

// Records of an hour that are alike are summed up first: a report has few kinds of them.
static void add_record(struct tally *t, const struct message_usage_record *r)
{
    uint64_t wall_us = time_of(t, r);
    const char *name = arena_printf(&t->arena, "%llu\n%s\n%s\n%s\n%s\n%s\n%s\n%s",
                                    (unsigned long long)(wall_us / HOUR_US), r->key, r->team,
                                    r->user, r->model, r->provider, r->router, r->tags);
    struct cell *c = map_get(&t->cells, slice_str(name));

    if (c == NULL) {
        c = arena_zalloc(&t->arena, sizeof(*c));
        c->like = r;
        c->wall_us = wall_us;
        (void)map_put(&t->cells, slice_str(name), c);
    }
    c->sums[USAGE_REQUESTS]++;
    c->sums[USAGE_ERRORS] += r->status >= 400;
    c->sums[USAGE_INTERRUPTED] += r->interrupted;
    c->sums[USAGE_CACHE_HITS] += r->cache == MESSAGE_CACHE_HIT;
    c->sums[USAGE_INPUT] += r->input;
    c->sums[USAGE_CACHED] += r->cached;
    c->sums[USAGE_OUTPUT] += r->output;
    c->sums[USAGE_REASONING] += r->reasoning;
    c->sums[USAGE_COST] += r->cost;
    c->sums[USAGE_ATTEMPTS] += r->attempts;
}

// One entry of the stream of recent requests: a report of one record.
static struct slice recent(struct tally *t, const struct message_usage_report *from,
                           const struct message_usage_record *r)
{
    const struct message m = {
        MESSAGE_USAGE_REPORT,
        {.usage_report = {.proxy = from->proxy, .stream = "", .records = r, .n_records = 1}}};
    buf_clear(&t->entry);
    message_encode(&m, &t->entry);
    return arena_dup(&t->arena, buf_slice(&t->entry));
}

static void on_script(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct pending *p = arg;
    bool applied = e == NULL && redis_int(redis_item(r, 0)) == 1;
    uint64_t last = e == NULL ? (uint64_t)redis_int(redis_item(r, 1)) : 0;
    uint64_t lost = e == NULL ? (uint64_t)redis_int(redis_item(r, 2)) : 0;

    meters_usage(p->u->meters,
                 e != NULL ? "failed"
                 : applied ? "applied"
                           : "repeated",
                 applied ? p->records : 0, lost);
    p->fn(p->arg, e == NULL, last);
    mem_free(p);
}

static const char *number(struct tally *t, uint64_t v)
{
    return arena_printf(&t->arena, "%llu", (unsigned long long)v);
}

// KEYS and ARGV of lua/usage.lua.
static void send(struct tally *t, const struct message_usage_report *r, struct pending *p)
{
    size_t n_recent = r->n_records < RECENT_MAX ? r->n_records : RECENT_MAX;
    size_t n = 0, n_keys = 2 + t->n_names;
    struct slice *v = mem_zalloc_array(n_keys + 3 + n_recent + 3 * map_count(&t->sums), sizeof(*v));

    v[n++] = slice_str(arena_printf(&t->arena, "%s%s", NAMES_USAGE_LAST, r->stream));
    v[n++] = SLICE(NAMES_RECENT);
    for (size_t i = 0; i < t->n_names; i++) {
        v[n++] = slice_str(t->names[i]);
    }
    v[n++] = slice_str(number(t, r->number));
    v[n++] = slice_str(number(t, r->oldest));
    v[n++] = slice_str(number(t, n_recent));
    for (size_t i = 0; i < n_recent; i++) {
        v[n++] = recent(t, r, &r->records[i]);
    }
    map_foreach (e, &t->sums) {
        const struct sum *s = e->value;

        v[n++] = slice_str(number(t, s->hash + 3)); // KEYS count from 1, two come first
        v[n++] = slice_str(s->field);
        v[n++] = slice_str(number(t, s->amount));
    }
    redis_eval(store_redis(p->u->store), SCRIPTS_USAGE, n_keys, v, n, TIMEOUT_US, on_script, p);
    mem_free(v);
}

void usage_report(struct usage *u, const struct message_usage_report *r, usage_fn fn, void *arg)
{
    struct tally t = {.now_wall_us = loop_wall_us(u->loop)};
    struct pending *p = mem_zalloc(sizeof(*p));

    *p = (struct pending){u, fn, arg, r->n_records};
    arena_init(&t.arena, 16384, 0); // the message is bounded
    buf_init(&t.entry, ENTRY_MAX);
    map_init(&t.hashes);
    map_init(&t.sums);
    map_init(&t.cells);
    for (size_t i = 0; i < r->n_records; i++) {
        add_record(&t, &r->records[i]);
    }
    map_foreach (e, &t.cells) {
        add_cell(&t, e->value);
    }
    send(&t, r, p);
    map_done(&t.cells);
    map_done(&t.sums);
    map_done(&t.hashes);
    mem_free(t.names);
    buf_done(&t.entry);
    arena_done(&t.arena);
}

struct usage *usage_new(struct loop *l, struct store *s, struct meters *m)
{
    struct usage *u = mem_zalloc(sizeof(*u));

    *u = (struct usage){l, s, m};
    return u;
}

void usage_free(struct usage **u)
{
    mem_free(*u);
    *u = NULL;
}
