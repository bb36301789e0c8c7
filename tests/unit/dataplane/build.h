// SPDX-License-Identifier: Apache-2.0
// Snapshots for unit tests, built from resources. Strings and arrays given are borrowed: literals
// and statics. Everything made is collected in a `struct build` and let go of at its end.
#ifndef SLUICE_TESTS_UNIT_DATAPLANE_BUILD_H
#define SLUICE_TESTS_UNIT_DATAPLANE_BUILD_H

#include <string.h>

#include "common/base/cdefs.h"
#include "dataplane/snapshot.h"

#define BUILD_MAX 512u

struct build {
    struct resource *list[BUILD_MAX];
    size_t n;
};

static const char *const build_star[] = {"*"};

static inline struct resource *build_add(struct build *b, enum resource_kind kind, const char *id)
{
    struct resource *r = resource_new(kind, slice_str(id), 1);

    b->list[b->n++] = r;
    return r;
}

static inline struct resource_provider *build_provider(struct build *b, const char *name,
                                                       const char *variable)
{
    struct resource_provider *p = build_add(b, RESOURCE_PROVIDER, name)->u.provider;

    p->dialect = "openai";
    p->base_url = "http://127.0.0.1:1/v1/";
    p->key_variable = variable;
    p->needs_key = true;
    return p;
}

static inline struct resource_provider_key *
build_provider_key(struct build *b, const char *id, const char *provider, uint32_t weight)
{
    struct resource_provider_key *k = build_add(b, RESOURCE_PROVIDER_KEY, id)->u.provider_key;

    k->provider = provider;
    k->name = id;
    k->weight = weight;
    return k;
}

// A virtual key that may use everything.
static inline struct resource_key *build_key(struct build *b, const char *id)
{
    struct resource_key *k = build_add(b, RESOURCE_KEY, id)->u.key;

    k->name = id;
    k->models = k->routers = build_star;
    k->n_models = k->n_routers = 1;
    return k;
}

static inline struct resource_model *build_model(struct build *b, const char *name,
                                                 const struct resource_model_at *at, size_t n)
{
    struct resource_model *m = build_add(b, RESOURCE_MODEL, name)->u.model;

    m->at = at;
    m->n_at = n;
    return m;
}

static inline struct snapshot *build_snapshot(const struct build *b)
{
    static const uint8_t epoch[16] = {1};

    return snapshot_new(epoch, 1, b->list, b->n);
}

static inline void build_done(struct build *b, struct snapshot **s)
{
    snapshot_unref(s);
    snapshot_reap();
    for (size_t i = 0; i < b->n; i++) {
        resource_unref(&b->list[i]);
    }
    b->n = 0;
}

#endif
