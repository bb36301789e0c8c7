// SPDX-License-Identifier: Apache-2.0
// h1 under any bytes and any cuts. Input: one byte of flags, one seed for the cuts, then the
// response. The same bytes must end in the same state with the same body, whole or cut.
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/io/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    struct h1 h;
    struct buf body;
};

// step 0: all at once, else pseudo-random pieces of 1..16 bytes.
static void parse(struct slice in, bool head_request, bool eof, uint8_t step, struct outcome *o)
{
    uint32_t seed = step;
    size_t at = 0, end = step == 0 ? in.n : 0;

    h1_init(&o->h, head_request);
    buf_init(&o->body, SIZE_MAX);
    while (o->h.state == H1_HEAD || o->h.state == H1_BODY) {
        struct slice run, part = slice_from(slice_head(in, end), at);
        struct err e;
        size_t n = h1_feed(&o->h, part, &run, &e);

        CHECK(n <= part.n);
        CHECK(run.n == 0 || (run.p >= part.p && run.p + run.n <= part.p + n));
        buf_append(&o->body, run);
        at += n;
        if (n == part.n) {
            if (end == in.n) {
                break;
            }
            seed = seed * 1103515245u + 12345u;
            end += 1 + (seed >> 16) % 16;
            end = end < in.n ? end : in.n;
        } else {
            CHECK(n > 0 || o->h.state == H1_DONE || o->h.state == H1_FAILED);
        }
    }
    if (eof) {
        bool whole = h1_eof(&o->h, NULL);

        CHECK(whole == (o->h.state == H1_DONE));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct slice in = {(const char *)data + 2, size - 2};
    bool head_request = (data[0] & 1) != 0, eof = (data[0] & 2) != 0;
    struct outcome a, b;

    parse(in, head_request, eof, 0, &a);
    parse(in, head_request, eof, (uint8_t)(data[1] | 1), &b);
    CHECK(a.h.state == b.h.state && a.h.status == b.h.status && a.h.keep_alive == b.h.keep_alive);
    CHECK(a.h.n_headers == b.h.n_headers && a.h.body_left == b.h.body_left);
    CHECK(slice_eq(buf_slice(&a.body), buf_slice(&b.body)));
    for (size_t i = 0; i < a.h.n_headers; i++) {
        CHECK(slice_eq(a.h.headers[i].name, b.h.headers[i].name));
        CHECK(slice_eq(a.h.headers[i].value, b.h.headers[i].value));
    }
    h1_done(&a.h);
    h1_done(&b.h);
    buf_done(&a.body);
    buf_done(&b.body);
    return 0;
}
