// SPDX-License-Identifier: Apache-2.0
// Choice by choice: the pieces of its message become parts, in their order, then its tool calls.
#include "dataplane/dialect_openai_read.h"

#include "dataplane/dialect_openai_answer.h"
#include "dataplane/dialect_openai_count.h"
#include "dataplane/dialect_openai_piece.h"
#include "dataplane/dialect_openai_think.h"
#include "proto/resource.h"

struct builder {
    const struct tape *t;
    const struct canon_context *c;
    struct canon_part **tail, *last; // of the choice
    struct canon_citation **citations;
    struct dialect_openai_think think;
};

static struct canon_part *add(struct builder *b, enum canon_part_kind kind)
{
    b->last = canon_add_part(b->c->arena, &b->tail, kind);
    return b->last;
}

static void add_citation(struct builder *b, const struct canon_citation *k)
{
    struct canon_citation *own = arena_alloc(b->c->arena, sizeof(*own));

    *own = *k;
    own->next = NULL;
    *b->citations = own;
    b->citations = &own->next;
}

// What the splitter had held back lives in its own memory, as long as the call.
static void add_split(void *ctx, bool thought, struct slice text)
{
    struct builder *b = ctx;

    add(b, thought ? CANON_REASONING : CANON_TEXT)->text = arena_dup(b->c->arena, text);
}

static void add_text(struct builder *b, struct slice text)
{
    if ((b->c->quirks & RESOURCE_SPLIT_THINK) != 0) {
        if (b->think.state == 0 && b->think.n == 0 && dialect_openai_think_is_open(text)) {
            dialect_openai_think_feed(&b->think, SLICE("<think>"), add_split, b);
        }
        dialect_openai_think_feed(&b->think, text, add_split, b);
    } else {
        add(b, CANON_TEXT)->text = text;
    }
}

static void add_piece(void *ctx, const struct dialect_openai_piece *p)
{
    struct builder *b = ctx;

    switch (p->kind) {
    case DIALECT_OPENAI_TEXT:
        add_text(b, p->text);
        break;
    case DIALECT_OPENAI_REFUSAL:
        add(b, CANON_REFUSAL)->text = p->text;
        break;
    case DIALECT_OPENAI_REASONING:
    case DIALECT_OPENAI_DETAILS:
        add(b, CANON_REASONING)->text = p->text;
        break;
    case DIALECT_OPENAI_SIGNATURE:
        if (b->last == NULL || b->last->kind != CANON_REASONING) {
            add(b, CANON_REASONING)->text = SLICE("");
        }
        b->last->signature = p->text;
        break;
    case DIALECT_OPENAI_REDACTED:
        add(b, CANON_REDACTED)->data = p->text;
        break;
    case DIALECT_OPENAI_IMAGE: {
        struct canon_part *own = add(b, CANON_IMAGE);

        *own = *p->part;
        break;
    }
    case DIALECT_OPENAI_CITATION:
        add_citation(b, p->citation);
        break;
    case DIALECT_OPENAI_GOOGLE_SIGNATURE:
        if (b->last != NULL && b->last->kind == CANON_TEXT) {
            b->last->google_signature = p->text;
        }
        break;
    }
}

// --- tool calls --------------------------------------------------------------------------------

// Arguments that are no JSON object are handed over as they are, inside one.
static struct slice raw_arguments(struct slice text, struct arena *a)
{
    struct buf b;
    struct jwrite w;
    struct slice out;

    buf_init(&b, text.n + 64);
    w = jwrite_to(&b);
    jwrite_object(&w);
    jwrite_text_in(&w, "raw_arguments", text);
    jwrite_object_end(&w);
    out = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return out;
}

static struct slice arguments(const struct builder *b, uint32_t value)
{
    struct slice text = tape_text(b->t, value), json;

    if (tape_is(b->t, value, SCAN_OBJECT)) {
        return tape_raw(b->t, value);
    }
    if (text.p == NULL) {
        return SLICE("{}");
    }
    if (jtext_to_object(text, b->c->arena, &json)) {
        return json;
    }
    return raw_arguments(text, b->c->arena);
}

static void add_call(struct builder *b, uint32_t call, uint32_t function)
{
    struct canon_part *p = add(b, CANON_TOOL_CALL);

    p->id = tape_get_text(b->t, call, "id");
    if (p->id.n == 0) {
        p->id = canon_make_id("call_", b->c->rng, b->c->arena);
    }
    p->name = tape_get_text(b->t, function, "name");
    p->args = arguments(b, tape_get(b->t, function, "arguments"));
    p->google_signature = dialect_openai_piece_google_signature(b->t, call);
}

static bool add_calls(struct builder *b, uint32_t message)
{
    uint32_t calls = tape_get(b->t, message, "tool_calls");
    uint32_t old = tape_given(b->t, message, "function_call");
    bool any = false;

    TAPE_ITEMS(b->t, calls, i)
    {
        uint32_t function = tape_get(b->t, i, "function");

        if (tape_is(b->t, function, SCAN_OBJECT)) {
            add_call(b, i, function);
            any = true;
        }
    }
    if (!any && tape_get_text(b->t, old, "name").n > 0) {
        add_call(b, TAPE_NONE, old);
        any = true;
    }
    return any;
}

// --- choices -----------------------------------------------------------------------------------

static void read_choice(struct builder *b, uint32_t choice, struct canon_choice_out *ret)
{
    uint32_t message = tape_get(b->t, choice, "message");
    uint32_t logprobs = tape_given(b->t, choice, "logprobs");
    struct slice text = tape_get_text(b->t, choice, "text"); // Completions of old
    bool calls, broken;

    b->tail = &ret->parts;
    b->citations = &ret->citations;
    b->last = NULL;
    b->think = (struct dialect_openai_think){.state = 0};
    dialect_openai_piece_each(b->t, message, b->c->arena, add_piece, b);
    dialect_openai_think_end(&b->think, add_split, b);
    if (text.n > 0 && !tape_is(b->t, message, SCAN_OBJECT)) {
        add(b, CANON_TEXT)->text = text;
    }
    calls = add_calls(b, message);
    ret->finish =
        dialect_openai_piece_finish(tape_get_text(b->t, choice, "finish_reason"), &broken);
    if (ret->finish == CANON_FINISH_NONE || (calls && ret->finish == CANON_FINISH_STOP)) {
        ret->finish = calls ? CANON_FINISH_TOOLS : CANON_FINISH_STOP; // whatever the vendor says
    }
    ret->logprobs = tape_raw(b->t, logprobs);
}

static bool read_choices(const struct tape *t, const struct canon_context *c,
                         struct canon_answer *ret)
{
    uint32_t choices = tape_get(t, 0, "choices");
    struct canon_choice_out **tail = &ret->choices;
    struct builder b = {.t = t, .c = c};
    uint32_t k = 0;

    TAPE_ITEMS(t, choices, i)
    {
        struct canon_choice_out *own;
        uint64_t index = k;

        if (!tape_is(t, i, SCAN_OBJECT)) {
            return false;
        }
        own = arena_zalloc(c->arena, sizeof(*own));
        (void)!tape_u64(t, tape_get(t, i, "index"), &index);
        own->index = index < UINT32_MAX ? (uint32_t)index : k;
        read_choice(&b, i, own);
        if (k == 0 && own->citations == NULL) {
            dialect_openai_piece_sources(t, add_piece, &b);
        }
        *tail = own;
        tail = &own->next;
        k++;
    }
    return k > 0;
}

// --- embeddings --------------------------------------------------------------------------------

static bool read_vectors(const struct tape *t, const struct canon_context *c,
                         struct canon_answer *ret)
{
    uint32_t data = tape_get(t, 0, "data");
    size_t n = 0;

    TAPE_ITEMS(t, data, i)
    {
        n++;
    }
    if (n == 0) {
        return false;
    }
    ret->vectors = arena_zalloc(c->arena, n * sizeof(*ret->vectors));
    ret->n_vectors = n;
    n = 0;
    TAPE_ITEMS(t, data, i)
    {
        uint32_t vector = tape_get(t, i, "embedding");
        uint64_t index = n;

        (void)!tape_u64(t, tape_get(t, i, "index"), &index);
        if (index >= ret->n_vectors || tape_absent(t, vector)) {
            return false;
        }
        ret->vectors[index] = tape_raw(t, vector);
        n++;
    }
    for (size_t i = 0; i < n; i++) {
        if (ret->vectors[i].p == NULL) {
            return false;
        }
    }
    return true;
}

bool dialect_openai_read_usage(const struct tape *t, struct dialect_usage *ret)
{
    uint32_t choices = tape_get(t, 0, "choices"), first;

    dialect_openai_answer_tier(tape_raw(t, tape_get(t, 0, "service_tier")), ret);
    if (dialect_openai_answer_usage(tape_raw(t, tape_get(t, 0, "usage")), ret) ||
        dialect_openai_answer_usage(tape_raw(t, tape_get(t, tape_get(t, 0, "x_groq"), "usage")),
                                    ret)) {
        return true;
    }
    first = tape_is(t, choices, SCAN_ARRAY) ? tape_first(t, choices) : TAPE_NONE;
    return dialect_openai_answer_usage(tape_raw(t, tape_get(t, first, "usage")), ret);
}

bool dialect_openai_read_answer(const struct tape *t, const struct canon_context *c,
                                struct canon_answer *ret)
{
    *ret = (struct canon_answer){.id = tape_get_text(t, 0, "id"),
                                 .model = tape_get_text(t, 0, "model"),
                                 .service_tier = tape_get_text(t, 0, "service_tier")};
    if (c->endpoint == DIALECT_COUNT_TOKENS) {
        return dialect_openai_count_read(t, ret);
    }
    (void)dialect_openai_read_usage(t, &ret->usage);
    if (c->endpoint == DIALECT_EMBEDDINGS) {
        return read_vectors(t, c, ret);
    }
    return read_choices(t, c, ret);
}
