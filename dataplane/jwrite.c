// SPDX-License-Identifier: Apache-2.0
// Values are appended; `comma` is all the state there is: false behind an opening bracket or a
// member's name, true behind a value.
#include "dataplane/jwrite.h"

#include <string.h>

#include "common/base/text.h"
#include "dataplane/scan.h"

static void value(struct jwrite *w)
{
    if (w->comma) {
        buf_append_char(w->out, ',');
    }
    w->comma = true;
}

void jwrite_object(struct jwrite *w)
{
    value(w);
    buf_append_char(w->out, '{');
    w->comma = false;
}

void jwrite_object_in(struct jwrite *w, const char *name)
{
    jwrite_name(w, name);
    jwrite_object(w);
}

void jwrite_object_end(struct jwrite *w)
{
    buf_append_char(w->out, '}');
    w->comma = true;
}

void jwrite_array(struct jwrite *w)
{
    value(w);
    buf_append_char(w->out, '[');
    w->comma = false;
}

void jwrite_array_in(struct jwrite *w, const char *name)
{
    jwrite_name(w, name);
    jwrite_array(w);
}

void jwrite_array_end(struct jwrite *w)
{
    buf_append_char(w->out, ']');
    w->comma = true;
}

void jwrite_name_text(struct jwrite *w, struct slice name)
{
    value(w);
    buf_append_char(w->out, '"');
    buf_append(w->out, name);
    buf_append(w->out, SLICE("\":"));
    w->comma = false;
}

void jwrite_name(struct jwrite *w, const char *name)
{
    jwrite_name_text(w, slice_str(name));
}

void jwrite_raw(struct jwrite *w, struct slice json)
{
    value(w);
    buf_append(w->out, json);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

// Length of the string that starts at s.p[0] == '"', quotes included.
static size_t string_length(struct slice s)
{
    size_t i = 1;

    while (i < s.n && s.p[i] != '"') {
        i += s.p[i] == '\\' ? 2 : 1;
    }
    return i < s.n ? i + 1 : s.n;
}

// --- JSON as the gateway writes it ---------------------------------------------------------------

static size_t put_ascii(char *out, uint32_t c)
{
    static const char controls[] = "\b\t\n\f\r", letters[] = "btnfr";
    const char *control = c == 0 ? NULL : strchr(controls, (int)c);

    if (c >= 0x20 && c != '"' && c != '\\') {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x20 && control == NULL) {
        memcpy(out, "\\u00", 4);
        out[4] = c < 0x10 ? '0' : '1';
        out[5] = "0123456789abcdef"[c & 15];
        return 6;
    }
    out[0] = '\\';
    out[1] = control != NULL ? letters[control - controls] : (char)c;
    return 2;
}

// One \u escape in its shortest form; how many bytes of the source it is. Half a pair has no other.
static size_t put_unicode(struct slice s, struct buf *out,
                          void (*put)(struct buf *out, struct slice piece))
{
    struct slice rest = s;
    char text[8];
    uint32_t cp;
    size_t n;

    if (!scan_unicode(&rest, &cp)) {
        put(out, slice_head(s, 6));
        return 6;
    }
    n = cp >= 0x80 ? text_put_utf8(text, cp) : put_ascii(text, cp);
    put(out, (struct slice){text, n});
    return s.n - rest.n;
}

// A string with escapes, quotes included.
static void put_string(struct slice s, struct buf *out,
                       void (*put)(struct buf *out, struct slice piece))
{
    size_t from = 0, i = 0;

    while (i < s.n) {
        bool unicode = s.p[i] == '\\' && s.n - i >= 6 && s.p[i + 1] == 'u';
        bool slash = s.p[i] == '\\' && s.n - i >= 2 && s.p[i + 1] == '/';

        if (!unicode && !slash) {
            i += s.p[i] == '\\' ? 2 : 1;
            continue;
        }
        if (i > from) {
            put(out, (struct slice){s.p + from, i - from});
        }
        if (slash) {
            put(out, SLICE("/"));
            i += 2;
        } else {
            i += put_unicode(slice_from(s, i), out, put);
        }
        from = i;
    }
    if (s.n > from) {
        put(out, slice_from(s, from));
    }
}

static bool is_escaped(struct slice string)
{
    return memchr(string.p, '\\', string.n) != NULL;
}

// Tells `put` the runs of bytes between white space, strings whole unless they have escapes.
static void each_run(struct slice json, struct buf *out,
                     void (*put)(struct buf *out, struct slice piece))
{
    size_t from = 0, i = 0;

    while (i < json.n) {
        if (json.p[i] == '"') {
            struct slice string =
                slice_head(slice_from(json, i), string_length(slice_from(json, i)));

            if (is_escaped(string)) {
                put(out, (struct slice){json.p + from, i - from});
                put_string(string, out, put);
                from = i + string.n;
            }
            i += string.n;
        } else if (is_space(json.p[i])) {
            if (i > from) {
                put(out, (struct slice){json.p + from, i - from});
            }
            from = ++i;
        } else {
            i++;
        }
    }
    if (i > from) {
        put(out, (struct slice){json.p + from, i - from});
    }
}

void jwrite_compact(struct jwrite *w, struct slice json)
{
    value(w);
    each_run(json, w->out, buf_append);
}

void jwrite_text(struct jwrite *w, struct slice text)
{
    value(w);
    buf_append_char(w->out, '"');
    buf_append(w->out, text);
    buf_append_char(w->out, '"');
}

void jwrite_string(struct jwrite *w, struct slice chars)
{
    value(w);
    text_json_string(w->out, chars);
}

void jwrite_u64(struct jwrite *w, uint64_t v)
{
    char digits[20];

    value(w);
    buf_append(w->out, text_format_u64(v, digits));
}

void jwrite_bool(struct jwrite *w, bool v)
{
    jwrite_raw(w, v ? SLICE("true") : SLICE("false"));
}

void jwrite_null(struct jwrite *w)
{
    jwrite_raw(w, SLICE("null"));
}

void jwrite_quoted(struct jwrite *w, struct slice json)
{
    jwrite_text_begin(w);
    jwrite_quoted_more(w, json);
    jwrite_text_end(w);
}

void jwrite_text_begin(struct jwrite *w)
{
    value(w);
    buf_append_char(w->out, '"');
}

void jwrite_text_more(struct jwrite *w, struct slice text)
{
    buf_append(w->out, text);
}

void jwrite_string_more(struct jwrite *w, struct slice chars)
{
    text_json_escape(w->out, chars);
}

void jwrite_quoted_more(struct jwrite *w, struct slice json)
{
    each_run(json, w->out, text_json_escape);
}

void jwrite_text_end(struct jwrite *w)
{
    buf_append_char(w->out, '"');
}

void jwrite_raw_in(struct jwrite *w, const char *name, struct slice json)
{
    if (json.p != NULL) {
        jwrite_name(w, name);
        jwrite_raw(w, json);
    }
}

void jwrite_text_in(struct jwrite *w, const char *name, struct slice text)
{
    if (text.p != NULL) {
        jwrite_name(w, name);
        jwrite_text(w, text);
    }
}

void jwrite_string_in(struct jwrite *w, const char *name, struct slice chars)
{
    if (chars.p != NULL) {
        jwrite_name(w, name);
        jwrite_string(w, chars);
    }
}

void jwrite_u64_in(struct jwrite *w, const char *name, uint64_t v)
{
    jwrite_name(w, name);
    jwrite_u64(w, v);
}

void jwrite_bool_in(struct jwrite *w, const char *name, bool v)
{
    jwrite_name(w, name);
    jwrite_bool(w, v);
}

void jwrite_null_in(struct jwrite *w, const char *name)
{
    jwrite_name(w, name);
    jwrite_null(w);
}
