// SPDX-License-Identifier: Apache-2.0
// JSON scanner: one pass, no tree, no recursion.
//
// The position in the grammar is (depth, one bit per level: object or array, what may come next).
// With at most 64 levels the stack is one 64-bit word. Strings are skipped 16 bytes at a time: only
// a quote, a backslash, a control byte or a non-ASCII byte stops the skip, so a prompt of plain
// text costs about a byte per 1/16 step, and UTF-8 is checked only where it occurs.
//
// What is not here: interpretation. Numbers keep their bytes; strings are decoded on demand.
#include "dataplane/scan.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define MEMBERS_MAX 4096u

struct cursor {
    const char *base, *p, *end;
    const char *what; // set on failure: what was expected or found
};

static bool fail(struct cursor *c, const char *what)
{
    c->what = what;
    return false;
}

static void skip_space(struct cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) {
        c->p++;
    }
}

// Length of the valid UTF-8 sequence at p (2..4), or 0. RFC 3629: no overlong forms, no surrogates.
static size_t utf8_sequence(const char *p, const char *end)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t left = (size_t)(end - p);

    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        return left >= 2 && (s[1] & 0xC0) == 0x80 ? 2 : 0;
    }
    if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        if (left < 3 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80) {
            return 0;
        }
        if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F)) {
            return 0;
        }
        return 3;
    }
    if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        if (left < 4 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80 || (s[3] & 0xC0) != 0x80) {
            return 0;
        }
        if ((s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)) {
            return 0;
        }
        return 4;
    }
    return 0;
}

// First byte at or after p that is not plain string content.
static const char *skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i slash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(0x20);

    while (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        // Signed compare: control bytes and bytes >= 0x80 are both below 0x20.
        __m128i stop =
            _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, slash)),
                         _mm_cmplt_epi8(v, space));
        int mask = _mm_movemask_epi8(stop);

        if (mask != 0) {
            return p + __builtin_ctz((unsigned)mask);
        }
        p += 16;
    }
#endif
    while (p < end && *p != '"' && *p != '\\' && (signed char)*p >= 0x20) {
        p++;
    }
    return p;
}

static bool is_hex(char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F');
}

// c->p is behind the backslash.
static bool skip_escape(struct cursor *c)
{
    if (c->p >= c->end) {
        return fail(c, "the text ends inside a string");
    }
    if (*c->p == 'u') {
        if (c->end - c->p < 5 || !is_hex(c->p[1]) || !is_hex(c->p[2]) || !is_hex(c->p[3]) ||
            !is_hex(c->p[4])) {
            return fail(c, "expected four hex digits after \\u");
        }
        c->p += 5;
        return true;
    }
    if (strchr("\"\\/bfnrt", *c->p) == NULL || *c->p == '\0') {
        return fail(c, "unknown escape in a string");
    }
    c->p++;
    return true;
}

// c->p is at the opening quote; afterwards behind the closing one.
static bool skip_string(struct cursor *c, bool *ret_escaped)
{
    c->p++;
    for (;;) {
        c->p = skip_plain(c->p, c->end);
        if (c->p >= c->end) {
            return fail(c, "the text ends inside a string");
        }
        if (*c->p == '"') {
            c->p++;
            return true;
        }
        if (*c->p == '\\') {
            *ret_escaped = true;
            c->p++;
            if (!skip_escape(c)) {
                return false;
            }
            continue;
        }
        if ((unsigned char)*c->p < 0x20) {
            return fail(c, "unescaped control byte in a string");
        }
        size_t n = utf8_sequence(c->p, c->end);
        if (n == 0) {
            return fail(c, "invalid UTF-8");
        }
        c->p += n;
    }
}

static bool is_digit(const struct cursor *c)
{
    return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

static bool skip_digits(struct cursor *c)
{
    if (!is_digit(c)) {
        return fail(c, "expected a digit");
    }
    while (is_digit(c)) {
        c->p++;
    }
    return true;
}

static bool skip_number(struct cursor *c)
{
    if (*c->p == '-') {
        c->p++;
    }
    if (c->p < c->end && *c->p == '0') {
        c->p++;
    } else if (!skip_digits(c)) {
        return false;
    }
    if (c->p < c->end && *c->p == '.') {
        c->p++;
        if (!skip_digits(c)) {
            return false;
        }
    }
    if (c->p < c->end && (*c->p == 'e' || *c->p == 'E')) {
        c->p++;
        if (c->p < c->end && (*c->p == '+' || *c->p == '-')) {
            c->p++;
        }
        return skip_digits(c);
    }
    return true;
}

static bool skip_word(struct cursor *c, struct slice word)
{
    if ((size_t)(c->end - c->p) < word.n || memcmp(c->p, word.p, word.n) != 0) {
        return fail(c, "expected a value");
    }
    c->p += word.n;
    return true;
}

static bool skip_scalar(struct cursor *c)
{
    bool escaped = false;

    switch (*c->p) {
    case '"':
        return skip_string(c, &escaped);
    case 't':
        return skip_word(c, SLICE("true"));
    case 'f':
        return skip_word(c, SLICE("false"));
    case 'n':
        return skip_word(c, SLICE("null"));
    default:
        if (*c->p == '-' || (*c->p >= '0' && *c->p <= '9')) {
            return skip_number(c);
        }
        return fail(c, "expected a value");
    }
}

static bool skip_key(struct cursor *c)
{
    bool escaped = false;

    if (c->p >= c->end || *c->p != '"') {
        return fail(c, "expected a member name");
    }
    if (!skip_string(c, &escaped)) {
        return false;
    }
    skip_space(c);
    if (c->p >= c->end || *c->p != ':') {
        return fail(c, "expected ':'");
    }
    c->p++;
    skip_space(c);
    return true;
}

// Behind a value inside a container: closes containers and steps over one comma. *depth 0 = all
// done.
static bool after_value(struct cursor *c, uint64_t objects, unsigned *depth)
{
    while (*depth > 0) {
        bool object = (objects >> (*depth - 1) & 1) != 0;

        skip_space(c);
        if (c->p >= c->end) {
            return fail(c, "the text ends inside an object or array");
        }
        if (*c->p == ',') {
            c->p++;
            skip_space(c);
            return !object || skip_key(c);
        }
        if (*c->p != (object ? '}' : ']')) {
            return fail(c, object ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        c->p++;
        (*depth)--;
    }
    return true;
}

// One value of any kind at c->p (no space before it); `outer` levels are open around it.
static bool skip_value(struct cursor *c, unsigned outer)
{
    uint64_t objects = 0; // bit i: level i is an object
    unsigned depth = 0;

    for (;;) {
        if (c->p >= c->end) {
            return fail(c, "expected a value");
        }
        if (*c->p == '{' || *c->p == '[') {
            bool object = *c->p == '{';

            if (outer + depth >= SCAN_DEPTH_MAX) {
                return fail(c, "nested deeper than 64 levels");
            }
            c->p++;
            skip_space(c);
            if (c->p < c->end && *c->p == (object ? '}' : ']')) {
                c->p++;
            } else {
                objects = (objects & ~(1ULL << depth)) | ((uint64_t)object << depth);
                depth++;
                if (object && !skip_key(c)) {
                    return false;
                }
                continue;
            }
        } else if (!skip_scalar(c)) {
            return false;
        }
        if (!after_value(c, objects, &depth)) {
            return false;
        }
        if (depth == 0) {
            return true;
        }
    }
}

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

// True when the newest member repeats an earlier one. Pairwise for the usual handful; above that by
// a small hash set so that 4,096 members stay linear.
struct seen {
    uint32_t *slots; // index + 1 into members
    size_t mask;
};

static uint64_t key_hash(struct slice k)
{
    uint64_t h =
        1469598103934665603ULL; // FNV-1a; the set is bounded, a flood costs 4,096^2 compares

    for (size_t i = 0; i < k.n; i++) {
        h = (h ^ (unsigned char)k.p[i]) * 1099511628211ULL;
    }
    return h ^ (h >> 29);
}

static bool seen_add(struct seen *s, struct scan_member *members, size_t index)
{
    size_t at = (size_t)key_hash(members[index].key) & s->mask;

    while (s->slots[at] != 0) {
        if (slice_eq(members[s->slots[at] - 1].key, members[index].key)) {
            return false;
        }
        at = (at + 1) & s->mask;
    }
    s->slots[at] = (uint32_t)index + 1;
    return true;
}

#define PAIRWISE_MAX 32u

static bool is_repeated(struct seen *s, struct scan_object *o, struct arena *a)
{
    struct scan_member *last = &o->members[o->n - 1];

    if (o->n <= PAIRWISE_MAX) {
        for (size_t i = 0; i + 1 < o->n; i++) {
            if (slice_eq(o->members[i].key, last->key)) {
                return true;
            }
        }
        return false;
    }
    if (s->slots == NULL) {
        s->mask = 2u * MEMBERS_MAX - 1;
        s->slots = arena_zalloc(a, (s->mask + 1) * sizeof(*s->slots));
        for (size_t i = 0; i + 1 < o->n; i++) {
            (void)seen_add(s, o->members, i); // known to be distinct
        }
    }
    return !seen_add(s, o->members, o->n - 1);
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

static bool read_member(struct cursor *c, struct arena *a, struct scan_member *m, unsigned outer)
{
    const char *key = c->p;
    bool escaped = false;

    if (c->p >= c->end || *c->p != '"') {
        return fail(c, "expected a member name");
    }
    if (!skip_string(c, &escaped)) {
        return false;
    }
    m->begin = (uint32_t)(key - c->base);
    m->key = (struct slice){key + 1, (size_t)(c->p - key) - 2};
    m->key_escaped = escaped;
    skip_space(c);
    if (c->p >= c->end || *c->p != ':') {
        return fail(c, "expected ':'");
    }
    c->p++;
    skip_space(c);
    const char *value = c->p;
    if (!skip_value(c, outer)) {
        return false;
    }
    m->value = (struct slice){value, (size_t)(c->p - value)};
    m->type = scan_type_of(m->value);
    m->end = (uint32_t)(c->p - c->base);
    m->key = decoded_key(m, a);
    return true;
}

// Members of the object at c->p, which is '{'. Afterwards c->p is behind '}'.
static bool read_object(struct cursor *c, struct arena *a, struct scan_object *o, bool distinct)
{
    struct seen seen = {NULL, 0};
    size_t cap = 0;

    o->open = (uint32_t)(c->p - c->base);
    c->p++;
    skip_space(c);
    if (c->p < c->end && *c->p == '}') {
        o->close = (uint32_t)(c->p - c->base);
        c->p++;
        return true;
    }
    for (;;) {
        struct scan_member m;

        if (!read_member(c, a, &m, 1)) {
            return false;
        }
        if (o->n >= MEMBERS_MAX || !add_member(o, a, &cap, &m)) {
            return fail(c, "too many members");
        }
        if (distinct && is_repeated(&seen, o, a)) {
            c->p = c->base + m.begin;
            return fail(c, "this member occurs twice");
        }
        skip_space(c);
        if (c->p < c->end && *c->p == ',') {
            c->p++;
            skip_space(c);
            continue;
        }
        if (c->p >= c->end || *c->p != '}') {
            return fail(c, "expected ',' or '}'");
        }
        o->close = (uint32_t)(c->p - c->base);
        c->p++;
        return true;
    }
}

static bool report(const struct cursor *c, struct err *e)
{
    return err_set(e, ERR_INVALID, "at byte %zu: %s", (size_t)(c->p - c->base), c->what);
}

bool scan_object(struct slice src, struct arena *a, struct scan_object *ret, struct err *e)
{
    struct cursor c = {src.p, src.p, src.p + src.n, NULL};
    struct scan_object o = {NULL, 0, 0, 0};

    if (src.n >= UINT32_MAX) {
        return err_set(e, ERR_TOO_LARGE, "larger than 4 GiB");
    }
    skip_space(&c);
    if (c.p >= c.end) {
        c.what = "expected an object, found nothing";
        return report(&c, e);
    }
    if (*c.p != '{') {
        c.what = "expected an object";
        return report(&c, e);
    }
    if (!read_object(&c, a, &o, true)) {
        return report(&c, e);
    }
    skip_space(&c);
    if (c.p != c.end) {
        c.what = "unexpected bytes behind the object";
        return report(&c, e);
    }
    *ret = o;
    return true;
}

bool scan_validate(struct slice src, struct err *e)
{
    struct cursor c = {src.p, src.p, src.p + src.n, NULL};

    skip_space(&c);
    if (!skip_value(&c, 0)) {
        return report(&c, e);
    }
    skip_space(&c);
    if (c.p != c.end) {
        c.what = "unexpected bytes behind the value";
        return report(&c, e);
    }
    return true;
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
    struct cursor c = {object.p, object.p, object.p + object.n, NULL};
    struct scan_object o = {NULL, 0, 0, 0};

    if (object.n == 0 || object.p[0] != '{' || !read_object(&c, a, &o, false)) {
        return false;
    }
    *ret = o;
    return true;
}

void scan_array(struct slice array, bool (*fn)(void *ctx, struct slice value, enum scan_type t),
                void *ctx)
{
    struct cursor c = {array.p, array.p, array.p + array.n, NULL};

    if (array.n < 2 || array.p[0] != '[') {
        return;
    }
    c.p++;
    for (;;) {
        skip_space(&c);
        if (c.p >= c.end || *c.p == ']') {
            return;
        }
        const char *from = c.p;
        if (!skip_value(&c, 1)) {
            return;
        }
        struct slice value = {from, (size_t)(c.p - from)};
        if (!fn(ctx, value, scan_type_of(value))) {
            return;
        }
        skip_space(&c);
        if (c.p >= c.end || *c.p != ',') {
            return;
        }
        c.p++;
    }
}

bool scan_get(struct slice object, const char *key, struct slice *ret)
{
    struct cursor c = {object.p, object.p, object.p + object.n, NULL};
    size_t n = strlen(key);

    skip_space(&c);
    if (c.p >= c.end || *c.p != '{') {
        return false;
    }
    c.p++;
    skip_space(&c);
    for (;;) {
        const char *k = c.p;

        if (!skip_key(&c)) {
            return false;
        }
        bool match = (size_t)(c.p - k) > n + 2 && memcmp(k + 1, key, n) == 0 && k[n + 1] == '"';
        const char *value = c.p;
        if (!skip_value(&c, 1)) {
            return false;
        }
        if (match) {
            *ret = (struct slice){value, (size_t)(c.p - value)};
            return true;
        }
        skip_space(&c);
        if (c.p >= c.end || *c.p != ',') {
            return false;
        }
        c.p++;
        skip_space(&c);
    }
}

static uint32_t hex4(const char *p)
{
    uint32_t v = 0;

    for (int i = 0; i < 4; i++) {
        char ch = p[i];
        v = v << 4 | (uint32_t)(ch <= '9' ? ch - '0' : (ch | 0x20) - 'a' + 10);
    }
    return v;
}

static size_t put_utf8(char *out, uint32_t cp)
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

// *p is at 'u' of a valid \uXXXX; steps behind it (and behind the low half of a pair).
static bool decode_u(const char **p, const char *end, uint32_t *ret)
{
    uint32_t cp = hex4(*p + 1);

    *p += 5;
    if (cp >= 0xDC00 && cp <= 0xDFFF) {
        return false;
    }
    if (cp >= 0xD800 && cp <= 0xDBFF) {
        if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u') {
            return false;
        }
        uint32_t low = hex4(*p + 2);
        if (low < 0xDC00 || low > 0xDFFF) {
            return false;
        }
        *p += 6;
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
    struct slice inner = {value.p + 1, value.n - 2};
    if (memchr(inner.p, '\\', inner.n) == NULL) {
        *ret = inner;
        return true;
    }
    char *out = arena_try_alloc(a, inner.n + 1); // decoding never grows
    if (out == NULL) {
        return false;
    }
    size_t n = 0;
    const char *p = inner.p, *end = inner.p + inner.n;
    while (p < end) {
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        uint32_t cp;

        if (*p != '\\') {
            out[n++] = *p++;
            continue;
        }
        p++;
        if (*p != 'u') {
            out[n++] = to[strchr(from, *p) - from];
            p++;
        } else if (decode_u(&p, end, &cp)) {
            n += put_utf8(out + n, cp);
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
