// SPDX-License-Identifier: Apache-2.0
// A choice's parts are told apart by kind: texts are joined, reasoning goes beside them, calls and
// images are listed; each member of the message is one walk over the parts.
#include "dataplane/dialect_openai_write.h"

#include <stdlib.h>
#include <string.h>

#include "common/io/crypto.h"

// --- shared with streams -----------------------------------------------------------------------

static bool for_completions(const struct canon_context *c)
{
    return c->endpoint == DIALECT_COMPLETIONS;
}

struct slice dialect_openai_write_id(struct slice id, const struct canon_context *c)
{
    return id.n > 0 ? id
                    : canon_make_id(for_completions(c) ? "cmpl-" : "chatcmpl-", c->rng, c->arena);
}

struct slice dialect_openai_write_model(struct slice model, const struct canon_context *c)
{
    return model.n > 0 ? model : jtext_encode(c->model, c->arena);
}

struct slice dialect_openai_write_finish(enum canon_finish finish, bool calls,
                                         const struct canon_context *c)
{
    struct slice called = c->functions ? SLICE("function_call") : SLICE("tool_calls");

    switch (finish) {
    case CANON_FINISH_LENGTH:
        return SLICE("length");
    case CANON_FINISH_FILTER:
        return SLICE("content_filter");
    case CANON_FINISH_TOOLS:
        return called;
    case CANON_FINISH_NONE:
    case CANON_FINISH_STOP:
        break;
    }
    return calls ? called : SLICE("stop");
}

static void put_cost(struct jwrite *w, const struct dialect_usage *u, const struct canon_context *c)
{
    char text[40];
    struct slice cost;

    if (c->cost != NULL) { // asked for; null: unpriced
        cost = c->cost(c->cost_ctx, u, text);
        jwrite_raw_in(w, "cost", cost.p != NULL ? cost : SLICE("null"));
    }
}

void dialect_openai_write_usage(struct jwrite *w, const struct dialect_usage *u,
                                const struct canon_context *c)
{
    jwrite_object_in(w, "usage");
    jwrite_u64_in(w, "prompt_tokens", u->input);
    if (c->endpoint != DIALECT_EMBEDDINGS) {
        jwrite_u64_in(w, "completion_tokens", u->output);
    }
    jwrite_u64_in(w, "total_tokens", u->input + u->output);
    if (u->has_cached || u->has_cache_write) {
        jwrite_object_in(w, "prompt_tokens_details");
        if (u->has_cached) {
            jwrite_u64_in(w, "cached_tokens", u->cached);
        }
        if (u->has_cache_write) {
            jwrite_u64_in(w, "cache_write_tokens", u->cache_write);
        }
        jwrite_object_end(w);
    }
    if (u->has_reasoning) {
        jwrite_object_in(w, "completion_tokens_details");
        jwrite_u64_in(w, "reasoning_tokens", u->reasoning);
        jwrite_object_end(w);
    }
    put_cost(w, u, c);
    jwrite_object_end(w);
}

void dialect_openai_write_google_signature(struct jwrite *w, struct slice signature)
{
    if (signature.p != NULL) {
        jwrite_object_in(w, "extra_content");
        jwrite_object_in(w, "google");
        jwrite_text_in(w, "thought_signature", signature);
        jwrite_object_end(w);
        jwrite_object_end(w);
    }
}

void dialect_openai_write_address(struct jwrite *w, const char *name, const struct canon_part *p)
{
    jwrite_name(w, name);
    jwrite_text_begin(w);
    if (p->source == CANON_BASE64) {
        jwrite_text_more(w, SLICE("data:"));
        jwrite_text_more(w, p->media_type);
        jwrite_text_more(w, SLICE(";base64,"));
    }
    jwrite_text_more(w, p->data);
    jwrite_text_end(w);
}

void dialect_openai_write_image(struct jwrite *w, const struct canon_part *p)
{
    jwrite_object(w);
    jwrite_string_in(w, "type", SLICE("image_url"));
    jwrite_object_in(w, "image_url");
    dialect_openai_write_address(w, "url", p);
    jwrite_object_end(w);
    jwrite_object_end(w);
}

void dialect_openai_write_citation(struct jwrite *w, const struct canon_citation *k)
{
    jwrite_object(w);
    jwrite_string_in(w, "type", SLICE("url_citation"));
    jwrite_object_in(w, "url_citation");
    jwrite_u64_in(w, "start_index", k->begin);
    jwrite_u64_in(w, "end_index", k->end);
    jwrite_text_in(w, "title", k->title);
    jwrite_text_in(w, "url", k->url);
    jwrite_object_end(w);
    jwrite_object_end(w);
}

// --- messages ----------------------------------------------------------------------------------

// All texts of one kind, joined; null where there are none, unless `empty` is.
static void put_joined(struct jwrite *w, const char *name, const struct canon_part *parts,
                       enum canon_part_kind kind, bool empty)
{
    bool any = false;

    jwrite_name(w, name);
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == kind && p->text.n > 0) {
            if (!any) {
                jwrite_text_begin(w);
            }
            jwrite_text_more(w, p->text);
            any = true;
        }
    }
    if (any) {
        jwrite_text_end(w);
    } else if (empty) {
        jwrite_text(w, SLICE(""));
    } else {
        jwrite_null(w);
    }
}

static bool has(const struct canon_part *parts, enum canon_part_kind kind)
{
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == kind && (kind != CANON_REASONING || p->text.n > 0)) {
            return true;
        }
    }
    return false;
}

static bool is_block(const struct canon_part *p)
{
    return p->kind == CANON_REDACTED || (p->kind == CANON_REASONING && p->signature.p != NULL);
}

static void put_blocks(struct jwrite *w, const struct canon_part *p)
{
    while (p != NULL && !is_block(p)) {
        p = p->next;
    }
    if (p == NULL) {
        return;
    }
    jwrite_array_in(w, "thinking_blocks");
    for (; p != NULL; p = p->next) {
        if (p->kind == CANON_REDACTED) {
            jwrite_object(w);
            jwrite_string_in(w, "type", SLICE("redacted_thinking"));
            jwrite_text_in(w, "data", p->data);
            jwrite_object_end(w);
        } else if (is_block(p)) {
            jwrite_object(w);
            jwrite_string_in(w, "type", SLICE("thinking"));
            jwrite_text_in(w, "thinking", p->text.p == NULL ? SLICE("") : p->text);
            jwrite_text_in(w, "signature", p->signature);
            jwrite_object_end(w);
        }
    }
    jwrite_array_end(w);
}

static void put_function(struct jwrite *w, const struct canon_part *p)
{
    jwrite_text_in(w, "name", p->name);
    if (p->args.p == NULL && p->text.n > 0) { // what is no JSON object
        jwrite_text_in(w, "arguments", p->text);
    } else {
        jwrite_name(w, "arguments");
        jwrite_quoted(w, p->args.n > 0 ? p->args : SLICE("{}"));
    }
}

static void put_call(struct jwrite *w, const struct canon_part *p, const struct canon_context *c)
{
    jwrite_object(w);
    jwrite_text_in(w, "id", p->id.n > 0 ? p->id : canon_make_id("call_", c->rng, c->arena));
    if (p->custom) {
        jwrite_string_in(w, "type", SLICE("custom"));
        jwrite_object_in(w, "custom");
        jwrite_text_in(w, "name", p->name);
        jwrite_text_in(w, "input", p->text.p == NULL ? SLICE("") : p->text);
    } else {
        jwrite_string_in(w, "type", SLICE("function"));
        jwrite_object_in(w, "function");
        put_function(w, p);
    }
    jwrite_object_end(w);
    dialect_openai_write_google_signature(w, p->google_signature);
    jwrite_object_end(w);
}

static void put_calls(struct jwrite *w, const struct canon_part *parts,
                      const struct canon_context *c)
{
    jwrite_array_in(w, "tool_calls");
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_CALL) {
            put_call(w, p, c);
        }
    }
    jwrite_array_end(w);
}

// The first one: a message of old has one call, without an id.
static void put_function_call(struct jwrite *w, const struct canon_part *p)
{
    while (p->kind != CANON_TOOL_CALL) {
        p = p->next;
    }
    jwrite_object_in(w, "function_call");
    put_function(w, p);
    jwrite_object_end(w);
}

static void put_images(struct jwrite *w, const struct canon_part *parts)
{
    jwrite_array_in(w, "images");
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_IMAGE) {
            dialect_openai_write_image(w, p);
        }
    }
    jwrite_array_end(w);
}

static void put_citations(struct jwrite *w, const struct canon_citation *k)
{
    jwrite_array_in(w, "annotations");
    for (; k != NULL; k = k->next) {
        dialect_openai_write_citation(w, k);
    }
    jwrite_array_end(w);
}

static void put_text_signature(struct jwrite *w, const struct canon_part *parts)
{
    struct slice last = SLICE_NULL;

    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TEXT && p->google_signature.p != NULL) {
            last = p->google_signature;
        }
    }
    dialect_openai_write_google_signature(w, last);
}

static void put_message(struct jwrite *w, const struct canon_choice_out *k,
                        const struct canon_context *c)
{
    bool calls = has(k->parts, CANON_TOOL_CALL);

    jwrite_object_in(w, "message");
    jwrite_string_in(w, "role", SLICE("assistant"));
    put_joined(w, "content", k->parts, CANON_TEXT, !calls); // null beside calls
    put_joined(w, "refusal", k->parts, CANON_REFUSAL, false);
    if (has(k->parts, CANON_REASONING)) {
        put_joined(w, "reasoning_content", k->parts, CANON_REASONING, false);
    }
    put_blocks(w, k->parts);
    if (k->citations != NULL) {
        put_citations(w, k->citations);
    }
    if (has(k->parts, CANON_IMAGE)) {
        put_images(w, k->parts);
    }
    if (calls && c->functions) {
        put_function_call(w, k->parts);
    } else if (calls) {
        put_calls(w, k->parts, c);
    }
    put_text_signature(w, k->parts);
    jwrite_object_end(w);
}

static void put_choice(struct jwrite *w, const struct canon_choice_out *k,
                       const struct canon_context *c)
{
    jwrite_object(w);
    if (for_completions(c)) {
        put_joined(w, "text", k->parts, CANON_TEXT, true);
        jwrite_u64_in(w, "index", k->index);
        jwrite_null_in(w, "logprobs");
        jwrite_text_in(w, "finish_reason", dialect_openai_write_finish(k->finish, false, c));
    } else {
        jwrite_u64_in(w, "index", k->index);
        put_message(w, k, c);
        jwrite_raw_in(w, "logprobs", k->logprobs.p == NULL ? SLICE("null") : k->logprobs);
        jwrite_text_in(w, "finish_reason",
                       dialect_openai_write_finish(k->finish, has(k->parts, CANON_TOOL_CALL), c));
    }
    jwrite_object_end(w);
}

// --- embeddings --------------------------------------------------------------------------------

static void put_float(float f, uint8_t out[4])
{
    uint32_t bits;

    memcpy(&bits, &f, sizeof(bits));
    for (unsigned i = 0; i < 4; i++) {
        out[i] = (uint8_t)(bits >> 8 * i); // little-endian everywhere
    }
}

static bool in_number(char c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

// The next number of a JSON array of numbers; false: there is none.
static bool next_number(struct slice *rest, float *ret)
{
    char text[64];
    size_t n = 0;

    while (rest->n > 0 && !in_number(rest->p[0])) {
        *rest = slice_from(*rest, 1);
    }
    while (n < rest->n && in_number(rest->p[n])) {
        if (n < sizeof(text) - 1) { // digits beyond these do not change a float
            text[n] = rest->p[n];
        }
        n++;
    }
    text[n < sizeof(text) - 1 ? n : sizeof(text) - 1] = '\0';
    *rest = slice_from(*rest, n);
    *ret = n == 0 ? 0.0f : strtof(text, NULL);
    return n > 0;
}

#define FLOATS 192u // a multiple of three: their base64 has no padding

// A vector as base64 of its numbers as float32.
static void put_base64(struct jwrite *w, struct slice vector)
{
    uint8_t bytes[FLOATS * 4];
    char text[FLOATS * 4 / 3 * 4 + 1];
    size_t n = 0;
    float f;

    jwrite_text_begin(w);
    while (next_number(&vector, &f)) {
        put_float(f, bytes + 4 * n++);
        if (n == FLOATS) {
            crypto_base64(text, bytes, sizeof(bytes));
            jwrite_text_more(w, slice_str(text));
            n = 0;
        }
    }
    crypto_base64(text, bytes, 4 * n);
    jwrite_text_more(w, slice_str(text));
    jwrite_text_end(w);
}

static void put_vectors(struct jwrite *w, const struct canon_answer *answer,
                        const struct canon_context *c)
{
    jwrite_string_in(w, "object", SLICE("list"));
    jwrite_array_in(w, "data");
    for (size_t i = 0; i < answer->n_vectors; i++) {
        jwrite_object(w);
        jwrite_string_in(w, "object", SLICE("embedding"));
        jwrite_u64_in(w, "index", i);
        jwrite_name(w, "embedding");
        if (c->base64 && answer->vectors[i].n > 0 && answer->vectors[i].p[0] == '[') {
            put_base64(w, answer->vectors[i]);
        } else {
            jwrite_compact(w, answer->vectors[i]);
        }
        jwrite_object_end(w);
    }
    jwrite_array_end(w);
    jwrite_text_in(w, "model", dialect_openai_write_model(answer->model, c));
    dialect_openai_write_usage(w, &answer->usage, c); // the SDKs count on it
}

// --- answers -----------------------------------------------------------------------------------

void dialect_openai_write_answer(const struct canon_answer *answer, const struct canon_context *c,
                                 struct buf *out)
{
    struct jwrite w = jwrite_to(out);

    jwrite_object(&w);
    if (c->endpoint == DIALECT_EMBEDDINGS) {
        put_vectors(&w, answer, c);
        jwrite_object_end(&w);
        return;
    }
    jwrite_text_in(&w, "id", dialect_openai_write_id(answer->id, c));
    jwrite_string_in(&w, "object",
                     for_completions(c) ? SLICE("text_completion") : SLICE("chat.completion"));
    jwrite_u64_in(&w, "created", c->created);
    jwrite_text_in(&w, "model", dialect_openai_write_model(answer->model, c));
    jwrite_array_in(&w, "choices");
    for (const struct canon_choice_out *k = answer->choices; k != NULL; k = k->next) {
        put_choice(&w, k, c);
    }
    jwrite_array_end(&w);
    if (answer->usage.known) {
        dialect_openai_write_usage(&w, &answer->usage, c);
    }
    jwrite_text_in(&w, "service_tier", answer->service_tier);
    jwrite_object_end(&w);
}
