// SPDX-License-Identifier: Apache-2.0
// A comma-separated list of name or name=value, where value is a token or a quoted string. Linear
// time, no allocation.
#include "common/base/cachecontrol.h"

#include <stddef.h>

enum kind { FLAG, AGE, OPTIONAL_AGE };

struct directive {
    struct slice name;
    enum kind kind;
    size_t flag; // offset of the bool
    size_t age;  // offset of the seconds
};

static const struct directive directives[] = {
    {SLICE("no-cache"), FLAG, offsetof(struct cachecontrol, no_cache), 0},
    {SLICE("no-store"), FLAG, offsetof(struct cachecontrol, no_store), 0},
    {SLICE("only-if-cached"), FLAG, offsetof(struct cachecontrol, only_if_cached), 0},
    {SLICE("private"), FLAG, offsetof(struct cachecontrol, is_private), 0},
    {SLICE("public"), FLAG, offsetof(struct cachecontrol, is_public), 0},
    {SLICE("must-revalidate"), FLAG, offsetof(struct cachecontrol, must_revalidate), 0},
    {SLICE("max-age"), AGE, offsetof(struct cachecontrol, has_max_age),
     offsetof(struct cachecontrol, max_age_s)},
    {SLICE("s-maxage"), AGE, offsetof(struct cachecontrol, has_s_maxage),
     offsetof(struct cachecontrol, s_maxage_s)},
    {SLICE("min-fresh"), AGE, offsetof(struct cachecontrol, has_min_fresh),
     offsetof(struct cachecontrol, min_fresh_s)},
    {SLICE("max-stale"), OPTIONAL_AGE, offsetof(struct cachecontrol, has_max_stale),
     offsetof(struct cachecontrol, max_stale_s)},
};

void cachecontrol_init(struct cachecontrol *cc)
{
    *cc = (struct cachecontrol){0};
}

// The next directive (trimmed), up to a comma outside quotes.
static struct slice next_directive(struct slice *rest)
{
    struct slice one = *rest;
    bool quoted = false;

    for (size_t i = 0; i < rest->n; i++) {
        char c = rest->p[i];

        if (c == '"') {
            quoted = !quoted;
        } else if (c == '\\' && quoted && i + 1 < rest->n) {
            i++;
        } else if (c == ',' && !quoted) {
            one.n = i;
            *rest = slice_from(*rest, i + 1);
            return slice_trim(one);
        }
    }
    *rest = SLICE_NULL;
    return slice_trim(one);
}

// Digits, perhaps quoted; huge ones are capped.
static bool parse_age(struct slice s, uint32_t *ret)
{
    uint64_t v;

    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') {
        s = slice_head(slice_from(s, 1), s.n - 2);
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    if (s.n == 0) {
        return false;
    }
    *ret = slice_to_u64(s, &v) && v < CACHECONTROL_MAX_S ? (uint32_t)v : CACHECONTROL_MAX_S;
    return true;
}

static bool apply(struct cachecontrol *cc, struct slice one)
{
    struct slice name, value = slice_cut(one, '=', &name);
    bool ok = true;

    for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
        const struct directive *d = &directives[i];
        bool *flag = (bool *)((char *)cc + d->flag);
        uint32_t *age = (uint32_t *)(void *)((char *)cc + d->age);
        uint32_t seconds = 0;

        if (!slice_eq_nocase(slice_trim(name), d->name)) {
            continue;
        }
        if (d->kind == OPTIONAL_AGE && value.p == NULL) {
            seconds = CACHECONTROL_MAX_S;
        } else if (d->kind != FLAG) {
            ok = parse_age(slice_trim(value), &seconds);
        }
        if (!*flag) {
            *flag = true;
            if (d->kind != FLAG) {
                *age = seconds;
            }
        }
        return ok;
    }
    return false;
}

bool cachecontrol_parse(struct cachecontrol *cc, struct slice value, struct slice *ret_bad)
{
    struct slice bad = SLICE_NULL;

    while (value.p != NULL) {
        struct slice one = next_directive(&value);

        if (one.n > 0 && !apply(cc, one) && bad.p == NULL) {
            bad = one;
        }
    }
    if (ret_bad != NULL) {
        *ret_bad = bad;
    }
    return bad.p == NULL;
}
