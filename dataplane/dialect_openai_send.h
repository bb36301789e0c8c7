// SPDX-License-Identifier: Apache-2.0
// Canonical requests -> bodies for providers of OpenAI's dialect. What a vendor wants otherwise is
// edited behind it (dialect_quirks.h). Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_SEND_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_SEND_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "dataplane/canon.h"

// struct dialect.write_request.
MUST_CHECK bool dialect_openai_send_request(const struct canon_request *r,
                                            const struct canon_target *t, struct canon_outcome *o,
                                            struct buf *out);

#endif
