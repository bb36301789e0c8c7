// SPDX-License-Identifier: Apache-2.0
// What a request costs. Money is counted in 1e-12 USD (picodollars) in 64 bits and rounded up to
// nano-dollars where it enters limits and totals (providers/models.md section 3). Pure.
#ifndef SLUICE_DATAPLANE_METER_H
#define SLUICE_DATAPLANE_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dialect.h"
#include "proto/resource.h"

struct meter_cost {
    bool priced; // false: the price of something that was used is unknown; pico is then 0 and must
                 // be shown as unpriced
    uint64_t pico; // 1e-12 USD, saturating
};

// price NULL = unpriced. Cached input is priced as input where the catalogue has no cached price,
// likewise cache writes.
struct meter_cost meter_cost(const struct resource_price *price, const struct dialect_usage *u);
// Rounded up.
uint64_t meter_nano(uint64_t pico);
// Reservation before the request is sent: prompt estimate + max_tokens (or fallback_output when not
// given; embeddings: none).
uint64_t meter_reserve_tokens(const struct dialect_request *r, uint64_t fallback_output);
// "0.000150" USD with up to 12 decimals, trailing zeros cut, at least one decimal; out holds 40
// bytes.
const char *meter_format_usd(uint64_t pico, char out[40]);

#endif
