// SPDX-License-Identifier: Apache-2.0
// Event boundaries in a byte stream.
//
//   in ---> [tail empty?] --yes--> events are cut straight out of `in`, the rest goes to tail
//                         --no---> appended to tail, events are cut out of tail
//
// Every byte is searched for a line end once: `line` and `scanned` remember where the search
// stopped, so a long event that arrives in many pieces costs no quadratic work. A '\r' as the last
// byte seen is undecided (it may be half of "\r\n") and waits for the next byte or the end.
// The bound is on single events, wherever the reads are cut: what follows an unfinished event is
// appended piece by piece, and goes the direct way again as soon as the tail is empty.
#include "dataplane/sse.h"

#include <string.h>

#define PIECE ((size_t)64 * 1024) // appended to the tail at a time

void sse_init(struct sse *s)
{
    *s = (struct sse){.line = 0};
    buf_init(&s->tail, SSE_EVENT_MAX + PIECE);
    buf_init(&s->joined, SSE_EVENT_MAX);
}

void sse_done(struct sse *s)
{
    buf_done(&s->tail);
    buf_done(&s->joined);
}

#define BLOCK ((size_t)256)

// First '\n' or '\r' at or after from, or d.n. In blocks: in a stream of one kind of line end the
// search for the other must not run to the end of the data for every line.
static size_t find_line_end(struct slice d, size_t from)
{
    while (from < d.n) {
        size_t n = d.n - from < BLOCK ? d.n - from : BLOCK;
        const char *nl = memchr(d.p + from, '\n', n);
        const char *cr = memchr(d.p + from, '\r', nl == NULL ? n : (size_t)(nl - d.p) - from);

        if (cr != NULL || nl != NULL) {
            return (size_t)((cr != NULL ? cr : nl) - d.p);
        }
        from += n;
    }
    return d.n;
}

// Looks for the end of a line from `from` on: *ret_end is where the line ends, the return value the
// offset behind its line end; 0 = not complete yet. at_end: no more bytes will come.
static size_t line_end(struct slice d, size_t from, bool at_end, size_t *ret_end)
{
    size_t at = find_line_end(d, from);

    *ret_end = at;
    if (at == d.n) {
        return 0;
    }
    if (d.p[at] == '\n') {
        return at + 1;
    }
    if (at + 1 == d.n) {
        return at_end ? at + 1 : 0;
    }
    return at + 1 + (d.p[at + 1] == '\n' ? 1 : 0);
}

// Offset behind the blank line that ends the first event of d, or 0.
static size_t event_end(struct sse *s, struct slice d, bool at_end)
{
    for (;;) {
        size_t end = 0;
        size_t next = line_end(d, s->scanned, at_end, &end);

        if (next == 0) {
            // The undecided '\r' must be looked at again.
            s->scanned = d.n > s->line && d.p[d.n - 1] == '\r' ? d.n - 1 : d.n;
            return 0;
        }
        bool blank = end == s->line;
        s->line = s->scanned = next;
        if (blank) {
            s->line = s->scanned = 0;
            return next;
        }
    }
}

static void add_data(struct sse *s, struct sse_event *e, struct slice value)
{
    if (e->data.p == NULL) {
        e->data = value;
        return;
    }
    if (s->joined.n == 0) {
        buf_append(&s->joined, e->data);
    }
    buf_append_char(&s->joined, '\n');
    buf_append(&s->joined, value);
    e->data = buf_slice(&s->joined);
}

static void read_line(struct sse *s, struct sse_event *e, struct slice line, bool *other)
{
    size_t colon = slice_find_char(line, ':');
    struct slice name = slice_head(line, colon == SIZE_MAX ? line.n : colon);
    struct slice value = colon == SIZE_MAX ? SLICE("") : slice_from(line, colon + 1);

    if (value.n > 0 && value.p[0] == ' ') {
        value = slice_from(value, 1);
    }
    if (e->bare || (e->data.p == NULL && (line.p[0] == '{' || line.p[0] == '['))) {
        e->bare = *other = true;
        add_data(s, e, line);
        return;
    }
    if (colon == 0) {
        e->comment = true;
        return;
    }
    *other = true;
    if (slice_eq(name, SLICE("data"))) {
        add_data(s, e, value);
    } else if (slice_eq(name, SLICE("event"))) {
        e->event = value;
    }
}

static struct sse_event parse(struct sse *s, struct slice raw)
{
    struct sse_event e = {.raw = raw};
    bool other = false;
    size_t from = 0;

    buf_clear(&s->joined);
    if (!s->started && raw.n >= 3 && memcmp(raw.p, "\xEF\xBB\xBF", 3) == 0) {
        from = 3;
    }
    s->started = true;
    while (from < raw.n) {
        size_t end = 0;
        size_t next = line_end(raw, from, true, &end);

        if (end > from) {
            read_line(s, &e, (struct slice){raw.p + from, end - from}, &other);
        }
        if (next == 0) {
            break;
        }
        from = next;
    }
    e.comment = e.comment && !other;
    return e;
}

enum cut { CUT_MORE, CUT_STOPPED, CUT_TOO_LARGE };

// Cuts events off the front of d; *ret_used: bytes of complete ones.
static enum cut cut_events(struct sse *s, struct slice d,
                           bool (*fn)(void *ctx, const struct sse_event *e), void *ctx,
                           size_t *ret_used)
{
    size_t used = 0;

    while (used < d.n) {
        struct slice rest = slice_from(d, used);
        size_t n = event_end(s, rest, false);

        if ((n == 0 ? rest.n : n) > SSE_EVENT_MAX) {
            return CUT_TOO_LARGE;
        }
        if (n == 0) {
            break;
        }
        struct sse_event e = parse(s, slice_head(rest, n));
        used += n;
        if (!fn(ctx, &e)) {
            return CUT_STOPPED;
        }
    }
    *ret_used = used;
    return CUT_MORE;
}

bool sse_feed(struct sse *s, struct slice in, bool (*fn)(void *ctx, const struct sse_event *e),
              void *ctx)
{
    while (in.n > 0) {
        bool direct = s->tail.n == 0;
        struct slice piece = direct ? in : slice_head(in, PIECE);
        size_t used = 0;

        if (!direct && !buf_try_append(&s->tail, piece)) {
            return false;
        }
        switch (cut_events(s, direct ? in : buf_slice(&s->tail), fn, ctx, &used)) {
        case CUT_MORE:
            break;
        case CUT_STOPPED:
            buf_clear(&s->tail);
            return true;
        case CUT_TOO_LARGE:
            return false;
        }
        if (direct) {
            return used == in.n || buf_try_append(&s->tail, slice_from(in, used));
        }
        buf_consume(&s->tail, used);
        in = slice_from(in, piece.n);
    }
    return true;
}

void sse_end(struct sse *s, bool (*fn)(void *ctx, const struct sse_event *e), void *ctx)
{
    struct slice rest = buf_slice(&s->tail);

    // An undecided '\r' may turn out to have been the blank line.
    while (rest.n > 0) {
        size_t n = event_end(s, rest, true);
        struct sse_event e = parse(s, n == 0 ? rest : slice_head(rest, n));

        rest = n == 0 ? SLICE("") : slice_from(rest, n);
        if ((e.data.p != NULL || n != 0) && !fn(ctx, &e)) {
            break;
        }
    }
    buf_clear(&s->tail);
    s->line = s->scanned = 0;
}
