// SPDX-License-Identifier: Apache-2.0
// The phases of a streamed answer: head, role, empty and reasoning events, content with its faults,
// finish, usage, [DONE].
#include "tests/mock/mock_stream.h"

#include "common/base/mono.h"
#include "tests/mock/mock_conn.h"
#include "tests/mock/mock_shape.h"

void mock_stream_comment(struct mock_conn *c)
{
    if (c->script.subject.shape != &mock_ollama) { // its lines are JSON
        mock_script_put_body(c, SLICE(": keep-alive\n\n"));
    }
    c->script.comment_us = loop_now_us(c->worker->loop) + c->script.behave.comments_us;
}

enum mock_run mock_stream_start(struct mock_conn *c)
{
    struct mock_script *s = &c->script;

    s->chunked = !mock_script_has(s, MOCK_UNTIL_CLOSE);
    mock_script_put_head(
        c, mock_script_has(s, MOCK_TYPE_JSON) ? "application/json" : s->subject.shape->stream_type,
        -1);
    if (s->behave.comments_us > 0 && !mock_script_has(s, MOCK_HALF_HEAD)) {
        mock_stream_comment(c);
    }
    if (mock_script_has(s, MOCK_HALF_HEAD | MOCK_STALL_FIRST)) {
        return mock_script_stall(s);
    }
    if (s->subject.shape->prefix != NULL) {
        s->subject.shape->prefix(&s->subject, &s->pre);
    }
    s->phase = MOCK_PHASE_TTFT;
    if (s->behave.ttft_us > 0 && !mock_script_has(s, MOCK_ROLE_THEN_STALL)) {
        s->content_us = loop_now_us(c->worker->loop) + s->behave.ttft_us;
        return MOCK_RUN_WAIT;
    }
    return MOCK_RUN_AGAIN;
}

static void put_event(struct mock_conn *c, enum mock_event kind, uint64_t index)
{
    struct buf *scratch = &c->worker->scratch;

    buf_clear(scratch);
    c->script.subject.shape->event(&c->script.subject, kind, index, buf_slice(&c->script.pre),
                                   scratch);
    mock_script_put_body(c, buf_slice(scratch));
}

static enum mock_run put_error_event(struct mock_conn *c)
{
    put_event(c, MOCK_EVENT_ERROR, 0);
    return mock_script_finish(c);
}

// Faults between content events; MOCK_RUN_AGAIN: none here.
static enum mock_run content_fault(struct mock_conn *c)
{
    struct mock_script *s = &c->script;
    const struct mock_behave *b = &s->behave;
    int64_t i = (int64_t)s->index;
    bool middle = s->index == mock_answer_events(&s->subject) / 2;

    if (b->error_after == i) {
        return put_error_event(c);
    }
    if (b->reset_after == i || (middle && mock_script_has(s, MOCK_RESET_MID))) {
        return MOCK_RUN_RESET;
    }
    if (b->cut_after == i || (middle && mock_script_has(s, MOCK_SHORT_BODY))) {
        return MOCK_RUN_CUT;
    }
    if (b->end_after == i) {
        return mock_script_finish(c);
    }
    if (b->stall_after == i) {
        return mock_script_stall(s);
    }
    if (middle && mock_script_has(s, MOCK_MALFORMED_CHUNK)) {
        return mock_script_break_chunking(c);
    }
    if (middle && mock_script_has(s, MOCK_BAD_JSON)) {
        put_event(c, MOCK_EVENT_BROKEN, 0);
    }
    return MOCK_RUN_AGAIN;
}

enum mock_run mock_stream_content(struct mock_conn *c)
{
    struct mock_script *s = &c->script;
    enum mock_run fault = content_fault(c);

    if (fault != MOCK_RUN_AGAIN || s->phase == MOCK_PHASE_STALL) {
        return fault;
    }
    if (s->index == mock_answer_events(&s->subject)) {
        s->phase = MOCK_PHASE_FINISH;
        return MOCK_RUN_AGAIN;
    }
    put_event(c, MOCK_EVENT_CONTENT, s->index++);
    s->progress.events++;
    if (s->behave.pace_us > 0) {
        uint64_t now = loop_now_us(c->worker->loop);

        // From the time it was due, so that a late timer does not slow the stream down.
        s->content_us =
            (s->content_us == 0 || s->content_us + MONO_SEC < now ? now : s->content_us) +
            s->behave.pace_us;
        return MOCK_RUN_WAIT;
    }
    return MOCK_RUN_AGAIN;
}

enum mock_run mock_stream_role(struct mock_conn *c)
{
    struct mock_script *s = &c->script;

    if (s->behave.error_after == -2) {
        return put_error_event(c);
    }
    put_event(c, MOCK_EVENT_ROLE, 0);
    if (mock_script_has(s, MOCK_ROLE_THEN_STALL)) {
        return mock_script_stall(s);
    }
    for (uint32_t i = 0; i < s->behave.empty_deltas; i++) {
        put_event(c, MOCK_EVENT_EMPTY, i);
    }
    s->phase = MOCK_PHASE_THINK;
    return MOCK_RUN_AGAIN;
}

enum mock_run mock_stream_think(struct mock_conn *c)
{
    struct mock_script *s = &c->script;

    if (s->index == s->turn.think || s->subject.api != MOCK_CHAT) {
        s->index = 0;
        s->phase = MOCK_PHASE_CONTENT;
        return MOCK_RUN_AGAIN;
    }
    put_event(c, MOCK_EVENT_THINK, s->index++);
    if (s->behave.pace_us > 0) {
        s->content_us = loop_now_us(c->worker->loop) + s->behave.pace_us;
        return MOCK_RUN_WAIT;
    }
    return MOCK_RUN_AGAIN;
}

enum mock_run mock_stream_end(struct mock_conn *c)
{
    struct mock_script *s = &c->script;

    if (!mock_script_has(s, MOCK_NO_FINISH)) {
        put_event(c, MOCK_EVENT_FINISH, 0);
    }
    if (!mock_script_has(s, MOCK_NO_USAGE)) {
        put_event(c, MOCK_EVENT_USAGE, 0);
    }
    if (!mock_script_has(s, MOCK_NO_DONE)) {
        put_event(c, MOCK_EVENT_DONE, 0);
    }
    return mock_script_finish(c);
}
