// SPDX-License-Identifier: Apache-2.0
// A forward scan over the body. Strings are skipped with memchr, so that a prompt of a megabyte
// costs microseconds; nesting is counted, numbers and literals are not validated.
#include "tests/mock/mock_ask.h"

struct scan {
    const char *p, *end;
};

static void skip_space(struct scan *s)
{
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t')) {
        s->p++;
    }
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->p >= s->end || *s->p != c) {
        return false;
    }
    s->p++;
    return true;
}

static bool at(struct scan *s, char c)
{
    skip_space(s);
    return s->p < s->end && *s->p == c;
}

// At the opening quote; *ret = the escaped inside.
static bool take_string(struct scan *s, struct slice *ret)
{
    const char *start = s->p + 1;

    for (const char *p = start;;) {
        const char *quote = memchr(p, '"', (size_t)(s->end - p));
        size_t slashes = 0;

        if (quote == NULL) {
            s->p = s->end;
            return false;
        }
        while (quote - slashes > start && quote[-1 - (ptrdiff_t)slashes] == '\\') {
            slashes++;
        }
        if (slashes % 2 == 0) {
            *ret = SLICE_MAKE(start, (size_t)(quote - start));
            s->p = quote + 1;
            return true;
        }
        p = quote + 1;
    }
}

// Number, true, false, null.
static bool take_atom(struct scan *s, struct slice *ret)
{
    const char *start = s->p;

    while (s->p < s->end && *s->p != ',' && *s->p != '}' && *s->p != ']' && *s->p > ' ') {
        s->p++;
    }
    *ret = SLICE_MAKE(start, (size_t)(s->p - start));
    return ret->n > 0 && s->p < s->end;
}

// *ret = the value's bytes (of a string: its inside).
static bool skip_value(struct scan *s, struct slice *ret)
{
    const char *start;
    size_t depth = 0;

    skip_space(s);
    if (s->p >= s->end) {
        return false;
    }
    if (*s->p == '"') {
        return take_string(s, ret);
    }
    if (*s->p != '{' && *s->p != '[') {
        return take_atom(s, ret);
    }
    start = s->p;
    while (s->p < s->end) {
        char c = *s->p;

        if (c == '"') {
            struct slice ignored;

            if (!take_string(s, &ignored)) {
                return false;
            }
            continue;
        }
        s->p++;
        if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            *ret = SLICE_MAKE(start, (size_t)(s->p - start));
            return true;
        }
    }
    return false;
}

// Calls back for each member of the object at s; stops on the first false.
static bool each_member(struct scan *s, void *ctx,
                        bool (*fn)(struct scan *s, struct slice key, void *ctx))
{
    if (!take(s, '{')) {
        return false;
    }
    if (take(s, '}')) {
        return true;
    }
    do {
        struct slice key;

        skip_space(s);
        if (s->p >= s->end || *s->p != '"' || !take_string(s, &key) || !take(s, ':')) {
            return false;
        }
        skip_space(s);
        if (s->p >= s->end || !fn(s, key, ctx)) {
            return false;
        }
    } while (take(s, ','));
    return take(s, '}');
}

static bool each_element(struct scan *s, void *ctx, bool (*fn)(struct scan *s, void *ctx))
{
    if (!take(s, '[')) {
        return false;
    }
    if (take(s, ']')) {
        return true;
    }
    do {
        skip_space(s);
        if (s->p >= s->end || !fn(s, ctx)) {
            return false;
        }
    } while (take(s, ','));
    return take(s, ']');
}

struct message {
    struct slice role, text;
    bool rich;
};

static bool part_member(struct scan *s, struct slice key, void *ctx)
{
    struct message *m = ctx;
    struct slice v;

    if (slice_eq(key, SLICE("text")) && *s->p == '"') {
        return take_string(s, m->text.p == NULL ? &m->text : &v);
    }
    return skip_value(s, &v);
}

static bool content_part(struct scan *s, void *ctx)
{
    struct slice v;

    return *s->p == '{' ? each_member(s, ctx, part_member) : skip_value(s, &v);
}

static bool message_member(struct scan *s, struct slice key, void *ctx)
{
    struct message *m = ctx;
    struct slice v;

    if (slice_eq(key, SLICE("role")) && *s->p == '"') {
        return take_string(s, &m->role);
    }
    if (slice_eq(key, SLICE("tool_calls"))) {
        m->rich = true;
    }
    if (slice_eq(key, SLICE("content")) || slice_eq(key, SLICE("parts"))) {
        if (*s->p == '"') {
            return take_string(s, &m->text);
        }
        if (*s->p == '[') {
            return each_element(s, m, content_part);
        }
    }
    return skip_value(s, &v);
}

static bool message(struct scan *s, void *ctx)
{
    struct mock_ask *a = ctx;
    struct message m = {SLICE_NULL, SLICE_NULL, false};
    struct slice v;
    bool ok;

    a->messages++;
    if (*s->p != '{') {
        return skip_value(s, &v);
    }
    ok = each_member(s, &m, message_member);
    if (slice_eq(m.role, SLICE("user")) && m.text.p != NULL) {
        a->user = m.text;
    }
    a->rich |= m.rich || slice_eq(m.role, SLICE("tool"));
    return ok;
}

static bool input_element(struct scan *s, void *ctx)
{
    struct mock_ask *a = ctx;
    struct slice v;
    bool text = *s->p == '"', nested = *s->p == '[';

    if (!skip_value(s, &v)) {
        return false;
    }
    if (text && a->user.p == NULL) {
        a->user = v;
    }
    // A flat array of numbers is one input of tokens.
    a->inputs = text || nested ? a->inputs + 1 : 1;
    return true;
}

static bool option_member(struct scan *s, struct slice key, void *ctx)
{
    struct mock_ask *a = ctx;
    struct slice v;

    if (!skip_value(s, &v)) {
        return false;
    }
    if (slice_eq(key, SLICE("include_usage"))) {
        a->include_usage = slice_eq(v, SLICE("true"));
    }
    return true;
}

static bool top_scalar(struct slice key, struct slice v, bool text, struct mock_ask *a)
{
    uint64_t n = 0;

    if (text && slice_eq(key, SLICE("model"))) {
        a->model = v;
    } else if (slice_eq(key, SLICE("stream"))) {
        a->stream = !text && slice_eq(v, SLICE("true"));
    } else if (text && slice_eq(key, SLICE("encoding_format"))) {
        a->encoding_format = v;
    } else if (slice_eq(key, SLICE("dimensions")) && slice_to_u64(v, &n)) {
        a->dimensions = n;
    } else if ((slice_eq(key, SLICE("max_tokens")) ||
                slice_eq(key, SLICE("max_completion_tokens"))) &&
               slice_to_u64(v, &n)) {
        a->max_tokens = n;
    } else if (text && (slice_eq(key, SLICE("input")) || slice_eq(key, SLICE("prompt")))) {
        a->user = v;
        a->inputs = 1;
    }
    return true;
}

static bool top_member(struct scan *s, struct slice key, void *ctx)
{
    struct mock_ask *a = ctx;
    struct slice v;
    bool text = *s->p == '"';

    if (slice_eq(key, SLICE("input")) || slice_eq(key, SLICE("prompt"))) {
        a->has_input = true;
        if (*s->p == '[') {
            return each_element(s, a, input_element);
        }
    }
    if (slice_eq(key, SLICE("tools")) || slice_eq(key, SLICE("response_format")) ||
        slice_eq(key, SLICE("logprobs"))) {
        a->rich = true;
    }
    if (slice_eq(key, SLICE("messages")) || slice_eq(key, SLICE("contents"))) {
        a->has_messages = *s->p == '[';
        return a->has_messages ? each_element(s, a, message) : skip_value(s, &v);
    }
    if (slice_eq(key, SLICE("stream_options")) && *s->p == '{') {
        return each_member(s, a, option_member);
    }
    return skip_value(s, &v) && top_scalar(key, v, text, a);
}

void mock_ask_scan(struct slice body, struct mock_ask *ret)
{
    struct scan s = {body.p, body.p + body.n};

    *ret = (struct mock_ask){0};
    if (body.n == 0 || !at(&s, '{') || !each_member(&s, ret, top_member)) {
        return;
    }
    skip_space(&s);
    ret->valid = s.p == s.end;
}

struct wanted {
    const char *key;
    struct slice value;
};

static bool field_member(struct scan *s, struct slice key, void *ctx)
{
    struct wanted *w = ctx;
    struct slice v;

    return skip_value(s, slice_eq_str(key, w->key) ? &w->value : &v);
}

struct slice mock_ask_field(struct slice body, const char *key)
{
    struct scan s = {body.p, body.p + body.n};
    struct wanted w = {key, SLICE_NULL};

    (void)each_member(&s, &w, field_member); // a broken object has no such member
    return w.value;
}
