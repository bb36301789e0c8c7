// SPDX-License-Identifier: Apache-2.0
// Pieces of policy that routers, `global` and `unified-api` share: limits, caches, retries,
// deadlines. Paths in problems are relative to where the caller stands.
#include "common/base/cachecontrol.h"
#include "common/base/text.h"
#include "proto/config/config_compile.h"

#define HOUR_US     ((uint64_t)3600 * 1000000)
#define PER_MIN_US  ((uint64_t)1000000)
#define PER_MAX_US  ((uint64_t)30 * 24 * HOUR_US)
#define NANO_DIGITS 9

// --- limits --------------------------------------------------------------------------------------

// A decimal number of USD as nano-USD.
static bool parse_usd(struct slice s, uint64_t *ret)
{
    struct slice whole, part = slice_cut(s, '.', &whole);
    uint64_t v, w = 0;

    if (!slice_to_u64(whole, &v) || part.n > NANO_DIGITS ||
        (part.p != NULL && !slice_to_u64(part, &w))) {
        return false;
    }
    for (size_t i = part.n; i < NANO_DIGITS; i++) {
        w *= 10;
    }
    return !__builtin_mul_overflow(v, (uint64_t)1000000000, &v) &&
           !__builtin_add_overflow(v, w, ret);
}

static void wrong(struct config_compile *k, const char *key, const struct conf_text *t,
                  const char *expected)
{
    size_t mark = conf_enter(k->ctx, key, SIZE_MAX);

    conf_complain(k->ctx, PROBLEM_ERROR, t->node, false, "expected %s, found %s", expected,
                  problem_show(k->ctx->problems, t->node));
    conf_leave(k->ctx, mark);
}

static bool read_amount(struct config_compile *k, const struct schema_limit *s,
                        struct resource_limit *out)
{
    struct slice text = slice_trim(slice_str(s->amount.s));
    bool usd = s->unit == RESOURCE_USD;
    bool ok = usd ? parse_usd(text, &out->amount) : slice_to_u64(text, &out->amount);

    if (!ok || out->amount == 0) {
        wrong(k, "amount", &s->amount,
              usd ? "an amount of USD above 0 with at most 9 decimals" : "a whole number above 0");
        return false;
    }
    return true;
}

static bool read_per(struct config_compile *k, const struct schema_limit *s,
                     struct resource_limit *out)
{
    static const struct {
        struct slice word;
        enum resource_calendar calendar;
    } words[] = {{SLICE("day"), RESOURCE_DAY},
                 {SLICE("week"), RESOURCE_WEEK},
                 {SLICE("month"), RESOURCE_MONTH}};
    struct slice text = slice_trim(slice_str(s->per.s));

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq(text, words[i].word)) {
            out->calendar = words[i].calendar;
            return true;
        }
    }
    if (!text_parse_duration_us(text, &out->per_us) || out->per_us < PER_MIN_US ||
        out->per_us > PER_MAX_US) {
        wrong(k, "per", &s->per, "1s to 30d, or day, week, month");
        return false;
    }
    return true;
}

static void read_zone(struct config_compile *k, struct resource *r, const struct schema_limit *s,
                      struct resource_limit *out)
{
    struct slice zone = slice_str(s->time_zone.s);

    if (zone.p == NULL) {
        return;
    }
    for (size_t i = 0; i < zone.n; i++) {
        char c = zone.p[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '/' || c == '_' || c == '-' || c == '+') ||
            zone.n > 64 || zone.p[0] == '/') {
            wrong(k, "time-zone", &s->time_zone, "an IANA name such as Europe/Berlin");
            return;
        }
    }
    if (out->calendar == RESOURCE_ROLLING) {
        wrong(k, "time-zone", &s->time_zone, "no time zone where `per` is a duration");
        return;
    }
    out->time_zone = config_compile_str(r, &s->time_zone);
}

static void read_limit(struct config_compile *k, struct resource *r, const struct schema_limit *s,
                       struct resource_limit *out)
{
    *out = (struct resource_limit){
        .unit = (enum resource_unit)s->unit,
        .per_principal = s->scope == SCHEMA_PER_KEY,
        .on_control_loss = s->on_control_loss,
    };
    if (s->amount.s == NULL || s->per.s == NULL) {
        return; // reported as missing
    }
    if (read_amount(k, s, out) && read_per(k, s, out)) {
        read_zone(k, r, s, out);
    }
}

static size_t read_list(struct config_compile *k, struct resource *r, const struct conf_entries *e,
                        struct resource_limit *out)
{
    size_t list = conf_enter(k->ctx, "limits", SIZE_MAX);

    for (size_t i = 0; i < e->n; i++) {
        size_t mark = conf_enter(k->ctx, NULL, i);

        read_limit(k, r, e->items[i].value, &out[i]);
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, list);
    return e->n;
}

static size_t read_rate_limit(struct config_compile *k, struct resource *r,
                              const struct schema_rate_limit *s, struct resource_limit *out)
{
    size_t mark = conf_enter(k->ctx, "rate-limit", SIZE_MAX), n = 0;

    if (s->per_api_key.node != NULL) {
        out[n++] = (struct resource_limit){
            .unit = RESOURCE_REQUESTS,
            .amount = s->per_api_key.capacity,
            .per_us = s->per_api_key.refill_us,
            .per_principal = true,
        };
    }
    n += read_list(k, r, &s->limits, out + n);
    if (s->node != NULL && n == 0) {
        conf_complain(k->ctx, PROBLEM_WARNING, s->node, true,
                      "limits nothing: neither per-api-key nor limits is given");
    }
    conf_leave(k->ctx, mark);
    return n;
}

const struct resource_limit *config_limit_all(struct config_compile *k, struct resource *r,
                                              const struct config_limit_source *from, size_t *ret_n)
{
    size_t n = from->limits->n, used = 0;
    struct resource_limit *out;

    n += from->rate_limit == NULL ? 0 : 1 + from->rate_limit->limits.n;
    out = arena_zalloc(&r->arena, (n + 1) * sizeof(*out));
    if (from->rate_limit != NULL) {
        used = read_rate_limit(k, r, from->rate_limit, out);
    }
    used += read_list(k, r, from->limits, out + used);
    if (used > RESOURCE_LIMITS_MAX) {
        const struct node *at = from->limits->node;

        conf_complain(k->ctx, PROBLEM_ERROR, at != NULL ? at : from->rate_limit->node, true,
                      "%zu limits in one place, %u at most", used, RESOURCE_LIMITS_MAX);
        used = RESOURCE_LIMITS_MAX;
    }
    *ret_n = used;
    return used == 0 ? NULL : out;
}

// --- cache ---------------------------------------------------------------------------------------

static void check_directive(struct config_compile *k, const struct conf_text *t)
{
    struct cachecontrol cc;
    struct slice bad;
    size_t mark;

    cachecontrol_init(&cc);
    if (t->s == NULL || cachecontrol_parse(&cc, slice_str(t->s), &bad)) {
        return;
    }
    mark = conf_enter(k->ctx, "cache.directive", SIZE_MAX);
    if (t->node->expanded) {
        conf_complain(k->ctx, PROBLEM_ERROR, t->node, false,
                      "expected Cache-Control directives such as max-age=3600");
    } else {
        conf_complain(k->ctx, PROBLEM_ERROR, t->node, false,
                      "\"%.*s\" is not a Cache-Control directive: expected max-age=, s-maxage=, "
                      "max-stale=, min-fresh=, no-cache, no-store, ...",
                      (int)(bad.n < 60 ? bad.n : 60), bad.p);
    }
    conf_leave(k->ctx, mark);
}

struct resource_cache config_limit_cache(struct config_compile *k, struct resource *r,
                                         const struct schema_cache *s)
{
    check_directive(k, &s->directive);
    return (struct resource_cache){
        .present = s->node != NULL,
        .enabled = s->node != NULL && s->enabled,
        .directive = config_compile_str(r, &s->directive),
        .buckets = (uint32_t)s->buckets,
        .seed = config_compile_str(r, &s->seed),
        .scope = s->scope,
    };
}

// --- retries, deadlines --------------------------------------------------------------------------

uint32_t config_limit_attempts(struct config_compile *k, const struct schema_retries *s)
{
    bool attempts = node_get(s->node, SLICE("max-attempts")) != NULL;
    bool retries = node_get(s->node, SLICE("max-retries")) != NULL;
    size_t mark;

    if (attempts && retries && s->max_attempts != s->max_retries + 1) {
        mark = conf_enter(k->ctx, "retries", SIZE_MAX);
        conf_complain(k->ctx, PROBLEM_ERROR, s->node, true,
                      "max-attempts and max-retries (+ 1) say different things: give one");
        conf_leave(k->ctx, mark);
    }
    if (!s->enabled) {
        return 1;
    }
    return (uint32_t)(retries ? s->max_retries + 1 : s->max_attempts);
}

struct resource_timeouts config_limit_timeouts(const struct schema_timeouts *s)
{
    return (struct resource_timeouts){
        .total_us = s->total_us,
        .connect_us = s->connect_us,
        .first_byte_us = s->first_byte_us,
        .idle_us = s->idle_us,
        .hold_us = s->hold_us,
    };
}
