// SPDX-License-Identifier: Apache-2.0
// A line that is whole in one read is told in place; only what is left over is kept.
#include "dataplane/ndjson.h"

void ndjson_init(struct ndjson *n, size_t line_max)
{
    n->max = line_max;
    buf_init(&n->tail, line_max);
}

void ndjson_done(struct ndjson *n)
{
    buf_done(&n->tail);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool tell(struct slice line, bool (*fn)(void *ctx, struct slice line), void *ctx)
{
    while (line.n > 0 && is_space(line.p[line.n - 1])) {
        line.n--;
    }
    while (line.n > 0 && is_space(line.p[0])) {
        line = slice_from(line, 1);
    }
    return line.n == 0 || fn(ctx, line);
}

bool ndjson_feed(struct ndjson *n, struct slice in, bool (*fn)(void *ctx, struct slice line),
                 void *ctx)
{
    for (;;) {
        size_t end = slice_find_char(in, '\n');
        struct slice line = slice_head(in, end == SIZE_MAX ? in.n : end);
        bool more;

        if (n->tail.n > 0 || end == SIZE_MAX) {
            if (!buf_try_append(&n->tail, line)) {
                return false;
            }
            line = buf_slice(&n->tail);
        }
        if (end == SIZE_MAX) {
            return true;
        }
        if (line.n > n->max) {
            return false;
        }
        more = tell(line, fn, ctx);
        buf_clear(&n->tail);
        if (!more) {
            return true;
        }
        in = slice_from(in, end + 1);
    }
}

void ndjson_end(struct ndjson *n, bool (*fn)(void *ctx, struct slice line), void *ctx)
{
    (void)tell(buf_slice(&n->tail), fn, ctx);
    buf_clear(&n->tail);
}
