// SPDX-License-Identifier: Apache-2.0
// The jansson adapter. struct json_value is jansson's json_t under another name, so that no other
// file sees the library.
//
// Depth is checked on the bytes before jansson is let loose on them (its own bound is 2,048
// levels); what it cannot say precisely enough (a path, a bound) is kept by struct json_at: a chain
// of places on the callers' stacks, from the innermost out, written as a path only when there is a
// complaint.
#include "common/io/json.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/text.h"

// Documents may hold secrets: what jansson frees is wiped. Each piece has its size in front.
#define SIZE_ROOM 16u

static void *tree_alloc(size_t n)
{
    char *p = mem_try_alloc(n + SIZE_ROOM);

    if (p == NULL) {
        return NULL;
    }
    memcpy(p, &n, sizeof(n));
    return p + SIZE_ROOM;
}

static void tree_free(void *p)
{
    size_t n;

    if (p != NULL) {
        char *start = (char *)p - SIZE_ROOM;

        memcpy(&n, start, sizeof(n));
        mem_wipe(start, n + SIZE_ROOM);
        mem_free(start);
    }
}

// Before the first document: jansson must not free what another allocator made.
__attribute__((constructor)) static void use_our_memory(void)
{
    json_set_alloc_funcs(tree_alloc, tree_free);
}

static const json_t *tree(const struct json_value *v)
{
    return (const json_t *)(const void *)v;
}

static const struct json_value *value(const json_t *t)
{
    return (const struct json_value *)(const void *)t;
}

// Nesting of brackets outside of strings. Text that is no JSON may count wrong: the parser refuses
// it afterwards.
static bool depth_ok(struct slice s, unsigned max)
{
    unsigned depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max) {
                return false;
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

struct json_value *json_parse(struct slice text, size_t max_bytes, unsigned max_depth,
                              struct err *e)
{
    json_error_t je;
    json_t *t;

    if (text.n > max_bytes) {
        err_set(e, ERR_TOO_LARGE, "JSON text of %zu bytes; at most %zu are allowed", text.n,
                max_bytes);
        return NULL;
    }
    if (!depth_ok(text, max_depth)) {
        err_set(e, ERR_TOO_LARGE, "JSON is nested deeper than %u levels", max_depth);
        return NULL;
    }
    if (slice_find_char(text, '\0') != SIZE_MAX) { // jansson takes one at the end for the end
        err_set(e, ERR_INVALID, "not valid JSON: it has a NUL byte");
        return NULL;
    }
    // jansson's message may quote the text, which may hold a secret: only the place is passed on.
    t = json_loadb(text.n == 0 ? "" : text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY,
                   &je);
    if (t == NULL) {
        const char *what = "not valid JSON";

        if (json_error_code(&je) == json_error_duplicate_key) {
            what = "a key occurs twice in one object";
        } else if (json_error_code(&je) == json_error_invalid_utf8) {
            what = "not valid UTF-8";
        } else if (json_error_code(&je) == json_error_numeric_overflow) {
            what = "a number is out of range";
        } else if (json_error_code(&je) == json_error_null_character ||
                   json_error_code(&je) == json_error_null_byte_in_key) {
            what = "U+0000 is not allowed in a string";
        }
        err_set(e, ERR_INVALID, "%s (line %d, column %d)", what, je.line, je.column);
        return NULL;
    }
    return (struct json_value *)(void *)t;
}

const char *json_library_version(void)
{
    return jansson_version_str();
}

void json_free(struct json_value **v)
{
    if (*v != NULL) {
        json_decref((json_t *)(void *)*v);
        *v = NULL;
    }
}

struct json_at json_root(const struct json_value *v)
{
    return (struct json_at){.value = v};
}

struct json_at json_member(const struct json_at *o, const char *name)
{
    const json_t *v = o->value == NULL ? NULL : json_object_get(tree(o->value), name);

    return (struct json_at){.value = value(v), .up = o, .name = name};
}

struct json_at json_element(const struct json_at *a, size_t index)
{
    const json_t *v = a->value == NULL ? NULL : json_array_get(tree(a->value), index);

    return (struct json_at){.value = value(v), .up = a, .index = index};
}

size_t json_size(const struct json_at *a)
{
    if (a->value == NULL) {
        return 0;
    }
    return json_is_array(tree(a->value)) ? json_array_size(tree(a->value))
                                         : json_object_size(tree(a->value));
}

bool json_present(const struct json_at *a)
{
    return a->value != NULL;
}

bool json_present_null(const struct json_at *a)
{
    return a->value != NULL && json_is_null(tree(a->value));
}

// Puts the text in front of what `out` holds from *at on; what does not fit is left out.
static void prepend(char *out, size_t *at, const char *s, size_t n)
{
    while (n > 0 && *at > 0) {
        unsigned char c = (unsigned char)s[--n];

        out[--*at] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
}

void json_path(const struct json_at *a, char out[JSON_PATH_MAX])
{
    char text[JSON_PATH_MAX];
    size_t at = sizeof(text) - 1;

    text[at] = '\0';
    for (; a != NULL && a->up != NULL; a = a->up) {
        if (a->name == NULL) {
            char index[32];
            int n = snprintf(index, sizeof(index), "[%zu]", a->index);

            prepend(text, &at, index, (size_t)n);
        } else {
            // At most 64 bytes of a name, not cutting a UTF-8 sequence.
            size_t n = strnlen(a->name, 65);

            if (n == 65) {
                n = 64;
                while (n > 0 && ((unsigned char)a->name[n] & 0xc0) == 0x80) {
                    n--;
                }
            }
            prepend(text, &at, a->name, n);
            if (a->up->up != NULL) {
                prepend(text, &at, ".", 1);
            }
        }
    }
    // A path cut at its front must not begin inside a sequence.
    while (((unsigned char)text[at] & 0xc0) == 0x80) {
        at++;
    }
    memcpy(out, text + at, sizeof(text) - at);
}

void json_note(struct json_report *r, const struct json_at *a, const char *fmt, ...)
{
    va_list ap;

    if (r->n < JSON_PROBLEMS_MAX) {
        struct json_problem *p = &r->items[r->n];

        json_path(a, p->field);
        va_start(ap, fmt);
        (void)vsnprintf(p->problem, sizeof(p->problem), fmt, ap); // cut is fine
        va_end(ap);
    }
    r->n++;
}

static const char *type_name(const json_t *t)
{
    switch (json_typeof(t)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

// Present and of the type? Notes what it is instead.
static bool typed(const struct json_at *a, bool right, const char *want, struct json_report *r)
{
    if (a->value != NULL && !right) {
        json_note(r, a, "expected %s, got %s", want, type_name(tree(a->value)));
    }
    return a->value != NULL && right;
}

bool json_want_raw_text(const struct json_at *a, size_t min, size_t max, struct slice *ret,
                        struct json_report *r)
{
    size_t n;

    if (!typed(a, json_is_string(tree(a->value)), "a string", r)) {
        return false;
    }
    n = json_string_length(tree(a->value));
    if (n < min || n > max) {
        if (min > 0 && n == 0) {
            json_note(r, a, "must not be empty");
        } else {
            json_note(r, a, "must have %zu to %zu bytes, has %zu", min, max, n);
        }
        return false;
    }
    *ret = (struct slice){json_string_value(tree(a->value)), n};
    return true;
}

// Characters that make a name look like another one or break a line: C0, DEL, C1, the line and
// paragraph separators, bidirectional embeddings, overrides and isolates, zero-width characters,
// the byte order mark. s is valid UTF-8.
static bool has_hostile_char(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        unsigned char d = i + 1 < s.n ? (unsigned char)s.p[i + 1] : 0;
        unsigned char f = i + 2 < s.n ? (unsigned char)s.p[i + 2] : 0;

        if (c < 0x20 || c == 0x7f || (c == 0xc2 && d < 0xa0)) {
            return true;
        }
        // U+200B..U+200F, U+2028..U+202E; U+2060..U+2064, U+2066..U+2069; U+FEFF
        if ((c == 0xe2 && d == 0x80 && ((f >= 0x8b && f <= 0x8f) || (f >= 0xa8 && f <= 0xae))) ||
            (c == 0xe2 && d == 0x81 && f >= 0xa0 && f <= 0xa9) ||
            (c == 0xef && d == 0xbb && f == 0xbf)) {
            return true;
        }
    }
    return false;
}

bool json_text_is_plain(struct slice s)
{
    return !has_hostile_char(s);
}

bool json_want_text(const struct json_at *a, size_t min, size_t max, struct slice *ret,
                    struct json_report *r)
{
    struct slice s;

    if (!json_want_raw_text(a, min, max, &s, r)) {
        return false;
    }
    if (has_hostile_char(s)) {
        json_note(r, a, "must not contain control, zero-width or bidirectional characters");
        return false;
    }
    *ret = s;
    return true;
}

bool json_want_bool(const struct json_at *a, bool *ret, struct json_report *r)
{
    if (!typed(a, json_is_boolean(tree(a->value)), "a boolean", r)) {
        return false;
    }
    *ret = json_is_true(tree(a->value));
    return true;
}

bool json_want_int(const struct json_at *a, int64_t min, int64_t max, int64_t *ret,
                   struct json_report *r)
{
    json_int_t v;

    if (!typed(a, json_is_integer(tree(a->value)), "a whole number", r)) {
        if (a->value != NULL && json_is_real(tree(a->value)) && r->n <= JSON_PROBLEMS_MAX) {
            (void)snprintf(r->items[r->n - 1].problem, sizeof(r->items[0].problem),
                           "must be a whole number");
        }
        return false;
    }
    v = json_integer_value(tree(a->value));
    if (v < min || v > max) {
        json_note(r, a, "must be between %lld and %lld", (long long)min, (long long)max);
        return false;
    }
    *ret = v;
    return true;
}

bool json_want_number(const struct json_at *a, double min, double max, double *ret,
                      struct json_report *r)
{
    double v;

    if (!typed(a, json_is_number(tree(a->value)), "a number", r)) {
        return false;
    }
    v = json_number_value(tree(a->value));
    if (!(v >= min && v <= max)) {
        json_note(r, a, "must be between %.15g and %.15g", min, max);
        return false;
    }
    *ret = v;
    return true;
}

static bool few(const struct json_at *a, size_t max, struct json_report *r)
{
    if (json_size(a) > max) {
        json_note(r, a, "has %zu entries; at most %zu are allowed", json_size(a), max);
        return false;
    }
    return true;
}

bool json_want_list(const struct json_at *a, size_t max, struct json_report *r)
{
    return typed(a, json_is_array(tree(a->value)), "an array", r) && few(a, max, r);
}

bool json_want_map(const struct json_at *a, size_t max, struct json_report *r)
{
    return typed(a, json_is_object(tree(a->value)), "an object", r) && few(a, max, r);
}

void json_each(const struct json_at *o, bool (*fn)(void *ctx, const struct json_at *at), void *ctx)
{
    // The iterator wants a mutable tree but does not change it.
    json_t *t = (json_t *)(uintptr_t)tree(o->value);

    if (o->value == NULL) {
        return;
    }
    for (void *it = json_object_iter(t); it != NULL; it = json_object_iter_next(t, it)) {
        struct json_at at = {
            .value = value(json_object_iter_value(it)),
            .up = o,
            .name = json_object_iter_key(it),
        };

        if (!fn(ctx, &at)) {
            return;
        }
    }
}

bool json_require(const struct json_at *a, struct json_report *r)
{
    if (a->value == NULL || json_is_null(tree(a->value))) {
        json_note(r, a, "is required");
        return false;
    }
    return true;
}

struct known {
    const char *const *names;
    size_t n;
    struct json_report *r;
};

static bool check_known(void *ctx, const struct json_at *at)
{
    struct known *k = ctx;
    struct slice candidates[64];
    struct slice best;
    size_t n = k->n < ARRAY_LEN(candidates) ? k->n : ARRAY_LEN(candidates);

    for (size_t i = 0; i < k->n; i++) {
        if (strcmp(at->name, k->names[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < n; i++) {
        candidates[i] = slice_str(k->names[i]);
    }
    best =
        strnlen(at->name, 65) > 64 ? SLICE_NULL : text_nearest(slice_str(at->name), candidates, n);
    if (best.p != NULL) {
        json_note(k->r, at, "unknown field; did you mean \"" SLICE_FMT "\"?", SLICE_ARG(best));
    } else {
        json_note(k->r, at, "unknown field");
    }
    return true;
}

void json_known(const struct json_at *o, const char *const *names, size_t n, struct json_report *r)
{
    struct known k = {names, n, r};

    json_each(o, check_known, &k);
}

// --- writing ------------------------------------------------------------------------------------

struct json_out json_out_to(struct buf *b)
{
    return (struct json_out){.b = b};
}

static void separate(struct json_out *o)
{
    if (o->comma) {
        buf_append_char(o->b, ',');
    }
    o->comma = true;
}

void json_out_open(struct json_out *o, char bracket)
{
    separate(o);
    buf_append_char(o->b, bracket);
    o->comma = false;
}

void json_out_close(struct json_out *o, char bracket)
{
    buf_append_char(o->b, bracket);
    o->comma = true;
}

void json_out_key(struct json_out *o, const char *name)
{
    separate(o);
    text_json_string(o->b, slice_str(name));
    buf_append_char(o->b, ':');
    o->comma = false;
}

void json_out_text(struct json_out *o, struct slice s)
{
    if (s.p == NULL) {
        json_out_null(o);
        return;
    }
    separate(o);
    text_json_string(o->b, s);
}

void json_out_u64(struct json_out *o, uint64_t v)
{
    separate(o);
    buf_printf(o->b, "%llu", (unsigned long long)v);
}

void json_out_double(struct json_out *o, double v)
{
    if (!isfinite(v)) {
        json_out_null(o);
        return;
    }
    separate(o);
    buf_printf(o->b, "%.15g", v);
}

void json_out_bool(struct json_out *o, bool v)
{
    separate(o);
    buf_append_str(o->b, v ? "true" : "false");
}

void json_out_null(struct json_out *o)
{
    separate(o);
    buf_append_str(o->b, "null");
}

void json_out_raw(struct json_out *o, struct slice json)
{
    separate(o);
    buf_append(o->b, json);
}

static int dump_piece(const char *p, size_t n, void *ctx)
{
    buf_append(ctx, SLICE_MAKE(p, n));
    return 0;
}

void json_out_value(struct json_out *o, const struct json_value *v)
{
    separate(o);
    // Cannot fail: the tree is valid and dump_piece never refuses.
    (void)json_dump_callback(tree(v), dump_piece, o->b,
                             JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
}

void json_out_field(struct json_out *o, const char *name, struct slice s)
{
    json_out_key(o, name);
    json_out_text(o, s);
}

void json_out_field_str(struct json_out *o, const char *name, const char *s)
{
    json_out_field(o, name, slice_str(s));
}

void json_out_field_u64(struct json_out *o, const char *name, uint64_t v)
{
    json_out_key(o, name);
    json_out_u64(o, v);
}

void json_out_field_bool(struct json_out *o, const char *name, bool v)
{
    json_out_key(o, name);
    json_out_bool(o, v);
}

void json_out_field_texts(struct json_out *o, const char *name, const char *const *list, size_t n)
{
    json_out_key(o, name);
    json_out_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        json_out_text(o, slice_str(list[i]));
    }
    json_out_close(o, ']');
}

void json_out_field_duration(struct json_out *o, const char *name, uint64_t us)
{
    char text[32];

    if (us != 0) {
        json_out_field_str(o, name, text_format_duration(us, text));
    }
}
