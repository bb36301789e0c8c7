// SPDX-License-Identifier: Apache-2.0
// What the two files of the hiredis adapter share: redis.c (the connection) and redis_call.c
// (commands and replies). The only place that includes hiredis.
#ifndef SLUICE_IO_REDIS_PRIV_H
#define SLUICE_IO_REDIS_PRIV_H

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/list.h"
#include "common/base/rng.h"
#include "common/io/dns.h"
#include "common/io/redis.h"
#include "common/io/redis_url.h"

#define REDIS_SCRIPTS_MAX 16u
enum redis_state {
    REDIS_STATE_DOWN,       // waiting for the back-off timer
    REDIS_STATE_RESOLVING,  // the name is being looked up
    REDIS_STATE_CONNECTING, // ac is there, not connected yet
    REDIS_STATE_GREETING,   // connected; AUTH, SELECT, SCRIPT LOAD, PING on their way
    REDIS_STATE_UP,
    REDIS_STATE_LOST, // hiredis is handing back what was pending; ac is about to go
};

#define REDIS_ADDRESS_MAX 64 // of a numeric address

struct redis_call {
    struct list_node node; // in r->calls (sent) or r->failed
    struct redis *r;
    struct loop_timer deadline;
    redis_fn fn; // NULL: nobody waits any more
    void *arg;
    size_t script;      // SIZE_MAX: a plain command
    struct slice *argv; // owned copy for a script; NULL else
    size_t argc;
    char n_keys[24];  // of a script, decimal
    bool source_sent; // NOSCRIPT was answered by sending the source
};

struct redis {
    struct loop *loop;
    struct redis_config c;
    struct redis_url place;
    char name[300];
    enum redis_state state;
    redisAsyncContext *ac; // owned by hiredis; NULL when there is none
    struct loop_watch watch;
    uint32_t interest;
    struct loop_timer timer; // back-off, or the greeting's deadline
    struct loop_task task;   // fails calls, carries out `drop`
    bool drop;               // close from the task, then back off
    bool hurry;              // no back-off: somebody asked for a new connection
    bool in_callback;        // inside a hiredis callback
    bool was_up;             // since the last on_down
    struct list calls, failed;
    size_t greetings; // replies of the greeting still to come
    char greeting_error[160];
    char sha[REDIS_SCRIPTS_MAX][41];
    uint64_t heard_us; // last reply, or when the first of the commands under way was sent
    uint64_t backoff_us;
    struct dns *dns;         // owned; NULL: the host needs no lookup
    struct dns_query *query; // while RESOLVING
    char address[REDIS_ADDRESS_MAX];
    unsigned tries; // counts connects: the addresses of a name are taken in turn
    struct rng rng;
};

// Made, with its deadline running (0: none). Then it is submitted, or fails in the next turn.
struct redis_call *redis_call_new(struct redis *r, uint64_t timeout_us, redis_fn fn, void *arg);
// Hands it to hiredis. False: the context does not take commands any more.
MUST_CHECK bool redis_call_submit(struct redis *r, struct redis_call *c, const struct slice *argv,
                                  size_t argc);
void redis_call_fail_soon(struct redis_call *c);
// Those that were waiting to fail when it was called.
void redis_call_fail_all(struct redis *r);

#endif
