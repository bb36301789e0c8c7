// SPDX-License-Identifier: Apache-2.0
// Messages of one role that follow each other are one turn. `open` holds the tool_use blocks of the
// assistant's last turn until the next user turn, which must answer each before anything else.
#include "tests/mock/mock_anthropic_check.h"
#include "tests/mock/mock_tree.h"

#define USES_MAX 64u

struct walk {
    struct mock_request *q;
    const struct mock_claude_model *m;
    struct slice model; // as thinking is signed
    size_t i, k;        // message and block
    bool assistant;     // the turn's role
    bool other_block;   // the user turn has something besides results
    bool thought;       // the assistant turn starts with thinking
    size_t blocks;      // of the turn
    struct slice open[USES_MAX];
    size_t n_open;
    unsigned breakpoints;
};

static bool refuse_at(struct walk *w, const char *what)
{
    return mock_shape_refuse(w->q, 400, "messages.%zu.content.%zu%s", w->i, w->k, what);
}

static bool check_text(struct walk *w, const struct json_at *b)
{
    struct slice s = mock_tree_text(b, "text");

    if (s.p == NULL) {
        return refuse_at(w, ".text.text: Field required");
    }
    return !mock_tree_is_blank(s) ||
           mock_shape_refuse(w->q, 400,
                             s.n == 0 ? "messages: text content blocks must be non-empty"
                                      : "messages: text content blocks must contain "
                                        "non-whitespace text");
}

static bool check_source(struct walk *w, const struct json_at *b)
{
    static const char *const images[] = {"image/jpeg", "image/png", "image/gif", "image/webp",
                                         NULL};
    static const char *const documents[] = {"application/pdf", "text/plain", NULL};
    bool image = slice_eq(mock_tree_text(b, "type"), SLICE("image"));
    struct json_at s = json_member(b, "source");
    struct slice type = mock_tree_text(&s, "type");

    if (slice_eq(type, SLICE("base64")) || (slice_eq(type, SLICE("text")) && !image)) {
        return (mock_tree_in(mock_tree_text(&s, "media_type"), image ? images : documents) &&
                mock_tree_text(&s, "data").n > 0) ||
               refuse_at(w, ".source.media_type: unsupported, or no data");
    }
    if (slice_eq(type, SLICE("url"))) {
        return slice_starts(mock_tree_text(&s, "url"), SLICE("http")) ||
               refuse_at(w, ".source.url: Only HTTP URLs are supported.");
    }
    return slice_eq(type, SLICE("file")) || (slice_eq(type, SLICE("content")) && !image) ||
           refuse_at(w, ".source: Input tag does not match any of the expected tags");
}

static bool check_use(struct walk *w, const struct json_at *b)
{
    struct slice id = mock_tree_text(b, "id"), name = mock_tree_text(b, "name");

    if (!w->assistant) {
        return refuse_at(w, ": `tool_use` blocks can only be in `assistant` messages");
    }
    if (!mock_tree_is_name(id, "_-", 256)) {
        return refuse_at(w, ".tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'");
    }
    if (!mock_tree_is_name(name, "_-", 128)) {
        return refuse_at(w, ".tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'");
    }
    if (mock_tree_member_type(b, "input") != MOCK_MAP) {
        return refuse_at(w, ".tool_use.input: Input should be a valid dictionary");
    }
    for (size_t i = 0; i < w->n_open; i++) {
        if (slice_eq(w->open[i], id)) {
            return refuse_at(w, ": `tool_use` ids must be unique");
        }
    }
    if (w->n_open < USES_MAX) {
        w->open[w->n_open++] = id;
    }
    return true;
}

static struct slice result_text(const struct json_at *b)
{
    struct json_at c = json_member(b, "content");
    struct slice s = mock_tree_string(&c);

    for (size_t i = 0; s.p == NULL && i < json_size(&c); i++) {
        struct json_at e = json_element(&c, i);

        s = mock_tree_text(&e, "text");
    }
    return s;
}

static bool check_result_content(struct walk *w, const struct json_at *b)
{
    static const char *const types[] = {
        "text", "image", "document", "search_result", "tool_reference", "browser_state", NULL};
    struct json_at c = json_member(b, "content");
    enum mock_type type = mock_tree_type(&c);

    if (type != MOCK_ABSENT && type != MOCK_TEXT && type != MOCK_LIST) {
        return refuse_at(w, ".tool_result.content: Input should be a valid string or list");
    }
    for (size_t i = 0; type == MOCK_LIST && i < json_size(&c); i++) {
        struct json_at e = json_element(&c, i);
        struct slice kind = mock_tree_text(&e, "type");

        if (!mock_tree_in(kind, types) ||
            (slice_eq(kind, SLICE("image")) && !check_source(w, &e))) {
            return refuse_at(w, ".tool_result.content: Input tag does not match any of the "
                                "expected tags");
        }
    }
    return true;
}

static bool check_result(struct walk *w, const struct json_at *b)
{
    struct slice id = mock_tree_text(b, "tool_use_id");

    if (w->assistant) {
        return refuse_at(w, ": `tool_result` blocks can only be in `user` messages");
    }
    for (size_t i = 0; i < w->n_open; i++) {
        if (slice_eq(w->open[i], id)) {
            if (w->other_block) {
                break; // results come first
            }
            w->open[i] = w->open[--w->n_open];
            mock_shape_add_result(w->q, result_text(b));
            w->q->wants.answered = true;
            return check_result_content(w, b);
        }
    }
    return mock_shape_refuse(w->q, 400,
                             "messages.%zu.content.%zu: unexpected `tool_use_id` found in "
                             "`tool_result` blocks: " SLICE_FMT ". Each `tool_result` "
                             "block must have a corresponding `tool_use` block in the "
                             "previous message.",
                             w->i, w->k, SLICE_ARG(id));
}

static bool check_thinking(struct walk *w, const struct json_at *b, bool redacted)
{
    struct slice text = mock_tree_text(b, "thinking");
    struct slice sign = mock_tree_text(b, redacted ? "data" : "signature");
    char wanted[MOCK_SIGN_CHARS + 1];

    if (!w->assistant) {
        return refuse_at(w, ": thinking blocks can only be in `assistant` messages");
    }
    if (redacted) {
        mock_turn_sign(w->model, "redacted", SLICE(""), wanted);
    } else if (text.p == NULL) {
        return refuse_at(w, ".thinking.thinking: Field required");
    } else {
        mock_turn_sign(w->model, "thinking", text, wanted);
    }
    if (sign.p == NULL) {
        return refuse_at(w, redacted ? ".redacted_thinking.data: Field required"
                                     : ".thinking.signature: Field required");
    }
    w->thought |= w->blocks == 0;
    return slice_eq_str(sign, wanted) ||
           refuse_at(w, redacted ? ": Invalid `data` in `redacted_thinking` block"
                                 : ": Invalid `signature` in `thinking` block");
}

static bool check_kind(struct walk *w, const struct json_at *b, struct slice type)
{
    static const char *const server[] = {"server_tool_use",
                                         "web_search_tool_result",
                                         "web_fetch_tool_result",
                                         "code_execution_tool_result",
                                         "bash_code_execution_tool_result",
                                         "text_editor_code_execution_tool_result",
                                         "tool_search_tool_result",
                                         "container_upload",
                                         "search_result",
                                         NULL};

    if (slice_eq(type, SLICE("text"))) {
        return check_text(w, b);
    }
    if (slice_eq(type, SLICE("image")) || slice_eq(type, SLICE("document"))) {
        return (!w->assistant || refuse_at(w, ": not allowed in `assistant` messages")) &&
               check_source(w, b);
    }
    if (slice_eq(type, SLICE("tool_use"))) {
        return check_use(w, b);
    }
    if (slice_eq(type, SLICE("tool_result"))) {
        return check_result(w, b);
    }
    if (slice_eq(type, SLICE("thinking")) || slice_eq(type, SLICE("redacted_thinking"))) {
        return check_thinking(w, b, type.p[0] == 'r');
    }
    return mock_tree_in(type, server) ||
           mock_shape_refuse(w->q, 400,
                             "messages.%zu.content.%zu: Input tag '" SLICE_FMT "' found "
                             "using 'type' does not match any of the expected tags",
                             w->i, w->k, SLICE_ARG(type));
}

static bool check_block(struct walk *w, const struct json_at *b)
{
    static const char *const text[] = {"type", "text", "cache_control", "citations", NULL};
    static const char *const use[] = {"type",          "id",           "name", "input", "caller",
                                      "cache_control", "toolset_name", NULL};
    static const char *const result[] = {"type",          "tool_use_id",  "content", "is_error",
                                         "cache_control", "toolset_name", NULL};
    static const char *const thinking[] = {"type", "thinking", "signature", NULL};
    struct slice type = mock_tree_text(b, "type"), unknown = SLICE_NULL;

    unknown = slice_eq(type, SLICE("text"))          ? mock_tree_unknown(b, text)
              : slice_eq(type, SLICE("tool_use"))    ? mock_tree_unknown(b, use)
              : slice_eq(type, SLICE("tool_result")) ? mock_tree_unknown(b, result)
              : slice_eq(type, SLICE("thinking"))    ? mock_tree_unknown(b, thinking)
                                                     : SLICE_NULL;
    if (unknown.p != NULL) {
        return mock_shape_refuse(w->q, 400,
                                 "messages.%zu.content.%zu." SLICE_FMT "." SLICE_FMT
                                 ": Extra inputs are not permitted",
                                 w->i, w->k, SLICE_ARG(type), SLICE_ARG(unknown));
    }
    w->breakpoints += mock_tree_has(b, "cache_control");
    if (!check_kind(w, b, type)) {
        return false;
    }
    w->other_block |= !slice_eq(type, SLICE("tool_result"));
    w->blocks++;
    return true;
}

static bool check_content(struct walk *w, const struct json_at *m)
{
    struct json_at c = json_member(m, "content");
    struct slice text = mock_tree_string(&c);

    if (text.p != NULL) {
        w->blocks++;
        w->other_block = true;
        return !mock_tree_is_blank(text) ||
               mock_shape_refuse(w->q, 400,
                                 "messages.%zu: user messages must have non-empty "
                                 "content",
                                 w->i);
    }
    if (mock_tree_type(&c) != MOCK_LIST || json_size(&c) == 0) {
        return mock_shape_refuse(w->q, 400, "messages.%zu.content: Input should be a valid list",
                                 w->i);
    }
    for (w->k = 0; w->k < json_size(&c); w->k++) {
        struct json_at b = json_element(&c, w->k);

        if (!check_block(w, &b)) {
            return false;
        }
    }
    return true;
}

// A turn of the other role begins (or the conversation ends).
static bool end_turn(struct walk *w)
{
    if (!w->assistant && w->n_open > 0) {
        return mock_shape_refuse(w->q, 400,
                                 "messages.%zu: `tool_use` ids were found without "
                                 "`tool_result` blocks immediately after: " SLICE_FMT
                                 ". Each `tool_use` block must have a corresponding "
                                 "`tool_result` block in the next message.",
                                 w->i > 1 ? w->i - 2 : 0, SLICE_ARG(w->open[0]));
    }
    return true;
}

static bool begin_turn(struct walk *w, bool assistant)
{
    if (assistant) {
        w->thought = false;
        w->n_open = 0;
    }
    w->assistant = assistant;
    w->other_block = false;
    w->blocks = 0;
    w->q->wants.answered = false;
    w->q->wants.n_results = 0;
    return true;
}

static bool check_message(struct walk *w, const struct json_at *m)
{
    static const char *const members[] = {"role", "content", NULL};
    struct slice role = mock_tree_text(m, "role"), unknown = mock_tree_unknown(m, members);
    bool assistant = slice_eq(role, SLICE("assistant"));

    if (unknown.p != NULL) {
        return mock_shape_refuse(w->q, 400,
                                 "messages.%zu." SLICE_FMT ": Extra inputs are not "
                                 "permitted",
                                 w->i, SLICE_ARG(unknown));
    }
    if (slice_eq(role, SLICE("system"))) {
        return ((w->m->can & MOCK_CLAUDE_SYSTEM) != 0 && w->i > 0 && !w->assistant) ||
               mock_shape_refuse(w->q, 400,
                                 "messages.%zu: role 'system' is not supported on this "
                                 "model",
                                 w->i);
    }
    if (!assistant && !slice_eq(role, SLICE("user"))) {
        return mock_shape_refuse(w->q, 400,
                                 "messages.%zu.role: Input should be 'user' or "
                                 "'assistant'",
                                 w->i);
    }
    if (w->i == 0 && assistant) {
        return mock_shape_refuse(w->q, 400, "messages: first message must use the \"user\" role");
    }
    if (w->i == 0 || assistant != w->assistant) {
        if (!end_turn(w) || !begin_turn(w, assistant)) {
            return false;
        }
    }
    return check_content(w, m);
}

static bool check_prefill(struct walk *w, const struct json_at *last)
{
    struct json_at c = json_member(last, "content"), e;
    struct slice s = mock_tree_string(&c);

    if (w->n_open > 0) {
        return mock_shape_refuse(w->q, 400,
                                 "messages.%zu: `tool_use` ids were found without "
                                 "`tool_result` blocks immediately after",
                                 w->i - 1);
    }
    if ((w->m->can & MOCK_CLAUDE_PREFILL) == 0 || w->q->wants.think) {
        return mock_shape_refuse(w->q, 400,
                                 "This model does not support assistant message prefill. "
                                 "The conversation must end with a user message.");
    }
    if (s.p == NULL && json_size(&c) > 0) {
        e = json_element(&c, json_size(&c) - 1);
        s = mock_tree_text(&e, "text");
    }
    return s.n == 0 || !mock_tree_is_blank(slice_from(s, s.n - 1)) ||
           mock_shape_refuse(w->q, 400,
                             "messages: final assistant content cannot end with trailing "
                             "whitespace");
}

bool mock_anthropic_turns(struct mock_request *q, const struct mock_claude_model *m)
{
    struct json_at list = json_member(q->root, "messages");
    struct json_at thinking = json_member(q->root, "thinking");
    struct walk w = {
        .q = q, .m = m, .model = mock_behave_of_model(mock_tree_text(q->root, "model"))};

    if (json_size(&list) == 0) {
        return mock_shape_refuse(q, 400, "messages: at least one message is required");
    }
    for (w.i = 0; w.i < json_size(&list); w.i++) {
        struct json_at e = json_element(&list, w.i);

        if (!check_message(&w, &e)) {
            return false;
        }
    }
    if (w.breakpoints > 4) {
        return mock_shape_refuse(q, 400,
                                 "A maximum of 4 blocks with cache_control may be provided. "
                                 "Found %u.",
                                 w.breakpoints);
    }
    if (w.assistant) {
        struct json_at e = json_element(&list, json_size(&list) - 1);

        return check_prefill(&w, &e);
    }
    if (!end_turn(&w)) {
        return false;
    }
    // Adaptive thinking is not so strict.
    if (q->wants.answered && !w.thought &&
        slice_eq(mock_tree_text(&thinking, "type"), SLICE("enabled"))) {
        return mock_shape_refuse(q, 400,
                                 "messages.%zu.content.0.type: Expected `thinking` or "
                                 "`redacted_thinking`, but found `tool_use`. When "
                                 "`thinking` is enabled, a final `assistant` message must "
                                 "start with a thinking block.",
                                 w.i > 1 ? w.i - 2 : 0);
    }
    return true;
}
