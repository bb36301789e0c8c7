// SPDX-License-Identifier: Apache-2.0
// A ring of entries: attempt n sits at n modulo its size until it is overwritten. Each entry keeps
// the raw head and the beginning of the body in one allocation that is reused; secrets are masked
// when an entry is printed. One mutex: the critical sections copy a kilobyte at most, and the
// benchmark runs with the ring switched off.
#include "tests/mock/mock_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define HEAD_KEPT 4096u

struct entry {
    uint64_t seq; // 0 = empty
    uint64_t wall_us, begin_us, first_us, last_us, connection, bytes, events, body_length;
    uint64_t input_tokens, output_tokens;
    const char *shape;
    uint32_t ordinal, status;
    uint16_t port;
    bool stream;
    enum mock_end end;
    char *text; // owned: head, then model, then the beginning of the body
    size_t cap, head_n, model_n, body_n;
    size_t headers_at, headers_n, method_n; // within the head
};

struct mock_journal {
    pthread_mutex_t lock;
    struct entry *ring; // owned; NULL when keep == 0
    size_t keep, body_max;
    uint64_t seq;  // last given
    uint64_t open; // attempts without an end
    uint64_t begun, ended[MOCK_END_COUNT];
    int fd; // log file, -1 = none
};

static const char *const end_names[MOCK_END_COUNT] = {"open", "complete",  "client_closed", "reset",
                                                      "cut",  "port_down", "shutdown"};

struct mock_journal *mock_journal_new(size_t keep, size_t body_max, const char *path, struct err *e)
{
    struct mock_journal *j = mem_zalloc(sizeof(*j));

    j->fd = -1;
    if (path != NULL) {
        j->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (j->fd < 0) {
            (void)err_set(e, ERR_IO, "cannot open %s: %s", path, strerror(errno));
            mem_free(j);
            return NULL;
        }
        // The file's lines are made from the ring.
        keep = keep == 0 ? 1024 : keep;
    }
    (void)pthread_mutex_init(&j->lock, NULL); // cannot fail with default attributes on Linux
    j->keep = keep;
    j->body_max = body_max;
    j->ring = keep == 0 ? NULL : mem_zalloc_array(keep, sizeof(*j->ring));
    return j;
}

void mock_journal_free(struct mock_journal **jp)
{
    struct mock_journal *j = *jp;

    if (j == NULL) {
        return;
    }
    for (size_t i = 0; i < j->keep; i++) {
        mem_free(j->ring[i].text);
    }
    if (j->fd >= 0) {
        (void)close(j->fd);
    }
    mem_free(j->ring);
    (void)pthread_mutex_destroy(&j->lock);
    mem_free(j);
    *jp = NULL;
}

bool mock_journal_enabled(const struct mock_journal *j)
{
    return j->keep > 0;
}

static void keep_text(struct entry *e, const struct mock_attempt_facts *f, size_t body_max)
{
    const struct mock_head *h = f->head;
    struct slice model = slice_head(f->ask->model, 256);
    struct slice body = slice_head(f->body, body_max);
    // The method is the first byte of the head.
    struct slice head = slice_head(SLICE_MAKE(h->method.p, h->length), HEAD_KEPT);
    size_t need = head.n + model.n + body.n + 1;

    if (need > e->cap) {
        mem_free(e->text);
        e->cap = need + need / 2;
        e->text = mem_alloc(e->cap);
    }
    memcpy(e->text, head.p, head.n);
    if (model.n > 0) {
        memcpy(e->text + head.n, model.p, model.n);
    }
    if (body.n > 0) {
        memcpy(e->text + head.n + model.n, body.p, body.n);
    }
    e->head_n = head.n;
    e->model_n = model.n;
    e->body_n = body.n;
    e->method_n = h->method.n;
    e->headers_at = (size_t)(h->headers.p - h->method.p);
    e->headers_at = e->headers_at > head.n ? head.n : e->headers_at;
    e->headers_n = h->headers.n;
    if (e->headers_n > head.n - e->headers_at) {
        e->headers_n = head.n - e->headers_at;
    }
}

uint64_t mock_journal_begin(struct mock_journal *j, const struct mock_attempt_facts *f)
{
    struct entry *e;
    uint64_t seq;

    (void)pthread_mutex_lock(&j->lock);
    seq = ++j->seq;
    j->open++;
    j->begun++;
    if (j->ring != NULL) {
        e = &j->ring[seq % j->keep];
        e->seq = seq;
        e->wall_us = f->wall_us;
        e->begin_us = f->now_us;
        e->first_us = e->last_us = 0;
        e->connection = f->connection;
        e->bytes = e->events = e->input_tokens = e->output_tokens = 0;
        e->shape = f->shape;
        e->body_length = f->body.n;
        e->ordinal = f->ordinal;
        e->status = 0;
        e->port = f->port;
        e->stream = f->ask->stream;
        e->end = MOCK_END_OPEN;
        keep_text(e, f, j->body_max);
    }
    (void)pthread_mutex_unlock(&j->lock);
    return seq;
}

static struct entry *find(struct mock_journal *j, uint64_t seq)
{
    struct entry *e = j->ring == NULL ? NULL : &j->ring[seq % j->keep];

    return e != NULL && e->seq == seq ? e : NULL;
}

static void set_progress(struct entry *e, const struct mock_progress *p, uint64_t now_us)
{
    e->status = p->status;
    e->bytes = p->bytes;
    e->events = p->events;
    e->input_tokens = p->input_tokens;
    e->output_tokens = p->output_tokens;
    e->first_us = e->first_us == 0 && p->bytes > 0 ? now_us : e->first_us;
}

void mock_journal_progress(struct mock_journal *j, uint64_t seq, const struct mock_progress *p,
                           uint64_t now_us)
{
    struct entry *e;

    if (j->ring == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&j->lock);
    e = find(j, seq);
    if (e != NULL) {
        set_progress(e, p, now_us);
    }
    (void)pthread_mutex_unlock(&j->lock);
}

static void print_entry(const struct entry *e, struct buf *out)
{
    struct slice head = SLICE_MAKE(e->text, e->head_n);
    struct slice headers = SLICE_MAKE(e->text + e->headers_at, e->headers_n);
    struct slice target, rest = slice_from(head, e->method_n + 1);
    struct slice path, query;

    (void)slice_cut(rest, ' ', &target);
    query = slice_cut(target, '?', &path);
    buf_printf(out, "{\"seq\":%lu,\"t_us\":%lu,\"port\":%u,\"connection\":%lu,\"ordinal\":%u,",
               e->seq, e->wall_us, (unsigned)e->port, e->connection, e->ordinal);
    buf_append_str(out, "\"method\":");
    text_json_string(out, slice_head(head, e->method_n));
    buf_append_str(out, ",\"path\":");
    text_json_string(out, path);
    buf_append_str(out, ",\"query\":");
    text_json_string(out, query.p == NULL ? SLICE("") : query);
    buf_printf(out, ",\"shape\":\"%s\",\"model\":\"", e->shape);
    // Already escaped: it came out of a JSON string.
    buf_append(out, SLICE_MAKE(e->text + e->head_n, e->model_n));
    buf_printf(out, "\",\"stream\":%s,\"headers\":", e->stream ? "true" : "false");
    mock_head_json(headers, out);
    buf_printf(out, ",\"body_length\":%lu,\"body\":", e->body_length);
    text_json_string(out, SLICE_MAKE(e->text + e->head_n + e->model_n, e->body_n));
    buf_printf(out, ",\"status\":%u,\"bytes\":%lu,\"events\":%lu,\"end\":\"%s\"", e->status,
               e->bytes, e->events, end_names[e->end]);
    buf_printf(out, ",\"input_tokens\":%lu,\"output_tokens\":%lu", e->input_tokens,
               e->output_tokens);
    buf_printf(out, ",\"first_byte_us\":%lu,\"duration_us\":%lu}",
               e->first_us == 0 ? 0 : e->first_us - e->begin_us,
               e->last_us == 0 ? 0 : e->last_us - e->begin_us);
}

static void write_line(struct mock_journal *j, const struct entry *e)
{
    struct buf line;
    struct slice s;

    buf_init(&line, 4u << 20);
    print_entry(e, &line);
    buf_append_char(&line, '\n');
    s = buf_slice(&line);
    // A log that cannot be written must not stop the mock: the ring has the attempt too.
    (void)!write(j->fd, s.p, s.n);
    buf_done(&line);
}

void mock_journal_end(struct mock_journal *j, uint64_t seq, enum mock_end how,
                      const struct mock_progress *p, uint64_t now_us)
{
    struct entry *e;

    (void)pthread_mutex_lock(&j->lock);
    j->open--;
    j->ended[how]++;
    e = find(j, seq);
    if (e != NULL) {
        set_progress(e, p, now_us);
        e->end = how;
        e->last_us = now_us;
        if (j->fd >= 0) {
            write_line(j, e);
        }
    }
    (void)pthread_mutex_unlock(&j->lock);
}

static bool matches(const struct entry *e, const struct mock_journal_filter *f)
{
    return e->seq > f->since && (f->port == 0 || f->port == e->port) &&
           (f->model.p == NULL ||
            slice_eq(f->model, SLICE_MAKE(e->text + e->head_n, e->model_n))) &&
           (!f->ended_only || e->end != MOCK_END_OPEN);
}

// Calls fn for each kept attempt that matches, oldest first.
static size_t walk(struct mock_journal *j, const struct mock_journal_filter *f, struct buf *out)
{
    size_t n = 0;
    uint64_t first = j->seq > j->keep ? j->seq - j->keep + 1 : 1;

    for (uint64_t seq = first; seq <= j->seq && j->ring != NULL; seq++) {
        struct entry *e = find(j, seq);

        if (e == NULL || !matches(e, f)) {
            continue;
        }
        if (out != NULL) {
            buf_append_str(out, n > 0 ? ",\n" : "");
            print_entry(e, out);
        }
        n++;
    }
    return n;
}

void mock_journal_json(struct mock_journal *j, const struct mock_journal_filter *f, struct buf *out)
{
    (void)pthread_mutex_lock(&j->lock);
    buf_append_str(out, "{\"attempts\":[");
    (void)walk(j, f, out);
    buf_append_str(out, "]}\n");
    (void)pthread_mutex_unlock(&j->lock);
}

size_t mock_journal_count(struct mock_journal *j, const struct mock_journal_filter *f)
{
    size_t n;

    (void)pthread_mutex_lock(&j->lock);
    n = walk(j, f, NULL);
    (void)pthread_mutex_unlock(&j->lock);
    return n;
}

uint64_t mock_journal_open(struct mock_journal *j)
{
    uint64_t n;

    (void)pthread_mutex_lock(&j->lock);
    n = j->open;
    (void)pthread_mutex_unlock(&j->lock);
    return n;
}

void mock_journal_stats(struct mock_journal *j, struct buf *out)
{
    (void)pthread_mutex_lock(&j->lock);
    buf_printf(out, "{\"seq\":%lu,\"attempts\":%lu,\"open\":%lu,\"ended\":{", j->seq, j->begun,
               j->open);
    for (size_t i = 1; i < MOCK_END_COUNT; i++) {
        buf_printf(out, "%s\"%s\":%lu", i > 1 ? "," : "", end_names[i], j->ended[i]);
    }
    buf_append_str(out, "}}");
    (void)pthread_mutex_unlock(&j->lock);
}

void mock_journal_reset(struct mock_journal *j)
{
    (void)pthread_mutex_lock(&j->lock);
    for (size_t i = 0; i < j->keep; i++) {
        if (j->ring[i].end != MOCK_END_OPEN) {
            j->ring[i].seq = 0;
        }
    }
    j->begun = j->open;
    memset(j->ended, 0, sizeof(j->ended));
    (void)pthread_mutex_unlock(&j->lock);
}
