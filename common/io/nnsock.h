// SPDX-License-Identifier: Apache-2.0
// Message sockets between processes, and the only user of nanomsg. A socket belongs to one loop and
// its thread; nothing here blocks.
//
// Both ends of request and reply are raw sockets: any number of requests may be under way, a reply
// names the request's route instead of a state of the socket, and nothing is sent again behind our
// back (deadlines and repeats are the caller's). nanomsg promises no delivery: what cannot be
// written at once to a peer's connection is dropped.
#ifndef SLUICE_IO_NNSOCK_H
#define SLUICE_IO_NNSOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/loop.h"

enum nnsock_kind { NNSOCK_PUB, NNSOCK_SUB, NNSOCK_REP, NNSOCK_REQ, NNSOCK_PUSH, NNSOCK_PULL };

// Where a request came from: handed back with the reply. Plain data.
#define NNSOCK_ROUTE_MAX 64u
struct nnsock_route {
    uint8_t bytes[NNSOCK_ROUTE_MAX];
    size_t n;
};

struct nnsock;

struct nnsock_config {
    struct loop *loop;
    size_t receive_max; // a larger message closes the connection it came on
    void *arg;
    // A message; body and route are borrowed for the call. The socket may be closed in it. NULL for
    // PUB and PUSH.
    void (*on_message)(void *arg, struct slice body, const struct nnsock_route *route);
};

// NULL with *e when out of descriptors or nanomsg sockets.
MUST_CHECK struct nnsock *nnsock_new(enum nnsock_kind kind, const struct nnsock_config *c,
                                     struct err *e);
// Closes at once: what was not written yet is lost. *s becomes NULL; NULL allowed.
void nnsock_free(struct nnsock **s);

// "tcp://127.0.0.1:7400", "tcp://[::1]:7400", "ipc:///run/x.pub". Numeric addresses only (a name
// would be resolved by nanomsg, to its first address, blocking).
MUST_CHECK bool nnsock_bind(struct nnsock *s, const char *endpoint, struct err *e);
// Connects in the background and again when the connection is lost (50 ms, doubling to 5 s).
MUST_CHECK bool nnsock_connect(struct nnsock *s, const char *endpoint, struct err *e);

// PUB: to every subscriber that can take it now; always true. PUSH, REQ: false when no connection
// can take it now. REP: to the route of a request; true even if that peer is gone or busy. route:
// required for REP, NULL for all others.
MUST_CHECK bool nnsock_send(struct nnsock *s, struct slice body, const struct nnsock_route *route);

#endif
