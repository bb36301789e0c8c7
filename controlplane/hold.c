// SPDX-License-Identifier: Apache-2.0
// A key with our random id and a time to live.
//
//   not ours --SET NX PX--> OK: ours                nil: somebody's
//   ours     --GET--> our id --PEXPIRE--> ours on   another, none: not ours
//
// Each TICK_US. "Ours" ends LIFE_US after the last renewal was *sent*, KEY_US after Redis heard of
// it: so between two owners there is a pause, not an overlap.
#include "controlplane/hold.h"

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/crypto.h"

#define KEY_MS     "2000"
#define LIFE_US    (1500 * MONO_MS)
#define TICK_US    (500 * MONO_MS)
#define TIMEOUT_US (400 * MONO_MS)
#define ID_CHARS   22u

struct hold {
    struct loop *loop;
    struct store *store;
    const char *name;
    char id[ID_CHARS + 1];
    struct loop_timer timer;
    uint64_t until_us; // 0 = not ours
    uint64_t sent_us;  // the question under way
    bool asking;
};

bool hold_is_ours(const struct hold *h)
{
    return loop_now_us(h->loop) < h->until_us;
}

static void on_written(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct hold *h = arg;

    h->asking = false;
    // SET NX: a status or nil. PEXPIRE: 1, or 0 when it is gone.
    if (e == NULL && (redis_type(r) == REDIS_STATUS || redis_int(r) == 1)) {
        h->until_us = h->sent_us + LIFE_US;
    }
}

static void on_read(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct hold *h = arg;

    if (e != NULL || !slice_eq_str(redis_text(r), h->id)) {
        h->asking = false;
        h->until_us = e == NULL ? 0 : h->until_us;
        return;
    }
    redis_command(store_redis(h->store),
                  (const struct slice[]){SLICE("PEXPIRE"), slice_str(h->name), SLICE(KEY_MS)}, 3,
                  TIMEOUT_US, on_written, h);
}

static void on_tick(struct loop_timer *t)
{
    struct hold *h = container_of(t, struct hold, timer);
    uint64_t now = loop_now_us(h->loop);

    loop_timer_set(h->loop, t, now + TICK_US);
    if (h->asking || !redis_is_up(store_redis(h->store))) {
        return;
    }
    h->asking = true;
    h->sent_us = now;
    if (hold_is_ours(h)) {
        redis_command(store_redis(h->store),
                      (const struct slice[]){SLICE("GET"), slice_str(h->name)}, 2, TIMEOUT_US,
                      on_read, h);
        return;
    }
    redis_command(store_redis(h->store),
                  (const struct slice[]){SLICE("SET"), slice_str(h->name), slice_str(h->id),
                                         SLICE("NX"), SLICE("PX"), SLICE(KEY_MS)},
                  6, TIMEOUT_US, on_written, h);
}

struct hold *hold_new(struct loop *l, struct store *s, const char *name)
{
    struct hold *h = mem_zalloc(sizeof(*h));

    h->loop = l;
    h->store = s;
    h->name = name;
    crypto_random_id(h->id, ID_CHARS);
    h->timer.fn = on_tick;
    loop_timer_set(l, &h->timer, loop_now_us(l));
    return h;
}

void hold_free(struct hold **hp)
{
    struct hold *h = *hp;

    *hp = NULL;
    if (h == NULL) {
        return;
    }
    redis_forget(store_redis(h->store), h);
    loop_timer_cancel(h->loop, &h->timer);
    mem_free(h);
}
