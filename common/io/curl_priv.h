// SPDX-License-Identifier: Apache-2.0
// The one place that includes libcurl, for dial*.c (connections for the data plane) and fetch.c
// (whole requests).
#ifndef SLUICE_IO_CURL_PRIV_H
#define SLUICE_IO_CURL_PRIV_H

#include <curl/curl.h>
#include <signal.h>
#include <stdbool.h>

// Reference-counted and thread-safe since 7.84. SIGPIPE is ignored for the whole process: with
// CURLOPT_NOSIGNAL libcurl does not guard the writes of its TLS library. False: libcurl does not
// work.
static inline bool curl_priv_init(void)
{
    struct sigaction sa;

    if (sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL) {
        (void)signal(SIGPIPE, SIG_IGN); // cannot fail for a valid signal
    }
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

#endif
