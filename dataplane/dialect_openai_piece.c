// SPDX-License-Identifier: Apache-2.0
// Reasoning in one form, from where vendors put it: reasoning_content, else reasoning, else
// reasoning_details[].text; thinking_blocks (other gateways) go before these where
// they hold the text. Content is a string, or a list of parts (Mistral, Databricks).
#include "dataplane/dialect_openai_piece.h"

#include "common/base/text.h"

struct walk {
    const struct tape *t;
    struct arena *a;
    void (*fn)(void *ctx, const struct dialect_openai_piece *p);
    void *ctx;
};

static void tell(const struct walk *w, enum dialect_openai_piece_kind kind, struct slice text)
{
    struct dialect_openai_piece p = {.kind = kind, .text = text};

    if (text.n > 0) {
        w->fn(w->ctx, &p);
    }
}

static void tell_member(const struct walk *w, enum dialect_openai_piece_kind kind, uint32_t object,
                        const char *name)
{
    tell(w, kind, tape_get_text(w->t, object, name));
}

// --- reasoning ---------------------------------------------------------------------------------

static bool has_thinking(const struct tape *t, uint32_t blocks)
{
    TAPE_ITEMS(t, blocks, i)
    {
        if (tape_get_text(t, i, "thinking").n > 0) {
            return true;
        }
    }
    return false;
}

static void tell_blocks(const struct walk *w, uint32_t blocks)
{
    TAPE_ITEMS(w->t, blocks, i)
    {
        tell_member(w, DIALECT_OPENAI_REASONING, i, "thinking");
        tell_member(w, DIALECT_OPENAI_SIGNATURE, i, "signature");
        tell_member(w, DIALECT_OPENAI_REDACTED, i, "data");
    }
}

// Is there something in reasoning_details that `reasoning`, which repeats its texts, does not hold?
static bool has_signed(const struct tape *t, uint32_t details)
{
    TAPE_ITEMS(t, details, i)
    {
        if (tape_get_text(t, i, "signature").n > 0 || tape_get_text(t, i, "data").n > 0) {
            return true;
        }
    }
    return false;
}

// OpenRouter's and MiniMax's. What is encrypted can only be given back in its maker's format, and
// the one that has a place in the canonical model is Anthropic's.
static void tell_details(const struct walk *w, uint32_t list)
{
    TAPE_ITEMS(w->t, list, i)
    {
        struct slice text = tape_get_text(w->t, i, "text");
        struct slice format = tape_get_text(w->t, i, "format");

        tell(w, DIALECT_OPENAI_DETAILS, text.n > 0 ? text : tape_get_text(w->t, i, "summary"));
        tell_member(w, DIALECT_OPENAI_SIGNATURE, i, "signature");
        if (format.n == 0 || slice_starts(format, SLICE("anthropic"))) {
            tell_member(w, DIALECT_OPENAI_REDACTED, i, "data");
        }
    }
}

static void tell_reasoning(const struct walk *w, uint32_t message)
{
    static const char *const names[] = {"reasoning_content", "reasoning"};
    uint32_t blocks = tape_get(w->t, message, "thinking_blocks");
    uint32_t details = tape_get(w->t, message, "reasoning_details");
    bool in_blocks = has_thinking(w->t, blocks), told = in_blocks || has_signed(w->t, details);

    for (size_t i = 0; i < ARRAY_LEN(names) && !told; i++) {
        struct slice text = tape_get_text(w->t, message, names[i]);

        tell(w, DIALECT_OPENAI_REASONING, text);
        told = text.n > 0;
    }
    if (!in_blocks && (!told || has_signed(w->t, details))) {
        tell_details(w, details);
    }
    tell_blocks(w, blocks);
}

// --- content -----------------------------------------------------------------------------------

static void tell_image(const struct walk *w, uint32_t image)
{
    uint32_t at = tape_get(w->t, image, "image_url");
    struct canon_part part = {.kind = CANON_IMAGE, .source = CANON_URL};
    struct dialect_openai_piece p = {.kind = DIALECT_OPENAI_IMAGE, .part = &part};
    struct slice url = tape_text(w->t, at);

    part.data = url.p != NULL ? url : tape_get_text(w->t, at, "url");
    if (part.data.n == 0) {
        return;
    }
    if (jtext_data_url(part.data, w->a, &part.media_type, &part.data)) {
        part.source = CANON_BASE64;
    }
    w->fn(w->ctx, &p);
}

// Mistral's and Databricks' parts of thought: a text, or a list of texts, signed or not.
static void tell_thought(const struct walk *w, uint32_t part, const char *list)
{
    uint32_t texts = tape_get(w->t, part, list);

    tell(w, DIALECT_OPENAI_REASONING, tape_text(w->t, texts));
    TAPE_ITEMS(w->t, texts, i)
    {
        tell_member(w, DIALECT_OPENAI_REASONING, i, "text");
        tell_member(w, DIALECT_OPENAI_SIGNATURE, i, "signature");
    }
    tell_member(w, DIALECT_OPENAI_SIGNATURE, part, "signature");
}

static void tell_part(const struct walk *w, uint32_t part)
{
    uint32_t type = tape_get(w->t, part, "type");

    if (tape_is(w->t, part, SCAN_STRING)) {
        tell(w, DIALECT_OPENAI_TEXT, tape_text(w->t, part));
    } else if (tape_eq(w->t, type, "thinking")) {
        tell_thought(w, part, "thinking");
    } else if (tape_eq(w->t, type, "reasoning")) {
        tell_thought(w, part, "summary");
    } else if (tape_eq(w->t, type, "refusal")) {
        tell_member(w, DIALECT_OPENAI_REFUSAL, part, "refusal");
    } else if (tape_eq(w->t, type, "image_url")) {
        tell_image(w, part);
    } else {
        tell_member(w, DIALECT_OPENAI_TEXT, part, "text");
    }
}

static void tell_citation(const struct walk *w, uint32_t annotation)
{
    uint32_t at = tape_get(w->t, annotation, "url_citation");
    struct canon_citation k = {.url = tape_get_text(w->t, at, "url"),
                               .title = tape_get_text(w->t, at, "title")};
    struct dialect_openai_piece p = {.kind = DIALECT_OPENAI_CITATION, .citation = &k};

    if (k.url.n > 0) {
        (void)!tape_u64(w->t, tape_get(w->t, at, "start_index"), &k.begin);
        (void)!tape_u64(w->t, tape_get(w->t, at, "end_index"), &k.end);
        w->fn(w->ctx, &p);
    }
}

void dialect_openai_piece_sources(const struct tape *t,
                                  void (*fn)(void *ctx, const struct dialect_openai_piece *p),
                                  void *ctx)
{
    uint32_t list = tape_get(t, 0, "search_results");

    list = tape_first(t, list) != TAPE_NONE ? list : tape_get(t, 0, "citations");
    TAPE_ITEMS(t, list, i)
    {
        struct canon_citation k = {.url = tape_text(t, i)};
        struct dialect_openai_piece p = {.kind = DIALECT_OPENAI_CITATION, .citation = &k};

        if (k.url.p == NULL) {
            k.url = tape_get_text(t, i, "url");
            k.title = tape_get_text(t, i, "title");
        }
        if (k.url.n > 0) {
            fn(ctx, &p);
        }
    }
}

struct slice dialect_openai_piece_google_signature(const struct tape *t, uint32_t object)
{
    uint32_t google = tape_get(t, tape_get(t, object, "extra_content"), "google");

    return tape_get_text(t, google, "thought_signature");
}

void dialect_openai_piece_each(const struct tape *t, uint32_t message, struct arena *a,
                               void (*fn)(void *ctx, const struct dialect_openai_piece *p),
                               void *ctx)
{
    struct walk w = {t, a, fn, ctx};
    uint32_t content = tape_get(t, message, "content");
    uint32_t images = tape_get(t, message, "images");
    uint32_t annotations = tape_get(t, message, "annotations");

    tell_reasoning(&w, message);
    tell(&w, DIALECT_OPENAI_TEXT, tape_text(t, content));
    TAPE_ITEMS(t, content, i)
    {
        tell_part(&w, i);
    }
    tell(&w, DIALECT_OPENAI_GOOGLE_SIGNATURE, dialect_openai_piece_google_signature(t, message));
    tell_member(&w, DIALECT_OPENAI_REFUSAL, message, "refusal");
    TAPE_ITEMS(t, images, i)
    {
        tell_image(&w, i);
    }
    TAPE_ITEMS(t, annotations, i)
    {
        tell_citation(&w, i);
    }
}

// --- finish ------------------------------------------------------------------------------------

enum canon_finish dialect_openai_piece_finish(struct slice reason, bool *ret_broken)
{
    static const struct {
        const char *word;
        enum canon_finish finish;
        bool broken;
    } words[] = {
        {"stop", CANON_FINISH_STOP, false},
        {"length", CANON_FINISH_LENGTH, false},
        {"tool_calls", CANON_FINISH_TOOLS, false},
        {"content_filter", CANON_FINISH_FILTER, false},
        {"function_call", CANON_FINISH_TOOLS, false},
        {"max_tokens", CANON_FINISH_LENGTH, false},
        {"MAX_TOKENS", CANON_FINISH_LENGTH, false},
        {"model_length", CANON_FINISH_LENGTH, false},
        {"model_context_window_exceeded", CANON_FINISH_LENGTH, false},
        {"tool_use", CANON_FINISH_TOOLS, false},
        {"TOOL_CALL", CANON_FINISH_TOOLS, false},
        {"sensitive", CANON_FINISH_FILTER, false},
        {"safety", CANON_FINISH_FILTER, false},
        {"content_filtered", CANON_FINISH_FILTER, false},
        {"refusal", CANON_FINISH_FILTER, false},
        {"error", CANON_FINISH_STOP, true},
        {"insufficient_system_resource", CANON_FINISH_STOP, true},
        {"network_error", CANON_FINISH_STOP, true},
    };

    *ret_broken = false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq_str(reason, words[i].word)) {
            *ret_broken = words[i].broken;
            return words[i].finish;
        }
    }
    return reason.n == 0 ? CANON_FINISH_NONE : CANON_FINISH_STOP; // a word we do not know: it ended
}
