// SPDX-License-Identifier: Apache-2.0
// Whole answers of providers of OpenAI's dialect -> canonical answers. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_READ_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_READ_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

// struct dialect.read_answer.
MUST_CHECK bool dialect_openai_read_answer(const struct tape *t, const struct canon_context *c,
                                           struct canon_answer *ret);
// The usage of an answer or event, wherever a vendor puts it; *ret stays as it is where there is
// none. False: there is none.
bool dialect_openai_read_usage(const struct tape *t, struct dialect_usage *ret);

#endif
