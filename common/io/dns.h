// SPDX-License-Identifier: Apache-2.0
// Names to addresses without blocking a loop: getaddrinfo on a helper thread, the answer back in
// the loop's thread. Questions are answered one after the other.
#ifndef SLUICE_IO_DNS_H
#define SLUICE_IO_DNS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/loop.h"

struct dns;
struct dns_query;

#define DNS_ADDRESSES_MAX 32u
#define DNS_NAME_MAX      255u

// All distinct addresses as numeric text ("127.0.0.1", "::1"), at most DNS_ADDRESSES_MAX, in the
// resolver's order; or n == 0 and e says why.
typedef void (*dns_fn)(void *arg, const char *const *addresses, size_t n, const struct err *e);

// For one loop, on whose thread everything here is called. NULL: no descriptors.
MUST_CHECK struct dns *dns_new(struct loop *l, struct err *e);
// Never waits: a question that hangs in the resolver is left to the helper thread, which then ends.
// Pending questions get no answer and may not be cancelled any more. Not from inside a dns_fn. *d
// becomes NULL; NULL allowed. Owner thread.
void dns_free(struct dns **d);

// fn is called once, in a later turn, unless cancelled. A numeric address answers itself. NULL with
// *e when the name is too long or no thread can be made. Owner thread.
MUST_CHECK struct dns_query *dns_resolve(struct dns *d, const char *name, dns_fn fn, void *arg,
                                         struct err *e);
// *q becomes NULL; NULL allowed. Not after fn was called.
void dns_cancel(struct dns_query **q);

// Is an IPv4 or IPv6 address (without brackets).
bool dns_is_numeric(struct slice host);

#endif
