// SPDX-License-Identifier: Apache-2.0
// One pick among the candidates of a plan.
//
// Candidates stand in groups by (tier, place in the request's provider order). The lowest group
// that has an untried candidate with a healthy target is taken, and the strategy chooses among its
// healthy ones. Where no group has any, the candidates held back only by a guess (ejection, untimed
// cool-down) are used after all: a guess never excludes the last target. Candidates whose provider
// named a time (COOLING, NO_QUOTA) stay out.
#include "dataplane/balance.h"

struct group {
    struct route_candidate *c[ROUTE_CANDIDATES_MAX];
    size_t n;
};

static bool is_usable(const struct route_candidate *c)
{
    return c->excluded == NULL && !c->tried;
}

static bool is_healthy(enum target_status s)
{
    return s == TARGET_OK || s == TARGET_TRIAL;
}

static bool is_guess(enum target_status s)
{
    return s == TARGET_EJECTED || s == TARGET_COOLING_GUESS;
}

static uint32_t rank_of(const struct route_candidate *c)
{
    return (uint32_t)c->tier << 16 | c->order;
}

// The lowest group: healthy candidates, or those held back by a guess.
static void collect(struct route_plan *p, uint64_t now_us, bool guesses, struct group *g)
{
    uint32_t lowest = UINT32_MAX;

    g->n = 0;
    for (size_t i = 0; i < p->n; i++) {
        struct route_candidate *c = &p->candidates[i];
        enum target_status s;

        if (!is_usable(c) || rank_of(c) > lowest) {
            continue;
        }
        s = target_status(c->target, now_us);
        if (guesses ? !is_guess(s) : !is_healthy(s)) {
            continue;
        }
        if (rank_of(c) < lowest) {
            lowest = rank_of(c);
            g->n = 0;
        }
        g->c[g->n++] = c;
    }
}

// A half-open target gets its one trial at once: nothing else would ever find out that it is back.
static struct route_candidate *trial_of(const struct group *g, uint64_t now_us)
{
    for (size_t i = 0; i < g->n; i++) {
        if (target_status(g->c[i]->target, now_us) == TARGET_TRIAL) {
            return g->c[i];
        }
    }
    return NULL;
}

static struct route_candidate *by_weight(const struct group *g, struct rng *rng)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < g->n; i++) {
        sum += g->c[i]->weight;
    }
    if (sum == 0) {
        return g->c[rng_below(rng, g->n)];
    }
    uint64_t at = rng_below(rng, sum);
    for (size_t i = 0; i < g->n; i++) {
        if (at < g->c[i]->weight) {
            return g->c[i];
        }
        at -= g->c[i]->weight;
    }
    return g->c[g->n - 1];
}

static struct route_candidate *lighter(struct route_candidate *a, struct route_candidate *b,
                                       uint64_t now_us)
{
    return target_load(b->target, now_us) < target_load(a->target, now_us) ? b : a;
}

// Power of two choices.
static struct route_candidate *by_latency(const struct group *g, uint64_t now_us, struct rng *rng)
{
    if (g->n == 1) {
        return g->c[0];
    }
    size_t a = (size_t)rng_below(rng, g->n);
    size_t b = (size_t)rng_below(rng, g->n - 1);

    return lighter(g->c[a], g->c[b >= a ? b + 1 : b], now_us);
}

static struct route_candidate *least_busy(const struct group *g, struct rng *rng)
{
    struct route_candidate *best = g->c[0];
    uint64_t ties = 1; // each of those that are equal is as likely

    for (size_t i = 1; i < g->n; i++) {
        uint32_t a = target_in_flight(best->target), b = target_in_flight(g->c[i]->target);

        ties = b < a ? 1 : ties + (a == b ? 1 : 0);
        if (b < a || (a == b && rng_below(rng, ties) == 0)) {
            best = g->c[i];
        }
    }
    return best;
}

// Input and output price together; unpriced ones come last.
static uint64_t price_of(const struct route_candidate *c)
{
    uint64_t sum;

    if (c->price == NULL || c->price->input == UINT64_MAX || c->price->output == UINT64_MAX ||
        __builtin_add_overflow(c->price->input, c->price->output, &sum)) {
        return UINT64_MAX;
    }
    return sum;
}

static struct route_candidate *cheapest(const struct group *g, uint64_t now_us)
{
    struct route_candidate *best = g->c[0];

    for (size_t i = 1; i < g->n; i++) {
        uint64_t a = price_of(best), b = price_of(g->c[i]);

        best = b < a ? g->c[i] : (b == a ? lighter(best, g->c[i], now_us) : best);
    }
    return best;
}

// The first target as the user listed them; its keys by their weights.
static struct route_candidate *first(const struct group *g, struct rng *rng)
{
    struct group keys = {.n = 0};

    for (size_t i = 0; i < g->n; i++) {
        if (g->c[i]->provider == g->c[0]->provider && slice_eq(g->c[i]->model, g->c[0]->model)) {
            keys.c[keys.n++] = g->c[i];
        }
    }
    return by_weight(&keys, rng);
}

static struct route_candidate *choose(const struct route_plan *p, const struct group *g,
                                      uint64_t now_us, struct rng *rng)
{
    struct route_candidate *trial = trial_of(g, now_us);

    if (trial != NULL) {
        return trial;
    }
    if (g->c[0]->tier > 0) {
        return first(g, rng); // degradations are taken in the order the user gave
    }
    switch (p->strategy) {
    case RESOURCE_WEIGHTED:
    case RESOURCE_MODEL_WEIGHTED:
        return by_weight(g, rng);
    case RESOURCE_PRIORITY:
        return first(g, rng);
    case RESOURCE_COST:
        return cheapest(g, now_us);
    case RESOURCE_LEAST_BUSY:
        return least_busy(g, rng);
    case RESOURCE_LATENCY:
    case RESOURCE_MODEL_LATENCY:
        break;
    }
    return by_latency(g, now_us, rng);
}

static struct balance_pick nothing(const struct route_plan *p, uint64_t now_us)
{
    struct balance_pick pick = {.candidate = NULL};
    size_t usable = 0, limited = 0;

    for (size_t i = 0; i < p->n; i++) {
        const struct route_candidate *c = &p->candidates[i];

        if (!is_usable(c)) {
            continue;
        }
        usable++;
        enum target_status s = target_status(c->target, now_us);
        uint64_t until = target_until_us(c->target, now_us);
        limited += s == TARGET_COOLING || s == TARGET_COOLING_GUESS || s == TARGET_NO_QUOTA ? 1 : 0;
        if (until != 0 && (pick.retry_at_us == 0 || until < pick.retry_at_us)) {
            pick.retry_at_us = until;
        }
    }
    pick.all_rate_limited = usable > 0 && limited == usable;
    return pick;
}

struct balance_pick balance_next(struct route_plan *p, uint64_t now_us, struct rng *rng)
{
    struct group g;

    collect(p, now_us, false, &g);
    if (g.n > 0) {
        return (struct balance_pick){.candidate = choose(p, &g, now_us, rng)};
    }
    collect(p, now_us, true, &g);
    if (g.n > 0) {
        return (struct balance_pick){.candidate = choose(p, &g, now_us, rng), .last_resort = true};
    }
    return nothing(p, now_us);
}

const char *balance_reason(const struct route_candidate *c, uint64_t now_us)
{
    if (c->excluded != NULL) {
        return c->excluded;
    }
    if (c->tried) {
        return "tried";
    }
    switch (target_status(c->target, now_us)) {
    case TARGET_OK:
        return "ok";
    case TARGET_TRIAL:
        return "trial";
    case TARGET_EJECTED:
        return "ejected";
    case TARGET_COOLING:
    case TARGET_COOLING_GUESS:
        return "cooling";
    case TARGET_NO_QUOTA:
        return "no_quota";
    }
    return "ok";
}
