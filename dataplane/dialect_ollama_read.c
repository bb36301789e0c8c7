// SPDX-License-Identifier: Apache-2.0
// Tool calls come whole, and without ids but from newer servers; the last line of a stream has
// done: true and the counts.
#include "dataplane/dialect_ollama_read.h"

#include "dataplane/dialect_error.h"

// --- answers -----------------------------------------------------------------------------------

static enum canon_finish finish_of(const struct tape *t, bool tools)
{
    if (tape_eq(t, tape_get(t, 0, "done_reason"), "length")) {
        return CANON_FINISH_LENGTH;
    }
    return tools ? CANON_FINISH_TOOLS : CANON_FINISH_STOP;
}

// prompt_eval_count may be absent when the prompt was cached as a whole.
static void read_usage(const struct tape *t, struct dialect_usage *ret)
{
    bool input = tape_u64(t, tape_get(t, 0, "prompt_eval_count"), &ret->input);
    bool output = tape_u64(t, tape_get(t, 0, "eval_count"), &ret->output);

    ret->known = input || output;
}

static struct slice args_of(const struct tape *t, uint32_t function, struct arena *a)
{
    uint32_t args = tape_get(t, function, "arguments");

    return tape_is(t, args, SCAN_OBJECT) ? canon_compact(tape_raw(t, args), a) : SLICE("{}");
}

static struct slice name_of(const struct tape *t, uint32_t function)
{
    struct slice name = tape_get_text(t, function, "name");

    return name.p == NULL ? SLICE("") : name;
}

// Newer ones give calls an id.
static struct slice call_id(const struct tape *t, uint32_t call, const struct canon_context *c)
{
    struct slice id = tape_get_text(t, call, "id");

    return id.n > 0 ? id : canon_make_id("call_", c->rng, c->arena);
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
        if (!tape_is(t, k, SCAN_ARRAY)) {
            return false;
        }
        ret->vectors[ret->n_vectors++] = tape_raw(t, k);
    }
    return tape_is(t, list, SCAN_ARRAY);
}

static void read_message(const struct tape *t, uint32_t message, const struct canon_context *c,
                         struct canon_choice_out *out)
{
    struct canon_part **tail = &out->parts;
    struct slice thinking = tape_get_text(t, message, "thinking");
    struct slice content = tape_get_text(t, message, "content");

    if (thinking.n > 0) {
        canon_add_part(c->arena, &tail, CANON_REASONING)->text = thinking;
    }
    if (content.n > 0) {
        canon_add_part(c->arena, &tail, CANON_TEXT)->text = content;
    }
    TAPE_ITEMS(t, tape_get(t, message, "tool_calls"), i)
    {
        uint32_t function = tape_get(t, i, "function");
        struct canon_part *p = canon_add_part(c->arena, &tail, CANON_TOOL_CALL);

        p->id = call_id(t, i, c);
        p->name = name_of(t, function);
        p->args = args_of(t, function, c->arena);
    }
}

// The list that it gives is the one that OpenAI has under `content`.
static struct slice logprobs_of(const struct tape *t, struct arena *a)
{
    uint32_t list = tape_get(t, 0, "logprobs");
    struct slice raw = tape_raw(t, list), out;
    struct buf b;

    if (tape_first(t, list) == TAPE_NONE || !tape_is(t, list, SCAN_ARRAY)) {
        return SLICE_NULL;
    }
    buf_init(&b, raw.n + 64);
    buf_append(&b, SLICE("{\"content\":"));
    buf_append(&b, raw);
    buf_append(&b, SLICE(",\"refusal\":null}"));
    out = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return out;
}

bool dialect_ollama_read_answer(const struct tape *t, const struct canon_context *c,
                                struct canon_answer *ret)
{
    uint32_t message = tape_get(t, 0, "message");
    struct canon_choice_out *out;

    ret->model = tape_get_text(t, 0, "model");
    read_usage(t, &ret->usage);
    if (c->endpoint == DIALECT_EMBEDDINGS) {
        return read_vectors(t, c, ret);
    }
    if (!tape_is(t, message, SCAN_OBJECT)) {
        return false;
    }
    out = ret->choices = arena_zalloc(c->arena, sizeof(*out));
    read_message(t, message, c, out);
    out->finish = finish_of(t, canon_has_tool_calls(out->parts));
    out->logprobs = logprobs_of(t, c->arena);
    return true;
}

// --- events ------------------------------------------------------------------------------------

struct reader {
    bool started, done;
    uint32_t tools;
};

_Static_assert(sizeof(struct reader) <= DIALECT_OLLAMA_READER_SIZE, "reader_size");

static void tell_text(enum canon_event_kind kind, struct slice text, struct slice logprobs,
                      struct canon_sink to)
{
    struct canon_event ev = {.kind = kind, .text = text, .logprobs = logprobs};

    if (text.n > 0) {
        to.tell(to.ctx, &ev);
    }
}

static void tell_call(struct reader *r, const struct tape *t, uint32_t call,
                      const struct canon_context *c, struct canon_sink to)
{
    uint32_t function = tape_get(t, call, "function");
    struct canon_event ev = {.kind = CANON_EV_TOOL,
                             .tool = r->tools,
                             .whole = true,
                             .id = call_id(t, call, c),
                             .name = name_of(t, function)};

    to.tell(to.ctx, &ev);
    ev = (struct canon_event){.kind = CANON_EV_ARGS,
                              .tool = r->tools++,
                              .text = jtext_encode(args_of(t, function, c->arena), c->arena)};
    to.tell(to.ctx, &ev);
}

static void tell_done(struct reader *r, const struct tape *t, struct canon_sink to)
{
    struct dialect_usage usage = {.known = false};
    struct canon_event ev = {.kind = CANON_EV_FINISH, .finish = finish_of(t, r->tools > 0)};

    r->done = true;
    to.tell(to.ctx, &ev);
    read_usage(t, &usage);
    ev = (struct canon_event){.kind = CANON_EV_USAGE, .usage = &usage};
    if (usage.known) {
        to.tell(to.ctx, &ev);
    }
    ev = (struct canon_event){.kind = CANON_EV_END};
    to.tell(to.ctx, &ev);
}

bool dialect_ollama_read_event(void *reader, struct tape *t, struct slice event, struct slice data,
                               const struct canon_context *c, struct canon_sink to)
{
    struct reader *r = reader;
    struct arena event_only;
    uint32_t message;
    struct err e;

    (void)event; // lines have no names
    if (!tape_parse(t, data, &e) || !tape_is(t, 0, SCAN_OBJECT)) {
        return false;
    }
    if (tape_given(t, 0, "error") != TAPE_NONE) {
        struct dialect_error error = {.status = 0};
        struct canon_event ev = {.kind = CANON_EV_ERROR, .error = &error};

        dialect_error_of(0, t, c->arena, &error);
        to.tell(to.ctx, &ev);
        return true;
    }
    if (!r->started) {
        struct canon_event ev = {.kind = CANON_EV_START, .model = tape_get_text(t, 0, "model")};

        r->started = true;
        to.tell(to.ctx, &ev);
    }
    message = tape_get(t, 0, "message");
    tell_text(CANON_EV_REASONING, tape_get_text(t, message, "thinking"), SLICE_NULL, to);
    arena_init(&event_only, 0, 0); // a long stream must not heap them up in the request's
    tell_text(CANON_EV_TEXT, tape_get_text(t, message, "content"), logprobs_of(t, &event_only), to);
    arena_done(&event_only);
    TAPE_ITEMS(t, tape_get(t, message, "tool_calls"), i)
    {
        tell_call(r, t, i, c, to);
    }
    if (tape_true(t, tape_get(t, 0, "done"))) {
        tell_done(r, t, to);
    }
    return true;
}

// The last line says that it is the last; without it the stream was cut.
void dialect_ollama_read_end(void *reader, const struct canon_context *c, struct canon_sink to)
{
    (void)reader;
    (void)c;
    (void)to;
}
