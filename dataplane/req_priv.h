// SPDX-License-Identifier: Apache-2.0
// The request object, for the files req*.c, attempt.c, stream.c, reply.c, access.c and models_api.c
// only.
#ifndef SLUICE_DATAPLANE_REQ_PRIV_H
#define SLUICE_DATAPLANE_REQ_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/io/httpd.h"
#include "common/io/loop.h"
#include "common/io/mbox.h"
#include "common/io/upstream.h"
#include "dataplane/attempt.h"
#include "dataplane/balance.h"
#include "dataplane/cache.h"
#include "dataplane/dialect.h"
#include "dataplane/front.h"
#include "dataplane/limit.h"
#include "dataplane/meter.h"
#include "dataplane/reply.h"
#include "dataplane/req.h"
#include "dataplane/route.h"
#include "dataplane/stream.h"
#include "dataplane/worker.h"

// Name, text for logs and the drawing, what a step waits for ("" = never waits).
#define REQ_STEPS(X)                                                                               \
    X(AUTHENTICATE, authenticate, "")                                                              \
    X(READ, read, "the client's body")                                                             \
    X(LOCAL, local, "")                                                                            \
    X(PARSE, parse, "")                                                                            \
    X(PLAN, plan, "")                                                                              \
    X(CACHE, cache, "")                                                                            \
    X(REPLAY, replay, "room in the client's queue")                                                \
    X(LIMIT, limit, "a lease")                                                                     \
    X(PICK, pick, "")                                                                              \
    X(BACKOFF, backoff, "the back-off timer")                                                      \
    X(HEAD, head, "the provider's head")                                                           \
    X(COLLECT, collect, "the provider's body")                                                     \
    X(HOLD, hold, "the first content")                                                             \
    X(STREAM, stream, "the provider's events")                                                     \
    X(RELAY, relay, "the provider's bytes")                                                        \
    X(JUDGE, judge, "")                                                                            \
    X(REPLY_ERROR, reply_error, "the client's body")                                               \
    X(CANCEL, cancel, "")                                                                          \
    X(SEND, send, "the client to take the answer")                                                 \
    X(ACCOUNT, account, "")                                                                        \
    X(DONE, done, "")

enum req_step {
#define X(name, text, waits) REQ_##name,
    REQ_STEPS(X)
#undef X
        REQ_N_STEPS
};

enum req_next { REQ_MORE, REQ_WAIT, REQ_END };

#define REQ_TRACE 16u
struct req_trace {
    uint8_t step;
    uint32_t at_ms; // since the request began
};

// Deadlines; one loop_timer is armed to the nearest. 0 = not set.
enum req_due {
    REQ_DUE_TOTAL, // the whole request
    REQ_DUE_FIRST, // first byte (plain) or first content (stream) of this attempt
    REQ_DUE_IDLE,  // the next progress of this attempt
    REQ_DUE_HOLD,  // then the client of a stream gets its head
    REQ_DUE_ALIVE, // then it gets a keep-alive, if nothing else came
    REQ_DUE_WAKE,  // parked for a lease, backing off
    REQ_N_DUE
};

enum req_cache_state { REQ_CACHE_NONE, REQ_CACHE_HIT, REQ_CACHE_MISS, REQ_CACHE_BYPASS };

// Why the request fails, when the reason is ours. Set once by req_fail.
struct req_failure {
    enum reply_code code; // REPLY_NONE: has not failed
    char message[320];
    const char *param;       // static or arena
    uint64_t retry_after_us; // 0: no header
    const char *allow;       // 405
};

// The best error a provider gave, by the order of retry_verdict.rank.
struct req_upstream_error {
    bool present;
    uint8_t rank;
    unsigned status;      // what it stands for, 0: the provider never answered
    unsigned http_status; // as sent, 0: no head came
    const char *reason;   // "connect failed", "status", ...; static
    bool timed_out;       // status 0 because of a deadline
    bool from_event;      // body is the data of an error event
    bool encoded;
    struct buf body;                       // at most ATTEMPT_ERROR_MAX
    struct slice content_type, request_id; // arena
    struct slice should_retry;             // arena
    uint64_t retry_after_us;               // 0: it named none
    struct httpd_header *headers;          // arena
    size_t n_headers;
    struct slice provider, model; // arena
    const struct dialect *dialect;
};

// Why the first target that could not be asked in its own words was passed over.
struct req_unfit {
    const char *code; // NULL: there is none; static
    const char *param;
    char message[200];
};

// What became of an attempt, for x-sluice-route.
struct req_try {
    const struct route_candidate *candidate; // compared only
    const char *reason;                      // static
    unsigned status;
};
#define REQ_TRIES_MAX 16u

// Made by front at the head, owned by its worker, touched by its thread only (wake_queued apart).
// Lifetime: until httpd's on_done and ACCOUNT; then back to the worker's pool.
struct req {
    struct list_node node;
    struct worker *w;
    struct httpd_req *q; // NULL after on_done
    struct loop_task task;
    struct loop_timer timer;
    struct arena arena; // everything below that is a pointer and not said to be owned lives here

    enum req_step step;
    struct req_trace trace[REQ_TRACE]; // ring; the last one is (n_trace - 1) % REQ_TRACE
    uint32_t n_trace;

    // Facts, written by callbacks.
    bool ready, gone, done, sent, ending;
    bool woken;   // a wake message came
    bool refused; // httpd refused the body and was answered in front.c
    bool blocked; // the client's queue is over high water
    bool zombie;  // ended while a wake message is under way: freed when that arrives
    atomic_bool wake_queued;
    struct mbox_msg *wake_msg; // owned: made by worker.c at the first parking, kept with the object

    // Times, monotonic us.
    uint64_t began_us, ready_us, first_started_us, due[REQ_N_DUE], armed_us, now_us;
    uint64_t began_wall_us;

    // What came.
    struct front_route route;
    struct slice method, path, peer; // copies for the access line
    struct slice request_id;
    const struct dialect *dialect; // the client's
    struct dialect_request rq;
    struct slice model;      // as asked for
    struct slice user, tags; // for the usage record
    bool screened, stream, no_fallback, explain;

    // Who and by what.
    struct snapshot *snap;         // one reference until the last routing decision
    const struct resource *router; // borrowed from snap; NULL: unified
    const struct resource *key;    // borrowed from snap; NULL: anonymous
    struct slice principal, key_id, team, router_name;
    struct resource_timeouts timeouts; // all resolved
    uint32_t max_attempts;
    const struct snapshot_provider *raw_provider; // FRONT_RAW; borrowed from snap

    // Routing.
    struct route_plan plan;
    unsigned attempts;
    uint32_t journal;                    // slot of the usage journal, 0: none
    struct req_try tries[REQ_TRIES_MAX]; // one each
    struct route_candidate *repeat;      // may be tried once more instead of a degradation
    struct route_candidate *chosen;      // by BACKOFF: tried next without a pick
    bool repeated;

    // Limits.
    struct limit_pass pass;
    bool admitted;

    // Cache.
    enum req_cache_state cache;
    bool cache_store;
    struct cache_policy cache_policy;
    struct cache_key cache_key;
    uint32_t cache_bucket;
    struct cache_entry *entry; // one reference, while it is replayed
    size_t replayed;           // bytes of it

    // Attempt and answer.
    struct attempt at;
    struct xlate *xlate; // in the arena, holds memory of its own; NULL: no translation so far
    struct stream out;   // SSE relay
    struct buf answer;   // COLLECT
    bool head_sent;      // a status went to the client
    bool sending;        // in SEND, its deadline is set
    bool answered;       // the answer is complete: reply given, stream ended or aborted
    bool streaming;      // counted as an open stream
    bool committed;      // content went to the client: nothing is retried
    unsigned status;     // sent to the client
    uint64_t first_content_us, overhead_us;
    uint64_t emitted_us; // when the client last got an event of its stream
    uint64_t bytes_out;

    // Outcome.
    struct req_failure fail;
    struct req_upstream_error best;
    struct req_unfit unfit;
    struct dialect_usage usage;
    bool usage_estimated;
    bool estimate; // count_tokens answered by an estimate of ours
    bool truncated;
    struct slice provider, answered_model; // who answered (arena)
    struct resource_price price;
    bool priced;
    bool believes_cost;        // reports-cost of its quirks
    struct meter_rates rates;  // and what they make of the prices
    struct slice prices_as_of; // day of the catalogue's prices, for the access line
    struct price_cost cost;
};

// --- req.c -----------------------------------------------------------------------------------
void req_post(struct req *r);
void req_release(struct req *r); // after DONE
void req_set_due(struct req *r, enum req_due d, uint64_t at_us);
bool req_is_due(const struct req *r, enum req_due d);
// Arms the timer to the nearest deadline; leaves it when it is already earlier.
void req_arm(struct req *r);
// The reason is set once; later ones are ignored. Returns REQ_MORE: the dispatcher goes on to
// REPLY_ERROR.
enum req_next req_fail(struct req *r, enum reply_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
// Content goes to the client now, no retry can follow: lets go of what only routing needs
// (snapshot, plan, the client's body).
void req_commit(struct req *r);
// What the candidate's provider makes of its prices now.
struct meter_rates req_rates(const struct req *r, const struct route_candidate *c);
// What a usage costs at the provider that is being asked, or answered.
struct price_cost req_cost(const struct req *r, const struct dialect_usage *u);
// The same as a JSON number, or SLICE_NULL: unpriced. For canon_context.cost; req: struct req.
struct slice req_cost_text(void *req, const struct dialect_usage *u, char out[40]);
// Where the client asked (usage: {include: true}) and body is an answer of its own dialect with a
// usage object: body gets `usage.cost`, null when unpriced.
void req_show_cost(const struct req *r, struct price_cost cost, struct buf *body);
// Copies what an access line and usage record need of who answered. From the attempt's candidate.
void req_note_answerer(struct req *r);

// --- req_fsm.c -------------------------------------------------------------------------------
void req_run(struct loop_task *t);
// The only writer of r->step. Returns REQ_MORE.
enum req_next req_set_step(struct req *r, enum req_step to);
const char *req_step_name(enum req_step s);
bool req_step_allowed(enum req_step from, enum req_step to);

// Tokens of the prompt: an estimate of ours, which says so, where no provider of the route counts
// (req_steps_in.c). False: the request has failed.
bool req_count_here(struct req *r);
// Stores a complete, good answer where the policy says so (req_steps_cache.c).
void req_cache_store(struct req *r, struct slice body, struct slice content_type);
// --- shared by the steps (req_steps_route.c) -------------------------------------------------
void req_keep_alive(struct req *r);
// The attempt failed: to JUDGE. reason: static text.
enum req_next req_attempt_failed(struct req *r, enum retry_failure f, const char *reason);
bool req_is_overdue(const struct req *r);
enum req_next req_attempt_overdue(struct req *r);
// The checks of AUTHENTICATE: route, encoding, caller, router. False: r->fail is set.
bool req_screen(struct req *r);

// --- req_steps_*.c ---------------------------------------------------------------------------
#define X(name, text, waits) enum req_next req_step_##text(struct req *r);
REQ_STEPS(X)
#undef X

#endif
