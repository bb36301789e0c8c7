// SPDX-License-Identifier: Apache-2.0
// Exactness and cost of limits over many proxies, in virtual time (docs/internals/leases.md):
//
//   load.c --requests--> fleet.c: limit*.c, lease.c of the data plane, 1,000 times
//                           |  ^
//                 questions |  | grants        (delays, losses, killed proxies, drifting clocks)
//                           v  |
//                        plane.c: leases.c of the control plane, twice; lua/lease.lua in Redis
//   watch.c: every admission against the bound
//
// No arithmetic of leases is done here. Each row of the table below is one limit with demand of its
// own; all run at once. Exit status 1: a bound was broken, or too little of a refill was used.
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "tests/sim/load.h"

#define START_US   UINT64_C(1699986480000000) // 23:58 in Calcutta
#define MINUTE     (60 * MONO_SEC)
#define LOSS       0.0001
#define DELAY_US   300u // one way
#define KILL_US    (5 * MONO_SEC)
#define SHARE_MIN  0.95
#define LIMITS_MAX 40u
#define LOADS_MAX  40u

struct options {
    size_t proxies;
    double scale; // of how long each limit is watched
    uint64_t seed;
    double loss;
    bool quiet;
};

struct row {
    const char *name;
    struct resource_limit limit;
    double demand;   // times what the refill provides
    double seconds;  // of demand
    uint64_t tokens; // of a request; 0: what counts are requests
    bool full;       // begins full; else empty, so that refill alone is measured
    double wave;     // s of such demand, then too little until it is full again; 0: steady
    bool failing;    // each other wave fails as the next one comes
};

#define BUCKET(n, per)                                                                             \
    {                                                                                              \
        .unit = RESOURCE_REQUESTS, .amount = (n), .per_us = (per)                                  \
    }

#define TOKENS(n, per)                                                                             \
    {                                                                                              \
        .unit = RESOURCE_TOKENS, .amount = (n), .per_us = (per)                                    \
    }
#define CALENDAR_DAY(n)                                                                            \
    {                                                                                              \
        .unit = RESOURCE_REQUESTS, .amount = (n), .calendar = RESOURCE_DAY,                        \
        .time_zone = "Asia/Kolkata"                                                                \
    }
#define USD_AN_HOUR(n)                                                                             \
    {                                                                                              \
        .unit = RESOURCE_USD, .amount = (n)*UINT64_C(1000000000), .per_us = 60 * MINUTE            \
    }

static const struct row rows[] = {
    {"1/m", BUCKET(1, MINUTE), 100, 600, 0, false, 0, false},
    {"3/m", BUCKET(3, MINUTE), 100, 600, 0, false, 0, false},
    {"10/m", BUCKET(10, MINUTE), 50, 600, 0, false, 0, false},
    {"60/m", BUCKET(60, MINUTE), 10, 600, 0, false, 0, false},
    {"100/m", BUCKET(100, MINUTE), 5, 600, 0, false, 0, false},
    {"300/m", BUCKET(300, MINUTE), 3, 600, 0, false, 0, false},
    {"1000/m", BUCKET(1000, MINUTE), 2, 300, 0, false, 0, false},
    {"1000/m, just over", BUCKET(1000, MINUTE), 1.3, 300, 0, false, 0, false},
    {"1000/m, from full", BUCKET(1000, MINUTE), 4, 120, 0, true, 0, false},
    {"10^4/m", BUCKET(10000, MINUTE), 2, 60, 0, false, 0, false},
    {"10^5/m", BUCKET(100000, MINUTE), 1.5, 15, 0, false, 0, false},
    {"10^6/m", BUCKET(1000000, MINUTE), 1.3, 6, 0, false, 0, false},
    {"10/s", BUCKET(10, MONO_SEC), 4, 120, 0, false, 0, false},
    {"1000/s", BUCKET(1000, MONO_SEC), 1.5, 12, 0, false, 0, false},
    {"5000/h, under", BUCKET(5000, 60 * MINUTE), 0.7, 600, 0, true, 0, false},
    {"200000 tokens/m", TOKENS(200000, MINUTE), 3, 300, 500, false, 0, false},
    {"10 USD/h", USD_AN_HOUR(10), 4, 600, 500, false, 0, false},
    {"7/10 s, waves", BUCKET(7, 10 * MONO_SEC), 20, 300, 0, true, 8, false},
    {"40/10 s, waves", BUCKET(40, 10 * MONO_SEC), 8, 300, 0, true, 8, false},
    {"1000/10 s, floods", BUCKET(1000, 10 * MONO_SEC), 300, 50, 0, true, 0.1, false},
    {"5000/m, floods", BUCKET(5000, MINUTE), 200, 100, 0, true, 0.6, false},
    {"20000 tokens/10 s, w.", TOKENS(20000, 10 * MONO_SEC), 20, 100, 200, true, 5, false},
    {"2000 tokens/s, waves", TOKENS(2000, MONO_SEC), 40, 30, 100, true, 1, false},
    {"2000 tokens/s, failing", TOKENS(2000, MONO_SEC), 40, 30, 100, true, 1, true},
    {"500 a day, Calcutta", CALENDAR_DAY(500), 1500, 300, 0, true, 0, false},
    {"20 in 2 h", BUCKET(20, 120 * MINUTE), 1000, 300, 0, true, 0, false},
    {"10^6 tokens in 2 h", TOKENS(1000000, 120 * MINUTE), 80, 300, 500, true, 0, false},
};

// Keys whose requests meet several limits: their own, their team's, their user's, their router's.
static const struct resource_limit of_stacked = BUCKET(1200, MINUTE);
static const struct resource_limit of_team = BUCKET(2500, MINUTE);
static const struct resource_limit of_user = BUCKET(500, MINUTE);
static const struct resource_limit of_router = BUCKET(900, MINUTE);
#define STACKED         4u
#define STACKED_SECONDS 120.0

struct sim {
    struct options o;
    struct events events;
    struct plane *plane;
    struct fleet *fleet;
    struct snapshot *snap;
    struct resource *all[64];
    size_t n_all;
    struct watch watches[LIMITS_MAX];
    char ids[LIMITS_MAX][48];
    char names[LIMITS_MAX][48];
    bool measured[LIMITS_MAX]; // its share is to be SHARE_MIN
    size_t n_watches;
    struct load loads[LOADS_MAX];
    size_t n_loads;
    uint64_t end_us;
};

static uint64_t seconds(const struct sim *s, double n)
{
    return (uint64_t)(n * s->o.scale * (double)MONO_SEC);
}

static struct resource *add_resource(struct sim *s, enum resource_kind kind, const char *id)
{
    struct resource *r = resource_new(kind, slice_str(id), 1);

    CHECK(s->n_all < ARRAY_LEN(s->all));
    s->all[s->n_all++] = r;
    return r;
}

static bool is_window(const struct resource_limit *l)
{
    return l->calendar != RESOURCE_ROLLING || l->per_us > 60 * MINUTE;
}

static struct watch *add_watch(struct sim *s, const char *name, const char *id,
                               const struct resource_limit *l, bool full, double for_seconds)
{
    struct watch *w = &s->watches[s->n_watches];

    CHECK(s->n_watches < LIMITS_MAX);
    (void)snprintf(s->ids[s->n_watches], sizeof(s->ids[0]), "%s", id);
    (void)snprintf(s->names[s->n_watches], sizeof(s->names[0]), "%s", name);
    *w = (struct watch){
        .name = s->names[s->n_watches],
        .amount = l->amount,
        .per_us = l->calendar == RESOURCE_ROLLING ? l->per_us : 86400 * MONO_SEC,
        .window = is_window(l),
        // Both kinds of windows turn two minutes after the start.
        .at_us = START_US,
        .level = full ? (double)l->amount : 0,
        .from_us = START_US,
        .until_us = START_US + seconds(s, for_seconds),
    };
    w->anchor_us = START_US + 120 * MONO_SEC - w->per_us;
    s->n_watches++;
    return w;
}

static void add_load_watch(struct load *l, struct watch *w, enum resource_unit unit)
{
    l->units[l->n_watches] = unit;
    l->watches[l->n_watches++] = w;
}

static struct load *add_load(struct sim *s, struct resource *key, double per_second,
                             double for_seconds, uint64_t tokens)
{
    struct load *l = &s->loads[s->n_loads++];

    CHECK(s->n_loads <= LOADS_MAX);
    *l = (struct load){.events = &s->events,
                       .n_proxies = s->o.proxies,
                       .key = key,
                       .per_second = per_second,
                       .from_us = START_US + MONO_SEC / 10,
                       .until_us = START_US + seconds(s, for_seconds),
                       .tokens = tokens};
    s->end_us = l->until_us > s->end_us ? l->until_us : s->end_us;
    return l;
}

static struct resource *add_key(struct sim *s, const char *id, const struct resource_limit *limit)
{
    struct resource *r = add_resource(s, RESOURCE_KEY, id);

    *r->u.key = (struct resource_key){.name = "k",
                                      .limits = limit,
                                      .n_limits = 1,
                                      .origin = "api",
                                      .created_wall_us = START_US + 120 * MONO_SEC - 120 * MINUTE};
    return r;
}

static void add_row(struct sim *s, const struct row *row)
{
    const struct resource_limit *l = &row->limit;
    char id[24], limit_id[48];
    double per = (double)(l->calendar == RESOURCE_ROLLING ? l->per_us : 86400 * MONO_SEC);
    double each = 1;
    struct load *load;

    (void)snprintf(id, sizeof(id), "key%zu", s->n_watches);
    (void)snprintf(limit_id, sizeof(limit_id), "k:%s:0", id);
    if (l->unit != RESOURCE_REQUESTS) {
        each = (double)row->tokens * (l->unit == RESOURCE_USD ? 1000 : 1) / 2; // load.c
    }
    load = add_load(s, add_key(s, id, l),
                    row->demand * (double)l->amount / per * (double)MONO_SEC / each, row->seconds,
                    row->tokens);
    load->wave_us = (uint64_t)(row->wave * (double)MONO_SEC);
    load->ebb_us = (uint64_t)(1.1 * per);
    load->every_other_fails = row->failing;
    load->ebb_per_second = load->per_second / row->demand / 2;
    s->measured[s->n_watches] = row->demand > 1 && (!row->full || is_window(l));
    add_load_watch(load, add_watch(s, row->name, limit_id, l, row->full, row->seconds), l->unit);
}

static void add_stack(struct sim *s)
{
    struct resource *team = add_resource(s, RESOURCE_TEAM, "blue");
    struct resource *user = add_resource(s, RESOURCE_USER, "ann");
    struct resource *router = add_resource(s, RESOURCE_ROUTER, "prod");
    struct watch *of[3];

    *team->u.team = (struct resource_team){.name = "blue", .limits = &of_team, .n_limits = 1};
    *user->u.user = (struct resource_user){.name = "Ann", .limits = &of_user, .n_limits = 1};
    *router->u.router =
        (struct resource_router){.limits = &of_router, .n_limits = 1, .origin = "file"};
    of[0] = add_watch(s, "team 2500/m", "t:blue:0", &of_team, false, STACKED_SECONDS);
    of[1] = add_watch(s, "its user 500/m", "o:ann:0", &of_user, false, STACKED_SECONDS);
    of[2] = add_watch(s, "its router 900/m", "r:prod:0:*", &of_router, false, STACKED_SECONDS);
    for (size_t i = 0; i < STACKED; i++) {
        char id[24], limit_id[48], name[48];
        struct resource *key;
        struct load *l;

        (void)snprintf(id, sizeof(id), "stacked%zu", i);
        (void)snprintf(limit_id, sizeof(limit_id), "k:%s:0", id);
        (void)snprintf(name, sizeof(name), "its key 1200/m (%zu)", i);
        key = add_key(s, id, &of_stacked);
        key->u.key->team = "blue";
        key->u.key->owner = i == 0 ? "ann" : NULL;
        l = add_load(s, key, 30, STACKED_SECONDS, 0);
        l->router = i == 1 ? router : NULL;
        add_load_watch(l, add_watch(s, name, limit_id, &of_stacked, true, STACKED_SECONDS),
                       RESOURCE_REQUESTS);
        add_load_watch(l, of[0], RESOURCE_REQUESTS);
        if (i < 2) {
            add_load_watch(l, of[1 + i], RESOURCE_REQUESTS);
        }
    }
    s->measured[of[0] - s->watches] = true; // the one that is short for certain
}

static void on_drained(void *arg, const struct message_lease_grant *g)
{
    CHECK(g != NULL && g->n_grants == 1);
    *(bool *)arg = true;
}

// Limits that shall begin empty are told of a debt of all that is in them.
static void drain(struct sim *s)
{
    for (size_t i = 0; i < s->n_watches; i++) {
        const struct resource_limit l = {.amount = s->watches[i].amount,
                                         .per_us = s->watches[i].per_us};
        uint64_t margin = (uint64_t)((double)l.amount * (double)leases_length_us(&l) /
                                     (double)l.per_us); // lease.lua
        struct message_lease_item item = {.limit_id = s->ids[i], .debt = l.amount - margin};
        bool done = false;

        if (s->watches[i].level > 0) {
            continue;
        }
        plane_ask(
            s->plane, 0,
            &(const struct message_lease_request){.proxy = "proxy-0", .items = &item, .n_items = 1},
            on_drained, &done);
        plane_wait(s->plane, &done);
    }
}

static bool run(struct sim *s)
{
    static const uint8_t epoch[16] = {1};
    struct fleet_config fc = {.events = &s->events,
                              .n = s->o.proxies,
                              .seed = s->o.seed,
                              .loss = s->o.loss,
                              .delay_us = DELAY_US,
                              .kill_each_us = KILL_US};

    s->snap = snapshot_new(epoch, 1, s->all, s->n_all);
    s->plane = plane_new(&s->events.now_us, s->all, s->n_all);
    if (s->plane == NULL) {
        (void)fprintf(stderr, "lease_sim: redis-server cannot be started\n");
        return false;
    }
    fc.plane = s->plane;
    s->fleet = fleet_new(&fc);
    drain(s);
    for (size_t i = 0; i < s->n_loads; i++) {
        s->loads[i].fleet = s->fleet;
        s->loads[i].snap = s->snap;
        load_start(&s->loads[i], s->o.seed + 100 + i);
    }
    while (events_step(&s->events, s->end_us)) {
    }
    return true;
}

// --- what came of it ----------------------------------------------------------------------------

static bool report_watch(struct sim *s, size_t i)
{
    struct watch *w = &s->watches[i];
    double share;
    bool ok;

    watch_advance(w, s->end_us);
    share = watch_share(w);
    // One unit is what is on its way when the time is over.
    ok = w->worst <= 0 && (!s->measured[i] || w->window || s->o.scale < 1 ||
                           share * w->counted >= SHARE_MIN * w->counted - 1);
    ok = ok && (!w->window || isnan(share) || share >= SHARE_MIN);
    (void)printf("%-22s %9llu %11.0f %9.3g ", w->name, (unsigned long long)w->asked, w->admitted,
                 w->worst > 0 ? w->worst : 0.0);
    if (s->measured[i] && !isnan(share)) {
        (void)printf("%8.1f%%", 100 * share);
    }
    (void)printf("%s\n", ok ? "" : w->worst > 0 ? "  OVER THE BOUND" : "  TOO LITTLE");
    return ok;
}

static bool report(struct sim *s, uint64_t took_us)
{
    const struct fleet_stats *f = fleet_stats(s->fleet);
    bool ok = true;

    (void)printf("%zu proxies, %.0f s of virtual time in %.1f s, seed %llu\n", s->o.proxies,
                 (double)(s->end_us - START_US) / (double)MONO_SEC,
                 (double)took_us / (double)MONO_SEC, (unsigned long long)s->o.seed);
    (void)printf("%-22s %9s %11s %9s %9s\n", "limit", "requests", "admitted", "overshoot",
                 "of refill");
    for (size_t i = 0; i < s->n_watches; i++) {
        ok = report_watch(s, i) && ok;
    }
    (void)printf("%llu requests: %llu admitted, %llu denied, %llu lost in kills\n",
                 (unsigned long long)f->requests, (unsigned long long)f->admitted,
                 (unsigned long long)f->denied, (unsigned long long)f->dropped);
    (void)printf("%llu questions (%.2f a request), %llu lost, %llu proxies killed\n",
                 (unsigned long long)f->asked, (double)f->asked / (double)f->requests,
                 (unsigned long long)f->lost, (unsigned long long)f->kills);
    (void)printf("%llu admitted by on_control_loss since an answer got lost\n",
                 (unsigned long long)f->open);
    (void)printf("parked: %.1f%% of the admitted, %.2f ms on average\n",
                 100 * (double)f->parked / (double)f->admitted,
                 f->parked == 0 ? 0.0 : (double)f->parked_us_sum / (double)f->parked / 1000);
    return ok;
}

static void finish(struct sim *s)
{
    fleet_free(&s->fleet);
    plane_free(&s->plane);
    snapshot_unref(&s->snap);
    snapshot_reap();
    for (size_t i = 0; i < s->n_all; i++) {
        resource_unref(&s->all[i]);
    }
    events_done(&s->events);
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {{"proxies", required_argument, NULL, 'p'},
                                          {"scale", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {"loss", required_argument, NULL, 'l'},
                                          {NULL, 0, NULL, 0}};
    int c;

    *o = (struct options){.proxies = 1000, .scale = 1, .seed = 1, .loss = LOSS};
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (c == 'p') {
            o->proxies = (size_t)strtoul(optarg, NULL, 10);
        } else if (c == 's') {
            o->scale = strtod(optarg, NULL);
        } else if (c == 'r') {
            o->seed = strtoull(optarg, NULL, 10);
        } else if (c == 'l') {
            o->loss = strtod(optarg, NULL);
        } else {
            return false;
        }
    }
    return optind == argc && o->proxies >= 1 && o->scale > 0;
}

int main(int argc, char **argv)
{
    static struct sim s;
    time_t began = time(NULL);
    bool ok;

    if (!read_options(argc, argv, &s.o)) {
        (void)fprintf(stderr,
                      "usage: lease_sim [--proxies 1000] [--scale 1] [--seed 1] [--loss 0.0001]\n"
                      "  --scale 10: each limit is watched ten times as long\n");
        return 2;
    }
    if (!watch_works()) {
        (void)fprintf(stderr, "lease_sim: the check does not find what it should\n");
        return 2;
    }
    log_set_level(LOG_WARN);
    s.events.now_us = START_US;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        add_row(&s, &rows[i]);
    }
    add_stack(&s);
    ok = run(&s) && report(&s, (uint64_t)(time(NULL) - began) * MONO_SEC);
    finish(&s);
    return ok ? 0 : 1;
}
