// SPDX-License-Identifier: Apache-2.0
// One look: HSCAN over the resources' hash; each stale record is opened, sealed anew and put in
// place by lua/reseal.lua, which gives way to whoever changed it meanwhile.
//
//   IDLE --start--> SCAN --page--> its scripts --all answered--> SCAN ... --cursor 0--> IDLE
//                                                            something left --5 s--> SCAN
//
// With a single master key nothing can be sealed with another one: then only the providers that are
// to be sealed are looked at (HMGET instead of HSCAN), all at once.
//
// The version of a resource does not change, so nobody else has to know: replicas and proxies have
// the resource already. What the stream of changes still holds under the old key is read by nobody
// who starts later (follow.c scans first), and goes with the stream's length.
#include "controlplane/reseal.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/names.h"
#include "controlplane/scripts.h"

#define TIMEOUT_US  (2 * MONO_SEC)
#define AGAIN_US    (5 * MONO_SEC)
#define FAILED_US   (2 * MONO_SEC)
#define FIELDS_READ "100" // per HSCAN, so scripts at once
#define BARE_MAX    512u  // providers looked at with a single key

struct bare;

struct reseal {
    struct loop *loop;
    struct store *store;
    struct loop_timer timer;
    bool looking, again; // again: asked while looking
    bool failed;
    char cursor[24];
    size_t under_way;           // scripts
    uint64_t done, left_so_far; // in this look
    uint64_t left;              // after the last one
    struct bare *bare;          // asked for, owned; or NULL
};

static void scan(struct reseal *r);

static void end_of_look(struct reseal *r)
{
    uint64_t wait_us = r->failed ? FAILED_US : AGAIN_US;

    r->looking = false;
    r->left = r->left_so_far + r->failed;
    if (r->done > 0 || r->left > 0) {
        LOG(INFO, "store.resealed", LOG_UINT("records", r->done), LOG_UINT("left", r->left));
    }
    if (r->again) {
        reseal_start(r);
    } else if (r->left > 0 || r->failed) {
        loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop) + wait_us);
    }
}

static void go_on(struct reseal *r)
{
    if (r->under_way > 0) {
        return;
    }
    if (r->failed || strcmp(r->cursor, "0") == 0) {
        end_of_look(r);
    } else {
        scan(r);
    }
}

static void on_put(void *arg, const struct redis_reply *reply, const struct err *e)
{
    struct reseal *r = arg;

    r->under_way--;
    if (e != NULL) {
        r->failed = true;
        r->left_so_far++;
    } else if (redis_int(reply) == 1) {
        r->done++;
    } else {
        r->left_so_far++; // changed meanwhile: the next look will tell
    }
    go_on(r);
}

// One record. What cannot be opened is follow.c's to complain about.
static void put_anew(struct reseal *r, struct slice field, struct slice bytes)
{
    const struct record_keys *keys = store_keys(r->store);
    struct record rec;
    char where[RECORD_WHERE_MAX + 1];
    struct buf fresh;

    if (!record_is_stale(bytes, keys) && !record_is_bare(field, bytes)) {
        return;
    }
    if (!record_decode(field, bytes, keys, &rec, NULL)) {
        r->left_so_far++;
        return;
    }
    (void)snprintf(where, sizeof(where), SLICE_FMT, SLICE_ARG(rec.where)); // fits
    buf_init(&fresh, RECORD_BYTES_MAX);
    record_encode(rec.res, rec.origin, where, keys, &fresh);
    r->under_way++;
    redis_eval(store_redis(r->store), SCRIPTS_RESEAL, 1,
               (const struct slice[]){SLICE(NAMES_RESOURCES), field, bytes, buf_slice(&fresh)}, 4,
               TIMEOUT_US, on_put, r);
    buf_done(&fresh);
    resource_unref(&rec.res);
}

static void on_scan(void *arg, const struct redis_reply *reply, const struct err *e)
{
    struct reseal *r = arg;
    const struct redis_reply *pairs = redis_item(reply, 1);
    struct slice cursor = redis_text(redis_item(reply, 0));

    if (e != NULL) {
        r->failed = true;
        go_on(r);
        return;
    }
    (void)snprintf(r->cursor, sizeof(r->cursor), SLICE_FMT, SLICE_ARG(cursor)); // a u64
    for (size_t i = 0; i + 1 < redis_count(pairs); i += 2) {
        put_anew(r, redis_text(redis_item(pairs, i)), redis_text(redis_item(pairs, i + 1)));
    }
    go_on(r);
}

static void scan(struct reseal *r)
{
    const struct slice argv[] = {SLICE("HSCAN"), SLICE(NAMES_RESOURCES), slice_str(r->cursor),
                                 SLICE("COUNT"), SLICE(FIELDS_READ)};

    redis_command(store_redis(r->store), argv, ARRAY_LEN(argv), TIMEOUT_US, on_scan, r);
}

// --- with a single key --------------------------------------------------------------------------

struct bare {
    struct reseal *r;
    struct arena arena;
    struct slice argv[2 + BARE_MAX]; // HMGET, key, fields
    size_t n;
};

static bool add_field(void *ctx, struct resource *res)
{
    struct bare *b = ctx;
    char field[RECORD_FIELD_MAX];

    if (record_is_sealed(res) && record_field(res->kind, slice_str(res->id), field)) {
        b->argv[b->n++] = slice_str(arena_strdup(&b->arena, field));
    }
    return b->n < ARRAY_LEN(b->argv);
}

static void on_fields(void *arg, const struct redis_reply *reply, const struct err *e)
{
    struct reseal *r = arg;
    struct bare *b = r->bare;

    r->bare = NULL;
    r->failed = e != NULL;
    for (size_t i = 2; i < b->n && e == NULL; i++) {
        put_anew(r, b->argv[i], redis_text(redis_item(reply, i - 2)));
    }
    arena_done(&b->arena);
    mem_free(b);
    go_on(r);
}

static void look_at_providers(struct reseal *r)
{
    struct bare *b = mem_zalloc(sizeof(*b));

    arena_init(&b->arena, 4096, 0);
    b->argv[b->n++] = SLICE("HMGET");
    b->argv[b->n++] = SLICE(NAMES_RESOURCES);
    state_each(store_state(r->store), RESOURCE_PROVIDER, SLICE_NULL, add_field, b);
    r->bare = b;
    if (b->n > 2) {
        redis_command(store_redis(r->store), b->argv, b->n, TIMEOUT_US, on_fields, r);
    } else {
        on_fields(r, NULL, NULL);
    }
}

static void on_timer(struct loop_timer *t)
{
    struct reseal *r = container_of(t, struct reseal, timer);

    r->looking = true;
    r->again = r->failed = false;
    r->done = r->left_so_far = 0;
    (void)snprintf(r->cursor, sizeof(r->cursor), "0");
    if (store_keys(r->store)->n < 2) {
        look_at_providers(r);
    } else {
        scan(r);
    }
}

void reseal_start(struct reseal *r)
{
    if (store_keys(r->store)->n < 2) { // what one key cannot open cannot be sealed anew
        r->left = 0;
    } else {
        r->left += r->left == 0; // not known to be none
    }
    if (r->looking) {
        r->again = true;
    } else {
        loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop));
    }
}

struct reseal *reseal_new(struct loop *l, struct store *s)
{
    struct reseal *r = mem_zalloc(sizeof(*r));

    r->loop = l;
    r->store = s;
    r->timer.fn = on_timer;
    return r;
}

void reseal_free(struct reseal **rp)
{
    struct reseal *r = *rp;

    *rp = NULL;
    if (r == NULL) {
        return;
    }
    redis_forget(store_redis(r->store), r);
    if (r->bare != NULL) {
        arena_done(&r->bare->arena);
        mem_free(r->bare);
    }
    loop_timer_cancel(r->loop, &r->timer);
    mem_free(r);
}

uint64_t reseal_left(const struct reseal *r)
{
    return r->left;
}
