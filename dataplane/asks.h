// SPDX-License-Identifier: Apache-2.0
// Lease questions on their way to a control plane: taken from any thread, sent together once a turn
// of the link, answered or given up within their deadline. Used by link.c only.
#ifndef SLUICE_DATAPLANE_ASKS_H
#define SLUICE_DATAPLANE_ASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/io/loop.h"
#include "dataplane/roster.h"
#include "proto/message.h"

struct asks;

#define ASKS_PER_CALL 1024u // items that may be added at once, and of one request

struct asks_config {
    struct loop *loop;
    const char *proxy;  // borrowed for the life of asks
    const char *holder; // the same
    void *arg;
    // As in link_config; NULL allowed.
    void (*on_lease)(void *arg, const struct message_grant *grants, size_t n, uint64_t now_us);
    void (*on_lease_lost)(void *arg, const struct message_lease_item *items, size_t n,
                          bool answered);
};

// *c is copied; what it points to is borrowed as it says.
struct asks *asks_new(const struct asks_config *c);
// Calls must have ended (roster_free). What still waits is dropped untold.
void asks_free(struct asks **a);

// Any thread. Copied. False: too many are waiting, or a limit id is no short UTF-8. *ret_first: it
// was the first since the last asks_send, so the link has to be woken.
MUST_CHECK bool asks_add(struct asks *a, const struct message_lease_item *items, size_t n,
                         bool *ret_first);
// Link thread: sends what waits to the preferred control plane, or to another one when that cannot
// take it now; lost if neither. One that lets a request run into its deadline is preferred no
// longer.
void asks_send(struct asks *a, struct roster *r);
// Nothing waits and nothing is on its way. Link thread.
bool asks_is_idle(struct asks *a);
// Requests that ran into their deadline. Link thread.
uint64_t asks_timeouts(const struct asks *a);

#endif
