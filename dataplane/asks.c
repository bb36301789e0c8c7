// SPDX-License-Identifier: Apache-2.0
// Lease questions.
//
//   asks_add --> waiting (lock) --asks_send--> call: one request, several batches --> on_lease
//                                                                               \--> on_lease_lost
//
// Each question that was added ends in one of both, exactly once: also those that an answer leaves
// out (a limit the control plane does not have, or a part of them that Redis did not answer).
//
// A request is never repeated: it may have been carried out, and what it returned must not be
// returned twice. Whoever asked is told and decides.
#include "dataplane/asks.h"

#include <pthread.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"

#define DEADLINE_US  (100 * MONO_MS)
#define WAITING_MAX  65536u // items
#define LIMIT_ID_MAX 450u   // bytes: 1,024 of them fit into a message

// Questions as one thread asked them.
struct batch {
    struct list_node node;
    struct arena arena; // strings and items
    struct message_lease_item *items;
    size_t n;
};

// Batches that travel in one request.
struct call {
    struct asks *a;
    struct roster *roster;
    const struct peer *to;
    struct list batches;
};

struct asks {
    struct asks_config conf;
    pthread_mutex_t lock;
    struct list waiting; // struct batch; under the lock
    size_t n_waiting;    // items in them; under the lock
    struct arena arena;  // of the request being built
    uint64_t timeouts;
    size_t under_way; // calls
};

struct asks *asks_new(const struct asks_config *c)
{
    struct asks *a = mem_zalloc(sizeof(*a));

    a->conf = *c;
    CHECK(pthread_mutex_init(&a->lock, NULL) == 0);
    list_init(&a->waiting);
    arena_init(&a->arena, ASKS_PER_CALL * sizeof(struct message_lease_item), 0);
    return a;
}

static void batch_free(struct batch *b)
{
    arena_done(&b->arena);
    mem_free(b);
}

void asks_free(struct asks **ap)
{
    struct asks *a = *ap;
    struct list_node *n;

    *ap = NULL;
    if (a == NULL) {
        return;
    }
    while ((n = list_pop_front(&a->waiting)) != NULL) {
        batch_free(container_of(n, struct batch, node));
    }
    arena_done(&a->arena);
    (void)pthread_mutex_destroy(&a->lock);
    mem_free(a);
}

// One unfit id would make the whole request unreadable, and everybody's questions with it.
static bool are_fit(const struct message_lease_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct slice s = slice_str(items[i].limit_id);

        if (s.n == 0 || s.n > LIMIT_ID_MAX || !text_utf8_valid(s)) {
            return false;
        }
    }
    return true;
}

bool asks_add(struct asks *a, const struct message_lease_item *items, size_t n, bool *ret_first)
{
    struct batch *b;
    bool ok;

    CHECK(n >= 1 && n <= ASKS_PER_CALL);
    *ret_first = false;
    if (!are_fit(items, n)) {
        return false;
    }
    b = mem_zalloc(sizeof(*b));
    arena_init(&b->arena, 64 + n * 96, 0);
    b->items = arena_alloc(&b->arena, n * sizeof(*b->items));
    b->n = n;
    for (size_t i = 0; i < n; i++) {
        b->items[i] = items[i];
        b->items[i].limit_id = arena_strdup(&b->arena, items[i].limit_id);
    }
    CHECK(pthread_mutex_lock(&a->lock) == 0);
    ok = a->n_waiting + n <= WAITING_MAX;
    *ret_first = ok && a->waiting.count == 0;
    if (ok) {
        list_push_back(&a->waiting, &b->node);
        a->n_waiting += n;
    }
    CHECK(pthread_mutex_unlock(&a->lock) == 0);
    if (!ok) {
        batch_free(b);
    }
    return ok;
}

// The first unused grant for a limit, looked for from `from` on: they come in the order of their
// questions, but for a few. n_grants: none.
static size_t find_grant(const struct message_lease_grant *g, const bool *used, size_t from,
                         const char *limit_id)
{
    for (size_t i = 0; i < g->n_grants; i++) {
        size_t k = (from + i) % g->n_grants;

        if (!used[k] && strcmp(g->grants[k].limit_id, limit_id) == 0) {
            return k;
        }
    }
    return g->n_grants;
}

// Ends the batches; lost: nobody has answered them.
static void call_end(struct call *c, bool lost)
{
    const struct asks_config *conf = &c->a->conf;
    struct list_node *n;

    while ((n = list_pop_front(&c->batches)) != NULL) {
        struct batch *b = container_of(n, struct batch, node);

        if (lost && conf->on_lease_lost != NULL) {
            conf->on_lease_lost(conf->arg, b->items, b->n, false);
        }
        batch_free(b);
    }
    c->a->under_way--;
    mem_free(c);
}

static size_t count_items(const struct call *c)
{
    size_t n = 0;

    list_foreach (node, &c->batches) {
        n += container_of(node, struct batch, node)->n;
    }
    return n;
}

// Questions of the call that have no grant in the answer. One limit may be asked about twice in a
// call: then as many of its questions are answered as there are grants.
static void tell_left_out(struct call *c, const struct message_lease_grant *g)
{
    const struct asks_config *conf = &c->a->conf;
    size_t next = 0;

    if (g->n_grants >= count_items(c) || conf->on_lease_lost == NULL) {
        return; // as always
    }
    bool *used = mem_zalloc_array(g->n_grants + 1, sizeof(*used));

    list_foreach (node, &c->batches) {
        const struct batch *b = container_of(node, struct batch, node);

        for (size_t i = 0; i < b->n; i++) {
            size_t k = find_grant(g, used, next, b->items[i].limit_id);

            if (k == g->n_grants) {
                conf->on_lease_lost(conf->arg, &b->items[i], 1, true);
            } else {
                used[k] = true;
                next = k + 1;
            }
        }
    }
    mem_free(used);
}

static void on_answer(void *arg, const struct envelope *e, const struct message *m)
{
    struct call *c = arg;
    const struct asks_config *conf = &c->a->conf;
    bool granted = m != NULL && m->type == MESSAGE_LEASE_GRANT;

    (void)e;
    if (m == NULL) {
        c->a->timeouts++;
        // It may be frozen; whoever is not should be asked next.
        if (roster_preferred(c->roster) == c->to) {
            roster_prefer_other(c->roster);
        }
    }
    if (granted && conf->on_lease != NULL) {
        conf->on_lease(conf->arg, m->u.lease_grant.grants, m->u.lease_grant.n_grants,
                       loop_now_us(conf->loop));
    }
    if (granted) {
        tell_left_out(c, &m->u.lease_grant);
    }
    call_end(c, !granted);
}

static bool call_preferred(struct call *c, const struct message *m)
{
    struct peer *p = roster_preferred(c->roster);

    c->to = p;
    return p != NULL && peer_call(p, m, DEADLINE_US, on_answer, c);
}

// The next batch that waits, if it has at most so many items.
static struct batch *take_batch(struct asks *a, size_t max_items)
{
    struct batch *b = NULL;
    struct list_node *n;

    CHECK(pthread_mutex_lock(&a->lock) == 0);
    n = list_first(&a->waiting);
    if (n != NULL && container_of(n, struct batch, node)->n <= max_items) {
        list_remove(&a->waiting, n);
        b = container_of(n, struct batch, node);
        a->n_waiting -= b->n;
    }
    CHECK(pthread_mutex_unlock(&a->lock) == 0);
    return b;
}

// One request with as many batches as fit. How many those were.
static size_t send_one(struct asks *a, struct roster *r)
{
    struct message m = {MESSAGE_LEASE_REQUEST,
                        {.lease_request = {.proxy = a->conf.proxy, .holder = a->conf.holder}}};
    struct batch *b = take_batch(a, ASKS_PER_CALL);
    struct message_lease_item *items;
    size_t n = 0, sent;
    struct call *c;

    if (b == NULL) {
        return 0;
    }
    c = mem_zalloc(sizeof(*c));
    a->under_way++;
    c->a = a;
    c->roster = r;
    list_init(&c->batches);
    arena_reset(&a->arena);
    items = arena_alloc(&a->arena, ASKS_PER_CALL * sizeof(*items));
    for (; b != NULL; b = take_batch(a, ASKS_PER_CALL - n)) {
        memcpy(items + n, b->items, b->n * sizeof(*items));
        n += b->n;
        list_push_back(&c->batches, &b->node);
    }
    sent = c->batches.count;
    m.u.lease_request.items = items;
    m.u.lease_request.n_items = n;
    if (!call_preferred(c, &m)) {
        roster_prefer_other(r); // that one's connection is gone or busy
        if (!call_preferred(c, &m)) {
            call_end(c, true);
        }
    }
    return sent;
}

void asks_send(struct asks *a, struct roster *r)
{
    size_t left;

    // Only what waits now: who is told that an answer is lost may ask again at once.
    CHECK(pthread_mutex_lock(&a->lock) == 0);
    left = a->waiting.count;
    CHECK(pthread_mutex_unlock(&a->lock) == 0);
    while (left > 0) {
        size_t sent = send_one(a, r);

        left = sent < left ? left - sent : 0;
    }
}

bool asks_is_idle(struct asks *a)
{
    size_t waiting;

    CHECK(pthread_mutex_lock(&a->lock) == 0);
    waiting = a->waiting.count;
    CHECK(pthread_mutex_unlock(&a->lock) == 0);
    return waiting == 0 && a->under_way == 0;
}

uint64_t asks_timeouts(const struct asks *a)
{
    return a->timeouts;
}
