// SPDX-License-Identifier: Apache-2.0
// Lines of JSON (application/x-ndjson, Ollama's streams): finds line boundaries in a byte stream.
// Any split of the bytes gives the same lines; blank lines are skipped; \r before \n is dropped.
// Pure.
#ifndef SLUICE_DATAPLANE_NDJSON_H
#define SLUICE_DATAPLANE_NDJSON_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"

// Embedded; ndjson_init before use.
struct ndjson {
    struct buf tail; // bytes of the unfinished line
    size_t max;
};

// line_max: bytes of the longest line that is taken.
void ndjson_init(struct ndjson *n, size_t line_max);
void ndjson_done(struct ndjson *n);
// Feeds bytes; fn gets every complete line, in order, valid during the call, and returns false to
// stop: the rest of `in` is then dropped. False: a line is longer than line_max.
MUST_CHECK bool ndjson_feed(struct ndjson *n, struct slice in,
                            bool (*fn)(void *ctx, struct slice line), void *ctx);
// End of stream: an unterminated last line counts.
void ndjson_end(struct ndjson *n, bool (*fn)(void *ctx, struct slice line), void *ctx);

#endif
