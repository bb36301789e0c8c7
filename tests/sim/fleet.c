// SPDX-License-Identifier: Apache-2.0
// A request:   fleet_send --> admit --> OK --> (hold) --> settle
//                              ^  `---> DENIED
//                              |  `---> PARKED --wake or parked_until--+
//                              +--------------------------------------+
// A question:  ask --link turn--> on the way --delay--> the script --delay--> limit_store_granted
//                                     `--lost, or over 100 ms in all--> limit_store_lost
#include "tests/sim/fleet.h"

#include <stdio.h>
#include <string.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "dataplane/book.h"

#define LINK_TURN_US   30u
#define LINK_GIVEUP_US (100 * MONO_MS) // asks.c
#define DOWN_US        (2 * MONO_SEC)  // a killed proxy
#define DRIFT          200e-6          // of a proxy's clock, at most

struct proxy {
    struct fleet *f;
    char name[32];
    struct limit_store *store; // NULL: it is down
    uint64_t life;             // counts its starts
    uint64_t offset_us;        // of its clock
    double drift;
    struct question *next; // what is asked in this turn of its link, owned
};

struct question {
    struct proxy *p;
    uint64_t life;
    char holder[BOOK_HOLDER + 1];
    struct arena arena;
    struct message_lease_item items[256]; // ids in the arena
    size_t n;
    uint64_t sent_us;
    bool lost, answered, refused;
    struct message_grant *grants;
    size_t n_grants;
};

struct request {
    struct limit_pass pass; // first
    struct proxy *p;
    uint64_t life;
    struct fleet_request r;
    unsigned events; // on their way to it
    uint64_t tries;  // admissions asked for: an older timer is out of date
    bool parked;     // a wake may also come when it has been admitted by its timer
    bool over;
};

struct fleet {
    struct fleet_config c;
    struct rng rng;
    struct proxy *proxies;
    struct fleet_stats stats;
};

static uint64_t clock_of(const struct proxy *p)
{
    uint64_t now = p->f->c.events->now_us;

    return p->offset_us + now + (uint64_t)(int64_t)((double)now * p->drift);
}

static uint64_t delay(struct fleet *f)
{
    uint64_t most = f->c.delay_us * (rng_below(&f->rng, 100) == 0 ? 100 : 1);

    return f->c.delay_us / 10 + rng_below(&f->rng, most + 1);
}

static bool chance(struct fleet *f, double p)
{
    return rng_unit(&f->rng) < p;
}

static void later(struct fleet *f, uint64_t us, event_fn fn, void *arg, uint64_t n)
{
    events_add(f->c.events, f->c.events->now_us + us, fn, arg, n);
}

// --- questions ----------------------------------------------------------------------------------

static void question_free(struct question *q)
{
    arena_done(&q->arena);
    mem_free(q);
}

static bool is_gone(const struct question *q)
{
    return q->p->store == NULL || q->p->life != q->life;
}

static struct limit_ask as_asked(const struct message_lease_item *m)
{
    return (struct limit_ask){.limit_id = m->limit_id,
                              .want = m->want,
                              .returned = m->returned,
                              .debt = m->debt,
                              .window = m->window,
                              .batch = m->batch,
                              .unit = m->unit,
                              .period = m->period,
                              .no = m->no,
                              .since = m->since,
                              .taken = m->taken};
}

static void on_given_up(void *arg, uint64_t n)
{
    struct question *q = arg;

    (void)n;
    q->p->f->stats.lost += q->n;
    for (size_t i = 0; i < q->n && !is_gone(q); i++) {
        const struct limit_ask a = as_asked(&q->items[i]);

        limit_store_lost(q->p->store, &a, 1, clock_of(q->p));
    }
    question_free(q);
}

// leases.c has an answer (in real time, while virtual time stands still).
static void on_script(void *arg, const struct message_lease_grant *g)
{
    struct question *q = arg;

    q->answered = true;
    q->refused = g == NULL;
    q->n_grants = g == NULL ? 0 : g->n_grants;
    q->grants = arena_zalloc(&q->arena, (q->n_grants + 1) * sizeof(*q->grants));
    for (size_t i = 0; g != NULL && i < q->n_grants; i++) {
        q->grants[i] = g->grants[i];
        q->grants[i].limit_id = arena_strdup(&q->arena, g->grants[i].limit_id);
    }
}

// The answer reaches the proxy.
static void on_answer(void *arg, uint64_t n)
{
    struct question *q = arg;

    plane_wait(q->p->f->c.plane, &q->answered);
    CHECK(!q->refused);
    if (q->lost) {
        on_given_up(q, n);
        return;
    }
    for (size_t i = 0; i < q->n_grants && !is_gone(q); i++) {
        const struct message_grant *m = &q->grants[i];
        struct limit_grant g = {.limit_id = slice_str(m->limit_id),
                                .granted = m->granted,
                                .lease_us = m->lease_us,
                                .remaining = m->remaining,
                                .limit = m->amount,
                                .empty_us = m->empty_until_us,
                                .reset_us = m->reset_us,
                                .window = m->window,
                                .batch = m->batch};

        limit_store_granted(q->p->store, &g, 1, clock_of(q->p));
    }
    question_free(q);
}

static void on_arrival(void *arg, uint64_t n)
{
    struct question *q = arg;
    struct fleet *f = q->p->f;
    struct message_lease_request r = {
        .proxy = q->p->name, .items = q->items, .n_items = q->n, .holder = q->holder};
    uint64_t back_us = delay(f), took_us = f->c.events->now_us - q->sent_us + back_us;

    (void)n;
    plane_ask(f->c.plane, (unsigned)rng_below(&f->rng, 2), &r, on_script, q);
    if (chance(f, f->c.loss) || took_us > LINK_GIVEUP_US) {
        q->lost = true;
        back_us += took_us < LINK_GIVEUP_US ? LINK_GIVEUP_US - took_us : 0;
    }
    later(f, back_us, on_answer, q, 0);
}

static void on_link_turn(void *arg, uint64_t life)
{
    struct proxy *p = arg;
    struct question *q = p->next;

    if (q == NULL || q->life != life) {
        return; // killed meanwhile
    }
    p->next = NULL;
    q->sent_us = p->f->c.events->now_us;
    p->f->stats.asked += q->n;
    if (chance(p->f, p->f->c.loss)) {
        later(p->f, LINK_GIVEUP_US, on_given_up, q, 0);
    } else {
        later(p->f, delay(p->f), on_arrival, q, 0);
    }
}

static bool ask(void *arg, const struct limit_ask *items, size_t n)
{
    struct proxy *p = arg;
    struct question *q = p->next;

    if (q == NULL) {
        q = p->next = mem_zalloc(sizeof(*q));
        q->p = p;
        q->life = p->life;
        (void)snprintf(q->holder, sizeof(q->holder), "%s", limit_store_holder(p->store));
        arena_init(&q->arena, 1024, 0);
        later(p->f, LINK_TURN_US, on_link_turn, p, p->life);
    }
    for (size_t i = 0; i < n; i++) {
        CHECK(q->n < ARRAY_LEN(q->items));
        q->items[q->n++] =
            (struct message_lease_item){.limit_id = arena_strdup(&q->arena, items[i].limit_id),
                                        .want = items[i].want,
                                        .returned = items[i].returned,
                                        .debt = items[i].debt,
                                        .window = items[i].window,
                                        .batch = items[i].batch,
                                        .unit = items[i].unit,
                                        .no = items[i].no,
                                        .since = items[i].since,
                                        .again = items[i].again,
                                        .taken = items[i].taken,
                                        .period = items[i].period};
    }
    return true;
}

// --- requests -----------------------------------------------------------------------------------

static void end(struct request *r)
{
    r->over = true;
    if (r->events == 0) {
        mem_free(r);
    }
}

// An event has come to it. False: there is nothing more to do.
static bool arrived(struct request *r)
{
    r->events--;
    if (!r->over && (r->p->store == NULL || r->p->life != r->life)) {
        r->p->f->stats.dropped++;
        r->over = true;
    }
    if (r->over) {
        end(r);
        return false;
    }
    return true;
}

static void to_request(struct request *r, uint64_t us, event_fn fn, uint64_t n)
{
    r->events++;
    later(r->p->f, us, fn, r, n);
}

static void on_settle(void *arg, uint64_t n)
{
    struct request *r = arg;

    (void)n;
    if (arrived(r)) {
        limit_settle(r->p->store, &r->pass, r->r.refund, r->r.used_tokens, r->r.used_nano);
        end(r);
    }
}

static void on_again(void *arg, uint64_t tries);

static void admit(struct request *r)
{
    struct fleet *f = r->p->f;
    uint64_t now = clock_of(r->p);

    r->tries++;
    r->parked = false;
    switch (limit_admit(r->p->store, &r->pass, &r->r.q, now)) {
    case LIMIT_OK:
        f->stats.admitted++;
        f->stats.parked += r->pass.parked_us != 0;
        f->stats.parked_us_sum += r->pass.parked_us;
        f->stats.parked_us_max =
            r->pass.parked_us > f->stats.parked_us_max ? r->pass.parked_us : f->stats.parked_us_max;
        if (r->pass.open) { // a question had no answer: as on_control_loss says, beyond every bound
            f->stats.open++;
        } else {
            r->r.on_admitted(r->r.arg, &r->r);
        }
        to_request(r, r->r.hold_us, on_settle, 0);
        break;
    case LIMIT_DENIED:
        f->stats.denied++;
        end(r);
        break;
    case LIMIT_PARKED:
        r->parked = true;
        to_request(r, r->pass.parked_until_us > now ? r->pass.parked_until_us - now : 0, on_again,
                   r->tries);
        break;
    }
}

// It was woken (0), or its time is over.
static void on_again(void *arg, uint64_t tries)
{
    struct request *r = arg;

    if (arrived(r) && r->parked && (tries == 0 || tries == r->tries)) {
        admit(r);
    }
}

static void on_wake(struct limit_pass *pass)
{
    struct request *r = container_of(pass, struct request, pass);

    to_request(r, 0, on_again, 0);
}

void fleet_send(struct fleet *f, size_t proxy, const struct fleet_request *what)
{
    struct proxy *p = &f->proxies[proxy];
    struct request *r;

    f->stats.requests++;
    if (p->store == NULL) {
        f->stats.dropped++;
        return;
    }
    r = mem_zalloc(sizeof(*r));
    r->p = p;
    r->life = p->life;
    r->r = *what;
    r->pass.wake = on_wake;
    admit(r);
}

// --- proxies ------------------------------------------------------------------------------------

static void on_second(void *arg, uint64_t life)
{
    struct proxy *p = arg;

    if (p->store != NULL && p->life == life) {
        limit_store_tick(p->store, clock_of(p));
        later(p->f, MONO_SEC, on_second, p, life);
    }
}

static void start(void *arg, uint64_t n)
{
    struct proxy *p = arg;

    (void)n;
    p->life++;
    p->store = limit_store_new(&(const struct limit_config){.ask = ask, .arg = p});
    later(p->f, rng_below(&p->f->rng, MONO_SEC), on_second, p, p->life);
}

static void stop(struct proxy *p)
{
    limit_store_free(&p->store);
    if (p->next != NULL) {
        question_free(p->next);
        p->next = NULL;
    }
}

static void on_kill(void *arg, uint64_t n)
{
    struct fleet *f = arg;
    struct proxy *p = &f->proxies[rng_below(&f->rng, f->c.n)];

    (void)n;
    if (p->store != NULL) {
        f->stats.kills++;
        stop(p);
        later(f, DOWN_US, start, p, 0);
    }
    later(f, f->c.kill_each_us, on_kill, f, 0);
}

struct fleet *fleet_new(const struct fleet_config *c)
{
    struct fleet *f = mem_zalloc(sizeof(*f));

    f->c = *c;
    rng_init(&f->rng, c->seed);
    f->proxies = mem_zalloc_array(c->n, sizeof(*f->proxies));
    for (size_t i = 0; i < c->n; i++) {
        struct proxy *p = &f->proxies[i];

        p->f = f;
        (void)snprintf(p->name, sizeof(p->name), "proxy-%zu", i);
        p->offset_us = MONO_SEC + rng_below(&f->rng, 1000000 * MONO_SEC);
        p->drift = DRIFT * (2 * rng_unit(&f->rng) - 1);
        start(p, 0);
    }
    if (c->kill_each_us != 0) {
        later(f, c->kill_each_us, on_kill, f, 0);
    }
    return f;
}

// Requests and questions still on their way are let run out first.
void fleet_free(struct fleet **fp)
{
    struct fleet *f = *fp;

    if (f == NULL) {
        return;
    }
    *fp = NULL;
    f->c.kill_each_us = UINT64_MAX / 4;
    for (size_t i = 0; i < f->c.n; i++) {
        stop(&f->proxies[i]);
    }
    while (events_step(f->c.events, f->c.events->now_us + 600 * MONO_SEC)) {
    }
    for (size_t i = 0; i < f->c.n; i++) {
        stop(&f->proxies[i]); // killed ones have come back
    }
    mem_free(f->proxies);
    mem_free(f);
}

const struct fleet_stats *fleet_stats(const struct fleet *f)
{
    return &f->stats;
}
