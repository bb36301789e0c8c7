// SPDX-License-Identifier: Apache-2.0
// Body of an Anthropic client's request -> canonical request. Private to the dialect. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_CLIENT_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_CLIENT_H

#include <stdbool.h>

#include "dataplane/canon.h"
#include "dataplane/tape.h"

#define DIALECT_ANTHROPIC_THREADS                                                                  \
    "thread_unsupported_request" // code of `thread` where it is translated

// struct dialect.read_request.
bool dialect_anthropic_client_read(const struct dialect_request *rq, const struct tape *t,
                                   struct arena *a, struct canon_request *ret,
                                   const char **ret_param, struct err *e);

#endif
