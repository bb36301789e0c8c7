// SPDX-License-Identifier: Apache-2.0
// Between the counters that dialects read and the arithmetic of price.h.
#include "dataplane/meter.h"

#include "dataplane/scan.h"
#include "proto/hours.h"

#define ONE            1000u               // of the thousandths that rates are in
#define PICO_MAX       (UINT64_MAX - 1)    // price.h
#define PICO_OF_SEARCH ((uint64_t)1000000) // a thousandth of a USD by 1,000

struct meter_rates meter_rates_of(const struct resource_quirks *q, uint64_t wall_us)
{
    uint32_t rate = q->price_rate != 0 ? q->price_rate : ONE;
    bool peak = q->price_peak != 0 && hours_include(q->peak_hours, q->n_peak_hours, wall_us);

    return (struct meter_rates){
        q->price_flex,   q->price_priority,
        q->price_batch,  q->price_fast,
        q->price_us,     peak ? (uint32_t)((uint64_t)q->price_peak * rate / ONE) : rate,
        q->price_search, {q->price_write, q->price_write_long}};
}

static uint32_t tier_rate(const struct meter_rates *r, enum dialect_tier tier)
{
    switch (tier) {
    case DIALECT_TIER_FLEX:
        return r->flex;
    case DIALECT_TIER_PRIORITY:
        return r->priority;
    case DIALECT_TIER_BATCH:
        return r->batch;
    case DIALECT_TIER_FAST:
        return r->fast;
    case DIALECT_TIER_STANDARD:
        break;
    }
    return ONE;
}

// Rounded up.
static struct price_cost times(struct price_cost c, uint32_t rate)
{
    uint64_t product;

    if (!c.known || rate == ONE) {
        return c;
    }
    if (rate == 0) {
        return (struct price_cost){false, 0};
    }
    if (__builtin_mul_overflow(c.pico, (uint64_t)rate, &product)) {
        c.pico = c.pico / ONE >= PICO_MAX / rate ? PICO_MAX : c.pico / ONE * rate;
        return c;
    }
    c.pico = product / ONE + (product % ONE != 0 ? 1 : 0);
    return c;
}

// price: of 1,000, in thousandths of a USD.
static struct price_cost with_searches(struct price_cost c, uint32_t price, uint64_t searches)
{
    uint64_t fee;

    if (!c.known || searches == 0) {
        return c;
    }
    if (price == 0) {
        return (struct price_cost){false, 0};
    }
    if (__builtin_mul_overflow(searches, price * PICO_OF_SEARCH, &fee) ||
        __builtin_add_overflow(c.pico, fee, &c.pico) || c.pico > PICO_MAX) {
        c.pico = PICO_MAX;
    }
    return c;
}

struct price_cost meter_cost(const struct resource_price *price, const struct meter_rates *rates,
                             const struct dialect_usage *u, bool believed)
{
    const struct price_tokens t = {
        .input = u->input,
        .cached = u->cached,
        .cache_write = u->cache_write,
        .cache_write_long = u->cache_write_1h,
        .audio_input = u->audio_input,
        .output = u->output,
        .reasoning = u->reasoning,
        .audio_output = u->audio_output,
        .image_output = u->image_output,
    };
    struct price_cost c;

    if (believed && u->has_cost) {
        return (struct price_cost){true, u->cost_pico};
    }
    if (!u->known) {
        return (struct price_cost){false, 0};
    }
    c = times(price_cost(price, &rates->shares, &t), tier_rate(rates, u->tier));
    c = times(c, u->us_only ? rates->us : ONE);
    return with_searches(times(c, rates->now), rates->search, u->searches);
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

// "{ }"
static bool is_empty(struct slice object)
{
    size_t i = 1;

    while (i < object.n && (object.p[i] == ' ' || (object.p[i] >= '\t' && object.p[i] <= '\r'))) {
        i++;
    }
    return i + 1 >= object.n;
}

bool meter_insert_cost(struct slice body, struct slice cost, struct buf *out)
{
    struct slice usage, old;
    size_t end;

    if (!scan_get(body, "usage", &usage) || scan_type_of(usage) != SCAN_OBJECT ||
        scan_get(usage, "cost", &old)) {
        return false;
    }
    end = (size_t)(usage.p - body.p) + usage.n - 1; // of its '}'
    buf_append(out, slice_head(body, end));
    buf_append_str(out, is_empty(usage) ? "\"cost\":" : ",\"cost\":");
    buf_append(out, cost);
    buf_append(out, slice_from(body, end));
    return true;
}
