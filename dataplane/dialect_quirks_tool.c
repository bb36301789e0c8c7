// SPDX-License-Identifier: Apache-2.0
// Tools without the members that a vendor refuses, and the choice among them in the vendor's words.
#include "dataplane/dialect_quirks_editor.h"

// --- tools -------------------------------------------------------------------------------------

static uint32_t choices_taken(const struct dialect_quirks_editor *e)
{
    uint32_t all = RESOURCE_CHOICE_AUTO | RESOURCE_CHOICE_NONE | RESOURCE_CHOICE_REQUIRED |
                   RESOURCE_CHOICE_NAMED;
    uint32_t taken = e->q->tool_choices == 0 ? all : e->q->tool_choices;
    // Where it cannot be kept from thinking the tool cannot be forced.
    bool unforced = dialect_quirks_has(e, RESOURCE_FORCED_UNREASONED) && e->tr != NULL &&
                    e->tr->thinking_off == RESOURCE_OFF_NEVER;

    return unforced || dialect_quirks_model(e, RESOURCE_NO_FORCED_TOOLS)
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
void dialect_quirks_tool_plan(struct dialect_quirks_editor *e)
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
void dialect_quirks_tool_choice(struct dialect_quirks_editor *e, uint32_t name)
{
    uint32_t choice = choice_of(e->t, name + 1), taken = choices_taken(e);

    if ((choice & taken) != 0) {
        dialect_quirks_editor_keep(e, name);
    } else if (choice == RESOURCE_CHOICE_NONE) {
        e->touched = true; // the tools go
    } else if (choice == RESOURCE_CHOICE_NAMED && (taken & RESOURCE_CHOICE_REQUIRED) != 0) {
        dialect_quirks_editor_change(e, name, SLICE("\"required\""));
    } else {
        canon_drop(e->o, dialect_quirks_editor_client_name(e, name));
        dialect_quirks_editor_change(e, name, SLICE("\"auto\""));
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

void dialect_quirks_tool_list(struct dialect_quirks_editor *e, uint32_t name)
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
    dialect_quirks_editor_begin(e, name);
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
