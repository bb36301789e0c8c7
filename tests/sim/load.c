// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/load.h"

#include <math.h>

#include "common/base/mono.h"

#define HOT_PROXIES   10u
#define HOT_US        (5 * MONO_SEC)
#define NANO_A_TOKEN  1000u
#define HOLD_US_MAX   (3 * MONO_SEC)
#define REFUND_CHANCE 20u // one in so many fails

static size_t pick(struct load *l)
{
    uint64_t now = l->events->now_us;

    if (now >= l->hot_until_us) {
        l->hot = rng_below(&l->rng, l->n_proxies);
        l->hot_until_us = now + rng_below(&l->rng, 2 * HOT_US);
    }
    return rng_below(&l->rng, 2) == 0 ? (l->hot + rng_below(&l->rng, HOT_PROXIES)) % l->n_proxies
                                      : rng_below(&l->rng, l->n_proxies);
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t until_next(struct load *l)
{
    uint64_t since_us = l->events->now_us - l->from_us;
    bool ebb = l->wave_us != 0 && since_us % (l->wave_us + l->ebb_us) >= l->wave_us;
    uint64_t round = l->wave_us != 0 ? l->wave_us + l->ebb_us : UINT64_MAX;
    uint64_t turn_us = ebb ? round - since_us % round : UINT64_MAX;
    uint64_t us = (uint64_t)(-log(1 - rng_unit(&l->rng)) * (double)MONO_SEC /
                             (ebb ? l->ebb_per_second : l->per_second)) +
                  1;

    return at_most(us, turn_us); // the wave does not wait for a rare request
}

// What counts against the bound is what was used of the reservation: more than that is debt, which
// is taken from the limit later, and what was not used is given back.
static void on_admitted(void *arg, const struct fleet_request *r)
{
    struct load *l = arg;

    for (size_t i = 0; i < l->n_watches; i++) {
        uint64_t units = 1;

        if (l->units[i] == RESOURCE_TOKENS) {
            units = r->refund ? 0 : at_most(r->used_tokens, r->q.tokens);
        } else if (l->units[i] == RESOURCE_USD) {
            units = r->refund ? 0 : at_most(r->used_nano, r->q.nano_usd);
        } else if (r->refund) {
            units = 0;
        }
        watch_admit(l->watches[i], (double)units, l->events->now_us);
    }
}

static void on_request(void *arg, uint64_t n)
{
    struct load *l = arg;
    struct fleet_request r = {.on_admitted = on_admitted, .arg = l};

    if (l->events->now_us >= l->until_us) {
        return;
    }
    r.q = (struct limit_query){
        .snap = l->snap, .router = l->router, .key = l->key, .principal = slice_str(l->key->id)};
    if (l->tokens != 0) {
        r.q.tokens = 1 + rng_below(&l->rng, 2 * l->tokens);
        r.q.nano_usd = r.q.tokens * NANO_A_TOKEN;
        r.used_tokens = (uint64_t)((double)r.q.tokens * 1.1 * rng_unit(&l->rng));
        r.used_nano = r.used_tokens * NANO_A_TOKEN;
        r.hold_us = rng_below(&l->rng, HOLD_US_MAX);
        r.refund = rng_below(&l->rng, REFUND_CHANCE) == 0;
    }
    if (l->every_other_fails) {
        uint64_t round_us = l->wave_us + l->ebb_us, since_us = l->events->now_us - l->from_us;

        r.refund = since_us / round_us % 2 == 0;
        r.used_tokens = r.q.tokens;
        r.hold_us = r.refund ? round_us + rng_below(&l->rng, l->wave_us) : 0;
    }
    for (size_t i = 0; i < l->n_watches; i++) {
        l->watches[i]->asked++;
    }
    fleet_send(l->fleet, pick(l), &r);
    events_add(l->events, l->events->now_us + until_next(l), on_request, l, n);
}

void load_start(struct load *l, uint64_t seed)
{
    rng_init(&l->rng, seed);
    events_add(l->events, l->from_us, on_request, l, 0);
}
