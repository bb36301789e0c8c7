// SPDX-License-Identifier: Apache-2.0
// Prices times counters, in integers; what does not fit saturates.
#include "dataplane/meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PICO_PER_USD ((uint64_t)1000000000000)

static bool add(struct meter_cost *c, uint64_t tokens, uint64_t price)
{
    uint64_t product;

    if (tokens == 0) {
        return true;
    }
    if (price == UINT64_MAX) {
        return false;
    }
    if (__builtin_mul_overflow(tokens, price, &product) ||
        __builtin_add_overflow(c->pico, product, &c->pico)) {
        c->pico = UINT64_MAX - 1;
    }
    return true;
}

static uint64_t or_else(uint64_t price, uint64_t otherwise)
{
    return price == UINT64_MAX ? otherwise : price;
}

struct meter_cost meter_cost(const struct resource_price *price, const struct dialect_usage *u)
{
    struct meter_cost c = {true, 0};
    uint64_t plain = u->input > u->cached ? u->input - u->cached : 0;

    plain = plain > u->cache_write ? plain - u->cache_write : 0;

    if (price == NULL || !u->known || !add(&c, plain, price->input) ||
        !add(&c, u->cached, or_else(price->cached, price->input)) ||
        !add(&c, u->cache_write, or_else(price->cache_write, price->input)) ||
        !add(&c, u->output, price->output)) {
        return (struct meter_cost){false, 0};
    }
    return c;
}

uint64_t meter_nano(uint64_t pico)
{
    return pico / 1000 + (pico % 1000 != 0 ? 1 : 0);
}

uint64_t meter_reserve_tokens(const struct dialect_request *r, uint64_t fallback_output)
{
    uint64_t output = r->max_tokens != 0 ? r->max_tokens : fallback_output;

    if (r->endpoint == DIALECT_EMBEDDINGS) {
        output = 0;
    }
    // A client may write any number: what it asks for beyond 2^40 tokens is no different from that.
    if (output > (1ULL << 40)) {
        output = 1ULL << 40;
    }
    return dialect_estimate_tokens(r->prompt_bytes) + output * r->n;
}

const char *meter_format_usd(uint64_t pico, char out[40])
{
    int n = snprintf(out, 40, "%" PRIu64 ".%012" PRIu64, pico / PICO_PER_USD, pico % PICO_PER_USD);

    while (n > 3 && out[n - 1] == '0' && out[n - 2] != '.') {
        out[--n] = '\0';
    }
    return out;
}
