// SPDX-License-Identifier: Apache-2.0
// What the mock has to know of a request body, found by one pass that skips everything else.
#ifndef SLUICE_MOCK_ASK_H
#define SLUICE_MOCK_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

// Slices are the escaped insides of JSON strings and point into the body.
struct mock_ask {
    bool valid; // the body is one JSON object as far as the scan looked
    struct slice model;
    struct slice user;            // content of the last user message, prompt or input
    struct slice encoding_format; // embeddings
    bool stream;
    bool include_usage;
    bool has_messages;
    bool has_input; // `input` or `prompt`
    bool rich;      // tools, their results, formats, logprobs: needs a closer look
    uint32_t messages;
    uint32_t inputs; // embeddings: texts (or token arrays) asked for
    uint64_t dimensions;
    uint64_t max_tokens; // 0 = not given
};

// Works on an incomplete body too: `valid` is false then, and what came before the end is set.
void mock_ask_scan(struct slice body, struct mock_ask *ret);

// Value of a top-level member of the object `body` (of a string: its escaped inside), or
// SLICE_NULL.
struct slice mock_ask_field(struct slice body, const char *key);

#endif
