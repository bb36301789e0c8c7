// SPDX-License-Identifier: Apache-2.0
// A connection of the mock: reads requests, sends what the script writes, notices who leaves.
#ifndef SLUICE_MOCK_CONN_H
#define SLUICE_MOCK_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/io/loop.h"
#include "tests/mock/mock_dechunk.h"
#include "tests/mock/mock_head.h"
#include "tests/mock/mock_script.h"
#include "tests/mock/mock_state.h"

#define MOCK_CONN_HIGH (256u * 1024) // output above this waits for the kernel

enum mock_conn_state {
    MOCK_CONN_HEAD,    // between requests or inside a head
    MOCK_CONN_BODY,    // head parsed, body incomplete
    MOCK_CONN_ANSWER,  // the script runs; nothing is read, RDHUP is watched
    MOCK_CONN_CONTROL, // a /__mock/wait that is not fulfilled yet
    MOCK_CONN_CLOSED,  // in the graveyard
};

// Owned by its worker's list; freed through the graveyard.
struct mock_conn {
    struct loop_watch watch;
    struct loop_timer timer;  // the script's, or the next slow read
    struct loop_timer ticker; // slow writes; the pause before a RST; polls of /__mock/wait
    struct loop_grave grave;
    struct list_node node;
    struct mock_worker *worker;
    struct mock_port *port;
    uint64_t id;
    uint32_t ordinal; // requests so far, this one included
    enum mock_conn_state state;
    enum mock_run run;   // what the script said last
    bool keep_when_down; // it carries the control request that takes the port down
    bool looked;         // the model of the incomplete body is known
    bool continued;      // 100 Continue was sent
    struct buf in;       // request bytes (chunked: the undecoded rest)
    struct buf saved;    // chunked requests: the head
    struct buf body;     // chunked requests: the decoded body
    struct buf out;
    size_t scanned; // of `in`, for the head parser
    struct mock_head head;
    struct mock_dechunk dechunk;
    uint64_t slow_read;     // bytes per second, 0 = not slowed
    uint64_t sent;          // bytes given to the kernel
    uint32_t split_left;    // single-byte writes to go
    uint64_t wait_until_us; // CONTROL
    struct mock_script script;
};

// Takes fd.
void mock_conn_start(struct mock_worker *w, struct mock_port *p, int fd);
// Ends the attempt, if one is open, as `how`; closes, with RST if asked.
void mock_conn_close(struct mock_conn *c, enum mock_end how, bool reset);
// "Wed, 25 Nov 2026 20:40:46 GMT", made once a second.
const char *mock_conn_date(struct mock_worker *w);
// Writes a complete answer of the mock itself (control, bad request) into c->out.
void mock_conn_reply(struct mock_conn *c, uint32_t status, struct slice json);

#endif
