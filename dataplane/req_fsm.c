// SPDX-License-Identifier: Apache-2.0
// The life of a request.
//
//   AUTHENTICATE -> READ -+-> PARSE -> PLAN -> CACHE -> LIMIT -> PICK -> HEAD -+-> COLLECT -> SEND
//                         |                      |        ^      ^ |  ^        +-> HOLD -> STREAM
//                         -> SEND
//                         +-> LOCAL -> SEND      |        | BACKOFF|  |        +-> RELAY -> SEND
//                         |                      +-> REPLAY -> SEND|  |        |
//                         +-> (raw) LIMIT -------------------------+  +- JUDGE <--- (an attempt
//                         failed,
//                                                                         |          nothing was
//                                                                         sent)
//   SEND -> ACCOUNT -> DONE                                               +-> REPLY_ERROR
//   any step, failed -> REPLY_ERROR -> SEND         client gone -> CANCEL -> SEND
//
// Callbacks record facts in struct req and post it; req_run takes it from the loop's run queue and
// runs steps until one says REQ_WAIT. Two facts are looked at before every step, whichever it is:
// the client is gone, and the request has failed; so no step has to. A waiting step names in
// REQ_STEPS what wakes it, and REQ_DUE_TOTAL at least bounds it. STREAM and RELAY have no edge back
// to PICK: what went to the client is never retried, the table enforces it.
//
// docs/internals/request.dot is this table, rendered; a test compares them.
#include "dataplane/req_priv.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/log.h"

#define TO(s) (1u << REQ_##s)

// From each step: where it may go, REPLY_ERROR and CANCEL (see below) apart.
static const uint32_t allowed[REQ_N_STEPS] = {
    [REQ_AUTHENTICATE] = TO(READ) | TO(SEND),
    [REQ_READ] = TO(LOCAL) | TO(PARSE) | TO(LIMIT) | TO(SEND),
    [REQ_LOCAL] = TO(SEND),
    [REQ_PARSE] = TO(PLAN),
    [REQ_PLAN] = TO(CACHE) | TO(SEND),
    [REQ_CACHE] = TO(REPLAY) | TO(LIMIT) | TO(SEND),
    [REQ_REPLAY] = TO(SEND),
    [REQ_LIMIT] = TO(PICK),
    [REQ_PICK] = TO(HEAD) | TO(BACKOFF) | TO(REPLY_ERROR),
    [REQ_BACKOFF] = TO(PICK),
    [REQ_HEAD] = TO(COLLECT) | TO(HOLD) | TO(RELAY) | TO(JUDGE),
    [REQ_COLLECT] = TO(SEND) | TO(RELAY) | TO(JUDGE),
    [REQ_HOLD] = TO(STREAM) | TO(JUDGE),
    [REQ_STREAM] = TO(SEND),
    [REQ_RELAY] = TO(SEND),
    [REQ_JUDGE] = TO(PICK) | TO(REPLY_ERROR),
    [REQ_REPLY_ERROR] = TO(SEND),
    [REQ_CANCEL] = TO(SEND),
    [REQ_SEND] = TO(ACCOUNT),
    [REQ_ACCOUNT] = TO(DONE),
    [REQ_DONE] = 0,
};

static const struct {
    const char *name, *waits;
    enum req_next (*fn)(struct req *r);
} steps[REQ_N_STEPS] = {
#define X(name, text, waits) [REQ_##name] = {#text, waits, req_step_##text},
    REQ_STEPS(X)
#undef X
};

// The thread's running request, for the panic report only.
static _Thread_local const struct req *running;

const char *req_step_name(enum req_step s)
{
    CHECK(s < REQ_N_STEPS);
    return steps[s].name;
}

// A failure is reported from everywhere before the answer is complete.
static bool can_fail(enum req_step s)
{
    return s < REQ_REPLY_ERROR;
}

// A client can leave until its answer is complete; then there is nothing to cancel.
static bool can_cancel(enum req_step s)
{
    return s < REQ_CANCEL;
}

bool req_step_allowed(enum req_step from, enum req_step to)
{
    if (to == REQ_REPLY_ERROR) {
        return can_fail(from);
    }
    if (to == REQ_CANCEL) {
        return can_cancel(from);
    }
    return (allowed[from] & (1u << to)) != 0;
}

enum req_next req_set_step(struct req *r, enum req_step to)
{
    struct req_trace *t = &r->trace[r->n_trace++ % REQ_TRACE];

    CHECK(req_step_allowed(r->step, to));
    t->step = (uint8_t)to;
    t->at_ms = r->now_us > r->began_us ? (uint32_t)((r->now_us - r->began_us) / 1000) : 0;
    r->step = to;
    LOG(DEBUG, "req.step", LOG_SLICE("id", r->request_id), LOG_STR("step", steps[to].name));
    return REQ_MORE;
}

static void dump_running(void)
{
    const struct req *r = running;

    if (r == NULL) {
        return;
    }
    (void)fprintf(stderr, "request %.*s in step %s, came by:", SLICE_ARG(r->request_id),
                  steps[r->step].name);
    for (uint32_t i = 0; i < REQ_TRACE && i < r->n_trace; i++) {
        const struct req_trace *t = &r->trace[(r->n_trace - 1 - i) % REQ_TRACE];

        (void)fprintf(stderr, " <- %s@%ums", steps[t->step].name, t->at_ms);
    }
    (void)fputc('\n', stderr);
}

void req_install_panic_hook(void)
{
    check_set_hook(dump_running);
}

// Facts that outrank the step, in this order: a client that left needs no error, a request that was
// refused at its head (front.c) needs no second answer.
static void preempt(struct req *r)
{
    if (r->gone && !r->answered && can_cancel(r->step)) {
        (void)req_set_step(r, REQ_CANCEL);
        return;
    }
    if (r->answered && r->step <= REQ_READ) {
        (void)req_set_step(r, REQ_SEND);
        return;
    }
    if (r->ending && !r->answered && can_fail(r->step)) {
        (void)req_fail(r, REPLY_SHUTTING_DOWN, "the gateway is shutting down");
    }
    if (r->fail.code != REPLY_NONE && can_fail(r->step)) {
        (void)req_set_step(r, REQ_REPLY_ERROR);
    }
}

void req_run(struct loop_task *t)
{
    struct req *r = container_of(t, struct req, task);
    enum req_next next;

    r->now_us = loop_now_us(r->w->loop);
    running = r;
    do {
        preempt(r);
        next = steps[r->step].fn(r);
    } while (next == REQ_MORE);
    running = NULL;
    if (next == REQ_WAIT) {
        req_arm(r);
    } else {
        req_release(r);
    }
}

void req_render_dot(struct buf *out)
{
    buf_append_str(out, "// Rendered from dataplane/req_fsm.c by `sluice-proxy --render-fsm`.\n"
                        "digraph request {\n  rankdir=LR;\n  node [shape=box];\n");
    for (int s = 0; s < REQ_N_STEPS; s++) {
        buf_printf(out, "  %s [label=\"%s%s%s\"];\n", steps[s].name, steps[s].name,
                   steps[s].waits[0] != '\0' ? "\\nwaits for " : "", steps[s].waits);
    }
    for (int from = 0; from < REQ_N_STEPS; from++) {
        for (int to = 0; to < REQ_N_STEPS; to++) {
            if ((allowed[from] & (1u << to)) != 0) {
                buf_printf(out, "  %s -> %s;\n", steps[from].name, steps[to].name);
            }
        }
    }
    buf_append_str(out, "  // failed: any step before reply_error -> reply_error\n"
                        "  // client gone: any step before cancel -> cancel\n}\n");
}
