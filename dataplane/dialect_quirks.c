// SPDX-License-Identifier: Apache-2.0
// One walk over the top-level members: each goes over as it is, under another name, with another
// value, or not at all. What the vendor takes in place of a member that goes is written there.
//
//   member --refuse?--> 400 --drop?--> named --rule?--> edited --rename?--> renamed --> copied
#include "dataplane/dialect_quirks.h"

#include <string.h>

#include "dataplane/dialect_quirks_editor.h"

static bool in_list(const char *const *list, size_t n, const struct tape *t, uint32_t name)
{
    for (size_t i = 0; i < n; i++) {
        if (tape_eq(t, name, list[i])) {
            return true;
        }
    }
    return false;
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
        dialect_quirks_editor_keep(e, name);
        return;
    }
    e->touched = true;
    dialect_quirks_editor_begin(e, name);
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
            dialect_quirks_editor_keep(e, name);
        }
        return;
    }
    dialect_quirks_editor_drop(e, name);
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
        dialect_quirks_editor_keep(e, name); // a word of the vendor's own
    } else {
        dialect_quirks_reason_effort(e, name + 1);
    }
}

// OpenRouter's object, at a vendor that does not know it: what it asks for, in the vendor's form.
static bool knows_reasoning(const struct resource_quirks *q)
{
    for (size_t i = 0; i < q->n_takes; i++) {
        if (strcmp(q->takes[i], "reasoning") == 0) {
            return true;
        }
    }
    return q->reasoning == RESOURCE_REASONING_OBJECT;
}

static enum canon_effort effort_of(const struct tape *t)
{
    uint32_t reasoning = tape_given(t, 0, "reasoning"), effort = tape_get(t, reasoning, "effort");
    uint32_t enabled = tape_given(t, reasoning, "enabled");
    uint64_t budget;

    if (tape_given(t, 0, "reasoning_effort") != TAPE_NONE) {
        return canon_effort_of(tape_text(t, tape_get(t, 0, "reasoning_effort")));
    }
    if (tape_u64(t, tape_get(t, reasoning, "max_tokens"), &budget)) {
        return canon_effort_by_budget(budget);
    }
    if (!tape_absent(t, effort) || enabled == TAPE_NONE) {
        return canon_effort_of(tape_text(t, effort));
    }
    return tape_true(t, enabled) ? CANON_EFFORT_MEDIUM : CANON_EFFORT_NONE;
}

static void edit_reasoning(struct dialect_quirks_editor *e, uint32_t name)
{
    if (knows_reasoning(e->q) || !tape_is(e->t, name + 1, SCAN_OBJECT)) {
        dialect_quirks_editor_keep(e, name);
        return;
    }
    e->touched = true;
    if (tape_given(e->t, 0, "reasoning_effort") != TAPE_NONE ||
        e->effort == CANON_EFFORT_NOT_GIVEN) {
        return; // it is said elsewhere, or nothing is asked for
    }
    if (e->q->reasoning == RESOURCE_REASONING_NONE ||
        (e->tr != NULL && e->tr->thinking == RESOURCE_THINKING_NONE)) {
        if (e->effort != CANON_EFFORT_NONE) {
            canon_drop(e->o, "reasoning");
        }
    } else {
        dialect_quirks_reason_effort(e, TAPE_NONE);
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

// A name of the end user that is too short or too long goes.
static void edit_user(struct dialect_quirks_editor *e, uint32_t name)
{
    struct slice user = jtext_decode(tape_text(e->t, name + 1), e->a);
    size_t n = 0;

    for (size_t i = 0; i < user.n; i++) {
        n += ((unsigned char)user.p[i] & 0xC0) != 0x80; // no continuation byte
    }
    if (n < e->q->user_min || (e->q->user_max != 0 && n > e->q->user_max)) {
        dialect_quirks_editor_drop(e, name);
    } else {
        dialect_quirks_editor_keep(e, name);
    }
}

// A stream that the client did not ask for: the model answers nothing else, or the vendor wants one
// for an answer of this length.
static bool must_stream(const struct dialect_quirks_editor *e)
{
    static const char *const bounds[] = {"max_completion_tokens", "max_tokens"};
    uint64_t most = 0;

    if (!e->chat || e->stream) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(bounds) && most == 0; i++) {
        (void)!tape_u64(e->t, tape_get(e->t, 0, bounds[i]), &most);
    }
    return dialect_quirks_model(e, RESOURCE_STREAM_ONLY) ||
           (e->q->plain_max_tokens != 0 && most > e->q->plain_max_tokens);
}

static void put_stream(struct dialect_quirks_editor *e)
{
    e->touched = e->o->streams = true;
    jwrite_bool_in(&e->w, "stream", true);
    if (!e->target->no_stream_usage) {
        jwrite_object_in(&e->w, "stream_options");
        jwrite_bool_in(&e->w, "include_usage", true);
        jwrite_object_end(&e->w);
    }
}

static void edit_stream_options(struct dialect_quirks_editor *e, uint32_t name)
{
    if (e->target->no_stream_usage) {
        e->touched = true; // it is metered from what it sends
    } else {
        dialect_quirks_editor_keep(e, name);
    }
}

static const struct own {
    const char *name;
    void (*edit)(struct dialect_quirks_editor *e, uint32_t name);
} owns[] = {
    {"messages", edit_messages},
    {"max_tokens", dialect_quirks_number_max_tokens},
    {"max_completion_tokens", dialect_quirks_number_max_tokens},
    {"temperature", dialect_quirks_number_temperature},
    {"top_p", dialect_quirks_number_top_p},
    {"stop", dialect_quirks_number_stops},
    {"tools", dialect_quirks_tool_list},
    {"tool_choice", dialect_quirks_tool_choice},
    {"response_format", edit_format},
    {"reasoning_effort", edit_effort},
    {"reasoning", edit_reasoning},
    {"stream_options", edit_stream_options},
    {"user", edit_user},
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
    const char *param = dialect_quirks_editor_client_name(e, name);

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
    if (e->forced && (tape_eq(e->t, name, "stream") || tape_eq(e->t, name, "stream_options"))) {
        return; // put_stream has its own
    }
    if (tape_absent(e->t, name + 1)) {
        dialect_quirks_editor_keep(e, name);
    } else if (in_list(e->q->refuse, e->q->n_refuse, e->t, name)) {
        refuse(e, name);
    } else if (in_list(e->q->drop, e->q->n_drop, e->t, name) ||
               (e->tr != NULL && in_list(e->tr->drop, e->tr->n_drop, e->t, name))) {
        dialect_quirks_editor_drop(e, name);
    } else {
        for (size_t i = 0; i < ARRAY_LEN(owns); i++) {
            if (tape_eq(e->t, name, owns[i].name)) {
                owns[i].edit(e, name);
                return;
            }
        }
        dialect_quirks_editor_keep(e, name);
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
    if (e->forced && tape_given(e->t, 0, "audio") != TAPE_NONE) { // gather.h has no place for it
        e->failed = e->failed || !canon_refuse(e->o, e->target, "audio",
                                               "audio is answered in streams only here");
    }
    if (e->forced) {
        put_stream(e);
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

    dialect_quirks_tool_plan(e);
    plan_format(e);
    e->stream = tape_true(e->t, tape_get(e->t, 0, "stream"));
    e->forced = must_stream(e);
    e->effort = dialect_quirks_reason_plan(e, effort_of(e->t));
    buf_init_soft(&made, out->max);
    e->w = jwrite_to(&made);
    edit_top(e);
    if (e->touched && !e->failed) {
        buf_append(out, buf_slice(&made));
        out->over = out->over || made.over;
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
                                      .chat = ep == DIALECT_CHAT || ep == DIALECT_MESSAGES};

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
        return (traits & (RESOURCE_NO_SAMPLING | RESOURCE_ONE_SAMPLING)) != 0 ||
               q->temperature_min != 0 || q->temperature_max != 0 || q->top_p_max != 0 ||
               q->greedy != NULL;
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
            (q->tool_choices != 0 || (traits & RESOURCE_NO_FORCED_TOOLS) != 0 ||
             (q->flags & RESOURCE_FORCED_UNREASONED) != 0)) ||
           (slice_eq_str(name, "user") && (q->user_min != 0 || q->user_max != 0)) ||
           (slice_eq_str(name, "response_format") &&
            (q->formats != 0 || (q->flags & RESOURCE_SCHEMA_STRICT) != 0)) ||
           (slice_eq_str(name, "reasoning_effort") &&
            (q->reasoning != RESOURCE_REASONING_EFFORT || q->n_efforts > 0 ||
             (tr != NULL && (tr->n_efforts > 0 || tr->thinking == RESOURCE_THINKING_PROMPT)))) ||
           (slice_eq_str(name, "reasoning") && !knows_reasoning(q)) ||
           (slice_eq_str(name, "stream_options") && t->no_stream_usage);
}

static bool mentions(struct slice body, const char *word)
{
    return memmem(body.p, body.n, word, strlen(word)) != NULL;
}

// Quirks that are in the messages.
static bool may_touch_messages(const struct canon_target *t, const struct scan_object *top,
                               struct slice body)
{
    const struct resource_quirks *q = t->quirks;
    bool no_prefill = t->traits != NULL && (t->traits->flags & RESOURCE_NO_PREFILL) != 0;
    const uint64_t always = RESOURCE_ALTERNATE_ROLES | RESOURCE_LAST_USER | RESOURCE_FLATTEN_TEXT |
                            RESOURCE_NO_MESSAGE_NAMES;
    const struct {
        bool wanted;
        const char *word;
    } words[] = {
        {(q->flags & RESOURCE_NO_DEVELOPER_ROLE) != 0, "\"developer\""},
        {(q->flags & (RESOURCE_NO_IMAGES | RESOURCE_IMAGE_DATA_ONLY)) != 0, "\"image_url\""},
        {(q->flags & RESOURCE_NO_AUDIO) != 0, "\"input_audio\""},
        {(q->flags & RESOURCE_NO_FILES) != 0, "\"file\""},
        {q->tool_id_length != 0 || dialect_quirks_editor_signs(q, t->traits),
         "\"tool_call"}, // ..s, .._id
        {q->prefill != NULL || no_prefill, "\"assistant\""},
    };
    static const struct slice names[] = {SLICE("cache_control"),   SLICE("reasoning_content"),
                                         SLICE("reasoning"),       SLICE("reasoning_details"),
                                         SLICE("thinking_blocks"), SLICE("reasoning_items"),
                                         SLICE("extra_content")};

    if ((q->flags & always) != 0) {
        return true;
    }
    for (size_t i = (q->flags & RESOURCE_TAKES_CACHE_CONTROL) != 0 ? 1 : 0; i < ARRAY_LEN(names);
         i++) {
        if ((top->names & scan_name_bit(names[i])) != 0) {
            return true;
        }
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
    if (t->traits != NULL && (t->traits->flags & RESOURCE_STREAM_ONLY) != 0) {
        return true;
    }
    for (size_t i = 0; i < top->n; i++) {
        if (top->members[i].type != SCAN_NULL && may_touch_member(t, &top->members[i])) {
            return true;
        }
    }
    return may_touch_messages(t, top, body);
}
