// SPDX-License-Identifier: Apache-2.0
// Response heads, error bodies in OpenAI's words, and a gzip coating.
#ifndef SLUICE_MOCK_REPLY_H
#define SLUICE_MOCK_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "tests/mock/mock_behave.h"

struct mock_shape;

struct mock_reply_head {
    uint32_t status;
    const char *type;       // content-type
    int64_t content_length; // -1 = none
    bool chunked, close;
    const char *date; // IMF-fixdate
    uint64_t id;      // makes x-request-id
    uint16_t port;
    const struct mock_behave *behave;
    const struct mock_shape *shape; // its headers
};

// x-ratelimit-*, as OpenAI names them.
void mock_reply_openai_limits(const struct mock_behave *b, struct buf *out);
void mock_reply_head(const struct mock_reply_head *h, struct buf *out);
// {"error":{...}} as usual for that status.
void mock_reply_error(uint32_t status, struct buf *out);
// code may be NULL.
void mock_reply_error_text(const char *type, const char *code, const char *message,
                           struct buf *out);
// content-encoding: gzip without compression.
void mock_reply_gzip(struct slice plain, struct buf *out);

#endif
