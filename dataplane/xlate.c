// SPDX-License-Identifier: Apache-2.0
// Joins a reader and a writer. Events pass one by one: the provider's reader tells canonical
// events, `tell` notes what they mean for the request machine (content, finish, usage, end) and
// hands them to the client's writer, which appends to the caller's buf. Nothing is kept but what
// the two states hold.
#include "dataplane/xlate.h"

#include <string.h>

#include "dataplane/gather.h"
#include "dataplane/scan.h"
#include "dataplane/sse.h"

void xlate_init(struct xlate *x, const struct dialect *client, struct arena *arena, struct rng *rng)
{
    *x = (struct xlate){.client = client, .arena = arena, .rng = rng};
}

void xlate_done(struct xlate *x)
{
    tape_done(&x->request_tape);
    tape_done(&x->tape);
    *x = (struct xlate){.client = NULL};
}

void xlate_reset(struct xlate *x)
{
    x->provider = NULL;
    x->reader = x->writer = NULL;
    x->ended = x->failed = false;
    x->names = (struct canon_names){.any = false};
}

// --- requests ----------------------------------------------------------------------------------

static bool read_request(struct xlate *x, const struct dialect_request *rq, struct slice body,
                         const char **ret_code, const char **ret_param, struct err *e)
{
    if (x->has_request) {
        return true;
    }
    *ret_code = "invalid_value";
    if (!tape_parse(&x->request_tape, body, e)) {
        return false;
    }
    x->request = (struct canon_request){.endpoint = rq->endpoint,
                                        .client = x->client,
                                        .choices = 1,
                                        .parallel = -1,
                                        .stream = rq->stream,
                                        .include_usage = dialect_shows_usage(rq)};
    if (!x->client->read_request(rq, &x->request_tape, x->arena, &x->request, ret_param, e)) {
        *ret_code = x->request.error_code != NULL ? x->request.error_code : *ret_code;
        return false;
    }
    canon_index_tools(&x->request, x->arena);
    x->has_request = true;
    return true;
}

bool xlate_request(struct xlate *x, const struct dialect *provider,
                   const struct canon_target *target, const struct dialect_request *rq,
                   struct slice body, struct buf *out, struct xlate_refusal *ret_why, struct err *e)
{
    bool written;

    *ret_why = (struct xlate_refusal){NULL, NULL};
    xlate_reset(x);
    if (!read_request(x, rq, body, &ret_why->code, &ret_why->param, e)) {
        return false;
    }
    x->provider = provider;
    x->outcome = (struct canon_outcome){.arena = x->arena};
    canon_names_make(&x->names, &x->request, provider, x->arena);
    canon_names_put(&x->names, &x->request);
    written = provider->write_request(&x->request, target, &x->outcome, out);
    canon_names_take(&x->names, &x->request); // the next attempt may want others
    if (!written) {
        *ret_why = (struct xlate_refusal){x->outcome.code, x->outcome.param};
        return err_set(e, ERR_INVALID, "%s", x->outcome.message);
    }
    if (out->over) {
        ret_why->code = "invalid_value";
        return err_set(e, ERR_TOO_LARGE, "the request is too large in the words of the provider");
    }
    x->context =
        (struct canon_context){.arena = x->arena,
                               .rng = x->rng,
                               .endpoint = rq->endpoint,
                               .model = target->model,
                               .include_usage = dialect_shows_usage(rq),
                               .json_tool = x->outcome.json_tool,
                               .gemini3 = target->gemini3,
                               .base64 = x->request.base64,
                               .functions = x->request.functions,
                               .quirks = target->quirks == NULL ? 0 : target->quirks->flags};
    return true;
}

static bool is_given(const struct scan_object *top, const char *name)
{
    const struct scan_member *m = scan_find(top, name);

    return m != NULL && m->type != SCAN_NULL;
}

void xlate_equal(struct xlate *x, const struct dialect_request *rq, struct slice model)
{
    xlate_reset(x);
    x->provider = x->client;
    x->context = (struct canon_context){.arena = x->arena,
                                        .rng = x->rng,
                                        .endpoint = rq->endpoint,
                                        .model = model,
                                        .include_usage = dialect_shows_usage(rq),
                                        // of old, in whose words the answer is
                                        .functions = is_given(&rq->top, "functions") &&
                                                     !is_given(&rq->top, "tools")};
}

void xlate_answered(struct xlate *x, uint64_t wall_s)
{
    x->context.created = wall_s;
}

// --- events ------------------------------------------------------------------------------------

static bool is_content(const struct canon_event *ev)
{
    switch (ev->kind) {
    case CANON_EV_TEXT:
    case CANON_EV_REFUSAL:
    case CANON_EV_REASONING:
    case CANON_EV_REDACTED:
    case CANON_EV_ARGS:
        return ev->text.n > 0;
    case CANON_EV_TOOL:
    case CANON_EV_IMAGE:
    case CANON_EV_FINISH:
        return true;
    case CANON_EV_START:
    case CANON_EV_SIGNATURE:
    case CANON_EV_GOOGLE_SIGNATURE:
    case CANON_EV_CITATION:
    case CANON_EV_USAGE:
    case CANON_EV_END:
    case CANON_EV_ERROR:
        break;
    }
    return false;
}

static void note(struct xlate *x, const struct canon_event *ev)
{
    uint32_t bit = ev->choice < 32 ? 1u << ev->choice : 0;

    x->seen->content = x->seen->content || is_content(ev);
    x->stream->content_seen = x->stream->content_seen || x->seen->content;
    switch ((int)ev->kind) {
    case CANON_EV_FINISH:
        x->seen->finish = true;
        x->stream->choices_finished |= bit;
        x->stream->choices_seen |= bit;
        break;
    case CANON_EV_USAGE:
        x->stream->usage = *ev->usage;
        break;
    case CANON_EV_END:
        x->seen->terminator = true;
        x->stream->terminated = true;
        x->ended = true;
        break;
    case CANON_EV_ERROR:
        x->seen->error = true;
        x->seen->error_status = ev->error->status;
        x->failed = true;
        break;
    default:
        x->stream->choices_seen |= x->seen->content ? bit : 0;
        break;
    }
}

static void tell(void *ctx, const struct canon_event *ev)
{
    struct xlate *x = ctx;

    if (x->ended || x->failed) {
        return; // a reader that tells more than it may
    }
    note(x, ev);
    if (ev->kind == CANON_EV_TOOL && x->names.any) {
        struct canon_event named = *ev;

        named.name = canon_names_client(&x->names, ev->name);
        x->client->write_event(x->writer, &named, &x->context, x->out);
        return;
    }
    x->client->write_event(x->writer, ev, &x->context, x->out);
}

static void open_states(struct xlate *x)
{
    if (x->writer == NULL) {
        x->writer = arena_zalloc(x->arena, x->client->writer_size + 1);
        x->reader = arena_zalloc(x->arena, x->provider->reader_size + 1);
    }
}

static struct canon_sink sink(struct xlate *x, struct dialect_stream *s, struct dialect_event *seen,
                              struct buf *out)
{
    open_states(x);
    x->stream = s;
    x->seen = seen;
    x->out = out;
    return (struct canon_sink){tell, x};
}

struct dialect_event xlate_event(struct xlate *x, struct dialect_stream *s, struct slice event,
                                 struct slice data, struct buf *out)
{
    struct dialect_event seen = {.content = false};
    struct canon_sink to = sink(x, s, &seen, out);

    if (!x->ended && !x->failed &&
        !x->provider->read_event(x->reader, &x->tape, event, data, &x->context, to)) {
        seen.malformed = true;
    }
    seen.malformed = seen.malformed || out->over;
    return seen;
}

void xlate_end(struct xlate *x, struct dialect_stream *s, struct buf *out)
{
    struct dialect_event seen = {.content = false};
    struct canon_sink to = sink(x, s, &seen, out);

    if (!x->ended && !x->failed) {
        x->provider->read_end(x->reader, &x->context, to);
    }
}

struct dialect_error xlate_cut_error(struct slice request_id)
{
    return (struct dialect_error){.status = 502,
                                  .type = "server_error",
                                  .code = "upstream_disconnect",
                                  .message = SLICE("upstream stream ended unexpectedly"),
                                  .request_id = request_id};
}

// --- answers -----------------------------------------------------------------------------------

bool xlate_answer(struct xlate *x, struct slice body, bool as_stream, struct buf *out,
                  struct dialect_answer *ret)
{
    struct canon_answer answer = {.id = SLICE_NULL};
    struct dialect_answer a = {.malformed = false};
    struct dialect_usage told;
    struct err e;

    *ret = (struct dialect_answer){.malformed = true};
    if (!tape_parse(&x->tape, body, &e) ||
        !x->provider->read_answer(&x->tape, &x->context, &answer)) {
        return false;
    }
    told = answer.usage;
    if (x->context.endpoint == DIALECT_EMBEDDINGS && !told.known) {
        // Google does not always count; clients want a number.
        answer.usage.input = dialect_estimate_tokens(x->request.input.n);
    }
    if (as_stream) {
        struct dialect_stream s = {.content_seen = false};
        struct dialect_event seen = {.content = false};

        canon_tell_answer(&answer, x->arena, sink(x, &s, &seen, out));
    } else {
        canon_names_answer(&x->names, &answer);
        x->client->write_answer(&answer, &x->context, out);
    }
    if (out->over) {
        return false;
    }
    if (x->context.endpoint == DIALECT_COUNT_TOKENS) {
        a.usage.known = true; // counting uses none
    } else {
        a.usage = told;
    }
    *ret = a;
    return true;
}

// --- streams as answers ------------------------------------------------------------------------

struct gathering {
    struct xlate *x;
    struct gather g;
    struct slice error;
    bool malformed;
};

static bool gather_event(void *ctx, const struct sse_event *e)
{
    struct gathering *s = ctx;
    struct canon_sink to = {gather_tell, &s->g};

    if (e->data.p == NULL) {
        return true;
    }
    s->malformed = !s->x->provider->read_event(s->x->reader, &s->x->tape, e->event, e->data,
                                               &s->x->context, to);
    if (s->g.failed) {
        s->error = arena_dup(s->x->arena, e->data);
    }
    return !s->malformed && !s->g.ended && !s->g.failed;
}

static bool read_stream(struct gathering *s, struct slice stream)
{
    struct sse events;
    bool ok;

    sse_init(&events);
    ok = sse_feed(&events, stream, gather_event, s);
    if (ok && !s->malformed && !s->g.ended && !s->g.failed) {
        sse_end(&events, gather_event, s);
    }
    sse_done(&events);
    if (ok && !s->malformed && !s->g.ended && !s->g.failed) {
        s->x->provider->read_end(s->x->reader, &s->x->context,
                                 (struct canon_sink){gather_tell, &s->g});
    }
    return ok && !s->malformed;
}

bool xlate_gather(struct xlate *x, struct slice stream, struct buf *out, struct dialect_answer *ret,
                  struct slice *ret_error)
{
    struct gathering s = {.x = x, .error = SLICE_NULL};
    struct canon_answer answer;
    bool ok;

    open_states(x);
    gather_init(&s.g, x->arena);
    ok = read_stream(&s, stream) && gather_finish(&s.g, &answer);
    *ret = (struct dialect_answer){.malformed = !ok};
    if (ok) {
        canon_names_answer(&x->names, &answer);
        x->client->write_answer(&answer, &x->context, out);
        ret->usage = answer.usage;
        ok = !out->over;
    } else if (s.g.failed) {
        ret->error_status = s.g.error_status >= 400 ? s.g.error_status : 500;
    }
    *ret_error = s.error;
    gather_done(&s.g);
    return ok;
}

// --- counting ----------------------------------------------------------------------------------

#define IMAGE_TOKENS 1600u

static uint64_t bytes_of(struct slice text)
{
    size_t bytes;

    (void)jtext_count(text, &bytes);
    return bytes;
}

static uint64_t count_parts(const struct canon_part *parts, uint64_t *images)
{
    uint64_t bytes = 0;

    for (const struct canon_part *p = parts; p != NULL; p = p->next) {
        *images += p->kind == CANON_IMAGE;
        // The text of a result that is one string is its only part too.
        bytes += p->kind == CANON_TOOL_RESULT ? 0 : bytes_of(p->text);
        bytes += bytes_of(p->name) + p->args.n;
        bytes += p->kind == CANON_FILE && p->source == CANON_PLAIN ? bytes_of(p->data) : 0;
        // Results hold text and images, never results: one level.
        for (const struct canon_part *q = p->parts; q != NULL; q = q->next) {
            *images += q->kind == CANON_IMAGE;
            bytes += bytes_of(q->text);
            bytes += q->kind == CANON_FILE && q->source == CANON_PLAIN ? bytes_of(q->data) : 0;
        }
    }
    return bytes;
}

static uint64_t estimate(const struct canon_request *r)
{
    uint64_t bytes = 0, images = 0;

    for (const struct canon_message *m = r->messages; m != NULL; m = m->next) {
        bytes += count_parts(m->parts, &images);
    }
    for (const struct canon_tool *t = r->tools; t != NULL; t = t->next) {
        bytes += bytes_of(t->name) + bytes_of(t->description) + t->parameters.n;
    }
    return dialect_estimate_tokens(bytes) + images * IMAGE_TOKENS;
}

bool xlate_count_tokens(struct xlate *x, const struct dialect_request *rq, struct slice body,
                        struct buf *out, const char **ret_param, struct err *e)
{
    struct canon_answer answer = {.usage = {.known = true}};
    const char *code;

    if (!read_request(x, rq, body, &code, ret_param, e)) {
        return false;
    }
    answer.usage.input = estimate(&x->request);
    x->context = (struct canon_context){
        .arena = x->arena, .rng = x->rng, .endpoint = rq->endpoint, .model = rq->model};
    x->client->write_answer(&answer, &x->context, out);
    return true;
}
