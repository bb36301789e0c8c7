// SPDX-License-Identifier: Apache-2.0
// Event boundaries in a byte stream.
//
//   in ---> [tail empty?] --yes--> events are cut straight out of `in`, the rest goes to tail
//                         --no---> appended to tail, events are cut out of tail
//
// Every byte is searched for a line end once: `line` and `scanned` remember where the search
// stopped, so a long event that arrives in many pieces costs no quadratic work. A '\r' as the last
// byte seen is undecided (it may be half of "\r\n") and waits for the next byte or the end.
#include "dataplane/sse.h"

#include <string.h>

void sse_init(struct sse *s)
{
    *s = (struct sse){.line = 0};
    buf_init(&s->tail, SSE_EVENT_MAX);
    buf_init(&s->joined, SSE_EVENT_MAX);
}

void sse_done(struct sse *s)
{
    buf_done(&s->tail);
    buf_done(&s->joined);
}

// End of the line that starts at or before `from` in d: *ret_end is its length without the line
// end, the return value the offset behind the line end; 0 = not complete yet. at_end: no more bytes
// will come.
static size_t line_end(struct slice d, size_t from, bool at_end, size_t *ret_end)
{
    const char *nl = memchr(d.p + from, '\n', d.n - from);
    size_t limit = nl == NULL ? d.n : (size_t)(nl - d.p);
    const char *cr = memchr(d.p + from, '\r', limit - from);

    if (cr == NULL) {
        *ret_end = limit;
        return nl == NULL ? 0 : limit + 1;
    }
    size_t at = (size_t)(cr - d.p);
    if (at + 1 == d.n && !at_end) {
        return 0;
    }
    *ret_end = at;
    return at + 1 + (at + 1 < d.n && d.p[at + 1] == '\n' ? 1 : 0);
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

// Cuts events off the front of d; returns the bytes used, or SIZE_MAX when fn stopped.
static size_t cut_events(struct sse *s, struct slice d,
                         bool (*fn)(void *ctx, const struct sse_event *e), void *ctx)
{
    size_t used = 0;

    while (used < d.n) {
        struct slice rest = slice_from(d, used);
        size_t n = event_end(s, rest, false);

        if (n == 0) {
            break;
        }
        struct sse_event e = parse(s, slice_head(rest, n));
        used += n;
        if (!fn(ctx, &e)) {
            return SIZE_MAX;
        }
    }
    return used;
}

bool sse_feed(struct sse *s, struct slice in, bool (*fn)(void *ctx, const struct sse_event *e),
              void *ctx)
{
    if (s->tail.n > 0) {
        if (!buf_try_append(&s->tail, in)) {
            return false;
        }
        size_t used = cut_events(s, buf_slice(&s->tail), fn, ctx);
        buf_consume(&s->tail, used == SIZE_MAX ? s->tail.n : used);
        return true;
    }
    size_t used = cut_events(s, in, fn, ctx);
    return used == SIZE_MAX || used == in.n || buf_try_append(&s->tail, slice_from(in, used));
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
