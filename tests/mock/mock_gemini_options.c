// SPDX-License-Identifier: Apache-2.0
// Tools, their choice, and generationConfig. Unknown names are refused everywhere, as protobuf's
// JSON does.
#include "tests/mock/mock_gemini_check.h"

#include "tests/mock/mock_tree.h"

bool mock_gemini_signs(struct slice model)
{
    model = mock_behave_of_model(model);
    return !slice_starts(model, SLICE("gemini-1")) && !slice_starts(model, SLICE("gemini-2"));
}

bool mock_gemini_known(struct mock_request *q, const struct json_at *o, const char *where,
                       const char *const *known)
{
    struct slice unknown = mock_tree_unknown(o, known);

    return unknown.p == NULL ||
           mock_shape_refuse(q, 400,
                             "Invalid JSON payload received. Unknown name \"" SLICE_FMT
                             "\"%s%s: Cannot find field.",
                             SLICE_ARG(unknown), where[0] == 0 ? "" : " at ", where);
}

// --- tools --------------------------------------------------------------------------------------

static bool check_openapi(struct mock_request *q, const struct json_at *s);

static bool check_openapi_member(void *ctx, const struct json_at *at)
{
    struct mock_request *q = ctx;

    return check_openapi(q, at);
}

// The OpenAPI subset of `parameters` and `responseSchema`. The refusal, if any, is in q.
static bool check_openapi(struct mock_request *q, const struct json_at *s)
{
    static const char *const members[] = {
        "type",          "format",        "title",    "description",
        "nullable",      "enum",          "items",    "minItems",
        "maxItems",      "properties",    "required", "propertyOrdering",
        "minProperties", "maxProperties", "minimum",  "maximum",
        "minLength",     "maxLength",     "pattern",  "example",
        "anyOf",         "default",       NULL};
    struct json_at p = json_member(s, "properties"), items = json_member(s, "items");

    if (!mock_gemini_known(q, s, "schema", members)) {
        return false;
    }
    json_each(&p, check_openapi_member, q);
    return q->status == 0 && (!json_present(&items) || check_openapi(q, &items));
}

static bool check_function(struct mock_request *q, const struct json_at *f)
{
    static const char *const members[] = {
        "name",     "description",        "parameters", "parametersJsonSchema",
        "response", "responseJsonSchema", "behavior",   NULL};
    struct json_at old = json_member(f, "parameters"), new = json_member(f, "parametersJsonSchema");
    struct slice name = mock_tree_text(f, "name");

    if (!mock_gemini_known(q, f, "tools.function_declarations", members)) {
        return false;
    }
    if (!mock_tree_is_name(name, "_.:-", 128) || (name.p[0] >= '0' && name.p[0] <= '9')) {
        return mock_shape_refuse(q, 400,
                                 "* GenerateContentRequest.tools[0].function_declarations: "
                                 "Invalid function name. Must start with a letter or an "
                                 "underscore.");
    }
    if (json_present(&old) && json_present(&new)) {
        return mock_shape_refuse(q, 400,
                                 "parameters and parameters_json_schema exclude each other");
    }
    if (json_present(&old) && !check_openapi(q, &old)) {
        return false;
    }
    return mock_shape_add_tool(q, name, json_present(&old) ? &old : &new);
}

static bool check_tools(struct mock_request *q, const struct json_at *root)
{
    static const char *const members[] = {"functionDeclarations",
                                          "googleSearch",
                                          "googleMaps",
                                          "urlContext",
                                          "codeExecution",
                                          "fileSearch",
                                          "computerUse",
                                          "mcpServers",
                                          "googleSearchRetrieval",
                                          NULL};
    struct json_at list = json_member(root, "tools");

    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at t = json_element(&list, i), fns = json_member(&t, "functionDeclarations");

        if (!mock_gemini_known(q, &t, "tools", members)) {
            return false;
        }
        for (size_t k = 0; k < json_size(&fns); k++) {
            struct json_at f = json_element(&fns, k);

            if (!check_function(q, &f)) {
                return false;
            }
        }
    }
    return true;
}

static bool check_choice(struct mock_request *q, const struct json_at *root)
{
    static const char *const modes[] = {"AUTO", "ANY", "NONE", "VALIDATED", NULL};
    static const char *const members[] = {"mode", "allowedFunctionNames", NULL};
    struct json_at tc = json_member(root, "toolConfig"),
                   f = json_member(&tc, "functionCallingConfig");
    struct json_at names = json_member(&f, "allowedFunctionNames"), one = json_element(&names, 0);
    struct slice mode = mock_tree_text(&f, "mode");
    struct mock_wants *w = &q->wants;

    if (!json_present(&f)) {
        return true;
    }
    if (!mock_gemini_known(q, &f, "tool_config.function_calling_config", members)) {
        return false;
    }
    if (!mock_tree_in(mode, modes)) {
        return mock_shape_refuse(q, 400,
                                 "Invalid value at "
                                 "'tool_config.function_calling_config.mode'");
    }
    w->choice = slice_eq(mode, SLICE("ANY"))    ? MOCK_CHOICE_ANY
                : slice_eq(mode, SLICE("NONE")) ? MOCK_CHOICE_NONE
                                                : MOCK_CHOICE_AUTO;
    if (json_size(&names) == 0) {
        return true;
    }
    if (mode.p[0] != 'V' && w->choice != MOCK_CHOICE_ANY) {
        return mock_shape_refuse(q, 400,
                                 "Allowed function names should be set only when function "
                                 "calling mode is ANY or VALIDATED.");
    }
    w->choice = MOCK_CHOICE_NAMED;
    w->named = mock_tree_string(&one);
    for (size_t i = 0; i < w->n_tools; i++) {
        if (slice_eq(w->tools[i], w->named)) {
            return true;
        }
    }
    return mock_shape_refuse(q, 400, "allowed_function_names: \"" SLICE_FMT "\" is not declared",
                             SLICE_ARG(w->named));
}

// --- generationConfig ---------------------------------------------------------------------------

static bool check_thinking(struct mock_request *q, const struct json_at *g)
{
    static const char *const members[] = {"thinkingLevel", "thinkingBudget", "includeThoughts",
                                          NULL};
    static const char *const levels[] = {"MINIMAL", "LOW", "MEDIUM", "HIGH", NULL};
    struct json_at t = json_member(g, "thinkingConfig");
    struct slice model = mock_behave_of_model(q->ask->model);
    bool level = mock_tree_has(&t, "thinkingLevel"), budget = mock_tree_has(&t, "thinkingBudget");

    if (!json_present(&t)) {
        return true;
    }
    if (!mock_gemini_known(q, &t, "generation_config.thinking_config", members)) {
        return false;
    }
    if (slice_starts(model, SLICE("gemini-1")) || slice_starts(model, SLICE("gemini-2.0"))) {
        return mock_shape_refuse(q, 400,
                                 "Unable to submit request because thinking is not supported "
                                 "by this model.");
    }
    if (level && budget) {
        return mock_shape_refuse(q, 400,
                                 "You can only set only one of thinking budget and thinking "
                                 "level.");
    }
    if (level &&
        (!mock_gemini_signs(model) || !mock_tree_in(mock_tree_text(&t, "thinkingLevel"), levels))) {
        return mock_shape_refuse(q, 400, "Thinking level is not supported for this model.");
    }
    if (budget && slice_starts(model, SLICE("gemini-4-argon"))) {
        return mock_shape_refuse(q, 400, "Thinking budget is not supported for this model.");
    }
    q->wants.think = mock_tree_true(&t, "includeThoughts");
    return true;
}

static bool check_format(struct mock_request *q, const struct json_at *g)
{
    struct json_at old = json_member(g, "responseSchema"),
                   new = json_member(g, "responseJsonSchema");
    bool json = slice_eq(mock_tree_text(g, "responseMimeType"), SLICE("application/json"));

    if (json_present(&old) && json_present(&new)) {
        return mock_shape_refuse(q, 400,
                                 "Only one of response_schema and response_json_schema may "
                                 "be set.");
    }
    if ((json_present(&old) || json_present(&new)) && !json) {
        return mock_shape_refuse(q, 400,
                                 "Function calling config or response schema: response_mime_"
                                 "type must be application/json.");
    }
    if (json_present(&old) && !check_openapi(q, &old)) {
        return false;
    }
    q->wants.json = json;
    q->wants.schema = json_present(&old) ? old.value : new.value;
    return true;
}

static bool check_config(struct mock_request *q, const struct json_at *root)
{
    static const char *const members[] = {"temperature",
                                          "topP",
                                          "topK",
                                          "maxOutputTokens",
                                          "stopSequences",
                                          "candidateCount",
                                          "seed",
                                          "presencePenalty",
                                          "frequencyPenalty",
                                          "responseLogprobs",
                                          "logprobs",
                                          "responseMimeType",
                                          "responseSchema",
                                          "responseJsonSchema",
                                          "responseModalities",
                                          "thinkingConfig",
                                          "mediaResolution",
                                          "speechConfig",
                                          "imageConfig",
                                          "audioTimestamp",
                                          "routingConfig",
                                          "enableEnhancedCivicAnswers",
                                          NULL};
    struct json_at g = json_member(root, "generationConfig"),
                   stop = json_member(&g, "stopSequences");
    double n = 0;

    if (!mock_gemini_known(q, &g, "generation_config", members)) {
        return false;
    }
    if (mock_tree_number(&g, "temperature", &n) && (n < 0 || n > 2)) {
        return mock_shape_refuse(q, 400,
                                 "* GenerateContentRequest.generation_config.temperature: "
                                 "temperature must be in the range [0.0, 2.0].");
    }
    if (json_size(&stop) > 5) {
        return mock_shape_refuse(q, 400, "The number of stop sequences must be at most 5.");
    }
    if (mock_tree_number(&g, "maxOutputTokens", &n)) {
        if (n < 1 || n > 65536) {
            return mock_shape_refuse(q, 400, "max_output_tokens must be in the range [1, 65537).");
        }
        q->ask->max_tokens = (uint64_t)n;
    }
    return check_thinking(q, &g) && check_format(q, &g);
}

bool mock_gemini_options(struct mock_request *q, const struct json_at *root)
{
    return check_tools(q, root) && check_choice(q, root) && check_config(q, root);
}
