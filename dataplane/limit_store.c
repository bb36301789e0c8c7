// SPDX-License-Identifier: Apache-2.0
// What becomes of leases without a request: their life, answers, the tick.
//
//   limit_store --64--> shard (mutex) --by id--> entry ---> lease (lease.h)
//                                                  |------> line of the book: outlives the process
//                                                  `------> waiting requests, woken by answers
//
// A limit in use is an entry in one of the shards. One shard lock is held at a time, for some tens
// of nanoseconds, and never across a call to the link (only wake(), which posts, runs under one).
// Pins (units held, waiting) keep an entry from being forgotten.
#include "dataplane/limit_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "common/io/crypto.h"
#include "dataplane/lease.h"
#include "dataplane/limit_priv.h"

#define FORGET_US    (600 * MONO_SEC)
#define LEFT_OUT_MAX 300u // answers without a limit, one a second, until it is given up

// --- life -------------------------------------------------------------------------------------

static struct limit_entry *new_entry(struct limit_shard *sh, const char *id)
{
    struct limit_entry *e = mem_zalloc(sizeof(*e));

    (void)snprintf(e->id, sizeof(e->id), "%s", id); // ids are cut to that size
    e->shard = sh;
    list_init(&e->waiting);
    (void)map_put(&sh->entries, slice_str(e->id), e);
    return e;
}

struct limit_entry *limit_store_add(struct limit_store *s, struct limit_shard *sh, const char *id)
{
    struct limit_entry *e = new_entry(sh, id);

    e->book = s->cfg.book;
    e->line = e->book == NULL ? 0 : book_add(e->book, e->id);
    return e;
}

// What the last process on this data directory left.
static void inherit(void *ctx, uint32_t line, const struct book_line *l)
{
    struct limit_store *s = ctx;
    struct slice id = slice_str(l->limit_id);
    struct limit_shard *sh = limit_store_shard(s, id);
    struct limit_entry *e = id.n < LIMIT_ID_MAX ? map_get(&sh->entries, id) : NULL;

    if (e != NULL || id.n >= LIMIT_ID_MAX || !text_utf8_valid(id)) {
        book_drop(s->cfg.book, line); // nonsense: a damaged file
        return;
    }
    e = new_entry(sh, l->limit_id);
    e->book = s->cfg.book;
    e->line = line;
    lease_inherit(&e->lease, l);
}

struct limit_store *limit_store_new(const struct limit_config *c)
{
    struct limit_store *s = mem_zalloc(sizeof(*s));

    s->cfg = *c;
    if (s->cfg.park_us == 0) {
        s->cfg.park_us = 50 * MONO_MS;
    }
    for (size_t i = 0; i < LIMIT_SHARDS; i++) {
        pthread_mutex_init(&s->shards[i].lock, NULL);
        map_init(&s->shards[i].entries);
    }
    if (s->cfg.book != NULL) {
        (void)snprintf(s->holder, sizeof(s->holder), "%s", book_holder(s->cfg.book));
        book_each(s->cfg.book, inherit, s);
    } else {
        crypto_random_id(s->holder, BOOK_HOLDER);
    }
    return s;
}

void limit_store_free(struct limit_store **s)
{
    if (*s == NULL) {
        return;
    }
    for (size_t i = 0; i < LIMIT_SHARDS; i++) {
        map_foreach (e, &(*s)->shards[i].entries) {
            mem_free(e->value);
        }
        map_done(&(*s)->shards[i].entries);
        pthread_mutex_destroy(&(*s)->shards[i].lock);
    }
    mem_free(*s);
    *s = NULL;
}

const char *limit_store_holder(const struct limit_store *s)
{
    return s->holder;
}

void limit_store_set_live(struct limit_store *s, uint64_t proxies)
{
    atomic_store_explicit(&s->live, proxies, memory_order_relaxed);
}

// --- questions --------------------------------------------------------------------------------

bool limit_store_send(struct limit_store *s, const struct limit_question *q)
{
    if (s->cfg.ask(s->cfg.arg, q->items, q->n)) {
        return true;
    }
    for (size_t i = 0; i < q->n; i++) {
        const struct limit_ask *item = &q->items[i];
        struct limit_shard *sh = limit_store_shard(s, slice_str(item->limit_id));

        pthread_mutex_lock(&sh->lock);
        struct limit_entry *e = map_get(&sh->entries, slice_str(item->limit_id));
        if (e != NULL) {
            lease_not_asked(&e->lease, item);
        }
        limit_store_unlock(sh, e);
    }
    return false;
}

// --- answers ----------------------------------------------------------------------------------

// Hushed ones find out by their deadlines.
static void wake_all(const struct limit_store *s, struct limit_entry *e)
{
    while (e->waiting.count > 0 && !atomic_load(&s->hushed)) {
        struct limit_pass *p = container_of(list_pop_front(&e->waiting), struct limit_pass, node);

        p->wake(p);
    }
}

void limit_store_granted(struct limit_store *s, const struct limit_grant *g, size_t n,
                         uint64_t now_us)
{
    atomic_store_explicit(&s->heard_us, now_us, memory_order_relaxed);
    for (size_t i = 0; i < n; i++) {
        struct limit_shard *sh = limit_store_shard(s, g[i].limit_id);

        pthread_mutex_lock(&sh->lock);
        struct limit_entry *e = map_get(&sh->entries, g[i].limit_id);
        if (e != NULL) {
            lease_granted(&e->lease, &g[i], now_us);
            wake_all(s, e);
        }
        limit_store_unlock(sh, e);
    }
}

void limit_store_lost(struct limit_store *s, const struct limit_ask *items, size_t n,
                      uint64_t now_us)
{
    for (size_t i = 0; i < n; i++) {
        struct slice id = slice_str(items[i].limit_id);
        struct limit_shard *sh = limit_store_shard(s, id);

        pthread_mutex_lock(&sh->lock);
        struct limit_entry *e = map_get(&sh->entries, id);
        if (e != NULL) {
            lease_lost(&e->lease, &items[i], now_us);
            wake_all(s, e);
        }
        limit_store_unlock(sh, e);
    }
}

void limit_store_left_out(struct limit_store *s, const struct limit_ask *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct slice id = slice_str(items[i].limit_id);
        struct limit_shard *sh = limit_store_shard(s, id);

        pthread_mutex_lock(&sh->lock);
        struct limit_entry *e = map_get(&sh->entries, id);
        if (e != NULL) {
            lease_left_out(&e->lease, &items[i]);
        }
        limit_store_unlock(sh, e);
    }
}

// --- tick -------------------------------------------------------------------------------------

// Not used for long, and nothing is to be told; or there is no such limit any more.
static bool is_forgotten(const struct limit_entry *e, uint64_t now_us)
{
    const struct lease *l = &e->lease;
    bool told = l->units == 0 && l->owed == 0 && !l->tell;

    return e->pins == 0 && l->open == 0 && now_us > e->used_at_us + FORGET_US &&
           (told || l->left_out > LEFT_OUT_MAX);
}

// What a look at a shard has found.
struct looked {
    bool more; // there may be more to say
    bool open; // questions without an answer yet
};

// One batch of what a shard has to say.
static struct looked tick_shard(struct limit_store *s, struct limit_shard *sh, uint64_t now_us,
                                bool end)
{
    struct limit_question q = {.n = 0};
    struct looked found = {false, false};

    pthread_mutex_lock(&sh->lock);
    map_foreach (it, &sh->entries) {
        struct limit_entry *e = it->value;
        size_t before = q.n;

        found.open = found.open || e->lease.open > 0;
        if (end) {
            lease_end(&e->lease);
        }
        lease_expire(&e->lease, now_us);
        limit_store_ask(&q, e, 0, now_us);
        limit_store_note(e);
        // An entry that a question names lives until that was sent.
        if (q.n == before && is_forgotten(e, now_us)) {
            (void)map_del(&sh->entries, it->key);
            if (e->line != 0) {
                book_drop(e->book, e->line);
            }
            mem_free(e);
        }
    }
    pthread_mutex_unlock(&sh->lock);
    if (q.n > 0 && limit_store_send(s, &q)) {
        found.open = true;
        found.more = q.n == LIMIT_PER_REQUEST_MAX;
    }
    return found;
}

void limit_store_tick(struct limit_store *s, uint64_t now_us)
{
    for (size_t i = 0; i < LIMIT_SHARDS; i++) {
        while (tick_shard(s, &s->shards[i], now_us, false).more) {
        }
    }
}

void limit_store_hush(struct limit_store *s)
{
    atomic_store(&s->hushed, true);
    for (size_t i = 0; i < LIMIT_SHARDS; i++) { // whoever has begun to wake has a lock
        pthread_mutex_lock(&s->shards[i].lock);
        pthread_mutex_unlock(&s->shards[i].lock);
    }
}

bool limit_store_end(struct limit_store *s, uint64_t now_us)
{
    bool open = false;

    for (size_t i = 0; i < LIMIT_SHARDS; i++) {
        struct looked found;

        do {
            found = tick_shard(s, &s->shards[i], now_us, true);
            open = open || found.open;
        } while (found.more);
    }
    return !open;
}
