// SPDX-License-Identifier: Apache-2.0
// Connections by origin, and which of them are idle: last used first, closed when idle too long.
// Private to common/io: what is spoken on them is upstream's. Owner thread of the loop.
#ifndef SLUICE_IO_CONNPOOL_H
#define SLUICE_IO_CONNPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/io/dial.h"
#include "common/io/loop.h"

// Embedded in its owner, must not move.
struct connpool {
    struct loop *l;
    uint64_t idle_timeout_us;
    size_t max_idle; // per origin
    size_t n_idle;
    struct map origins; // name -> struct connpool_origin
};

// "https://host". Lives while a connection or a holder of connpool_origin_ref refers to it.
struct connpool_origin {
    struct connpool *pool;
    char *name; // owned
    bool tls;
    unsigned refs;
    struct list idle;        // of conn.node, most recently used first
    struct loop_timer timer; // for the one idle longest
};

// A connected connection: idle (in origin->idle), or at its user's. Its watch is registered all the
// time.
struct connpool_conn {
    struct loop_watch watch; // its fn gets idle connections' events too
    struct loop_grave grave;
    struct connpool_origin *origin; // counted
    struct dial_conn *dc;           // owned
    struct list_node node;
    uint64_t idle_since_us;
    void *user; // NULL while idle
    bool plain;
};

// idle_timeout_us: an idle connection is closed after it. max_idle: for each origin.
void connpool_init(struct connpool *p, struct loop *l, uint64_t idle_timeout_us, size_t max_idle);
// Closes what is idle; nothing else may be left.
void connpool_done(struct connpool *p);

// The origin of that name ("https://host", copied), made where there is none: one reference, given
// back by connpool_origin_unref.
struct connpool_origin *connpool_origin_ref(struct connpool *p, const char *name);
void connpool_origin_unref(struct connpool_origin *o);

// Takes over *dc, connected, in success and failure; watched for reading, fn gets the events. NULL:
// not watchable.
MUST_CHECK struct connpool_conn *connpool_add(struct connpool_origin *o, struct dial_conn **dc,
                                              void (*fn)(struct loop_watch *w, uint32_t events),
                                              struct err *e);
// The idle one used last, without a user, or NULL.
struct connpool_conn *connpool_take(struct connpool_origin *o);
// Becomes idle, or is closed when there are enough.
void connpool_put(struct connpool_conn *k);
// Idle or not; its memory goes at the end of the turn. Does not touch what `user` points to.
void connpool_close(struct connpool_conn *k);

#endif
