// SPDX-License-Identifier: Apache-2.0
// Top-level members go by a table, messages by their blocks (dialect_anthropic_blocks.c). Thinking
// is told twice: as it was asked for, and as the effort that other providers know.
#include "dataplane/dialect_anthropic_client.h"

#include "common/base/text.h"
#include "dataplane/dialect_anthropic_blocks.h"
#include "dataplane/jtext.h"

struct ask {
    struct dialect_anthropic_ask q;
    struct canon_request *r;
    struct canon_message **messages;
    struct canon_tool **tools;
    struct canon_extra **extras;
};

static bool refuse(const struct ask *x, const char *where, const char *why)
{
    return dialect_anthropic_blocks_refuse(&x->q, where, why);
}

static struct canon_param param(const struct ask *x, uint32_t value, const char *name)
{
    return (struct canon_param){tape_raw(x->q.t, value), name};
}

// --- messages ----------------------------------------------------------------------------------

static bool read_system(struct ask *x, uint32_t value)
{
    struct canon_message *m = canon_add_message(x->q.a, &x->messages, CANON_SYSTEM);
    struct canon_part **tail = &m->parts;

    return dialect_anthropic_blocks_read(&x->q, value, "system", &tail);
}

static bool read_role(const struct tape *t, uint32_t message, enum canon_role *ret)
{
    static const struct {
        const char *name;
        enum canon_role role;
    } roles[] = {{"user", CANON_USER}, {"assistant", CANON_ASSISTANT}, {"system", CANON_SYSTEM}};
    uint32_t role = tape_get(t, message, "role");

    for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
        if (tape_eq(t, role, roles[i].name)) {
            *ret = roles[i].role;
            return true;
        }
    }
    return false;
}

static bool read_messages(struct ask *x, uint32_t list)
{
    size_t n = 0;

    if (!tape_is(x->q.t, list, SCAN_ARRAY)) {
        return refuse(x, "messages", "a list is required");
    }
    TAPE_ITEMS(x->q.t, list, i)
    {
        struct canon_part **tail;
        enum canon_role role;

        if (!read_role(x->q.t, i, &role)) {
            return refuse(x, arena_printf(x->q.a, "messages[%zu].role", n),
                          "user, assistant or system is required");
        }
        tail = &canon_add_message(x->q.a, &x->messages, role)->parts;
        if (!dialect_anthropic_blocks_read(&x->q, tape_get(x->q.t, i, "content"),
                                           arena_printf(x->q.a, "messages[%zu].content", n),
                                           &tail)) {
            return false;
        }
        n++;
    }
    return true;
}

// --- tools -------------------------------------------------------------------------------------

static bool read_tool(struct ask *x, uint32_t tool, size_t index)
{
    const struct tape *t = x->q.t;
    struct canon_tool *k = arena_zalloc(x->q.a, sizeof(*k));
    uint32_t type = tape_given(t, tool, "type"), strict = tape_given(t, tool, "strict");

    *x->tools = k;
    x->tools = &k->next;
    k->name = tape_get_text(t, tool, "name");
    k->raw = tape_raw(t, tool);
    k->cache_control = tape_raw(t, tape_given(t, tool, "cache_control"));
    k->strict = strict == TAPE_NONE ? -1 : tape_true(t, strict);
    if (type != TAPE_NONE && !tape_eq(t, type, "custom")) {
        k->kind = CANON_TYPED;
        k->type = tape_text(t, type);
        return k->type.p != NULL ||
               refuse(x, arena_printf(x->q.a, "tools[%zu].type", index), "a string is required");
    }
    k->kind = CANON_FUNCTION;
    k->description = tape_text(t, tape_given(t, tool, "description"));
    k->parameters = tape_raw(t, tape_given(t, tool, "input_schema"));
    return k->name.p != NULL ||
           refuse(x, arena_printf(x->q.a, "tools[%zu].name", index), "a string is required");
}

static bool read_tools(struct ask *x, uint32_t list)
{
    size_t n = 0;

    if (!tape_is(x->q.t, list, SCAN_ARRAY)) {
        return refuse(x, "tools", "a list is required");
    }
    TAPE_ITEMS(x->q.t, list, i)
    {
        if (!read_tool(x, i, n++)) {
            return false;
        }
    }
    return true;
}

static bool read_tool_choice(struct ask *x, uint32_t value)
{
    static const struct {
        const char *type;
        enum canon_choice choice;
    } types[] = {{"auto", CANON_CHOICE_AUTO},
                 {"any", CANON_CHOICE_REQUIRED},
                 {"none", CANON_CHOICE_NONE},
                 {"tool", CANON_CHOICE_NAMED}};
    uint32_t type = tape_get(x->q.t, value, "type");

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (tape_eq(x->q.t, type, types[i].type)) {
            x->r->choice = types[i].choice;
        }
    }
    if (x->r->choice == CANON_CHOICE_NONE_GIVEN) {
        return refuse(x, "tool_choice.type", "auto, any, tool or none is required");
    }
    x->r->tool_choice = param(x, value, "tool_choice");
    if (x->r->choice == CANON_CHOICE_NAMED) {
        struct slice name = tape_get_text(x->q.t, value, "name");

        if (name.p == NULL) {
            return refuse(x, "tool_choice.name", "a string is required");
        }
        x->r->names = arena_alloc(x->q.a, sizeof(name));
        x->r->names[0] = name;
        x->r->n_names = 1;
    }
    if (tape_true(x->q.t, tape_get(x->q.t, value, "disable_parallel_tool_use"))) {
        x->r->parallel = 0;
        x->r->parallel_tool_calls =
            (struct canon_param){SLICE("false"), "tool_choice.disable_parallel_tool_use"};
    }
    return true;
}

// --- thinking, output --------------------------------------------------------------------------

static bool read_thinking(struct ask *x, uint32_t value)
{
    static const struct {
        const char *type;
        enum canon_thinking thinking;
    } types[] = {{"enabled", CANON_THINKING_ENABLED},
                 {"adaptive", CANON_THINKING_ADAPTIVE},
                 {"disabled", CANON_THINKING_DISABLED},
                 {"between_tools", CANON_THINKING_BETWEEN_TOOLS}};
    uint32_t type = tape_get(x->q.t, value, "type");

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (tape_eq(x->q.t, type, types[i].type)) {
            x->r->thinking = types[i].thinking;
        }
    }
    if (x->r->thinking == CANON_THINKING_NOT_GIVEN) {
        return refuse(x, "thinking.type",
                      "enabled, adaptive, disabled or between_tools is required");
    }
    x->r->thinking_raw = tape_raw(x->q.t, value);
    if (x->r->thinking == CANON_THINKING_ENABLED &&
        !tape_u64(x->q.t, tape_get(x->q.t, value, "budget_tokens"), &x->r->thinking_budget)) {
        return refuse(x, "thinking.budget_tokens", "a whole number is required");
    }
    return true;
}

static bool read_format(struct ask *x, uint32_t format, const char *name)
{
    uint32_t schema = tape_get(x->q.t, format, "schema");

    if (!tape_eq(x->q.t, tape_get(x->q.t, format, "type"), "json_schema") ||
        !tape_is(x->q.t, schema, SCAN_OBJECT)) {
        return refuse(x, name, "a format of type json_schema with a schema is required");
    }
    x->r->format = CANON_FORMAT_SCHEMA;
    x->r->format_name = name;
    x->r->schema = tape_raw(x->q.t, schema);
    x->r->schema_name = SLICE("output");
    x->r->schema_strict = 1;
    return true;
}

static bool read_output_config(struct ask *x, uint32_t value)
{
    uint32_t effort = tape_given(x->q.t, value, "effort");
    uint32_t format = tape_given(x->q.t, value, "format");

    if (effort != TAPE_NONE) {
        x->r->effort = canon_effort_of(tape_text(x->q.t, effort));
        if (x->r->effort == CANON_EFFORT_NOT_GIVEN) {
            return refuse(x, "output_config.effort", "low, medium, high, xhigh or max is required");
        }
    }
    return format == TAPE_NONE || read_format(x, format, "output_config.format");
}

// The older place of output_config.format.
static bool read_output_format(struct ask *x, uint32_t value)
{
    return x->r->format == CANON_FORMAT_SCHEMA || read_format(x, value, "output_format");
}

// Effort as it stands in other dialects: none is asked for unless thinking is.
static void settle_effort(struct canon_request *r)
{
    if (r->thinking == CANON_THINKING_ENABLED) {
        r->effort = canon_effort_by_budget(r->thinking_budget);
    } else if (r->thinking != CANON_THINKING_ADAPTIVE) {
        r->effort = CANON_EFFORT_NOT_GIVEN;
    } else if (r->effort == CANON_EFFORT_NOT_GIVEN) {
        r->effort = CANON_EFFORT_HIGH;
    }
    r->effort_name = "thinking";
}

// --- the rest ----------------------------------------------------------------------------------

static bool read_max_tokens(struct ask *x, uint32_t value)
{
    x->r->max_name = "max_tokens";
    if (!tape_is(x->q.t, value, SCAN_NUMBER) || !tape_u64(x->q.t, value, &x->r->max_tokens)) {
        return refuse(x, "max_tokens", "a whole number is required");
    }
    if (x->r->max_tokens == 0) { // fills the prompt cache of Anthropic's own models
        return refuse(x, "max_tokens", "0 is not supported by this provider");
    }
    x->r->max_given = true;
    return true;
}

static bool read_stop(struct ask *x, uint32_t list)
{
    size_t n = 0;

    x->r->stop_name = "stop_sequences";
    TAPE_ITEMS(x->q.t, list, i)
    {
        n++;
    }
    x->r->stop = arena_alloc(x->q.a, (n + 1) * sizeof(*x->r->stop));
    TAPE_ITEMS(x->q.t, list, i)
    {
        struct slice text = tape_text(x->q.t, i);

        if (text.p == NULL) {
            return refuse(x, "stop_sequences", "strings are required");
        }
        x->r->stop[x->r->n_stop++] = text;
    }
    return tape_is(x->q.t, list, SCAN_ARRAY) || refuse(x, "stop_sequences", "a list is required");
}

static bool read_temperature(struct ask *x, uint32_t value)
{
    x->r->temperature = param(x, value, "temperature");
    return true;
}

static bool read_top_p(struct ask *x, uint32_t value)
{
    x->r->top_p = param(x, value, "top_p");
    return true;
}

static bool read_top_k(struct ask *x, uint32_t value)
{
    x->r->top_k = param(x, value, "top_k");
    return true;
}

static bool read_metadata(struct ask *x, uint32_t value)
{
    uint32_t user = tape_given(x->q.t, value, "user_id");

    if (tape_is(x->q.t, user, SCAN_STRING)) {
        x->r->user = param(x, user, "metadata.user_id");
        x->r->user_text = tape_text(x->q.t, user);
    }
    return true;
}

// In OpenAI's words.
static bool read_service_tier(struct ask *x, uint32_t value)
{
    x->r->service_tier = param(x, value, "service_tier");
    if (tape_eq(x->q.t, value, "standard_only")) {
        x->r->service_tier.raw = SLICE("\"default\"");
    }
    return true;
}

static bool read_cache_control(struct ask *x, uint32_t value)
{
    x->r->cache_control = tape_raw(x->q.t, value);
    return true;
}

// Anthropic keeps the conversation and gets its new messages only; nobody else could answer. Its
// SDKs know this code and send the whole conversation instead.
static bool read_thread(struct ask *x, uint32_t value)
{
    (void)value;
    x->r->error_code = DIALECT_ANTHROPIC_THREADS;
    return refuse(x, "thread", "message threads are not supported by this provider");
}

static bool skip(struct ask *x, uint32_t value)
{
    (void)x;
    (void)value;
    return true;
}

static const struct {
    const char *name;
    bool (*read)(struct ask *x, uint32_t value);
} members[] = {
    {"messages", read_messages},
    {"max_tokens", read_max_tokens},
    {"tools", read_tools},
    {"tool_choice", read_tool_choice},
    {"thinking", read_thinking},
    {"output_config", read_output_config},
    {"output_format", read_output_format},
    {"stop_sequences", read_stop},
    {"temperature", read_temperature},
    {"top_p", read_top_p},
    {"top_k", read_top_k},
    {"metadata", read_metadata},
    {"service_tier", read_service_tier},
    {"cache_control", read_cache_control},
    {"thread", read_thread},
    {"system", skip}, // read before the messages
    {"model", skip},  // read by parse_request
    {"stream", skip},
    {"models", skip}, // ours and OpenRouter's
    {"provider", skip},
    {"route", skip},
    {"transforms", skip},
    {"usage", skip},
};

static void add_extra(struct ask *x, uint32_t name)
{
    static const char *const hints[] = {"context_management", "container",  "mcp_servers", "speed",
                                        "inference_geo",      "diagnostics"};
    struct canon_extra *k = arena_zalloc(x->q.a, sizeof(*k));

    k->name = tape_text(x->q.t, name);
    k->raw = tape_raw(x->q.t, name + 1);
    for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
        k->hint = k->hint || tape_eq(x->q.t, name, hints[i]);
    }
    *x->extras = k;
    x->extras = &k->next;
}

static bool read_member(struct ask *x, uint32_t name)
{
    if (tape_absent(x->q.t, name + 1)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (tape_eq(x->q.t, name, members[i].name)) {
            return members[i].read(x, name + 1);
        }
    }
    add_extra(x, name);
    return true;
}

bool dialect_anthropic_client_read(const struct dialect_request *rq, const struct tape *t,
                                   struct arena *a, struct canon_request *ret,
                                   const char **ret_param, struct err *e)
{
    struct ask x = {{t, a, ret_param, e}, ret, &ret->messages, &ret->tools, &ret->extras};
    uint32_t system = tape_given(t, 0, "system");

    if (tape_given(t, 0, "messages") == TAPE_NONE) {
        return refuse(&x, "messages", "a list is required");
    }
    if (system != TAPE_NONE && !read_system(&x, system)) {
        return false;
    }
    TAPE_MEMBERS(t, 0, i)
    {
        if (!read_member(&x, i)) {
            return false;
        }
    }
    if (!ret->max_given && rq->endpoint == DIALECT_MESSAGES) {
        return refuse(&x, "max_tokens", "a number is required");
    }
    settle_effort(ret);
    return true;
}
