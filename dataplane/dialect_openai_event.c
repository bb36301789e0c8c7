// SPDX-License-Identifier: Apache-2.0
// What all chunks of a stream share, up to the choice's index, is written once, in the arena; a
// chunk is that head, the delta and a tail:
//
//   data: {"id":..,"object":..,"created":..,"model":..,"choices":[{"index":   0   head
//   ,"delta":{   "content":"Hi"   },"logprobs":null,"finish_reason":null}]   ,"usage":null   }
//
// The first chunk of a choice is its role. A tool call whose arguments follow whole waits for them.
#include "dataplane/dialect_openai_event.h"

#include <string.h>

#include "common/base/text.h"
#include "dataplane/dialect.h"
#include "dataplane/dialect_openai_write.h"

#define CHOICES_MAX 128u // OpenAI's bound for n

struct writer {
    struct slice head;
    bool completions;
    uint64_t opened[CHOICES_MAX / 64], called[CHOICES_MAX / 64], finished[CHOICES_MAX / 64];
    struct dialect_usage usage;
    // a tool call that waits for its arguments
    bool waiting;
    uint32_t choice, tool;
    struct slice id, name, google_signature; // arena
};

_Static_assert(sizeof(struct writer) <= DIALECT_OPENAI_EVENT_WRITER_SIZE, "writer_size");

static bool get_bit(const uint64_t *bits, uint32_t i)
{
    return i >= CHOICES_MAX || (bits[i / 64] >> i % 64 & 1) != 0;
}

static void set_bit(uint64_t *bits, uint32_t i)
{
    if (i < CHOICES_MAX) {
        bits[i / 64] |= (uint64_t)1 << i % 64;
    }
}

// --- chunks ------------------------------------------------------------------------------------

static void make_head(struct writer *s, struct slice id, struct slice model,
                      const struct canon_context *c)
{
    struct buf b;
    struct jwrite w;

    id = dialect_openai_write_id(id, c);
    model = dialect_openai_write_model(model, c);
    buf_init(&b, id.n + model.n + 256);
    buf_append_str(&b, "data: ");
    w = jwrite_to(&b);
    jwrite_object(&w);
    jwrite_text_in(&w, "id", id);
    jwrite_string_in(&w, "object",
                     s->completions ? SLICE("text_completion") : SLICE("chat.completion.chunk"));
    jwrite_u64_in(&w, "created", c->created);
    jwrite_text_in(&w, "model", model);
    jwrite_array_in(&w, "choices");
    s->head = arena_dup(c->arena, buf_slice(&b));
    buf_done(&b);
}

static void put_number(struct buf *out, uint32_t n)
{
    char digits[20];

    buf_append(out, text_format_u64(n, digits));
}

// Up to the open delta; the writer then is in it.
static struct jwrite begin(const struct writer *s, uint32_t choice, struct buf *out)
{
    buf_append(out, s->head);
    buf_append(out, SLICE("{\"index\":"));
    put_number(out, choice);
    buf_append(out, SLICE(",\"delta\":{"));
    return jwrite_to(out);
}

static void end_choices(const struct canon_context *c, struct buf *out)
{
    buf_append(out, c->include_usage ? SLICE("}],\"usage\":null}\n\n") : SLICE("}]}\n\n"));
}

// As it came, but for its line ends, which would end the event's.
static void put_logprobs(struct slice logprobs, struct buf *out)
{
    struct jwrite w = jwrite_to(out);

    buf_append(out, SLICE(",\"logprobs\":"));
    jwrite_compact(&w, logprobs.p == NULL ? SLICE("null") : logprobs);
}

static void end(const struct canon_context *c, struct slice logprobs, struct buf *out)
{
    if (logprobs.p == NULL) {
        buf_append(out, SLICE("},\"logprobs\":null,\"finish_reason\":null"));
    } else {
        buf_append(out, SLICE("}"));
        put_logprobs(logprobs, out);
        buf_append(out, SLICE(",\"finish_reason\":null"));
    }
    end_choices(c, out);
}

static void put_role(struct writer *s, uint32_t choice, const struct canon_context *c,
                     struct buf *out)
{
    struct jwrite w;

    if (get_bit(s->opened, choice)) {
        return;
    }
    set_bit(s->opened, choice);
    if (!s->completions) {
        w = begin(s, choice, out);
        jwrite_string_in(&w, "role", SLICE("assistant"));
        jwrite_text_in(&w, "content", SLICE(""));
        end(c, SLICE_NULL, out);
    }
}

// --- deltas ------------------------------------------------------------------------------------

static void put_text(const struct writer *s, const struct canon_event *ev, const char *name,
                     const struct canon_context *c, struct buf *out)
{
    struct jwrite w;

    if (ev->text.n == 0 && ev->logprobs.p == NULL) {
        return;
    }
    w = begin(s, ev->choice, out);
    jwrite_text_in(&w, name, ev->text.p == NULL ? SLICE("") : ev->text);
    end(c, ev->logprobs, out);
}

static void put_block(const struct writer *s, const struct canon_event *ev,
                      const struct canon_context *c, struct buf *out)
{
    struct jwrite w = begin(s, ev->choice, out);

    jwrite_array_in(&w, "thinking_blocks");
    jwrite_object(&w);
    if (ev->kind == CANON_EV_REDACTED) {
        jwrite_string_in(&w, "type", SLICE("redacted_thinking"));
        jwrite_text_in(&w, "data", ev->text);
    } else { // its text was told already
        jwrite_string_in(&w, "type", SLICE("thinking"));
        jwrite_text_in(&w, "thinking", SLICE(""));
        jwrite_text_in(&w, "signature", ev->text);
    }
    jwrite_object_end(&w);
    jwrite_array_end(&w);
    end(c, SLICE_NULL, out);
}

// Of old: one call a message, without an id.
static void put_function_call(const struct writer *s, const struct canon_event *ev,
                              struct slice name, struct slice args, const struct canon_context *c,
                              struct buf *out)
{
    struct jwrite w;

    if (ev->tool > 0) {
        return;
    }
    w = begin(s, ev->choice, out);
    jwrite_object_in(&w, "function_call");
    jwrite_text_in(&w, "name", name);
    jwrite_text_in(&w, "arguments", args);
    jwrite_object_end(&w);
    end(c, SLICE_NULL, out);
}

// id SLICE_NULL: not its first delta.
static void put_tool(const struct writer *s, const struct canon_event *ev, struct slice id,
                     struct slice name, struct slice args, struct slice google_signature,
                     const struct canon_context *c, struct buf *out)
{
    struct jwrite w;

    if (c->functions) {
        put_function_call(s, ev, name, args, c, out);
        return;
    }
    w = begin(s, ev->choice, out);
    jwrite_array_in(&w, "tool_calls");
    jwrite_object(&w);
    jwrite_u64_in(&w, "index", ev->tool);
    if (id.p != NULL) {
        jwrite_text_in(&w, "id", id);
        jwrite_string_in(&w, "type", SLICE("function"));
    }
    jwrite_object_in(&w, "function");
    jwrite_text_in(&w, "name", name);
    jwrite_text_in(&w, "arguments", args);
    jwrite_object_end(&w);
    dialect_openai_write_google_signature(&w, google_signature);
    jwrite_object_end(&w);
    jwrite_array_end(&w);
    end(c, SLICE_NULL, out);
}

static struct slice kept(struct slice s, const struct canon_context *c)
{
    return s.p == NULL ? s : arena_dup(c->arena, s);
}

static void put_call(struct writer *s, const struct canon_event *ev, const struct canon_context *c,
                     struct buf *out)
{
    struct slice id = ev->id.n > 0 ? ev->id : canon_make_id("call_", c->rng, c->arena);

    set_bit(s->called, ev->choice);
    if (ev->whole) {
        s->waiting = true;
        s->choice = ev->choice;
        s->tool = ev->tool;
        s->id = kept(id, c);
        s->name = kept(ev->name, c);
        s->google_signature = kept(ev->google_signature, c);
    } else {
        put_tool(s, ev, id, ev->name, SLICE(""), ev->google_signature, c, out);
    }
}

static void put_waiting(struct writer *s, struct slice args, const struct canon_context *c,
                        struct buf *out)
{
    struct canon_event ev = {.choice = s->choice, .tool = s->tool};

    s->waiting = false;
    put_tool(s, &ev, s->id, s->name, args, s->google_signature, c, out);
}

static void put_args(struct writer *s, const struct canon_event *ev, const struct canon_context *c,
                     struct buf *out)
{
    if (s->waiting) {
        put_waiting(s, ev->text.n == 0 ? SLICE("{}") : ev->text, c, out);
    } else if (ev->text.n > 0) {
        put_tool(s, ev, SLICE_NULL, SLICE_NULL, ev->text, SLICE_NULL, c, out);
    }
}

static void put_image(const struct writer *s, const struct canon_event *ev,
                      const struct canon_context *c, struct buf *out)
{
    struct jwrite w = begin(s, ev->choice, out);

    jwrite_array_in(&w, "images");
    dialect_openai_write_image(&w, ev->part);
    jwrite_array_end(&w);
    end(c, SLICE_NULL, out);
}

// Sources that a vendor names behind its finish reason have no chunk to be in.
static void put_citation(const struct writer *s, const struct canon_event *ev,
                         const struct canon_context *c, struct buf *out)
{
    struct jwrite w;

    if (get_bit(s->finished, ev->choice)) {
        return;
    }
    w = begin(s, ev->choice, out);
    jwrite_array_in(&w, "annotations");
    dialect_openai_write_citation(&w, ev->citation);
    jwrite_array_end(&w);
    end(c, SLICE_NULL, out);
}

static void put_signature(const struct writer *s, const struct canon_event *ev,
                          const struct canon_context *c, struct buf *out)
{
    struct jwrite w = begin(s, ev->choice, out);

    dialect_openai_write_google_signature(&w, ev->text);
    end(c, SLICE_NULL, out);
}

// --- the end -----------------------------------------------------------------------------------

static void put_finish(struct writer *s, const struct canon_event *ev,
                       const struct canon_context *c, struct buf *out)
{
    if (get_bit(s->finished, ev->choice)) {
        return;
    }
    set_bit(s->finished, ev->choice);
    if (s->completions) {
        buf_append(out, s->head);
        buf_append(out, SLICE("{\"text\":\"\",\"index\":"));
        put_number(out, ev->choice);
    } else {
        (void)begin(s, ev->choice, out);
        buf_append(out, SLICE("}"));
    }
    put_logprobs(s->completions ? SLICE_NULL : ev->logprobs, out);
    buf_append(out, SLICE(",\"finish_reason\":\""));
    buf_append(out, dialect_openai_write_finish(ev->finish, get_bit(s->called, ev->choice), c));
    buf_append_char(out, '"');
    end_choices(c, out);
}

static void put_end(const struct writer *s, const struct canon_context *c, struct buf *out)
{
    if (c->include_usage && s->usage.known) {
        struct jwrite w = {out, true};

        buf_append(out, s->head);
        buf_append_char(out, ']');
        dialect_openai_write_usage(&w, &s->usage, c);
        jwrite_object_end(&w);
        buf_append(out, SLICE("\n\n"));
    }
    buf_append(out, SLICE("data: [DONE]\n\n"));
}

// Completions of old: text and nothing else.
static void put_old_text(const struct writer *s, const struct canon_event *ev,
                         const struct canon_context *c, struct buf *out)
{
    if (ev->text.n == 0) {
        return;
    }
    buf_append(out, s->head);
    buf_append(out, SLICE("{\"text\":\""));
    buf_append(out, ev->text);
    buf_append(out, SLICE("\",\"index\":"));
    put_number(out, ev->choice);
    buf_append(out, SLICE(",\"logprobs\":null,\"finish_reason\":null"));
    end_choices(c, out);
}

static void put_delta(struct writer *s, const struct canon_event *ev, const struct canon_context *c,
                      struct buf *out)
{
    switch ((int)ev->kind) {
    case CANON_EV_TEXT:
        put_text(s, ev, "content", c, out);
        break;
    case CANON_EV_REFUSAL:
        put_text(s, ev, "refusal", c, out);
        break;
    case CANON_EV_REASONING:
        put_text(s, ev, "reasoning_content", c, out);
        break;
    case CANON_EV_SIGNATURE:
    case CANON_EV_REDACTED:
        put_block(s, ev, c, out);
        break;
    case CANON_EV_TOOL:
        put_call(s, ev, c, out);
        break;
    case CANON_EV_ARGS:
        put_args(s, ev, c, out);
        break;
    case CANON_EV_IMAGE:
        put_image(s, ev, c, out);
        break;
    case CANON_EV_GOOGLE_SIGNATURE:
        put_signature(s, ev, c, out);
        break;
    case CANON_EV_CITATION:
        put_citation(s, ev, c, out);
        break;
    default:
        break;
    }
}

void dialect_openai_event_write(void *writer, const struct canon_event *ev,
                                const struct canon_context *c, struct buf *out)
{
    struct writer *s = writer;

    if (ev->kind == CANON_EV_ERROR) {
        dialect_openai.write_error_event(ev->error, out);
        return;
    }
    if (ev->kind == CANON_EV_USAGE) {
        s->usage = *ev->usage;
        return;
    }
    if (s->head.p == NULL) {
        s->completions = c->endpoint == DIALECT_COMPLETIONS;
        make_head(s, ev->kind == CANON_EV_START ? ev->id : SLICE_NULL,
                  ev->kind == CANON_EV_START ? ev->model : SLICE_NULL, c);
    }
    if (s->waiting && ev->kind != CANON_EV_ARGS) {
        put_waiting(s, SLICE("{}"), c, out); // a call without arguments
    }
    if (ev->kind == CANON_EV_END) {
        put_end(s, c, out);
        return;
    }
    put_role(s, ev->choice, c, out);
    if (ev->kind == CANON_EV_FINISH) {
        put_finish(s, ev, c, out);
    } else if (!s->completions) {
        put_delta(s, ev, c, out);
    } else if (ev->kind == CANON_EV_TEXT) {
        put_old_text(s, ev, c, out);
    }
}
