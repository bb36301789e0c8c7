// SPDX-License-Identifier: Apache-2.0
// Every property is given, required or not. What is not understood ends as a string; references go
// anywhere in the same schema.
#include "tests/mock/mock_schema.h"

#include "common/base/text.h"
#include "tests/mock/mock_answer.h"
#include "tests/mock/mock_tree.h"

#define DEPTH_MAX 16u

struct maker {
    struct json_at root;
    struct json_out o;
    unsigned ordinal;
    size_t pad; // of the next string; then 0
    unsigned depth;
};

static void value(struct maker *m, const struct json_at *schema);

// "#", "#/$defs/x", "#/definitions/x"
static bool follow(struct maker *m, struct slice ref, struct json_at *ret)
{
    struct json_at at = m->root;

    if (!slice_starts(ref, SLICE("#/"))) {
        *ret = at;
        return slice_eq(ref, SLICE("#"));
    }
    for (struct slice rest = slice_from(ref, 2); rest.p != NULL && rest.n > 0;) {
        struct slice name;
        char text[128];

        rest = slice_cut(rest, '/', &name);
        if (name.n >= sizeof(text)) {
            return false;
        }
        memcpy(text, name.p, name.n);
        text[name.n] = 0;
        at = json_member(&at, text);
        at.up = NULL; // its path is never printed
    }
    *ret = at;
    return json_present(&at);
}

static struct slice type_of(const struct json_at *schema)
{
    struct json_at t = json_member(schema, "type");
    struct slice s = mock_tree_string(&t);

    for (size_t i = 0; s.p == NULL && i < json_size(&t); i++) {
        struct json_at e = json_element(&t, i);

        s = mock_tree_string(&e);
        s = slice_eq_nocase(s, SLICE("null")) ? SLICE_NULL : s;
    }
    if (s.p == NULL && mock_tree_has(schema, "properties")) {
        return SLICE("object");
    }
    return s;
}

static bool property(void *ctx, const struct json_at *at)
{
    struct maker *m = ctx;

    json_out_key(&m->o, at->name);
    value(m, at);
    return true;
}

static void object(struct maker *m, const struct json_at *schema)
{
    struct json_at p = json_member(schema, "properties");

    json_out_open(&m->o, '{');
    json_each(&p, property, m);
    json_out_close(&m->o, '}');
}

static void array(struct maker *m, const struct json_at *schema)
{
    struct json_at items = json_member(schema, "items");
    double n = m->depth < DEPTH_MAX / 2 ? 1 : 0; // a tree ends somewhere

    (void)mock_tree_number(schema, "minItems", &n);
    json_out_open(&m->o, '[');
    for (unsigned i = 0; json_present(&items) && i < n && i < 16; i++) {
        value(m, &items);
    }
    json_out_close(&m->o, ']');
}

static void string(struct maker *m, const struct json_at *schema)
{
    // Letters of two bytes, so that a stream cut in the wrong place is noticed.
    static const char *const words[] = {"Zürich", "Köln", "Málaga", "Łódź"};
    static const struct {
        const char *format, *text;
    } formats[] = {
        {"date", "2026-11-25"},          {"date-time", "2026-11-25T20:40:46Z"},
        {"time", "20:40:46Z"},           {"email", "mock@example.com"},
        {"uri", "https://example.com/"}, {"uuid", "3f0c1d0a-5b1e-4d8e-9a53-0c6a2b7d9e10"}};
    struct slice format = mock_tree_text(schema, "format");
    struct slice filler = mock_answer_filler();
    size_t start = m->o.b->n;

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (slice_eq_str(format, formats[i].format)) {
            json_out_text(&m->o, slice_str(formats[i].text));
            return;
        }
    }
    if (m->pad == 0) {
        json_out_text(&m->o, slice_str(words[m->ordinal % ARRAY_LEN(words)]));
        return;
    }
    json_out_raw(&m->o, SLICE("\""));
    while (m->o.b->n - start < m->pad) {
        size_t left = m->pad - (m->o.b->n - start);

        buf_append(m->o.b, slice_head(filler, left));
    }
    buf_append_char(m->o.b, '"');
    m->pad = 0;
}

static void number(struct maker *m, const struct json_at *schema, bool whole)
{
    double least = whole ? 7 : 1.5, given;

    if (mock_tree_number(schema, "minimum", &given)) {
        least = given;
    } else if (mock_tree_number(schema, "maximum", &given) && given < least + m->ordinal) {
        json_out_double(&m->o, given);
        return;
    }
    json_out_double(&m->o, least + m->ordinal);
}

// const, enum, default, references and alternatives. True: done.
static bool indirect(struct maker *m, const struct json_at *schema)
{
    static const char *const lists[] = {"anyOf", "oneOf", "allOf"};
    struct json_at c = json_member(schema, "const"), list = json_member(schema, "enum"), to;

    if (json_present(&c)) {
        json_out_value(&m->o, c.value);
        return true;
    }
    if (json_size(&list) > 0) {
        struct json_at e = json_element(&list, m->ordinal % json_size(&list));

        json_out_value(&m->o, e.value);
        return true;
    }
    if (m->depth < DEPTH_MAX && follow(m, mock_tree_text(schema, "$ref"), &to)) {
        value(m, &to);
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(lists) && m->depth < DEPTH_MAX; i++) {
        list = json_member(schema, lists[i]);
        for (size_t k = 0; k < json_size(&list); k++) {
            struct json_at e = json_element(&list, k);

            if (!slice_eq_nocase(mock_tree_text(&e, "type"), SLICE("null"))) {
                value(m, &e);
                return true;
            }
        }
    }
    return false;
}

static void value(struct maker *m, const struct json_at *schema)
{
    struct slice type = type_of(schema);

    m->depth++;
    if (m->depth > 2 * DEPTH_MAX || m->o.b->n > m->o.b->max / 2 ||
        slice_eq_nocase(type, SLICE("null"))) {
        json_out_null(&m->o); // or a schema that grows without end
    } else if (indirect(m, schema)) {
        // done
    } else if (slice_eq_nocase(type, SLICE("object"))) {
        object(m, schema);
    } else if (slice_eq_nocase(type, SLICE("array"))) {
        array(m, schema);
    } else if (slice_eq_nocase(type, SLICE("integer"))) {
        number(m, schema, true);
    } else if (slice_eq_nocase(type, SLICE("number"))) {
        number(m, schema, false);
    } else if (slice_eq_nocase(type, SLICE("boolean"))) {
        json_out_bool(&m->o, true);
    } else {
        string(m, schema);
    }
    m->depth--;
}

void mock_schema_value(const struct json_value *schema, unsigned ordinal, size_t pad,
                       struct buf *out)
{
    struct maker m = {json_root(schema), json_out_to(out), ordinal, pad, 0};

    if (schema == NULL) {
        buf_append_str(out, "{}");
        return;
    }
    value(&m, &m.root);
}
