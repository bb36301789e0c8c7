// SPDX-License-Identifier: Apache-2.0
// Canonical request -> Gemini: tools, generationConfig, and the endpoints beside generateContent.
// The conversation is in dialect_gemini_contents.c.
#include <string.h>

#include "dataplane/dialect_gemini.h"
#include "dataplane/dialect_gemini_contents.h"
#include "dataplane/scan.h"

#define STOP_MAX    5u
#define EMBED_MAX   100u // texts of one batchEmbedContents
#define LOW_BUDGET  1024u
#define MID_BUDGET  8192u
#define HIGH_BUDGET 24576u
// Of thinkingBudget where a number is named: what every model of 2.5 takes; those that always think
// (Pro) take less than none and more than the others.
#define BUDGET_MIN        512u
#define BUDGET_MAX        24576u
#define ALWAYS_BUDGET_MIN 128u
#define ALWAYS_BUDGET_MAX 32768u

struct writer {
    struct jwrite w;
    const struct canon_request *r;
    const struct canon_target *t;
    struct canon_outcome *o;
    struct tape extra; // extra_body, Google's own extension of OpenAI's requests
    uint32_t google;   // its object; TAPE_NONE: there is none
};

// --- tools -------------------------------------------------------------------------------------

static void put_declaration(struct writer *x, const struct canon_tool *tool)
{
    jwrite_object(&x->w);
    jwrite_text_in(&x->w, "name", tool->name);
    jwrite_text_in(&x->w, "description", tool->description);
    jwrite_raw_in(&x->w, "parametersJsonSchema", tool->parameters); // every generation takes it
    jwrite_object_end(&x->w);
}

static void drop_tool(struct writer *x, const struct canon_tool *tool)
{
    canon_drop(
        x->o, arena_printf(x->o->arena, "tools." SLICE_FMT, SLICE_ARG(slice_head(tool->type, 64))));
}

// Google's own tools as they are, where there are no functions: the two go together from generation
// 3 on only, and want more of the client than to send them.
static void put_own_tools(struct writer *x, bool functions)
{
    bool any = false;

    for (const struct canon_tool *tool = x->r->tools; tool != NULL; tool = tool->next) {
        if (tool->google && functions) {
            drop_tool(x, tool);
        } else if (tool->google) {
            if (!any) {
                jwrite_array_in(&x->w, "tools");
            }
            jwrite_raw(&x->w, tool->raw);
            any = true;
        }
    }
    if (any) {
        jwrite_array_end(&x->w);
    }
}

static bool put_tools(struct writer *x, size_t *ret_n)
{
    *ret_n = 0;
    for (const struct canon_tool *tool = x->r->tools; tool != NULL; tool = tool->next) {
        if (tool->kind == CANON_CUSTOM) {
            if (!canon_refuse(x->o, x->t, "tools",
                              "tools of type custom are not supported by this provider")) {
                return false;
            }
        } else if (tool->kind == CANON_TYPED) {
            if (!tool->google) {
                drop_tool(x, tool);
            }
        } else {
            if ((*ret_n)++ == 0) {
                jwrite_array_in(&x->w, "tools");
                jwrite_object(&x->w);
                jwrite_array_in(&x->w, "functionDeclarations");
            }
            put_declaration(x, tool);
        }
    }
    if (*ret_n > 0) {
        jwrite_array_end(&x->w);
        jwrite_object_end(&x->w);
        jwrite_array_end(&x->w);
    }
    put_own_tools(x, *ret_n > 0);
    return true;
}

static void put_tool_config(struct writer *x)
{
    const struct canon_request *r = x->r;
    const char *mode = "AUTO";

    switch (r->choice) {
    case CANON_CHOICE_NONE_GIVEN:
        return;
    case CANON_CHOICE_AUTO:
        break;
    case CANON_CHOICE_NONE:
        mode = "NONE";
        break;
    case CANON_CHOICE_REQUIRED:
    case CANON_CHOICE_NAMED:
        mode = "ANY";
        break;
    case CANON_CHOICE_ALLOWED:
        mode = r->choice_required ? "ANY" : "VALIDATED";
        break;
    }
    jwrite_object_in(&x->w, "toolConfig");
    jwrite_object_in(&x->w, "functionCallingConfig");
    jwrite_string_in(&x->w, "mode", slice_str(mode));
    if (r->n_names > 0 && (r->choice == CANON_CHOICE_NAMED || r->choice == CANON_CHOICE_ALLOWED)) {
        jwrite_array_in(&x->w, "allowedFunctionNames");
        for (size_t i = 0; i < r->n_names; i++) {
            jwrite_text(&x->w, r->names[i]);
        }
        jwrite_array_end(&x->w);
    }
    jwrite_object_end(&x->w);
    jwrite_object_end(&x->w);
}

// --- generationConfig --------------------------------------------------------------------------

// Words of enumerations: minimal -> MINIMAL. None has an escape.
static struct slice upper(struct slice word, struct arena *a)
{
    char *out = arena_strndup(a, word.p, word.n);

    if (slice_find_char(word, '\\') != SIZE_MAX) {
        return word;
    }
    for (size_t i = 0; i < word.n; i++) {
        out[i] = (char)(out[i] >= 'a' && out[i] <= 'z' ? out[i] - 'a' + 'A' : out[i]);
    }
    return (struct slice){out, word.n};
}

static enum canon_effort effort_by_budget(uint64_t budget)
{
    return budget <= LOW_BUDGET   ? CANON_EFFORT_LOW
           : budget <= MID_BUDGET ? CANON_EFFORT_MEDIUM
                                  : CANON_EFFORT_HIGH;
}

// What the client wants of reasoning, as an effort; NOT_GIVEN: it does not say.
static enum canon_effort effort_of(const struct canon_request *r)
{
    switch (r->thinking) {
    case CANON_THINKING_DISABLED:
        return CANON_EFFORT_NONE;
    case CANON_THINKING_ENABLED:
        return effort_by_budget(r->thinking_budget);
    case CANON_THINKING_ADAPTIVE:
        return r->effort != CANON_EFFORT_NOT_GIVEN ? r->effort : CANON_EFFORT_HIGH;
    case CANON_THINKING_NOT_GIVEN:
    case CANON_THINKING_BETWEEN_TOOLS:
        break;
    }
    return r->effort;
}

static const char *level_of(enum canon_effort e, bool low)
{
    switch (e) {
    case CANON_EFFORT_LOW:
        return "LOW";
    case CANON_EFFORT_MEDIUM:
        return "MEDIUM";
    case CANON_EFFORT_HIGH:
    case CANON_EFFORT_XHIGH:
    case CANON_EFFORT_MAX:
        return "HIGH";
    case CANON_EFFORT_NOT_GIVEN:
    case CANON_EFFORT_NONE:
    case CANON_EFFORT_MINIMAL:
        break;
    }
    return low ? "LOW" : "MINIMAL"; // thinking cannot be switched off
}

static uint64_t budget_of(enum canon_effort e)
{
    switch (e) {
    case CANON_EFFORT_NOT_GIVEN:
    case CANON_EFFORT_NONE:
        return 0;
    case CANON_EFFORT_MINIMAL:
    case CANON_EFFORT_LOW:
        return LOW_BUDGET;
    case CANON_EFFORT_MEDIUM:
        return MID_BUDGET;
    case CANON_EFFORT_HIGH:
    case CANON_EFFORT_XHIGH:
    case CANON_EFFORT_MAX:
        break;
    }
    return HIGH_BUDGET;
}

static uint64_t fitting_budget(const struct writer *x, enum canon_effort e)
{
    bool always = x->t->thinking_off == CANON_OFF_EFFORT_LOW;
    uint64_t max = always ? ALWAYS_BUDGET_MAX : BUDGET_MAX;
    bool told = x->r->thinking == CANON_THINKING_ENABLED ||
                (x->r->thinking == CANON_THINKING_NOT_GIVEN && x->r->thinking_budget != 0);
    uint64_t n = told ? x->r->thinking_budget : budget_of(e);

    if (n == 0) {
        return always ? ALWAYS_BUDGET_MIN : 0;
    }
    return n < BUDGET_MIN ? BUDGET_MIN : n > max ? max : n;
}

// thinking_config of extra_body. False: there is none.
static bool put_own_thinking(struct writer *x)
{
    const struct tape *t = &x->extra;
    uint32_t config = tape_given(t, x->google, "thinking_config");
    struct slice level = tape_get_text(t, config, "thinking_level");

    if (!tape_is(t, config, SCAN_OBJECT)) {
        return false;
    }
    jwrite_object_in(&x->w, "thinkingConfig");
    if (level.n > 0) {
        jwrite_text_in(&x->w, "thinkingLevel", upper(level, x->o->arena));
    }
    jwrite_raw_in(&x->w, "thinkingBudget", tape_raw(t, tape_given(t, config, "thinking_budget")));
    jwrite_raw_in(&x->w, "includeThoughts", tape_raw(t, tape_given(t, config, "include_thoughts")));
    jwrite_object_end(&x->w);
    return true;
}

static void put_thinking(struct writer *x)
{
    enum canon_effort e = effort_of(x->r);

    if (put_own_thinking(x) || e == CANON_EFFORT_NOT_GIVEN) {
        return;
    }
    if (x->t->thinks == CANON_THINKS_NEVER) {
        canon_drop(x->o, x->r->effort_name);
        return;
    }
    jwrite_object_in(&x->w, "thinkingConfig");
    if (x->t->gemini3) {
        jwrite_string_in(&x->w, "thinkingLevel", slice_str(level_of(e, x->t->gemini_low)));
    } else {
        jwrite_u64_in(&x->w, "thinkingBudget", fitting_budget(x, e));
    }
    if (e != CANON_EFFORT_NONE) {
        jwrite_bool_in(&x->w, "includeThoughts", true);
    }
    jwrite_object_end(&x->w);
}

static void put_stop(struct writer *x)
{
    size_t n = 0;

    for (size_t i = 0; i < x->r->n_stop && n < STOP_MAX; i++) {
        if (!jtext_is_blank(x->r->stop[i])) {
            if (n++ == 0) {
                jwrite_array_in(&x->w, "stopSequences");
            }
            jwrite_text(&x->w, x->r->stop[i]);
        }
    }
    if (n > 0) {
        jwrite_array_end(&x->w);
    }
}

static void put_format(struct writer *x)
{
    if (x->r->format == CANON_FORMAT_TEXT) {
        return;
    }
    jwrite_string_in(&x->w, "responseMimeType", SLICE("application/json"));
    if (x->r->format != CANON_FORMAT_SCHEMA || x->r->schema.p == NULL) {
        return;
    }
    if (x->t->gemini_schema) {
        jwrite_name(&x->w, "responseSchema");
        dialect_gemini_write_schema(&x->w, x->r->schema);
    } else {
        jwrite_raw_in(&x->w, "responseJsonSchema", x->r->schema);
    }
}

static bool wants(const struct canon_request *r, struct slice quoted_modality)
{
    return slice_find(r->modalities.raw, quoted_modality) != SIZE_MAX;
}

// Images are made where they are asked for; text goes without saying.
static void put_modalities(struct writer *x)
{
    if (!wants(x->r, SLICE("\"image\""))) {
        return;
    }
    jwrite_array_in(&x->w, "responseModalities");
    if (wants(x->r, SLICE("\"text\""))) {
        jwrite_string(&x->w, SLICE("TEXT"));
    }
    jwrite_string(&x->w, SLICE("IMAGE"));
    jwrite_array_end(&x->w);
}

static void put_generation(struct writer *x)
{
    const struct canon_request *r = x->r;
    struct buf *out = x->w.out;
    size_t before = out->n, inside;
    struct jwrite saved = x->w;

    jwrite_object_in(&x->w, "generationConfig");
    inside = out->n;
    if (r->max_given) {
        jwrite_u64_in(&x->w, "maxOutputTokens", r->max_tokens);
    }
    jwrite_raw_in(&x->w, "temperature", r->temperature.raw);
    jwrite_raw_in(&x->w, "topP", r->top_p.raw);
    jwrite_raw_in(&x->w, "topK", r->top_k.raw);
    jwrite_raw_in(&x->w, "seed", r->seed.raw);
    jwrite_raw_in(&x->w, "presencePenalty", r->presence_penalty.raw);
    jwrite_raw_in(&x->w, "frequencyPenalty", r->frequency_penalty.raw);
    jwrite_raw_in(&x->w, "candidateCount", r->n.raw);
    jwrite_raw_in(&x->w, "responseLogprobs", r->logprobs.raw);
    jwrite_raw_in(&x->w, "logprobs", r->top_logprobs.raw);
    put_stop(x);
    put_format(x);
    put_thinking(x);
    put_modalities(x);
    if (out->n == inside) { // nothing was asked for
        out->n = before;
        x->w = saved;
        return;
    }
    jwrite_object_end(&x->w);
}

// --- the whole ---------------------------------------------------------------------------------

static bool refuse_audio(struct writer *x)
{
    if (x->r->audio.raw.p != NULL &&
        !canon_refuse(x->o, x->t, "audio", "audio output is not supported by this provider")) {
        return false;
    }
    return !wants(x->r, SLICE("\"audio\"")) ||
           canon_refuse(x->o, x->t, "modalities", "audio output is not supported by this provider");
}

static void drop_hints(struct writer *x)
{
    const struct canon_request *r = x->r;
    const struct canon_param *const hints[] = {&r->logit_bias,        &r->user,
                                               &r->safety_identifier, &r->service_tier,
                                               &r->verbosity,         &r->metadata};

    canon_drop_params(x->o, hints, ARRAY_LEN(hints));
    if (r->parallel == 0) {
        canon_drop(x->o, r->parallel_tool_calls.name);
    }
    canon_drop_hints(x->o, r);
}

static bool put_chat(struct writer *x)
{
    size_t tools = 0;

    dialect_gemini_write_system(&x->w, x->r);
    if (!dialect_gemini_write_contents(&x->w, x->r, x->t, x->o) || !put_tools(x, &tools)) {
        return false;
    }
    if (tools > 0) {
        put_tool_config(x);
    }
    return true;
}

// A member of extra_body.google, as it is; SLICE_NULL: not given.
static struct slice own(const struct writer *x, const char *name)
{
    return tape_raw(&x->extra, tape_given(&x->extra, x->google, name));
}

static bool write_chat(struct writer *x)
{
    if (!refuse_audio(x)) {
        return false;
    }
    jwrite_object(&x->w);
    if (!put_chat(x)) {
        return false;
    }
    put_generation(x);
    jwrite_raw_in(&x->w, "safetySettings",
                  x->r->safety_settings.p != NULL ? x->r->safety_settings
                                                  : own(x, "safety_settings"));
    jwrite_raw_in(&x->w, "cachedContent", own(x, "cached_content"));
    canon_write_unknown(&x->w, x->r, x->t);
    drop_hints(x);
    jwrite_object_end(&x->w);
    return true;
}

// --- the other endpoints -----------------------------------------------------------------------

static void put_model(struct writer *x)
{
    jwrite_name(&x->w, "model");
    jwrite_text_begin(&x->w);
    if (slice_find_char(x->t->model, '/') == SIZE_MAX) {
        jwrite_text_more(&x->w, SLICE("models/"));
    }
    jwrite_string_more(&x->w, x->t->model);
    jwrite_text_end(&x->w);
}

static bool write_count(struct writer *x)
{
    bool ok;

    jwrite_object(&x->w);
    jwrite_object_in(&x->w, "generateContentRequest");
    put_model(x);
    ok = put_chat(x);
    jwrite_object_end(&x->w);
    jwrite_object_end(&x->w);
    return ok;
}

static void put_embed(struct writer *x, struct slice text)
{
    jwrite_object(&x->w);
    put_model(x);
    jwrite_object_in(&x->w, "content");
    jwrite_array_in(&x->w, "parts");
    jwrite_object(&x->w);
    jwrite_text_in(&x->w, "text", text);
    jwrite_object_end(&x->w);
    jwrite_array_end(&x->w);
    jwrite_object_end(&x->w);
    jwrite_raw_in(&x->w, "outputDimensionality", x->r->dimensions.raw);
    jwrite_object_end(&x->w);
}

static bool put_embeds(struct writer *x, const struct tape *input)
{
    size_t n = 0;

    if (tape_is(input, 0, SCAN_STRING)) {
        put_embed(x, tape_text(input, 0));
        return true;
    }
    TAPE_ITEMS(input, 0, i)
    {
        if (!tape_is(input, i, SCAN_STRING)) {
            return canon_refuse(x->o, x->t, "input",
                                "token arrays are not supported by this provider; send texts");
        }
        if (++n > EMBED_MAX) {
            return canon_bad_request(
                x->o, "input", "this provider takes at most %u texts in a request", EMBED_MAX);
        }
        put_embed(x, tape_text(input, i));
    }
    return true;
}

static bool write_embeddings(struct writer *x)
{
    struct tape input = {.tokens = NULL};
    struct err e;
    bool ok;

    jwrite_object(&x->w);
    jwrite_array_in(&x->w, "requests");
    ok = tape_parse(&input, x->r->input, &e) && put_embeds(x, &input);
    tape_done(&input);
    jwrite_array_end(&x->w);
    jwrite_object_end(&x->w);
    if (x->r->user.raw.p != NULL) {
        canon_drop(x->o, x->r->user.name);
    }
    return ok;
}

bool dialect_gemini_write_request(const struct canon_request *r, const struct canon_target *t,
                                  struct canon_outcome *o, struct buf *out)
{
    struct writer x = {.w = jwrite_to(out), .r = r, .t = t, .o = o, .google = TAPE_NONE};
    bool ok;

    if (r->endpoint == DIALECT_EMBEDDINGS) {
        return write_embeddings(&x);
    }
    if (r->endpoint == DIALECT_COUNT_TOKENS) {
        return write_count(&x);
    }
    if (r->extra_body.p != NULL && tape_parse(&x.extra, r->extra_body, NULL)) {
        x.google = tape_given(&x.extra, 0, "google");
    }
    ok = write_chat(&x);
    tape_done(&x.extra);
    return ok;
}
