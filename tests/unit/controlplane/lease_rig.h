// SPDX-License-Identifier: Apache-2.0
// lua/lease.lua in a real Redis, but on a clock that the test moves: the script's TIME is replaced
// by its last argument. And proxies as simple as they can be while keeping the rules of
// docs/internals/leases.md: a lease is spent until it ends, counted from when its answer came, and
// what is left of it is given back with the next question, however late that is.
#ifndef SLUICE_TESTS_LEASE_RIG_H
#define SLUICE_TESTS_LEASE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/redis.h"
#include "controlplane/leases.h"
#include "controlplane/scripts.h"
#include "tests/unit/fake_mono.h"
#include "tests/unit/redis_server.h"

struct lease_rig {
    struct redis_server server;
    struct loop *loop;
    struct redis *redis;
    struct redis_script script;
    char *source;
    uint64_t redis_us; // what TIME says
    uint64_t mono_us;  // what the caller's clock says
    const char *caller;
    bool waiting;
    int64_t clock_error; // of the last answer
};

struct lease_answer {
    int64_t granted, lease_us, remaining, reset_us, empty_us, window, batch;
};

static inline void lease_rig_start(struct lease_rig *r)
{
    static const char time_call[] = "redis.call('TIME')";
    const char *source = scripts_all[SCRIPTS_LEASE].source, *at = strstr(source, time_call);
    struct buf b;

    *r = (struct lease_rig){.redis_us = UINT64_C(1700000000000000), .mono_us = 5 * MONO_SEC};
    r->caller = "machine";
    r->loop = loop_new(NULL);
    assert_true(redis_server_start(&r->server, NULL, NULL));
    assert_non_null(at);
    buf_init(&b, 1u << 20);
    buf_append(&b, SLICE_MAKE(source, (size_t)(at - source)));
    buf_append_str(&b, "{ARGV[#ARGV - 1], ARGV[#ARGV]}");
    buf_append_str(&b, at + sizeof(time_call) - 1);
    r->source = mem_strdup(buf_cstr(&b));
    buf_done(&b);
    r->script = (struct redis_script){"lease", r->source};
    r->redis = redis_new(
        r->loop,
        &(const struct redis_config){.url = r->server.url, .scripts = &r->script, .n_scripts = 1},
        NULL);
    FAKE_MONO_UNTIL(r->loop, redis_is_up(r->redis));
}

static inline void lease_rig_stop(struct lease_rig *r)
{
    redis_free(&r->redis);
    loop_free(&r->loop);
    redis_server_stop(&r->server);
    mem_free(r->source);
}

static inline void lease_rig_advance(struct lease_rig *r, uint64_t us)
{
    r->redis_us += us;
    r->mono_us += us;
}

struct lease_question {
    const char *key;
    const char *proxy; // NULL: "p"
    const struct resource_limit *limit;
    uint64_t want, returned, debt, window, batch, no, taken, since, again;
    const char *bounds; // calendar
    uint64_t anchor_us; // long windows
};

struct lease_wait {
    struct lease_rig *rig;
    struct lease_answer answer;
};

static inline void lease_rig_on_reply(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct lease_wait *w = arg;
    const struct redis_reply *one = redis_item(r, 2);

    if (e != NULL) {
        fail_msg("%s", e->message);
    }
    w->rig->clock_error = redis_int(redis_item(r, 1));
    w->answer = (struct lease_answer){redis_int(redis_item(one, 0)), redis_int(redis_item(one, 1)),
                                      redis_int(redis_item(one, 2)), redis_int(redis_item(one, 3)),
                                      redis_int(redis_item(one, 4)), redis_int(redis_item(one, 5)),
                                      redis_int(redis_item(one, 6))};
    w->rig->waiting = false;
}

static inline const char *lease_rig_number(char out[24], uint64_t v)
{
    (void)snprintf(out, 24, "%llu", (unsigned long long)v);
    return out;
}

static inline struct lease_answer lease_rig_ask(struct lease_rig *r, const struct lease_question *q)
{
    struct lease_wait w = {.rig = r};
    char n[16][24];
    const char *kind = q->bounds != NULL ? "c" : q->limit->per_us > 3600 * MONO_SEC ? "w" : "b";
    const struct slice argv[] = {
        SLICE("{sluice}:clock"),
        slice_str(q->key),
        slice_str(r->caller),
        slice_str(lease_rig_number(n[0], r->mono_us)),
        slice_str(q->proxy == NULL ? "p" : q->proxy),
        slice_str(kind),
        slice_str(lease_rig_number(n[1], q->limit->amount)),
        slice_str(lease_rig_number(n[2], q->limit->per_us)),
        slice_str(lease_rig_number(n[3], leases_length_us(q->limit))),
        slice_str(lease_rig_number(n[4], q->want)),
        slice_str(lease_rig_number(n[5], q->returned)),
        slice_str(lease_rig_number(n[6], q->debt)),
        slice_str(lease_rig_number(n[10], q->window)),
        slice_str(lease_rig_number(n[11], q->batch)),
        slice_str(lease_rig_number(n[12], q->no)),
        slice_str(lease_rig_number(n[13], q->taken)),
        slice_str(lease_rig_number(n[14], q->since)),
        slice_str(lease_rig_number(n[15], q->again)),
        slice_str(q->bounds != NULL ? q->bounds : lease_rig_number(n[7], q->anchor_us)),
        slice_str(lease_rig_number(n[8], r->redis_us / MONO_SEC)),
        slice_str(lease_rig_number(n[9], r->redis_us % MONO_SEC)),
    };

    r->waiting = true;
    redis_eval(r->redis, 0, 2, argv, ARRAY_LEN(argv), 5 * MONO_SEC, lease_rig_on_reply, &w);
    FAKE_MONO_UNTIL(r->loop, !r->waiting);
    return w.answer;
}

#endif
