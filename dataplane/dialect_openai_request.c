// SPDX-License-Identifier: Apache-2.0
// One walk over the top-level members; each is looked up in a table that says how it is read. A
// null is a member that is not there. What the table does not know is kept as an extra.
#include "dataplane/dialect_openai_request.h"

#include <string.h>

#include "dataplane/dialect_openai_message.h"
#include "dataplane/dialect_openai_tool.h"

struct reader {
    const struct tape *t;
    struct arena *a;
    struct canon_request *r;
    struct canon_extra **extras;
    const char **ret_param;
    struct err *e;
    uint32_t top;
};

static bool fail(struct reader *in, const char *param, const char *what)
{
    *in->ret_param = param;
    return err_set(in->e, ERR_INVALID, "%s %s", param, what);
}

// --- members that are passed on as they are ----------------------------------------------------

enum kind { NUMBER, WHOLE, BOOLEAN, STRING, ARRAY, OBJECT };

static const char *const kinds[] = {"must be a number",  "must be a whole number",
                                    "must be a boolean", "must be a string",
                                    "must be an array",  "must be an object"};

static bool is_whole(struct slice number)
{
    return number.n > 0 && slice_find_char(number, '.') == SIZE_MAX &&
           slice_find_char(number, 'e') == SIZE_MAX && slice_find_char(number, 'E') == SIZE_MAX;
}

static bool is_kind(const struct tape *t, uint32_t i, enum kind kind)
{
    switch (kind) {
    case NUMBER:
        return tape_is(t, i, SCAN_NUMBER);
    case WHOLE:
        return tape_is(t, i, SCAN_NUMBER) && is_whole(tape_raw(t, i));
    case BOOLEAN:
        return tape_is(t, i, SCAN_TRUE) || tape_is(t, i, SCAN_FALSE);
    case STRING:
        return tape_is(t, i, SCAN_STRING);
    case ARRAY:
        return tape_is(t, i, SCAN_ARRAY);
    case OBJECT:
        return tape_is(t, i, SCAN_OBJECT);
    }
    return false;
}

#define AT(member) offsetof(struct canon_request, member)

static const struct plain {
    const char *name;
    enum kind kind;
    size_t at; // a struct canon_param
} plains[] = {
    {"temperature", NUMBER, AT(temperature)},
    {"top_p", NUMBER, AT(top_p)},
    {"top_k", WHOLE, AT(top_k)},
    {"n", WHOLE, AT(n)},
    {"seed", WHOLE, AT(seed)},
    {"presence_penalty", NUMBER, AT(presence_penalty)},
    {"frequency_penalty", NUMBER, AT(frequency_penalty)},
    {"logit_bias", OBJECT, AT(logit_bias)},
    {"logprobs", BOOLEAN, AT(logprobs)},
    {"top_logprobs", WHOLE, AT(top_logprobs)},
    {"parallel_tool_calls", BOOLEAN, AT(parallel_tool_calls)},
    {"user", STRING, AT(user)},
    {"safety_identifier", STRING, AT(safety_identifier)},
    {"service_tier", STRING, AT(service_tier)},
    {"modalities", ARRAY, AT(modalities)},
    {"audio", OBJECT, AT(audio)},
    {"verbosity", STRING, AT(verbosity)},
    {"metadata", OBJECT, AT(metadata)},
    {"dimensions", WHOLE, AT(dimensions)},
};

static bool read_plain(struct reader *in, uint32_t value, const struct plain *m)
{
    struct canon_param *p = (struct canon_param *)(void *)((char *)in->r + m->at);

    if (!is_kind(in->t, value, m->kind)) {
        return fail(in, m->name, kinds[m->kind]);
    }
    *p = (struct canon_param){tape_raw(in->t, value), m->name};
    return true;
}

// --- members with a meaning of their own -------------------------------------------------------

static bool read_stop(struct reader *in, uint32_t value)
{
    struct canon_request *r = in->r;
    size_t n = 0;

    r->stop_name = "stop";
    if (tape_is(in->t, value, SCAN_STRING)) {
        r->stop = arena_alloc(in->a, sizeof(*r->stop));
        r->stop[0] = tape_text(in->t, value);
        r->n_stop = 1;
        return true;
    }
    if (!tape_is(in->t, value, SCAN_ARRAY)) {
        return fail(in, "stop", "must be a string or an array of strings");
    }
    TAPE_ITEMS(in->t, value, i)
    {
        n++;
    }
    r->stop = arena_alloc(in->a, (n + 1) * sizeof(*r->stop));
    TAPE_ITEMS(in->t, value, i)
    {
        if (!tape_is(in->t, i, SCAN_STRING)) {
            return fail(in, "stop", "must be a string or an array of strings");
        }
        r->stop[r->n_stop++] = tape_text(in->t, i);
    }
    return true;
}

// {type: json_schema, json_schema: {...}}; Together's flat form {type, schema} too.
static bool read_schema(struct reader *in, uint32_t format)
{
    struct canon_request *r = in->r;
    uint32_t at = tape_given(in->t, format, "json_schema"), strict, schema;

    at = at == TAPE_NONE ? format : at;
    schema = tape_given(in->t, at, "schema");
    strict = tape_given(in->t, at, "strict");
    if (!tape_is(in->t, schema, SCAN_OBJECT)) {
        return fail(in, "response_format.json_schema.schema", "must be an object");
    }
    r->format = CANON_FORMAT_SCHEMA;
    r->schema = tape_raw(in->t, schema);
    r->schema_name = tape_get_text(in->t, at, "name");
    r->schema_description = tape_get_text(in->t, at, "description");
    r->schema_strict = strict == TAPE_NONE ? -1 : tape_true(in->t, strict);
    return true;
}

static bool read_format(struct reader *in, uint32_t value)
{
    uint32_t type = tape_get(in->t, value, "type");

    in->r->format_name = "response_format";
    if (tape_eq(in->t, type, "json_schema")) {
        return read_schema(in, value);
    }
    if (tape_eq(in->t, type, "json_object")) {
        in->r->format = CANON_FORMAT_JSON;
    } else if (!tape_eq(in->t, type, "text")) {
        return fail(in, "response_format.type", "must be text, json_object or json_schema");
    }
    return true;
}

#define EFFORTS "must be none, minimal, low, medium, high, xhigh or max"

static bool read_effort(struct reader *in, uint32_t value)
{
    in->r->effort_name = "reasoning_effort";
    in->r->effort = canon_effort_of(tape_text(in->t, value));
    // "default" is Groq's word for not given.
    return in->r->effort != CANON_EFFORT_NOT_GIVEN || tape_eq(in->t, value, "default") ||
           fail(in, "reasoning_effort", EFFORTS);
}

// OpenRouter's {effort | max_tokens | enabled}: the same, where reasoning_effort does not say it.
// That reasoning is not to be shown (exclude) is a wish; what is told is told.
static bool read_reasoning(struct reader *in, uint32_t value)
{
    const struct tape *t = in->t;
    uint32_t effort = tape_given(t, value, "effort"), max = tape_given(t, value, "max_tokens");
    uint32_t enabled = tape_given(t, value, "enabled");
    struct canon_request *r = in->r;

    if (!tape_is(t, value, SCAN_OBJECT)) {
        return fail(in, "reasoning", kinds[OBJECT]);
    }
    if (tape_given(t, in->top, "reasoning_effort") != TAPE_NONE) {
        return true;
    }
    r->effort_name = "reasoning";
    if (effort != TAPE_NONE) {
        r->effort = canon_effort_of(tape_text(t, effort));
        return r->effort != CANON_EFFORT_NOT_GIVEN || fail(in, "reasoning.effort", EFFORTS);
    }
    if (max != TAPE_NONE) {
        if (!tape_u64(t, max, &r->thinking_budget)) {
            return fail(in, "reasoning.max_tokens", kinds[WHOLE]);
        }
        r->effort = canon_effort_by_budget(r->thinking_budget);
    } else if (enabled != TAPE_NONE) {
        r->effort = tape_true(t, enabled) ? CANON_EFFORT_MEDIUM : CANON_EFFORT_NONE;
    }
    return true;
}

static bool read_thinking(struct reader *in, uint32_t value)
{
    static const struct {
        const char *type;
        enum canon_thinking thinking;
    } types[] = {{"enabled", CANON_THINKING_ENABLED},
                 {"disabled", CANON_THINKING_DISABLED},
                 {"adaptive", CANON_THINKING_ADAPTIVE},
                 {"between_tools", CANON_THINKING_BETWEEN_TOOLS}};
    uint32_t type = tape_get(in->t, value, "type");

    in->r->thinking_raw = tape_raw(in->t, value);
    (void)!tape_u64(in->t, tape_get(in->t, value, "budget_tokens"), &in->r->thinking_budget);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (tape_eq(in->t, type, types[i].type)) {
            in->r->thinking = types[i].thinking;
            return true;
        }
    }
    return fail(in, "thinking.type", "must be enabled, disabled, adaptive or between_tools");
}

static bool read_safety(struct reader *in, uint32_t value)
{
    in->r->safety_settings = tape_raw(in->t, value);
    return true;
}

static bool read_extra_body(struct reader *in, uint32_t value)
{
    in->r->extra_body = tape_raw(in->t, value);
    return true;
}

static bool read_cache_control(struct reader *in, uint32_t value)
{
    in->r->cache_control = tape_raw(in->t, value);
    return true;
}

static bool read_tools(struct reader *in, uint32_t value)
{
    return dialect_openai_tool_list(in->t, value, "tools", in->a, in->r, in->ret_param, in->e);
}

static bool read_functions(struct reader *in, uint32_t value)
{
    // A client that sends both says the same twice.
    in->r->functions = tape_given(in->t, in->top, "tools") == TAPE_NONE;
    return !in->r->functions ||
           dialect_openai_tool_list(in->t, value, "functions", in->a, in->r, in->ret_param, in->e);
}

static bool read_choice(struct reader *in, uint32_t value)
{
    return dialect_openai_tool_choice(in->t, value, in->a, in->r, in->ret_param, in->e);
}

static bool read_function_choice(struct reader *in, uint32_t value)
{
    return tape_given(in->t, in->top, "tool_choice") != TAPE_NONE ||
           dialect_openai_tool_function_choice(in->t, value, in->a, in->r, in->ret_param, in->e);
}

static bool skip(struct reader *in, uint32_t value)
{
    (void)in;
    (void)value;
    return true;
}

static const struct own {
    const char *name;
    bool (*read)(struct reader *in, uint32_t value);
} owns[] = {
    {"stop", read_stop},
    {"response_format", read_format},
    {"reasoning_effort", read_effort},
    {"reasoning", read_reasoning},
    {"thinking", read_thinking},
    {"safety_settings", read_safety},
    {"extra_body", read_extra_body},
    {"cache_control", read_cache_control},
    {"tools", read_tools},
    {"functions", read_functions},
    {"tool_choice", read_choice},
    {"function_call", read_function_choice},
    // read elsewhere, or the gateway's own
    {"model", skip},
    {"messages", skip},
    {"max_tokens", skip},
    {"max_completion_tokens", skip},
    {"stream", skip},
    {"stream_options", skip},
    {"models", skip},
    {"provider", skip},
    {"route", skip},
    {"transforms", skip},
    {"usage", skip},
};

// Hints (canon_extra.hint), beyond those that are canonical.
static const char *const hints[] = {"prediction",
                                    "store",
                                    "prompt_cache_key",
                                    "prompt_cache_options",
                                    "prompt_cache_retention",
                                    "moderation",
                                    "web_search_options"};

static void add_extra(struct reader *in, uint32_t name)
{
    struct canon_extra *x = arena_zalloc(in->a, sizeof(*x));

    x->name = tape_text(in->t, name);
    x->raw = tape_raw(in->t, name + 1);
    for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
        x->hint = x->hint || tape_eq(in->t, name, hints[i]);
    }
    *in->extras = x;
    in->extras = &x->next;
}

static bool read_member(struct reader *in, uint32_t name)
{
    for (size_t i = 0; i < ARRAY_LEN(plains); i++) {
        if (tape_eq(in->t, name, plains[i].name)) {
            return read_plain(in, name + 1, &plains[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(owns); i++) {
        if (tape_eq(in->t, name, owns[i].name)) {
            return owns[i].read(in, name + 1);
        }
    }
    add_extra(in, name);
    return true;
}

// --- members that depend on each other ---------------------------------------------------------

static bool read_max_tokens(struct reader *in)
{
    static const char *const names[] = {"max_completion_tokens", "max_tokens"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        uint32_t value = tape_given(in->t, in->top, names[i]);

        if (value != TAPE_NONE) {
            in->r->max_name = names[i];
            in->r->max_given = true;
            return (tape_is(in->t, value, SCAN_NUMBER) &&
                    tape_u64(in->t, value, &in->r->max_tokens)) ||
                   fail(in, names[i], "must be a whole number that is not negative");
        }
    }
    return true;
}

static bool settle(struct reader *in)
{
    struct canon_request *r = in->r;
    uint32_t user = tape_given(in->t, in->top, "safety_identifier");

    r->user_text = tape_text(in->t, user != TAPE_NONE ? user : tape_given(in->t, in->top, "user"));
    r->choices = 1;
    if (r->n.raw.p != NULL && (!slice_to_u64(r->n.raw, &r->choices) || r->choices == 0)) {
        return fail(in, "n", "must be at least 1");
    }
    r->parallel =
        r->parallel_tool_calls.raw.p == NULL ? -1 : r->parallel_tool_calls.raw.p[0] == 't';
    return read_max_tokens(in);
}

static bool read_top(struct reader *in)
{
    TAPE_MEMBERS(in->t, in->top, i)
    {
        if (!tape_absent(in->t, i + 1) && !read_member(in, i)) {
            return false;
        }
    }
    return settle(in);
}

// --- completions of old ------------------------------------------------------------------------

// What a provider that only chats cannot do.
static bool refuse(struct reader *in, const char *param, const char *what)
{
    in->r->error_code = "unsupported_parameter";
    return fail(in, param, what);
}

// A prompt for a provider that only chats: one text.
static bool read_prompt(struct reader *in)
{
    const struct tape *t = in->t;
    uint32_t prompt = tape_given(t, in->top, "prompt");
    struct canon_message **messages = &in->r->messages;
    struct canon_part **parts;

    if (tape_is(t, prompt, SCAN_ARRAY) && t->tokens[prompt].next == prompt + 2) {
        prompt++; // the only one of a list
    }
    if (prompt == TAPE_NONE) {
        return fail(in, "prompt", "must be a string");
    }
    if (!tape_is(t, prompt, SCAN_STRING)) {
        return refuse(in, "prompt", "must be one string for this provider");
    }
    parts = &canon_add_message(in->a, &messages, CANON_USER)->parts;
    canon_add_part(in->a, &parts, CANON_TEXT)->text = tape_text(t, prompt);
    return true;
}

static bool refuse_old(struct reader *in)
{
    const struct tape *t = in->t;
    uint64_t best_of = 1;

    if (tape_get_text(t, in->top, "suffix").n > 0) {
        return refuse(in, "suffix", "is not supported by this provider");
    }
    if (tape_true(t, tape_get(t, in->top, "echo"))) {
        return refuse(in, "echo", "is not supported by this provider");
    }
    if (tape_u64(t, tape_get(t, in->top, "best_of"), &best_of) && best_of > 1) {
        return refuse(in, "best_of", "> 1 is not supported by this provider");
    }
    return true;
}

static bool is_old(const struct reader *in, uint32_t name)
{
    static const char *const names[] = {"prompt", "suffix", "echo", "best_of"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (tape_eq(in->t, name, names[i])) {
            return true;
        }
    }
    return false;
}

static bool read_completions(struct reader *in)
{
    const struct tape *t = in->t;

    TAPE_MEMBERS(t, in->top, i)
    {
        if (tape_absent(t, i + 1) || is_old(in, i)) {
            continue;
        }
        if (tape_eq(t, i, "logprobs")) { // a number here, and in a form of its own in the answer
            add_extra(in, i);
            container_of(in->extras, struct canon_extra, next)->hint = true;
        } else if (!read_member(in, i)) {
            return false;
        }
    }
    return settle(in) && refuse_old(in) && read_prompt(in);
}

// --- embeddings --------------------------------------------------------------------------------

static bool is_input(const struct tape *t, uint32_t input)
{
    if (tape_is(t, input, SCAN_STRING)) {
        return tape_text(t, input).n > 0;
    }
    TAPE_ITEMS(t, input, i)
    {
        if (!tape_is(t, i, SCAN_NUMBER) && !tape_is(t, i, SCAN_ARRAY) &&
            (!tape_is(t, i, SCAN_STRING) || tape_text(t, i).n == 0)) {
            return false;
        }
    }
    return tape_is(t, input, SCAN_ARRAY) && tape_first(t, input) != TAPE_NONE;
}

static bool read_embeddings(struct reader *in)
{
    const struct tape *t = in->t;
    uint32_t input = tape_get(t, in->top, "input");
    uint32_t encoding = tape_given(t, in->top, "encoding_format");

    TAPE_MEMBERS(t, in->top, i)
    {
        if (!tape_absent(t, i + 1) && !tape_eq(t, i, "input") &&
            !tape_eq(t, i, "encoding_format") && !read_member(in, i)) {
            return false;
        }
    }
    if (!is_input(t, input)) {
        return fail(in, "input", "must be a string, an array of strings or of tokens; none empty");
    }
    in->r->input = tape_raw(t, input);
    in->r->base64 = tape_eq(t, encoding, "base64");
    if (encoding != TAPE_NONE && !in->r->base64 && !tape_eq(t, encoding, "float")) {
        return fail(in, "encoding_format", "must be float or base64");
    }
    return settle(in);
}

bool dialect_openai_request_read(const struct dialect_request *rq, const struct tape *t,
                                 struct arena *a, struct canon_request *ret, const char **ret_param,
                                 struct err *e)
{
    struct reader in = {
        .t = t, .a = a, .r = ret, .extras = &ret->extras, .ret_param = ret_param, .e = e, .top = 0};

    ret->schema_strict = -1;
    if (!tape_is(t, 0, SCAN_OBJECT)) {
        return fail(&in, "body", "must be a JSON object");
    }
    if (rq->endpoint == DIALECT_EMBEDDINGS) {
        return read_embeddings(&in);
    }
    if (rq->endpoint == DIALECT_COMPLETIONS) {
        return read_completions(&in);
    }
    return read_top(&in) && dialect_openai_message_list(t, tape_get(t, 0, "messages"), a,
                                                        &ret->messages, ret_param, e);
}
