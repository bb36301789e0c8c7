// SPDX-License-Identifier: Apache-2.0
// libcurl's easy handles as dial.c uses them: what is set once and for all on each, what is set for
// a connection, and what libcurl's errors come to. Private to dial.c. Owner thread of the loop
// only.
#ifndef SLUICE_IO_DIAL_HANDLE_H
#define SLUICE_IO_DIAL_HANDLE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/list.h"
#include "common/io/curl_priv.h"
#include "common/io/dial.h"

// Owned by a connection, or spare.
struct dial_handle {
    CURL *easy;
    struct list_node node;       // for the owner
    char error[CURL_ERROR_SIZE]; // what libcurl says of a failure; "" where it says nothing
};

// What all handles of a struct dial have in common. Everything is borrowed for the call; share
// outlives the handles.
struct dial_handle_options {
    CURLSH *share;                // DNS cache and TLS sessions of all handles
    const char *proxy;            // "": none
    const char *ca_file, *ca_dir; // one of the two, or neither: libcurl's default
    bool insecure_tls;
    // Their first argument is the owner (dial_handle_aim).
    curl_opensocket_callback on_open_socket;
    curl_closesocket_callback on_close_socket;
};

// NULL when libcurl cannot.
MUST_CHECK struct dial_handle *dial_handle_new(const struct dial_handle_options *o);
// In no multi any more. *h becomes NULL.
void dial_handle_free(struct dial_handle **h);
// For the next connection, on a handle in no multi: origin (copied), at most timeout_us; owner is
// CURLINFO_PRIVATE and the first argument of the socket callbacks. False: out of memory.
MUST_CHECK bool dial_handle_aim(struct dial_handle *h, const char *origin, uint64_t timeout_us,
                                void *owner);
// What a failed connect with this code was; the handle is the one that failed.
enum dial_result dial_handle_result(const struct dial_handle *h, CURLcode rc);
// The system's directory of CA certificates by hashed names (static), or NULL where it has none.
// libcurl's own default makes OpenSSL parse the whole bundle for every connection (10 ms and more);
// in a directory it looks up one per issuer. Reads that directory.
const char *dial_handle_ca_dir(void);

#endif
