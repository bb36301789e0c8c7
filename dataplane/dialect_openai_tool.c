// SPDX-License-Identifier: Apache-2.0
// Every tool is read by its type; what is neither a function nor custom is kept as its provider's
// own.
#include "dataplane/dialect_openai_tool.h"

#include <string.h>

struct reader {
    const struct tape *t;
    struct arena *a;
    struct canon_request *r;
    const char **ret_param;
    struct err *e;
};

static bool fail(struct reader *in, const char *param, const char *what)
{
    *in->ret_param = param;
    return err_set(in->e, ERR_INVALID, "%s %s", param, what);
}

// --- tools -------------------------------------------------------------------------------------

static bool read_function(struct reader *in, uint32_t function, const char *at,
                          struct canon_tool *tool)
{
    const struct tape *t = in->t;
    uint32_t parameters = tape_given(t, function, "parameters");
    uint32_t strict = tape_given(t, function, "strict");

    tool->name = tape_get_text(t, function, "name");
    tool->description = tape_get_text(t, function, "description");
    tool->strict = strict == TAPE_NONE ? -1 : tape_true(t, strict);
    if (tool->name.n == 0) {
        return fail(in, arena_printf(in->a, "%s.name", at), "must be a string that is not empty");
    }
    if (parameters != TAPE_NONE && !tape_is(t, parameters, SCAN_OBJECT)) {
        return fail(in, arena_printf(in->a, "%s.parameters", at), "must be an object");
    }
    tool->parameters = tape_raw(t, parameters);
    return true;
}

static bool read_custom(struct reader *in, uint32_t custom, const char *at, struct canon_tool *tool)
{
    tool->kind = CANON_CUSTOM;
    tool->name = tape_get_text(in->t, custom, "name");
    tool->description = tape_get_text(in->t, custom, "description");
    return tool->name.n > 0 || fail(in, arena_printf(in->a, "%s.custom.name", at),
                                    "must be a string that is not empty");
}

// A tool of Google's, which has no type but its only member's name: {"googleSearch": {}}.
static struct slice google_type(const struct tape *t, uint32_t value)
{
    static const char *const names[] = {"googleSearch",
                                        "google_search",
                                        "googleMaps",
                                        "google_maps",
                                        "urlContext",
                                        "url_context",
                                        "codeExecution",
                                        "code_execution",
                                        "googleSearchRetrieval",
                                        "google_search_retrieval"};
    uint32_t name = tape_first(t, value);

    for (size_t i = 0; name != TAPE_NONE && i < ARRAY_LEN(names); i++) {
        if (tape_eq(t, name, names[i]) && tape_after(t, value, name + 1) == TAPE_NONE) {
            return slice_str(names[i]);
        }
    }
    return SLICE_NULL;
}

static bool read_tool(struct reader *in, uint32_t value, const char *at, struct canon_tool *tool)
{
    const struct tape *t = in->t;
    uint32_t type = tape_given(t, value, "type"), function = tape_get(t, value, "function");

    tool->raw = tape_raw(t, value);
    if (tape_eq(t, type, "function") || (type == TAPE_NONE && function != TAPE_NONE)) {
        return read_function(in, function, arena_printf(in->a, "%s.function", at), tool);
    }
    if (tape_eq(t, type, "custom")) {
        return read_custom(in, tape_get(t, value, "custom"), at, tool);
    }
    tool->kind = CANON_TYPED;
    tool->type = type == TAPE_NONE ? google_type(t, value) : tape_text(t, type);
    tool->google = type == TAPE_NONE;
    tool->name = tape_get_text(t, value, "name");
    return tool->type.n > 0 ||
           fail(in, arena_printf(in->a, "%s.type", at), "must be a string that is not empty");
}

bool dialect_openai_tool_list(const struct tape *t, uint32_t list, const char *member,
                              struct arena *a, struct canon_request *r, const char **ret_param,
                              struct err *e)
{
    struct reader in = {t, a, r, ret_param, e};
    struct canon_tool **tail = &r->tools;
    bool old = strcmp(member, "functions") == 0;
    unsigned k = 0;

    if (!tape_is(t, list, SCAN_ARRAY)) {
        return fail(&in, member, "must be an array");
    }
    TAPE_ITEMS(t, list, i)
    {
        const char *at = arena_printf(a, "%s[%u]", member, k++);
        struct canon_tool *tool = arena_zalloc(a, sizeof(*tool));
        uint32_t mark = tape_given(t, i, "cache_control");

        tool->strict = -1;
        if (!tape_is(t, i, SCAN_OBJECT)) {
            return fail(&in, at, "must be an object");
        }
        if (!(old ? read_function(&in, i, at, tool) : read_tool(&in, i, at, tool))) {
            return false;
        }
        if (mark == TAPE_NONE) {
            mark = tape_given(t, tape_get(t, i, "function"), "cache_control");
        }
        tool->cache_control = tape_raw(t, mark);
        *tail = tool;
        tail = &tool->next;
    }
    return true;
}

// --- choice ------------------------------------------------------------------------------------

// Name of a {type: function, function: {name}} or {type: custom, custom: {name}}.
static struct slice name_of(const struct tape *t, uint32_t choice)
{
    uint32_t inner = tape_given(t, choice, "function");

    inner = inner == TAPE_NONE ? tape_get(t, choice, "custom") : inner;
    return tape_get_text(t, inner, "name");
}

static bool take_name(struct reader *in, struct slice name, const char *param)
{
    if (name.n == 0) {
        return fail(in, param, "must name a function");
    }
    in->r->choice = CANON_CHOICE_NAMED;
    in->r->names = arena_alloc(in->a, sizeof(*in->r->names));
    in->r->names[0] = name;
    in->r->n_names = 1;
    return true;
}

static bool read_allowed(struct reader *in, uint32_t allowed)
{
    const struct tape *t = in->t;
    uint32_t tools = tape_get(t, allowed, "tools");
    size_t n = 0;

    TAPE_ITEMS(t, tools, i)
    {
        n++;
    }
    in->r->choice = CANON_CHOICE_ALLOWED;
    in->r->choice_required = tape_eq(t, tape_get(t, allowed, "mode"), "required");
    in->r->names = arena_alloc(in->a, (n + 1) * sizeof(*in->r->names));
    TAPE_ITEMS(t, tools, i)
    {
        struct slice name = name_of(t, i);

        if (name.n == 0) {
            return fail(in, "tool_choice.allowed_tools.tools", "must name functions");
        }
        in->r->names[in->r->n_names++] = name;
    }
    return n > 0 || fail(in, "tool_choice.allowed_tools.tools", "must be a list of functions");
}

static bool take_word(struct reader *in, uint32_t choice, bool old)
{
    static const struct {
        const char *word;
        enum canon_choice choice;
    } words[] = {{"auto", CANON_CHOICE_AUTO},
                 {"none", CANON_CHOICE_NONE},
                 {"required", CANON_CHOICE_REQUIRED},
                 {"any", CANON_CHOICE_REQUIRED}}; // Mistral's word

    for (size_t i = 0; i < (old ? 2 : ARRAY_LEN(words)); i++) {
        if (tape_eq(in->t, choice, words[i].word)) {
            in->r->choice = words[i].choice;
            return true;
        }
    }
    return false;
}

bool dialect_openai_tool_choice(const struct tape *t, uint32_t choice, struct arena *a,
                                struct canon_request *r, const char **ret_param, struct err *e)
{
    struct reader in = {t, a, r, ret_param, e};
    uint32_t type = tape_get(t, choice, "type");

    r->tool_choice = (struct canon_param){tape_raw(t, choice), "tool_choice"};
    if (take_word(&in, choice, false)) {
        return true;
    }
    if (tape_eq(t, type, "allowed_tools")) {
        return read_allowed(&in, tape_get(t, choice, "allowed_tools"));
    }
    if (tape_eq(t, type, "function") || tape_eq(t, type, "custom")) {
        return take_name(&in, name_of(t, choice), "tool_choice.function.name");
    }
    return fail(&in, "tool_choice",
                "must be auto, none, required, a function or a list of allowed ones");
}

bool dialect_openai_tool_function_choice(const struct tape *t, uint32_t choice, struct arena *a,
                                         struct canon_request *r, const char **ret_param,
                                         struct err *e)
{
    struct reader in = {t, a, r, ret_param, e};

    r->tool_choice = (struct canon_param){tape_raw(t, choice), "function_call"};
    if (take_word(&in, choice, true)) {
        return true;
    }
    if (tape_is(t, choice, SCAN_OBJECT)) {
        return take_name(&in, tape_get_text(t, choice, "name"), "function_call.name");
    }
    return fail(&in, "function_call", "must be auto, none or name a function");
}
