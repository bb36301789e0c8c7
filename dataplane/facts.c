// SPDX-License-Identifier: Apache-2.0
// Traits and quirks (proto/resource.h) in the words of canon.h.
#include "dataplane/facts.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/text.h"

#define DEFAULT_MAX_TOKENS 4096u // where a provider needs one and nobody knows the model

static const struct resource_traits none = {.flags = 0};

static bool matches(const struct resource_family *f, struct slice model)
{
    for (size_t i = 0; i < f->n_match; i++) {
        if (text_glob(slice_str(f->match[i]), model)) {
            return true;
        }
    }
    return false;
}

const struct resource_traits *facts_traits(const struct snapshot *s, struct slice provider,
                                           struct slice model)
{
    const struct resource_settings *set = snapshot_settings(s);
    struct snapshot_model found;

    if (snapshot_model_at(s, provider, model, &found)) {
        return &found.res->u.model->traits;
    }
    for (size_t i = 0; i < set->n_families; i++) {
        if (matches(&set->families[i], model)) {
            return &set->families[i].traits;
        }
    }
    return &none;
}

static bool takes_effort(const struct resource_traits *t, const char *effort)
{
    for (size_t i = 0; i < t->n_efforts; i++) {
        if (strcmp(t->efforts[i], effort) == 0) {
            return true;
        }
    }
    return t->n_efforts == 0;
}

static enum canon_thinking_kind thinks(const struct resource_traits *t)
{
    switch ((enum resource_thinking)t->thinking) {
    case RESOURCE_THINKING_NONE:
        return CANON_THINKS_NEVER;
    case RESOURCE_THINKING_ADAPTIVE:
        return CANON_THINKS_ADAPTIVE;
    case RESOURCE_THINKING_UNKNOWN:
    case RESOURCE_THINKING_MANUAL:
    case RESOURCE_THINKING_BUDGET:
    case RESOURCE_THINKING_LEVEL:
    case RESOURCE_THINKING_EFFORT:
    case RESOURCE_THINKING_PROMPT:
        break;
    }
    return CANON_THINKS_MANUAL;
}

static enum canon_thinking_off thinking_off(const struct resource_traits *t)
{
    switch ((enum resource_thinking_off)t->thinking_off) {
    case RESOURCE_OFF_DISABLED:
        return CANON_OFF_DISABLED;
    case RESOURCE_OFF_BETWEEN_TOOLS:
        return CANON_OFF_BETWEEN_TOOLS;
    case RESOURCE_OFF_NEVER:
        return CANON_OFF_EFFORT_LOW;
    case RESOURCE_OFF_OMIT:
        break;
    }
    return CANON_OFF_OMIT;
}

// OpenAI itself, by its catalogue entry or its address: what only it (and Azure, which serves its
// models) takes, no vendor of its dialect need know.
bool facts_is_openai(const struct resource *provider)
{
    return strcmp(provider->id, "openai") == 0 || strcmp(provider->id, "azure") == 0 ||
           slice_starts(slice_str(provider->u.provider->base_url),
                        SLICE("https://api.openai.com/"));
}

static bool is_plain(const struct resource_quirks *q)
{
    return q->flags == 0 &&
           q->n_drop + q->n_refuse + q->n_takes + q->n_rename + q->n_efforts == 0 &&
           q->tool_choices == 0 && q->formats == 0 && q->max_tokens_name == 0 &&
           q->reasoning == 0 && q->reasoning_history == 0 && q->temperature_min == 0 &&
           q->temperature_max == 0 && q->top_p_max == 0 && q->stop_max == 0 &&
           q->plain_max_tokens == 0 && q->tool_id_length == 0 && q->prefill == NULL &&
           q->greedy == NULL && q->user_min == 0 && q->user_max == 0;
}

// A vendor of which nothing is known gets what the client wrote, whatever it holds; OpenAI is known
// to refuse what is not its own.
static const struct resource_quirks *quirks_of(const struct resource *provider)
{
    const struct resource_quirks *q = &provider->u.provider->quirks;

    return is_plain(q) && !facts_is_openai(provider) ? NULL : q;
}

static struct canon_target find_out(const struct snapshot *s, const struct resource *provider,
                                    struct slice model)
{
    const struct resource_provider *p = provider->u.provider;
    const struct resource_traits *t = facts_traits(s, slice_str(provider->id), model);
    uint64_t max_output = t->max_output;
    struct snapshot_model found;

    if (snapshot_model_at(s, slice_str(provider->id), model, &found) &&
        found.res->u.model->max_output != 0) {
        max_output = found.res->u.model->max_output;
    }
    return (struct canon_target){
        .max_output = max_output,
        .default_max_tokens = max_output != 0 ? max_output : DEFAULT_MAX_TOKENS,
        .no_sampling = (t->flags & RESOURCE_NO_SAMPLING) != 0,
        .no_structured = (t->flags & RESOURCE_NO_SCHEMA) != 0,
        .no_forced_tools = (t->flags & RESOURCE_NO_FORCED_TOOLS) != 0,
        .no_xhigh = !takes_effort(t, "xhigh"),
        .keep_mid_system = (t->flags & RESOURCE_SYSTEM_ANYWHERE) != 0,
        .thinks = thinks(t),
        .thinking_off = thinking_off(t),
        .gemini3 = t->thinking == RESOURCE_THINKING_LEVEL,
        .gemini_low = !takes_effort(t, "minimal"),
        .gemini_schema = (t->flags & RESOURCE_OLD_SCHEMA) != 0,
        .openai = facts_is_openai(provider),
        .reasoning_model = (t->flags & RESOURCE_COMPLETION_TOKENS) != 0,
        .wants_reasoning = p->quirks.reasoning_history == RESOURCE_HISTORY_REASONING_CONTENT,
        .no_stream_usage = p->no_stream_options,
        .no_files = (p->quirks.flags & RESOURCE_NO_FILES) != 0,
        .quirks = quirks_of(provider),
        .traits = t,
    };
}

void facts_memo_reset(struct facts_memo *m, const struct snapshot *s)
{
    for (size_t i = 0; i < FACTS_MEMO; i++) {
        m->entries[i].provider = NULL;
    }
    m->snapshot = s;
}

// From the memo, or found out and kept there.
static const struct canon_target *remember(struct facts_memo *m, const struct snapshot *s,
                                           const struct resource *provider, struct slice model)
{
    size_t at = (size_t)hash_bytes(hash_process_key(), model) & (FACTS_MEMO - 1);
    struct facts_memo_entry *k = &m->entries[at];

    if (k->provider != provider || !slice_eq((struct slice){k->model, k->n}, model)) {
        k->provider = provider;
        k->n = model.n;
        memcpy(k->model, model.p, model.n);
        k->target = find_out(s, provider, model);
    }
    return &k->target;
}

void facts_of_target(struct facts_memo *memo, const struct snapshot *s,
                     const struct resource *provider, struct slice model,
                     const struct resource *router, struct arena *a, struct canon_target *ret)
{
    if (memo != NULL && memo->snapshot == s && model.n > 0 && model.n <= FACTS_MEMO_MODEL) {
        *ret = *remember(memo, s, provider, model);
    } else {
        *ret = find_out(s, provider, model);
    }
    ret->model = arena_dup(a, model);
    ret->forward_unknown = router != NULL && router->u.router->forward_unknown;
    ret->drop_unsupported = router != NULL && router->u.router->drop_unsupported;
}
