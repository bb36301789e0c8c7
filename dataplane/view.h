// SPDX-License-Identifier: Apache-2.0
// Tables derived from a snapshot's resources for lookups that are not by id: an index of each small
// kind in order of id, providers with their keys, models by name and by (provider, id). Immutable,
// ref-counted (atomic), shared by consecutive snapshots in which those resources are the same.
// Private to snapshot.c. They borrow the resources: a snapshot holds those itself, and lets go of
// its views first.
#ifndef SLUICE_DATAPLANE_VIEW_H
#define SLUICE_DATAPLANE_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "dataplane/snapshot.h"
#include "proto/resource.h"

// Resources of one kind in order of id.
struct view_index {
    _Atomic uint32_t refs;
    size_t n;
    const struct resource *r[];
};

struct view_providers;
struct view_models;

// Takes the array's order as it comes; list of n, one reference returned. sorted: already in order.
struct view_index *view_index_new(const struct resource *const *list, size_t n, bool sorted);
struct view_index *view_index_ref(struct view_index *v);
void view_index_unref(struct view_index **v);

// Providers, each with its keys. Borrow the indexes' resources, not the indexes. One reference.
struct view_providers *view_providers_new(const struct view_index *providers,
                                          const struct view_index *keys);
struct view_providers *view_providers_ref(struct view_providers *v);
void view_providers_unref(struct view_providers **v);
// By name, NULL if absent; all, in order of name. Borrowed from v.
const struct snapshot_provider *view_providers_find(const struct view_providers *v,
                                                    struct slice name);
const struct snapshot_provider *const *view_providers_all(const struct view_providers *v,
                                                          size_t *ret_n);

// Models by name or alias, and by (provider, provider's id). One reference.
struct view_models *view_models_new(const struct view_index *models);
struct view_models *view_models_ref(struct view_models *v);
void view_models_unref(struct view_models **v);
// As snapshot_model_by_name and snapshot_model_at.
MUST_CHECK bool view_models_by_name(const struct view_models *v, struct slice name,
                                    struct snapshot_model *ret);
MUST_CHECK bool view_models_at(const struct view_models *v, struct slice provider, struct slice id,
                               struct snapshot_model *ret);

#endif
