// SPDX-License-Identifier: Apache-2.0
// Request heads as the mock reads them: strict enough to notice a client that gets framing wrong.
#ifndef SLUICE_MOCK_HEAD_H
#define SLUICE_MOCK_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"

#define MOCK_HEAD_MAX (64u * 1024)

// Slices point into the input.
struct mock_head {
    struct slice method, target, path, query;
    struct slice headers; // the header lines, each with its CRLF
    size_t length;        // bytes of the head with the blank line
    uint64_t content_length;
    bool chunked;
    bool keep_alive;
    bool expect_continue;
    const char *auth_scheme; // "bearer", "x-api-key", "x-goog-api-key", "api-key"; NULL = none
    struct slice auth;       // the key
    struct slice behaviour;  // x-mock
};

enum mock_head_result { MOCK_HEAD_MORE, MOCK_HEAD_OK, MOCK_HEAD_BAD };

// *scanned: bytes of `in` known to hold no end of a head (0 at first; kept by the caller).
enum mock_head_result mock_head_parse(struct slice in, size_t *scanned, struct mock_head *ret);
// Next header line of *rest (which advances); false at the end.
bool mock_head_next(struct slice *rest, struct slice *ret_name, struct slice *ret_value);
// Appends the lines as a JSON object with lower-case names; of a credential (authorization,
// x-api-key, x-goog-api-key, api-key, cookie) only the last four characters.
void mock_head_json(struct slice headers, struct buf *out);

#endif
