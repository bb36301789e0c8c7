// SPDX-License-Identifier: Apache-2.0
// Canonical request -> Gemini (providers/gemini.md section 9).
//
// Turns of one role are one `contents` entry: an entry is opened when the role changes and closed
// when the next one differs or the messages end; a message without parts opens nothing.
#include <string.h>

#include "dataplane/dialect_gemini.h"
#include "dataplane/scan.h"

#define SENTINEL    "skip_thought_signature_validator" // for calls that Gemini did not make
#define STOP_MAX    5u
#define LOW_BUDGET  1024u
#define MID_BUDGET  8192u
#define HIGH_BUDGET 24576u

struct writer {
    struct jwrite w;
    const struct canon_request *r;
    const struct canon_target *t;
    struct canon_outcome *o;
    enum canon_role open; // CANON_SYSTEM: no entry is open
    bool call_seen;       // in the open entry
};

// --- media -------------------------------------------------------------------------------------

static const char *type_by_extension(struct slice url)
{
    static const struct {
        const char *end, *type;
    } list[] = {{".png", "image/png"},       {".jpg", "image/jpeg"},  {".jpeg", "image/jpeg"},
                {".gif", "image/gif"},       {".webp", "image/webp"}, {".heic", "image/heic"},
                {".pdf", "application/pdf"}, {".mp4", "video/mp4"},   {".mov", "video/quicktime"},
                {".webm", "video/webm"},     {".mp3", "audio/mp3"},   {".wav", "audio/wav"},
                {".ogg", "audio/ogg"},       {".flac", "audio/flac"}, {".txt", "text/plain"}};
    struct slice path;

    (void)slice_cut(url, '?', &path);
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        size_t n = strlen(list[i].end);

        if (path.n > n && slice_eq_nocase(slice_from(path, path.n - n), slice_str(list[i].end))) {
            return list[i].type;
        }
    }
    return "image/jpeg";
}

static bool put_media(struct writer *x, const struct canon_part *p)
{
    switch (p->source) {
    case CANON_BASE64:
        jwrite_object(&x->w);
        jwrite_object_in(&x->w, "inlineData");
        jwrite_text_in(&x->w, "mimeType",
                       p->media_type.n > 0 ? p->media_type : SLICE("application/octet-stream"));
        jwrite_text_in(&x->w, "data", p->data);
        jwrite_object_end(&x->w);
        jwrite_object_end(&x->w);
        return true;
    case CANON_URL:
        jwrite_object(&x->w);
        jwrite_object_in(&x->w, "fileData");
        jwrite_text_in(&x->w, "mimeType",
                       p->media_type.n > 0 ? p->media_type : slice_str(type_by_extension(p->data)));
        jwrite_text_in(&x->w, "fileUri", p->data);
        jwrite_object_end(&x->w);
        jwrite_object_end(&x->w);
        return true;
    case CANON_PLAIN:
        jwrite_object(&x->w);
        jwrite_text_in(&x->w, "text", p->data);
        jwrite_object_end(&x->w);
        return true;
    case CANON_FILE_ID:
        break;
    }
    return canon_refuse(x->o, x->t, "messages",
                        "a file_id names a file at another provider; send the file itself");
}

// --- parts -------------------------------------------------------------------------------------

static void put_text(struct writer *x, const struct canon_part *p)
{
    if (p->text.n == 0 && p->google_signature.p == NULL) {
        return;
    }
    jwrite_object(&x->w);
    jwrite_text_in(&x->w, "text", p->text.p == NULL ? SLICE("") : p->text);
    if (!x->t->strip_signatures) {
        jwrite_text_in(&x->w, "thoughtSignature", p->google_signature);
    }
    jwrite_object_end(&x->w);
}

static void put_call(struct writer *x, const struct canon_part *p)
{
    struct slice signature = x->t->strip_signatures ? SLICE_NULL : p->google_signature;

    // Gemini 3 checks the first call of a turn; what it did not sign itself carries the sentinel.
    if (signature.p == NULL && x->t->gemini3 && !x->call_seen) {
        signature = SLICE(SENTINEL);
    }
    x->call_seen = true;
    jwrite_object(&x->w);
    jwrite_object_in(&x->w, "functionCall");
    jwrite_text_in(&x->w, "id", p->id);
    jwrite_text_in(&x->w, "name", p->name);
    jwrite_name(&x->w, "args");
    jwrite_compact(&x->w, p->args.p == NULL ? SLICE("{}") : p->args);
    jwrite_object_end(&x->w);
    jwrite_text_in(&x->w, "thoughtSignature", signature);
    jwrite_object_end(&x->w);
}

// A JSON object is the result as it is; all else goes under a name.
static void put_response(struct writer *x, const struct canon_part *p)
{
    struct slice text =
        p->text.p != NULL ? p->text : canon_join_texts(p->parts, "\\n", x->o->arena);
    const char *name = p->is_error ? "error" : "output";
    struct slice json;
    bool is_json = text.n > 0 && !jtext_is_blank(text) && !p->is_error &&
                   jtext_to_json(text, x->o->arena, &json);

    jwrite_name(&x->w, "response");
    if (is_json && json.p[0] == '{') {
        jwrite_compact(&x->w, json);
        return;
    }
    jwrite_object(&x->w);
    if (is_json) {
        jwrite_name(&x->w, name);
        jwrite_compact(&x->w, json);
    } else {
        jwrite_text_in(&x->w, name, text.p == NULL ? SLICE("") : text);
    }
    jwrite_object_end(&x->w);
}

static bool put_result_media(struct writer *x, const struct canon_part *p)
{
    bool any = false, ok = true;

    for (const struct canon_part *q = p->parts; q != NULL && ok; q = q->next) {
        if (q->kind == CANON_IMAGE || q->kind == CANON_FILE || q->kind == CANON_AUDIO) {
            if (!any) {
                jwrite_array_in(&x->w, "parts");
                any = true;
            }
            ok = put_media(x, q);
        }
    }
    if (any) {
        jwrite_array_end(&x->w);
    }
    return ok;
}

static bool put_result(struct writer *x, const struct canon_part *p)
{
    struct slice name = canon_tool_name(x->r, p->id);
    bool ok;

    if (name.p == NULL) {
        return canon_bad_request(x->o, "messages",
                                 "a tool result names the call \"" SLICE_FMT
                                 "\", which is in no earlier message",
                                 SLICE_ARG(slice_head(p->id, 64)));
    }
    jwrite_object(&x->w);
    jwrite_object_in(&x->w, "functionResponse");
    jwrite_text_in(&x->w, "id", p->id);
    jwrite_text_in(&x->w, "name", name);
    put_response(x, p);
    ok = put_result_media(x, p);
    jwrite_object_end(&x->w);
    jwrite_object_end(&x->w);
    return ok;
}

static bool put_part(struct writer *x, const struct canon_part *p)
{
    switch (p->kind) {
    case CANON_TEXT:
    case CANON_REFUSAL:
        put_text(x, p);
        return true;
    case CANON_IMAGE:
    case CANON_AUDIO:
    case CANON_FILE:
        return put_media(x, p);
    case CANON_TOOL_CALL:
        if (p->custom) {
            return canon_refuse(x->o, x->t, "messages",
                                "calls of custom tools cannot be sent to this provider");
        }
        put_call(x, p);
        return true;
    case CANON_TOOL_RESULT:
        return put_result(x, p);
    case CANON_OTHER:
        return canon_refuse(x->o, x->t, "messages",
                            "content of type \"" SLICE_FMT "\" cannot be sent to this provider",
                            SLICE_ARG(slice_head(p->name, 64)));
    case CANON_REASONING:
    case CANON_REDACTED:
        break; // made by another model
    }
    return true;
}

static bool is_shown(const struct canon_part *p)
{
    return p->kind != CANON_REASONING && p->kind != CANON_REDACTED &&
           ((p->kind != CANON_TEXT && p->kind != CANON_REFUSAL) || p->text.n > 0 ||
            p->google_signature.p != NULL);
}

// --- contents ----------------------------------------------------------------------------------

static void close_turn(struct writer *x)
{
    if (x->open != CANON_SYSTEM) {
        jwrite_array_end(&x->w);
        jwrite_object_end(&x->w);
        x->open = CANON_SYSTEM;
    }
}

static void open_turn(struct writer *x, enum canon_role role)
{
    if (x->open == role) {
        return;
    }
    close_turn(x);
    jwrite_object(&x->w);
    jwrite_string_in(&x->w, "role", role == CANON_USER ? SLICE("user") : SLICE("model"));
    jwrite_array_in(&x->w, "parts");
    x->open = role;
    x->call_seen = false;
}

// calls: only the tool calls, else all but them: calls follow the text.
static bool put_parts(struct writer *x, const struct canon_message *m, bool calls)
{
    for (const struct canon_part *p = m->parts; p != NULL; p = p->next) {
        if ((p->kind == CANON_TOOL_CALL) == calls && is_shown(p)) {
            open_turn(x, m->role);
            if (!put_part(x, p)) {
                return false;
            }
        }
    }
    return true;
}

static bool put_contents(struct writer *x)
{
    bool ok = true;

    jwrite_array_in(&x->w, "contents");
    for (const struct canon_message *m = x->r->messages; m != NULL && ok; m = m->next) {
        ok = m->role == CANON_SYSTEM || (put_parts(x, m, false) && put_parts(x, m, true));
    }
    close_turn(x);
    jwrite_array_end(&x->w);
    return ok;
}

static void put_system(struct writer *x)
{
    bool any = false;

    for (const struct canon_message *m = x->r->messages; m != NULL; m = m->next) {
        for (const struct canon_part *p = m->parts; p != NULL && m->role == CANON_SYSTEM;
             p = p->next) {
            if (p->kind != CANON_TEXT || p->text.n == 0) {
                continue;
            }
            if (!any) {
                jwrite_object_in(&x->w, "systemInstruction");
                jwrite_array_in(&x->w, "parts");
                any = true;
            }
            jwrite_object(&x->w);
            jwrite_text_in(&x->w, "text", p->text);
            jwrite_object_end(&x->w);
        }
    }
    if (any) {
        jwrite_array_end(&x->w);
        jwrite_object_end(&x->w);
    }
}

// --- tools -------------------------------------------------------------------------------------

static void put_declaration(struct writer *x, const struct canon_tool *tool)
{
    jwrite_object(&x->w);
    jwrite_text_in(&x->w, "name", tool->name);
    jwrite_text_in(&x->w, "description", tool->description);
    if (x->t->gemini_schema && tool->parameters.p != NULL) {
        jwrite_name(&x->w, "parameters");
        dialect_gemini_write_schema(&x->w, tool->parameters);
    } else {
        jwrite_raw_in(&x->w, "parametersJsonSchema", tool->parameters);
    }
    jwrite_object_end(&x->w);
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
            canon_drop(x->o, arena_printf(x->o->arena, "tools." SLICE_FMT,
                                          SLICE_ARG(slice_head(tool->type, 64))));
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

static void put_thinking(struct writer *x)
{
    enum canon_effort e = effort_of(x->r);

    if (e == CANON_EFFORT_NOT_GIVEN) {
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
        jwrite_u64_in(&x->w, "thinkingBudget",
                      x->r->thinking == CANON_THINKING_ENABLED ? x->r->thinking_budget
                                                               : budget_of(e));
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
    return x->r->modalities.raw.p == NULL ||
           slice_find(x->r->modalities.raw, SLICE("\"audio\"")) == SIZE_MAX ||
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

    put_system(x);
    if (!put_contents(x) || !put_tools(x, &tools)) {
        return false;
    }
    if (tools > 0) {
        put_tool_config(x);
    }
    return true;
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
    jwrite_raw_in(&x->w, "safetySettings", x->r->safety_settings);
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
    struct writer x = {jwrite_to(out), r, t, o, CANON_SYSTEM, false};

    if (r->endpoint == DIALECT_EMBEDDINGS) {
        return write_embeddings(&x);
    }
    return r->endpoint == DIALECT_COUNT_TOKENS ? write_count(&x) : write_chat(&x);
}
