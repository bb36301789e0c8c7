// SPDX-License-Identifier: Apache-2.0
// JSON Schema -> the OpenAPI subset of Gemini 2.0 and older (providers/gemini.md section 2
// and 9.1). Recursive over the schema, as deep as the tape allows; a $ref counts as a level, so
// that schemas that refer to themselves end.
#include <string.h>

#include "dataplane/dialect_gemini.h"

#define REF_DEPTH_MAX 16u
#define REFS_MAX      1000u // of a schema: those that name each other multiply

// How far references are followed.
struct follow {
    unsigned depth, refs;
};

static const char *const kept[] = {
    "format",   "title",     "description",      "nullable",      "enum",          "minItems",
    "maxItems", "required",  "propertyOrdering", "minProperties", "maxProperties", "minimum",
    "maximum",  "minLength", "maxLength",        "pattern",       "example",       "default"};

static void write_schema(struct jwrite *w, const struct tape *t, uint32_t i, struct follow *f);

// "#/$defs/x" or "#/definitions/x" -> the value; TAPE_NONE: somewhere else.
static uint32_t resolve(const struct tape *t, uint32_t ref)
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
                if (slice_eq(tape_text(t, k), slice_from(path, n + 3))) {
                    return k + 1;
                }
            }
        }
    }
    return TAPE_NONE;
}

// ["string","null"] -> "string" and nullable.
static void write_type(struct jwrite *w, const struct tape *t, uint32_t type)
{
    uint32_t only = TAPE_NONE;
    bool nullable = false;

    if (tape_is(t, type, SCAN_STRING)) {
        jwrite_raw_in(w, "type", tape_raw(t, type));
        return;
    }
    TAPE_ITEMS(t, type, i)
    {
        if (tape_eq(t, i, "null")) {
            nullable = true;
        } else if (only == TAPE_NONE) {
            only = i;
        }
    }
    jwrite_raw_in(w, "type", tape_raw(t, only));
    if (nullable) {
        jwrite_bool_in(w, "nullable", true);
    }
}

static bool is_null_schema(const struct tape *t, uint32_t i)
{
    return tape_eq(t, tape_get(t, i, "type"), "null");
}

static void write_any(struct jwrite *w, const struct tape *t, uint32_t list, struct follow *f)
{
    bool nullable = false;

    jwrite_array_in(w, "anyOf");
    TAPE_ITEMS(t, list, i)
    {
        if (is_null_schema(t, i)) {
            nullable = true;
        } else {
            write_schema(w, t, i, f);
        }
    }
    jwrite_array_end(w);
    if (nullable) {
        jwrite_bool_in(w, "nullable", true);
    }
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

static bool is_kept(const struct tape *t, uint32_t name)
{
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (tape_eq(t, name, kept[i])) {
            return true;
        }
    }
    return false;
}

static void write_member(struct jwrite *w, const struct tape *t, uint32_t i, struct follow *f)
{
    if (tape_eq(t, i, "type")) {
        write_type(w, t, i + 1);
    } else if (tape_eq(t, i, "properties")) {
        write_properties(w, t, i + 1, f);
    } else if (tape_eq(t, i, "items")) {
        jwrite_name(w, "items");
        write_schema(w, t, i + 1, f);
    } else if (tape_eq(t, i, "anyOf") || tape_eq(t, i, "oneOf")) {
        write_any(w, t, i + 1, f);
    } else if (tape_eq(t, i, "const")) {
        jwrite_array_in(w, "enum");
        jwrite_raw(w, tape_raw(t, i + 1));
        jwrite_array_end(w);
    } else if (is_kept(t, i)) {
        jwrite_name_text(w, tape_text(t, i));
        jwrite_raw(w, tape_raw(t, i + 1));
    }
}

static void write_schema(struct jwrite *w, const struct tape *t, uint32_t i, struct follow *f)
{
    uint32_t ref = tape_get(t, i, "$ref");

    if (ref != TAPE_NONE && f->depth < REF_DEPTH_MAX && f->refs < REFS_MAX && !w->out->over) {
        uint32_t to = resolve(t, ref);

        f->refs++;
        if (to != TAPE_NONE) {
            f->depth++;
            write_schema(w, t, to, f);
            f->depth--;
            return;
        }
    }
    jwrite_object(w);
    TAPE_MEMBERS(t, i, k)
    {
        write_member(w, t, k, f);
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
