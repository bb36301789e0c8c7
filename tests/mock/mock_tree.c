// SPDX-License-Identifier: Apache-2.0
#include "tests/mock/mock_tree.h"

#include <math.h>

static bool is_text(const struct json_at *a, struct slice *ret)
{
    struct json_report r;

    r.n = 0;
    return json_want_raw_text(a, 0, SIZE_MAX, ret, &r);
}

static bool is_number(const struct json_at *a, double *ret)
{
    struct json_report r;

    r.n = 0;
    return json_want_number(a, -1e300, 1e300, ret, &r);
}

enum mock_type mock_tree_type(const struct json_at *a)
{
    struct json_report r;
    struct slice s;
    double d;
    bool b;

    r.n = 0;
    if (!json_present(a)) {
        return MOCK_ABSENT;
    }
    if (json_present_null(a)) {
        return MOCK_NULL;
    }
    if (is_text(a, &s)) {
        return MOCK_TEXT;
    }
    if (is_number(a, &d)) {
        return d == floor(d) ? MOCK_INT : MOCK_REAL;
    }
    if (json_want_bool(a, &b, &r)) {
        return MOCK_BOOL;
    }
    return json_want_list(a, SIZE_MAX, &r) ? MOCK_LIST : MOCK_MAP;
}

struct slice mock_tree_string(const struct json_at *a)
{
    struct slice s = SLICE_NULL;

    return is_text(a, &s) ? s : SLICE_NULL;
}

struct slice mock_tree_text(const struct json_at *o, const char *name)
{
    struct json_at m = json_member(o, name);

    return mock_tree_string(&m);
}

enum mock_type mock_tree_member_type(const struct json_at *o, const char *name)
{
    struct json_at m = json_member(o, name);

    return mock_tree_type(&m);
}

bool mock_tree_has(const struct json_at *o, const char *name)
{
    struct json_at m = json_member(o, name);

    return json_present(&m) && !json_present_null(&m);
}

bool mock_tree_true(const struct json_at *o, const char *name)
{
    struct json_at m = json_member(o, name);
    struct json_report r;
    bool b = false;

    r.n = 0;
    return json_want_bool(&m, &b, &r) && b;
}

bool mock_tree_number(const struct json_at *o, const char *name, double *ret)
{
    struct json_at m = json_member(o, name);

    return is_number(&m, ret);
}

void mock_tree_print(const struct json_at *a, struct buf *out)
{
    struct json_out o = json_out_to(out);

    json_out_value(&o, a->value);
}

struct seeker {
    const char *const *known;
    struct slice found;
};

static bool look(void *ctx, const struct json_at *at)
{
    struct seeker *s = ctx;

    if (mock_tree_in(slice_str(at->name), s->known)) {
        return true;
    }
    s->found = slice_str(at->name);
    return false;
}

struct slice mock_tree_unknown(const struct json_at *o, const char *const *known)
{
    struct seeker s = {known, SLICE_NULL};

    json_each(o, look, &s);
    return s.found;
}

bool mock_tree_in(struct slice s, const char *const *list)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (slice_eq_str(s, list[i])) {
            return true;
        }
    }
    return false;
}

bool mock_tree_is_name(struct slice s, const char *more, size_t max)
{
    if (s.n == 0 || s.n > max) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], l = (char)(c | 0x20);

        if (!((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') ||
              (c != 0 && strchr(more, c) != NULL))) {
            return false;
        }
    }
    return true;
}

bool mock_tree_is_blank(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != ' ' && s.p[i] != '\n' && s.p[i] != '\t' && s.p[i] != '\r') {
            return false;
        }
    }
    return true;
}
