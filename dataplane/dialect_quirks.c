// SPDX-License-Identifier: Apache-2.0
// One walk over the top-level members: each goes over as it is, under another name, with another
// value, or not at all. What the vendor takes in place of a member that goes is written there.
//
//   member --refuse?--> 400 --drop?--> named --own rule?--> edited --rename?--> other name -->
//   copied
#include "dataplane/dialect_quirks.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/dialect_quirks_editor.h"

// --- names -------------------------------------------------------------------------------------

static bool in_list(const char *const *list, size_t n, const struct tape *t, uint32_t name)
{
    for (size_t i = 0; i < n; i++) {
        if (tape_eq(t, name, list[i])) {
            return true;
        }
    }
    return false;
}

// What the client calls a member of the body.
static const char *client_name(const struct dialect_quirks_editor *e, uint32_t name)
{
    const struct canon_request *r = e->r;
    struct slice text = tape_text(e->t, name);

    if (r != NULL) {
        const struct {
            const char *ours, *theirs;
        } names[] = {
            {"stop", r->stop_name},
            {"reasoning_effort", r->effort_name},
            {"response_format", r->format_name},
            {"max_tokens", r->max_name},
            {"max_completion_tokens", r->max_name},
            {"user",
             r->user.raw.p == NULL && r->endpoint == DIALECT_MESSAGES ? "metadata.user_id" : NULL},
            {"parallel_tool_calls",
             r->endpoint == DIALECT_MESSAGES ? "tool_choice.disable_parallel_tool_use" : NULL},
        };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            if (slice_eq_str(text, names[i].ours) && names[i].theirs != NULL) {
                return names[i].theirs;
            }
        }
    }
    return arena_strndup(e->a, text.p, text.n);
}

static const char *new_name(const struct dialect_quirks_editor *e, uint32_t name)
{
    for (size_t i = 0; i < e->q->n_rename; i++) {
        if (tape_eq(e->t, name, e->q->rename[i].name)) {
            return e->q->rename[i].value;
        }
    }
    return NULL;
}

// --- writing -----------------------------------------------------------------------------------

static void begin(struct dialect_quirks_editor *e, uint32_t name)
{
    const char *other = new_name(e, name);

    if (other != NULL) {
        jwrite_name(&e->w, other);
        e->touched = true;
    } else {
        jwrite_name_text(&e->w, tape_text(e->t, name));
    }
}

static void keep(struct dialect_quirks_editor *e, uint32_t name)
{
    begin(e, name);
    jwrite_raw(&e->w, tape_raw(e->t, name + 1));
}

static void change(struct dialect_quirks_editor *e, uint32_t name, struct slice value)
{
    begin(e, name);
    jwrite_raw(&e->w, value);
    e->touched = true;
}

static void drop(struct dialect_quirks_editor *e, uint32_t name)
{
    e->touched = true;
    if (!tape_absent(e->t, name + 1)) {
        canon_drop(e->o, client_name(e, name));
    }
}

// --- numbers -----------------------------------------------------------------------------------

static bool number_of(const struct dialect_quirks_editor *e, uint32_t value, double *ret)
{
    struct slice raw = tape_raw(e->t, value);
    char text[40];

    if (!tape_is(e->t, value, SCAN_NUMBER) || raw.n >= sizeof(text)) {
        return false;
    }
    memcpy(text, raw.p, raw.n);
    text[raw.n] = '\0';
    *ret = strtod(text, NULL);
    return true;
}

static struct slice thousandths(struct arena *a, uint32_t v)
{
    struct slice out = slice_str(v % 1000 == 0 ? arena_printf(a, "%u", v / 1000)
                                               : arena_printf(a, "%u.%03u", v / 1000, v % 1000));

    while (v % 1000 != 0 && slice_ends(out, SLICE("0"))) {
        out.n--;
    }
    return out;
}

// Between the vendor's bounds; max 0: none.
static void clamp(struct dialect_quirks_editor *e, uint32_t name, uint32_t min, uint32_t max)
{
    double v;

    if (!number_of(e, name + 1, &v)) {
        keep(e, name);
    } else if (v * 1000.0 < (double)min) {
        change(e, name, thousandths(e->a, min));
    } else if (max != 0 && v * 1000.0 > (double)max) {
        change(e, name, thousandths(e->a, max));
    } else {
        keep(e, name);
    }
}

// The model takes the default only.
static bool refuses_sampling(const struct dialect_quirks_editor *e, uint32_t value)
{
    double v;

    if (!dialect_quirks_model(e, RESOURCE_NO_SAMPLING) ||
        (dialect_quirks_model(e, RESOURCE_SAMPLING_UNREASONED) && e->effort == CANON_EFFORT_NONE)) {
        return false;
    }
    return !number_of(e, value, &v) || v < 1.0 || v > 1.0;
}

static void edit_temperature(struct dialect_quirks_editor *e, uint32_t name)
{
    if (refuses_sampling(e, name + 1)) {
        drop(e, name);
    } else {
        clamp(e, name, e->q->temperature_min, e->q->temperature_max);
    }
}

static void edit_top_p(struct dialect_quirks_editor *e, uint32_t name)
{
    if (refuses_sampling(e, name + 1)) {
        drop(e, name);
    } else {
        clamp(e, name, 0, e->q->top_p_max);
    }
}

// --- the bound of an answer --------------------------------------------------------------------

static const char *bound_name(const struct dialect_quirks_editor *e, uint32_t name)
{
    if (!e->chat) { // the newer name is Chat Completions'
        return "max_tokens";
    }
    if (dialect_quirks_model(e, RESOURCE_COMPLETION_TOKENS)) {
        return "max_completion_tokens";
    }
    switch ((enum resource_max_tokens)e->q->max_tokens_name) {
    case RESOURCE_MAX_TOKENS:
        return "max_tokens";
    case RESOURCE_MAX_COMPLETION_TOKENS:
        return "max_completion_tokens";
    case RESOURCE_MAX_TOKENS_EITHER:
        break;
    }
    return tape_eq(e->t, name, "max_tokens") ? "max_tokens" : "max_completion_tokens";
}

static void edit_max_tokens(struct dialect_quirks_editor *e, uint32_t name)
{
    const char *wanted = bound_name(e, name);
    uint64_t v = 0;

    // Of two one is sent: the newer name's.
    if (tape_eq(e->t, name, "max_tokens") &&
        tape_given(e->t, 0, "max_completion_tokens") != TAPE_NONE) {
        e->touched = true;
        return;
    }
    e->touched = e->touched || !tape_eq(e->t, name, wanted);
    jwrite_name(&e->w, wanted);
    if (!e->stream && e->q->plain_max_tokens != 0 && tape_u64(e->t, name + 1, &v) &&
        v > e->q->plain_max_tokens) {
        jwrite_u64(&e->w, e->q->plain_max_tokens);
        e->touched = true;
    } else {
        jwrite_raw(&e->w, tape_raw(e->t, name + 1));
    }
}

static void edit_stop(struct dialect_quirks_editor *e, uint32_t name)
{
    uint32_t n = 0;

    TAPE_ITEMS(e->t, name + 1, i)
    {
        n++;
    }
    if (e->q->stop_max == 0 || n <= e->q->stop_max) {
        keep(e, name);
        return;
    }
    e->touched = true;
    begin(e, name);
    jwrite_array(&e->w);
    n = 0;
    TAPE_ITEMS(e->t, name + 1, i)
    {
        if (n++ < e->q->stop_max) {
            jwrite_raw(&e->w, tape_raw(e->t, i));
        }
    }
    jwrite_array_end(&e->w);
}

// --- tools -------------------------------------------------------------------------------------

static uint32_t choices_taken(const struct dialect_quirks_editor *e)
{
    uint32_t all = RESOURCE_CHOICE_AUTO | RESOURCE_CHOICE_NONE | RESOURCE_CHOICE_REQUIRED |
                   RESOURCE_CHOICE_NAMED;
    uint32_t taken = e->q->tool_choices == 0 ? all : e->q->tool_choices;

    return dialect_quirks_model(e, RESOURCE_NO_FORCED_TOOLS)
               ? taken & ~(uint32_t)(RESOURCE_CHOICE_REQUIRED | RESOURCE_CHOICE_NAMED)
               : taken;
}

static uint32_t choice_of(const struct tape *t, uint32_t value)
{
    if (tape_eq(t, value, "none")) {
        return RESOURCE_CHOICE_NONE;
    }
    if (tape_eq(t, value, "required") || tape_eq(t, value, "any")) {
        return RESOURCE_CHOICE_REQUIRED;
    }
    return tape_is(t, value, SCAN_OBJECT) ? RESOURCE_CHOICE_NAMED : RESOURCE_CHOICE_AUTO;
}

static struct slice tool_name(const struct tape *t, uint32_t tool)
{
    uint32_t inner = tape_given(t, tool, "function");

    inner = inner == TAPE_NONE ? tape_get(t, tool, "custom") : inner;
    return tape_get_text(t, inner, "name");
}

// Before the walk: which tools a choice leaves, that cannot be said otherwise.
static void plan_tools(struct dialect_quirks_editor *e)
{
    uint32_t choice = tape_given(e->t, 0, "tool_choice");
    uint32_t taken = choices_taken(e);

    if (choice == TAPE_NONE || (choice_of(e->t, choice) & taken) != 0) {
        return;
    }
    if (choice_of(e->t, choice) == RESOURCE_CHOICE_NAMED) {
        e->only = tool_name(e->t, choice);
    }
    e->no_tools = choice_of(e->t, choice) == RESOURCE_CHOICE_NONE;
}

// A choice the vendor does not take becomes the nearest one; named to the client where that is
// weaker.
static void edit_choice(struct dialect_quirks_editor *e, uint32_t name)
{
    uint32_t choice = choice_of(e->t, name + 1), taken = choices_taken(e);

    if ((choice & taken) != 0) {
        keep(e, name);
    } else if (choice == RESOURCE_CHOICE_NONE) {
        e->touched = true; // the tools go
    } else if (choice == RESOURCE_CHOICE_NAMED && (taken & RESOURCE_CHOICE_REQUIRED) != 0) {
        change(e, name, SLICE("\"required\""));
    } else {
        canon_drop(e->o, client_name(e, name));
        change(e, name, SLICE("\"auto\""));
    }
}

// A copy without some members; name TAPE-wise at i.
static void copy_without(struct dialect_quirks_editor *e, uint32_t object, const char *a,
                         const char *b)
{
    jwrite_object(&e->w);
    TAPE_MEMBERS(e->t, object, i)
    {
        if (tape_eq(e->t, i, a) || (b != NULL && tape_eq(e->t, i, b))) {
            e->touched = true;
        } else {
            jwrite_name_text(&e->w, tape_text(e->t, i));
            jwrite_raw(&e->w, tape_raw(e->t, i + 1));
        }
    }
    jwrite_object_end(&e->w);
}

static void edit_tool(struct dialect_quirks_editor *e, uint32_t tool)
{
    bool marks = dialect_quirks_has(e, RESOURCE_TAKES_CACHE_CONTROL);
    bool strict = !dialect_quirks_has(e, RESOURCE_NO_TOOL_STRICT);

    if (!tape_is(e->t, tool, SCAN_OBJECT) || (marks && strict)) {
        jwrite_raw(&e->w, tape_raw(e->t, tool));
        return;
    }
    jwrite_object(&e->w);
    TAPE_MEMBERS(e->t, tool, i)
    {
        if (!marks && tape_eq(e->t, i, "cache_control")) {
            e->touched = true;
            continue;
        }
        jwrite_name_text(&e->w, tape_text(e->t, i));
        if (tape_eq(e->t, i, "function") && tape_is(e->t, i + 1, SCAN_OBJECT)) {
            copy_without(e, i + 1, marks ? "strict" : "cache_control", strict ? NULL : "strict");
        } else {
            jwrite_raw(&e->w, tape_raw(e->t, i + 1));
        }
    }
    jwrite_object_end(&e->w);
}

static void edit_tools(struct dialect_quirks_editor *e, uint32_t name)
{
    if (e->no_tools) {
        e->touched = true;
        return;
    }
    if (dialect_quirks_model(e, RESOURCE_NO_TOOLS) && tape_first(e->t, name + 1) != TAPE_NONE) {
        e->touched = true;
        e->failed =
            !canon_refuse(e->o, e->target, "tools", "tools are not supported by this model");
        return;
    }
    begin(e, name);
    if (!tape_is(e->t, name + 1, SCAN_ARRAY)) {
        jwrite_raw(&e->w, tape_raw(e->t, name + 1));
        return;
    }
    jwrite_array(&e->w);
    TAPE_ITEMS(e->t, name + 1, i)
    {
        if (e->only.p == NULL || slice_eq(tool_name(e->t, i), e->only)) {
            edit_tool(e, i);
        } else {
            e->touched = true;
        }
    }
    jwrite_array_end(&e->w);
}

// --- form of the answer ------------------------------------------------------------------------

static bool takes_format(const struct dialect_quirks_editor *e, uint32_t format)
{
    return e->q->formats == 0 || (e->q->formats & format) != 0;
}

static uint32_t format_of(const struct dialect_quirks_editor *e, uint32_t value)
{
    uint32_t type = tape_get(e->t, value, "type");

    return tape_eq(e->t, type, "json_schema")   ? RESOURCE_FORMAT_JSON_SCHEMA
           : tape_eq(e->t, type, "json_object") ? RESOURCE_FORMAT_JSON_OBJECT
                                                : RESOURCE_FORMAT_TEXT;
}

// Before the walk: a schema that the vendor takes in words only.
static void plan_format(struct dialect_quirks_editor *e)
{
    uint32_t format = tape_given(e->t, 0, "response_format"), schema;

    if (format_of(e, format) == RESOURCE_FORMAT_JSON_SCHEMA &&
        !takes_format(e, RESOURCE_FORMAT_JSON_SCHEMA)) {
        schema = tape_get(e->t, tape_get(e->t, format, "json_schema"), "schema");
        e->schema = tape_raw(e->t, schema);
    }
}

static void put_strict_schema(struct dialect_quirks_editor *e, uint32_t name)
{
    uint32_t at = tape_get(e->t, name + 1, "json_schema");

    if (!tape_is(e->t, at, SCAN_OBJECT) || tape_true(e->t, tape_get(e->t, at, "strict"))) {
        keep(e, name);
        return;
    }
    e->touched = true;
    begin(e, name);
    jwrite_object(&e->w);
    jwrite_string_in(&e->w, "type", SLICE("json_schema"));
    jwrite_object_in(&e->w, "json_schema");
    TAPE_MEMBERS(e->t, at, i)
    {
        if (!tape_eq(e->t, i, "strict")) {
            jwrite_name_text(&e->w, tape_text(e->t, i));
            jwrite_raw(&e->w, tape_raw(e->t, i + 1));
        }
    }
    jwrite_bool_in(&e->w, "strict", true);
    jwrite_object_end(&e->w);
    jwrite_object_end(&e->w);
}

static void edit_format(struct dialect_quirks_editor *e, uint32_t name)
{
    uint32_t format = format_of(e, name + 1);

    if (takes_format(e, format)) {
        if (format == RESOURCE_FORMAT_JSON_SCHEMA &&
            dialect_quirks_has(e, RESOURCE_SCHEMA_STRICT)) {
            put_strict_schema(e, name);
        } else {
            keep(e, name);
        }
        return;
    }
    drop(e, name);
    if (format == RESOURCE_FORMAT_JSON_SCHEMA && takes_format(e, RESOURCE_FORMAT_JSON_OBJECT)) {
        jwrite_object_in(&e->w, "response_format");
        jwrite_string_in(&e->w, "type", SLICE("json_object"));
        jwrite_object_end(&e->w);
    }
}

// --- members -----------------------------------------------------------------------------------

static void edit_effort(struct dialect_quirks_editor *e, uint32_t name)
{
    if (e->effort == CANON_EFFORT_NOT_GIVEN) {
        keep(e, name); // a word of the vendor's own
    } else {
        dialect_quirks_reason_effort(e, name + 1);
    }
}

static void edit_messages(struct dialect_quirks_editor *e, uint32_t name)
{
    jwrite_name(&e->w, "messages");
    if (tape_is(e->t, name + 1, SCAN_ARRAY)) {
        dialect_quirks_message_list(e, name + 1);
    } else {
        jwrite_raw(&e->w, tape_raw(e->t, name + 1));
    }
}

static void edit_stream_options(struct dialect_quirks_editor *e, uint32_t name)
{
    if (e->target->no_stream_usage) {
        e->touched = true; // it is metered from what it sends
    } else {
        keep(e, name);
    }
}

static const struct own {
    const char *name;
    void (*edit)(struct dialect_quirks_editor *e, uint32_t name);
} owns[] = {
    {"messages", edit_messages},
    {"max_tokens", edit_max_tokens},
    {"max_completion_tokens", edit_max_tokens},
    {"temperature", edit_temperature},
    {"top_p", edit_top_p},
    {"stop", edit_stop},
    {"tools", edit_tools},
    {"tool_choice", edit_choice},
    {"response_format", edit_format},
    {"reasoning_effort", edit_effort},
    {"stream_options", edit_stream_options},
};

static bool is_neutral(const struct dialect_quirks_editor *e, uint32_t name)
{
    uint32_t value = name + 1;
    uint64_t n = 0;

    if (tape_eq(e->t, name, "n")) {
        return tape_u64(e->t, value, &n) && n == 1;
    }
    return tape_is(e->t, value, SCAN_ARRAY) && tape_first(e->t, value) == TAPE_NONE;
}

static void refuse(struct dialect_quirks_editor *e, uint32_t name)
{
    const char *param = client_name(e, name);

    e->touched = true;
    if (!is_neutral(e, name)) {
        e->failed =
            !canon_refuse(e->o, e->target, param, "%s%s not supported by this provider", param,
                          strcmp(param, "n") == 0                    ? " > 1 is"
                          : slice_ends(slice_str(param), SLICE("s")) ? " are"
                                                                     : " is");
    }
}

static void edit_member(struct dialect_quirks_editor *e, uint32_t name)
{
    if (tape_absent(e->t, name + 1)) {
        keep(e, name);
    } else if (in_list(e->q->refuse, e->q->n_refuse, e->t, name)) {
        refuse(e, name);
    } else if (in_list(e->q->drop, e->q->n_drop, e->t, name) ||
               (e->tr != NULL && in_list(e->tr->drop, e->tr->n_drop, e->t, name))) {
        drop(e, name);
    } else {
        for (size_t i = 0; i < ARRAY_LEN(owns); i++) {
            if (tape_eq(e->t, name, owns[i].name)) {
                owns[i].edit(e, name);
                return;
            }
        }
        keep(e, name);
    }
}

static void edit_top(struct dialect_quirks_editor *e)
{
    jwrite_object(&e->w);
    TAPE_MEMBERS(e->t, 0, i)
    {
        if (!e->failed) {
            edit_member(e, i);
        }
    }
    // MiniMax mixes thoughts into the text unless asked not to; a translated answer tells them
    // apart.
    if (e->r != NULL && e->q->reasoning == RESOURCE_REASONING_SPLIT &&
        tape_given(e->t, 0, "reasoning_effort") == TAPE_NONE) {
        jwrite_bool_in(&e->w, "reasoning_split", true);
        e->touched = true;
    }
    jwrite_object_end(&e->w);
}

static enum dialect_quirks_result edit(struct dialect_quirks_editor *e, struct buf *out)
{
    struct buf made;

    plan_tools(e);
    plan_format(e);
    e->stream = tape_true(e->t, tape_get(e->t, 0, "stream"));
    e->effort = canon_effort_of(tape_text(e->t, tape_get(e->t, 0, "reasoning_effort")));
    buf_init(&made, SIZE_MAX);
    e->w = jwrite_to(&made);
    edit_top(e);
    if (e->touched && !e->failed) {
        buf_append(out, buf_slice(&made));
    }
    buf_done(&made);
    return e->failed    ? DIALECT_QUIRKS_REFUSED
           : e->touched ? DIALECT_QUIRKS_EDITED
                        : DIALECT_QUIRKS_NONE;
}

static bool has_body(enum dialect_endpoint ep)
{
    return ep == DIALECT_CHAT || ep == DIALECT_MESSAGES || ep == DIALECT_COMPLETIONS ||
           ep == DIALECT_EMBEDDINGS;
}

enum dialect_quirks_result dialect_quirks_edit(struct slice body, enum dialect_endpoint ep,
                                               const struct canon_request *r,
                                               const struct canon_target *t,
                                               struct canon_outcome *o, struct buf *out)
{
    enum dialect_quirks_result result = DIALECT_QUIRKS_NONE;
    struct tape tape = {.tokens = NULL};
    struct dialect_quirks_editor e = {.t = &tape,
                                      .q = t->quirks,
                                      .tr = t->traits,
                                      .target = t,
                                      .r = r,
                                      .o = o,
                                      .a = o->arena,
                                      .chat = ep != DIALECT_COMPLETIONS || r != NULL};

    if (t->quirks != NULL && has_body(ep) && tape_parse(&tape, body, NULL) &&
        tape_is(&tape, 0, SCAN_OBJECT)) {
        result = edit(&e, out);
    }
    tape_done(&tape);
    return result;
}

// --- looking before ----------------------------------------------------------------------------

static bool named(const char *const *list, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_eq_str(name, list[i])) {
            return true;
        }
    }
    return false;
}

// Could the target want this member of the top otherwise?
static bool may_touch_member(const struct canon_target *t, const struct scan_member *m)
{
    static const char *const sampling[] = {"temperature", "top_p"};
    const struct resource_quirks *q = t->quirks;
    const struct resource_traits *tr = t->traits;
    uint64_t traits = tr == NULL ? 0 : tr->flags;
    struct slice name = m->key;

    if (named(q->drop, q->n_drop, name) || named(q->refuse, q->n_refuse, name) ||
        (tr != NULL && named(tr->drop, tr->n_drop, name))) {
        return true;
    }
    for (size_t i = 0; i < q->n_rename; i++) {
        if (slice_eq_str(name, q->rename[i].name)) {
            return true;
        }
    }
    if (named(sampling, ARRAY_LEN(sampling), name)) {
        return (traits & RESOURCE_NO_SAMPLING) != 0 || q->temperature_min != 0 ||
               q->temperature_max != 0 || q->top_p_max != 0;
    }
    if (slice_eq_str(name, "max_tokens")) {
        return q->max_tokens_name == RESOURCE_MAX_COMPLETION_TOKENS || q->plain_max_tokens != 0 ||
               (traits & RESOURCE_COMPLETION_TOKENS) != 0;
    }
    if (slice_eq_str(name, "max_completion_tokens")) {
        return q->max_tokens_name == RESOURCE_MAX_TOKENS || q->plain_max_tokens != 0;
    }
    if (slice_eq_str(name, "tools")) {
        return (traits & RESOURCE_NO_TOOLS) != 0 || (q->flags & RESOURCE_NO_TOOL_STRICT) != 0;
    }
    return (slice_eq_str(name, "stop") && q->stop_max != 0 && m->type == SCAN_ARRAY) ||
           (slice_eq_str(name, "tool_choice") &&
            (q->tool_choices != 0 || (traits & RESOURCE_NO_FORCED_TOOLS) != 0)) ||
           (slice_eq_str(name, "response_format") &&
            (q->formats != 0 || (q->flags & RESOURCE_SCHEMA_STRICT) != 0)) ||
           (slice_eq_str(name, "reasoning_effort") &&
            (q->reasoning != RESOURCE_REASONING_EFFORT || q->n_efforts > 0 ||
             (tr != NULL && tr->n_efforts > 0))) ||
           (slice_eq_str(name, "stream_options") && t->no_stream_usage);
}

static bool mentions(struct slice body, const char *word)
{
    return memmem(body.p, body.n, word, strlen(word)) != NULL;
}

// Quirks that are in the messages.
static bool may_touch_messages(const struct resource_quirks *q, struct slice body)
{
    const uint64_t always = RESOURCE_ALTERNATE_ROLES | RESOURCE_LAST_USER | RESOURCE_FLATTEN_TEXT |
                            RESOURCE_NO_MESSAGE_NAMES;
    const struct {
        bool wanted;
        const char *word;
    } words[] = {
        {(q->flags & RESOURCE_NO_DEVELOPER_ROLE) != 0, "\"developer\""},
        {(q->flags & RESOURCE_TAKES_CACHE_CONTROL) == 0, "\"cache_control\""},
        {(q->flags & (RESOURCE_NO_IMAGES | RESOURCE_IMAGE_DATA_ONLY)) != 0, "\"image_url\""},
        {(q->flags & RESOURCE_NO_AUDIO) != 0, "\"input_audio\""},
        {(q->flags & RESOURCE_NO_FILES) != 0, "\"file\""},
        {q->tool_id_length != 0, "\"tool_calls\""},
        {q->prefill != NULL, "\"assistant\""},
        {true, "\"reasoning"}, // reasoning_content, reasoning, reasoning_details
        {true, "\"thinking_blocks\""},
    };

    if ((q->flags & always) != 0) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (words[i].wanted && mentions(body, words[i].word)) {
            return true;
        }
    }
    return false;
}

bool dialect_quirks_may_touch(const struct scan_object *top, struct slice body,
                              const struct canon_target *t)
{
    if (t->quirks == NULL) {
        return false;
    }
    if (scan_find(top, "max_tokens") != NULL && scan_find(top, "max_completion_tokens") != NULL) {
        return true; // one is sent
    }
    for (size_t i = 0; i < top->n; i++) {
        if (top->members[i].type != SCAN_NULL && may_touch_member(t, &top->members[i])) {
            return true;
        }
    }
    return may_touch_messages(t->quirks, body);
}
