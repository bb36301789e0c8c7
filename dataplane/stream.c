// SPDX-License-Identifier: Apache-2.0
// Relay of one stream, event by event. See stream.h for the drawing.
//
//   HOLDING (emit == NULL)  events collect in held; content or overfull tells the caller to go on
//   RELAYING                each event goes to emit in the call in which it was complete
//   failed                  an error event: held back while HOLDING (the request tries elsewhere),
//                           passed on as the last event while RELAYING
#include "dataplane/stream.h"

#include "dataplane/meter.h"

void stream_begin(struct stream *s, const struct dialect *provider, struct xlate *xlate,
                  uint32_t choices, bool hide_usage, bool tee)
{
    *s = (struct stream){.live = true,
                         .dialect = provider,
                         .xlate = xlate,
                         .choices = choices,
                         .hide_usage = hide_usage,
                         .teeing = tee};
    sse_init(&s->sse);
    ndjson_init(&s->lines, SSE_EVENT_MAX);
    buf_init_soft(&s->made, STREAM_MADE_MAX);
    buf_init(&s->held, STREAM_HOLD_MAX + SSE_EVENT_MAX);
    buf_init(&s->tee, STREAM_TEE_MAX);
    buf_init(&s->error, STREAM_ERROR_MAX);
}

void stream_show_cost(struct stream *s,
                      struct slice (*cost)(void *ctx, const struct dialect_usage *u, char out[40]),
                      void *ctx)
{
    s->cost = cost;
    s->cost_ctx = ctx;
}

void stream_close(struct stream *s)
{
    if (!s->live) {
        return;
    }
    sse_done(&s->sse);
    ndjson_done(&s->lines);
    buf_done(&s->made);
    buf_done(&s->held);
    buf_done(&s->tee);
    buf_done(&s->error);
    *s = (struct stream){.live = false};
}

static void put(struct stream *s, struct slice raw)
{
    s->bytes += raw.n;
    if (s->emit != NULL) {
        s->emit(s->ctx, raw);
        return;
    }
    if (!buf_try_append(&s->held, raw)) {
        s->oversized = true;
    }
    s->overfull = s->overfull || s->held.n > STREAM_HOLD_MAX;
}

static void copy_to_tee(struct stream *s, struct slice raw)
{
    if (s->teeing && !buf_try_append(&s->tee, raw)) {
        s->teeing = false;
        buf_done(&s->tee);
    }
}

// shown: what the client would see of it.
static bool on_error(struct stream *s, struct slice data, struct slice shown, unsigned status)
{
    s->failed = true;
    s->error_status = status;
    s->teeing = false;
    // Cut where it is too large to keep: it is only reported.
    (void)!buf_try_append(&s->error, slice_head(data, STREAM_ERROR_MAX));
    if (s->emit != NULL || s->content) {
        put(s, shown); // content came before it, be it in the same read: the client has to see it
    }
    return false;
}

static void note(struct stream *s, const struct dialect_event *seen)
{
    s->progress =
        s->progress || seen->content || seen->finish || seen->terminator || seen->usage_only;
    s->content = s->content || seen->content || seen->finish;
    s->events += seen->content ? 1 : 0;
}

static bool translate(struct stream *s, const struct sse_event *e)
{
    bool had_content = s->content;
    struct dialect_event seen;

    buf_clear(&s->made);
    seen = xlate_event(s->xlate, &s->seen, e->event, e->data, &s->made);
    if (seen.malformed) {
        s->malformed = true;
        return false;
    }
    note(s, &seen);
    if (seen.error) {
        s->content = had_content || seen.content;
        return on_error(s, e->data, buf_slice(&s->made), seen.error_status);
    }
    copy_to_tee(s, buf_slice(&s->made));
    put(s, buf_slice(&s->made));
    return true;
}

// The event with usage.cost, where its usage has none; else as it came.
static struct slice with_cost(struct stream *s, const struct sse_event *e)
{
    char text[40];
    struct slice cost = s->cost(s->cost_ctx, &s->seen.usage, text);
    bool whole = e->data.p >= e->raw.p && e->data.p + e->data.n <= e->raw.p + e->raw.n;

    buf_clear(&s->made);
    if (whole) { // one data line
        buf_append(&s->made, slice_head(e->raw, (size_t)(e->data.p - e->raw.p)));
    } else {
        buf_append_str(&s->made, "data: ");
    }
    if (!meter_insert_cost(e->data, cost.p != NULL ? cost : SLICE("null"), &s->made)) {
        return e->raw;
    }
    if (whole) {
        buf_append(&s->made, slice_from(e->raw, (size_t)(e->data.p - e->raw.p) + e->data.n));
    } else { // several lines are one now: in JSON a line end is white space
        for (size_t i = 0; i < s->made.n; i++) {
            char *c = &s->made.p[s->made.off + i];

            *c = *c == '\n' ? ' ' : *c;
        }
        buf_append_str(&s->made, "\n\n");
    }
    return buf_slice(&s->made);
}

static bool on_event(void *ctx, const struct sse_event *e)
{
    struct stream *s = ctx;
    struct dialect_event seen;

    // Comments: the client's proxies may live on them. What is no SSE is nothing to them.
    if (e->data.p == NULL || (e->bare && s->xlate == NULL)) {
        if (s->xlate == NULL) {
            put(s, e->raw);
        } else if (slice_starts(e->raw, SLICE(":"))) {
            put(s, s->xlate->client->keep_alive); // in our framing; blank lines say nothing
        }
        return true;
    }
    if (s->xlate != NULL) {
        return translate(s, e);
    }
    seen = s->dialect->observe_event(&s->seen, e->event, e->data);
    if (seen.error) {
        return on_error(s, e->data, e->raw, seen.error_status);
    }
    if (seen.malformed && s->emit == NULL) {
        s->malformed = true;
        return false;
    }
    note(s, &seen);
    copy_to_tee(s, e->raw);
    if (!seen.usage_only || !s->hide_usage) {
        put(s, s->cost == NULL ? e->raw : with_cost(s, e));
    }
    return true;
}

static bool on_line(void *ctx, struct slice line)
{
    struct sse_event e = {.raw = line, .data = line};

    return on_event(ctx, &e);
}

void stream_feed(struct stream *s, struct slice in)
{
    if (s->failed || s->oversized || s->malformed) {
        return;
    }
    if (s->dialect->ndjson ? !ndjson_feed(&s->lines, in, on_line, s)
                           : !sse_feed(&s->sse, in, on_event, s)) {
        s->oversized = true;
    }
}

// An event that lacks its blank line is closed, so that what we may have to add stands alone.
static bool on_last_event(void *ctx, const struct sse_event *e)
{
    struct stream *s = ctx;
    bool more = on_event(ctx, e);

    if (s->xlate != NULL) {
        return more; // what was made is whole
    }
    if (s->emit != NULL || s->held.n > 0) {
        put(s, SLICE("\n\n"));
    }
    return more;
}

void stream_finish(struct stream *s)
{
    if (s->failed || s->oversized || s->malformed) {
        return;
    }
    if (s->dialect->ndjson) {
        ndjson_end(&s->lines, on_line, s);
    } else {
        sse_end(&s->sse, on_last_event, s);
    }
    if (s->xlate != NULL && !s->failed && !s->malformed) {
        buf_clear(&s->made);
        xlate_end(s->xlate, &s->seen, &s->made);
        s->content = s->content || s->seen.content_seen;
        if (s->made.over) {
            s->malformed = true;
            return;
        }
        copy_to_tee(s, buf_slice(&s->made));
        put(s, buf_slice(&s->made));
    }
}

void stream_release(struct stream *s, void (*emit)(void *ctx, struct slice raw), void *ctx)
{
    s->emit = emit;
    s->ctx = ctx;
    if (s->held.n > 0) {
        emit(ctx, buf_slice(&s->held));
    }
    buf_done(&s->held);
}

bool stream_is_complete(const struct stream *s)
{
    if (s->failed) {
        return false;
    }
    // Later choices are only counted when they finish (dialect_stream is cheap once content flows).
    return s->seen.terminated ||
           (s->xlate == NULL && s->seen.choices_seen == s->seen.choices_finished &&
            (uint32_t)__builtin_popcount(s->seen.choices_finished) >= s->choices);
}
