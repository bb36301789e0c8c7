// SPDX-License-Identifier: Apache-2.0
// One loop over the grammar: a value is read where one is due, then containers that end are closed.
//
//   VALUE --scalar-----------------------------> CLOSE --','--> (object: NAME) --> VALUE
//     |  '[' or '{' of a container that holds      |
//     +--> pushed, (object: NAME) --> VALUE        +--']' or '}'--> popped, CLOSE again
//
// The open containers are a stack of token indices; no recursion.
#include "dataplane/tape.h"

#include <string.h>

#include "common/base/mem.h"
#include "dataplane/jtext.h"
#include "dataplane/scan_lex.h"

#define TAPE_FIRST 64u // tokens of the first allocation

void tape_done(struct tape *t)
{
    mem_free(t->tokens);
    *t = (struct tape){.tokens = NULL};
}

static bool add(struct tape *t, struct scan_cursor *c, const char *begin, enum scan_type type,
                bool escaped)
{
    if (t->n == t->cap) {
        uint32_t cap = t->cap == 0 ? TAPE_FIRST : t->cap * 2;

        if (t->n >= TAPE_TOKENS_MAX) {
            return scan_lex_fail(c, "more values than can be translated");
        }
        t->tokens = mem_realloc_array(t->tokens, cap, sizeof(*t->tokens));
        t->cap = cap;
    }
    t->tokens[t->n] = (struct tape_token){
        .begin = (uint32_t)(begin - c->base),
        .end = (uint32_t)(c->p - c->base),
        .next = t->n + 1,
        .type = (uint8_t)type,
        .escaped = escaped,
    };
    t->n++;
    return true;
}

static bool read_name(struct tape *t, struct scan_cursor *c)
{
    const char *quote = c->p;
    struct slice name;
    bool escaped = false;

    if (!scan_lex_name(c, &name, &escaped)) {
        return false;
    }
    if (!add(t, c, quote, SCAN_STRING, escaped)) {
        return false;
    }
    t->tokens[t->n - 1].end = t->tokens[t->n - 1].begin + (uint32_t)name.n + 2;
    return true;
}

static bool read_scalar(struct tape *t, struct scan_cursor *c)
{
    const char *begin = c->p;
    bool escaped = false;

    if (*c->p == '"') {
        return scan_lex_string(c, &escaped) && add(t, c, begin, SCAN_STRING, escaped);
    }
    return scan_lex_value(c, SCAN_DEPTH_MAX) &&
           add(t, c, begin, scan_type_of((struct slice){begin, (size_t)(c->p - begin)}), false);
}

struct open {
    uint32_t at[SCAN_DEPTH_MAX];
    unsigned depth;
};

static void close_one(struct tape *t, struct scan_cursor *c, struct open *o)
{
    struct tape_token *k = &t->tokens[o->at[--o->depth]];

    c->p++;
    k->end = (uint32_t)(c->p - c->base);
    k->next = t->n;
}

// At '[' or '{'. *ret_empty: it is closed already.
static bool open_one(struct tape *t, struct scan_cursor *c, struct open *o, bool *ret_empty)
{
    bool object = *c->p == '{';
    const char *begin = c->p;

    if (o->depth == SCAN_DEPTH_MAX) {
        return scan_lex_fail(c, "nested deeper than 64 levels");
    }
    c->p++;
    if (!add(t, c, begin, object ? SCAN_OBJECT : SCAN_ARRAY, false)) {
        return false;
    }
    o->at[o->depth++] = t->n - 1;
    scan_lex_space(c);
    *ret_empty = scan_lex_at(c, object ? '}' : ']');
    if (*ret_empty) {
        close_one(t, c, o);
        return true;
    }
    return !object || read_name(t, c);
}

// Behind a value: closes what ends here and steps over one comma (and the name behind it).
static bool after_value(struct tape *t, struct scan_cursor *c, struct open *o)
{
    while (o->depth > 0) {
        bool object = t->tokens[o->at[o->depth - 1]].type == SCAN_OBJECT;

        scan_lex_space(c);
        if (c->p >= c->end) {
            return scan_lex_fail(c, "the text ends inside an object or array");
        }
        if (*c->p == ',') {
            c->p++;
            scan_lex_space(c);
            return !object || read_name(t, c);
        }
        if (*c->p != (object ? '}' : ']')) {
            return scan_lex_fail(c, object ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        close_one(t, c, o);
    }
    return true;
}

static bool read_all(struct tape *t, struct scan_cursor *c)
{
    struct open o = {.depth = 0};

    scan_lex_space(c);
    do {
        bool closed = true;

        if (c->p >= c->end) {
            return scan_lex_fail(c, "expected a value");
        }
        if (*c->p == '{' || *c->p == '[') {
            if (!open_one(t, c, &o, &closed)) {
                return false;
            }
        } else if (!read_scalar(t, c)) {
            return false;
        }
        if (closed && !after_value(t, c, &o)) {
            return false;
        }
    } while (o.depth > 0);
    scan_lex_space(c);
    return c->p == c->end || scan_lex_fail(c, "unexpected bytes behind the value");
}

bool tape_parse(struct tape *t, struct slice src, struct err *e)
{
    struct scan_cursor c = scan_lex_begin(src);

    t->n = 0;
    t->src = src;
    if (src.n >= UINT32_MAX) {
        return err_set(e, ERR_TOO_LARGE, "larger than 4 GiB");
    }
    if (!read_all(t, &c)) {
        t->n = 0;
        return err_set(e, ERR_INVALID, "%s at byte %zu", c.what == NULL ? "malformed" : c.what,
                       (size_t)(c.p - c.base));
    }
    return true;
}

bool tape_eq(const struct tape *t, uint32_t i, const char *text)
{
    struct slice raw = tape_text(t, i);
    size_t n = strlen(text);

    if (raw.p == NULL) {
        return false;
    }
    if (!t->tokens[i].escaped) {
        return raw.n == n && memcmp(raw.p, text, n) == 0;
    }
    return jtext_eq(raw, text);
}

uint32_t tape_get(const struct tape *t, uint32_t object, const char *key)
{
    uint32_t found = TAPE_NONE;

    TAPE_MEMBERS(t, object, i)
    {
        if (tape_eq(t, i, key)) {
            found = i + 1;
        }
    }
    return found;
}

uint32_t tape_given(const struct tape *t, uint32_t object, const char *key)
{
    uint32_t i = tape_get(t, object, key);

    return tape_absent(t, i) ? TAPE_NONE : i;
}

bool tape_u64(const struct tape *t, uint32_t i, uint64_t *ret)
{
    if (tape_is(t, i, SCAN_STRING)) {
        return slice_to_u64(tape_text(t, i), ret);
    }
    return tape_is(t, i, SCAN_NUMBER) && slice_to_u64(tape_raw(t, i), ret);
}

struct slice tape_get_text(const struct tape *t, uint32_t object, const char *key)
{
    return tape_text(t, tape_get(t, object, key));
}
