// SPDX-License-Identifier: Apache-2.0
// Runs translations for vectors_test.py: reads one command (a JSON object) a line, writes one
// result a line. It does what the request machine does with the same modules (xlate, stream),
// without sockets, and compares every cut of a stream with the whole itself.
//
//   in   {"client","provider","endpoint","target":{...},"body","status","answer","stream"}
//        body, answer, stream: the bytes, as a string; answer and stream may be missing
//   out  {"path","body","dropped":[],"error":{"status","code","param","message"},
//         "status","answer","events","differs":"where a cut changed the events"}
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "dataplane/dialect.h"
#include "dataplane/jwrite.h"
#include "dataplane/stream.h"
#include "dataplane/tape.h"
#include "dataplane/xlate.h"

#define OUT_MAX (512u * 1024 * 1024)
#define CREATED 1763800000u

struct job {
    struct arena arena;
    struct rng rng;
    struct tape command;
    const struct dialect *client, *provider;
    struct dialect_request rq;
    struct canon_target target;
    struct xlate xlate;
    struct slice body, stream;
    bool one; // the client's error or answer is known
};

static struct slice text(struct job *j, uint32_t object, const char *name)
{
    return jtext_decode(tape_get_text(&j->command, object, name), &j->arena);
}

static bool flag(struct job *j, uint32_t object, const char *name)
{
    return tape_true(&j->command, tape_get(&j->command, object, name));
}

static void read_target(struct job *j, uint32_t t)
{
    struct slice thinks = text(j, t, "thinks"), off = text(j, t, "thinking_off");
    uint64_t max = 4096;

    (void)!tape_u64(&j->command, tape_get(&j->command, t, "default_max_tokens"), &max);
    j->target = (struct canon_target){
        .model = text(j, t, "model"),
        .default_max_tokens = max,
        .no_sampling = flag(j, t, "no_sampling"),
        .no_structured = flag(j, t, "no_structured"),
        .no_forced_tools = flag(j, t, "no_forced_tools"),
        .no_xhigh = flag(j, t, "no_xhigh"),
        .thinks = slice_eq_str(thinks, "none")       ? CANON_THINKS_NEVER
                  : slice_eq_str(thinks, "adaptive") ? CANON_THINKS_ADAPTIVE
                                                     : CANON_THINKS_MANUAL,
        .thinking_off = slice_eq_str(off, "between_tools") ? CANON_OFF_BETWEEN_TOOLS
                        : slice_eq_str(off, "none")        ? CANON_OFF_EFFORT_LOW
                                                           : CANON_OFF_DISABLED,
        .gemini3 = flag(j, t, "gemini3"),
        .gemini_low = flag(j, t, "gemini_low"),
        .gemini_schema = flag(j, t, "gemini_schema"),
        .openai = flag(j, t, "openai"),
        .reasoning_model = flag(j, t, "reasoning_model"),
        .forward_unknown = flag(j, t, "forward_unknown"),
        .drop_unsupported = flag(j, t, "drop_unsupported"),
        .strip_signatures = flag(j, t, "strip_signatures"),
    };
}

static enum dialect_endpoint endpoint_of(struct slice name)
{
    static const struct {
        const char *name;
        enum dialect_endpoint ep;
    } list[] = {{"completions", DIALECT_COMPLETIONS},
                {"embeddings", DIALECT_EMBEDDINGS},
                {"messages", DIALECT_MESSAGES},
                {"count_tokens", DIALECT_COUNT_TOKENS}};

    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        if (slice_eq_str(name, list[i].name)) {
            return list[i].ep;
        }
    }
    return DIALECT_CHAT;
}

// --- results -----------------------------------------------------------------------------------

static void put_client_error(struct job *j, struct jwrite *w, struct dialect_error *e)
{
    struct buf b;

    if (j->client->error_status != NULL) {
        e->status = j->client->error_status(e);
    }
    buf_init(&b, OUT_MAX);
    j->client->write_error(e, &b);
    jwrite_u64_in(w, "status", e->status);
    jwrite_string_in(w, "answer", buf_slice(&b));
    jwrite_u64_in(w, "retry_after_us", e->retry_after_us);
    buf_done(&b);
    j->one = true;
}

static void put_own_error(struct job *j, struct jwrite *w, const char *code, const char *param,
                          const char *message)
{
    struct dialect_error e = {.status = 400,
                              .type = "invalid_request_error",
                              .code = code,
                              .param = param,
                              .message = slice_str(message),
                              .request_id = SLICE("req_1")};

    put_client_error(j, w, &e);
}

static void put_provider_error(struct job *j, struct jwrite *w, unsigned status, struct slice body)
{
    struct dialect_error e = {.status = 0};

    j->provider->read_error(status, body, &j->arena, &e);
    e.request_id = SLICE("req_1");
    put_client_error(j, w, &e);
}

static bool put_request(struct job *j, struct jwrite *w)
{
    struct dialect_call call = {
        .endpoint = j->rq.endpoint, .stream = j->rq.stream, .model = j->target.model};
    struct xlate_refusal why;
    struct buf b;
    struct err e;
    bool ok;

    buf_init(&b, OUT_MAX);
    j->provider->write_path(&call, &b);
    jwrite_string_in(w, "path", buf_slice(&b));
    buf_clear(&b);
    ok = xlate_request(&j->xlate, j->provider, &j->target, &j->rq, j->body, &b, &why, &e);
    if (ok) {
        jwrite_string_in(w, "body", buf_slice(&b));
    } else {
        put_own_error(j, w, why.code, why.param, e.message);
    }
    jwrite_array_in(w, "dropped");
    for (size_t i = 0; i < j->xlate.outcome.n_dropped; i++) {
        jwrite_string(w, slice_str(j->xlate.outcome.dropped[i]));
    }
    jwrite_array_end(w);
    buf_done(&b);
    return ok;
}

static void put_answer(struct job *j, struct jwrite *w, unsigned status, struct slice body)
{
    struct dialect_answer seen = {.malformed = false};
    struct buf b;

    if (status < 300 && j->provider->observe_answer != NULL) {
        seen = j->provider->observe_answer(body);
    }
    if (status >= 300 || seen.error_status != 0) {
        put_provider_error(j, w, seen.error_status != 0 ? seen.error_status : status, body);
        return;
    }
    buf_init(&b, OUT_MAX);
    xlate_answered(&j->xlate, CREATED);
    if (xlate_answer(&j->xlate, body, j->rq.stream, &b, &seen)) {
        jwrite_u64_in(w, "status", status);
        jwrite_string_in(w, j->rq.stream ? "events" : "answer", buf_slice(&b));
    } else {
        jwrite_string_in(w, "malformed", SLICE("the answer"));
    }
    buf_done(&b);
}

// --- streams -----------------------------------------------------------------------------------

static void emit(void *ctx, struct slice raw)
{
    buf_append(ctx, raw);
}

// The client's bytes for the stream fed in pieces: [0, cut), then `step` at a time.
static void run_stream(struct job *j, size_t cut, size_t step, struct buf *out)
{
    struct stream s;
    size_t at = 0;

    j->xlate.reader = j->xlate.writer = NULL;
    j->xlate.ended = j->xlate.failed = false;
    rng_init(&j->rng, 1);
    xlate_answered(&j->xlate, CREATED);
    stream_begin(&s, j->provider, &j->xlate, 1, false, false);
    while (at < j->stream.n) {
        size_t n = at < cut ? cut - at : step;

        n = n < j->stream.n - at ? n : j->stream.n - at;
        stream_feed(&s, (struct slice){j->stream.p + at, n});
        at += n;
        if (s.content && s.emit == NULL) {
            stream_release(&s, emit, out);
        }
    }
    stream_finish(&s);
    if (s.emit == NULL) {
        stream_release(&s, emit, out);
    }
    if (!s.failed && (s.malformed || s.oversized || !stream_is_complete(&s))) {
        struct dialect_error e = xlate_cut_error(SLICE("req_1"));

        j->client->write_error_event(&e, out);
    } else if (s.failed && !s.content) {
        struct dialect_error e = {.status = 0};

        j->provider->read_error(s.error_status, buf_slice(&s.error), &j->arena, &e);
        e.request_id = SLICE("req_1");
        j->client->write_error_event(&e, out);
    }
    stream_close(&s);
}

static void put_stream(struct job *j, struct jwrite *w)
{
    struct buf whole, cut;
    char where[64];

    buf_init(&whole, OUT_MAX);
    buf_init(&cut, OUT_MAX);
    run_stream(j, j->stream.n, 1, &whole);
    for (size_t i = 0; i <= j->stream.n; i++) {
        buf_clear(&cut);
        run_stream(j, i, i == 0 ? 1 : j->stream.n, &cut); // 0: one byte a read
        if (!slice_eq(buf_slice(&whole), buf_slice(&cut))) {
            (void)snprintf(where, sizeof(where), "cut at byte %zu", i);
            jwrite_string_in(w, "differs", slice_str(where));
            break;
        }
    }
    jwrite_u64_in(w, "status", 200);
    jwrite_string_in(w, "events", buf_slice(&whole));
    buf_done(&whole);
    buf_done(&cut);
}

// --- commands ----------------------------------------------------------------------------------

static void run(struct job *j, struct jwrite *w)
{
    uint32_t answer = tape_get(&j->command, 0, "answer");
    const char *code = NULL, *param = NULL;
    uint64_t status = 200;
    struct err e;

    (void)!tape_u64(&j->command, tape_get(&j->command, 0, "status"), &status);
    if (!j->client->parse_request(j->body, endpoint_of(text(j, 0, "endpoint")), &j->arena, &j->rq,
                                  &code, &param, &e)) {
        put_own_error(j, w, code, param, e.message);
        return;
    }
    xlate_init(&j->xlate, j->client, &j->arena, &j->rng);
    if (j->client != j->provider && !put_request(j, w)) {
        return;
    }
    j->stream = text(j, 0, "stream");
    if (j->stream.n > 0) {
        put_stream(j, w);
    } else if (answer != TAPE_NONE) {
        put_answer(j, w, (unsigned)status, text(j, 0, "answer"));
    }
}

static void command(struct slice line)
{
    struct job j = {.one = false};
    struct jwrite w;
    struct buf out;
    struct err e;

    arena_init(&j.arena, 65536, 0);
    rng_init(&j.rng, 1);
    buf_init(&out, OUT_MAX);
    w = jwrite_to(&out);
    jwrite_object(&w);
    if (!tape_parse(&j.command, line, &e)) {
        jwrite_string_in(&w, "bad_command", slice_str(e.message));
    } else {
        j.client = dialect_find(text(&j, 0, "client"));
        j.provider = dialect_find(text(&j, 0, "provider"));
        j.body = text(&j, 0, "body");
        read_target(&j, tape_get(&j.command, 0, "target"));
        if (j.client == NULL || j.provider == NULL) {
            jwrite_string_in(&w, "bad_command", SLICE("no such dialect"));
        } else {
            run(&j, &w);
        }
    }
    jwrite_object_end(&w);
    (void)printf(SLICE_FMT "\n", SLICE_ARG(buf_slice(&out)));
    (void)fflush(stdout);
    xlate_done(&j.xlate);
    tape_done(&j.command);
    buf_done(&out);
    arena_done(&j.arena);
}

// A line of stdin without its end; false at the end of input. At most OUT_MAX.
static bool read_line(struct buf *line)
{
    char piece[65536];

    buf_clear(line);
    while (fgets(piece, sizeof(piece), stdin) != NULL) {
        buf_append_str(line, piece);
        if (slice_ends(buf_slice(line), SLICE("\n"))) {
            return true;
        }
    }
    return line->n > 0;
}

int main(void)
{
    struct buf line;

    buf_init(&line, OUT_MAX);
    while (read_line(&line)) {
        command(buf_slice(&line));
    }
    buf_done(&line);
    return 0;
}
