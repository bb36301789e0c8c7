// SPDX-License-Identifier: Apache-2.0
// A map from sender id to the last count on each socket. An entry costs about a hundred bytes, so
// the bound is 6 MB; reaching it takes somebody who holds the cluster secret.
#include "controlplane/senders.h"

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/slice.h"

#define OLD_US (3600 * MONO_SEC)

struct sender {
    uint64_t last[SENDERS_SOCKETS]; // counts
    uint64_t seen_us;
};

struct senders {
    struct map by_id; // 16-byte id -> struct sender
};

struct senders *senders_new(void)
{
    struct senders *s = mem_zalloc(sizeof(*s));

    map_init(&s->by_id);
    return s;
}

void senders_free(struct senders **sp)
{
    struct senders *s = *sp;

    *sp = NULL;
    if (s != NULL) {
        map_foreach (e, &s->by_id) {
            mem_free(e->value);
        }
        map_done(&s->by_id);
        mem_free(s);
    }
}

static void forget_old(struct senders *s, uint64_t now_us)
{
    map_foreach (e, &s->by_id) {
        struct sender *one = e->value;

        if (one->seen_us + OLD_US <= now_us) {
            (void)map_del(&s->by_id, e->key);
            mem_free(one);
        }
    }
}

bool senders_is_fresh(struct senders *s, const struct envelope *e, enum senders_socket socket,
                      uint64_t now_us)
{
    struct slice id = SLICE_MAKE((const char *)e->sender, sizeof(e->sender));
    struct sender *one = map_get(&s->by_id, id);

    if (one == NULL) {
        if (map_count(&s->by_id) >= SENDERS_MAX) {
            forget_old(s, now_us);
        }
        if (map_count(&s->by_id) >= SENDERS_MAX) {
            return false;
        }
        one = mem_zalloc(sizeof(*one));
        (void)map_put(&s->by_id, id, one);
    }
    one->seen_us = now_us;
    if (e->count <= one->last[socket]) {
        return false;
    }
    one->last[socket] = e->count;
    return true;
}
