// SPDX-License-Identifier: Apache-2.0
// The hiredis adapter. hiredis does the protocol and the socket; this file gives it addresses that
// are numeric already (its own connect would resolve names on the loop's thread), deadlines, and a
// life after a lost connection.
//
// A command is a struct call. It dies in hiredis's callback, which comes exactly once: with the
// reply, or with NULL when the connection ends. Its deadline may come before: then the caller is
// told and `fn` emptied, and the call stays behind to swallow the late reply.
//
//   redis_command --(UP)--> hiredis queue --reply--> fn --> freed
//        |                        |--deadline--> fn(ERR_TIMEOUT) ... reply dropped --> freed
//        |                        `--connection lost--> fn(ERR_UNAVAILABLE) --> freed
//        `--(not UP)--> failed list --next turn--> fn(ERR_UNAVAILABLE) --> freed
//
// hiredis frees a context only from redisAsyncFree or from inside its own Handle functions; both
// end in on_disconnect or a failed on_connect, which let go of r->ac. Nothing here calls
// redisAsyncFree from inside one of its callbacks: it is always done from a timer or a task.
#include "common/io/redis.h"

#include <stdio.h>
#include <stdlib.h>

#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/rng.h"
#include "common/base/secret.h"
#include "common/io/dns.h"
#include "common/io/redis_url.h"

#define GREETING_US    (2 * MONO_SEC)   // from the first SYN to UP
#define SILENCE_US     (3 * MONO_SEC)   // a timeout after so long without any reply: reconnect
#define BACKOFF_MIN_US (50 * MONO_MS)   // first pause
#define BACKOFF_MAX_US (1000 * MONO_MS) // a restarted Redis is found again within a second
#define SCRIPTS_MAX    16u

enum state {
    STATE_DOWN,       // waiting for the back-off timer
    STATE_RESOLVING,  // the name is being looked up
    STATE_CONNECTING, // ac is there, not connected yet
    STATE_GREETING,   // connected; AUTH, SELECT, SCRIPT LOAD, PING on their way
    STATE_UP,
    STATE_LOST, // hiredis is handing back what was pending; ac is about to go
};

#define ADDRESS_MAX 64 // of a numeric address

struct call {
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
    enum state state;
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
    char sha[SCRIPTS_MAX][41];
    uint64_t heard_us;
    uint64_t backoff_us;
    struct dns *dns;         // owned; NULL: the host needs no lookup
    struct dns_query *query; // while RESOLVING
    char address[ADDRESS_MAX];
    unsigned tries; // counts connects: the addresses of a name are taken in turn
    struct rng rng;
};

static void begin(struct redis *r);

// --- calls --------------------------------------------------------------------------------------

static void call_free(struct call *c)
{
    loop_timer_cancel(c->r->loop, &c->deadline);
    if (list_in_one(&c->node)) {
        list_remove(&c->r->calls, &c->node);
    }
    mem_free(c->argv);
    mem_free(c);
}

// Tells the caller, once.
static void call_tell(struct call *c, const struct redis_reply *reply, const struct err *e)
{
    redis_fn fn = c->fn;

    c->fn = NULL;
    if (fn != NULL) {
        fn(c->arg, reply, e);
    }
}

static void on_call_deadline(struct loop_timer *t)
{
    struct call *c = container_of(t, struct call, deadline);
    struct redis *r = c->r;
    struct err e;

    err_set(&e, ERR_TIMEOUT, "%s did not answer in time", r->name);
    if (r->state == STATE_UP && loop_now_us(r->loop) - r->heard_us >= SILENCE_US) {
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

// Hands it to hiredis. False: the context does not take commands any more.
static bool submit(struct redis *r, struct call *c, const struct slice *argv, size_t argc)
{
    const char **p = mem_zalloc_array(argc, sizeof(*p));
    size_t *n = mem_zalloc_array(argc, sizeof(*n));
    bool ok;

    for (size_t i = 0; i < argc; i++) {
        p[i] = argv[i].p == NULL ? "" : argv[i].p;
        n[i] = argv[i].n;
    }
    ok = redisAsyncCommandArgv(r->ac, on_reply, c, (int)argc, p, n) == REDIS_OK;
    mem_free(p);
    mem_free(n);
    return ok;
}

// The whole source instead of the digest.
static bool submit_source(struct redis *r, struct call *c)
{
    struct slice *argv = mem_zalloc_array(c->argc + 3, sizeof(*argv));
    bool ok;

    argv[0] = SLICE("EVAL");
    argv[1] = slice_str(r->c.scripts[c->script].source);
    argv[2] = slice_str(c->n_keys);
    memcpy(argv + 3, c->argv, c->argc * sizeof(*argv));
    c->source_sent = true;
    ok = submit(r, c, argv, c->argc + 3);
    mem_free(argv);
    return ok;
}

static void on_reply(redisAsyncContext *ac, void *reply, void *privdata)
{
    struct call *c = privdata;
    struct redis *r = c->r;
    redisReply *answer = reply;
    bool nested = r->in_callback;
    struct err e;

    (void)ac;
    r->in_callback = true;
    if (answer == NULL) {
        // The connection is going: no new commands on it.
        r->state = r->state == STATE_UP ? STATE_LOST : r->state;
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

static struct call *call_new(struct redis *r, uint64_t timeout_us, redis_fn fn, void *arg)
{
    struct call *c = mem_zalloc(sizeof(*c));

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

static void call_fail_soon(struct call *c)
{
    list_push_back(&c->r->failed, &c->node);
    loop_post(c->r->loop, &c->r->task);
}

void redis_command(struct redis *r, const struct slice *argv, size_t argc, uint64_t timeout_us,
                   redis_fn fn, void *arg)
{
    struct call *c = call_new(r, timeout_us, fn, arg);

    if (r->state != STATE_UP || r->calls.count >= REDIS_PENDING_MAX || !submit(r, c, argv, argc)) {
        call_fail_soon(c);
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
    struct call *c = call_new(r, timeout_us, fn, arg);
    struct slice *full;
    bool ok;

    CHECK(script < r->c.n_scripts);
    if (r->state != STATE_UP || r->calls.count >= REDIS_PENDING_MAX) {
        call_fail_soon(c);
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
    ok = submit(r, c, full, argc + 3);
    mem_free(full);
    if (ok) {
        list_push_back(&r->calls, &c->node);
    } else {
        call_fail_soon(c);
    }
}

void redis_forget(struct redis *r, const void *arg)
{
    list_foreach (n, &r->calls) {
        struct call *c = container_of(n, struct call, node);

        if (c->arg == arg) {
            c->fn = NULL;
        }
    }
    list_foreach (n, &r->failed) {
        struct call *c = container_of(n, struct call, node);

        if (c->arg == arg) {
            c->fn = NULL;
        }
    }
}

static void fail_calls(struct redis *r)
{
    struct err e;
    struct list_node *n;
    // Only those of now: a caller that tries again at once waits for the next turn.
    size_t count = r->failed.count;

    err_set(&e, ERR_UNAVAILABLE, "%s is not reachable", r->name);
    for (; count > 0 && (n = list_pop_front(&r->failed)) != NULL; count--) {
        struct call *c = container_of(n, struct call, node);

        call_tell(c, NULL, &e);
        call_free(c);
    }
    if (r->failed.count > 0) {
        loop_post(r->loop, &r->task);
    }
}

// --- connection ---------------------------------------------------------------------------------

// The connection is no more (or never was): wait, then try again.
static void back_off(struct redis *r, const char *reason)
{
    uint64_t wait = r->backoff_us;

    r->state = STATE_DOWN;
    r->backoff_us = wait * 2 < BACKOFF_MAX_US ? wait * 2 : BACKOFF_MAX_US;
    wait = wait / 2 + rng_below(&r->rng, wait / 2 + 1);
    loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop) + wait);
    if (r->was_up) {
        r->was_up = false;
        if (r->c.on_down != NULL) {
            r->c.on_down(r->c.arg, reason);
        }
    }
}

// Closes from a timer or task. Pending callbacks come from inside.
static void close_now(struct redis *r)
{
    redisAsyncContext *ac = r->ac;

    CHECK(!r->in_callback);
    if (ac == NULL) {
        return;
    }
    r->state = STATE_LOST;
    r->ac = NULL; // on_disconnect then knows that it was us
    loop_watch_remove(r->loop, &r->watch);
    redisAsyncFree(ac);
}

static void on_task(struct loop_task *t)
{
    struct redis *r = container_of(t, struct redis, task);

    if (r->drop && r->ac != NULL) {
        char reason[200];

        // A failed greeting says what was wrong; a silent connection says that.
        (void)snprintf(reason, sizeof(reason), "%s",
                       r->greeting_error[0] != '\0' ? r->greeting_error : "it does not answer");
        close_now(r);
        back_off(r, reason);
    }
    r->drop = false;
    if (r->hurry && r->state == STATE_DOWN) {
        loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop));
    }
    r->hurry = false;
    fail_calls(r);
}

static void on_timer(struct loop_timer *t)
{
    struct redis *r = container_of(t, struct redis, timer);

    switch (r->state) {
    case STATE_DOWN:
        begin(r);
        break;
    case STATE_RESOLVING:
        dns_cancel(&r->query);
        back_off(r, "its name was not found in time");
        break;
    case STATE_CONNECTING:
    case STATE_GREETING:
        close_now(r);
        back_off(r, "it did not answer the greeting in time");
        break;
    case STATE_UP:
    case STATE_LOST:
        break;
    }
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct redis *r = ac->data;
    char reason[160];

    (void)status;
    if (r->ac != ac) {
        return; // closed by us
    }
    (void)snprintf(reason, sizeof(reason), "%.150s",
                   ac->errstr != NULL && ac->errstr[0] != '\0' ? ac->errstr
                                                               : "the connection was closed");
    r->ac = NULL;
    loop_watch_remove(r->loop, &r->watch);
    back_off(r, reason);
}

static void greeting_done(struct redis *r)
{
    loop_timer_cancel(r->loop, &r->timer);
    r->state = STATE_UP;
    r->was_up = true;
    r->backoff_us = BACKOFF_MIN_US;
    r->heard_us = mono_now_us();
    if (r->c.on_up != NULL) {
        r->c.on_up(r->c.arg);
    }
}

static void on_greeting(void *arg, const struct redis_reply *reply, const struct err *e)
{
    struct redis *r = arg;

    if (e != NULL) {
        if (r->greeting_error[0] == '\0') {
            (void)snprintf(r->greeting_error, sizeof(r->greeting_error), "%.150s", e->message);
        }
        r->drop = true;
        loop_post(r->loop, &r->task);
        return;
    }
    (void)reply;
    if (--r->greetings == 0 && r->greeting_error[0] == '\0') {
        greeting_done(r);
    }
}

// Replies to SCRIPT LOAD come in the order of the scripts: the next empty place is its.
static void on_script(void *arg, const struct redis_reply *reply, const struct err *e)
{
    struct redis *r = arg;
    struct err bad;

    if (e == NULL) {
        struct slice sha = redis_text(reply);
        size_t i = 0;

        while (i < r->c.n_scripts && r->sha[i][0] != '\0') {
            i++;
        }
        if (sha.n == 40 && i < r->c.n_scripts) {
            memcpy(r->sha[i], sha.p, 40);
            r->sha[i][40] = '\0';
        } else {
            err_set(&bad, ERR_INVALID, "SCRIPT LOAD gave no digest");
            e = &bad;
        }
    }
    on_greeting(arg, reply, e);
}

static void greet_with(struct redis *r, const struct slice *argv, size_t argc, redis_fn fn)
{
    struct call *c = call_new(r, 0, fn, r);

    r->greetings++;
    if (submit(r, c, argv, argc)) {
        list_push_back(&r->calls, &c->node);
    } else {
        call_fail_soon(c);
    }
}

static void greet(struct redis *r)
{
    char db[16];

    r->state = STATE_GREETING;
    r->greetings = 0;
    r->greeting_error[0] = '\0';
    memset(r->sha, 0, sizeof(r->sha));
    if (r->place.password != NULL) {
        struct slice argv[3] = {SLICE("AUTH")};
        size_t n = 1;

        if (r->place.user != NULL) {
            argv[n++] = secret_reveal(r->place.user);
        }
        argv[n++] = secret_reveal(r->place.password);
        greet_with(r, argv, n, on_greeting);
    }
    if (r->place.db != 0) {
        (void)snprintf(db, sizeof(db), "%u", r->place.db); // fits
        greet_with(r, (struct slice[]){SLICE("SELECT"), slice_str(db)}, 2, on_greeting);
    }
    for (size_t i = 0; i < r->c.n_scripts; i++) {
        greet_with(
            r, (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), slice_str(r->c.scripts[i].source)},
            3, on_script);
    }
    greet_with(r, (struct slice[]){SLICE("PING")}, 1, on_greeting);
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis *r = ac->data;

    if (r->ac != ac) {
        return;
    }
    if (status != REDIS_OK) {
        char reason[160];

        (void)snprintf(reason, sizeof(reason), "%.150s", ac->errstr == NULL ? "" : ac->errstr);
        r->ac = NULL; // hiredis frees it when we return
        loop_watch_remove(r->loop, &r->watch);
        back_off(r, reason);
        return;
    }
    greet(r);
}

// hiredis's hooks. They may come for a context that r has let go of already: `watch` is then not
// added and nothing happens.
static void interest(struct redis *r, uint32_t set, uint32_t clear)
{
    r->interest = (r->interest | set) & ~clear;
    if (r->ac != NULL && r->watch.added) {
        loop_watch_set(r->loop, &r->watch, r->interest);
    }
}

static void hook_add_read(void *p)
{
    interest(p, LOOP_READ, 0);
}

static void hook_del_read(void *p)
{
    interest(p, 0, LOOP_READ);
}

static void hook_add_write(void *p)
{
    interest(p, LOOP_WRITE, 0);
}

static void hook_del_write(void *p)
{
    interest(p, 0, LOOP_WRITE);
}

static void hook_cleanup(void *p)
{
    (void)p; // the watch goes where r->ac goes
}

static void on_watch(struct loop_watch *w, uint32_t events)
{
    struct redis *r = container_of(w, struct redis, watch);
    redisAsyncContext *ac = r->ac;

    // Read first: it finds errors and hang-ups; a context that is not connected yet is looked after
    // by either.
    if (ac != NULL && (events & (LOOP_READ | LOOP_ERROR | LOOP_RDHUP)) != 0) {
        redisAsyncHandleRead(ac);
    }
    if (r->ac == ac && ac != NULL && (events & LOOP_WRITE) != 0) {
        redisAsyncHandleWrite(ac);
    }
}

static redisAsyncContext *open_context(const struct redis *r)
{
    if (r->place.path != NULL) {
        return redisAsyncConnectUnix(r->place.path);
    }
    return redisAsyncConnect(r->address, r->place.port);
}

static void connect_now(struct redis *r)
{
    struct err e;
    redisAsyncContext *ac = open_context(r);

    if (ac == NULL || ac->err != 0) {
        char reason[160];

        (void)snprintf(reason, sizeof(reason), "%.150s", ac == NULL ? "out of memory" : ac->errstr);
        if (ac != NULL) {
            redisAsyncFree(ac);
        }
        back_off(r, reason);
        return;
    }
    ac->data = r;
    r->ac = ac;
    r->state = STATE_CONNECTING;
    r->interest = LOOP_WRITE;
    r->watch.fd = ac->c.fd;
    r->watch.fn = on_watch;
    if (!loop_watch_add(r->loop, &r->watch, LOOP_WRITE, &e)) {
        r->ac = NULL;
        redisAsyncFree(ac);
        back_off(r, e.message);
        return;
    }
    ac->ev.data = r;
    ac->ev.addRead = hook_add_read;
    ac->ev.delRead = hook_del_read;
    ac->ev.addWrite = hook_add_write;
    ac->ev.delWrite = hook_del_write;
    ac->ev.cleanup = hook_cleanup;
    (void)redisAsyncSetConnectCallback(ac, on_connect);       // fails only when set twice
    (void)redisAsyncSetDisconnectCallback(ac, on_disconnect); // the same
    loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop) + GREETING_US);
}

static void on_address(void *arg, const char *const *addresses, size_t n, const struct err *e)
{
    struct redis *r = arg;

    r->query = NULL;
    if (n == 0) {
        back_off(r, e->message);
        return;
    }
    (void)snprintf(r->address, sizeof(r->address), "%s", addresses[r->tries++ % n]);
    connect_now(r);
}

// A name is looked up for each connection: it may have moved.
static void begin(struct redis *r)
{
    struct err e;

    if (r->dns == NULL) {
        connect_now(r);
        return;
    }
    r->state = STATE_RESOLVING;
    loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop) + GREETING_US);
    r->query = dns_resolve(r->dns, r->place.host, on_address, r, &e);
    if (r->query == NULL) {
        back_off(r, e.message);
    }
}

static bool prepare_host(struct redis *r, struct err *e)
{
    if (r->place.host == NULL) {
        return true;
    }
    if (dns_is_numeric(slice_str(r->place.host)) && strlen(r->place.host) < ADDRESS_MAX) {
        (void)snprintf(r->address, sizeof(r->address), "%s", r->place.host);
        return true;
    }
    r->dns = dns_new(r->loop, e);
    return r->dns != NULL;
}

struct redis *redis_new(struct loop *l, const struct redis_config *c, struct err *e)
{
    struct redis *r = mem_zalloc(sizeof(*r));

    CHECK(c->n_scripts <= SCRIPTS_MAX);
    r->loop = l;
    if (!redis_url_parse(c->url, &r->place, e) || !prepare_host(r, e)) {
        redis_url_done(&r->place);
        mem_free(r);
        return NULL;
    }
    r->c = *c;
    r->c.url = NULL;
    if (r->place.path != NULL) {
        (void)snprintf(r->name, sizeof(r->name), "unix:%s", r->place.path);
    } else {
        (void)snprintf(r->name, sizeof(r->name), "redis://%s:%u/%u", r->place.host, r->place.port,
                       r->place.db);
    }
    list_init(&r->calls);
    list_init(&r->failed);
    rng_init(&r->rng, 0);
    r->timer.fn = on_timer;
    r->task.fn = on_task;
    r->backoff_us = BACKOFF_MIN_US;
    r->was_up = true; // the first failure is told
    loop_timer_set(l, &r->timer, loop_now_us(l));
    return r;
}

void redis_free(struct redis **rp)
{
    struct redis *r = *rp;

    if (r == NULL) {
        return;
    }
    *rp = NULL;
    r->c.on_down = NULL;
    close_now(r);
    r->state = STATE_DOWN;
    while (r->failed.count > 0) {
        fail_calls(r);
    }
    loop_timer_cancel(r->loop, &r->timer);
    loop_unpost(r->loop, &r->task);
    dns_cancel(&r->query);
    dns_free(&r->dns);
    CHECK(r->calls.count == 0);
    redis_url_done(&r->place);
    mem_free(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->state == STATE_UP;
}

void redis_reconnect(struct redis *r)
{
    r->drop = true;
    r->hurry = true;
    loop_post(r->loop, &r->task);
}

const char *redis_library(void)
{
#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
    return "hiredis " TEXT(HIREDIS_MAJOR) "." TEXT(HIREDIS_MINOR) "." TEXT(HIREDIS_PATCH);
}

const char *redis_name(const struct redis *r)
{
    return r->name;
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
