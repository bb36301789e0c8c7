// SPDX-License-Identifier: Apache-2.0
// Members that go over to the edited body, and what those that do not are called by the client.
#include "dataplane/dialect_quirks_editor.h"

#include <string.h>

bool dialect_quirks_editor_signs(const struct resource_quirks *q, const struct resource_traits *tr)
{
    if (tr == NULL || tr->thinking != RESOURCE_THINKING_LEVEL) {
        return false;
    }
    for (size_t i = 0; i < q->n_takes; i++) {
        if (strcmp(q->takes[i], "extra_content") == 0) {
            return true;
        }
    }
    return false;
}

// --- names -------------------------------------------------------------------------------------

// What the client calls a member of the body.
const char *dialect_quirks_editor_client_name(const struct dialect_quirks_editor *e, uint32_t name)
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
            {"user", r->safety_identifier.raw.p != NULL ? r->safety_identifier.name : r->user.name},
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

void dialect_quirks_editor_begin(struct dialect_quirks_editor *e, uint32_t name)
{
    const char *other = new_name(e, name);

    if (other != NULL) {
        jwrite_name(&e->w, other);
        e->touched = true;
    } else {
        jwrite_name_text(&e->w, tape_text(e->t, name));
    }
}

void dialect_quirks_editor_keep(struct dialect_quirks_editor *e, uint32_t name)
{
    dialect_quirks_editor_begin(e, name);
    jwrite_raw(&e->w, tape_raw(e->t, name + 1));
}

void dialect_quirks_editor_change(struct dialect_quirks_editor *e, uint32_t name,
                                  struct slice value)
{
    dialect_quirks_editor_begin(e, name);
    jwrite_raw(&e->w, value);
    e->touched = true;
}

void dialect_quirks_editor_drop(struct dialect_quirks_editor *e, uint32_t name)
{
    e->touched = true;
    if (!tape_absent(e->t, name + 1)) {
        canon_drop(e->o, dialect_quirks_editor_client_name(e, name));
    }
}
