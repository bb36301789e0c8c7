// SPDX-License-Identifier: Apache-2.0
#include "tests/mock/mock_dechunk.h"

#define LINE_MAX_BYTES 65536u

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool size_line(struct mock_dechunk *d, struct slice line)
{
    struct slice size;
    uint64_t n = 0;

    (void)slice_cut(line, ';', &size);
    size = slice_trim(size);
    if (size.n == 0 || size.n > 8) {
        return false;
    }
    for (size_t i = 0; i < size.n; i++) {
        int digit = hex_digit(size.p[i]);

        if (digit < 0) {
            return false;
        }
        n = n * 16 + (uint64_t)digit;
    }
    d->left = n;
    d->state = n > 0 ? MOCK_DECHUNK_DATA : MOCK_DECHUNK_TRAILER;
    return true;
}

// Takes a line from *in; false: it is not complete. The bytes stay valid until the next append.
static bool take_line(struct buf *in, struct slice *ret)
{
    struct slice s = buf_slice(in);
    size_t at = slice_find_char(s, '\n');

    if (at == SIZE_MAX) {
        return false;
    }
    *ret = slice_head(s, at > 0 && s.p[at - 1] == '\r' ? at - 1 : at);
    buf_consume(in, at + 1);
    return true;
}

static bool take_data(struct mock_dechunk *d, struct buf *in, struct buf *body)
{
    struct slice part = buf_slice(in);

    part = slice_head(part, d->left < part.n ? (size_t)d->left : part.n);
    if (!buf_try_append(body, part)) {
        return false;
    }
    buf_consume(in, part.n);
    d->left -= part.n;
    d->state = d->left == 0 ? MOCK_DECHUNK_DATA_END : MOCK_DECHUNK_DATA;
    return true;
}

static bool take_other(struct mock_dechunk *d, struct slice line, bool *ret_complete)
{
    switch (d->state) {
    case MOCK_DECHUNK_SIZE:
        return size_line(d, line);
    case MOCK_DECHUNK_DATA_END:
        d->state = MOCK_DECHUNK_SIZE;
        return line.n == 0;
    case MOCK_DECHUNK_TRAILER:
        *ret_complete = line.n == 0;
        return true;
    case MOCK_DECHUNK_DATA:
        break;
    }
    return false;
}

bool mock_dechunk_feed(struct mock_dechunk *d, struct buf *in, struct buf *body, bool *ret_complete)
{
    *ret_complete = false;
    while (in->n > 0 && !*ret_complete) {
        struct slice line;

        if (d->state == MOCK_DECHUNK_DATA) {
            if (!take_data(d, in, body)) {
                return false;
            }
        } else if (!take_line(in, &line)) {
            return in->n < LINE_MAX_BYTES;
        } else if (!take_other(d, line, ret_complete)) {
            return false;
        }
    }
    return true;
}
