// SPDX-License-Identifier: Apache-2.0
// The HTTP/1.1 server: the only user of libmicrohttpd. Many small daemons per loop, run from a
// dirty list in the loop's serve hook; own accept; client disconnects seen while suspended. Owner
// thread only, except httpd_give.
//
// One exchange is a struct httpd_req. Its life, as handlers see it:
//
//   on_head --(replied)----------------------------------------------> on_done
//      |                                                                ^
//      +--(accepted)--> body --> on_ready --> reply / stream ... end ---+
//      |                  |         |
//      |                  |         +--> on_gone (client left) --> on_done
//      |                  +--> on_refused (too large, framing) --> reply --> on_done
//
// No handler is called from inside an httpd_* call made by the user: they come from the serve hook
// or from watch dispatch. After on_gone the reply functions are still allowed and do nothing.
// on_done is always the last, exactly once per on_head/on_refused; the req is invalid afterwards.
#ifndef SLUICE_IO_HTTPD_H
#define SLUICE_IO_HTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/loop.h"

struct httpd;
struct httpd_req;

struct httpd_header {
    struct slice name, value; // borrowed for the call
};

// Why httpd does not want to take the request; the handler words the answer.
enum httpd_refusal {
    HTTPD_BAD_FRAMING,    // 400 and close
    HTTPD_HEAD_TOO_LARGE, // 431 and close
    HTTPD_BODY_TOO_LARGE, // 413
    HTTPD_OVERLOADED,     // 503: the body budget is exhausted; before the body is read
};

enum httpd_end {
    HTTPD_SENT,    // the whole response was handed to the kernel
    HTTPD_ABORTED, // client gone, connection error, or httpd_abort
};

struct httpd_handlers {
    // Head is complete and well framed. httpd_reply now, or return and get on_ready when the body
    // is in.
    void (*on_head)(void *arg, struct httpd_req *q);
    void (*on_ready)(void *arg, struct httpd_req *q);
    // Must reply (httpd_reply) before it returns. May come instead of on_head, or after it.
    void (*on_refused)(void *arg, struct httpd_req *q, enum httpd_refusal why);
    // Client closed, half-closed or reset before the response was complete. At most once.
    void (*on_gone)(void *arg, struct httpd_req *q);
    // After httpd_stream_write answered false: the queue fell below half the high-water mark.
    void (*on_drain)(void *arg, struct httpd_req *q);
    void (*on_done)(void *arg, struct httpd_req *q, enum httpd_end how);
    // A connection was accepted. False: the callee took the fd (hands it to another worker with
    // httpd_give). NULL: always true.
    bool (*on_accept)(void *arg, int fd);
};

// Bytes of request bodies held by all workers together. Shared, atomic.
struct httpd_budget {
    _Atomic size_t used;
    size_t max;
};

struct httpd_config {
    const char *address;  // numeric, v4 or v6; borrowed for the call
    uint16_t port;        // 0 = any
    bool reuse_port;      // others of ours listen on the port, too
    bool exclusive;       // fails when somebody has the port already, one with reuse_port included
    bool no_listen;       // only httpd_give
    unsigned daemons;     // libmicrohttpd daemons; 0 = 1. Each costs ~1 kB and an fd
    size_t header_memory; // libmicrohttpd's pool per connection; 0 = 16 KiB
    size_t max_body;      // bytes
    size_t max_connections;
    uint64_t idle_timeout_us;    // keep-alive and slow-request timeout; 0 = 75 s
    size_t stream_high_water;    // bytes queued per stream before write answers false; 0 = 64 KiB
    struct httpd_budget *budget; // NULL: unlimited
    const char *tls_cert_pem, *tls_key_pem; // both or none; contents, borrowed for the call
    struct httpd_handlers on;
    void *arg;
};

// Listens at once. NULL on failure with a sentence naming address and port.
MUST_CHECK struct httpd *httpd_new(struct loop *l, const struct httpd_config *c, struct err *e);
uint16_t httpd_port(const struct httpd *h);
// Takes over an accepted fd (closed on failure). From on_accept's thread by way of a mailbox: owner
// thread of h.
void httpd_give(struct httpd *h, int fd);
// Connections open now.
size_t httpd_connections(const struct httpd *h);
// Exchanges between on_head and on_done.
size_t httpd_active(const struct httpd *h);
// Every later response carries `connection: close`, while new connections are still taken: clients
// that keep connections in use move away before the drain, which could cut one between two of
// its requests. Idempotent.
void httpd_leave(struct httpd *h);
// httpd_leave; then accepts until EAGAIN, closes the listener and idle keep-alive connections.
// Idempotent.
void httpd_drain(struct httpd *h);
// Aborts what is left (on_gone, on_done are called), stops the daemons. *h becomes NULL.
void httpd_free(struct httpd **h);

// --- request; all slices are borrowed until on_done -------------------------------------------

// As sent ("POST"); methods are case-sensitive.
struct slice httpd_method(const struct httpd_req *q);
// Raw request target as sent: path and query, undecoded.
struct slice httpd_target(const struct httpd_req *q);
// First header of that name (case-insensitive), or SLICE_NULL.
struct slice httpd_header(const struct httpd_req *q, const char *name);
// Every header in order.
void httpd_each_header(const struct httpd_req *q,
                       void (*fn)(void *ctx, struct slice name, struct slice value), void *ctx);
// -1: none given (chunked or no body).
int64_t httpd_content_length(const struct httpd_req *q);
// Complete from on_ready on.
struct slice httpd_body(const struct httpd_req *q);
// Lets go of the body's memory and budget early (nothing may refer to it any more).
void httpd_drop_body(struct httpd_req *q);
// Peer address, numeric, no port. Static storage per call in q.
struct slice httpd_peer(const struct httpd_req *q);
// monotonic us: first byte of the head seen by us (accept or handler), body complete.
uint64_t httpd_started_us(const struct httpd_req *q);
uint64_t httpd_ready_us(const struct httpd_req *q);
void httpd_set_user(struct httpd_req *q, void *user);
void *httpd_user(const struct httpd_req *q);

// --- response ----------------------------------------------------------------------------------

// Complete answer. *body is taken (emptied); NULL = empty body. Sets content-length itself; the
// caller gives every other header. Response heads over 5 KiB: trailing headers that do not fit are
// left out. Exactly one of httpd_reply / httpd_stream_begin per exchange.
void httpd_reply(struct httpd_req *q, unsigned status, const struct httpd_header *h, size_t n,
                 struct buf *body);
// From on_ready on. Starts a body of unknown length (chunked), or of exactly content_length bytes
// when >= 0.
void httpd_stream_begin(struct httpd_req *q, unsigned status, const struct httpd_header *h,
                        size_t n, int64_t content_length);
// Copies the bytes into the queue; they leave in this turn's serve phase. False: the queue is at or
// over high water (the bytes were taken all the same): stop until on_drain.
MUST_CHECK bool httpd_stream_write(struct httpd_req *q, struct slice s);
// Bytes queued and not yet taken by libmicrohttpd.
size_t httpd_stream_queued(const struct httpd_req *q);
// Orderly end after what is queued. HTTPD_SENT is never told before this call; a response without a
// body (HEAD, 204, 304, length 0) leaves with it.
void httpd_stream_end(struct httpd_req *q);
// Ends the connection without an orderly end of the body.
void httpd_abort(struct httpd_req *q);
// `connection: close` on the response to come.
void httpd_close_after(struct httpd_req *q);

#endif
