// SPDX-License-Identifier: Apache-2.0
// How much the model shall think, in the vendor's form of asking for it.
#include <string.h>

#include "dataplane/dialect_quirks_editor.h"

static bool is_listed(const char *const *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i], word) == 0) {
            return true;
        }
    }
    return n == 0;
}

// The model thinks or does not, and where it is asked to, the word is "default" (Qwen at Groq).
static bool is_switch(const struct dialect_quirks_editor *e)
{
    return e->tr != NULL && e->tr->n_efforts > 0 &&
           is_listed(e->tr->efforts, e->tr->n_efforts, "default");
}

static bool takes(const struct dialect_quirks_editor *e, int effort, bool by_model)
{
    const char *name = canon_effort_names[effort];

    return is_listed(e->q->efforts, e->q->n_efforts, name) &&
           (!by_model || e->tr == NULL || is_switch(e) ||
            is_listed(e->tr->efforts, e->tr->n_efforts, name));
}

// Of two that are equally near the higher one: who asks for some thought gets some.
static int nearest(const struct dialect_quirks_editor *e, int effort, bool by_model)
{
    for (int d = 0; d <= CANON_EFFORT_MAX; d++) {
        if (effort + d <= CANON_EFFORT_MAX && takes(e, effort + d, by_model)) {
            return effort + d;
        }
        if (effort - d >= CANON_EFFORT_NONE && takes(e, effort - d, by_model)) {
            return effort - d;
        }
    }
    return CANON_EFFORT_NOT_GIVEN;
}

const char *dialect_quirks_reason_nearest(const struct dialect_quirks_editor *e,
                                          enum canon_effort effort)
{
    int found = nearest(e, (int)effort, true);

    found = found == CANON_EFFORT_NOT_GIVEN ? nearest(e, (int)effort, false) : found;
    return canon_effort_names[found == CANON_EFFORT_NOT_GIVEN ? (int)effort : found];
}

// A tool that must be called: the choice is "required", or a tool by name.
static bool forces_a_tool(const struct tape *t)
{
    uint32_t choice = tape_given(t, 0, "tool_choice");

    return tape_eq(t, choice, "required") || tape_eq(t, choice, "any") ||
           tape_is(t, choice, SCAN_OBJECT);
}

enum canon_effort dialect_quirks_reason_plan(struct dialect_quirks_editor *e,
                                             enum canon_effort asked)
{
    bool always = e->tr != NULL && e->tr->thinking_off == RESOURCE_OFF_NEVER;

    if (always) {
        return asked == CANON_EFFORT_NONE ? CANON_EFFORT_MINIMAL : asked;
    }
    if (asked != CANON_EFFORT_NOT_GIVEN && dialect_quirks_has(e, RESOURCE_FORCED_UNREASONED) &&
        forces_a_tool(e->t)) {
        if (asked != CANON_EFFORT_NONE) {
            canon_drop(e->o, e->r != NULL && e->r->effort_name != NULL ? e->r->effort_name
                                                                       : "reasoning_effort");
        }
        return CANON_EFFORT_NONE;
    }
    return asked;
}

// --- forms -------------------------------------------------------------------------------------

static void put_effort(struct dialect_quirks_editor *e, uint32_t value)
{
    const char *name = dialect_quirks_reason_nearest(e, e->effort);

    if (is_switch(e) && e->q->n_efforts > 0 && strcmp(name, "none") != 0 &&
        is_listed(e->q->efforts, e->q->n_efforts, "default")) {
        name = "default";
    }

    if (value == TAPE_NONE || !tape_eq(e->t, value, name)) {
        e->touched = true;
    }
    jwrite_string_in(&e->w, "reasoning_effort", slice_str(name));
}

// The figures that providers publish for the same purpose.
static uint64_t budget_of(enum canon_effort effort)
{
    return effort <= CANON_EFFORT_LOW ? 1024 : effort == CANON_EFFORT_MEDIUM ? 8192 : 24576;
}

// A member that says it in the vendor's own words, given by the client, stays and counts.
static bool is_given(const struct dialect_quirks_editor *e, const char *name)
{
    return tape_given(e->t, 0, name) != TAPE_NONE;
}

static void put_thinking(struct dialect_quirks_editor *e, bool budget)
{
    bool off = e->effort == CANON_EFFORT_NONE;

    if (is_given(e, "thinking")) {
        return;
    }
    jwrite_object_in(&e->w, "thinking");
    jwrite_string_in(&e->w, "type", off ? SLICE("disabled") : SLICE("enabled"));
    if (budget && !off) {
        jwrite_u64_in(&e->w, "budget_tokens", budget_of(e->effort));
    }
    jwrite_object_end(&e->w);
}

static void put_enable(struct dialect_quirks_editor *e)
{
    bool off = e->effort == CANON_EFFORT_NONE;

    if (is_given(e, "enable_thinking")) {
        return;
    }
    jwrite_bool_in(&e->w, "enable_thinking", !off);
    if (!off && !is_given(e, "thinking_budget")) {
        jwrite_u64_in(&e->w, "thinking_budget", budget_of(e->effort));
    }
}

static void put_object(struct dialect_quirks_editor *e)
{
    if (is_given(e, "reasoning")) {
        return;
    }
    jwrite_object_in(&e->w, "reasoning");
    if (e->effort == CANON_EFFORT_NONE) {
        jwrite_bool_in(&e->w, "enabled", false);
    } else {
        jwrite_string_in(&e->w, "effort", slice_str(dialect_quirks_reason_nearest(e, e->effort)));
    }
    jwrite_object_end(&e->w);
}

static void put_template(struct dialect_quirks_editor *e)
{
    if (is_given(e, "chat_template_kwargs")) {
        return;
    }
    // Templates ignore what they do not know: Qwen's and GLM's have the first, DeepSeek's the
    // other.
    jwrite_object_in(&e->w, "chat_template_kwargs");
    jwrite_bool_in(&e->w, "enable_thinking", e->effort != CANON_EFFORT_NONE);
    jwrite_bool_in(&e->w, "thinking", e->effort != CANON_EFFORT_NONE);
    jwrite_object_end(&e->w);
}

static void put_prompt_mode(struct dialect_quirks_editor *e)
{
    if (!is_given(e, "prompt_mode")) {
        jwrite_string_in(&e->w, "prompt_mode", SLICE("reasoning"));
    }
}

static void put_split(struct dialect_quirks_editor *e)
{
    if (!is_given(e, "reasoning_split")) {
        jwrite_bool_in(&e->w, "reasoning_split", true);
    }
}

void dialect_quirks_reason_effort(struct dialect_quirks_editor *e, uint32_t value)
{
    enum resource_reasoning form = (enum resource_reasoning)e->q->reasoning;

    if (form == RESOURCE_REASONING_EFFORT && e->tr != NULL &&
        e->tr->thinking == RESOURCE_THINKING_PROMPT) {
        e->touched = true;
        put_prompt_mode(e);
        return;
    }
    if (form != RESOURCE_REASONING_EFFORT && e->tr != NULL &&
        e->tr->thinking == RESOURCE_THINKING_NONE) {
        form = RESOURCE_REASONING_NONE;
    }
    if (form == RESOURCE_REASONING_EFFORT) {
        put_effort(e, value);
        return;
    }
    e->touched = true;
    switch (form) {
    case RESOURCE_REASONING_EFFORT:
        break;
    case RESOURCE_REASONING_NONE:
        if (e->effort != CANON_EFFORT_NONE) {
            canon_drop(e->o, e->r != NULL && e->r->effort_name != NULL ? e->r->effort_name
                                                                       : "reasoning_effort");
        }
        break;
    case RESOURCE_REASONING_THINKING:
        put_thinking(e, false);
        if (e->q->n_efforts > 0 && e->effort != CANON_EFFORT_NONE &&
            (e->tr == NULL || e->tr->thinking != RESOURCE_THINKING_MANUAL)) {
            put_effort(e, value);
        }
        break;
    case RESOURCE_REASONING_THINKING_BUDGET:
        put_thinking(e, true);
        break;
    case RESOURCE_REASONING_ENABLE:
        put_enable(e);
        break;
    case RESOURCE_REASONING_OBJECT:
        put_object(e);
        break;
    case RESOURCE_REASONING_TEMPLATE:
        put_template(e);
        break;
    case RESOURCE_REASONING_SPLIT:
        put_split(e);
        break;
    }
}
