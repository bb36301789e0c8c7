// SPDX-License-Identifier: Apache-2.0
// One reader a type of block, found by a table. What another provider cannot be told is either a
// part of kind OTHER, which that provider refuses, or, where it is only history of what ran at
// Anthropic (server tools), left out.
#include "dataplane/dialect_anthropic_blocks.h"

#include "common/base/text.h"
#include "dataplane/jtext.h"

bool dialect_anthropic_blocks_refuse(const struct dialect_anthropic_ask *q, const char *where,
                                     const char *why)
{
    *q->ret_param = where;
    return err_set(q->e, ERR_INVALID, "%s: %s", where, why);
}

// Where one block stands, for what is said of it.
struct block {
    const struct dialect_anthropic_ask *q;
    uint32_t at;
    const char *list; // name of the list it is in
    size_t index;
    struct canon_part ***tail;
};

static bool refuse(const struct block *b, const char *member, const char *why)
{
    return dialect_anthropic_blocks_refuse(
        b->q, arena_printf(b->q->a, "%s[%zu]%s", b->list, b->index, member), why);
}

static uint32_t member(const struct block *b, const char *name)
{
    return tape_given(b->q->t, b->at, name);
}

static struct slice text_of(const struct block *b, const char *name)
{
    return tape_text(b->q->t, member(b, name));
}

static struct canon_part *add(const struct block *b, enum canon_part_kind kind)
{
    struct canon_part *p = canon_add_part(b->q->a, b->tail, kind);

    p->cache_control = tape_raw(b->q->t, member(b, "cache_control"));
    return p;
}

// --- text --------------------------------------------------------------------------------------

static bool read_text(const struct block *b)
{
    struct slice text = text_of(b, "text");

    if (text.p == NULL) {
        return refuse(b, ".text", "a string is required");
    }
    add(b, CANON_TEXT)->text = text;
    return true;
}

// Title, address and texts of a search result, one after the other.
static bool read_search_result(const struct block *b)
{
    struct canon_part *p = add(b, CANON_TEXT);
    struct slice parts[2] = {text_of(b, "title"), text_of(b, "source")};

    uint32_t content = member(b, "content");

    p->text = SLICE("");
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i].n > 0) {
            p->text = jtext_join(jtext_join(p->text, parts[i], b->q->a), SLICE("\\n"), b->q->a);
        }
    }
    TAPE_ITEMS(b->q->t, content, i)
    {
        struct slice text = tape_get_text(b->q->t, i, "text");

        if (text.n > 0) {
            canon_add_part(b->q->a, b->tail, CANON_TEXT)->text = text;
        }
    }
    return true;
}

// --- media -------------------------------------------------------------------------------------

// base64, url and file are the same for images and documents. False: another type.
static bool read_source(const struct block *b, uint32_t source, struct canon_part *p)
{
    const struct tape *t = b->q->t;
    uint32_t type = tape_get(t, source, "type");

    p->media_type = tape_get_text(t, source, "media_type");
    if (tape_eq(t, type, "base64")) {
        p->source = CANON_BASE64;
        p->data = tape_get_text(t, source, "data");
        return p->media_type.p != NULL && p->data.p != NULL;
    }
    if (tape_eq(t, type, "url")) {
        p->source = CANON_URL;
        p->data = tape_get_text(t, source, "url");
        return p->data.p != NULL;
    }
    if (tape_eq(t, type, "file")) {
        p->source = CANON_FILE_ID;
        p->data = tape_get_text(t, source, "file_id");
        return p->data.p != NULL;
    }
    if (tape_eq(t, type, "text") && p->kind == CANON_FILE) {
        p->source = CANON_PLAIN;
        p->data = tape_get_text(t, source, "data");
        return p->data.p != NULL;
    }
    return false;
}

static bool read_image(const struct block *b)
{
    return read_source(b, member(b, "source"), add(b, CANON_IMAGE)) ||
           refuse(b, ".source", "a source of type base64, url or file is required");
}

static bool read_blocks(const struct dialect_anthropic_ask *q, uint32_t list, const char *where,
                        bool inner, struct canon_part ***tail);

static bool read_document(const struct block *b)
{
    uint32_t source = member(b, "source");
    struct canon_part *p;

    if (tape_eq(b->q->t, tape_get(b->q->t, source, "type"), "content")) {
        uint32_t content = tape_get(b->q->t, source, "content");
        struct slice text = tape_text(b->q->t, content);

        if (text.p != NULL) {
            add(b, CANON_TEXT)->text = text;
            return true;
        }
        return read_blocks(b->q, content,
                           arena_printf(b->q->a, "%s[%zu].source.content", b->list, b->index), true,
                           b->tail);
    }
    p = add(b, CANON_FILE);
    p->name = text_of(b, "title");
    return read_source(b, source, p) ||
           refuse(b, ".source", "a source of type base64, text, content, url or file is required");
}

// --- tools -------------------------------------------------------------------------------------

static bool read_tool_use(const struct block *b)
{
    struct canon_part *p = add(b, CANON_TOOL_CALL);
    uint32_t input = member(b, "input");

    p->id = text_of(b, "id");
    p->name = text_of(b, "name");
    p->args = input == TAPE_NONE ? SLICE("{}") : tape_raw(b->q->t, input);
    if (p->id.p == NULL || p->name.p == NULL) {
        return refuse(b, "", "id and name are required");
    }
    if (input != TAPE_NONE && !tape_is(b->q->t, input, SCAN_OBJECT)) {
        return refuse(b, ".input", "an object is required");
    }
    return true;
}

static bool read_tool_result(const struct block *b)
{
    struct canon_part *p = add(b, CANON_TOOL_RESULT), **tail = &p->parts;
    uint32_t content = member(b, "content");

    p->id = text_of(b, "tool_use_id");
    p->is_error = tape_true(b->q->t, member(b, "is_error"));
    if (p->id.p == NULL) {
        return refuse(b, ".tool_use_id", "a string is required");
    }
    p->text = tape_text(b->q->t, content);
    if (p->text.p != NULL) {
        if (p->text.n > 0) {
            canon_add_part(b->q->a, &tail, CANON_TEXT)->text = p->text;
        }
        return true;
    }
    return content == TAPE_NONE ||
           read_blocks(b->q, content, arena_printf(b->q->a, "%s[%zu].content", b->list, b->index),
                       true, &tail);
}

// --- reasoning, the rest -----------------------------------------------------------------------

static bool read_thinking(const struct block *b)
{
    struct canon_part *p = add(b, CANON_REASONING);
    struct slice signature = text_of(b, "signature");

    p->text = text_of(b, "thinking");
    if (p->text.p == NULL) {
        return refuse(b, ".thinking", "a string is required");
    }
    p->signature = signature.n > 0 ? signature : SLICE_NULL;
    return true;
}

static bool read_redacted(const struct block *b)
{
    add(b, CANON_REDACTED)->data = text_of(b, "data");
    return true;
}

static bool leave_out(const struct block *b)
{
    (void)b;
    return true;
}

static bool read_other(const struct block *b)
{
    struct canon_part *p = add(b, CANON_OTHER);

    p->name = text_of(b, "type");
    p->raw = tape_raw(b->q->t, b->at);
    return true;
}

static bool is_server_result(struct slice type)
{
    return slice_ends(type, SLICE("_tool_result"));
}

// inner: of a tool result or document, which hold texts and media only.
static bool read_block(const struct block *b, bool inner)
{
    static const struct {
        const char *type;
        bool inner;
        bool (*read)(const struct block *b);
    } types[] = {
        {"text", true, read_text},
        {"image", true, read_image},
        {"document", true, read_document},
        {"search_result", true, read_search_result},
        {"tool_use", false, read_tool_use},
        {"tool_result", false, read_tool_result},
        {"thinking", false, read_thinking},
        {"redacted_thinking", false, read_redacted},
        {"server_tool_use", false, leave_out},
        {"tool_reference", true, leave_out},
        {"browser_state", true, leave_out},
    };
    uint32_t type = tape_get(b->q->t, b->at, "type");

    if (!tape_is(b->q->t, type, SCAN_STRING)) {
        return refuse(b, ".type", "a string is required");
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (tape_eq(b->q->t, type, types[i].type)) {
            return inner && !types[i].inner ? refuse(b, ".type", "no such block may stand here")
                                            : types[i].read(b);
        }
    }
    return is_server_result(tape_text(b->q->t, type)) ? leave_out(b) : read_other(b);
}

static bool read_blocks(const struct dialect_anthropic_ask *q, uint32_t list, const char *where,
                        bool inner, struct canon_part ***tail)
{
    struct block b = {.q = q, .list = where, .tail = tail};

    if (!tape_is(q->t, list, SCAN_ARRAY)) {
        return dialect_anthropic_blocks_refuse(q, where,
                                               "a string or a list of blocks is required");
    }
    TAPE_ITEMS(q->t, list, i)
    {
        b.at = i;
        if (!read_block(&b, inner)) {
            return false;
        }
        b.index++;
    }
    return true;
}

bool dialect_anthropic_blocks_read(const struct dialect_anthropic_ask *q, uint32_t content,
                                   const char *where, struct canon_part ***tail)
{
    struct slice text = tape_text(q->t, content);

    if (text.p != NULL) {
        canon_add_part(q->a, tail, CANON_TEXT)->text = text;
        return true;
    }
    return read_blocks(q, content, where, false, tail);
}
