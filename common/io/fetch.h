// SPDX-License-Identifier: Apache-2.0
// One HTTP request, blocking: for the command-line tool, health waits and tests, never for a
// worker. Over libcurl's easy interface; the environment's proxies are not asked, redirects are not
// followed. Any thread.
#ifndef SLUICE_IO_FETCH_H
#define SLUICE_IO_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"

// Zero-initialise; everything is borrowed for the call.
struct fetch_request {
    const char *method;         // NULL = GET
    const char *url;            // http or https
    const char *unix_socket;    // connect here instead of the URL's host; NULL = no
    const char *const *headers; // n_headers lines "name: value"
    size_t n_headers;
    struct slice body;   // SLICE_NULL = none
    uint64_t timeout_us; // for everything together; 0 = 30 s
    size_t max_body;     // of the answer, bytes; 0 = 16 MiB
    const char *ca_file; // NULL = the system's
    bool insecure_tls;   // any certificate will do: tests, and a process that asks itself
};

struct fetch_response {
    unsigned status;
    char content_type[128]; // "" when there was none
    struct buf body;        // owned: fetch_done
};

// True: an answer came, whatever its status. False: *e says why (ERR_UNAVAILABLE: not connected,
// ERR_TIMEOUT, ERR_TOO_LARGE: max_body, ERR_INVALID: the request, ERR_IO); *ret then needs no
// fetch_done.
MUST_CHECK bool fetch_run(const struct fetch_request *rq, struct fetch_response *ret,
                          struct err *e);
void fetch_done(struct fetch_response *r);

#endif
