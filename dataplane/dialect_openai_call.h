// SPDX-License-Identifier: Apache-2.0
// Tool calls of one choice of a stream: which call a delta belongs to, however a vendor marks it.
// Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_CALL_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/canon.h"
#include "dataplane/tape.h"

struct dialect_openai_calls {
    struct dialect_openai_call *list; // in the arena, in the order of their beginning
    uint32_t n, cap;
};

// Tells what `tool_calls` of a delta say, as TOOL and ARGS of the choice.
void dialect_openai_call_deltas(struct dialect_openai_calls *s, const struct tape *t,
                                uint32_t tool_calls, uint32_t choice, const struct canon_context *c,
                                struct canon_sink to);
// The same for a function_call of old.
void dialect_openai_call_function(struct dialect_openai_calls *s, const struct tape *t,
                                  uint32_t function, uint32_t choice, const struct canon_context *c,
                                  struct canon_sink to);

#endif
