// SPDX-License-Identifier: Apache-2.0
// The phases of an attempt. Faults are looked at in `start` (before and in the head), in `plain`
// (after so many body bytes) and in mock_stream.c (after so many content events).
//
//   START --delay--> head --+-- plain answer: PLAIN ------------------------> done
//                           +-- stream: TTFT -> THINK -> CONTENT -> FINISH -> done
//   any --fault--> STALL (until the client leaves), cut, reset
#include "tests/mock/mock_script.h"

#include <math.h>
#include <stdio.h>

#include "common/base/mono.h"
#include "common/io/crypto.h"
#include "tests/mock/mock_conn.h"
#include "tests/mock/mock_put.h"
#include "tests/mock/mock_reply.h"
#include "tests/mock/mock_route.h"
#include "tests/mock/mock_shape.h"
#include "tests/mock/mock_stream.h"

#define BODY_MAX   (96u << 20) // of what is built in memory
#define TREE_MAX   ((size_t)64 << 20)
#define TREE_DEPTH 128u

static const struct slice html_page =
    SLICE("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad "
          "Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n");

void mock_script_init(struct mock_script *s)
{
    buf_init(&s->pre, BODY_MAX);
    buf_init(&s->post, BODY_MAX);
    mock_turn_init(&s->turn);
}

void mock_script_done(struct mock_script *s)
{
    buf_done(&s->pre);
    buf_done(&s->post);
    mock_turn_done(&s->turn);
    json_free(&s->tree);
}

bool mock_script_has(const struct mock_script *s, uint32_t flags)
{
    return (s->behave.flags & flags) != 0;
}

enum mock_run mock_script_stall(struct mock_script *s)
{
    s->phase = MOCK_PHASE_STALL;
    s->content_us = s->due_us = UINT64_MAX;
    return MOCK_RUN_AGAIN;
}

// As a chunk where the answer is chunked.
void mock_script_put_body(struct mock_conn *c, struct slice s)
{
    if (s.n == 0) {
        return;
    }
    if (c->script.chunked) {
        char digits[16];
        size_t at = sizeof(digits);

        for (size_t n = s.n; n > 0; n >>= 4) {
            digits[--at] = "0123456789abcdef"[n & 15];
        }
        buf_append(&c->out, SLICE_MAKE(digits + at, sizeof(digits) - at));
        put(&c->out, "\r\n");
    }
    buf_append(&c->out, s);
    if (c->script.chunked) {
        put(&c->out, "\r\n");
    }
}

enum mock_run mock_script_finish(struct mock_conn *c)
{
    if (c->script.chunked) {
        put(&c->out, "0\r\n\r\n");
    }
    return MOCK_RUN_DONE;
}

enum mock_run mock_script_break_chunking(struct mock_conn *c)
{
    put(&c->out, "zz\r\nthis chunk has no size\r\n");
    return mock_script_stall(&c->script);
}

void mock_script_put_head(struct mock_conn *c, const char *type, int64_t content_length)
{
    struct mock_script *s = &c->script;
    const struct mock_reply_head h = {
        .status = s->progress.status,
        .type = type,
        .content_length = content_length,
        .chunked = s->chunked,
        .close = !c->head.keep_alive || mock_script_has(s, MOCK_CLOSE | MOCK_UNTIL_CLOSE),
        .date = mock_conn_date(c->worker),
        .id = s->subject.id,
        .port = c->port->port,
        .behave = &s->behave,
        .shape = s->subject.shape,
    };
    size_t before = c->out.n;

    mock_reply_head(&h, &c->out);
    if (mock_script_has(s, MOCK_HALF_HEAD)) {
        // buf has no way to drop the tail: move the half that stays.
        struct slice all = buf_slice(&c->out);
        struct buf *scratch = &c->worker->scratch;

        buf_clear(scratch);
        buf_append(scratch, slice_head(all, before + (all.n - before) / 2));
        buf_clear(&c->out);
        buf_append(&c->out, buf_slice(scratch));
    }
}

static bool key_is_accepted(const struct mock *m, const struct mock_head *h)
{
    struct slice rest = slice_str(m->require_key);

    if (m->require_key == NULL) {
        return true;
    }
    if (slice_eq(rest, SLICE("any"))) {
        return h->auth.n > 0;
    }
    while (rest.n > 0) {
        struct slice key;

        rest = slice_cut(rest, ',', &key);
        if (key.n > 0 && slice_eq(key, h->auth)) {
            return true;
        }
    }
    return false;
}

static void refuse(struct mock_script *s, uint32_t status, const char *code, const char *message)
{
    s->progress.status = status;
    s->subject.shape->error(status, NULL, code, message, &s->pre);
}

// What OpenAI itself would say about the request. Fills s->pre and the status on a refusal.
static void check_openai_basics(struct mock_conn *c)
{
    struct mock_script *s = &c->script;
    enum mock_api api = s->subject.api;

    if (s->ask.model.n == 0) {
        refuse(s, 400, NULL, "you must provide a model parameter");
    } else if (api == MOCK_CHAT && !s->ask.has_messages) {
        refuse(s, 400, "missing_required_parameter", "Missing required parameter: 'messages'.");
    } else if (api != MOCK_CHAT && !s->ask.has_input) {
        refuse(s, 400, "missing_required_parameter", "Missing required parameter: 'input'.");
    }
}

// The shape looks into the request and says what to answer.
static void examine(struct mock_conn *c, struct slice body)
{
    struct mock_script *s = &c->script;
    struct mock_request q = {
        .api = s->subject.api, .head = &c->head, .ask = &s->ask, .behave = &s->behave};
    struct json_at root = {0};
    struct err e;

    if (!slice_eq(c->head.method, SLICE("GET"))) {
        s->tree = json_parse(body, TREE_MAX, TREE_DEPTH, &e);
        if (s->tree == NULL) {
            refuse(s, 400, NULL, e.message);
            return;
        }
        root = json_root(s->tree);
        q.root = &root;
    }
    if (!s->subject.shape->check(&q)) {
        s->progress.status = q.status;
        s->subject.shape->error(q.status, q.kind, q.code, q.message, &s->pre);
        return;
    }
    mock_turn_build(&s->turn, &q.wants, &s->behave, mock_behave_of_model(s->ask.model));
}

static void check_request(struct mock_conn *c, struct slice body)
{
    struct mock_script *s = &c->script;
    enum mock_api api = s->subject.api;
    bool get = slice_eq(c->head.method, SLICE("GET"));

    if (!key_is_accepted(c->worker->mock, &c->head)) {
        s->progress.status = s->subject.shape == &mock_gemini ? 400 : 401;
        s->subject.shape->error(401, NULL, NULL, NULL, &s->pre);
        return;
    }
    if (api == MOCK_ECHO || mock_script_has(s, MOCK_EARLY)) {
        return;
    }
    if (get != (api == MOCK_MODELS || api == MOCK_MODEL)) {
        refuse(s, 405, "method_not_supported", "Not allowed to use this method on this path.");
    } else if (s->subject.shape != &mock_openai) {
        examine(c, body);
    } else if (get) {
        return;
    } else if (!s->ask.valid) {
        refuse(s, 400, NULL,
               "We could not parse the JSON body of your request. (HINT: This likely means you "
               "aren't using your HTTP library correctly.)");
    } else {
        check_openai_basics(c);
        if (s->progress.status == 0 && api == MOCK_CHAT &&
            (s->ask.rich || (s->behave.wishes & MOCK_WISH_STRICT) != 0)) {
            examine(c, body);
        }
    }
}

static uint64_t head_delay_us(struct mock_worker *w, const struct mock_behave *b)
{
    uint64_t us = b->delay_us;

    if (b->lognormal_us > 0) {
        // Box and Muller; sigma 0.5 puts the 99th percentile at 3.2 times the median.
        double u1 = 1.0 - rng_unit(&w->rng), u2 = rng_unit(&w->rng);
        double z = sqrt(-2.0 * log(u1)) * cos(2.0 * M_PI * u2);

        us += (uint64_t)((double)b->lognormal_us * exp(0.5 * z));
    }
    return us;
}

static void journal(struct mock_conn *c, struct slice body)
{
    struct mock_worker *w = c->worker;
    const struct mock_attempt_facts f = {
        .wall_us = loop_wall_us(w->loop),
        .now_us = loop_now_us(w->loop),
        .port = c->port->port,
        .connection = c->id,
        .ordinal = c->ordinal,
        .head = &c->head,
        .ask = &c->script.ask,
        .shape = c->script.subject.api == MOCK_ECHO ? "echo" : c->script.subject.shape->name,
        .body = body,
    };

    c->script.seq = mock_journal_begin(w->mock->journal, &f);
}

// For the log.
static void count_tokens(struct mock_script *s)
{
    if (s->progress.status == 0 && s->behave.status < 300 && s->subject.api != MOCK_ECHO) {
        struct mock_usage u = mock_answer_usage(&s->subject);

        s->progress.input_tokens = u.prompt;
        s->progress.output_tokens = s->subject.api == MOCK_CHAT ? u.completion : 0;
    }
}

void mock_script_begin(struct mock_conn *c, struct slice body)
{
    struct mock_script *s = &c->script;
    struct mock_worker *w = c->worker;
    struct err e;

    buf_clear(&s->pre);
    buf_clear(&s->post);
    s->phase = MOCK_PHASE_START;
    s->progress = (struct mock_progress){0};
    s->index = s->filler = s->position = s->limit = 0;
    s->chunked = false;
    s->sent_before = c->sent;
    mock_ask_scan(body, &s->ask);
    json_free(&s->tree);
    s->subject = (struct mock_subject){
        .shape = &mock_openai,
        .ask = &s->ask,
        .turn = &s->turn,
        .behave = &s->behave,
        .id = atomic_fetch_add_explicit(&w->mock->next_id, 1, memory_order_relaxed),
        .created_s = loop_wall_us(w->loop) / 1000000,
        .port = c->port->port,
        .body_length = body.n,
    };
    mock_route_set(&c->head, body, s);
    atomic_fetch_add_explicit(&c->port->requests, 1, memory_order_relaxed);
    journal(c, body);
    if (!mock_rules_resolve(w->mock->rules, c->port->port, s->ask.model, c->head.behaviour,
                            (uint32_t)rng_below(&w->rng, 100), &s->behave, &e)) {
        mock_behave_init(&s->behave);
        mock_turn_plain(&s->turn, &s->behave);
        refuse(s, 400, "mock_behaviour", e.message);
    } else {
        mock_turn_plain(&s->turn, &s->behave);
        check_request(c, body);
    }
    count_tokens(s);
    c->split_left = mock_script_has(s, MOCK_SPLIT) ? 512 : 0;
    s->content_us = s->due_us = s->comment_us = 0;
    if (s->behave.delay_us > 0 || s->behave.lognormal_us > 0) {
        s->content_us = s->due_us = loop_now_us(w->loop) + head_delay_us(w, &s->behave);
    }
}

static void put_echo(struct mock_conn *c)
{
    const struct mock_head *h = &c->head;
    struct buf *out = &c->script.pre;
    struct slice body = h->chunked ? buf_slice(&c->body)
                                   : slice_head(slice_from(buf_slice(&c->in), h->length),
                                                (size_t)h->content_length);
    uint8_t digest[CRYPTO_SHA256_BYTES];
    char hex[2 * CRYPTO_SHA256_BYTES + 1];

    put(out, "{\"method\":");
    text_json_string(out, h->method);
    put(out, ",\"path\":");
    text_json_string(out, h->path);
    put(out, ",\"query\":");
    text_json_string(out, h->query.p == NULL ? SLICE("") : h->query);
    put(out, ",\"port\":");
    put_u64(out, c->port->port);
    put(out, ",\"headers\":");
    mock_head_json(h->headers, out);
    put(out, ",\"body_length\":");
    put_u64(out, body.n);
    crypto_sha256(digest, &body, 1);
    text_hex(digest, sizeof(digest), hex);
    put(out, ",\"body_sha256\":\"");
    buf_append_str(out, hex);
    put(out, "\"}\n");
}

// The body of a plain answer, in s->pre, s->filler, s->post.
static void build_plain(struct mock_conn *c)
{
    struct mock_script *s = &c->script;

    if (s->pre.n > 0) {
        return; // refused
    }
    if (mock_script_has(s, MOCK_HTML)) {
        buf_append(&s->pre, html_page);
    } else if (mock_script_has(s, MOCK_UNKNOWN_MODEL)) {
        char message[300];

        (void)snprintf(message, sizeof(message),
                       "The model `" SLICE_FMT "` does not exist or you do not have access to it.",
                       SLICE_ARG(slice_head(s->ask.model, 128)));
        refuse(s, 404, "model_not_found", message);
    } else if (s->progress.status >= 300) {
        s->subject.shape->error(s->progress.status, NULL, NULL, NULL, &s->pre);
    } else if (s->behave.error_after != -1) {
        s->subject.shape->error(500, NULL, NULL, NULL, &s->pre); // an error inside a 200
    } else if (s->subject.api == MOCK_ECHO) {
        put_echo(c);
    } else if (s->subject.api == MOCK_CHAT || s->subject.api == MOCK_COMPLETIONS) {
        s->filler = s->subject.shape->plain(&s->subject, &s->pre, &s->post);
    } else {
        s->subject.shape->other(&s->subject, &s->pre);
    }
}

static void coat_with_gzip(struct mock_script *s, struct buf *scratch)
{
    struct slice filler = mock_answer_filler();

    buf_clear(scratch);
    for (; s->filler > 0; s->filler -= s->filler < filler.n ? s->filler : filler.n) {
        buf_append(&s->pre,
                   slice_head(filler, s->filler < filler.n ? (size_t)s->filler : filler.n));
    }
    buf_append(&s->pre, buf_slice(&s->post));
    buf_clear(&s->post);
    mock_reply_gzip(buf_slice(&s->pre), scratch);
    buf_clear(&s->pre);
    buf_append(&s->pre, buf_slice(scratch));
}

// How many bytes of a plain body come before the fault; `total` when there is none.
static uint64_t plain_limit(const struct mock_script *s, uint64_t total)
{
    const int64_t after[] = {s->behave.cut_after, s->behave.reset_after, s->behave.stall_after,
                             s->behave.end_after};
    uint64_t limit = mock_script_has(s, MOCK_RESET_MID | MOCK_MALFORMED_CHUNK) ? total / 2 : total;

    for (size_t i = 0; i < ARRAY_LEN(after); i++) {
        if (after[i] >= 0 && (uint64_t)after[i] < limit) {
            limit = (uint64_t)after[i];
        }
    }
    return limit;
}

static enum mock_run start_plain(struct mock_conn *c)
{
    struct mock_script *s = &c->script;
    uint64_t total;
    int64_t length;

    build_plain(c);
    if (mock_script_has(s, MOCK_GZIP)) {
        coat_with_gzip(s, &c->worker->scratch);
    }
    total = s->pre.n + s->filler + s->post.n;
    if (mock_script_has(s, MOCK_BAD_JSON)) {
        total = total * 6 / 10;
    }
    s->limit = plain_limit(s, total);
    s->chunked = mock_script_has(s, MOCK_CHUNKED | MOCK_MALFORMED_CHUNK);
    length = s->chunked || mock_script_has(s, MOCK_UNTIL_CLOSE) ? -1
             : mock_script_has(s, MOCK_SHORT_BODY)              ? (int64_t)total + 100
                                                                : (int64_t)total;
    mock_script_put_head(
        c, mock_script_has(s, MOCK_HTML) ? "text/html; charset=UTF-8" : "application/json", length);
    if (mock_script_has(s, MOCK_HALF_HEAD | MOCK_STALL_FIRST | MOCK_ROLE_THEN_STALL)) {
        return mock_script_stall(s);
    }
    s->phase = MOCK_PHASE_PLAIN;
    return MOCK_RUN_AGAIN;
}

static enum mock_run start(struct mock_conn *c)
{
    struct mock_script *s = &c->script;
    bool refused = s->progress.status != 0;
    bool streams = s->subject.api == MOCK_CHAT || s->subject.api == MOCK_COMPLETIONS;

    if (mock_script_has(s, MOCK_RESET) ||
        (mock_script_has(s, MOCK_RESET_REUSED) && c->ordinal > 1)) {
        return MOCK_RUN_RESET;
    }
    if (mock_script_has(s, MOCK_SILENCE)) {
        return mock_script_stall(s);
    }
    if (!refused) {
        s->progress.status = s->behave.status > 0 ? s->behave.status : 200;
    }
    if (streams && s->ask.stream && s->progress.status < 300 &&
        !mock_script_has(s, MOCK_NO_STREAM | MOCK_HTML | MOCK_UNKNOWN_MODEL | MOCK_GZIP)) {
        return mock_stream_start(c);
    }
    return start_plain(c);
}

static enum mock_run end_plain(struct mock_conn *c)
{
    struct mock_script *s = &c->script;
    uint64_t total = s->pre.n + s->filler + s->post.n;

    if (mock_script_has(s, MOCK_BAD_JSON)) {
        return mock_script_finish(c);
    }
    if (mock_script_has(s, MOCK_MALFORMED_CHUNK)) {
        return mock_script_break_chunking(c);
    }
    if (mock_script_has(s, MOCK_SHORT_BODY)) {
        return MOCK_RUN_CUT;
    }
    if (s->limit == total) {
        return mock_script_finish(c);
    }
    if (mock_script_has(s, MOCK_RESET_MID) || s->limit == (uint64_t)s->behave.reset_after) {
        return MOCK_RUN_RESET;
    }
    if (s->limit == (uint64_t)s->behave.stall_after) {
        return mock_script_stall(s);
    }
    return s->chunked && s->limit == (uint64_t)s->behave.end_after ? mock_script_finish(c)
                                                                   : MOCK_RUN_CUT;
}

static enum mock_run plain(struct mock_conn *c)
{
    struct mock_script *s = &c->script;
    uint64_t left = s->limit - s->position, at = s->position;
    struct slice part;

    if (left == 0) {
        return end_plain(c);
    }
    if (at < s->pre.n) {
        part = slice_from(buf_slice(&s->pre), (size_t)at);
    } else if (at < s->pre.n + s->filler) {
        uint64_t rest = s->pre.n + s->filler - at;

        part = mock_answer_filler();
        part = slice_head(part, rest < part.n ? (size_t)rest : part.n);
    } else {
        part = slice_from(buf_slice(&s->post), (size_t)(at - s->pre.n - s->filler));
    }
    part = slice_head(part, left < 65536 ? (size_t)left : 65536);
    mock_script_put_body(c, part);
    s->position += part.n;
    return MOCK_RUN_AGAIN;
}

static enum mock_run step(struct mock_conn *c)
{
    switch (c->script.phase) {
    case MOCK_PHASE_START:
        return start(c);
    case MOCK_PHASE_PLAIN:
        return plain(c);
    case MOCK_PHASE_TTFT:
        return mock_stream_role(c);
    case MOCK_PHASE_THINK:
        return mock_stream_think(c);
    case MOCK_PHASE_CONTENT:
        return mock_stream_content(c);
    case MOCK_PHASE_FINISH:
        return mock_stream_end(c);
    case MOCK_PHASE_STALL:
        return MOCK_RUN_WAIT;
    }
    return MOCK_RUN_CUT;
}

// Waiting for content_us; in a stream a comment now and then, where the behaviour has them.
static enum mock_run wait_more(struct mock_conn *c, uint64_t now)
{
    struct mock_script *s = &c->script;

    s->due_us = s->content_us;
    if (s->behave.comments_us > 0 && s->comment_us > 0) {
        if (now >= s->comment_us) {
            mock_stream_comment(c);
        }
        s->due_us = s->comment_us < s->content_us ? s->comment_us : s->content_us;
    }
    return MOCK_RUN_WAIT;
}

enum mock_run mock_script_run(struct mock_conn *c)
{
    struct mock_script *s = &c->script;
    uint64_t now = loop_now_us(c->worker->loop);
    enum mock_run r = MOCK_RUN_AGAIN;

    if (now < s->content_us) {
        return wait_more(c, now);
    }
    while (r == MOCK_RUN_AGAIN) {
        if (c->out.n >= MOCK_CONN_HIGH) {
            return MOCK_RUN_FULL;
        }
        r = step(c);
    }
    return r == MOCK_RUN_WAIT ? wait_more(c, now) : r;
}
