// SPDX-License-Identifier: Apache-2.0
// Between the counters that dialects read and the arithmetic of price.h.
#include "dataplane/meter.h"

#include "dataplane/scan.h"

struct price_cost meter_cost(const struct resource_price *price, const struct dialect_usage *u,
                             bool believed)
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
    };

    if (believed && u->has_cost) {
        return (struct price_cost){true, u->cost_pico};
    }
    return u->known ? price_cost(price, &t) : (struct price_cost){false, 0};
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
