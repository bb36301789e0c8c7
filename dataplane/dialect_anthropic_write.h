// SPDX-License-Identifier: Apache-2.0
// Canonical request -> body of POST /v1/messages and /v1/messages/count_tokens. Private to the
// dialect. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_WRITE_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_WRITE_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "dataplane/canon.h"

// The tool a JSON schema goes as where a model has no structured outputs.
#define DIALECT_ANTHROPIC_JSON_TOOL "json_output"

// struct dialect.write_request.
bool dialect_anthropic_write_request(const struct canon_request *r, const struct canon_target *t,
                                     struct canon_outcome *o, struct buf *out);

#endif
