// SPDX-License-Identifier: Apache-2.0
// Any cut of a byte stream gives the same events: whole, byte by byte, and in pieces whose sizes
// the first bytes of the input choose. Data has no line end that was not joined.
#include <stdint.h>

#include "common/base/check.h"
#include "dataplane/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_slice(struct buf *b, struct slice s)
{
    buf_printf(b, "%d:%zu:", s.p != NULL, s.n);
    buf_append(b, s);
}

static bool on_event(void *ctx, const struct sse_event *e)
{
    struct buf *b = ctx;

    CHECK(e->raw.n > 0);
    CHECK(!e->comment || (e->data.p == NULL && e->event.p == NULL));
    CHECK(slice_find_char(e->data, '\r') == SIZE_MAX);
    CHECK(slice_find_char(e->event, '\n') == SIZE_MAX);
    put_slice(b, e->raw);
    put_slice(b, e->event);
    put_slice(b, e->data);
    buf_append_char(b, e->comment ? '#' : '.');
    return true;
}

// sizes: lengths of the pieces, used over and over.
static void run(struct slice text, struct slice sizes, struct buf *out)
{
    struct sse s;

    sse_init(&s);
    for (size_t at = 0, i = 0; at < text.n; i++) {
        size_t n = (uint8_t)sizes.p[i % sizes.n] + (size_t)1;
        struct slice piece = slice_head(slice_from(text, at), n);

        CHECK(sse_feed(&s, piece, on_event, out));
        at += piece.n;
    }
    sse_end(&s, on_event, out);
    sse_done(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct slice sizes = slice_head(text, 8);
    struct buf whole, bytes, pieces;
    struct sse s;

    if (size < 9) {
        return 0;
    }
    text = slice_from(text, 8);
    buf_init(&whole, SIZE_MAX);
    buf_init(&bytes, SIZE_MAX);
    buf_init(&pieces, SIZE_MAX);
    sse_init(&s);
    CHECK(sse_feed(&s, text, on_event, &whole));
    sse_end(&s, on_event, &whole);
    sse_done(&s);
    run(text, SLICE("\0"), &bytes);
    run(text, sizes, &pieces);
    CHECK(slice_eq(buf_slice(&whole), buf_slice(&bytes)));
    CHECK(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    buf_done(&whole);
    buf_done(&bytes);
    buf_done(&pieces);
    return 0;
}
