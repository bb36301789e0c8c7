// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/plane.h"

#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/scripts.h"
#include "controlplane/state.h"
#include "controlplane/store.h"
#include "tests/unit/fake_mono.h" // no deadline of the product comes while Redis does not run
#include "tests/unit/redis_server.h"

#define CONTROLS    2
#define PATIENCE_US (60 * MONO_SEC) // real time that a call may take

struct plane {
    const uint64_t *clock;
    struct redis_server server;
    struct loop *loop;
    struct state *state;
    struct store *store;
    struct meters *meters;
    struct leases *leases[CONTROLS];
    struct redis *redis; // with the changed script
    struct redis_script script;
    char *source;
    uint64_t questions;
};

static struct plane *the_plane; // leases.c knows nothing of it

// The seam: these stand for redis_eval and loop_wall_us in leases.c.
void plane_eval(struct redis *r, size_t script, size_t n_keys, const struct slice *argv,
                size_t argc, uint64_t timeout_us, redis_fn fn, void *arg);
uint64_t plane_wall_us(const struct loop *l);

static struct slice number(struct arena *a, uint64_t v)
{
    return slice_str(arena_printf(a, "%llu", (unsigned long long)v));
}

// argv: keys, then the caller's name and its monotonic clock.
void plane_eval(struct redis *r, size_t script, size_t n_keys, const struct slice *argv,
                size_t argc, uint64_t timeout_us, redis_fn fn, void *arg)
{
    struct plane *p = the_plane;
    uint64_t now = *p->clock;
    struct slice *copy = mem_zalloc_array(argc + 2, sizeof(*copy));
    struct arena a;

    (void)r;
    (void)timeout_us;
    CHECK(script == SCRIPTS_LEASE && argc > n_keys + 1);
    arena_init(&a, 256, 0);
    memcpy(copy, argv, argc * sizeof(*copy));
    copy[n_keys + 1] = number(&a, now);
    copy[argc] = number(&a, now / MONO_SEC);
    copy[argc + 1] = number(&a, now % MONO_SEC);
    p->questions += n_keys - 1;
    redis_eval(p->redis, 0, n_keys, copy, argc + 2, PATIENCE_US, fn, arg);
    arena_done(&a);
    mem_free(copy);
}

uint64_t plane_wall_us(const struct loop *l)
{
    (void)l;
    return *the_plane->clock;
}

static void on_status(void *arg, enum follow_status s, const char *message)
{
    (void)arg;
    (void)s;
    (void)message;
}

static void on_stored(void *arg, const struct store_result *r)
{
    CHECK(r->outcome == STORE_DONE);
    *(bool *)arg = true;
}

static void fill(struct plane *p, struct resource *const *all, size_t n)
{
    struct store_op *ops = mem_zalloc_array(n, sizeof(*ops));
    bool stored = false;

    for (size_t i = 0; i < n; i++) {
        ops[i] = (struct store_op){.res = all[i], .origin = RECORD_API};
    }
    store_commit(p->store, &(const struct store_change){.ops = ops, .n = n}, on_stored, &stored);
    plane_wait(p, &stored);
    mem_free(ops);
}

static void connect_script(struct plane *p)
{
    static const char time_call[] = "redis.call('TIME')";
    const char *source = scripts_all[SCRIPTS_LEASE].source, *at = strstr(source, time_call);
    struct buf b;

    CHECK(at != NULL);
    buf_init(&b, 1u << 20);
    buf_append(&b, SLICE_MAKE(source, (size_t)(at - source)));
    buf_append_str(&b, "{ARGV[#ARGV - 1], ARGV[#ARGV]}");
    buf_append_str(&b, at + sizeof(time_call) - 1);
    p->source = mem_strdup(buf_cstr(&b));
    buf_done(&b);
    p->script = (struct redis_script){"lease", p->source};
    p->redis = redis_new(
        p->loop,
        &(const struct redis_config){.url = p->server.url, .scripts = &p->script, .n_scripts = 1},
        NULL);
    CHECK(p->redis != NULL);
}

struct plane *plane_new(const uint64_t *clock, struct resource *const *all, size_t n)
{
    static const uint8_t master[CRYPTO_KEY_BYTES] = "0123456789abcdef0123456789abcde";
    struct plane *p = mem_zalloc(sizeof(*p));
    struct record_keys keys = {.n = 0};
    struct store_config c = {.keys = &keys, .init = true, .on_status = on_status};

    CHECK(record_keys_add(&keys, master));
    the_plane = p;
    p->clock = clock;
    if (!redis_server_start(&p->server, NULL, NULL)) {
        mem_free(p);
        return NULL;
    }
    p->loop = loop_new(NULL);
    CHECK(p->loop != NULL);
    p->state = state_new();
    p->meters = meters_new();
    c.loop = p->loop;
    c.redis_url = p->server.url;
    c.state = p->state;
    p->store = store_new(&c, NULL);
    CHECK(p->store != NULL);
    for (int i = 0; i < CONTROLS; i++) {
        p->leases[i] = leases_new(p->loop, p->store, p->meters, i == 0 ? "first" : "second");
    }
    connect_script(p);
    FAKE_MONO_LATER(p->loop, state_ready(p->state) && redis_is_up(store_redis(p->store)) &&
                                 redis_is_up(p->redis));
    fill(p, all, n);
    return p;
}

void plane_free(struct plane **pp)
{
    struct plane *p = *pp;

    if (p == NULL) {
        return;
    }
    *pp = NULL;
    redis_free(&p->redis);
    store_free(&p->store);
    for (int i = 0; i < CONTROLS; i++) {
        leases_free(&p->leases[i]);
    }
    meters_free(&p->meters);
    state_free(&p->state);
    loop_free(&p->loop);
    redis_server_stop(&p->server);
    mem_free(p->source);
    mem_free(p);
    the_plane = NULL;
}

void plane_ask(struct plane *p, unsigned which, const struct message_lease_request *r, leases_fn fn,
               void *arg)
{
    leases_ask(p->leases[which % CONTROLS], r, fn, arg);
}

void plane_wait(struct plane *p, const bool *done)
{
    FAKE_MONO_LATER(p->loop, *done);
}

uint64_t plane_questions(const struct plane *p)
{
    return p->questions;
}
