// SPDX-License-Identifier: Apache-2.0
// Ollama's native words: plain answers are one object, a stream is objects in lines; calls come
// whole and without ids.
#include "tests/mock/mock_embed.h"
#include "tests/mock/mock_put.h"
#include "tests/mock/mock_shape.h"
#include "tests/mock/mock_tree.h"

// --- answers ------------------------------------------------------------------------------------

static void put_envelope(const struct mock_subject *s, struct buf *out)
{
    put(out, "{\"model\":\"");
    buf_append(out, s->ask->model);
    put(out, "\",\"created_at\":\"");
    buf_append(out, slice_head(s->date, 19));
    put(out, ".123456789Z\",\"message\":{\"role\":\"assistant\",\"content\":\"");
}

static void put_calls(const struct mock_subject *s, struct buf *out)
{
    for (size_t k = 0; k < s->turn->n_calls; k++) {
        buf_append_str(out, k > 0 ? "," : ",\"tool_calls\":[");
        put(out, "{\"function\":{\"index\":");
        put_u64(out, k);
        put(out, ",\"name\":");
        text_json_string(out, s->turn->calls[k].name);
        put(out, ",\"arguments\":");
        buf_append(out, mock_turn_args(s->turn, k));
        put(out, "}}");
    }
    buf_append_str(out, s->turn->n_calls > 0 ? "]" : "");
}

// From behind the message to the end.
static void put_end(const struct mock_subject *s, struct buf *out)
{
    struct mock_usage u = mock_answer_usage(s);

    put(out, "},\"done\":true,\"done_reason\":\"");
    buf_append_str(out, mock_answer_finish(s) == MOCK_FINISH_LENGTH ? "length" : "stop");
    put(out, "\"");
    if ((s->behave->flags & MOCK_NO_USAGE) == 0) {
        put(out, ",\"total_duration\":5000000,\"load_duration\":1000000,\"prompt_eval_count\":");
        put_u64(out, u.prompt);
        put(out, ",\"prompt_eval_duration\":1000000,\"eval_count\":");
        put_u64(out, u.completion);
        put(out, ",\"eval_duration\":3000000");
    }
    put(out, "}");
}

static uint64_t plain(const struct mock_subject *s, struct buf *pre, struct buf *post)
{
    put_envelope(s, pre);
    if (!s->turn->quiet) {
        mock_answer_put_text(s, pre);
    }
    put(post, "\"");
    if (s->turn->think > 0) {
        put(post, ",\"thinking\":\"");
        for (uint32_t i = 0; i < s->turn->think; i++) {
            put(post, " hmm");
        }
        put(post, "\"");
    }
    put_calls(s, post);
    put_end(s, post);
    return mock_answer_filler_size(s, pre, post);
}

static void put_content(const struct mock_subject *s, uint64_t index, struct buf *out)
{
    if (mock_answer_piece(s, index).call >= 0) {
        put(out, "\"");
        put_calls(s, out);
        return;
    }
    mock_answer_put_token(s, index, out);
    put(out, "\"");
}

static void event(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                  struct slice prefix, struct buf *out)
{
    (void)prefix;
    if (kind == MOCK_EVENT_ERROR) {
        put(out, "{\"error\":\"an error was encountered while running the model\"}\n");
        return;
    }
    if (kind == MOCK_EVENT_BROKEN) {
        put(out, "{\"model\":\"x\",\"message\":{\"ro\n");
        return;
    }
    if (kind == MOCK_EVENT_ROLE || kind == MOCK_EVENT_USAGE || kind == MOCK_EVENT_DONE) {
        return;
    }
    put_envelope(s, out);
    if (kind == MOCK_EVENT_CONTENT) {
        put_content(s, index, out);
    } else if (kind == MOCK_EVENT_THINK) {
        put(out, "\",\"thinking\":\" hmm\"");
    } else {
        put(out, "\"");
    }
    if (kind == MOCK_EVENT_FINISH) {
        put_end(s, out);
    } else {
        put(out, "},\"done\":false}");
    }
    put(out, "\n");
}

static void error(uint32_t status, const char *kind, const char *code, const char *message,
                  struct buf *out)
{
    (void)kind;
    (void)code;
    put(out, "{\"error\":");
    if (message != NULL) {
        text_json_string(out, slice_str(message));
    } else if (status == 404) {
        put(out, "\"model 'mock' not found\"");
    } else if (status == 429) {
        put(out, "\"too many concurrent requests\"");
    } else {
        put(out, "\"mock error\"");
    }
    put(out, "}");
}

static void other(const struct mock_subject *s, struct buf *out)
{
    if (s->api == MOCK_MODELS) {
        put(out, "{\"models\":[{\"name\":\"llama3.2:latest\",\"model\":\"llama3.2:latest\","
                 "\"modified_at\":\"2026-11-20T10:00:00Z\",\"size\":2019393189,\"digest\":\"a80c\","
                 "\"details\":{\"format\":\"gguf\",\"family\":\"llama\"}}]}");
        return;
    }
    put(out, "{\"model\":\"");
    buf_append(out, s->ask->model);
    put(out, "\",\"embeddings\":[");
    for (uint32_t i = 0; i < s->ask->inputs; i++) {
        buf_append_str(out, i > 0 ? "," : "");
        mock_embed_vector(s, i, false, out);
    }
    put(out, "],\"total_duration\":1000000,\"load_duration\":1000,\"prompt_eval_count\":");
    put_u64(out, s->body_length / 4 + 1);
    put(out, "}");
}

static void headers(uint64_t id, const struct mock_behave *b, struct buf *out)
{
    (void)id;
    (void)b;
    (void)out;
}

// --- requests -----------------------------------------------------------------------------------

static bool go_type(struct mock_request *q, const char *was, const char *field, const char *wanted)
{
    return mock_shape_refuse(q, 400,
                             "json: cannot unmarshal %s into Go struct field ChatRequest.%s "
                             "of type %s",
                             was, field, wanted);
}

static bool check_calls(struct mock_request *q, const struct json_at *m)
{
    struct json_at calls = json_member(m, "tool_calls");

    for (size_t k = 0; k < json_size(&calls); k++) {
        struct json_at c = json_element(&calls, k), fn = json_member(&c, "function");

        if (mock_tree_text(&fn, "name").n == 0 ||
            mock_tree_member_type(&fn, "arguments") != MOCK_MAP) {
            return go_type(q, "string", "messages.tool_calls.function.arguments",
                           "api.ToolCallFunctionArguments");
        }
    }
    return true;
}

static bool check_message(struct mock_request *q, const struct json_at *m)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool", NULL};
    struct slice role = mock_tree_text(m, "role");
    struct json_at content = json_member(m, "content"), images = json_member(m, "images");

    if (!mock_tree_in(role, roles)) {
        return mock_shape_refuse(
            q, 400, "invalid role: " SLICE_FMT ", must be one of [system user assistant tool]",
            SLICE_ARG(role));
    }
    if (json_present(&content) && !json_present_null(&content) &&
        mock_tree_type(&content) != MOCK_TEXT) {
        return go_type(q, "array", "messages.content", "string");
    }
    for (size_t i = 0; i < json_size(&images); i++) {
        struct json_at e = json_element(&images, i);

        if (mock_tree_string(&e).n == 0 || slice_starts(mock_tree_string(&e), SLICE("data:"))) {
            return mock_shape_refuse(q, 400, "illegal base64 data at input byte 4");
        }
    }
    if (slice_eq(role, SLICE("tool"))) {
        mock_shape_add_result(q, mock_tree_string(&content));
        q->wants.answered = true;
    } else {
        q->wants.answered = false;
        q->wants.n_results = 0;
    }
    return check_calls(q, m);
}

static bool check_think(struct mock_request *q)
{
    static const char *const levels[] = {"low", "medium", "high", NULL};
    struct json_at t = json_member(q->root, "think");
    enum mock_type type = mock_tree_type(&t);

    q->wants.think = mock_tree_true(q->root, "think") || type == MOCK_TEXT;
    if (type == MOCK_ABSENT || type == MOCK_NULL || type == MOCK_BOOL ||
        mock_tree_in(mock_tree_string(&t), levels)) {
        return true;
    }
    return mock_shape_refuse(q, 400,
                             "invalid think value: must be one of true, false, \"high\", "
                             "\"medium\", \"low\"");
}

static bool check_options(struct mock_request *q)
{
    struct json_at o = json_member(q->root, "options"), f = json_member(q->root, "format");
    enum mock_type type = mock_tree_type(&f);
    double n = 0;

    if (mock_tree_number(&o, "num_predict", &n) && n > 0) {
        q->ask->max_tokens = (uint64_t)n;
    }
    if (type == MOCK_TEXT && mock_tree_string(&f).n > 0) {
        q->wants.json = true;
        return slice_eq(mock_tree_string(&f), SLICE("json")) ||
               mock_shape_refuse(q, 400, "invalid format: expected \"json\" or a JSON schema");
    }
    q->wants.json = type == MOCK_MAP;
    q->wants.schema = type == MOCK_MAP ? f.value : NULL;
    return true;
}

static bool check_tools(struct mock_request *q)
{
    struct json_at list = json_member(q->root, "tools");

    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at t = json_element(&list, i), fn = json_member(&t, "function");
        struct json_at schema = json_member(&fn, "parameters");

        if (!slice_eq(mock_tree_text(&t, "type"), SLICE("function")) ||
            mock_tree_text(&fn, "name").n == 0) {
            return mock_shape_refuse(q, 400, "invalid tool: a function with a name is wanted");
        }
        if (!mock_shape_add_tool(q, mock_tree_text(&fn, "name"), &schema)) {
            return false;
        }
    }
    return true;
}

static bool check(struct mock_request *q)
{
    struct json_at list;

    if (q->root == NULL) {
        return true;
    }
    list = json_member(q->root, "messages");
    if (mock_tree_text(q->root, "model").n == 0) {
        return mock_shape_refuse(q, 400, "model is required");
    }
    if (q->api == MOCK_EMBEDDINGS) {
        return q->ask->has_input || mock_shape_refuse(q, 400, "input is required");
    }
    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at m = json_element(&list, i);

        if (!check_message(q, &m)) {
            return false;
        }
    }
    return check_tools(q) && check_think(q) && check_options(q);
}

const struct mock_shape mock_ollama = {
    .name = "ollama",
    .stream_type = "application/x-ndjson",
    .whole_calls = true,
    .check = check,
    .error = error,
    .plain = plain,
    .prefix = NULL,
    .event = event,
    .other = other,
    .headers = headers,
};
