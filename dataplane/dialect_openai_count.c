// SPDX-License-Identifier: Apache-2.0
// The words are those of the Responses API: messages become items, a call and its result an item
// each, tools are flat.
#include "dataplane/dialect_openai_count.h"

#include "dataplane/dialect_openai_write.h"
#include "dataplane/jtext.h"

// --- items -------------------------------------------------------------------------------------

static bool is_text(const struct canon_part *p)
{
    return p->kind == CANON_TEXT || p->kind == CANON_REFUSAL ||
           (p->kind == CANON_FILE && p->source == CANON_PLAIN);
}

static struct slice text_of(const struct canon_part *p)
{
    return p->kind == CANON_FILE ? p->data : p->text;
}

static bool is_media(const struct canon_part *p)
{
    return (p->kind == CANON_IMAGE && p->source != CANON_FILE_ID) ||
           (p->kind == CANON_FILE && p->source == CANON_BASE64);
}

static void put_part(struct jwrite *w, const struct canon_part *p)
{
    jwrite_object(w);
    if (is_text(p)) {
        jwrite_text_in(w, "type", SLICE("input_text"));
        jwrite_text_in(w, "text", text_of(p));
    } else if (p->kind == CANON_IMAGE) {
        jwrite_text_in(w, "type", SLICE("input_image"));
        jwrite_text_in(w, "detail", p->detail.n > 0 ? p->detail : SLICE("auto"));
        dialect_openai_write_address(w, "image_url", p);
    } else {
        jwrite_text_in(w, "type", SLICE("input_file"));
        jwrite_text_in(w, "filename", p->name.n > 0 ? p->name : SLICE("document.pdf"));
        dialect_openai_write_address(w, "file_data", p);
    }
    jwrite_object_end(w);
}

static void put_texts(struct jwrite *w, const char *name, const struct canon_part *parts,
                      struct slice between)
{
    bool first = true;

    jwrite_name(w, name);
    jwrite_text_begin(w);
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (is_text(p)) {
            jwrite_text_more(w, first ? SLICE("") : between);
            jwrite_text_more(w, text_of(p));
            first = false;
        }
    }
    jwrite_text_end(w);
}

static bool any(const struct canon_part *parts, bool (*is)(const struct canon_part *p))
{
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (is(p)) {
            return true;
        }
    }
    return false;
}

static void put_message(struct jwrite *w, const char *role, const struct canon_part *parts,
                        struct slice between)
{
    if (any(parts, is_text)) {
        jwrite_object(w);
        jwrite_text_in(w, "role", slice_str(role));
        put_texts(w, "content", parts, between);
        jwrite_object_end(w);
    }
}

static void put_call(struct jwrite *w, const struct canon_part *p)
{
    jwrite_object(w);
    jwrite_text_in(w, "type", SLICE("function_call"));
    jwrite_text_in(w, "call_id", p->id);
    jwrite_text_in(w, "name", p->name);
    jwrite_name(w, "arguments");
    jwrite_quoted(w, p->args.n > 0 ? p->args : SLICE("{}"));
    jwrite_object_end(w);
}

static void put_assistant(struct jwrite *w, const struct canon_message *m)
{
    put_message(w, "assistant", m->parts, SLICE(""));
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_CALL) {
            put_call(w, p);
        }
    }
}

static bool is_shown(const struct canon_part *p)
{
    return is_text(p) || is_media(p) || (p->kind == CANON_TOOL_RESULT && any(p->parts, is_media));
}

// What stands in results beside text goes with the user's own parts.
static void put_user(struct jwrite *w, const struct canon_message *m)
{
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_RESULT) {
            jwrite_object(w);
            jwrite_text_in(w, "type", SLICE("function_call_output"));
            jwrite_text_in(w, "call_id", p->id);
            put_texts(w, "output", p->parts, SLICE("\\n"));
            jwrite_object_end(w);
        }
    }
    if (!any(m->parts, is_shown)) {
        return;
    }
    jwrite_object(w);
    jwrite_text_in(w, "role", SLICE("user"));
    jwrite_array_in(w, "content");
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        for (const struct canon_part *q = p->parts; q != NULL; q = q->next) {
            if (is_media(q)) {
                put_part(w, q);
            }
        }
        if (is_text(p) || is_media(p)) {
            put_part(w, p);
        }
    }
    jwrite_array_end(w);
    jwrite_object_end(w);
}

static void put_input(struct jwrite *w, const struct canon_request *r)
{
    jwrite_array_in(w, "input");
    for (const struct canon_message *m = r->messages; m != NULL; m = m->next) {
        if (m->role == CANON_SYSTEM) {
            put_message(w, "system", m->parts, SLICE("\\n\\n"));
        } else if (m->role == CANON_ASSISTANT) {
            put_assistant(w, m);
        } else {
            put_user(w, m);
        }
    }
    jwrite_array_end(w);
}

// --- tools, form -------------------------------------------------------------------------------

static void put_tools(struct jwrite *w, const struct canon_request *r)
{
    bool open = false;

    for (const struct canon_tool *k = r->tools; k != NULL; k = k->next) {
        if (k->kind != CANON_FUNCTION) {
            continue;
        }
        if (!open) {
            jwrite_array_in(w, "tools");
            open = true;
        }
        jwrite_object(w);
        jwrite_text_in(w, "type", SLICE("function"));
        jwrite_text_in(w, "name", k->name);
        jwrite_text_in(w, "description", k->description);
        jwrite_raw_in(w, "parameters",
                      k->parameters.p != NULL ? k->parameters : SLICE("{\"type\":\"object\"}"));
        jwrite_bool_in(w, "strict", false); // its default there is true
        jwrite_object_end(w);
    }
    if (open) {
        jwrite_array_end(w);
    }
}

static void put_format(struct jwrite *w, const struct canon_request *r)
{
    if (r->format == CANON_FORMAT_SCHEMA) {
        jwrite_object_in(w, "text");
        jwrite_object_in(w, "format");
        jwrite_text_in(w, "type", SLICE("json_schema"));
        jwrite_text_in(w, "name", r->schema_name.n > 0 ? r->schema_name : SLICE("output"));
        jwrite_raw_in(w, "schema", r->schema);
        jwrite_bool_in(w, "strict", false);
        jwrite_object_end(w);
        jwrite_object_end(w);
    }
}

void dialect_openai_count_write(const struct canon_request *r, const struct canon_target *t,
                                struct buf *out)
{
    struct jwrite w = jwrite_to(out);

    jwrite_object(&w);
    jwrite_string_in(&w, "model", t->model);
    put_input(&w, r);
    put_tools(&w, r);
    put_format(&w, r);
    jwrite_object_end(&w);
}

bool dialect_openai_count_read(const struct tape *t, struct canon_answer *ret)
{
    ret->usage.known = true;
    return tape_u64(t, tape_get(t, 0, "input_tokens"), &ret->usage.input);
}
