// SPDX-License-Identifier: Apache-2.0
// One client exchange as a state machine. Callbacks (httpd, upstream, timers, leases) record facts
// and post the request; the run queue runs its steps until one waits. The drawing and the table are
// in req_fsm.c, the fields in req_priv.h.
#ifndef SLUICE_DATAPLANE_REQ_H
#define SLUICE_DATAPLANE_REQ_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"
#include "dataplane/worker.h"

struct req;
struct httpd_req;
struct limit_pass;

// A new exchange; posted at once. The worker owns it; it ends by itself after httpd's on_done.
struct req *req_new(struct worker *w, struct httpd_req *q);
// The head alone decides: refuses at once (inside httpd's on_head) what AUTHENTICATE would refuse.
// For large bodies, which are not worth reading first.
void req_refuse_early(struct req *r);
// Facts, each followed by a post. Safe in any step.
void req_on_ready(struct req *r);           // the request body is complete
void req_on_gone(struct req *r);            // the client left
void req_on_drain(struct req *r);           // the client's queue has room again
void req_on_done(struct req *r, bool sent); // the exchange is over; q is invalid from now on
void req_on_refused(struct req *r, enum httpd_refusal why); // httpd's refusal was answered
void req_on_ending(struct req *r);                          // shutdown-timeout is over
void req_on_wake(struct req *r); // its lease may have come (worker's mailbox)
// Any thread: struct limit_pass.wake.
void req_wake_cb(struct limit_pass *p);
// Its id (x-request-id); lives as long as the request.
struct slice req_id(const struct req *r);
// A fresh id of REQ_ID_CHARS hex digits, written to out.
#define REQ_ID_CHARS 32u
struct slice req_new_id(struct worker *w, char out[REQ_ID_CHARS + 1]);
// Appends one JSON object (no newline) about a request in flight.
void req_describe(const struct req *r, uint64_t now_us, struct buf *out);
// From its node in the worker's lists.
struct req *req_from_node(struct list_node *n);
// Frees a request of the pool (worker's end).
void req_destroy(struct req *r);
// Step names, and the table as a graphviz digraph (docs/internals/request.dot).
void req_render_dot(struct buf *out);
// A failed CHECK prints the request that the thread was running.
void req_install_panic_hook(void);

#endif
