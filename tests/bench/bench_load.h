// SPDX-License-Identifier: Apache-2.0
// The loads of sluice-bench: a closed or an open loop of requests, and open streams beside or
// instead of them, over one measured window.
#ifndef SLUICE_BENCH_LOAD_H
#define SLUICE_BENCH_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/slice.h"

#define BENCH_PIDS_MAX    64u
#define BENCH_HEADERS_MAX 32u

struct bench_options {
    struct sockaddr_storage address;
    socklen_t address_n;
    const char *target; // as given: the host header
    const char *path;
    const char *model;        // of requests
    const char *stream_model; // of the open streams
    const char *headers[BENCH_HEADERS_MAX];
    size_t n_headers;
    unsigned connections; // 0 = no requests
    unsigned streams;     // kept open; 0 = none
    double rate;          // requests a second, Poisson; 0 = closed loop
    bool stream_answers;  // the requests ask for streams and read them to their end
    bool unique;          // every request's prompt differs
    uint64_t body_size;   // bytes of a request body, at least
    unsigned expected_status;
    uint64_t warmup_us, duration_us;
    pid_t pids[BENCH_PIDS_MAX];
    size_t n_pids;
};

// Runs the load and appends the result as one line of JSON.
MUST_CHECK bool bench_load_run(const struct bench_options *o, struct buf *out, struct err *e);

#endif
