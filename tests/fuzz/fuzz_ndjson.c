// SPDX-License-Identifier: Apache-2.0
// Lines of JSON: two splits of the same bytes give the same lines, none is longer than the bound,
// none is blank.
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "dataplane/ndjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE_MAX_BYTES 64u

static bool on_line(void *ctx, struct slice line)
{
    CHECK(line.n > 0 && line.n <= LINE_MAX_BYTES);
    CHECK(slice_find_char(line, '\n') == SIZE_MAX);
    buf_append(ctx, line);
    buf_append_char(ctx, '\n');
    return true;
}

// Up to a line that is too long; *ret: none was.
static bool run(struct slice text, size_t cut, struct buf *out)
{
    struct ndjson n;
    bool ok;

    ndjson_init(&n, LINE_MAX_BYTES);
    ok = ndjson_feed(&n, slice_head(text, cut), on_line, out) &&
         ndjson_feed(&n, slice_from(text, cut), on_line, out);
    if (ok) {
        ndjson_end(&n, on_line, out);
    }
    ndjson_done(&n);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data + 1, size - 1};
    struct buf whole, cut;

    if (size == 0) {
        return 0;
    }
    buf_init(&whole, 2 * size + 2);
    buf_init(&cut, 2 * size + 2);
    CHECK(run(text, text.n, &whole) == run(text, text.n == 0 ? 0 : data[0] % text.n, &cut));
    CHECK(slice_eq(buf_slice(&whole), buf_slice(&cut)));
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
