// SPDX-License-Identifier: Apache-2.0
// One message after the other:
//
//   developer, system -> SYSTEM     text parts
//   user              -> USER       text, image, audio, file parts
//   assistant         -> ASSISTANT  reasoning, text or refusal, tool calls; in that order
//   tool, function    -> USER       one TOOL_RESULT
//
// A function_call of old has no id: it gets one by its number among the calls of its kind, and the
// function message that follows takes it.
#include "dataplane/dialect_openai_message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/dialect_openai_part.h"

struct reader {
    struct dialect_openai_part_reader in;
    struct canon_message **tail;
    unsigned calls, answered; // function_call members, and function messages, so far
};

static bool fail(struct reader *r, const char *member, const char *what)
{
    return dialect_openai_part_fail(&r->in, member, what);
}

// Puts the message's own cache_control on its last part.
static void mark_last(struct reader *r, uint32_t object, struct canon_message *m)
{
    uint32_t mark = tape_given(r->in.t, object, "cache_control");
    struct canon_part *last = m->parts;

    while (last != NULL && last->next != NULL) {
        last = last->next;
    }
    if (mark != TAPE_NONE && last != NULL && last->cache_control.p == NULL) {
        last->cache_control = tape_raw(r->in.t, mark);
    }
}

// --- assistants --------------------------------------------------------------------------------

static void add_thinking_block(struct reader *r, uint32_t block, struct canon_part ***tail)
{
    const struct tape *t = r->in.t;
    uint32_t type = tape_get(t, block, "type");
    struct canon_part *p;

    if (tape_eq(t, type, "thinking")) {
        p = canon_add_part(r->in.a, tail, CANON_REASONING);
        p->text = tape_get_text(t, block, "thinking");
        p->signature = tape_get_text(t, block, "signature");
    } else if (tape_eq(t, type, "redacted_thinking")) {
        p = canon_add_part(r->in.a, tail, CANON_REDACTED);
        p->data = tape_get_text(t, block, "data");
    }
}

// OpenRouter's list: texts, some of them signed.
static void add_details(struct reader *r, uint32_t list, struct canon_part ***tail)
{
    const struct tape *t = r->in.t;

    TAPE_ITEMS(t, list, i)
    {
        struct slice text = tape_get_text(t, i, "text");

        if (text.n > 0) {
            struct canon_part *p = canon_add_part(r->in.a, tail, CANON_REASONING);

            p->text = text;
            p->signature = tape_get_text(t, i, "signature");
        }
    }
}

// A client that joined the deltas of a stream member by member has the text in reasoning_content
// and the signature in a block without text: the two belong together again.
static void fill_signed(struct canon_part *list, struct slice text)
{
    struct canon_part *signed_part = NULL;

    for (struct canon_part *p = list; p != NULL; p = p->next) {
        if (p->kind == CANON_REASONING && (p->text.n > 0 || signed_part != NULL)) {
            return; // texts are where they belong, or nobody can tell whose this is
        }
        if (p->kind == CANON_REASONING) {
            signed_part = p;
        }
    }
    if (signed_part != NULL && text.n > 0) {
        signed_part->text = text;
    }
}

// thinking_blocks say all that reasoning_content says, and are signed.
static void add_reasoning(struct reader *r, uint32_t message, struct canon_part ***tail)
{
    static const char *const texts[] = {"reasoning_content", "reasoning"};
    const struct tape *t = r->in.t;
    uint32_t blocks = tape_get(t, message, "thinking_blocks");
    struct canon_part **before = *tail;

    TAPE_ITEMS(t, blocks, i)
    {
        add_thinking_block(r, i, tail);
    }
    if (*tail != before) {
        fill_signed(*before, tape_get_text(t, message, texts[0]));
    }
    for (size_t i = 0; i < ARRAY_LEN(texts) && *tail == before; i++) {
        struct slice text = tape_get_text(t, message, texts[i]);

        if (text.n > 0) {
            canon_add_part(r->in.a, tail, CANON_REASONING)->text = text;
        }
    }
    if (*tail == before) {
        add_details(r, tape_get(t, message, "reasoning_details"), tail);
    }
}

static bool read_arguments(struct reader *r, uint32_t value, const char *member, struct slice *ret)
{
    const struct tape *t = r->in.t;

    if (tape_is(t, value, SCAN_OBJECT)) { // some clients forget to quote it
        *ret = tape_raw(t, value);
        return true;
    }
    if (tape_absent(t, value)) {
        *ret = SLICE("{}");
        return true;
    }
    if (!tape_is(t, value, SCAN_STRING) || !jtext_to_object(tape_text(t, value), r->in.a, ret)) {
        return fail(r, member, "must be the text of a JSON object");
    }
    return true;
}

// extra_content.google.thought_signature of a call or message.
static struct slice google_signature(const struct tape *t, uint32_t object)
{
    uint32_t google = tape_get(t, tape_get(t, object, "extra_content"), "google");

    return tape_get_text(t, google, "thought_signature");
}

static bool read_function(struct reader *r, uint32_t call, const char *at, struct canon_part *p)
{
    const struct tape *t = r->in.t;
    uint32_t function = tape_get(t, call, "function");
    const char *name = arena_printf(r->in.a, "%s.function.name", at);

    p->name = tape_get_text(t, function, "name");
    if (p->name.n == 0) {
        return fail(r, name, "must be a string that is not empty");
    }
    return read_arguments(r, tape_get(t, function, "arguments"),
                          arena_printf(r->in.a, "%s.function.arguments", at), &p->args);
}

static bool read_call(struct reader *r, uint32_t call, unsigned k, struct canon_part ***tail)
{
    const struct tape *t = r->in.t;
    const char *at = arena_printf(r->in.a, "tool_calls[%u]", k);
    uint32_t type = tape_given(t, call, "type"), custom = tape_get(t, call, "custom");
    struct canon_part *p = canon_add_part(r->in.a, tail, CANON_TOOL_CALL);

    p->id = tape_get_text(t, call, "id");
    p->google_signature = google_signature(t, call);
    p->cache_control = tape_raw(t, tape_given(t, call, "cache_control"));
    if (p->id.n == 0) {
        return fail(r, arena_printf(r->in.a, "%s.id", at), "must be a string that is not empty");
    }
    if (tape_eq(t, type, "custom")) {
        p->custom = true;
        p->name = tape_get_text(t, custom, "name");
        p->text = tape_get_text(t, custom, "input");
        return p->name.n > 0 || fail(r, arena_printf(r->in.a, "%s.custom.name", at),
                                     "must be a string that is not empty");
    }
    if (type != TAPE_NONE && !tape_eq(t, type, "function")) {
        return fail(r, arena_printf(r->in.a, "%s.type", at), "must be function or custom");
    }
    return read_function(r, call, at, p);
}

static bool read_calls(struct reader *r, uint32_t message, struct canon_part ***tail)
{
    const struct tape *t = r->in.t;
    uint32_t calls = tape_given(t, message, "tool_calls");
    uint32_t old = tape_given(t, message, "function_call");
    unsigned k = 0;
    struct canon_part *p;

    if (calls != TAPE_NONE && !tape_is(t, calls, SCAN_ARRAY)) {
        return fail(r, "tool_calls", "must be an array");
    }
    TAPE_ITEMS(t, calls, i)
    {
        if (!read_call(r, i, k++, tail)) {
            return false;
        }
    }
    if (old == TAPE_NONE || k > 0) { // both say the same
        return true;
    }
    p = canon_add_part(r->in.a, tail, CANON_TOOL_CALL);
    p->id = slice_str(arena_printf(r->in.a, "call_function_%u", ++r->calls));
    p->name = tape_get_text(t, old, "name");
    if (p->name.n == 0) {
        return fail(r, "function_call.name", "must be a string that is not empty");
    }
    return read_arguments(r, tape_get(t, old, "arguments"), "function_call.arguments", &p->args);
}

static void sign_text(struct reader *r, uint32_t message, struct canon_message *m)
{
    struct slice signature = google_signature(r->in.t, message);
    struct canon_part *last = NULL;

    for (struct canon_part *p = m->parts; p != NULL; p = p->next) {
        last = p->kind == CANON_TEXT ? p : last;
    }
    if (signature.n > 0 && last != NULL) {
        last->google_signature = signature;
    }
}

static bool read_assistant(struct reader *r, uint32_t message, struct canon_message *m)
{
    const struct tape *t = r->in.t;
    struct canon_part **tail = &m->parts;
    uint32_t content = tape_given(t, message, "content"), audio = tape_given(t, message, "audio");
    struct slice refusal = tape_get_text(t, message, "refusal");

    add_reasoning(r, message, &tail);
    if (content != TAPE_NONE && !dialect_openai_part_content(&r->in, content, m->role, &tail)) {
        return false;
    }
    if (refusal.n > 0) {
        canon_add_part(r->in.a, &tail, CANON_REFUSAL)->text = refusal;
    }
    if (audio != TAPE_NONE) {
        struct canon_part *p = canon_add_part(r->in.a, &tail, CANON_OTHER);

        p->name = SLICE("audio");
        p->raw = tape_raw(t, audio);
    }
    if (!read_calls(r, message, &tail)) {
        return false;
    }
    sign_text(r, message, m);
    return true;
}

// --- results -----------------------------------------------------------------------------------

static bool read_result(struct reader *r, uint32_t message, struct slice id,
                        struct canon_message *m)
{
    const struct tape *t = r->in.t;
    struct canon_part **tail = &m->parts, *p, **inner;
    uint32_t content = tape_given(t, message, "content");

    p = canon_add_part(r->in.a, &tail, CANON_TOOL_RESULT);
    inner = &p->parts;
    p->id = id;
    p->text = tape_text(t, content);
    return content == TAPE_NONE || dialect_openai_part_content(&r->in, content, m->role, &inner);
}

static bool read_tool(struct reader *r, uint32_t message, struct canon_message *m)
{
    struct slice id = tape_get_text(r->in.t, message, "tool_call_id");

    return id.n > 0 ? read_result(r, message, id, m)
                    : fail(r, "tool_call_id", "must be a string that is not empty");
}

static bool read_function_answer(struct reader *r, uint32_t message, struct canon_message *m)
{
    if (r->answered == r->calls) {
        return fail(r, "role", "function must follow a function_call");
    }
    r->answered = r->calls;
    return read_result(r, message, slice_str(arena_printf(r->in.a, "call_function_%u", r->calls)),
                       m);
}

// --- all of them -------------------------------------------------------------------------------

static bool read_content(struct reader *r, uint32_t message, struct canon_message *m)
{
    struct canon_part **tail = &m->parts;
    uint32_t content = tape_given(r->in.t, message, "content");

    if (content == TAPE_NONE) {
        return fail(r, "content", "must be a string or an array of parts");
    }
    return dialect_openai_part_content(&r->in, content, m->role, &tail);
}

static bool read_message(struct reader *r, uint32_t message)
{
    static const struct {
        const char *name;
        enum canon_role role;
        bool (*read)(struct reader *r, uint32_t message, struct canon_message *m);
    } roles[] = {
        {"user", CANON_USER, read_content},        {"assistant", CANON_ASSISTANT, read_assistant},
        {"tool", CANON_USER, read_tool},           {"system", CANON_SYSTEM, read_content},
        {"developer", CANON_SYSTEM, read_content}, {"function", CANON_USER, read_function_answer},
    };
    uint32_t role = tape_get(r->in.t, message, "role");

    if (!tape_is(r->in.t, message, SCAN_OBJECT)) {
        return fail(r, "", "must be an object");
    }
    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (tape_eq(r->in.t, role, roles[i].name)) {
            struct canon_message *m = canon_add_message(r->in.a, &r->tail, roles[i].role);

            m->name = tape_get_text(r->in.t, message, "name");
            if (!roles[i].read(r, message, m)) {
                return false;
            }
            mark_last(r, message, m);
            return true;
        }
    }
    return fail(r, "role", "must be system, developer, user, assistant, tool or function");
}

bool dialect_openai_message_list(const struct tape *t, uint32_t messages, struct arena *a,
                                 struct canon_message **ret, const char **ret_param, struct err *e)
{
    struct reader r = {.in = {.t = t, .a = a, .ret_param = ret_param, .e = e}, .tail = ret};

    *ret = NULL;
    if (!tape_is(t, messages, SCAN_ARRAY) || tape_first(t, messages) == TAPE_NONE) {
        *ret_param = "messages";
        return err_set(e, ERR_INVALID, "messages must be an array of at least one message");
    }
    TAPE_ITEMS(t, messages, i)
    {
        if (!read_message(&r, i)) {
            return false;
        }
        r.in.message++;
    }
    return true;
}
