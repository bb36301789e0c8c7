// SPDX-License-Identifier: Apache-2.0
// Outgoing connections by libcurl with CURLOPT_CONNECT_ONLY: DNS, happy eyeballs, TLS, egress
// proxies, CA handling. What is spoken on them is the caller's (common/io/upstream). Owner thread
// of the loop only.
#ifndef SLUICE_IO_DIAL_H
#define SLUICE_IO_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/loop.h"

struct cidr;
struct dial;      // one per loop: multis, shared DNS and TLS session caches
struct dial_conn; // one connection, connecting or connected

struct dial_config {
    const char *proxy;   // egress proxy URL, "" = none (the environment is never asked)
    const char *ca_file; // NULL: the system's
    bool insecure_tls;   // tests only
    const struct cidr
        *allowed;     // addresses that may be connected to (n_allowed, copied); none = all.
    size_t n_allowed; // Behind a proxy its own address counts
};

// Outcome of a connect.
enum dial_result {
    DIAL_OK,
    DIAL_DNS_FAILED,
    DIAL_REFUSED,
    DIAL_TIMED_OUT,
    DIAL_TLS_FAILED,
    DIAL_FAILED
};

// Texts of *c are copied. NULL: libcurl does not work, or memory is out.
MUST_CHECK struct dial *dial_new(struct loop *l, const struct dial_config *c, struct err *e);
// Every connection must have been closed; not from inside fn.
void dial_free(struct dial **d);

// Starts to connect to "http://host:port" or "https://host:port" (no path). fn is called exactly
// once, from watch or timer dispatch, unless dial_close comes first; message is for logs, borrowed
// for the call. NULL if it could not even be started.
MUST_CHECK struct dial_conn *dial_start(struct dial *d, const char *origin, uint64_t timeout_us,
                                        void (*fn)(void *arg, enum dial_result r,
                                                   const char *message),
                                        void *arg, struct err *e);
// Connected socket, for the caller's own loop_watch; dial does not watch it any more.
int dial_fd(const struct dial_conn *c);
// True: plain TCP without a TLS proxy: the caller may use send(2)/recv(2) on dial_fd directly.
bool dial_is_plain(const struct dial_conn *c);

// As send(2)/recv(2), TLS included: bytes moved; 0 from recv = orderly end; -1 with errno EAGAIN,
// or another errno = broken. TLS: read until EAGAIN.
ssize_t dial_send(struct dial_conn *c, const void *p, size_t n);
ssize_t dial_recv(struct dial_conn *c, void *p, size_t n);
// Closes at any time, also while connecting (does not block on DNS). *c becomes NULL; NULL allowed.
void dial_close(struct dial_conn **c);

#endif
