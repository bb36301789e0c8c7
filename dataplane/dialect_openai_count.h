// SPDX-License-Identifier: Apache-2.0
// Counting the tokens of a prompt through OpenAI's POST responses/input_tokens. Private to the
// dialect. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_COUNT_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_COUNT_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

// The body that asks. What OpenAI cannot be shown is left out: it is a count, not an answer.
void dialect_openai_count_write(const struct canon_request *r, const struct canon_target *t,
                                struct buf *out);
// {"object": "response.input_tokens", "input_tokens": 11}; false: it is no count.
MUST_CHECK bool dialect_openai_count_read(const struct tape *t, struct canon_answer *ret);

#endif
