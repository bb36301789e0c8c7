// SPDX-License-Identifier: Apache-2.0
// What the files of the HTTP server share; nobody else includes this.
//
//   httpd.c         the public functions: life, request, response
//   httpd_listen.c  listening socket and accept
//   httpd_conn.c    a connection: client watch, deadlines, closing
//   httpd_mhd.c     the libmicrohttpd adapter (the only includer of its header)
//   httpd_call.c    what to do with a head, a piece of body, a complete request
//   httpd_police.c  framing rules over one request head
//   httpd_linger.c  closing without a reset while the client still sends
//   httpd_pool.c    buffers for bodies and stream queues
//   httpd_tls.c     one parsed certificate for all daemons (the only includer of gnutls)
#ifndef SLUICE_IO_HTTPD_PRIV_H
#define SLUICE_IO_HTTPD_PRIV_H

#include <netinet/in.h>

#include "common/base/list.h"
#include "common/io/httpd.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

#define HTTPD_HEAD_MAX       (10u * 1024)  // request head; more is 431
#define HTTPD_REPLY_HEAD_MAX (5u * 1024)   // response head
#define HTTPD_EARLY_BODY     (256u * 1024) // a body that is read to its end before an early answer
#define HTTPD_BODY_STEP      (256u * 1024) // bytes of body that renew its deadline

// --- httpd_pool.c ------------------------------------------------------------------------------

#define HTTPD_POOL_CLASSES 8 // 512 B .. 64 KiB

struct httpd_pool {
    void *free[HTTPD_POOL_CLASSES]; // LIFO per power of two; owned
    size_t held;                    // bytes in the lists
};

// Frees what is kept. Buffers that are out do not come back.
void httpd_pool_done(struct httpd_pool *p);

// A run of bytes in a pooled buffer; zero-initialised = empty without storage.
struct httpd_bytes {
    char *p; // from the pool
    size_t off, n, cap;
};

// Makes room for `extra` bytes behind the data. False on exhaustion.
MUST_CHECK bool httpd_bytes_reserve(struct httpd_pool *p, struct httpd_bytes *b, size_t extra);
void httpd_bytes_done(struct httpd_pool *p, struct httpd_bytes *b);

// --- httpd_police.c ----------------------------------------------------------------------------

// One request head as it lies in libmicrohttpd's pool after parsing (see httpd_police.c).
struct httpd_police {
    const char *next; // where the next name must begin if nothing was hidden
    bool bad;
    bool http10, chunked, expects_continue;
    unsigned n_host, n_length, n_encoding;
    uint64_t length; // of the content-length header
    uint64_t names;  // slice_nocase_bit of each header's name. Set by the adapter
    size_t head_bytes,
        pool_bytes; // the head; what libmicrohttpd's pool spends on it. Set by the adapter
};

// One head: begin, each header in order, then end. Everything points into the head, which stays as
// it is until then; raw_target NULL: there was none.
void httpd_police_begin(struct httpd_police *p, const char *method, struct slice target,
                        const char *raw_target, const char *version);
void httpd_police_header(struct httpd_police *p, struct slice name, struct slice value);
// A header's name, a method: characters of RFC 9110's tokens only. Empty is one too.
bool httpd_police_is_token(struct slice s);
// True: well framed. head_end: one past the empty line.
bool httpd_police_end(struct httpd_police *p, const char *head_end);

// --- the objects -------------------------------------------------------------------------------

enum httpd_phase {
    HTTPD_IDLE,     // no request line yet
    HTTPD_HEAD,     // request line seen, headers arriving
    HTTPD_BODY,     // head judged; body arriving, being stored or discarded
    HTTPD_WAITING,  // on_ready was called; the answer is the handler's business
    HTTPD_REPLYING, // libmicrohttpd has the response
};

// One exchange; part of its connection, reused for the next one. All fields: owner thread.
struct httpd_req {
    enum httpd_phase phase;
    bool visible;   // on_head or on_refused was called: on_done is owed
    bool gone_told; // on_gone was called
    bool aborted;   // httpd_abort
    bool parked;    // suspended in libmicrohttpd
    bool discard;   // body bytes are counted and dropped
    bool http10;
    bool close_after;
    bool streaming;             // the response is a stream
    bool bodyless;              // a stream whose response has no body: handed over at its end
    bool ended;                 // httpd_stream_end
    bool want_drain;            // a write answered false
    bool overflow;              // chunked body over a limit: on_refused at its end
    enum httpd_refusal refusal; // for overflow

    struct slice method;       // in libmicrohttpd's pool
    struct httpd_bytes target; // raw; target_inline when it fits
    char target_inline[160];
    const char *raw_target; // where it was in the pool: for the police
    uint64_t names;         // slice_nocase_bit of each header's name
    int64_t content_length; // -1 none
    size_t head_room;       // bytes the response head may have

    struct httpd_bytes body;
    size_t charged;   // of the budget
    size_t discarded; // bytes
    uint64_t started_us, ready_us;

    struct MHD_Response *response; // made, not yet handed over
    unsigned status;
    struct httpd_bytes queue;    // stream bytes not yet taken
    uint64_t stream_left;        // of a stream with a length; UINT64_MAX = no length
    struct list_node drain_node; // in h->drained
    void *user;
};

// One libmicrohttpd daemon and its place in the lists.
struct httpd_daemon {
    struct httpd *h;
    struct MHD_Daemon *mhd;
    struct loop_watch watch; // its epoll fd
    struct list_node dirty_node, open_node;
    size_t n_conns;
    uint64_t turn; // last serve phase it ran in,
    unsigned runs; // and how often
};

union httpd_addr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

// One client connection: made at accept, buried after libmicrohttpd's CLOSED notification.
struct httpd_conn {
    struct httpd *h;
    struct httpd_daemon *d;
    struct MHD_Connection *mhd; // NULL before and after its life there
    int fd;                     // libmicrohttpd's; valid while mhd != NULL
    struct list_node node;      // in h->conns
    struct loop_watch watch;    // client closed
    struct loop_timer timer;    // fires at or before deadline_us, then looks at it
    struct loop_grave grave;
    uint64_t deadline_us; // UINT64_MAX = none
    uint64_t acked;       // progress of a slow reader at the last look
    bool gone;            // closed or half-closed by the client
    bool linger;          // an answer went out before the body was read
    bool used;            // at least one request came
    union httpd_addr addr;
    char peer[INET6_ADDRSTRLEN]; // addr as text, once somebody asked for it
    struct httpd_req q;
};

struct httpd_tls;

struct httpd {
    struct loop *l; // borrowed
    struct httpd_handlers on;
    void *arg;
    struct loop_hook hook;
    struct list dirty;   // daemons to run in this serve phase
    struct list later;   // daemons that have had their share of it
    struct list open;    // daemons with room for another connection
    struct list drained; // exchanges owed an on_drain
    struct httpd_daemon **daemons;
    size_t n_daemons, max_daemons, next_daemon;
    uint64_t turn;

    struct list conns;
    size_t active; // exchanges visible to the handlers
    size_t max_connections;
    struct httpd_conn *adding; // being handed to libmicrohttpd now

    size_t header_memory, max_body, high_water;
    uint64_t idle_us;
    struct httpd_budget *budget;
    struct httpd_pool pool;
    struct httpd_tls *tls; // NULL: plain

    struct loop_watch listener; // fd -1 = none
    struct loop_timer accept_again;
    uint16_t port;
    bool leaving, draining;
    bool stopping; // httpd_free: nothing may be suspended any more

    struct list lingering; // sockets in httpd_linger.c
};

static inline struct httpd_conn *httpd_conn_of(struct httpd_req *q)
{
    return container_of(q, struct httpd_conn, q);
}

// --- httpd_conn.c ------------------------------------------------------------------------------

// Hands the fd to a daemon; closes it on failure.
void httpd_conn_open(struct httpd *h, int fd, const union httpd_addr *addr, socklen_t addr_len);
// libmicrohttpd is about to close the fd.
void httpd_conn_closed(struct httpd_conn *c);
// The connection must make progress before then (loop time).
void httpd_conn_deadline(struct httpd_conn *c, uint64_t in_us);
void httpd_conn_no_deadline(struct httpd_conn *c);
// Makes libmicrohttpd drop a connection that is not suspended.
void httpd_conn_kick(struct httpd_conn *c);
// Where only the end of the connection ends a body, makes the client see that it was cut.
void httpd_conn_cut(struct httpd_conn *c);
// on_gone, once, if it is owed.
void httpd_conn_tell_gone(struct httpd_conn *c);
// A new exchange begins / the exchange is over.
void httpd_conn_begin(struct httpd_conn *c);
void httpd_conn_end(struct httpd_conn *c, enum httpd_end how);
// Closes what waits for a request; the rest ends with its answer.
void httpd_conn_drain(struct httpd_conn *c);

// --- httpd_call.c ------------------------------------------------------------------------------

// What the adapter does next.
enum httpd_verdict {
    HTTPD_GO,     // read on
    HTTPD_ANSWER, // queue q->response
    HTTPD_PARK,   // suspend until httpd_mhd_wake
    HTTPD_CLOSE,
};

// The head is complete. sound: the police has nothing against it.
enum httpd_verdict httpd_call_head(struct httpd_req *q, const struct httpd_police *p, bool sound);
// A piece of body; all of it is taken.
enum httpd_verdict httpd_call_bytes(struct httpd_req *q, struct slice bytes);
// The request is complete.
enum httpd_verdict httpd_call_last(struct httpd_req *q);

// --- httpd_mhd.c -------------------------------------------------------------------------------

// Daemon with room; NULL when none can be started.
struct httpd_daemon *httpd_mhd_daemon(struct httpd *h);
// True: c->mhd is set. False: fd is closed, the connection never was.
bool httpd_mhd_add(struct httpd_conn *c, socklen_t addr_len);
void httpd_mhd_stop_all(struct httpd *h);
// The daemon runs in this turn's serve phase.
void httpd_mhd_dirty(struct httpd_daemon *d);
bool httpd_mhd_serve(struct loop_hook *hook, uint64_t *ret_next_us);
// Makes q->response. False on exhaustion (body freed all the same).
MUST_CHECK bool httpd_mhd_make_reply(struct httpd_req *q, const struct httpd_header *h, size_t n,
                                     struct buf *body);
MUST_CHECK bool httpd_mhd_make_stream(struct httpd_req *q, const struct httpd_header *h, size_t n,
                                      int64_t content_length);
void httpd_mhd_drop_response(struct httpd_req *q);
// A parked exchange goes on: its response, its stream or its end is there.
void httpd_mhd_wake(struct httpd_req *q);
struct slice httpd_mhd_header(const struct httpd_req *q, const char *name);
void httpd_mhd_each_header(const struct httpd_req *q,
                           void (*fn)(void *ctx, struct slice name, struct slice value), void *ctx);
// Of libmicrohttpd's connection, as gnutls sessions carry it.
struct httpd_conn *httpd_mhd_conn(void *mhd_connection);

// --- httpd_listen.c ----------------------------------------------------------------------------

// Listens on c->address (numeric, or "localhost") and c->port; h->port is the real one. Nothing at
// all with c->no_listen. False: *e says why.
MUST_CHECK bool httpd_listen_start(struct httpd *h, const struct httpd_config *c, struct err *e);
// A connection has ended: accepting may go on.
void httpd_listen_room(struct httpd *h);
// Accepts what waits, closes the socket. Idempotent.
void httpd_listen_stop(struct httpd *h);

// --- httpd_linger.c ----------------------------------------------------------------------------

// Keeps the socket of fd (a duplicate) open and reads what the client still sends, for a while.
void httpd_linger_start(struct httpd *h, int fd);
void httpd_linger_stop_all(struct httpd *h);

// --- httpd_tls.c -------------------------------------------------------------------------------

// A certificate chain and its key, PEM texts, borrowed for the call. NULL: they do not fit
// together.
MUST_CHECK struct httpd_tls *httpd_tls_new(const char *cert_pem, const char *key_pem,
                                           struct err *e);
void httpd_tls_free(struct httpd_tls **t);
// For MHD_OPTION_HTTPS_CERT_CALLBACK.
void *httpd_tls_callback(void);

#endif
