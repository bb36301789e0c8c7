// SPDX-License-Identifier: Apache-2.0
// A Redis connection that keeps itself up: the only user of hiredis (asynchronous API, 0.14). Owner
// thread of the loop only.
//
//   DOWN --back-off--> RESOLVING --> CONNECTING --> GREETING (AUTH, SELECT, SCRIPT LOAD) --> UP
//    ^                    |              |              |                                    |
//    +--------------------+--------------+--------------+---- closed, refused, silent -------+
//
// Every command has a deadline of its own: when it passes, the caller is told (outcome unknown) and
// the reply, should it still come, is matched and dropped. A connection on which something timed
// out and nothing was heard for 3 s is closed and made anew. No command is ever sent twice by this
// file, and none waits for a connection: while it is not UP commands fail in the next turn. The
// process must ignore SIGPIPE (proc_signals_new does that).
#ifndef SLUICE_IO_REDIS_H
#define SLUICE_IO_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "common/io/loop.h"

struct redis;
struct redis_reply; // opaque, borrowed during the callback

#define REDIS_PENDING_MAX 10000u // commands in flight; more fail at once

enum redis_type { REDIS_NIL, REDIS_TEXT, REDIS_STATUS, REDIS_INT, REDIS_LIST };

// A Lua script: known to the server under the digest the server gave when it was loaded in the
// greeting. Static; `sha` is filled per connection, so a script is listed by number.
struct redis_script {
    const char *name; // for logs
    const char *source;
};

struct redis_config {
    // unix:/path[?db=N] | redis://[user:pass@]host[:port][/db]. Borrowed for the call.
    const char *url;
    const struct redis_script *scripts; // borrowed for ever
    size_t n_scripts;
    // up: every connection made; after the greeting. down: with the reason, once per loss and once
    // for the first failure after a success. Both from watch or timer dispatch; either may be NULL.
    void (*on_up)(void *arg);
    void (*on_down)(void *arg, const char *reason);
    void *arg;
};

// Exactly one of r and e is not NULL. e: the server's own error (ERR_INVALID; ERR_UNAVAILABLE when
// it cannot write: OOM, READONLY, LOADING, MISCONF, NOREPLICAS, MASTERDOWN), or no answer
// (ERR_UNAVAILABLE, ERR_TIMEOUT: it may or may not have been carried out).
typedef void (*redis_fn)(void *arg, const struct redis_reply *r, const struct err *e);

// "hiredis 0.14.1": what this was built against. Static.
const char *redis_library(void);
// False with a sentence: scheme, host, port, database. Allocates nothing.
MUST_CHECK bool redis_check_url(const char *url, struct err *e);
// Starts to connect; NULL only for a bad URL (or without threads to look up a name).
MUST_CHECK struct redis *redis_new(struct loop *l, const struct redis_config *c, struct err *e);
// Pending callbacks get ERR_UNAVAILABLE before it returns. Not from inside a callback. *r becomes
// NULL; NULL allowed.
void redis_free(struct redis **r);
bool redis_is_up(const struct redis *r);
// Drops the connection and makes a new one at once.
void redis_reconnect(struct redis *r);
// "unix:/run/redis.sock" or "redis://host:6379/0": without user and password.
const char *redis_name(const struct redis *r);

// Sends a command (arguments copied). fn is called exactly once and never from inside this call.
void redis_command(struct redis *r, const struct slice *argv, size_t argc, uint64_t timeout_us,
                   redis_fn fn, void *arg);
// EVALSHA of scripts[script]: argv = n_keys keys, then the arguments. A server that has forgotten
// the script (it answers NOSCRIPT, so nothing was done) is given it again and asked once more.
void redis_eval(struct redis *r, size_t script, size_t n_keys, const struct slice *argv,
                size_t argc, uint64_t timeout_us, redis_fn fn, void *arg);
// Makes the callbacks of commands with this arg never come: for an owner that goes away.
void redis_forget(struct redis *r, const void *arg);

enum redis_type redis_type(const struct redis_reply *r);
// TEXT and STATUS; else SLICE_NULL.
struct slice redis_text(const struct redis_reply *r);
// INT, or TEXT of a decimal number; else 0.
int64_t redis_int(const struct redis_reply *r);
// LIST: elements; else 0.
size_t redis_count(const struct redis_reply *r);
// NULL beyond the end.
const struct redis_reply *redis_item(const struct redis_reply *r, size_t i);

#endif
