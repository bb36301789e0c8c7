// SPDX-License-Identifier: Apache-2.0
// Event by event; nothing is kept of what was told but counts, ids of tool calls and a hash:
//
//   {"id":..}            START   the first with an id, or what comes first
//   choices[].delta      TEXT, REASONING, TOOL, ARGS, ...
//   .finish_reason       FINISH  once a choice; what comes later for it is not told
//   usage                USAGE   wherever a vendor puts it
//   [DONE]               END     the choices that have no reason yet stopped
//   {"error":..}         ERROR
#include "dataplane/dialect_openai_stream.h"

#include "dataplane/dialect_error.h"
#include "dataplane/dialect_openai_answer.h"
#include "dataplane/dialect_openai_call.h"
#include "dataplane/dialect_openai_piece.h"
#include "dataplane/dialect_openai_read.h"
#include "dataplane/dialect_openai_think.h"
#include "proto/resource.h"

#define CHOICES_MAX   128u // OpenAI's bound of n
#define REPEAT_MIN    8u   // bytes of a delta of reasoning that is not taken for a repetition
#define CUMULATED_MIN 16u  // bytes of reasoning from which on repeating it is no chance

struct choice {
    struct choice *next;
    uint32_t index;
    bool finished, spoke;
    struct dialect_openai_calls calls;
    uint64_t last; // hash of the reasoning told last
    size_t last_n;
    uint64_t details; // of all the reasoning_details told
    size_t details_n;
    struct dialect_openai_think think;
};

struct reader {
    struct choice *choices;
    uint32_t n;
    bool started, ended, spoke, cited;
};

_Static_assert(sizeof(struct reader) <= DIALECT_OPENAI_STREAM_READER_SIZE, "reader_size");

// One event under way.
struct look {
    struct reader *s;
    const struct tape *t;
    const struct canon_context *c;
    struct canon_sink to;
    struct choice *choice;
    struct slice logprobs; // of the choice, not yet told
};

// --- telling -----------------------------------------------------------------------------------

static void start(const struct look *l)
{
    struct canon_event ev = {.kind = CANON_EV_START,
                             .id = tape_get_text(l->t, 0, "id"),
                             .model = tape_get_text(l->t, 0, "model"),
                             .service_tier = tape_get_text(l->t, 0, "service_tier")};

    if (!l->s->started) {
        l->s->started = true;
        ev.id = ev.id.n == 0 ? SLICE_NULL : ev.id;
        ev.model = ev.model.n == 0 ? SLICE_NULL : ev.model;
        l->to.tell(l->to.ctx, &ev);
    }
}

static void tell(const struct look *l, struct canon_event *ev)
{
    start(l);
    ev->choice = l->choice->index;
    l->choice->spoke = l->s->spoke = true;
    l->to.tell(l->to.ctx, ev);
}

static void tell_error(const struct look *l, const struct dialect_error *er)
{
    struct canon_event ev = {.kind = CANON_EV_ERROR, .error = er};

    l->s->ended = true;
    l->to.tell(l->to.ctx, &ev);
}

// --- reasoning ---------------------------------------------------------------------------------

#define HASH_BEGIN 0xcbf29ce484222325u

static uint64_t hash_more(uint64_t h, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u; // FNV-1a
    }
    return h;
}

// xAI was seen to send a delta of reasoning twice.
static bool is_repeated(struct choice *k, struct slice text)
{
    uint64_t h = hash_more(HASH_BEGIN, text);
    bool again = text.n >= REPEAT_MIN && k->last_n == text.n && k->last == h;

    k->last = h;
    k->last_n = text.n;
    return again;
}

static bool cumulates(const struct look *l)
{
    return (l->c->quirks & RESOURCE_REASONING_CUMULATIVE) != 0 ||
           l->choice->details_n >= CUMULATED_MIN;
}

// MiniMax repeats what came before: only what is new is told.
static struct slice new_details(const struct look *l, struct slice text)
{
    struct choice *k = l->choice;

    if (k->details_n > 0 && text.n >= k->details_n && cumulates(l) &&
        hash_more(HASH_BEGIN, slice_head(text, k->details_n)) == k->details) {
        text = slice_from(text, k->details_n);
    }
    k->details = hash_more(k->details_n == 0 ? HASH_BEGIN : k->details, text);
    k->details_n += text.n;
    return text;
}

// --- pieces ------------------------------------------------------------------------------------

static void tell_text(struct look *l, enum canon_event_kind kind, struct slice text)
{
    struct canon_event ev = {.kind = kind, .text = text};

    if (kind == CANON_EV_TEXT || kind == CANON_EV_REFUSAL) {
        ev.logprobs = l->logprobs;
        l->logprobs = SLICE_NULL;
    }
    if (text.n > 0) {
        tell(l, &ev);
    }
}

static bool splits(const struct look *l)
{
    return (l->c->quirks & RESOURCE_SPLIT_THINK) != 0;
}

static void tell_split(void *ctx, bool thought, struct slice text)
{
    tell_text(ctx, thought ? CANON_EV_REASONING : CANON_EV_TEXT, text);
}

static void tell_content(struct look *l, struct slice text)
{
    if (splits(l)) {
        dialect_openai_think_feed(&l->choice->think, text, tell_split, l);
    } else {
        tell_text(l, CANON_EV_TEXT, text);
    }
}

static void tell_piece(void *ctx, const struct dialect_openai_piece *p)
{
    struct look *l = ctx;
    struct canon_event ev = {.part = p->part, .citation = p->citation};

    switch (p->kind) {
    case DIALECT_OPENAI_TEXT:
        tell_content(l, p->text);
        break;
    case DIALECT_OPENAI_REFUSAL:
        tell_text(l, CANON_EV_REFUSAL, p->text);
        break;
    case DIALECT_OPENAI_REASONING:
        if (!is_repeated(l->choice, p->text)) {
            tell_text(l, CANON_EV_REASONING, p->text);
        }
        break;
    case DIALECT_OPENAI_DETAILS:
        tell_text(l, CANON_EV_REASONING, new_details(l, p->text));
        break;
    case DIALECT_OPENAI_SIGNATURE:
        tell_text(l, CANON_EV_SIGNATURE, p->text);
        break;
    case DIALECT_OPENAI_REDACTED:
        tell_text(l, CANON_EV_REDACTED, p->text);
        break;
    case DIALECT_OPENAI_GOOGLE_SIGNATURE:
        tell_text(l, CANON_EV_GOOGLE_SIGNATURE, p->text);
        break;
    case DIALECT_OPENAI_IMAGE:
        ev.kind = CANON_EV_IMAGE;
        tell(l, &ev);
        break;
    case DIALECT_OPENAI_CITATION:
        ev.kind = CANON_EV_CITATION;
        l->s->cited = true;
        tell(l, &ev);
        break;
    }
}

// Perplexity repeats them in every event, xAI says them in the last: once, when the answer is
// there.
static void tell_sources(struct look *l)
{
    if (!l->s->cited && l->choice->index == 0) {
        l->s->cited = tape_first(l->t, tape_get(l->t, 0, "citations")) != TAPE_NONE ||
                      tape_first(l->t, tape_get(l->t, 0, "search_results")) != TAPE_NONE;
        dialect_openai_piece_sources(l->t, tell_piece, l);
    }
}

// --- choices -----------------------------------------------------------------------------------

static struct choice *choice_of(struct look *l, uint64_t index)
{
    struct choice **at = &l->s->choices;

    while (*at != NULL && (*at)->index != index) {
        at = &(*at)->next;
    }
    if (*at == NULL && l->s->n < CHOICES_MAX && index < UINT32_MAX) {
        *at = arena_zalloc(l->c->arena, sizeof(**at));
        (*at)->index = (uint32_t)index;
        l->s->n++;
    }
    return *at;
}

static void relay(void *ctx, const struct canon_event *ev)
{
    struct look *l = ctx;
    struct canon_event own = *ev;

    tell(l, &own);
}

// A delta; or the whole message, where a vendor sends nothing else (and not where it repeats what
// the deltas said: Perplexity, MiniMax).
static void look_at_delta(struct look *l, uint32_t delta)
{
    struct canon_sink to = {relay, l};
    uint32_t function = tape_get(l->t, delta, "function_call");

    dialect_openai_piece_each(l->t, delta, l->c->arena, tell_piece, l);
    dialect_openai_call_deltas(&l->choice->calls, l->t, tape_get(l->t, delta, "tool_calls"),
                               l->choice->index, l->c, to);
    if (function != TAPE_NONE) {
        dialect_openai_call_function(&l->choice->calls, l->t, function, l->choice->index, l->c, to);
    }
}

static void tell_finish(struct look *l, struct choice *k, enum canon_finish finish)
{
    struct canon_event ev = {.kind = CANON_EV_FINISH, .choice = k->index, .finish = finish};

    l->choice = k;
    dialect_openai_think_end(&k->think, tell_split, l);
    if (finish == CANON_FINISH_STOP && k->calls.n > 0) {
        ev.finish = CANON_FINISH_TOOLS; // whatever the vendor says
    }
    tell_sources(l);
    ev.logprobs = l->logprobs;
    k->finished = true;
    start(l);
    l->to.tell(l->to.ctx, &ev);
}

static void look_at_finish(struct look *l, struct slice reason)
{
    bool broken;
    enum canon_finish finish = dialect_openai_piece_finish(reason, &broken);

    if (broken && !l->s->spoke) {
        struct dialect_error er = {.message = SLICE("upstream ended the answer before it began")};

        dialect_error_classify(503, SLICE_NULL, l->c->arena, &er);
        tell_error(l, &er);
    } else if (finish != CANON_FINISH_NONE) {
        tell_finish(l, l->choice, finish);
    }
}

static void look_at_choice(struct look *l, uint32_t choice, uint64_t position)
{
    uint32_t delta = tape_get(l->t, choice, "delta"), message = tape_get(l->t, choice, "message");
    uint64_t index = position;

    (void)!tape_u64(l->t, tape_get(l->t, choice, "index"), &index);
    l->choice = choice_of(l, index);
    if (l->choice == NULL || l->choice->finished) {
        return;
    }
    l->logprobs = tape_raw(l->t, tape_given(l->t, choice, "logprobs"));
    if (tape_is(l->t, delta, SCAN_OBJECT)) {
        look_at_delta(l, delta);
    } else if (tape_is(l->t, message, SCAN_OBJECT) && !l->choice->spoke) {
        look_at_delta(l, message);
    }
    tell_text(l, CANON_EV_TEXT, tape_get_text(l->t, choice, "text")); // Completions of old
    look_at_finish(l, tape_get_text(l->t, choice, "finish_reason"));
}

// --- events ------------------------------------------------------------------------------------

static bool is_true(const struct tape *t, uint32_t i)
{
    return tape_is(t, i, SCAN_OBJECT) || tape_is(t, i, SCAN_ARRAY) || tape_text(t, i).n > 0;
}

// {"error": ...} (in a list: Google), the flat {"object": "error", ...}, MiniMax's base_resp, or an
// event of that name.
static bool is_error(const struct tape *t, struct slice event)
{
    uint32_t listed = tape_get(t, tape_first(t, 0), "error");
    uint32_t base = tape_get(t, tape_get(t, 0, "base_resp"), "status_code");
    bool choices = tape_first(t, tape_get(t, 0, "choices")) != TAPE_NONE;
    uint64_t code = 0;

    if (tape_is(t, 0, SCAN_ARRAY)) {
        return is_true(t, listed);
    }
    return is_true(t, tape_get(t, 0, "error")) || tape_eq(t, tape_get(t, 0, "object"), "error") ||
           (!choices && (slice_eq_str(event, "error") || (tape_u64(t, base, &code) && code != 0)));
}

static void look_at_error(const struct look *l)
{
    uint32_t top = tape_is(l->t, 0, SCAN_ARRAY) ? tape_first(l->t, 0) : 0;
    uint32_t error = tape_get(l->t, top, "error");
    struct dialect_error er;
    unsigned status;

    status = dialect_openai_answer_error_status(
        tape_raw(l->t, tape_is(l->t, error, SCAN_OBJECT) ? error : top));
    // A number the body gives is read by the normaliser too: 200 lets it.
    dialect_error_of(status == 500 ? 200 : status, l->t, l->c->arena, &er);
    tell_error(l, &er);
}

static void look_at_done(struct look *l)
{
    struct canon_event ev = {.kind = CANON_EV_END};

    if (l->s->n == 0) {
        return; // nothing was said: that is no answer
    }
    for (struct choice *k = l->s->choices; k != NULL; k = k->next) {
        if (!k->finished) {
            tell_finish(l, k, CANON_FINISH_STOP);
        }
    }
    l->s->ended = true;
    l->to.tell(l->to.ctx, &ev);
}

static void look_at(struct look *l)
{
    uint32_t choices = tape_get(l->t, 0, "choices");
    struct dialect_usage usage = {.known = false};
    uint64_t position = 0;

    if (tape_get_text(l->t, 0, "id").n > 0) {
        start(l);
    }
    TAPE_ITEMS(l->t, choices, i)
    {
        if (tape_is(l->t, i, SCAN_OBJECT) && !l->s->ended) {
            look_at_choice(l, i, position++);
        }
    }
    if (!l->s->ended && l->s->choices != NULL && l->s->choices->finished) {
        l->choice = l->s->choices;
        tell_sources(l);
    }
    if (!l->s->ended && dialect_openai_read_usage(l->t, &usage) && usage.known) {
        struct canon_event ev = {.kind = CANON_EV_USAGE, .usage = &usage};

        l->to.tell(l->to.ctx, &ev);
    }
}

bool dialect_openai_stream_event(void *reader, struct tape *t, struct slice event,
                                 struct slice data, const struct canon_context *c,
                                 struct canon_sink to)
{
    struct reader *s = reader;
    struct look l = {.s = s, .t = t, .c = c, .to = to};

    if (s->ended || data.n == 0) {
        return true;
    }
    if (slice_starts(data, SLICE("[DONE]"))) {
        t->n = 0; // nothing is read of it
        look_at_done(&l);
        return true;
    }
    if (!tape_parse(t, data, NULL)) {
        return false;
    }
    if (is_error(t, event)) {
        look_at_error(&l);
    } else if (!tape_is(t, 0, SCAN_OBJECT)) {
        return false;
    } else {
        look_at(&l);
    }
    return true;
}

void dialect_openai_stream_end(void *reader, const struct canon_context *c, struct canon_sink to)
{
    struct reader *s = reader;
    struct canon_event ev = {.kind = CANON_EV_END};

    (void)c;
    if (s->ended || s->n == 0) {
        return;
    }
    for (const struct choice *k = s->choices; k != NULL; k = k->next) {
        if (!k->finished) {
            return;
        }
    }
    s->ended = true;
    to.tell(to.ctx, &ev);
}
