// SPDX-License-Identifier: Apache-2.0
// A schema is walked on its tape; each keyword by a table that says what its value holds. Keywords
// that are not in it (minimum, pattern, not, $schema, ...) are left out. The recursion is bounded
// by the depth of a tape (SCAN_DEPTH_MAX).
#include "dataplane/dialect_anthropic_schema.h"

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "dataplane/canon_index.h"
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

// --- inputs of tools ---------------------------------------------------------------------------

#define REFS_MAX 64u // alternatives that are followed by name

static const char *const combined[] = {"anyOf", "oneOf", "allOf"};

// What is put together of the schema and its alternatives.
struct input {
    const struct tape *t;
    struct jwrite *w;
    struct arena a;
    struct canon_index properties, required;
    unsigned refs;
    bool open; // the member `properties`
};

static bool is_combined(const struct tape *t, uint32_t name)
{
    for (size_t i = 0; i < ARRAY_LEN(combined); i++) {
        if (tape_eq(t, name, combined[i])) {
            return true;
        }
    }
    return false;
}

static bool is_plain_input(const struct tape *t)
{
    TAPE_MEMBERS(t, 0, i)
    {
        if (is_combined(t, i)) {
            return false;
        }
    }
    return tape_eq(t, tape_get(t, 0, "type"), "object");
}

// "#/$defs/x" or "#/definitions/x" at the top; TAPE_NONE: there is no such schema.
static uint32_t named_schema(struct input *in, struct slice ref)
{
    static const struct {
        struct slice prefix;
        const char *member;
    } places[] = {{SLICE("#/$defs/"), "$defs"}, {SLICE("#/definitions/"), "definitions"}};

    for (size_t k = 0; k < ARRAY_LEN(places); k++) {
        uint32_t all = tape_get(in->t, 0, places[k].member);

        if (!slice_starts(ref, places[k].prefix) || in->refs++ >= REFS_MAX) {
            continue;
        }
        TAPE_MEMBERS(in->t, all, i)
        {
            if (slice_eq(tape_text(in->t, i), slice_from(ref, places[k].prefix.n))) {
                return i + 1;
            }
        }
    }
    return TAPE_NONE;
}

static void open_properties(struct input *in)
{
    if (!in->open) {
        jwrite_object_in(in->w, "properties");
        in->open = true;
    }
}

static void add_properties(struct input *in, uint32_t schema)
{
    uint32_t properties = tape_get(in->t, schema, "properties");

    if (tape_is(in->t, properties, SCAN_OBJECT)) {
        open_properties(in);
    }
    TAPE_MEMBERS(in->t, properties, i)
    {
        struct slice name = tape_text(in->t, i);

        if (canon_index_find(&in->properties, name) == NULL) {
            (void)canon_index_add(&in->properties, &in->a, name);
            jwrite_name_text(in->w, name);
            jwrite_compact(in->w, tape_raw(in->t, i + 1));
        }
    }
}

static void add_required(struct input *in, uint32_t schema)
{
    uint32_t required = tape_get(in->t, schema, "required");

    TAPE_ITEMS(in->t, required, i)
    {
        struct slice name = tape_text(in->t, i);

        if (name.p != NULL && canon_index_find(&in->required, name) == NULL) {
            if (in->required.n == 0) {
                jwrite_array_in(in->w, "required");
            }
            (void)canon_index_add(&in->required, &in->a, name);
            jwrite_text(in->w, name);
        }
    }
}

// For each alternative of the top's `list`, a named one followed.
static void each_alternative(struct input *in, const char *list,
                             void (*add)(struct input *in, uint32_t schema))
{
    uint32_t all = tape_get(in->t, 0, list);

    TAPE_ITEMS(in->t, all, i)
    {
        struct slice ref = tape_get_text(in->t, i, "$ref");

        add(in, ref.p != NULL ? named_schema(in, ref) : i);
    }
}

// One object with the properties of all alternatives: Anthropic takes none at the top of an input.
// What must be given is what every alternative of allOf and the schema itself say.
static void write_merged(struct input *in)
{
    jwrite_object(in->w);
    jwrite_text_in(in->w, "type", SLICE("object"));
    TAPE_MEMBERS(in->t, 0, i)
    {
        if (!is_combined(in->t, i) && !tape_eq(in->t, i, "type") &&
            !tape_eq(in->t, i, "properties") && !tape_eq(in->t, i, "required")) {
            jwrite_name_text(in->w, tape_text(in->t, i));
            jwrite_compact(in->w, tape_raw(in->t, i + 1));
        }
    }
    if (tape_first(in->t, 0) == TAPE_NONE) {
        open_properties(in); // nothing at all: as where none was given
    }
    add_properties(in, 0);
    for (size_t i = 0; i < ARRAY_LEN(combined); i++) {
        each_alternative(in, combined[i], add_properties);
    }
    if (in->open) {
        jwrite_object_end(in->w);
    }
    add_required(in, 0);
    each_alternative(in, "allOf", add_required);
    if (in->required.n > 0) {
        jwrite_array_end(in->w);
    }
    jwrite_object_end(in->w);
}

void dialect_anthropic_schema_write_input(struct slice schema, struct jwrite *w)
{
    struct tape t = {.tokens = NULL};
    struct input in = {.t = &t, .w = w};

    if (scan_type_of(schema) != SCAN_OBJECT) {
        jwrite_raw(w, SLICE("{\"type\":\"object\",\"properties\":{}}"));
        return;
    }
    if (!tape_parse(&t, schema, NULL) || is_plain_input(&t)) {
        jwrite_compact(w, schema); // more values than a tape holds: as it is
    } else {
        arena_init(&in.a, 1024, 0);
        write_merged(&in);
        arena_done(&in.a);
    }
    tape_done(&t);
}
