// SPDX-License-Identifier: Apache-2.0
// Prices times counters, in integers; what does not fit saturates.
#include "dataplane/price.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PICO_PER_USD ((uint64_t)1000000000000)
#define MOST         (UINT64_MAX - 1) // UINT64_MAX would read as "unknown"
#define DIGITS_MAX   40

// --- what a request costs ------------------------------------------------------------------------

// The prices of one request: UINT64_MAX = unknown, no other special values.
struct prices {
    uint64_t input, cached, write, write_long, output, reasoning, audio_in, audio_out, image_out;
};

static uint64_t known_or(uint64_t price, uint64_t otherwise)
{
    return price == UINT64_MAX ? otherwise : price;
}

static uint64_t own_or(uint64_t price, uint64_t otherwise)
{
    return price == 0 ? otherwise : price;
}

// The last tier that the prompt is longer than; NULL: the record itself.
static const struct resource_price_tier *tier_of(const struct resource_price *p, uint64_t input)
{
    const struct resource_price_tier *found = NULL;

    for (size_t i = 0; i < p->n_tiers && input > p->tiers[i].above; i++) {
        found = &p->tiers[i];
    }
    return found;
}

// A share of the input's price, rounded up; what does not fit is the dearest there is.
static uint64_t share_of(uint64_t input, uint32_t share)
{
    uint64_t product;

    if (share == 0 || input == UINT64_MAX) {
        return input;
    }
    if (__builtin_mul_overflow(input, (uint64_t)share, &product)) {
        return MOST;
    }
    return product / 1000 + (product % 1000 != 0 ? 1 : 0);
}

static struct prices prices_for(const struct resource_price *p, const struct price_shares *s,
                                uint64_t input)
{
    const struct resource_price_tier *t = tier_of(p, input);
    struct prices x;

    if (t == NULL) {
        x.input = p->input;
        x.cached = known_or(p->cached, x.input);
        x.write = p->cache_write;
        x.write_long = p->cache_write_long;
        x.output = p->output;
    } else {
        x.input = known_or(t->input, p->input);
        x.cached = known_or(t->cached, x.input);
        x.write = t->cache_write;
        x.write_long = t->cache_write_long;
        x.output = known_or(t->output, p->output);
    }
    if (x.write == UINT64_MAX && s->write_long != 0 && x.write_long == 0) {
        x.write_long = share_of(x.input, s->write_long);
    }
    x.write = known_or(x.write, share_of(x.input, s->write));
    x.write_long = own_or(x.write_long, x.write);
    x.reasoning = own_or(p->reasoning, x.output);
    x.audio_in = own_or(p->audio_input, x.input);
    x.audio_out = own_or(p->audio_output, x.output);
    x.image_out = own_or(p->image_output, x.output);
    return x;
}

// Takes up to n from *rest.
static uint64_t take(uint64_t *rest, uint64_t n)
{
    uint64_t taken = n < *rest ? n : *rest;

    *rest -= taken;
    return taken;
}

static void add(struct price_cost *c, uint64_t tokens, uint64_t price)
{
    uint64_t product;

    if (tokens == 0 || !c->known) {
        return;
    }
    if (price == UINT64_MAX) {
        *c = (struct price_cost){false, 0};
        return;
    }
    if (__builtin_mul_overflow(tokens, price, &product) ||
        __builtin_add_overflow(c->pico, product, &c->pico) || c->pico > MOST) {
        c->pico = MOST;
    }
}

struct price_cost price_cost(const struct resource_price *p, const struct price_shares *s,
                             const struct price_tokens *t)
{
    static const struct price_shares none = {0, 0};
    struct price_cost c = {true, 0};
    uint64_t input = t->input, output = t->output, written;
    struct prices x;

    if (p == NULL) {
        return (struct price_cost){false, 0};
    }
    x = prices_for(p, s != NULL ? s : &none, t->input);
    add(&c, take(&input, t->cached), x.cached);
    written = take(&input, t->cache_write);
    add(&c, take(&written, t->cache_write_long), x.write_long);
    add(&c, written, x.write);
    add(&c, take(&input, t->audio_input), x.audio_in);
    add(&c, input, x.input);
    add(&c, take(&output, t->reasoning), x.reasoning);
    add(&c, take(&output, t->audio_output), x.audio_out);
    add(&c, take(&output, t->image_output), x.image_out);
    add(&c, output, x.output);
    return c;
}

const struct resource_price *price_at(const struct resource_model_at *at, uint64_t wall_us)
{
    const struct resource_price *p = &at->price;

    for (size_t i = 0; i < at->n_changes && wall_us >= at->changes[i].from_wall_us; i++) {
        p = &at->changes[i].price;
    }
    return p;
}

struct resource_price price_copy(const struct resource_price *p, struct arena *a)
{
    struct resource_price copy = *p;

    if (p->n_tiers > 0) {
        struct resource_price_tier *tiers = arena_alloc(a, p->n_tiers * sizeof(*tiers));

        memcpy(tiers, p->tiers, p->n_tiers * sizeof(*tiers));
        copy.tiers = tiers;
    }
    return copy;
}

// --- text ----------------------------------------------------------------------------------------

uint64_t price_nano(uint64_t pico)
{
    return pico / 1000 + (pico % 1000 != 0 ? 1 : 0);
}

const char *price_format_usd(uint64_t pico, char out[40])
{
    int n = snprintf(out, 40, "%" PRIu64 ".%012" PRIu64, pico / PICO_PER_USD, pico % PICO_PER_USD);

    while (n > 3 && out[n - 1] == '0' && out[n - 2] != '.') {
        out[--n] = '\0';
    }
    return out;
}

// A decimal number: digits (leading zeros left out) and the power of ten of the last one.
struct decimal {
    char digits[DIGITS_MAX];
    int n;
    int exponent;
    bool more; // digits other than 0 were cut
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void push(struct decimal *d, char digit, bool fraction)
{
    if (d->n == 0 && digit == '0') {
        d->exponent -= fraction ? 1 : 0;
    } else if (d->n < DIGITS_MAX) {
        d->digits[d->n++] = digit;
        d->exponent -= fraction ? 1 : 0;
    } else {
        d->more = d->more || digit != '0';
        d->exponent += fraction ? 0 : 1;
    }
}

static bool read_exponent(struct slice s, size_t i, int *ret)
{
    bool negative = i < s.n && s.p[i] == '-';
    int e = 0;

    i += i < s.n && (s.p[i] == '-' || s.p[i] == '+') ? 1 : 0;
    if (i == s.n) {
        return false;
    }
    for (; i < s.n; i++) {
        if (!is_digit(s.p[i]) || e > 999) {
            return false;
        }
        e = e * 10 + (s.p[i] - '0');
    }
    *ret = negative ? -e : e;
    return true;
}

// JSON's numbers, but for a sign in front.
static bool read_decimal(struct slice s, struct decimal *d)
{
    size_t i = 0, whole;
    int e = 0;

    *d = (struct decimal){.n = 0};
    for (; i < s.n && is_digit(s.p[i]); i++) {
        push(d, s.p[i], false);
    }
    whole = i;
    if (whole == 0) {
        return false;
    }
    if (i < s.n && s.p[i] == '.') {
        for (i++; i < s.n && is_digit(s.p[i]); i++) {
            push(d, s.p[i], true);
        }
        if (i == whole + 1) {
            return false;
        }
    }
    if (i < s.n && ((s.p[i] | 0x20) != 'e' || !read_exponent(s, i + 1, &e))) {
        return false;
    }
    d->exponent += e;
    return true;
}

bool price_parse_usd(struct slice text, uint64_t *ret_pico)
{
    struct decimal d;
    uint64_t v = 0;
    int drop; // digits behind the twelfth decimal

    if (text.n > 400 || !read_decimal(text, &d)) {
        return false;
    }
    drop = -(d.exponent + 12);
    for (int i = 0; i < d.n; i++) {
        if (i >= d.n - drop) {
            d.more = d.more || d.digits[i] != '0';
        } else if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
                   __builtin_add_overflow(v, (uint64_t)(d.digits[i] - '0'), &v)) {
            return false;
        }
    }
    for (; drop < 0 && v != 0; drop++) {
        if (__builtin_mul_overflow(v, (uint64_t)10, &v)) {
            return false;
        }
    }
    if (v >= MOST) {
        return false;
    }
    *ret_pico = v + (d.more ? 1 : 0);
    return true;
}
