// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 exchanges with upstream servers over pooled connections: dial + h1 + an idle pool
// (LIFO per origin, watched for close). Owner thread of the loop only.
//
// A reused connection that fails before the first response byte is retried once on a fresh
// connection, invisibly.
#ifndef SLUICE_IO_UPSTREAM_H
#define SLUICE_IO_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/dial.h"
#include "common/io/h1.h"
#include "common/io/loop.h"

// A body with its model replaced, stream_options put in and five extensions cut out needs 15.
#define UPSTREAM_BODY_PIECES 16u

struct upstream;
struct upstream_call;

enum upstream_result {
    UPSTREAM_COMPLETE,       // the message ended as its framing says
    UPSTREAM_CONNECT_FAILED, // DNS, TCP, TLS
    UPSTREAM_CONNECT_TIMEOUT,
    UPSTREAM_BROKEN,    // reset or closed before the head was complete
    UPSTREAM_TRUNCATED, // head was complete, the body was cut
    UPSTREAM_PROTOCOL,  // not HTTP/1.1 as h1 accepts it
};

// Handlers are called from watch or timer dispatch, never from inside upstream_start / _resume /
// _cancel. They may call every upstream_* function but upstream_free.
struct upstream_handlers {
    // The final response head is complete (1xx are swallowed). head is borrowed for the call.
    void (*on_head)(void *arg, const struct h1 *head);
    // Body bytes, framing removed. Borrowed for the call.
    void (*on_data)(void *arg, struct slice data);
    // Last call; message (for logs) borrowed for the call.
    void (*on_end)(void *arg, enum upstream_result r, const char *message);
};

struct upstream_request {
    const char
        *origin;       // "https://api.openai.com" or "http://127.0.0.1:9001"; borrowed for the call
    struct slice head; // complete request head incl. the empty line; copied
    struct slice body[UPSTREAM_BODY_PIECES]; // sent after the head, in order; BORROWED until
                                             // on_head, on_end or cancel, whichever is first
    size_t n_body;
    bool head_request; // method is HEAD
    uint64_t connect_timeout_us;
    struct upstream_handlers on;
    // The next instruction gives the first bytes of the request to the kernel; again when a reused
    // connection turns out to be dead. The one that may be called from inside upstream_start: it
    // must not call any upstream_* function. May be NULL.
    void (*on_write)(void *arg);
    void *arg;
};

struct upstream_config {
    struct dial_config dial;
    uint64_t idle_timeout_us;   // 0 = 50 s
    size_t max_idle_per_origin; // 0 = 256
    size_t read_chunk;          // bytes read at most before other work is done; 0 = 64 KiB
};

// What a call did, for metrics and the overhead figure. Monotonic us, 0 = not reached.
struct upstream_times {
    uint64_t started_us, connected_us, written_us, first_byte_us;
    bool reused;
};

// One for a loop; *c is copied. NULL: as dial_new.
MUST_CHECK struct upstream *upstream_new(struct loop *l, const struct upstream_config *c,
                                         struct err *e);
// Cancels every call (no handlers), closes everything. *u becomes NULL.
void upstream_free(struct upstream **u);

// Never NULL: failures to start arrive by on_end in a later phase of this or the next turn. The
// call lives until on_end has returned or upstream_cancel.
struct upstream_call *upstream_start(struct upstream *u, const struct upstream_request *rq);
// Stops reading from the socket (back-pressure); at most read_chunk more bytes arrive.
void upstream_pause(struct upstream_call *c);
void upstream_resume(struct upstream_call *c);
// Closes the connection in this turn; no handler is called any more. *c becomes NULL; NULL allowed.
void upstream_cancel(struct upstream_call **c);
struct upstream_times upstream_times(const struct upstream_call *c);

size_t upstream_idle(const struct upstream *u);   // idle connections
size_t upstream_active(const struct upstream *u); // calls in flight

#endif
