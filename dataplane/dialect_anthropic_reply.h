// SPDX-License-Identifier: Apache-2.0
// Canonical answers and events -> an Anthropic client's. Private to the dialect. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_REPLY_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "dataplane/canon.h"

// struct dialect.write_answer; of count_tokens too.
void dialect_anthropic_reply_answer(const struct canon_answer *answer,
                                    const struct canon_context *c, struct buf *out);

enum dialect_anthropic_block_kind {
    DIALECT_ANTHROPIC_NO_BLOCK,
    DIALECT_ANTHROPIC_TEXT,
    DIALECT_ANTHROPIC_THINKING,
    DIALECT_ANTHROPIC_TOOL,
};

// struct dialect.writer: the one open block and what message_delta will say.
struct dialect_anthropic_writer {
    enum dialect_anthropic_block_kind open;
    uint32_t index; // of the open block, else of the next one
    uint32_t tool;  // call that the open block is
    bool called, spoke, refused;
    enum canon_finish finish;
    struct slice stop_sequence; // arena
    struct dialect_usage usage;
};

// struct dialect.write_event.
void dialect_anthropic_reply_event(void *writer, const struct canon_event *ev,
                                   const struct canon_context *c, struct buf *out);

#endif
