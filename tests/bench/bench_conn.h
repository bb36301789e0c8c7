// SPDX-License-Identifier: Apache-2.0
// A client connection of the generator: sends one request at a time, reads the answer, reports.
#ifndef SLUICE_BENCH_CONN_H
#define SLUICE_BENCH_CONN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/list.h"
#include "common/base/slice.h"
#include "common/io/h1.h"
#include "common/io/loop.h"

struct bench_conn;

enum bench_result {
    BENCH_OK,
    BENCH_CONNECT, // could not connect
    BENCH_IO,      // reset, closed or malformed before the end of the answer
    BENCH_STATUS,  // complete, but not the expected status
};

struct bench_conn_events {
    // Connected, or ready again after an answer.
    void (*on_ready)(struct bench_conn *c);
    // First bytes of the body, once per answer; the head is in c->h1.
    void (*on_head)(struct bench_conn *c);
    // Body bytes as they come (may be NULL).
    void (*on_body)(struct bench_conn *c, struct slice body);
    // The answer ended; then on_ready. The connection reconnects by itself where it has to.
    void (*on_end)(struct bench_conn *c, enum bench_result r);
};

enum bench_conn_state { BENCH_IDLE_CLOSED, BENCH_CONNECTING, BENCH_READY, BENCH_BUSY };

// Embedded in an array of its owner.
struct bench_conn {
    struct loop_watch watch;
    struct loop_timer timer; // next try to connect
    struct list_node node;   // the owner's
    struct loop *loop;
    const struct bench_conn_events *events;
    void *owner;
    const struct sockaddr_storage *address; // borrowed
    socklen_t address_n;
    enum bench_conn_state state;
    struct slice request; // borrowed, being sent
    size_t sent;
    struct h1 h1;
    unsigned expected;           // status
    bool head_seen;              // of this answer
    uint64_t start_us, first_us; // set by the owner; when the head was complete
};

void bench_conn_init(struct bench_conn *c, struct loop *l, const struct bench_conn_events *events,
                     void *owner, const struct sockaddr_storage *address, socklen_t address_n);
void bench_conn_connect(struct bench_conn *c);
// In on_ready, or later while it is ready. request must live until on_end.
void bench_conn_send(struct bench_conn *c, struct slice request, unsigned expected_status);
// Closes without reporting. May be connected again.
void bench_conn_close(struct bench_conn *c);

#endif
