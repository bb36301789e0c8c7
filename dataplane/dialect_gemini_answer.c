// SPDX-License-Identifier: Apache-2.0
// Gemini's answers and stream events -> canonical.
//
// Each event of a stream is a whole GenerateContentResponse with the new parts only; calls come
// whole. The body just ends: finish reasons, usage and END are told then (read_end), and only when
// some candidate has finished or the prompt was blocked; else the stream was cut.
#include <string.h>

#include "common/base/text.h"
#include "dataplane/dialect_gemini.h"
#include "dataplane/gather.h"

// --- pieces ------------------------------------------------------------------------------------

static uint64_t count(const struct tape *t, uint32_t usage, const char *name, bool *ret_there)
{
    uint64_t v = 0;
    uint32_t i = tape_given(t, usage, name);

    *ret_there = i != TAPE_NONE && tape_u64(t, i, &v);
    return v < ((uint64_t)1 << 40) ? v : (uint64_t)1 << 40;
}

// Tokens of one kind ("AUDIO") among those counted by kind.
static uint64_t of_kind(const struct tape *t, uint32_t usage, const char *name, const char *kind)
{
    bool there;

    TAPE_ITEMS(t, tape_get(t, usage, name), i)
    {
        if (tape_eq(t, tape_get(t, i, "modality"), kind)) {
            return count(t, i, "tokenCount", &there);
        }
    }
    return 0;
}

void dialect_gemini_read_usage(const struct tape *t, uint32_t top, struct dialect_usage *ret)
{
    uint32_t u = tape_given(t, top, "usageMetadata");
    struct dialect_usage got = {.known = false};
    bool prompt, tools, answers;

    if (!tape_is(t, u, SCAN_OBJECT)) {
        return;
    }
    got.input = count(t, u, "promptTokenCount", &prompt);
    got.input += count(t, u, "toolUsePromptTokenCount", &tools);
    got.cached = count(t, u, "cachedContentTokenCount", &got.has_cached);
    got.output = count(t, u, "candidatesTokenCount", &answers);
    got.reasoning = count(t, u, "thoughtsTokenCount", &got.has_reasoning);
    got.output += got.reasoning;
    got.audio_input = of_kind(t, u, "promptTokensDetails", "AUDIO");
    got.audio_output = of_kind(t, u, "candidatesTokensDetails", "AUDIO");
    got.image_output = of_kind(t, u, "candidatesTokensDetails", "IMAGE");
    got.tier = dialect_tier_of(tape_get_text(t, u, "serviceTier"));
    if (got.tier == DIALECT_TIER_STANDARD) {
        got.tier = dialect_tier_of(tape_get_text(t, u, "trafficType"));
    }
    got.known = prompt || tools || answers || got.has_reasoning;
    if (got.known) {
        *ret = got;
    }
}

enum canon_finish dialect_gemini_finish(const struct tape *t, uint32_t candidate, bool tools)
{
    static const char *const filtered[] = {"SAFETY",
                                           "RECITATION",
                                           "LANGUAGE",
                                           "BLOCKLIST",
                                           "PROHIBITED_CONTENT",
                                           "SPII",
                                           "IMAGE_SAFETY",
                                           "IMAGE_PROHIBITED_CONTENT",
                                           "IMAGE_RECITATION"};
    uint32_t reason = tape_given(t, candidate, "finishReason");

    if (!tape_is(t, reason, SCAN_STRING)) {
        return CANON_FINISH_NONE;
    }
    if (tape_eq(t, reason, "MAX_TOKENS")) {
        return CANON_FINISH_LENGTH;
    }
    for (size_t i = 0; i < ARRAY_LEN(filtered); i++) {
        if (tape_eq(t, reason, filtered[i])) {
            return CANON_FINISH_FILTER;
        }
    }
    return tools ? CANON_FINISH_TOOLS : CANON_FINISH_STOP;
}

static bool is_blocked(const struct tape *t, uint32_t top)
{
    return tape_given(t, tape_get(t, top, "promptFeedback"), "blockReason") != TAPE_NONE;
}

static uint32_t index_of(const struct tape *t, uint32_t candidate)
{
    uint64_t v = 0;

    (void)!tape_u64(t, tape_get(t, candidate, "index"), &v);
    return v < DIALECT_GEMINI_CHOICES ? (uint32_t)v : DIALECT_GEMINI_CHOICES - 1;
}

static uint32_t parts_of(const struct tape *t, uint32_t candidate)
{
    return tape_get(t, tape_get(t, candidate, "content"), "parts");
}

static struct slice args_of(const struct tape *t, uint32_t i, struct arena *a)
{
    return tape_is(t, i, SCAN_OBJECT) ? canon_compact(tape_raw(t, i), a) : SLICE("{}");
}

static bool read_call(const struct tape *t, uint32_t call, const struct canon_context *c,
                      struct canon_part *ret)
{
    ret->kind = CANON_TOOL_CALL;
    ret->id = tape_get_text(t, call, "id");
    if (ret->id.n == 0) {
        ret->id = canon_make_id("call_", c->rng, c->arena);
    }
    ret->name = tape_get_text(t, call, "name");
    ret->name = ret->name.p == NULL ? SLICE("") : ret->name;
    ret->args = args_of(t, tape_get(t, call, "args"), c->arena);
    return true;
}

static bool read_data(const struct tape *t, uint32_t data, struct canon_part *ret)
{
    ret->kind = CANON_IMAGE;
    ret->source = CANON_BASE64;
    ret->media_type = tape_get_text(t, data, "mimeType");
    ret->data = tape_get_text(t, data, "data");
    return ret->media_type.p != NULL && ret->data.p != NULL;
}

bool dialect_gemini_read_part(const struct tape *t, uint32_t i, const struct canon_context *c,
                              struct canon_part *ret)
{
    uint32_t call = tape_given(t, i, "functionCall"), data = tape_given(t, i, "inlineData");
    struct slice text = tape_get_text(t, i, "text");

    *ret = (struct canon_part){.google_signature = tape_get_text(t, i, "thoughtSignature")};
    if (call != TAPE_NONE) {
        return read_call(t, call, c, ret);
    }
    if (data != TAPE_NONE) { // drafts of an image are thoughts
        return !tape_true(t, tape_get(t, i, "thought")) && read_data(t, data, ret);
    }
    ret->kind = tape_true(t, tape_get(t, i, "thought")) ? CANON_REASONING : CANON_TEXT;
    ret->text = text;
    return text.n > 0 || (ret->kind == CANON_TEXT && ret->google_signature.n > 0);
}

// --- logprobs ----------------------------------------------------------------------------------

static void put_bytes(struct jwrite *w, struct slice token, struct arena *a)
{
    struct slice chars = jtext_decode(token, a);

    jwrite_array_in(w, "bytes");
    for (size_t i = 0; i < chars.n; i++) {
        jwrite_u64(w, (unsigned char)chars.p[i]);
    }
    jwrite_array_end(w);
}

// Members of one token, in the open object.
static void put_token(struct jwrite *w, const struct tape *t, uint32_t i, struct arena *a)
{
    struct slice token = tape_get_text(t, i, "token");
    uint32_t p = tape_get(t, i, "logProbability");

    token = token.p == NULL ? SLICE("") : token;
    jwrite_text_in(w, "token", token);
    jwrite_raw_in(w, "logprob", tape_is(t, p, SCAN_NUMBER) ? tape_raw(t, p) : SLICE("-9999.0"));
    put_bytes(w, token, a);
}

struct slice dialect_gemini_logprobs(const struct tape *t, uint32_t candidate, struct arena *a)
{
    uint32_t result = tape_given(t, candidate, "logprobsResult");
    uint32_t chosen = tape_get(t, result, "chosenCandidates");
    uint32_t tops = tape_get(t, result, "topCandidates");
    uint32_t top = tape_is(t, tops, SCAN_ARRAY) ? tape_first(t, tops) : TAPE_NONE;
    struct slice out;
    struct jwrite w;
    struct buf b;

    if (!tape_is(t, chosen, SCAN_ARRAY)) {
        return SLICE_NULL;
    }
    // A byte of a token becomes at most four of the array, and each token brings fixed names.
    buf_init(&b, 64 + 64 * tape_raw(t, result).n);
    w = jwrite_to(&b);
    jwrite_object(&w);
    jwrite_array_in(&w, "content");
    TAPE_ITEMS(t, chosen, i)
    {
        jwrite_object(&w);
        put_token(&w, t, i, a);
        jwrite_array_in(&w, "top_logprobs");
        TAPE_ITEMS(t, tape_get(t, top, "candidates"), k)
        {
            jwrite_object(&w);
            put_token(&w, t, k, a);
            jwrite_object_end(&w);
        }
        jwrite_array_end(&w);
        jwrite_object_end(&w);
        top = top == TAPE_NONE ? TAPE_NONE : tape_after(t, tops, top);
    }
    jwrite_array_end(&w);
    jwrite_null_in(&w, "refusal");
    jwrite_object_end(&w);
    out = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return out;
}

// --- whole answers -----------------------------------------------------------------------------

static struct canon_choice_out *read_candidate(const struct tape *t, uint32_t candidate,
                                               const struct canon_context *c)
{
    struct canon_choice_out *out = arena_zalloc(c->arena, sizeof(*out));
    struct canon_part **tail = &out->parts, part;
    bool cited = tape_given(t, candidate, "groundingMetadata") != TAPE_NONE;
    struct dialect_gemini_cite cite = {.n = 0};

    out->index = index_of(t, candidate);
    TAPE_ITEMS(t, parts_of(t, candidate), i)
    {
        if (dialect_gemini_read_part(t, i, c, &part)) {
            *canon_add_part(c->arena, &tail, part.kind) = part;
            if (cited && part.kind == CANON_TEXT) {
                dialect_gemini_cite_text(&cite, part.text, c->arena);
            }
        }
    }
    out->finish = dialect_gemini_finish(t, candidate, canon_has_tool_calls(out->parts));
    if (out->finish == CANON_FINISH_NONE) {
        out->finish = canon_has_tool_calls(out->parts) ? CANON_FINISH_TOOLS : CANON_FINISH_STOP;
    }
    out->logprobs = dialect_gemini_logprobs(t, candidate, c->arena);
    out->citations = dialect_gemini_cite_sources(&cite, t, candidate, c->arena);
    return out;
}

static bool read_generated(const struct tape *t, const struct canon_context *c,
                           struct canon_answer *ret)
{
    struct canon_choice_out **tail = &ret->choices;

    TAPE_ITEMS(t, tape_get(t, 0, "candidates"), i)
    {
        *tail = read_candidate(t, i, c);
        tail = &(*tail)->next;
    }
    if (ret->choices == NULL && is_blocked(t, 0)) {
        *tail = arena_zalloc(c->arena, sizeof(**tail));
        (*tail)->finish = CANON_FINISH_FILTER;
    }
    return ret->choices != NULL;
}

static bool read_response(struct dialect_gemini_reader *r, const struct tape *t, uint32_t top,
                          const struct canon_context *c, struct canon_sink to);

// A stream that is no SSE (without alt=sse): the list of all its events, put together.
static bool read_list(const struct tape *t, const struct canon_context *c, struct canon_answer *ret)
{
    struct dialect_gemini_reader *r = arena_zalloc(c->arena, sizeof(*r));
    bool ok = true;
    struct gather g;

    gather_init(&g, c->arena);
    TAPE_ITEMS(t, 0, i)
    {
        ok = ok && tape_given(t, i, "error") == TAPE_NONE &&
             read_response(r, t, i, c, (struct canon_sink){gather_tell, &g});
    }
    if (ok) {
        dialect_gemini_read_end(r, c, (struct canon_sink){gather_tell, &g});
    }
    ok = ok && gather_finish(&g, ret);
    gather_done(&g);
    return ok;
}

static bool read_vectors(const struct tape *t, const struct canon_context *c,
                         struct canon_answer *ret)
{
    uint32_t list = tape_get(t, 0, "embeddings");
    size_t n = 0;

    TAPE_ITEMS(t, list, i)
    {
        n++;
    }
    ret->vectors = arena_alloc(c->arena, (n + 1) * sizeof(*ret->vectors));
    TAPE_ITEMS(t, list, k)
    {
        uint32_t values = tape_get(t, k, "values");

        if (!tape_is(t, values, SCAN_ARRAY)) {
            return false;
        }
        ret->vectors[ret->n_vectors++] = tape_raw(t, values);
    }
    return tape_is(t, list, SCAN_ARRAY);
}

bool dialect_gemini_read_answer(const struct tape *t, const struct canon_context *c,
                                struct canon_answer *ret)
{
    if (tape_is(t, 0, SCAN_ARRAY) && c->endpoint != DIALECT_COUNT_TOKENS &&
        c->endpoint != DIALECT_EMBEDDINGS) {
        return read_list(t, c, ret);
    }
    if (!tape_is(t, 0, SCAN_OBJECT)) {
        return false;
    }
    if (c->endpoint == DIALECT_COUNT_TOKENS) {
        ret->usage.known = true;
        return tape_u64(t, tape_get(t, 0, "totalTokens"), &ret->usage.input);
    }
    dialect_gemini_read_usage(t, 0, &ret->usage);
    if (c->endpoint == DIALECT_EMBEDDINGS) {
        return read_vectors(t, c, ret);
    }
    ret->id = tape_get_text(t, 0, "responseId");
    ret->model = tape_get_text(t, 0, "modelVersion");
    return read_generated(t, c, ret);
}

// --- events ------------------------------------------------------------------------------------

static void tell_call(struct dialect_gemini_reader *r, const struct canon_part *p, uint32_t choice,
                      const struct canon_context *c, struct canon_sink to)
{
    struct canon_event ev = {.kind = CANON_EV_TOOL,
                             .choice = choice,
                             .tool = r->tools[choice]++,
                             .id = p->id,
                             .name = p->name,
                             .whole = true,
                             .google_signature = p->google_signature};

    to.tell(to.ctx, &ev);
    ev = (struct canon_event){.kind = CANON_EV_ARGS,
                              .choice = choice,
                              .tool = ev.tool,
                              .text = jtext_encode(p->args, c->arena)};
    to.tell(to.ctx, &ev);
}

// logprobs: of the event's texts, told with the first of them; SLICE_NULL from then on.
static void tell_part(struct dialect_gemini_reader *r, const struct canon_part *p, uint32_t choice,
                      struct slice *logprobs, const struct canon_context *c, struct canon_sink to)
{
    struct canon_event ev = {.kind = CANON_EV_TEXT, .choice = choice, .text = p->text};

    if (p->kind == CANON_TOOL_CALL) {
        tell_call(r, p, choice, c, to);
        return;
    }
    if (p->kind == CANON_IMAGE) {
        ev.kind = CANON_EV_IMAGE;
        ev.part = p;
        to.tell(to.ctx, &ev);
        return;
    }
    if (p->kind == CANON_REASONING) {
        ev.kind = CANON_EV_REASONING;
    } else if (p->text.n > 0) {
        ev.logprobs = *logprobs;
        *logprobs = SLICE_NULL;
    }
    if (p->text.n > 0) {
        to.tell(to.ctx, &ev);
    }
    ev.logprobs = SLICE_NULL;
    if (p->kind == CANON_TEXT && p->google_signature.n > 0) {
        ev.kind = CANON_EV_GOOGLE_SIGNATURE;
        ev.text = p->google_signature;
        to.tell(to.ctx, &ev);
    }
}

// The texts and calls of one candidate's event. logprobs: see tell_part.
static void tell_parts(struct dialect_gemini_reader *r, const struct tape *t, uint32_t candidate,
                       struct slice logprobs, const struct canon_context *c, struct canon_sink to)
{
    uint32_t choice = index_of(t, candidate);
    struct canon_part part;

    TAPE_ITEMS(t, parts_of(t, candidate), i)
    {
        if (dialect_gemini_read_part(t, i, c, &part)) {
            tell_part(r, &part, choice, &logprobs, c, to);
            if (part.kind == CANON_TEXT) {
                dialect_gemini_cite_text(&r->cites[choice], part.text, c->arena);
            }
        }
    }
    if (logprobs.p != NULL) { // behind the text they are of
        struct canon_event ev = {.kind = CANON_EV_TEXT, .choice = choice, .logprobs = logprobs};

        ev.text = SLICE("");
        to.tell(to.ctx, &ev);
    }
}

static void tell_candidate(struct dialect_gemini_reader *r, const struct tape *t,
                           uint32_t candidate, const struct canon_context *c, struct canon_sink to)
{
    uint32_t choice = index_of(t, candidate);
    enum canon_finish finish;
    struct arena scratch; // of the event: a stream of them takes no memory

    r->seen |= 1u << choice;
    if (tape_given(t, candidate, "logprobsResult") == TAPE_NONE &&
        tape_given(t, candidate, "groundingMetadata") == TAPE_NONE) {
        tell_parts(r, t, candidate, SLICE_NULL, c, to);
    } else {
        arena_init(&scratch, 4096, 0);
        tell_parts(r, t, candidate, dialect_gemini_logprobs(t, candidate, &scratch), c, to);
        for (struct canon_citation *k =
                 dialect_gemini_cite_sources(&r->cites[choice], t, candidate, &scratch);
             k != NULL; k = k->next) {
            struct canon_event ev = {.kind = CANON_EV_CITATION, .choice = choice, .citation = k};

            to.tell(to.ctx, &ev);
        }
        arena_done(&scratch);
    }
    finish = dialect_gemini_finish(t, candidate, r->tools[choice] > 0);
    if (finish != CANON_FINISH_NONE) {
        r->finish[choice] = finish;
    }
}

static void tell_error(const struct tape *t, const struct canon_context *c, struct canon_sink to)
{
    struct dialect_error e = {.status = 0};
    struct canon_event ev = {.kind = CANON_EV_ERROR, .error = &e};

    dialect_gemini_read_error(0, t->src, c->arena, &e);
    to.tell(to.ctx, &ev);
}

// One GenerateContentResponse. False: it is none.
static bool read_response(struct dialect_gemini_reader *r, const struct tape *t, uint32_t top,
                          const struct canon_context *c, struct canon_sink to)
{
    if (!tape_is(t, top, SCAN_OBJECT)) {
        return false;
    }
    if (!r->started) {
        struct canon_event ev = {.kind = CANON_EV_START,
                                 .id = tape_get_text(t, top, "responseId"),
                                 .model = tape_get_text(t, top, "modelVersion")};

        r->started = true;
        to.tell(to.ctx, &ev);
    }
    r->blocked = r->blocked || is_blocked(t, top);
    dialect_gemini_read_usage(t, top, &r->usage);
    TAPE_ITEMS(t, tape_get(t, top, "candidates"), i)
    {
        tell_candidate(r, t, i, c, to);
    }
    if (r->usage.known) { // so far: a stream that is left or cut has used it
        struct canon_event ev = {.kind = CANON_EV_USAGE, .usage = &r->usage};

        to.tell(to.ctx, &ev);
    }
    return true;
}

bool dialect_gemini_read_event(void *reader, struct tape *t, struct slice event, struct slice data,
                               const struct canon_context *c, struct canon_sink to)
{
    struct dialect_gemini_reader *r = reader;
    bool list;
    struct err e;

    (void)event; // Google names no events
    if (!tape_parse(t, data, &e)) {
        return false;
    }
    list = tape_is(t, 0, SCAN_ARRAY);
    for (uint32_t i = list ? tape_first(t, 0) : 0; i != TAPE_NONE;
         i = list ? tape_after(t, 0, i) : TAPE_NONE) {
        if (tape_given(t, i, "error") != TAPE_NONE) {
            tell_error(t, c, to);
            return true; // nothing follows
        }
        if (!read_response(r, t, i, c, to)) {
            return false;
        }
    }
    return true;
}

void dialect_gemini_read_end(void *reader, const struct canon_context *c, struct canon_sink to)
{
    struct dialect_gemini_reader *r = reader;
    struct canon_event ev = {.kind = CANON_EV_USAGE, .usage = &r->usage};

    (void)c;
    if (r->blocked && r->seen == 0) {
        r->seen = 1;
    }
    for (uint32_t i = 0; i < DIALECT_GEMINI_CHOICES; i++) {
        if (r->blocked && r->finish[i] == CANON_FINISH_NONE) {
            r->finish[i] = CANON_FINISH_FILTER;
        }
        if ((r->seen >> i & 1) != 0 && r->finish[i] == CANON_FINISH_NONE) {
            return; // cut
        }
    }
    if (r->seen == 0) {
        return;
    }
    for (uint32_t i = 0; i < DIALECT_GEMINI_CHOICES; i++) {
        if ((r->seen >> i & 1) != 0) {
            struct canon_event finish = {
                .kind = CANON_EV_FINISH, .choice = i, .finish = r->finish[i]};

            to.tell(to.ctx, &finish);
        }
    }
    if (r->usage.known) {
        to.tell(to.ctx, &ev);
    }
    ev = (struct canon_event){.kind = CANON_EV_END};
    to.tell(to.ctx, &ev);
}
