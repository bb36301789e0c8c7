// SPDX-License-Identifier: Apache-2.0
// Commands and replies of the hiredis adapter.
//
// A command is a struct redis_call. It dies in hiredis's callback, which comes exactly once: with
// the reply, or with NULL when the connection ends. Its deadline may come before: then the caller
// is told and `fn` emptied, and the call stays behind to swallow the late reply.
//
//   redis_command --(UP)--> hiredis queue --reply--> fn --> freed
//        |                        |--deadline--> fn(ERR_TIMEOUT) ... reply dropped --> freed
//        |                        `--connection lost--> fn(ERR_UNAVAILABLE) --> freed
//        `--(not UP)--> failed list --next turn--> fn(ERR_UNAVAILABLE) --> freed
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/redis_priv.h"

#define SILENCE_US (3 * MONO_SEC) // a timeout after so long without any reply: reconnect

static void call_free(struct redis_call *c)
{
    loop_timer_cancel(c->r->loop, &c->deadline);
    if (list_in_one(&c->node)) {
        list_remove(&c->r->calls, &c->node);
    }
    mem_free(c->argv);
    mem_free(c);
}

// Tells the caller, once.
static void call_tell(struct redis_call *c, const struct redis_reply *reply, const struct err *e)
{
    redis_fn fn = c->fn;

    c->fn = NULL;
    if (fn != NULL) {
        fn(c->arg, reply, e);
    }
}

static void on_call_deadline(struct loop_timer *t)
{
    struct redis_call *c = container_of(t, struct redis_call, deadline);
    struct redis *r = c->r;
    struct err e;

    err_set(&e, ERR_TIMEOUT, "%s did not answer in time", r->name);
    if (r->state == REDIS_STATE_UP && loop_now_us(r->loop) - r->heard_us >= SILENCE_US) {
        r->drop = true;
        loop_post(r->loop, &r->task);
    }
    call_tell(c, NULL, &e);
}

static bool starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static void error_of(const redisReply *reply, struct err *e)
{
    static const char *const unavailable[] = {"OOM ",         "READONLY ",   "LOADING ",
                                              "MISCONF ",     "NOREPLICAS ", "MASTERDOWN ",
                                              "CLUSTERDOWN ", "BUSY ",       "TRYAGAIN "};
    enum err_code code = ERR_INVALID;

    for (size_t i = 0; i < ARRAY_LEN(unavailable); i++) {
        // Inside a script the server's error comes wrapped: "... -OOM command not allowed ...".
        if (starts(reply->str, unavailable[i]) || strstr(reply->str, unavailable[i]) != NULL) {
            code = ERR_UNAVAILABLE;
        }
    }
    err_set(e, code, "Redis: %.200s", reply->str);
}

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata);

bool redis_call_submit(struct redis *r, struct redis_call *c, const struct slice *argv, size_t argc)
{
    const char **p = mem_zalloc_array(argc, sizeof(*p));
    size_t *n = mem_zalloc_array(argc, sizeof(*n));
    bool ok;

    for (size_t i = 0; i < argc; i++) {
        p[i] = argv[i].p == NULL ? "" : argv[i].p;
        n[i] = argv[i].n;
    }
    ok = redisAsyncCommandArgv(r->ac, on_reply, c, (int)argc, p, n) == REDIS_OK;
    if (r->calls.count == 0) {
        r->heard_us = mono_now_us(); // nothing was asked before: its silence begins here
    }
    mem_free(p);
    mem_free(n);
    return ok;
}

// The whole source instead of the digest.
static bool submit_source(struct redis *r, struct redis_call *c)
{
    struct slice *argv = mem_zalloc_array(c->argc + 3, sizeof(*argv));
    bool ok;

    argv[0] = SLICE("EVAL");
    argv[1] = slice_str(r->c.scripts[c->script].source);
    argv[2] = slice_str(c->n_keys);
    memcpy(argv + 3, c->argv, c->argc * sizeof(*argv));
    c->source_sent = true;
    ok = redis_call_submit(r, c, argv, c->argc + 3);
    mem_free(argv);
    return ok;
}

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct redis_call *c = privdata;
    struct redis *r = c->r;
    redisReply *answer = reply;
    bool nested = r->in_callback;
    struct err e;

    (void)ac;
    r->in_callback = true;
    if (answer == NULL) {
        // The connection is going: no new commands on it.
        r->state = r->state == REDIS_STATE_UP ? REDIS_STATE_LOST : r->state;
        err_set(&e, ERR_UNAVAILABLE, "the connection to %s was lost", r->name);
        call_tell(c, NULL, &e);
    } else {
        r->heard_us = mono_now_us();
        if (answer->type == REDIS_REPLY_ERROR) {
            if (c->script != SIZE_MAX && !c->source_sent && c->fn != NULL &&
                starts(answer->str, "NOSCRIPT") && submit_source(r, c)) {
                r->in_callback = nested;
                return;
            }
            error_of(answer, &e);
            call_tell(c, NULL, &e);
        } else {
            call_tell(c, (const struct redis_reply *)(const void *)answer, NULL);
        }
    }
    call_free(c);
    r->in_callback = nested;
}

struct redis_call *redis_call_new(struct redis *r, uint64_t timeout_us, redis_fn fn, void *arg)
{
    struct redis_call *c = mem_zalloc(sizeof(*c));

    c->r = r;
    c->fn = fn;
    c->arg = arg;
    c->script = SIZE_MAX;
    c->deadline.fn = on_call_deadline;
    if (timeout_us > 0) {
        loop_timer_set(r->loop, &c->deadline, loop_now_us(r->loop) + timeout_us);
    }
    return c;
}

void redis_call_fail_soon(struct redis_call *c)
{
    list_push_back(&c->r->failed, &c->node);
    loop_post(c->r->loop, &c->r->task);
}

void redis_command(struct redis *r, const struct slice *argv, size_t argc, uint64_t timeout_us,
                   redis_fn fn, void *arg)
{
    struct redis_call *c = redis_call_new(r, timeout_us, fn, arg);

    if (r->state != REDIS_STATE_UP || r->calls.count >= REDIS_PENDING_MAX ||
        !redis_call_submit(r, c, argv, argc)) {
        redis_call_fail_soon(c);
        return;
    }
    list_push_back(&r->calls, &c->node);
}

// One block: the slices, then their bytes.
static struct slice *copy_argv(const struct slice *argv, size_t argc)
{
    size_t bytes = 0;
    struct slice *copy;
    char *p;

    for (size_t i = 0; i < argc; i++) {
        bytes += argv[i].n;
    }
    copy = mem_alloc(argc * sizeof(*copy) + bytes + 1);
    p = (char *)(copy + argc);
    for (size_t i = 0; i < argc; i++) {
        if (argv[i].n > 0) {
            memcpy(p, argv[i].p, argv[i].n);
        }
        copy[i] = (struct slice){p, argv[i].n};
        p += argv[i].n;
    }
    return copy;
}

void redis_eval(struct redis *r, size_t script, size_t n_keys, const struct slice *argv,
                size_t argc, uint64_t timeout_us, redis_fn fn, void *arg)
{
    struct redis_call *c = redis_call_new(r, timeout_us, fn, arg);
    struct slice *full;
    bool ok;

    CHECK(script < r->c.n_scripts);
    if (r->state != REDIS_STATE_UP || r->calls.count >= REDIS_PENDING_MAX) {
        redis_call_fail_soon(c);
        return;
    }
    c->script = script;
    c->argv = copy_argv(argv, argc);
    c->argc = argc;
    (void)snprintf(c->n_keys, sizeof(c->n_keys), "%zu", n_keys); // fits
    full = mem_zalloc_array(argc + 3, sizeof(*full));
    full[0] = SLICE("EVALSHA");
    full[1] = slice_str(r->sha[script]);
    full[2] = slice_str(c->n_keys);
    memcpy(full + 3, c->argv, argc * sizeof(*full));
    ok = redis_call_submit(r, c, full, argc + 3);
    mem_free(full);
    if (ok) {
        list_push_back(&r->calls, &c->node);
    } else {
        redis_call_fail_soon(c);
    }
}

void redis_forget(struct redis *r, const void *arg)
{
    list_foreach (n, &r->calls) {
        struct redis_call *c = container_of(n, struct redis_call, node);

        if (c->arg == arg) {
            c->fn = NULL;
        }
    }
    list_foreach (n, &r->failed) {
        struct redis_call *c = container_of(n, struct redis_call, node);

        if (c->arg == arg) {
            c->fn = NULL;
        }
    }
}

void redis_call_fail_all(struct redis *r)
{
    struct err e;
    struct list_node *n;
    // Only those of now: a caller that tries again at once waits for the next turn.
    size_t count = r->failed.count;

    err_set(&e, ERR_UNAVAILABLE, "%s is not reachable", r->name);
    for (; count > 0 && (n = list_pop_front(&r->failed)) != NULL; count--) {
        struct redis_call *c = container_of(n, struct redis_call, node);

        call_tell(c, NULL, &e);
        call_free(c);
    }
    if (r->failed.count > 0) {
        loop_post(r->loop, &r->task);
    }
}

// --- replies ------------------------------------------------------------------------------------

static const redisReply *answer_of(const struct redis_reply *r)
{
    return (const redisReply *)(const void *)r;
}

enum redis_type redis_type(const struct redis_reply *r)
{
    switch (answer_of(r)->type) {
    case REDIS_REPLY_STRING:
        return REDIS_TEXT;
    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR: // only inside a list
        return REDIS_STATUS;
    case REDIS_REPLY_INTEGER:
        return REDIS_INT;
    case REDIS_REPLY_ARRAY:
        return REDIS_LIST;
    default:
        return REDIS_NIL;
    }
}

struct slice redis_text(const struct redis_reply *r)
{
    const redisReply *a = r == NULL ? NULL : answer_of(r);

    if (a == NULL || a->str == NULL ||
        (a->type != REDIS_REPLY_STRING && a->type != REDIS_REPLY_STATUS)) {
        return SLICE_NULL;
    }
    return (struct slice){a->str, a->len};
}

int64_t redis_int(const struct redis_reply *r)
{
    struct slice s;
    uint64_t v;
    bool negative;

    if (r == NULL) {
        return 0;
    }
    if (answer_of(r)->type == REDIS_REPLY_INTEGER) {
        return answer_of(r)->integer;
    }
    s = redis_text(r);
    negative = s.n > 0 && s.p[0] == '-';
    if (!slice_to_u64(negative ? slice_from(s, 1) : s, &v) || v > INT64_MAX) {
        return 0;
    }
    return negative ? -(int64_t)v : (int64_t)v;
}

size_t redis_count(const struct redis_reply *r)
{
    return r == NULL || answer_of(r)->type != REDIS_REPLY_ARRAY ? 0 : answer_of(r)->elements;
}

const struct redis_reply *redis_item(const struct redis_reply *r, size_t i)
{
    if (i >= redis_count(r)) {
        return NULL;
    }
    return (const struct redis_reply *)(const void *)answer_of(r)->element[i];
}
