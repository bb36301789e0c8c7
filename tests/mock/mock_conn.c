// SPDX-License-Identifier: Apache-2.0
// Reading, writing and the life of a connection.
//
//   HEAD -> BODY -> ANSWER -> HEAD ...      on_event reads in HEAD and BODY, writes in any state
//     \-> CONTROL -> HEAD                   drive() runs the script until it waits or the kernel is
//   any -> CLOSED (graveyard)               full, sends, and acts on what the script said
//
// While an answer runs nothing is read, so that slices into the request stay valid; a client that
// leaves is seen by EPOLLRDHUP, and a half-close counts as leaving.
#include "tests/mock/mock_conn.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "tests/mock/mock_control.h"
#include "tests/mock/mock_put.h"
#include "tests/mock/mock_reply.h"
#include "tests/mock/mock_shape.h"

#define IN_MAX         ((size_t)300 << 20)
#define OUT_MAX        ((size_t)300 << 20)
#define READ_ROOM      4096u        // for the first read of a request
#define READ_ROOM_BODY (64u * 1024) // inside a chunked body
#define LOOK_MAX       (16u * 1024) // a model that comes later in the body is found at its end
#define TICK_US        10000u
#define RESET_PAUSE_US 20000u // so that what was sent before a RST has arrived
#define IDLE_KEEP      (64u * 1024)

static void process(struct mock_conn *c);
static void drive(struct mock_conn *c);

const char *mock_conn_date(struct mock_worker *w)
{
    time_t now = (time_t)(loop_wall_us(w->loop) / 1000000);

    if ((uint64_t)now != w->date_s) {
        struct tm tm;

        w->date_s = (uint64_t)now;
        (void)gmtime_r(&now, &tm);
        (void)strftime(w->date, sizeof(w->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    }
    return w->date;
}

static void free_conn(struct loop_grave *g)
{
    struct mock_conn *c = container_of(g, struct mock_conn, grave);

    buf_done(&c->in);
    buf_done(&c->saved);
    buf_done(&c->body);
    buf_done(&c->out);
    mock_script_done(&c->script);
    mem_free(c);
}

static void end_attempt(struct mock_conn *c, enum mock_end how)
{
    struct mock_script *s = &c->script;

    if (s->seq != 0) {
        s->progress.bytes = c->sent - s->sent_before;
        mock_journal_end(c->worker->mock->journal, s->seq, how, &s->progress,
                         loop_now_us(c->worker->loop));
        s->seq = 0;
    }
}

void mock_conn_close(struct mock_conn *c, enum mock_end how, bool reset)
{
    struct mock_worker *w = c->worker;

    if (c->state == MOCK_CONN_CLOSED) {
        return;
    }
    end_attempt(c, how);
    c->state = MOCK_CONN_CLOSED;
    loop_timer_cancel(w->loop, &c->timer);
    loop_timer_cancel(w->loop, &c->ticker);
    loop_watch_remove(w->loop, &c->watch);
    if (reset) {
        const struct linger now = {.l_onoff = 1, .l_linger = 0};

        (void)setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    (void)close(c->watch.fd);
    list_remove(&w->conns, &c->node);
    atomic_fetch_sub_explicit(&w->mock->connections_open, 1, memory_order_relaxed);
    c->grave.fn = free_conn;
    loop_bury(w->loop, &c->grave);
}

static void client_left(struct mock_conn *c)
{
    mock_conn_close(c, MOCK_END_CLIENT_CLOSED, false);
}

// What is watched: reads between requests, the client's leaving during an answer.
static void set_interest(struct mock_conn *c)
{
    uint32_t events = LOOP_RDHUP;

    if ((c->state == MOCK_CONN_HEAD || c->state == MOCK_CONN_BODY) && c->slow_read == 0) {
        events = LOOP_READ;
    }
    if (c->out.n > 0 && !(c->ticker.due_us != 0)) {
        events |= LOOP_WRITE;
    }
    loop_watch_set(c->worker->loop, &c->watch, events);
}

// How much may be sent now; 0 with a tick armed: later.
static size_t allowance(struct mock_conn *c)
{
    if (c->split_left > 0) {
        c->split_left--;
        return 1;
    }
    if (c->script.behave.slow_write > 0 && c->state == MOCK_CONN_ANSWER) {
        uint64_t n = c->script.behave.slow_write * TICK_US / 1000000;

        if ((c->ticker.due_us != 0)) {
            return 0;
        }
        loop_timer_set(c->worker->loop, &c->ticker, loop_now_us(c->worker->loop) + TICK_US);
        return n > 0 ? (size_t)n : 1;
    }
    return SIZE_MAX;
}

// Sends what it can. False: the client is gone (and the connection closed).
static bool flush(struct mock_conn *c)
{
    while (c->out.n > 0) {
        struct slice s = slice_head(buf_slice(&c->out), allowance(c));
        ssize_t n;

        if (s.n == 0) {
            return true;
        }
        n = send(c->watch.fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            if (errno == EAGAIN) {
                return true;
            }
            client_left(c);
            return false;
        }
        c->sent += (uint64_t)n;
        buf_consume(&c->out, (size_t)n);
    }
    return true;
}

static void shrink(struct buf *b)
{
    if (b->n == 0 && b->cap > IDLE_KEEP) {
        buf_done(b);
    }
}

// The answer has left; ready for the next request.
static void next_request(struct mock_conn *c)
{
    const uint32_t closing = MOCK_CLOSE | MOCK_CLOSE_QUIETLY | MOCK_UNTIL_CLOSE;
    bool attempt = c->script.seq != 0;

    end_attempt(c, MOCK_END_COMPLETE);
    if (!c->head.keep_alive || (attempt && (c->script.behave.flags & closing) != 0)) {
        mock_conn_close(c, MOCK_END_COMPLETE, false);
        return;
    }
    if (!c->head.chunked) {
        buf_consume(&c->in, c->head.length + (size_t)c->head.content_length);
    }
    buf_clear(&c->saved);
    buf_clear(&c->body);
    shrink(&c->in);
    shrink(&c->body);
    shrink(&c->script.pre);
    c->scanned = 0;
    c->slow_read = 0;
    c->looked = c->continued = c->keep_when_down = false;
    c->state = MOCK_CONN_HEAD;
}

// Acts on what the script said, as far as the output has gone out. True: go on driving.
static bool act(struct mock_conn *c)
{
    struct loop *l = c->worker->loop;

    switch (c->run) {
    case MOCK_RUN_AGAIN:
    case MOCK_RUN_FULL:
        return c->out.n < MOCK_CONN_HIGH / 2;
    case MOCK_RUN_WAIT:
        if (c->script.due_us != UINT64_MAX) {
            loop_timer_set(l, &c->timer, c->script.due_us);
        }
        return false;
    case MOCK_RUN_DONE:
        if (c->out.n == 0) {
            next_request(c);
        }
        return false;
    case MOCK_RUN_CUT:
        if (c->out.n == 0) {
            mock_conn_close(c, MOCK_END_CUT, false);
        }
        return false;
    case MOCK_RUN_RESET:
        if (c->out.n > 0) {
            return false;
        }
        if (c->sent == c->script.sent_before) {
            mock_conn_close(c, MOCK_END_RESET, true);
        } else if (!(c->ticker.due_us != 0)) {
            loop_timer_set(l, &c->ticker, loop_now_us(l) + RESET_PAUSE_US);
        }
        return false;
    }
    return false;
}

static bool script_has_ended(const struct mock_conn *c)
{
    return c->run == MOCK_RUN_DONE || c->run == MOCK_RUN_CUT || c->run == MOCK_RUN_RESET;
}

static void drive(struct mock_conn *c)
{
    struct mock_script *s = &c->script;

    do {
        if (!script_has_ended(c)) {
            c->run = mock_script_run(c);
        }
        if (!flush(c)) {
            return;
        }
    } while (act(c) && c->state == MOCK_CONN_ANSWER);
    if (c->state == MOCK_CONN_ANSWER) {
        s->progress.bytes = c->sent - s->sent_before;
        mock_journal_progress(c->worker->mock->journal, s->seq, &s->progress,
                              loop_now_us(c->worker->loop));
        set_interest(c);
    }
}

void mock_conn_reply(struct mock_conn *c, uint32_t status, struct slice json)
{
    struct mock_behave plain;
    struct mock_reply_head h = {.status = status,
                                .type = "application/json",
                                .content_length = (int64_t)json.n,
                                .close = !c->head.keep_alive,
                                .date = mock_conn_date(c->worker),
                                .port = c->port->port,
                                .behave = &plain,
                                .shape = &mock_openai};

    mock_behave_init(&plain);
    c->script.behave = plain; // the last attempt's must not slow this down
    c->script.sent_before = c->sent;
    mock_reply_head(&h, &c->out);
    buf_append(&c->out, json);
    c->run = MOCK_RUN_DONE;
    c->state = MOCK_CONN_ANSWER;
}

static void refuse(struct mock_conn *c, uint32_t status, const char *message)
{
    struct buf *b = &c->worker->scratch;

    c->head = (struct mock_head){.keep_alive = false, .chunked = true};
    buf_clear(b);
    mock_reply_error_text("invalid_request_error", "bad_framing", message, b);
    mock_conn_reply(c, status, buf_slice(b));
    drive(c);
}

static void begin(struct mock_conn *c, struct slice body)
{
    c->ordinal++;
    c->slow_read = 0;
    loop_timer_cancel(c->worker->loop, &c->timer);
    if (mock_control_is(&c->head)) {
        c->state = MOCK_CONN_CONTROL;
        mock_control_handle(c, body);
        if (c->state == MOCK_CONN_ANSWER) {
            drive(c);
        }
        return;
    }
    c->state = MOCK_CONN_ANSWER;
    c->run = MOCK_RUN_AGAIN;
    mock_script_begin(c, body);
    drive(c);
}

// Behaviours that matter before the body is complete.
static void look_ahead(struct mock_conn *c, struct slice body)
{
    struct mock_ask ask;
    struct mock_behave b;

    if (c->looked || body.n == 0) {
        return;
    }
    mock_ask_scan(body, &ask);
    c->looked = ask.model.p != NULL || c->head.behaviour.p != NULL || body.n > LOOK_MAX;
    if (!c->looked) {
        return;
    }
    mock_behave_init(&b);
    // A behaviour that does not parse is reported when the request is complete.
    (void)!mock_behave_parse(mock_behave_of_model(ask.model), &b, NULL, NULL);
    (void)!mock_behave_parse(c->head.behaviour, &b, NULL, NULL);
    if ((b.flags & MOCK_EARLY) != 0) {
        c->head.keep_alive = false;
        begin(c, body);
        return;
    }
    if (b.slow_read > 0) {
        const int small = 4096;

        // Else the kernel would take megabytes before the client notices.
        (void)setsockopt(c->watch.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        c->slow_read = b.slow_read;
        loop_timer_set(c->worker->loop, &c->timer, loop_now_us(c->worker->loop) + TICK_US);
    }
}

static void continue_100(struct mock_conn *c)
{
    if (c->head.expect_continue && !c->continued) {
        c->continued = true;
        put(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        (void)flush(c); // a client that left is seen at the next read
    }
}

// Body of known length. True: it was complete and has been taken up.
static bool read_fixed_body(struct mock_conn *c)
{
    uint64_t total = c->head.length + c->head.content_length;
    size_t scanned = 0;

    if (c->in.n >= total) {
        begin(c, slice_head(slice_from(buf_slice(&c->in), c->head.length),
                            (size_t)c->head.content_length));
        return true;
    }
    if (total > IN_MAX || !buf_try_reserve(&c->in, (size_t)(total - c->in.n))) {
        refuse(c, 413, "Request too large.");
        return true;
    }
    // The storage may have moved, and will not any more.
    if (mock_head_parse(buf_slice(&c->in), &scanned, &c->head) != MOCK_HEAD_OK) {
        refuse(c, 400, "Bad request.");
        return true;
    }
    c->state = MOCK_CONN_BODY;
    continue_100(c);
    if (c->state == MOCK_CONN_BODY) {
        look_ahead(c, slice_from(buf_slice(&c->in), c->head.length));
    }
    return false;
}

static bool read_chunked_body(struct mock_conn *c)
{
    size_t scanned = 0;
    bool complete = false;

    if (c->state == MOCK_CONN_HEAD) {
        buf_append(&c->saved, slice_head(buf_slice(&c->in), c->head.length));
        buf_consume(&c->in, c->head.length);
        if (mock_head_parse(buf_slice(&c->saved), &scanned, &c->head) != MOCK_HEAD_OK) {
            refuse(c, 400, "Bad request.");
            return true;
        }
        c->state = MOCK_CONN_BODY;
        c->dechunk = (struct mock_dechunk){0};
        continue_100(c);
    }
    if (c->state != MOCK_CONN_BODY) {
        return false;
    }
    if (!mock_dechunk_feed(&c->dechunk, &c->in, &c->body, &complete)) {
        refuse(c, 400, "Bad chunk.");
        return true;
    }
    if (complete) {
        begin(c, buf_slice(&c->body));
        return true;
    }
    look_ahead(c, buf_slice(&c->body));
    return false;
}

// Takes up all complete requests that are in c->in.
static void process(struct mock_conn *c)
{
    bool more = true;

    while (more && (c->state == MOCK_CONN_HEAD || c->state == MOCK_CONN_BODY)) {
        if (c->state == MOCK_CONN_HEAD) {
            enum mock_head_result r;

            if (c->in.n == 0) {
                break;
            }
            r = mock_head_parse(buf_slice(&c->in), &c->scanned, &c->head);
            if (r == MOCK_HEAD_MORE) {
                break;
            }
            if (r == MOCK_HEAD_BAD) {
                refuse(c, 400, "Bad request.");
                break;
            }
        }
        more = c->head.chunked ? read_chunked_body(c) : read_fixed_body(c);
    }
    if (c->state != MOCK_CONN_CLOSED) {
        set_interest(c);
    }
}

// max: bytes at most.
static void read_some(struct mock_conn *c, size_t max)
{
    // A body of known length has its room already, and must not move.
    size_t want = c->state == MOCK_CONN_HEAD ? READ_ROOM : c->head.chunked ? READ_ROOM_BODY : 1;
    size_t room = 0;
    char *tail;
    ssize_t n;

    if (!buf_try_reserve(&c->in, want)) {
        refuse(c, 413, "Request too large.");
        return;
    }
    tail = buf_tail(&c->in, &room);
    if (c->state == MOCK_CONN_BODY && !c->looked && max > READ_ROOM) {
        max = READ_ROOM; // the model may say that the rest is to be read slowly
    }
    n = recv(c->watch.fd, tail, room < max ? room : max, 0);
    if (n > 0) {
        buf_commit(&c->in, (size_t)n);
        process(c);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        client_left(c);
    }
}

static void on_event(struct loop_watch *watch, uint32_t events)
{
    struct mock_conn *c = container_of(watch, struct mock_conn, watch);

    if ((events & LOOP_ERROR) != 0 || (events & LOOP_RDHUP) != 0) {
        client_left(c);
        return;
    }
    if ((events & LOOP_READ) != 0) {
        read_some(c, SIZE_MAX);
    }
    if ((events & LOOP_WRITE) != 0 && c->state == MOCK_CONN_ANSWER) {
        drive(c);
        process(c);
    } else if ((events & LOOP_WRITE) != 0 && c->state != MOCK_CONN_CLOSED && flush(c)) {
        set_interest(c);
    }
}

static void on_timer(struct loop_timer *t)
{
    struct mock_conn *c = container_of(t, struct mock_conn, timer);

    if (c->state == MOCK_CONN_ANSWER) {
        drive(c);
        process(c);
    } else if (c->state == MOCK_CONN_BODY && c->slow_read > 0) {
        uint64_t n = c->slow_read * TICK_US / 1000000;

        read_some(c, n > 0 ? (size_t)n : 1);
        if (c->state == MOCK_CONN_BODY && c->slow_read > 0) {
            loop_timer_set(c->worker->loop, &c->timer, loop_now_us(c->worker->loop) + TICK_US);
        }
    }
}

static void on_tick(struct loop_timer *t)
{
    struct mock_conn *c = container_of(t, struct mock_conn, ticker);

    if (c->state == MOCK_CONN_CONTROL) {
        mock_control_poll(c);
    }
    if (c->state != MOCK_CONN_ANSWER) { // also: still waiting
        return;
    }
    if (c->run == MOCK_RUN_RESET && c->out.n == 0) {
        mock_conn_close(c, MOCK_END_RESET, true);
        return;
    }
    drive(c);
    process(c);
}

void mock_conn_start(struct mock_worker *w, struct mock_port *p, int fd)
{
    struct mock_conn *c = mem_zalloc(sizeof(*c));
    struct err e;

    c->worker = w;
    c->port = p;
    c->timer.fn = on_timer;
    c->ticker.fn = on_tick;
    c->watch.fd = fd;
    c->watch.fn = on_event;
    buf_init(&c->in, IN_MAX);
    buf_init(&c->saved, 2 * MOCK_HEAD_MAX);
    buf_init(&c->body, IN_MAX);
    buf_init(&c->out, OUT_MAX);
    mock_script_init(&c->script);
    if (!loop_watch_add(w->loop, &c->watch, LOOP_READ, &e)) {
        (void)close(fd);
        mem_free(c);
        return;
    }
    list_push_back(&w->conns, &c->node);
    c->id = atomic_fetch_add_explicit(&w->mock->connections_total, 1, memory_order_relaxed) + 1;
    atomic_fetch_add_explicit(&w->mock->connections_open, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&p->connections, 1, memory_order_relaxed);
}
