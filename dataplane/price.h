// SPDX-License-Identifier: Apache-2.0
// Prices times tokens. Money is counted in 1e-12 USD (picodollars) in 64 bits, in integers only,
// and rounded up to nano-dollars where it enters limits and totals.
//
//   cost = plain x input + cached x cached + written x cache_write (or _long)
//        + audio x audio_input + output x output (its parts by their own prices)
//
// A prompt longer than a tier's `above` (the cached and written part counts) changes the prices of
// the whole request, the output's too. Unknown is never 0: a request that uses something without a
// price has no cost. Pure.
#ifndef SLUICE_DATAPLANE_PRICE_H
#define SLUICE_DATAPLANE_PRICE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "proto/resource.h"

// What was used, each part counted in its whole as well. A part larger than what is left of its
// whole is cut to that.
struct price_tokens {
    uint64_t input;            // the whole prompt
    uint64_t cached;           // of input: read from the provider's cache
    uint64_t cache_write;      // of input: written to it
    uint64_t cache_write_long; // of cache_write: kept longer (Anthropic 1 h, OpenAI 12 h)
    uint64_t audio_input;      // of the rest of input
    uint64_t output;           // everything generated
    uint64_t reasoning, audio_output, image_output; // of output
};

struct price_cost {
    bool known; // false: something that was used has no price; pico is then 0 and must be shown as
                // unpriced
    uint64_t pico; // 1e-12 USD; what does not fit is UINT64_MAX - 1
};

// What a vendor asks for where a price does not say, in thousandths of its input's; 0: as much.
struct price_shares {
    uint32_t write, write_long;
};

// p NULL: unpriced. Missing prices: cached and written input cost what other input does, but for
// what `s` says (NULL: nothing); parts of the output what the output does.
struct price_cost price_cost(const struct resource_price *p, const struct price_shares *s,
                             const struct price_tokens *t);
// The record that holds at a time (microseconds since the epoch). Borrows `at`.
const struct resource_price *price_at(const struct resource_model_at *at, uint64_t wall_us);
// A copy whose tiers are in the arena.
struct resource_price price_copy(const struct resource_price *p, struct arena *a);

// Rounded up.
uint64_t price_nano(uint64_t pico);
// "0.00015" USD: up to 12 decimals, trailing zeros cut, at least one decimal; a JSON number. out
// holds 40 bytes.
const char *price_format_usd(uint64_t pico, char out[40]);
// A JSON number in USD as a provider writes it ("0.000912", "9.12e-4"), rounded up to whole
// picodollars. False: no number, negative, or over 18 million USD.
MUST_CHECK bool price_parse_usd(struct slice text, uint64_t *ret_pico);

#endif
