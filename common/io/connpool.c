// SPDX-License-Identifier: Apache-2.0
// One timer per origin serves all its idle connections: they are listed by the time of last use, so
// the last one is due first. Going idle and being used again costs list operations only.
#include "common/io/connpool.h"

#include "common/base/check.h"
#include "common/base/mem.h"

static void on_idle_timer(struct loop_timer *t);

struct connpool_origin *connpool_origin_ref(struct connpool *p, const char *name)
{
    struct slice key = slice_str(name);
    struct connpool_origin *o = map_get(&p->origins, key);

    if (o == NULL) {
        o = mem_zalloc(sizeof(*o));
        o->pool = p;
        o->name = mem_strdup(name);
        o->tls = slice_starts_nocase(key, SLICE("https://"));
        o->timer.fn = on_idle_timer;
        list_init(&o->idle);
        (void)map_put(&p->origins, key, o); // there was none
    }
    o->refs++;
    return o;
}

void connpool_origin_unref(struct connpool_origin *o)
{
    if (--o->refs > 0) {
        return;
    }
    loop_timer_cancel(o->pool->l, &o->timer);
    (void)map_del(&o->pool->origins, slice_str(o->name)); // it is there
    mem_free(o->name);
    mem_free(o);
}

struct connpool_conn *connpool_add(struct connpool_origin *o, struct dial_conn **dc,
                                   void (*fn)(struct loop_watch *w, uint32_t events), struct err *e)
{
    struct connpool_conn *k = mem_zalloc(sizeof(*k));

    *k = (struct connpool_conn){.origin = o, .dc = *dc, .plain = dial_is_plain(*dc)};
    *dc = NULL;
    k->watch.fd = dial_fd(k->dc);
    k->watch.fn = fn;
    o->refs++;
    if (!loop_watch_add(o->pool->l, &k->watch, LOOP_READ, e)) {
        connpool_close(k);
        return NULL;
    }
    return k;
}

static void free_conn(struct loop_grave *g)
{
    mem_free(container_of(g, struct connpool_conn, grave));
}

void connpool_close(struct connpool_conn *k)
{
    struct connpool *p = k->origin->pool;

    loop_watch_remove(p->l, &k->watch);
    dial_close(&k->dc);
    if (list_in_one(&k->node)) {
        list_remove(&k->origin->idle, &k->node);
        p->n_idle--;
    }
    connpool_origin_unref(k->origin);
    k->grave.fn = free_conn;
    loop_bury(p->l, &k->grave);
}

static void on_idle_timer(struct loop_timer *t)
{
    struct connpool_origin *o = container_of(t, struct connpool_origin, timer);
    struct connpool *p = o->pool;
    struct list_node *n;

    o->refs++; // the last connection would take it along
    while ((n = list_last(&o->idle)) != NULL) {
        struct connpool_conn *k = container_of(n, struct connpool_conn, node);

        if (k->idle_since_us + p->idle_timeout_us > loop_now_us(p->l)) {
            loop_timer_set(p->l, t, k->idle_since_us + p->idle_timeout_us);
            break;
        }
        connpool_close(k);
    }
    connpool_origin_unref(o);
}

void connpool_put(struct connpool_conn *k)
{
    struct connpool_origin *o = k->origin;
    struct connpool *p = o->pool;

    if (o->idle.count >= p->max_idle) {
        connpool_close(k);
        return;
    }
    loop_watch_set(p->l, &k->watch, LOOP_READ);
    k->user = NULL;
    k->idle_since_us = loop_now_us(p->l);
    list_push_front(&o->idle, &k->node);
    p->n_idle++;
    if (o->timer.due_us == 0) {
        loop_timer_set(p->l, &o->timer, k->idle_since_us + p->idle_timeout_us);
    }
}

struct connpool_conn *connpool_take(struct connpool_origin *o)
{
    struct list_node *n = list_pop_front(&o->idle);

    if (n == NULL) {
        return NULL;
    }
    o->pool->n_idle--;
    return container_of(n, struct connpool_conn, node);
}

void connpool_init(struct connpool *p, struct loop *l, uint64_t idle_timeout_us, size_t max_idle)
{
    *p = (struct connpool){.l = l, .idle_timeout_us = idle_timeout_us, .max_idle = max_idle};
    map_init(&p->origins);
}

void connpool_done(struct connpool *p)
{
    while (map_count(&p->origins) > 0) {
        struct connpool_origin *o = map_next(&p->origins, NULL)->value;

        CHECK(o->idle.count == o->refs);
        connpool_close(container_of(list_first(&o->idle), struct connpool_conn, node));
    }
    map_done(&p->origins);
}
