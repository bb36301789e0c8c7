// SPDX-License-Identifier: Apache-2.0
// The order of tool messages, tools and formats are looked at whenever there are any. What only
// OpenAI itself refuses (this shape stands for many vendors) is refused for the word `strict`.
#include "tests/mock/mock_openai_check.h"

#include "tests/mock/mock_tree.h"

#define CODE "invalid_value"

static const char *const top[] = {"model",
                                  "messages",
                                  "audio",
                                  "frequency_penalty",
                                  "function_call",
                                  "functions",
                                  "logit_bias",
                                  "logprobs",
                                  "max_completion_tokens",
                                  "max_tokens",
                                  "metadata",
                                  "modalities",
                                  "moderation",
                                  "n",
                                  "parallel_tool_calls",
                                  "prediction",
                                  "presence_penalty",
                                  "prompt_cache_key",
                                  "prompt_cache_options",
                                  "prompt_cache_retention",
                                  "reasoning_effort",
                                  "response_format",
                                  "safety_identifier",
                                  "seed",
                                  "service_tier",
                                  "stop",
                                  "store",
                                  "stream",
                                  "stream_options",
                                  "temperature",
                                  "tool_choice",
                                  "tools",
                                  "top_logprobs",
                                  "top_p",
                                  "user",
                                  "verbosity",
                                  "web_search_options",
                                  NULL};
static const char *const message_members[] = {
    "role",       "content",       "name",         "refusal",     "audio",
    "tool_calls", "function_call", "tool_call_id", "annotations", NULL};

static bool is_strict(const struct mock_request *q)
{
    return (q->behave->wishes & MOCK_WISH_STRICT) != 0;
}

// o1..o9, gpt-5, gpt-6
static bool is_reasoning_model(struct slice m)
{
    m = mock_behave_of_model(m);
    return slice_starts(m, SLICE("gpt-5")) || slice_starts(m, SLICE("gpt-6")) ||
           (m.n > 1 && m.p[0] == 'o' && m.p[1] >= '1' && m.p[1] <= '9');
}

static bool check_strict(struct mock_request *q)
{
    const struct json_at *r = q->root;
    struct slice unknown = mock_tree_unknown(r, top);
    struct slice model = mock_tree_text(r, "model");

    if (unknown.p != NULL) {
        return mock_shape_refuse(q, 400, "Unrecognized request argument supplied: " SLICE_FMT,
                                 SLICE_ARG(unknown));
    }
    if (mock_tree_has(r, "stream_options") && !mock_tree_true(r, "stream")) {
        return mock_shape_refuse(q, 400,
                                 "The 'stream_options' parameter is only allowed when "
                                 "'stream' is enabled.");
    }
    if (is_reasoning_model(model)) {
        static const char *const refused[] = {"max_tokens", "stop", "presence_penalty",
                                              "frequency_penalty", "logit_bias"};

        for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
            if (mock_tree_has(r, refused[i])) {
                return mock_shape_refuse_code(q, 400, "unsupported_parameter",
                                              "Unsupported parameter: '%s' is not supported with "
                                              "this model.",
                                              refused[i]);
            }
        }
    }
    return true;
}

struct ids {
    struct slice id[MOCK_RESULTS_MAX];
    size_t n;
};

static bool take_id(struct ids *open, struct slice id)
{
    for (size_t i = 0; i < open->n; i++) {
        if (slice_eq(open->id[i], id)) {
            open->id[i] = open->id[--open->n];
            return true;
        }
    }
    return false;
}

static bool check_calls(struct mock_request *q, const struct json_at *calls, struct ids *open)
{
    static const char *const members[] = {"id", "type", "function", "custom", NULL};

    for (size_t k = 0; k < json_size(calls); k++) {
        struct json_at call = json_element(calls, k), fn = json_member(&call, "function");
        struct slice id = mock_tree_text(&call, "id"), unknown = mock_tree_unknown(&call, members);

        if (is_strict(q) && unknown.p != NULL) {
            return mock_shape_refuse(q, 400,
                                     "Additional properties are not allowed ('" SLICE_FMT
                                     "' was unexpected) - 'tool_calls.%zu'",
                                     SLICE_ARG(unknown), k);
        }
        if (id.n == 0 || id.n > 64 || mock_tree_text(&call, "type").p == NULL) {
            return mock_shape_refuse_code(q, 400, CODE,
                                          "Invalid 'tool_calls[%zu].id': 1 to 64 "
                                          "characters, and a type.",
                                          k);
        }
        if (slice_eq(mock_tree_text(&call, "type"), SLICE("function")) &&
            (mock_tree_text(&fn, "name").n == 0 || mock_tree_text(&fn, "arguments").p == NULL)) {
            return mock_shape_refuse_code(q, 400, "invalid_type",
                                          "Invalid type for 'tool_calls[%zu].function.arguments': "
                                          "expected a string.",
                                          k);
        }
        if (open->n < MOCK_RESULTS_MAX) {
            open->id[open->n++] = id;
        }
    }
    return true;
}

// A text, or the texts of its parts; the first is enough for the answer.
static struct slice content_text(const struct json_at *m)
{
    struct json_at c = json_member(m, "content");
    struct slice s = mock_tree_string(&c);

    for (size_t i = 0; s.p == NULL && i < json_size(&c); i++) {
        struct json_at part = json_element(&c, i);

        s = mock_tree_text(&part, "text");
    }
    return s;
}

static bool check_content(struct mock_request *q, const struct json_at *m, size_t i)
{
    static const char *const parts[] = {"text", "image_url", "input_audio",
                                        "file", "refusal",   NULL};
    struct json_at c = json_member(m, "content");
    bool assistant = slice_eq(mock_tree_text(m, "role"), SLICE("assistant"));

    if (mock_tree_type(&c) == MOCK_TEXT) {
        return true;
    }
    if (mock_tree_type(&c) != MOCK_LIST) {
        return (assistant && (mock_tree_has(m, "tool_calls") || mock_tree_has(m, "refusal"))) ||
               mock_shape_refuse_code(q, 400, "invalid_type",
                                      "Invalid value for 'content': expected a string, got null.");
    }
    for (size_t k = 0; k < json_size(&c); k++) {
        struct json_at part = json_element(&c, k);
        struct slice type = mock_tree_text(&part, "type");

        if (!mock_tree_in(type, parts) ||
            (slice_eq(type, SLICE("text")) && mock_tree_text(&part, "text").p == NULL)) {
            return mock_shape_refuse_code(
                q, 400, CODE, "Invalid value: '" SLICE_FMT "' in messages[%zu].content[%zu].",
                SLICE_ARG(type), i, k);
        }
    }
    return true;
}

static bool check_message(struct mock_request *q, const struct json_at *m, size_t i,
                          struct ids *open)
{
    static const char *const roles[] = {"system", "developer", "user", "assistant",
                                        "tool",   "function",  NULL};
    struct slice role = mock_tree_text(m, "role");
    struct json_at calls = json_member(m, "tool_calls");
    bool tool = slice_eq(role, SLICE("tool"));

    if (!mock_tree_in(role, roles)) {
        return mock_shape_refuse_code(q, 400, CODE,
                                      "Invalid value: '" SLICE_FMT
                                      "'. Supported values are: 'system', 'assistant', 'user', "
                                      "'function', 'tool', and 'developer'.",
                                      SLICE_ARG(role));
    }
    if (is_strict(q) && mock_tree_unknown(m, message_members).p != NULL) {
        struct slice unknown = mock_tree_unknown(m, message_members);

        return mock_shape_refuse(q, 400,
                                 "Additional properties are not allowed ('" SLICE_FMT
                                 "' was unexpected) - 'messages.%zu'",
                                 SLICE_ARG(unknown), i);
    }
    if (tool && !take_id(open, mock_tree_text(m, "tool_call_id"))) {
        return mock_shape_refuse(q, 400,
                                 "Invalid parameter: messages with role 'tool' must be a "
                                 "response to a preceeding message with 'tool_calls'.");
    }
    if (!tool && open->n > 0) {
        return mock_shape_refuse(
            q, 400,
            "An assistant message with 'tool_calls' must be followed "
            "by tool messages responding to each 'tool_call_id'. The "
            "following tool_call_ids did not have response messages: " SLICE_FMT,
            SLICE_ARG(open->id[0]));
    }
    return check_content(q, m, i) && check_calls(q, &calls, open);
}

static bool check_messages(struct mock_request *q)
{
    struct json_at list = json_member(q->root, "messages");
    struct ids open = {.n = 0};

    if (json_size(&list) == 0) {
        return mock_shape_refuse_code(q, 400, "empty_array",
                                      "Invalid 'messages': empty array. "
                                      "Expected an array with minimum length 1.");
    }
    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at m = json_element(&list, i);
        struct slice role = mock_tree_text(&m, "role");

        if (!check_message(q, &m, i, &open)) {
            return false;
        }
        if (slice_eq(role, SLICE("tool"))) {
            mock_shape_add_result(q, content_text(&m));
            q->wants.answered = true;
        } else if (slice_eq(role, SLICE("user")) || slice_eq(role, SLICE("assistant"))) {
            q->wants.answered = false;
            q->wants.n_results = 0;
        }
    }
    if (open.n > 0) {
        return mock_shape_refuse(q, 400,
                                 "An assistant message with 'tool_calls' must be followed "
                                 "by tool messages responding to each 'tool_call_id'.");
    }
    return true;
}

static bool check_tools(struct mock_request *q)
{
    struct json_at list = json_member(q->root, "tools");

    if (json_present(&list) && !json_present_null(&list) && json_size(&list) == 0) {
        return mock_shape_refuse_code(q, 400, "empty_array",
                                      "Invalid 'tools': empty array. "
                                      "Expected an array with minimum length 1.");
    }
    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at t = json_element(&list, i), fn = json_member(&t, "function");
        struct json_at schema = json_member(&fn, "parameters");
        struct slice name = mock_tree_text(&fn, "name");

        if (slice_eq(mock_tree_text(&t, "type"), SLICE("custom"))) {
            continue;
        }
        if (!slice_eq(mock_tree_text(&t, "type"), SLICE("function"))) {
            return mock_shape_refuse_code(q, 400, CODE, "Invalid value for 'tools[%zu].type'.", i);
        }
        if (!mock_tree_is_name(name, "_-", 64)) {
            return mock_shape_refuse_code(q, 400, CODE,
                                          "Invalid 'tools[%zu].function.name': string "
                                          "does not match pattern '^[a-zA-Z0-9_-]+$'.",
                                          i);
        }
        if (mock_tree_has(&fn, "parameters") && mock_tree_type(&schema) != MOCK_MAP) {
            return mock_shape_refuse_code(q, 400, "invalid_type",
                                          "Invalid type for "
                                          "'tools[%zu].function.parameters'.",
                                          i);
        }
        if (!mock_shape_add_tool(q, name, &schema)) {
            return false;
        }
    }
    if (json_size(&list) == 0 &&
        (mock_tree_has(q->root, "tool_choice") || mock_tree_has(q->root, "parallel_tool_calls"))) {
        return mock_shape_refuse(q, 400,
                                 "Invalid value for 'tool_choice': 'tool_choice' is only "
                                 "allowed when 'tools' are specified.");
    }
    return true;
}

static bool check_choice(struct mock_request *q)
{
    struct json_at c = json_member(q->root, "tool_choice"), fn = json_member(&c, "function");
    struct json_at one = json_member(q->root, "parallel_tool_calls");
    struct mock_wants *w = &q->wants;
    struct slice s = mock_tree_string(&c);

    w->one_call =
        mock_tree_type(&one) == MOCK_BOOL && !mock_tree_true(q->root, "parallel_tool_calls");
    if (slice_eq(s, SLICE("none"))) {
        w->choice = MOCK_CHOICE_NONE;
    } else if (slice_eq(s, SLICE("required"))) {
        w->choice = MOCK_CHOICE_ANY;
    } else if (s.p != NULL && !slice_eq(s, SLICE("auto"))) {
        return mock_shape_refuse_code(q, 400, CODE,
                                      "Invalid value: '" SLICE_FMT "'. Supported "
                                      "values are: 'none', 'auto', and 'required'.",
                                      SLICE_ARG(s));
    } else if (json_present(&fn)) {
        w->choice = MOCK_CHOICE_NAMED;
        w->named = mock_tree_text(&fn, "name");
        for (size_t i = 0; i < w->n_tools; i++) {
            if (slice_eq(w->tools[i], w->named)) {
                return true;
            }
        }
        return mock_shape_refuse(q, 400,
                                 "Tool choice '" SLICE_FMT "' not found in 'tools' "
                                 "parameter.",
                                 SLICE_ARG(w->named));
    }
    return true;
}

static bool body_says_json(const struct mock_request *q)
{
    struct json_at list = json_member(q->root, "messages");

    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at m = json_element(&list, i);
        struct slice s = content_text(&m);

        for (size_t k = 0; k + 4 <= s.n; k++) {
            if (slice_eq_nocase(SLICE_MAKE(s.p + k, 4), SLICE("json"))) {
                return true;
            }
        }
    }
    return false;
}

static bool check_format(struct mock_request *q)
{
    struct json_at f = json_member(q->root, "response_format"), s = json_member(&f, "json_schema");
    struct json_at schema = json_member(&s, "schema");
    struct slice type = mock_tree_text(&f, "type");

    if (!mock_tree_has(q->root, "response_format") || slice_eq(type, SLICE("text"))) {
        return true;
    }
    q->wants.json = true;
    if (slice_eq(type, SLICE("json_object"))) {
        return !is_strict(q) || body_says_json(q) ||
               mock_shape_refuse(q, 400,
                                 "'messages' must contain the word 'json' in some form, to "
                                 "use 'response_format' of type 'json_object'.");
    }
    if (!slice_eq(type, SLICE("json_schema"))) {
        return mock_shape_refuse_code(q, 400, CODE,
                                      "Invalid value: '" SLICE_FMT "'. Supported "
                                      "values are: 'json_object', 'json_schema', and 'text'.",
                                      SLICE_ARG(type));
    }
    if (!mock_tree_is_name(mock_tree_text(&s, "name"), "_-", 64)) {
        return mock_shape_refuse_code(q, 400, "missing_required_parameter",
                                      "Missing required "
                                      "parameter: 'response_format.json_schema.name'.");
    }
    q->wants.schema = schema.value;
    return true;
}

bool mock_openai_check(struct mock_request *q)
{
    q->wants.logprobs = mock_tree_true(q->root, "logprobs");
    return (!is_strict(q) || check_strict(q)) && check_tools(q) && check_choice(q) &&
           check_format(q) && check_messages(q);
}
