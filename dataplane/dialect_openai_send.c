// SPDX-License-Identifier: Apache-2.0
// Member by member. OpenAI's reasoning models refuse some of what others take: that is left out
// here and named as the client called it.
#include "dataplane/dialect_openai_send.h"

#include <string.h>

#include "common/base/text.h"
#include "common/io/crypto.h"
#include "dataplane/canon_index.h"
#include "dataplane/dialect_openai_count.h"
#include "dataplane/dialect_openai_history.h"
#include "dataplane/dialect_quirks.h"
#include "proto/resource.h"

#define STOPS_MAX 4u  // OpenAI's bound
#define USER_MAX  64u // characters of safety_identifier

struct sender {
    struct jwrite w;
    const struct canon_request *r;
    const struct canon_target *t;
    struct canon_outcome *o;
    struct canon_index allowed; // names of tools, of CANON_CHOICE_ALLOWED
};

// Messages came in another dialect's words: what is not given there has another meaning.
static bool is_foreign(const struct canon_request *r)
{
    return r->endpoint == DIALECT_MESSAGES || r->endpoint == DIALECT_COUNT_TOKENS;
}

static void put_param(struct sender *s, const char *name, const struct canon_param *p)
{
    jwrite_raw_in(&s->w, name, p->raw);
}

static bool takes(const struct canon_target *t, const char *name)
{
    for (size_t i = 0; t->quirks != NULL && i < t->quirks->n_takes; i++) {
        if (strcmp(t->quirks->takes[i], name) == 0) {
            return true;
        }
    }
    return false;
}

// --- bounds and sampling -----------------------------------------------------------------------

static bool put_max_tokens(struct sender *s)
{
    const struct canon_request *r = s->r;
    const char *name = "max_tokens";

    if (!r->max_given) {
        return true;
    }
    if (r->max_tokens == 0) {
        return canon_bad_request(s->o, r->max_name, "%s must be at least 1", r->max_name);
    }
    if (s->t->reasoning_model) {
        name = "max_completion_tokens";
    } else if (s->t->openai && strcmp(r->max_name, "max_completion_tokens") == 0) {
        name = r->max_name;
    }
    jwrite_u64_in(&s->w, name, r->max_tokens);
    return true;
}

static bool has_trait(const struct sender *s, uint64_t trait)
{
    return s->t->traits != NULL && (s->t->traits->flags & trait) != 0;
}

static enum canon_effort effort_of(const struct canon_request *r, const struct canon_target *t);

// gpt-5.1 and later of its line take sampling again when they do not reason.
static bool refuses_sampling(const struct sender *s)
{
    if (has_trait(s, RESOURCE_SAMPLING_UNREASONED) && effort_of(s->r, s->t) == CANON_EFFORT_NONE) {
        return false;
    }
    return s->t->no_sampling || s->t->reasoning_model;
}

static void put_sampling(struct sender *s)
{
    const struct canon_request *r = s->r;
    const struct {
        const char *name;
        const struct canon_param *param;
    } list[] = {
        {"temperature", &r->temperature},
        {"top_p", &r->top_p},
        {"presence_penalty", &r->presence_penalty},
        {"frequency_penalty", &r->frequency_penalty},
        {"logit_bias", &r->logit_bias},
        {"logprobs", &r->logprobs},
        {"top_logprobs", &r->top_logprobs},
    };

    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        if (!refuses_sampling(s)) {
            put_param(s, list[i].name, list[i].param);
        } else {
            canon_drop_params(s->o, &list[i].param, 1);
        }
    }
    if (takes(s->t, "top_k")) {
        put_param(s, "top_k", &r->top_k);
    } else if (r->top_k.raw.p != NULL) {
        canon_drop(s->o, r->top_k.name);
    }
}

static void put_stop(struct sender *s)
{
    const struct canon_request *r = s->r;

    if (r->n_stop == 0) {
        return;
    }
    if (s->t->reasoning_model && !slice_starts(s->t->model, SLICE("o1"))) {
        canon_drop(s->o, r->stop_name);
        return;
    }
    jwrite_array_in(&s->w, "stop");
    for (size_t i = 0; i < r->n_stop && i < STOPS_MAX; i++) {
        jwrite_text(&s->w, r->stop[i]);
    }
    jwrite_array_end(&s->w);
}

// --- tools -------------------------------------------------------------------------------------

static void index_allowed(struct sender *s)
{
    for (size_t i = 0; s->r->choice == CANON_CHOICE_ALLOWED && i < s->r->n_names; i++) {
        (void)canon_index_add(&s->allowed, s->o->arena, s->r->names[i]);
    }
}

static bool is_allowed(const struct sender *s, const struct canon_tool *tool)
{
    return s->r->choice != CANON_CHOICE_ALLOWED ||
           canon_index_find(&s->allowed, tool->name) != NULL;
}

static void put_function(struct sender *s, const struct canon_tool *tool)
{
    jwrite_object(&s->w);
    jwrite_string_in(&s->w, "type", SLICE("function"));
    jwrite_object_in(&s->w, "function");
    jwrite_text_in(&s->w, "name", tool->name);
    jwrite_text_in(&s->w, "description", tool->description);
    jwrite_raw_in(&s->w, "parameters", tool->parameters);
    if (tool->strict >= 0) {
        jwrite_bool_in(&s->w, "strict", tool->strict == 1);
    }
    jwrite_object_end(&s->w);
    if (s->t->quirks != NULL && (s->t->quirks->flags & RESOURCE_TAKES_CACHE_CONTROL) != 0) {
        jwrite_raw_in(&s->w, "cache_control", tool->cache_control);
    }
    jwrite_object_end(&s->w);
}

// Opened by the first tool that can be sent. *ret_any: there was one.
static bool put_tools(struct sender *s, bool *ret_any)
{
    *ret_any = false;
    index_allowed(s);
    for (const struct canon_tool *tool = s->r->tools; tool != NULL; tool = tool->next) {
        if (tool->kind == CANON_TYPED) {
            canon_drop(s->o, arena_printf(s->o->arena, "tools." SLICE_FMT, SLICE_ARG(tool->type)));
            continue;
        }
        if (tool->kind == CANON_CUSTOM && !s->t->openai) {
            if (!canon_refuse(s->o, s->t, "tools",
                              "tools of type custom are not supported by this provider")) {
                return false;
            }
            continue;
        }
        if (!is_allowed(s, tool)) {
            continue;
        }
        if (!*ret_any) {
            jwrite_array_in(&s->w, "tools");
            *ret_any = true;
        }
        if (tool->kind == CANON_CUSTOM) {
            jwrite_raw(&s->w, tool->raw);
        } else {
            put_function(s, tool);
        }
    }
    if (*ret_any) {
        jwrite_array_end(&s->w);
    }
    return true;
}

static struct slice type_of(const struct canon_request *r, struct slice name)
{
    for (const struct canon_tool *tool = r->tools; tool != NULL; tool = tool->next) {
        if (tool->kind == CANON_CUSTOM && slice_eq(tool->name, name)) {
            return SLICE("custom");
        }
    }
    return SLICE("function");
}

static void put_named(struct sender *s, struct slice name)
{
    struct slice type = type_of(s->r, name);

    jwrite_object_in(&s->w, "tool_choice");
    jwrite_string_in(&s->w, "type", type);
    jwrite_object_in(&s->w, type.n == 6 ? "custom" : "function");
    jwrite_text_in(&s->w, "name", name);
    jwrite_object_end(&s->w);
    jwrite_object_end(&s->w);
}

static void put_choice(struct sender *s)
{
    const struct canon_request *r = s->r;

    switch (r->choice) {
    case CANON_CHOICE_NONE_GIVEN:
        break;
    case CANON_CHOICE_AUTO:
        jwrite_string_in(&s->w, "tool_choice", SLICE("auto"));
        break;
    case CANON_CHOICE_NONE:
        jwrite_string_in(&s->w, "tool_choice", SLICE("none"));
        break;
    case CANON_CHOICE_REQUIRED:
        jwrite_string_in(&s->w, "tool_choice", SLICE("required"));
        break;
    case CANON_CHOICE_NAMED:
        put_named(s, r->names[0]);
        break;
    case CANON_CHOICE_ALLOWED: // the list was cut to these
        jwrite_string_in(&s->w, "tool_choice",
                         r->choice_required ? SLICE("required") : SLICE("auto"));
        break;
    }
    if (r->parallel == 0 || r->parallel_tool_calls.raw.p != NULL) {
        jwrite_bool_in(&s->w, "parallel_tool_calls", r->parallel != 0);
    }
}

// --- reasoning and form ------------------------------------------------------------------------

// xhigh and max are sent to models of which it is known that they take them.
static bool knows(const struct canon_target *t, enum canon_effort effort)
{
    for (size_t i = 0; t->traits != NULL && i < t->traits->n_efforts; i++) {
        if (strcmp(t->traits->efforts[i], canon_effort_names[effort]) == 0) {
            return true;
        }
    }
    return effort <= CANON_EFFORT_HIGH;
}

// What is asked for, in OpenAI's words.
static enum canon_effort effort_of(const struct canon_request *r, const struct canon_target *t)
{
    switch (r->thinking) {
    case CANON_THINKING_ENABLED:
        return canon_effort_by_budget(r->thinking_budget);
    case CANON_THINKING_ADAPTIVE:
        return r->effort == CANON_EFFORT_NOT_GIVEN || !knows(t, r->effort) ? CANON_EFFORT_HIGH
                                                                           : r->effort;
    case CANON_THINKING_DISABLED:
    case CANON_THINKING_BETWEEN_TOOLS: // Anthropic's way to turn it off where it cannot be
        return CANON_EFFORT_NOT_GIVEN;
    case CANON_THINKING_NOT_GIVEN:
        break;
    }
    return is_foreign(r) ? CANON_EFFORT_NOT_GIVEN : r->effort;
}

static void put_effort(struct sender *s, bool tools)
{
    enum canon_effort effort = effort_of(s->r, s->t);

    if (effort != CANON_EFFORT_NOT_GIVEN && s->t->traits != NULL &&
        s->t->traits->thinking == RESOURCE_THINKING_NONE) {
        if (effort != CANON_EFFORT_NONE && s->r->effort_name != NULL) {
            canon_drop(s->o, s->r->effort_name);
        }
        return;
    }
    if (tools && has_trait(s, RESOURCE_TOOLS_NO_EFFORT) && effort != CANON_EFFORT_NOT_GIVEN &&
        effort != CANON_EFFORT_NONE) {
        if (s->r->effort_name != NULL) {
            canon_drop(s->o, s->r->effort_name);
        }
        return;
    }
    // Tools while it reasons are not served through Chat Completions: the tools count.
    if (tools && has_trait(s, RESOURCE_TOOLS_BY_RESPONSES) &&
        s->t->traits->thinking_off != RESOURCE_OFF_NEVER && effort != CANON_EFFORT_NONE) {
        if (effort != CANON_EFFORT_NOT_GIVEN && s->r->effort_name != NULL) {
            canon_drop(s->o, s->r->effort_name);
        }
        effort = CANON_EFFORT_NONE;
    }
    if (effort != CANON_EFFORT_NOT_GIVEN) {
        jwrite_string_in(&s->w, "reasoning_effort", slice_str(canon_effort_names[effort]));
    }
}

static void put_format(struct sender *s)
{
    const struct canon_request *r = s->r;
    int strict = is_foreign(r) && r->schema_strict < 0 ? 1 : r->schema_strict;

    if (r->format == CANON_FORMAT_TEXT) {
        return;
    }
    jwrite_object_in(&s->w, "response_format");
    if (r->format == CANON_FORMAT_JSON) {
        jwrite_string_in(&s->w, "type", SLICE("json_object"));
    } else {
        jwrite_string_in(&s->w, "type", SLICE("json_schema"));
        jwrite_object_in(&s->w, "json_schema");
        jwrite_text_in(&s->w, "name", r->schema_name.n > 0 ? r->schema_name : SLICE("output"));
        jwrite_text_in(&s->w, "description", r->schema_description);
        jwrite_raw_in(&s->w, "schema", r->schema);
        if (strict >= 0) {
            jwrite_bool_in(&s->w, "strict", strict == 1);
        }
        jwrite_object_end(&s->w);
    }
    jwrite_object_end(&s->w);
}

// --- the rest ----------------------------------------------------------------------------------

static size_t characters(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80; // no continuation byte
    }
    return n;
}

static void put_user(struct sender *s)
{
    struct slice user = jtext_decode(s->r->user_text, s->o->arena);
    const char *name = s->t->openai ? "safety_identifier" : "user";
    uint8_t hash[CRYPTO_SHA256_BYTES];
    char hex[2 * CRYPTO_SHA256_BYTES + 1];

    if (user.n == 0) {
        return;
    }
    if (characters(user) > USER_MAX) {
        crypto_sha256(hash, &user, 1);
        text_hex(hash, sizeof(hash), hex);
        user = slice_str(hex);
    }
    jwrite_string_in(&s->w, name, user);
}

static void put_tier(struct sender *s)
{
    struct slice raw = s->r->service_tier.raw;

    // Anthropic's words
    jwrite_raw_in(&s->w, "service_tier",
                  slice_eq_str(raw, "\"standard_only\"") ? SLICE("\"default\"") : raw);
}

// What only clients of OpenAI's dialect can have sent.
static void put_own(struct sender *s)
{
    const struct canon_request *r = s->r;

    if (r->choices > 1) {
        jwrite_u64_in(&s->w, "n", r->choices);
    }
    put_param(s, "seed", &r->seed);
    put_param(s, "modalities", &r->modalities);
    put_param(s, "audio", &r->audio);
    put_param(s, "verbosity", &r->verbosity);
    if (!is_foreign(r)) {
        put_param(s, "metadata", &r->metadata);
    }
}

static void put_extras(struct sender *s)
{
    if (is_foreign(s->r)) {
        canon_drop_hints(s->o, s->r);
    } else {
        for (const struct canon_extra *x = s->r->extras; x != NULL; x = x->next) {
            if (x->hint && !slice_eq_str(x->name, "logprobs")) {
                jwrite_name_text(&s->w, x->name);
                jwrite_raw(&s->w, x->raw);
            } else if (x->hint) {
                canon_drop(s->o, "logprobs"); // of a completion of old: not what a chat's are
            }
        }
    }
    canon_write_unknown(&s->w, s->r, s->t);
}

static void put_stream(struct sender *s)
{
    if (!s->r->stream) {
        return;
    }
    jwrite_bool_in(&s->w, "stream", true);
    if (!s->t->no_stream_usage) {
        jwrite_object_in(&s->w, "stream_options");
        jwrite_bool_in(&s->w, "include_usage", true);
        jwrite_object_end(&s->w);
    }
}

static void put_embeddings(struct sender *s)
{
    jwrite_raw_in(&s->w, "input", s->r->input);
    put_param(s, "dimensions", &s->r->dimensions);
    jwrite_string_in(&s->w, "encoding_format", s->r->base64 ? SLICE("base64") : SLICE("float"));
    put_param(s, "user", &s->r->user);
}

static bool write_body(struct sender *s)
{
    bool tools;

    jwrite_object(&s->w);
    jwrite_string_in(&s->w, "model", s->t->model);
    if (s->r->endpoint == DIALECT_EMBEDDINGS) {
        put_embeddings(s);
        jwrite_object_end(&s->w);
        return true;
    }
    if (!dialect_openai_history_write(&s->w, s->r, s->t, s->o) || !put_max_tokens(s) ||
        !put_tools(s, &tools)) {
        return false;
    }
    if (tools) {
        put_choice(s);
    }
    put_sampling(s);
    put_stop(s);
    put_effort(s, tools);
    put_format(s);
    put_own(s);
    put_user(s);
    put_tier(s);
    put_extras(s);
    put_stream(s);
    jwrite_object_end(&s->w);
    return true;
}

bool dialect_openai_send_request(const struct canon_request *r, const struct canon_target *t,
                                 struct canon_outcome *o, struct buf *out)
{
    struct buf made;
    struct sender s = {.w = jwrite_to(&made), .r = r, .t = t, .o = o};
    enum dialect_endpoint ep;
    bool ok;

    if (r->endpoint == DIALECT_COUNT_TOKENS) {
        dialect_openai_count_write(r, t, out);
        return true;
    }
    buf_init_soft(&made, out->max);
    ok = write_body(&s);
    if (made.over) {
        out->over = true;
    } else if (ok) {
        // A completion of old went as a chat.
        ep = r->endpoint == DIALECT_COMPLETIONS ? DIALECT_CHAT : r->endpoint;
        switch (dialect_quirks_edit(buf_slice(&made), ep, r, t, o, out)) {
        case DIALECT_QUIRKS_NONE:
            buf_move(out, &made);
            break;
        case DIALECT_QUIRKS_EDITED:
            break;
        case DIALECT_QUIRKS_REFUSED:
            ok = false;
            break;
        }
    }
    buf_done(&made);
    return ok;
}
