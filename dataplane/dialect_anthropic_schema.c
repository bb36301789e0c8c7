// SPDX-License-Identifier: Apache-2.0
// A schema is walked on its tape; each keyword by a table that says what its value holds. Keywords
// that are not in it (minimum, pattern, not, $schema, ...) are left out. The recursion is bounded
// by the depth of a tape (SCAN_DEPTH_MAX).
#include "dataplane/dialect_anthropic_schema.h"

#include "common/base/cdefs.h"
#include "dataplane/jtext.h"
#include "dataplane/scan.h"
#include "dataplane/tape.h"

enum holds {
    HOLDS_VALUE,   // copied
    HOLDS_SCHEMA,  // one schema, or a list of them
    HOLDS_SCHEMAS, // a list of schemas
    HOLDS_NAMED,   // an object whose values are schemas
    HOLDS_FORMAT,  // copied when it is one of those known
    HOLDS_NOTHING, // left out
};

static enum holds keyword(const struct tape *t, uint32_t name)
{
    static const struct {
        const char *name;
        enum holds holds;
    } words[] = {
        {"type", HOLDS_VALUE},        {"properties", HOLDS_NAMED}, {"required", HOLDS_VALUE},
        {"items", HOLDS_SCHEMA},      {"enum", HOLDS_VALUE},       {"const", HOLDS_VALUE},
        {"anyOf", HOLDS_SCHEMAS},     {"oneOf", HOLDS_SCHEMAS},    {"allOf", HOLDS_SCHEMAS},
        {"$ref", HOLDS_VALUE},        {"$defs", HOLDS_NAMED},      {"definitions", HOLDS_NAMED},
        {"description", HOLDS_VALUE}, {"title", HOLDS_VALUE},      {"default", HOLDS_VALUE},
        {"format", HOLDS_FORMAT},
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (tape_eq(t, name, words[i].name)) {
            return words[i].holds;
        }
    }
    return HOLDS_NOTHING;
}

static bool is_known_format(const struct tape *t, uint32_t value)
{
    static const char *const formats[] = {"date-time", "time", "date", "duration", "email",
                                          "hostname",  "uri",  "ipv4", "ipv6",     "uuid"};

    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (tape_eq(t, value, formats[i])) {
            return true;
        }
    }
    return false;
}

static bool is_object_schema(const struct tape *t, uint32_t schema)
{
    uint32_t type = tape_get(t, schema, "type");

    if (tape_eq(t, type, "object")) {
        return true;
    }
    TAPE_ITEMS(t, type, i)
    {
        if (tape_eq(t, i, "object")) {
            return true;
        }
    }
    return type == TAPE_NONE && tape_is(t, tape_get(t, schema, "properties"), SCAN_OBJECT);
}

static void write_schema(const struct tape *t, uint32_t schema, struct jwrite *w);

static void write_schemas(const struct tape *t, uint32_t list, struct jwrite *w)
{
    jwrite_array(w);
    TAPE_ITEMS(t, list, i)
    {
        write_schema(t, i, w);
    }
    jwrite_array_end(w);
}

static void write_named(const struct tape *t, uint32_t object, struct jwrite *w)
{
    jwrite_object(w);
    TAPE_MEMBERS(t, object, i)
    {
        jwrite_name_text(w, tape_text(t, i));
        write_schema(t, i + 1, w);
    }
    jwrite_object_end(w);
}

static void write_keyword(const struct tape *t, uint32_t name, struct jwrite *w)
{
    enum holds holds = keyword(t, name);
    uint32_t value = name + 1;

    if (holds == HOLDS_NOTHING || (holds == HOLDS_FORMAT && !is_known_format(t, value))) {
        return;
    }
    jwrite_name_text(w, tape_eq(t, name, "oneOf") ? SLICE("anyOf") : tape_text(t, name));
    if (tape_is(t, value, SCAN_ARRAY) && (holds == HOLDS_SCHEMAS || holds == HOLDS_SCHEMA)) {
        write_schemas(t, value, w);
    } else if (tape_is(t, value, SCAN_OBJECT) && holds == HOLDS_NAMED) {
        write_named(t, value, w);
    } else if (holds == HOLDS_SCHEMA) {
        write_schema(t, value, w);
    } else {
        jwrite_compact(w, tape_raw(t, value));
    }
}

static void write_schema(const struct tape *t, uint32_t schema, struct jwrite *w)
{
    bool any_of;

    if (!tape_is(t, schema, SCAN_OBJECT)) {
        jwrite_compact(w, tape_raw(t, schema)); // true, false
        return;
    }
    any_of = tape_get(t, schema, "anyOf") != TAPE_NONE;
    jwrite_object(w);
    TAPE_MEMBERS(t, schema, i)
    {
        // Both at once are no case of structured outputs; two members of one name are no JSON.
        if (!any_of || !tape_eq(t, i, "oneOf")) {
            write_keyword(t, i, w);
        }
    }
    if (is_object_schema(t, schema)) {
        jwrite_bool_in(w, "additionalProperties", false);
    }
    jwrite_object_end(w);
}

void dialect_anthropic_schema_write(struct slice schema, struct jwrite *w)
{
    struct tape t = {.tokens = NULL};

    if (tape_parse(&t, schema, NULL)) {
        write_schema(&t, 0, w);
    } else {
        jwrite_raw(w, schema); // more values than a tape holds
    }
    tape_done(&t);
}

void dialect_anthropic_schema_write_input(struct slice schema, struct jwrite *w)
{
    struct slice type;
    size_t at = 1;

    if (scan_type_of(schema) != SCAN_OBJECT) {
        jwrite_raw(w, SLICE("{\"type\":\"object\",\"properties\":{}}"));
        return;
    }
    if (scan_get(schema, "type", &type)) {
        jwrite_compact(w, schema);
        return;
    }
    while (at < schema.n && strchr(" \t\r\n", schema.p[at]) != NULL) {
        at++;
    }
    jwrite_object(w);
    jwrite_text_in(w, "type", SLICE("object"));
    if (schema.p[at] != '}') {
        // The rest of the object, its bracket included, behind our member.
        buf_append_char(w->out, ',');
        buf_append(w->out, slice_from(schema, at));
        w->comma = true;
        return;
    }
    jwrite_object_end(w);
}
