// SPDX-License-Identifier: Apache-2.0
// Leases: blocks of quota for proxies, granted by one atomic script (lua/lease.lua) on Redis's
// clock. What a limit is comes from our own state, never from the proxy that asks. Loop thread
// only. Why the sum never exceeds a limit: docs/internals/leases.md.
//
// Limit ids:  r:<router>:<index>:<principal>    u:<index>:<principal>    g:<index>:<principal>
//             k:<key id>:<index>                t:<team id>:<index>
//             o:<user id>:<index>
// A principal is a key's id, "anonymous", or "*" where a limit is one for all.
#ifndef SLUICE_CONTROLPLANE_LEASES_H
#define SLUICE_CONTROLPLANE_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/io/loop.h"
#include "controlplane/meters.h"
#include "controlplane/store.h"
#include "proto/message.h"

#define LEASES_TIMEOUT_US 100000u // a proxy does not wait longer

struct leases;

// caller: names the machine whose monotonic clock loop_now_us is ("" = made up); borrowed for the
// call.
struct leases *leases_new(struct loop *l, struct store *s, struct meters *m, const char *caller);
// After the store was freed, which has answered every question (with NULL).
void leases_free(struct leases **l);

// fn hears of each question that a limit had nothing to give for (empty), and of each that it gave
// something for. limit_id is borrowed for the call.
void leases_on_empty(struct leases *l, void (*fn)(void *arg, const char *limit_id, bool empty),
                     void *arg);

// Answers every question it can; a limit that our state does not have is left out. g is NULL when
// Redis cannot be asked (the proxies then do as `on-control-loss` says); borrowed for the call. fn
// is called once, never from inside this call.
typedef void (*leases_fn)(void *arg, const struct message_lease_grant *g);
void leases_ask(struct leases *l, const struct message_lease_request *r, leases_fn fn, void *arg);

// The limit with this id as the state has it; NULL if it has none. *ret_key (may be NULL): the key
// that owns it, or NULL.
const struct resource_limit *leases_find(const struct state *s, struct slice limit_id,
                                         const struct resource **ret_key);
// How long units granted under it may be spent.
uint64_t leases_length_us(const struct resource_limit *limit);

#endif
