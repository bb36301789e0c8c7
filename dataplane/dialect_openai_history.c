// SPDX-License-Identifier: Apache-2.0
// One canonical message becomes
//
//   SYSTEM     a system message, its texts joined by a blank line
//   USER       a tool message for each result, then one user message: media that stood in the
//              results (a tool message holds text only), then the rest
//   ASSISTANT  content: the texts joined; reasoning where the vendor wants it back; tool_calls
#include "dataplane/dialect_openai_history.h"

#include "common/base/text.h"
#include "dataplane/dialect_openai_write.h"
#include "proto/resource.h"

struct writer {
    struct jwrite *w;
    const struct canon_request *r;
    const struct canon_target *t;
    struct canon_outcome *o;
};

static const char param[] = "messages";

static void open_message(struct writer *s, const char *role)
{
    jwrite_object(s->w);
    jwrite_string_in(s->w, "role", slice_str(role));
}

static void put_cache_control(struct writer *s, const struct canon_part *p)
{
    if (s->t->quirks != NULL && (s->t->quirks->flags & RESOURCE_TAKES_CACHE_CONTROL) != 0) {
        jwrite_raw_in(s->w, "cache_control", p->cache_control);
    }
}

static bool keeps_marks(const struct writer *s, const struct canon_part *parts)
{
    if (s->t->quirks == NULL || (s->t->quirks->flags & RESOURCE_TAKES_CACHE_CONTROL) == 0) {
        return false;
    }
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->cache_control.p != NULL) {
            return true;
        }
    }
    return false;
}

static bool has_text_of(const struct canon_part *parts, enum canon_part_kind kind)
{
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == kind && p->text.n > 0) {
            return true;
        }
    }
    return false;
}

// --- parts -------------------------------------------------------------------------------------

static void put_text(struct writer *s, const struct canon_part *p, struct slice text)
{
    jwrite_object(s->w);
    jwrite_string_in(s->w, "type", SLICE("text"));
    jwrite_text_in(s->w, "text", text);
    put_cache_control(s, p);
    jwrite_object_end(s->w);
}

static bool put_image(struct writer *s, const struct canon_part *p)
{
    if (p->source == CANON_FILE_ID) {
        return canon_refuse(s->o, s->t, param,
                            "images by file id are not supported by this provider");
    }
    jwrite_object(s->w);
    jwrite_string_in(s->w, "type", SLICE("image_url"));
    jwrite_object_in(s->w, "image_url");
    dialect_openai_write_address(s->w, "url", p);
    jwrite_text_in(s->w, "detail", p->detail);
    jwrite_object_end(s->w);
    put_cache_control(s, p);
    jwrite_object_end(s->w);
    return true;
}

static bool put_audio(struct writer *s, const struct canon_part *p)
{
    if (p->source != CANON_BASE64) {
        return canon_refuse(s->o, s->t, param,
                            "audio by address is not supported by this provider");
    }
    jwrite_object(s->w);
    jwrite_string_in(s->w, "type", SLICE("input_audio"));
    jwrite_object_in(s->w, "input_audio");
    jwrite_text_in(s->w, "data", p->data);
    jwrite_text_in(s->w, "format", slice_from(p->media_type, sizeof("audio/") - 1));
    jwrite_object_end(s->w);
    jwrite_object_end(s->w);
    return true;
}

static bool put_file(struct writer *s, const struct canon_part *p)
{
    if (p->source == CANON_PLAIN) {
        put_text(s, p, p->data);
        return true;
    }
    if (s->t->no_files) {
        return canon_refuse(s->o, s->t, param, "documents are not supported by this provider");
    }
    if (p->source == CANON_URL) {
        return canon_refuse(s->o, s->t, param,
                            "documents by address are not supported by this provider");
    }
    if (p->source == CANON_FILE_ID && s->r->client == &dialect_anthropic) { // an id at Anthropic
        return canon_refuse(s->o, s->t, param,
                            "documents by file id are not supported by this provider");
    }
    jwrite_object(s->w);
    jwrite_string_in(s->w, "type", SLICE("file"));
    jwrite_object_in(s->w, "file");
    if (p->source == CANON_FILE_ID) {
        jwrite_text_in(s->w, "file_id", p->data);
    } else {
        jwrite_text_in(s->w, "filename", p->name.n > 0 ? p->name : SLICE("document.pdf"));
        dialect_openai_write_address(s->w, "file_data", p);
    }
    jwrite_object_end(s->w);
    put_cache_control(s, p);
    jwrite_object_end(s->w);
    return true;
}

static bool put_part(struct writer *s, const struct canon_part *p)
{
    switch (p->kind) {
    case CANON_TEXT:
        put_text(s, p, p->text);
        return true;
    case CANON_IMAGE:
        return put_image(s, p);
    case CANON_AUDIO:
        return put_audio(s, p);
    case CANON_FILE:
        return put_file(s, p);
    case CANON_OTHER:
        return canon_refuse(s->o, s->t, param,
                            "content of type " SLICE_FMT " is not supported by this provider",
                            SLICE_ARG(slice_head(p->name, 64)));
    case CANON_REFUSAL:
    case CANON_REASONING:
    case CANON_REDACTED:
    case CANON_TOOL_CALL:
    case CANON_TOOL_RESULT:
        break; // not a user's
    }
    return true;
}

// --- users and tools ---------------------------------------------------------------------------

static bool is_text(const struct canon_part *p)
{
    return p->kind == CANON_TEXT || (p->kind == CANON_FILE && p->source == CANON_PLAIN);
}

static void put_result(struct writer *s, const struct canon_part *p)
{
    bool first = true;

    open_message(s, "tool");
    jwrite_text_in(s->w, "tool_call_id", p->id);
    jwrite_name(s->w, "content");
    jwrite_text_begin(s->w);
    if (p->is_error) {
        jwrite_text_more(s->w, SLICE("Error: "));
    }
    for (const struct canon_part *q = p->parts; q != NULL; q = q->next) {
        if (is_text(q)) {
            jwrite_text_more(s->w, first ? SLICE("") : SLICE("\\n"));
            jwrite_text_more(s->w, q->kind == CANON_TEXT ? q->text : q->data);
            first = false;
        }
    }
    jwrite_text_end(s->w);
    jwrite_object_end(s->w);
}

// What a user message is made of: parts that are not results, and media inside results.
struct rest {
    size_t n;
    const struct canon_part *only; // where n is 1
};

static struct rest rest_of(const struct canon_message *m)
{
    struct rest rest = {.n = 0};

    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind != CANON_TOOL_RESULT) {
            rest.n++;
            rest.only = p;
            continue;
        }
        for (const struct canon_part *q = p->parts; q != NULL; q = q->next) {
            rest.n += is_text(q) ? 0 : 2; // with the line that says where it is from
        }
    }
    return rest;
}

// Written in place: the id is as long as the client likes.
static void put_origin(struct writer *s, const struct canon_part *media, struct slice id)
{
    jwrite_object(s->w);
    jwrite_string_in(s->w, "type", SLICE("text"));
    jwrite_name(s->w, "text");
    jwrite_text_begin(s->w);
    jwrite_text_more(s->w, media->kind == CANON_IMAGE ? SLICE("Image") : SLICE("Document"));
    jwrite_text_more(s->w, SLICE(" from tool result "));
    jwrite_text_more(s->w, id);
    jwrite_text_more(s->w, SLICE(":"));
    jwrite_text_end(s->w);
    jwrite_object_end(s->w);
}

static bool put_result_media(struct writer *s, const struct canon_part *result)
{
    for (const struct canon_part *q = result->parts; q != NULL; q = q->next) {
        if (is_text(q)) {
            continue;
        }
        put_origin(s, q, result->id);
        if (!put_part(s, q)) {
            return false;
        }
    }
    return true;
}

static bool put_user_parts(struct writer *s, const struct canon_message *m)
{
    jwrite_array_in(s->w, "content");
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_RESULT && !put_result_media(s, p)) {
            return false;
        }
    }
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind != CANON_TOOL_RESULT && !put_part(s, p)) {
            return false;
        }
    }
    jwrite_array_end(s->w);
    return true;
}

static bool put_user(struct writer *s, const struct canon_message *m)
{
    struct rest rest = rest_of(m);
    bool ok = true;

    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_RESULT) {
            put_result(s, p);
        }
    }
    if (rest.n == 0) {
        return true;
    }
    open_message(s, "user");
    jwrite_text_in(s->w, "name", m->name);
    if (rest.n == 1 && is_text(rest.only) && !keeps_marks(s, rest.only)) {
        jwrite_text_in(s->w, "content",
                       rest.only->kind == CANON_TEXT ? rest.only->text : rest.only->data);
    } else {
        ok = put_user_parts(s, m);
    }
    jwrite_object_end(s->w);
    return ok;
}

// --- system ------------------------------------------------------------------------------------

static void put_system(struct writer *s, const struct canon_message *m)
{
    bool first = true;

    if (!has_text_of(m->parts, CANON_TEXT)) {
        return;
    }
    open_message(s, "system");
    jwrite_text_in(s->w, "name", m->name);
    if (keeps_marks(s, m->parts)) {
        jwrite_array_in(s->w, "content");
        for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
            if (p->kind == CANON_TEXT) {
                put_text(s, p, p->text);
            }
        }
        jwrite_array_end(s->w);
    } else {
        jwrite_name(s->w, "content");
        jwrite_text_begin(s->w);
        for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
            if (p->kind == CANON_TEXT && p->text.n > 0) {
                jwrite_text_more(s->w, first ? SLICE("") : SLICE("\\n\\n"));
                jwrite_text_more(s->w, p->text);
                first = false;
            }
        }
        jwrite_text_end(s->w);
    }
    jwrite_object_end(s->w);
}

// --- assistants --------------------------------------------------------------------------------

static void put_joined(struct jwrite *w, const char *name, const struct canon_part *parts,
                       enum canon_part_kind kind)
{
    jwrite_name(w, name);
    jwrite_text_begin(w);
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == kind) {
            jwrite_text_more(w, p->text);
        }
    }
    jwrite_text_end(w);
}

static void put_call(struct writer *s, const struct canon_part *p)
{
    jwrite_object(s->w);
    jwrite_text_in(s->w, "id", p->id);
    if (p->custom) {
        jwrite_string_in(s->w, "type", SLICE("custom"));
        jwrite_object_in(s->w, "custom");
        jwrite_text_in(s->w, "name", p->name);
        jwrite_text_in(s->w, "input", p->text.p == NULL ? SLICE("") : p->text);
    } else {
        jwrite_string_in(s->w, "type", SLICE("function"));
        jwrite_object_in(s->w, "function");
        jwrite_text_in(s->w, "name", p->name);
        jwrite_name(s->w, "arguments");
        jwrite_quoted(s->w, p->args.n > 0 ? p->args : SLICE("{}"));
    }
    jwrite_object_end(s->w);
    jwrite_object_end(s->w);
}

// In whatever form the vendor wants it: that is the quirk editor's.
static bool wants_reasoning(const struct canon_target *t)
{
    return t->wants_reasoning ||
           (t->quirks != NULL && t->quirks->reasoning_history != RESOURCE_HISTORY_DROP);
}

static bool has_signed(const struct canon_part *parts)
{
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_REDACTED || (p->kind == CANON_REASONING && p->signature.n > 0)) {
            return true;
        }
    }
    return false;
}

// As OpenRouter wants it back: which text which signature belongs to stays known.
static void put_details(struct writer *s, const struct canon_part *parts)
{
    jwrite_array_in(s->w, "reasoning_details");
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind != CANON_REASONING && p->kind != CANON_REDACTED) {
            continue;
        }
        jwrite_object(s->w);
        if (p->kind == CANON_REASONING) {
            jwrite_string_in(s->w, "type", SLICE("reasoning.text"));
            jwrite_text_in(s->w, "text", p->text.p != NULL ? p->text : SLICE(""));
            jwrite_text_in(s->w, "signature", p->signature.n > 0 ? p->signature : SLICE_NULL);
        } else {
            jwrite_string_in(s->w, "type", SLICE("reasoning.encrypted"));
            jwrite_text_in(s->w, "data", p->data);
        }
        jwrite_object_end(s->w);
    }
    jwrite_array_end(s->w);
}

static bool keeps_signed(const struct writer *s, const struct canon_part *parts)
{
    return s->t->quirks != NULL &&
           s->t->quirks->reasoning_history == RESOURCE_HISTORY_REASONING_DETAILS &&
           has_signed(parts) && !s->t->strip_signatures;
}

static void put_reasoning(struct writer *s, const struct canon_part *parts)
{
    if (keeps_signed(s, parts)) {
        put_details(s, parts);
    } else {
        put_joined(s->w, "reasoning_content", parts, CANON_REASONING);
    }
}

static void put_assistant(struct writer *s, const struct canon_message *m)
{
    bool calls = canon_has_tool_calls(m->parts), text = has_text_of(m->parts, CANON_TEXT);
    bool refusal = has_text_of(m->parts, CANON_REFUSAL);
    bool reasoning = wants_reasoning(s->t) &&
                     (has_text_of(m->parts, CANON_REASONING) || keeps_signed(s, m->parts));

    if (!calls && !text && !refusal && !reasoning) {
        return; // nothing that this provider can be told
    }
    open_message(s, "assistant");
    jwrite_text_in(s->w, "name", m->name);
    if (text) {
        put_joined(s->w, "content", m->parts, CANON_TEXT);
    } else if (calls || refusal) {
        jwrite_null_in(s->w, "content");
    } else {
        jwrite_text_in(s->w, "content", SLICE(""));
    }
    if (refusal) {
        put_joined(s->w, "refusal", m->parts, CANON_REFUSAL);
    }
    if (reasoning) {
        put_reasoning(s, m->parts);
    }
    if (calls) {
        jwrite_array_in(s->w, "tool_calls");
        for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
            if (p->kind == CANON_TOOL_CALL) {
                put_call(s, p);
            }
        }
        jwrite_array_end(s->w);
    }
    jwrite_object_end(s->w);
}

bool dialect_openai_history_write(struct jwrite *w, const struct canon_request *r,
                                  const struct canon_target *t, struct canon_outcome *o)
{
    struct writer s = {w, r, t, o};

    jwrite_array_in(w, "messages");
    for (const struct canon_message *m = r->messages; m != NULL; m = m->next) {
        if (m->role == CANON_SYSTEM) {
            put_system(&s, m);
        } else if (m->role == CANON_ASSISTANT) {
            put_assistant(&s, m);
        } else if (!put_user(&s, m)) {
            return false;
        }
    }
    jwrite_array_end(w);
    return true;
}
