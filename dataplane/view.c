// SPDX-License-Identifier: Apache-2.0
// Derived tables of a snapshot. Each is built whole: the kinds behind them number in the hundreds
// or few thousands (virtual keys, which may be 100,000, have no such table).
#include "dataplane/view.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/map.h"
#include "common/base/mem.h"

static bool drop_ref(_Atomic uint32_t *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void add_ref(_Atomic uint32_t *refs)
{
    CHECK(atomic_fetch_add_explicit(refs, 1, memory_order_relaxed) > 0);
}

// ---- index -----------------------------------------------------------------------------------

static int by_id(const void *a, const void *b)
{
    const struct resource *const *x = a, *const *y = b;

    return strcmp((*x)->id, (*y)->id);
}

struct view_index *view_index_new(const struct resource *const *list, size_t n, bool sorted)
{
    struct view_index *v = mem_alloc(sizeof(*v) + n * sizeof(v->r[0]));

    atomic_init(&v->refs, 1);
    v->n = n;
    if (n > 0) {
        memcpy(v->r, list, n * sizeof(v->r[0]));
    }
    if (n > 1 && !sorted) {
        qsort(v->r, n, sizeof(v->r[0]), by_id);
    }
    return v;
}

struct view_index *view_index_ref(struct view_index *v)
{
    add_ref(&v->refs);
    return v;
}

void view_index_unref(struct view_index **v)
{
    struct view_index *old = *v;

    *v = NULL;
    if (old != NULL && drop_ref(&old->refs)) {
        mem_free(old);
    }
}

// ---- providers -------------------------------------------------------------------------------

struct view_providers {
    _Atomic uint32_t refs;
    size_t n;
    struct snapshot_provider *rows;        // owned, n, in order of name
    const struct snapshot_provider **list; // owned, n
    const struct resource **keys;          // owned; the rows point into it
};

struct view_providers *view_providers_new(const struct view_index *providers,
                                          const struct view_index *keys)
{
    struct view_providers *v = mem_zalloc(sizeof(*v));
    size_t filled = 0;

    CHECK(providers->n <= UINT32_MAX);
    atomic_init(&v->refs, 1);
    v->n = providers->n;
    v->rows = mem_zalloc_array(v->n + 1, sizeof(*v->rows));
    v->list = mem_zalloc_array(v->n + 1, sizeof(struct snapshot_provider *));
    v->keys = mem_zalloc_array(keys->n + 1, sizeof(struct resource *));
    for (size_t i = 0; i < v->n; i++) {
        struct snapshot_provider *row = &v->rows[i];

        *row = (struct snapshot_provider){
            .res = providers->r[i],
            .keys = v->keys + filled,
            .index = (uint32_t)i,
        };
        // Providers times keys: tens by hundreds.
        for (size_t k = 0; k < keys->n; k++) {
            const struct resource_provider_key *key = keys->r[k]->u.provider_key;

            if (key->state == RESOURCE_ACTIVE && strcmp(key->provider, row->res->id) == 0) {
                v->keys[filled++] = keys->r[k];
                row->n_keys++;
            }
        }
        v->list[i] = row;
    }
    return v;
}

struct view_providers *view_providers_ref(struct view_providers *v)
{
    add_ref(&v->refs);
    return v;
}

void view_providers_unref(struct view_providers **v)
{
    struct view_providers *old = *v;

    *v = NULL;
    if (old != NULL && drop_ref(&old->refs)) {
        mem_free(old->rows);
        mem_free(old->list);
        mem_free(old->keys);
        mem_free(old);
    }
}

const struct snapshot_provider *view_providers_find(const struct view_providers *v,
                                                    struct slice name)
{
    size_t low = 0, high = v->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_cmp(name, slice_str(v->rows[middle].res->id));

        if (order == 0) {
            return &v->rows[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct snapshot_provider *const *view_providers_all(const struct view_providers *v,
                                                          size_t *ret_n)
{
    *ret_n = v->n;
    return v->list;
}

// ---- models ----------------------------------------------------------------------------------

struct view_models {
    _Atomic uint32_t refs;
    struct map by_name;          // canonical name or alias -> row with at == NULL
    struct map by_at;            // provider 0x1f id -> row
    struct snapshot_model *rows; // owned
};

#define AT_KEY_MAX 512u // no real pair is longer; a longer one is not found

// False: longer than any entry.
static bool at_key(struct slice provider, struct slice id, char out[AT_KEY_MAX], struct slice *ret)
{
    if (provider.n >= AT_KEY_MAX || id.n >= AT_KEY_MAX || provider.n + 1 + id.n > AT_KEY_MAX ||
        provider.n == 0 || id.n == 0) {
        return false;
    }
    memcpy(out, provider.p, provider.n);
    out[provider.n] = '\x1f';
    memcpy(out + provider.n + 1, id.p, id.n);
    *ret = (struct slice){out, provider.n + 1 + id.n};
    return true;
}

// First come, first served: models come in order of id, canonical names before aliases.
static void put_new(struct map *m, struct slice key, struct snapshot_model *row)
{
    if (map_get(m, key) == NULL) {
        (void)map_put(m, key, row);
    }
}

static size_t count_rows(const struct view_index *models)
{
    size_t n = 0;

    for (size_t i = 0; i < models->n; i++) {
        n += 1 + models->r[i]->u.model->n_at;
    }
    return n;
}

struct view_models *view_models_new(const struct view_index *models)
{
    struct view_models *v = mem_zalloc(sizeof(*v));
    struct snapshot_model *row;
    char text[AT_KEY_MAX];
    struct slice key;

    atomic_init(&v->refs, 1);
    map_init(&v->by_name);
    map_init(&v->by_at);
    v->rows = row = mem_zalloc_array(count_rows(models) + 1, sizeof(*v->rows));
    for (size_t i = 0; i < models->n; i++) {
        const struct resource *r = models->r[i];

        *row = (struct snapshot_model){.res = r};
        put_new(&v->by_name, slice_str(r->id), row++);
        for (size_t k = 0; k < r->u.model->n_at; k++) {
            const struct resource_model_at *at = &r->u.model->at[k];

            *row = (struct snapshot_model){.res = r, .at = at};
            if (at_key(slice_str(at->provider), slice_str(at->id), text, &key)) {
                put_new(&v->by_at, key, row);
            }
            row++;
        }
    }
    for (size_t i = 0; i < models->n; i++) {
        const struct resource *r = models->r[i];
        struct snapshot_model *own = map_get(&v->by_name, slice_str(r->id));

        for (size_t k = 0; k < r->u.model->n_aliases; k++) {
            put_new(&v->by_name, slice_str(r->u.model->aliases[k]), own);
        }
    }
    return v;
}

struct view_models *view_models_ref(struct view_models *v)
{
    add_ref(&v->refs);
    return v;
}

void view_models_unref(struct view_models **v)
{
    struct view_models *old = *v;

    *v = NULL;
    if (old != NULL && drop_ref(&old->refs)) {
        map_done(&old->by_name);
        map_done(&old->by_at);
        mem_free(old->rows);
        mem_free(old);
    }
}

static bool answer(const struct snapshot_model *row, struct snapshot_model *ret)
{
    if (row == NULL) {
        return false;
    }
    *ret = *row;
    return true;
}

bool view_models_by_name(const struct view_models *v, struct slice name, struct snapshot_model *ret)
{
    return answer(map_get(&v->by_name, name), ret);
}

bool view_models_at(const struct view_models *v, struct slice provider, struct slice id,
                    struct snapshot_model *ret)
{
    char text[AT_KEY_MAX];
    struct slice key;

    return at_key(provider, id, text, &key) && answer(map_get(&v->by_at, key), ret);
}
