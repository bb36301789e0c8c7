// SPDX-License-Identifier: Apache-2.0
// Canonical messages -> messages of a provider of OpenAI's dialect. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_HISTORY_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_HISTORY_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "dataplane/canon.h"

// The member `messages` of the open object. False: the outcome says why.
MUST_CHECK bool dialect_openai_history_write(struct jwrite *w, const struct canon_request *r,
                                             const struct canon_target *t, struct canon_outcome *o);

#endif
