// SPDX-License-Identifier: Apache-2.0
// The conversation of a Gemini request, for dialect_gemini_request.c only. Both write members of
// the open object.
#ifndef SLUICE_DATAPLANE_DIALECT_GEMINI_CONTENTS_H
#define SLUICE_DATAPLANE_DIALECT_GEMINI_CONTENTS_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "dataplane/canon.h"

// `contents`. False: the outcome says why.
MUST_CHECK bool dialect_gemini_write_contents(struct jwrite *w, const struct canon_request *r,
                                              const struct canon_target *t,
                                              struct canon_outcome *o);
// `systemInstruction`, where there is a system message.
void dialect_gemini_write_system(struct jwrite *w, const struct canon_request *r);

#endif
