// SPDX-License-Identifier: Apache-2.0
// Chunked request bodies, decoded as they come.
#ifndef SLUICE_MOCK_DECHUNK_H
#define SLUICE_MOCK_DECHUNK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"

enum mock_dechunk_state {
    MOCK_DECHUNK_SIZE, // at a chunk-size line
    MOCK_DECHUNK_DATA,
    MOCK_DECHUNK_DATA_END, // at the line end behind the data
    MOCK_DECHUNK_TRAILER,
};

// Zero-initialise for each body.
struct mock_dechunk {
    enum mock_dechunk_state state;
    uint64_t left; // of the chunk
};

// Moves what is there from *in to *body. False: not chunked coding, or body's ceiling reached.
// *ret_complete: the body and its trailer are whole; what is left in *in comes after it.
MUST_CHECK bool mock_dechunk_feed(struct mock_dechunk *d, struct buf *in, struct buf *body,
                                  bool *ret_complete);

#endif
