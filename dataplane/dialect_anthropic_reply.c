// SPDX-License-Identifier: Apache-2.0
// A stream is written by a machine with one open block:
//
//            text, refusal      reasoning        a call
//   none  -> start text      -> start thinking -> start tool_use
//   open  -> delta, or, of another kind or call: stop, then as from none
//   END   -> stop, message_delta (stop reason, usage), message_stop
//
// What finishes the message is held until END, since usage comes last where it comes at all.
#include "dataplane/dialect_anthropic_reply.h"

#include "dataplane/dialect.h"
#include "dataplane/jtext.h"
#include "dataplane/jwrite.h"

// --- what both say -----------------------------------------------------------------------------

static struct slice stop_reason(enum canon_finish finish, bool calls, bool refused,
                                struct slice stop_sequence)
{
    switch (finish) {
    case CANON_FINISH_LENGTH:
        return SLICE("max_tokens");
    case CANON_FINISH_TOOLS:
        return SLICE("tool_use");
    case CANON_FINISH_FILTER:
        return SLICE("refusal");
    case CANON_FINISH_NONE:
    case CANON_FINISH_STOP:
        break;
    }
    if (refused) {
        return SLICE("refusal");
    }
    if (calls) {
        return SLICE("tool_use");
    }
    return stop_sequence.p != NULL ? SLICE("stop_sequence") : SLICE("end_turn");
}

static void write_stop(struct jwrite *w, struct slice reason, struct slice stop_sequence)
{
    jwrite_text_in(w, "stop_reason", reason);
    if (stop_sequence.p != NULL && slice_eq_str(reason, "stop_sequence")) {
        jwrite_text_in(w, "stop_sequence", stop_sequence);
    } else {
        jwrite_null_in(w, "stop_sequence");
    }
}

static void write_usage(struct jwrite *w, const struct dialect_usage *u,
                        const struct canon_context *c)
{
    uint64_t beside = u->cached + u->cache_write; // counted within input by us, beside it here
    char text[40];

    jwrite_object_in(w, "usage");
    jwrite_u64_in(w, "input_tokens", u->input > beside ? u->input - beside : 0);
    jwrite_u64_in(w, "cache_creation_input_tokens", u->cache_write);
    jwrite_u64_in(w, "cache_read_input_tokens", u->cached);
    jwrite_u64_in(w, "output_tokens", u->output);
    if (u->reasoning > 0) {
        jwrite_object_in(w, "output_tokens_details");
        jwrite_u64_in(w, "thinking_tokens", u->reasoning);
        jwrite_object_end(w);
    }
    if (c->cost != NULL) {
        struct slice cost = c->cost(c->cost_ctx, u, text);

        jwrite_name(w, "cost");
        jwrite_raw(w, cost.p != NULL ? cost : SLICE("null"));
    }
    jwrite_object_end(w);
}

// Anthropic's clients may look at the prefix.
static void write_id(struct jwrite *w, struct slice id, const struct canon_context *c)
{
    if (id.n == 0) {
        id = canon_make_id("msg_", c->rng, c->arena);
    } else if (!slice_starts(id, SLICE("msg_"))) {
        id = jtext_join(SLICE("msg_"), id, c->arena);
    }
    jwrite_text_in(w, "id", id);
    jwrite_text_in(w, "type", SLICE("message"));
    jwrite_text_in(w, "role", SLICE("assistant"));
}

static void write_model(struct jwrite *w, struct slice model, const struct canon_context *c)
{
    if (model.n > 0) {
        jwrite_text_in(w, "model", model);
    } else {
        jwrite_string_in(w, "model", c->model);
    }
}

// --- whole answers -----------------------------------------------------------------------------

static void write_reasoning(struct jwrite *w, const struct canon_part *p)
{
    if (p->kind == CANON_REDACTED && p->data.n > 0) {
        jwrite_object(w);
        jwrite_text_in(w, "type", SLICE("redacted_thinking"));
        jwrite_text_in(w, "data", p->data);
        jwrite_object_end(w);
    } else if (p->kind == CANON_REASONING && (p->text.n > 0 || p->signature.n > 0)) {
        jwrite_object(w);
        jwrite_text_in(w, "type", SLICE("thinking"));
        jwrite_text_in(w, "thinking", p->text.p != NULL ? p->text : SLICE(""));
        jwrite_text_in(w, "signature", p->signature.p != NULL ? p->signature : SLICE(""));
        jwrite_object_end(w);
    }
}

static bool has_text(const struct canon_part *parts, enum canon_part_kind kind)
{
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == kind && p->text.n > 0) {
            return true;
        }
    }
    return false;
}

// As Anthropic says what its own search found. Others do not say which words are from where.
static void write_citation(struct jwrite *w, const struct canon_citation *k)
{
    jwrite_object(w);
    jwrite_text_in(w, "type", SLICE("web_search_result_location"));
    jwrite_text_in(w, "cited_text", SLICE(""));
    jwrite_text_in(w, "encrypted_index", SLICE(""));
    jwrite_text_in(w, "title", k->title.p != NULL ? k->title : k->url);
    jwrite_text_in(w, "url", k->url);
    jwrite_object_end(w);
}

// One text block: of the content, else of the refusal.
static void write_text(struct jwrite *w, const struct canon_part *parts,
                       const struct canon_citation *citations)
{
    enum canon_part_kind kind = has_text(parts, CANON_TEXT) ? CANON_TEXT : CANON_REFUSAL;

    if (!has_text(parts, kind)) {
        return;
    }
    jwrite_object(w);
    jwrite_text_in(w, "type", SLICE("text"));
    jwrite_name(w, "text");
    jwrite_text_begin(w);
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == kind) {
            jwrite_text_more(w, p->text);
        }
    }
    jwrite_text_end(w);
    if (citations != NULL) {
        jwrite_array_in(w, "citations");
        for (const struct canon_citation *k = citations; k != NULL; k = k->next) {
            write_citation(w, k);
        }
        jwrite_array_end(w);
    }
    jwrite_object_end(w);
}

static struct slice call_id(struct slice id, const struct canon_context *c)
{
    return id.n > 0 ? id : canon_make_id("call_", c->rng, c->arena);
}

static void write_call(struct jwrite *w, const struct canon_part *p, const struct canon_context *c)
{
    jwrite_object(w);
    jwrite_text_in(w, "type", SLICE("tool_use"));
    jwrite_text_in(w, "id", call_id(p->id, c));
    jwrite_text_in(w, "name", p->name.p != NULL ? p->name : SLICE(""));
    jwrite_name(w, "input");
    if (p->args.p != NULL) {
        jwrite_compact(w, p->args);
    } else { // no JSON object, or of a custom tool
        jwrite_object(w);
        jwrite_text_in(w, "raw_arguments", p->text.p != NULL ? p->text : SLICE(""));
        jwrite_object_end(w);
    }
    jwrite_object_end(w);
}

static void write_content(struct jwrite *w, const struct canon_choice_out *k,
                          const struct canon_context *c)
{
    const struct canon_part *parts = k->parts;

    jwrite_array_in(w, "content");
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        write_reasoning(w, p);
    }
    write_text(w, parts, k->citations);
    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        if (p->kind == CANON_TOOL_CALL) {
            write_call(w, p, c);
        }
    }
    jwrite_array_end(w);
}

static void write_count(struct jwrite *w, const struct canon_answer *answer)
{
    jwrite_object(w);
    jwrite_u64_in(w, "input_tokens", answer->usage.input);
    jwrite_object_end(w);
}

void dialect_anthropic_reply_answer(const struct canon_answer *answer,
                                    const struct canon_context *c, struct buf *out)
{
    static const struct canon_choice_out nothing = {.finish = CANON_FINISH_STOP};
    const struct canon_choice_out *k = answer->choices != NULL ? answer->choices : &nothing;
    bool refused = has_text(k->parts, CANON_REFUSAL) && !has_text(k->parts, CANON_TEXT);
    struct jwrite w = jwrite_to(out);

    if (c->endpoint == DIALECT_COUNT_TOKENS) {
        write_count(&w, answer);
        return;
    }
    jwrite_object(&w);
    write_id(&w, answer->id, c);
    write_model(&w, answer->model, c);
    write_content(&w, k, c);
    write_stop(&w,
               stop_reason(k->finish, canon_has_tool_calls(k->parts), refused, k->stop_sequence),
               k->stop_sequence);
    write_usage(&w, &answer->usage, c);
    jwrite_object_end(&w);
}

// --- events ------------------------------------------------------------------------------------

// Begins an event whose data is an object with its type; `end` closes both.
static struct jwrite begin(struct buf *out, const char *type)
{
    struct jwrite w = jwrite_to(out);

    buf_append_str(out, "event: ");
    buf_append_str(out, type);
    buf_append_str(out, "\ndata: ");
    jwrite_object(&w);
    jwrite_text_in(&w, "type", slice_str(type));
    return w;
}

static void end(struct jwrite *w)
{
    jwrite_object_end(w);
    buf_append_str(w->out, "\n\n");
}

static void write_start(const struct canon_event *ev, const struct canon_context *c,
                        struct buf *out)
{
    struct jwrite w = begin(out, "message_start");

    jwrite_object_in(&w, "message");
    write_id(&w, ev->id, c);
    write_model(&w, ev->model, c);
    jwrite_array_in(&w, "content");
    jwrite_array_end(&w);
    jwrite_null_in(&w, "stop_reason");
    jwrite_null_in(&w, "stop_sequence");
    jwrite_object_in(&w, "usage");
    jwrite_u64_in(&w, "input_tokens", 0);
    jwrite_u64_in(&w, "output_tokens", 0);
    jwrite_object_end(&w);
    jwrite_object_end(&w);
    end(&w);
}

static void close_block(struct dialect_anthropic_writer *s, struct buf *out)
{
    if (s->open != DIALECT_ANTHROPIC_NO_BLOCK) {
        struct jwrite w = begin(out, "content_block_stop");

        jwrite_u64_in(&w, "index", s->index);
        end(&w);
        s->open = DIALECT_ANTHROPIC_NO_BLOCK;
        s->index++;
    }
}

// Begins content_block_start up to the block's type.
static struct jwrite begin_block(struct dialect_anthropic_writer *s, struct buf *out,
                                 enum dialect_anthropic_block_kind kind, const char *type)
{
    struct jwrite w;

    close_block(s, out);
    s->open = kind;
    w = begin(out, "content_block_start");
    jwrite_u64_in(&w, "index", s->index);
    jwrite_object_in(&w, "content_block");
    jwrite_text_in(&w, "type", slice_str(type));
    return w;
}

static void end_block(struct jwrite *w)
{
    jwrite_object_end(w);
    end(w);
}

static void write_delta(const struct dialect_anthropic_writer *s, struct buf *out, const char *type,
                        const char *name, struct slice text)
{
    struct jwrite w = begin(out, "content_block_delta");

    jwrite_u64_in(&w, "index", s->index);
    jwrite_object_in(&w, "delta");
    jwrite_text_in(&w, "type", slice_str(type));
    jwrite_text_in(&w, name, text);
    jwrite_object_end(&w);
    end(&w);
}

static void write_text_delta(struct dialect_anthropic_writer *s, struct slice text, struct buf *out)
{
    if (text.n == 0) {
        return;
    }
    if (s->open != DIALECT_ANTHROPIC_TEXT) {
        struct jwrite w = begin_block(s, out, DIALECT_ANTHROPIC_TEXT, "text");

        jwrite_text_in(&w, "text", SLICE(""));
        end_block(&w);
    }
    write_delta(s, out, "text_delta", "text", text);
}

static void write_thinking_delta(struct dialect_anthropic_writer *s, const char *type,
                                 const char *name, struct slice text, struct buf *out)
{
    if (text.n == 0) {
        return;
    }
    if (s->open != DIALECT_ANTHROPIC_THINKING) {
        struct jwrite w = begin_block(s, out, DIALECT_ANTHROPIC_THINKING, "thinking");

        jwrite_text_in(&w, "thinking", SLICE(""));
        jwrite_text_in(&w, "signature", SLICE(""));
        end_block(&w);
    }
    write_delta(s, out, type, name, text);
}

static void write_redacted(struct dialect_anthropic_writer *s, struct slice data, struct buf *out)
{
    struct jwrite w;

    if (data.n == 0) {
        return;
    }
    w = begin_block(s, out, DIALECT_ANTHROPIC_THINKING, "redacted_thinking");
    jwrite_text_in(&w, "data", data);
    end_block(&w);
    close_block(s, out);
}

static void write_call_start(struct dialect_anthropic_writer *s, const struct canon_event *ev,
                             const struct canon_context *c, struct buf *out)
{
    struct jwrite w = begin_block(s, out, DIALECT_ANTHROPIC_TOOL, "tool_use");

    jwrite_text_in(&w, "id", call_id(ev->id, c));
    jwrite_text_in(&w, "name", ev->name.p != NULL ? ev->name : SLICE(""));
    jwrite_object_in(&w, "input");
    jwrite_object_end(&w);
    end_block(&w);
    s->tool = ev->tool;
    s->called = true;
}

// Arguments of a call whose block is closed cannot be told any more.
static void write_args(struct dialect_anthropic_writer *s, const struct canon_event *ev,
                       struct buf *out)
{
    if (s->open == DIALECT_ANTHROPIC_TOOL && s->tool == ev->tool && ev->text.n > 0) {
        write_delta(s, out, "input_json_delta", "partial_json", ev->text);
    }
}

// At the text that is being told; there is no place for one without.
static void write_citation_delta(const struct dialect_anthropic_writer *s,
                                 const struct canon_citation *k, struct buf *out)
{
    struct jwrite w;

    if (s->open != DIALECT_ANTHROPIC_TEXT) {
        return;
    }
    w = begin(out, "content_block_delta");
    jwrite_u64_in(&w, "index", s->index);
    jwrite_object_in(&w, "delta");
    jwrite_text_in(&w, "type", SLICE("citations_delta"));
    jwrite_name(&w, "citation");
    write_citation(&w, k);
    jwrite_object_end(&w);
    end(&w);
}

static void write_end(struct dialect_anthropic_writer *s, const struct canon_context *c,
                      struct buf *out)
{
    struct jwrite w;

    close_block(s, out);
    w = begin(out, "message_delta");
    jwrite_object_in(&w, "delta");
    write_stop(&w, stop_reason(s->finish, s->called, s->refused && !s->spoke, s->stop_sequence),
               s->stop_sequence);
    jwrite_object_end(&w);
    write_usage(&w, &s->usage, c);
    end(&w);
    w = begin(out, "message_stop");
    end(&w);
}

void dialect_anthropic_reply_event(void *writer, const struct canon_event *ev,
                                   const struct canon_context *c, struct buf *out)
{
    struct dialect_anthropic_writer *s = writer;

    if (ev->choice > 0) {
        return; // Anthropic has one
    }
    switch (ev->kind) {
    case CANON_EV_START:
        write_start(ev, c, out);
        break;
    case CANON_EV_TEXT:
    case CANON_EV_REFUSAL:
        s->spoke = s->spoke || (ev->kind == CANON_EV_TEXT && ev->text.n > 0);
        s->refused = s->refused || (ev->kind == CANON_EV_REFUSAL && ev->text.n > 0);
        write_text_delta(s, ev->text, out);
        break;
    case CANON_EV_REASONING:
        write_thinking_delta(s, "thinking_delta", "thinking", ev->text, out);
        break;
    case CANON_EV_SIGNATURE:
        write_thinking_delta(s, "signature_delta", "signature", ev->text, out);
        break;
    case CANON_EV_REDACTED:
        write_redacted(s, ev->text, out);
        break;
    case CANON_EV_TOOL:
        write_call_start(s, ev, c, out);
        break;
    case CANON_EV_ARGS:
        write_args(s, ev, out);
        break;
    case CANON_EV_FINISH:
        s->finish = ev->finish;
        s->stop_sequence =
            ev->stop_sequence.p != NULL ? arena_dup(c->arena, ev->stop_sequence) : SLICE_NULL;
        break;
    case CANON_EV_USAGE:
        s->usage = *ev->usage;
        break;
    case CANON_EV_END:
        write_end(s, c, out);
        break;
    case CANON_EV_ERROR:
        dialect_anthropic.write_error_event(ev->error, out);
        break;
    case CANON_EV_CITATION:
        write_citation_delta(s, ev->citation, out);
        break;
    case CANON_EV_IMAGE: // what Anthropic's answers do not have
    case CANON_EV_GOOGLE_SIGNATURE:
        break;
    }
}
