// SPDX-License-Identifier: Apache-2.0
// The last-known-good file: a proxy's state, sealed, so that it can start while no control plane
// answers. Written by a helper thread from an immutable snapshot, never by the link or a worker.
// Three generations are kept.
#ifndef SLUICE_DATAPLANE_LKG_H
#define SLUICE_DATAPLANE_LKG_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/snapshot.h"
#include "proto/keys.h"

struct lkg;

// dir: borrowed for the life of lkg; keys: takes a reference. NULL with *e: no thread.
MUST_CHECK struct lkg *lkg_new(const char *dir, struct keys *keys, struct err *e);
// What is written from now on is sealed with these. Takes a reference. Any thread.
void lkg_set_keys(struct lkg *l, struct keys *keys);
// Finishes what was given to it. *l becomes NULL; NULL allowed.
void lkg_free(struct lkg **l);
// Writes this snapshot now, or a later one given before it came to it. Takes its own reference. Any
// thread. Failures are logged once until a write succeeds.
void lkg_save(struct lkg *l, struct snapshot *s);
// The same, in a second; where a write is long (of very many keys), in five at the latest. For each
// new state.
void lkg_save_soon(struct lkg *l, struct snapshot *s);

// The epoch of the newest generation whose head can be read, without loading it. False: there is
// none.
MUST_CHECK bool lkg_epoch(const char *dir, const struct keys *keys, uint8_t ret[16]);
// The newest generation that can be read, one reference. NULL: *e names each file with its reason
// (ERR_NOT_FOUND: there is none). *ret_stale (NULL: not asked): it
// is sealed with a secret that is not the first.
MUST_CHECK struct snapshot *lkg_load(const char *dir, const struct keys *keys, bool *ret_stale,
                                     struct err *e);

#endif
