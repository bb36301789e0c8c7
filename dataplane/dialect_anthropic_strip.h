// SPDX-License-Identifier: Apache-2.0
// Signed reasoning taken out of an Anthropic request: it is bound to the model that made it, so a
// fallback to another one goes without. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_STRIP_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_STRIP_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "dataplane/dialect.h"

// The splices that leave the thinking and redacted_thinking blocks out of the assistant's messages,
// merged with `edits` (sorted, from dialect.edit_request of the same body). An assistant's message
// that holds nothing else goes as a whole. Thinking with a budget is switched off where the request
// goes on with a tool turn, which would have to begin with the blocks that are gone. Returns how
// many there are, in the arena at *ret; `n` when nothing is to be removed.
size_t dialect_anthropic_strip(struct slice body, const struct dialect_splice *edits, size_t n,
                               struct arena *a, struct dialect_splice **ret);

#endif
