// SPDX-License-Identifier: Apache-2.0
// Workers: making, running, ending them, and what reaches them from other threads.
//
//   link's thread  --worker_publish--> incoming of each worker (atomic): the next request sees it
//   another worker --socket----------> mailbox        limits' thread --wake--> mailbox
//   main           --phase, dump-----> mailbox
//
// A mailbox may be full; the phase, which must not be lost, is read from the shared state, the
// message is only a poke, and the tick looks once a second as well (at the next snapshot too: a
// worker without requests must not keep the old one).
//
//   phase      listener        new requests          requests in flight
//   SERVING    open            served                run
//   LEAVING    open            served, not ready     run
//   DRAINING   closed          on open connections   run, `connection: close`
//   ENDING     closed          503                   fail or are cut; after END_US connections are
//                                                    aborted and the thread ends
#include "dataplane/worker.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/proc.h"
#include "dataplane/front.h"
#include "dataplane/link.h"
#include "dataplane/metrics.h"
#include "dataplane/req.h"

#define MAILBOX_MAX 65536u
// An upstream head: of the client's own at most header-memory (1 MiB), and of the provider's
// resource.
#define SCRATCH_MAX      ((size_t)2 * 1024 * 1024)
#define DAEMONS_MAX      512u // of libmicrohttpd, made as they are needed
#define CONNS_PER_DAEMON 16u
#define END_US           MONO_SEC
#define TICK_US          MONO_SEC
#define KEEP_ALIVE_US    (15 * MONO_SEC)

enum msg_kind { MSG_POKE, MSG_SOCKET, MSG_WAKE, MSG_DUMP };

// Answers of all workers to one question about requests in flight.
struct dump {
    _Atomic unsigned left;
    struct buf *parts; // owned, one a worker
    unsigned n;
    void (*fn)(void *arg, struct buf *json);
    void *arg;
};

struct worker_msg {
    struct mbox_msg base;
    enum msg_kind kind;
    union {
        int fd;
        struct req *r; // borrowed: see req.c on zombies
        struct dump *dump;
    } u;
};

// --- requests in flight ------------------------------------------------------------------------

static void merge_dump(struct dump *d)
{
    struct buf all;
    bool first = true;

    buf_init(&all, SIZE_MAX / 8);
    buf_append_char(&all, '[');
    for (unsigned i = 0; i < d->n; i++) {
        if (d->parts[i].n > 0) {
            buf_append_str(&all, first ? "" : ",");
            buf_append(&all, buf_slice(&d->parts[i]));
            first = false;
        }
        buf_done(&d->parts[i]);
    }
    buf_append_str(&all, "]\n");
    d->fn(d->arg, &all);
    buf_done(&all);
    mem_free(d->parts);
    mem_free(d);
}

static void answer_dump(struct worker *w, struct dump *d)
{
    struct buf *out = &d->parts[w->index];
    uint64_t now = loop_now_us(w->loop);

    list_foreach (n, &w->active) {
        if (out->n > 0) {
            buf_append_char(out, ',');
        }
        req_describe(req_from_node(n), now, out);
    }
    if (atomic_fetch_sub(&d->left, 1) == 1) {
        merge_dump(d);
    }
}

void worker_dump(struct worker_shared *s, void (*fn)(void *arg, struct buf *json), void *arg)
{
    struct dump *d = mem_zalloc(sizeof(*d));

    d->n = s->n_workers;
    d->parts = mem_zalloc_array(d->n, sizeof(*d->parts));
    d->fn = fn;
    d->arg = arg;
    atomic_init(&d->left, d->n);
    for (unsigned i = 0; i < d->n; i++) {
        buf_init(&d->parts[i], SIZE_MAX / 8);
    }
    unsigned n = d->n; // d may be gone after the last send
    for (unsigned i = 0; i < n; i++) {
        struct worker_msg *m = mem_zalloc(sizeof(*m));

        m->kind = MSG_DUMP;
        m->u.dump = d;
        if (!mbox_send(s->workers[i]->mbox, &m->base)) {
            mem_free(m); // this worker is swamped: its part stays empty
            if (atomic_fetch_sub(&d->left, 1) == 1) {
                merge_dump(d);
            }
        }
    }
}

// --- snapshots and phases ----------------------------------------------------------------------

struct snapshot *worker_snapshot(struct worker *w)
{
    struct snapshot *latest;
    uint64_t began_us;

    if (atomic_load(&w->incoming) == NULL) { // nearly always: only read what all workers read
        return w->snapshot;
    }
    latest = atomic_exchange(&w->incoming, NULL); // only this thread takes from it
    began_us = mono_thread_cpu_us();
    facts_memo_reset(&w->facts, latest);
    snapshot_unref(&w->snapshot);
    w->snapshot = latest;
    metrics_config_taken(w->metrics, mono_thread_cpu_us() - began_us);
    return latest;
}

static void cut_requests(struct worker *w)
{
    list_foreach_safe (n, &w->active) {
        req_on_ending(req_from_node(n));
    }
    w->end_at_us = loop_now_us(w->loop) + END_US;
    loop_timer_set(w->loop, &w->tick, loop_now_us(w->loop) + 5 * MONO_MS);
}

static void take_phase(struct worker *w)
{
    enum worker_phase p = worker_phase(w->shared);

    if (p >= WORKER_LEAVING && w->phase < WORKER_LEAVING) {
        httpd_leave(w->httpd);
    }
    if (p >= WORKER_DRAINING && w->phase < WORKER_DRAINING) {
        httpd_drain(w->httpd);
    }
    if (p == WORKER_ENDING && w->phase < WORKER_ENDING) {
        cut_requests(w);
    }
    w->phase = p;
}

static void poke_all(struct worker_shared *s)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct worker_msg *m;

        if (s->workers[i] == NULL || s->workers[i]->mbox == NULL) {
            continue; // worker_setup failed on the way
        }
        m = mem_zalloc(sizeof(*m));
        m->kind = MSG_POKE;
        if (!mbox_send(s->workers[i]->mbox, &m->base)) {
            mem_free(m); // the tick will look
        }
    }
}

void worker_publish(struct worker_shared *s, struct snapshot *snap)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct snapshot *old = atomic_exchange(&s->workers[i]->incoming, snapshot_ref(snap));

        snapshot_unref(&old); // this worker has been busy since
    }
    atomic_store(&s->config_seq, snapshot_seq(snap));
}

void worker_set_phase(struct worker_shared *s, enum worker_phase p)
{
    if ((int)p > atomic_load(&s->phase)) {
        atomic_store(&s->phase, (int)p);
        poke_all(s);
    }
}

enum worker_phase worker_phase(const struct worker_shared *s)
{
    return (enum worker_phase)atomic_load(&s->phase);
}

bool worker_is_ready(const struct worker_shared *s)
{
    return atomic_load(&s->config_seq) != 0 && worker_phase(s) == WORKER_SERVING;
}

size_t worker_in_flight(const struct worker_shared *s)
{
    size_t n = 0;

    for (unsigned i = 0; i < s->n_workers; i++) {
        n += atomic_load(&s->workers[i]->in_flight);
    }
    return n;
}

// --- sockets -----------------------------------------------------------------------------------

bool worker_on_accept(void *arg, int fd)
{
    struct worker *w = arg;
    struct worker_shared *s = w->shared;
    size_t mine = httpd_connections(w->httpd), least = SIZE_MAX;
    struct worker *to = NULL;

    for (unsigned i = 0; i < s->n_workers; i++) {
        size_t n = atomic_load_explicit(&s->workers[i]->connections, memory_order_relaxed);

        if (s->workers[i] != w && n < least) {
            least = n;
            to = s->workers[i];
        }
    }
    if (to == NULL || mine * 4 <= least * 5 + 32) {
        return true;
    }
    struct worker_msg *m = mem_zalloc(sizeof(*m));
    m->kind = MSG_SOCKET;
    m->u.fd = fd;
    // Counted at once, so that a burst is not handed to it as a whole, and before it can have the
    // message: the end of its turn says how many there are, and that must not be before this.
    (void)atomic_fetch_add_explicit(&to->connections, 1, memory_order_relaxed);
    if (!mbox_send(to->mbox, &m->base)) {
        mem_free(m);
        return true; // it is swamped; the end of its turn corrects the count
    }
    return false;
}

void worker_count_refusal(struct worker *w, enum httpd_refusal why)
{
    static const unsigned status[] = {[HTTPD_BAD_FRAMING] = 400,
                                      [HTTPD_HEAD_TOO_LARGE] = 431,
                                      [HTTPD_BODY_TOO_LARGE] = 413,
                                      [HTTPD_OVERLOADED] = 503};
    struct metrics_sample m = {.route = SLICE("refused"), .status = status[why]};

    metrics_request(w->metrics, &m);
}

// --- the mailbox -------------------------------------------------------------------------------

struct mbox_msg *worker_wake_new(struct req *r)
{
    struct worker_msg *m = mem_zalloc(sizeof(*m));

    m->kind = MSG_WAKE;
    m->u.r = r;
    return &m->base;
}

void worker_wake_free(struct mbox_msg **m)
{
    mem_free(*m == NULL ? NULL : container_of(*m, struct worker_msg, base));
    *m = NULL;
}

static void on_message(void *arg, struct mbox_msg *base)
{
    struct worker *w = arg;
    struct worker_msg *m = container_of(base, struct worker_msg, base);

    switch (m->kind) {
    case MSG_WAKE:
        req_on_wake(m->u.r); // m belongs to the request
        return;
    case MSG_POKE:
        if (w->httpd != NULL) { // NULL: closing down
            take_phase(w);
        }
        break;
    case MSG_SOCKET:
        if (w->httpd != NULL) {
            httpd_give(w->httpd, m->u.fd);
        } else {
            (void)close(m->u.fd); // ending; nothing to be done about an error
        }
        break;
    case MSG_DUMP:
        answer_dump(w, m->u.dump);
        break;
    }
    mem_free(m);
}

// --- the thread --------------------------------------------------------------------------------

static bool on_turn_end(struct loop_hook *h, uint64_t *ret_next_us)
{
    struct worker *w = container_of(h, struct worker, publish);

    atomic_store_explicit(&w->connections, httpd_connections(w->httpd), memory_order_relaxed);
    atomic_store_explicit(&w->in_flight, w->active.count, memory_order_relaxed);
    *ret_next_us = UINT64_MAX;
    return false;
}

static void report(struct worker *w)
{
    struct metrics_gauges g = {
        .in_flight = w->active.count,
        .connections = httpd_connections(w->httpd),
        .upstream_idle = upstream_idle(w->upstream),
        .upstream_active = upstream_active(w->upstream),
        .loop_lag_us = loop_take_lag_us(w->loop),
    };

    metrics_gauges(w->metrics, &g);
    log_access_flush();
}

static void on_tick(struct loop_timer *t)
{
    struct worker *w = container_of(t, struct worker, tick);
    uint64_t now = loop_now_us(w->loop);

    (void)worker_snapshot(w);
    take_phase(w);
    if (w->phase == WORKER_ENDING) {
        if (w->active.count == 0 || now >= w->end_at_us) {
            loop_stop(w->loop);
            return;
        }
        loop_timer_set(w->loop, t, now + 5 * MONO_MS);
        return;
    }
    report(w);
    loop_timer_set(w->loop, t, now + TICK_US);
}

static void free_pool(struct worker *w)
{
    struct list_node *n;

    while ((n = list_pop_front(&w->pool)) != NULL) {
        req_destroy(req_from_node(n));
    }
}

// Aborting what is left makes httpd call on_gone and on_done; a few turns let the machine account
// for it. mbox_free hands over what is under way, among it the wakes of zombies.
static void close_down(struct worker *w)
{
    if (w->httpd != NULL) {
        loop_hook_remove(w->loop, &w->publish);
        httpd_free(&w->httpd);
        for (int i = 0; i < 8 && w->active.count > 0; i++) {
            loop_turn(w->loop, 0);
        }
        CHECK(w->active.count == 0);
    }
    mbox_free(&w->mbox);
    free_pool(w);
    upstream_free(&w->upstream);
    struct snapshot *unseen = atomic_exchange(&w->incoming, NULL);

    snapshot_unref(&unseen);
    snapshot_unref(&w->snapshot);
    metrics_free(&w->metrics);
    buf_done(&w->scratch);
    if (w->loop != NULL) {
        loop_timer_cancel(w->loop, &w->tick);
        loop_free(&w->loop);
    }
}

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    char name[16];

    (void)snprintf(name, sizeof(name), "worker-%u", w->index);
    proc_name_thread(name);
    loop_timer_set(w->loop, &w->tick, loop_now_us(w->loop) + TICK_US);
    loop_run(w->loop);
    report(w);
    return NULL;
}

// --- making ------------------------------------------------------------------------------------

bool worker_init_bare(struct worker *w, struct worker_shared *s, struct loop *l, struct err *e)
{
    *w = (struct worker){.shared = s, .loop = l, .keep_alive_us = KEEP_ALIVE_US};
    list_init(&w->active);
    list_init(&w->pool);
    rng_init(&w->rng, 0);
    retry_budget_init(&w->retry);
    buf_init(&w->scratch, SCRATCH_MAX);
    w->metrics = metrics_new(s->metrics);
    w->tick.fn = on_tick;
    w->publish.fn = on_turn_end;
    w->mbox = mbox_new(l, MAILBOX_MAX, on_message, w, e);
    return w->mbox != NULL;
}

void worker_done_bare(struct worker *w)
{
    close_down(w);
}

static bool listen_on(struct worker *w, uint16_t port, struct err *e)
{
    const struct worker_config *c = &w->shared->conf;
    size_t share = c->max_connections / w->shared->n_workers;
    struct httpd_config h = {
        .address = c->address,
        .port = port,
        .reuse_port = true,
        .exclusive = w->index == 0, // the others join it
        .daemons = DAEMONS_MAX,
        .header_memory = c->header_memory,
        .max_body = c->max_body,
        .max_connections = share,
        .idle_timeout_us = c->idle_timeout_us,
        .budget = &w->shared->budget,
        .tls_cert_pem = c->tls_cert_pem,
        .tls_key_pem = c->tls_key_pem,
        .on = front_handlers,
        .arg = w,
    };

    if (share > 0 && share / CONNS_PER_DAEMON < DAEMONS_MAX) {
        h.daemons = (unsigned)(share / CONNS_PER_DAEMON) + 1;
    }
    if (w->shared->n_workers == 1) {
        h.on.on_accept = NULL; // nobody to hand a socket to
    }
    w->httpd = httpd_new(w->loop, &h, e);
    if (w->httpd == NULL) {
        return false;
    }
    loop_hook_add(w->loop, &w->publish);
    return true;
}

static bool setup_one(struct worker_shared *s, unsigned i, struct err *e)
{
    struct loop *l = loop_new(e);
    struct worker *w = mem_zalloc(sizeof(*w));

    s->workers[i] = w;
    if (l == NULL) {
        return false;
    }
    if (!worker_init_bare(w, s, l, e)) {
        return false;
    }
    w->index = i;
    w->upstream = upstream_new(l, &s->conf.upstream, e);
    return w->upstream != NULL && listen_on(w, i == 0 ? s->conf.port : worker_port(s), e);
}

bool worker_setup(struct worker_shared *s, unsigned n, struct err *e)
{
    s->workers = mem_zalloc_array(n, sizeof(struct worker *));
    s->n_workers = n;
    s->budget.max = s->conf.max_buffered;
    for (unsigned i = 0; i < n; i++) {
        if (!setup_one(s, i, e)) {
            return false;
        }
    }
    return true;
}

bool worker_start(struct worker_shared *s, struct err *e)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        if (pthread_create(&s->workers[i]->thread, NULL, thread_main, s->workers[i]) != 0) {
            return err_set(e, ERR_IO, "cannot start a worker thread");
        }
        s->workers[i]->running = true;
    }
    return true;
}

// Threads first, all of them: one may still send to another's mailbox.
void worker_teardown(struct worker_shared *s)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct worker *w = s->workers[i];

        if (w != NULL && w->running) {
            (void)pthread_join(w->thread, NULL); // only fails for a thread that is not one
            w->running = false;
        }
    }
    for (unsigned i = 0; i < s->n_workers; i++) {
        if (s->workers[i] != NULL && s->workers[i]->loop != NULL) {
            close_down(s->workers[i]);
        }
        mem_free(s->workers[i]);
    }
    mem_free(s->workers);
    s->workers = NULL;
    s->n_workers = 0;
}

uint16_t worker_port(const struct worker_shared *s)
{
    return httpd_port(s->workers[0]->httpd);
}
