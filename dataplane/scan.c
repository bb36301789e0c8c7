// SPDX-License-Identifier: Apache-2.0
// Objects, arrays and strings over the grammar of scan_lex.
//
// What is not here: interpretation. Numbers keep their bytes; strings are decoded on demand.
#include "dataplane/scan.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/text.h"
#include "dataplane/scan_lex.h"

#define MEMBERS_MAX 4096u

enum scan_type scan_type_of(struct slice value)
{
    switch (value.n == 0 ? '\0' : value.p[0]) {
    case '{':
        return SCAN_OBJECT;
    case '[':
        return SCAN_ARRAY;
    case '"':
        return SCAN_STRING;
    case 't':
        return SCAN_TRUE;
    case 'f':
        return SCAN_FALSE;
    case 'n':
        return SCAN_NULL;
    default:
        return SCAN_NUMBER;
    }
}

static struct slice decoded_key(const struct scan_member *m, struct arena *a)
{
    struct slice quoted = {m->key.p - 1, m->key.n + 2};
    struct slice out = m->key;

    // A key with a lone surrogate keeps its raw bytes: it cannot equal any name we look for.
    if (m->key_escaped && !scan_string(quoted, a, &out)) {
        return m->key;
    }
    return out;
}

// Names seen so far. Pairwise for the usual handful; above that a hash set, keyed since the names
// are the client's choice, so that 4,096 members stay linear.
struct seen {
    uint32_t *slots; // index + 1 into members
    size_t mask;
};

static bool seen_add(struct seen *s, struct scan_member *members, size_t index)
{
    size_t at = (size_t)hash_bytes(hash_process_key(), members[index].key) & s->mask;

    while (s->slots[at] != 0) {
        if (slice_eq(members[s->slots[at] - 1].key, members[index].key)) {
            return false;
        }
        at = (at + 1) & s->mask;
    }
    s->slots[at] = (uint32_t)index + 1;
    return true;
}

static bool seen_begin(struct seen *s, struct scan_object *o, struct arena *a)
{
    s->mask = 2u * MEMBERS_MAX - 1;
    s->slots = arena_try_alloc(a, (s->mask + 1) * sizeof(*s->slots));
    if (s->slots == NULL) {
        return false;
    }
    memset(s->slots, 0, (s->mask + 1) * sizeof(*s->slots));
    for (size_t i = 0; i + 1 < o->n; i++) {
        (void)seen_add(s, o->members, i); // known to be distinct
    }
    return true;
}

#define PAIRWISE_MAX 32u

// Is the newest member's name new?
static bool check_distinct(struct scan_cursor *c, struct seen *s, struct scan_object *o,
                           struct arena *a)
{
    struct scan_member *last = &o->members[o->n - 1];
    bool repeated = false;

    if (o->n <= PAIRWISE_MAX) {
        for (size_t i = 0; i + 1 < o->n; i++) {
            repeated = repeated || slice_eq(o->members[i].key, last->key);
        }
    } else if (s->slots == NULL && !seen_begin(s, o, a)) {
        return scan_lex_fail(c, "too many members");
    } else {
        repeated = !seen_add(s, o->members, o->n - 1);
    }
    if (repeated) {
        c->p = c->base + last->begin;
        return scan_lex_fail(c, "this member occurs twice");
    }
    return true;
}

static bool add_member(struct scan_object *o, struct arena *a, size_t *cap,
                       const struct scan_member *m)
{
    if (o->n == *cap) {
        size_t bigger = *cap == 0 ? 16 : *cap * 2;
        struct scan_member *grown = arena_try_alloc(a, bigger * sizeof(*grown));

        if (grown == NULL) {
            return false;
        }
        if (o->n > 0) {
            memcpy(grown, o->members, o->n * sizeof(*grown));
        }
        o->members = grown;
        *cap = bigger;
    }
    o->members[o->n++] = *m;
    return true;
}

static bool read_member(struct scan_cursor *c, struct arena *a, struct scan_member *m)
{
    const char *begin = c->p, *value;

    if (!scan_lex_name(c, &m->key, &m->key_escaped)) {
        return false;
    }
    value = c->p;
    if (!scan_lex_value(c, 1)) {
        return false;
    }
    m->begin = (uint32_t)(begin - c->base);
    m->end = (uint32_t)(c->p - c->base);
    m->value = (struct slice){value, (size_t)(c->p - value)};
    m->type = scan_type_of(m->value);
    m->key = decoded_key(m, a);
    return true;
}

static bool close_object(struct scan_cursor *c, struct scan_object *o)
{
    o->close = (uint32_t)(c->p - c->base);
    c->p++;
    return true;
}

// Members of the object at c->p, which is '{'. Afterwards c->p is behind '}'.
static bool read_object(struct scan_cursor *c, struct arena *a, struct scan_object *o,
                        bool distinct)
{
    struct seen seen = {NULL, 0};
    size_t cap = 0;

    o->open = (uint32_t)(c->p - c->base);
    c->p++;
    scan_lex_space(c);
    if (scan_lex_at(c, '}')) {
        return close_object(c, o);
    }
    for (;;) {
        struct scan_member m;

        if (!read_member(c, a, &m)) {
            return false;
        }
        if (o->n >= MEMBERS_MAX || !add_member(o, a, &cap, &m)) {
            return scan_lex_fail(c, "too many members");
        }
        if (distinct && !check_distinct(c, &seen, o, a)) {
            return false;
        }
        scan_lex_space(c);
        if (scan_lex_at(c, '}')) {
            return close_object(c, o);
        }
        if (!scan_lex_at(c, ',')) {
            return scan_lex_fail(c, "expected ',' or '}'");
        }
        c->p++;
        scan_lex_space(c);
    }
}

static bool report(const struct scan_cursor *c, struct err *e)
{
    return err_set(e, ERR_INVALID, "at byte %zu: %s", (size_t)(c->p - c->base), c->what);
}

bool scan_object(struct slice src, struct arena *a, struct scan_object *ret, struct err *e)
{
    struct scan_cursor c = scan_lex_begin(src);
    struct scan_object o = {NULL, 0, 0, 0, 0};

    if (src.n >= UINT32_MAX) {
        return err_set(e, ERR_TOO_LARGE, "larger than 4 GiB");
    }
    scan_lex_space(&c);
    if (!scan_lex_at(&c, '{')) {
        c.what = c.p == c.end ? "expected an object, found nothing" : "expected an object";
        return report(&c, e);
    }
    if (!read_object(&c, a, &o, true)) {
        return report(&c, e);
    }
    scan_lex_space(&c);
    if (c.p != c.end) {
        c.what = "unexpected bytes behind the object";
        return report(&c, e);
    }
    o.names = c.names;
    *ret = o;
    return true;
}

bool scan_validate(struct slice src, struct err *e)
{
    struct scan_cursor c = scan_lex_begin(src);

    scan_lex_space(&c);
    if (!scan_lex_value(&c, 0)) {
        return report(&c, e);
    }
    scan_lex_space(&c);
    if (c.p != c.end) {
        c.what = "unexpected bytes behind the value";
        return report(&c, e);
    }
    return true;
}

// Members of the object at c->p, which is '{'.
static bool tell_members(struct scan_cursor *c,
                         void (*fn)(void *ctx, struct slice name, struct slice value), void *ctx)
{
    c->p++;
    scan_lex_space(c);
    if (scan_lex_at(c, '}')) {
        c->p++;
        return true;
    }
    for (;;) {
        struct slice name;
        const char *value;
        bool escaped;

        if (!scan_lex_name(c, &name, &escaped)) {
            return false;
        }
        value = c->p;
        if (!scan_lex_value(c, 1)) {
            return false;
        }
        fn(ctx, name, (struct slice){value, (size_t)(c->p - value)});
        scan_lex_space(c);
        if (scan_lex_at(c, '}')) {
            c->p++;
            return true;
        }
        if (!scan_lex_at(c, ',')) {
            return false;
        }
        c->p++;
        scan_lex_space(c);
    }
}

bool scan_members(struct slice src, void (*fn)(void *ctx, struct slice name, struct slice value),
                  void *ctx)
{
    struct scan_cursor c = scan_lex_begin(src);

    scan_lex_space(&c);
    if (scan_lex_at(&c, '{') ? !tell_members(&c, fn, ctx) : !scan_lex_value(&c, 0)) {
        return false;
    }
    scan_lex_space(&c);
    return c.p == c.end;
}

struct named {
    const struct slice *names;
    struct slice *values;
    size_t n;
};

static void note_member(void *ctx, struct slice name, struct slice value)
{
    const struct named *w = ctx;

    for (size_t i = 0; i < w->n; i++) {
        if (slice_eq(name, w->names[i]) && w->values[i].p == NULL) {
            w->values[i] = value;
        }
    }
}

bool scan_named(struct slice object, const struct slice *names, struct slice *values, size_t n)
{
    struct named w = {names, values, n};

    return scan_members(object, note_member, &w);
}

const struct scan_member *scan_find(const struct scan_object *o, const char *key)
{
    struct slice k = slice_str(key);

    for (size_t i = 0; i < o->n; i++) {
        if (slice_eq(o->members[i].key, k)) {
            return &o->members[i];
        }
    }
    return NULL;
}

bool scan_nested(struct slice object, struct arena *a, struct scan_object *ret)
{
    struct scan_cursor c = scan_lex_begin(object);
    struct scan_object o = {NULL, 0, 0, 0, 0};

    if (object.n == 0 || object.p[0] != '{' || !read_object(&c, a, &o, false)) {
        return false;
    }
    *ret = o;
    return true;
}

void scan_array(struct slice array, bool (*fn)(void *ctx, struct slice value, enum scan_type t),
                void *ctx)
{
    struct scan_cursor c = scan_lex_begin(array);

    if (array.n < 2 || array.p[0] != '[') {
        return;
    }
    c.p++;
    for (;;) {
        scan_lex_space(&c);
        if (c.p >= c.end || *c.p == ']') {
            return;
        }
        const char *from = c.p;
        if (!scan_lex_value(&c, 1)) {
            return;
        }
        struct slice value = {from, (size_t)(c.p - from)};
        if (!fn(ctx, value, scan_type_of(value))) {
            return;
        }
        scan_lex_space(&c);
        if (c.p >= c.end || *c.p != ',') {
            return;
        }
        c.p++;
    }
}

bool scan_get(struct slice object, const char *key, struct slice *ret)
{
    struct scan_cursor c = scan_lex_begin(object);
    struct slice wanted = slice_str(key), name;
    bool escaped;

    scan_lex_space(&c);
    if (!scan_lex_at(&c, '{')) {
        return false;
    }
    do {
        const char *value;

        c.p++;
        scan_lex_space(&c);
        if (!scan_lex_name(&c, &name, &escaped)) {
            return false;
        }
        value = c.p;
        if (!scan_lex_value(&c, 1)) {
            return false;
        }
        if (slice_eq(name, wanted)) {
            *ret = (struct slice){value, (size_t)(c.p - value)};
            return true;
        }
        scan_lex_space(&c);
    } while (scan_lex_at(&c, ','));
    return false;
}

// Four hex digits.
static uint32_t hex4(const char *p)
{
    uint32_t v = 0;

    for (int i = 0; i < 4; i++) {
        char ch = p[i];

        v = v << 4 | (uint32_t)(ch <= '9' ? ch - '0' : (ch | 0x20) - 'a' + 10);
    }
    return v;
}

bool scan_unicode(struct slice *text, uint32_t *ret)
{
    uint32_t cp = hex4(text->p + 2), low;

    *text = slice_from(*text, 6);
    if (cp >= 0xDC00 && cp <= 0xDFFF) {
        return false;
    }
    if (cp >= 0xD800 && cp <= 0xDBFF) {
        if (text->n < 6 || text->p[0] != '\\' || text->p[1] != 'u') {
            return false;
        }
        low = hex4(text->p + 2);
        if (low < 0xDC00 || low > 0xDFFF) {
            return false;
        }
        *text = slice_from(*text, 6);
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
    }
    *ret = cp;
    return true;
}

bool scan_string(struct slice value, struct arena *a, struct slice *ret)
{
    if (value.n < 2 || value.p[0] != '"') {
        return false;
    }
    struct slice rest = {value.p + 1, value.n - 2};
    if (memchr(rest.p, '\\', rest.n) == NULL) {
        *ret = rest;
        return true;
    }
    char *out = arena_try_alloc(a, rest.n + 1); // decoding never grows
    if (out == NULL) {
        return false;
    }
    size_t n = 0;
    while (rest.n > 0) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        uint32_t cp;

        if (rest.p[0] != '\\') {
            out[n++] = rest.p[0];
            rest = slice_from(rest, 1);
        } else if (rest.p[1] != 'u') {
            out[n++] = to[strchr(from, rest.p[1]) - from];
            rest = slice_from(rest, 2);
        } else if (scan_unicode(&rest, &cp)) {
            n += text_put_utf8(out + n, cp);
        } else {
            return false;
        }
    }
    out[n] = '\0';
    *ret = (struct slice){out, n};
    return true;
}

bool scan_u64(struct slice value, uint64_t *ret)
{
    return slice_to_u64(value, ret);
}
