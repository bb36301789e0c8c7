// SPDX-License-Identifier: Apache-2.0
// The connection of the hiredis adapter. hiredis does the protocol and the socket; this file gives
// it addresses that are numeric already (its own connect would resolve names on the loop's thread),
// and a life after a lost connection.
//
// hiredis frees a context only from redisAsyncFree or from inside its own Handle functions; both
// end in on_disconnect or a failed on_connect, which let go of r->ac. Nothing here calls
// redisAsyncFree from inside one of its callbacks: it is always done from a timer or a task.
#include "common/io/redis.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/secret.h"
#include "common/io/redis_priv.h"

#define GREETING_US    (2 * MONO_SEC)   // from the first SYN to UP
#define BACKOFF_MIN_US (50 * MONO_MS)   // first pause
#define BACKOFF_MAX_US (1000 * MONO_MS) // a restarted Redis is found again within a second

static void begin(struct redis *r);

// The connection is no more (or never was): wait, then try again.
static void back_off(struct redis *r, const char *reason)
{
    uint64_t wait = r->backoff_us;

    r->state = REDIS_STATE_DOWN;
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
    r->state = REDIS_STATE_LOST;
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
    if (r->hurry && r->state == REDIS_STATE_DOWN) {
        loop_timer_set(r->loop, &r->timer, loop_now_us(r->loop));
    }
    r->hurry = false;
    redis_call_fail_all(r);
}

static void on_timer(struct loop_timer *t)
{
    struct redis *r = container_of(t, struct redis, timer);

    switch (r->state) {
    case REDIS_STATE_DOWN:
        begin(r);
        break;
    case REDIS_STATE_RESOLVING:
        dns_cancel(&r->query);
        back_off(r, "its name was not found in time");
        break;
    case REDIS_STATE_CONNECTING:
    case REDIS_STATE_GREETING:
        close_now(r);
        back_off(r, "it did not answer the greeting in time");
        break;
    case REDIS_STATE_UP:
    case REDIS_STATE_LOST:
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
    r->state = REDIS_STATE_UP;
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
    struct redis_call *c = redis_call_new(r, 0, fn, r);

    r->greetings++;
    if (redis_call_submit(r, c, argv, argc)) {
        list_push_back(&r->calls, &c->node);
    } else {
        redis_call_fail_soon(c);
    }
}

static void greet(struct redis *r)
{
    char db[16];

    r->state = REDIS_STATE_GREETING;
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
    r->state = REDIS_STATE_CONNECTING;
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
    r->state = REDIS_STATE_RESOLVING;
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
    if (dns_is_numeric(slice_str(r->place.host)) && strlen(r->place.host) < REDIS_ADDRESS_MAX) {
        (void)snprintf(r->address, sizeof(r->address), "%s", r->place.host);
        return true;
    }
    r->dns = dns_new(r->loop, e);
    return r->dns != NULL;
}

struct redis *redis_new(struct loop *l, const struct redis_config *c, struct err *e)
{
    struct redis *r = mem_zalloc(sizeof(*r));

    CHECK(c->n_scripts <= REDIS_SCRIPTS_MAX);
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
    r->state = REDIS_STATE_DOWN;
    while (r->failed.count > 0) {
        redis_call_fail_all(r);
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
    return r->state == REDIS_STATE_UP;
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
