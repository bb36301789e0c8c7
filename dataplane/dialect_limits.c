// SPDX-License-Identifier: Apache-2.0
// Limit headers by a table of names: for requests and for tokens the first family that is there
// counts. GitHub and Azure say how long a limit's period is in place of when it begins anew.
#include "dataplane/dialect_limits.h"

#include <string.h>

#include "common/base/mono.h"
#include "common/base/text.h"

#define TIME_MAX_US (86400 * MONO_SEC)

struct family {
    const char *remaining, *limit, *reset; // reset NULL: not sent
    const char *period;                    // stands in for a reset; NULL: not sent
};

static const struct family requests[] = {
    {"x-ratelimit-remaining-requests", "x-ratelimit-limit-requests", "x-ratelimit-reset-requests",
     "x-ratelimit-renewalperiod-requests"},
    {"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-limit",
     "anthropic-ratelimit-requests-reset", NULL},
    {"x-ratelimit-remaining-req-minute", "x-ratelimit-limit-req-minute", NULL, NULL}, // Mistral
    {"x-ratelimit-remaining-requests-day", "x-ratelimit-limit-requests-day",
     "x-ratelimit-reset-requests-day", NULL}, // Cerebras
    {"x-ratelimit-remaining", "x-ratelimit-limit", "x-ratelimit-reset",
     NULL}, // Together, OpenRouter
};

static const struct family tokens[] = {
    {"x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens", "x-ratelimit-reset-tokens",
     "x-ratelimit-renewalperiod-tokens"},
    {"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-limit",
     "anthropic-ratelimit-tokens-reset", NULL},
    {"x-ratelimit-remaining-tokens-minute", "x-ratelimit-limit-tokens-minute",
     "x-ratelimit-reset-tokens-minute", NULL},                    // Cerebras, Mistral
    {"x-tokenlimit-remaining", "x-tokenlimit-limit", NULL, NULL}, // Together
    {"x-ratelimit-remaining-tokens-prompt", "x-ratelimit-limit-tokens-prompt", NULL,
     NULL}, // Fireworks
    {"ratelimitbysize-remaining", "ratelimitbysize-limit", "ratelimitbysize-reset",
     NULL}, // old Mistral
};

// Limits of a longer time beside these: where they are nearer to their end they are what counts.
// None says when it begins anew.
static const struct family longer_requests[] = {
    {"x-ratelimit-remaining-req-month", "x-ratelimit-limit-req-month", NULL, NULL}, // Mistral
    {"x-ratelimit-remaining-requests-day", "x-ratelimit-limit-requests-day",
     "x-ratelimit-reset-requests-day", NULL}, // SambaNova
};

static const struct family longer_tokens[] = {
    {"x-ratelimit-remaining-tokens-month", "x-ratelimit-limit-tokens-month", NULL, NULL}, // Mistral
};

struct headers {
    struct slice (*get)(void *ctx, const char *name);
    void *ctx;
    uint64_t wall_us;
};

static uint64_t bounded(uint64_t us)
{
    return us == 0 ? 1 : (us > TIME_MAX_US ? TIME_MAX_US : us);
}

static uint64_t from_now(uint64_t at_us, uint64_t wall_us)
{
    return bounded(at_us > wall_us ? at_us - wall_us : 0);
}

static bool is_decimal(struct slice v)
{
    for (size_t i = 0; i < v.n; i++) {
        if (v.p[i] != '.' && (v.p[i] < '0' || v.p[i] > '9')) {
            return false;
        }
    }
    return v.n > 0;
}

// "0.5" of a unit ("s", "ms").
static bool parse_decimal(struct slice v, const char *unit, uint64_t *ret_us)
{
    char text[40];
    size_t dot = slice_find_char(v, '.'), n, unit_n = strlen(unit);

    if (!is_decimal(v)) {
        return false;
    }
    n = dot != SIZE_MAX && v.n > dot + 7 ? dot + 7 : v.n; // further digits do not matter
    if (n + unit_n > sizeof(text)) {
        return false;
    }
    memcpy(text, v.p, n);
    memcpy(text + n, unit, unit_n);
    return text_parse_duration_us((struct slice){text, n + unit_n}, ret_us);
}

bool dialect_limits_time(struct slice text, uint64_t wall_us, uint64_t *ret_us)
{
    struct slice v = slice_trim(text);
    uint64_t n = 0, us = 0;

    if (slice_to_u64(v, &n)) {
        if (n >= 1000000000000) { // Unix milliseconds
            *ret_us = from_now(n < UINT64_MAX / MONO_MS ? n * MONO_MS : UINT64_MAX, wall_us);
        } else if (n >= 1000000000) { // Unix seconds
            *ret_us = from_now(n * MONO_SEC, wall_us);
        } else {
            *ret_us = bounded(n * MONO_SEC);
        }
        return true;
    }
    if (text_parse_duration_us(v, &us) || parse_decimal(v, "s", &us)) {
        *ret_us = bounded(us);
        return true;
    }
    if (v.n > 0 && (text_parse_rfc3339(v, &us) || text_parse_http_date(v, &us))) {
        *ret_us = from_now(us, wall_us);
        return true;
    }
    return false;
}

static bool read_u64(const struct headers *h, const char *name, uint64_t *ret)
{
    return slice_to_u64(slice_trim(h->get(h->ctx, name)), ret);
}

static bool read_family(const struct headers *h, const struct family *list, size_t n,
                        uint64_t *ret_remaining, uint64_t *ret_limit, uint64_t *ret_reset_us)
{
    for (size_t i = 0; i < n; i++) {
        if (!read_u64(h, list[i].remaining, ret_remaining)) {
            continue;
        }
        (void)!read_u64(h, list[i].limit, ret_limit); // absent: stays 0
        if ((list[i].reset == NULL ||
             !dialect_limits_time(h->get(h->ctx, list[i].reset), h->wall_us, ret_reset_us)) &&
            list[i].period != NULL) {
            (void)!dialect_limits_time(h->get(h->ctx, list[i].period), h->wall_us, ret_reset_us);
        }
        return true;
    }
    return false;
}

static uint64_t retry_after(const struct headers *h)
{
    uint64_t us = 0;

    if (parse_decimal(slice_trim(h->get(h->ctx, "retry-after-ms")), "ms", &us)) {
        return bounded(us);
    }
    return dialect_limits_time(h->get(h->ctx, "retry-after"), h->wall_us, &us) ? us : 0;
}

static double share(uint64_t remaining, uint64_t limit)
{
    return limit == 0 ? (remaining == 0 ? 0.0 : 1.0) : (double)remaining / (double)limit;
}

// One kind of counter: the family that counts.
struct counter {
    bool has;
    uint64_t remaining, limit, reset_us;
};

static struct counter read_counter(const struct headers *h, const struct family *list, size_t n)
{
    struct counter c = {.has = false};

    c.has = read_family(h, list, n, &c.remaining, &c.limit, &c.reset_us);
    return c;
}

static struct counter nearer(struct counter a, struct counter b)
{
    return b.has && (!a.has || share(b.remaining, b.limit) < share(a.remaining, a.limit)) ? b : a;
}

struct dialect_limits dialect_limits_read(struct slice (*get)(void *ctx, const char *name),
                                          void *ctx, uint64_t wall_us)
{
    struct headers h = {get, ctx, wall_us};
    struct counter r = nearer(read_counter(&h, requests, ARRAY_LEN(requests)),
                              read_counter(&h, longer_requests, ARRAY_LEN(longer_requests)));
    struct counter t = nearer(read_counter(&h, tokens, ARRAY_LEN(tokens)),
                              read_counter(&h, longer_tokens, ARRAY_LEN(longer_tokens)));
    struct dialect_limits l = {.has_requests = r.has,
                               .has_tokens = t.has,
                               .remaining_requests = r.remaining,
                               .limit_requests = r.limit,
                               .remaining_tokens = t.remaining,
                               .limit_tokens = t.limit};
    bool tokens_nearer;

    // The reset that matters is that of the counter that is nearer to its end.
    tokens_nearer =
        l.has_tokens && (!l.has_requests || share(l.remaining_tokens, l.limit_tokens) <
                                                share(l.remaining_requests, l.limit_requests));
    l.reset_us = tokens_nearer ? t.reset_us : r.reset_us;
    l.retry_after_us = retry_after(&h);
    if (l.retry_after_us == 0 && l.has_requests && l.remaining_requests == 0) {
        l.retry_after_us = r.reset_us;
    }
    if (l.retry_after_us == 0 && l.has_tokens && l.remaining_tokens == 0) {
        l.retry_after_us = t.reset_us;
    }
    return l;
}
