// SPDX-License-Identifier: Apache-2.0
// One map. The replay comes behind the scan and in order: a resource that was deleted, or deleted
// and made again, while the scan went on ends as its last entry says, whatever the scan saw of it.
#include "controlplane/harvest.h"

#include "common/base/mem.h"

static void item_free(struct harvest_item *i)
{
    if (i != NULL) {
        resource_unref(&i->res);
        mem_free(i->where);
        mem_free(i);
    }
}

void harvest_init(struct harvest *h)
{
    map_init(&h->items);
}

void harvest_done(struct harvest *h)
{
    map_foreach (e, &h->items) {
        item_free(e->value);
    }
    map_done(&h->items);
}

void harvest_clear(struct harvest *h)
{
    harvest_done(h);
    harvest_init(h);
}

void harvest_put(struct harvest *h, struct slice field, const struct record *rec)
{
    const struct harvest_item *old = map_get(&h->items, field);
    struct resource *res = rec->res;
    struct harvest_item *i;

    if (old != NULL && old->res->version >= res->version) {
        resource_unref(&res);
        return;
    }
    i = mem_zalloc(sizeof(*i));
    i->res = res;
    i->origin = rec->origin;
    i->where = mem_strndup(rec->where.p, rec->where.n);
    item_free(map_put(&h->items, field, i));
}

void harvest_del(struct harvest *h, struct slice field)
{
    item_free(map_del(&h->items, field));
}
