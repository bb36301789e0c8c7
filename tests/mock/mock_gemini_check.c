// SPDX-License-Identifier: Apache-2.0
// Contents are walked once: each
// turn with calls wants exactly as many responses behind it, and from generation 3 on the first
// call of each model turn since the user spoke last must come back with its signature.
#include "tests/mock/mock_gemini_check.h"

#include "tests/mock/mock_tree.h"

#define SENTINEL "skip_thought_signature_validator"

static bool check_key(struct mock_request *q)
{
    const char *scheme = q->head->auth_scheme;

    if (q->head->auth.n > 0 && strcmp(scheme, "x-goog-api-key") == 0) {
        return true;
    }
    return mock_shape_refuse(q, 403,
                             "Method doesn't allow unregistered callers (callers without "
                             "established identity). Please use API Key or other form of "
                             "API consumer identity to call this API.");
}

// --- contents -----------------------------------------------------------------------------------

struct walk {
    struct mock_request *q;
    struct slice model;
    size_t i;             // content
    bool is_model;        // its role
    size_t calls;         // in this model content
    size_t wanted;        // responses to the calls of the one before
    size_t responses;     // in this content
    size_t first_of_turn; // index of the first content after the user's last words
};

static bool check_call(struct walk *w, const struct json_at *part)
{
    static const char *const members[] = {"name", "args", "id", NULL};
    struct json_at call = json_member(part, "functionCall"), args = json_member(&call, "args");
    struct slice sign = mock_tree_text(part, "thoughtSignature");
    char wanted[MOCK_SIGN_CHARS + 1];
    struct buf text;
    bool ok;

    if (!mock_gemini_known(w->q, &call, "contents.parts.function_call", members)) {
        return false;
    }
    if (mock_tree_text(&call, "name").n == 0 ||
        (json_present(&args) && mock_tree_type(&args) != MOCK_MAP)) {
        return mock_shape_refuse(w->q, 400, "Invalid value at 'contents[%zu].parts.function_call'",
                                 w->i);
    }
    if (!w->is_model) {
        return mock_shape_refuse(w->q, 400,
                                 "Please ensure that function call turn comes immediately "
                                 "after a user turn or after a function response turn.");
    }
    w->calls++;
    if (w->calls > 1 || w->i < w->first_of_turn || !mock_gemini_signs(w->model)) {
        return true;
    }
    if (sign.n == 0) {
        return mock_shape_refuse(w->q, 400,
                                 "Function call is missing a thought_signature in "
                                 "functionCall parts. This is required for tools to work "
                                 "correctly. Function call `default_api:" SLICE_FMT "`, "
                                 "position %zu.",
                                 SLICE_ARG(mock_tree_text(&call, "name")), w->i + 1);
    }
    buf_init(&text, 96u << 20);
    mock_tree_print(&args, &text);
    mock_turn_sign(w->model, "call", buf_slice(&text), wanted);
    buf_done(&text);
    ok = slice_eq(sign, SLICE(SENTINEL)) || slice_eq_str(sign, wanted);
    return ok || mock_shape_refuse(w->q, 400, "Corrupted thought signature.");
}

static bool check_response(struct walk *w, const struct json_at *part)
{
    static const char *const members[] = {"name",         "response",   "id", "parts",
                                          "willContinue", "scheduling", NULL};
    struct json_at r = json_member(part, "functionResponse"), body = json_member(&r, "response");
    struct slice text = mock_tree_text(&body, "output");

    if (!mock_gemini_known(w->q, &r, "contents.parts.function_response", members)) {
        return false;
    }
    if (w->is_model || mock_tree_text(&r, "name").n == 0 || mock_tree_type(&body) != MOCK_MAP) {
        return mock_shape_refuse(w->q, 400,
                                 "Invalid value at "
                                 "'contents[%zu].parts.function_response.response' "
                                 "(type.googleapis.com/google.protobuf.Struct)",
                                 w->i);
    }
    w->responses++;
    if (text.p == NULL) {
        text = mock_tree_text(&body, "error");
    }
    if (w->q->wants.n_results < MOCK_RESULTS_MAX) {
        w->q->wants.objects[w->q->wants.n_results] = text.p == NULL ? body.value : NULL;
    }
    mock_shape_add_result(w->q, text);
    w->q->wants.answered = true;
    return true;
}

static bool check_blob(struct walk *w, const struct json_at *part)
{
    struct json_at inl = json_member(part, "inlineData"), file = json_member(part, "fileData");

    if (json_present(&inl) &&
        (mock_tree_text(&inl, "mimeType").n == 0 || mock_tree_text(&inl, "data").n == 0)) {
        return mock_shape_refuse(w->q, 400, "Invalid value at 'contents[%zu].parts.inline_data'",
                                 w->i);
    }
    return !json_present(&file) || mock_tree_text(&file, "fileUri").n > 0 ||
           mock_shape_refuse(w->q, 400, "Invalid value at 'contents[%zu].parts.file_data'", w->i);
}

static bool check_part(struct walk *w, const struct json_at *part)
{
    static const char *const members[] = {"text",
                                          "inlineData",
                                          "fileData",
                                          "functionCall",
                                          "functionResponse",
                                          "executableCode",
                                          "codeExecutionResult",
                                          "toolCall",
                                          "toolResponse",
                                          "thought",
                                          "thoughtSignature",
                                          "videoMetadata",
                                          "mediaResolution",
                                          "partMetadata",
                                          NULL};
    size_t data = 0;

    if (!mock_gemini_known(w->q, part, "contents.parts", members)) {
        return false;
    }
    for (size_t i = 0; i < 9; i++) {
        data += mock_tree_has(part, members[i]);
    }
    if (data != 1) {
        return mock_shape_refuse(w->q, 400,
                                 data == 0 ? "Unable to submit request because it must have "
                                             "one of: text, inlineData, ... in each part."
                                           : "Proto field is not repeating, cannot start "
                                             "list: oneof field 'data' is already set.");
    }
    if (mock_tree_has(part, "text") && mock_tree_text(part, "text").p == NULL) {
        return mock_shape_refuse(w->q, 400, "Invalid value at 'contents[%zu].parts.text'", w->i);
    }
    if (mock_tree_has(part, "functionCall")) {
        return check_call(w, part);
    }
    if (mock_tree_has(part, "functionResponse")) {
        return check_response(w, part);
    }
    return check_blob(w, part);
}

static bool check_content(struct walk *w, const struct json_at *c)
{
    static const char *const members[] = {"role", "parts", NULL};
    struct json_at parts = json_member(c, "parts");
    struct slice role = mock_tree_text(c, "role");

    if (!mock_gemini_known(w->q, c, "contents", members)) {
        return false;
    }
    if (role.p != NULL && !slice_eq(role, SLICE("user")) && !slice_eq(role, SLICE("model")) &&
        !slice_eq(role, SLICE("function"))) {
        return mock_shape_refuse(w->q, 400, "Please use a valid role: user, model.");
    }
    if (json_size(&parts) == 0) {
        return mock_shape_refuse(w->q, 400,
                                 "* GenerateContentRequest.contents[%zu].parts: contents "
                                 "is not specified",
                                 w->i);
    }
    w->is_model = slice_eq(role, SLICE("model"));
    w->wanted = w->calls;
    w->calls = w->responses = 0;
    w->q->wants.answered = false;
    w->q->wants.n_results = 0;
    for (size_t k = 0; k < json_size(&parts); k++) {
        struct json_at part = json_element(&parts, k);

        if (!check_part(w, &part)) {
            return false;
        }
    }
    return w->responses == w->wanted ||
           mock_shape_refuse(w->q, 400,
                             "Please ensure that the number of function response parts is "
                             "equal to the number of function call parts of the function "
                             "call turn.");
}

// Where the current turn begins: behind the last content of the user that says something.
static size_t current_turn(const struct json_at *list)
{
    for (size_t i = json_size(list); i > 0; i--) {
        struct json_at c = json_element(list, i - 1), parts = json_member(&c, "parts");

        for (size_t k = 0; k < json_size(&parts); k++) {
            struct json_at p = json_element(&parts, k);

            if (mock_tree_has(&p, "text") &&
                !slice_eq(mock_tree_text(&c, "role"), SLICE("model"))) {
                return i;
            }
        }
    }
    return 0;
}

static bool check_contents(struct mock_request *q, const struct json_at *root)
{
    struct json_at list = json_member(root, "contents");
    struct walk w = {.q = q, .model = mock_behave_of_model(q->ask->model)};

    if (json_size(&list) == 0) {
        return mock_shape_refuse(q, 400,
                                 "* GenerateContentRequest.contents: contents is not "
                                 "specified");
    }
    w.first_of_turn = current_turn(&list);
    for (w.i = 0; w.i < json_size(&list); w.i++) {
        struct json_at c = json_element(&list, w.i);

        if (!check_content(&w, &c)) {
            return false;
        }
    }
    return w.calls == 0 ||
           mock_shape_refuse(q, 400,
                             "Please ensure that the number of function response parts is "
                             "equal to the number of function call parts of the function "
                             "call turn.");
}

// --- requests -----------------------------------------------------------------------------------

static bool check_generate(struct mock_request *q, const struct json_at *root, bool inner)
{
    static const char *const members[] = {"contents",
                                          "systemInstruction",
                                          "tools",
                                          "toolConfig",
                                          "safetySettings",
                                          "generationConfig",
                                          "cachedContent",
                                          "serviceTier",
                                          "labels",
                                          NULL,
                                          NULL};
    static const char *const with_model[] = {"contents",
                                             "systemInstruction",
                                             "tools",
                                             "toolConfig",
                                             "safetySettings",
                                             "generationConfig",
                                             "cachedContent",
                                             "serviceTier",
                                             "labels",
                                             "model",
                                             NULL};
    struct json_at si = json_member(root, "systemInstruction"), parts = json_member(&si, "parts");

    if (!mock_gemini_known(q, root, "", inner ? with_model : members)) {
        return false;
    }
    if (json_present(&si) && json_size(&parts) == 0) {
        return mock_shape_refuse(q, 400,
                                 "* GenerateContentRequest.system_instruction.parts: must "
                                 "not be empty");
    }
    return mock_gemini_options(q, root) && check_contents(q, root);
}

static bool check_count(struct mock_request *q)
{
    static const char *const members[] = {"contents", "generateContentRequest", NULL};
    struct json_at inner = json_member(q->root, "generateContentRequest");

    if (!mock_gemini_known(q, q->root, "", members)) {
        return false;
    }
    if (json_present(&inner)) {
        return slice_starts(mock_tree_text(&inner, "model"), SLICE("models/"))
                   ? check_generate(q, &inner, true)
                   : mock_shape_refuse(q, 400,
                                       "* CountTokensRequest.generate_content_request.model: "
                                       "unexpected model name format");
    }
    return check_contents(q, q->root);
}

static bool check_embed(struct mock_request *q, const struct json_at *r, bool model)
{
    static const char *const members[] = {
        "model", "content", "taskType", "title", "outputDimensionality", NULL};
    struct json_at c = json_member(r, "content"), parts = json_member(&c, "parts");
    struct json_at first = json_element(&parts, 0);
    struct slice name = mock_tree_text(r, "model"), text = mock_tree_text(&first, "text");
    double n = 0;

    if (!mock_gemini_known(q, r, "requests", members)) {
        return false;
    }
    if (model &&
        (!slice_starts(name, SLICE("models/")) || !slice_eq(slice_from(name, 7), q->ask->model))) {
        return mock_shape_refuse(q, 400,
                                 "* BatchEmbedContentsRequest.requests[0].model: model does "
                                 "not match the one in the url");
    }
    if (text.p == NULL) {
        return mock_shape_refuse(q, 400,
                                 "* EmbedContentRequest.content: contents is not specified");
    }
    if (mock_tree_number(r, "outputDimensionality", &n)) {
        q->ask->dimensions = (uint64_t)n;
    }
    if (q->ask->inputs++ == 0) {
        q->ask->user = text;
    }
    return true;
}

static bool check_batch(struct mock_request *q)
{
    struct json_at list = json_member(q->root, "requests");

    for (size_t i = 0; i < json_size(&list); i++) {
        struct json_at r = json_element(&list, i);

        if (!check_embed(q, &r, true)) {
            return false;
        }
    }
    return json_size(&list) > 0 ||
           mock_shape_refuse(q, 400, "* BatchEmbedContentsRequest.requests: at least one");
}

bool mock_gemini_check(struct mock_request *q)
{
    if (!check_key(q)) {
        return false;
    }
    if (q->root == NULL) {
        return true;
    }
    if (q->api == MOCK_COUNT) {
        return check_count(q);
    }
    if (q->api == MOCK_EMBEDDINGS) {
        return check_batch(q);
    }
    if (q->api == MOCK_EMBED_ONE) {
        return check_embed(q, q->root, false);
    }
    if (q->ask->stream && !slice_eq(q->head->query, SLICE("alt=sse"))) {
        return mock_shape_refuse(q, 400, "This mock streams with ?alt=sse alone.");
    }
    return check_generate(q, q->root, false);
}
