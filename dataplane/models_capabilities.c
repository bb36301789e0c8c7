// SPDX-License-Identifier: Apache-2.0
// Anthropic's own features (batches, citations, its tools) are there where the request reaches
// Anthropic as it is. Thinking of other models is asked for by effort, so that they take every
// `thinking.type` that means one.
#include "dataplane/models_capabilities.h"

#include <string.h>

static void put(struct buf *out, const char *name, bool supported)
{
    buf_printf(out, "%s\"%s\":{\"supported\":%s}",
               slice_ends(buf_slice(out), SLICE("{")) ? "" : ",", name,
               supported ? "true" : "false");
}

// A capability with others inside: {"supported":..., opened.
static void open(struct buf *out, const char *name, bool supported)
{
    buf_printf(out, ",\"%s\":{\"supported\":%s", name, supported ? "true" : "false");
}

static bool takes(const struct resource_model *m, const char *modality)
{
    for (size_t i = 0; i < m->n_modalities; i++) {
        if (strcmp(m->modalities[i], modality) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_effort(const struct resource_traits *t, const char *effort)
{
    bool listed = t->n_efforts == 0;

    for (size_t i = 0; i < t->n_efforts; i++) {
        listed = listed || strcmp(t->efforts[i], effort) == 0;
    }
    return listed;
}

static void put_effort(struct buf *out, const struct resource_traits *t, bool thinks)
{
    static const char *const efforts[] = {"low", "medium", "high", "xhigh", "max"};
    bool by_effort = thinks && t->thinking != RESOURCE_THINKING_MANUAL;

    open(out, "effort", by_effort);
    for (size_t i = 0; i < ARRAY_LEN(efforts); i++) {
        put(out, efforts[i], by_effort && has_effort(t, efforts[i]));
    }
    buf_append_char(out, '}');
}

static void put_thinking(struct buf *out, const struct resource_traits *t, bool thinks)
{
    bool claude =
        t->thinking == RESOURCE_THINKING_MANUAL || t->thinking == RESOURCE_THINKING_ADAPTIVE;
    bool between = t->thinking_off == RESOURCE_OFF_BETWEEN_TOOLS;

    open(out, "thinking", thinks);
    buf_append_str(out, ",\"types\":{");
    put(out, "adaptive", thinks && t->thinking != RESOURCE_THINKING_MANUAL);
    put(out, "between_tools", between || !claude);
    put(out, "disabled", !between && (!claude || t->thinking_off != RESOURCE_OFF_NEVER));
    put(out, "enabled", thinks && t->thinking != RESOURCE_THINKING_ADAPTIVE);
    buf_append_str(out, "}}");
}

void models_capabilities_put(struct buf *out, const struct resource_model *m,
                             const struct resource_model_at *at)
{
    const struct resource_traits *t = &m->traits;
    bool thinks = t->thinking != RESOURCE_THINKING_UNKNOWN && t->thinking != RESOURCE_THINKING_NONE;
    bool own = strcmp(at->provider, "anthropic") == 0;

    if (m->n_modalities == 0 && t->thinking == RESOURCE_THINKING_UNKNOWN) {
        buf_append_str(out, "null");
        return;
    }
    buf_append_char(out, '{');
    put(out, "batch", own);
    put(out, "citations", own);
    put(out, "code_execution", own);
    open(out, "context_management", own);
    buf_append_char(out, '}');
    put_effort(out, t, thinks);
    put(out, "image_input", takes(m, "image"));
    put(out, "pdf_input", takes(m, "file"));
    open(out, "server_tools", own);
    put(out, "code_execution", own);
    put(out, "web_search", own);
    buf_append_char(out, '}');
    put(out, "structured_outputs", (t->flags & RESOURCE_NO_SCHEMA) == 0);
    put_thinking(out, t, thinks);
    buf_append_char(out, '}');
}
