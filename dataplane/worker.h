// SPDX-License-Identifier: Apache-2.0
// A worker: one thread that owns everything it touches: loop, listener (SO_REUSEPORT), upstream
// pool, metrics slot, requests. Between workers only struct worker_shared is shared: read-only
// after start, atomic, or a module that is safe by its own contract.
//
// Everything that reaches a worker from another thread comes by its mailbox: a new snapshot, an
// accepted socket, a lease that arrived, drain phases, a question about requests in flight.
#ifndef SLUICE_DATAPLANE_WORKER_H
#define SLUICE_DATAPLANE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/list.h"
#include "common/base/rng.h"
#include "common/io/httpd.h"
#include "common/io/loop.h"
#include "common/io/mbox.h"
#include "common/io/upstream.h"
#include "dataplane/cache.h"
#include "dataplane/facts.h"
#include "dataplane/limit.h"
#include "dataplane/retry.h"
#include "dataplane/snapshot.h"
#include "dataplane/target.h"

struct link;
struct metrics;
struct req;
struct worker;

// Life of a proxy, the same for all its workers; only moves forward.
enum worker_phase {
    WORKER_SERVING,
    WORKER_LEAVING,  // SIGTERM: not ready, every answer carries `connection: close`; the listener
                     // is still open (drain-delay)
    WORKER_DRAINING, // listener closed
    WORKER_ENDING,   // shutdown-timeout is over: 503 `shutting_down`, streams are cut
};

// Boot settings that workers need; all borrowed for the life of the process.
struct worker_config {
    const char *address; // numeric
    uint16_t port;       // 0: the first worker picks one
    size_t max_body, max_buffered, header_memory, max_connections;
    uint64_t idle_timeout_us;               // of clients; 0 = httpd's default
    const char *tls_cert_pem, *tls_key_pem; // contents, or NULL
    struct upstream_config upstream;
    enum resource_auth_mode auth_default; // what RESOURCE_AUTH_DEFAULT means on this address
    bool auth_may_be_open;                // loopback, or --insecure-no-auth
    bool drop_trace;                      // telemetry.propagate: false
};

// One a process. Made by main before the workers, freed after them.
struct worker_shared {
    struct worker_config conf;
    struct httpd_budget budget;
    struct target_table *targets; // made when the first snapshot says how
    struct limit_store *limits;
    struct cache *_Atomic cache; // made when the first snapshot asks for one; NULL: off
    struct metric_registry *metrics;
    struct link *link; // NULL in tests
    // Checks the text of a router config; false with a sentence in *ret_why. NULL: cannot.
    bool (*validate)(struct slice text, struct buf *ret_why);
    struct worker **workers; // owns the array
    unsigned n_workers;
    _Atomic int phase;                 // enum worker_phase
    _Atomic uint64_t config_seq;       // of the last snapshot published; 0: none yet
    _Atomic uint64_t control_heard_us; // last heartbeat (monotonic); 0: never
    _Atomic bool default_auth_warned;
};

#define WORKER_POOL_MAX 512u // requests kept for reuse, each with its first arena block

// Fields are for this thread only, except those said to be atomic.
struct worker {
    struct worker_shared *shared;
    unsigned index;
    struct loop *loop;
    struct httpd *httpd;
    struct upstream *upstream;
    struct mbox *mbox;
    struct metrics *metrics;
    struct snapshot *snapshot; // for worker_snapshot alone; one reference; NULL until the first
    // The next one, put here by worker_publish with its reference; NULL: nothing new. No lock, so
    // that a worker never waits for a link's thread that the system has stopped for a while.
    struct snapshot *_Atomic incoming;
    struct facts_memo facts; // of `snapshot`
    struct rng rng;
    struct retry_budget retry;
    uint64_t keep_alive_us; // between keep-alives of a stream that is held or silent
    struct list active;     // struct req by node
    struct list pool;       // struct req by node
    struct buf scratch;     // upstream heads are built here, wiped after use
    struct loop_timer tick;
    struct loop_hook publish; // end of turn: the two numbers below
    enum worker_phase phase;  // as far as this worker acted on
    uint64_t end_at_us;       // ENDING: what is left then is cut
    pthread_t thread;
    bool running;                          // main thread only: thread is to be joined
    _Atomic size_t connections, in_flight; // as last published; any thread
};

// Wires the shared part into workers and starts listening; threads are not started yet. False: *e
// says why (address in use, limits).
MUST_CHECK bool worker_setup(struct worker_shared *s, unsigned n, struct err *e);
// Starts the threads.
MUST_CHECK bool worker_start(struct worker_shared *s, struct err *e);
// Joins the threads (they end by WORKER_ENDING) and frees everything worker_setup made. Works on
// what is half built.
void worker_teardown(struct worker_shared *s);
// Port in use, after worker_setup.
uint16_t worker_port(const struct worker_shared *s);

// One thread at a time (the link's). Each worker gets a reference of its own; the caller keeps its.
// When it returns the snapshot is in force: every request that begins from now on sees it.
void worker_publish(struct worker_shared *s, struct snapshot *snap);
// What a request that begins now is served from: borrowed until the next call; NULL before the
// first one was published. This worker's thread.
struct snapshot *worker_snapshot(struct worker *w);
// Any thread. Moves every worker to the phase; ENDING also ends the threads once their requests are
// gone, or after one second.
void worker_set_phase(struct worker_shared *s, enum worker_phase p);
enum worker_phase worker_phase(const struct worker_shared *s);
// Has a complete snapshot and serves.
bool worker_is_ready(const struct worker_shared *s);
// Exchanges in flight, summed over workers as last published.
size_t worker_in_flight(const struct worker_shared *s);
// Asks every worker for its requests in flight, as a JSON array text. fn is called once, on the
// thread of the last worker that answered; it must only hand the buffer (which it takes) on.
void worker_dump(struct worker_shared *s, void (*fn)(void *arg, struct buf *json), void *arg);

// httpd's on_accept: hands the socket to the least loaded worker when this one has more than
// 1.25 x its connections + 8. Worker thread.
bool worker_on_accept(void *arg, int fd);
// A request that httpd refused at its head. Worker thread.
void worker_count_refusal(struct worker *w, enum httpd_refusal why);

// For the machine's unit tests: a worker without thread, listener and upstream. Takes the loop,
// also when it fails.
MUST_CHECK bool worker_init_bare(struct worker *w, struct worker_shared *s, struct loop *l,
                                 struct err *e);
void worker_done_bare(struct worker *w);

// A message that wakes a parked request: made once for a request object, kept with it.
struct mbox_msg *worker_wake_new(struct req *r);
void worker_wake_free(struct mbox_msg **m);

#endif
