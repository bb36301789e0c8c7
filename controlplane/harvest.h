// SPDX-License-Identifier: Apache-2.0
// What a complete reading of Redis has brought in so far: the newest record of each resource,
// whether the scan of all resources or the replay of the stream saw it. Pure; the caller's thread.
#ifndef SLUICE_CONTROLPLANE_HARVEST_H
#define SLUICE_CONTROLPLANE_HARVEST_H

#include "common/base/map.h"
#include "common/base/slice.h"
#include "controlplane/record.h"

struct harvest_item {
    struct resource *res; // one reference
    enum record_origin origin;
    char *where; // owned
};

// Embedded; by harvest_init.
struct harvest {
    struct map items; // field of Redis -> struct harvest_item; to be read
};

void harvest_init(struct harvest *h);
// Frees everything in it; behind that it is to be initialised again.
void harvest_done(struct harvest *h);
// Empty again.
void harvest_clear(struct harvest *h);
// Newer versions win: the scan may have seen what an entry tells again. rec->res is taken over,
// also if it was not needed; field and rec->where are copied.
void harvest_put(struct harvest *h, struct slice field, const struct record *rec);
// What is not in it stays so.
void harvest_del(struct harvest *h, struct slice field);

#endif
