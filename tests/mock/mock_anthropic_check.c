// SPDX-License-Identifier: Apache-2.0
// The request but for its messages (mock_anthropic_turns.c). Models differ: the table is that of
// Anthropic's documentation; names that hold none of its parts are let through with everything.
#include "tests/mock/mock_anthropic_check.h"

#include "tests/mock/mock_tree.h"

#define EXTRA "Extra inputs are not permitted"

// Short names for the table alone.
enum {
    F = MOCK_CLAUDE_FORMAT,
    E = MOCK_CLAUDE_ENABLED,
    A = MOCK_CLAUDE_ADAPTIVE,
    D = MOCK_CLAUDE_DISABLED,
    B = MOCK_CLAUDE_BETWEEN,
    C = MOCK_CLAUDE_FORCED,
    S = MOCK_CLAUDE_SAMPLING,
    P = MOCK_CLAUDE_PREFILL,
    Y = MOCK_CLAUDE_SYSTEM,
    O = MOCK_CLAUDE_ONE,
    H = MOCK_CLAUDE_HIDDEN,
    T = MOCK_CLAUDE_ALWAYS,
};

static const struct mock_claude_model models[] = {
    {"claude-opus-5-5", 128000, F | A | Y | H | T},
    {"claude-sonnet-5-5", 128000, F | A | B | Y | H | T},
    {"claude-haiku-5-5", 128000, F | A | D | C | Y | H | T},
    {"claude-fable-5-1", 128000, F | A | Y | H | T},
    {"claude-fable-5-2", 128000, F | A | Y | H | T},
    {"claude-fable-5", 128000, F | A | C | Y | T},
    {"claude-mythos-5", 128000, F | A | C | Y | T},
    {"claude-opus-5", 128000, F | A | D | C | Y | T},
    {"claude-sonnet-5", 128000, F | A | D | C | Y | T},
    {"claude-opus-4-8", 128000, F | A | D | C | Y},
    {"claude-opus-4-7", 128000, F | A | D | C},
    {"claude-opus-4-6", 128000, F | A | E | D | C | S | O},
    {"claude-sonnet-4-6", 128000, F | A | E | D | C | S | O},
    {"claude-opus-4-5", 64000, F | E | D | C | S | P | O},
    {"claude-sonnet-4-5", 64000, F | E | D | C | S | P | O},
    {"claude-haiku-4-5", 64000, F | E | D | C | S | P | O},
    {"claude-opus-4-1", 32000, F | E | D | C | S | P | O},
    {"claude-sonnet-4-", 64000, E | D | C | S | P},
    {"claude-opus-4-", 32000, E | D | C | S | P},
    {"claude-3-7-sonnet", 64000, E | D | C | S | P},
    {"claude-3-5-", 8192, C | S | P},
    {"claude-3-", 4096, C | S | P},
    {"claude-", 128000, F | A},
    {"", 1000000, F | E | A | D | B | C | S | P | Y},
};

static const struct mock_claude_model *model_of(struct slice name)
{
    size_t i = 0;

    while (slice_find(name, slice_str(models[i].part)) == SIZE_MAX && models[i].part[0] != 0) {
        i++;
    }
    return &models[i];
}

static bool check_head(struct mock_request *q, bool *new_version)
{
    struct slice version = mock_shape_header(q->head, "anthropic-version");
    const char *scheme = q->head->auth_scheme;

    if (q->head->auth.n == 0 || scheme == NULL ||
        (strcmp(scheme, "x-api-key") != 0 && strcmp(scheme, "bearer") != 0)) {
        return mock_shape_refuse(q, 401, "x-api-key header is required");
    }
    if (version.p == NULL) {
        return mock_shape_refuse(q, 400, "anthropic-version: header is required");
    }
    *new_version = slice_eq(version, SLICE("2026-10-21"));
    return *new_version || slice_eq(version, SLICE("2023-06-01")) ||
           mock_shape_refuse(q, 400, "anthropic-version: \"" SLICE_FMT "\" is not a valid version",
                             SLICE_ARG(version));
}

static bool check_members(struct mock_request *q)
{
    static const char *const message[] = {
        "model",       "messages",      "max_tokens",    "system",        "stop_sequences",
        "stream",      "temperature",   "top_p",         "top_k",         "tools",
        "tool_choice", "thinking",      "output_config", "metadata",      "service_tier",
        "speed",       "cache_control", "container",     "inference_geo", "diagnostics",
        NULL};
    static const char *const count[] = {"model",         "messages",      "system",
                                        "tools",         "tool_choice",   "thinking",
                                        "output_config", "cache_control", NULL};
    static const char *const beta[] = {"context_management", "mcp_servers", "fallbacks", NULL};
    struct slice unknown = mock_tree_unknown(q->root, q->api == MOCK_COUNT ? count : message);

    if (slice_eq(unknown, SLICE("thread")) &&
        slice_find(mock_shape_header(q->head, "anthropic-beta"), SLICE("message-threads")) !=
            SIZE_MAX) {
        // What makes an SDK send the whole conversation: this mock keeps none.
        return mock_shape_refuse_code(q, 400, "thread_unsupported_request",
                                      "thread: this request cannot be threaded");
    }
    if (unknown.p == NULL ||
        (mock_tree_in(unknown, beta) && mock_shape_header(q->head, "anthropic-beta").n > 0)) {
        return true;
    }
    return mock_shape_refuse(q, 400, SLICE_FMT ": " EXTRA, SLICE_ARG(unknown));
}

static bool check_sampling(struct mock_request *q, const struct mock_claude_model *m,
                           bool new_version)
{
    static const char *const names[] = {"temperature", "top_p", "top_k"};
    double t = 0;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!mock_tree_has(q->root, names[i])) {
            continue;
        }
        if (new_version) {
            return mock_shape_refuse(q, 400, "%s: " EXTRA, names[i]);
        }
        if (!mock_tree_number(q->root, names[i], &t) || t < 0 || (i < 2 && t > 1)) {
            return mock_shape_refuse(q, 400, "%s: range: 0..1", names[i]);
        }
        if ((m->can & MOCK_CLAUDE_SAMPLING) == 0 && (i == 2 || t < (i == 0 ? 1 : 0.99))) {
            return mock_shape_refuse(q, 400, "`%s` is deprecated for this model.", names[i]);
        }
    }
    if ((m->can & MOCK_CLAUDE_ONE) != 0 && mock_tree_has(q->root, "temperature") &&
        mock_tree_has(q->root, "top_p")) {
        return mock_shape_refuse(q, 400,
                                 "`temperature` and `top_p` cannot both be specified for "
                                 "this model. Please use only one.");
    }
    return true;
}

static bool check_max_tokens(struct mock_request *q, const struct mock_claude_model *m)
{
    double n = 0;

    if (q->api == MOCK_COUNT) {
        return true;
    }
    if (!mock_tree_has(q->root, "max_tokens")) {
        return mock_shape_refuse(q, 400, "max_tokens: Field required");
    }
    if (mock_tree_member_type(q->root, "max_tokens") != MOCK_INT ||
        !mock_tree_number(q->root, "max_tokens", &n) || n < 1) {
        return mock_shape_refuse(q, 400, "max_tokens: Input should be greater than or equal to 1");
    }
    return n <= m->max_tokens ||
           mock_shape_refuse(q, 400,
                             "max_tokens: %.0f > %u, which is the maximum allowed number of "
                             "output tokens for this model",
                             n, m->max_tokens);
}

static bool check_stop(struct mock_request *q)
{
    struct json_at list = json_member(q->root, "stop_sequences");

    if (mock_tree_has(q->root, "stop_sequences") && mock_tree_type(&list) != MOCK_LIST) {
        return mock_shape_refuse(q, 400, "stop_sequences: Input should be a valid list");
    }
    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at e = json_element(&list, i);

        if (mock_tree_is_blank(mock_tree_string(&e))) {
            return mock_shape_refuse(q, 400,
                                     "stop_sequences: each stop sequence must contain "
                                     "non-whitespace");
        }
    }
    return true;
}

static bool check_system(struct mock_request *q)
{
    struct json_at list = json_member(q->root, "system");
    enum mock_type type = mock_tree_type(&list);

    if (type != MOCK_ABSENT && type != MOCK_NULL && type != MOCK_TEXT && type != MOCK_LIST) {
        return mock_shape_refuse(q, 400, "system: Input should be a valid list");
    }
    for (size_t i = 0; type == MOCK_LIST && i < json_size(&list); i++) {
        struct json_at e = json_element(&list, i);

        if (!slice_eq(mock_tree_text(&e, "type"), SLICE("text"))) {
            return mock_shape_refuse(q, 400, "system.%zu.type: Input should be 'text'", i);
        }
        if (mock_tree_is_blank(mock_tree_text(&e, "text"))) {
            return mock_shape_refuse(q, 400, "system: text content blocks must be non-empty");
        }
    }
    return true;
}

static bool check_schema(struct mock_request *q, const struct json_at *schema, size_t i)
{
    static const char *const kept_out[] = {"anyOf", "oneOf", "allOf"};

    if (mock_tree_type(schema) != MOCK_MAP) {
        return mock_shape_refuse(q, 400, "tools.%zu.custom.input_schema: Field required", i);
    }
    if (!slice_eq(mock_tree_text(schema, "type"), SLICE("object"))) {
        return mock_shape_refuse(q, 400,
                                 "tools.%zu.custom.input_schema.type: Input should be "
                                 "'object'",
                                 i);
    }
    for (size_t k = 0; k < ARRAY_LEN(kept_out); k++) {
        if (mock_tree_has(schema, kept_out[k])) {
            return mock_shape_refuse(q, 400,
                                     "tools.%zu.custom.input_schema: input_schema does not "
                                     "support oneOf, allOf, or anyOf at the top level",
                                     i);
        }
    }
    return true;
}

static bool check_tool(struct mock_request *q, const struct json_at *t, size_t i)
{
    static const char *const members[] = {"name",
                                          "input_schema",
                                          "description",
                                          "type",
                                          "cache_control",
                                          "strict",
                                          "eager_input_streaming",
                                          "defer_loading",
                                          "allowed_callers",
                                          "input_examples",
                                          NULL};
    struct slice type = mock_tree_text(t, "type"), name = mock_tree_text(t, "name");
    struct slice unknown = mock_tree_unknown(t, members);
    struct json_at schema = json_member(t, "input_schema");

    if (type.p != NULL && !slice_eq(type, SLICE("custom"))) {
        return type.n > 9 || mock_shape_refuse(q, 400,
                                               "tools.%zu: Input tag '" SLICE_FMT
                                               "' found using 'type' does not match any of the "
                                               "expected tags",
                                               i, SLICE_ARG(type));
    }
    if (unknown.p != NULL) {
        return mock_shape_refuse(q, 400, "tools.%zu.custom." SLICE_FMT ": " EXTRA, i,
                                 SLICE_ARG(unknown));
    }
    if (!mock_tree_is_name(name, "_-", 128)) {
        return mock_shape_refuse(q, 400,
                                 "tools.%zu.custom.name: String should match pattern "
                                 "'^[a-zA-Z0-9_-]{1,128}$'",
                                 i);
    }
    for (size_t k = 0; k < q->wants.n_tools; k++) {
        if (slice_eq(q->wants.tools[k], name)) {
            return mock_shape_refuse(q, 400, "tools: Tool names must be unique.");
        }
    }
    return check_schema(q, &schema, i) && mock_shape_add_tool(q, name, &schema);
}

static bool check_tools(struct mock_request *q)
{
    struct json_at list = json_member(q->root, "tools");

    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at t = json_element(&list, i);

        if (!check_tool(q, &t, i)) {
            return false;
        }
    }
    return true;
}

static bool check_choice(struct mock_request *q, const struct mock_claude_model *m)
{
    static const char *const types[] = {"auto", "any", "tool", "none", NULL};
    static const char *const members[] = {"type", "name", "disable_parallel_tool_use", NULL};
    struct json_at c = json_member(q->root, "tool_choice"), tools = json_member(q->root, "tools");
    struct slice type = mock_tree_text(&c, "type");
    struct mock_wants *w = &q->wants;

    if (!json_present(&c) || json_present_null(&c)) {
        return true;
    }
    if (!mock_tree_in(type, types) || mock_tree_unknown(&c, members).p != NULL) {
        return mock_shape_refuse(q, 400,
                                 "tool_choice: Input tag '" SLICE_FMT "' found using 'type' "
                                 "does not match any of the expected tags: 'auto', 'any', "
                                 "'tool', 'none'",
                                 SLICE_ARG(type));
    }
    if (json_size(&tools) == 0) {
        return mock_shape_refuse(q, 400,
                                 "tool_choice: `tool_choice` may only be specified while "
                                 "providing `tools`.");
    }
    w->one_call = mock_tree_true(&c, "disable_parallel_tool_use");
    w->choice = type.p[0] == 'n'                ? MOCK_CHOICE_NONE
                : slice_eq(type, SLICE("any"))  ? MOCK_CHOICE_ANY
                : slice_eq(type, SLICE("tool")) ? MOCK_CHOICE_NAMED
                                                : MOCK_CHOICE_AUTO;
    w->named = mock_tree_text(&c, "name");
    if (w->choice == MOCK_CHOICE_NAMED) {
        bool found = false;

        for (size_t i = 0; i < w->n_tools; i++) {
            found |= slice_eq(w->tools[i], w->named);
        }
        if (!found) {
            return mock_shape_refuse(q, 400,
                                     "tool_choice: Tool '" SLICE_FMT "' not found in "
                                     "provided tools",
                                     SLICE_ARG(w->named));
        }
    }
    return w->choice == MOCK_CHOICE_AUTO || w->choice == MOCK_CHOICE_NONE ||
           (m->can & MOCK_CLAUDE_FORCED) != 0 ||
           mock_shape_refuse(q, 400, "tool_choice: this model does not support forcing tool use.");
}

// With thinking on: no sampling, no forced tool.
static bool check_thinking_company(struct mock_request *q)
{
    double t = 1;

    if (mock_tree_number(q->root, "temperature", &t) && t != 1) {
        return mock_shape_refuse(q, 400,
                                 "`temperature` may only be set to 1 when thinking is "
                                 "enabled.");
    }
    if (mock_tree_has(q->root, "top_k")) {
        return mock_shape_refuse(q, 400, "`top_k` must be unset when thinking is enabled.");
    }
    if (mock_tree_number(q->root, "top_p", &t) && t < 0.95) {
        return mock_shape_refuse(q, 400,
                                 "`top_p` must be greater than or equal to 0.95 or unset "
                                 "when thinking is enabled.");
    }
    if (q->wants.choice == MOCK_CHOICE_ANY || q->wants.choice == MOCK_CHOICE_NAMED) {
        return mock_shape_refuse(q, 400,
                                 "Thinking may not be enabled when tool_choice forces tool "
                                 "use.");
    }
    return true;
}

static bool check_budget(struct mock_request *q, const struct json_at *t)
{
    double budget = 0, max = 0;

    if (!mock_tree_number(t, "budget_tokens", &budget) || budget < 1024) {
        return mock_shape_refuse(q, 400,
                                 "thinking.enabled.budget_tokens: Input should be greater "
                                 "than or equal to 1024");
    }
    return !mock_tree_number(q->root, "max_tokens", &max) || budget < max ||
           mock_shape_refuse(q, 400, "`max_tokens` must be greater than `thinking.budget_tokens`.");
}

static bool check_thinking(struct mock_request *q, const struct mock_claude_model *m)
{
    static const struct {
        const char *type;
        uint32_t can;
        bool on;
    } types[] = {{"enabled", MOCK_CLAUDE_ENABLED, true},
                 {"adaptive", MOCK_CLAUDE_ADAPTIVE, true},
                 {"disabled", MOCK_CLAUDE_DISABLED, false},
                 {"between_tools", MOCK_CLAUDE_BETWEEN, false}};
    struct json_at t = json_member(q->root, "thinking");
    struct slice type = mock_tree_text(&t, "type"), display = mock_tree_text(&t, "display");
    struct mock_wants *w = &q->wants;

    w->think = (m->can & MOCK_CLAUDE_ALWAYS) != 0;
    w->think_hidden = slice_eq(display, SLICE("omitted")) ||
                      (display.p == NULL && (m->can & MOCK_CLAUDE_HIDDEN) != 0);
    if (!json_present(&t) || json_present_null(&t)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_eq_str(type, types[i].type) && (m->can & types[i].can) != 0) {
            w->think = types[i].on;
            return (i > 0 || check_budget(q, &t)) && (!w->think || check_thinking_company(q));
        }
    }
    return mock_shape_refuse(q, 400,
                             "thinking.type: \"" SLICE_FMT "\" is not supported for this "
                             "model.",
                             SLICE_ARG(type));
}

struct schema_walk {
    struct mock_request *q;
    bool ok;
};

static bool check_output_schema(void *ctx, const struct json_at *s)
{
    static const char *const refused[] = {
        "oneOf",      "minimum",     "maximum",       "exclusiveMinimum", "exclusiveMaximum",
        "multipleOf", "minLength",   "maxLength",     "pattern",          "minItems",
        "maxItems",   "uniqueItems", "minProperties", "maxProperties",    "not"};
    struct schema_walk *w = ctx;
    struct json_at p = json_member(s, "properties"), d = json_member(s, "$defs");
    struct json_at items = json_member(s, "items"), more = json_member(s, "additionalProperties");

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (mock_tree_has(s, refused[i])) {
            w->ok = mock_shape_refuse(w->q, 400,
                                      "output_config.format.schema: property '%s' is not "
                                      "supported",
                                      refused[i]);
            return false;
        }
    }
    if (slice_eq(mock_tree_text(s, "type"), SLICE("object")) &&
        (mock_tree_type(&more) != MOCK_BOOL || mock_tree_true(s, "additionalProperties"))) {
        w->ok = mock_shape_refuse(w->q, 400,
                                  "output_config.format.schema: For 'object' type, "
                                  "'additionalProperties' must be explicitly set to "
                                  "false");
        return false;
    }
    json_each(&p, check_output_schema, w);
    json_each(&d, check_output_schema, w);
    if (w->ok && mock_tree_type(&items) == MOCK_MAP) {
        (void)check_output_schema(w, &items); // the verdict is in w
    }
    return w->ok;
}

static bool check_output(struct mock_request *q, const struct mock_claude_model *m)
{
    static const char *const efforts[] = {"low", "medium", "high", "xhigh", "max", NULL};
    struct json_at o = json_member(q->root, "output_config"), f = json_member(&o, "format");
    struct json_at schema = json_member(&f, "schema");
    struct schema_walk w = {q, true};

    if (mock_tree_has(&o, "effort") && !mock_tree_in(mock_tree_text(&o, "effort"), efforts)) {
        return mock_shape_refuse(q, 400,
                                 "output_config.effort: Input should be 'low', 'medium', "
                                 "'high', 'xhigh' or 'max'");
    }
    if (!mock_tree_has(&o, "format")) {
        return true;
    }
    if ((m->can & MOCK_CLAUDE_FORMAT) == 0) {
        return mock_shape_refuse(q, 400,
                                 "output_config.format: this model does not support "
                                 "structured outputs");
    }
    if (!slice_eq(mock_tree_text(&f, "type"), SLICE("json_schema")) ||
        mock_tree_type(&schema) != MOCK_MAP) {
        return mock_shape_refuse(q, 400, "output_config.format.schema: Field required");
    }
    q->wants.json = true;
    q->wants.schema = schema.value;
    return check_output_schema(&w, &schema);
}

static bool check_small(struct mock_request *q)
{
    static const char *const user[] = {"user_id", NULL};
    struct json_at meta = json_member(q->root, "metadata");
    struct slice tier = mock_tree_text(q->root, "service_tier");
    struct slice unknown = mock_tree_unknown(&meta, user);

    if (unknown.p != NULL) {
        return mock_shape_refuse(q, 400, "metadata." SLICE_FMT ": " EXTRA, SLICE_ARG(unknown));
    }
    if (tier.p != NULL && !slice_eq(tier, SLICE("auto")) &&
        !slice_eq(tier, SLICE("standard_only"))) {
        return mock_shape_refuse(q, 400, "service_tier: Input should be 'auto' or 'standard_only'");
    }
    return true;
}

bool mock_anthropic_check(struct mock_request *q)
{
    bool new_version = false;
    const struct mock_claude_model *m;
    struct slice model;

    if (!check_head(q, &new_version)) {
        return false;
    }
    if (q->root == NULL) {
        return true;
    }
    model = mock_tree_text(q->root, "model");
    if (model.n == 0) {
        return mock_shape_refuse(q, 400, "model: Field required");
    }
    m = model_of(model);
    return check_members(q) && check_max_tokens(q, m) && check_sampling(q, m, new_version) &&
           check_stop(q) && check_system(q) && check_tools(q) && check_choice(q, m) &&
           check_thinking(q, m) && check_output(q, m) && check_small(q) &&
           mock_anthropic_turns(q, m);
}
