// SPDX-License-Identifier: Apache-2.0
// First everything is decided (struct plan), then written in one go: tool choice, JSON output and
// thinking depend on each other and on what the model can take.
//
//   tools, tool_choice, response_format ---> choice, json tool, instructions
//   reasoning_effort, thinking, choice, turns -> thinking, effort
//   thinking ------------------------------> sampling parameters sent or dropped
#include "dataplane/dialect_anthropic_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "dataplane/dialect_anthropic_schema.h"
#include "dataplane/dialect_anthropic_turns.h"
#include "dataplane/jtext.h"

#define DEFAULT_MAX_TOKENS 4096u
#define BUDGET_MIN         1024u
#define INSTRUCTIONS_MAX   2u

#define TEXT_JSON     SLICE("Respond with one valid JSON object and nothing else.")
#define TEXT_ANY_TOOL SLICE("Call at least one of the provided tools in this turn.")

enum choice { CHOICE_UNSET, CHOICE_AUTO, CHOICE_ANY, CHOICE_NONE, CHOICE_TOOL };

enum thinking { THINK_UNSET, THINK_RAW, THINK_BUDGET, THINK_ADAPTIVE, THINK_OFF, THINK_BETWEEN };

struct plan {
    const struct canon_request *r;
    const struct canon_target *t;
    struct canon_outcome *o;
    struct dialect_anthropic_turns turns;
    uint64_t max_tokens;

    struct slice *only; // names of the tools that are sent, sorted; NULL: all of them
    size_t n_only;
    bool any_tools, json_tool;
    enum choice choice;
    struct slice chosen; // name, of CHOICE_TOOL
    struct slice instructions[INSTRUCTIONS_MAX];
    size_t n_instructions;

    enum thinking thinking;
    uint64_t budget;
    enum canon_effort effort; // sent as output_config.effort
    bool thinks;              // no sampling parameters then
};

// --- contract parameters -----------------------------------------------------------------------

static bool check_tools(struct plan *p)
{
    for (const struct canon_tool *k = p->r->tools; k != NULL; k = k->next) {
        if (k->kind == CANON_CUSTOM &&
            !canon_refuse(p->o, p->t, "tools",
                          "tools of type custom are not supported by this provider")) {
            return false;
        }
    }
    return true;
}

static bool check_contract(struct plan *p)
{
    const struct canon_request *r = p->r;

    if (r->choices > 1 &&
        !canon_refuse(p->o, p->t, "n", "n > 1 is not supported by this provider")) {
        return false;
    }
    if (r->modalities.raw.p != NULL &&
        slice_find(r->modalities.raw, SLICE("\"audio\"")) != SIZE_MAX &&
        !canon_refuse(p->o, p->t, "modalities", "audio is not supported by this provider")) {
        return false;
    }
    if (r->audio.raw.p != NULL &&
        !canon_refuse(p->o, p->t, "audio", "audio is not supported by this provider")) {
        return false;
    }
    return check_tools(p);
}

// --- tools -------------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

// Only tools of these names are sent from now on.
static void allow_only(struct plan *p, const struct slice *names, size_t n)
{
    p->only = arena_alloc(p->o->arena, (n + 1) * sizeof(*names));
    p->n_only = n;
    if (n > 0) {
        memcpy(p->only, names, n * sizeof(*names));
        qsort(p->only, n, sizeof(*names), by_name);
    }
}

static bool is_allowed(const struct plan *p, struct slice name)
{
    return p->only == NULL || bsearch(&name, p->only, p->n_only, sizeof(name), by_name) != NULL;
}

// Anthropic's own tools carry the day they are of: web_search_20250305.
static bool is_typed_here(struct slice type)
{
    if (type.n < 10 || type.p[type.n - 9] != '_') {
        return false;
    }
    for (size_t i = type.n - 8; i < type.n; i++) {
        if (type.p[i] < '0' || type.p[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool is_sent(const struct plan *p, const struct canon_tool *k)
{
    return (k->kind == CANON_FUNCTION || (k->kind == CANON_TYPED && is_typed_here(k->type))) &&
           is_allowed(p, k->name);
}

static bool has_tools(const struct plan *p)
{
    for (const struct canon_tool *k = p->r->tools; k != NULL; k = k->next) {
        if (is_sent(p, k)) {
            return true;
        }
    }
    return false;
}

static void drop_foreign_tools(struct plan *p)
{
    for (const struct canon_tool *k = p->r->tools; k != NULL; k = k->next) {
        if (k->kind == CANON_TYPED && !is_typed_here(k->type)) {
            canon_drop(p->o, arena_printf(p->o->arena, "tools." SLICE_FMT, SLICE_ARG(k->type)));
        }
    }
}

static void instruct(struct plan *p, struct slice text)
{
    CHECK(p->n_instructions < INSTRUCTIONS_MAX);
    p->instructions[p->n_instructions++] = text;
}

static enum choice choice_asked(const struct canon_request *r)
{
    switch (r->choice) {
    case CANON_CHOICE_NONE_GIVEN:
        return r->parallel == 0 ? CHOICE_AUTO : CHOICE_UNSET;
    case CANON_CHOICE_AUTO:
        return CHOICE_AUTO;
    case CANON_CHOICE_NONE:
        return CHOICE_NONE;
    case CANON_CHOICE_REQUIRED:
        return CHOICE_ANY;
    case CANON_CHOICE_NAMED:
        return CHOICE_TOOL;
    case CANON_CHOICE_ALLOWED:
        return r->choice_required ? CHOICE_ANY : CHOICE_AUTO;
    }
    return CHOICE_UNSET;
}

// A schema for a model without structured outputs: one more tool, which must be called.
static void add_json_tool(struct plan *p)
{
    p->json_tool = true;
    p->o->json_tool = true;
    if (p->choice == CHOICE_TOOL) {
        return; // the client named a tool: it comes first
    }
    if (p->any_tools && p->choice != CHOICE_NONE) {
        p->choice = CHOICE_ANY;
    } else {
        p->choice = CHOICE_TOOL;
        p->chosen = SLICE(DIALECT_ANTHROPIC_JSON_TOOL);
    }
}

// The model refuses a forced choice: it is asked in words.
static void ask_instead(struct plan *p)
{
    bool named = p->choice == CHOICE_TOOL;

    if (named) {
        instruct(p, slice_str(arena_printf(p->o->arena, "Call the tool " SLICE_FMT " in this turn.",
                                           SLICE_ARG(p->chosen))));
    } else {
        instruct(p, TEXT_ANY_TOOL);
    }
    if (named && p->any_tools && p->r->choice == CANON_CHOICE_NAMED) {
        allow_only(p, &p->chosen, 1);
        if (!has_tools(p)) { // there is no such tool: the provider may say so
            p->only = NULL;
        }
    }
    p->choice = CHOICE_AUTO;
}

static void plan_tools(struct plan *p)
{
    const struct canon_request *r = p->r;
    bool forced;

    drop_foreign_tools(p);
    if (r->choice == CANON_CHOICE_ALLOWED) {
        allow_only(p, r->names, r->n_names);
    }
    p->any_tools = has_tools(p);
    if (p->any_tools) {
        p->choice = choice_asked(r);
        p->chosen = r->n_names > 0 ? r->names[0] : SLICE("");
    }
    forced = p->choice == CHOICE_ANY || p->choice == CHOICE_TOOL;
    if (forced && p->t->no_forced_tools && r->tool_choice.name != NULL) {
        canon_drop(p->o, r->tool_choice.name);
    }
    if (r->format == CANON_FORMAT_SCHEMA && p->t->no_structured) {
        add_json_tool(p);
    }
    forced = p->choice == CHOICE_ANY || p->choice == CHOICE_TOOL;
    if (forced && p->t->no_forced_tools) {
        ask_instead(p);
    }
    if (r->format == CANON_FORMAT_JSON) {
        instruct(p, TEXT_JSON);
    }
}

// --- thinking ----------------------------------------------------------------------------------

// given: in tokens by the client itself; 0: not.
static uint64_t budget_of(enum canon_effort effort, uint64_t given, uint64_t max_tokens)
{
    uint64_t budget = given > BUDGET_MIN              ? given
                      : given != 0                    ? BUDGET_MIN
                      : effort <= CANON_EFFORT_LOW    ? BUDGET_MIN
                      : effort == CANON_EFFORT_MEDIUM ? 8192
                                                      : 24576;
    uint64_t room = max_tokens / 5 * 4 + max_tokens % 5 * 4 / 5;

    return budget < room ? budget : room;
}

static void turn_thinking_off(struct plan *p)
{
    if (p->t->thinks != CANON_THINKS_ADAPTIVE) {
        return; // it thinks only when asked to
    }
    switch (p->t->thinking_off) {
    case CANON_OFF_DISABLED:
        p->thinking = THINK_OFF;
        break;
    case CANON_OFF_BETWEEN_TOOLS:
        p->thinking = THINK_BETWEEN;
        break;
    case CANON_OFF_EFFORT_LOW:
    case CANON_OFF_OMIT: // nobody said how: it may be on by itself
        p->effort = CANON_EFFORT_LOW;
        break;
    }
}

// Asked for as Anthropic's own member.
static void plan_thinking_given(struct plan *p)
{
    bool on = p->r->thinking == CANON_THINKING_ENABLED || p->r->thinking == CANON_THINKING_ADAPTIVE;

    if (p->t->thinks == CANON_THINKS_NEVER) {
        if (on) {
            canon_drop(p->o, "thinking");
        }
        return;
    }
    if (on && p->t->strip_signatures && p->t->thinks == CANON_THINKS_MANUAL &&
        p->turns.goes_on_unreasoned) {
        return; // it was us who took the reasoning away
    }
    p->thinking = THINK_RAW;
    p->thinks = on;
}

static void plan_thinking(struct plan *p)
{
    enum canon_effort effort = p->r->effort;
    bool forced = p->choice == CHOICE_ANY || p->choice == CHOICE_TOOL;

    if (p->r->thinking != CANON_THINKING_NOT_GIVEN && p->r->thinking_raw.p != NULL) {
        plan_thinking_given(p);
        return;
    }
    if (effort == CANON_EFFORT_NOT_GIVEN) {
        return;
    }
    if (effort == CANON_EFFORT_NONE) {
        turn_thinking_off(p);
    } else if (p->t->thinks == CANON_THINKS_NEVER) {
        canon_drop(p->o, p->r->effort_name != NULL ? p->r->effort_name : "reasoning_effort");
    } else if (p->t->thinks == CANON_THINKS_ADAPTIVE) {
        p->effort = effort == CANON_EFFORT_MINIMAL                   ? CANON_EFFORT_LOW
                    : effort == CANON_EFFORT_XHIGH && p->t->no_xhigh ? CANON_EFFORT_MAX
                                                                     : effort;
        p->thinking = forced ? THINK_UNSET : THINK_ADAPTIVE;
    } else if (!forced && !p->turns.goes_on_unreasoned && !p->turns.prefilled) {
        p->budget = budget_of(effort, p->r->thinking_budget, p->max_tokens);
        p->thinking = p->budget >= BUDGET_MIN ? THINK_BUDGET : THINK_UNSET;
    }
    p->thinks = p->thinking == THINK_ADAPTIVE || p->thinking == THINK_BUDGET;
}

// A typed tool goes as it is, its mark too.
static void plan_marks(struct plan *p)
{
    size_t tools = 0, system, messages = dialect_anthropic_turns_marks(&p->turns, &system);
    size_t own = p->r->cache_control.p != NULL;

    for (const struct canon_tool *k = p->r->tools; k != NULL; k = k->next) {
        if (k->cache_control.p != NULL && is_sent(p, k)) {
            *(k->kind == CANON_TYPED ? &own : &tools) += 1;
        }
    }
    if (!dialect_anthropic_marks_plan(&p->turns.marks, tools, system, messages, own)) {
        canon_drop(p->o, "cache_control");
    }
}

// --- writing -----------------------------------------------------------------------------------

static void write_system(struct plan *p, struct jwrite *w)
{
    if (p->turns.system.first == NULL && p->n_instructions == 0) {
        return;
    }
    jwrite_array_in(w, "system");
    for (const struct dialect_anthropic_block *b = p->turns.system.first; b != NULL; b = b->next) {
        dialect_anthropic_turns_write_text(&p->turns, b->part, b->part->text, w);
    }
    for (size_t i = 0; i < p->n_instructions; i++) {
        jwrite_object(w);
        jwrite_text_in(w, "type", SLICE("text"));
        jwrite_text_in(w, "text", p->instructions[i]);
        jwrite_object_end(w);
    }
    jwrite_array_end(w);
}

static void write_tool(struct plan *p, const struct canon_tool *k, struct jwrite *w)
{
    if (k->kind == CANON_TYPED) {
        jwrite_raw(w, k->raw);
        return;
    }
    jwrite_object(w);
    jwrite_text_in(w, "name", k->name);
    jwrite_text_in(w, "description", k->description);
    jwrite_name(w, "input_schema");
    dialect_anthropic_schema_write_input(k->parameters, w);
    if (k->strict == 1 && !p->t->no_structured) {
        jwrite_bool_in(w, "strict", true);
    }
    jwrite_raw_in(w, "cache_control",
                  dialect_anthropic_marks_next(&p->turns.marks, k->cache_control));
    jwrite_object_end(w);
}

static void write_json_tool(const struct plan *p, struct jwrite *w)
{
    jwrite_object(w);
    jwrite_text_in(w, "name", SLICE(DIALECT_ANTHROPIC_JSON_TOOL));
    jwrite_text_in(w, "description", SLICE("Give the final answer as the input of this tool."));
    jwrite_name(w, "input_schema");
    dialect_anthropic_schema_write_input(p->r->schema, w);
    jwrite_object_end(w);
}

static void write_tools(struct plan *p, struct jwrite *w)
{
    if (!p->any_tools && !p->json_tool) {
        return;
    }
    jwrite_array_in(w, "tools");
    for (const struct canon_tool *k = p->r->tools; k != NULL; k = k->next) {
        if (is_sent(p, k)) {
            write_tool(p, k, w);
        }
    }
    if (p->json_tool) {
        write_json_tool(p, w);
    }
    jwrite_array_end(w);
}

static void write_choice(const struct plan *p, struct jwrite *w)
{
    static const char *const types[] = {[CHOICE_AUTO] = "auto",
                                        [CHOICE_ANY] = "any",
                                        [CHOICE_NONE] = "none",
                                        [CHOICE_TOOL] = "tool"};

    if (p->choice == CHOICE_UNSET) {
        return;
    }
    jwrite_object_in(w, "tool_choice");
    jwrite_text_in(w, "type", slice_str(types[p->choice]));
    if (p->choice == CHOICE_TOOL) {
        jwrite_text_in(w, "name", p->chosen);
    }
    if (p->choice != CHOICE_NONE && p->r->parallel == 0) {
        jwrite_bool_in(w, "disable_parallel_tool_use", true);
    }
    jwrite_object_end(w);
}

static void write_thinking(const struct plan *p, struct jwrite *w)
{
    static const char *const types[] = {[THINK_BUDGET] = "enabled",
                                        [THINK_ADAPTIVE] = "adaptive",
                                        [THINK_OFF] = "disabled",
                                        [THINK_BETWEEN] = "between_tools"};

    if (p->thinking == THINK_UNSET) {
        return;
    }
    if (p->thinking == THINK_RAW) {
        jwrite_raw_in(w, "thinking", p->r->thinking_raw);
        return;
    }
    jwrite_object_in(w, "thinking");
    jwrite_text_in(w, "type", slice_str(types[p->thinking]));
    if (p->thinking == THINK_BUDGET) {
        jwrite_u64_in(w, "budget_tokens", p->budget);
    } else if (p->thinking == THINK_ADAPTIVE) {
        jwrite_text_in(w, "display", SLICE("summarized"));
    }
    jwrite_object_end(w);
}

static void write_output_config(const struct plan *p, struct jwrite *w)
{
    bool format = p->r->format == CANON_FORMAT_SCHEMA && !p->json_tool;

    if (!format && p->effort == CANON_EFFORT_NOT_GIVEN) {
        return;
    }
    jwrite_object_in(w, "output_config");
    if (p->effort != CANON_EFFORT_NOT_GIVEN) {
        jwrite_text_in(w, "effort", slice_str(canon_effort_names[p->effort]));
    }
    if (format) {
        jwrite_object_in(w, "format");
        jwrite_text_in(w, "type", SLICE("json_schema"));
        jwrite_name(w, "schema");
        dialect_anthropic_schema_write(p->r->schema.p != NULL ? p->r->schema : SLICE("{}"), w);
        jwrite_object_end(w);
    }
    jwrite_object_end(w);
}

// OpenAI's temperature goes to 2, Anthropic's to 1.
static struct slice temperature_of(struct slice raw)
{
    char text[64];

    if (raw.n == 0 || raw.n >= sizeof(text) || scan_type_of(raw) != SCAN_NUMBER) {
        return raw;
    }
    memcpy(text, raw.p, raw.n);
    text[raw.n] = '\0';
    return strtod(text, NULL) > 1.0 ? SLICE("1") : raw;
}

static void write_or_drop(const struct plan *p, const char *name, const struct canon_param *param,
                          bool sent, struct jwrite *w)
{
    if (param->raw.p == NULL) {
        return;
    }
    if (sent) {
        jwrite_raw_in(w, name, param->raw);
    } else {
        canon_drop(p->o, param->name);
    }
}

static void write_sampling(const struct plan *p, struct jwrite *w)
{
    const struct canon_request *r = p->r;
    struct canon_param temperature = {temperature_of(r->temperature.raw), r->temperature.name};
    bool taken = !p->t->no_sampling && !p->thinks;

    write_or_drop(p, "temperature", &temperature, taken, w);
    write_or_drop(p, "top_p", &r->top_p, taken && r->temperature.raw.p == NULL, w);
    write_or_drop(p, "top_k", &r->top_k, taken, w);
}

static void write_stop(const struct plan *p, struct jwrite *w)
{
    bool open = false;

    for (size_t i = 0; i < p->r->n_stop; i++) {
        if (jtext_is_blank(p->r->stop[i])) {
            continue;
        }
        if (!open) {
            jwrite_array_in(w, "stop_sequences");
            open = true;
        }
        jwrite_text(w, p->r->stop[i]);
    }
    if (open) {
        jwrite_array_end(w);
    }
}

static void write_tier(const struct plan *p, struct jwrite *w)
{
    struct slice tier = p->r->service_tier.raw;

    if (tier.p == NULL) {
        return;
    }
    if (slice_eq_str(tier, "\"auto\"")) {
        jwrite_text_in(w, "service_tier", SLICE("auto"));
    } else if (slice_eq_str(tier, "\"default\"")) {
        jwrite_text_in(w, "service_tier", SLICE("standard_only"));
    } else {
        canon_drop(p->o, p->r->service_tier.name);
    }
}

static void drop_hints(const struct plan *p)
{
    const struct canon_request *r = p->r;
    const struct canon_param *const hints[] = {
        &r->seed,     &r->presence_penalty, &r->frequency_penalty, &r->logit_bias,
        &r->logprobs, &r->top_logprobs,     &r->verbosity,         &r->metadata};

    canon_drop_params(p->o, hints, ARRAY_LEN(hints));
    canon_drop_hints(p->o, r);
}

static void write_generation(const struct plan *p, struct jwrite *w)
{
    write_sampling(p, w);
    write_stop(p, w);
    if (p->r->user_text.n > 0) {
        jwrite_object_in(w, "metadata");
        jwrite_text_in(w, "user_id", p->r->user_text);
        jwrite_object_end(w);
    }
    write_tier(p, w);
    if (p->r->stream) {
        jwrite_bool_in(w, "stream", true);
    }
    drop_hints(p);
    canon_write_unknown(w, p->r, p->t);
}

static void write_body(struct plan *p, struct buf *out)
{
    struct jwrite w = jwrite_to(out);
    bool counting = p->r->endpoint == DIALECT_COUNT_TOKENS;

    jwrite_object(&w);
    jwrite_string_in(&w, "model", p->t->model);
    if (!counting) {
        jwrite_u64_in(&w, "max_tokens", p->max_tokens);
    }
    p->turns.marks.at = p->turns.marks.tools;
    write_system(p, &w);
    dialect_anthropic_turns_write(&p->turns, p->o->arena, &w);
    p->turns.marks.at = 0;
    write_tools(p, &w);
    write_choice(p, &w);
    write_thinking(p, &w);
    write_output_config(p, &w);
    jwrite_raw_in(&w, "cache_control", p->r->cache_control);
    if (!counting) {
        write_generation(p, &w);
    }
    jwrite_object_end(&w);
}

static uint64_t max_tokens_of(const struct canon_request *r, const struct canon_target *t)
{
    uint64_t max = r->max_given                 ? r->max_tokens
                   : t->default_max_tokens != 0 ? t->default_max_tokens
                                                : DEFAULT_MAX_TOKENS;

    return t->max_output != 0 && max > t->max_output ? t->max_output : max;
}

bool dialect_anthropic_write_request(const struct canon_request *r, const struct canon_target *t,
                                     struct canon_outcome *o, struct buf *out)
{
    struct plan p = {.r = r, .t = t, .o = o, .max_tokens = max_tokens_of(r, t)};

    if (!check_contract(&p) || !dialect_anthropic_turns_make(r, t, o, &p.turns)) {
        return false;
    }
    plan_tools(&p);
    plan_thinking(&p);
    plan_marks(&p);
    write_body(&p, out);
    return true;
}
