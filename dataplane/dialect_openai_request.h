// SPDX-License-Identifier: Apache-2.0
// Requests of OpenAI clients -> canonical requests: Chat Completions, Completions of old,
// Embeddings. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_REQUEST_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_REQUEST_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

// struct dialect.read_request.
MUST_CHECK bool dialect_openai_request_read(const struct dialect_request *rq, const struct tape *t,
                                            struct arena *a, struct canon_request *ret,
                                            const char **ret_param, struct err *e);

#endif
