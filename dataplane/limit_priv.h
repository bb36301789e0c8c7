// SPDX-License-Identifier: Apache-2.0
// The limits in use as they lie in memory: for limit.c (what a request does) and limit_store.c
// (what goes on without one) only. Drawing: top of limit_store.c.
#ifndef SLUICE_DATAPLANE_LIMIT_PRIV_H
#define SLUICE_DATAPLANE_LIMIT_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "common/base/hash.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "dataplane/book.h"
#include "dataplane/lease.h"
#include "dataplane/limit.h"
#include "dataplane/limit_store.h"

#define LIMIT_SHARDS 64u
#define LIMIT_ID_MAX 320u

struct limit_entry {
    char id[LIMIT_ID_MAX];
    struct limit_shard *shard; // borrowed
    struct lease lease;
    uint64_t used_at_us;
    struct book *book;   // borrowed; NULL: none
    uint32_t line;       // in it; 0: none
    uint32_t pins;       // passes that hold units of it or wait
    struct list waiting; // struct limit_pass
};

struct limit_shard {
    pthread_mutex_t lock;
    struct map entries; // id -> struct limit_entry, owned
};

struct limit_store {
    struct limit_config cfg;
    char holder[BOOK_HOLDER + 1];
    struct limit_shard shards[LIMIT_SHARDS];
    _Atomic uint64_t live;     // proxies
    _Atomic uint64_t heard_us; // last answer to any question
    atomic_bool hushed;        // set for good; looked at under the shard's lock
};

// What is to be asked, collected under the locks of shards, sent without.
struct limit_question {
    struct limit_ask items[LIMIT_PER_REQUEST_MAX];
    size_t n;
};

// No lock is needed.
static inline struct limit_shard *limit_store_shard(struct limit_store *s, struct slice id)
{
    return &s->shards[hash_bytes(hash_process_key(), id) % LIMIT_SHARDS];
}

// Ends every change of an entry: the book has what is there before anybody acts on it. Shard lock
// held.
static inline void limit_store_note(const struct limit_entry *e)
{
    struct book_line l;

    if (e->line != 0) {
        lease_bequeath(&e->lease, &l);
        book_write(e->book, e->line, &l);
    }
}

// e NULL: no entry was changed.
static inline void limit_store_unlock(struct limit_shard *sh, const struct limit_entry *e)
{
    if (e != NULL) {
        limit_store_note(e);
    }
    pthread_mutex_unlock(&sh->lock);
}

// Adds what the entry's lease has to ask or to tell, if anything. Shard lock held.
static inline void limit_store_ask(struct limit_question *q, struct limit_entry *e, uint64_t need,
                                   uint64_t now_us)
{
    struct limit_ask *item = &q->items[q->n];

    if (q->n < LIMIT_PER_REQUEST_MAX && lease_question(&e->lease, need, now_us, item)) {
        item->limit_id = e->id;
        q->n++;
    }
}

// Adds a limit that map_get has not found, with a line in the book. Owned by the shard, never NULL.
// Shard lock held.
struct limit_entry *limit_store_add(struct limit_store *s, struct limit_shard *sh, const char *id);
// Sends at least one question; no lock held. False: nothing was sent, and everything is as before
// the questions. Any thread.
bool limit_store_send(struct limit_store *s, const struct limit_question *q);

#endif
