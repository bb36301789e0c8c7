// SPDX-License-Identifier: Apache-2.0
// Looking at escaped text: one step reads one character, be it a byte, an escape or a pair.
#include "dataplane/jtext.h"

#include <stdint.h>
#include <string.h>

#include "common/base/err.h"
#include "common/base/text.h"
#include "dataplane/scan.h"

static uint32_t simple_escape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return (unsigned char)c;
    }
}

// One character off the front; bytes >= 0x80 are passed one by one, as they are.
static uint32_t step(struct slice *text)
{
    uint32_t c;

    if (text->p[0] != '\\' || text->n < 2) {
        c = (unsigned char)text->p[0];
        *text = slice_from(*text, 1);
        return c;
    }
    if (text->p[1] != 'u' || text->n < 6) {
        c = simple_escape(text->p[1]);
        *text = slice_from(*text, 2);
        return c;
    }
    return (scan_unicode(text, &c) ? c : 0xFFFD) | 0x80000000u; // from an escape: to be encoded
}

static size_t put_char(char *out, uint32_t c)
{
    uint32_t cp = c & 0x7FFFFFFFu;

    if (c == cp || cp < 0x80) { // a byte of the source, or ASCII
        out[0] = (char)(unsigned char)cp;
        return 1;
    }
    return text_put_utf8(out, cp);
}

struct slice jtext_decode(struct slice text, struct arena *a)
{
    char *out;
    size_t n = 0;

    if (text.n == 0 || memchr(text.p, '\\', text.n) == NULL) {
        return text;
    }
    out = arena_alloc(a, text.n); // decoding never grows
    while (text.n > 0) {
        n += put_char(out + n, step(&text));
    }
    return (struct slice){out, n};
}

struct slice jtext_encode(struct slice chars, struct arena *a)
{
    struct buf b;
    struct slice out;

    buf_init(&b, chars.n * 6 + 1);
    text_json_escape(&b, chars);
    out = b.n == chars.n && slice_eq(buf_slice(&b), chars) ? chars : arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return out;
}

bool jtext_eq(struct slice text, const char *chars)
{
    char utf8[4];

    while (text.n > 0) {
        size_t n = put_char(utf8, step(&text));

        if (strncmp(chars, utf8, n) != 0) {
            return false;
        }
        chars += n;
    }
    return *chars == '\0';
}

static bool is_space(uint32_t c)
{
    c &= 0x7FFFFFFFu;
    return c == ' ' || (c >= '\t' && c <= '\r');
}

bool jtext_is_blank(struct slice text)
{
    while (text.n > 0) {
        if (!is_space(step(&text))) {
            return false;
        }
    }
    return true;
}

struct slice jtext_trim_end(struct slice text)
{
    struct slice rest = text;
    size_t keep = 0;

    while (rest.n > 0) {
        if (!is_space(step(&rest))) {
            keep = text.n - rest.n;
        }
    }
    return slice_head(text, keep);
}

size_t jtext_count(struct slice text, size_t *ret_bytes)
{
    size_t n = 0;
    char utf8[4];

    *ret_bytes = 0;
    while (text.n > 0) {
        const char *escape = memchr(text.p, '\\', text.n);
        size_t plain = escape == NULL ? text.n : (size_t)(escape - text.p);

        for (size_t i = 0; i < plain; i++) { // nearly all of a long text: no call for each byte
            n += ((unsigned char)text.p[i] & 0xC0) != 0x80; // no continuation byte
        }
        *ret_bytes += plain;
        text = slice_from(text, plain);
        if (text.n > 0) {
            *ret_bytes += put_char(utf8, step(&text));
            n++;
        }
    }
    return n;
}

struct slice jtext_join(struct slice a, struct slice b, struct arena *arena)
{
    char *out;

    if (a.n == 0 || b.n == 0) {
        return a.n == 0 && b.p != NULL ? b : a;
    }
    out = arena_alloc(arena, a.n + b.n);
    memcpy(out, a.p, a.n);
    memcpy(out + a.n, b.p, b.n);
    return (struct slice){out, a.n + b.n};
}

bool jtext_to_json(struct slice text, struct arena *a, struct slice *ret)
{
    struct slice json = jtext_decode(text, a);
    struct err e;

    if (jtext_is_blank(text)) {
        *ret = SLICE("{}");
        return true;
    }
    if (!scan_validate(json, &e)) {
        return false;
    }
    *ret = json;
    return true;
}

bool jtext_to_object(struct slice text, struct arena *a, struct slice *ret)
{
    if (!jtext_to_json(text, a, ret)) {
        return false;
    }
    while (ret->n > 0 && is_space((unsigned char)ret->p[0])) {
        *ret = slice_from(*ret, 1);
    }
    return ret->n > 0 && ret->p[0] == '{';
}

bool jtext_data_url(struct slice text, struct arena *a, struct slice *ret_media_type,
                    struct slice *ret_data)
{
    size_t comma;
    struct slice head, type;

    // Some encoders write "/" as "\/": long data without any escape is the rule.
    text = jtext_decode(text, a);
    if (!slice_starts_nocase(text, SLICE("data:"))) {
        return false;
    }
    text = slice_from(text, 5);
    comma = slice_find_char(text, ',');
    if (comma == SIZE_MAX) {
        return false;
    }
    head = slice_head(text, comma);
    if (head.n < 7 || !slice_eq_nocase(slice_from(head, head.n - 7), SLICE(";base64"))) {
        return false;
    }
    (void)slice_cut(slice_head(head, head.n - 7), ';', &type);
    *ret_media_type = jtext_encode(type, a);
    *ret_data = jtext_encode(slice_from(text, comma + 1), a);
    return true;
}
