// SPDX-License-Identifier: Apache-2.0
// A whole answer is a list of blocks; a stream tells the same blocks in pieces. What must be known
// across events is which blocks are tool calls and whether their arguments have begun: a call
// without any has {}.
#include "dataplane/dialect_anthropic_read.h"

#include "common/base/text.h"
#include "dataplane/dialect_anthropic_answer.h"
#include "dataplane/dialect_anthropic_write.h"
#include "dataplane/dialect_error.h"
#include "dataplane/jtext.h"

// --- stop reasons ------------------------------------------------------------------------------

// tools: calls were told, other than of the JSON tool.
static enum canon_finish finish_of(const struct tape *t, uint32_t reason, bool tools, bool json)
{
    static const struct {
        const char *reason;
        enum canon_finish finish;
    } reasons[] = {
        {"end_turn", CANON_FINISH_STOP},
        {"stop_sequence", CANON_FINISH_STOP},
        {"max_tokens", CANON_FINISH_LENGTH},
        {"tool_use", CANON_FINISH_TOOLS},
        {"pause_turn", CANON_FINISH_STOP},
        {"refusal", CANON_FINISH_FILTER},
        {"model_context_window_exceeded", CANON_FINISH_LENGTH},
    };
    enum canon_finish finish = CANON_FINISH_STOP;

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
        if (tape_eq(t, reason, reasons[i].reason)) {
            finish = reasons[i].finish;
        }
    }
    if (finish == CANON_FINISH_STOP && tools) {
        return CANON_FINISH_TOOLS;
    }
    return finish == CANON_FINISH_TOOLS && !tools && json ? CANON_FINISH_STOP : finish;
}

static struct slice tier_of(const struct tape *t, uint32_t usage)
{
    uint32_t tier = tape_get(t, usage, "service_tier");

    if (tape_eq(t, tier, "standard")) {
        return SLICE("default");
    }
    return tape_eq(t, tier, "priority") ? SLICE("priority") : SLICE_NULL;
}

// --- whole answers -----------------------------------------------------------------------------

struct answer {
    const struct tape *t;
    const struct canon_context *c;
    struct canon_choice_out *choice;
    struct canon_part **tail;
    struct canon_citation **citations;
    uint64_t chars; // of the text so far
    bool tools, json;
};

static uint64_t count_chars(struct slice text)
{
    size_t bytes;

    return jtext_count(text, &bytes);
}

static void read_citations(struct answer *r, uint32_t list, uint64_t begin)
{
    TAPE_ITEMS(r->t, list, i)
    {
        struct canon_citation *k;

        if (!tape_eq(r->t, tape_get(r->t, i, "type"), "web_search_result_location")) {
            continue;
        }
        k = arena_zalloc(r->c->arena, sizeof(*k));
        k->url = tape_get_text(r->t, i, "url");
        k->title = tape_get_text(r->t, i, "title");
        k->begin = begin;
        k->end = r->chars;
        *r->citations = k;
        r->citations = &k->next;
    }
}

static void read_text(struct answer *r, uint32_t block)
{
    struct canon_part *p = canon_add_part(r->c->arena, &r->tail, CANON_TEXT);
    uint64_t begin = r->chars;

    p->text = tape_get_text(r->t, block, "text");
    if (p->text.p == NULL) {
        p->text = SLICE("");
    }
    r->chars += count_chars(p->text);
    read_citations(r, tape_get(r->t, block, "citations"), begin);
}

static void read_thinking(struct answer *r, uint32_t block)
{
    struct canon_part *p = canon_add_part(r->c->arena, &r->tail, CANON_REASONING);

    p->text = tape_get_text(r->t, block, "thinking");
    if (p->text.p == NULL) {
        p->text = SLICE("");
    }
    p->signature = tape_get_text(r->t, block, "signature");
    if (p->signature.n == 0) {
        p->signature = SLICE_NULL;
    }
}

static struct slice input_of(const struct tape *t, uint32_t block)
{
    uint32_t input = tape_get(t, block, "input");

    return tape_is(t, input, SCAN_OBJECT) ? tape_raw(t, input) : SLICE("{}");
}

// JSON without white space between its tokens, as text, into an empty buf.
static struct slice compact_text(struct slice json, struct buf *b)
{
    struct jwrite w = jwrite_to(b);

    buf_init(b, json.n * 6 + 2);
    jwrite_quoted_more(&w, json);
    return buf_slice(b);
}

static bool is_json_call(const struct tape *t, const struct canon_context *c, uint32_t block)
{
    return c->json_tool && tape_eq(t, tape_get(t, block, "name"), DIALECT_ANTHROPIC_JSON_TOOL);
}

// What was said beside the JSON is no JSON: the content is the tool's input.
static void forget_texts(struct answer *r)
{
    struct canon_part **at = &r->choice->parts;

    while (*at != NULL) {
        if ((*at)->kind == CANON_TEXT) {
            *at = (*at)->next;
        } else {
            at = &(*at)->next;
        }
    }
    r->tail = at;
    r->choice->citations = NULL;
    r->citations = &r->choice->citations;
}

static void read_call(struct answer *r, uint32_t block)
{
    struct canon_part *p;
    struct buf b;

    if (is_json_call(r->t, r->c, block)) {
        if (r->json) {
            return; // two are no JSON: the first one counts
        }
        forget_texts(r);
        p = canon_add_part(r->c->arena, &r->tail, CANON_TEXT);
        p->text = arena_dup(r->c->arena, compact_text(input_of(r->t, block), &b));
        buf_done(&b);
        r->json = true;
        return;
    }
    p = canon_add_part(r->c->arena, &r->tail, CANON_TOOL_CALL);
    p->id = tape_get_text(r->t, block, "id");
    if (p->id.n == 0) {
        p->id = canon_make_id("call_", r->c->rng, r->c->arena);
    }
    p->name = tape_get_text(r->t, block, "name");
    p->args = input_of(r->t, block);
    r->tools = true;
}

static void read_block(struct answer *r, uint32_t block)
{
    uint32_t type = tape_get(r->t, block, "type");

    if (tape_eq(r->t, type, "text")) {
        if (!r->json) {
            read_text(r, block);
        }
    } else if (tape_eq(r->t, type, "thinking")) {
        read_thinking(r, block);
    } else if (tape_eq(r->t, type, "redacted_thinking")) {
        canon_add_part(r->c->arena, &r->tail, CANON_REDACTED)->data =
            tape_get_text(r->t, block, "data");
    } else if (tape_eq(r->t, type, "tool_use")) {
        read_call(r, block);
    } // what ran at the provider (server_tool_use and results) is not shown
}

static void read_refusal(struct answer *r, uint32_t message)
{
    struct slice why = tape_get_text(r->t, tape_get(r->t, message, "stop_details"), "explanation");

    if (why.n > 0) {
        canon_add_part(r->c->arena, &r->tail, CANON_REFUSAL)->text = why;
    }
}

static bool read_count(const struct tape *t, struct canon_answer *ret)
{
    ret->usage.known = true;
    return tape_u64(t, tape_get(t, 0, "input_tokens"), &ret->usage.input);
}

bool dialect_anthropic_read_answer(const struct tape *t, const struct canon_context *c,
                                   struct canon_answer *ret)
{
    uint32_t content = tape_get(t, 0, "content"), reason = tape_get(t, 0, "stop_reason");
    uint32_t usage = tape_get(t, 0, "usage");
    struct answer r = {.t = t, .c = c};

    if (c->endpoint == DIALECT_COUNT_TOKENS) {
        return read_count(t, ret);
    }
    if (!tape_is(t, content, SCAN_ARRAY)) {
        return false;
    }
    ret->id = tape_get_text(t, 0, "id");
    ret->model = tape_get_text(t, 0, "model");
    ret->service_tier = tier_of(t, usage);
    dialect_anthropic_answer_usage(tape_raw(t, usage), &ret->usage);
    ret->choices = r.choice = arena_zalloc(c->arena, sizeof(*r.choice));
    r.tail = &r.choice->parts;
    r.citations = &r.choice->citations;
    TAPE_ITEMS(t, content, i)
    {
        read_block(&r, i);
    }
    r.choice->finish = finish_of(t, reason, r.tools, r.json);
    r.choice->stop_sequence = tape_get_text(t, 0, "stop_sequence");
    if (r.choice->finish == CANON_FINISH_FILTER) {
        read_refusal(&r, 0);
    }
    return true;
}

// --- events ------------------------------------------------------------------------------------

struct reading {
    struct dialect_anthropic_reader *r;
    const struct tape *t;
    const struct canon_context *c;
    struct canon_sink to;
};

static void tell(const struct reading *x, const struct canon_event *ev)
{
    if (!x->r->started && ev->kind != CANON_EV_START && ev->kind != CANON_EV_ERROR) {
        struct canon_event start = {.kind = CANON_EV_START};

        x->r->started = true; // a server that left message_start out
        x->to.tell(x->to.ctx, &start);
    }
    x->to.tell(x->to.ctx, ev);
}

static void tell_text(const struct reading *x, enum canon_event_kind kind, struct slice text)
{
    struct canon_event ev = {.kind = kind, .text = text};

    if (text.n > 0) {
        tell(x, &ev);
    }
}

static void tell_content(const struct reading *x, struct slice text)
{
    x->r->chars += count_chars(text);
    tell_text(x, CANON_EV_TEXT, text);
}

static void tell_args(const struct reading *x, struct dialect_anthropic_open *b, struct slice text)
{
    struct canon_event ev = {
        .kind = b->json ? CANON_EV_TEXT : CANON_EV_ARGS, .tool = b->tool, .text = text};

    if (text.n > 0) {
        b->filled = true;
        tell(x, &ev);
    }
}

static void tell_usage(const struct reading *x, uint32_t usage)
{
    struct canon_event ev = {.kind = CANON_EV_USAGE, .usage = &x->r->usage};

    dialect_anthropic_answer_usage(tape_raw(x->t, usage), &x->r->usage);
    if (x->r->usage.known) {
        tell(x, &ev);
    }
}

static void on_message_start(const struct reading *x)
{
    uint32_t message = tape_get(x->t, 0, "message");
    struct canon_event ev = {.kind = CANON_EV_START,
                             .id = tape_get_text(x->t, message, "id"),
                             .model = tape_get_text(x->t, message, "model")};

    if (!x->r->started) {
        x->r->started = true;
        tell(x, &ev);
    }
    tell_usage(x, tape_get(x->t, message, "usage"));
}

static struct dialect_anthropic_open *block_of(const struct reading *x, uint64_t index)
{
    for (size_t i = 0; i < DIALECT_ANTHROPIC_OPEN_BLOCKS; i++) {
        if (x->r->blocks[i].open && x->r->blocks[i].index == index) {
            return &x->r->blocks[i];
        }
    }
    return NULL;
}

static struct dialect_anthropic_open *open_block(const struct reading *x, uint64_t index)
{
    struct dialect_anthropic_open *b = block_of(x, index);

    for (size_t i = 0; i < DIALECT_ANTHROPIC_OPEN_BLOCKS && b == NULL; i++) {
        if (!x->r->blocks[i].open) {
            b = &x->r->blocks[i];
        }
    }
    if (b == NULL) {
        b = &x->r->blocks[0]; // more at once than any server has: the first is given up
    }
    *b = (struct dialect_anthropic_open){.open = true, .index = index};
    return b;
}

static void on_call_start(const struct reading *x, uint64_t index, uint32_t block)
{
    struct dialect_anthropic_open *b = open_block(x, index);
    struct canon_event ev = {.kind = CANON_EV_TOOL,
                             .tool = x->r->tools,
                             .id = tape_get_text(x->t, block, "id"),
                             .name = tape_get_text(x->t, block, "name")};
    struct buf input;

    b->json = is_json_call(x->t, x->c, block);
    b->tool = x->r->tools;
    x->r->json = x->r->json || b->json;
    if (!b->json) {
        x->r->tools++;
        x->r->called = true;
        if (ev.id.n == 0) {
            ev.id = canon_make_id("call_", x->c->rng, x->c->arena);
        }
        tell(x, &ev);
    }
    if (tape_first(x->t, tape_get(x->t, block, "input")) != TAPE_NONE) {
        b->input = arena_dup(x->c->arena, compact_text(input_of(x->t, block), &input));
        buf_done(&input);
    }
}

// A call ends: one without any arguments so far has those of its start.
static void close_call(const struct reading *x, struct dialect_anthropic_open *b)
{
    if (!b->filled) {
        tell_args(x, b, b->input.p != NULL ? b->input : SLICE("{}"));
    }
    b->open = false;
}

static void add_citation(const struct reading *x, uint32_t citation)
{
    struct dialect_anthropic_reader *r = x->r;
    struct canon_citation *k;

    if (!tape_eq(x->t, tape_get(x->t, citation, "type"), "web_search_result_location") ||
        r->n_citations == DIALECT_ANTHROPIC_CITATIONS) {
        return;
    }
    k = arena_zalloc(x->c->arena, sizeof(*k));
    k->url = arena_dup(x->c->arena, tape_get_text(x->t, citation, "url"));
    k->title = arena_dup(x->c->arena, tape_get_text(x->t, citation, "title"));
    if (r->citations == NULL) {
        r->citations_tail = &r->citations;
    }
    *r->citations_tail = k;
    r->citations_tail = &k->next;
    r->n_citations++;
}

static void tell_citations(const struct reading *x)
{
    for (struct canon_citation *k = x->r->citations; k != NULL; k = k->next) {
        struct canon_event ev = {.kind = CANON_EV_CITATION, .citation = k};

        k->begin = x->r->text_begin;
        k->end = x->r->chars;
        tell(x, &ev);
    }
    x->r->citations = NULL;
}

static void on_text_start(const struct reading *x, uint32_t block)
{
    uint32_t citations = tape_get(x->t, block, "citations");

    tell_citations(x); // of a block that was not stopped
    x->r->text_begin = x->r->chars;
    tell_content(x, tape_get_text(x->t, block, "text"));
    TAPE_ITEMS(x->t, citations, i)
    {
        add_citation(x, i);
    }
}

static void on_block_start(const struct reading *x, uint64_t index)
{
    uint32_t block = tape_get(x->t, 0, "content_block"), type = tape_get(x->t, block, "type");
    bool again = x->r->json && is_json_call(x->t, x->c, block);

    x->r->foreign = x->r->foreign && x->r->foreign_index != index;
    if (tape_eq(x->t, type, "tool_use") && !again) {
        on_call_start(x, index, block);
    } else if (tape_eq(x->t, type, "text") && !x->r->json) {
        on_text_start(x, block);
    } else if (tape_eq(x->t, type, "thinking")) {
        tell_text(x, CANON_EV_REASONING, tape_get_text(x->t, block, "thinking"));
        tell_text(x, CANON_EV_SIGNATURE, tape_get_text(x->t, block, "signature"));
    } else if (tape_eq(x->t, type, "redacted_thinking")) {
        tell_text(x, CANON_EV_REDACTED, tape_get_text(x->t, block, "data"));
    } else if (tape_is(x->t, type, SCAN_STRING)) { // of a tool that ran there, not known, too many
        x->r->foreign = true;
        x->r->foreign_index = index;
    }
}

static void on_block_delta(const struct reading *x, uint64_t index)
{
    uint32_t delta = tape_get(x->t, 0, "delta"), type = tape_get(x->t, delta, "type");

    if (x->r->foreign && x->r->foreign_index == index) {
        return;
    }
    if (tape_eq(x->t, type, "text_delta")) {
        tell_content(x, tape_get_text(x->t, delta, "text"));
    } else if (tape_eq(x->t, type, "citations_delta")) {
        add_citation(x, tape_get(x->t, delta, "citation"));
    } else if (tape_eq(x->t, type, "input_json_delta")) {
        struct dialect_anthropic_open *b = block_of(x, index);

        if (b != NULL) { // else of a tool that ran at the provider
            tell_args(x, b, tape_get_text(x->t, delta, "partial_json"));
        }
    } else if (tape_eq(x->t, type, "thinking_delta")) {
        tell_text(x, CANON_EV_REASONING, tape_get_text(x->t, delta, "thinking"));
    } else if (tape_eq(x->t, type, "signature_delta")) {
        tell_text(x, CANON_EV_SIGNATURE, tape_get_text(x->t, delta, "signature"));
    }
}

static void on_block_stop(const struct reading *x, uint64_t index)
{
    struct dialect_anthropic_open *b = block_of(x, index);

    x->r->foreign = x->r->foreign && x->r->foreign_index != index;
    if (b != NULL) {
        close_call(x, b);
    } else {
        tell_citations(x);
    }
}

// Before the message is over: blocks that a server did not stop.
static void close_blocks(const struct reading *x)
{
    for (size_t i = 0; i < DIALECT_ANTHROPIC_OPEN_BLOCKS; i++) {
        if (x->r->blocks[i].open) {
            close_call(x, &x->r->blocks[i]);
        }
    }
    tell_citations(x);
}

static void tell_finish(const struct reading *x, uint32_t reason, struct slice stop_sequence)
{
    struct canon_event ev = {.kind = CANON_EV_FINISH,
                             .finish = finish_of(x->t, reason, x->r->called, x->c->json_tool),
                             .stop_sequence = stop_sequence};

    if (!x->r->finished) {
        close_blocks(x);
        x->r->finished = true;
        tell(x, &ev);
    }
}

static void on_message_delta(const struct reading *x)
{
    uint32_t delta = tape_get(x->t, 0, "delta"), reason = tape_get(x->t, delta, "stop_reason");

    if (tape_text(x->t, reason).n > 0) {
        tell_finish(x, reason, tape_get_text(x->t, delta, "stop_sequence"));
    }
    tell_usage(x, tape_get(x->t, 0, "usage"));
}

static void on_message_stop(const struct reading *x)
{
    struct canon_event ev = {.kind = CANON_EV_END};

    tell_finish(x, TAPE_NONE, SLICE_NULL);
    x->r->ended = true;
    tell(x, &ev);
}

static void on_error(const struct reading *x)
{
    uint32_t error = tape_get(x->t, 0, "error");
    unsigned status = dialect_anthropic_answer_status(tape_get_text(x->t, error, "type"));
    struct dialect_error e = {.status = 0};
    struct canon_event ev = {.kind = CANON_EV_ERROR, .error = &e};

    dialect_error_of(status, x->t, x->c->arena, &e);
    x->r->ended = true;
    tell(x, &ev);
}

bool dialect_anthropic_read_event(void *reader, struct tape *t, struct slice event,
                                  struct slice data, const struct canon_context *c,
                                  struct canon_sink to)
{
    static const struct {
        const char *type;
        void (*on)(const struct reading *x);
        void (*on_index)(const struct reading *x, uint64_t index);
    } types[] = {
        {"content_block_delta", NULL, on_block_delta},
        {"content_block_start", NULL, on_block_start},
        {"content_block_stop", NULL, on_block_stop},
        {"message_start", on_message_start, NULL},
        {"message_delta", on_message_delta, NULL},
        {"message_stop", on_message_stop, NULL},
        {"error", on_error, NULL},
    };
    struct reading x = {reader, t, c, to};
    struct slice type;
    uint64_t index = 0;

    // Some servers end every stream as OpenAI does, behind message_stop.
    if (data.n == 0 || x.r->ended || slice_starts(data, SLICE("[DONE]"))) {
        return true;
    }
    if (!tape_parse(t, data, NULL) || !tape_is(t, 0, SCAN_OBJECT)) {
        return false;
    }
    type = tape_get_text(t, 0, "type");
    if (type.p == NULL) {
        type = tape_is(t, tape_get(t, 0, "error"), SCAN_OBJECT) ? SLICE("error") : event;
    }
    (void)!tape_u64(t, tape_get(t, 0, "index"), &index);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_eq_str(type, types[i].type)) {
            if (types[i].on != NULL) {
                types[i].on(&x);
            } else {
                types[i].on_index(&x, index);
            }
            break;
        }
    }
    return true;
}

void dialect_anthropic_read_end(void *reader, const struct canon_context *c, struct canon_sink to)
{
    // Without message_stop it is cut, whatever was told before.
    (void)reader;
    (void)c;
    (void)to;
}

// --- errors ------------------------------------------------------------------------------------

// What its own words say beyond the table of statuses.
static void read_words(struct slice error, struct dialect_error *ret)
{
    struct slice details, code;

    if (ret->status == 400 && slice_find(ret->message, SLICE("exceed context limit")) != SIZE_MAX) {
        dialect_error_context_length(ret);
    }
    if (ret->status == 429 && scan_get(error, "details", &details) &&
        scan_get(details, "error_code", &code) &&
        slice_find(code, SLICE("spend_limit")) != SIZE_MAX) {
        dialect_error_quota(ret); // waiting does not help
    }
}

void dialect_anthropic_read_error(unsigned status, struct slice body, struct arena *a,
                                  struct dialect_error *ret)
{
    struct slice error = SLICE_NULL, type;

    (void)!scan_get(body, "error", &error);
    // An error where an answer was due names itself by its type only.
    if (status < 400 && scan_get(error, "type", &type) && scan_type_of(type) == SCAN_STRING) {
        status = dialect_anthropic_answer_status((struct slice){type.p + 1, type.n - 2});
    }
    dialect_error_read(status, body, a, ret);
    read_words(error, ret);
}
