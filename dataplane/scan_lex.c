// SPDX-License-Identifier: Apache-2.0
// Grammar of JSON, one pass, no tree, no recursion.
//
// The position in the grammar is (depth, one bit per level: object or array, what may come next).
// With at most 64 levels the stack is one 64-bit word. Strings are skipped 16 bytes at a time: only
// a quote, a backslash, a control byte or a non-ASCII byte stops the skip, so a prompt of plain
// text costs about a byte per 1/16 step, and UTF-8 is checked only where it occurs.
#include "dataplane/scan_lex.h"

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "dataplane/scan.h"

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

// A run of non-ASCII characters at once: text in other scripts comes in such runs.
static bool skip_non_ascii(struct scan_cursor *c)
{
    do {
        size_t n = utf8_sequence(c->p, c->end);

        if (n == 0) {
            return false;
        }
        c->p += n;
    } while (c->p < c->end && (signed char)*c->p < 0);
    return true;
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
static bool skip_escape(struct scan_cursor *c)
{
    if (c->p >= c->end) {
        return scan_lex_fail(c, "the text ends inside a string");
    }
    if (*c->p == 'u') {
        if (c->end - c->p < 5 || !is_hex(c->p[1]) || !is_hex(c->p[2]) || !is_hex(c->p[3]) ||
            !is_hex(c->p[4])) {
            return scan_lex_fail(c, "expected four hex digits after \\u");
        }
        c->p += 5;
        return true;
    }
    if (strchr("\"\\/bfnrt", *c->p) == NULL || *c->p == '\0') {
        return scan_lex_fail(c, "unknown escape in a string");
    }
    c->p++;
    return true;
}

// c->p is at the opening quote; afterwards behind the closing one.
bool scan_lex_string(struct scan_cursor *c, bool *ret_escaped)
{
    c->p++;
    for (;;) {
        c->p = skip_plain(c->p, c->end);
        if (c->p >= c->end) {
            return scan_lex_fail(c, "the text ends inside a string");
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
            return scan_lex_fail(c, "unescaped control byte in a string");
        }
        if (!skip_non_ascii(c)) {
            return scan_lex_fail(c, "invalid UTF-8");
        }
    }
}

static bool is_digit(const struct scan_cursor *c)
{
    return c->p < c->end && *c->p >= '0' && *c->p <= '9';
}

static bool skip_digits(struct scan_cursor *c)
{
    if (!is_digit(c)) {
        return scan_lex_fail(c, "expected a digit");
    }
    while (is_digit(c)) {
        c->p++;
    }
    return true;
}

static bool skip_number(struct scan_cursor *c)
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

static bool skip_word(struct scan_cursor *c, struct slice word)
{
    if ((size_t)(c->end - c->p) < word.n || memcmp(c->p, word.p, word.n) != 0) {
        return scan_lex_fail(c, "expected a value");
    }
    c->p += word.n;
    return true;
}

static bool skip_scalar(struct scan_cursor *c)
{
    bool escaped = false;

    switch (*c->p) {
    case '"':
        return scan_lex_string(c, &escaped);
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
        return scan_lex_fail(c, "expected a value");
    }
}

bool scan_lex_name(struct scan_cursor *c, struct slice *ret_name, bool *ret_escaped)
{
    const char *quote = c->p;

    *ret_escaped = false;
    if (!scan_lex_at(c, '"')) {
        return scan_lex_fail(c, "expected a member name");
    }
    if (!scan_lex_string(c, ret_escaped)) {
        return false;
    }
    *ret_name = (struct slice){quote + 1, (size_t)(c->p - quote) - 2};
    c->names |= *ret_escaped ? UINT64_MAX : scan_name_bit(*ret_name); // escaped: any name
    scan_lex_space(c);
    if (!scan_lex_at(c, ':')) {
        return scan_lex_fail(c, "expected ':'");
    }
    c->p++;
    scan_lex_space(c);
    return true;
}

static bool skip_name(struct scan_cursor *c)
{
    struct slice name;
    bool escaped;

    return scan_lex_name(c, &name, &escaped);
}

// Behind a value inside a container: closes containers and steps over one comma. *depth 0 = all
// done.
static bool after_value(struct scan_cursor *c, uint64_t objects, unsigned *depth)
{
    while (*depth > 0) {
        bool object = (objects >> (*depth - 1) & 1) != 0;

        scan_lex_space(c);
        if (c->p >= c->end) {
            return scan_lex_fail(c, "the text ends inside an object or array");
        }
        if (*c->p == ',') {
            c->p++;
            scan_lex_space(c);
            return !object || skip_name(c);
        }
        if (*c->p != (object ? '}' : ']')) {
            return scan_lex_fail(c, object ? "expected ',' or '}'" : "expected ',' or ']'");
        }
        c->p++;
        (*depth)--;
    }
    return true;
}

// One value of any kind at c->p (no space before it); `outer` levels are open around it.
bool scan_lex_value(struct scan_cursor *c, unsigned outer)
{
    uint64_t objects = 0; // bit i: level i is an object
    unsigned depth = 0;

    for (;;) {
        if (c->p >= c->end) {
            return scan_lex_fail(c, "expected a value");
        }
        if (*c->p == '{' || *c->p == '[') {
            bool object = *c->p == '{';

            if (outer + depth >= SCAN_DEPTH_MAX) {
                return scan_lex_fail(c, "nested deeper than 64 levels");
            }
            c->p++;
            scan_lex_space(c);
            if (c->p < c->end && *c->p == (object ? '}' : ']')) {
                c->p++;
            } else {
                objects = (objects & ~(1ULL << depth)) | ((uint64_t)object << depth);
                depth++;
                if (object && !skip_name(c)) {
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
