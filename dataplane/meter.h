// SPDX-License-Identifier: Apache-2.0
// What a request used, in the terms of limits: cost and reservation. price.h has the arithmetic.
// Pure.
#ifndef SLUICE_DATAPLANE_METER_H
#define SLUICE_DATAPLANE_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/dialect.h"
#include "dataplane/price.h"
#include "proto/resource.h"

// What multiplies a record's prices, in thousandths; 0: nobody knows, and what was served so has no
// cost.
struct meter_rates {
    uint32_t flex, priority, batch, fast; // by the tier the provider says it served in
    uint32_t us;                          // where it says that it kept to the US
    uint32_t now;                         // by place and hour; 1000: as in the catalogue
    uint32_t search;                      // 1,000 web searches, thousandths of a USD
    struct price_shares shares;
};

// By a provider's quirks, for a request that came at this time.
struct meter_rates meter_rates_of(const struct resource_quirks *q, uint64_t wall_us);

// What the usage costs by a record of prices; price NULL = unpriced, usage that nobody knows costs
// nobody knows what. believed: the provider's own figure, where it gave one, goes before the
// record.
struct price_cost meter_cost(const struct resource_price *price, const struct meter_rates *rates,
                             const struct dialect_usage *u, bool believed);
// Reservation before the request is sent: prompt estimate + max_tokens (or fallback_output when not
// given; embeddings: none).
uint64_t meter_reserve_tokens(const struct dialect_request *r, uint64_t fallback_output);
// The body of an answer or the data of an event (OpenAI's dialect) with `"cost":X` at the end of
// its `usage`: appended to out. False, and nothing appended: it has no usage object, or one with a
// cost in it. cost: price_format_usd's text or "null".
MUST_CHECK bool meter_insert_cost(struct slice body, struct slice cost, struct buf *out);

#endif
