// SPDX-License-Identifier: Apache-2.0
// JSON Schema -> the OpenAPI subset of Gemini 2.0 and older. Recursive over the schema, as deep as
// the tape allows; what a schema stands for ($ref) counts as a level, so that schemas that refer to
// themselves end. Members that are looked at are counted: a schema whose size or references make it
// too much work counts as too large.
#include <string.h>

#include "dataplane/dialect_gemini.h"

#define REF_DEPTH_MAX 16u
#define REFS_MAX      1000u      // of a schema: those that name each other multiply
#define STEPS_MAX     (1u << 21) // members looked at

// How far references are followed.
struct follow {
    unsigned depth, refs;
    size_t steps;
};

static const char *const kept[] = {"format",        "title",    "description",      "minItems",
                                   "maxItems",      "required", "propertyOrdering", "minProperties",
                                   "maxProperties", "minimum",  "maximum",          "minLength",
                                   "maxLength",     "pattern",  "example",          "default"};

static void write_schema(struct jwrite *w, const struct tape *t, uint32_t i, struct follow *f);

static bool is_spent(struct jwrite *w, const struct follow *f)
{
    w->out->over = w->out->over || f->steps > STEPS_MAX;
    return w->out->over;
}

static bool has(const struct tape *t, uint32_t schema, const char *name, struct follow *f)
{
    TAPE_MEMBERS(t, schema, i)
    {
        f->steps++;
        if (tape_eq(t, i, name)) {
            return true;
        }
    }
    return false;
}

// "#/$defs/x" or "#/definitions/x" -> the value; TAPE_NONE: somewhere else.
static uint32_t resolve(const struct tape *t, uint32_t ref, struct follow *f)
{
    struct slice path = tape_text(t, ref);
    static const char *const roots[] = {"$defs", "definitions"};

    for (size_t r = 0; r < ARRAY_LEN(roots); r++) {
        uint32_t defs = tape_get(t, 0, roots[r]);
        size_t n = strlen(roots[r]);

        if (path.n > n + 3 && memcmp(path.p, "#/", 2) == 0 &&
            memcmp(path.p + 2, roots[r], n) == 0 && path.p[n + 2] == '/') {
            TAPE_MEMBERS(t, defs, k)
            {
                f->steps++;
                if (slice_eq(tape_text(t, k), slice_from(path, n + 3))) {
                    return k + 1;
                }
            }
        }
    }
    return TAPE_NONE;
}

// A schema as it is written: its own members, then those of what it names ($ref), of the only one
// of its allOf, or of the only one of its anyOf that is not null. The outer ones count.
struct layer {
    uint32_t schema;
    const struct layer *outer; // NULL: none
};

// Of the object being written: whether it may be null, and whether it has its anyOf.
struct said {
    bool nullable, any;
};

static bool is_null_schema(const struct tape *t, uint32_t i)
{
    return tape_eq(t, tape_get(t, i, "type"), "null");
}

static uint32_t alternatives(const struct tape *t, uint32_t i)
{
    uint32_t any = tape_get(t, i, "anyOf");

    return any != TAPE_NONE ? any : tape_get(t, i, "oneOf");
}

// The only element of a list that is not null; TAPE_NONE: there are more, or none.
static uint32_t only_of(const struct tape *t, uint32_t list, bool *ret_nullable)
{
    uint32_t only = TAPE_NONE;
    size_t n = 0;

    TAPE_ITEMS(t, list, i)
    {
        if (is_null_schema(t, i)) {
            *ret_nullable = true;
        } else {
            only = i;
            n++;
        }
    }
    return n == 1 ? only : TAPE_NONE;
}

// Is it said by a layer outside of this one?
static bool is_said(const struct tape *t, const struct layer *l, const char *name, struct follow *f)
{
    for (l = l->outer; l != NULL; l = l->outer) {
        if (has(t, l->schema, name, f)) {
            return true;
        }
    }
    return false;
}

// ["string","null"] -> "string" and nullable; several types are alternatives.
static void write_type(struct jwrite *w, const struct tape *t, uint32_t type, struct said *said)
{
    uint32_t only = TAPE_NONE;
    size_t n = 0;

    if (tape_is(t, type, SCAN_STRING)) {
        jwrite_raw_in(w, "type", tape_raw(t, type));
        return;
    }
    TAPE_ITEMS(t, type, i)
    {
        if (tape_eq(t, i, "null")) {
            said->nullable = true;
        } else {
            only = i;
            n++;
        }
    }
    if (n == 1) {
        jwrite_raw_in(w, "type", tape_raw(t, only));
    } else if (n > 1 && !said->any) {
        said->any = true;
        jwrite_array_in(w, "anyOf");
        TAPE_ITEMS(t, type, i)
        {
            if (!tape_eq(t, i, "null")) {
                jwrite_object(w);
                jwrite_raw_in(w, "type", tape_raw(t, i));
                jwrite_object_end(w);
            }
        }
        jwrite_array_end(w);
    }
}

static void write_any(struct jwrite *w, const struct tape *t, uint32_t list, struct said *said,
                      struct follow *f)
{
    said->any = true;
    jwrite_array_in(w, "anyOf");
    TAPE_ITEMS(t, list, i)
    {
        if (is_null_schema(t, i)) {
            said->nullable = true;
        } else {
            write_schema(w, t, i, f);
        }
    }
    jwrite_array_end(w);
}

static void write_properties(struct jwrite *w, const struct tape *t, uint32_t o, struct follow *f)
{
    jwrite_object_in(w, "properties");
    TAPE_MEMBERS(t, o, i)
    {
        jwrite_name_text(w, tape_text(t, i));
        write_schema(w, t, i + 1, f);
    }
    jwrite_object_end(w);
}

// The null among the values says that it may be null.
static void write_enum(struct jwrite *w, const struct tape *t, uint32_t list, struct said *said)
{
    jwrite_array_in(w, "enum");
    TAPE_ITEMS(t, list, i)
    {
        if (tape_is(t, i, SCAN_NULL)) {
            said->nullable = true;
        } else {
            jwrite_raw(w, tape_raw(t, i));
        }
    }
    jwrite_array_end(w);
}

static void write_const(struct jwrite *w, const struct tape *t, uint32_t value, struct said *said)
{
    if (tape_is(t, value, SCAN_NULL)) {
        said->nullable = true;
        return;
    }
    jwrite_array_in(w, "enum");
    jwrite_raw(w, tape_raw(t, value));
    jwrite_array_end(w);
}

static const char *kept_name(const struct tape *t, uint32_t name)
{
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (tape_eq(t, name, kept[i])) {
            return kept[i];
        }
    }
    return NULL;
}

static void write_member(struct jwrite *w, const struct tape *t, const struct layer *l, uint32_t i,
                         struct said *said, struct follow *f)
{
    const char *name = kept_name(t, i);

    if (tape_eq(t, i, "type") && !is_said(t, l, "type", f)) {
        write_type(w, t, i + 1, said);
    } else if (tape_eq(t, i, "properties") && !is_said(t, l, "properties", f)) {
        write_properties(w, t, i + 1, f);
    } else if (tape_eq(t, i, "items") && !is_said(t, l, "items", f)) {
        jwrite_name(w, "items");
        write_schema(w, t, i + 1, f);
    } else if (tape_eq(t, i, "enum") && !is_said(t, l, "enum", f) && !is_said(t, l, "const", f)) {
        write_enum(w, t, i + 1, said);
    } else if (tape_eq(t, i, "const") && !is_said(t, l, "enum", f) && !is_said(t, l, "const", f) &&
               !has(t, l->schema, "enum", f)) {
        write_const(w, t, i + 1, said);
    } else if (tape_eq(t, i, "nullable")) {
        said->nullable = said->nullable || tape_true(t, i + 1);
    } else if (name != NULL && !is_said(t, l, name, f)) {
        jwrite_name_text(w, tape_text(t, i));
        jwrite_raw(w, tape_raw(t, i + 1));
    }
}

// What the schema stands for beside its own members; TAPE_NONE: nothing else.
static uint32_t inner_of(const struct tape *t, uint32_t i, struct said *said, struct follow *f)
{
    uint32_t ref = tape_get(t, i, "$ref"), to = TAPE_NONE;
    bool ignored = false;

    if (ref != TAPE_NONE && f->refs < REFS_MAX) {
        f->refs++;
        to = resolve(t, ref, f);
    }
    to = to != TAPE_NONE ? to : only_of(t, tape_get(t, i, "allOf"), &ignored);
    return to != TAPE_NONE ? to : only_of(t, alternatives(t, i), &said->nullable);
}

static void write_layers(struct jwrite *w, const struct tape *t, const struct layer *l,
                         struct said *said, struct follow *f)
{
    uint32_t inner = f->depth < REF_DEPTH_MAX ? inner_of(t, l->schema, said, f) : TAPE_NONE;
    uint32_t any = alternatives(t, l->schema);

    TAPE_MEMBERS(t, l->schema, i)
    {
        f->steps++;
        if (is_spent(w, f)) {
            return;
        }
        write_member(w, t, l, i, said, f);
    }
    if (inner != TAPE_NONE) {
        struct layer next = {inner, l};

        f->depth++;
        write_layers(w, t, &next, said, f);
        f->depth--;
    } else if (tape_first(t, any) != TAPE_NONE && !said->any) {
        write_any(w, t, any, said, f);
    }
}

static void write_schema(struct jwrite *w, const struct tape *t, uint32_t i, struct follow *f)
{
    struct layer l = {i, NULL};
    struct said said = {.nullable = false};

    jwrite_object(w);
    if (!is_spent(w, f)) {
        write_layers(w, t, &l, &said, f);
    }
    if (said.nullable) {
        jwrite_bool_in(w, "nullable", true);
    }
    jwrite_object_end(w);
}

void dialect_gemini_write_schema(struct jwrite *w, struct slice schema)
{
    struct tape t = {.tokens = NULL};
    struct follow f = {.depth = 0};
    struct err e;

    // The schema stood in a request that was parsed: it is JSON.
    if (tape_parse(&t, schema, &e)) {
        write_schema(w, &t, 0, &f);
    } else {
        jwrite_raw(w, SLICE("{}"));
    }
    tape_done(&t);
}
