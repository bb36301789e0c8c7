// SPDX-License-Identifier: Apache-2.0
// What the mock's workers share, and what each owns.
#ifndef SLUICE_MOCK_STATE_H
#define SLUICE_MOCK_STATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/rng.h"
#include "common/io/loop.h"
#include "tests/mock/mock_journal.h"
#include "tests/mock/mock_rules.h"

#define MOCK_PORTS_MAX   64u
#define MOCK_WORKERS_MAX 64u

// A listening port: one "provider". Every worker has a socket of its own on it (SO_REUSEPORT).
struct mock_port {
    uint16_t port;
    atomic_bool down;
    atomic_uint generation; // changes with `down`
    int fds[MOCK_WORKERS_MAX];
    atomic_ulong requests, connections;
};

struct mock_worker;

// One per process. Lives from before the first worker to after the last.
struct mock {
    struct mock_port ports[MOCK_PORTS_MAX];
    size_t n_ports;
    struct mock_worker *workers; // owned array
    unsigned n_workers;
    struct mock_journal *journal; // owned
    struct mock_rules *rules;     // owned
    const char *require_key; // borrowed from argv: "any" or keys separated by commas; NULL = none
    uint64_t start_us;
    atomic_ulong connections_open, connections_total, next_id;
};

struct mock_listener {
    struct loop_watch watch;
    struct mock_worker *worker;
    struct mock_port *port;
    unsigned generation; // of the port, as applied by this worker
};

struct mock_worker {
    struct mock *mock;
    unsigned index;
    struct loop *loop; // owned
    pthread_t thread;
    struct mock_listener listeners[MOCK_PORTS_MAX];
    struct loop_hook hook;
    struct list conns; // struct mock_conn
    struct rng rng;
    struct buf scratch; // one event or body while it is built
    char date[40];      // IMF-fixdate
    uint64_t date_s;
};

#endif
